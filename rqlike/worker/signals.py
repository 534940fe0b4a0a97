"""Signals as something a selector can wait for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rqlike.running.handlers import ALL, change_mask


class SignalPipe:
    """Catches signals and makes a file descriptor readable; which ones came is told by `drain`.

    Flags carry the signals, not the bytes in the pipe: bytes get lost when it is full, and nothing is lost by that.
    SIGCHLD is always among them, since without a handler it would not wake anybody. Main thread only.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self._seen: set[int] = set()
        self._read_fd, self._write_fd = os.pipe()
        for fd in (self._read_fd, self._write_fd):
            os.set_blocking(fd, False)
        self._wakeup_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._handlers: dict[int, Any] = {
            number: signal.signal(number, self._on_signal) for number in sorted({*signals, signal.SIGCHLD})
        }

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._seen.add(number)

    def fileno(self) -> int:
        """The end to select on. Readable when a signal came since the last `drain`."""
        return self._read_fd

    @property
    def fds(self) -> tuple[int, int]:
        """Both ends, for a forked child to close."""
        return self._read_fd, self._write_fd

    def clear(self) -> None:
        """Empties the pipe, once it was found readable; the signals themselves wait for `drain`."""
        with suppress(BlockingIOError):
            while len(os.read(self._read_fd, 4096)) == 4096:
                pass

    def drain(self) -> set[int]:
        """The numbers of the signals that came since the last call; a signal that came twice is one."""
        # A handler that runs between these two lines still writes into the set that is returned.
        seen = self._seen
        self._seen = set()
        return seen

    def restore(self) -> None:
        """Put back the handlers and the wake-up descriptor that were there, and close the pipe. Twice is once."""
        if not self._handlers:
            return
        for number, handler in self._handlers.items():
            # None: it was set by C code, and only C code can set it again.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._handlers = {}
        signal.set_wakeup_fd(self._wakeup_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.restore()


@contextmanager
def blocked() -> Iterator[None]:
    """No signal is delivered inside; for the lines around a fork. A child unblocks them when it is ready for them."""
    before = change_mask(signal.SIG_BLOCK, ALL)
    try:
        yield
    finally:
        change_mask(signal.SIG_SETMASK, before)
