"""The loop of a worker: one thread, one selector, nothing that blocks.

It owns the server: claims jobs, hands them to horses, writes what they bring, renews leases, hears commands. Three
connections: `calls` for scripts, one at a time; `wake` blocks on the queues' markers while a horse is free; `control`
blocks on the worker's own key. Everything the loop decides follows from what it holds: see `_next_call`.
"""

from __future__ import annotations

import random
import selectors
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rqlike import clock, logs
from rqlike.outcomes import Outcome
from rqlike.policies import Callback
from rqlike.records import Execution
from rqlike.settings import (
    KILL_GRACE,
    LEASE_MS,
    RENEW_S,
    SWEEP_S,
    TICK_S,
    UNWRITTEN_S,
)
from rqlike.states import JobStatus, Reason
from rqlike.store import verbs
from rqlike.store.link import Link
from rqlike.store.resp import INCOMPLETE, ServerError
from rqlike.store.verbs import Renewed, Request, Turn, Turned
from rqlike.worker.frames import pack_after
from rqlike.worker.ledger import Ledger, Written
from rqlike.worker.signals import SignalPipe
from rqlike.worker.supervisor import ErrandDone, Event, Horse, OutcomeCame, SetupFailed, Stage, Supervisor

PRUNE_S: Final = 0.25
_ARMED_S: Final = 30.0
_SETUP_CHANCES: Final = 3
_EXIT_UNWRITTEN: Final = 75
_AFTER_S: Final = 60.0  #: seconds for middleware's `after_result`


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is asked to do."""

    name: str
    instance: str
    queues: tuple[str, ...]
    concurrency: int = 1
    burst: bool = False
    max_jobs: int | None = None
    max_idle_s: float | None = None
    shutdown_timeout_s: float | None = None
    kill_grace_s: float = KILL_GRACE
    strict_lease: bool = False
    strategy: str = "default"  #: default | round_robin | random
    server: str = ""  #: for people
    always_after: bool = False  #: middleware wants `after_result` of every execution
    wants_failures: bool = False  #: exception handlers want every failed execution
    reload: Callable[[], str | None] | None = None  #: the path of a source file that changed, or None


@dataclass(slots=True)
class Errand:
    """Callbacks that wait for a free horse."""

    execution: Execution
    frame: bytes
    limit_s: float


@dataclass(slots=True)
class _Times:
    """Monotonic moments the loop goes by."""

    swept: float = -1e9
    pruned: float = -1e9
    renewed: float = field(default_factory=clock.mono)
    busy: float = field(default_factory=clock.mono)
    watched: float | None = None  #: the next due moment this worker is to wake for
    offset_ms: int = 0  #: the server's clock minus ours
    away: float | None = None  #: since when the server is away
    contact: float = field(default_factory=clock.mono)  #: last moment at which leases were certainly ours
    stop_by: float | None = None  #: when running jobs are killed
    unwritten_by: float | None = None  #: when a stopping worker gives up on the server
    reload: float = 0.0


class Parent:
    """Runs until it is told to stop, or its plan is over. `run` gives the exit code."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        supervisor: Supervisor,
        links: tuple[Link, Link, Link],
        markers: Sequence[str],
        control_key: str,
        signals: SignalPipe,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._horses = supervisor
        self._calls, self._wake, self._control = links
        self._markers = dict(zip(plan.queues, markers, strict=True))
        self._control_key = control_key
        self._signals = signals
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, tuple[int, int]] = {}
        self._times = _Times()
        self._number = 0
        self._hungry = True  #: there may be work to claim
        self._woken = False
        self._dry = False  #: the last claim gave less than was asked for
        self._sent: Request[Any] | None = None
        self._turn: Turn | None = None
        self._errands: deque[Errand] = deque()
        self._notes: deque[tuple[Execution, str]] = deque()
        self._claimed = 0
        self._recorded = 0
        self._rotation = 0
        self._stopping: str | None = None
        self._cold = False
        self._departed = False
        self.failure: str | None = None  #: why it gave up

    @property
    def did_work(self) -> bool:
        """Whether any execution was recorded."""
        return self._recorded > 0

    def watched_fds(self) -> list[int]:
        """Descriptors of the loop, which a horse has no business with."""
        links = (self._calls.fileno(), self._wake.fileno(), self._control.fileno())
        return [fd for fd in (*links, self._selector.fileno(), *self._signals.fds) if fd >= 0]

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """The loop. Returns 0 when everything was recorded, 75 when the server was away at the end, 1 on failure."""
        self._selector.register(self._signals.fileno(), selectors.EVENT_READ, self._signals)
        while not self._departed:
            self._hear_signals()
            self._hear_horses(self._horses.reap())
            now = clock.mono()
            self._horses.tend(now)
            self._check(now)
            if self._stopping is None:
                self._horses.staff()
            self._employ()
            self._next_call(now)
            self._arm(now)
            if self._gives_up(now):
                break
            self._sleep(now)
        return self._leave()

    def _sleep(self, now: float) -> None:
        self._watch_all()
        wake = self._next_moment(now)
        for key, mask in self._selector.select(max(0.0, wake - now)):
            source = key.data
            if isinstance(source, Horse):
                if mask & selectors.EVENT_WRITE:
                    self._horses.write(source)
                if mask & selectors.EVENT_READ:
                    self._hear_horses(self._horses.hear(source))
            elif isinstance(source, Link):
                self._hear_link(source)
        now = clock.mono()
        for link in (self._calls, self._wake, self._control):
            if link.wake_at is not None and now >= link.wake_at:
                self._hear_link(link)

    def _watch_all(self) -> None:
        """Brings the selector up to date: connections come and go, and writing is only waited for when needed."""
        wanted: dict[int, tuple[int, int, object]] = {}
        for link in (self._calls, self._wake, self._control):
            if link.fileno() >= 0:
                wanted[link.fileno()] = (id(link), link.mask, link)
        for horse in self._horses.horses:
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if horse.writer.pending else 0)
            wanted[horse.sock.fileno()] = (id(horse), mask, horse)
        for fd, (owner, mask) in list(self._watched.items()):
            if wanted.get(fd, (0, 0, None))[:2] != (owner, mask):
                _unregister(self._selector, fd)
                del self._watched[fd]
        for fd, (owner, mask, source) in wanted.items():
            if fd not in self._watched:
                _unregister(self._selector, fd)
                self._selector.register(fd, mask, source)
                self._watched[fd] = (owner, mask)

    def _next_moment(self, now: float) -> float:
        times = self._times
        moments = [
            times.swept + TICK_S,
            times.renewed + RENEW_S,
            self._horses.next_moment(),
            times.watched,
            times.stop_by,
            times.unwritten_by,
            *(link.wake_at for link in (self._calls, self._wake, self._control)),
        ]
        if self._plan.max_idle_s is not None:
            moments.append(times.busy + self._plan.max_idle_s)
        if self._plan.reload is not None:
            moments.append(times.reload)
        # while a call is out, moments that only call for another one can wait for its answer
        future = [moment for moment in moments if moment is not None and (moment > now or not self._calls.busy)]
        return min(future, default=now + TICK_S)

    # -- signals and limits --------------------------------------------------------------------------------------------

    def _hear_signals(self) -> None:
        for number in self._signals.drain():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(signal.Signals(number).name)

    def stop(self, why: str) -> None:
        """First time: claim nothing, let running jobs end. Second time: kill them now."""
        now = clock.mono()
        if self._stopping is not None:
            if not self._cold and why.startswith("SIG"):
                self._cold = True
                self._kill_running("The worker was told twice to stop while it ran this job.")
            return
        self._stopping = why
        logs.worker_stopping(self._plan.name, len(self._horses.running()), why)
        if self._plan.shutdown_timeout_s is not None:
            self._times.stop_by = now + self._plan.shutdown_timeout_s

    def _kill_running(self, why: str) -> None:
        for horse in self._horses.running():
            self._horses.kill(horse, Outcome.killed(why, horse.began_s, clock.mono()))

    def _check(self, now: float) -> None:
        """Limits of the plan that time alone brings about."""
        times, plan = self._times, self._plan
        if times.stop_by is not None and now >= times.stop_by:
            times.stop_by = None
            self._kill_running("The worker's shutdown_timeout was over while it ran this job.")
        if self._busy():
            times.busy = now
        elif plan.max_idle_s is not None and now - times.busy >= plan.max_idle_s and self._stopping is None:
            self.stop(f"idle for {plan.max_idle_s:g} s")
        if plan.max_jobs is not None and self._claimed >= plan.max_jobs and self._stopping is None:
            self.stop(f"{plan.max_jobs} jobs done" if not self._busy() else f"limit of {plan.max_jobs} jobs")
        if plan.strict_lease and now - times.contact > LEASE_MS / 1500:
            for horse in self._horses.running():
                self._fence(horse)
        if plan.reload is not None and now >= times.reload:
            times.reload = now + 0.5
            changed = plan.reload()
            if changed is not None:
                logs.code_changed(changed)
                self._horses.recycle()
        self._note_trouble(now)

    def _fence(self, horse: Horse) -> None:
        if horse.execution is not None and not horse.forsaken:
            logs.execution_lost(horse.execution.job_id, "the lease could not be renewed")
            self._ledger.forget(horse.execution)
            self._horses.forsake(horse)

    def _busy(self) -> bool:
        ledger = self._ledger
        return bool(ledger.held or ledger.has_due or self._errands or self._horses.running())

    def _note_trouble(self, now: float) -> None:
        times = self._times
        if self._calls.trouble is not None and times.away is None:
            times.away = now
            logs.server_away(self._plan.server, self._calls.trouble)
        elif self._calls.trouble is None and times.away is not None:
            logs.server_back(self._plan.server, now - times.away)
            times.away = None

    # -- horses --------------------------------------------------------------------------------------------------------

    def _hear_horses(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case OutcomeCame(execution, outcome):
                    if execution.token in self._ledger.held:
                        self._ledger.close(execution, outcome, self._times.offset_ms)
                        self._hungry = True
                case ErrandDone(execution, error):
                    if error is not None:
                        logs.callback_failed(execution.job_id, error)
                        self._notes.append((execution, error))
                    self._hungry = True
                case SetupFailed(error):
                    logs.setup_failed(error, self._horses.setup_failures)
                    if self._horses.setup_failures >= _SETUP_CHANCES:
                        self.failure = error
                        self.stop("no horse can be set up")

    def _employ(self) -> None:
        """Idle horses run callbacks that wait."""
        for horse in self._horses.idle():
            if not self._errands:
                return
            errand = self._errands.popleft()
            self._horses.send_on_errand(horse, errand.execution, errand.frame, errand.limit_s)

    def _free(self) -> int:
        """Horses for which a job may be claimed now."""
        if self._stopping is not None or self._times.away is not None:
            return 0
        free = len(self._horses.idle()) - len(self._errands)
        if self._plan.max_jobs is not None:
            free = min(free, self._plan.max_jobs - self._claimed)
        return max(0, free)

    # -- the server ----------------------------------------------------------------------------------------------------

    def _next_call(self, now: float) -> None:
        """The one call that is most needed now, if the connection is free."""
        if self._calls.busy:
            return
        times = self._times
        due = times.watched is not None and now >= times.watched
        if self._ledger.has_due or self._woken or due or (self._hungry and self._free()):
            self._call_turn(now)
        elif self._ledger.held and now >= times.renewed + RENEW_S:
            self._call_renew(now)
        elif now >= times.swept + TICK_S and self._stopping is None:
            self._call_turn(now)
        elif now >= times.renewed + RENEW_S:
            self._call_renew(now)
        elif self._notes:
            execution, error = self._notes.popleft()
            self._send(verbs.annotate(execution.job_id, execution.execution_id, error))
        elif self._stopping is not None and not self._busy() and not self._horses.horses:
            self._send(verbs.depart(self._plan.name))

    def _send(self, request: Request[Any]) -> None:
        self._sent = request
        self._calls.call(request)

    def _call_turn(self, now: float) -> None:
        times = self._times
        settlements = self._ledger.to_send()
        after = sum(self._may_call_back(settlement) for settlement in settlements)
        self._number += 1
        sweep, prune = now >= times.swept + SWEEP_S, now >= times.pruned + PRUNE_S
        self._turn = Turn(
            worker=self._plan.name,
            instance=self._plan.instance,
            number=self._number,
            queues=self._order(),
            want=max(0, self._free() - after),
            sweep=sweep,
            prune=sweep and prune,
            woken=self._woken,
            settlements=settlements,
        )
        if sweep:
            times.swept, times.watched = now, None
        if sweep and prune:
            times.pruned = now
        self._woken = False
        self._send(verbs.advance(self._turn))

    def _may_call_back(self, settlement: verbs.Settlement) -> bool:
        """Whether a horse is to be kept free for callbacks of this execution."""
        plan = self._plan
        return plan.always_after or plan.wants_failures or settlement.execution.job.policy.has_callbacks

    def _order(self) -> tuple[str, ...]:
        """The queues in the order in which this claim looks at them."""
        queues = self._plan.queues
        match self._plan.strategy:
            case "round_robin":
                self._rotation += 1
                at = self._rotation % len(queues)
                return queues[at:] + queues[:at]
            case "random":
                return tuple(random.sample(queues, len(queues)))
        return queues

    def _call_renew(self, now: float) -> None:
        self._times.renewed = now
        held = list(self._ledger.held.values())
        self._send(verbs.renew(self._plan.name, self._facts(), held))

    def _facts(self) -> dict[str, object]:
        ledger = self._ledger
        running = [horse.execution.job_id for horse in self._horses.running() if horse.execution is not None]
        return {
            "state": "busy" if running else "idle",
            "jobs": running,
            "successful": ledger.finished,
            "failed": ledger.failed,
            "working": round(ledger.working_s * 1000),
        }

    def _arm(self, now: float) -> None:
        """Blocks where that is of use: for work only while a horse is free and the queues were found empty."""
        if not self._control.busy:
            self._control.block([self._control_key], _ARMED_S)
        idle = self._free() > 0 and self._dry and not self._hungry
        if idle and not self._wake.busy and not self._calls.busy and not self._plan.burst:
            self._wake.block([self._markers[queue] for queue in self._order()], _ARMED_S)

    def _hear_link(self, link: Link) -> None:
        reply = link.step()
        if reply is INCOMPLETE:
            return
        if link is self._calls:
            self._answered(reply)
        elif link is self._wake:
            if isinstance(reply, list):
                self._woken = self._hungry = True
        elif isinstance(reply, list):
            self._ordered(reply[1].decode(errors="replace"))

    def _answered(self, reply: Any) -> None:
        request, turn = self._sent, self._turn
        self._sent = self._turn = None
        assert request is not None
        if isinstance(reply, ServerError):
            self._refused(reply, turn)
            return
        answer = request.read(reply)
        if isinstance(answer, Turned):
            assert turn is not None
            self._turned(turn, answer)
        elif isinstance(answer, Renewed):
            self._renewed(request, answer)
        elif request.script == "depart":
            self._departed = True

    def _refused(self, error: ServerError, turn: Turn | None) -> None:
        """A full server takes outcomes without their values; any other refusal is no state this worker can mend."""
        if turn is None:
            logs.call_refused(error.text)
            return
        if error.word == "OOM" and any(settlement.carries_value for settlement in turn.settlements):
            for settlement in turn.settlements:
                if settlement.carries_value:
                    logs.value_dropped(settlement.execution.job_id)
            self._ledger.unsent(without_values=True)
            return
        self._ledger.unsent(without_values=False)
        logs.call_refused(error.text)
        self.failure = error.text
        self.stop("the server refuses to work with it")
        self._times.unwritten_by = clock.mono()

    def _turned(self, turn: Turn, answer: Turned) -> None:
        now, times = clock.mono(), self._times
        times.offset_ms = answer.now_ms - round(now * 1000)
        if answer.moment_ms is not None:
            times.watched = now + (answer.moment_ms - answer.now_ms) / 1000 + 0.001
        for written in self._ledger.answered(answer.words):
            self._written(written)
        self._ledger.take((*answer.granted, *answer.lapsed))
        self._claimed += len(answer.granted)
        for execution in answer.lapsed:
            logs.job_recovered(execution.job_id, execution.job.worker_name or "?")
            lost = Outcome.abandoned(execution.job.worker_name or "?", now)
            self._ledger.close(execution, lost, times.offset_ms)
        if turn.want:
            self._dry = len(answer.granted) < turn.want
            self._hungry = not self._dry
            if self._dry and self._plan.burst and not answer.granted and not self._busy():
                self.stop("burst: the queues are empty")
        self._hand_out(answer.granted)

    def _hand_out(self, granted: Sequence[Execution]) -> None:
        for execution in granted:
            idle = self._horses.idle()
            if not idle:  # its horse died since the claim
                self._claimed -= 1
                self._ledger.give_back(execution)
                continue
            job = execution.job
            logs.job_started(job.id, job.call.func_name if job.call else "(unreadable call)", job.queue, job.attempt)
            self._horses.give(idle[0], execution)

    def _written(self, written: Written) -> None:
        execution, outcome = written.settlement.execution, written.outcome
        if outcome is None:
            return
        if written.word in ("stale", "gone"):
            logs.outcome_refused(execution.job_id, written.word)
            return
        self._recorded += 1
        verdict = written.settlement.verdict
        status = verdict.to or JobStatus.FINISHED
        last = (outcome.exc_string or "").strip().splitlines()[-1:] or [""]
        seconds = outcome.ended_s - outcome.began_s
        logs.job_ended(execution.job_id, execution.job.queue, status, seconds, outcome.reason, last[0][:200])
        if self._may_call_back(written.settlement):
            self._call_back(written)

    def _call_back(self, written: Written) -> None:
        """Has callbacks run, in the next free horse, where this execution asks for any."""
        plan, policy = self._plan, written.settlement.execution.job.policy
        which = written.settlement.verdict.callback
        callback: Callback | None = getattr(policy, f"on_{which}")
        failed = plan.wants_failures and which == "failure"
        if callback is not None or plan.always_after or failed:
            limit_s = _AFTER_S + (callback.timeout if callback is not None else 0.0)
            self._errands.append(_errand(written, which, limit_s))

    def _renewed(self, request: Request[Any], answer: Renewed) -> None:
        self._times.contact = clock.mono()
        self._times.offset_ms = answer.now_ms - round(clock.mono() * 1000)
        tokens = [token for token in request.arguments if token in self._ledger.held]
        for token, word in zip(tokens, answer.words, strict=False):
            if word != "ok":
                self._ordered(f"{word} {token}")
        if answer.order:
            self._ordered(answer.order)

    def _ordered(self, order: str) -> None:
        """A command from the control key, or found by a renewal."""
        what, _, token = order.partition(" ")
        if what == "shutdown":
            self.stop("told by an operator")
        elif what == "kill-horse":
            self._kill_running("Killed by an operator's kill-horse.")
        elif token in self._ledger.held:
            self._end_execution(token, what)

    def _end_execution(self, token: str, what: str) -> None:
        execution = self._ledger.held[token]
        horse = next((h for h in self._horses.running() if h.execution and h.execution.token == token), None)
        if horse is None or horse.stage is not Stage.RUNNING:
            return
        if what in (Reason.STOPPED, Reason.CANCELED):
            self._horses.kill(horse, Outcome(Reason(what), exc_string=f"The job was {what} while it ran."))
        else:  # deleted, or recovered by somebody else
            logs.execution_lost(execution.job_id, "it was deleted" if what == "deleted" else "its lease was lost")
            self._ledger.forget(execution)
            self._horses.forsake(horse)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _gives_up(self, now: float) -> bool:
        """Whether a stopping worker has waited long enough for the server to take its last outcomes."""
        if self._stopping is None:
            return False
        self._horses.dismiss_all()
        if self._horses.running() or (self._ledger.held and not self._ledger.unwritten):
            return False
        times = self._times
        if times.unwritten_by is None and self._calls.trouble is not None:
            limit = UNWRITTEN_S if self._plan.shutdown_timeout_s is None else 0.0
            times.unwritten_by = max(now + limit, times.stop_by or 0.0)
        return times.unwritten_by is not None and now >= times.unwritten_by

    def _leave(self) -> int:
        unwritten = self._ledger.unwritten
        for horse in self._horses.horses:
            self._horses.forsake(horse)
        for link in (self._calls, self._wake, self._control):
            link.close()
        self._selector.close()
        if unwritten:
            logs.outcomes_unwritten(self._plan.name, unwritten)
            return _EXIT_UNWRITTEN
        logs.worker_stopped(self._plan.name, self._recorded)
        return 1 if self.failure is not None else 0


def _unregister(selector: selectors.BaseSelector, fd: int) -> None:
    try:
        selector.unregister(fd)
    except (KeyError, ValueError):
        return


def _errand(written: Written, which: str, limit_s: float) -> Errand:
    execution = written.settlement.execution
    place = written.entry_id.encode(), verbs.entry_bytes(written.settlement.entry)
    return Errand(execution, pack_after(execution.token, which, execution.job_id, execution.raw, place), limit_s)
