"""Processes killed at random instants under load: nothing is lost or stuck, and the history is what happened."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import pytest
import redis

from rqlike import Job, Queue, Retry
from rqlike.states import CRASHES, JobStatus, ResultType
from tests.process.workers import Stable, WorkerProcess
from tests.servers import Server, eventually
from tests.surface import tasks

JOBS: Final = 300
WORKERS: Final = 2
MAX_CRASHES: Final = 3
NAPS: Final = (0.0, 0.002, 0.02, 0.08)
#: A lease short enough to see lost workers replaced within the test.
PLAN: Final = {"lease_ms": 1500, "renew_s": 0.25}


class Havoc:
    """Kills horses and workers by a seeded dice, and puts new workers in their place."""

    def __init__(self, stable: Stable, seed: int) -> None:
        self.stable = stable
        self.dice = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.workers = [self._start() for _ in range(WORKERS)]

    def _start(self) -> WorkerProcess:
        return self.stable.start("a", "b", plan=PLAN, concurrency=2, wait=False, max_crashes=MAX_CRASHES)

    def strike(self) -> None:
        """One kill, of one of the three kinds."""
        worker = self.dice.choice(self.workers)
        kind = self.dice.choice(("horse", "horse", "worker", "sigterm"))
        if kind == "horse":
            horses = worker.horses()
            if horses:
                self.kills[kind] += 1
                with suppress(ProcessLookupError):
                    os.kill(self.dice.choice(horses), signal.SIGKILL)
            return
        self.kills[kind] += 1
        if kind == "worker":
            worker.kill()
        else:
            worker.terminate()
            assert worker.ends() in (0, -signal.SIGTERM), worker.log  # the latter: before it had a handler
        self.workers[self.workers.index(worker)] = self._start()


def enqueue_all(stable: Stable, witness: Server, seed: int) -> list[Job[Any]]:
    """Jobs on two queues, some short and some not, each of which may run ten times."""
    dice = random.Random(seed)
    datas = [
        Queue.prepare_data(tasks.counted, (str(witness.socket), str(number), dice.choice(NAPS)), retry=Retry(9))
        for number in range(JOBS)
    ]
    return stable.queue("a").enqueue_many(datas[::2]) + stable.queue("b").enqueue_many(datas[1::2])


def told(witness: redis.Redis, what: str) -> Counter[str]:
    """How often each job began or ended."""
    names: list[Any] = witness.lrange(what, 0, -1)
    return Counter(name.decode() for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_kills_at_random_instants_lose_nothing_and_leave_a_true_history(stable: Stable, seed: int) -> None:
    with Server("valkey") as second, second.client() as witness:
        jobs = enqueue_all(stable, second, seed)
        havoc = Havoc(stable, seed)
        strike_until_drained(stable, havoc)
        queues = [stable.queue(name) for name in "ab"]
        eventually(lambda: live(queues) == 0, 30.0, 0.05, "all jobs have ended")
        began, ended = told(witness, "began"), told(witness, "ended")
    assert havoc.kills["horse"] > 3, havoc.kills
    assert havoc.kills["worker"] > 1, havoc.kills
    unseen, unrecorded = 0, 0
    for job in jobs:
        name = job.args[1]
        entries = list(reversed(job.results()))
        check_one(job, entries)
        assert began[name] <= len(entries), f"job {name} began {began[name]} times and has {len(entries)} entries"
        unseen += len(entries) - began[name]
        returned = sum(one.type is ResultType.SUCCESSFUL for one in entries)
        assert returned <= ended[name]
        unrecorded += ended[name] - returned
        if not any(one.reason in CRASHES for one in entries):
            assert began[name] == ended[name] == len(entries) == 1, "no kill concerned it, so it ran exactly once"
    # what a kill leaves open is bounded by what it can hit: the executions of two horses
    struck = havoc.kills["horse"] + 2 * havoc.kills["worker"]
    assert unseen <= struck
    assert unrecorded <= struck


def strike_until_drained(stable: Stable, havoc: Havoc) -> None:
    """A strike after each few jobs that have ended: kills fall among executions, whatever the machine's speed."""
    queues = [stable.queue(name) for name in "ab"]
    left = live(queues)
    while left:
        target = max(0, left - havoc.dice.randrange(1, 16))
        eventually(lambda target=target: live(queues) <= target, 30.0, 0.001, f"{target} jobs are left")  # type: ignore[misc]
        havoc.strike()
        left = live(queues)


def live(queues: list[Queue]) -> int:
    """Jobs that have not ended."""
    counts = [queue.counts() for queue in queues]
    return sum(count.queued + count.started + count.scheduled for count in counts)


def check_one(job: Job[Any], entries: list[Any]) -> None:
    """The history of a job is without a gap and ends its only cycle as its status says."""
    status = job.get_status()
    assert [one.attempt for one in entries] == list(range(1, len(entries) + 1))
    assert len({one.execution_id for one in entries}) == len(entries)
    assert {one.cycle for one in entries} == {1}
    assert [one.final for one in entries] == [False] * (len(entries) - 1) + [True]
    assert all(one.reason in CRASHES for one in entries[:-1])
    if status is JobStatus.FAILED:
        assert len(entries) >= MAX_CRASHES, "only crashes in a row end a job with ten attempts"
        assert all(one.reason in CRASHES for one in entries[-MAX_CRASHES:])
    else:
        assert status is JobStatus.FINISHED
        assert entries[-1].return_value == job.args[1]
