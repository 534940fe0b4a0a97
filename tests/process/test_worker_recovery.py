"""Workers that are lost: others take over what they held, and only that."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from rqlike import Retry
from tests.process import jobs
from tests.process.jobs import told
from tests.process.together import together
from tests.process.workers import Stable, lines, outcome, pass_time
from tests.servers import eventually, is_gone

SHORT = {"lease_ms": 1500, "renew_s": 0.3}


@together
def test_what_a_lost_worker_held_is_recorded_as_abandoned(stable: Stable) -> None:
    lost = stable.start(plan=SHORT)
    meta = {"path": stable.file("cb")}
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file(), on_failure=jobs.FAILURE, meta=meta)
    lines(lambda: told(stable.file()), 1)
    stable.start(plan=SHORT)
    lost.kill()
    began = time.monotonic()
    result = outcome(job)
    assert time.monotonic() - began < 1.5 + 5 + 1.5
    assert (result.reason, result.exc_type) == ("abandoned", "rqlike.exceptions.AbandonedJobError")
    assert result.worker_name == lost.name
    assert job.get_status(refresh=True) == "failed"
    assert lines(lambda: told(stable.file("cb")), 1)[0].startswith("failure AbandonedJobError")


@together
def test_with_a_retry_it_costs_an_attempt_until_max_crashes(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file(), retry=Retry(max=10))
    for crash in (1, 2):
        lost = stable.start(plan=SHORT)
        lines(lambda: told(stable.file()), crash, 20)
        lost.kill()
    stable.start(plan=SHORT, max_crashes=2)
    eventually(lambda: job.get_status(refresh=True) == "failed", 20)
    assert [(result.type.name, result.reason) for result in job.results()] == [
        ("FAILED", "abandoned"),
        ("RETRIED", "abandoned"),
    ]


def test_a_busy_worker_keeps_the_lease_of_its_long_job(stable: Stable) -> None:
    """It is never done with settling and claiming, and must renew all the same."""
    long = stable.queue().enqueue(jobs.mark, stable.file("long"), "long", 4.0)
    stable.start(plan=SHORT, concurrency=4)
    lines(lambda: told(stable.file("long")), 1)
    stable.start(plan=SHORT)
    for _ in range(30):
        stable.queue().enqueue_many([stable.queue().prepare_data(jobs.nothing) for _ in range(500)])
    assert long.wait(10) == "long"
    assert (len(long.results()), len(told(stable.file("long")))) == (1, 1)


@together
def test_a_worker_that_was_frozen_beyond_its_lease_records_nothing_of_what_others_took_over(stable: Stable) -> None:
    frozen = stable.start(plan=SHORT)
    job = stable.queue().enqueue(jobs.slow_at_first, stable.file(), 30.0, retry=Retry(max=3))
    (line,) = lines(lambda: told(stable.file()), 1)
    stable.start(plan=SHORT)
    frozen.signal(signal.SIGSTOP)
    try:
        lines(lambda: told(stable.file()), 2, 15)
    finally:
        frozen.signal(signal.SIGCONT)
    eventually(lambda: is_gone(int(line.split()[1])), 5, message="the first horse is killed")
    assert outcome(job, 20).type.name == "SUCCESSFUL"
    assert [result.reason for result in job.results()] == [None, "abandoned"]
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1


def test_with_strict_lease_a_worker_that_cannot_renew_kills_its_horses(own_stable: Stable) -> None:
    own_stable.start(plan=SHORT, strict_lease=True)
    own_stable.queue().enqueue(jobs.hang_deaf, own_stable.file())
    (line,) = lines(lambda: told(own_stable.file()), 1)
    own_stable.server.pause()
    began = time.monotonic()
    try:
        eventually(lambda: is_gone(int(line.split()[1])), 5, 0.01)
    finally:
        own_stable.server.proceed()
    assert time.monotonic() - began < 1.5


@pytest.mark.slow
@together
def test_after_an_outage_longer_than_a_lease_nobody_living_is_recovered(own_stable: Stable) -> None:
    for name in ("w1", "w2", "w3"):
        own_stable.start(plan={"lease_ms": 4000, "renew_s": 0.7}, name=name)
    queued = [own_stable.queue().enqueue(jobs.mark, own_stable.file(), str(n), 18.0) for n in range(3)]
    lines(lambda: told(own_stable.file()), 3)
    own_stable.server.pause()
    pass_time(12.0)
    own_stable.server.proceed()
    assert [outcome(job, 30).return_value for job in queued] == ["0", "1", "2"]
    assert [len(job.results()) for job in queued] == [1, 1, 1]
    assert Counter(line.split()[0] for line in told(own_stable.file())) == Counter("012")


@pytest.mark.slow
@together
def test_a_lost_machine_is_noticed_within_its_lease_and_15_seconds(stable: Stable) -> None:
    lost = stable.start()
    job = stable.queue().enqueue(jobs.hang_deaf, stable.file())
    lines(lambda: told(stable.file()), 1)
    stable.start()
    lost.kill()
    began = time.monotonic()
    assert outcome(job, 50).reason == "abandoned"
    assert 20 < time.monotonic() - began < 45
