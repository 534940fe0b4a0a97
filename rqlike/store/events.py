"""The events of queues, as requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rqlike import codec
from rqlike.events import Event, read_event
from rqlike.fields import EVENT
from rqlike.store.requests import Request

_TEXT = EVENT["text"].encode()


class Heard(NamedTuple):
    """What one call has read."""

    oldest: str  #: id of the oldest event that is kept; "" where there is none
    last: str  #: id of the last entry that was read; "" where there is none
    events: tuple[Event, ...]  #: oldest first


def heard(queue: str, after: str, most: int) -> Request[Heard]:
    """Events of a queue after the one of an id, at most so many."""

    def read(reply: Any) -> Heard:
        oldest, entries = codec.unpack_reply(reply)
        last = codec.text(entries[-1][0]) if entries else ""
        return Heard(codec.text(oldest), last, _events(queue, entries))

    return Request("events", (queue, after, most), read)


def own_events(queue: str, job_id: str, entries: Iterable[codec.Entry]) -> tuple[Event, ...]:
    """The events of one job among the entries of its queue."""
    return tuple(event for event in _events(queue, entries) if event.job_id == job_id)


def _events(queue: str, entries: Iterable[codec.Entry]) -> tuple[Event, ...]:
    """Without what is none."""
    read = (
        read_event(queue, codec.text(entry_id), codec.text(flat[1]))
        for entry_id, flat in entries
        if len(flat) == 2 and flat[0] == _TEXT
    )
    return tuple(event for event in read if event is not None)


def newest(queue: str) -> Request[str]:
    """The id of the newest event of a queue, "0-0" where there is none."""
    return Request("newest_event", (queue,), codec.text)


def switch(queue: str, on: bool) -> Request[int]:
    """Switches the events of a queue on or off; off, those that are kept are gone."""
    return Request("mute", (queue, int(on)), int)
