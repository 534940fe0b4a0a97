"""Many workers on one machine, forked from one process that has everything imported: 200 of them start in seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from rqlike import Queue, Worker
from tests.process.worker_main import bind_to_parent
from tests.servers import ROOT, eventually


class Fleet:
    """So many workers on one queue; they end with this object, and with the process that made it."""

    def __init__(self, queue: Queue, url: str, count: int, **options: Any) -> None:
        self.count = count
        self._client: redis.Redis = queue.store.client
        asked = {"count": count, "url": url, "namespace": queue.store.namespace, "queue": queue.name}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.fleet", json.dumps({**asked, "options": options})],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def workers(self) -> list[int]:
        """The pids of the workers."""
        return _children(self._process.pid)

    def memory_kb(self) -> int:
        """Memory of all workers and their horses; what several of them share is counted once (PSS)."""
        pids = [pid for worker in self.workers() for pid in (worker, *_children(worker))]
        return sum(_own_kb(pid) for pid in pids)

    def listens(self, timeout: float = 120.0) -> Self:
        """Waits until all of them are idle: each blocks for work and for orders."""
        eventually(lambda: blocked(self._client) >= 2 * self.count, timeout, 0.1, f"{self.count} workers are idle")
        return self

    def terminate(self, timeout: float = 60.0) -> int:
        """SIGTERM to all of them; how many ended with 0."""
        for pid in self.workers():
            os.kill(pid, signal.SIGTERM)
        return self.count - self._process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait(20)


def blocked(client: redis.Redis) -> int:
    """How many clients block on a sorted set."""
    listed: list[dict[str, str]] = client.client_list()
    return sum(one["cmd"] == "bzpopmin" and "b" in one["flags"] for one in listed)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _own_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _work(asked: Mapping[str, Any]) -> int:
    bind_to_parent()
    worker = Worker([asked["queue"]], connection=asked["url"], namespace=asked["namespace"], **asked["options"])
    worker.work(logging_level=None)
    return worker.exit_code


def main() -> int:
    """Forks the workers and waits for them; how many did not end with 0."""
    asked = json.loads(sys.argv[1])
    bind_to_parent()
    for _ in range(asked["count"]):
        if os.fork() == 0:
            os._exit(_work(asked))
    return sum(os.wait()[1] != 0 for _ in range(asked["count"]))


if __name__ == "__main__":
    sys.exit(main())
