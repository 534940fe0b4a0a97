"""A very long queue: what a job takes, and what others notice of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import redis

from rqlike import Queue
from tests.load.figures import Figure, percentile
from tests.process import jobs
from tests.process.workers import Stable
from tests.servers import eventually

_TRIES = 50
_SLOW_US = 20_000


def million(stable: Stable, *, count: int = 1_000_000, slice_: int = 5_000) -> list[Figure]:
    """`count` queued jobs: bytes, reads, a worker's start and its rate at that depth, and the way back to nothing."""
    client = stable.client()
    client.config_set("slowlog-log-slower-than", _SLOW_US)
    queue, empty = stable.queue("deep"), stable.queue("shallow")
    before = _bytes(client)
    began = time.monotonic()
    made = (queue.prepare_data(jobs.echo, (number,)) for number in range(count))
    last = queue.enqueue_many(made)[-1]
    rate, size = count / (time.monotonic() - began), (_bytes(client) - before) / count
    reads = {
        "counts()": queue.counts,
        "a page of 100 ids": lambda: queue.get_job_ids(0, 100),
        "a position in it": last.get_position,
    }
    took = [Figure(f"ms for {what}", _median_ms(read), 50, "O(log n), or its own size") for what, read in reads.items()]
    deep, shallow = _enqueue_us(queue), _enqueue_us(empty)
    figures = [
        Figure("queued jobs", count),
        Figure("enqueue_many, jobs/s", rate),
        Figure("bytes per queued job", size, 600, "a compact hash, and a member of a set"),
        *took,
        Figure("us for one enqueue onto it", deep),
        Figure("of that onto an empty queue", deep / shallow, 2, "a sorted set is O(log n)"),
        *_worked(stable, queue, slice_),
    ]
    began = time.monotonic()
    queue.empty()
    emptied = time.monotonic() - began
    left = sum(queue.counts()[status] for status in ("queued", "started", "scheduled"))
    return [
        *figures,
        Figure("seconds to empty it", emptied),
        Figure("jobs left after that", left, 0, "empty deletes what is queued"),
        Figure(f"scripts over {_SLOW_US // 1000} ms", _slow(client), 0, "each touches 500 jobs at most"),
    ]


def _bytes(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _median_ms(read: Callable[[], object]) -> float:
    took = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        read()
        took.append(1000 * (time.perf_counter() - began))
    return percentile(took, 0.5)


def _enqueue_us(queue: Queue) -> float:
    return 1000 * _median_ms(lambda: queue.enqueue(jobs.echo, 1))


def _worked(stable: Stable, queue: Queue, jobs_done: int) -> Sequence[Figure]:
    began = time.monotonic()
    worker = stable.start("deep")
    eventually(lambda: queue.counts()["finished"] > 0, 20.0, 0.005, "the first job is done")
    first = time.monotonic() - began
    began, before = time.monotonic(), queue.counts()["finished"]
    eventually(lambda: queue.counts()["finished"] >= before + jobs_done, 60.0, 0.01, f"{jobs_done} jobs are done")
    rate = (queue.counts()["finished"] - before) / (time.monotonic() - began)
    worker.terminate()
    assert worker.ends() == 0, worker.log
    return [
        Figure("seconds from a worker's start to its first job's end", first),
        Figure("drain at that depth, jobs/s", rate),
    ]


def _slow(client: redis.Redis) -> int:
    return sum(b"EVALSHA" in one["command"] for one in client.slowlog_get(128))
