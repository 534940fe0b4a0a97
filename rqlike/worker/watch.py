"""What the loop of a worker waits on: a selector that is told before each wait what there is to watch."""

from __future__ import annotations

import selectors
from collections.abc import Iterable

from rqlike.store.link import Link
from rqlike.worker.reins import Horse
from rqlike.worker.signals import SignalPipe

#: Descriptor, mask, life, source. `life` tells it from a later one that was given the same number: a closed descriptor
#: leaves the system's own list by itself, so the new one must be put into it though the number is known.
Watched = tuple[int, int, int, object]


def wanted(signals: SignalPipe, links: Iterable[Link], horses: Iterable[Horse]) -> list[Watched]:
    """All that may have something to say now, or has room for what waits to be sent to it."""
    watched: list[Watched] = [(signals.fileno(), selectors.EVENT_READ, 0, signals)]
    for link in links:
        if (fd := link.fileno()) >= 0:
            watched.append((fd, link.mask, link.connections, link))
    for horse in horses:
        if not horse.silent:
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if horse.writer.pending else 0)
            watched.append((horse.end.sock.fileno(), mask, horse.pid, horse))
        if horse.overdue and horse.whispers_now and not horse.silent:
            watched.append((horse.end.whispers, selectors.EVENT_READ, horse.pid, horse))
    return watched


class Watch:
    """A selector over descriptors that come and go."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._known: list[Watched] = []

    def fileno(self) -> int:
        """The descriptor of the selector itself, for a forked child to close."""
        return self._selector.fileno()

    def wait(self, wanted: list[Watched], seconds: float) -> list[tuple[object, int]]:
        """Waits on exactly the `wanted` ones for at most `seconds`; (source, mask of what it is ready for)."""
        if wanted != self._known:
            self._update(wanted)
        return [(key.data, mask) for key, mask in self._selector.select(max(0.0, seconds))]

    def _update(self, wanted: list[Watched]) -> None:
        for one in self._known:
            if one not in wanted:
                self._selector.unregister(one[0])
        for one in wanted:
            if one not in self._known:
                fd, mask, _, source = one
                self._selector.register(fd, mask, source)
        self._known = wanted

    def close(self) -> None:
        """Closes the selector; what it watched stays open."""
        self._selector.close()
