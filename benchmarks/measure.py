"""One measurement of one queue, run by that queue's own interpreter; prints one JSON object.

    BENCH_PORT=6390 python measure.py PEER WHAT [--variant V] [--load noop|sleep:MS|burn:MS] [--count N]
                                      [--depth N] [--seconds S] [--forget]
                                      [--options "unique key"]

WHAT: enqueue | bulk | many | drain | depth | wait | ask | start | idle | memory. The server at BENCH_PORT is flushed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from peers import PEERS, Peer  # noqa: E402  # found through the line above, in whatever environment this runs

POLL_S = 0.02  #: between two looks at a drain; a look costs the drain about 0.2 ms of the processor it shares
BATCH = 20_000  #: jobs in one call of the bulk API
PATIENCE_S = 120.0
IDLE_S = 15.0
STARTS = 3


@dataclass(frozen=True)
class Asked:
    """What is to be measured, of which queue, on which server."""

    peer: Peer
    client: redis.Redis
    variant: str
    count: int
    depth: int
    seconds: float
    options: str = ""

    @contextmanager
    def working(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker for the time of the block, with all it has forked."""
        environment = {**os.environ, "PYTHONPATH": str(HERE), "BENCH_VARIANT": self.variant}
        process = subprocess.Popen(
            self.peer.worker(self.variant),
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            end(process)

    def fill(self, count: int) -> None:
        """Puts in `count` jobs, at most 20,000 at a time."""
        for first in range(0, count, BATCH):
            self.peer.enqueue_many(min(BATCH, count - first))

    def done(self, count: int) -> int:
        """How many of `count` jobs are finished."""
        return self.peer.done(self.client, count)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a worker and, where it does not in 2 s, its whole process group."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def calls(client: redis.Redis) -> int:
    """Commands the server has run so far, those called by scripts included."""
    return int(sum(stats["calls"] for stats in client.info("commandstats").values()))


def used(client: redis.Redis) -> int:
    """Bytes the server has in use for keys and values: neither for what clients have sent, nor for scripts."""
    stats = client.memory_stats()
    return int(stats["total.allocated"] - stats["clients.normal"] - stats.get("lua.caches", 0))


def until(reached: Callable[[], bool], what: str, pause_s: float = 0.005) -> None:
    """Waits for a condition; ends the measurement where it does not come."""
    limit = time.perf_counter() + PATIENCE_S
    while not reached():
        if time.perf_counter() > limit:
            raise SystemExit(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(pause_s)


def enqueue(asked: Asked) -> dict[str, Any]:
    """Jobs per second of one producer, one call each."""
    for number in range(50):
        asked.peer.enqueue(number)
    return {"per_s": one_by_one(asked.peer, asked.count)}


def one_by_one(peer: Peer, count: int) -> float:
    """Calls of `enqueue` per second."""
    began = time.perf_counter()
    for number in range(count):
        peer.enqueue(number)
    return count / (time.perf_counter() - began)


def bulk(asked: Asked) -> dict[str, Any]:
    """Jobs per second of one producer through the queue's bulk call, all in one call."""
    asked.peer.enqueue_many(10)
    began = time.perf_counter()
    asked.peer.enqueue_many(asked.count)
    return {"per_s": asked.count / (time.perf_counter() - began)}


def many(asked: Asked) -> dict[str, Any]:
    """Jobs with options, in one call: jobs per second, and microseconds for each to be made and to be sent."""
    asked.peer.send(asked.peer.prepared(10, asked.options))
    asked.client.flushdb()
    began = time.perf_counter()
    datas = asked.peer.prepared(asked.count, asked.options)
    made = time.perf_counter()
    asked.peer.send(datas)
    ended = time.perf_counter()
    make_us, send_us = (1e6 * took / asked.count for took in (made - began, ended - made))
    return {"per_s": asked.count / (ended - began), "make_us": make_us, "send_us": send_us}


def drain(asked: Asked) -> dict[str, Any]:
    """Jobs per second of one worker on a full queue."""
    asked.fill(asked.count)
    return rate(asked, asked.count, asked.count)


def depth(asked: Asked) -> dict[str, Any]:
    """Enqueue one by one onto `depth` queued jobs, then the drain of the first `count` with `depth` still behind."""
    asked.fill(asked.depth)
    produced = one_by_one(asked.peer, asked.count)
    found = rate(asked, asked.depth + asked.count, asked.count)
    return {"per_s": found["per_s"], "enqueue_per_s": produced}


def rate(asked: Asked, queued: int, count: int) -> dict[str, Any]:
    """Jobs per second of one worker on the first `count` of the `queued` jobs, at most `seconds` long.

    The clock runs from the second per cent on, so that the start of the worker is not in it. Time and number are
    taken together, and the last look before the end counts, so the pause between two looks is not in it either.
    """
    warm = max(2, count // 50)
    with asked.working():
        until(lambda: asked.done(queued) >= warm, "the second per cent of a drain")
        began, first, commands = time.perf_counter(), asked.done(queued), calls(asked.client)
        last, done = began, first
        while done < count and last - began < asked.seconds:
            time.sleep(POLL_S)
            seen, at = asked.done(queued), time.perf_counter()
            if seen >= count and done > first:
                break
            last, done = at, seen
        commands = calls(asked.client) - commands
        ran = max(1, asked.done(queued) - first)
    return {"per_s": (done - first) / (last - began), "commands": commands / ran, "jobs": done - first}


def wait(asked: Asked) -> dict[str, Any]:
    """Milliseconds from enqueue to the value, idle worker."""
    return answered(asked, asked.peer.wait)


def ask(asked: Asked) -> dict[str, Any]:
    """Milliseconds of a call that enqueues and gives the value, idle worker."""
    return answered(asked, asked.peer.ask)


def answered(asked: Asked, call: Callable[[int], Any]) -> dict[str, Any]:
    """Milliseconds of a call that gives the value of its job, idle worker."""
    with asked.working():
        for number in range(20):
            call(number)
        took = []
        for number in range(asked.count):
            began = time.perf_counter()
            assert call(number) == number
            took.append(1000 * (time.perf_counter() - began))
    took.sort()
    return {"p50_ms": statistics.median(took), "p99_ms": took[int(len(took) * 0.99) - 1]}


def start(asked: Asked) -> dict[str, Any]:
    """Milliseconds from the start of a worker's process until the job that waits for it is finished."""
    took = []
    for _ in range(STARTS):
        asked.client.flushall()
        asked.peer.enqueue(0)
        began = time.perf_counter()
        with asked.working():
            until(lambda: asked.done(1) >= 1, "the first job of a worker")
            took.append(1000 * (time.perf_counter() - began))
    return {"ms": statistics.median(took)}


def idle(asked: Asked) -> dict[str, Any]:
    """Commands per second and memory of a worker with nothing to do, which has run one job."""
    asked.peer.enqueue(0)
    with asked.working() as worker:
        until(lambda: asked.done(1) >= 1, "the job before the idling")
        time.sleep(2)
        before, began = calls(asked.client), time.perf_counter()
        time.sleep(IDLE_S)
        per_s = (calls(asked.client) - before - 1) / (time.perf_counter() - began)
        return {"commands_per_s": per_s, **memory_of(worker.pid)}


def memory(asked: Asked) -> dict[str, Any]:
    """Bytes per job in Redis: queued, and finished with its result."""
    asked.peer.enqueue(0)
    with asked.working():
        until(lambda: asked.done(1) >= 1, "the job before the others")
    empty = used(asked.client)
    asked.fill(asked.count)
    queued = used(asked.client)
    with asked.working():
        until(lambda: asked.done(asked.count + 1) > asked.count, "all jobs are finished", 0.05)
    finished = used(asked.client)
    return {"queued": (queued - empty) / asked.count, "finished": (finished - empty) / asked.count}


def memory_of(pid: int) -> dict[str, float]:
    """Megabytes of a process and all it has forked, shared pages counted once (PSS); empty where no /proc tells it."""
    if not Path("/proc/self/smaps_rollup").exists():
        return {}
    return {"pss_mb": pss_kb(pid) / 1024}


def pss_kb(pid: int) -> int:
    """The same in kilobytes."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return own + sum(pss_kb(int(child)) for child in children)


WHAT = {
    "enqueue": enqueue,
    "bulk": bulk,
    "many": many,
    "drain": drain,
    "depth": depth,
    "wait": wait,
    "ask": ask,
    "start": start,
    "idle": idle,
    "memory": memory,
}


def main() -> None:
    """Reads the command line, measures, prints."""
    options = argparse.ArgumentParser()
    options.add_argument("peer", choices=PEERS)
    options.add_argument("what", choices=WHAT)
    options.add_argument("--variant", default="")
    options.add_argument("--load", default="noop")
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--depth", type=int, default=0)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--options", default="")
    options.add_argument("--forget", action="store_true")
    given = options.parse_args()
    os.environ["BENCH_VARIANT"] = given.variant
    port = int(os.environ["BENCH_PORT"])
    client = redis.Redis(port=port)
    client.flushall()
    peer = PEERS[given.peer](port, given.load, forget=given.forget)
    asked = Asked(peer, client, given.variant, given.count, given.depth, given.seconds, given.options)
    found = WHAT[given.what](asked)
    if given.variant:
        found["worker"] = " ".join([Path(peer.worker(given.variant)[0]).name, *peer.worker(given.variant)[1:]])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
