"""A real worker and paused queues: it stops claiming at once, goes on at once, and wakes by itself at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from rqlike import Job, Queue
from rqlike.suspension import is_suspended, resume, suspend
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, outcome, pass_time, running
from tests.servers import eventually

SOON_S = 0.1
#: What a busy machine may add, as in the tests of orders.
SLACK_S = 0.1

Act = Callable[[Stable, Queue], object]


def suspend_all(stable: Stable, queue: Queue, ttl: float | None = None) -> None:
    suspend(stable.client(), ttl, namespace=stable.namespace)


def resume_all(stable: Stable, queue: Queue) -> None:
    assert resume(stable.client(), namespace=stable.namespace)


PAUSES = pytest.mark.parametrize(
    ("pause", "go_on"),
    [(lambda _, queue: queue.pause(), lambda _, queue: queue.resume()), (suspend_all, resume_all)],
    ids=["queue", "all"],
)


def started_after(queue: Queue, moment_ms: int) -> list[Job[Any]]:
    """Jobs that were claimed later than that by the server's clock."""
    ended = queue.finished_job_registry.get_jobs()
    return [job for job in ended if job.started_at is not None and job.started_at.timestamp() * 1000 > moment_ms]


@PAUSES
def test_a_busy_worker_claims_nothing_within_100_ms_and_goes_on_within_100_ms(
    stable: Stable, pause: Act, go_on: Act
) -> None:
    queue = stable.queue()
    stable.start()
    queue.enqueue_many([Queue.prepare_data(jobs.mark, (stable.file(), "ran", 0.002)) for _ in range(2000)])
    eventually(lambda: queue.counts().finished > 20, 10.0, 0.005)
    pause(stable, queue)
    seconds, micros = stable.client().time()
    pass_time(0.4)
    left = queue.count
    assert left > 500
    assert started_after(queue, seconds * 1000 + micros // 1000 + round(SOON_S * 1000)) == []
    began = time.monotonic()
    go_on(stable, queue)
    eventually(lambda: queue.count < left, 1.0, 0.002)
    assert time.monotonic() - began < SOON_S + SLACK_S
    queue.empty()


@PAUSES
def test_an_idle_worker_takes_what_was_enqueued_meanwhile_within_100_ms_of_the_resume(
    stable: Stable, pause: Act, go_on: Act
) -> None:
    queue = stable.queue()
    worker = stable.start()
    assert queue.enqueue(jobs.echo, 1).wait(5) == 1
    pause(stable, queue)
    job = queue.enqueue(jobs.echo, 2)
    worker.says("suspended" if pause is suspend_all else "paused")
    pass_time(0.2)
    assert job.get_status() == "queued"
    began = time.monotonic()
    go_on(stable, queue)
    assert job.wait(5) == 2
    assert time.monotonic() - began < SOON_S + SLACK_S


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("simple", [False, True])
def test_an_idle_worker_wakes_by_itself_when_the_pause_ends(stable: Stable, everywhere: bool, simple: bool) -> None:
    queue = stable.queue()
    stable.start(simple=simple)
    assert queue.enqueue(jobs.echo, 1).wait(5) == 1
    if everywhere:
        suspend_all(stable, queue, 0.5)
        assert is_suspended(stable.client(), namespace=stable.namespace)
    else:
        queue.pause(0.5, "half a second")
    paused = queue.paused
    assert paused is not None and paused.until is not None
    job = queue.enqueue(jobs.echo, 2)
    assert job.wait(5) == 2
    job.refresh()
    assert job.started_at is not None
    assert 0 <= (job.started_at - paused.until).total_seconds() < SOON_S + SLACK_S
    assert queue.paused is None


def test_all_idle_workers_wake_when_the_pause_ends(stable: Stable) -> None:
    queue = stable.queue()
    for _ in range(3):
        stable.start()
    assert queue.enqueue(jobs.echo, 1).wait(5) == 1
    queue.pause(0.5)
    waiting = [queue.enqueue(jobs.mark, stable.file(), "ran", 1.0) for _ in range(3)]
    paused = queue.paused
    assert paused is not None and paused.until is not None
    for job in waiting:
        running(job)
        job.refresh()
        assert job.started_at is not None
        assert (job.started_at - paused.until).total_seconds() < SOON_S + SLACK_S


def test_a_running_job_goes_on_and_is_recorded(stable: Stable) -> None:
    queue = stable.queue()
    stable.start()
    job = queue.enqueue(jobs.mark, stable.file(), "ran", 0.3)
    running(job)
    queue.pause()
    assert outcome(job).type.name == "SUCCESSFUL"
    queue.resume()


def test_a_worker_does_not_spin_while_jobs_are_enqueued_into_a_paused_queue(stable: Stable) -> None:
    queue = stable.queue()
    worker = stable.start()
    assert queue.enqueue(jobs.echo, 1).wait(5) == 1
    queue.pause()
    queue.enqueue_many([Queue.prepare_data(jobs.echo, (n,)) for n in range(200)])
    worker.says("paused")

    def scripts() -> int:
        stats: Any = stable.client().info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("bzpopmin", "set"))

    before, used = scripts(), worker.cpu_s()
    pass_time(1.0)
    assert scripts() - before < 20
    assert worker.cpu_s() - used < 0.2
    before, end = scripts(), time.monotonic() + 0.5
    enqueued = 0
    while time.monotonic() < end:
        queue.enqueue(jobs.echo, 1)
        enqueued += 1
    assert scripts() - before < 200 < enqueued, "woken a hundred times a second at most"
    queue.empty()


def test_the_log_tells_the_begin_and_the_end_once(stable: Stable) -> None:
    queue = stable.queue()
    worker = stable.start("default", "other")
    queue.pause()
    for number in range(5):
        queue.enqueue(jobs.echo, number)
    worker.says("claims nothing from default: paused")
    assert stable.queue("other").enqueue(jobs.echo, 1).wait(5) == 1
    queue.resume()
    worker.says("claims from default again")
    assert worker.log.count("claims nothing from") == worker.log.count("again") == 1


@pytest.mark.parametrize("simple", [False, True])
def test_a_burst_worker_ends_where_all_that_is_left_is_paused(stable: Stable, simple: bool) -> None:
    queue, other = stable.queue(), stable.queue("other")
    queue.enqueue(jobs.mark, stable.file())
    job = other.enqueue(jobs.echo, 1)
    queue.pause()
    worker = stable.burst("default", "other", simple=simple)
    assert (outcome(job).return_value, told(stable.file())) == (1, [])
    assert "claims nothing from default: paused" in worker.log
    assert simple or "burst: the queues are empty or paused" in worker.log
    queue.resume()
    stable.burst()
    assert len(told(stable.file())) == 1


def test_a_weighted_worker_serves_each_queue_by_its_weight_and_starves_none(stable: Stable) -> None:
    often, seldom = stable.queue("often"), stable.queue("seldom")
    for queue in (often, seldom):
        queue.enqueue_many([Queue.prepare_data(jobs.mark, (stable.file(), queue.name)) for _ in range(100)])
    stable.burst("often", "seldom", weights={"often": 4}, work={"burst": True, "max_jobs": 100})
    taken = [line.split()[0] for line in told(stable.file())]
    assert 60 <= taken.count("often") <= 95
    assert taken.count("seldom") >= 5
