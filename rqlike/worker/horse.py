"""A horse: a process forked from a worker that runs jobs, and that knows no server.

It reads frames from its worker and answers them. Everything here runs beside code of the user that may fork, close
descriptors, take signals or never end, so it trusts nothing it has not checked just now.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from rqlike import logs
from rqlike.codec import decode_job
from rqlike.exceptions import DeserializationError
from rqlike.failpoints import failpoint
from rqlike.outcomes import Outcome
from rqlike.records import JobRecord, ResultRecord
from rqlike.running.callbacks import Handler, call_back, handle_exception, read_result
from rqlike.running.current import WorkerInfo, current_job, current_worker, set_current_worker
from rqlike.running.deadline import Deadline, masked
from rqlike.running.executor import Ran, Rig, run
from rqlike.running.handlers import change_mask
from rqlike.running.middleware import Middleware, overrides
from rqlike.running.pauses import with_pause
from rqlike.running.progress import speak_with
from rqlike.running.tracebacks import text_of
from rqlike.serializers import Serializer
from rqlike.settings import PAYLOAD_LIMIT, WHISPER_S
from rqlike.states import Reason
from rqlike.worker.birth import cut_off, identity, raised, stand_alone
from rqlike.worker.channel import WHISPER_LIMIT, HorseEnd
from rqlike.worker.frames import Frame, FrameKind, FrameReader, ProtocolError, pack, read_jobs, send_blocking
from rqlike.worker.hygiene import Snapshot
from rqlike.worker.mouth import Mouth
from rqlike.worker.slot import Slot

LOST_SOCKET: Final = 70  #: exit code: the job has closed or replaced the socket to the worker
BROKEN: Final = 71  #: exit code: an error in rqlike itself, or frames that are none

_HANDLERS_S: Final = 60.0  #: seconds for all exception handlers of an execution
#: Executions that ended without a failure: exception handlers are not told.
_NO_FAILURE: Final = frozenset({None, Reason.STOPPED, Reason.CANCELED, Reason.RETRY_RETURNED})
_READY: Final = pack(FrameKind.READY, "", None)
_RECEIVE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class HorseSettings:
    """What a worker's horses have in common."""

    worker: WorkerInfo | None = None
    middleware: Sequence[Middleware] = ()
    serializer: Serializer | None = None  #: one of its own; the built-in ones are known by name
    payload_limit: int = PAYLOAD_LIMIT  #: bytes of a result
    allow: Sequence[str] | None = None  #: globs of function paths; None allows all
    max_memory: int | None = None  #: bytes of resident memory after which a horse is retired; None: no limit
    jobs: int | None = None  #: after so many it ends by itself; None: when it is told to
    exception_handlers: Sequence[Handler | str] = ()  #: called after each failed execution (RQ)
    callback_connection: Callable[[], object] | None = None  #: called in the horse; None: the job's own


def run_horse(
    end: HorseEnd,
    *,
    parent_pid: int,
    settings: HorseSettings,
    make_job: Callable[[JobRecord], object],
    make_result: Callable[[ResultRecord], object] = lambda record: record,
    close_fds: Sequence[int] = (),
) -> NoReturn:
    """The life of a horse, from just after the fork to its exit. Call it with all signals blocked.

    `end`: its end of the channel. `make_job` and `make_result` make the handles that the user's code is given.
    `close_fds`: descriptors of the worker's loop.
    Exits with 0 when told to or when the worker is gone, 1 when the middleware could not be set up, 70 when a job
    has taken its socket away, 71 on an error of rqlike itself.
    """
    code = BROKEN
    try:
        cut_off(set(close_fds).difference(end.fds))
        stand_alone(parent_pid)
        horse = _Horse(raised(end), settings, make_job, make_result)
        with current_worker(settings.worker):
            code = horse.live()
    except BaseException:  # noqa: BLE001  # it must not get out: above this is the worker's own stack
        _tell()
    finally:
        leave(code)


def prepare_horse(
    end: HorseEnd,
    *,
    parent_pid: int,
    settings: HorseSettings,
    make_job: Callable[[JobRecord], object],
    make_result: Callable[[ResultRecord], object] = lambda record: record,
) -> Callable[[], NoReturn]:
    """All of `run_horse` that can be done before the fork, for a process that does nothing but fork horses.

    What is returned is called just after each fork, with all signals blocked; under the numbers in `end` it must find
    the descriptors of its own channel. `cut_off` has been called in the process that forks, and the system kills the
    new one when the worker ends. Without middleware such a horse sends no READY: it is.
    """
    horse = _Horse(end, settings, make_job, make_result)
    horse.make_ready()

    def start() -> NoReturn:
        code = BROKEN
        try:
            os.setpgid(0, 0)
            # Otherwise the worker died before its death could be noticed.
            code = horse.live() if os.getppid() == parent_pid else 0
        except BaseException:  # noqa: BLE001  # as in `run_horse`
            _tell()
        finally:
            leave(code)

    return start


def try_horse(end: HorseEnd, make_job: Callable[[JobRecord], object]) -> int:
    """One that runs a single job in this very process, which is to fork horses later; what would be its exit code."""
    horse = _Horse(end, HorseSettings(jobs=1), make_job, lambda record: record)
    horse.make_ready()
    return horse.live()


def _tell() -> None:
    with suppress(OSError, ValueError, AttributeError):
        traceback.print_exc()


def leave(code: int) -> NoReturn:
    """Ends this process now, without the clean-up that belongs to the process it was forked from."""
    _flush()
    os._exit(code)


# -- the loop ----------------------------------------------------------------------------------------------------------


class _Horse:
    """One horse: its socket, and what it keeps from one frame to the next."""

    def __init__(
        self,
        end: HorseEnd,
        settings: HorseSettings,
        make_job: Callable[[JobRecord], object],
        make_result: Callable[[ResultRecord], object],
    ) -> None:
        self._end = end
        self._sock = end.sock
        self._identity: tuple[int, int] | None = None
        self._stack_identity: tuple[int, int] | None = None
        self._pid = 0
        self._permit: int | None = None  # one that was taken, of a frame that is still to be read
        self._settings = settings
        self._make_job = make_job
        self._make_result = make_result
        self._deadline = Deadline()
        self._deadline.install()
        own = settings.serializer
        pickles = own is not None and own.name == "pickle"
        self._rig = Rig(self._deadline, settings.middleware, own, settings.payload_limit, settings.allow, pickles)
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()
        self._speaking = threading.Lock()  # over the socket: threads of a job write into its log
        self._spoke = False  # aloud, since the last frame came: what follows must not be heard before it
        self._left = settings.jobs  # jobs until its end
        self._ran: dict[str, Ran] = {}  # executions of the last frame that have callbacks, by token
        self._snapshot: Snapshot | None = None
        self._is_known_ready = False
        self._mouth = Mouth(end, self._say, self._slot)
        self._dumps = False  # to the stack file, and no code of the user has run since, which may turn it off

    def _say(self, data: bytes) -> bool:
        """A small frame over the socket, now or not at all: whether it went. Processes that a job has forked do not."""
        if os.getpid() != self._pid or identity(self._sock.fileno()) != self._identity:
            return False
        with masked():
            if not self._speaking.acquire(blocking=False):
                return False
            try:
                sent = self._sock.send(data, socket.MSG_DONTWAIT)
                self._spoke = True
                if sent < len(data):
                    send_blocking(self._sock, data[sent:])
            except OSError:  # it is full, or the worker is gone, or the job has closed it
                return False
            finally:
                self._speaking.release()
        return True

    def _slot(self) -> Slot | None:
        """Where the running job shows how far it is; None where the file for it has been closed."""
        fd = self._end.stack_fd
        try:
            return Slot(fd) if identity(fd) == self._stack_identity else None
        except (OSError, ValueError):
            return None

    def make_ready(self) -> None:
        """What a fork leaves as it is, done before it. Where there is no middleware to set up, nothing is left that
        could go wrong, and the worker needs not be told of it."""
        self._is_known_ready = not self._settings.middleware
        set_current_worker(self._settings.worker)
        faulthandler.enable(file=self._end.stack_fd)
        self._dumps = True

    def live(self) -> int:
        """Runs until QUIT or until the worker is gone; the exit code. Call it with all signals blocked."""
        self._pid = os.getpid()
        self._identity = identity(self._sock.fileno())
        self._stack_identity = identity(self._end.stack_fd)
        change_mask(signal.SIG_SETMASK, ())
        speak_with(self._mouth)
        problem = self._set_up()
        if problem is not None:
            self._send(FrameKind.READY, "", problem)
            return 1
        if self._left != 1:  # nothing is put back for nobody; what the middleware has set up is to stay
            self._snapshot = Snapshot.take(self._settings.max_memory)
        if not self._is_known_ready:
            self._send_bytes(_READY)
        while self._left != 0:
            frame = self._receive()
            if frame is None or frame.kind is FrameKind.QUIT:
                return 0
            if frame.kind is FrameKind.JOBS:
                self._work_through(frame)
            elif frame.kind is FrameKind.AFTER:
                self._follow_up(frame)
            else:
                raise ProtocolError(f"a worker does not send {frame.kind.name}")
        return 0

    def _set_up(self) -> str | None:
        self._dumps = self._dumps and not self._settings.middleware
        try:
            for one in self._settings.middleware:
                one.after_fork()
            for one in self._settings.middleware:
                one.setup()
        except BaseException as error:  # noqa: BLE001  # the worker is told, and decides
            return text_of(error)
        return None

    # -- frames --------------------------------------------------------------------------------------------------------

    def _receive(self) -> Frame | None:
        """The next frame; None when the worker is gone."""
        while not self._frames:
            try:
                data = self._sock.recv(_RECEIVE)
            except ConnectionError:
                return None
            if not data:
                return None
            self._frames.extend(self._reader.feed(data))
        return self._frames.popleft()

    @failpoint("horse", of=lambda _, kind, *rest, **how: (kind.name.lower(),))
    def _send(
        self, kind: FrameKind, execution_id: str, payload: object, *, quietly: bool = False, said: bytes = b""
    ) -> None:
        """To the worker, which is woken unless it is said `quietly`: then it finds it when it looks. `said`: frames
        that go before."""
        if os.getpid() != self._pid:  # a process that the job has forked, and that came back from it
            leave(0)
        if self._identity is None or identity(self._sock.fileno()) != self._identity:
            leave(LOST_SOCKET)
        self._send_bytes(said + pack(kind, execution_id, payload), quietly=quietly)

    def _send_bytes(self, data: bytes, *, quietly: bool = False) -> None:
        try:
            if quietly and len(data) <= WHISPER_LIMIT and self._end.whisper(data):
                return
            self._spoke = True
            with masked(), self._speaking:
                send_blocking(self._sock, data)
        except ConnectionError:  # the worker is gone, and with it everybody who would want to know
            leave(0)
        except OSError:  # the job has closed the pipe
            leave(LOST_SOCKET)

    def _dump_to_stack_file(self) -> None:
        """A fatal signal writes the stacks of all threads there."""
        if self._dumps:
            return
        if identity(self._end.stack_fd) == self._stack_identity:
            faulthandler.enable(file=self._end.stack_fd)
        else:
            faulthandler.disable()
        self._dumps = True

    # -- jobs ----------------------------------------------------------------------------------------------------------

    @failpoint("horse.frame")
    def _work_through(self, frame: Frame) -> None:
        """The jobs of a frame in their order, as long as they are permitted and this horse is fit for another one."""
        self._ran.clear()
        self._spoke = False
        generation, sent_s, jobs = read_jobs(frame)
        for left, (token, job_id, flat) in zip(range(len(jobs) - 1, -1, -1), jobs, strict=True):
            if not self._may_begin(generation):
                return
            retires = self._work(token, job_id, flat, quiet_until=sent_s + WHISPER_S if left else 0.0)
            if retires:
                return

    @failpoint("horse.permit")
    def _may_begin(self, generation: int) -> bool:
        """Takes the permit of a job. One of a later frame is kept for that: this frame was taken back."""
        try:
            self._permit = self._end.take_permit() if self._permit is None else self._permit
        except OSError:  # the job before has closed the pipe
            leave(LOST_SOCKET)
        if self._permit != generation:
            return False
        self._permit = None
        return True

    def _work(self, token: str, job_id: str, flat: Sequence[bytes], *, quiet_until: float) -> bool:
        """Runs a job and says what it came to; whether this horse must not run another one."""
        self._dump_to_stack_file()
        record, job, problem = self._read(job_id, flat)
        self._dumps = False
        call = None if record is None else record.call
        self._mouth.token = token
        ran = run(call, job, self._rig, job_id=job_id, execution_id=token, call_error=problem)
        if os.getpid() != self._pid:  # the job has forked, and this is the other process
            leave(0)
        if record is not None and ran.outcome.reason is not None:
            ran = with_pause(ran, record, job, self._rig)
            if os.getpid() != self._pid:
                leave(0)
        self._left = None if self._left is None else self._left - 1
        retire = self._tidy(ran.outcome) if self._left != 0 else None
        said = self._mouth.fall_silent()
        quietly = retire is None and not said and not self._spoke and ran.outcome.ended_s < quiet_until
        self._send(FrameKind.OUTCOME, token, [ran.outcome.to_wire(), retire], quietly=quietly, said=said)
        _flush()
        if record is not None and record.policy.has_callbacks:
            self._ran[token] = ran
        return retire is not None

    def _tidy(self, outcome: Outcome | None = None) -> str | None:
        """Puts the process back as it was; why it must not run another job, or None."""
        if self._snapshot is None:
            return None
        return self._snapshot.restore(outcome, timed_out=self._deadline.ever_fired)

    def _read(self, job_id: str, flat: Sequence[bytes]) -> tuple[JobRecord | None, object, str]:
        """The record, its handle, and why its call cannot be run ("": it can)."""
        try:
            record = decode_job(job_id, flat)
        except DeserializationError as error:
            return None, None, str(error)
        if record is None:
            return None, None, "the worker has sent no fields of it"
        return record, self._make_job(record), record.call_error

    @failpoint("horse.callback")
    def _follow_up(self, frame: Frame) -> None:
        """Callback and `after_result` of an execution that is recorded, whoever ran it."""
        self._dump_to_stack_file()
        which, job_id, flat, entry = _after_of(frame)
        ran = self._ran.pop(frame.execution_id, None)
        self._dumps = False
        error = copy_context().run(self._call_back, which, job_id, flat, entry, ran)
        if os.getpid() != self._pid:
            leave(0)
        retire = self._tidy()
        payload = error if retire is None else [error, retire]
        self._send(FrameKind.AFTERWARDS, frame.execution_id, payload)
        _flush()

    def _call_back(self, which: str, job_id: str, flat: Sequence[bytes], entry: object, ran: Ran | None) -> str | None:
        record, job, problem = self._read(job_id, flat)
        if record is None:
            return problem
        settings = self._settings
        result = read_result(job_id, entry)
        with current_job(job):
            error = call_back(
                which,
                record,
                job,
                connect=settings.callback_connection,
                result=result,
                ran=ran,
                deadline=self._deadline,
                serializer=settings.serializer,
                allow=settings.allow,
            )
            if settings.exception_handlers and result is not None and result.reason not in _NO_FAILURE:
                self._handle_exception(record, job, result, ran)
            if result is not None and overrides(settings.middleware, "after_result"):
                self._after_result(job_id, job, self._make_result(result))
        return error

    def _handle_exception(self, record: JobRecord, job: object, result: ResultRecord, ran: Ran | None) -> None:
        handlers = self._settings.exception_handlers
        problem = handle_exception(
            handlers, record, job, result=result, ran=ran, deadline=self._deadline, timeout=_HANDLERS_S
        )
        if problem is not None:
            logs.callback_failed(record.id, f"exception handler: {problem}")

    def _after_result(self, job_id: str, job: Any, result: Any) -> None:
        for one in self._settings.middleware:
            try:
                one.after_result(job, result)
            except BaseException as error:  # noqa: BLE001  # logged, and changes nothing
                logs.callback_failed(job_id, f"after_result of {type(one).__name__}: {text_of(error)}")


def _after_of(frame: Frame) -> tuple[str, str, Sequence[bytes], object]:
    match frame.payload:
        case [str(which), str(job_id), list(flat), entry]:
            return which, job_id, flat, entry
    raise ProtocolError("An AFTER frame has another shape than it should.")


def _flush() -> None:
    """What the job has printed is seen now, not when the horse ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S112  # None, closed, a full disk, or an object of the job's own
            continue
