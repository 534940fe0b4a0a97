"""The calendar: examples at both edges of the year, a walk over all minutes of twenty years, and croniter itself."""

from __future__ import annotations

import os
import random
import struct
import sys
import zoneinfo
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache, cached_property
from io import BytesIO
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from rqlike import firetimes, zones
from rqlike.firetimes import Calendar, calendar, check, next_fire, zone_name

# How many times as many random expressions as on every day; with more than 1 all fires of the twenty years are looked
# at, else those near a change of the clock and a part of the others.
SIZE = int(os.environ.get("CALENDAR_SIZE", "1"))

NEW_YORK, LONDON, BERLIN = "America/New_York", "Europe/London", "Europe/Berlin"
LORD_HOWE, SAO_PAULO, KOLKATA, APIA = "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia"
ZONES = (NEW_YORK, LONDON, BERLIN, LORD_HOWE, SAO_PAULO, KOLKATA, "UTC")


# --- examples


def fires(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The first fires after a local time, as local times with offset: "29 02:30 +0200"."""
    home = ZoneInfo(zone)
    after = datetime.fromisoformat(start).replace(tzinfo=home).astimezone(UTC)
    found = []
    for _ in range(count):
        after = next_fire(expression, after, zone)
        local = after.astimezone(home)
        found.append(local.strftime("%d %H:%M:%S %z" if local.second else "%d %H:%M %z"))
    return found


# The clock is put forward; the times between are a gap.
IN_SPRING = [
    ("a fixed hour in the gap fires once, after it",
     "30 2 * * *", NEW_YORK, "2026-03-07", ["07 02:30 -0500", "08 03:00 -0400", "09 02:30 -0400"]),
    ("the same in London", "30 1 * * *", LONDON, "2026-03-28", ["28 01:30 +0000", "29 02:00 +0100", "30 01:30 +0100"]),
    ("the same in Berlin", "30 2 * * *", BERLIN, "2026-03-28", ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
    ("several times in the gap make one fire",
     "*/15 2 * * *", BERLIN, "2026-03-29", ["29 03:00 +0200", "30 02:00 +0200", "30 02:15 +0200"]),
    ("which is not repeated where it is itself a match",
     "0 2,3 * * *", BERLIN, "2026-03-29", ["29 03:00 +0200", "30 02:00 +0200"]),
    ("and does not stand for the matches after it",
     "20,40 1-3 * * *", BERLIN, "2026-03-29",
     ["29 01:20 +0100", "29 01:40 +0100", "29 03:00 +0200", "29 03:20 +0200", "29 03:40 +0200", "30 01:20 +0200"]),
    ("a step of two hours is fixed too",
     "0 */2 * * *", BERLIN, "2026-03-29", ["29 03:00 +0200", "29 04:00 +0200"]),
    ("and so is one whose hours miss the gap",
     "0 1-23/2 * * *", BERLIN, "2026-03-29", ["29 01:00 +0100", "29 03:00 +0200"]),
    ("a daily job outside of the gap keeps its local time",
     "0 9 * * *", BERLIN, "2026-03-28", ["28 09:00 +0100", "29 09:00 +0200"]),
    ("a day that is not due makes up for nothing", "30 2 * * MON", BERLIN, "2026-03-28", ["30 02:30 +0200"]),
    ("every hour goes on in real time",
     "30 * * * *", BERLIN, "2026-03-29", ["29 00:30 +0100", "29 01:30 +0100", "29 03:30 +0200"]),
    ("and so do hours that come to all 24",
     "30 0-23 * * *", BERLIN, "2026-03-29 01:00", ["29 01:30 +0100", "29 03:30 +0200"]),
    ("every quarter of an hour does",
     "*/15 * * * *", NEW_YORK, "2026-03-08 01:40", ["08 01:45 -0500", "08 03:00 -0400", "08 03:15 -0400"]),
    ("seconds in the gap make one fire",
     "59 2 * * * 10,20", BERLIN, "2026-03-29", ["29 03:00 +0200", "30 02:59:10 +0200", "30 02:59:20 +0200"]),
    ("seconds of every hour go on",
     "59 * * * * 30", BERLIN, "2026-03-29 01:00", ["29 01:59:30 +0100", "29 03:59:30 +0200"]),
    ("a gap of half an hour",
     "15 2 * * *", LORD_HOWE, "2026-10-03", ["03 02:15 +1030", "04 02:30 +1100", "05 02:15 +1100"]),
    ("the end of which is a match already",
     "15,30 2 * * *", LORD_HOWE, "2026-10-04", ["04 02:30 +1100", "05 02:15 +1100"]),
    ("every hour through it", "45 * * * *", LORD_HOWE, "2026-10-04 01:00", ["04 01:45 +1030", "04 02:45 +1100"]),
    ("every hour, with the full hour in it",
     "0 * * * *", LORD_HOWE, "2026-10-04 01:00", ["04 03:00 +1100", "04 04:00 +1100"]),
    ("midnight in the gap",
     "0 0 * * *", SAO_PAULO, "2018-11-02", ["03 00:00 -0300", "04 01:00 -0200", "05 00:00 -0200"]),
    ("midnight in the gap, by its alias", "@daily", SAO_PAULO, "2018-11-03", ["04 01:00 -0200", "05 00:00 -0200"]),
    ("the first of a month is not moved by a gap on the fourth",
     "0 0 1 11 *", SAO_PAULO, "2018-10-01", ["01 00:00 -0300"]),
    ("a whole day that is skipped makes one fire",
     "0 9,17 * * *", APIA, "2011-12-29 12:00", ["29 17:00 -1000", "31 00:00 +1400", "31 09:00 +1400"]),
    ("unless every hour is due", "0 * * * *", APIA, "2011-12-29 22:00", ["29 23:00 -1000", "31 00:00 +1400"]),
    ("a year's only fire in a skipped day", "0 12 30 12 *", APIA, "2011-12-01", ["31 00:00 +1400", "30 12:00 +1400"]),
]  # fmt: skip

# The clock is put back; the times between come twice, which is a fold.
IN_AUTUMN = [
    ("a fixed hour in the fold fires the first time",
     "30 1 * * *", NEW_YORK, "2026-11-01", ["01 01:30 -0400", "02 01:30 -0500"]),
    ("the same in London", "30 1 * * *", LONDON, "2026-10-25", ["25 01:30 +0100", "26 01:30 +0000"]),
    ("the same in Berlin", "30 2 * * *", BERLIN, "2026-10-25", ["25 02:30 +0200", "26 02:30 +0100"]),
    ("minutes of a fixed hour too",
     "*/30 2 * * *", BERLIN, "2026-10-25", ["25 02:00 +0200", "25 02:30 +0200", "26 02:00 +0100"]),
    ("a step of two hours is fixed too",
     "0 */2 * * *", BERLIN, "2026-10-25 01:00", ["25 02:00 +0200", "25 04:00 +0100"]),
    ("the time at which the fold ends comes once",
     "0 3 * * *", BERLIN, "2026-10-25", ["25 03:00 +0100", "26 03:00 +0100"]),
    ("a daily job outside of the fold keeps its local time",
     "0 9 * * *", BERLIN, "2026-10-24", ["24 09:00 +0200", "25 09:00 +0100"]),
    ("every hour fires in both",
     "30 * * * *", BERLIN, "2026-10-25 01:00",
     ["25 01:30 +0200", "25 02:30 +0200", "25 02:30 +0100", "25 03:30 +0100"]),
    ("and so do hours that come to all 24",
     "30 */1 * * *", BERLIN, "2026-10-25 02:00", ["25 02:30 +0200", "25 02:30 +0100"]),
    ("every quarter of an hour does",
     "*/15 * * * *", NEW_YORK, "2026-11-01 01:20",
     ["01 01:30 -0400", "01 01:45 -0400", "01 01:00 -0500", "01 01:15 -0500", "01 01:30 -0500", "01 01:45 -0500",
      "01 02:00 -0500"]),
    ("seconds of a fixed hour fire the first time",
     "59 2 * * * 10,20", BERLIN, "2026-10-25", ["25 02:59:10 +0200", "25 02:59:20 +0200", "26 02:59:10 +0100"]),
    ("seconds of every hour fire in both",
     "59 * * * * 30", BERLIN, "2026-10-25 02:00", ["25 02:59:30 +0200", "25 02:59:30 +0100"]),
    ("a fold of half an hour", "45 1 * * *", LORD_HOWE, "2026-04-05", ["05 01:45 +1100", "06 01:45 +1030"]),
    ("every hour through it",
     "45 * * * *", LORD_HOWE, "2026-04-05", ["05 00:45 +1100", "05 01:45 +1100", "05 01:45 +1030", "05 02:45 +1030"]),
    ("every hour, with the full hour before it",
     "0 * * * *", LORD_HOWE, "2026-04-05", ["05 01:00 +1100", "05 02:00 +1030"]),
    ("the hour before midnight comes twice",
     "30 23 * * *", SAO_PAULO, "2018-02-16", ["16 23:30 -0200", "17 23:30 -0200", "18 23:30 -0300"]),
    ("midnight after it once",
     "0 0 * * *", SAO_PAULO, "2018-02-17", ["18 00:00 -0300", "19 00:00 -0300"]),
    ("every hour, on both days",
     "0 * * * *", SAO_PAULO, "2018-02-17 22:00", ["17 23:00 -0200", "17 23:00 -0300", "18 00:00 -0300"]),
]  # fmt: skip

ALL_YEAR = [
    ("a zone that is half an hour off", "0 9 * * *", KOLKATA, "2026-03-29", ["29 09:00 +0530", "30 09:00 +0530"]),
    ("without changes nothing is moved", "30 2 * * *", "UTC", "2026-03-29", ["29 02:30 +0000", "30 02:30 +0000"]),
    ("either of two day fields is enough", "0 0 13 * FRI", "UTC", "2026-01-08", ["09 00:00 +0000", "13 00:00 +0000"]),
    ("seven is a Sunday", "0 0 * * 7", "UTC", "2026-01-01", ["04 00:00 +0000"]),
    ("the last day of a month", "0 0 L * *", "UTC", "2028-02-01", ["29 00:00 +0000", "31 00:00 +0000"]),
    ("a second Friday", "0 0 * * FRI#2", "UTC", "2026-01-01", ["09 00:00 +0000", "13 00:00 +0000"]),
    ("the last Friday", "0 0 * * L5", "UTC", "2026-01-01", ["30 00:00 +0000", "27 00:00 +0000"]),
    ("the workday nearest to the 15th", "0 0 15W * *", "UTC", "2026-02-01", ["16 00:00 +0000", "16 00:00 +0000"]),
    ("not over the end of a month", "0 0 31W 5 *", "UTC", "2026-05-01", ["29 00:00 +0000"]),
    ("nor over its start", "0 0 1W 8 *", "UTC", "2026-05-01", ["03 00:00 +0000"]),
    ("the second of each day of the week",
     "0 0 * * SUN-SAT#2", "UTC", "2026-01-01", ["08 00:00 +0000", "09 00:00 +0000"]),
    ("a range over the end of the week", "0 0 * * SAT-MON", "UTC", "2026-01-01",
     ["03 00:00 +0000", "04 00:00 +0000", "05 00:00 +0000", "10 00:00 +0000"]),
    ("eight years without a 29 February", "0 0 29 2 *", "UTC", "2096-03-01", ["29 00:00 +0000"]),
    ("seconds are the last of six fields",
     "0 12 * * * 30", "UTC", "2026-01-01", ["01 12:00:30 +0000", "02 12:00:30 +0000"]),
    ("@hourly", "@hourly", "UTC", "2026-01-01", ["01 01:00 +0000", "01 02:00 +0000"]),
    ("@weekly", "@weekly", "UTC", "2026-01-01", ["04 00:00 +0000", "11 00:00 +0000"]),
    ("@monthly", "@monthly", BERLIN, "2026-03-01", ["01 00:00 +0200", "01 00:00 +0200"]),
    ("@yearly", " @Yearly ", KOLKATA, "2026-03-01", ["01 00:00 +0530"]),
    # croniter 6 takes these two for every 15 minutes and every day; what is stored must not change its meaning.
    ("a step from the last value is that value",
     "59/15 * * * *", "UTC", "2026-01-01", ["01 00:59 +0000", "01 01:59 +0000"]),
    ("also in the week", "0 0 * * 6/1", "UTC", "2026-01-01", ["03 00:00 +0000", "10 00:00 +0000"]),
    ("and by name", "0 0 1 DEC/3 SAT/1", "UTC", "2026-11-01", ["01 00:00 +0000", "05 00:00 +0000", "12 00:00 +0000"]),
    ("a step from another value",
     "50/5 * * * *", "UTC", "2026-01-01", ["01 00:50 +0000", "01 00:55 +0000", "01 01:50 +0000"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [pytest.param(*rest, id=title) for title, *rest in IN_SPRING + IN_AUTUMN + ALL_YEAR],
)
def test_a_calendar_by_example(expression: str, zone: str, start: str, expected: list[str]) -> None:
    assert fires(expression, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [pytest.param(*rest, id=title) for title, *rest in IN_SPRING + IN_AUTUMN],
)
def test_it_does_not_matter_in_which_pieces_a_zone_is_looked_at(
    expression: str, zone: str, start: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zones.Zone, "_PIECE", 1800)
    short = Calendar(" ".join(expression.split()), zone)
    short._zone = zones.Zone(ZoneInfo(zone))
    monkeypatch.setattr(firetimes, "check", lambda expression, tz: short)
    assert fires(expression, zone, start, len(expected)) == expected


def test_a_29_february_is_eight_years_away_around_1900() -> None:
    assert next_fire("0 0 29 2 *", datetime(1896, 3, 1, tzinfo=UTC)) == datetime(1904, 2, 29, tzinfo=UTC)
    assert next_fire("0 0 29 2 *", datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, 11, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 1, 1, 12, tzinfo=UTC)),
        (datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC), datetime(2026, 1, 1, 12, 1, tzinfo=UTC)),
        (datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=-5))), datetime(2026, 1, 1, 17, 1, tzinfo=UTC)),
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo(BERLIN)), datetime(2026, 10, 25, 0, 31, tzinfo=UTC)),
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo(BERLIN)), datetime(2026, 10, 25, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_fire_is_strictly_after_to_the_microsecond(after: datetime, expected: datetime) -> None:
    found = next_fire("* * * * *", after, BERLIN)
    assert found == expected
    assert found.tzinfo is UTC


def test_workers_ask_in_milliseconds() -> None:
    every_minute = calendar("* * * * *")
    assert every_minute.after_ms(59_999) == 60_000
    assert every_minute.after_ms(60_000) == 120_000
    assert every_minute.after_ms(-1) == 0


def test_an_expression_is_read_once_for_each_zone() -> None:
    assert calendar("5 4 * * *", BERLIN) is calendar("5 4 * * *", BERLIN)
    assert check(" 5  4 * * * ", ZoneInfo(BERLIN)) is calendar("5 4 * * *", BERLIN)
    assert calendar("5 4 * * *", LONDON) is not calendar("5 4 * * *", BERLIN)


def test_a_producer_is_told_what_to_store() -> None:
    checked = check("  30  2 * *\tMON-FRI ", ZoneInfo(BERLIN))
    assert (checked.expression, checked.tz_name) == ("30 2 * * MON-FRI", BERLIN)
    assert check("@daily").tz_name == "UTC"


def test_time_ends_with_the_datetimes() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    assert calendar("@daily", "Asia/Tokyo").after_ms(int(end.timestamp()) * 1000) is None
    assert calendar("@yearly", NEW_YORK).after_ms(10**30) is None
    with pytest.raises(ValueError, match=r"^cron='@yearly' has no fire after 9999-06-01"):
        next_fire("@yearly", datetime(9999, 6, 1, tzinfo=UTC), NEW_YORK)
    for zone in (NEW_YORK, "Asia/Tokyo", "UTC"):
        assert next_fire("* * * * *", datetime.min.replace(tzinfo=UTC), zone).year == 1


# --- what is refused


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "has 0 fields; give five"),
        ("*", "has 1 field; give five"),
        ("* * * *", "has 4 fields; give five (minute, hour, day of month, month, day of week), or six"),
        ("0 0 1 1 * 0 2027", "has seven fields, and years are not supported"),
        ("@reboot", "no machine's start is a time"),
        ("@often", "is not an alias; there are @hourly, @daily"),
        ("@daily *", "is not an alias"),
        ("60 * * * *", "the minute field '60' cannot be read: minutes are 0 to 59"),
        ("0 24 * * *", "the hour field '24' cannot be read: hours are 0 to 23"),
        ("0 0 32 * *", "the day of month field '32' cannot be read: days are 1 to 31"),
        ("0 0 0 * *", "the day of month field '0' cannot be read"),
        ("0 0 1 13 *", "the month field '13' cannot be read: months are 1 to 12"),
        ("0 0 1 foo *", "the month field 'foo' cannot be read"),
        ("0 0 * * 8", "the day of week field '8' cannot be read: weekdays are 0 (Sunday) to 6"),
        ("0 0 * * 1#6", "the day of week field '1#6' cannot be read"),
        ("0 0 * * 1#1,2", "the day of week field '1#1,2' cannot be read"),
        ("0 0 12 * * ?", "the second field '?' cannot be read: seconds are 0 to 59, and come last"),
        ("* * * * * 60", "the second field '60' cannot be read"),
        ("*/0 * * * *", "the minute field '*/0' cannot be read"),
        ("59/0 * * * *", "the minute field '59/0' cannot be read"),
        ("1,,2 * * * *", "the minute field '1,,2' cannot be read"),
        ("-5 * * * *", "the minute field '-5' cannot be read"),
        ("1-x * * * *", "the minute field '1-x' cannot be read"),
        ("٣ * * * *", "the minute field '٣' cannot be read"),
        ("\x1b[2J * * * *", r"the minute field '\x1b[2j' cannot be read"),
        ("H * * * *", "the minute field 'h' is hashed or random"),
        ("* R(1-5) * * *", "the hour field 'r(1-5)' is hashed or random"),
        ("* * * * 1,H/2", "the day of week field '1,h/2' is hashed or random"),
        ("0 0 13 * FRI#2", "has both a day of month and a day of week, and one of them with #, L or W"),
        ("0 0 15W * MON", "has both a day of month and a day of week"),
        ("0 0 30 2 *", "never comes: no year has such a day in such a month"),
        ("0 0 31 2,4,6,9,11 *", "never comes"),
        ("* " * 200, "cron has 399 characters, and at most 256 are read"),
        (None, 'cron must be text such as "30 2 * * *", not NoneType'),
        (b"* * * * *", "not bytes"),
        (5, "not int"),
    ],
)
def test_a_bad_expression_is_refused_with_the_place_and_the_reason(expression: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(expression)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    with pytest.raises(ValueError):
        next_fire(expression, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin or "),
        ("berlin", "did you mean Europe/Berlin?"),
        ("america/new_york", "did you mean America/New_York?"),
        ("New York", "did you mean America/New_York?"),
        ("Europe", "did you mean Europe/"),
        ("xx", 'give an IANA name such as "Europe/Berlin"'),
        ("../../etc/passwd", "is not a time zone that this machine knows"),
        ("/etc/localtime", "is not a time zone that this machine knows"),
        ("Europe/Berlin\0", r"tz='Europe/Berlin\x00' is not a time zone"),
        ("localtime", "is another zone on every host"),
        ("", 'give "Europe/Berlin" or ZoneInfo("Europe/Berlin")'),
        (None, 'give "Europe/Berlin" or ZoneInfo("Europe/Berlin")'),
        (UTC, "tz=datetime.timezone.utc is not the name of a time zone"),
        (7, "is not the name of a time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_those_that_are_near(zone: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check("@daily", zone)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_zone_without_a_name_is_refused() -> None:
    counts, one_type, abbreviation = (0, 0, 0, 0, 1, 4), b"\0" * 6, b"UTC\0"
    content = b"TZif" + b"\0" * 16 + struct.pack(">6l", *counts) + one_type + abbreviation
    nameless = ZoneInfo.from_file(BytesIO(content))
    with pytest.raises(ValueError, match="is not the name of a time zone"):
        zone_name(nameless)
    assert zone_name(ZoneInfo(BERLIN)) == BERLIN


def test_without_a_zone_database_utc_works_and_all_else_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata."))}:
        monkeypatch.setitem(sys.modules, name, None)
    zones.zone.cache_clear()
    calendar.cache_clear()
    zoneinfo.reset_tzpath(())
    try:
        assert next_fire("@daily", datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 2, tzinfo=UTC)
        with pytest.raises(ValueError, match=r"^tz='Asia/Yakutsk' cannot be looked up.*pip install tzdata"):
            check("@daily", "Asia/Yakutsk")  # one that nobody has loaded: ZoneInfo keeps those
    finally:
        zoneinfo.reset_tzpath()


def test_a_naive_after_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        next_fire("@daily", datetime(2026, 1, 1))


# --- a walk over all minutes
#
# The rules once more, from their wording in the docstring and without any code of the calendar: a random expression is
# made together with the sets of values that it means, and each minute of twenty years is asked for its local time.
# Far from a change of the clock the walk takes a day at a time, which comes to the same.

FIRST, LAST = datetime(2016, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
DAY = 1440  # all in minutes since the epoch
DAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Meaning(NamedTuple):
    """What a field of an expression means: its text, and its values or a word for a special day."""

    text: str
    values: frozenset[int]
    special: str = ""

    @classmethod
    def of(cls, rng: random.Random, low: int, high: int, *, most: int) -> Meaning:
        """A field with 1 to `most` values, or all."""
        while True:
            start = rng.randint(low, high - 1)
            end, step = rng.randint(start + 1, high), rng.randint(1, max(2, (high - low) // 2))
            listed = frozenset(rng.randint(low, high) for _ in range(rng.randint(1, 4)))
            found = rng.choice([
                cls("*", frozenset(range(low, high + 1))),
                cls(str(start), frozenset([start])),
                cls(",".join(map(str, listed)), listed),
                cls(f"{start}-{end}", frozenset(range(start, end + 1))),
                cls(f"{start}-{end}/{step}", frozenset(range(start, end + 1, step))),
                cls(f"*/{step}", frozenset(range(low, high + 1, step))),
                cls(f"{start}/{step}", frozenset(range(start, high + 1, step))),
            ])  # fmt: skip
            if len(found.values) <= most or (found.text == "*" and rng.random() < 0.3):
                return found


class Rule:
    """An expression, and what it means."""

    def __init__(
        self,
        minute: Meaning,
        hour: Meaning,
        day: Meaning,
        month: Meaning,
        weekday: Meaning,
        second: Meaning | None = None,
    ) -> None:
        fields = [minute, hour, day, month, weekday, *([second] if second else [])]
        self.text = " ".join(field.text for field in fields)
        self.minutes = frozenset(60 * h + m for h in hour.values for m in minute.values)
        self.seconds = sorted(second.values) if second else [0]
        self.is_hourly = len(hour.values) == 24
        self._day, self._month, self._weekday = day, month, weekday

    @classmethod
    def random(cls, rng: random.Random) -> Rule:
        minute = Meaning.of(rng, 0, 59, most=10)
        early = frozenset(rng.sample(range(5), rng.randint(1, 4)))  # where the clock is changed
        at_night = Meaning(",".join(map(str, early)), early)
        hour = rng.choice([Meaning.of(rng, 0, 23, most=12), at_night, at_night, HOURLY, ALL_DAY])
        month = rng.choice([Meaning.of(rng, 1, 12, most=11), ALL_MONTHS])
        second = Meaning.of(rng, 0, 59, most=3) if rng.random() < 0.2 else None
        if second and second.text == "*" and len(minute.values) > 10:
            second = None
        day, weekday = Meaning.of(rng, 1, 31, most=30), Meaning.of(rng, 0, 6, most=6)
        match rng.randint(0, 9):
            case 0:
                day, weekday = Meaning("L", frozenset(), "last"), rng.choice([weekday, EVERY])
            case 1:
                wanted = rng.randint(1, 31)
                day, weekday = Meaning(f"{wanted}W", frozenset([wanted]), "near"), EVERY
            case 2:
                which, count = rng.randint(0, 6), rng.randint(1, 5)
                day, weekday = EVERY, Meaning(f"{DAY_NAMES[which]}#{count}", frozenset([which]), f"{count}")
            case 3:
                which = rng.randint(0, 6)
                day, weekday = EVERY, Meaning(f"L{which}", frozenset([which]), "last")
            case 4 | 5:
                day, weekday = rng.choice([(day, EVERY), (EVERY, weekday)])
            case 6 | 7 | 8:
                day, weekday = EVERY, EVERY
        return cls(minute, hour, day, month, weekday, second)

    @cached_property
    def days(self) -> frozenset[int]:
        """The days since the epoch that match, with some before and after the twenty years."""
        first = FIRST.date() - timedelta(days=5)
        walked = (first + timedelta(days=number) for number in range((LAST - FIRST).days + 10))
        return frozenset(day.toordinal() - date(1970, 1, 1).toordinal() for day in walked if self._has(day))

    def _has(self, day: date) -> bool:
        if day.month not in self._month.values:
            return False
        in_month, in_week = self._has_day_of_month(day), self._has_weekday(day)
        return in_month and in_week if "*" in (self._day.text, self._weekday.text) else in_month or in_week

    def _has_day_of_month(self, day: date) -> bool:
        length = monthrange(day.year, day.month)[1]
        if self._day.special == "last":
            return day.day == length
        if self._day.special == "near":
            wanted = min(*self._day.values, length)
            workdays = [number for number in range(1, length + 1) if day.replace(day=number).weekday() < 5]
            return day.day == min(workdays, key=lambda number: abs(number - wanted))
        return self._day.text == "*" or day.day in self._day.values

    def _has_weekday(self, day: date) -> bool:
        if self._weekday.text != "*" and day.isoweekday() % 7 not in self._weekday.values:
            return False
        if self._weekday.special == "last":
            return (day + timedelta(days=7)).month != day.month
        if self._weekday.special:
            weeks_before = int(self._weekday.special) - 1
            first = day - timedelta(days=7 * weeks_before)
            return first.month == day.month and (first - timedelta(days=7)).month != day.month
        return True

    def matches(self, wall: int) -> bool:
        return wall % DAY in self.minutes and wall // DAY in self.days


EVERY = Meaning("*", frozenset())
HOURLY = Meaning("*", frozenset(range(24)))
ALL_DAY = Meaning("0-23", frozenset(range(24)))
ALL_MONTHS = Meaning("*", frozenset(range(1, 13)))
NIGHTLY = Rule(
    Meaning("*/20", frozenset([0, 20, 40])), Meaning("23,0-3", frozenset([23, 0, 1, 2, 3])), EVERY, ALL_MONTHS, EVERY
)


class Minute(NamedTuple):
    """A minute near a change of the clock."""

    utc: int
    wall: int
    is_repeat: bool
    skipped: range  #: the times that the clock has left out right before it


class Stretch(NamedTuple):
    """Minutes in which the clock does not change, nor near them."""

    start: int
    end: int
    offset: int


class Clock:
    """The local times of a zone."""

    NEAR = 2 * DAY

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        start, end = int(FIRST.timestamp()) // 60, int(LAST.timestamp()) // 60
        hours = range(start, end + 1, 60)
        offsets = [self.offset(hour) for hour in hours]
        changed = (hour for hour, (before, after) in zip(hours, pairwise(offsets), strict=False) if before != after)
        self.changes = [
            next(m for m in range(hour, hour + 61) if self.offset(m) != self.offset(hour)) for hour in changed
        ]
        edges = [start - self.NEAR, *self.changes, end + self.NEAR]
        self.stretches = [Stretch(a + self.NEAR, b - self.NEAR, self.offset(a + self.NEAR)) for a, b in pairwise(edges)]
        self.near = [list(self._walk(change - self.NEAR, change + self.NEAR)) for change in self.changes]

    def offset(self, minute: int) -> int:
        offset = datetime.fromtimestamp(60 * minute, self._zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds()) // 60

    def _walk(self, start: int, end: int) -> Iterator[Minute]:
        shown: set[int] = set()
        last = start - 1 + self.offset(start - 1)
        for minute in range(start, end):
            wall = minute + self.offset(minute)
            yield Minute(minute, wall, wall in shown, range(last + 1, wall))
            shown.add(wall)
            last = wall


@cache
def clock_of(zone: str) -> Clock:
    return Clock(zone)


def by_walking(rule: Rule, minutes: list[Minute]) -> Iterator[int]:
    """The fires of a rule in some minutes one after the other, in seconds."""
    for minute in minutes:
        seconds: set[int] = set()
        if rule.matches(minute.wall) and (rule.is_hourly or not minute.is_repeat):
            seconds.update(rule.seconds)
        if not rule.is_hourly and any(map(rule.matches, minute.skipped)):
            seconds.add(0)
        yield from (60 * minute.utc + second for second in sorted(seconds))


def by_days(rule: Rule, stretch: Stretch) -> Iterator[int]:
    walls = sorted(rule.minutes)
    for day in range((stretch.start + stretch.offset) // DAY, (stretch.end + stretch.offset) // DAY + 1):
        if day in rule.days:
            for wall in walls:
                minute = DAY * day + wall - stretch.offset
                if stretch.start <= minute < stretch.end:
                    yield from (60 * minute + second for second in rule.seconds)


def by_calendar(found: Calendar, start: int, end: int) -> Iterator[int]:
    ms = found.after_ms(60_000 * start - 1)
    while ms is not None and ms < 60_000 * end:
        yield ms // 1000
        ms = found.after_ms(ms)


def differences(rule: Rule, zone: str, rng: random.Random) -> Iterator[str]:
    """Where the calendar and the walk do not agree."""
    found, clock = calendar(rule.text, zone), clock_of(zone)
    is_dense = len(rule.minutes) * len(rule.seconds) > 20
    expected: list[int] = []
    for minutes in clock.near:
        middle, reach = len(minutes) // 2, 180 if is_dense and SIZE == 1 else len(minutes) // 2
        part = minutes[middle - reach : middle + reach]
        walked = list(by_walking(rule, part))
        expected += walked
        if walked != list(by_calendar(found, part[0].utc, part[-1].utc + 1)):
            yield f"{rule.text!r} in {zone} around {datetime.fromtimestamp(60 * minutes[middle].utc, UTC)}"
    for stretch in clock.stretches:
        part_ = stretch
        if is_dense and SIZE == 1:
            start = rng.randrange(stretch.start, stretch.end)
            part_ = Stretch(start, min(start + DAY, stretch.end), stretch.offset)
        walked = list(by_days(rule, part_))
        expected += walked
        if walked != list(by_calendar(found, part_.start, part_.end)):
            yield f"{rule.text!r} in {zone} after {datetime.fromtimestamp(60 * part_.start, UTC)}"
    if not is_dense or SIZE > 1:
        yield from differences_from_anywhere(found, sorted(expected), rng)


def differences_from_anywhere(found: Calendar, expected: list[int], rng: random.Random) -> Iterator[str]:
    """Not only from one fire to the next: from moments between them too."""
    for _ in range(50):
        ms = rng.randrange(int(FIRST.timestamp()) * 1000, int(LAST.timestamp()) * 1000)
        place = bisect_right(expected, ms // 1000)
        if place < len(expected) and found.after_ms(ms) != expected[place] * 1000:
            yield f"{found.expression!r} in {found.tz_name} after {ms} ms"


@pytest.mark.parametrize("zone", ZONES)
def test_the_calendar_agrees_with_a_walk_over_all_minutes_of_twenty_years(zone: str) -> None:
    rng = random.Random(f"calendar {zone} {SIZE}")
    rules = [NIGHTLY, *(Rule.random(rng) for _ in range(10 * SIZE))]
    assert [line for rule in rules for line in differences(rule, zone, rng)] == []
    if near := [minute for minutes in clock_of(zone).near for minute in minutes]:
        assert any(NIGHTLY.matches(wall) for minute in near for wall in minute.skipped)
        assert any(NIGHTLY.matches(minute.wall) for minute in near if minute.is_repeat)


def test_the_walk_meets_gaps_and_folds_in_all_zones_that_have_them() -> None:
    for zone in ZONES:
        near = clock_of(zone).near
        gaps = sum(len(minute.skipped) for minutes in near for minute in minutes)
        repeats = sum(minute.is_repeat for minutes in near for minute in minutes)
        if zone in (KOLKATA, "UTC"):
            assert (gaps, repeats) == (0, 0)
        elif zone == SAO_PAULO:
            assert (gaps, repeats) == (180, 240), "until 2019"
        else:
            assert (gaps, repeats) == ((600, 600) if zone == LORD_HOWE else (1200, 1200))


def test_in_utc_the_calendar_agrees_with_croniter() -> None:
    rng = random.Random(f"croniter {SIZE}")
    for _ in range(1_000 * SIZE):
        text = Rule.random(rng).text
        after = FIRST + timedelta(microseconds=rng.randrange(int((LAST - FIRST).total_seconds() * 1e6)))
        try:
            found = next_fire(text, after)
        except ValueError as error:
            assert "never comes" in str(error)
        else:
            assert found == croniter(text, after).get_next(datetime), f"{text!r} after {after}"
