"""Proxies in front of a server that lose what they are to pass on."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path

from benchmarks.passage import Passage, Passed


def to_socket(target: Path) -> Callable[[], socket.socket]:
    """What connects to the server at that unix socket."""

    def connect() -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(str(target))
        except OSError:
            far.close()
            raise
        return far

    return connect


class LossyProxy(Passage):
    """Passes bytes on, but swallows every `every`-th reply to a command (`word`) and cuts that connection.

    The server has done what it was asked; who asked does not learn it. The first `sparing` calls are let through.
    """

    def __init__(self, target: Path, every: int, *, sparing: int = 0, word: bytes = b"EVALSHA") -> None:
        super().__init__(to_socket(target))
        self._every = every
        self._word = word
        self._calls = -sparing
        self._dooms: set[socket.socket] = set()  # server sides whose next reply is lost
        self._most: int | None = None
        self.lost = 0

    def only(self, times: int) -> None:
        """Loses no more replies than so many."""
        self._most = times

    def _heard(self, data: bytes, source: socket.socket, other: socket.socket) -> Passed:
        if source in self._dooms:
            self.lost += 1
            return Passed(b"", cut=True)
        if self._word in data and source in self._near:
            self._calls += 1
            spent = self._most is not None and self._calls > self._most * self._every
            if self._calls > 0 and self._calls % self._every == 0 and not spent:
                self._dooms.add(other)
        return Passed(data)

    def _forgotten(self, end: socket.socket) -> None:
        self._dooms.discard(end)


class UnsteadyProxy(Passage):
    """A network whose troubles are turned on and off from another thread.

    `cut_between` has connections cut after that many bytes, at least and at most, in the middle of whatever is on its
    way, or when the server has done what it was asked and answers. `swallow` makes a black hole of it. Both until
    `heal`. Who does not read what is for him blocks it."""

    def __init__(self, target: Path, seed: int) -> None:
        super().__init__(to_socket(target))
        self._dice = random.Random(seed)
        self._left = 0
        self._swallows = False
        self._between: tuple[int, int] | None = None
        self._dooms: set[socket.socket] = set()  # server sides whose next reply is lost
        self.cuts = 0

    def cut_between(self, least: int, most: int) -> None:
        """From now on connections are cut."""
        self._left = self._dice.randint(least, most)
        self._between = (least, most)

    def swallow(self) -> None:
        """From now on nothing is passed on, and nobody is told."""
        self._swallows = True

    def heal(self) -> None:
        """A network as it should be. Where bytes were swallowed the connections are of no use any more."""
        self._between = None
        if self._swallows:
            self._swallows = False
            self.cut_all()

    def _heard(self, data: bytes, source: socket.socket, other: socket.socket) -> Passed:
        if self._swallows:
            return Passed(b"")
        if source in self._dooms:
            return Passed(b"", cut=True)
        between = self._between
        if between is None:
            return Passed(data)
        self._left -= len(data)
        if self._left > 0:
            return Passed(data)
        self._left = self._dice.randint(*between)
        self.cuts += 1
        if source in self._near and self._dice.random() < 0.5:
            self._dooms.add(other)
            return Passed(data)
        return Passed(data[: self._dice.randrange(len(data))], cut=True)

    def _forgotten(self, end: socket.socket) -> None:
        self._dooms.discard(end)
