"""One job at a time per key, on every path, also where fifty processes ask at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from rqlike import Job, JobStatus, Queue, Schedule, content_id, sending
from rqlike.decorators import job as job_decorator
from rqlike.exceptions import (
    DuplicateJobError,
    EnqueueManyError,
    JobCanceled,
    NoSuchJobError,
    ResultExpired,
    SerializationError,
)
from rqlike.preparing import EnqueueData
from rqlike.store.durable import Confirmation
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.racers import Race, race
from tests.surface.waiters import waiting


def unique_keys(queue: Queue) -> list[bytes]:
    return [bytes(key) for key in queue.connection.keys(queue.store.keys.unique("*"))]


# -- the key -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"unique_key": "report:7"}, "report:7"),
        ({"unique": True, "unique_key": "report:7", "job_id": "j"}, "report:7"),
        ({"unique": True, "job_id": "j"}, "j"),
        ({"unique": True}, content_id(tasks.add, (1,), {"b": 2})),
        ({"unique_for": 60}, content_id(tasks.add, (1,), {"b": 2})),
    ],
)
def test_the_key_is_the_unique_key_or_else_the_id_or_else_the_call(
    queue: Queue, options: dict[str, Any], key: str
) -> None:
    queue.enqueue(tasks.add, 1, b=2, **options)
    assert unique_keys(queue) == [queue.store.keys.unique(key).encode()]


@pytest.mark.parametrize("key", ["5 minutes", "0 ", "7", "12 34 five"])
def test_a_key_that_looks_like_a_span_of_time_is_a_key(queue: Queue, key: str) -> None:
    job = queue.enqueue(tasks.add, 1, unique_key=key)
    with pytest.raises(DuplicateJobError, match=f"{key!r} is held by job {job.id}"):
        queue.enqueue(tasks.add, 2, unique_key=key)
    assert unique_keys(queue) == [queue.store.keys.unique(key).encode()]
    assert queue.connection.pttl(queue.store.keys.unique(key)) == -1
    job.cancel()
    assert unique_keys(queue) == []


def test_a_content_id_leaves_the_hash_of_its_job_compact(server: Server, namespace: str) -> None:
    with server.client() as client:
        queue = Queue("q", client, namespace=namespace)
        made = [queue.enqueue(tasks.add, 1, unique=True)]
        made += queue.enqueue_many([Queue.prepare_data(tasks.add, (2,), unique=True, delay=9)])
        assert {client.object("encoding", job.key) for job in made} == {b"listpack"}


def test_two_of_one_call_that_want_the_same_key_are_told_apart(queue: Queue) -> None:
    datas = [Queue.prepare_data(tasks.add, (number,), unique_key="k", unique_for=60) for number in (1, 2)]
    with pytest.raises(EnqueueManyError) as caught:
        queue.enqueue_many(datas)
    first, second = caught.value.jobs
    assert (first is not None, second, list(caught.value.errors)) == (True, None, [1])
    assert queue.count == 1
    assert queue.connection.pttl(queue.store.keys.unique("k")) > 50_000


def test_unique_false_overrules_what_the_queue_says(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, namespace=namespace, unique=True, unique_for=60, on_duplicate="return")
    first, same = queue.enqueue(tasks.add, 1), queue.enqueue(tasks.add, 1)
    other = queue.enqueue(tasks.add, 1, unique=False)
    assert (first.id == same.id, first.id == other.id, queue.count) == (True, False, 2)


def test_the_content_id_of_a_call_that_msgpack_does_not_take_is_asked_for_in_vain(
    client: redis.Redis, namespace: str
) -> None:
    queue = Queue("q", client, namespace=namespace, serializer="pickle")
    with pytest.raises(SerializationError, match=r"args\[0\]"):
        queue.enqueue(tasks.echo, object, unique=True)
    assert queue.enqueue(tasks.echo, object, unique_key="k").id


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"unique": False, "unique_key": "k"}, TypeError, "unique_key makes the job unique: leave it out"),
        ({"unique": False, "unique_for": 5}, TypeError, "unique_for makes the job unique"),
        ({"unique": 1}, TypeError, "unique takes True or False"),
        ({"unique_key": 7}, TypeError, r"write str\(7\)"),
        ({"unique_key": ""}, ValueError, "unique_key has 0 bytes"),
        ({"unique_key": "a\nb"}, ValueError, "cannot be printed"),
        ({"unique_key": "x" * 257}, ValueError, "257 bytes"),
        ({"unique_key": "k", "unique_for": 0}, ValueError, "unique_for"),
        ({"unique_key": "k", "unique_for": -1}, ValueError, "unique_for"),
        ({"unique_key": "k", "on_duplicate": "ignore"}, ValueError, "'raise', 'return', 'replace', not 'ignore'"),
        ({"on_duplicate": "return"}, TypeError, "give job_id=, unique=True or unique_key= too"),
        ({"uniq": True}, TypeError, "uniq"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    queue: Queue, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        queue.enqueue_call(tasks.nothing, **options)
    assert queue.connection.keys(queue.store.keys.prefix + "*") == []


def test_a_decorated_function_may_be_unique(client: redis.Redis, namespace: str) -> None:
    function = job_decorator("q", client, namespace=namespace, unique=True, on_duplicate="return")(tasks.add)
    assert function.delay(1).id == function.delay(1).id != function.delay(2).id


# -- raise, return, replace --------------------------------------------------------------------------------------------


def test_a_duplicate_is_told_by_the_job_that_is_there(queue: Queue, work: Work) -> None:
    first = queue.enqueue(tasks.add, 1, unique_key="k")
    with pytest.raises(DuplicateJobError, match=f"unique key 'k' is held by job {first.id}, which is queued") as caught:
        queue.enqueue(tasks.add, 2, unique_key="k")
    assert (caught.value.job_id, caught.value.status) == (first.id, JobStatus.QUEUED)
    work()
    assert queue.enqueue(tasks.add, 2, unique_key="k").id != first.id


def test_return_gives_a_handle_of_the_job_that_is_there(queue: Queue, work: Work) -> None:
    first = queue.enqueue(tasks.add, 1, 5, unique_key="k", meta={"a": 1}, description="first")
    same = queue.enqueue(tasks.add, 2, unique_key="k", on_duplicate="return")
    assert (same.id, same.args, same.meta, same.description) == (first.id, (1, 5), {"a": 1}, "first")
    work()
    assert same.wait(timeout=0) == 6


def test_return_by_id_gives_a_handle_of_the_live_job(queue: Queue) -> None:
    first = queue.enqueue(tasks.add, 1, job_id="a")
    same = queue.enqueue(tasks.add, 2, job_id="a", on_duplicate="return")
    assert (same.args, same.cycle, queue.count) == (first.args, 1, 1)


def test_within_unique_for_return_gives_the_job_that_has_ended(queue: Queue, work: Work) -> None:
    first = queue.enqueue(tasks.add, 1, 1, unique_key="k", unique_for="1m")
    work()
    again = queue.enqueue(tasks.add, 1, 1, unique_key="k", unique_for="1m", on_duplicate="return")
    assert (again.id, again.wait(timeout=0)) == (first.id, 2)
    with pytest.raises(DuplicateJobError, match=f"job {first.id}, which is finished"):
        queue.enqueue(tasks.add, 1, 1, unique_key="k")


def test_within_unique_for_a_job_that_is_gone_is_told_as_gone(queue: Queue, work: Work) -> None:
    first = queue.enqueue(tasks.add, 1, unique_key="k", unique_for="1m", result_ttl=0)
    work()
    again = queue.enqueue(tasks.add, 1, unique_key="k", on_duplicate="return")
    assert again.id == first.id
    with pytest.raises(NoSuchJobError):
        again.get_status()
    queue.connection.delete(queue.store.keys.results(first.id))  # its 5 s are over
    with pytest.raises(ResultExpired):
        again.wait(timeout=1)
    with pytest.raises(DuplicateJobError, match="is gone; the key is free when its unique_for is over") as caught:
        queue.enqueue(tasks.add, 1, unique_key="k")
    assert caught.value.status is None


def test_replace_cancels_the_one_that_waits_and_its_waiter_learns_at_once(queue: Queue, server: Server) -> None:
    first = queue.enqueue(tasks.add, 1, unique_key="k")
    with server.client() as looking:
        blocked = waiting(looking, lambda: first.wait(timeout=20))
    second = queue.enqueue(tasks.add, 2, unique_key="k", on_duplicate="replace")
    assert isinstance(blocked.outcomes(within=1)[0], JobCanceled)
    assert (first.get_status(), second.get_status()) == (JobStatus.CANCELED, JobStatus.QUEUED)


def test_replace_by_id_is_a_new_cycle_and_the_waiter_of_the_old_one_learns_at_once(
    queue: Queue, server: Server, work: Work
) -> None:
    first = queue.enqueue(tasks.add, 1, job_id="a")
    with server.client() as looking:
        blocked = waiting(looking, lambda: first.wait(timeout=20))
    second = queue.enqueue(tasks.add, 2, job_id="a", on_duplicate="replace")
    assert isinstance(blocked.outcomes(within=1)[0], JobCanceled)
    work()
    assert (second.cycle, second.wait(timeout=0), [one.cycle for one in second.results()]) == (2, 2, [2])


def test_without_workers_a_job_that_is_there_already_is_not_run_in_the_caller(queue: Queue) -> None:
    inline = Queue("q", queue.connection, namespace=queue.store.namespace, is_async=False, on_duplicate="return")
    theirs = queue.enqueue(tasks.add, 1, unique_key="k")
    data = inline.prepare_data(tasks.add, (1,), unique_key="k")
    own = inline.prepare_data(tasks.add, (2,), unique_key="own", result_ttl=0)
    assert [job.id for job in (inline.enqueue(tasks.add, 1, unique_key="k"), *inline.enqueue_many([data]))] == [
        theirs.id
    ] * 2
    assert theirs.get_status() is JobStatus.QUEUED
    assert len({job.id for job in inline.enqueue_many([own, own])}) == 1  # the second finds it, and both see it gone


# -- every path --------------------------------------------------------------------------------------------------------


def test_jobs_that_are_due_later_hold_their_key_and_are_held_by_it(queue: Queue) -> None:
    first = queue.enqueue_in(60, tasks.add, 1, unique_key="k")
    soon = datetime.now(UTC) + timedelta(seconds=90)
    for call in (
        lambda: queue.enqueue(tasks.add, 1, unique_key="k"),
        lambda: queue.enqueue_in(1, tasks.add, 1, unique_key="k"),
        lambda: queue.enqueue_at(soon, tasks.add, 1, unique_key="k"),
        lambda: queue.enqueue_call(tasks.add, (1,), unique_key="k"),
    ):
        with pytest.raises(DuplicateJobError) as caught:
            call()
        assert caught.value.job_id == first.id


def test_many_that_replace_others_go_in_shorter_calls(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def datas(wish: str) -> list[EnqueueData]:
        plain = [queue.prepare_data(tasks.add, (n,)) for n in range(290)]
        own = [queue.prepare_data(tasks.add, (n,), unique_key=str(n), on_duplicate=wish) for n in range(250)]  # type: ignore[arg-type]
        return [*plain, *own, *plain]

    sizes: list[int] = []
    send = queue.store.run_each

    def counted(requests: Iterable[Any]) -> Any:
        for request in requests:
            for answers in send([request]):
                sizes.append(len(answers))
                yield answers

    monkeypatch.setattr(queue.store, "run_each", counted)
    first, second = queue.enqueue_many(datas("return")), queue.enqueue_many(datas("replace"))
    assert sizes == [500, 330, 390, 100, 340]
    assert (len({*first, *second}), queue.canceled_job_registry.count) == (1660, 250)


def test_many_report_each_item_that_was_refused(queue: Queue) -> None:
    held = queue.enqueue(tasks.add, 0, unique_key="held")
    datas = [
        queue.prepare_data(tasks.add, (1,), unique_key="a", delay=60, retry=3),
        queue.prepare_data(tasks.add, (2,), unique_key="a"),
        queue.prepare_data(tasks.add, (3,)),
        queue.prepare_data(tasks.add, (4,), unique_key="held", on_duplicate="return"),
        queue.prepare_data(tasks.add, (5,), unique_key="held"),
        queue.prepare_data(tasks.add, (6,), unique_key="a", on_duplicate="replace"),
    ]
    with pytest.raises(EnqueueManyError) as caught:
        queue.enqueue_many(datas)
    jobs, errors = caught.value.jobs, caught.value.errors
    assert sorted(errors) == [1, 4]
    assert (errors[1].job_id, errors[4].job_id) == (jobs[0].id, held.id)  # type: ignore[attr-defined]
    assert (jobs[1], jobs[4], jobs[3].id) == (None, None, held.id)
    assert (jobs[0].get_status(), jobs[5].get_status()) == (JobStatus.CANCELED, JobStatus.QUEUED)


def test_atomic_enqueues_all_or_none(queue: Queue) -> None:
    queue.enqueue(tasks.add, 0, unique_key="held")
    good, bad = queue.prepare_data(tasks.add, (1,)), queue.prepare_data(tasks.add, (2,), unique_key="held")
    with pytest.raises(
        EnqueueManyError, match=r"Nothing is enqueued: the server refused 1 of 3 jobs.*item 1"
    ) as caught:
        queue.enqueue_many([good, bad, good], atomic=True)
    assert (caught.value.jobs, list(caught.value.errors), queue.count) == ([None] * 3, [1], 1)
    assert len(queue.enqueue_many([good] * 500, atomic=True)) == 500
    with pytest.raises(ValueError, match="at most 500 jobs"):
        queue.enqueue_many([good] * 501, atomic=True)
    assert queue.count == 501


def test_a_requeued_job_waits_for_its_key(queue: Queue, work: Work) -> None:
    failed = queue.enqueue(tasks.fail, unique_key="k")
    work()
    other = queue.enqueue(tasks.add, 1, unique_key="k")
    with pytest.raises(DuplicateJobError) as caught:
        failed.requeue()
    assert (caught.value.job_id, failed.get_status()) == (other.id, JobStatus.FAILED)
    work()
    assert failed.requeue().get_status() is JobStatus.QUEUED
    with pytest.raises(DuplicateJobError):
        queue.enqueue(tasks.add, 1, unique_key="k")


def test_a_schedule_whose_last_job_still_lives_fires_no_other(queue: Queue, work: Work) -> None:
    schedule = queue.schedule("s", tasks.add, (1,), every=3600, unique=True)
    first = schedule.run_now()
    with pytest.raises(DuplicateJobError) as caught:
        schedule.run_now()
    assert caught.value.job_id == first.id
    with pytest.raises(DuplicateJobError):
        queue.enqueue(tasks.add, 1, unique=True)
    work()
    assert schedule.run_now().id != first.id


def test_a_schedule_may_replace_the_job_of_its_last_slot(queue: Queue) -> None:
    schedule = queue.schedule("s", tasks.add, (1,), every=3600, unique_key="k", on_duplicate="replace")
    first, second = schedule.run_now(), schedule.run_now()
    assert (first.get_status(), second.get_status()) == (JobStatus.CANCELED, JobStatus.QUEUED)


def test_a_schedule_may_give_the_job_that_is_there(queue: Queue) -> None:
    schedule = queue.schedule("s", tasks.add, (1,), every=3600, unique_key="k", on_duplicate="return")
    assert (schedule.run_now().id, queue.count) == (schedule.run_now().id, 1)


def test_where_nothing_is_enqueued_nothing_is_told_as_not_durable(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sending, "run_durably", lambda store, requests: (list(map(store.run, requests)), Confirmation(replicas=0))
    )
    queue.enqueue(tasks.add, 0, unique_key="held")
    datas = [queue.prepare_data(tasks.add, (n,), unique_key=key, durable=True) for n, key in enumerate(["a", "held"])]
    with pytest.raises(EnqueueManyError, match="Nothing is enqueued"):
        queue.enqueue_many(datas, atomic=True)


def test_nothing_is_left_of_a_key_once_all_has_ended(queue: Queue, work: Work) -> None:
    queue.enqueue(tasks.add, 1, unique_key="a")
    queue.enqueue(tasks.fail, unique_key="b")
    queue.enqueue(tasks.add, 1, unique_key="c", result_ttl=0)
    queue.enqueue(tasks.add, 1, unique_key="d").cancel()
    queue.enqueue(tasks.add, 1, unique_key="e").delete()
    assert len(unique_keys(queue)) == 3
    work()
    assert unique_keys(queue) == []


# -- fifty at once -----------------------------------------------------------------------------------------------------


def _now(queue: Queue, number: int) -> str:
    return queue.enqueue(tasks.add, 1, unique_key="k", on_duplicate="return").id


def _raising(queue: Queue, number: int) -> str:
    return queue.enqueue(tasks.add, 1, unique_key="k").id


def _by_content(queue: Queue, number: int) -> str:
    return queue.enqueue(tasks.add, 1, unique=True, on_duplicate="return").id


def _by_id(queue: Queue, number: int) -> str:
    job = queue.enqueue(tasks.add, 1, job_id="a", on_duplicate="return")
    return f"{job.id} {job.cycle}"


def _later(queue: Queue, number: int) -> str:
    return queue.enqueue_in(60, tasks.add, 1, unique_key="k", on_duplicate="return").id


def _many(queue: Queue, number: int) -> str:
    data = queue.prepare_data(tasks.add, (1,), unique_key="k", on_duplicate="return", delay=30 if number % 2 else None)
    return {job.id for job in queue.enqueue_many([data] * 3)}.pop()


def _mixed(queue: Queue, number: int) -> str:
    return (_now, _later, _many)[number % 3](queue, number)


def _run_now(queue: Queue, number: int) -> str:
    schedule = Schedule.fetch("s", queue.connection, namespace=queue.store.namespace)
    return schedule.run_now().id


def _requeue(queue: Queue, number: int) -> str:
    return Job.fetch(f"failed{number % 2}", queue.connection, queue.store.namespace).requeue().id


@pytest.mark.parametrize("call", [_now, _by_content, _by_id, _later, _many, _mixed], ids=lambda call: call.__name__[1:])
def test_fifty_processes_that_ask_at_once_all_get_the_same_job(queue: Queue, server: Server, call: Race) -> None:
    answers = race(str(server.socket), queue.store.namespace, call)
    counts = queue.counts()
    assert (len(answers), len(set(answers)), counts.queued + counts.scheduled) == (50, 1, 1)


@pytest.mark.parametrize("call", [_raising, _run_now, _requeue], ids=lambda call: call.__name__[1:])
def test_of_fifty_processes_that_ask_at_once_one_gets_it(queue: Queue, server: Server, work: Work, call: Race) -> None:
    queue.schedule("s", tasks.add, (1,), every=3600, unique_key="k")
    if call is _requeue:
        for number in range(2):
            queue.enqueue(tasks.fail, job_id=f"failed{number}", unique_key="k")
            work()
    answers = Counter(race(str(server.socket), queue.store.namespace, call))
    refused = answers.pop("DuplicateJobError") + answers.pop("InvalidTransition", 0)
    assert (refused, sum(answers.values()), queue.count) == (49, 1, 1)
