"""How a worker ends: warm, cold, by time, from a terminal, with the server away."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import sys
import time

import pytest

from rqlike import Retry
from tests.process import jobs
from tests.process.jobs import told
from tests.process.together import together
from tests.process.workers import Stable, all_outcomes, lines, outcome, pass_time
from tests.servers import ROOT, eventually, is_gone


def test_the_first_sigterm_lets_jobs_end_and_claims_nothing_more(stable: Stable) -> None:
    worker = stable.start(concurrency=2)
    running = [stable.queue().enqueue(jobs.mark, stable.file(), str(n), 1.0) for n in range(2)]
    lines(lambda: told(stable.file()), 2)
    waiting = stable.queue().enqueue(jobs.nothing)
    worker.terminate()
    assert worker.ends() == 0
    assert [job.wait(0) for job in running] == ["0", "1"]
    assert waiting.get_status() == "queued"
    assert waiting.get_position() == 0


def test_the_second_sigterm_kills_and_records(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file())
    again = stable.queue("other")
    lines(lambda: told(stable.file()), 1)
    worker.terminate()
    worker.says("stops (SIGTERM)")
    worker.terminate()
    assert worker.ends(5) == 0
    assert (outcome(job).reason, job.get_status(refresh=True)) == ("killed", "failed")
    assert again.count == 0


def test_shutdown_timeout_kills_what_still_runs_by_the_abandoned_rule(stable: Stable) -> None:
    worker = stable.start(shutdown_timeout=0.5)
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file(), retry=Retry(max=3, interval=60))
    lines(lambda: told(stable.file()), 1)
    began = time.monotonic()
    worker.terminate()
    assert worker.ends() == 0
    assert 0.4 < time.monotonic() - began < 2.5
    assert (job.results()[0].type.name, job.get_status(refresh=True)) == ("RETRIED", "scheduled")


@together
def test_a_stopping_worker_that_waits_for_a_long_job_uses_no_processor_time(stable: Stable) -> None:
    """Beyond the tick and the renewal, both of which come due meanwhile."""
    worker = stable.start(concurrency=2)
    job = stable.queue().enqueue(jobs.mark, stable.file(), "long", 8.0)
    lines(lambda: told(stable.file()), 1)
    worker.terminate()
    worker.says("stops (SIGTERM)")
    used = worker.cpu_s()
    pass_time(7.0)
    assert worker.cpu_s() - used < 0.2
    assert job.wait(5) == "long"
    assert worker.ends() == 0


@together
def test_callbacks_of_a_job_that_ends_during_the_shutdown_are_called(stable: Stable) -> None:
    for isolated in (1000, 1):
        path = stable.file(f"callbacks{isolated}")
        worker = stable.start(jobs_per_horse=isolated)
        job = stable.queue().enqueue(
            jobs.mark, stable.file(str(isolated)), "long", 0.7, on_success=jobs.SUCCESS, meta={"path": path}
        )
        lines(lambda: told(stable.file(str(isolated))), 1)  # noqa: B023
        worker.terminate()
        assert worker.ends() == 0
        assert job.wait(0) == "long"
        assert told(path) == ["success long"]


def test_an_idle_worker_ends_at_once(stable: Stable) -> None:
    worker = stable.start(concurrency=3)
    outcome(stable.queue().enqueue(jobs.nothing))
    began = time.monotonic()
    worker.terminate()
    assert worker.ends() == 0
    assert time.monotonic() - began < 1


def test_a_worker_that_is_told_to_stop_while_it_starts_ends_with_0(stable: Stable) -> None:
    for _ in range(5):
        worker = stable.start(concurrency=2)
        worker.terminate()
        assert worker.ends() == 0


@together
def test_outcomes_that_cannot_be_written_are_named_and_the_exit_code_is_75(own_stable: Stable) -> None:
    worker = own_stable.start(shutdown_timeout=1.0)
    job = own_stable.queue().enqueue(jobs.mark, own_stable.file(), "done", 0.5)
    lines(lambda: told(own_stable.file()), 1)
    own_stable.server.pause()
    try:
        worker.terminate()
        assert worker.ends(10) == 75
    finally:
        own_stable.server.proceed()
    assert job.id in worker.log.splitlines()[-1]


@together
def test_an_idle_worker_does_not_wait_for_a_server_that_does_not_answer(own_stable: Stable) -> None:
    worker = own_stable.start()
    outcome(own_stable.queue().enqueue(jobs.nothing))
    worker.says("finished in")  # or its outcome may be unwritten for all the worker knows
    pass_time(0.2)  # it looks once more, and a claim on its way would be waited for
    own_stable.server.pause()  # killed, its connections would end one by one, and one of them might cause a claim
    try:
        worker.terminate()
        assert worker.ends(10) == 0
    finally:
        own_stable.server.proceed()


def test_sigint_from_a_terminal_reaches_the_worker_alone(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.mark, stable.file(), "long", 1.0)
    asked = {
        "url": stable.server.url, "namespace": stable.namespace, "queues": ["default"], "options": {},
        "work": {}, "plan": {}, "path": [], "simple": False,
    }  # fmt: skip
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "tests.process.worker_main", json.dumps(asked)])
    try:
        lines(lambda: told(stable.file()), 1)
        os.write(terminal, b"\x03")
        assert job.wait(5) == "long"
        eventually(lambda: is_gone(pid), 5.0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)


@pytest.mark.slow
def test_sigterm_at_any_instant_loses_nothing_and_counts_right(stable: Stable) -> None:
    dice = random.Random(7)
    queue = stable.queue()
    queued = [queue.enqueue(jobs.mark, stable.file(), str(n), dice.choice((0.0, 0.0, 0.005, 0.02))) for n in range(400)]
    rounds = 0
    while queue.count:
        rounds += 1
        worker = stable.start(concurrency=2, wait=False)
        lines(lambda: told(stable.file()), min(400, len(told(stable.file())) + dice.randrange(1, 60)))
        worker.signal(dice.choice((signal.SIGTERM, signal.SIGINT)))
        assert worker.ends() == 0, worker.log
        assert rounds < 100
    all_outcomes(queued)
    ran = [line.split()[0] for line in told(stable.file())]
    assert sorted(ran, key=int) == [str(n) for n in range(400)]
    assert all(len(job.results()) == 1 and job.results()[0].attempt == 1 for job in queued)
    assert rounds > 3
