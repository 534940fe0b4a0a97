"""What happens to jobs: one event per transition of `TRANSITIONS`, as the stream of a queue keeps it."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import NamedTuple

from rqlike import clock
from rqlike.states import JobStatus

#: With these a cycle begins; one that `repeat` begins has no such event, since that one tells of the cycle before.
_BEGINNINGS = frozenset({"enqueue", "fire", "requeue"})
_LINES = 3  #: of the text of an event
_WORDS = 5  #: in its first line
_DIGITS = 20  #: of the greatest number in an id


class Event(NamedTuple):
    """One transition of one job. What cannot be told is None, or 0 for an attempt.

    Events of a queue are in the order in which they happened, and so are their ids."""

    id: str  #: "1795718400000-0", or "1795718400000-0.3" inside of one step; for `Queue.events(after=...)`
    name: str  #: the verb of `TRANSITIONS`: "enqueue", "claim", "finish", …
    job_id: str
    queue: str
    status: JobStatus | None  #: in which the job is from then on; None where it is gone
    cycle: int  #: in which the job is from then on; of `repeat` the one that has ended
    attempt: int  #: the last one that has begun in that cycle, 0 before the first
    reason: (
        str | None
    )  #: why an execution did not return, a `states.Reason`; "dependency" where it never began for that
    worker_name: str | None  #: whose execution it is or was; None where there is none
    at: datetime  #: aware UTC, by the server's clock
    missed: bool = False  #: whether events between the one that was read before and this one are kept no longer

    def __str__(self) -> str:
        said = [f"{self.at:%H:%M:%S}.{self.at.microsecond // 1000:03}", self.name, self.job_id]
        said.append(f"-> {self.status or 'gone'}")
        if self.cycle > 1:
            said.append(f"cycle {self.cycle}")
        if self.attempt:
            said.append(f"attempt {self.attempt}")
        if self.reason is not None:
            said.append(f"({self.reason})")
        if self.worker_name is not None:
            said.append(f"by {self.worker_name}")
        return " ".join(said)

    def __repr__(self) -> str:
        return f"<Event {self.id} of {self.queue!r}: {self}>"


def read_event(queue: str, event_id: str, text: str) -> Event | None:
    """The event of a field of an entry; None for what is none: something else has written it, or a later version."""
    lines = text.split("\n", _LINES - 1)
    words = lines[0].split(" ")
    if len(lines) != _LINES or len(words) != _WORDS:
        return None
    name, status, cycle, attempt, reason = words
    try:
        return Event(
            event_id,
            name,
            lines[2],
            queue,
            None if status == "-" else JobStatus(status),
            int(cycle),
            int(attempt),
            None if reason == "-" else reason,
            lines[1] or None,
            clock.utc(int(event_id.partition("-")[0])),
        )
    except ValueError:
        return None


def event_id(entry_id: str, number: int, last: int) -> str:
    """The id of an event: that of its entry, with its number in it, from 1, unless it is the last one there."""
    return entry_id if number == last else f"{entry_id}.{number}"


def event_place(event_id: str) -> tuple[int, int, float]:
    """Where an id stands in the order of events. Raises ValueError for what is none."""
    entry, dot, number = event_id.partition(".")
    first, dash, second = entry.partition("-")
    if not all(_is_number(part) for part in (first, second if dash else "0", number if dot else "0")):
        raise ValueError(f"{event_id!r} is not the id of an event; '0' stands for the oldest that is kept")
    return int(first), int(second or 0), int(number) if dot else inf


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= _DIGITS and int(part) < 1 << 64


def begins_cycle(event: Event) -> bool:
    """Whether nothing of its cycle came before."""
    return event.name in _BEGINNINGS


def ends_cycle(event: Event) -> bool:
    """Whether nothing of its cycle comes after."""
    return event.status is None or event.status.terminal or event.name == "repeat"
