"""SimpleWorker: jobs in its own process, one at a time, under leases that nobody renews."""

from __future__ import annotations

from rqlike import Queue
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, lines, outcome


def test_jobs_run_in_the_process_of_the_worker_with_their_callbacks(stable: Stable) -> None:
    meta = {"path": stable.file()}
    job = stable.queue().enqueue(jobs.pid, on_success=jobs.SUCCESS, meta=meta)
    bad = stable.queue().enqueue(jobs.fail, "bad", on_failure=jobs.FAILURE, meta=meta)
    worker = stable.burst(simple=True)
    assert job.wait(0) == worker.pid
    assert outcome(bad).reason == "exception"
    assert told(stable.file()) == [f"success {worker.pid}", "failure ValueError bad"]


def test_a_job_that_overruns_is_interrupted(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.mark, stable.file(), "slow", 30, job_timeout=0.3)
    stable.burst(simple=True)
    assert outcome(job).reason == "timeout"


def test_a_job_without_a_time_out_is_given_back_and_the_worker_says_who_can_run_it(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.nothing, job_timeout=-1)
    worker = stable.start(simple=True, wait=False)
    assert worker.ends() != 0
    assert "Run it with Worker" in worker.log
    assert (job.get_status(refresh=True), job.results()) == ("queued", [])


def test_a_signal_ends_it_after_the_job_that_runs(stable: Stable) -> None:
    worker = stable.start(simple=True)
    job = stable.queue().enqueue(jobs.mark, stable.file(), "long", 0.7)
    lines(lambda: told(stable.file()), 1)
    left = stable.queue().enqueue(jobs.nothing)
    worker.terminate()
    assert worker.ends() == 0
    assert (job.wait(0), left.get_status()) == ("long", "queued")


def test_it_takes_the_queues_in_the_order_of_its_strategy(stable: Stable) -> None:
    for name in ("a", "b"):
        stable.queue(name).enqueue_many([Queue.prepare_data(jobs.mark, (stable.file(), name)) for _ in range(3)])
    stable.burst("a", "b", simple=True, work={"dequeue_strategy": "round_robin"})
    assert [line.split()[0] for line in told(stable.file())] == ["a", "b"] * 3
