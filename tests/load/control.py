"""A queue of very many jobs is deleted: how long the server serves nobody else, and what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from rqlike import JobStatus, Queue
from rqlike.store.requests import Request
from tests.load.figures import Figure
from tests.process import jobs
from tests.process.workers import Stable
from tests.servers import Server, eventually

_SLOW_MS = 20.0
_LOOK_US = 1_000
_TRACES_S = 6.0


def control(stable: Stable, *, count: int = 1_000_000) -> list[Figure]:
    """`count` jobs, a tenth of them failed and a tenth scheduled: groups, requeue, clean, empty, and obliterate."""
    client = stable.client()
    queue = stable.queue("doomed")
    tenth = count // 10
    made = (Queue.prepare_data(jobs.echo, (number,)) for number in range(8 * tenth))
    later = (Queue.prepare_data(jobs.echo, (number,), delay=3600) for number in range(tenth))
    broken = (Queue.prepare_data(jobs.fail) for _ in range(tenth))
    queue.enqueue_many(broken)
    _fail_all(stable, queue, tenth)
    queue.enqueue_many(made)
    queue.enqueue_many(later)
    registry = queue.failed_job_registry
    client.config_set("slowlog-log-slower-than", _LOOK_US)
    client.config_set("slowlog-max-len", 20_000)
    acts: dict[str, Callable[[], object]] = {
        "summary": registry.summary,
        "requeue_all": lambda: registry.requeue_all(limit=tenth // 2),
        "clean": lambda: queue.clean("failed", limit=tenth // 4),
        "obliterate": lambda: queue.obliterate(),
    }
    figures = [Figure("jobs", sum(queue.counts().values()))]
    for name, act in acts.items():
        before = sum(queue.counts().values())
        client.slowlog_reset()
        began = time.monotonic()
        with _each_call(queue, stable.server, client) as processor_ms:
            act()
        seconds = time.monotonic() - began
        figures += [
            Figure(f"{name}: seconds", seconds),
            Figure(f"{name}: calls", len(processor_ms)),
            Figure(
                f"{name}: longest script, ms of the processor", max(processor_ms), _SLOW_MS, "others are served too"
            ),
            Figure(f"{name}: longest script, ms by SLOWLOG, with what else the machine did", _longest_ms(client)),
        ]
        if name == "obliterate":
            figures.append(Figure("obliterate: jobs/s", before / seconds))
    return [*figures, Figure("keys left, all but the counter's", _left(client, queue), 0, "nothing of it is left")]


@contextmanager
def _each_call(queue: Queue, server: Server, client: redis.Redis) -> Iterator[list[float]]:
    """What each call takes the server, without what it spends between them on the traces whose 5 s are over."""
    found: list[float] = []
    run = queue.store.run

    def measured(request: Request[Any]) -> Any:
        expiring = _expiring_ms(client)
        before = server.processor_ms()
        answer = run(request)
        took = server.processor_ms() - before
        found.append(max(0.0, took - (_expiring_ms(client) - expiring)))
        return answer

    queue.store.run = measured  # type: ignore[method-assign]
    try:
        yield found
    finally:
        queue.store.run = run  # type: ignore[method-assign]


def _expiring_ms(client: redis.Redis) -> int:
    return int(client.info("stats")["expire_cycle_cpu_milliseconds"])


def _fail_all(stable: Stable, queue: Queue, count: int) -> None:
    stable.start("doomed", concurrency=2)
    eventually(lambda: queue.counts()[JobStatus.FAILED] >= count, 300.0, 0.05, "they have failed")
    worker = stable.started.pop()
    worker.terminate()
    assert worker.ends() == 0, worker.log


def _longest_ms(client: redis.Redis) -> float:
    scripts = [one["duration"] for one in client.slowlog_get(20_000) if b"EVALSHA" in one["command"]]
    return max(scripts, default=0) / 1000


def _left(client: redis.Redis, queue: Queue) -> int:
    """Keys of the namespace, once the traces of what was deleted are over."""
    keys = queue.store.keys
    own = {keys.sequence(), keys.contact(), keys.watch()}
    lasting = set[str]()

    def are_over() -> bool:
        lasting.clear()
        lasting.update(key.decode() for key in client.scan_iter(match=keys.prefix + "*", count=10_000))
        return lasting <= own

    try:
        eventually(are_over, 4 * _TRACES_S, 0.5)
    except AssertionError:
        return len(lasting - own)
    return int(client.hexists(keys.watch(), queue.name))
