"""Pausing and priorities, as callers say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rqlike import Job, Queue
from rqlike.exceptions import TimeoutFormatError
from rqlike.job import JobStatus
from rqlike.options import JobOptions
from rqlike.queue import Pause
from rqlike.suspension import is_suspended, resume, suspend, suspension
from tests.surface import tasks


def pause_of(queue: Queue) -> Pause | None:
    """Asked anew each time: for the type checker a property that was None stays so."""
    return queue.paused


def test_a_pause_says_since_when_until_when_and_why(queue: Queue) -> None:
    assert pause_of(queue) is None
    queue.pause("10m", "the disk is full")
    paused = pause_of(queue)
    assert paused is not None and paused.until is not None
    assert paused.since.tzinfo is UTC and abs(datetime.now(UTC) - paused.since) < timedelta(seconds=10)
    assert paused.until - paused.since == timedelta(minutes=10)
    assert paused.reason == "the disk is full"
    queue.pause()
    again = pause_of(queue)
    assert again is not None and (again.until, again.reason) == (None, "")
    assert queue.resume() is True
    assert queue.resume() is False
    assert pause_of(queue) is None


def test_a_queue_that_was_never_enqueued_to_can_be_paused_and_is_listed_then(queue: Queue) -> None:
    queue.pause()
    assert queue in Queue.all(queue.connection, namespace=queue.store.namespace)


def test_a_suspension_holds_all_queues_and_is_not_the_pause_of_one(queue: Queue) -> None:
    client, namespace = queue.connection, queue.store.namespace
    assert not is_suspended(client, namespace=namespace)
    suspend(client, 60, reason="moving house", namespace=namespace)
    assert is_suspended(client, namespace=namespace)
    assert pause_of(queue) == suspension(client, namespace=namespace)
    assert getattr(pause_of(queue), "reason", None) == "moving house"
    assert queue.resume() is False
    assert resume(client, namespace=namespace) is True
    assert resume(client, namespace=namespace) is False
    assert pause_of(queue) is None and suspension(client, namespace=namespace) is None


@pytest.mark.parametrize(
    ("ttl", "reason", "error", "said"),
    [
        (0, "", TimeoutFormatError, "ttl"),
        (-1, "", TimeoutFormatError, "ttl"),
        ("soon", "", TimeoutFormatError, "ttl"),
        (None, 5, TypeError, "reason takes text"),
        (None, "two\nlines", ValueError, "cannot be printed"),
        (None, "\x1b[2J", ValueError, "cannot be printed"),
        (None, "é" * 513, ValueError, "1026 bytes"),
    ],
)
def test_a_bad_pause_is_refused_before_anything_is_written(
    queue: Queue, ttl: object, reason: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        queue.pause(ttl, reason)  # type: ignore[arg-type]
    with pytest.raises(error, match=said):
        suspend(queue.connection, ttl, reason=reason, namespace=queue.store.namespace)  # type: ignore[arg-type]
    assert pause_of(queue) is None


def test_a_paused_queue_holds_no_job_that_is_run_in_the_caller(queue: Queue) -> None:
    queue.pause()
    inline = Queue(queue.name, queue.connection, namespace=queue.store.namespace, is_async=False)
    assert inline.enqueue(tasks.add, 1, 2).return_value() == 3


# -- priorities --------------------------------------------------------------------------------------------------------


def test_the_order_of_a_queue_is_front_then_priority_then_enqueue(queue: Queue) -> None:
    ids: list[tuple[str, JobOptions]] = [
        ("n", {}),
        ("low", {"priority": -5}),
        ("high", {"priority": 5}),
        ("front", {"at_front": True}),
    ]
    for job_id, options in ids:
        queue.enqueue(tasks.nothing, job_id=job_id, **options)
    queue.enqueue(tasks.nothing, job_id="high 2", priority=5)
    queue.enqueue(tasks.nothing, job_id="front and low", priority=-100, at_front=True)
    assert queue.job_ids == ["front and low", "front", "high", "high 2", "n", "low"]
    assert [queue.get_job_position(job_id) for job_id in ("high", "low")] == [2, 5]


def test_a_priority_is_that_of_its_job_wherever_it_is_read(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing, priority=7)
    fetched = Job.fetch(job.id, queue.connection, queue.store.namespace)
    assert job.priority == fetched.priority == 7
    assert fetched.to_dict()["priority"] == 7
    assert queue.enqueue(tasks.nothing).priority == 0


def test_enqueue_many_and_a_queues_default_take_priorities(queue: Queue) -> None:
    urgent = Queue(queue.name, queue.connection, namespace=queue.store.namespace, priority=10)
    datas = [Queue.prepare_data(tasks.nothing, job_id=f"j{n}", priority=n) for n in (-1, 1, 0)]
    queue.enqueue_many(datas)
    urgent.enqueue(tasks.nothing, job_id="by default")
    urgent.enqueue(tasks.nothing, job_id="by call", priority=-10)
    assert queue.job_ids == ["by default", "j1", "j0", "j-1", "by call"]


def test_a_job_that_is_saved_or_due_later_keeps_its_priority(queue: Queue) -> None:
    job = queue.enqueue_in(60, tasks.nothing, priority=-3)
    job.description = "another"
    job.save()
    job.refresh()
    assert (job.priority, job.description, job.get_status()) == (-3, "another", JobStatus.SCHEDULED)


def test_all_failed_jobs_that_are_requeued_come_by_their_priorities(queue: Queue) -> None:
    inline = Queue(queue.name, queue.connection, namespace=queue.store.namespace, is_async=False)
    for priority in (0, -5, 5):
        inline.enqueue(tasks.fail, job_id=f"p{priority}", priority=priority)
    assert queue.failed_job_registry.requeue_all() == 3
    assert queue.job_ids == ["p5", "p0", "p-5"]
