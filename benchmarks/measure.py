"""One measurement of one queue, run by that queue's own interpreter; prints one JSON object.

    BENCH_PORT=6390 python measure.py PEER WHAT [--variant V] [--count N]

WHAT: enqueue | bulk | drain | latency | idle. The server at BENCH_PORT is flushed.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from peers import PEERS, Peer  # noqa: E402  # found through the line above, in whatever environment this runs


@contextmanager
def working(peer: Peer, variant: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker for the time of the block, with all it has forked."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "BENCH_VARIANT": variant}
    process = subprocess.Popen(
        peer.worker(variant),
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
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def calls(client: redis.Redis) -> int:
    """Commands the server has run so far, those called by scripts included."""
    return sum(int(stats["calls"]) for stats in client.info("commandstats").values())


def enqueue(peer: Peer, client: redis.Redis, count: int, variant: str) -> dict[str, Any]:
    """Jobs per second of one producer, one call each."""
    for number in range(50):
        peer.enqueue(number)
    began = time.perf_counter()
    for number in range(count):
        peer.enqueue(number)
    return {"per_s": count / (time.perf_counter() - began)}


def bulk(peer: Peer, client: redis.Redis, count: int, variant: str) -> dict[str, Any]:
    """Jobs per second of one producer through the queue's bulk call."""
    peer.enqueue_many(10)
    began = time.perf_counter()
    peer.enqueue_many(count)
    return {"per_s": count / (time.perf_counter() - began)}


def drain(peer: Peer, client: redis.Redis, count: int, variant: str) -> dict[str, Any]:
    """Jobs per second of one worker on a full queue; the clock runs from the second per cent on."""
    empty = client.info("memory")["used_memory"]
    peer.enqueue_many(count)
    queued = client.info("memory")["used_memory"]
    with working(peer, variant) as worker:
        limit = time.perf_counter() + 120
        started: tuple[float, int, int] | None = None
        while (done := peer.done(client)) < count:
            now = time.perf_counter()
            if started is None and done >= count // 50:
                started = now, done, calls(client)
            if now > limit:
                raise SystemExit(f"{done} of {count} done after 120 s")
            time.sleep(0.005)
        assert started is not None
        seconds, measured = time.perf_counter() - started[0], count - started[1]
        commands = (calls(client) - started[2]) / measured
        resident = memory(worker.pid)
    return {
        "per_s": measured / seconds,
        "commands": commands,
        "bytes_queued": (queued - empty) / count,
        "bytes_finished": (client.info("memory")["used_memory"] - empty) / count,
        "pss_mb": resident / 1024,
    }


def latency(peer: Peer, client: redis.Redis, count: int, variant: str) -> dict[str, Any]:
    """Milliseconds from enqueue to the value, idle worker."""
    with working(peer, variant):
        for number in range(20):
            peer.wait(number)
        took = []
        for number in range(count):
            began = time.perf_counter()
            assert peer.wait(number) == number
            took.append(1000 * (time.perf_counter() - began))
    took.sort()
    return {"p50_ms": statistics.median(took), "p99_ms": took[int(len(took) * 0.99) - 1]}


def idle(peer: Peer, client: redis.Redis, count: int, variant: str) -> dict[str, Any]:
    """Commands per second and memory of a worker with nothing to do."""
    peer.enqueue(0)
    with working(peer, variant) as worker:
        while peer.done(client) < 1:
            time.sleep(0.01)
        time.sleep(2)
        before, began = calls(client), time.perf_counter()
        time.sleep(10)
        rate = (calls(client) - before - 1) / (time.perf_counter() - began)
        return {"commands_per_s": rate, "pss_mb": memory(worker.pid) / 1024}


def memory(pid: int) -> int:
    """Kilobytes of a process and all it has forked, shared pages counted once (PSS)."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    own = next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    return own + sum(memory(int(child)) for child in children)


WHAT = {"enqueue": enqueue, "bulk": bulk, "drain": drain, "latency": latency, "idle": idle}


def main() -> None:
    """Reads the command line, measures, prints."""
    options = argparse.ArgumentParser()
    options.add_argument("peer", choices=PEERS)
    options.add_argument("what", choices=WHAT)
    options.add_argument("--variant", default="")
    options.add_argument("--count", type=int, default=1000)
    given = options.parse_args()
    os.environ["BENCH_VARIANT"] = given.variant
    port = int(os.environ["BENCH_PORT"])
    client = redis.Redis(port=port)
    client.flushall()
    peer = PEERS[given.peer](port)
    print(json.dumps(WHAT[given.what](peer, client, given.count, given.variant)))


if __name__ == "__main__":
    main()
