"""Time-outs: the soft one inside the job, and the hard one that needs nobody's cooperation."""

from __future__ import annotations

import time

import pytest

from tests.process import jobs
from tests.process.jobs import told
from tests.process.together import together
from tests.process.workers import Stable, WorkerProcess, lines, outcome
from tests.servers import eventually, is_gone


def test_a_job_that_overruns_is_interrupted_and_its_horse_is_not_used_again(stable: Stable) -> None:
    worker = stable.start()
    before = stable.queue().enqueue(jobs.pid)
    job = stable.queue().enqueue(jobs.mark, stable.file(), "slow", 30, job_timeout=0.3)
    after = stable.queue().enqueue(jobs.pid)
    result = outcome(job)
    assert (result.reason, result.exc_type) == ("timeout", "rqlike.timeouts.JobTimeoutException")
    assert "jobs.py" in (result.exc_string or "")
    assert 0.3 <= result.duration < 1
    assert before.wait(5) != after.wait(5)
    assert worker.log.count("retires: timeout") == 1


@together
def test_a_swallowed_time_out_is_raised_again_and_then_the_horse_is_killed(stable: Stable) -> None:
    stable.start(kill_grace=3.5)
    job = stable.queue().enqueue(jobs.swallow, stable.file(), 30, job_timeout=0.5)
    result = outcome(job)
    assert told(stable.file()) == ["JobTimeoutException"] * 3
    assert result.reason == "timeout"
    assert 4.0 <= result.duration <= 4.5


@pytest.mark.parametrize("name", ["hang_in_c", "hang_deaf"])
def test_a_deaf_job_is_killed_by_timeout_plus_grace_with_its_stack(stable: Stable, name: str) -> None:
    stable.start(kill_grace=0.5)
    job = stable.queue().enqueue(getattr(jobs, name), stable.file(), job_timeout=0.5)
    (line,) = lines(lambda: told(stable.file()), 1)
    began = time.monotonic()
    horse = int(line.split()[1])
    eventually(lambda: is_gone(horse), 3.0, 0.005)
    assert 0.8 < time.monotonic() - began <= 1.5
    result = outcome(job)
    assert result.reason == "timeout"
    assert name in (result.exc_string or ""), result.exc_string


def test_the_time_of_a_job_without_limit_never_comes(stable: Stable) -> None:
    stable.start(kill_grace=0.1)
    job = stable.queue().enqueue(jobs.mark, stable.file(), "long", 1.0, job_timeout=-1)
    assert job.wait(5) == "long"


def test_a_callback_that_hangs_deaf_does_not_hold_its_horse_for_ever(stable: Stable) -> None:
    """The parent's limit for an errand is the callback's time, one minute for hooks, and the grace."""
    worker = stable.start(kill_grace=0.2)
    slow = stable.queue().enqueue(jobs.echo, 1, on_success=jobs.SLOW)
    after = stable.queue().enqueue(jobs.echo, 2)
    assert (slow.wait(5), after.wait(5)) == (1, 2)
    assert "ran longer than 0.2 seconds" in worker.log


def overrun_while_paused(stable: Stable, seconds: float) -> tuple[float, WorkerProcess, float]:
    """Has a deaf job overrun while the server is stopped; how late its horse was killed, in seconds."""
    worker = stable.start(kill_grace=0.5)
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file(), 600.0, job_timeout=seconds)
    (line,) = lines(lambda: told(stable.file()), 1)
    began = time.monotonic()
    horse = int(line.split()[1])
    stable.server.pause()
    try:
        used = worker.cpu_s()
        eventually(lambda: is_gone(horse), seconds + 5, 0.01)
        late = time.monotonic() - began - seconds - 0.5
        used = worker.cpu_s() - used
    finally:
        stable.server.proceed()
    result = outcome(job, 20)
    assert result.reason == "timeout"
    return late, worker, used


@together
def test_a_job_is_killed_in_time_though_the_server_does_not_answer(own_stable: Stable) -> None:
    late, worker, _ = overrun_while_paused(own_stable, 4.0)
    assert -0.3 < late <= 0.5
    eventually(worker.horses, 10)
    assert own_stable.queue().enqueue(jobs.echo, 1).wait(10) == 1


@pytest.mark.slow
@together
def test_a_job_is_killed_in_time_while_the_server_is_stopped_for_half_a_minute(own_stable: Stable) -> None:
    late, worker, used = overrun_while_paused(own_stable, 29.0)
    assert -0.3 < late <= 0.5
    assert "is back after" in worker.log
    assert used < 1.0, "no busy loop while the server is away"
