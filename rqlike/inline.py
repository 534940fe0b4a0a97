"""Running jobs in the process of the caller: `Queue(is_async=False)` and `SimpleWorker`.

The same claim, executor, verdicts and history as with a worker's horses; only isolation and the hard kill are
missing. Nobody renews a lease here, so a claim's lease is as long as its job may take.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Final, TypeVar

from rqlike import clock, logs
from rqlike.entries import entry_of, entry_record
from rqlike.job import Job
from rqlike.lookups import load
from rqlike.outcomes import Outcome, Rules, Verdict, decide
from rqlike.records import Execution, JobRecord, ResultRecord
from rqlike.results import Result
from rqlike.running.callbacks import call_back
from rqlike.running.current import WorkerInfo, current_job, current_worker
from rqlike.running.deadline import Deadline
from rqlike.running.executor import Ran, Rig, run
from rqlike.running.middleware import Middleware
from rqlike.running.pauses import with_pause
from rqlike.running.progress import speaking_with
from rqlike.running.tracebacks import text_of
from rqlike.settings import KILL_GRACE, LEASE_MS
from rqlike.speech import OwnVoice
from rqlike.states import JobStatus
from rqlike.store import turns, verbs
from rqlike.store.store import ServerFull, Store
from rqlike.store.turns import Settlement, Turn, Turned
from rqlike.store.verbs import Fresh

T = TypeVar("T")

_DAY_MS: Final = 86_400_000
_NO_DRAW: Final = 0.5


def lease_ms(timeout_s: float, kill_grace_s: float = KILL_GRACE) -> int:
    """A lease that nobody renews: time-out, grace and a lease. For a job without a time-out, a day."""
    return _DAY_MS if timeout_s < 0 else round((timeout_s + kill_grace_s) * 1000) + LEASE_MS


@dataclass(slots=True)
class InlineRunner:
    """Runs executions in this process and records them, one at a time."""

    store: Store
    worker: str
    queues: tuple[str, ...]
    rules: Rules = field(default_factory=Rules)
    middleware: Sequence[Middleware] = ()
    allow: Sequence[str] | None = None
    instance: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    deadline: Deadline = field(default_factory=Deadline)
    number: int = 0
    draw: Callable[[], float] = SystemRandom().random  #: for the jitter of pauses

    def turn(
        self,
        want: int = 0,
        settlement: Settlement | None = None,
        *,
        sweep: bool = False,
        queues: tuple[str, ...] | None = None,
    ) -> Turned:
        """One call to the server: what has ended, what is due, what is claimed, from its queues in the order given."""
        self.number += 1
        turn = Turn(
            worker=self.worker,
            instance=self.instance,
            number=self.number,
            queues=queues or self.queues,
            want=want,
            sweep=sweep,
            prune=sweep,
            settlements=() if settlement is None else (settlement,),
        )
        turned = self.store.run(turns.advance(turn))
        for problem in turned.problems:
            logs.store_broken(*problem)
        return turned

    def begin(self, job: JobRecord) -> tuple[Execution, int] | None:
        """Claims one queued job for as long as it may take; None where it is not queued any more. With it the server's
        time in ms."""
        self.number += 1
        token, lease = f"{self.instance}-{self.number}", lease_ms(job.policy.job_timeout)
        return self.store.run(turns.begin(job.id, self.worker, token, lease))

    def lengthen(self, execution: Execution, kill_grace_s: float = KILL_GRACE) -> None:
        """Makes the lease as long as the job may take."""
        lease = lease_ms(execution.job.policy.job_timeout, kill_grace_s)
        self.store.run(turns.renew(self.worker, {"state": "busy", "jobs": [execution.job_id]}, [execution], lease))

    def perform(self, execution: Execution, now_ms: int) -> Verdict:
        """Runs a claimed execution, records it, and calls back. `now_ms`: the server's time just now."""
        offset_ms = now_ms - round(clock.mono() * 1000)
        record = execution.job
        job: Job[Any] = Job(record, self.store)
        info = WorkerInfo(self.worker, os.getpid(), self.queues, socket.gethostname())
        rig = Rig(self.deadline, self.middleware, allow=self.allow)
        voice = OwnVoice(execution, self.store, offset_ms)
        with current_worker(info), current_job(job), speaking_with(voice):
            ran = run(
                record.call,
                job,
                rig,
                job_id=record.id,
                execution_id=execution.token,
                call_error=record.call_error,
            )
            if ran.outcome.reason is not None:
                ran = with_pause(ran, record, job, rig)
            voice.fall_silent()
            verdict, result = self.record(execution, ran.outcome, offset_ms)
            for error in self._afterwards(execution, job, verdict, result, ran):
                self.store.run(verbs.annotate(record.id, execution.execution_id, error))
        return verdict

    def give_up(self, lapsed: Execution, now_ms: int) -> None:
        """Judges an execution of a worker that was lost."""
        now = clock.mono()
        self.record(lapsed, Outcome.abandoned(lapsed.job.worker_name or "?", now), now_ms - round(now * 1000))

    def record(self, execution: Execution, outcome: Outcome, offset_ms: int) -> tuple[Verdict, ResultRecord | None]:
        """Writes what an execution came to; the verdict and the entry as it stands in the history."""
        job = execution.job
        draw = _NO_DRAW if outcome.reason is None else self.draw()
        verdict = decide(job, outcome, self.rules, draw)
        entry = entry_of(
            execution,
            verdict,
            outcome,
            worker=self.worker,
            offset_ms=offset_ms,
        )
        word, settlement = self._settle(Settlement(execution, verdict, entry))
        said, _, entry_id = word.partition(" ")
        if said == "broken":
            logs.outcome_refused(job.id, said)
        return verdict, entry_record(job.id, entry_id, settlement.entry) if entry_id else None

    def _settle(self, settlement: Settlement) -> tuple[str, Settlement]:
        """The server's word, and what it has taken: without the value where it has no room for that."""
        try:
            return self.turn(settlement=settlement).words[0], settlement
        except ServerFull:
            if not settlement.carries_value:
                raise
        logs.value_dropped(settlement.execution.job_id)
        settlement = settlement.without_value()
        return self.turn(settlement=settlement).words[0], settlement

    def _afterwards(
        self, execution: Execution, job: Job[Any], verdict: Verdict, result: ResultRecord | None, ran: Ran
    ) -> list[str]:
        """Callbacks and middleware, once the outcome is recorded; how they failed. `ran`: what it came to, of which the
        history need not have the value."""
        if result is None:
            return []
        which = verdict.callback
        error = call_back(
            which,
            execution.job,
            job,
            connect=lambda: self.store.client,
            result=result,
            ran=ran,
            deadline=self.deadline,
            allow=self.allow,
        )
        errors = [] if error is None else [error]
        for one in self.middleware:
            try:
                one.after_result(job, Result(result))
            except Exception as raised:  # noqa: BLE001  # logged with the callbacks' errors; the outcome stands
                errors.append(text_of(raised))
        return errors


def run_inline(job: Job[T]) -> Job[T]:
    """Runs a job that was just enqueued in this process, with its immediate retries and repetitions.

    One that is due later, or that a worker was quicker to take, is left alone."""
    runner = InlineRunner(job._store, f"inline.{os.getpid()}", (job.origin,))
    record = load(job._store, job.id)
    while record.status is JobStatus.QUEUED:
        begun = runner.begin(record)
        if begun is None:
            break
        execution, now_ms = begun
        verdict = runner.perform(execution, now_ms)
        if verdict.to is None:  # result_ttl=0: there is nothing left to read
            return job
        record = load(job._store, job.id)
    job._adopt(record)
    return job


def run_each_inline(jobs: Sequence[Job[Any]]) -> list[Job[Any]]:
    """Runs those of them that were just enqueued; one that was there before, and is whoever's, is left alone."""
    return [run_inline(job) if isinstance(job._known, Fresh) else job for job in jobs]
