"""The events of queues, as requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rqlike import codec
from rqlike.events import Event, event_id, event_place, read_event
from rqlike.store.requests import Request


class Heard(NamedTuple):
    """What one call has read."""

    oldest: str  #: id of the oldest event that is kept; "" where there is none
    last: str  #: id of the last entry that was read; "" where there is none
    events: tuple[Event, ...]  #: oldest first


def heard(queue: str, after: str, most: int) -> Request[Heard]:
    """Events of a queue after the one of an id, of at most so many entries of its stream."""
    entry, inside, _ = after.partition(".")  # of one inside an entry, where others follow it
    place = event_place(after)

    def read(reply: Any) -> Heard:
        oldest, entries = codec.unpack_reply(reply)
        last = codec.text(entries[-1][0]) if entries else ""
        found = _events(queue, entries)
        return Heard(codec.text(oldest), last, tuple(event for event in found if event_place(event.id) > place))

    return Request("events", (queue, entry if inside else f"({entry}", most), read)


def own_events(queue: str, job_id: str, entries: Iterable[codec.Entry]) -> tuple[Event, ...]:
    """The events of one job among the entries of its queue."""
    return tuple(event for event in _events(queue, entries) if event.job_id == job_id)


def _events(queue: str, entries: Iterable[codec.Entry]) -> Iterator[Event]:
    """Each field of an entry is one; what they are called says nothing. Without what is none."""
    for raw, flat in entries:
        entry, texts = codec.text(raw), flat[1::2]
        for number, text in enumerate(texts, 1):
            if event := read_event(queue, event_id(entry, number, len(texts)), codec.text(text)):
                yield event


def newest(queue: str) -> Request[str]:
    """The id of the newest event of a queue, "0-0" where there is none."""
    return Request("newest_event", (queue,), codec.text)


def switch(queue: str, on: bool) -> Request[int]:
    """Switches the events of a queue on or off; off, those that are kept are gone."""
    return Request("mute", (queue, int(on)), int)
