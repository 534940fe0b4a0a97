"""Retry that grows, that spreads, and that chooses by exception."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike.durations import LONGEST
from rqlike.exceptions import CallableNotFound, DeserializationError, TimeoutFormatError
from rqlike.policies import Retry, lineage

DRAWS = st.floats(0, 1)
JITTERS = st.one_of(st.just("full"), st.floats(0, 1))


class Busy(ConnectionError):
    """Of a module that a worker may not have imported."""


class Later(Busy, LookupError):
    """With two bases."""


# -- pauses ------------------------------------------------------------------------------------------------------------


def test_exponential_pauses_grow_by_their_factor_up_to_the_cap() -> None:
    retry = Retry.exponential(9, base=2, factor=3, cap="1m")
    assert [retry.delay(attempt) for attempt in range(1, 7)] == [2, 6, 18, 54, 60, 60]
    assert Retry.exponential(3).backoff == (1, 2, 3600)
    assert Retry.exponential(3).jitter == "full"


def test_no_attempt_is_so_late_that_its_pause_cannot_be_told() -> None:
    assert Retry.exponential(10**9, 1, 1e9, "1h").delay(10**9) == 3600
    assert Retry.exponential(10**9, 1, 1, "1h").delay(10**9) == 1
    assert Retry.exponential(3, 1.5, 2).pauses() == [1.5, 3, 6]
    assert len(Retry.exponential(10**9).pauses()) == 100


@given(
    base=st.floats(0.001, 1e6),
    factor=st.floats(1, 1e6),
    more=st.floats(0, 1e6),
    jitter=JITTERS,
    attempt=st.integers(1, 10**6),
    draw=DRAWS,
)
def test_a_jittered_pause_stays_between_nothing_and_the_cap(
    base: float, factor: float, more: float, jitter: Any, attempt: int, draw: float
) -> None:
    retry = Retry.exponential(5, base, factor, base + more, jitter=jitter)
    pause, full = retry.delay(attempt, draw), retry.delay(attempt)
    assert 0 <= pause <= base + more
    assert full <= base + more
    if jitter == "full":
        assert pause == full * draw
    else:
        assert full * (1 - jitter) - 1e-6 <= pause <= full * (1 + jitter) * (1 + 1e-9)


@given(pause=st.floats(0, 1e10), jitter=JITTERS, draw=DRAWS)
def test_a_plain_pause_is_spread_by_its_share_to_both_sides(pause: float, jitter: Any, draw: float) -> None:
    spread = Retry(5, pause, jitter=jitter).delay(1, draw)
    assert math.isfinite(spread)
    assert 0 <= spread <= LONGEST
    if jitter != "full" and pause < 1e9:
        assert abs(spread - pause) <= pause * jitter * (1 + 1e-9)


def test_the_ends_of_the_draw_are_the_ends_of_the_jitter() -> None:
    assert [Retry(5, 10, jitter=0.2).delay(1, draw) for draw in (0, 0.5, 1)] == [8, 10, 12]
    assert [Retry(5, 10, jitter="full").delay(1, draw) for draw in (0, 0.5, 1)] == [0, 5, 10]
    assert [Retry(5, 10).delay(1, draw) for draw in (0, 1)] == [10, 10]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"factor": 0.5}, ValueError, "factor"),
        ({"factor": math.nan}, ValueError, "factor"),
        ({"factor": math.inf}, ValueError, "factor"),
        ({"factor": "2"}, TypeError, "factor"),
        ({"base": 0}, TimeoutFormatError, "base"),
        ({"base": 10, "cap": 5}, ValueError, "cap"),
        ({"cap": "soon"}, TimeoutFormatError, "cap"),
        ({"jitter": 1.1}, ValueError, "jitter"),
        ({"jitter": -0.1}, ValueError, "jitter"),
        ({"jitter": math.nan}, ValueError, "jitter"),
        ({"jitter": True}, TypeError, "jitter"),
        ({"jitter": "some"}, TypeError, "jitter"),
        ({"max": 0}, ValueError, "max"),
        ({"on": []}, ValueError, "on"),
        ({"on": OSError}, TypeError, "on"),
        ({"on": "OSError"}, TypeError, "on"),
        ({"on": [OSError] * 65}, ValueError, "64"),
        ({"on": [int]}, TypeError, "exception class"),
        ({"on": ["int"]}, ValueError, "no builtin exception"),
        ({"on": ["OSErr"]}, ValueError, "no builtin exception"),
        ({"on": ["app..Busy"]}, ValueError, "no path"),
        ({"on": ["x." + "y" * 600]}, ValueError, "no path"),
        ({"on": ["__main__.Busy"]}, ValueError, "__main__"),
        ({"give_up_on": [None]}, TypeError, r"give_up_on\)\[0\]"),
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused_where_it_is_written(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Retry.exponential(**{"max": 3, **options})


def test_a_function_of_pauses_must_be_one_that_a_worker_can_find() -> None:
    with pytest.raises(ValueError, match="lambda"):
        Retry.custom(3, lambda attempt, exc: 1)
    with pytest.raises(TimeoutFormatError, match="fallback"):
        Retry.custom(3, "app.pause", fallback=-1)
    assert Retry.custom(3, "app.pause").delay(2) == 60


# -- by exception ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "give_up_on", "kind", "covered"),
    [
        (None, (), ValueError, True),
        (None, (), SystemExit, True),
        ([OSError], (), Busy, True),
        ([Busy], (), Later, True),
        ([Busy], (), ConnectionError, False),
        ([f"{__name__}.Busy"], (), Later, True),
        ([f"{__name__}:Busy"], (), Busy, True),
        (["LookupError"], (), Later, True),
        (["builtins.LookupError"], (), Later, True),
        ([ValueError, KeyError], (), KeyError, True),
        ([ValueError], (), KeyError, False),
        ([Exception], (), SystemExit, False),
        ([OSError], [Busy], Later, False),
        ([Later], [OSError], Later, False),
        ([OSError], [Later], Busy, True),
        (None, [LookupError], Later, False),
        (None, [LookupError], Busy, True),
        (None, [ImportError], CallableNotFound, False),
    ],
)
def test_subclasses_count_and_giving_up_wins(
    on: Any, give_up_on: Any, kind: type[BaseException], covered: bool
) -> None:
    retry = Retry(3, on=on, give_up_on=give_up_on)
    assert retry.covers(lineage(kind)) is covered
    assert Retry.from_wire(retry.to_wire()).covers(lineage(kind)) is covered


def test_a_lineage_of_very_many_bases_keeps_both_ends() -> None:
    kind: type[Exception] = Exception
    for number in range(100):
        kind = type(f"E{number}", (kind,), {"__module__": "app"})
    paths = lineage(kind)
    assert len(paths) == 64
    assert (paths[0], paths[-2:]) == ("app.E99", ("builtins.Exception", "builtins.BaseException"))


def test_a_lineage_can_be_packed_whatever_a_class_is_called() -> None:
    kind = type("Odd", (Exception,), {"__module__": "\udcff" * 10_000})
    (first, *_) = lineage(kind)
    assert len(first.encode()) <= 512 * len("\\udcff")


# -- on the wire -------------------------------------------------------------------------------------------------------


def test_a_plain_retry_is_written_as_it_always_was() -> None:
    assert Retry(3).to_wire() == [3, [0], False]
    assert Retry(3, [1, 2.5], True).to_wire() == [3, [1, 2.5], True]
    assert Retry.from_wire([3, [0], False]) == Retry(3)
    assert len(msgpack.packb(Retry.exponential(5).to_wire())) <= 22


@pytest.mark.parametrize(
    "wire",
    [
        [3, [1], False, {"new": 1}],
        [3, [1], False, {b"j": 0.5}],
        [3, [1], False, {"j": 2}],
        [3, [1], False, {"j": [0.5]}],
        [3, [1], False, {"o": "OSError"}],
        [3, [1], False, {"o": {"OSError": 1}}],
        [3, [1], False, {"g": [1]}],
        [3, [], False, {"b": [1, 2]}],
        [3, [], False, {"b": [1, 2, "x"]}],
        [3, [], False, {"b": [10, 2, 1]}],
        [3, [], False, {"b": 7}],
        [3, [], False, {"d": "app.pause"}],
        [3, [1, 2], False, {"d": "app.pause"}],
        [3, [1], False, {"d": 7}],
        [3, [1], False, {"d": "__main__.pause"}],
        [3, 7, False, {"d": "app.pause"}],
        [3, [1], "yes", {"j": 0.5}],
        [3, [1], False, [["j", 0.5]]],
        [3, [1], False, {}, 1],
    ],
    ids=str,
)
def test_a_wire_that_holds_no_retry_is_refused(wire: object) -> None:
    with pytest.raises(DeserializationError):
        Retry.from_wire(wire)
