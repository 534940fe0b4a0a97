"""Orders to a worker: stop, cancel, delete, kill-horse, shutdown. Heard within 100 ms, found later where unheard."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from rqlike import Job, Worker, fields
from rqlike.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command
from rqlike.exceptions import JobCanceled, JobStopped, NoSuchJobError, RqlikeError
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, lines, outcome, running
from tests.servers import eventually, is_gone

SOON_S = 0.1


def stop(stable: Stable, job: Job[Any]) -> None:
    send_stop_job_command(stable.client(), job.id, namespace=stable.namespace)


def begun(stable: Stable, **options: Any) -> tuple[Job[Any], int]:
    """A job that runs, deaf to everything, and its horse's pid."""
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file(), **options)
    line = lines(lambda: told(stable.file()), 1)[-1]
    return job, int(line.split()[1])


@pytest.mark.parametrize(
    ("end", "error", "status"),
    [
        (stop, JobStopped, "stopped"),
        (lambda stable, job: job.cancel(), JobCanceled, "canceled"),
    ],
    ids=["stop", "cancel"],
)
def test_a_running_job_is_ended_and_its_waiter_learns_within_100_ms(
    stable: Stable, end: Callable[[Stable, Job[Any]], None], error: type[Exception], status: str
) -> None:
    stable.start()
    job, horse = begun(stable)
    began = time.monotonic()
    end(stable, job)
    with pytest.raises(error):
        job.wait(5)
    assert time.monotonic() - began < SOON_S + 0.1
    assert is_gone(horse)
    result = outcome(job)
    assert (result.type.name, result.reason, job.get_status(refresh=True)) == ("STOPPED", status, status)
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1


def test_the_callback_of_a_stopped_job_is_called(stable: Stable) -> None:
    stable.start()
    job, _ = begun(stable, on_stopped=jobs.STOPPED, meta={"path": stable.file("callbacks")})
    stop(stable, job)
    assert lines(lambda: told(stable.file("callbacks")), 1) == [f"stopped {job.id}"]


def test_a_deleted_job_is_killed_and_nothing_is_recorded(stable: Stable) -> None:
    worker = stable.start()
    job, horse = begun(stable)
    began = time.monotonic()
    job.delete()
    eventually(lambda: is_gone(horse), 2.0, 0.005)
    assert time.monotonic() - began < SOON_S + 0.1
    with pytest.raises(NoSuchJobError):
        job.wait(1)
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1
    assert job.results() == []
    assert "Traceback" not in worker.log


def test_an_order_ends_only_the_job_it_names(stable: Stable) -> None:
    stable.start(concurrency=3)
    queued = [stable.queue().enqueue(jobs.mark, stable.file(), str(n), 2.0) for n in range(3)]
    lines(lambda: told(stable.file()), 3)
    queued[0].delete()
    stop(stable, queued[1])
    assert queued[2].wait(5) == "2"
    with pytest.raises(JobStopped):
        queued[1].wait(1)


def test_a_stop_whose_word_was_lost_is_found_by_the_renewal(stable: Stable) -> None:
    worker = stable.start(plan={"renew_s": 1.0})
    job, horse = begun(stable)
    # the durable wish alone, as a lost word leaves it
    stable.client().hset(f"{{{stable.namespace}}}:job:{job.id}", fields.JOB["asked"], "stopped")
    eventually(lambda: is_gone(horse), 3.0)
    assert outcome(job).reason == "stopped"
    eventually(worker.horses, 10)  # its place is taken, a moment after its outcome is known


def test_a_value_that_was_returned_before_the_stop_wins(stable: Stable) -> None:
    stable.start()
    for _ in range(30):
        job = stable.queue().enqueue(jobs.echo, "value")
        with suppress(RqlikeError):  # it has not begun, or has ended
            stop(stable, job)
        result = outcome(job)
        assert (result.type.name, job.get_status(refresh=True)) in (("SUCCESSFUL", "finished"), ("STOPPED", "stopped"))
        assert len(job.results()) == 1


def test_a_stop_right_after_the_claim_is_not_lost(stable: Stable) -> None:
    """The order may reach the worker before the grant does."""
    stable.start()
    for _ in range(20):
        job = stable.queue().enqueue(jobs.sleep_long)
        running(job, 5.0, 0.0)
        began = time.monotonic()
        stop(stable, job)
        assert outcome(job).reason == "stopped"
        assert time.monotonic() - began < 1.0


def test_kill_horse_ends_what_runs_and_the_worker_goes_on(stable: Stable) -> None:
    worker = stable.start()
    job, horse = begun(stable)
    began = time.monotonic()
    send_kill_horse_command(stable.client(), worker.name, namespace=stable.namespace)
    assert outcome(job).reason == "killed"
    assert time.monotonic() - began < SOON_S + 0.1
    assert is_gone(horse)
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1


def test_a_remote_shutdown_lets_running_jobs_end(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.mark, stable.file(), "long", 1.0)
    lines(lambda: told(stable.file()), 1)
    left = stable.queue().enqueue(jobs.nothing)
    send_shutdown_command(stable.client(), worker.name, namespace=stable.namespace)
    assert worker.ends() == 0
    assert job.wait(0) == "long"
    assert left.get_status() == "queued"


def test_a_command_to_a_worker_that_is_not_there_is_refused(stable: Stable) -> None:
    with pytest.raises(RqlikeError, match="nobody"):
        send_shutdown_command(stable.client(), "nobody", namespace=stable.namespace)


def test_a_worker_tells_of_itself_while_it_lives(stable: Stable) -> None:
    worker = stable.start("a", "b", plan={"renew_s": 0.2})
    job = stable.queue("b").enqueue(jobs.mark, stable.file(), "long", 1.0)
    lines(lambda: told(stable.file()), 1)

    def seen() -> Any:
        return Worker.all(stable.client(), namespace=stable.namespace)

    eventually(lambda: seen()[0].state == "busy")
    (handle,) = seen()
    assert (handle.name, handle.pid, handle.queue_names()) == (worker.name, worker.pid, ["a", "b"])
    assert handle.current_job_ids == (job.id,)
    assert job.wait(5)
    eventually(lambda: seen()[0].successful_job_count == 1)
    stable.client().delete(f"{{{stable.namespace}}}:worker:{worker.name}")  # as after a long outage
    eventually(lambda: seen() and seen()[0].queue_names() == ["a", "b"], message="it is known again")
    worker.terminate()
    assert worker.ends() == 0
    assert seen() == []
