"""Limits per key, as real workers keep them: how many start, when, and that nobody is kept waiting by another key."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import redis

from rqlike import Job, Queue, RateLimit
from rqlike.settings import LATE_MS
from tests.process import jobs
from tests.process.together import together
from tests.process.workers import Stable, all_outcomes, outcome, pass_time, running
from tests.servers import eventually


def starts(stable: Stable, queue: Queue) -> dict[str, list[int]]:
    """When each job of a key was claimed, in ms of the server's clock: a horse may begin it later, as the machine lets
    it."""
    found = defaultdict(list)
    ids = queue.finished_job_registry.get_job_ids()
    for at in range(0, len(ids), 500):
        for job in Job.fetch_many(ids[at : at + 500], stable.client(), stable.namespace):
            assert job is not None and job.started_at is not None
            claimed_ms = round(job.started_at.timestamp() * 1000)
            found[job.rate_limit.key if job.rate_limit else ""].append(claimed_ms)
    return {key: sorted(moments) for key, moments in found.items()}


def test_a_rate_is_kept_and_reached_and_no_other_key_waits_for_it(stable: Stable) -> None:
    queue = stable.queue()
    fast, slow, full = RateLimit("fast", limit=100), RateLimit("slow", limit=10), RateLimit("full", 2)
    datas = [Queue.prepare_data(jobs.nothing, rate_limit=fast) for _ in range(2000)]
    datas += [Queue.prepare_data(jobs.nothing, rate_limit=slow) for _ in range(200)]
    datas += [Queue.prepare_data(jobs.nothing, rate_limit=full) for _ in range(50)]
    datas += [Queue.prepare_data(jobs.nothing) for _ in range(50)]
    queued = queue.enqueue_many(datas)
    stable.start(concurrency=8)
    all_outcomes(queued[2200:], timeout=3.0)
    pass_time(3.2)
    seen = starts(stable, queue)
    for key, every_ms in (("fast", 10), ("slow", 100)):
        first = seen[key][0]
        moments = [moment for moment in seen[key] if moment < first + 3_000]
        expected = 3_000 / every_ms
        assert 0.9 * expected <= len(moments) <= 1.03 * expected + 1, (key, len(moments))
        for index in range(20, len(moments)):
            assert (moments[index] - moments[index - 20] + LATE_MS) / every_ms + 1 >= 21


def test_two_workers_share_what_a_key_grants(stable: Stable) -> None:
    queue = stable.queue()
    told = stable.file()
    queued = [queue.enqueue(jobs.mark, told, "x", 0.05, rate_limit=RateLimit("k", 1)) for _ in range(12)]
    stable.start(concurrency=2)
    stable.start(concurrency=2)
    results = all_outcomes(queued)
    spans = sorted((result.execution_started_at, result.execution_ended_at) for result in results)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


def test_a_job_with_a_limit_is_never_claimed_ahead_of_its_horse(stable: Stable) -> None:
    queue = stable.queue()
    stable.start(concurrency=1)
    all_outcomes([queue.enqueue(jobs.nothing) for _ in range(50)])  # it has learnt that jobs are short
    long = queue.enqueue(jobs.mark, stable.file(), "long", 1.0)
    running(long)
    waiting = queue.enqueue(jobs.nothing, rate_limit=RateLimit("k", 5))
    pass_time(0.2)
    assert waiting.get_status() == "queued"
    assert stable.client().exists(queue.store.keys.holders("k")) == 0
    outcome(waiting)


@together
def test_a_permit_of_a_worker_that_was_killed_is_given_on_once_its_lease_is_over(stable: Stable) -> None:
    queue = stable.queue()
    plan = {"lease_ms": 1500, "renew_s": 0.3}
    lost = queue.enqueue(jobs.mark, stable.file(), "lost", 60.0, rate_limit=RateLimit("k", 1))
    first = stable.start(plan=plan)
    running(lost)
    waiting = queue.enqueue(jobs.nothing, rate_limit=RateLimit("k", 1))
    stable.start(plan=plan)
    first.kill()
    assert outcome(waiting, 20.0).type.name == "SUCCESSFUL"
    assert lost.get_status() == "failed"


def test_an_idle_worker_sleeps_until_the_next_start_is_due(stable: Stable) -> None:
    queue, limit = stable.queue(), RateLimit("k", limit=1, per=3)
    worker = stable.start(concurrency=2)
    first, second = (queue.enqueue(jobs.nothing, rate_limit=limit) for _ in range(2))
    outcome(first)
    pass_time(0.3)
    used = worker.cpu_s()
    began = outcome(first).execution_started_at
    after = outcome(second).execution_started_at
    assert 2.9 <= (after - began).total_seconds() <= 3.3
    assert worker.cpu_s() - used < 0.1


def test_a_burst_worker_passes_many_held_jobs_and_does_not_wait_for_them(stable: Stable) -> None:
    queue, client = stable.queue(), stable.client()
    limit = RateLimit("k", limit=1, per="1h")
    queue.enqueue_many([Queue.prepare_data(jobs.nothing, rate_limit=limit) for _ in range(2_000)])
    behind = queue.enqueue(jobs.nothing)
    stable.burst(concurrency=1)
    assert behind.get_status(refresh=True) == "finished"
    assert queue.count == 1_999
    held(client, queue, 1_999)
    again = queue.enqueue(jobs.nothing)
    stable.burst(simple=True)
    assert again.get_status(refresh=True) == "finished"


def held(client: redis.Redis, queue: Queue, number: int) -> None:
    eventually(lambda: client.zcard(queue.store.keys.waiting("k")) == number)
