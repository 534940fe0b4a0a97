"""When a schedule fires: its slots, and what becomes of those that were missed. Pure: no clock, no server.

A slot is a moment at which a schedule is due, in ms since the epoch by the server's clock. Slots of `every` are a
grid; those of `cron` come from the calendar (`firetimes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, Self, cast

import msgpack

from rqlike import clock, firetimes
from rqlike.exceptions import DeserializationError

MISSED: Final = ("skip", "once", "all")
MOST_CATCHUP: Final = 100
_VERSION: Final = 1
_LONGEST_GRACE_MS: Final = 60_000
_WALK: Final = 100  #: slots that are looked at one by one; those before them were missed in any case, and are counted


class Timetable(NamedTuple):
    """When a schedule fires. Either `cron` or `every_ms`; moments in ms since the epoch, None is without limit."""

    cron: str | None = None
    every_ms: int | None = None
    tz: str = "UTC"
    start_ms: int | None = None
    end_ms: int | None = None
    limit: int | None = None  #: slots that fire, in all
    missed: str = "skip"
    max_catchup: int = 10
    grace_ms: int | None = None  #: None: half the period, at most a minute

    def to_wire(self) -> bytes:
        """As it is stored: the same timetable is the same bytes."""
        return cast(bytes, msgpack.packb([_VERSION, *self]))

    @classmethod
    def from_wire(cls, stored: bytes) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        try:
            version, *parts = cast(list[Any], msgpack.unpackb(stored))
            if version != _VERSION:
                raise DeserializationError(f"The timetable has format version {version!r:.20}; update this rqlike.")
            table = cls(*parts)
            if table.cron is None and not (table.every_ms or 0) > 0:
                raise ValueError("neither cron nor every")
            for name, value, default in zip(cls._fields, table, cls(), strict=True):
                kinds = (str,) if name in ("cron", "tz", "missed") else (int,)
                if not isinstance(value, kinds) and not (value is None and default is None):
                    raise ValueError(f"{name} is of type {type(value).__name__}")
            return table
        except (ValueError, TypeError, msgpack.UnpackException) as broken:
            raise DeserializationError(f"The timetable cannot be read: {broken}") from broken


class Due(NamedTuple):
    """What follows from a slot that has come."""

    slots: tuple[int, ...]  #: that fire now, oldest first
    next: int | None  #: the slot to wait for; None: there is none any more
    missed: int  #: slots that never fire


def first_slot(table: Timetable, after_ms: int) -> int | None:
    """The first slot after a moment, for a schedule that is new; None where there is none."""
    start = table.start_ms
    if table.every_ms is None:
        return _until_end(table, _calendar_after(table, after_ms if start is None else max(after_ms, start - 1)))
    if start is None:
        return _until_end(table, after_ms // 1000 * 1000 + table.every_ms)
    steps = max(0, (after_ms - start) // table.every_ms + 1)
    return _until_end(table, start + steps * table.every_ms)


def next_slot(table: Timetable, slot_ms: int) -> int | None:
    """The slot after a slot; None where it was the last."""
    if table.every_ms is None:
        return _until_end(table, _calendar_after(table, slot_ms))
    return _until_end(table, slot_ms + table.every_ms)


def slot_after(table: Timetable, slot_ms: int, after_ms: int) -> int | None:
    """The first slot after a moment, on the grid that `slot_ms` belongs to."""
    if table.every_ms is None:
        return next_slot(table, max(slot_ms - 1, after_ms))
    steps = max(0, (after_ms - slot_ms) // table.every_ms + 1)
    return _until_end(table, slot_ms + steps * table.every_ms)


def slots_from(table: Timetable, slot_ms: int | None) -> Iterator[int]:
    """`slot_ms`, and those that follow it."""
    while slot_ms is not None:
        yield slot_ms
        slot_ms = next_slot(table, slot_ms)


def due(table: Timetable, slot_ms: int, now_ms: int, fired: int) -> Due:
    """What becomes of a slot that has come, and of those that have come since; `fired` slots have fired before."""
    count, newest, following = _come(table, slot_ms, now_ms)
    grace = _grace(table, newest[-1], following)
    in_time = sum(1 for slot in newest if now_ms - slot <= grace)
    match table.missed:
        case "once":
            most = max(in_time, 1)
        case "all":
            most = max(in_time, table.max_catchup)
        case _:
            most = in_time
    fire = newest[len(newest) - min(most, len(newest)) :]
    if table.limit is None or fired + len(fire) < table.limit:
        return Due(fire, following, count - len(fire))
    fire = fire[: max(0, table.limit - fired)]
    before = newest.index(fire[-1]) + 1 if fire else 0
    return Due(fire, None, max(0, count - len(newest) + before - len(fire)))


def slot_text(slot_ms: int) -> str:
    """A slot as people and job ids have it: `2026-03-29T01:00:00Z`."""
    text = clock.utc(slot_ms).isoformat()
    return f"{text[:-6] if slot_ms % 1000 == 0 else text[:-9]}Z"


def _come(table: Timetable, slot_ms: int, now_ms: int) -> tuple[int, tuple[int, ...], int | None]:
    """How many slots have come from `slot_ms` on, the newest of them (100 at most, oldest first), and the next one."""
    last_ms = now_ms if table.end_ms is None else min(now_ms, table.end_ms)
    last_ms = max(last_ms, slot_ms)
    if table.every_ms is not None:
        count = (last_ms - slot_ms) // table.every_ms + 1
        last = slot_ms + (count - 1) * table.every_ms
        kept = min(count, _WALK)
        newest = tuple(range(last - (kept - 1) * table.every_ms, last + 1, table.every_ms))
        return count, newest, next_slot(table, last)
    assert table.cron is not None
    calendar = firetimes.calendar(table.cron, table.tz)
    count = calendar.count(slot_ms - 1, last_ms)
    begin_ms, empty_ms, come = slot_ms - 1, last_ms, count
    # A guess first, by the mean distance; where slots come in bursts it may be far off, and then by halves.
    guess_ms = last_ms - (last_ms - slot_ms) * _WALK // (2 * count) if count > _WALK else begin_ms
    while come > _WALK:
        found = calendar.count(guess_ms, last_ms)
        if found:
            begin_ms, come = guess_ms, found
        else:
            empty_ms = guess_ms
        guess_ms = (begin_ms + empty_ms) // 2
    newest = tuple(islice(slots_from(table, next_slot(table, begin_ms)), come))
    return count, newest, next_slot(table, newest[-1])


def _grace(table: Timetable, slot_ms: int, following: int | None) -> int:
    """How late a slot may be and still fires as if it were in time."""
    if table.grace_ms is not None:
        return table.grace_ms
    period = table.every_ms or (2 * _LONGEST_GRACE_MS if following is None else following - slot_ms)
    return min(period // 2, _LONGEST_GRACE_MS)


def _until_end(table: Timetable, slot_ms: int | None) -> int | None:
    return None if slot_ms is None or (table.end_ms is not None and slot_ms > table.end_ms) else slot_ms


def _calendar_after(table: Timetable, after_ms: int) -> int | None:
    assert table.cron is not None
    return firetimes.calendar(table.cron, table.tz).after_ms(after_ms)
