"""Jobs that depend on others, in numbers: a wide fan, a deep chain beside a plain queue, and the longest script."""

from __future__ import annotations

import time
from typing import Any

from rqlike import Job, Queue
from rqlike.lookups import load_many
from rqlike.settings import BATCH
from rqlike.states import JobStatus
from tests.load.figures import Figure
from tests.process import jobs
from tests.process.workers import Stable
from tests.servers import eventually


def dependencies(stable: Stable, *, count: int = 10_000, share: float = 0.5) -> list[Figure]:
    """`count` jobs that wait for one, then `count` of which each waits for the one before it. `share`: what a chain
    is to reach of the rate at which a plain queue is drained one job at a time."""
    fan = _fan(stable, count)
    plain = _rate(stable, count, chained=False)
    chain = _rate(stable, count, chained=True)
    return [
        *fan,
        Figure(f"plain jobs/s of {count}, one at a time", plain),
        Figure(f"jobs/s of a chain of {count}", chain),
        Figure("plain jobs/s over those of a chain", plain / chain, 1 / share, "a chain is as fast as half of them"),
    ]


def _fan(stable: Stable, count: int) -> list[Figure]:
    queue, client = stable.queue("fan"), stable.client()
    parent = stable.queue("parent").enqueue(jobs.nothing)
    queue.enqueue_many([Queue.prepare_data(jobs.nothing, depends_on=parent) for _ in range(count)])
    client.config_set("slowlog-log-slower-than", 1000)
    client.slowlog_reset()
    stable.start("parent", wait=True)  # whose worker does not serve the queue of the fan
    eventually(lambda: parent.get_status() is JobStatus.FINISHED, interval=0.001)
    before = time.monotonic()
    eventually(lambda: queue.count == count, 30, 0.005, "all of a fan are queued")
    took = time.monotonic() - before
    slowest = max((int(entry["duration"]) for entry in client.slowlog_get(500)), default=1000) / 1000
    queue.empty()
    return [
        Figure(f"a fan of {count}: longest script, ms", slowest, 10, "nobody else waits long"),
        Figure(f"a fan of {count}: until all are queued, s", took, 2, "told at once"),
    ]


def _rate(stable: Stable, count: int, *, chained: bool) -> float:
    """Jobs per second of a worker with one horse that takes one job at a time."""
    name = "chain" if chained else "plain"
    queue = stable.queue(name)
    ids = [f"{name}-{number}" for number in range(count)]
    for at in range(0, count, BATCH):
        options: list[dict[str, Any]] = [
            {"job_id": ids[number], **({"depends_on": ids[number - 1]} if chained and number else {})}
            for number in range(at, min(at + BATCH, count))
        ]
        queue.enqueue_many([Queue.prepare_data(jobs.nothing, **one) for one in options])
    stable.burst(name, prefetch=1) if not chained else _drain(stable, name, ids[-1])
    records = [record for record in load_many(queue.store, [ids[0], ids[-1]]) if record is not None]
    found: list[Job[Any]] = [Job(record, queue.store) for record in records]
    began, ended = found[0].started_at, found[-1].ended_at
    assert began is not None and ended is not None
    return count / (ended - began).total_seconds()


def _drain(stable: Stable, name: str, last: str) -> None:
    worker = stable.start(name, prefetch=1)
    queue = stable.queue(name)
    eventually(lambda: _has_ended(queue, last), 120, 0.02, "the chain has run to its end")
    worker.terminate()
    worker.ends()


def _has_ended(queue: Queue, job_id: str) -> bool:
    job = queue.fetch_job(job_id)
    return job is not None and job.get_status(refresh=False) is JobStatus.FINISHED
