"""What the loop of a worker waits on: a selector that is told anew before each wait what there is to watch."""

from __future__ import annotations

import selectors
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watched:
    """One descriptor. `identity` tells it from a later one that was given the same number: a closed descriptor leaves
    the system's own list by itself, so the new one must be put into it though the number is known."""

    fd: int
    mask: int
    identity: tuple[str, int]
    source: object


class Watch:
    """A selector over descriptors that come and go."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._known: dict[int, Watched] = {}

    def fileno(self) -> int:
        """The descriptor of the selector itself, for a forked child to close."""
        return self._selector.fileno()

    def wait(self, wanted: Iterable[Watched], seconds: float) -> list[tuple[object, int]]:
        """Waits on exactly the `wanted` ones for at most `seconds`; (source, mask of what it is ready for)."""
        self._update({one.fd: one for one in wanted})
        return [(key.data, mask) for key, mask in self._selector.select(max(0.0, seconds))]

    def _update(self, wanted: dict[int, Watched]) -> None:
        for fd in [fd for fd, one in self._known.items() if wanted.get(fd) != one]:
            del self._known[fd]
            self._selector.unregister(fd)
        for fd, one in wanted.items():
            if fd not in self._known:
                self._selector.register(fd, one.mask, one.source)
                self._known[fd] = one

    def close(self) -> None:
        """Closes the selector; what it watched stays open."""
        self._selector.close()
