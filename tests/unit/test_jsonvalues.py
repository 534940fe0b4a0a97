"""Values as JSON can hold them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike.jsonvalues import jsonable
from rqlike.serializers import resolve_serializer
from rqlike.states import JobStatus

ID = UUID("12345678-1234-5678-1234-567812345678")
FORMS: dict[str, tuple[Any, Any]] = {
    "what JSON has": ({"a": [None, True, 1, 1.5, "ü"]}, {"a": [None, True, 1, 1.5, "ü"]}),
    "an aware datetime": (datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2030-01-02T03:04:05.000006+00:00"),
    "a datetime of a place": (datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")), "2030-07-01T12:00:00+02:00"),
    "a naive datetime": (datetime(2030, 1, 2, 3, 4), "2030-01-02T03:04:00"),
    "a date": (date(2030, 1, 2), "2030-01-02"),
    "a time": (time(3, 4, tzinfo=timezone(timedelta(hours=1))), "03:04:00+01:00"),
    "a timedelta": (timedelta(days=1, hours=2, minutes=30, microseconds=5), "P1DT02H30M00.000005S"),
    "a negative timedelta": (timedelta(seconds=-90), "-P0DT00H01M30S"),
    "a Decimal": (Decimal("1.50"), "1.50"),
    "a UUID": (ID, str(ID)),
    "bytes": (b"\xff\x00", "/wA="),
    "a tuple": ((1, (2,)), [1, [2]]),
    "a set": ({"c", "a", "b"}, ["a", "b", "c"]),
    "a set of what has no order": (frozenset({1, "a"}), ["a", 1]),
    "a set with what is no number": ({Decimal("NaN"), Decimal(1)}, ["1", "NaN"]),
    "the largest exact integer": (2**53 - 1, 2**53 - 1),
    "an integer that readers round": (-(2**53), "-9007199254740992"),
    "an integer without a decimal text": (1 << 20_000, hex(1 << 20_000)),
    "nan and the infinities": ([float("nan"), float("inf"), float("-inf")], ["NaN", "Infinity", "-Infinity"]),
    "half a surrogate pair": ("a\ud800", "a\\ud800"),
    "keys that are no text": (
        {None: 0, True: 1, 2: 2, 1.5: 3, (1, "a"): 4, ID: 5, b"k": 6},
        {"null": 0, "true": 1, "2": 2, "1.5": 3, '[1, "a"]': 4, str(ID): 5, "aw==": 6},
    ),
    "keys that would be the same text": ({1: "a", "1": {2}}, [[1, "a"], ["1", [2]]]),
    "a member of an enumeration": (JobStatus.QUEUED, "queued"),
    "of another type": (1j, "1j"),
}


@pytest.mark.parametrize("case", FORMS)
def test_a_value_has_the_form_that_is_documented(case: str) -> None:
    value, form = FORMS[case]
    made = jsonable(value)
    assert made == form
    assert json.loads(json.dumps(made, allow_nan=False, ensure_ascii=False).encode()) == form


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals().filter(lambda value: not value.is_snan()),
    st.uuids(),
)
KEYS = st.recursive(
    LEAVES, lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)), max_leaves=3
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner), st.tuples(inner), st.sets(KEYS, max_size=3), st.dictionaries(KEYS, inner)),
    max_leaves=8,
)


@given(VALUES)
def test_json_takes_whatever_a_serializer_gives_back(value: Any) -> None:
    made = jsonable(value)
    text = json.dumps(made, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode()) == made


def test_what_is_as_deep_as_a_serializer_allows_has_a_form() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = (deep,)
    assert resolve_serializer("msgpack").loads(resolve_serializer("msgpack").dumps(deep)) == deep
    json.dumps(jsonable(deep))


READERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "datetime": (datetime(2030, 1, 2, tzinfo=UTC), datetime.fromisoformat),
    "Decimal": (Decimal("0.10"), Decimal),
    "int": (2**80, int),
    "infinity": (float("-inf"), float),
}


@pytest.mark.parametrize("case", READERS)
def test_python_reads_the_text_back(case: str) -> None:
    value, read = READERS[case]
    assert read(jsonable(value)) == value
