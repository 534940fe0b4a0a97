"""Slots, and what becomes of those that were missed."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from functools import cache
from itertools import islice

import msgpack
import pytest

from rqlike import firetimes
from rqlike.exceptions import DeserializationError
from rqlike.timetables import (
    Due,
    Timetable,
    due,
    first_slot,
    next_slot,
    slot_after,
    slot_text,
    slots_from,
)

NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
EVERY_MINUTE = Timetable(cron="* * * * *")
TEN_SECONDS = Timetable(every_ms=10_000)


def test_the_first_slot_of_every_comes_one_interval_from_a_whole_second_on() -> None:
    assert first_slot(TEN_SECONDS, NOON + 123) == NOON + 10_000


def test_a_start_is_itself_the_first_slot_and_the_grid_goes_on_from_it() -> None:
    table = TEN_SECONDS._replace(start_ms=NOON)
    assert first_slot(table, NOON - 5) == NOON
    assert first_slot(table, NOON) == NOON + 10_000
    assert first_slot(table, NOON + 25_000) == NOON + 30_000
    assert first_slot(EVERY_MINUTE._replace(start_ms=NOON), NOON - DAY) == NOON


def test_the_end_is_the_last_moment_at_which_a_slot_may_be() -> None:
    table = EVERY_MINUTE._replace(end_ms=NOON + MINUTE)
    assert list(slots_from(table, NOON)) == [NOON, NOON + MINUTE]
    assert next_slot(TEN_SECONDS._replace(end_ms=NOON + 9_999), NOON) is None
    assert first_slot(table, NOON + MINUTE) is None


def test_what_goes_on_after_a_pause_goes_on_in_its_own_grid() -> None:
    assert slot_after(TEN_SECONDS, NOON + 3, NOON + 25_000) == NOON + 30_003
    assert slot_after(TEN_SECONDS, NOON + 3, NOON - HOUR) == NOON + 3
    assert slot_after(EVERY_MINUTE, NOON, NOON + 90_000) == NOON + 2 * MINUTE


def test_a_slot_reads_as_utc_with_milliseconds_only_where_it_has_any() -> None:
    assert slot_text(NOON) == "2026-03-02T12:00:00Z"
    assert slot_text(NOON + 250) == "2026-03-02T12:00:00.250Z"


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_a_slot_that_is_late_within_its_grace_fires_whatever_is_said_of_missed_ones(missed: str) -> None:
    table = EVERY_MINUTE._replace(missed=missed)
    assert due(table, NOON, NOON + 30_000, 0) == Due((NOON,), NOON + MINUTE, 0)  # half the period
    assert due(TEN_SECONDS._replace(missed=missed), NOON, NOON + 5_000, 0).slots == (NOON,)


def test_the_grace_of_itself_is_at_most_a_minute() -> None:
    daily = Timetable(cron="0 12 * * *")
    assert due(daily, NOON, NOON + MINUTE, 0).slots == (NOON,)
    assert due(daily, NOON, NOON + MINUTE + 1, 0) == Due((), NOON + DAY, 1)


@pytest.mark.parametrize(
    ("missed", "fires"),
    [("skip", ()), ("once", (5,)), ("all", (0, 1, 2, 3, 4, 5))],
)
def test_six_missed_slots(missed: str, fires: tuple[int, ...]) -> None:
    now = NOON + 5 * MINUTE + 45_000  # beyond the grace of the newest
    for table in (EVERY_MINUTE, Timetable(every_ms=MINUTE)):
        came = due(table._replace(missed=missed), NOON, now, 0)
        assert came == Due(tuple(NOON + n * MINUTE for n in fires), NOON + 6 * MINUTE, 6 - len(fires))


@pytest.mark.parametrize(("missed", "fires"), [("skip", (5,)), ("once", (5,)), ("all", (4, 5))])
def test_six_slots_of_which_the_newest_is_still_in_its_grace(missed: str, fires: tuple[int, ...]) -> None:
    came = due(EVERY_MINUTE._replace(missed=missed, max_catchup=2), NOON, NOON + 5 * MINUTE + 10_000, 0)
    assert came == Due(tuple(NOON + n * MINUTE for n in fires), NOON + 6 * MINUTE, 6 - len(fires))


def test_a_grace_longer_than_the_period_fires_each_slot_in_it() -> None:
    table = EVERY_MINUTE._replace(grace_ms=3 * MINUTE)
    assert due(table, NOON, NOON + 5 * MINUTE, 0).slots == tuple(NOON + n * MINUTE for n in (2, 3, 4, 5))


def test_a_limit_ends_a_schedule_with_its_last_fire_and_what_comes_later_is_not_missed() -> None:
    table = EVERY_MINUTE._replace(limit=3, missed="all")
    assert due(table, NOON, NOON + 10_000, 2) == Due((NOON,), None, 0)
    late = NOON + 9 * MINUTE + 40_000
    assert due(table, NOON, late, 1) == Due((NOON, NOON + MINUTE), None, 0)
    assert due(table._replace(missed="once"), NOON, late, 2) == Due((NOON + 9 * MINUTE,), None, 9)
    assert due(table, NOON, NOON, 3) == Due((), None, 0)


def test_past_its_end_a_schedule_is_over_and_its_slots_are_judged_as_ever() -> None:
    table = EVERY_MINUTE._replace(end_ms=NOON + MINUTE, missed="once")
    assert due(table, NOON, NOON + HOUR, 0) == Due((NOON + MINUTE,), None, 1)


@cache  # for each policy the same
def walked(expression: str, tz: str, first: int, now: int) -> list[int]:
    """All slots from the first one to now, looked at one by one."""
    table = Timetable(cron=expression, tz=tz)
    return [slot for slot in islice(slots_from(table, first), 100_000) if slot <= now]


@pytest.mark.parametrize(
    "expression", ["* * * * *", "*/7 * * * *", "30 8-17 * * 1-5", "*/10 * * * * *", "5 4 * * *", "* * * * * */20"]
)
@pytest.mark.parametrize("policy", ["skip", "once", "all"])
@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin"])
def test_slots_of_a_long_outage_are_told_exactly_without_looking_at_each(expression: str, policy: str, tz: str) -> None:
    table = Timetable(cron=expression, tz=tz, missed=policy, max_catchup=10)
    begin = int(datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp() * 1000)  # some days before the clocks change
    now = begin + 3 * DAY + 1_234_567
    first = first_slot(table, begin)
    assert first is not None
    all_of_them = walked(expression, tz, first, now)
    came = due(table, first, now, 0)
    assert came.next == next_slot(table, all_of_them[-1])
    assert came.next is not None
    grace = min(MINUTE, (came.next - all_of_them[-1]) // 2)
    most = max({"once": 1, "all": 10}.get(policy, 0), sum(now - slot <= grace for slot in all_of_them))
    assert list(came.slots) == (all_of_them[-most:] if most else [])
    assert came.missed + len(came.slots) == len(all_of_them)


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "America/New_York", "UTC"])
def test_the_calendar_counts_what_it_would_walk_through(tz: str) -> None:
    dice = random.Random(tz)
    changes = [datetime(year, month, 25, tzinfo=UTC) for year in (2016, 2017, 2026) for month in (2, 3, 9, 10)]
    for _ in range(150):
        expression = " ".join(
            dice.choice(choices)
            for choices in (
                ("*", "*/15", "30", "0,59"),
                ("*", "2", "0-3", "*/6", "1,2"),
                ("*", "*", "1-15", "L"),
                ("*",),
                ("*", "*", "0", "1-5"),
            )
        )
        begin = int(dice.choice(changes).timestamp() * 1000) + dice.randrange(12 * DAY)
        end = begin + dice.randrange(1, 14 * DAY)
        table = Timetable(cron=expression, tz=tz, end_ms=end)
        walked = sum(1 for _ in slots_from(table, first_slot(table, begin)))
        assert firetimes.calendar(expression, tz).count(begin, end) == walked, (expression, begin, end)


def test_a_burst_that_comes_once_a_month_is_not_taken_for_its_first_minutes() -> None:
    table = Timetable(cron="* * 1 * *", missed="once")
    april = int(datetime(2026, 4, 1, tzinfo=UTC).timestamp() * 1000)
    now = int(datetime(2026, 5, 15, tzinfo=UTC).timestamp() * 1000)
    newest = int(datetime(2026, 5, 1, 23, 59, tzinfo=UTC).timestamp() * 1000)
    assert due(table, april, now, 0).slots == (newest,)


def test_a_year_of_missed_seconds_is_told_within_the_time_a_loop_can_spare() -> None:
    table = Timetable(cron="* * * * * *", missed="once")
    due(table, NOON, NOON + 1_000, 0)  # the expression is read
    began = time.perf_counter()
    came = due(table, NOON, NOON + 365 * DAY, 0)
    assert time.perf_counter() - began < 0.25  # 5 ms on a quiet machine
    assert came.slots == (NOON + 365 * DAY,)
    assert came.missed == 365 * 86_400


def test_however_often_it_is_asked_each_slot_fires_once_or_is_missed_once() -> None:
    dice = random.Random(5)
    for _ in range(200):
        table = Timetable(
            cron=dice.choice(["* * * * *", "*/5 * * * *", "0 * * * *", "* * * * * *"]),
            missed=dice.choice(["skip", "once", "all"]),
            max_catchup=dice.choice([1, 3, 100]),
        )
        slot = begin = first_slot(table, NOON)
        now, fired, missed = NOON, list[int](), 0
        for _ in range(30):
            now += dice.choice([500, 1_000, 30_000, 90_000])
            if slot is not None and slot <= now:
                came = due(table, slot, now, len(fired))
                fired += came.slots
                missed += came.missed
                assert came.next is not None
                assert came.next > now
                slot = came.next
        expected = [one for one in islice(slots_from(table, begin), 5_000) if one <= now]
        assert fired == sorted(set(fired))
        assert set(fired) <= set(expected)
        assert len(fired) + missed == len(expected)


def test_a_timetable_reads_as_it_was_written_and_the_same_is_the_same_bytes() -> None:
    table = Timetable(cron="0 3 * * *", tz="Europe/Berlin", start_ms=5, limit=2, missed="all", grace_ms=0)
    assert Timetable.from_wire(table.to_wire()) == table
    assert table.to_wire() == table._replace().to_wire()


@pytest.mark.parametrize(
    "stored",
    [b"", b"\xc1", b"\x90", msgpack.packb([2, "* * * * *"]), msgpack.packb([1]), msgpack.packb([1] * 20), b"\x05"],
)
def test_what_is_no_timetable_is_an_error_that_can_be_told(stored: bytes) -> None:
    with pytest.raises(DeserializationError):
        Timetable.from_wire(stored)
