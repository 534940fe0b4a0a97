"""The loop of a worker: one thread, one selector, nothing that blocks.

It owns the server: claims jobs, hands them to horses, writes what they bring, renews leases, hears commands. Three
connections: `calls` for scripts, one at a time; `wake` blocks on the queues' markers while a horse is free; `control`
blocks on the worker's own key. Everything the loop decides follows from what it holds: see `_next_call`.
"""

from __future__ import annotations

import selectors
import signal
from collections.abc import Sequence
from typing import Any, Final

from rqlike import clock, logs
from rqlike.failpoints import failpoint
from rqlike.records import Execution
from rqlike.settings import FLUSH_S, IDLE_PRUNE_S, IDLE_RENEW, PRUNE_S, REPLY_S, SWEEP_S, TICK_S
from rqlike.store import turns
from rqlike.store.link import Link
from rqlike.store.requests import Request
from rqlike.store.resp import INCOMPLETE, ServerError
from rqlike.store.turns import Renewed, Turn, Turned
from rqlike.worker.ahead import Ahead
from rqlike.worker.desk import Desk
from rqlike.worker.ears import MARKER, Ears
from rqlike.worker.errands import Errands
from rqlike.worker.firing import Firing
from rqlike.worker.ledger import Ledger
from rqlike.worker.plan import Plan
from rqlike.worker.reins import ErrandDone, Event, Horse, NeverBegan, OutcomeCame, SetupFailed, TakenBack
from rqlike.worker.rotation import Rotation
from rqlike.worker.signals import SignalPipe
from rqlike.worker.steps import steps_of
from rqlike.worker.supervisor import Supervisor
from rqlike.worker.times import Times
from rqlike.worker.watch import Watch, wanted

_SETUP_CHANCES: Final = 3
_EXIT_UNWRITTEN: Final = 75
_RELOAD_S: Final = 0.5  #: seconds between two looks at the source files


class Parent:
    """Runs until it is told to stop, or its plan is over. `run` gives the exit code."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        supervisor: Supervisor,
        calls: Link,
        ears: Ears,
        links: tuple[Link, ...],
        signals: SignalPipe,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._horses = supervisor
        self._calls = calls
        self._ears = ears
        self._links = links
        self._signals = signals
        self._watch = Watch()
        self._times = Times()
        self._rotation = Rotation(plan.queues, plan.strategy, plan.weights)
        self._errands = Errands(plan)
        self._ahead = Ahead(plan.concurrency, plan.prefetch)
        self._firing = Firing()
        self._tellings = supervisor.tellings
        self._desk = Desk(ledger, supervisor, self._errands, self._times, self._ahead)
        self._number = 0
        self._hungry = True  #: there may be work to claim
        self._woken = False  #: a marker was spent
        self._dry = False  #: the last claim gave less than was asked for
        self._sent: Request[Any] | None = None
        self._turn: Turn | None = None
        self._renewing: list[Execution] = []
        self._timeouts = 0  #: of the calls, so far
        self._stopping: str | None = None
        self._cold = False
        self._refused_for_good = False
        self._departed = False
        self.failure: str | None = None  #: why it gave up

    @property
    def did_work(self) -> bool:
        """Whether any execution was recorded."""
        return self._desk.recorded > 0

    def watched_fds(self) -> list[int]:
        """Descriptors of the loop, which a horse has no business with."""
        fds = (*(link.fileno() for link in self._links), self._watch.fileno(), *self._signals.fds)
        return [fd for fd in fds if fd >= 0]

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """The loop. Returns 0 when everything was recorded, 75 when the server was away at the end, 1 on failure."""
        try:
            while not self._departed:
                self._hear_signals()
                now = clock.mono()
                self._hear_horses(self._horses.tend(now))
                self._check(now)
                self._employ()
                self._next_call(now)
                self._arm(now)
                if self._gives_up(now):
                    break
                self._sleep()
            return self._report()
        finally:
            self._horses.end()
            for link in self._links:
                link.close()
            self._watch.close()

    def _sleep(self) -> None:
        now = clock.mono()
        for source, mask in self._watch.wait(
            wanted(self._signals, self._links, self._horses.horses), self._next_moment(now) - now
        ):
            if isinstance(source, Horse):
                if mask & selectors.EVENT_WRITE:
                    self._horses.write(source)
                if mask & selectors.EVENT_READ:
                    self._hear_horses(self._horses.hear(source))
            elif isinstance(source, Link):
                self._hear_link(source)
            else:
                self._signals.clear()
        self._hear_horses(self._horses.hear_given())
        now = clock.mono()
        for link in self._links:
            if link.wake_at is not None and now >= link.wake_at:
                self._hear_link(link)

    def _next_moment(self, now: float) -> float:
        """When the loop has something to do though nothing comes. What is past must be acted on by one round of it."""
        times, plan, may_call = self._times, self._plan, not self._calls.busy and not self._refused_for_good
        moments = times.upcoming(plan, may_call=may_call, stopping=self._stopping is not None)
        moments += [now + TICK_S, self._horses.next_moment(), self._ahead.next_moment(), self._ears.deaf_until]
        moments += [self._tellings.moment() if self._tellings and may_call else None]
        moments += [link.wake_at for link in self._links]
        if may_call and self._ledger.has_due:
            moments.append(self._ledger.due_since + FLUSH_S)
        if self._stopping is not None and times.unreachable is not None:
            moments.append(times.unreachable + self._patience())
        if plan.strict_lease and self._horses.running():
            moments.append(max(times.contact + plan.fence_s, now + 0.1))
        return min([moment for moment in moments if moment is not None])

    # -- signals and limits --------------------------------------------------------------------------------------------

    def _hear_signals(self) -> None:
        seen = self._signals.drain()
        if signal.SIGCHLD in seen:
            self._hear_horses(self._horses.reap())
        for number in seen:
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(signal.Signals(number).name)

    def stop(self, why: str) -> None:
        """First time: claim nothing, let running jobs end. Second time: kill them now."""
        now = clock.mono()
        if self._stopping is not None:
            if not self._cold and why.startswith("SIG"):
                self._cold = True
                self._desk.kill_running("The worker was told twice to stop while it ran this job.")
            return
        self._stopping = why
        logs.worker_stopping(self._plan.name, len(self._horses.running()), why)
        self._ears.rest()
        self._desk.recall_all()
        if self._plan.shutdown_timeout_s is not None:
            self._times.stop_by = now + self._plan.shutdown_timeout_s

    def _check(self, now: float) -> None:
        """Limits of the plan that time alone brings about."""
        times, plan = self._times, self._plan
        if times.stop_by is not None and now >= times.stop_by:
            times.stop_by, self._cold = None, True
            self._desk.kill_running("The worker's shutdown_timeout was over while it ran this job.")
        self._desk.give_back(self._ahead.stale(now))
        if self._desk.busy:
            times.busy = now
        if self._stopping is None:
            self._check_plan(now)
        if plan.strict_lease and now - times.contact > plan.fence_s:
            for horse in self._horses.running():
                self._desk.forsake(horse, "the lease could not be renewed")
        self._note_trouble(now)

    def _check_plan(self, now: float) -> None:
        times, plan = self._times, self._plan
        begun = 0 if self._horses.running() else self._desk.begun  # while one runs, what it has may come back
        if (over := plan.is_over(now - times.busy, begun)) is not None:
            self.stop(over)
        if plan.reload is not None and now >= times.reload:
            times.reload = now + _RELOAD_S
            changed = plan.reload()
            if changed is not None:
                logs.code_changed(changed)
                self._horses.recycle()

    def _note_trouble(self, now: float) -> None:
        self._times.note_trouble(self._calls.trouble, self._plan.server, now)
        if self._calls.timeouts != self._timeouts:
            self._timeouts = self._calls.timeouts
            self._ears.renew()
        markers, orders = self._ears.losses()
        if markers and self._stopping is None:
            self._hungry = self._woken = True
        if orders:  # a renewal finds them
            self._times.renewal = now

    # -- horses --------------------------------------------------------------------------------------------------------

    def _hear_horses(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self._hungry = True
        for event in events:
            match event:
                case OutcomeCame(execution, outcome):
                    self._desk.came(execution, outcome)
                    if self._stopping is None:
                        self._desk.employ(clock.mono())  # before anything else: a horse waits
                case NeverBegan(execution):
                    self._desk.never_began(execution)
                case TakenBack(executions):
                    self._desk.taken_back(executions)
                    if self._stopping is not None:
                        self._desk.recall_all()
                case ErrandDone(execution, error):
                    if error is not None:
                        self._errands.failed(execution, error)
                case SetupFailed(error):
                    logs.setup_failed(error, self._horses.setup_failures)
                    if self._horses.setup_failures >= _SETUP_CHANCES:
                        self.failure = error
                        self.stop("no horse can be set up")

    def _employ(self) -> None:
        """Forks what is missing; idle horses run callbacks that wait; a stopping worker lets the others go."""
        if self._cold or self.failure is not None:
            self._errands.drop("not called: the worker had to stop")
        if self._stopping is None:
            self._hear_horses(self._horses.staff(self._plan.concurrency))
        elif self._errands:
            self._hear_horses(self._horses.staff(1))
        elif not self._desk.busy:
            self._horses.dismiss_all()
        for horse in self._horses.idle() if self._errands else ():
            if not self._errands:
                break
            errand = self._errands.take()
            self._horses.send_on_errand(horse, errand.execution, errand.frame, errand.limit_s)
        if self._stopping is None:
            self._desk.employ(clock.mono())

    @property
    def _claims(self) -> bool:
        """Whether this worker takes jobs at all now."""
        return self._stopping is None and self._times.away is None

    # -- the server ----------------------------------------------------------------------------------------------------

    def _next_call(self, now: float) -> None:
        """The one call that is most needed now, if the connection is free."""
        if self._calls.busy or self._refused_for_good:
            return
        times = self._times
        due = times.watched is not None and now >= times.watched
        by_time = times.away is not None or (now >= times.swept + TICK_S and self._stopping is None)
        wants_turn = self._has_turn(now) or self._woken or due or by_time
        if now >= times.renewal:  # first: a worker that is never done must keep its leases
            self._call_renew(now)
        elif self._tellings and self._tellings.is_due(now, self._ledger.held):
            self._send(self._tellings.to_send(now, times.offset_ms))
        elif self._firing and not (wants_turn and self._firing.was_last):
            self._call_fire()
        elif wants_turn:
            self._call_turn(now, due)
        elif self._errands.notes:
            self._send(self._errands.next_note())
        elif self._stopping is not None and not self._desk.busy and not self._horses.horses:
            self._send(turns.depart(self._plan.name))

    def _has_turn(self, now: float) -> bool:
        if self._ledger.has_due:
            return not self._desk.may_gather(now)
        return self._hungry and self._claims and self._desk.lacks_work(self._plan.max_jobs)

    @failpoint("parent", last="sent", of=lambda self, to: steps_of(to, self._turn) if self._calls.ready else ())
    def _send(self, request: Request[Any]) -> None:
        self._sent = request
        self._calls.call(request)

    def _call_turn(self, now: float, due: bool) -> None:
        times = self._times
        settlements = self._ledger.to_send()
        after = sum(self._errands.may_follow(settlement) for settlement in settlements)
        self._number += 1
        want, free = self._desk.wanted(self._plan.max_jobs)
        sweep, prune = due or now >= times.swept + SWEEP_S, now >= times.prune
        self._turn = Turn(
            worker=self._plan.name,
            instance=self._plan.instance,
            number=self._number,
            queues=self._rotation.order(),
            want=max(0, want - after) if self._claims else 0,
            free=max(0, free - after),
            sweep=sweep,
            prune=sweep and prune,
            woken=self._woken,
            settlements=settlements,
            lease_ms=self._plan.lease_ms,
        )
        if sweep:
            times.swept, times.watched = now, None
        if sweep and prune:
            times.prune = now + (PRUNE_S if self._desk.busy else IDLE_PRUNE_S)
        self._woken = self._firing.was_last = False
        self._send(turns.advance(self._turn))

    def _call_fire(self) -> None:
        self._firing.was_last = True
        request = self._firing.next_call(self._times.offset_ms)
        self._desk.tell(self._firing.told())
        if request is not None:
            self._send(request)

    def _call_renew(self, now: float) -> None:
        self._renewing = list(self._ledger.held.values())
        # One that has just told that it is busy is to tell soon when it is not any more.
        self._times.renewal = now + self._plan.renew_s * (1 if self._renewing else IDLE_RENEW)
        facts = {**self._plan.facts, **self._desk.facts()}
        self._send(turns.renew(self._plan.name, facts, self._renewing, self._plan.lease_ms))

    def _arm(self, now: float) -> None:
        """For work only while a horse is free, the queues were found empty, and no call is about to look again."""
        looks = self._hungry or self._calls.busy or self._plan.burst or not self._claims
        self._ears.arm(now, for_work=self._dry and not looks and self._desk.free(self._plan.max_jobs) > 0)

    def _hear_link(self, link: Link) -> None:
        if link is self._calls:
            reply = link.step()
            if reply is not INCOMPLETE:
                self._answered(reply)
            return
        heard = self._ears.hear(link)
        if heard == MARKER:
            self._woken = self._hungry = True
        elif heard is not None:
            self._ordered(heard)

    @failpoint("parent", first="answered", of=lambda self, _: steps_of(self._sent, self._turn))
    def _answered(self, reply: Any) -> None:
        request, turn = self._sent, self._turn
        self._sent = self._turn = None
        assert request is not None
        if isinstance(reply, ServerError):
            self._refused(reply, request, turn)
            return
        answer = request.read(reply)
        if isinstance(answer, Turned):
            assert turn is not None
            self._turned(turn, answer)
        elif isinstance(answer, Renewed):
            self._renewed(answer)
        elif request.script == "fire":
            self._hungry = self._firing.answered(answer) or self._hungry
            self._desk.tell(self._firing.told())
            self._times.watched = clock.mono()  # their next slots may come before what was noted when they were due
        elif request.script == "tell":
            self._tellings.answered(answer)
        elif request.script == "depart":
            self._departed = True

    def _refused(self, error: ServerError, request: Request[Any], turn: Turn | None) -> None:
        """A full server takes outcomes without their values; any other refusal is no state this worker can mend."""
        if turn is None:
            if request.script != "tell" or self._tellings.refused(clock.mono()):
                logs.call_refused(error.text)
            self._departed = request.script == "depart"
            return
        if error.word == "OOM" and any(settlement.carries_value for settlement in turn.settlements):
            self._desk.drop_values(turn.settlements)
            return
        self._ledger.unsent(without_values=False)
        logs.call_refused(error.text)
        self.failure, self._refused_for_good = error.text, True
        self.stop("the server refuses to work with it")

    def _turned(self, turn: Turn, answer: Turned) -> None:
        now, times = clock.mono(), self._times
        times.offset_ms = answer.now_ms - round(now * 1000)
        if answer.moment_ms is not None:
            moment = now + (answer.moment_ms - answer.now_ms) / 1000 + 0.001
            times.watched = min(times.watched or moment, moment)  # it may have been told meanwhile to look earlier
        if answer.more_to_prune:
            times.prune = now + PRUNE_S
            times.watched = min(times.watched or times.prune, times.prune)
        self._desk.note(turn, answer)
        for written in self._ledger.answered(answer.words):
            self._desk.written(written)
        if answer.granted or answer.lapsed:
            self._ledger.take((*answer.granted, *answer.lapsed))
            times.renewal = min(times.renewal, now + self._plan.renew_s)
        for execution in answer.lapsed:
            self._desk.recovered(execution)
        self._firing.take(answer.due, now)
        if turn.want:
            self._dry = len(answer.granted) < turn.want and not answer.more_to_claim
            self._hungry = not self._dry or bool(answer.lapsed)
            if self._dry and self._plan.burst and self._stopping is None and not (self._desk.busy or self._firing):
                self.stop(f"burst: the queues are empty{' or paused' if answer.paused else ''}")
        self._ears.spare(now, turn, answer)
        if not turn.sweep and (self._dry or turn.woken):
            # The markers are gone, and one may have stood for a job that is due later: look soon.
            times.watched = min(times.watched or now + TICK_S, times.swept + SWEEP_S)
        if answer.granted:
            self._hear_horses(self._horses.reap())  # nothing is given to one that died meanwhile
            self._rotation.took(answer.granted[-1].job.queue)
        self._hungry |= not self._desk.hand_out(answer.granted, stopping=self._stopping is not None)

    def _renewed(self, answer: Renewed) -> None:
        self._times.contact = now = clock.mono()
        self._times.offset_ms = answer.now_ms - round(now * 1000)
        for execution, word in zip(self._renewing, answer.words, strict=True):
            if word != "ok":
                self._desk.order(execution.token, word, more_to_come=self._turn is not None)
        if answer.order:
            self._ordered(answer.order)

    def _ordered(self, order: str) -> None:
        """A command from the control key, or found by a renewal."""
        what, _, token = order.partition(" ")
        if what == "shutdown":
            self.stop("told by an operator")
        elif what == "kill-horse":
            self._desk.kill_running("Killed by an operator's kill-horse.")
        elif what == "look":
            self._times.watched = clock.mono()
        else:
            self._desk.order(token, what, more_to_come=self._turn is not None)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _gives_up(self, now: float) -> bool:
        """Whether a stopping worker has waited long enough for the server to take its last outcomes."""
        if self._stopping is None or self._horses.running():
            self._times.unreachable = None
            return False
        return self._refused_for_good or self._times.waited_enough(now, self._patience(), self._calls.trouble is None)

    def _patience(self) -> float:
        """Seconds that a stopping worker, which runs nothing any more, waits for a server that is away."""
        claims = self._turn is not None and self._turn.want > 0 and self._calls.may_have_arrived
        owes = bool(self._ledger.held or claims)
        return REPLY_S if self._cold or not owes else self._times.patience(self._plan)

    def _report(self) -> int:
        unwritten = self._ledger.unwritten
        if unwritten:
            logs.outcomes_unwritten(self._plan.name, unwritten)
            return _EXIT_UNWRITTEN
        logs.worker_stopped(self._plan.name, self._desk.recorded)
        return 1 if self.failure is not None else 0
