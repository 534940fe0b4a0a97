"""The events of queues, as requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rqlike import codec
from rqlike.events import Event, event_id, read_event
from rqlike.store.requests import Request


class Heard(NamedTuple):
    """What one call has read."""

    oldest: str  #: id of the oldest event that is kept; "" where there is none
    last: str  #: id of the last entry that was read; "" where there is none
    events: tuple[Event, ...]  #: oldest first


def heard(queue: str, after: str, most: int) -> Request[Heard]:
    """Events of a queue after the one of an id, of at most so many entries of its stream."""
    entry, inside, number = after.partition(".")  # of one inside an entry, where others follow it

    def read(reply: Any) -> Heard:
        oldest, entries = codec.unpack_reply(reply)
        found: list[Event] = []
        last = ""
        for raw, flat in entries:
            last = codec.text(raw)
            found += _events_of(queue, last, flat, int(number) if inside and last == entry else 0)
        return Heard(codec.text(oldest), last, tuple(found))

    return Request("events", (queue, entry if inside else f"({entry}", most), read)


def _events_of(queue: str, entry: str, flat: codec.Flat, known: int) -> Iterator[Event]:
    """The events of one entry but for the first `known`. Each is a field; what they are called says nothing."""
    texts = flat[1::2]
    for number, text in enumerate(texts[known:], known + 1):
        if event := read_event(queue, event_id(entry, number, len(texts)), codec.text(text)):
            yield event


def newest(queue: str) -> Request[str]:
    """The id of the newest event of a queue, "0-0" where there is none."""
    return Request("newest_event", (queue,), codec.text)


def switch(queue: str, on: bool) -> Request[int]:
    """Switches the events of a queue on or off; off, those that are kept are gone."""
    return Request("mute", (queue, int(on)), int)
