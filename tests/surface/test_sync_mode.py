"""`Queue(is_async=False)`: runs in the caller, and leaves what a worker would have left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from rqlike import Job, Queue, Repeat, Retry, SimpleWorker, get_current_job
from rqlike.exceptions import JobFailed, SerializationError
from rqlike.states import JobStatus, Reason
from rqlike.store import staff
from tests.surface import tasks
from tests.surface.waiters import at_once


@pytest.fixture
def sync(client: redis.Redis, namespace: str) -> Iterator[Queue]:
    """A queue that runs its jobs here."""
    yield Queue("q", client, is_async=False, namespace=namespace)


def test_a_job_has_ended_when_enqueue_returns(sync: Queue) -> None:
    job = sync.enqueue(tasks.pid)
    assert job.get_status(refresh=False) is JobStatus.FINISHED
    assert job.wait(timeout=0) == job.return_value() == os.getpid()
    assert sync.finished_job_registry.get_job_ids() == [job.id]
    assert (job.attempt, job.started_at is not None, job.ended_at is not None) == (1, True, True)


def test_arguments_and_results_are_serialised_all_the_same(sync: Queue) -> None:
    given = [1]
    job = sync.enqueue(tasks.echo, given)
    returned: Any = job.wait(timeout=0)
    assert returned == given
    assert returned is not given
    with pytest.raises(SerializationError):
        sync.enqueue(tasks.echo, object())
    assert sync.enqueue(tasks.unserialisable).results()[0].reason is Reason.SERIALIZATION


CASES: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "a value": (tasks.add, (1, 2), {}),
    "an exception": (tasks.fail, ("no",), {}),
    "retries": (tasks.fail, ("no",), {"retry": 2}),
    "a returned retry": (tasks.wants_retry, (1,), {}),
    "a retry due later": (tasks.fail, ("no",), {"retry": Retry(1, 60)}),
    "repetitions": (tasks.add, (1,), {"repeat": Repeat(2)}),
    "a bad result": (tasks.unserialisable, (), {}),
    "a failing callback": (tasks.add, (1,), {"on_success": tasks.failing_callback}),
    "an import that fails": ("no_such_module.function", (), {}),
    "a time-out": (tasks.nap, (5,), {"job_timeout": 0.1}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_history_is_the_one_a_worker_writes(client: redis.Redis, namespace: str, case: str) -> None:
    func, args, options = CASES[case]
    here = Queue("q", client, is_async=False, namespace=namespace).enqueue(func, *args, job_id="here", **options)
    there = Queue("w", client, namespace=namespace).enqueue(func, *args, job_id="there", **options)
    SimpleWorker(["w"], connection=client, namespace=namespace).work(burst=True, logging_level=None)

    def told(job: Job[Any]) -> list[object]:
        job.refresh()
        history = [
            (one.cycle, one.attempt, one.type, one.reason, one.exc_type, one.has_value, one.callback_error is None)
            for one in job.results()
        ]
        return [job.get_status(), job.cycle, job.attempt, job.retries_left, history]

    assert told(here) == told(there)


def test_it_leaves_no_worker_behind(sync: Queue) -> None:
    sync.enqueue(tasks.add, 1, retry=1)
    assert sync.store.run(staff.workers()) == []
    assert not list(sync.connection.scan_iter(match="{" + sync.store.namespace + "}:*inline*"))


def test_result_ttl_0_leaves_the_value_for_a_moment(sync: Queue) -> None:
    job = sync.enqueue(tasks.add, 40, 2, result_ttl=0)
    assert job.wait(timeout=0) == 42
    assert not Job.exists(job.id, sync.connection, sync.store.namespace)


def test_jobs_that_are_due_later_are_left_to_a_worker(sync: Queue) -> None:
    assert sync.enqueue_in(60, tasks.nothing).is_scheduled


def test_many_run_in_their_order(sync: Queue, tmp_path: Path) -> None:
    jobs = sync.enqueue_many([Queue.prepare_data(tasks.numbered, (str(tmp_path / "n"),)) for _ in range(3)])
    assert [job.wait(timeout=0) for job in jobs] == [1, 2, 3]


def test_a_failure_is_recorded_and_not_raised_by_enqueue(sync: Queue) -> None:
    job = sync.enqueue(tasks.fail)
    with pytest.raises(JobFailed):
        job.wait(timeout=0)


def test_the_time_limit_holds_and_the_process_lives_on(sync: Queue) -> None:
    before = time.monotonic()
    job = sync.enqueue(tasks.nap, 10, job_timeout=0.2)
    assert time.monotonic() - before < 2
    assert job.results()[0].reason is Reason.TIMEOUT


def test_it_works_in_the_threads_of_a_web_server(sync: Queue) -> None:
    assert at_once(lambda n: sync.enqueue(tasks.add, n).wait(timeout=0), 8) == list(range(8))


def test_a_job_knows_itself_and_nobody_else_does(sync: Queue) -> None:
    job = sync.enqueue(tasks.notes, a=1)
    assert job.wait(timeout=0) == job.id
    assert job.meta == {"a": 1}
    assert get_current_job() is None
