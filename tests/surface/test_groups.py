"""Groups of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import redis

from rqlike import Callback, Group, JobStatus, Queue
from rqlike.exceptions import DuplicateJobError, NoSuchGroupError
from rqlike.preparing import EnqueueData
from tests.surface import tasks
from tests.surface.conftest import Work


@pytest.fixture
def group(client: redis.Redis, namespace: str) -> Group:
    """An empty group with a callback."""
    return Group.create(client, "g", on_complete=Callback(tasks.echo, timeout=5), namespace=namespace)


def datas(queue: Queue, numbers: Iterable[int], **options: Any) -> list[EnqueueData]:
    return [queue.prepare_data(tasks.echo, (number,), **options) for number in numbers]


def completions(queue: Queue) -> list[str]:
    """The ids of the jobs that its callback became."""
    ids = [*queue.job_ids, *queue.finished_job_registry.get_job_ids()]
    return [job_id for job_id in ids if job_id.startswith("g@")]


def test_a_group_counts_waits_and_has_results(group: Group, queue: Queue, client: redis.Redis, work: Work) -> None:
    jobs = group.enqueue_many(queue, datas(queue, range(3)))
    elsewhere = Queue("elsewhere", client, namespace=queue.store.namespace)
    (other,) = group.enqueue_many(elsewhere, datas(elsewhere, [9]))
    assert (group.jobs(), group.counts().queued, group.progress) == ([*jobs, other], 4, 0.0)
    assert group.wait(timeout=0) == ([], [*jobs, other])
    work()
    assert (group.counts().finished, group.progress, completions(queue)) == (3, 0.75, [])
    assert [result and result.return_value for result in group.results()] == [0, 1, 2, None]
    other.cancel()
    assert (group.progress, group.counts().canceled) == (1.0, 1)
    assert group.wait(timeout=0) == ([*jobs, other], [])


def test_its_callback_is_called_once_with_its_id_when_all_have_ended(group: Group, queue: Queue, work: Work) -> None:
    last = datas(queue, [1], result_ttl=0)
    group.enqueue_many(queue, [*datas(queue, range(2)), queue.prepare_data(tasks.fail), *last])
    work()
    assert (completions(queue), group.counts().failed) == (["g@1"], 1)
    done = queue.fetch_job("g@1")
    assert done is not None
    assert (done.return_value(), done.timeout) == ("g", 5)


def test_it_is_not_complete_before_the_last_part_of_a_bulk_has_come(
    group: Group, queue: Queue, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    send = queue.store.run_each

    def slowly(requests: Iterable[Any]) -> Any:
        for request in requests:
            yield from send([request])
            work()  # all that has come so far is done before more comes
            seen.append(len(completions(queue)))

    monkeypatch.setattr(queue.store, "run_each", slowly)
    group.enqueue_many(queue, datas(queue, range(1010)))
    assert (seen, completions(queue), group.progress) == ([0, 0, 1], ["g@1"], 1.0)


def test_a_bulk_that_breaks_off_holds_it_open_for_a_while(
    group: Group, queue: Queue, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = queue.store.run_each

    def half(requests: Iterable[Any]) -> Any:
        for request in requests:
            yield from send([request])
            raise ConnectionError

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(queue.store, "run_each", half)
        group.enqueue_many(queue, datas(queue, range(510)))
    work()
    assert (completions(queue), group.progress) == ([], 1.0)
    keys, client = queue.store.keys, queue.connection
    client.hset(keys.group("g"), "held", 1)  # the half minute is over
    client.zadd(keys.unsettled(), {"- open g": 1})
    work()
    assert completions(queue) == ["g@1"]


def test_more_jobs_and_requeues_open_it_again(group: Group, queue: Queue, work: Work) -> None:
    (failed,) = group.enqueue_many(queue, [queue.prepare_data(tasks.fail)])
    work()
    failed.requeue()
    assert group.progress == 0.0
    work()
    group.enqueue_many(queue, datas(queue, [1]))
    work()
    assert sorted(completions(queue)) == ["g@1", "g@2", "g@3"]
    assert group.jobs()[0] == failed


def test_it_cancels_what_has_not_ended(group: Group, queue: Queue, work: Work) -> None:
    group.enqueue_many(queue, datas(queue, [1]))
    work()
    group.enqueue_many(queue, datas(queue, range(510)))
    assert (group.cancel(), group.counts().canceled, group.progress) == (510, 510, 1.0)
    assert group.cancel() == 0


def test_it_is_kept_as_long_as_its_jobs(group: Group, queue: Queue, client: redis.Redis, work: Work) -> None:
    keys = queue.store.keys
    assert 0 < client.pttl(keys.group("g")) <= 86_400_000
    group.enqueue_many(queue, [*datas(queue, [1], result_ttl=60), *datas(queue, [1], result_ttl=0)])
    assert client.pttl(keys.group("g")) == -1
    work()
    for key in (keys.group("g"), keys.members("g")):
        assert 50_000 < client.pttl(key) <= 60_000
    assert not client.exists(keys.pending("g"))


def test_the_jobs_of_a_group_may_depend_on_each_other(group: Group, queue: Queue, work: Work) -> None:
    first = queue.prepare_data(tasks.fail, job_id="first")
    group.enqueue_many(queue, [first, queue.prepare_data(tasks.echo, (2,), job_id="second", depends_on="first")])
    work()
    assert (group.counts().failed, group.counts().canceled, group.progress) == (1, 1, 1.0)
    assert completions(queue) == ["g@1"]


def test_a_job_of_a_group_that_is_canceled_at_once_for_a_parent_keeps_it_from_nothing(
    group: Group, queue: Queue, client: redis.Redis, work: Work
) -> None:
    failed = queue.enqueue(tasks.fail)
    work()
    doomed = datas(queue, [1], depends_on=failed)
    group.enqueue_many(queue, [*doomed, *datas(queue, [2])])
    assert (group.counts().canceled, group.progress, completions(queue)) == (1, 0.5, [])
    work()
    assert (group.progress, completions(queue)) == (1.0, ["g@1"])
    group.enqueue_many(queue, doomed)
    assert (group.counts().canceled, group.progress, completions(queue)) == (2, 1.0, ["g@2", "g@1"])
    assert client.pttl(queue.store.keys.group("g")) > 0


def test_what_is_wrong_is_refused(group: Group, queue: Queue, client: redis.Redis, namespace: str) -> None:
    with pytest.raises(NoSuchGroupError, match="no group none"):
        Group.fetch("none", client, namespace=namespace)
    with pytest.raises(NoSuchGroupError):
        queue.enqueue_many(datas(queue, [1]), group_id="none")
    with pytest.raises(TypeError, match=r"write Callback\(function\)"):
        Group.create(client, on_complete=tasks.echo)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="in namespace 'other'"):
        group.enqueue_many(Queue("q", client, namespace="other"), [])
    group.enqueue_many(queue, datas(queue, [1]))
    with pytest.raises(DuplicateJobError, match="a group g with jobs already"):
        Group.create(client, "g", namespace=namespace)
    assert (queue.count, Group.fetch("g", client, namespace=namespace)) == (1, group)
    assert (repr(group), JobStatus.QUEUED in group.counts()) == ("<Group 'g'>", True)
