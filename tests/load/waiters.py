"""Many waiters on one server: each learns what became of its job, and soon."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import redis

from rqlike import Job
from rqlike.exceptions import RqlikeError
from tests.load.figures import Figure, percentile
from tests.process import jobs
from tests.process.worker_main import bind_to_parent
from tests.process.workers import Stable
from tests.servers import ROOT, eventually

_THREADS = 250  #: waiters in one process
_LIMIT_S = 120.0

_SHARED = "they share two cores with the server and the worker"


def waiters(stable: Stable, *, count: int = 2000) -> list[Figure]:
    """`count` waiters, each on a job of its own, which a worker then runs; and as many on one job that is canceled."""
    client, queue = stable.client(), stable.queue("waited")
    made = queue.enqueue_many([queue.prepare_data(jobs.echo, (number,)) for number in range(count)])
    crowd = _Crowd(stable, [job.id for job in made])
    _all_block(client, count)
    memory = int(client.info("memory")["mem_clients_normal"])
    stable.start("waited")
    told = crowd.learnt()
    late = [learnt - ended for _, learnt, ended in told]

    job = stable.queue("unserved").enqueue(jobs.nothing)
    crowd = _Crowd(stable, [job.id] * count)
    _all_block(client, count)
    canceled_at = time.time()
    job.cancel()
    same = crowd.learnt()
    after, canceled = [learnt - canceled_at for _, learnt, _ in same], ["JobCanceled"] * count
    return [
        Figure("waiters", count),
        Figure("that did not get the value of their job", _others(told, range(count)), 0, "promise 4"),
        Figure("ms from a job's end until its waiter knew, p50", 1000 * percentile(late, 0.5)),
        Figure("ms from a job's end until its waiter knew, p99", 1000 * percentile(late, 0.99), 3000, _SHARED),
        Figure("waiters of one job that did not learn of its cancel", _others(same, canceled), 0, "promise 4"),
        Figure("ms until the last of them knew", 1000 * max(after), 5000, _SHARED),
        Figure("kB of the server per waiter", memory / count / 1024),
    ]


def _others(told: Sequence[tuple[object, float, float]], wanted: Sequence[object]) -> int:
    return sum(answer != right for (answer, _, _), right in zip(told, wanted, strict=True))


def _all_block(client: redis.Redis, count: int) -> None:
    def are() -> bool:
        return sum(one["cmd"] == "xread" and "b" in one["flags"] for one in client.client_list()) >= count

    eventually(are, _LIMIT_S, 0.1, f"{count} waiters block")


class _Crowd:
    """A waiter for each of the ids, in processes of 250 threads."""

    def __init__(self, stable: Stable, job_ids: Sequence[str]) -> None:
        parts = [job_ids[at : at + _THREADS] for at in range(0, len(job_ids), _THREADS)]
        self._processes = [self._start(stable, part) for part in parts]

    def _start(self, stable: Stable, part: Sequence[str]) -> subprocess.Popen[str]:
        asked = {"url": stable.server.url, "namespace": stable.namespace, "ids": part}
        command = [sys.executable, "-m", "tests.load.waiters"]
        process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        return process

    def learnt(self) -> list[tuple[object, float, float]]:
        """Per waiter: the value or the name of the error, when it came, and when the job had ended."""
        told: list[tuple[object, float, float]] = []
        for process in self._processes:
            assert process.stdout is not None
            with process.stdout as out:
                told += [(answer, learnt, ended) for answer, learnt, ended in json.loads(out.read())]
            assert process.wait(10) == 0
        return told


def main() -> None:
    """One process of a crowd."""
    bind_to_parent()
    asked = json.loads(sys.stdin.read())
    with redis.Redis.from_url(asked["url"], max_connections=2 * _THREADS) as client:  # they all ask at once
        found = Job.fetch_many(asked["ids"], client, asked["namespace"])
        told: list[tuple[object, float, float]] = [("never", 0.0, 0.0)] * len(found)

        def wait(number: int, job: Job[object]) -> None:
            try:
                answer = job.wait(timeout=_LIMIT_S)
            except RqlikeError as error:
                answer = type(error).__name__
            learnt, newest = time.time(), job.latest_result()
            ended = newest.execution_ended_at.timestamp() if newest is not None else 0.0
            told[number] = (answer, learnt, ended)

        made = [
            threading.Thread(target=wait, args=(number, job)) for number, job in enumerate(found) if job is not None
        ]
        for thread in made:
            thread.start()
        for thread in made:
            thread.join()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
