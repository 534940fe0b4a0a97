"""Jobs claimed ahead of a horse while jobs are short: order, slow ones among them, orders, ends."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from typing import Any

import pytest

from rqlike import Job, Queue
from rqlike.command import send_stop_job_command
from rqlike.queue import EnqueueData
from rqlike.worker.channel import WHISPER_LIMIT
from tests.process import jobs
from tests.process.jobs import told
from tests.process.together import together
from tests.process.workers import Stable, all_outcomes, lines, outcome, pass_time, running
from tests.servers import eventually

AHEAD = 16  #: jobs that may wait in a worker for one horse


def many(queue: Queue, count: int) -> list[Job[Any]]:
    return queue.enqueue_many([Queue.prepare_data(jobs.nothing) for _ in range(count)])


def settled(of: Sequence[Job[Any]], status: str) -> int:
    return sum(job.get_status() == status for job in of)


def test_a_busy_worker_makes_far_less_than_one_call_per_short_job(stable: Stable) -> None:
    many(stable.queue(), 600)
    before = stable.client().info("commandstats")["cmdstat_evalsha"]["calls"]
    stable.burst()
    calls = stable.client().info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert calls < 600 / 3


def test_without_prefetch_each_job_is_claimed_by_itself(stable: Stable) -> None:
    many(stable.queue(), 200)
    before = stable.client().info("commandstats")["cmdstat_evalsha"]["calls"]
    stable.burst(prefetch=1)
    calls = stable.client().info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert 200 <= calls <= 220


def test_jobs_claimed_ahead_run_in_their_order_and_at_front_before_them(stable: Stable) -> None:
    queue = stable.queue()
    for number in range(60):
        queue.enqueue(jobs.mark, stable.file(), str(number))
    for number in (101, 102):
        queue.enqueue(jobs.mark, stable.file(), str(number), at_front=True)
    stable.burst()
    order = [int(line.split()[0]) for line in told(stable.file())]
    assert order == [102, 101, *range(60)]


def test_a_slow_job_behind_fast_ones_holds_up_nobody_for_long(stable: Stable) -> None:
    for name in ("one", "two"):
        stable.start(name=name)
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    data = [Queue.prepare_data(jobs.nothing) for _ in range(40)]
    data.insert(10, Queue.prepare_data(jobs.mark, (stable.file(), "slow", 3.0)))
    batch = queue.enqueue_many(data)
    slow = batch.pop(10)
    began = time.monotonic()
    all_outcomes(batch, 2.0)
    assert time.monotonic() - began < 2.0
    assert slow.get_status() == "started"
    assert all(len(job.results()) == 1 for job in batch)


def test_with_one_horse_what_is_ahead_of_a_slow_job_is_free_for_other_workers_within_moments(stable: Stable) -> None:
    worker = stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    slow, *behind = queue.enqueue_many(
        [Queue.prepare_data(jobs.mark, (stable.file(), "slow", 3.0)), *[Queue.prepare_data(jobs.nothing)] * 10]
    )
    running(slow)
    eventually(lambda: settled(behind, "queued") == 10, 0.5, message="given back to the queue")
    assert [job.id for job in queue.get_jobs()] == [job.id for job in behind], "to their old places"
    worker.terminate()
    assert worker.ends() == 0
    assert [job.attempt for job in queue.get_jobs()] == [0] * 10, "free, without an attempt"
    assert not any(job.results() for job in behind)
    assert outcome(slow).return_value == "slow"


def test_a_job_canceled_while_it_is_ahead_never_runs(stable: Stable) -> None:
    stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    slow, last = queue.enqueue_many(
        [
            Queue.prepare_data(jobs.mark, (stable.file(), "slow", 0.5)),
            Queue.prepare_data(jobs.mark, (stable.file(), "canceled")),
        ]
    )
    running(slow)
    last.cancel()
    assert outcome(slow).return_value == "slow"
    eventually(lambda: last.get_status() == "canceled", 2.0)
    assert [line.split()[0] for line in told(stable.file())] == ["slow"]


def between(queue: Queue, before: int, odd: EnqueueData, after: int) -> list[Job[Any]]:
    """Enqueues short jobs around another one, all in one call."""
    quick = Queue.prepare_data(jobs.nothing)
    return queue.enqueue_many([*[quick] * before, odd, *[quick] * after])


@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_horse_that_dies_takes_only_the_job_that_it_ran(stable: Stable, place: int) -> None:
    stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    results = all_outcomes(between(queue, place, Queue.prepare_data(jobs.leave, (3,)), 30))
    assert [str(result.reason) for result in results if result.reason] == ["killed"]
    assert str(results[place].reason) == "killed", "those before it had ended, and those behind it had not begun"


def test_a_horse_that_is_retired_takes_no_job_behind_with_it(stable: Stable) -> None:
    worker = stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    results = all_outcomes(between(queue, 5, Queue.prepare_data(jobs.leave_thread), 30))
    assert {result.reason for result in results} == {None}
    assert "retires: thread" in worker.log


def test_each_job_has_its_own_time_however_many_run_before_it(stable: Stable) -> None:
    stable.start(kill_grace=0.2)
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    late = Queue.prepare_data(jobs.mark, (stable.file(), "late", 30.0), timeout=0.5)
    deaf = Queue.prepare_data(jobs.hang_deaf, (stable.file(), 30.0), timeout=0.5)
    for odd, grace in ((late, 0.0), (deaf, 0.2)):
        results = all_outcomes(between(queue, 5, odd, 10))
        assert [str(result.reason) for result in results if result.reason] == ["timeout"]
        took = (results[5].execution_ended_at - results[5].execution_started_at).total_seconds()
        assert 0.5 <= took <= 0.5 + grace + 0.5


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has_not_begun(stable: Stable) -> None:
    worker = stable.start()
    queue = stable.queue()
    batch = many(queue, 4000)
    outcome(batch[300])
    worker.terminate()
    assert worker.ends() == 0
    counts = queue.counts()
    assert counts.finished + counts.queued == 4000
    left = queue.get_jobs()
    assert [job.id for job in left] == [job.id for job in batch[counts.finished :]], "in their old order"
    assert not any(job.attempt for job in left)


def test_a_stop_of_a_job_in_the_middle_of_a_frame_ends_that_one_and_no_other(stable: Stable) -> None:
    stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    batch = between(queue, 5, Queue.prepare_data(jobs.mark, (stable.file(), "slow", 30.0)), 10)
    running(batch[5])
    lines(lambda: told(stable.file()), 1)
    send_stop_job_command(stable.client(), batch[5].id, namespace=stable.namespace)
    results = all_outcomes(batch)
    assert [str(result.reason) for result in results if result.reason] == ["stopped"]
    assert str(results[5].reason) == "stopped"


def test_large_and_small_results_are_believed_in_the_order_in_which_they_came(stable: Stable) -> None:
    stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    large, small = Queue.prepare_data(jobs.big, (2 * WHISPER_LIMIT,)), Queue.prepare_data(jobs.nothing)
    results = all_outcomes(queue.enqueue_many([small, large, small, small] * 50))
    assert {result.reason for result in results} == {None}


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_horse_that_does_not_read_is_not_given_frame_after_frame(stable: Stable, size: int) -> None:
    worker = stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    (horse,) = worker.horses()
    os.kill(horse, signal.SIGSTOP)
    batch = queue.enqueue_many([Queue.prepare_data(jobs.length, (b"x" * size,))] * 8)
    before = worker.cpu_s()
    pass_time(1.0)
    assert worker.cpu_s() - before < 0.5
    assert settled(batch, "queued") >= 7, "others may have them"
    os.kill(horse, signal.SIGCONT)
    assert {result.reason for result in all_outcomes(batch)} == {None}


@pytest.mark.parametrize("limit", [1, 150])
def test_a_worker_with_a_limit_runs_exactly_so_many(stable: Stable, limit: int) -> None:
    queue = stable.queue()
    many(queue, 400)
    worker = stable.start(work={"max_jobs": limit}, wait=False)
    assert worker.ends() == 0
    assert queue.counts().finished == limit


def test_a_job_that_closes_everything_in_the_middle_of_a_frame_keeps_no_worker_busy(stable: Stable) -> None:
    worker = stable.start()
    queue = stable.queue()
    all_outcomes(many(queue, 100))
    batch = between(queue, 5, Queue.prepare_data(jobs.close_all, (stable.file(), 1.5)), 5)
    lines(lambda: told(stable.file()), 1)
    before = worker.cpu_s()
    pass_time(1.0)
    assert worker.cpu_s() - before < 0.3
    results = all_outcomes(batch)
    assert [str(result.reason) for result in results if result.reason] == ["killed"]


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_mixed_each_job_runs_once_and_comes_to_what_it_is(stable: Stable, seed: int) -> None:
    chance = random.Random(seed)
    worker = stable.start(concurrency=2, jobs_per_horse=37)
    queue = stable.queue()
    kinds: list[str] = []
    batch: list[Job[Any]] = []
    for _ in range(20):
        data = []
        for _ in range(40):
            kind = chance.choices(["quick", "big", "slow", "die", "thread", "fail"], [60, 6, 2, 0.5, 0.7, 5])[0]
            key = str(len(kinds))
            kinds.append(kind)
            data.append(
                {
                    "quick": Queue.prepare_data(jobs.mark, (stable.file(), key)),
                    "big": Queue.prepare_data(jobs.big, (chance.choice([4000, 5000, 300_000]),)),
                    "slow": Queue.prepare_data(jobs.mark, (stable.file(), key, chance.choice([0.004, 0.02]))),
                    "die": Queue.prepare_data(jobs.leave, (3,)),
                    "thread": Queue.prepare_data(jobs.leave_thread),
                    "fail": Queue.prepare_data(jobs.fail),
                }[kind]
            )
        batch += queue.enqueue_many(data)
    results = all_outcomes(batch, 60.0)
    expected = {"die": "killed", "fail": "exception"}
    assert [str(result.reason) for result in results] == [expected.get(kind, "None") for kind in kinds]
    ran = [line.split()[0] for line in told(stable.file())]
    assert len(ran) == len(set(ran)) == kinds.count("quick") + kinds.count("slow")
    assert all(len(job.results()) == 1 for job in batch)
    worker.terminate()
    assert worker.ends() == 0


@together
def test_a_killed_worker_leaves_no_more_than_was_ahead_marked_as_abandoned(stable: Stable) -> None:
    worker = stable.start(plan={"lease_ms": 1000, "renew_s": 0.2})
    queue = stable.queue()
    batch = many(queue, 3000)
    outcome(batch[300])
    worker.kill()
    stable.start(plan={"lease_ms": 1000, "renew_s": 0.2})
    results = all_outcomes(batch, 60.0)
    lost = sum(str(result.reason) == "abandoned" for result in results)
    assert lost <= 2 * AHEAD + 1
    assert all(len(job.results()) == 1 for job in batch)
