"""Retry, a returned Retry, Repeat: attempts within a cycle, and cycles."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rqlike import Job, Queue, Repeat, Retry
from rqlike.outcomes import Outcome
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.servers import eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import settle


def history(job: Job[Any]) -> list[str]:
    """Types, oldest first."""
    return [one.type.name for one in reversed(job.results())]


def test_a_retried_job_ends_well_and_each_attempt_is_told(queue: Queue, work: Work, tmp_path: Path) -> None:
    job = queue.enqueue(tasks.fails_until, str(tmp_path / "n"), 3, retry=5)
    work()
    assert job.wait(timeout=0) == 3
    assert history(job) == ["RETRIED", "RETRIED", "SUCCESSFUL"]
    assert [one.attempt for one in job.results()] == [3, 2, 1]


def test_the_last_attempt_fails(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, retry=Retry(2))
    work()
    assert history(job) == ["RETRIED", "RETRIED", "FAILED"]
    assert (job.get_status(), job.attempt, job.retries_left) == (JobStatus.FAILED, 3, 0)


def test_pauses_come_in_order_and_the_last_one_repeats(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing, retry=Retry(4, [10, 20.5, "1m"]))
    pauses = []
    for number in range(1, 5):
        execution = begin(queue, number)
        settle(queue, execution, Outcome(Reason.EXCEPTION, None, "x", "ValueError"))
        result = job.results()[0]
        assert result.next_attempt_at is not None
        job.refresh()
        assert job.next_attempt_at is not None
        assert job.ended_at is None
        pauses.append(round((job.next_attempt_at - result.created_at).total_seconds(), 1))
        assert job.is_scheduled
        queue.connection.zadd(queue.store.keys.home("scheduled", "q"), {job.id: 1})
    assert pauses == [10, 20.5, 60, 60]


def begin(queue: Queue, number: int) -> Any:
    """Promotes and claims."""
    turned = queue.store.run(turns.advance(Turn(f"w{number}", f"w{number}-1", 1, ("q",), want=1, sweep=True)))
    (execution,) = turned.granted
    return execution


def test_retries_left_is_true_at_each_point(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing, retry=Retry(2))
    seen = [job.retries_left]
    for number in range(1, 4):
        execution = begin(queue, number)
        job.refresh()
        seen.append(job.retries_left)
        settle(queue, execution, Outcome(Reason.EXCEPTION, None, "x", "ValueError"))
        job.refresh()
        seen.append(job.retries_left)
    assert seen == [2, 2, 1, 1, 0, 0, 0]
    assert job.is_failed


def test_a_success_costs_no_retry(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing, retry=Retry(3))
    work()
    job.refresh()
    assert (job.retries_left, job.attempt) == (3, 1)


def test_a_retry_due_later_runs_by_itself(queue: Queue, work: Work, tmp_path: Path) -> None:
    job = queue.enqueue(tasks.fails_until, str(tmp_path / "n"), 2, retry=Retry(1, 0.1))
    work()
    assert job.is_scheduled
    eventually(lambda: work() or job.is_finished)
    assert job.wait(timeout=0) == 2


def test_enqueue_at_front_sends_a_retry_before_the_others(queue: Queue) -> None:
    queue.enqueue(tasks.nothing, job_id="a", retry=Retry(1, enqueue_at_front=True))
    queue.enqueue(tasks.nothing, job_id="b")
    settle(queue, begin(queue, 1), Outcome(Reason.EXCEPTION, None, "x", "ValueError"))
    assert queue.job_ids == ["a", "b"]


def test_a_returned_retry_is_retried_until_it_is_once_too_often(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.wants_retry, 2)
    work()
    assert history(job) == ["RETRIED", "RETRIED", "MAX_RETRIES_EXCEEDED"]
    assert [one.reason for one in job.results()] == [Reason.RETRY_RETURNED] * 3
    assert [one.final for one in job.results()] == [True, False, False]
    assert job.is_failed


def test_a_returned_retry_with_a_pause_is_scheduled(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.wants_retry, 1, 60)
    work()
    assert job.is_scheduled
    (result,) = job.results()
    assert result.next_attempt_at is not None
    assert timedelta(seconds=59) < result.next_attempt_at - result.created_at <= timedelta(seconds=61)


def test_returned_and_raised_retries_share_the_attempts(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.wants_retry, 1, retry=Retry(5))
    work()
    assert history(job) == ["RETRIED", "MAX_RETRIES_EXCEEDED"]


def test_a_requeued_job_has_all_its_attempts_again(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, retry=1)
    for _ in range(2):
        work()
        job = queue.failed_job_registry.requeue(job)
    assert (job.cycle, job.retries_left) == (3, 1)
    assert history(job) == ["RETRIED", "FAILED"] * 2


# -- repeat ------------------------------------------------------------------------------------------------------------


def test_repetitions_are_cycles_of_the_same_job(queue: Queue, work: Work, tmp_path: Path) -> None:
    job = queue.enqueue(tasks.numbered, str(tmp_path / "n"), repeat=Repeat(3))
    assert job.repeats_left == 3
    work()
    assert [(one.cycle, one.attempt, one.return_value) for one in job.results()] == [
        (4, 1, 4),
        (3, 1, 3),
        (2, 1, 2),
        (1, 1, 1),
    ]
    job.refresh()
    assert (job.get_status(), job.repeats_left, job.cycle) == (JobStatus.FINISHED, 0, 4)


def test_the_pauses_of_repetitions_come_in_the_order_given(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing, repeat=Repeat(3, [10, 20]))
    pauses = []
    for _ in range(3):
        work()
        job.refresh()
        assert job.next_attempt_at is not None
        pauses.append(round((job.next_attempt_at - job.results()[0].created_at).total_seconds()))
        queue.connection.zadd(queue.store.keys.home("scheduled", "q"), {job.id: 1})
    assert pauses == [10, 20, 20]


def test_each_repetition_has_its_own_attempts(queue: Queue, work: Work, tmp_path: Path) -> None:
    job = queue.enqueue(tasks.fails_until, str(tmp_path / "n"), 2, retry=1, repeat=Repeat(1))
    work()
    assert [(one.cycle, one.attempt, one.type.name) for one in job.results()] == [
        (2, 1, "SUCCESSFUL"),
        (1, 2, "SUCCESSFUL"),
        (1, 1, "RETRIED"),
    ]


def test_a_failure_ends_the_repetitions(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, repeat=Repeat(3))
    work()
    assert (job.get_status(), len(job.results())) == (JobStatus.FAILED, 1)


@pytest.mark.parametrize("result_ttl", [0, 60])
def test_a_repeating_job_is_kept_until_its_last_cycle(queue: Queue, work: Work, result_ttl: int) -> None:
    job = queue.enqueue(tasks.nothing, repeat=Repeat(1, 60), result_ttl=result_ttl)
    work()
    assert job.is_scheduled
    assert queue.connection.pttl(job.key) == -1
    assert job.results()[0].type is ResultType.SUCCESSFUL
