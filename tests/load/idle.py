"""Many idle workers: what they cost the server, whom one job wakes, and how soon it is run."""

from __future__ import annotations

import time

import redis

from rqlike import Queue
from tests.load.figures import Figure, percentile
from tests.load.fleet import Fleet
from tests.process import jobs
from tests.process.workers import pass_time
from tests.servers import Server, eventually

_HERD = "enqueue, look, claim, settle, and one claim more where a queue was found to hold more"


def idle(
    server: Server, namespace: str, *, workers: int = 200, seconds: float = 15.0, rounds: int = 600
) -> list[Figure]:
    """`workers` of them: `seconds` of quiet, `rounds` single jobs, one burst of as many jobs as workers, SIGTERM.

    Who has waited longest is woken first, so it takes as many rounds as workers until each has run its first job."""
    with server.client() as client:
        queue = Queue("herd", client, namespace=namespace)
        with Fleet(queue, server.url, workers) as fleet:
            began = time.monotonic()
            fleet.listens()
            started = time.monotonic() - began
            quiet = _quiet(client, seconds)
            single = _one_by_one(client, queue, rounds, quiet[0].value)
            burst = _burst(queue, workers)
            memory = fleet.memory_kb() / workers / 1024
            ended = fleet.terminate()
    return [
        Figure("workers", workers),
        Figure("seconds until all of them were idle", started),
        *quiet,
        Figure("script calls per second and worker", quiet[0].value / workers, 0.5, "a look in 5 s, a renewal in 15 s"),
        *single,
        *burst,
        Figure("MB per worker with its horse, where they share what was imported before their forks", memory),
        Figure("workers that did not end with 0 after SIGTERM", workers - ended, 0, "a warm shutdown is 0"),
    ]


def _scripts(client: redis.Redis) -> int:
    return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def _cpu_s(client: redis.Redis) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def _quiet(client: redis.Redis, seconds: float) -> list[Figure]:
    scripts, cpu, began = _scripts(client), _cpu_s(client), time.monotonic()
    pass_time(seconds)
    took = time.monotonic() - began
    return [
        Figure("script calls per second while nothing was to do", (_scripts(client) - scripts) / took),
        Figure("% of a core for the server meanwhile", 100 * (_cpu_s(client) - cpu) / took, 10, "they wait, not poll"),
    ]


def _one_by_one(client: redis.Redis, queue: Queue, rounds: int, idle_rate: float) -> list[Figure]:
    """Each job must wake one worker, not all of them."""
    scripts, began = _scripts(client), time.monotonic()
    waits = []
    for number in range(rounds):
        since = time.monotonic()
        assert queue.enqueue(jobs.echo, number).wait(timeout=20) == number
        waits.append(1000 * (time.monotonic() - since))
    calls = _scripts(client) - scripts - idle_rate * (time.monotonic() - began)
    return [
        Figure("script calls per job", calls / rounds, 7, _HERD),
        Figure("ms from enqueue to value, p50", percentile(waits, 0.5)),
        Figure("ms from enqueue to value, p99", percentile(waits, 0.99), 1000, "a marker wakes whoever has waited"),
    ]


def _burst(queue: Queue, count: int) -> list[Figure]:
    began = time.monotonic()
    made = queue.enqueue_many([queue.prepare_data(jobs.echo, (number,)) for number in range(count)])
    eventually(lambda: queue.counts()["finished"] >= count, 60.0, 0.02, f"{count} jobs at once are done")
    took = time.monotonic() - began
    names = {result.worker_name for job in made if (result := job.latest_result()) is not None}
    return [
        Figure("ms until a burst of as many jobs was done", 1000 * took),
        Figure("workers that took part", len(names)),
    ]
