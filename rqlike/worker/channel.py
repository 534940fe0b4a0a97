"""What ties a horse to its worker: a socket for frames, permits to begin, a pipe for whispers, a file for its stack.

A frame brings several jobs at once, and the worker must be able to take back those that have not begun, while the
horse runs one, without asking it. So each job has a permit: one byte in a pipe that both can read. The horse takes one
before it begins a job; the worker takes back what is left, and whoever has read a byte has it for good: a job was begun
or was not, with nothing in between, whatever became of the horse. The byte is the number of the frame it belongs to, so
a horse never begins a job of an older frame on the permit of a newer one.

Whispers are outcomes in the middle of a frame: in the pipe they survive the death of the horse, and nobody is woken.
"""

from __future__ import annotations

import os
import select
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

GENERATIONS: Final = 256
WHISPER_LIMIT: Final = select.PIPE_BUF  #: bytes that a pipe takes as a whole or not at all
_STACK_LIMIT: Final = 16 << 10
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class HorseEnd:
    """What a horse holds; permits and stack are the worker's descriptors too. Made by `open_channel`, and again by the
    horse once its descriptors have moved."""

    sock: socket.socket
    permits: int
    whispers: int
    stack_fd: int

    @property
    def fds(self) -> tuple[int, ...]:
        """All its descriptors."""
        return self.sock.fileno(), self.permits, self.whispers, self.stack_fd

    def take_permit(self) -> int | None:
        """The frame whose next job may begin; None where everything was taken back. Raises OSError."""
        try:
            got = os.read(self.permits, 1)
        except BlockingIOError:
            return None
        return got[0] if got else None

    def whisper(self, data: bytes) -> bool:
        """Leaves a small frame for the worker to find; False where the pipe is full. Raises OSError."""
        try:
            os.write(self.whispers, data)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Closes what is only the horse's, in the worker, after the fork."""
        self.sock.close()
        os.close(self.whispers)


@dataclass(slots=True)
class ParentEnd:
    """What the worker holds of one horse. Nothing here blocks."""

    sock: socket.socket
    permits: int  #: the reading end
    grants: int  #: the writing end
    whispers: int
    stack_fd: int
    generation: int = 0

    @property
    def fds(self) -> tuple[int, ...]:
        """All its descriptors."""
        return self.sock.fileno(), self.permits, self.grants, self.whispers, self.stack_fd

    def permit(self, count: int) -> None:
        """`count` jobs of the frame of this generation may begin."""
        os.write(self.grants, bytes((self.generation,)) * count)

    def revoke(self, most: int = GENERATIONS) -> int:
        """Takes back permits that are left, at most so many: how many jobs were not begun and will not be."""
        with suppress(BlockingIOError):
            return len(os.read(self.permits, most))
        return 0

    def overhear(self) -> bytes | None:
        """What was whispered since the last time; None where nothing more can come: the horse has closed its end."""
        try:
            return os.read(self.whispers, _CHUNK) or None
        except BlockingIOError:
            return b""

    def stack(self) -> str:
        """What the horse has written of its stack before it was killed."""
        size = os.fstat(self.stack_fd).st_size
        written = os.pread(self.stack_fd, min(size, _STACK_LIMIT), 0)
        return written.partition(b"\0")[0].decode(errors="replace").strip()  # up to where a slot has made a hole

    def close(self) -> None:
        """Closes all of it."""
        self.sock.close()
        for fd in (self.permits, self.grants, self.whispers, self.stack_fd):
            os.close(fd)


class _Opened:
    """Descriptors that are closed again unless all of them could be opened."""

    def __init__(self) -> None:
        self._fds: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for fd in self._fds if kind is not None else ():
            os.close(fd)

    def keep(self, fds: Sequence[int]) -> Sequence[int]:
        self._fds += fds
        return fds


def open_channel() -> tuple[ParentEnd, HorseEnd]:
    """Both ends, before the fork. Raises OSError where the system has no descriptors left."""
    with _Opened() as opened:
        (stack_fd,) = opened.keep([anonymous_file("rqlike-stack")])
        permits, grants = opened.keep(os.pipe())
        heard, whispers = opened.keep(os.pipe())
        for fd in (permits, grants, heard, whispers):
            os.set_blocking(fd, False)
        ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ParentEnd(ours, permits, grants, heard, stack_fd), HorseEnd(theirs, permits, whispers, stack_fd)


def anonymous_file(name: str) -> int:
    """A file that stands in no directory; `name` is what /proc shows. Programs do not inherit its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as unnamed:
        return os.dup(unnamed.fileno())
