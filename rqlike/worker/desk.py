"""Where executions change hands: from a grant to a horse, from a horse or an operator to the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rqlike import clock, logs
from rqlike.failpoints import failpoint
from rqlike.outcomes import Outcome, granted
from rqlike.records import Execution
from rqlike.settings import FLUSH_S, TURN_JOBS
from rqlike.states import JobStatus, Reason
from rqlike.store.turns import Problem, Settlement, Turn, Turned
from rqlike.worker.ahead import Ahead
from rqlike.worker.errands import Errands
from rqlike.worker.frames import ProtocolError
from rqlike.worker.ledger import Ledger, Written
from rqlike.worker.reins import Horse, Stage
from rqlike.worker.standstill import Standstill
from rqlike.worker.supervisor import Supervisor
from rqlike.worker.times import Times

_ORDERS: Final = frozenset({"stopped", "canceled", "deleted", "lost"})
_TELL_AGAIN_S: Final = 60.0  #: seconds after which what is still wrong with a queue is told again


@dataclass(slots=True)
class Desk:
    """Asks no server: what it closes in the ledger is written by whoever empties that."""

    ledger: Ledger
    horses: Supervisor
    errands: Errands
    times: Times
    ahead: Ahead
    begun: int = 0  #: executions that were given to a horse
    recorded: int = 0  #: executions whose outcome was taken
    _told: set[Problem] = field(default_factory=set)  #: of whole queues, told a short while ago
    _tell_again: float = 0.0
    _standstill: Standstill = field(default_factory=Standstill)
    _early: dict[str, str] = field(default_factory=dict)  #: orders for tokens whose grant is still on its way

    @property
    def busy(self) -> bool:
        """Whether anything is held, runs, or waits to be called."""
        return bool(self.ledger.held or self.errands or self.horses.running())

    def facts(self) -> dict[str, object]:
        """What it tells of itself: its numbers, and what it runs."""
        running = [horse.execution.job_id for horse in self.horses.running() if horse.execution is not None]
        return {**self.ledger.facts(), "state": "busy" if running else "idle", "jobs": running}

    def note(self, turn: Turn, answer: Turned) -> None:
        """What is paused, and what the server could not work with."""
        if turn.want:
            self._standstill.note(self.ledger.worker, answer.paused)
        self.tell(answer.problems)

    def tell(self, problems: Sequence[Problem]) -> None:
        """What could not be worked with. What is wrong with a queue is met again at every look, and told again once in
        a while."""
        if not problems:
            return
        now = clock.mono()
        if now >= self._tell_again:
            self._told.clear()
            self._tell_again = now + _TELL_AGAIN_S
        for problem in problems:
            if problem not in self._told:
                logs.store_broken(*problem)
            if not problem.job_id:
                self._told.add(problem)

    # -- what to claim -------------------------------------------------------------------------------------------------

    def free(self, limit: int | None) -> int:
        """Horses that wait for a job to be claimed. `limit`: of all executions; None for none."""
        return self._within(limit, self._free() - len(self.ahead))

    def wanted(self, limit: int | None) -> tuple[int, int]:
        """Jobs to claim now: a frame for each free horse, and while jobs are short some ahead of each. With it how many
        of them could begin at once."""
        free = self._free()
        at_once = self._within(limit, free - len(self.ahead))
        return min(TURN_JOBS, self._within(limit, self._places(free))), at_once

    def lacks_work(self, limit: int | None) -> bool:
        """Whether it is time to claim: a horse is free, or half of what was ahead is gone."""
        free = self._free()
        if free <= len(self.ahead) and not self.ahead.low:
            return False
        return self._within(limit, self._places(free)) > 0

    def may_gather(self, now: float) -> bool:
        """Whether outcomes may wait for company: no horse waits for the next claim, and the oldest one not for long."""
        return bool(self.ahead) and not self.ahead.low and now < self.ledger.due_since + FLUSH_S

    def _free(self) -> int:
        """Idle horses that no callback waits for."""
        return max(0, len(self.horses.idle()) - len(self.errands))

    def _places(self, free: int) -> int:
        """Jobs there is a place for: a frame for each free horse, and what may wait."""
        return free * max(1, self.ahead.width) + self.ahead.room()

    def _within(self, limit: int | None, jobs: int) -> int:
        return max(0, jobs if limit is None else min(jobs, limit - self.begun - len(self.ahead)))

    # -- beginning -----------------------------------------------------------------------------------------------------

    def hand_out(self, granted: Sequence[Execution], *, stopping: bool) -> bool:
        """To idle horses, the rest to wait for one; what has no place there goes back to its own. Whether all found
        one."""
        wanted = []
        for execution in granted:
            order = self._early.get(execution.token)
            if execution.job.unreadable:
                self._close(execution, Reason.SERIALIZATION, execution.job.call_error)
            elif order is not None:
                self._end_unbegun(execution, order)
            else:
                wanted.append(execution)
        self._early.clear()
        limited = [execution for execution in wanted if execution.job.limit]
        if limited:
            wanted = [execution for execution in wanted if not execution.job.limit]
            self._begin_at_once(limited, stopping=stopping)
        now = clock.mono()
        room = 0 if stopping else self._places(self._free())
        self.ahead.put(wanted[:room], now)
        if not stopping:
            self.employ(now)
        self.give_back([*wanted[room:], *(self.ahead.clear() if not self.ahead.width else ())])
        return len(wanted) <= room

    def employ(self, now: float) -> None:
        """Idle horses take what waits, in its order; those that callbacks wait for are left to them."""
        while self.ahead:
            idle = self.horses.idle()
            free = len(idle) - len(self.errands)
            if free <= 0:
                return
            frame = self.ahead.frame(free, now)
            most = self.horses.room(idle[0])
            self.ahead.back(frame[most:])
            self._give(idle[0], frame[:most])

    def _begin_at_once(self, executions: Sequence[Execution], *, stopping: bool) -> None:
        """Each alone on a horse: what a limit counts must not wait for another job. Without a horse it goes back, and
        so does its permit."""
        for execution in executions:
            idle = [] if stopping else self.horses.idle()
            if len(idle) > len(self.errands):
                self._give(idle[0], (execution,))
            else:
                self.ledger.give_back(execution)

    def give_back(self, executions: Iterable[Execution]) -> None:
        """To their old places, free."""
        for execution in executions:
            self.ledger.give_back(execution)

    def _give(self, horse: Horse, frame: Sequence[Execution]) -> None:
        try:
            given = self.horses.give(horse, frame)
        except ProtocolError as too_large:
            if len(frame) == 1:
                self._close(frame[0], Reason.TOO_LARGE, str(too_large))
                return
            self.ahead.back(frame[1:])
            self._give(horse, frame[:1])
            return
        if not given:
            self._back(frame)
            return
        self.begun += len(frame)

    def recall(self, horse: Horse) -> list[Execution]:
        """What a horse has not begun of its frame, in order; it never will."""
        executions = self.horses.take_back(horse)
        self.begun -= len(executions)
        return executions

    def recall_all(self) -> None:
        """Nothing more begins that was not begun: it goes to its old places."""
        for horse in self.horses.running():
            self.give_back(self.recall(horse))
        self.give_back(self.ahead.clear())

    def taken_back(self, executions: Sequence[Execution]) -> None:
        """They waited behind something slow; another horse may take them, for a moment."""
        self.begun -= len(executions)
        self._back(executions)

    def _back(self, executions: Sequence[Execution]) -> None:
        """The next to begin; but what a limit counts does not wait here."""
        self.give_back(execution for execution in executions if execution.job.limit)
        self.ahead.back(execution for execution in executions if not execution.job.limit)

    def never_began(self, execution: Execution) -> None:
        """It was given to a horse that had died."""
        self.begun -= 1
        self.ledger.give_back(execution)

    # -- ending --------------------------------------------------------------------------------------------------------

    @failpoint("parent.outcome")
    def came(self, execution: Execution, outcome: Outcome) -> None:
        """A horse has brought an outcome, or its death has."""
        self.ahead.learn(outcome.ended_s - outcome.began_s)
        if execution.token in self.ledger.held:
            self.ledger.close(execution, outcome, self.times.offset_ms)

    @failpoint("parent.lapsed")
    def recovered(self, execution: Execution) -> None:
        """One of a worker that was lost."""
        worker = execution.job.worker_name or "?"
        logs.job_recovered(execution.job_id, worker)
        self.ledger.close(execution, Outcome.abandoned(worker, clock.mono()), self.times.offset_ms)

    def written(self, written: Written) -> None:
        """The server has answered for an execution."""
        execution, outcome = written.settlement.execution, written.outcome
        if outcome is None:
            return
        if written.word in ("stale", "gone", "broken"):
            logs.outcome_refused(execution.job_id, written.word)
            return
        self.recorded += 1
        status = written.settlement.verdict.to or JobStatus.FINISHED
        last = (outcome.exc_string or "").strip().splitlines()[-1:] or [""]
        seconds = outcome.ended_s - outcome.began_s
        job, verdict, told = execution.job, written.settlement.verdict, last[0][:200]
        retry = granted(job, outcome) if verdict.verb == "retry" else None
        if retry is None:
            logs.job_ended(job.id, job.queue, status, seconds, outcome.reason, told)
        else:
            logs.job_retried(
                job.id, job.queue, job.attempt, retry.max + 1, seconds, verdict.delay_s, outcome.reason, told
            )
        self.errands.add(written)

    def drop_values(self, settlements: Iterable[Settlement]) -> None:
        """The server has no room for them: what has ended is written without its value."""
        for settlement in settlements:
            if settlement.carries_value:
                logs.value_dropped(settlement.execution.job_id)
        self.ledger.unsent(without_values=True)

    def _close(self, execution: Execution, reason: Reason, text: str) -> None:
        now = clock.mono()
        self.ledger.close(execution, Outcome(reason, None, text, None, None, now, now), self.times.offset_ms)

    # -- orders --------------------------------------------------------------------------------------------------------

    def order(self, token: str, what: str, *, more_to_come: bool) -> None:
        """stopped, canceled, deleted or lost; anything else is no order. `more_to_come`: a grant may be on its way that
        the order is for."""
        if what not in _ORDERS:
            return
        if token not in self.ledger.held:
            if more_to_come:
                self._early[token] = what
            return
        execution = self.ledger.held[token]
        if self.ahead.withdraw(token) is not None:
            self._end_unbegun(execution, what)
            return
        for horse in self.horses.running():
            if execution in horse.handed and horse.stage is Stage.RUNNING:
                self._order_begun(horse, execution, what)

    def _order_begun(self, horse: Horse, execution: Execution, what: str) -> None:
        waiting = self.recall(horse)
        if execution in waiting:
            waiting.remove(execution)
            self._end_unbegun(execution, what)
        self.ahead.back(waiting)
        # The last one that it began is what it runs; one before that has ended, and its outcome is on its way.
        if not horse.handed or horse.handed[-1] is not execution:
            return
        if what in (Reason.STOPPED, Reason.CANCELED):
            self.horses.kill(horse, Outcome(Reason(what), exc_string=f"The job was {what} while it ran."))
        else:
            self.forsake(horse, "it was deleted" if what == "deleted" else "its lease was lost")

    def _end_unbegun(self, execution: Execution, order: str) -> None:
        """An operator was quicker than the grant."""
        if order in (Reason.STOPPED, Reason.CANCELED):
            self._close(execution, Reason(order), f"The job was {order} before it began.")
        else:
            self.ledger.forget(execution)

    def forsake(self, horse: Horse, why: str) -> None:
        """Kills a horse whose execution is no longer ours; nothing is recorded of it."""
        if horse.handed and horse.stage is Stage.RUNNING:
            self.ahead.back(self.recall(horse))
            running = horse.handed[-1] if horse.handed else None
            if running is not None:
                logs.execution_lost(running.job_id, why)
                self.ledger.forget(running)
                self.horses.forsake(horse)

    def kill_running(self, why: str) -> None:
        """All that runs is recorded as killed, callbacks as not ended."""
        now = clock.mono()
        for horse in self.horses.running():
            self.horses.kill(horse, Outcome.killed(why, horse.began_s, now))
