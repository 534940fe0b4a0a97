"""Horses that die, cheat, or leave something behind: one true entry for each execution."""

from __future__ import annotations

import os
import signal
import time

import pytest

from rqlike import Retry
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, lines, outcome
from tests.servers import eventually, is_gone


def test_a_killed_horse_is_recorded_within_100_ms(stable: Stable) -> None:
    stable.start()
    job = stable.queue().enqueue(jobs.mark, stable.file(), "slow", 30)
    (line,) = lines(lambda: told(stable.file()), 1)
    began = time.monotonic()
    os.kill(int(line.split()[1]), signal.SIGKILL)
    result = outcome(job)
    assert time.monotonic() - began < 0.1 + 0.1
    assert (result.reason, result.exc_type) == ("killed", "rqlike.exceptions.AbandonedJobError")
    assert "SIGKILL" in (result.exc_string or "")
    assert job.get_status() == "failed"


def test_a_horse_that_exits_without_a_report_has_died(stable: Stable) -> None:
    queued = [stable.queue().enqueue(jobs.leave, code) for code in (0, 3)]
    stable.burst()
    for job, code in zip(queued, (0, 3), strict=True):
        assert (outcome(job).reason, f"exit code {code}" in (outcome(job).exc_string or "")) == ("killed", True)


def test_sys_exit_in_a_job_is_an_exception_of_the_job(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.system_exit, 0)
    pid = stable.queue().enqueue(jobs.pid)
    stable.burst()
    assert (outcome(job).reason, outcome(job).exc_type) == ("exception", "builtins.SystemExit")
    assert pid.wait(0)


def test_a_segmentation_fault_is_recorded_with_its_stack(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.segv)
    stable.burst()
    text = outcome(job).exc_string or ""
    assert "SIGSEGV" in text
    assert "in segv" in text


@pytest.mark.parametrize("name", ["recurse", "out_of_memory"])
def test_a_horse_is_retired_after_an_error_that_spoils_a_process(stable: Stable, name: str) -> None:
    first = stable.queue().enqueue(jobs.pid)
    bad = stable.queue().enqueue(getattr(jobs, name))
    second = stable.queue().enqueue(jobs.pid)
    stable.burst()
    assert outcome(bad).reason == "exception"
    assert first.wait(0) != second.wait(0)


def test_a_result_that_cannot_be_stored_is_a_failure(stable: Stable) -> None:
    strange = stable.queue().enqueue(jobs.unserialisable)
    huge = stable.queue().enqueue(jobs.big, 2 << 20)
    stable.burst()
    assert (outcome(strange).reason, outcome(huge).reason) == ("serialization", "too_large")


def test_a_megabyte_goes_both_ways_at_once(stable: Stable) -> None:
    data = os.urandom(1 << 19) + b"x" * (500 << 10)
    queued = [stable.queue().enqueue(jobs.both_ways, data) for _ in range(4)]
    stable.burst(concurrency=2)
    assert all(job.wait(0) == data[::-1] for job in queued)


def test_a_job_that_closes_all_descriptors_is_recorded_and_costs_no_processor_time(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.close_all, stable.file(), 1.0)
    lines(lambda: told(stable.file()), 1)
    used = worker.cpu_s()
    assert outcome(job).reason == "killed"
    assert worker.cpu_s() - used < 0.3
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1


def test_what_is_not_a_frame_ends_the_horse(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.garbage)
    after = stable.queue().enqueue(jobs.echo, 1)
    stable.burst()
    assert outcome(job).reason == "protocol"
    assert after.wait(0) == 1


def test_a_grandchild_that_holds_the_socket_delays_nothing(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.grandchild, stable.file())
    (line,) = lines(lambda: told(stable.file()), 1)
    began = time.monotonic()
    try:
        assert outcome(job).reason == "killed"
        assert time.monotonic() - began < 1
        assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1
        used = worker.cpu_s()
        assert stable.queue().enqueue(jobs.mark, stable.file(), "later", 0.5).wait(5) == "later"
        assert worker.cpu_s() - used < 0.2
    finally:
        os.kill(int(line.split()[1]), signal.SIGKILL)


def test_a_job_that_forks_and_returns_twice_has_one_outcome(stable: Stable) -> None:
    queued = [stable.queue().enqueue(jobs.return_twice) for _ in range(5)]
    stable.burst()
    assert [job.wait(0) for job in queued] == ["once"] * 5
    assert [len(job.results()) for job in queued] == [1] * 5


def test_the_next_job_finds_the_process_as_it_was(stable: Stable) -> None:
    first = stable.queue().enqueue(jobs.surroundings)
    stable.queue().enqueue(jobs.vandal, str(stable.folder))
    second = stable.queue().enqueue(jobs.surroundings)
    timed = stable.queue().enqueue(jobs.mark, stable.file(), "slow", 30, job_timeout=0.2)
    stable.burst()
    assert second.wait(0) == first.wait(0)
    assert outcome(timed).reason == "timeout"


def test_a_horse_with_a_thread_left_behind_is_retired_without_an_error(stable: Stable) -> None:
    first, second = (stable.queue().enqueue(jobs.leave_thread) for _ in range(2))
    worker = stable.burst()
    assert first.wait(0) != second.wait(0)
    assert worker.log.count("retires: thread") == 2


def test_a_horse_has_none_of_the_loops_descriptors(stable: Stable) -> None:
    stable.start(concurrency=3)
    blocker = stable.queue().enqueue(jobs.mark, stable.file(), "busy", 1.0)
    lines(lambda: told(stable.file()), 1)
    seen = stable.queue().enqueue(jobs.descriptors).wait(5)
    assert blocker.wait(5)
    sockets = [target for target in seen.values() if target.startswith("socket:")]
    assert len(sockets) == 1, seen
    assert not [target for target in seen.values() if "eventpoll" in target], seen
    assert len([target for target in seen.values() if target.startswith("pipe:")]) == 2, "permits and whispers"
    assert len([target for target in seen.values() if "memfd" in target]) == 1, seen
    assert seen["0"] == "/dev/null"


def test_a_horse_leads_a_process_group_of_its_own(stable: Stable) -> None:
    worker = stable.start()
    pid, group, parent = stable.queue().enqueue(jobs.standing).wait(5)
    assert (pid, parent) == (group, worker.pid)


def test_horses_die_with_their_worker(stable: Stable) -> None:
    worker = stable.start(concurrency=2)
    stable.queue().enqueue(jobs.hang_deaf, stable.file())
    lines(lambda: told(stable.file()), 1)
    horses = worker.horses()
    assert len(horses) == 2
    worker.kill()
    eventually(lambda: all(is_gone(pid) for pid in horses), 2.0)


def test_a_program_that_the_job_started_dies_with_its_horse(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.child_of, stable.file())
    (line,) = lines(lambda: told(stable.file()), 1)
    os.kill(worker.horses()[0], signal.SIGKILL)
    outcome(job)
    eventually(lambda: is_gone(int(line)), 2.0)


def test_a_killed_horse_costs_an_attempt_of_a_job_with_retry(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.kill_self, retry=Retry(max=10))
    stable.burst(max_crashes=2)
    assert [result.type.name for result in job.results()] == ["FAILED", "RETRIED"]
    assert {result.reason for result in job.results()} == {"killed"}


def test_an_idle_horse_that_is_killed_costs_nobody_anything(stable: Stable) -> None:
    worker = stable.start()
    for _ in range(10):
        eventually(lambda: len(worker.horses()) == 1)
        os.kill(worker.horses()[0], signal.SIGKILL)
        assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1
