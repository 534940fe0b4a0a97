"""The horses of one worker: forking them, talking to them, ending them, and knowing how they ended.

A horse's death is decided by waitpid, never by the end of its socket: a grandchild may hold that open. What it had
said before is read first, so a value already returned wins over a kill.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from rqlike import clock, logs
from rqlike.durations import format_seconds
from rqlike.failpoints import failpoint
from rqlike.outcomes import Outcome
from rqlike.records import Execution
from rqlike.running.tracebacks import text_of
from rqlike.settings import DUMP_S, FRAME_S
from rqlike.states import Reason
from rqlike.tellings import Tellings
from rqlike.worker.channel import GENERATIONS, HorseEnd, ParentEnd, open_channel
from rqlike.worker.deaths import how_it_died, signal_group, signal_left
from rqlike.worker.frames import (
    Frame,
    FrameKind,
    ProtocolError,
    pack,
    pack_jobs,
    read_afterwards,
    read_outcome,
)
from rqlike.worker.guardian import Guardian
from rqlike.worker.listener import Listener
from rqlike.worker.reins import ErrandDone, Event, Horse, NeverBegan, OutcomeCame, SetupFailed, Stage, TakenBack
from rqlike.worker.signals import blocked
from rqlike.worker.zygote import Zygote, ZygoteLost

TIMEOUT_TYPE: Final = "rqlike.timeouts.JobTimeoutException"
_CHUNK: Final = 1 << 16
_AGAIN_S: Final = 0.1  #: seconds to the next fork where `before_fork` has raised, or a horse died before its first job
_NO_ROOM_S: Final = 1.0  #: seconds to the next fork where the system had no room for one


class Supervisor:
    """Keeps `concurrency` horses. `start_horse(end, close_fds)` is the body of a horse and never returns. Where there
    is a `zygote` it forks them as long as it can, otherwise this process does. A `guardian` knows all of them."""

    def __init__(
        self,
        start_horse: Callable[[HorseEnd, Sequence[int]], NoReturn],
        *,
        concurrency: int,
        jobs_per_horse: int,
        kill_grace: float,
        before_fork: Callable[[], None],
        inherited: Callable[[], Iterable[int]],
        zygote: Zygote | None = None,
        guardian: Guardian | None = None,
    ) -> None:
        self._start_horse = start_horse
        self._concurrency = concurrency
        self._jobs_per_horse = jobs_per_horse
        self._kill_grace = kill_grace
        self._before_fork = before_fork
        self._inherited = inherited
        self._zygote = zygote
        self._guardian = guardian
        self.tellings = Tellings()  #: what the running jobs say
        self._listener = Listener(self.tellings)
        self.horses: list[Horse] = []
        self.setup_failures = 0  #: in a row
        self._given: list[Horse] = []
        self._fork_at = 0.0  #: not before this moment: the last fork has failed

    # -- staff ---------------------------------------------------------------------------------------------------------

    def staff(self, count: int) -> list[Event]:
        """Forks until `count` horses are of use for what comes next: one in its last job has its successor ready."""
        while sum(not self._leaves(horse) for horse in self.horses) < count and clock.mono() >= self._fork_at:
            try:
                self._before_fork()
            except Exception as error:  # noqa: BLE001  # code of the user
                self._fork_at = clock.mono() + _AGAIN_S
                self.setup_failures += 1
                return [SetupFailed(text_of(error))]
            try:
                self.horses.append(self._fork())
            except OSError as problem:  # no memory, no processes or no descriptors left: perhaps later
                self._fork_at = clock.mono() + _NO_ROOM_S
                logs.fork_failed(str(problem))
        return []

    def _leaves(self, horse: Horse) -> bool:
        last = horse.jobs >= self._jobs_per_horse or horse.retires is not None
        return horse.stage is Stage.DOOMED or (bool(horse.handed) and last)

    def idle(self) -> list[Horse]:
        """The horses that may be given something: never more than make `concurrency` with the running ones."""
        free = self._concurrency - len(self.running())
        return [horse for horse in self.horses if horse.stage is Stage.IDLE][: max(0, free)]

    def running(self) -> list[Horse]:
        """The horses with executions or their callbacks, until they are buried."""
        return [horse for horse in self.horses if horse.handed]

    @failpoint("parent.fork")
    def _fork(self) -> Horse:
        if self._guardian is not None:
            self._guardian.keep(clock.mono())
        if self._zygote is not None:
            try:
                horse = self._connected(self._born)
                horse.stage = Stage.IDLE if self._zygote.bears_ready else Stage.STARTING
                return horse
            except ZygoteLost as lost:
                logs.zygote_lost(str(lost))
                self._zygote.end()
                self._zygote = None
        return self._connected(self._forked)

    def _connected(self, fork: Callable[[ParentEnd, HorseEnd], int]) -> Horse:
        ours, theirs = open_channel()
        try:
            pid = fork(ours, theirs)
        except (OSError, ZygoteLost):
            ours.close()
            raise
        finally:
            theirs.close()
        if self._guardian is not None:
            self._guardian.note(pid)
        return Horse(pid, ours)

    def _born(self, ours: ParentEnd, theirs: HorseEnd) -> int:
        """The pid of a new horse that the zygote has forked."""
        assert self._zygote is not None
        if self._zygote.pid is None:
            sys.stdout.flush()
            sys.stderr.flush()
            self._zygote.start([*self._private(), *ours.fds, *theirs.fds])
        return self._zygote.fork(theirs)

    def _forked(self, ours: ParentEnd, theirs: HorseEnd) -> int:
        close = [*self._private(), *ours.fds]
        sys.stdout.flush()
        sys.stderr.flush()
        with blocked():
            pid = os.fork()
            if pid == 0:
                self._start_horse(theirs, close)
        return pid

    def _private(self) -> list[int]:
        """Descriptors that no horse has any business with: those of the loop, and those of the horses there are."""
        guardian = self._guardian.fds if self._guardian is not None else ()
        return [*self._inherited(), *guardian, *(fd for horse in self.horses for fd in horse.end.fds)]

    # -- work ----------------------------------------------------------------------------------------------------------

    def room(self, horse: Horse) -> int:
        """How many more jobs it may be given before it is replaced; at least one."""
        return max(1, self._jobs_per_horse - horse.jobs)

    @failpoint("parent.give")
    def give(self, horse: Horse, executions: Sequence[Execution]) -> bool:
        """Hands executions to an idle horse, which runs them one after the other; the time of the first counts from
        here. False where the horse is gone, so that none has begun. Raises ProtocolError where they fit into no frame.
        """
        now, end = clock.mono(), horse.end
        end.generation = (end.generation + 1) % GENERATIONS
        frame = pack_jobs(end.generation, now, executions)
        horse.writer.put(frame)
        end.permit(len(executions))  # before the frame: a job without a permit is one that was taken back
        self.write(horse)
        if horse.writer.broken:
            end.revoke()
            self._doom(horse)
            return False
        horse.stage, horse.overdue = Stage.RUNNING, False
        horse.whispers_now = len(executions) > 1
        horse.frame_due = now + FRAME_S if horse.whispers_now else None
        horse.handed.extend(executions)
        horse.jobs += len(executions)
        self._begins(horse, now)
        self._given.append(horse)
        return True

    def hear_given(self) -> list[Event]:
        """What the horses have to say that were given something since the last call. A short job may have ended while
        its worker was about something else, and then there is no need to wait for its horse."""
        if not self._given:
            return []
        given, self._given = self._given, []
        return [event for horse in given for event in self.hear(horse)]

    def _begins(self, horse: Horse, now: float) -> None:
        """The first of what it was given begins now, as far as it is known."""
        job = horse.handed[0].job
        called = job.call.func_name if job.call else "(unreadable call)"
        logs.job_started(job.id, called, job.queue, job.attempt)
        timeout = job.policy.job_timeout
        horse.began_s = now
        horse.dump_at = None if timeout < 0 else now + timeout + self._kill_grace

    def take_back(self, horse: Horse, *, but_one: bool = False) -> list[Execution]:
        """What it has not begun, in order; it never will. What is left with it has ended but for the last one.

        `but_one`: where it has begun none of what it has, the first stays, so that it cannot be given another frame
        before it has read this one."""
        most = len(horse.handed) - but_one
        count = min(horse.end.revoke(most), most) if most > 0 else 0
        taken = [horse.handed.pop() for _ in range(count)]
        horse.jobs -= count
        if count and not horse.handed and horse.stage is Stage.RUNNING:
            self._rest(horse)
        return taken[::-1]

    @failpoint("parent.callback")
    def send_on_errand(self, horse: Horse, execution: Execution, frame: bytes, limit_s: float) -> None:
        """Has an idle horse run callbacks, as the AFTER frame says; at most `limit_s` seconds."""
        horse.stage, horse.began_s = Stage.ERRAND, clock.mono()
        horse.handed.append(execution)
        horse.on_errand = True
        horse.dump_at = horse.began_s + limit_s + self._kill_grace
        self._send(horse, frame)

    def _send(self, horse: Horse, data: bytes) -> None:
        horse.writer.put(data)
        self.write(horse)

    def write(self, horse: Horse) -> None:
        """Sends what the socket takes now; a horse that is gone is noticed by waitpid."""
        horse.writer.flush(horse.end.sock)

    # -- hearing -------------------------------------------------------------------------------------------------------

    def hear(self, horse: Horse) -> list[Event]:
        """Reads what a horse has sent, without waiting. What it said quietly was said before what is said aloud, so
        that is looked for later and believed first."""
        events: list[Event] = []
        if horse not in self.horses:  # buried since it was seen to have something to say
            return events
        aloud = self._aloud(horse)
        try:
            quietly = horse.end.overhear() if horse.whispers_now or horse.tells else b""
            horse.whispers_now = horse.whispers_now and quietly is not None
            for reader, data in ((horse.whispers, quietly or b""), (horse.reader, aloud)):
                while frames := reader.feed(data):
                    for frame in frames:
                        event = self._heard(horse, frame, aloud=reader is horse.reader)
                        if event is not None:
                            events.append(event)
                    data = b""
        except ProtocolError as broken:
            self.kill(horse, Outcome(Reason.PROTOCOL, exc_string=f"The horse sent no frame: {broken}"))
        if horse.retires is not None and horse.handed and horse.stage is Stage.RUNNING:
            taken = self.take_back(horse)
            events += [TakenBack(taken)] if taken else []
        return events

    def _aloud(self, horse: Horse) -> bytes:
        data = b""
        while not horse.silent:
            try:
                chunk = horse.end.sock.recv(_CHUNK)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # the other end was closed with something unread in it, or is broken otherwise
                chunk = b""
            horse.silent = not chunk
            data += chunk
            if len(chunk) < _CHUNK:
                break
        return data

    def _heard(self, horse: Horse, frame: Frame, *, aloud: bool) -> Event | None:
        if frame.kind is FrameKind.TELLS:
            self._listener.heard(horse, frame, aloud=aloud)
            return None
        if horse.stage is Stage.DOOMED and frame.kind is not FrameKind.OUTCOME:
            return None
        match frame.kind:
            case FrameKind.READY:
                return self._heard_ready(horse, frame.payload)
            case FrameKind.OUTCOME:
                return self._heard_outcome(horse, frame)
            case FrameKind.AFTERWARDS:
                return self._heard_afterwards(horse, frame)
        raise ProtocolError(f"a horse does not send {frame.kind.name}")

    def _heard_ready(self, horse: Horse, error: object) -> Event | None:
        if horse.stage is not Stage.STARTING:
            raise ProtocolError("a horse that has started says READY")
        if error is not None and not isinstance(error, str):
            raise ProtocolError("a READY frame with an error that is no text")
        if error is None:
            self.setup_failures = 0
            horse.stage = Stage.IDLE
            return None
        self.setup_failures += 1
        self._doom(horse)
        return SetupFailed(error)

    def _heard_outcome(self, horse: Horse, frame: Frame) -> Event | None:
        execution = horse.execution
        if execution is None or frame.execution_id != execution.token:
            raise ProtocolError("an outcome of no execution")
        outcome, retires = read_outcome(frame)
        if horse.tells:
            self._listener.hear_out(horse)
        horse.handed.popleft()
        horse.retires = horse.retires or retires
        if horse.handed:
            self._begins(horse, min(max(horse.began_s, outcome.ended_s), clock.mono()))
        elif horse.stage is not Stage.DOOMED:
            self._rest(horse)
        return OutcomeCame(execution, outcome)

    def _heard_afterwards(self, horse: Horse, frame: Frame) -> Event | None:
        execution = horse.execution
        if execution is None or horse.stage is not Stage.ERRAND:
            raise ProtocolError("the end of no errand")
        error, retires = read_afterwards(frame)
        horse.handed.clear()
        horse.on_errand = False
        horse.retires = horse.retires or retires
        self._rest(horse)
        return ErrandDone(execution, error)

    def _rest(self, horse: Horse) -> None:
        """Idle again, or retired."""
        horse.dump_at, horse.frame_due, horse.overdue = None, None, False
        if horse.retires is None and horse.jobs >= self._jobs_per_horse:  # it goes by itself
            horse.stage, horse.kill_at = Stage.DOOMED, clock.mono() + self._kill_grace
        elif horse.retires is not None:
            logs.horse_retired(horse.pid, horse.retires)
            self.dismiss(horse)
        else:
            horse.stage = Stage.IDLE

    # -- ending --------------------------------------------------------------------------------------------------------

    def dismiss(self, horse: Horse) -> None:
        """Tells an idle horse to go; it is killed if it does not within the grace."""
        horse.stage = Stage.DOOMED
        horse.dump_at, horse.kill_at = None, clock.mono() + self._kill_grace
        self._send(horse, pack(FrameKind.QUIT, "", None))

    def dismiss_all(self) -> None:
        """Tells all horses to go that have nothing to do; the others after what they do."""
        for horse in self.horses:
            if horse.stage in (Stage.IDLE, Stage.STARTING):
                self.dismiss(horse)

    def recycle(self) -> None:
        """New horses: the idle ones go now, the others after what they do."""
        for horse in self.horses:
            horse.retires = horse.retires or "the code changed"
            if horse.stage in (Stage.IDLE, Stage.STARTING):
                self.dismiss(horse)

    def kill(self, horse: Horse, death: Outcome | None) -> None:
        """SIGKILL to the horse and its group; `death` is what its execution comes to unless it had already ended."""
        horse.death = death if horse.death is None else horse.death
        self._doom(horse)

    def forsake(self, horse: Horse) -> None:
        """Kills a horse whose execution is no longer ours; nothing is reported of it."""
        horse.forsaken = True
        self._doom(horse)

    def _doom(self, horse: Horse) -> None:
        horse.stage = Stage.DOOMED
        horse.dump_at = horse.kill_at = None
        signal_group(horse.pid, signal.SIGKILL)

    def tend(self, now: float) -> list[Event]:
        """Takes back what waits behind something slow; dumps and kills what is overdue."""
        events: list[Event] = []
        if self._guardian is not None and now >= self._guardian.due_s:
            self._guardian.keep(now)
        for horse in self.horses:
            if now < horse.moment:
                continue
            if horse.listen_at is not None and now >= horse.listen_at:
                events += self.hear(horse)
                self._listener.look(horse, now)
            if horse.frame_due is not None and now >= horse.frame_due:
                horse.frame_due, horse.overdue = None, True
                events += self.hear(horse)
                taken = self.take_back(horse, but_one=True)
                events += [TakenBack(taken)] if taken else []
            if horse.kill_at is not None and now >= horse.kill_at:
                self._doom(horse)
            elif horse.dump_at is not None and now >= horse.dump_at:
                self._overrun(horse, now)
        return events

    def _overrun(self, horse: Horse, now: float) -> None:
        """It did not heed its time-out: it shows where it is, and is killed."""
        horse.dump_at, horse.kill_at = None, now + DUMP_S
        if horse.execution is not None:
            logs.horse_overran(horse.pid, horse.execution.job_id, now - horse.began_s)
        if horse.stage is Stage.RUNNING:
            text = f"Still running {format_seconds(now - horse.began_s)} after its start; killed."
            horse.death = Outcome(Reason.TIMEOUT, exc_string=text, exc_type=TIMEOUT_TYPE)
        try:
            os.kill(horse.pid, signal.SIGABRT)  # faulthandler writes the stacks to the horse's stack file
        except ProcessLookupError:
            horse.kill_at = now

    def next_moment(self) -> float:
        """The monotonic moment at which `tend` or `staff` is due; infinity for never."""
        first = min([horse.moment for horse in self.horses], default=math.inf)
        first = first if self._guardian is None else min(first, self._guardian.due_s)
        return min(first, self._fork_at) if self._fork_at > clock.mono() else first

    def end(self) -> None:
        """Kills and buries what is left; nothing is reported of it."""
        for horse in self.horses:
            self.forsake(horse)
            with suppress(ChildProcessError):
                os.waitpid(horse.pid, 0)
            horse.end.close()
        self.horses.clear()
        if self._zygote is not None:
            self._zygote.end()
        if self._guardian is not None:
            self._guardian.end()

    # -- death ---------------------------------------------------------------------------------------------------------

    def reap(self) -> list[Event]:
        """Buries the dead: what they had said, and what their executions came to."""
        events: list[Event] = []
        for horse in list(self.horses):
            try:
                pid, status = os.waitpid(horse.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else in this process has waited for it
                pid, status = horse.pid, 0
            if pid:
                events += self.hear(horse)
                self.horses.remove(horse)
                events += self._bury(horse, status)
        if self._guardian is not None:
            self._guardian.keep(clock.mono())
        return events

    def _bury(self, horse: Horse, status: int) -> list[Event]:
        now = clock.mono()
        stack = horse.end.stack() if horse.handed else ""
        how = how_it_died(status)
        was, horse.stage = horse.stage, Stage.DOOMED
        events: list[Event] = [NeverBegan(execution) for execution in self.take_back(horse)]
        signal_left(horse.pid, signal.SIGKILL)  # what the job left behind goes with it
        if horse.tells:
            with suppress(ProtocolError):
                self._listener.hear_out(horse, died=True)
        if self._guardian is not None:
            self._guardian.forget(horse.pid)
        horse.end.close()
        if was is Stage.STARTING:
            self.setup_failures += 1
            return [SetupFailed(f"horse {horse.pid} died while it started: {how}")]
        if not horse.handed or horse.forsaken:
            if was is not Stage.DOOMED:
                logs.horse_died(horse.pid, how)
                if not horse.jobs:  # whatever it is that kills them: not as fast as they can be forked
                    self._fork_at = now + _AGAIN_S
            return events
        if horse.death is None:
            logs.horse_died(horse.pid, how)
        if horse.on_errand:
            why = horse.death.exc_string if horse.death is not None else None
            return [*events, ErrandDone(horse.handed[0], why or f"the horse died in a callback: {how}")]
        outcome = horse.death or Outcome.killed(f"The horse that ran this job died: {how}.", horse.began_s, now)
        told = "\n\n".join(part for part in (outcome.exc_string, stack) if part)
        outcome = Outcome(outcome.reason, None, told, outcome.exc_type, None, horse.began_s, now)
        # One, unless a job has taken the permits of others: those are not known to be harmless to repeat either.
        return [*events, *(OutcomeCame(execution, outcome) for execution in horse.handed)]
