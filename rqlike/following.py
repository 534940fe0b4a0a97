"""Following the events of a queue: what `Queue.events` does."""

from __future__ import annotations

from collections.abc import Iterator

from rqlike import clock, logs
from rqlike.durations import Seconds, parse_seconds
from rqlike.events import Event, event_place
from rqlike.settings import BLOCK_S, EVENTS_READ
from rqlike.store import events
from rqlike.store.events import Heard
from rqlike.store.store import Store
from rqlike.store.waiting import AWAY, Patience

_OLDEST = (0, 0)


def follow(store: Store, queue: str, after: str | None, timeout: Seconds | None) -> Iterator[Event]:
    """`Queue.events`. What is given is checked, and where now is asked, before the first event is."""
    seconds = None if timeout is None else parse_seconds(timeout, "timeout")
    if after is None:
        return _follow(store, queue, store.run(events.newest(queue)), seconds)
    if not isinstance(after, str):
        raise TypeError(f"after takes the id of an event or None, not {type(after).__name__}")
    event_place(after)
    return _follow(store, queue, after, seconds)


def _follow(store: Store, queue: str, after: str, seconds: float | None) -> Iterator[Event]:
    while True:
        found = _next_ones(store, queue, after, seconds)
        if found is None:
            return
        missed = _OLDEST < event_place(after)[:2] < event_place(found.oldest)[:2]
        if missed:
            logs.events_missed(queue, after)
        for event in found.events:
            yield event._replace(missed=True) if missed else event
            missed = False
        after = found.last


def _next_ones(store: Store, queue: str, after: str, seconds: float | None) -> Heard | None:
    """The next events, at least one entry of the stream; None where none came in time."""
    end = None if seconds is None else clock.mono() + seconds
    patience = Patience(end)
    while True:
        try:
            found = store.look(events.heard(queue, after, EVENTS_READ))
            if found.last:
                return found
            patience.renew()
            left = patience.left()
            if left <= 0:
                return None
            store.block_for_event(queue, after, min(left, BLOCK_S))
        except AWAY as problem:
            if not patience.outlasts(problem):
                raise
