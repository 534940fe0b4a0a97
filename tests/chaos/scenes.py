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
from rqlike.store import verbs
from rqlike.store.store import Store
from tests.chaos import bodies
from tests.chaos.driver import fired_ids, schedules_of
from tests.chaos.evidence import Evidence, JobSeen, read_bodies
from tests.chaos.faults import SHORT_S
from tests.chaos.invariants import each_slot_is_one_job
from tests.chaos.kinds import QUEUES, StandingOrder
from tests.chaos.people import People, now_ms
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


def slots(folder: Path, *, count: int = 200, seconds: float = 75.0, gap_s: float = 3.0) -> Figures:
    """So many second-wise schedules, all slots of which must fire, while one of two workers is killed every `gap_s`
    and replaced, and the server once, which comes back with the file it has kept."""
    log, dice = folder / "bodies", random.Random(1)
    log.touch()
    orders = [_second_wise(dice, number, seconds) for number in range(count)]
    with Stage(folder, 1, posts=2, lease_s=SHORT_S, networks=False) as stage:
        people = People(stage.server.url, stage.stable.namespace, str(log), [], seconds, orders)
        people.start()
        kills = _strike_on(stage, dice, seconds, gap_s)
        store, keys = Store(stage.stable.client(), stage.stable.namespace), [order.key for order in orders]
        people.finish(30)
        eventually(
            lambda: all(one.next_ms is None for one in schedules_of(store, keys).values()), 30, 0.2, "no slot is left"
        )
        _all_fired_ended(stage, 60)
        ids, jobs = fired_ids(store), dict[str, JobSeen]()
        for at in range(0, len(ids), 500):
            found = [record for record in store.run(verbs.load(ids[at : at + 500])) if record is not None]
            jobs |= {record.id: JobSeen(record.status, record.cycle, (), record.slot_ms) for record in found}
        evidence = Evidence(
            orders={},
            jobs=jobs,
            bodies=read_bodies(log),
            standing={order.key: order for order in orders},
            opened_ms=people.opened_ms,
            closed_ms=round(now_ms()),
            kept=people.kept,
            schedules=schedules_of(store, keys),
        )
        said = [*each_slot_is_one_job(evidence), *people.problems]
        return {
            "schedules": count,
            "slots": len(jobs),
            "executions": len(evidence.bodies),
            "kills": kills,
            "missing": sum("missing" in one for one in said),
            "double": sum("jobs of the slot" in one or "fires of the slot" in one for one in said),
            "violations": said[:10],
        }


def _second_wise(dice: random.Random, number: int, seconds: float) -> StandingOrder:
    by_cron = dice.random() < 0.5
    step = float(dice.choice((1, 2))) if by_cron else round(dice.uniform(0.3, 2.0), 2)
    policy = dice.choice(("all", "patient"))
    return StandingOrder(
        f"s{number}", policy, step, by_cron, dice.uniform(0.5, 1.5), seconds, queue=dice.choice(QUEUES)
    )


def _strike_on(stage: Stage, dice: random.Random, seconds: float, gap_s: float) -> int:
    """How many workers were killed; the server is, in the middle."""
    began, kills, restarted = time.monotonic(), 0, False
    following = began + gap_s
    while (now := time.monotonic()) < began + seconds:
        stage.tend()
        standing = [post for post in stage.posts if post.listens]
        if now >= following and standing:
            following, kills = now + dice.uniform(0.5, 1.5) * gap_s, kills + 1
            post = dice.choice(standing)
            stage.kill(post)
            stage.replace(post)
        if now >= began + seconds / 2 and not restarted:
            restarted = True
            stage.server.kill()
            pass_time(1.0)
            stage.server.start()
        pass_time(0.02)
    return kills


def _all_fired_ended(stage: Stage, limit: float) -> None:
    queues = [stage.stable.queue(name) for name in QUEUES]
    eventually(
        lambda: not sum(c.queued + c.started + c.scheduled for c in (queue.counts() for queue in queues)),
        limit,
        0.1,
        "all jobs have ended",
    )


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


SCENES: Final[Mapping[str, Callable[[Path], Figures]]] = {
    "horses-killed": horses_killed,
    "worker-killed": worker_killed,
    "sole-worker-killed": sole_worker_killed,
    "server-away": server_away,
    "terminated": terminated,
    "slots": slots,
}


def play(name: str, folder: Path) -> Figures:
    """The figures of a scene, with how busy the machine was."""
    load, began = os.getloadavg()[0], time.monotonic()
    figures = SCENES[name](folder)
    return {"scene": name, **figures, "load_before": round(load, 1), "took_s": round(time.monotonic() - began, 1)}
