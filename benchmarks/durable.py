"""What `durable=True` costs: enqueues with and without it, taking turns, on the same server.

    python -m benchmarks.durable

Prints the median of each in milliseconds and their ratio, for a disk that is synced at each write, for one that is
synced every second, and for a replica on the same machine. The disk is that of the temporary directory.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from benchmarks.servers import server
from benchmarks.work import noop
from rqlike import Queue

PIN = "split"


@contextmanager
def kept_by(sync: str | None, replica: bool) -> Iterator[redis.Redis]:
    """A server with an append-only file that is synced so, or none, and with a replica or without."""
    with ExitStack() as stack:
        words = ["--dir", stack.enter_context(tempfile.TemporaryDirectory()), "--repl-diskless-sync-delay", "0"]
        if sync is not None:
            words += ["--appendonly", "yes", "--appendfsync", sync]
        client = stack.enter_context(server(PIN, *words))
        if replica:
            port = client.connection_pool.connection_kwargs["port"]
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(server(PIN, "--dir", folder, "--replicaof", "127.0.0.1", str(port)))
            while client.info("replication").get("slave0", {}).get("state") != "online":
                time.sleep(0.05)
        yield client


def compared(client: redis.Redis, rounds: int) -> tuple[float, float]:
    """Medians in ms of a plain enqueue and of a durable one."""
    queue = Queue("q", client)
    took: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for durable, times in took.items():
            began = time.perf_counter()
            queue.enqueue(noop, 1, durable=durable)
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(took[False]), statistics.median(took[True])


def main() -> None:
    """All cases, one line each."""
    print(f"{'server':<34} {'plain ms':>9} {'durable ms':>11} {'ratio':>7}")
    cases = [("always", False, 500), ("everysec", False, 10), (None, True, 500), ("always", True, 500)]
    for sync, replica, rounds in cases:
        with kept_by(sync, replica) as client:
            plain, durable = compared(client, rounds)
        disk = f"appendfsync {sync}" if sync else "appendonly no"
        name = f"{disk}{', a replica' if replica else ''}"
        print(f"{name:<34} {plain:>9.2f} {durable:>11.2f} {durable / plain:>7.1f}")


if __name__ == "__main__":
    main()
