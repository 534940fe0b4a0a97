"""Durations: many ways to write one, one way to count it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rqlike.durations import Seconds, format_seconds, parse_seconds, to_ms
from rqlike.exceptions import TimeoutFormatError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90.0),
        (0, 0.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
        (timedelta(milliseconds=250), 0.25),
        ("90", 90.0),
        ("0.5", 0.5),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 90s ", 90.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("250ms", 0.25),
        ("1m250ms", 60.25),
        ("1w2d3h4m5s6ms", 788_645.006),
    ],
)
def test_a_duration_is_read_in_every_way_people_write_it(value: Seconds, seconds: float) -> None:
    parsed = parse_seconds(value, "ttl")
    assert type(parsed) is float
    assert parsed == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "value",
    [
        True, False, None, float("nan"), float("inf"), -float("inf"), -1, -0.5, "-1", "-5s", timedelta(seconds=-1),
        "", " ", "h", "1x", "1hh", "30m1h", "1h1h", "1 2", "1e3", "nan", "inf", "1,5", "٣", "1M", "1 hour", "1.h",
        [], Decimal(1), 10**400, "9" * 400, 10**11, b"90",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_the_name_and_an_example(value: Any) -> None:
    with pytest.raises(TimeoutFormatError, match=r"^job_timeout=.*1h30m") as caught:
        parse_seconds(value, "job_timeout")
    assert len(str(caught.value)) < 250


def test_the_refused_value_is_shown() -> None:
    with pytest.raises(ValueError, match=r"ttl='soon' is not a duration"):
        parse_seconds("soon", "ttl")


@pytest.mark.parametrize("value", [-1, -1.0, "-1"])
def test_minus_one_means_for_ever_only_where_said(value: Seconds) -> None:
    assert parse_seconds(value, "ttl", forever=True) == -1.0
    with pytest.raises(TimeoutFormatError):
        parse_seconds(value, "ttl")


@pytest.mark.parametrize("value", [-2, timedelta(seconds=-1), "-2", -0.5])
def test_no_other_negative_number_means_for_ever(value: Seconds) -> None:
    with pytest.raises(TimeoutFormatError, match="-1 means no limit"):
        parse_seconds(value, "ttl", forever=True)


@pytest.mark.parametrize("value", [0, 0.0, "0", "0s", timedelta(0)])
def test_zero_can_be_refused(value: Seconds) -> None:
    assert parse_seconds(value, "ttl") == 0
    with pytest.raises(TimeoutFormatError, match="must be more than 0"):
        parse_seconds(value, "ttl", zero=False)


@pytest.mark.parametrize(
    ("seconds", "ms"), [(0, 0), (0.0001, 1), (1e-9, 1), (1, 1000), (0.25, 250), (1.0001, 1001), (2.3, 2300), (-1, -1)]
)
def test_milliseconds_are_rounded_up_and_never_lost(seconds: float, ms: int) -> None:
    assert to_ms(seconds) == ms


@given(st.integers(0, 10**12))
@example(34_011_894_163)
def test_whole_milliseconds_survive_the_way_through_seconds(ms: int) -> None:
    assert to_ms(ms / 1000) == ms


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.0001, "<1ms"), (0.25, "250ms"), (0.9996, "1s"), (1, "1s"), (1.5, "1.5s"), (59.94, "59.9s"),
        (59.96, "1m"), (60, "1m"), (90, "1m 30s"), (3599.7, "1h"), (3600, "1h"), (5400, "1h 30m"), (3601, "1h"),
        (86_400 * 3 + 3600 * 4 + 5, "3d 4h"), (604_800 * 2, "2w"), (31_536_000, "52w 1d"), (-1, "for ever"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.floats(0.001, 1e9))
def test_what_is_shown_can_be_read_back_and_is_near(seconds: float) -> None:
    assert parse_seconds(format_seconds(seconds), "ttl") == pytest.approx(seconds, rel=0.15)


@given(st.text(alphabet="0123456789.wdhms -+", max_size=12))
def test_any_text_is_either_a_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_seconds(text, "ttl")
    except TimeoutFormatError:
        return
    assert seconds >= 0
