"""What a horse puts back after each job, and what makes it unfit for another one.

Left alone on purpose: `os.environ`, the locale and imported modules. A library that is imported during a job may set
them once for good, and would break if they were taken back while it stays imported.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rqlike.outcomes import Outcome
from rqlike.running.handlers import USUAL, change_mask, handler_of

#: Exceptions after which nobody knows what is half done.
_SPOILING: Final = {
    "builtins.MemoryError": "memory-error",
    "builtins.RecursionError": "recursion-error",
    "rqlike.timeouts.JobTimeoutException": "timeout",
}
FDS: Final = 448  #: lowest free descriptor from which on a process counts as leaking them; a horse's own are above 512


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a process was before its first job."""

    cwd: str | None
    umask: int
    mask: frozenset[int]
    handlers: Mapping[int, Any]
    socket_timeout: float | None
    recursion_limit: int
    threads: frozenset[int | None]
    children: frozenset[int] | None  #: None: there were none, which is quicker to ask than which
    max_memory: int | None
    max_fd: int

    @classmethod
    def take(cls, max_memory: int | None = None) -> Self:
        """The state now. `max_memory` in bytes of resident memory; None is without limit. Main thread only."""
        umask = os.umask(0o077)
        os.umask(umask)
        return cls(
            cwd=_cwd(),
            umask=umask,
            mask=frozenset(change_mask(signal.SIG_BLOCK, ())),
            handlers={number: handler_of(number) for number in USUAL},
            socket_timeout=socket.getdefaulttimeout(),
            recursion_limit=sys.getrecursionlimit(),
            threads=frozenset(thread.ident for thread in threading.enumerate()),
            children=frozenset(_children()) if _has_children() else None,
            max_memory=max_memory,
            max_fd=max(FDS, _lowest_free_fd() + 64),
        )

    def restore(self, outcome: Outcome | None = None, *, timed_out: bool = False) -> str | None:
        """Puts the process back; a word for why it must not run another job, None where it may.

        The words: timeout, memory-error, recursion-error, thread, child, memory, fds, cwd. `outcome` of the job that
        ran; `timed_out` where a time-out was raised in this process, whatever the outcome is.
        """
        cwd_problem = self._put_back()
        spoilt = _SPOILING.get(outcome.exc_type) if outcome is not None and outcome.exc_type is not None else None
        if timed_out:
            return "timeout"
        return spoilt or self._leftovers() or cwd_problem

    def _put_back(self) -> str | None:
        os.umask(self.umask)
        socket.setdefaulttimeout(self.socket_timeout)
        for number, handler in self.handlers.items():
            if handler_of(number) is not handler and handler is not None:
                with suppress(OSError, ValueError):
                    signal.signal(number, handler)
        change_mask(signal.SIG_SETMASK, self.mask)
        if sys.getrecursionlimit() != self.recursion_limit:
            sys.setrecursionlimit(self.recursion_limit)
        if self.cwd is not None and _cwd() != self.cwd:
            try:
                os.chdir(self.cwd)
            except OSError:
                return "cwd"
        return None

    def _leftovers(self) -> str | None:
        if threading.active_count() != len(self.threads) or not self._threads_are_known():
            return "thread"
        if _has_children() and (self.children is None or not self.children.issuperset(_children())):
            return "child"
        if self.max_memory is not None and resident_bytes() > self.max_memory:
            return "memory"
        fd = _lowest_free_fd()
        # Up to 2: the job closed a standard stream, and the next file opened would take its place.
        return "fds" if fd <= 2 or fd > self.max_fd else None

    def _threads_are_known(self) -> bool:
        return all(thread.ident in self.threads for thread in threading.enumerate())


def resident_bytes() -> int:
    """Memory of this process that is in RAM. Where the system does not tell (macOS): the most there ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def _cwd() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # a quarter of the time of Path.cwd(), after every job
    except OSError:
        return None


def _has_children() -> bool:
    """Whether any child process lives. Those that ended and were not waited for are waited for here."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    """The pids of living children; none where the system does not tell."""
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, path.read_text().split())


def _lowest_free_fd() -> int:
    try:
        fd = os.dup(0)
    except OSError:
        return 0 if _is_closed(0) else sys.maxsize  # too many are open
    os.close(fd)
    return fd


def _is_closed(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False
