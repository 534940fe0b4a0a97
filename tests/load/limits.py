"""Rates and concurrency of keys over many horses: how many start, and whether any key is kept waiting."""

from __future__ import annotations

from collections import Counter, defaultdict

from rqlike import Job, Queue, RateLimit
from rqlike.store import verbs
from tests.load.figures import Figure
from tests.process import jobs
from tests.process.workers import Stable, pass_time

_HORSES = 8
_PART = 500


def limits(stable: Stable, *, seconds: float = 30.0, loose: float = 0.01) -> list[Figure]:
    """`seconds` of a key with 100 starts a second, one with 20, one of which two may run at once, and jobs without a
    limit, all in one queue, the scarcest first. `loose`: by what share a rate may be missed."""
    queue = stable.queue("limited")
    rates = {
        "100 a second": (RateLimit("100 a second", limit=100), 100),
        "20 a second": (RateLimit("20", limit=20), 20),
    }
    datas = [
        Queue.prepare_data(jobs.nothing, rate_limit=limit)
        for limit, rate in rates.values()
        for _ in range(int(rate * seconds * 1.5))
    ]
    datas += [Queue.prepare_data(jobs.nothing, rate_limit=RateLimit("two at once", 2)) for _ in range(500)]
    datas += [Queue.prepare_data(jobs.nothing) for _ in range(500)]
    queue.enqueue_many(datas)
    stable.start("limited", concurrency=_HORSES)
    pass_time(seconds + 2)
    began = _began(queue)
    figures = []
    for name, (limit, rate) in rates.items():
        moments = [moment for moment in began[limit.key] if moment < began[limit.key][0] + 1000 * seconds]
        off = abs(len(moments) - rate * seconds) / (rate * seconds)
        busiest = max(Counter(moment // 1000 for moment in moments).values())
        figures += [
            Figure(f"{name}: starts in {seconds:g} s", len(moments)),
            Figure(f"{name}: off by, in %", 100 * off, 100 * loose, "neither more nor less than was said"),
            Figure(f"{name}: most in one second of the clock", busiest, 1.05 * rate + 1, "(1 + 0.05) * rate + burst"),
        ]
    left = {"two at once": 500 - len(began["two at once"]), "without a limit": 500 - len(began[""])}
    figures += [
        Figure(f"{name}: jobs that were kept waiting", kept, 0, "no key starves") for name, kept in left.items()
    ]
    return figures


def _began(queue: Queue) -> dict[str, list[int]]:
    """When each execution began, in ms, by the key of its limit; '' where it has none."""
    found = defaultdict[str, list[int]](list)
    ids = queue.finished_job_registry.get_job_ids()
    for at in range(0, len(ids), _PART):
        part = ids[at : at + _PART]
        records = queue.store.run(verbs.newest(part))
        fetched = Job.fetch_many(part, queue.connection, queue.store.namespace)
        for job, result in zip(fetched, records, strict=True):
            if job is not None and result is not None:
                found[job.rate_limit.key if job.rate_limit else ""].append(result.started_ms)
    return defaultdict(list, {key: sorted(moments) for key, moments in found.items()})
