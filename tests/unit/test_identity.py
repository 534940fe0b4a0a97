"""Content ids: the same for the same call, wherever it is made, and for no other."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given

from rqlike import content_id
from rqlike.exceptions import SerializationError
from rqlike.serializers import MsgpackSerializer, dumps_call
from tests.surface import tasks

PATH = "tests.surface.tasks.add"


def test_it_is_64_hex_digits_that_stay_what_they_are() -> None:
    """Written down once: ids are kept in databases and compared after years."""
    assert content_id(PATH, (1, "a"), {"z": {"y": [1], "x": {3, 1, 2}}, "b": None}) == (
        "ff20c0b3860a5b572832feea4534e6979be737e07c39be75a7edcc76f32e3d94"
    )


def test_a_function_and_its_path_are_the_same() -> None:
    assert content_id(tasks.add, (1,)) == content_id(PATH, [1]) == content_id("tests.surface.tasks:add", (1,), {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}),
        ({"a": [{"x": 1, "y": {2: 3, 4: 5}}]}, {"a": [{"y": {4: 5, 2: 3}, "x": 1}]}),
    ],
)
def test_the_order_of_entries_says_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert content_id(PATH, (), one) == content_id(PATH, (), other)
    assert content_id(PATH, (one,)) == content_id(PATH, (other,))


def test_sets_say_the_same_in_every_process() -> None:
    program = f"from rqlike import content_id; print(content_id({PATH!r}, ({{'a', 'b', 'c', 'd'}},)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in (1, 2)
    }
    assert found == {content_id(PATH, ({"d", "c", "b", "a"},))}


DIFFERENT: list[tuple[Any, ...]] = [
    (),
    (1,),
    (1.0,),
    (True,),
    ("1",),
    (b"1",),
    (None,),
    (1, 2),
    ([1, 2],),
    ((1, 2),),
    ({1, 2},),
    (frozenset({1, 2}),),
    ({1: 2},),
    ({"1": 2},),
    ([[1], 2],),
    ([1, [2]],),
    (10**30,),
    (Decimal(1),),
    (timedelta(1),),
    (datetime(2026, 1, 1, tzinfo=UTC),),
    (UUID(int=1),),
]


def test_different_calls_are_different() -> None:
    ids = [content_id(PATH, args) for args in DIFFERENT]
    ids += [content_id(PATH, (), {"a": 1}), content_id(PATH, ({"a": 1},)), content_id(PATH + "2"), content_id("a.b")]
    assert len(set(ids)) == len(ids)


def test_what_cannot_be_told_is_refused_with_its_place() -> None:
    with pytest.raises(SerializationError, match=r"kwargs\['user'\]\[0\]"):
        content_id(PATH, (), {"user": [object()]})
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(SerializationError):
        content_id(PATH, (loop,))
    with pytest.raises(TypeError):
        content_id(3)  # type: ignore[arg-type]


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.frozensets(leaves, max_size=4)
    ),
    max_leaves=12,
)


def rewritten(value: Any) -> Any:
    """The same value with all its entries in the other order."""
    kind = type(value)
    if kind is dict:
        return {key: rewritten(value[key]) for key in reversed(value)}
    if kind in (list, tuple, frozenset):
        return kind(rewritten(item) for item in value)
    return value


@given(st.lists(values, max_size=3), st.dictionaries(st.text(), values, max_size=3))
def test_the_same_call_written_in_another_order_has_the_same_id(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert content_id(PATH, args, kwargs) == content_id(PATH, rewritten(args), rewritten(kwargs))


@given(st.lists(values, max_size=2), st.lists(values, max_size=2))
def test_calls_whose_bytes_differ_have_different_ids_unless_only_the_order_does(
    one: list[Any], other: list[Any]
) -> None:
    def told(args: list[Any]) -> Any:
        return MsgpackSerializer().loads(dumps_call(MsgpackSerializer(), args, {}))

    same = content_id(PATH, one) == content_id(PATH, other)
    assert same is (told(one) == told(other) and typed(one) == typed(other))


def typed(value: Any) -> Any:
    """The value with the types of all that is in it, without order where there is none."""
    kind = type(value)
    if kind is dict:
        return ("dict", frozenset((typed(key), typed(item)) for key, item in value.items()))
    if kind in (list, tuple):
        return (kind.__name__, tuple(typed(item) for item in value))
    if kind is frozenset:
        return ("frozenset", frozenset(typed(item) for item in value))
    return (kind.__name__, repr(value))
