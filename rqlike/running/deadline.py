"""The soft time limit of a job: SIGALRM raises JobTimeoutException in it.

A signal handler can raise between any two steps of the main thread, so the rules are narrow: it raises only while a
body is on the stack, a value that was returned wins over it, and what seems to have been swallowed is raised again.
The hard limit belongs to the worker and needs no cooperation.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar, cast

from rqlike.clock import mono
from rqlike.running.handlers import change_mask, handler_of
from rqlike.timeouts import JobTimeoutException

T = TypeVar("T")

AGAIN_S: Final = 1.0  #: seconds until it is raised again: what a `finally` has for cleaning up
MOST: Final = 3  #: times it is raised at most
_EARLY_S: Final = 0.002  #: seconds by which a timer may be early without being somebody else's
_LONGEST_S: Final = 1e8  #: seconds; macOS takes no longer timer, and nobody waits three years for this one
_NOTHING: Final = cast(Any, object())

_Timer = tuple[float, float]


class _Masks:
    """How many `masked()` blocks of the main thread are open, and whether an alarm came inside.

    Module-wide because the alarm is: a process has one SIGALRM and one real-time timer.
    """

    depth = 0
    waiting = False


class Deadline:
    """Runs a body under a time limit. One is enough for a process; main thread only, elsewhere there is no limit.

    Handler and timer are set for each body, the handler only where it is another one. A body that takes SIGALRM or the
    timer for itself loses its soft limit; one that merely calls `signal.alarm` without a handler of its own does not.
    """

    __slots__ = ("_due_s", "_error", "_execution_id", "_handler", "_pid", "ever_fired", "fired")

    def __init__(self) -> None:
        self._execution_id: str | None = None  # None: nothing may be raised
        self._due_s = 0.0
        self._pid = 0
        self._error = ("", 0.0, "")
        self._handler = self._on_alarm
        self.fired = 0  #: how often it was raised in the last body
        self.ever_fired = False  #: raised in any body: nobody knows what was left half done in this process

    def install(self) -> None:
        """Takes SIGALRM for good, which saves setting the handler for each body. For processes of our own."""
        signal.signal(signal.SIGALRM, self._handler)

    def run(
        self, body: Callable[[], T], timeout: float, *, job_id: str, execution_id: str, message: str | None = None
    ) -> T:
        """What `body()` returns.

        `timeout` in seconds, -1 for none. Raises what the body raises, and JobTimeoutException (with `message`, or
        its default text) `timeout` seconds from now, again one second later if the body is still running, at most
        three times in all.
        """
        self.fired = 0
        if timeout < 0 or threading.current_thread() is not threading.main_thread():
            return body()
        value: T = _NOTHING
        before = self._set(min(timeout, _LONGEST_S), (job_id, timeout, message or ""))
        try:
            self._execution_id = execution_id
            value = body()
            self._execution_id = None
        except JobTimeoutException:
            self._execution_id = None
            if value is _NOTHING or not self.fired:
                raise
        finally:
            self._execution_id = None
            self._unset(before)
        return value

    def _set(self, timeout: float, error: tuple[str, float, str]) -> tuple[Any, _Timer, float]:
        self._error, self._pid = error, os.getpid()
        handler = handler_of(signal.SIGALRM)
        if handler is not self._handler:
            signal.signal(signal.SIGALRM, self._handler)
        now = mono()
        self._due_s = now + timeout
        # 0 would turn the timer off.
        return handler, signal.setitimer(signal.ITIMER_REAL, max(timeout, 1e-6)), now

    def _unset(self, before: tuple[Any, _Timer, float]) -> None:
        handler, (rest, interval), since = before
        signal.setitimer(signal.ITIMER_REAL, 0)
        # A late alarm has run by now, while our handler was still there to ignore it.
        if handler_of(signal.SIGALRM) is not handler:
            signal.signal(signal.SIGALRM, handler if handler is not None else signal.SIG_DFL)
        if rest > 0:  # somebody around us had a timer running
            signal.setitimer(signal.ITIMER_REAL, max(rest - (mono() - since), 1e-6), interval)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._execution_id is None or os.getpid() != self._pid:
            return
        early = self._due_s - mono()
        if early > _EARLY_S:  # not ours: `kill -ALRM`, or signal.alarm, which is the same timer
            signal.setitimer(signal.ITIMER_REAL, early)
            return
        if _Masks.depth:
            _Masks.waiting = True
            return
        if self.fired >= MOST:
            return
        self.fired += 1
        self.ever_fired = True
        if self.fired < MOST:
            self._due_s = mono() + AGAIN_S
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        job_id, timeout, message = self._error
        raise JobTimeoutException(message or None, job_id=job_id, timeout=timeout)


@contextmanager
def masked() -> Iterator[None]:
    """No time-out is raised inside; one that comes due is raised right after. For rqlike's own code where being cut
    short would leave something half done: half a frame, half a command on a connection."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # First the depth: our handler may run, and must not raise, inside the call that sets the mask.
    _Masks.depth += 1
    before = change_mask(signal.SIG_BLOCK, (signal.SIGALRM,))
    try:
        yield
    finally:
        change_mask(signal.SIG_SETMASK, before)
        _Masks.depth -= 1
        if not _Masks.depth and _Masks.waiting:
            _Masks.waiting = False
            signal.setitimer(signal.ITIMER_REAL, 1e-6)
