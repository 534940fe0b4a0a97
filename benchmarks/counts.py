"""What is counted and not timed: round trips, commands, calls, bytes. The same on every machine, so tests guard it.

`LIMITS` says what each count was when it was last looked at and what it may be; `take` takes them all on one server.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import redis

import rqlike
from benchmarks import servers, work
from benchmarks.relay import Relay
from rqlike import Queue

ROOT = Path(__file__).parent.parent
JOBS = 2000
CALLS = 200
ARGUMENT = "x" * 110
WARM_UP_S = 2.0
IDLE_S = 10.0
TICK_S = 5.0  #: between two looks of an idle worker at what is due


@dataclass(frozen=True)
class Limit:
    """`before`: what was counted last. `most`: what may be counted, with room where timing has a say. `why`: so few."""

    before: float
    most: float
    why: str


LIMITS = {
    "round trips per enqueue": Limit(1, 1, "one script does it all"),
    "bytes sent per enqueue": Limit(196, 200, "a job's own data, and the hash of a script"),
    "script calls per 1,000 jobs of enqueue_many": Limit(2, 2, "500 jobs in each call"),
    "round trips per enqueue and wait": Limit(2, 2.5, "one to enqueue, one that looks and blocks, seldom a third"),
    "round trips per enqueue with unique=True": Limit(1, 1, "the same script asks who holds the key"),
    "bytes sent per enqueue with unique=True": Limit(302, 308, "the key is sent too"),
    "Redis commands per enqueue with unique=True": Limit(11, 11, "a key that is free takes one command, an event two"),
    "Redis commands per job of enqueue_many with unique=True": Limit(
        3.02, 3.1, "a key, a hash and an event; the rest is shared by 500"
    ),
    "bytes per queued job with unique=True": Limit(705, 740, "its key, and a hash that is still compact"),
    "round trips per enqueue_or_join, joined": Limit(1, 1, "the script that refuses or enqueues brings the job"),
    "round trips per enqueue_or_join, cached": Limit(1, 1, "the same"),
    "Redis commands per enqueue_or_join, joined": Limit(8, 8, "a look at the id, and the job is read once"),
    "Redis commands per enqueue_or_join, cached": Limit(9, 9, "and a look at its newest entry"),
    "round trips per enqueue_and_wait": Limit(2, 2.5, "those of enqueue and wait"),
    "bytes sent per enqueue_and_wait": Limit(488, 500, "a job, a look and a read"),
    "calls of rqlike's functions per enqueue": Limit(23.02, 24, "each takes its time before anything is sent"),
    "memory blocks kept per enqueue": Limit(0.005, 0.05, "a producer that runs for weeks does not grow"),
    "memory blocks held when an enqueue is sent": Limit(46, 52, "few objects are made for a job"),
    "script calls per job, busy worker": Limit(0.059, 0.1, "short jobs are claimed and settled in groups"),
    "script calls per job, --no-prefetch": Limit(1.003, 1.02, "each call settles one job and claims the next"),
    "Redis commands per job, busy worker": Limit(12.7, 13.7, "those in scripts are commands too, two of them events"),
    "connections of a worker": Limit(4, 4, "calls and orders; before them a PING and the registration"),
    "Redis commands of an idle worker in 5 s": Limit(8.5, 10, "a look at what is due; a renewal only every 15 s"),
    "bytes per queued no-op job": Limit(352, 375, "a hash in compact form, and a member of a set"),
    "bytes per finished no-op job": Limit(941, 1000, "the same, and a stream of one entry"),
}


def complaint(name: str, now: float) -> str | None:
    """What to tell of a count that has grown; None where it is within its limit."""
    limit = LIMITS[name]
    if now <= limit.most:
        return None
    return f"{name}: grew from {limit.before:g} to {now:.4g}, may be {limit.most:g} ({limit.why})"


# -- what is read from a server ----------------------------------------------------------------------------------------


def stats(client: redis.Redis) -> dict[str, int]:
    """Calls by command so far, those inside scripts included, INFO left out."""
    info: dict[str, Any] = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(got["calls"]) for name, got in info.items() if name != "cmdstat_info"}


def connections(client: redis.Redis) -> int:
    """Connections that the server has ever accepted."""
    return int(client.info("stats")["total_connections_received"])


def used(client: redis.Redis) -> int:
    """Bytes the server has in use."""
    return int(client.info("memory")["used_memory"])


# -- producers ---------------------------------------------------------------------------------------------------------


def queue_on(client: redis.Redis) -> Queue:
    """A queue of a namespace of its own, whose scripts the server knows."""
    queue = Queue("counted", client, namespace=f"counts-{uuid.uuid4().hex[:8]}")
    queue.enqueue(work.noop, 0, result_ttl=0)
    return queue


def fill(queue: Queue, count: int, argument: object = None) -> None:
    """So many no-op jobs."""
    given = (lambda number: number) if argument is None else (lambda _: argument)
    queue.enqueue_many([Queue.prepare_data(work.noop, (given(number),)) for number in range(count)])


def enqueue_counts(client: redis.Redis) -> dict[str, float]:
    """What a call of `enqueue`, and one of `enqueue_many`, sends."""
    with Relay(client) as relay, redis.Redis(port=relay.port) as through:
        queue = queue_on(through)
        relay.reset()
        for number in range(CALLS):
            queue.enqueue(work.noop, number)
        turns, sent = relay.turns / CALLS, relay.sent / CALLS
        before = stats(client)["evalsha"]
        fill(queue, 5000)
        chunks = (stats(client)["evalsha"] - before) / 5
    return {
        "round trips per enqueue": turns,
        "bytes sent per enqueue": sent,
        "script calls per 1,000 jobs of enqueue_many": chunks,
    }


def unique_counts(client: redis.Redis) -> dict[str, float]:
    """What jobs with a key of their own send and take, one by one and many at once."""
    with Relay(client) as relay, redis.Redis(port=relay.port) as through:
        queue = queue_on(through)
        queue.enqueue(work.noop, -1, unique=True)
        relay.reset()
        before = sum(stats(client).values())
        for number in range(CALLS):
            queue.enqueue(work.noop, number, unique=True)
        turns, sent = relay.turns / CALLS, relay.sent / CALLS
        commands = (sum(stats(client).values()) - before) / CALLS
    datas = [Queue.prepare_data(work.noop, (number,), unique=True) for number in range(CALLS, CALLS + JOBS)]
    queue = queue_on(client)
    before = sum(stats(client).values())
    queue.enqueue_many(datas)
    many = (sum(stats(client).values()) - before) / JOBS
    queue = queue_on(client)
    queue.enable_events(False)  # as in `bytes_per_job`
    empty = used(client)
    queue.enqueue_many(datas)
    size = (used(client) - empty) / JOBS
    return {
        "round trips per enqueue with unique=True": turns,
        "bytes sent per enqueue with unique=True": sent,
        "Redis commands per enqueue with unique=True": commands,
        "Redis commands per job of enqueue_many with unique=True": many,
        "bytes per queued job with unique=True": size,
    }


def join_counts(client: redis.Redis) -> dict[str, float]:
    """What it takes to join a job that waits, and one that has a value."""
    with Relay(client) as relay, redis.Redis(port=relay.port) as through:
        queue = queue_on(through)
        found: dict[str, float] = {}
        for how in ("joined", "cached"):
            queue.enqueue_or_join(work.noop, 1, job_id="asked")
            if how == "cached":
                drained(client, queue)
            relay.reset()
            before = sum(stats(client).values())
            for _ in range(CALLS):
                assert queue.enqueue_or_join(work.noop, 1, job_id="asked").how == how
            found[f"round trips per enqueue_or_join, {how}"] = relay.turns / CALLS
            found[f"Redis commands per enqueue_or_join, {how}"] = (sum(stats(client).values()) - before) / CALLS
    return found


def python_counts(client: redis.Redis) -> dict[str, float]:
    """What a call of `enqueue` costs the interpreter."""
    queue = queue_on(client)

    def many(count: int) -> None:
        for number in range(count):
            queue.enqueue(work.noop, number)

    many(CALLS)
    gc.collect()
    before = sys.getallocatedblocks()
    many(CALLS)
    gc.collect()
    kept = (sys.getallocatedblocks() - before) / CALLS
    return {
        "calls of rqlike's functions per enqueue": functions_called(lambda: many(CALLS)) / CALLS,
        "memory blocks kept per enqueue": max(0.0, kept),
        "memory blocks held when an enqueue is sent": blocks_when_sent(lambda: many(1)),
    }


def functions_called(action: Callable[[], object]) -> int:
    """Calls of Python functions of this package; those of redis-py and of the interpreter are not ours to bound."""
    home, calls = str(Path(rqlike.__file__).parent), 0

    def seen(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(home)

    sys.setprofile(seen)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def blocks_when_sent(action: Callable[[], object], times: int = 20) -> float:
    """Blocks of Python memory that an action holds when it hands its bytes to the socket, above those before it.

    The median of so many times: the interpreter's own caches grow now and then.
    """
    found: list[int] = []
    for _ in range(times):
        before, held = sys.getallocatedblocks(), 0

        def seen(frame: FrameType, event: str, function: object) -> None:
            nonlocal held
            if event == "c_call" and getattr(function, "__name__", "") in ("send", "sendall", "sendmsg"):
                held = max(held, sys.getallocatedblocks() - before)  # noqa: B023  # used in this turn only

        sys.setprofile(seen)
        try:
            action()
        finally:
            sys.setprofile(None)
        found.append(held)
    return statistics.median(found)


# -- workers -----------------------------------------------------------------------------------------------------------


@contextmanager
def working(client: redis.Redis, queue: Queue, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the queue in a process of its own, for the time of the block."""
    command = [sys.executable, "-m", "rqlike", "worker", queue.name, "--url", url_of(client), "-q", *options]
    environment = {**os.environ, "RQLIKE_NAMESPACE": queue.store.namespace}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)


def url_of(client: redis.Redis) -> str:
    """A URL of the same server."""
    given = client.connection_pool.connection_kwargs
    return f"unix://{given['path']}" if "path" in given else f"redis://{given['host']}:{given['port']}/0"


def drained(client: redis.Redis, queue: Queue, *options: str) -> dict[str, float]:
    """What the server saw of a worker from its start to its end, which drained `JOBS` jobs between."""
    before, opened = stats(client), connections(client)
    with working(client, queue, "--burst", *options) as worker:
        code = worker.wait(60)
    assert code == 0, f"the worker ended with {code}"
    after = stats(client)
    return {
        "scripts": (after["evalsha"] - before["evalsha"]) / JOBS,
        "commands": (sum(after.values()) - sum(before.values())) / JOBS,
        "connections": connections(client) - opened,
    }


def drain_counts(client: redis.Redis) -> dict[str, float]:
    """A busy worker with its defaults, and one that takes one job at a time."""
    queue = queue_on(client)
    fill(queue, JOBS - 1)
    busy = drained(client, queue)
    careful_queue = queue_on(client)
    fill(careful_queue, JOBS - 1)
    return {
        "script calls per job, busy worker": busy["scripts"],
        "script calls per job, --no-prefetch": drained(client, careful_queue, "--no-prefetch")["scripts"],
        "Redis commands per job, busy worker": busy["commands"],
        "connections of a worker": busy["connections"],
    }


def waiting_counts(client: redis.Redis) -> dict[str, float]:
    """Somebody who waits for an idle worker's value."""
    with Relay(client) as relay, redis.Redis(port=relay.port) as through:
        queue = queue_on(through)
        with working(client, queue):
            queue.enqueue(work.noop, 1).wait(20)
            relay.reset()
            for number in range(50):
                assert queue.enqueue(work.noop, number).wait(20) == number
            turns = relay.turns / 50
            relay.reset()
            for number in range(50):
                assert queue.enqueue_and_wait(work.noop, number, timeout=20) == number
            asked, sent = relay.turns / 50, relay.sent / 50
    return {
        "round trips per enqueue and wait": turns,
        "round trips per enqueue_and_wait": asked,
        "bytes sent per enqueue_and_wait": sent,
    }


def idle_counts(client: redis.Redis) -> dict[str, float]:
    """A worker that has nothing to do any more."""
    queue = queue_on(client)
    with working(client, queue):
        queue.enqueue(work.noop, 1).wait(20)
        time.sleep(WARM_UP_S)
        before = sum(stats(client).values())
        time.sleep(IDLE_S)
        idle = (sum(stats(client).values()) - before) * TICK_S / IDLE_S
    return {"Redis commands of an idle worker in 5 s": idle}


def bytes_per_job(client: redis.Redis, argument: object = 0) -> dict[str, float]:
    """Redis memory of a queued job, and of one that has finished, with its result."""
    client.flushall()  # or it is chance whether the server's table of keys grows by its next step meanwhile
    queue = queue_on(client)
    queue.enable_events(False)  # whose stream is for all jobs of the queue, and does not grow with them
    drained(client, queue)  # the server knows the scripts, the worker's keys are there
    empty = used(client)
    fill(queue, JOBS, argument)
    queued = used(client)
    drained(client, queue)
    return {
        "bytes per queued no-op job": (queued - empty) / JOBS,
        "bytes per finished no-op job": (used(client) - empty) / JOBS,
    }


def take(*clients: tuple[redis.Redis, redis.Redis]) -> list[dict[str, float]]:
    """Every count of `LIMITS`, for each pair of clients, which are of two servers of a kind that nobody else uses: at
    the second a worker is idle while the rest is counted at the first. About 15 s, and 4 s for each further pair."""
    parts = (enqueue_counts, unique_counts, join_counts, python_counts, waiting_counts)
    found: list[dict[str, float]] = [{} for _ in clients]
    for counted, (busy, _) in zip(found, clients, strict=True):
        for part in parts:
            counted |= part(busy)
    with ThreadPoolExecutor(len(clients)) as pool:
        passing = pool.map(idle_counts, [idle for _, idle in clients])  # begins at once
        for counted, (busy, _) in zip(found, clients, strict=True):
            counted |= bytes_per_job(busy) | drain_counts(busy)
        for counted, idle in zip(found, passing, strict=True):
            counted |= idle
    return [{name: counted[name] for name in LIMITS} for counted in found]


def all_of_them() -> list[tuple[str, float, float, str]]:
    """(what, counted, at most, why) on a server of this machine."""
    with servers.server("none") as busy, servers.server("none") as idle:
        (counted,) = take((busy, idle))
    return [(name, now, LIMITS[name].most, LIMITS[name].why) for name, now in counted.items()]
