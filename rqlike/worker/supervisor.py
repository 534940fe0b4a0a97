"""The horses of one worker: forking them, talking to them, ending them, and knowing how they ended.

A horse's death is decided by waitpid, never by the end of its socket: a grandchild may hold that open. What it had
said before is read first, so a value already returned wins over a kill.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NoReturn

from rqlike import clock, logs
from rqlike.durations import format_seconds
from rqlike.outcomes import Outcome
from rqlike.records import Execution
from rqlike.running.tracebacks import text_of
from rqlike.settings import DUMP_S
from rqlike.states import Reason
from rqlike.worker.frames import (
    Frame,
    FrameKind,
    FrameReader,
    FrameWriter,
    ProtocolError,
    pack,
    pack_job,
    read_afterwards,
    read_outcome,
)
from rqlike.worker.horse import BROKEN, LOST_SOCKET
from rqlike.worker.signals import blocked

TIMEOUT_TYPE: Final = "rqlike.timeouts.JobTimeoutException"
_STACK_LIMIT: Final = 16 << 10
_CHUNK: Final = 1 << 16
_AGAIN_S: Final = 0.1  #: seconds to the next fork where `before_fork` has raised
_MEANING: Final = {
    LOST_SOCKET: ", the job has closed or replaced the socket to its worker",
    BROKEN: ", an error of rqlike itself or of what it was sent",
}
_NO_ROOM_S: Final = 1.0  #: seconds to the next fork where the system had no room for one


class Stage(Enum):
    """What a horse is at."""

    STARTING = "starting"  #: forked, sets up its middleware
    IDLE = "idle"
    RUNNING = "running"  #: an execution
    ERRAND = "errand"  #: callbacks of an execution that is recorded
    DOOMED = "doomed"  #: killed, or told to quit; only its death is still to come


# -- what the supervisor tells -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutcomeCame:
    """An execution ended, by its horse's word or by the horse's death."""

    execution: Execution
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ErrandDone:
    """The callbacks of an execution ran, failed (`error`), or died with their horse."""

    execution: Execution
    error: str | None


@dataclass(frozen=True, slots=True)
class NeverBegan:
    """The horse had died before it could read its job."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """A horse could not be set up."""

    error: str


Event = OutcomeCame | NeverBegan | ErrandDone | SetupFailed


@dataclass(slots=True, eq=False)
class Horse:
    """One horse, as its parent knows it."""

    pid: int
    sock: socket.socket
    stack_fd: int
    reader: FrameReader = field(default_factory=FrameReader)
    writer: FrameWriter = field(default_factory=FrameWriter)
    stage: Stage = Stage.STARTING
    execution: Execution | None = None
    began_s: float = 0.0
    dump_at: float | None = None  #: when its stack is dumped, on the way to its end
    kill_at: float | None = None
    on_errand: bool = False  #: what it runs is not the execution but its callbacks
    unread: bool = False  #: it died before it had read what it was given last
    silent: bool = False  #: its end of the socket is closed: nothing more will come of it but its death
    death: Outcome | None = None  #: what its execution comes to if it dies now; None: by how it died
    forsaken: bool = False  #: its execution is no longer ours: nothing is reported
    jobs: int = 0
    retires: str | None = None


class Supervisor:
    """Keeps `concurrency` horses. `start_horse(sock, stack_fd, close_fds)` is the body of a horse and never returns."""

    def __init__(
        self,
        start_horse: Callable[[socket.socket, int, Sequence[int]], NoReturn],
        *,
        concurrency: int,
        jobs_per_horse: int,
        kill_grace: float,
        before_fork: Callable[[], None],
        inherited: Callable[[], Iterable[int]],
    ) -> None:
        self._start_horse = start_horse
        self._concurrency = concurrency
        self._jobs_per_horse = jobs_per_horse
        self._kill_grace = kill_grace
        self._before_fork = before_fork
        self._inherited = inherited
        self.horses: list[Horse] = []
        self.setup_failures = 0  #: in a row
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
        return horse.stage is Stage.DOOMED or (horse.execution is not None and last)

    def idle(self) -> list[Horse]:
        """The horses that may be given something: never more than make `concurrency` with the running ones."""
        free = self._concurrency - len(self.running())
        return [horse for horse in self.horses if horse.stage is Stage.IDLE][: max(0, free)]

    def running(self) -> list[Horse]:
        """The horses with an execution or its callbacks, until they are buried."""
        return [horse for horse in self.horses if horse.execution is not None]

    def _fork(self) -> Horse:
        stack_fd = _anonymous_file()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    pid = self._forked(ours, theirs, stack_fd)
                except OSError:
                    ours.close()
                    raise
        except OSError:
            os.close(stack_fd)
            raise
        ours.setblocking(False)
        return Horse(pid, ours, stack_fd)

    def _forked(self, ours: socket.socket, theirs: socket.socket, stack_fd: int) -> int:
        close = [ours.fileno(), *self._inherited()]
        for horse in self.horses:
            close += (horse.sock.fileno(), horse.stack_fd)
        sys.stdout.flush()
        sys.stderr.flush()
        with blocked():
            pid = os.fork()
            if pid == 0:
                self._start_horse(theirs, stack_fd, close)
        return pid

    # -- work ----------------------------------------------------------------------------------------------------------

    def give(self, horse: Horse, execution: Execution) -> bool:
        """Hands an execution to an idle horse; its time counts from here. False where the horse is gone, so that the
        execution has not begun. Raises ProtocolError for one that fits into no frame."""
        frame = pack_job(execution.token, execution.job_id, execution.raw)
        self._send(horse, frame)
        if horse.writer.broken:
            self._doom(horse)
            return False
        now, timeout = clock.mono(), execution.job.policy.job_timeout
        horse.stage, horse.execution, horse.began_s = Stage.RUNNING, execution, now
        horse.jobs += 1
        horse.dump_at = None if timeout < 0 else now + timeout + self._kill_grace
        return True

    def send_on_errand(self, horse: Horse, execution: Execution, frame: bytes, limit_s: float) -> None:
        """Has an idle horse run callbacks, as the AFTER frame says; at most `limit_s` seconds."""
        horse.stage, horse.execution, horse.began_s = Stage.ERRAND, execution, clock.mono()
        horse.on_errand = True
        horse.dump_at = horse.began_s + limit_s + self._kill_grace
        self._send(horse, frame)

    def _send(self, horse: Horse, data: bytes) -> None:
        horse.writer.put(data)
        self.write(horse)

    def write(self, horse: Horse) -> None:
        """Sends what the socket takes now; a horse that is gone is noticed by waitpid."""
        horse.writer.flush(horse.sock)

    # -- hearing -------------------------------------------------------------------------------------------------------

    def hear(self, horse: Horse) -> list[Event]:
        """Reads what a horse has sent, without waiting."""
        events: list[Event] = []
        while True:
            try:
                data = horse.sock.recv(_CHUNK)
            except (BlockingIOError, InterruptedError):
                return events
            except ConnectionResetError:
                # So Linux says that the other end was closed with something unread in it.
                horse.unread, data = True, b""
            except OSError:
                data = b""
            if not data:
                horse.silent = True
                return events
            try:
                for frame in horse.reader.feed(data):
                    event = self._heard(horse, frame)
                    events += [] if event is None else [event]
            except ProtocolError as broken:
                self.kill(horse, Outcome(Reason.PROTOCOL, exc_string=f"The horse sent no frame: {broken}"))
                return events

    def _heard(self, horse: Horse, frame: Frame) -> Event | None:
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
        if error is None:
            self.setup_failures = 0
            horse.stage = Stage.IDLE
            return None
        self.setup_failures += 1
        self._doom(horse)
        return SetupFailed(str(error))

    def _heard_outcome(self, horse: Horse, frame: Frame) -> Event | None:
        execution = horse.execution
        if execution is None or frame.execution_id != execution.token:
            raise ProtocolError("an outcome of no execution")
        outcome, retires = read_outcome(frame)
        horse.execution, horse.dump_at = None, None
        horse.retires = horse.retires or retires
        forsaken, horse.forsaken = horse.forsaken, False
        if horse.stage is not Stage.DOOMED:
            self._rest(horse)
        return None if forsaken else OutcomeCame(execution, outcome)

    def _heard_afterwards(self, horse: Horse, frame: Frame) -> Event | None:
        execution = horse.execution
        if execution is None or horse.stage is not Stage.ERRAND:
            raise ProtocolError("the end of no errand")
        error, retires = read_afterwards(frame)
        horse.execution, horse.dump_at, horse.on_errand = None, None, False
        horse.retires = horse.retires or retires
        self._rest(horse)
        return ErrandDone(execution, error)

    def _rest(self, horse: Horse) -> None:
        """Idle again, or retired."""
        if horse.retires is None and horse.jobs >= self._jobs_per_horse:
            self.dismiss(horse)
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
        _signal_group(horse.pid, signal.SIGKILL)

    def tend(self, now: float) -> None:
        """Dumps and kills what is overdue."""
        for horse in self.horses:
            if horse.kill_at is not None and now >= horse.kill_at:
                self._doom(horse)
            elif horse.dump_at is not None and now >= horse.dump_at:
                self._overrun(horse, now)

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

    def next_moment(self) -> float | None:
        """The monotonic moment at which `tend` is due."""
        moments = [moment for horse in self.horses for moment in (horse.dump_at, horse.kill_at) if moment is not None]
        if self._fork_at > clock.mono():
            moments.append(self._fork_at)
        return min(moments, default=None)

    def end(self) -> None:
        """Kills and buries what is left; nothing is reported of it."""
        for horse in self.horses:
            self.forsake(horse)
            with suppress(ChildProcessError):
                os.waitpid(horse.pid, 0)
            horse.sock.close()
            os.close(horse.stack_fd)
        self.horses.clear()

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
        return events

    def _bury(self, horse: Horse, status: int) -> list[Event]:
        now = clock.mono()
        stack = _stack(horse.stack_fd)
        _signal(os.killpg, horse.pid, signal.SIGKILL)  # what the job left behind goes with it
        horse.sock.close()
        os.close(horse.stack_fd)
        how = _how(status)
        if horse.stage is Stage.STARTING:
            self.setup_failures += 1
            return [SetupFailed(f"horse {horse.pid} died while it started: {how}")]
        execution = horse.execution
        if execution is None or horse.forsaken:
            if horse.stage is not Stage.DOOMED:
                logs.horse_died(horse.pid, how)
            return []
        if horse.death is None:
            logs.horse_died(horse.pid, how)
            if not horse.on_errand and (horse.unread or horse.writer.broken):
                return [NeverBegan(execution)]
        if horse.on_errand:
            why = horse.death.exc_string if horse.death is not None else None
            return [ErrandDone(execution, why or f"the horse died in a callback: {how}")]
        outcome = horse.death or Outcome.killed(f"The horse that ran this job died: {how}.", horse.began_s, now)
        told = "\n\n".join(part for part in (outcome.exc_string, stack) if part)
        return [
            OutcomeCame(
                execution,
                Outcome(outcome.reason, None, told, outcome.exc_type, None, horse.began_s, now),
            )
        ]


def _signal_group(pid: int, number: signal.Signals) -> None:
    """To the horse's process group, and to the horse itself where it has not made its group yet."""
    _signal(os.killpg, pid, number)
    _signal(os.kill, pid, number)


def _signal(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        send(pid, number)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}{_MEANING.get(code, '')}"
    name = signal.Signals(-code).name
    return f"{name} ({-code})" + (", often the system's out-of-memory killer" if -code == signal.SIGKILL else "")


def _anonymous_file() -> int:
    """A file without a name, for the stack of a horse that can no longer speak."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rqlike-stack", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as unnamed:
        return os.dup(unnamed.fileno())


def _stack(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, min(size, _STACK_LIMIT), 0).decode(errors="replace").strip()
