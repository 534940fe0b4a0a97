"""A worker is killed at each step of a job's way, another one comes, and each job ends as it is promised.

All points are tried in one scene, each on a queue of its own, so that one lease and one rescuer serve them all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from rqlike import Job, Queue, Retry, Schedule
from rqlike.failpoints import POINTS, VARIABLE, Failpoint, failpoint
from rqlike.results import Result
from rqlike.states import JobStatus
from tests.chaos import bodies
from tests.chaos.evidence import read_bodies
from tests.chaos.people import now_ms
from tests.process import jobs as plain
from tests.process.workers import Stable, WorkerProcess, outcome, running
from tests.servers import ROOT, Server, eventually
from tests.store.builders import Scene
from tests.store.invariants import violations

#: Nobody looks for what has lapsed but the rescuer, which comes when all leases are over.
PLAN: Final = {"lease_ms": 1000, "renew_s": 0.2}
ABANDONED, KILLED = "abandoned", "killed"


@dataclass(frozen=True, slots=True)
class Case:
    """What a death at a point costs: how many executions, and what is recorded of them."""

    crashes: int
    reason: str = ABANDONED
    nth: int = 1  #: passage of the point
    seconds: float = 0.0  #: that each body takes
    setup: str = ""  #: what else it takes to come to the point: return | callback | recovery | horse


CASES: Final[Mapping[str, Case]] = {
    # One finish and one claim go in each call: the job before is recorded or not, the next one is taken or not.
    "parent.claim.before": Case(1, nth=2),
    "parent.claim.sent": Case(1),
    "parent.claim.answered": Case(1),
    "parent.claim.after": Case(1),
    "parent.finish.before": Case(1),
    "parent.finish.sent": Case(1),
    "parent.finish.answered": Case(1),
    "parent.finish.after": Case(1),
    # A rescuer's rescuer judges the first execution, and no other.
    "parent.recover.before": Case(1, setup="recovery"),
    "parent.recover.sent": Case(1, setup="recovery"),
    "parent.recover.answered": Case(1, setup="recovery"),
    "parent.recover.after": Case(1, setup="recovery"),
    "parent.lapsed.before": Case(1, setup="recovery"),
    "parent.lapsed.after": Case(1, setup="recovery"),
    "parent.return.before": Case(1, setup="return"),
    "parent.return.sent": Case(0, setup="return"),
    "parent.return.answered": Case(0, setup="return"),
    "parent.return.after": Case(0, setup="return"),
    "parent.renew.before": Case(1, nth=2, seconds=0.6),
    "parent.renew.sent": Case(1, nth=2, seconds=0.6),
    "parent.renew.answered": Case(1, nth=2, seconds=0.6),
    "parent.renew.after": Case(1, nth=2, seconds=0.6),
    "parent.depart.before": Case(0),
    "parent.depart.sent": Case(0),
    "parent.depart.answered": Case(0),
    "parent.depart.after": Case(0),
    "parent.fork.before": Case(0),
    "parent.fork.after": Case(0),
    "parent.give.before": Case(1),
    "parent.give.after": Case(1),
    "parent.outcome.before": Case(1),
    "parent.outcome.after": Case(1),
    "parent.callback.before": Case(0, setup="callback"),
    "parent.callback.after": Case(0, setup="callback"),
    "horse.frame.before": Case(0, setup="horse"),
    "horse.frame.after": Case(0, setup="horse"),
    "horse.permit.before": Case(0, setup="horse"),
    "horse.permit.after": Case(1, KILLED, setup="horse"),
    "horse.body.before": Case(1, KILLED, setup="horse"),
    "horse.body.after": Case(1, KILLED, setup="horse"),
    "horse.outcome.before": Case(1, KILLED, setup="horse"),
    "horse.outcome.after": Case(0, setup="horse"),
    "horse.callback.before": Case(0, setup="callback"),
    "horse.callback.after": Case(0, setup="callback"),
}
FIRE: Final = ("parent.fire.before", "parent.fire.sent", "parent.fire.answered", "parent.fire.after")
PRODUCER: Final = ("producer.enqueue.before", "producer.enqueue.after")


@dataclass(slots=True)
class Trial:
    """One point, its queue, and what was put into it."""

    point: str
    jobs: list[Job[Any]] = field(default_factory=list)
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def case(self) -> Case:
        return CASES[self.point]


class Trials:
    """All of them, in one namespace."""

    def __init__(self, stable: Stable) -> None:
        self.stable = stable
        self.log = stable.folder / "bodies"
        self.log.touch()
        self.trials = [Trial(point) for point in CASES]
        for trial in self.trials:
            if trial.case.setup != "return":
                self._enqueue(trial)

    def _enqueue(self, trial: Trial) -> None:
        queue, case = self.stable.queue(trial.point), trial.case
        meta = {"path": str(self.log.with_name("callbacks"))}
        more: dict[str, Any] = {"on_success": plain.SUCCESS, "meta": meta} if case.setup == "callback" else {}
        for number in range(1 if case.setup == "recovery" else 3):
            key = f"{trial.point}/{number}"
            retry: dict[str, Any] = {"retry": Retry(3)} if number == 1 else {}
            trial.jobs.append(
                queue.enqueue(bodies.perform, str(self.log), key, "nap", case.seconds, job_id=key, **retry, **more)
            )

    def start(self, trial: Trial, point: str) -> None:
        """A worker that dies at the point, or ends when the queue is empty."""
        options: dict[str, Any] = {"name": f"w{len(self.stable.started)}", "env": {VARIABLE: point}}
        work = {"burst": trial.case.setup != "return"}
        trial.workers.append(self.stable.start(trial.point, work=work, plan=PLAN, wait=False, prefetch=1, **options))

    def _make_it_return(self, trial: Trial) -> None:
        """A job that its horse cannot begin is given back by a worker that is told to stop."""
        (worker,) = trial.workers
        outcome(self.stable.queue(trial.point).enqueue(plain.nothing), 30)
        (horse,) = worker.horses()
        os.kill(horse, signal.SIGSTOP)
        self._enqueue(trial)
        running(trial.jobs[0])
        worker.terminate()

    def run(self) -> None:
        """Lets all of them die, and one come that rescues what they held."""
        # Somebody lives all the time, or it would look like an outage, after which nobody is recovered for a while.
        self.stable.start("bystander", plan=PLAN, name="bystander")
        # Who asks for the first job of a kind is asked for the script; that a dead one sends no more.
        outcome(self.stable.queue("bystander").enqueue(plain.nothing), 30)
        second = [trial for trial in self.trials if trial.case.setup == "recovery"]
        for trial in self.trials:
            self.start(trial, "parent.give.after" if trial in second else self._asked(trial))
        for trial in self.trials:
            if trial.case.setup == "return":
                self._make_it_return(trial)
        for trial in second:
            assert trial.workers[0].ends(30) == -signal.SIGKILL
        leases_are_over(self.stable, [trial.point for trial in second])
        for trial in second:
            self.start(trial, self._asked(trial))
        for trial in self.trials:
            trial.workers[-1].ends(60)
        leases_are_over(self.stable, CASES)
        self.stable.start(*CASES, plan=PLAN, wait=False, name="rescuer", concurrency=2)
        queues = [self.stable.queue(point) for point in CASES]
        eventually(lambda: not any(live(queue) for queue in queues), 60, 0.05, "all jobs have ended")

    @staticmethod
    def _asked(trial: Trial) -> str:
        return f"{trial.point}:{trial.case.nth}"


def leases_are_over(stable: Stable, queues: Iterable[str]) -> None:
    """Waits until whoever looks takes over what is started now."""
    client, keys = stable.client(), stable.queue().store.keys
    homes = [keys.home("started", queue) for queue in queues]
    leases: list[Any] = [lease for home in homes for lease in client.zrange(home, -1, -1, withscores=True)]
    last = max((score for _, score in leases), default=0.0)

    def over() -> bool:
        seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000 > last

    eventually(over, 10, 0.02, "the leases are over")


def live(queue: Any) -> int:
    counts = queue.counts()
    return int(counts.queued + counts.started + counts.scheduled)


@pytest.fixture(scope="module")
def trials(valkey_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trial]]:
    stable = Stable(valkey_server, f"failpoints-{os.getpid()}", tmp_path_factory.mktemp("failpoints"))
    scene = Trials(stable)
    scene.run()
    yield {trial.point: trial for trial in scene.trials}
    stable.close()


def crashes(job: Job[Any]) -> list[Result[Any]]:
    return [result for result in job.results() if result.reason in (ABANDONED, KILLED)]


@pytest.mark.parametrize("point", CASES)
def test_each_job_ends_as_promised_wherever_its_worker_or_horse_is_killed(trials: dict[str, Trial], point: str) -> None:
    trial, case = trials[point], CASES[point]
    died = trial.workers[-1].ends(1)
    log = trial.workers[-1].log
    if point.startswith("parent."):
        assert died == -signal.SIGKILL, log
    else:
        assert (died, "SIGKILL" in log) == (0, True), log
    lost = [result for job in trial.jobs for result in crashes(job)]
    assert {str(result.reason) for result in lost} <= {case.reason}
    assert len(lost) == case.crashes
    for job in trial.jobs:
        newest = job.results()[0]
        if job.args[1].endswith("/1") or not crashes(job):
            assert (job.get_status(), newest.return_value) == (JobStatus.FINISHED, job.args[1])
        else:
            assert (job.get_status(), len(job.results())) == (JobStatus.FAILED, 1)


def test_the_store_is_sound_after_all_these_deaths(trials: dict[str, Trial]) -> None:
    some: Job[Any] = next(iter(trials.values())).jobs[0]
    scene = Scene(some.store)
    seconds, micros = some.connection.time()
    assert violations(scene.dump(), some.store.keys, int(seconds) * 1000 + int(micros) // 1000) == []


def test_each_slot_is_one_job_wherever_a_worker_is_killed_while_it_fires(valkey_server: Server, tmp_path: Path) -> None:
    """All points at once: what a dead worker was given to fire is given to another one after 2 s."""
    stables = {point: Stable(valkey_server, f"fire-{os.getpid()}-{n}", tmp_path) for n, point in enumerate(FIRE)}
    try:
        for point, stable in stables.items():
            stable.start(env={VARIABLE: f"{point}:2"}, wait=False, plan=PLAN, name=f"{point}-dies")
        made = {}
        for point, stable in stables.items():
            stable.started[0].says("listens on")
            queue = stable.queue("unserved")
            made[point] = queue.schedule(point, plain.nothing, every=0.2, limit=8, missed="all", max_catchup=100)
        for stable in stables.values():
            assert stable.started[0].ends(20) == -signal.SIGKILL
            # One that starts before finds that the dead one watches, and looks again after 5 s.
            eventually(lambda s=stable: _is_due(s), 10, 0.02, "the dead one has had its time")  # type: ignore[misc]
            stable.start(plan=PLAN, wait=False, name=f"{stable.namespace}-lives")
        for point, stable in stables.items():
            _all_slots_fire(stable.queue("unserved"), made[point])
    finally:
        for stable in stables.values():
            stable.close()


def _is_due(stable: Stable) -> bool:
    found: list[Any] = stable.client().zrange(stable.queue().store.keys.schedules(), 0, 0, withscores=True)
    return bool(found[0][1] + 100 < now_ms())


def _all_slots_fire(queue: Queue, schedule: Schedule) -> None:
    eventually(lambda: queue.count == 8, 20, 0.02, f"8 slots of {schedule} have fired")
    schedule.refresh()
    assert (schedule.fired, schedule.missed_count, schedule.next_at) == (8, 0, None)
    slots = sorted(job.scheduled_for for job in queue.jobs if job.scheduled_for)
    assert [slot - slots[0] for slot in slots] == [timedelta(milliseconds=200 * n) for n in range(8)]


@pytest.mark.parametrize("point", PRODUCER)
def test_an_enqueue_that_is_killed_is_done_or_not_and_never_half(stable: Stable, point: str) -> None:
    words = ["-u", stable.server.url, "--namespace", stable.namespace, "enqueue", "tests.process.jobs.echo", ":5"]
    env = {**os.environ, VARIABLE: point}
    died = subprocess.run([sys.executable, "-m", "rqlike", *words], cwd=ROOT, env=env, check=False)
    assert died.returncode == -signal.SIGKILL
    assert stable.queue().count == (point == "producer.enqueue.after")
    for job in stable.queue().jobs:
        stable.start()
        assert job.wait(10) == 5


def test_a_point_may_stop_its_process_instead(stable: Stable) -> None:
    job = stable.queue().enqueue(plain.echo, 5)
    worker = stable.start(env={VARIABLE: "parent.give.after:1:stop"}, wait=False)
    eventually(lambda: state_of(worker.pid) == "T", 10, message="it stands still")
    worker.signal(signal.SIGCONT)
    assert job.wait(10) == 5


def test_an_outcome_that_its_worker_sends_after_the_job_was_taken_over_is_refused(stable: Stable) -> None:
    """The worker stands still between a body's end and its record, beyond its lease; the next execution still runs."""
    log = stable.folder / "bodies"
    log.touch()
    job = stable.queue().enqueue(bodies.perform, str(log), "key", "second_takes_long", 2.0, retry=Retry(1))
    late = stable.start(env={VARIABLE: "parent.finish.before:1:stop"}, wait=False, plan=PLAN)
    eventually(lambda: state_of(late.pid) == "T", 20, message="it stands still")
    leases_are_over(stable, ["default"])
    stable.start(plan=PLAN)
    eventually(lambda: [body.job_id for body in read_bodies(log)] == ["key"] * 2, 20, message="it runs elsewhere")
    late.signal(signal.SIGCONT)
    late.says("another worker has taken the job over")
    assert job.get_status() == JobStatus.STARTED
    assert job.wait(20) == "key"
    assert [(result.attempt, result.reason) for result in job.results()] == [(2, None), (1, ABANDONED)]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_every_point_there_is_has_a_trial() -> None:
    assert set(POINTS) == {*CASES, *FIRE, *PRODUCER}


@pytest.mark.parametrize(
    "text", ["nowhere", "parent.give", "parent.give.after:x", "parent.give.after:0", "horse.frame.after:1:no"]
)
def test_a_point_that_is_none_is_refused_at_the_start_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"RQLIKE_FAILPOINT=.*(parent\.claim\.before|for the second passage)"):
        Failpoint.read(text)
    made = [sys.executable, "-c", "from rqlike import Queue"]
    ended = subprocess.run(made, cwd=ROOT, env={**os.environ, VARIABLE: text}, check=False, capture_output=True)
    assert ended.returncode == 1
    assert b"ValueError: RQLIKE_FAILPOINT=" in ended.stderr


def test_without_the_variable_a_function_with_points_is_the_one_that_was_written() -> None:
    def function() -> None: ...

    assert Failpoint.read("") is None
    assert failpoint("parent.give", armed=None)(function) is function
    assert failpoint("parent.give", armed=Failpoint.read("horse.frame.after"))(function) is function
