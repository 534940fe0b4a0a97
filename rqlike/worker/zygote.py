"""A zygote: a process that does nothing but fork horses, for workers that fork one for each job.

After a fork both sides copy each page of memory that they write to. A worker writes to hundreds between two forks, a
process that only forks writes to few; and what a horse has to do before its first job is done in it once, before the
forks. Its horses are the worker's own children, so that nothing else of a worker knows the difference.

The worker sends the descriptors of a channel and gets a pid back. Whatever goes wrong with that, the worker can fork by
itself.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from errno import EAGAIN, ENOMEM
from typing import Final, NoReturn

from rqlike.worker.birth import cut_off, raised, stand_alone
from rqlike.worker.channel import HorseEnd
from rqlike.worker.siblings import sibling_fork
from rqlike.worker.signals import blocked

#: What makes a horse of a process that was forked just now, and never returns.
Birth = Callable[[], NoReturn]

_ANSWER_S: Final = 2.0  #: seconds the worker waits for a pid, which takes a millisecond
_ANSWER: Final = struct.Struct("q")  #: a pid, or an error number below zero
_FDS: Final = struct.Struct("4i")
_ROOM: Final = socket.CMSG_SPACE(_FDS.size)
_NO_ROOM: Final = (EAGAIN, ENOMEM)  #: the system has no room for another process: a fork of the worker would fail too


class ZygoteLost(Exception):
    """It does not answer, or cannot fork. Internal."""


class Zygote:
    """The worker's side. `prepare` is called in the new process and gives what starts a horse; see `prepare_horse`.
    `bears_ready`: whether its horses are ready as soon as they are there, and do not say so.

    Nothing happens before the first `fork`.
    """

    def __init__(self, prepare: Callable[[HorseEnd], Birth], *, bears_ready: bool = False) -> None:
        self._prepare = prepare
        self.bears_ready = bears_ready
        self._sock: socket.socket | None = None
        self._froze = False
        # In memory that both share: were it killed between a fork and its answer, nobody else would know of the horse.
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._newborn = ctypes.c_int.from_buffer(self._shared)
        self.pid: int | None = None  #: of the process; None where there is none

    def start(self, close_fds: Iterable[int]) -> None:
        """Forks it, once; `close_fds`: descriptors of the worker's loop. Raises OSError."""
        if self.pid is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent_pid = os.getpid()
        if not gc.get_freeze_count():
            gc.freeze()  # a collection writes to every object there is: 15 MB that would be copied
            self._froze = True
        with theirs:
            try:
                with blocked():
                    self.pid = os.fork()
                    if self.pid == 0:
                        self._shared.madvise(mmap.MADV_DONTFORK)
                        note = ctypes.addressof(self._newborn)
                        _live(theirs, self._prepare, parent_pid, note, [ours.fileno(), *close_fds])
            except OSError:
                ours.close()
                raise
        ours.settimeout(_ANSWER_S)
        self._sock = ours

    def fork(self, end: HorseEnd) -> int:
        """The pid of a new horse, a child of this process, at that end of a channel. Waits for as long as a fork takes.

        Raises OSError where the system has no room for a process, ZygoteLost where this one cannot be used any more.
        """
        assert self._sock is not None
        try:
            socket.send_fds(self._sock, [b"f"], end.fds)
            answer = self._sock.recv(_ANSWER.size)
        except OSError as problem:
            raise ZygoteLost(str(problem)) from problem
        if len(answer) != _ANSWER.size:
            raise ZygoteLost("it has died")
        self._newborn.value = 0
        (pid,) = _ANSWER.unpack(answer)
        if pid > 0:
            return int(pid)
        if -pid in _NO_ROOM:
            raise OSError(-pid, os.strerror(-pid))
        raise ZygoteLost(os.strerror(-pid))

    def end(self) -> None:
        """Kills it. Its horses live on, but for one whose pid it has not told."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._froze:
            gc.unfreeze()
            self._froze = False
        if self.pid is not None:
            _bury(self.pid)
            self.pid = None
            if self._newborn.value > 0:
                _bury(self._newborn.value)
                self._newborn.value = 0


def _bury(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


# -- the process itself ------------------------------------------------------------------------------------------------


def _live(
    sock: socket.socket, prepare: Callable[[HorseEnd], Birth], parent_pid: int, note: int, close_fds: list[int]
) -> NoReturn:
    """Its life, with all signals blocked: it ends with its worker, or when it is killed."""
    try:
        cut_off(close_fds)
        stand_alone(parent_pid)
        fork = sibling_fork(note)
        if fork is not None:
            end = _place()
            _serve(sock, fork, end.fds, prepare(end))
    except BaseException:  # noqa: BLE001  # it must not get out: above this is the worker's own stack
        with suppress(OSError, ValueError, AttributeError):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(1)


def _place() -> HorseEnd:
    """An end of no channel, of which only the numbers are of use: every horse finds its own under them."""
    sock, other = socket.socketpair()
    other.close()
    permits, whispers, stack_fd = (os.open(os.devnull, os.O_RDWR) for _ in range(3))
    return raised(HorseEnd(sock, permits, whispers, stack_fd))


def _serve(sock: socket.socket, fork: Callable[[], int], places: Sequence[int], start: Birth) -> None:
    """Forks a horse for each message, until there is nobody to send one."""
    own = sock.fileno()
    while True:
        message, extra, _, _ = sock.recvmsg(1, _ROOM)
        if not message:
            return
        fds = _FDS.unpack(extra[0][2])
        for fd, place in zip(fds, places, strict=True):
            os.dup2(fd, place, inheritable=False)
            os.close(fd)
        try:
            pid = fork()
        except OSError as problem:
            pid = -(problem.errno or EAGAIN)
        if pid == 0:
            os.close(own)
            start()
        for place in places:  # the end of a horse's channel is to be seen when it ends, and not at the next fork
            os.close(place)
        sock.send(_ANSWER.pack(pid))
