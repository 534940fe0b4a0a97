"""Back-off, jitter, retry by exception, Unrecoverable and RetryLater, in a worker and in the caller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import redis

from rqlike import Job, Queue, Retry
from rqlike.outcomes import Outcome
from rqlike.running import pauses
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.surface import flaky
from tests.surface.conftest import Work
from tests.surface.test_retrying import begin
from tests.surface.waiters import settle


@pytest.fixture(params=["worker", "caller"])
def ended(request: pytest.FixtureRequest, queue: Queue, client: redis.Redis, work: Work) -> Any:
    """Enqueues a call and runs its first attempt."""
    sync = Queue("q", client, is_async=False, namespace=queue.store.namespace)

    def enqueue(func: Any, *args: Any, **options: Any) -> Job[Any]:
        if request.param == "caller":
            job = sync.enqueue(func, *args, **options)
        else:
            job = queue.enqueue(func, *args, **options)
            work()
        job.refresh()
        return job

    return enqueue


def pause(job: Job[Any]) -> float:
    """Seconds from the end of the newest execution to the next one."""
    result = job.results()[0]
    assert result.next_attempt_at is not None
    assert job.next_attempt_at is not None
    assert abs((job.next_attempt_at - result.next_attempt_at).total_seconds()) < 2
    return (result.next_attempt_at - result.execution_ended_at).total_seconds()


def test_a_job_with_growing_pauses_is_scheduled_within_its_jitter(ended: Any) -> None:
    job = ended(flaky.fails, "Busy", retry=Retry.exponential(3, base=100, jitter=0.1))
    assert job.is_scheduled
    assert 90 <= pause(job) <= 110
    assert job.retry_intervals == [100, 200, 400]


def test_the_pause_that_was_drawn_is_the_one_that_is_kept(ended: Any) -> None:
    jobs = [ended(flaky.fails, "Busy", retry=Retry.exponential(3, base="1h", cap="1h")) for _ in range(4)]
    seen = [pause(job) for job in jobs]
    assert len(set(seen)) > 1
    assert all(0 <= one <= 3600 for one in seen)


@pytest.mark.parametrize(
    ("kind", "options", "retried"),
    [
        ("Busy", {"on": [flaky.Busy]}, True),
        ("VeryBusy", {"on": ["tests.surface.flaky.Busy"]}, True),
        ("VeryBusy", {"on": [OSError]}, True),
        ("KeyError", {"on": [OSError]}, False),
        ("VeryBusy", {"on": [OSError], "give_up_on": [flaky.VeryBusy]}, False),
        ("Busy", {"give_up_on": [flaky.VeryBusy]}, True),
        ("KeyError", {"give_up_on": ["LookupError"]}, False),
    ],
)
def test_only_what_the_retry_names_is_retried(ended: Any, kind: str, options: dict[str, Any], retried: bool) -> None:
    job = ended(flaky.fails, kind, retry=Retry(3, 60, **options))
    assert job.get_status() == (JobStatus.SCHEDULED if retried else JobStatus.FAILED)
    assert job.results()[0].type is (ResultType.RETRIED if retried else ResultType.FAILED)
    assert job.results()[0].reason is Reason.EXCEPTION


@pytest.mark.parametrize("kind", ["Unrecoverable", "NoSuchAccount"])
def test_unrecoverable_fails_at_once_whatever_is_left(ended: Any, kind: str) -> None:
    job = ended(flaky.fails, kind, retry=5)
    (result,) = job.results()
    assert (job.is_failed, result.type, result.reason) == (True, ResultType.FAILED, Reason.UNRECOVERABLE)
    assert (result.exc_string or "").endswith("so it is")


def test_retry_later_says_the_next_pause_and_costs_an_attempt(ended: Any) -> None:
    job = ended(flaky.later, "1m", retry=Retry(2, 7, on=[KeyError]))
    assert (job.is_scheduled, pause(job), job.attempt) == (True, 60, 1)
    assert job.results()[0].exc_type == "rqlike.exceptions.RetryLater"


def test_retry_later_without_an_attempt_left_fails(ended: Any) -> None:
    for options in ({}, {"retry": Retry(2)}):
        job = ended(flaky.later, 0, **options)
        assert job.is_failed
        assert [one.reason for one in job.results()] == [Reason.EXCEPTION] * (3 if options else 1)


@pytest.mark.parametrize("delay", ["soon", -1, None, [1]])
def test_retry_later_without_a_duration_leaves_it_to_the_retry_and_is_told(ended: Any, delay: Any) -> None:
    job = ended(flaky.later_of, delay, retry=Retry(2, 7))
    assert pause(job) == 7
    text = job.results()[0].exc_string or ""
    assert text.startswith("RetryLater gave no pause (rqlike.exceptions.TimeoutFormatError: RetryLater(delay)=")
    assert text.endswith("TooEarly: too early")


def test_a_subclass_of_retry_later_counts_as_one(ended: Any) -> None:
    job = ended(flaky.too_early, retry=Retry(1, 60))
    assert job.attempt == 2
    assert [one.type.name for one in job.results()] == ["FAILED", "RETRIED"]


# -- Retry.custom ------------------------------------------------------------------------------------------------------


def test_a_function_says_the_pause_by_attempt_and_exception(ended: Any, tmp_path: Path) -> None:
    assert pause(ended(flaky.fails, "Busy", retry=Retry.custom(3, flaky.by_attempt))) == 100
    assert pause(ended(flaky.fails, "Busy", retry=Retry.custom(3, flaky.in_a_while))) == 60
    path = tmp_path / "told"
    job = ended(flaky.fails, "Busy", retry=Retry.custom(3, flaky.by_error), meta={"path": str(path)})
    assert pause(job) == 40.5
    assert path.read_text() == f"1 Busy so it is {os.getpid()}"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("breaks", "builtins.KeyError: 'no pause for you'"),
        ("nonsense", "'soon' is not a duration"),
        ("negative", "negative"),
        ("no_such_function", "has no 'no_such_function'"),
        ("without_end", "ran longer than 0.05 seconds"),
    ],
)
def test_where_the_function_says_nothing_of_use_the_fallback_holds_and_the_history_tells(
    ended: Any, function: str, says: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pauses, "RETRY_DELAY_S", 0.05)
    retry = Retry.custom(3, f"tests.surface.flaky.{function}", fallback=9)
    job = ended(flaky.fails, "Busy", retry=retry)
    assert pause(job) == 9
    text = job.results()[0].exc_string or ""
    assert says in text.splitlines()[0]
    assert text.endswith("Busy: so it is")
    assert [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "pause_failed"]


def test_the_function_is_not_asked_where_no_attempt_follows(ended: Any) -> None:
    for kind, on in (("Busy", [KeyError]), ("Unrecoverable", None)):
        job = ended(flaky.fails, kind, retry=Retry.custom(3, flaky.breaks, on=on))
        assert job.is_failed
        assert "no pause for you" not in (job.results()[0].exc_string or "")


def test_a_returned_retry_may_be_of_any_kind(ended: Any) -> None:
    assert pause(ended(flaky.returns_custom, 2, "by_attempt")) == 100
    assert pause(ended(flaky.returns_growing, 2)) == 10
    broken = ended(flaky.returns_custom, 2, "breaks")
    assert pause(broken) == 5
    assert "no pause for you" in (broken.results()[0].exc_string or "")


# -- what is visible ---------------------------------------------------------------------------------------------------


def test_the_next_attempt_is_told_while_it_waits_for_it_and_only_then(queue: Queue) -> None:
    job = queue.enqueue(flaky.fails, "Busy", retry=Retry(2, [60, 0]))
    seen = [job.next_attempt_at]
    execution = begin(queue, 1)
    job.refresh()
    seen.append(job.next_attempt_at)
    assert seen == [None, None]
    settle(queue, execution, Outcome(Reason.EXCEPTION, None, "x", "ValueError"))
    job.refresh()
    due = job.next_attempt_at
    assert due is not None
    assert job.to_dict()["next_attempt_at"] == due.isoformat()
    queue.connection.zadd(queue.store.keys.home("scheduled", "q"), {job.id: 1})
    settle(queue, begin(queue, 2), Outcome(Reason.EXCEPTION, None, "x", "ValueError"))
    job.refresh()
    assert (job.is_queued, job.next_attempt_at is not None) == (True, True)
    settle(queue, begin(queue, 3), Outcome(Reason.EXCEPTION, None, "x", "ValueError"))
    job.refresh()
    assert (job.is_failed, job.next_attempt_at) == (True, None)


def test_the_history_shows_when_the_next_attempt_was_due(ended: Any) -> None:
    job = ended(flaky.fails, "Busy", retry=Retry(2, 60))
    assert f"next attempt {job.results()[0].next_attempt_at:%Y-%m-%d %H:%M:%S}" in repr(job.results())


def test_a_lost_worker_is_asked_of_the_retry_as_an_abandoned_job(queue: Queue, work: Work) -> None:
    retries = {
        "retried": Retry.custom(3, flaky.by_attempt, fallback=33),
        "named": Retry(3, 60, on=["rqlike.exceptions.AbandonedJobError"]),
        "not-named": Retry(3, 60, on=[OSError]),
        "given-up": Retry(3, 60, give_up_on=["rqlike.exceptions.RqlikeError"]),
    }
    jobs = {name: queue.enqueue(flaky.fails, "Busy", retry=retry, job_id=name) for name, retry in retries.items()}
    queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=4)))
    queue.connection.zadd(queue.store.keys.home("started", "q"), dict.fromkeys(jobs, 1))
    work()
    statuses = {name: job.get_status() for name, job in jobs.items()}
    assert statuses == {"retried": "scheduled", "named": "scheduled", "not-named": "failed", "given-up": "failed"}
    assert pause(jobs["retried"]) == 33
