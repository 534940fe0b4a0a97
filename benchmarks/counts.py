"""What is counted and not timed: round trips, commands and bytes. The same on every machine."""

from __future__ import annotations

import uuid
from typing import Any

import redis

import benchmarks.work as work
from rqlike import Queue, SimpleWorker, Worker

JOBS = 2000
ARGUMENT = "x" * 110


def scripts_called(client: redis.Redis) -> int:
    """EVALSHA calls that the server has answered."""
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


def connections(client: redis.Redis) -> int:
    """Connections that the server has ever accepted."""
    return int(client.info("stats")["total_connections_received"])


def enqueue_round_trips(client: redis.Redis) -> float:
    """Script calls per enqueue, the first one of a process left out."""
    queue = Queue("counted", client, namespace=f"counts-{uuid.uuid4().hex[:8]}")
    queue.enqueue(work.noop, 0)
    before = scripts_called(client)
    for number in range(100):
        queue.enqueue(work.noop, number)
    return (scripts_called(client) - before) / 100


def drain_counts(client: redis.Redis) -> dict[str, float]:
    """Script calls and new connections per no-op job of a busy worker, one job at a time."""
    queue = Queue("counted", client, namespace=f"counts-{uuid.uuid4().hex[:8]}")
    queue.enqueue_many([Queue.prepare_data(work.noop, (number,)) for number in range(JOBS)])
    calls, opened = scripts_called(client), connections(client)
    Worker([queue]).work(burst=True, logging_level=None)
    return {
        "calls_per_job": (scripts_called(client) - calls) / JOBS,
        "connections": connections(client) - opened,
    }


def bytes_per_job(client: redis.Redis, argument: object) -> dict[str, float]:
    """Redis memory of a queued job, and of one that has finished, with its result."""
    namespace = f"counts-{uuid.uuid4().hex[:8]}"
    queue = Queue("counted", client, namespace=namespace)
    queue.enqueue(work.noop, argument, result_ttl=0)
    SimpleWorker([queue]).work(burst=True, logging_level=None)
    empty = int(client.info("memory")["used_memory"])
    queue.enqueue_many([Queue.prepare_data(work.noop, (argument,)) for _ in range(JOBS)])
    queued = int(client.info("memory")["used_memory"])
    encoding = client.object("encoding", queue.jobs[0].key)
    Worker([queue]).work(burst=True, logging_level=None)
    finished = int(client.info("memory")["used_memory"])
    return {
        "queued": (queued - empty) / JOBS,
        "finished": (finished - empty) / JOBS,
        "listpack": float(encoding in (b"listpack", b"ziplist")),
    }
