"""Time zones as stretches of time without a change of the clock. Pure, but for the system's time zone database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

DAY: Final = 86_400
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds since the epoch. A day and more away from what a datetime can hold, so that any zone's offset fits in.
FIRST: Final = int(datetime(1, 1, 7, tzinfo=UTC).timestamp())
END: Final = int(datetime(9999, 12, 24, tzinfo=UTC).timestamp())


class Span(NamedTuple):
    """A time without a change of the clock, in seconds."""

    start: int
    end: int
    offset: int  #: of the wall clock from UTC
    shown: (
        int  #: the wall clock had shown all times before this one: past `start` after a fold, not up to it after a gap
    )


class Zone:
    """The changes of the clock in one zone, found by asking for the offset of each day."""

    # About a year; as long as a process asks for times that are near, there are few.
    _PIECE: Final = 366 * DAY
    # Longer than a clock was ever put back: what was shown before can matter that long.
    _BEFORE: Final = 3 * DAY

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._pieces: dict[int, list[Span]] = {}
        self._latest = Span(0, 0, 0, 0)

    def span_at(self, instant: int) -> Span:
        latest = self._latest
        if latest.start <= instant < latest.end:
            return latest
        number = instant // self._PIECE
        spans = self._pieces.get(number)
        if spans is None:
            spans = self._pieces[number] = self._spans(number * self._PIECE, (number + 1) * self._PIECE)
        latest = self._latest = next(span for span in spans if instant < span.end)
        return latest

    def _spans(self, start: int, end: int) -> list[Span]:
        began = max(start - self._BEFORE, FIRST)
        end = min(end, END)
        spans = []
        shown = began + self._offset(began)
        for change in (*self._changes(began, end), end):
            offset = self._offset(began)
            if change > start:
                spans.append(
                    Span(max(began, start), change, offset, max(shown, start + offset) if began < start else shown)
                )
            shown = max(shown, change + offset)
            began = change
        return spans

    def _changes(self, start: int, end: int) -> Iterable[int]:
        """The instants of a stretch at which another offset begins; no zone has changed twice in a day."""
        for low in range(start, end - 1, DAY):
            high = min(low + DAY, end - 1)
            before = self._offset(low)
            if self._offset(high) == before:
                continue
            while high - low > 1:
                middle = (low + high) // 2
                if self._offset(middle) == before:
                    low = middle
                else:
                    high = middle
            yield high

    def _offset(self, instant: int) -> int:
        offset = (EPOCH + timedelta(seconds=instant)).astimezone(self._zone).utcoffset()
        return 0 if offset is None else offset // timedelta(seconds=1)


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    if name == "UTC":  # the default; needs no database
        return Zone(UTC)
    if name == "localtime":
        raise ValueError("tz='localtime' is another zone on every host: name the zone, such as Europe/Berlin")
    try:
        from zoneinfo import ZoneInfo

        return Zone(ZoneInfo(name))
    except (KeyError, ValueError, OSError) as error:  # the last for a directory, such as Europe
        raise ValueError(_unknown_zone(name)) from error


def _unknown_zone(name: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    known = sorted(available_timezones())
    if not known:
        return (
            f"tz={name!r} cannot be looked up, since this machine has no time zone database: "
            "install the tzdata package of the system, or `pip install tzdata`"
        )
    lower = name.lower().replace(" ", "_")
    exact = [zone for zone in known if lower in (zone.lower(), zone.lower().rpartition("/")[2])]
    folded = {zone.lower(): zone for zone in known}
    near = exact or [folded[zone] for zone in difflib.get_close_matches(lower, folded, n=3, cutoff=0.7)]
    advice = f"did you mean {' or '.join(near[:3])}?" if near else 'give an IANA name such as "Europe/Berlin"'
    return f"tz={name!r} is not a time zone that this machine knows: {advice}"
