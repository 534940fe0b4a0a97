"""`Job.latest_result`: RQ's rule, and `after` for whoever wants the next one."""

from __future__ import annotations

import time

import redis

from rqlike import Queue, Retry
from rqlike.results import Result
from rqlike.states import Reason, ResultType
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import waiting

IMMEDIATELY_S = 0.2


def newest(queue: Queue, job_id: str = "a") -> Result[object]:
    """The newest execution of a job that has one."""
    job = queue.fetch_job(job_id)
    assert job is not None
    result = job.latest_result()
    assert result is not None
    return result


def test_without_a_timeout_it_is_the_newest_execution_of_any_type(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, retry=Retry(2, [0, 60]))
    assert job.latest_result() is None
    work()
    result = job.latest_result()
    assert result is not None
    assert (result.type, result.attempt, result.final) == (ResultType.RETRIED, 2, False)
    assert result.next_attempt_at is not None


def test_with_a_timeout_the_result_of_an_older_cycle_is_given_at_once(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.echo, "old", job_id="a")
    work()
    job.requeue()
    before = time.monotonic()
    result = job.latest_result(timeout=10)
    assert time.monotonic() - before < IMMEDIATELY_S
    assert result is not None
    assert (result.cycle, result.return_value) == (1, "old")


def test_after_blocks_for_the_next_execution_of_a_requeued_job(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.echo, "again", job_id="a")
    work()
    old = job.latest_result()
    assert old is not None
    job.requeue()
    waiters = [waiting(client, lambda: job.latest_result(timeout=10, after=old))]
    waiters.append(waiting(client, lambda: job.latest_result(timeout=10, after=old.id), 1))
    work()
    for waiter in waiters:
        (found,) = waiter.outcomes()
        assert isinstance(found, Result)
        assert (found.cycle, found.return_value) == (2, "again")


def test_after_gives_the_first_newer_execution_not_the_newest(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.echo, 1, job_id="a")
    work()
    first = newest(queue)
    for value in (2, 3):
        queue.enqueue(tasks.echo, value, job_id="a")
        work()
    for timeout in (0, 5):
        found = job.latest_result(timeout=timeout, after=first)
        assert found is not None
        assert found.return_value == 2


def test_after_with_a_timeout_skips_retried_ones_and_without_one_does_not(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.echo, 1, job_id="a")
    work()
    first = newest(queue)
    queue.enqueue(tasks.fail, job_id="a", retry=1)
    work()
    at_once, blocking = job.latest_result(after=first), job.latest_result(timeout=5, after=first)
    assert at_once is not None
    assert blocking is not None
    assert (at_once.type, blocking.type) == (ResultType.RETRIED, ResultType.FAILED)


def test_a_retried_execution_never_satisfies_a_timeout(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, retry=Retry(1, 60))
    work()
    before = time.monotonic()
    assert job.latest_result(timeout=0.3) is None
    assert time.monotonic() - before >= 0.3


def test_a_retried_execution_does_not_hide_the_result_of_an_older_cycle(queue: Queue, work: Work) -> None:
    queue.enqueue(tasks.echo, "old", job_id="a")
    work()
    job = queue.enqueue(tasks.fail, job_id="a", retry=Retry(1, 60))
    work()
    result = job.latest_result(timeout=5)
    assert result is not None
    assert (result.cycle, result.type) == (1, ResultType.SUCCESSFUL)


def test_a_blocked_caller_gets_the_first_result_of_a_job(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1)
    waiter = waiting(client, lambda: job.latest_result(timeout=10.5))
    work()
    (found,) = waiter.outcomes()
    assert isinstance(found, Result)
    assert found.return_value == 1


def test_a_job_that_is_canceled_or_deleted_meanwhile_gives_none_at_once(queue: Queue, client: redis.Redis) -> None:
    for act in ("cancel", "delete"):
        job = queue.enqueue(tasks.add, 1)
        waiter = waiting(client, lambda job=job: job.latest_result(timeout=10))  # type: ignore[misc]
        before = time.monotonic()
        getattr(job, act)()
        assert waiter.outcomes() == [None]
        assert waiter.last_end() - before < IMMEDIATELY_S


def test_a_job_that_is_gone_gives_none_at_once(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.add, 1)
    client.delete(job.key)
    before = time.monotonic()
    assert job.latest_result(timeout=10) is None
    assert time.monotonic() - before < IMMEDIATELY_S


def test_a_job_that_ended_without_running_gives_none_at_once(queue: Queue) -> None:
    job = queue.enqueue(tasks.add, 1)
    job.cancel()
    before = time.monotonic()
    assert job.latest_result(timeout=10) is None
    assert time.monotonic() - before < IMMEDIATELY_S


def test_a_job_canceled_in_its_second_cycle_still_has_the_result_of_its_first(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.echo, 1, job_id="a")
    work()
    first = newest(queue)
    job.requeue()
    job.cancel()
    for timeout in (0, 5):
        result = job.latest_result(timeout=timeout)
        assert result is not None
        assert result.id == first.id
    assert job.latest_result(timeout=5, after=first) is None
    assert job.latest_result(after=first) is None


def test_an_ended_job_gives_its_newest_result_whatever_it_is(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, "no")
    work()
    for timeout in (0, 5):
        result = job.latest_result(timeout=timeout)
        assert result is not None
        assert (result.type, result.reason, result.exc_type) == (
            ResultType.FAILED,
            Reason.EXCEPTION,
            "builtins.ValueError",
        )


def test_return_value_is_that_of_the_newest_execution_or_none(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.add, 40, 2)
    assert job.return_value() is None
    work()
    assert job.return_value() == 42
    assert job.return_value(refresh=True) == 42
