"""Every way out of a job, seen by a thousand who wait for it: how soon the last one knows, and what each is told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from rqlike import Job, Queue
from rqlike.command import send_stop_job_command
from rqlike.exceptions import RqlikeError
from tests.load.figures import Figure, percentile
from tests.process import jobs
from tests.process.worker_main import bind_to_parent
from tests.process.workers import Stable, pass_time, running
from tests.servers import ROOT, eventually

_PATIENCE_S = 30.0
_SERVED, _UNSERVED = "served", "unserved"  #: queues: a worker listens on the first
_RUNNING = 8  #: jobs that run at once and are stopped
_AT_ONCE = 50  #: waiters of one process that connect: a server takes 511 at a time
_LEAST_S = 0.05  #: by how much all of them must have blocked before a deadline

Made = list[Job[Any]]
#: The moment from which the waiters of each job may know, in seconds since the epoch: its act is acknowledged.
Moments = dict[str, float]


class Way(NamedTuple):
    """One way out: how jobs come to where it begins, the act, and what their waiters are to be told."""

    name: str
    make: Callable[[int], Made]
    act: Callable[[Made], Moments]
    answer: object
    most: int | None = None  #: jobs at once, where it takes a horse for each


def leaving(
    stable: Stable, *, count: int = 1000, processes: int = 4, ttl: float = 4.0, most_ms: float = 100.0
) -> list[Figure]:
    """`count` waiters on one job, then on as many jobs as waiters, for each way out. `ttl`: seconds, in which all of
    them must have blocked. `most_ms`: from the act's acknowledgement, or the deadline, until the last one returns."""
    stable.start(_SERVED, concurrency=_RUNNING)
    crowd = _Crowd(stable, processes)
    figures = [Figure("waiters", count)]
    try:
        for way in _ways(stable, ttl):
            for number in (1, min(count, way.most or count)):
                figures += _left(stable, crowd, way, number, count, most_ms)
    finally:
        crowd.close()
    return figures


def _left(stable: Stable, crowd: _Crowd, way: Way, number: int, count: int, most_ms: float) -> list[Figure]:
    made = way.make(number)
    crowd.wait_for([made[at % number].id for at in range(count)])
    _all_block(stable.client(), count)
    blocked = time.time()
    moments = way.act(made)
    told = crowd.told()
    late = [1000 * (returned - moments[job_id]) for job_id, _, returned in told]
    wrong = sum(answer != way.answer for _, answer, _ in told)
    name = f"{way.name}, {'one job' if number == 1 else f'{number} jobs'}"
    figures = [
        Figure(f"{name}: ms until the last one knew", max(late), most_ms, "every way out wakes"),
        Figure(f"{name}: ms until half of them knew", percentile(late, 0.5)),
        Figure(f"{name}: told something else than {way.answer}", wrong, 0, "promise 4"),
    ]
    if min(moments.values()) < blocked - _LEAST_S:
        figures.append(Figure(f"{name}: began before all waiters had blocked", 1, 0, "give a longer ttl"))
    return figures


# -- the ways ----------------------------------------------------------------------------------------------------------


def _ways(stable: Stable, ttl: float) -> list[Way]:
    served, unserved = stable.queue(_SERVED), stable.queue(_UNSERVED)

    def waiting(number: int) -> Made:
        return unserved.enqueue_many([Queue.prepare_data(jobs.nothing) for _ in range(number)])

    def keyed(number: int) -> Made:
        datas = [Queue.prepare_data(jobs.nothing, unique_key=f"key {at}") for at in range(number)]
        return unserved.enqueue_many(datas)

    def replaced(made: Made) -> Moments:
        def again(at: int) -> None:
            unserved.enqueue(jobs.nothing, unique_key=f"key {at}", on_duplicate="replace", ttl=_PATIENCE_S)

        moments = {}
        for at, job in enumerate(made):
            again(at)
            moments[job.id] = time.time()
        unserved.empty()
        return moments

    def started(number: int) -> Made:
        made = served.enqueue_many([Queue.prepare_data(jobs.sleep_long) for _ in range(number)])
        for job in made:
            running(job)
        return made

    def expiring(queue: Queue, held: bool) -> Callable[[int], Made]:
        def make(number: int) -> Made:
            if held:
                queue.pause()
            return queue.enqueue_many([Queue.prepare_data(jobs.nothing, ttl=ttl) for _ in range(number)])

        return make

    def paused(number: int) -> Made:
        served.pause()
        return served.enqueue_many([Queue.prepare_data(jobs.nothing) for _ in range(number)])

    def resumed(made: Made) -> Moments:
        served.resume()
        return {job.id: _recorded(job) for job in made}

    stop = _each(lambda job: send_stop_job_command(stable.client(), job.id, namespace=stable.namespace))
    return [
        Way("canceled", waiting, _each(Job.cancel), "JobCanceled"),
        Way("deleted", waiting, _each(Job.delete), "NoSuchJobError"),
        Way("replaced", keyed, replaced, "JobCanceled"),
        Way("stopped", started, stop, "JobStopped", _RUNNING),
        Way("expired, no worker", expiring(unserved, False), _deadlines, "JobExpired"),
        Way("expired, a worker", expiring(served, True), _deadlines, "JobExpired"),
        Way("finished with None", paused, resumed, None),
    ]


def _each(act: Callable[[Job[Any]], None]) -> Callable[[Made], Moments]:
    def acts(made: Made) -> Moments:
        moments = {}
        for job in made:
            act(job)
            moments[job.id] = time.time()
        return moments

    return acts


def _deadlines(made: Made) -> Moments:
    return {job.id: (job.record.deadline_ms or 0) / 1000 for job in made}


def _recorded(job: Job[Any]) -> float:
    """When its execution was recorded, by the clock of the server, which is that of this machine."""
    result = job.latest_result(timeout=_PATIENCE_S)
    assert result is not None, f"{job.id} has not run"
    return result.created_at.timestamp()


# -- those who wait ----------------------------------------------------------------------------------------------------


def _all_block(client: redis.Redis, count: int) -> None:
    def are() -> bool:
        return sum(one["cmd"] == "xread" and "b" in one["flags"] for one in client.client_list()) >= count

    eventually(are, _PATIENCE_S, 0.02, f"{count} waiters block")


class _Crowd:
    """Processes full of threads, each of which waits for a job on a connection of its own, as often as it is told."""

    def __init__(self, stable: Stable, processes: int) -> None:
        asked = json.dumps({"url": stable.server.url, "namespace": stable.namespace})
        command = [sys.executable, "-m", "tests.load.leaving", asked]
        self._processes = [
            subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(processes)
        ]

    def wait_for(self, job_ids: Sequence[str]) -> None:
        """A waiter for each of the ids begins."""
        for at, process in enumerate(self._processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps(job_ids[at :: len(self._processes)]) + "\n")
            process.stdin.flush()

    def told(self) -> list[tuple[str, object, float]]:
        """Per waiter: the id, the value or the name of the error, and when it came."""
        found: list[tuple[str, object, float]] = []
        for process in self._processes:
            assert process.stdout is not None
            found += [(job_id, answer, returned) for job_id, answer, returned in json.loads(process.stdout.readline())]
        return found

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


def main() -> None:
    """One process of a crowd."""
    bind_to_parent()
    asked = json.loads(sys.argv[1])
    with redis.Redis.from_url(asked["url"], max_connections=10_000) as client:  # all ask at once
        for line in sys.stdin:
            print(json.dumps(_wait_for_all(Job.fetch_many(json.loads(line), client, asked["namespace"]))), flush=True)


def _wait_for_all(found: Sequence[Job[Any] | None]) -> list[tuple[str, object, float]]:
    told: list[tuple[str, object, float]] = []

    def wait(job: Job[Any]) -> None:
        answer: object
        try:
            answer = job.wait(timeout=_PATIENCE_S)
        except RqlikeError as error:
            answer = type(error).__name__
        told.append((job.id, answer, time.time()))

    threads = [threading.Thread(target=wait, args=(job,)) for job in found if job is not None]
    for number, thread in enumerate(threads):
        thread.start()
        if number % _AT_ONCE == _AT_ONCE - 1:
            pass_time(0.01)
    for thread in threads:
        thread.join()
    return told


if __name__ == "__main__":
    main()
