"""One small class per queue, run by that queue's own interpreter: only the standard library and the queue itself.

`port` is a server that holds nothing of value: it is flushed by every measurement.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

BIN = Path(sys.executable).parent
sys.path.insert(0, str(Path(__file__).parent))

import work  # noqa: E402  # the module's own folder is its import path in every peer's environment


class Peer:
    """What a measurement needs of a queue."""

    drain: ClassVar[dict[str, int]] = {}  #: variant -> jobs per drain
    round_trips: ClassVar[tuple[str, ...]] = ()  #: variants whose latency is measured

    def __init__(self, port: int) -> None:
        self.port = port

    def enqueue(self, number: int) -> Any:
        """One job."""
        raise NotImplementedError

    def enqueue_many(self, count: int) -> None:
        """The queue's own bulk call, where it has one."""
        for number in range(count):
            self.enqueue(number)

    def worker(self, variant: str) -> list[str]:
        """The command line of one worker."""
        raise NotImplementedError

    def done(self, client: Any) -> int:
        """How many jobs are finished, by the cheapest command that tells it."""
        raise NotImplementedError

    def wait(self, number: int) -> Any:
        """Enqueues a job and blocks until its value is there."""
        raise NotImplementedError


class Rqlike(Peer):
    """rqlike with its defaults."""

    drain: ClassVar = {"default": 8000, "isolate": 800, "c2": 8000}
    round_trips: ClassVar = ("default", "isolate")

    def __init__(self, port: int) -> None:
        super().__init__(port)
        import redis

        from rqlike import Queue

        self.queue = Queue("default", connection=redis.Redis(port=port))

    def enqueue(self, number: int) -> Any:
        return self.queue.enqueue(work.noop, number)

    def enqueue_many(self, count: int) -> None:
        make = self.queue.prepare_data
        self.queue.enqueue_many([make(work.noop, (number,)) for number in range(count)])

    def worker(self, variant: str) -> list[str]:
        more = {"default": [], "isolate": ["--isolate"], "c2": ["--concurrency", "2"]}[variant]
        return [str(BIN / "rqlike"), "worker", "default", "--url", f"redis://127.0.0.1:{self.port}/0", "-q", *more]

    def done(self, client: Any) -> int:
        return int(client.zcard(self.queue.finished_job_registry.key))

    def wait(self, number: int) -> Any:
        result = self.enqueue(number).latest_result(timeout=30)
        return result.return_value


class RQ(Peer):
    """RQ: the forking Worker, and SimpleWorker."""

    drain: ClassVar = {"fork": 400, "simple": 1500}
    round_trips: ClassVar = ("fork",)

    def __init__(self, port: int) -> None:
        super().__init__(port)
        import redis
        import rq

        self.queue = rq.Queue("default", connection=redis.Redis(port=port))
        self.prepare = rq.Queue.prepare_data

    def enqueue(self, number: int) -> Any:
        return self.queue.enqueue(work.noop, number)

    def enqueue_many(self, count: int) -> None:
        self.queue.enqueue_many([self.prepare(work.noop, (number,)) for number in range(count)])

    def worker(self, variant: str) -> list[str]:
        kind = {"fork": "rq.Worker", "simple": "rq.SimpleWorker"}[variant]
        url = f"redis://127.0.0.1:{self.port}/0"
        return [str(BIN / "rq"), "worker", "default", "--url", url, "-w", kind, "-q"]

    def done(self, client: Any) -> int:
        return int(client.zcard("rq:finished:default"))

    def wait(self, number: int) -> Any:
        return self.enqueue(number).latest_result(timeout=30).return_value


class Huey(Peer):
    """huey with one worker process; `notify1` has its results delivered by blocking reads."""

    drain: ClassVar = {"proc1": 6000, "notify1": 4000}
    round_trips: ClassVar = ("notify1",)

    def __init__(self, port: int) -> None:
        super().__init__(port)
        import huey_app

        self.noop = huey_app.noop

    def enqueue(self, number: int) -> Any:
        return self.noop(number)

    def worker(self, variant: str) -> list[str]:
        return [str(BIN / "huey_consumer"), "huey_app.huey", "-k", "process", "-w", "1", "-q"]

    def done(self, client: Any) -> int:
        return int(client.hlen("huey.results.bench"))

    def wait(self, number: int) -> Any:
        return self.enqueue(number).get(blocking=True, timeout=30)


PEERS: dict[str, type[Peer]] = {"rqlike": Rqlike, "rq": RQ, "huey": Huey}
