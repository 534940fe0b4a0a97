"""A long time: what grows is found by looking at the second and the last third of it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import redis

from rqlike import Queue, Retry
from tests.load.figures import Figure
from tests.process import jobs
from tests.process.workers import Stable, WorkerProcess
from tests.servers import eventually

_TTL_S = 2
_ROUND_S = 0.1
_WHY = "what has ended leaves nothing"


@dataclass
class _Samples:
    """What was seen, in order."""

    keys: list[int] = field(default_factory=list)
    server_kb: list[float] = field(default_factory=list)
    worker_kb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)


def soak(stable: Stable, *, seconds: float = 600.0) -> list[Figure]:
    """Two workers with two horses each, and jobs of all kinds for `seconds`; then until nothing is left."""
    client, queue = stable.client(), stable.queue("soak", result_ttl=_TTL_S, failure_ttl=_TTL_S)
    queue.enable_events(False)  # whose stream grows up to its cap, which takes longer than this
    workers = [stable.start("soak", concurrency=2, jobs_per_horse=200) for _ in range(2)]
    samples, made = _Samples(), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        made += _feed(queue, made)
        _look(samples, client, queue, workers)
        due = time.monotonic() + _ROUND_S
        eventually(lambda due=due: time.monotonic() >= due, 5.0, 0.02)  # type: ignore[misc]
    left, counts = _quiet(stable, queue), queue.counts()
    for worker in workers:
        worker.terminate()
    return [
        Figure("seconds", seconds),
        Figure("jobs", made),
        *_growth(samples),
        Figure("jobs that were not done at the end", counts["queued"] + counts["started"], 0, "promise 1"),
        Figure("keys left when all had ended and expired", left, 8, "the constants of a namespace"),
        Figure("workers that did not end with 0", sum(worker.ends() != 0 for worker in workers), 0, "SIGTERM is warm"),
    ]


def _feed(queue: Queue, number: int) -> int:
    """Jobs of all kinds; how many."""
    data = [queue.prepare_data(jobs.echo, (number + at,)) for at in range(12)]
    data += [queue.prepare_data(jobs.echo, (number,), result_ttl=0), queue.prepare_data(jobs.echo, ("x" * 20_000,))]
    data += [queue.prepare_data(jobs.fail, retry=Retry(1, 1)), queue.prepare_data(jobs.echo, (1,), delay=1)]
    made = queue.enqueue_many(data)
    assert made[0].wait(timeout=20) == number
    made[-1].cancel()
    queue.enqueue_in(60, jobs.echo, 1).delete()
    return len(data) + 1


def _look(samples: _Samples, client: redis.Redis, queue: Queue, workers: Sequence[WorkerProcess]) -> None:
    samples.keys.append(int(client.dbsize()))
    samples.server_kb.append(int(client.info("memory")["used_memory"]) / 1024)
    samples.worker_kb.append(sum(_resident_kb(worker.pid) for worker in workers) / len(workers))
    samples.descriptors.append(max(worker.descriptors() for worker in workers))
    samples.queued.append(queue.counts()["queued"])


def _resident_kb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def _growth(samples: _Samples) -> list[Figure]:
    looked: list[tuple[str, Sequence[float], float]] = [
        ("keys in the server", samples.keys, 1.15),
        ("memory of the server", samples.server_kb, 1.1),
        ("resident memory of a worker", samples.worker_kb, 1.03),
        ("descriptors of a worker", samples.descriptors, 1.15),
    ]
    figures = [Figure("queued jobs, most", max(samples.queued))]
    for what, values, most in looked:
        third = len(values) // 3
        middle, last = median(values[third : 2 * third]), median(values[2 * third :])
        figures.append(Figure(f"{what}, median of the last third", last))
        figures.append(Figure(f"{what}, last third : second third", last / middle, most, _WHY))
    return figures


def _quiet(stable: Stable, queue: Queue) -> int:
    """How many keys are left when everything has ended and expired, without those of living workers."""
    eventually(lambda: not queue.counts()["scheduled"], 30.0, 0.1, "what is due later has run")
    client = stable.client()

    def jobs_are_gone() -> bool:
        kinds = (f"{{{stable.namespace}}}:{kind}:*" for kind in ("job", "results"))
        return not any(list(client.scan_iter(kind, count=1000)) for kind in kinds)

    eventually(jobs_are_gone, 30.0, 0.25, "no job is left, nor its history")
    stable.burst("soak")  # one that begins looks for ids of expired jobs at once, an idle one each minute
    of_workers = (b":worker:", b":control:", b":lastcall:")
    keys = client.scan_iter(f"{{{stable.namespace}}}*", count=1000)
    return sum(not any(part in key for part in of_workers) for key in keys)
