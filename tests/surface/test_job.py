"""The handle on a job: what it knows, what it may change, what it asks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from rqlike import Job, Queue, Retry
from rqlike.exceptions import (
    InvalidTransition,
    NoSuchJobError,
    PayloadTooLarge,
    SerializationError,
    TimeoutFormatError,
)
from rqlike.states import JobStatus
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, counting_client


def again(job: Job[Any]) -> Job[Any]:
    """The job as the server has it."""
    return Job.fetch(job.id, job.connection, job.namespace)


# -- what it is --------------------------------------------------------------------------------------------------------


def test_a_handle_knows_its_call_and_its_times(queue: Queue, work: Work) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    job = queue.enqueue(tasks.add, 1, b=2)
    assert (job.func_name, job.args, job.kwargs, job.func) == ("tests.surface.tasks.add", (1,), {"b": 2}, tasks.add)
    assert (job.started_at, job.ended_at, job.worker_name) == (None,) * 3
    work()
    job.refresh()
    assert job.enqueued_at is not None
    assert job.started_at is not None
    assert job.ended_at is not None
    assert before <= job.created_at <= job.enqueued_at <= job.started_at <= job.ended_at
    assert job.created_at.tzinfo is UTC
    assert job.worker_name


def test_each_status_has_its_question(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1)
    assert (job.is_queued, job.is_finished) == (True, False)
    work()
    assert (job.is_queued, job.is_finished) == (False, True)
    questions = ("failed", "started", "deferred", "canceled", "scheduled", "stopped", "expired")
    assert not any(getattr(job, f"is_{name}") for name in questions)
    assert job.get_status(refresh=False) == "finished"


def test_the_status_of_a_job_that_is_gone_is_an_error(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    job.delete()
    with pytest.raises(NoSuchJobError):
        job.get_status()
    assert job.get_status(refresh=False) is JobStatus.QUEUED


def test_constructors_and_reprs_do_no_io(namespace: str) -> None:
    client = redis.Redis.from_url("unix:///nonexistent/server.sock")
    queue = Queue("q", client, namespace=namespace)
    assert repr(queue) == "<Queue 'q'>"
    assert repr(queue.failed_job_registry) == "<FailedJobRegistry 'q'>"
    assert queue
    assert Queue("q", "redis://localhost:1/0", namespace=namespace) == queue


def test_the_repr_of_a_job_sends_nothing(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.add, 1, job_id="a b")
        Counting.sent.clear()
        assert repr(job) == "<Job a b tests.surface.tasks.add queued>"
        assert Counting.sent == []


def test_handles_are_equal_by_id_and_namespace(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, job_id="a")
    other = Queue("q", client, namespace=queue.store.namespace + "2").enqueue(tasks.nothing, job_id="a")
    assert job == again(job)
    assert len({job, again(job)}) == 1
    assert job != other


def test_a_call_of_an_unknown_version_is_told_and_does_not_break_reading(
    queue: Queue, client: redis.Redis, work: Work
) -> None:
    job = queue.enqueue(tasks.nothing)
    fields: Any = client.hgetall(job.key)
    stored = fields[b"c0"]
    client.hset(job.key, "c0", b"\xc1" + stored[1:])
    assert "unreadable" in repr(again(job))
    assert again(job).get_call_string() == "(unreadable call)"
    work()
    assert again(job).is_failed
    assert again(job).to_dict()["status"] == "failed"


def test_to_dict_is_plain_data(queue: Queue) -> None:
    import json

    job = queue.enqueue(tasks.add, 1, retry=Retry(2), meta={"a": 1})
    told = json.loads(json.dumps(job.to_dict()))
    assert (told["id"], told["status"], told["retries_left"], told["meta"]) == (job.id, "queued", 2, {"a": 1})


# -- notes -------------------------------------------------------------------------------------------------------------


def test_meta_is_of_the_handle_until_it_is_saved(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    job.meta["a"] = 1
    assert again(job).meta == {}
    job.save_meta()
    assert again(job).meta == {"a": 1}
    job.meta = {"b": (1, 2)}
    job.save_meta()
    assert again(job).meta == {"b": (1, 2)}


def test_get_meta_reads_what_others_wrote(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    other = again(job)
    other.meta["seen"] = True
    other.save_meta()
    assert job.get_meta(refresh=False) == {}
    assert job.get_meta() == {"seen": True}


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 511, 512, 513, 60_000])
def test_meta_of_any_size_comes_back_and_shrinks_again(queue: Queue, size: int) -> None:
    job = queue.enqueue(tasks.add, 1)
    for text in ("x" * size, "y"):
        job.meta = {"t": text}
        job.save_meta()
        assert again(job).meta == {"t": text}
        assert again(job).args == (1,)
    job.meta = {}
    job.save_meta()
    assert again(job).meta == {}


def test_meta_that_cannot_be_saved_is_refused_and_the_old_one_stays(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing, meta={"a": 1})
    job.meta = {"a": object()}
    with pytest.raises(SerializationError):
        job.save_meta()
    job.meta = {"a": "x" * 70_000}
    with pytest.raises(PayloadTooLarge) as caught:
        job.save_meta()
    assert caught.value.limit == 65_536
    assert again(job).meta == {"a": 1}


def test_saving_notes_of_a_job_that_is_gone_does_not_bring_it_back(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing)
    job.delete()
    for act in (job.save_meta, job.save, lambda: job.set_result_ttl(5)):
        with pytest.raises(NoSuchJobError):
            act()
    assert not client.exists(job.key)


def test_a_job_saves_notes_of_its_own(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.notes, step=3)
    work()
    assert job.wait(timeout=0) == job.id
    assert job.get_meta() == {"step": 3}


# -- editing -----------------------------------------------------------------------------------------------------------


def test_edited_fields_are_saved_and_counted_by_the_next_execution(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nap, 5)
    job.timeout = "0.2s"
    job.result_ttl, job.failure_ttl, job.description = 60, 120, "edited"
    assert again(job).timeout == 180
    job.save()
    read = again(job)
    assert (read.timeout, read.result_ttl, read.failure_ttl, read.description) == (0.2, 60, 120, "edited")
    assert (read.args, read.get_status()) == ((5,), JobStatus.QUEUED)
    before = time.monotonic()
    work()
    assert time.monotonic() - before < 2
    assert job.results()[0].reason == "timeout"
    assert 100_000 < job.connection.pttl(job.key) <= 120_000


@pytest.mark.parametrize(("field", "value"), [("timeout", 0), ("timeout", -2), ("result_ttl", "x"), ("failure_ttl", 0)])
def test_a_bad_edit_is_refused_where_it_is_made(queue: Queue, field: str, value: Any) -> None:
    job = queue.enqueue(tasks.nothing)
    with pytest.raises(TimeoutFormatError, match=field):
        setattr(job, field, value)


def test_result_ttl_can_go_back_to_the_workers_default(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing, result_ttl=7)
    job.result_ttl = None
    job.save()
    assert again(job).result_ttl is None
    work()
    assert 490_000 < job.connection.pttl(job.key) <= 500_000


def keys_of(job: Job[Any]) -> list[str]:
    """What a job with a large call has on the server."""
    keys = job.store.keys
    return [job.key, keys.results(job.id), keys.blob("c", job.id)]


@pytest.mark.parametrize("func", ["add", "fail"])
def test_set_result_ttl_dates_an_ended_job_its_index_and_its_history_at_once(
    queue: Queue, work: Work, func: str
) -> None:
    job = queue.enqueue(f"tests.surface.tasks.{func}", "x" * 1000)
    if func == "add":
        job = queue.enqueue(tasks.echo, "x" * 1000)
    work()
    job.set_result_ttl("1h")
    ttls = [job.connection.pttl(key) for key in keys_of(job)]
    assert all(3_590_000 < ttl <= 3_600_000 for ttl in ttls), ttls
    registry = queue.registry(job.get_status())
    assert registry.get_expiration_time(job) - datetime.now(UTC) > timedelta(minutes=59)
    job.set_result_ttl(-1)
    assert [job.connection.pttl(key) for key in keys_of(job)] == [-1, -1, -1]
    assert job.result_ttl == again(job).result_ttl == -1
    assert job.id in registry.get_job_ids()


def test_set_result_ttl_0_takes_an_ended_job_away_and_leaves_its_value_for_a_moment(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.echo, 5)
    work()
    job.set_result_ttl(0)
    assert not Job.exists(job.id, job.connection, job.namespace)
    assert queue.counts().finished == 0
    assert job.wait(timeout=0) == 5
    assert 0 < job.connection.pttl(job.store.keys.results(job.id)) <= 5_000


@pytest.mark.parametrize(("seconds", "left"), [(-1, -1), (60, 60_000), (0, -2)])
def test_a_result_ttl_that_is_changed_while_the_job_runs_counts(queue: Queue, seconds: int, left: int) -> None:
    from rqlike.outcomes import Outcome
    from tests.surface.waiters import claim, settle

    job = queue.enqueue(tasks.nothing, result_ttl=7)
    execution = claim(queue)
    job.set_result_ttl(seconds)
    assert job.connection.pttl(job.key) == -1, "a live job has no TTL"
    assert settle(queue, execution, Outcome(value=b"\x07")).startswith("ok")
    found = job.connection.pttl(job.key)
    assert found == left if left < 0 else left - 5_000 < found <= left
    assert job.wait(timeout=0) == 7


def test_saving_keeps_a_result_ttl_that_was_set_before(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    job.set_result_ttl(60)
    job.description = "x"
    job.save()
    assert (again(job).result_ttl, again(job).description) == (60, "x")
    job.result_ttl = 30
    job.save()
    assert again(job).result_ttl == 30


# -- changing ----------------------------------------------------------------------------------------------------------


def test_a_canceled_job_never_starts(queue: Queue, work: Work, tmp_path: Any) -> None:
    job = queue.enqueue(tasks.numbered, str(tmp_path / "n"))
    job.cancel()
    assert job.get_status(refresh=False) is JobStatus.CANCELED
    assert not work()
    assert not (tmp_path / "n").exists()
    assert job.id in queue.canceled_job_registry


def test_what_has_ended_cannot_be_canceled_and_what_lives_cannot_be_requeued(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing)
    with pytest.raises(InvalidTransition) as caught:
        job.requeue()
    assert (caught.value.job_id, caught.value.verb, caught.value.status) == (job.id, "requeue", "queued")
    work()
    with pytest.raises(InvalidTransition, match="finished"):
        job.cancel()


def test_requeue_keeps_history_call_and_options_and_begins_a_cycle(queue: Queue, work: Work, tmp_path: Any) -> None:
    job = queue.enqueue(tasks.fails_until, str(tmp_path / "n"), 3, retry=1, meta={"a": 1}, job_timeout=9)
    work()
    assert job.is_failed
    requeued = job.requeue(at_front=True)
    assert requeued is job
    assert (job.cycle, job.attempt, job.retries_left, job.timeout, job.meta) == (2, 0, 1, 9, {"a": 1})
    work()
    assert job.wait(timeout=0) == 3
    assert [(one.cycle, one.attempt) for one in job.results()] == [(2, 1), (1, 2), (1, 1)]
    assert queue.counts().failed == 0


def test_requeue_at_front_goes_before_the_others(queue: Queue, work: Work) -> None:
    ended = [queue.enqueue(tasks.fail, job_id=name) for name in "ab"]
    work()
    queue.enqueue(tasks.nothing, job_id="c")
    ended[0].requeue()
    ended[1].requeue(at_front=True)
    assert queue.job_ids == ["b", "c", "a"]


def test_delete_leaves_nothing_but_a_trace_of_five_seconds(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.echo, "x" * 1000, meta={"m": "y" * 1000})
    work()
    job.delete()
    left = [key.decode() for key in client.scan_iter(match=f"*{job.id}*")]
    assert left == [job.store.keys.results(job.id)]
    assert 0 < client.pttl(left[0]) <= 5_000
    assert len(job.results()) == 0
    with pytest.raises(NoSuchJobError):
        job.delete()


def test_a_started_job_that_is_canceled_is_only_asked(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1)))
    job.cancel()
    assert job.get_status() is JobStatus.STARTED


# -- keeping -----------------------------------------------------------------------------------------------------------


def test_result_ttl_counts_from_the_end(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing, result_ttl=0.3)
    work()
    assert job.is_finished
    assert job.id in queue.finished_job_registry
    eventually(lambda: not Job.exists(job.id, job.connection, job.namespace), 2.0)
    assert queue.counts().finished == 0, "counted by its time, swept or not"
    assert queue.finished_job_registry.get_job_ids() == []


def test_minus_one_keeps_for_ever(queue: Queue, work: Work) -> None:
    good, bad = queue.enqueue(tasks.nothing, result_ttl=-1), queue.enqueue(tasks.fail, failure_ttl=-1)
    work()
    assert [good.connection.pttl(job.key) for job in (good, bad)] == [-1, -1]
    assert (queue.counts().finished, queue.counts().failed) == (1, 1)
