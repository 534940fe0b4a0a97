"""One small class per queue, run by that queue's own interpreter: only the standard library and the queue itself.

`port` is a server that holds nothing of value: every measurement begins with an empty one. `load` is what the jobs
do: `noop`, `sleep:MS` or `burn:MS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

BIN = Path(sys.executable).parent
sys.path.insert(0, str(Path(__file__).parent))

import work  # noqa: E402  # the module's own folder is its import path in every peer's environment


class Peer:
    """What a measurement needs of a queue."""

    def __init__(self, port: int, load: str = "noop", *, forget: bool = False) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        name, _, ms = load.partition(":")
        self.function = getattr(work, name)
        self.ms = int(ms) if ms else None
        self.forget = forget  #: whether no result is to be kept

    def argument(self, number: int) -> int:
        """What the job numbered so is called with."""
        return number if self.ms is None else self.ms

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

    def done(self, client: Any, count: int) -> int:
        """How many of `count` jobs are finished, by the cheapest command that tells it."""
        raise NotImplementedError

    def wait(self, number: int) -> Any:
        """Enqueues a job and blocks until its value is there."""
        raise NotImplementedError

    def ask(self, number: int) -> Any:
        """The same by the queue's own call for it, where it has one."""
        return self.wait(number)

    def prepared(self, count: int, options: str) -> list[Any]:
        """So many jobs with these options each, for `send`."""
        raise NotImplementedError

    def send(self, datas: list[Any]) -> None:
        """Enqueues what was prepared, in one call."""
        raise NotImplementedError


class Rqlike(Peer):
    """rqlike with its defaults, and with one option each."""

    options: ClassVar = {
        "default": [],
        "no-prefetch": ["--no-prefetch"],
        "isolate": ["--isolate"],
        "c2": ["--concurrency", "2"],
    }

    def __init__(self, port: int, load: str = "noop", *, forget: bool = False) -> None:
        super().__init__(port, load, forget=forget)
        import redis

        from rqlike import Queue, Retry

        self.queue = Queue("default", connection=redis.Redis(port=port))
        self.options_of: dict[str, Callable[[int], dict[str, Any]]] = {
            "": lambda _: {},
            "delay": lambda _: {"delay": 60},
            "unique": lambda _: {"unique": True},  # by the content of the call
            "unique key": lambda number: {"unique_key": f"key {number}"},
            "retry": lambda _: {"retry": Retry(3)},
            "all": lambda _: {"delay": 60, "unique": True, "retry": Retry(3)},
            "all by key": lambda number: {"delay": 60, "unique_key": f"key {number}", "retry": Retry(3)},
        }
        self.more: dict[str, Any] = {"result_ttl": 0} if forget else {}

    def enqueue(self, number: int) -> Any:
        return self.queue.enqueue(self.function, self.argument(number), **self.more)

    def enqueue_many(self, count: int) -> None:
        make = self.queue.prepare_data
        self.queue.enqueue_many([make(self.function, (self.argument(n),), **self.more) for n in range(count)])

    def worker(self, variant: str) -> list[str]:
        return [str(BIN / "rqlike"), "worker", "default", "--url", self.url, "-q", *self.options[variant]]

    def done(self, client: Any, count: int) -> int:
        finished = self.queue.finished_job_registry.key
        if not self.forget:
            return int(client.zcard(finished))
        both = client.pipeline(transaction=False)
        for status in ("queued", "started"):
            both.zcard(finished.replace("finished", status))
        return count - int(sum(both.execute()))

    def wait(self, number: int) -> Any:
        result = self.enqueue(number).latest_result(timeout=30)
        return result.return_value

    def ask(self, number: int) -> Any:
        return self.queue.enqueue_and_wait(self.function, self.argument(number), timeout=30)

    def prepared(self, count: int, options: str) -> list[Any]:
        make, function, option = self.queue.prepare_data, self.function, self.options_of[options]
        return [make(function, (number,), **option(number)) for number in range(count)]

    def send(self, datas: list[Any]) -> None:
        self.queue.enqueue_many(datas)


class RQ(Peer):
    """RQ: the forking Worker, and SimpleWorker."""

    kinds: ClassVar = {"fork": "rq.Worker", "simple": "rq.SimpleWorker"}

    def __init__(self, port: int, load: str = "noop", *, forget: bool = False) -> None:
        super().__init__(port, load, forget=forget)
        import redis
        import rq

        self.queue = rq.Queue("default", connection=redis.Redis(port=port))
        self.prepare = rq.Queue.prepare_data

    def enqueue(self, number: int) -> Any:
        return self.queue.enqueue(self.function, self.argument(number))

    def enqueue_many(self, count: int) -> None:
        self.queue.enqueue_many([self.prepare(self.function, (self.argument(n),)) for n in range(count)])

    def worker(self, variant: str) -> list[str]:
        return [str(BIN / "rq"), "worker", "default", "--url", self.url, "-w", self.kinds[variant], "-q"]

    def done(self, client: Any, count: int) -> int:
        return int(client.zcard("rq:finished:default"))

    def wait(self, number: int) -> Any:
        return self.enqueue(number).latest_result(timeout=30).return_value


class Huey(Peer):
    """huey with one worker process; in `notify1` its results are delivered by blocking reads."""

    def __init__(self, port: int, load: str = "noop", *, forget: bool = False) -> None:
        super().__init__(port, load, forget=forget)
        import huey_app

        self.task = huey_app.tasks[self.function.__name__]

    def enqueue(self, number: int) -> Any:
        return self.task(self.argument(number))

    def worker(self, variant: str) -> list[str]:
        return [str(BIN / "huey_consumer"), "huey_app.huey", "-k", "process", "-w", "1", "-q"]

    def done(self, client: Any, count: int) -> int:
        return int(client.hlen("huey.results.bench"))

    def wait(self, number: int) -> Any:
        return self.enqueue(number).get(blocking=True, timeout=30)


PEERS: dict[str, type[Peer]] = {"rqlike": Rqlike, "rq": RQ, "huey": Huey}
