"""Single faults, measured: how soon it is known what a kill has cost, and what a long outage and SIGTERM cost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rqlike import Job, Queue, Retry
from rqlike.settings import LEASE_MS
from rqlike.states import CRASHES
from tests.chaos import bodies
from tests.chaos.evidence import read_bodies
from tests.chaos.kinds import QUEUES
from tests.chaos.people import now_ms
from tests.chaos.stage import Stage
from tests.process.workers import pass_time
from tests.servers import eventually

_LEASE_S: Final = LEASE_MS / 1000
_AWAY_S: Final = 60.0
Figures = dict[str, object]


def _enqueue(stage: Stage, log: Path, count: int, seconds: float, **options: Any) -> list[Job[Any]]:
    queue = stage.stable.queue(QUEUES[0])
    data = [
        Queue.prepare_data(bodies.perform, (str(log), f"j{number}", "nap", seconds), job_id=f"j{number}", **options)
        for number in range(count)
    ]
    return queue.enqueue_many(data)


def _begun(log: Path, count: int) -> None:
    eventually(lambda: len(read_bodies(log)) >= count, 30, 0.005, f"{count} bodies have begun")


def _all_ended(stage: Stage, limit: float) -> None:
    queue = stage.stable.queue(QUEUES[0])

    def none_left() -> bool:
        counts = queue.counts()
        return not (counts.queued + counts.started + counts.scheduled)

    eventually(none_left, limit, 0.02, "all jobs have ended")


def _known_after(jobs: Sequence[Job[Any]], struck_ms: float) -> Figures:
    """Seconds from the kill until each of the executions it ended was on record."""
    found = [result.record.created_ms for job in jobs for result in job.results() if result.reason in CRASHES]
    after = sorted((moment - struck_ms) / 1000 for moment in found)
    return {"executions": len(after), "first_s": round(after[0], 2), "last_s": round(after[-1], 2)}


def horses_killed(folder: Path) -> Figures:
    """All horses at once, while their workers live."""
    return _killed(folder, 2, lambda stage: _kill([pid for post in stage.posts for pid in post.worker.horses()]), 4)


def worker_killed(folder: Path) -> Figures:
    """One worker with its horses, while another one lives."""

    def strike(stage: Stage) -> None:
        stage.posts.pop(0).worker.kill()

    return _killed(folder, 2, strike, 4)


def sole_worker_killed(folder: Path) -> Figures:
    """The only worker, in whose place another one is started at once."""

    def strike(stage: Stage) -> None:
        stage.posts[0].worker.kill()
        stage.replace(stage.posts[0])

    return _killed(folder, 1, strike, 2)


def _killed(folder: Path, posts: int, strike: Callable[[Stage], None], begun: int) -> Figures:
    log = folder / "bodies"
    log.touch()
    with Stage(folder, 1, posts=posts, lease_s=_LEASE_S, networks=False) as stage:
        jobs = _enqueue(stage, log, 12, 1.0, retry=Retry(3))
        _begun(log, begun)
        struck = now_ms()
        strike(stage)
        _all_ended(stage, 90)
        quiet = (now_ms() - struck) / 1000
        return {**_known_after(jobs, struck), "quiet_s": round(quiet, 2)}


def server_away(folder: Path) -> Figures:
    """The server is killed under load and comes back after a minute, with the file it has kept."""
    log = folder / "bodies"
    log.touch()
    with Stage(folder, 1, posts=2, lease_s=_LEASE_S, networks=False) as stage:
        jobs = _enqueue(stage, log, 2000, 0.02) + _slow_ones(stage, log)
        _begun(log, 200)
        stage.server.kill()
        pass_time(_AWAY_S)
        stage.server.start()
        _all_ended(stage, 120)
        ran = Counter(body.job_id for body in read_bodies(log))
        results = [job.results() for job in jobs]
        return {
            "jobs": len(jobs),
            "lost": sum(not found for found in results),
            "run_twice": sum(count > 1 for count in ran.values()),
            "abandoned": sum(result.reason in CRASHES for found in results for result in found),
        }


def _slow_ones(stage: Stage, log: Path) -> list[Job[Any]]:
    """Two that run while the server is away, and longer than that."""
    queue = stage.stable.queue(QUEUES[0])
    arguments = [(str(log), f"slow{number}", "nap", seconds) for number, seconds in enumerate((20.0, _AWAY_S + 5))]
    return [queue.enqueue(bodies.perform, *one, job_id=one[1], at_front=True) for one in arguments]


def terminated(folder: Path, times: int = 25) -> Figures:
    """SIGTERM at random instants under load, many times."""
    log, dice = folder / "bodies", random.Random(1)
    log.touch()
    with Stage(folder, 1, posts=2, lease_s=_LEASE_S, networks=False) as stage:
        _enqueue(stage, log, 20_000, 0.002)
        for _ in range(times):
            post = dice.choice([post for post in stage.posts if post.listens])
            stage.dismiss(post)
            pass_time(dice.uniform(0.05, 0.4))
            stage.tend()
            eventually(lambda: any(post.listens for post in stage.posts), 20)
        stage.dismiss_all()
        left = stage.processes()
        exits, results = stage.exits, read_bodies(log)
        counts = stage.stable.queue(QUEUES[0]).counts()
        return {
            "times": len(exits),
            "codes": dict(Counter(str(one.code) for one in exits)),
            "slowest_s": round(max(one.seconds for one in exits), 2),
            "orphans": len(left),
            "bodies": len(results),
            "recorded": counts.finished,
            "failed": counts.failed,
        }


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


SCENES: Final[Mapping[str, Callable[[Path], Figures]]] = {
    "horses-killed": horses_killed,
    "worker-killed": worker_killed,
    "sole-worker-killed": sole_worker_killed,
    "server-away": server_away,
    "terminated": terminated,
}


def play(name: str, folder: Path) -> Figures:
    """The figures of a scene, with how busy the machine was."""
    load, began = os.getloadavg()[0], time.monotonic()
    figures = SCENES[name](folder)
    return {"scene": name, **figures, "load_before": round(load, 1), "took_s": round(time.monotonic() - began, 1)}
