"""The calendar: when a cron expression fires. Pure: no clock, no server.

An expression has five fields, minute, hour, day of month, month and day of week, or six, where seconds come LAST, as
croniter and RQ have it. croniter reads it, with all its rules: names, lists, ranges, steps, `L`, `#`, `W`, the aliases
(`@daily`), and either of two restricted day fields being enough. What it read is then walked here, in plain arithmetic
on whole seconds, since croniter's own walk is ten times as slow and has other ideas about clock changes.

The rules, in the wall-clock time of the zone:

* Wildcard hours, an hour field that comes to all 24 (`*`, `*/1`, `0-23`): fires at each instant whose local time
  matches. Where the clock is put back it goes on firing, where it is put forward it has nothing to make up for.
* Fixed hours, all others (`2`, `9-17`, `*/2`): each local time fires once. One that comes twice (a fold) fires the
  first time. If some fall into a gap, local times that are skipped, the first instant after the gap fires, once.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from rqlike import clock
from rqlike.zones import DAY, END, EPOCH, FIRST, Span, zone

# croniter, zoneinfo and difflib are imported where they are first needed: whoever only enqueues does without them.
if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_EPOCH_ORDINAL: Final = EPOCH.toordinal()

_LONGEST: Final = 256  # characters
_NAMES: Final = ("minute", "hour", "day of month", "month", "day of week", "second")
_ALLOWED: Final = (
    "minutes are 0 to 59",
    "hours are 0 to 23",
    "days are 1 to 31, L the last, 15W the day from Monday to Friday nearest to the 15th",
    "months are 1 to 12, or JAN to DEC",
    "weekdays are 0 (Sunday) to 6, or SUN to SAT; FRI#2 is the second Friday, L5 the last",
    "seconds are 0 to 59, and come last",
)
_LAST: Final = (("59",), ("23",), ("31",), ("12", "dec"), ("6", "sat"), ("59",))
_ALIASES: Final = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"


def next_fire(expression: str, after: datetime, tz: str | ZoneInfo = "UTC") -> datetime:
    """The first fire of a cron expression strictly after `after`, as an aware UTC datetime.

    `expression` has five fields, or six, where seconds come last, or is an alias such as "@daily"; it is meant in the
    wall-clock time of `tz`, an IANA name or a ZoneInfo. `after` is an aware datetime in any zone. Where clocks are
    changed: an expression with fixed hours fires once, at the first instant after the gap, or the first time of two;
    one whose hours are `*` fires by real time. Raises ValueError, with the reason, for a naive `after`, a bad
    expression, an unknown zone, an expression that never comes (30 February), and past the year 9999. No server is
    asked.
    """
    if after.utcoffset() is None:
        raise ValueError(
            f"after={after!r} has no time zone, so it means another moment on every host; "
            "use datetime.now(timezone.utc) or after.replace(tzinfo=ZoneInfo('Europe/Berlin'))"
        )
    found = check(expression, tz).after_ms((after - EPOCH) // timedelta(milliseconds=1))
    if found is None:
        raise ValueError(f"cron={expression!r} has no fire after {after} that a datetime could hold")
    return clock.utc(found)


def check(expression: str, tz: str | ZoneInfo = "UTC") -> Calendar:
    """The calendar of an expression in a zone, for a producer: `expression` and `tz_name` of it are what to store.

    Raises ValueError, which names the field, for what cannot be read, for what never comes, and for an unknown zone.
    """
    if not isinstance(expression, str):
        raise ValueError(f'cron must be text such as "30 2 * * *", not {type(expression).__name__}')
    return calendar(" ".join(expression.split()), zone_name(tz))


def zone_name(tz: str | ZoneInfo) -> str:
    """The IANA name of a zone, which is all of it that is stored. Raises ValueError where there is none."""
    name: object = getattr(tz, "key", tz)
    if not isinstance(name, str) or not name:
        raise ValueError(f'tz={tz!r} is not the name of a time zone: give "Europe/Berlin" or ZoneInfo("Europe/Berlin")')
    return name


@lru_cache(maxsize=4096)
def calendar(expression: str, tz_name: str = "UTC") -> Calendar:
    """The calendar of an expression in a zone; read once for each pair. Raises ValueError as `check` does."""
    return Calendar(expression, tz_name)


class Calendar:
    """When one expression fires in one zone."""

    def __init__(self, expression: str, tz_name: str) -> None:
        self.expression = expression
        self.tz_name = tz_name
        fields, self._days = _read(expression)
        self._seconds = _next_table(fields[5], 60)
        self._minutes = _next_table(fields[0], 60)
        self._hours = _next_table(fields[1], 24)
        self._has_fixed_hours = "*" not in fields[1]
        self._first_second = self._second_from(0)
        self._zone = zone(tz_name)

    def after_ms(self, ms: int) -> int | None:
        """The first fire strictly after, in milliseconds since the epoch; None past the end of all calendars (9999)."""
        least = max(ms // 1000 + 1, FIRST)
        while least < END:
            span = self._zone.span_at(least)
            found = self._first_in(span, least)
            if found is not None:
                return found * 1000
            least = span.end
        return None

    def count(self, after_ms: int, until_ms: int) -> int:
        """How many fires there are strictly after the one moment and up to the other, without walking through them."""
        least, end = max(after_ms // 1000 + 1, FIRST), min(until_ms // 1000 + 1, END)
        found = 0
        while least < end:
            span = self._zone.span_at(least)
            found += self._count_in(span, least, min(end, span.end))
            least = span.end
        return found

    def _count_in(self, span: Span, least: int, end: int) -> int:
        """The fires of a span from the instant `least` on and before `end`; as `_first_in` finds them."""
        start, found = least + span.offset, 0
        if self._has_fixed_hours:
            if least == span.start and span.shown < start:
                missed = self._wall_from(span.shown)
                if missed is not None and missed < start:
                    start, found = start + 1, 1
            start = max(start, span.shown)
        return found + self._walls_in(start, end + span.offset)

    def _walls_in(self, start: int, end: int) -> int:
        """The matches at or after one wall-clock time and before another."""
        if start >= end:
            return 0
        (day, second), (last_day, last_second) = divmod(start, DAY), divmod(end, DAY)
        found = self._days.count(day, last_day) * self._seconds_before(DAY)
        if self._days.first_from(day) == day:
            found -= self._seconds_before(second)
        if self._days.first_from(last_day) == last_day:
            found += self._seconds_before(last_second)
        return found

    def _seconds_before(self, second: int) -> int:
        """The matches of a day before one of its seconds."""
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        per_minute, per_hour = _before(self._seconds, 60), _before(self._minutes, 60) * _before(self._seconds, 60)
        found = _before(self._hours, hour) * per_hour
        if hour < 24 and self._hours[hour] == hour:
            found += _before(self._minutes, minute) * per_minute
            if self._minutes[minute] == minute:
                found += _before(self._seconds, second)
        return found

    def _first_in(self, span: Span, least: int) -> int | None:
        """The first fire of a span from the instant `least` on, or None."""
        start = least + span.offset
        if self._has_fixed_hours:
            if least == span.start and span.shown < start:
                missed = self._wall_from(span.shown)
                if missed is not None and missed < start:
                    return least
            start = max(start, span.shown)
        wall = self._wall_from(start)
        if wall is None or wall - span.offset >= span.end:
            return None
        return wall - span.offset

    def _wall_from(self, wall: int) -> int | None:
        """The first match at or after a wall-clock time, both in seconds since 1970 as that clock counts them."""
        day, second = divmod(wall, DAY)
        found = self._days.first_from(day)
        if found == day:
            second = self._second_from(second)
            if second < DAY:
                return day * DAY + second
            found = self._days.first_from(day + 1)
        return None if found is None else found * DAY + self._first_second

    def _second_from(self, second: int) -> int:
        """The first match at or after a second of the day; DAY where there is none."""
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        if self._hours[hour] == hour:
            if self._minutes[minute] == minute:
                second = self._seconds[second]
                if second < 60:
                    return hour * 3600 + minute * 60 + second
                minute += 1
            minute = self._minutes[minute]
            if minute < 60:
                return hour * 3600 + minute * 60 + self._seconds[0]
            hour += 1
        hour = self._hours[hour]
        return DAY if hour == 24 else hour * 3600 + self._minutes[0] * 60 + self._seconds[0]


def _next_table(values: Collection[Any], size: int) -> tuple[int, ...]:
    """For each of 0 to `size` the first value at or after it; `size` where there is none."""
    table = [size] * (size + 1)
    for value in range(size - 1, -1, -1):
        table[value] = value if "*" in values or value in values else table[value + 1]
    return tuple(table)


@lru_cache(maxsize=4096)
def _before(table: tuple[int, ...], value: int) -> int:
    """How many of the values of a `_next_table` are less than one."""
    return sum(table[one] == one for one in range(value))


# --- days


class _Days:
    """Which days match. A day is a number, of days since 1970."""

    def __init__(self, days: Collection[Any], months: Collection[Any], weekdays: Collection[Any], parsed: Any) -> None:
        self._days = frozenset(days)
        self._weekdays = frozenset(weekdays)
        self._months = frozenset(range(1, 13)) if "*" in months else frozenset(months)
        self._nearest: Collection[int] = getattr(parsed, "nearest_weekday", ())
        self._nth: dict[int, set[int | str]] = parsed.nth_weekday_of_month
        self._is_every_day = "*" in days and "*" in weekdays and not self._nth and len(self._months) == 12
        self._masks: dict[tuple[int, int], int] = {}

    def is_unclear(self) -> bool:
        """Two restricted fields that croniter does not join as it joins others: it would leave one out, or fail."""
        is_special = bool(self._nth or self._nearest)
        return is_special and "*" not in self._days and "*" not in self._weekdays

    def never_come(self) -> bool:
        lengths = ((month, monthrange(year, month)[1]) for month in self._months for year in (2023, 2024))
        return not any(self._mask(weekday, length) for _, length in lengths for weekday in range(7))

    def count(self, day: int, end: int) -> int:
        """The matching days from one on and before another."""
        if self._is_every_day:
            return max(0, end - day)
        found, one = 0, self.first_from(day)
        while one is not None and one < end:
            found, one = found + 1, self.first_from(one + 1)
        return found

    def first_from(self, day: int) -> int | None:
        """The first matching day at or after a day; None past the year 9999."""
        if self._is_every_day:
            return day
        start = date.fromordinal(day + _EPOCH_ORDINAL)
        year, month, skipped = start.year, start.month, start.day - 1
        day -= skipped
        weekday = (day + 4) % 7  # the first of 1970 was a Thursday
        while year <= 9999:
            length = monthrange(year, month)[1] if month == 2 else _LENGTHS[month]
            if month in self._months:
                mask = self._mask(weekday, length) >> skipped
                if mask:
                    return day + skipped + (mask & -mask).bit_length() - 1
            day, weekday, skipped = day + length, (weekday + length) % 7, 0
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None

    def _mask(self, weekday: int, length: int) -> int:
        """The matching days of a month that begins on `weekday` and has `length` days; bit 0 is the first."""
        mask = self._masks.get((weekday, length))
        if mask is None:
            wanted = (day for day in range(1, length + 1) if self._matches(day, (weekday + day - 1) % 7, length))
            mask = self._masks[weekday, length] = sum(1 << (day - 1) for day in wanted)
        return mask

    def _matches(self, day: int, weekday: int, length: int) -> bool:
        """Of two restricted fields either is enough."""
        in_month = self._is_in_month(day, weekday, length)
        in_week = self._is_in_week(day, weekday, length)
        either = "*" not in self._days and "*" not in self._weekdays
        return in_month or in_week if either else in_month and in_week

    def _is_in_month(self, day: int, weekday: int, length: int) -> bool:
        if self._nearest:
            return any(day == _nearest_workday(wanted, day, weekday, length) for wanted in self._nearest)
        return "*" in self._days or day in self._days or ("l" in self._days and day == length)

    def _is_in_week(self, day: int, weekday: int, length: int) -> bool:
        if self._nth:
            nth = self._nth.get(weekday, ())
            return (day - 1) // 7 + 1 in nth or ("l" in nth and day + 7 > length)
        return "*" in self._weekdays or weekday in self._weekdays


_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _nearest_workday(wanted: int, day: int, weekday: int, length: int) -> int:
    """The day from Monday to Friday that is nearest to the day `wanted`, in a month where `day` is a `weekday`."""
    wanted = min(wanted, length)
    match (weekday + wanted - day) % 7:
        case 6:
            return wanted - 1 if wanted > 1 else wanted + 2
        case 0:
            return wanted + 1 if wanted < length else wanted - 2
    return wanted


# --- reading an expression


def _read(expression: str) -> tuple[list[Collection[Any]], _Days]:
    """The values of six fields in croniter's order, where "*" stands for all, and the days. Raises ValueError."""
    from croniter import croniter

    text = " ".join(_fields(expression))
    try:
        parsed = croniter(text, 0)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(_blame(expression, text.split(" "))) from error
    minutes, hours, days, months, weekdays, seconds = [*parsed.expanded, [0]][:6]
    found = _Days(days, months, weekdays, parsed)
    if found.is_unclear():
        raise ValueError(
            f"cron={expression!r} has both a day of month and a day of week, and one of them with #, L or W, "
            "for which croniter has no clear rule: write * for one of the two, or make two schedules of it"
        )
    if found.never_come():
        raise ValueError(f"cron={expression!r} never comes: no year has such a day in such a month")
    return [minutes, hours, days, months, weekdays, seconds], found


def _fields(expression: str) -> list[str]:
    if len(expression) > _LONGEST:
        raise ValueError(f"cron has {len(expression)} characters, and at most {_LONGEST} are read")
    fields = expression.lower().split()
    if expression.strip().startswith("@"):
        return _alias(expression)
    if len(fields) == 7:
        raise ValueError(
            f"cron={expression!r} has seven fields, and years are not supported; give five or six, "
            "and start= and end= for the time in which it holds"
        )
    if len(fields) not in (5, 6):
        raise ValueError(
            f"cron={expression!r} has {len(fields)} field{'' if len(fields) == 1 else 's'}; give five "
            "(minute, hour, day of month, month, day of week), or six, where seconds come last"
        )
    for name, field in zip(_NAMES, fields, strict=False):
        if any(part[:1] in ("h", "r") for part in field.split(",")):
            raise ValueError(
                f"cron={expression!r}: the {name} field {field!r} is hashed or random, which is not supported, "
                "since all workers must find the same times; give a number"
            )
    return [_without_idle_steps(field, last) for field, last in zip(fields, _LAST, strict=False)]


def _alias(expression: str) -> list[str]:
    alias = expression.strip().lower()
    if alias == "@reboot":
        raise ValueError(
            f"cron={expression!r}: no machine's start is a time; enqueue where your program starts instead"
        )
    if alias not in re.findall(r"@\w+", _ALIASES):
        raise ValueError(f"cron={expression!r} is not an alias; there are {_ALIASES}")
    return [alias]


def _without_idle_steps(field: str, last: tuple[str, ...]) -> str:
    """A step that begins at the last value leaves that value alone: so says croniter 7, while 6 takes all values."""
    parts = (part.partition("/") for part in field.split(","))
    return ",".join(
        head if head in last and re.fullmatch("0*[1-9][0-9]*", step) else head + slash + step
        for head, slash, step in parts
    )


def _blame(expression: str, fields: list[str]) -> str:
    from croniter import croniter

    for place, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[place] = field
        try:
            croniter.expand(" ".join(alone))
        except (ValueError, TypeError, KeyError):
            return (
                f"cron={expression!r}: the {_NAMES[place]} field {field!r} cannot be read: {_ALLOWED[place]}; "
                "write one, a list (1,5), a range (1-5) or a step (*/5)"
            )
    return f"cron={expression!r} cannot be read: its fields do not go together"
