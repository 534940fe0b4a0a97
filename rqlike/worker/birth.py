"""Just after a fork: a horse cuts what it inherited and must not share, and stands alone."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Final

from rqlike.running.handlers import ALL, handler_of
from rqlike.worker.channel import HorseEnd

_HIGH: Final = 512  #: descriptors of a horse are moved up there, out of the way of what jobs open and close
_PR_SET_PDEATHSIG: Final = 1
# Loaded before any fork: it takes milliseconds.
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def cut_off(close_fds: Iterable[int]) -> None:
    """Cuts what a fork inherits and must not share. The order matters: nothing of the parent's may see a signal of the
    child's."""
    signal.set_wakeup_fd(-1)
    _default_handlers()
    _no_stdin()
    for fd in close_fds:
        with suppress(OSError):
            os.close(fd)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def raised(end: HorseEnd) -> HorseEnd:
    """The channel under high numbers, which blocks where it is waited for; the low ones are closed."""
    sock = socket.socket(fileno=_high(end.sock.detach()))
    sock.setblocking(True)
    return HorseEnd(sock, _high(end.permits), _high(end.whispers), _high(end.stack_fd))


def stand_alone(parent_pid: int) -> None:
    """A process group of its own, and no life without its parent; what each process has to do for itself."""
    _die_with(parent_pid)
    with suppress(PermissionError):
        os.setpgid(0, 0)


def _default_handlers() -> None:
    for number in ALL:
        if callable(handler_of(number)):
            signal.signal(number, signal.SIG_DFL)
    # A terminal's Ctrl-C is meant for the worker, which decides what becomes of its horses.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An alarm that comes when the body it was meant for has ended must not kill the process.
    signal.signal(signal.SIGALRM, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler, because SIG_IGN would be inherited by the programs that jobs start."""


def _die_with(parent_pid: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before that
        os._exit(0)


def _no_stdin() -> None:
    # A process in a background group that reads from the terminal would be stopped.
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)


def _high(fd: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    floor = _HIGH if soft == resource.RLIM_INFINITY else max(3, min(_HIGH, soft - 32))
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor)
    os.close(fd)
    return moved


def identity(fd: int) -> tuple[int, int] | None:
    """What a descriptor stands for now; None for nothing."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino
