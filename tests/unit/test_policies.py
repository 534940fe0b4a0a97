"""Retry, Repeat and Callback: checked where they are written, compact on the wire."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import textwrap
from datetime import timedelta
from typing import Any

import msgpack
import pytest

from rqlike.exceptions import DeserializationError, TimeoutFormatError
from rqlike.policies import Callback, Repeat, Retry

POLICIES: list[Retry | Repeat | Callback] = [
    Retry(3),
    Retry(max=5, interval=[1, 2.5, "1m"], enqueue_at_front=True),
    Retry(3, 10, jitter=0.25, on=[OSError, "app.errors.Busy"], give_up_on=["KeyError"]),
    Retry.exponential(5),
    Retry.exponential(5, "2s", 3, "1h", jitter=0.1, on=[ConnectionError], enqueue_at_front=True),
    Retry.custom(4, textwrap.dedent, fallback=7.5, give_up_on=[PermissionError]),
    Repeat(2, "1h"),
    Repeat(times=4, interval=(timedelta(seconds=1), 0)),
    Callback(textwrap.dedent),
    Callback("reports:Mail.send", timeout="2m"),
]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_policy_comes_back_equal_from_the_wire(policy: Retry | Repeat | Callback) -> None:
    wire = msgpack.unpackb(msgpack.packb(policy.to_wire()))
    again = type(policy).from_wire(wire)
    assert again == policy
    assert hash(again) == hash(policy)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_policy_survives_copy_and_pickle(policy: Retry | Repeat | Callback) -> None:
    assert copy.deepcopy(policy) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_policy_cannot_be_changed(policy: Retry | Repeat | Callback) -> None:
    for field in dataclasses.fields(policy):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(policy, field.name, 1)


def test_a_plain_retry_takes_few_bytes() -> None:
    assert len(msgpack.packb(Retry(3, 10).to_wire())) == 5


def test_a_repr_can_be_typed_in_again() -> None:
    for policy in POLICIES:
        if isinstance(policy, Retry):
            assert eval(repr(policy), {"Retry": Retry}) == policy
    assert repr(Retry(3)) == "Retry(max=3, interval=0)"
    assert repr(Retry(3, [1, 2.5], True)) == "Retry(max=3, interval=[1, 2.5], enqueue_at_front=True)"
    assert repr(Repeat(2, 60)) == "Repeat(times=2, interval=60)"
    assert repr(Callback("tasks.report")) == "Callback('tasks.report', timeout=60)"


def test_the_pauses_are_taken_in_order_and_the_last_one_repeats() -> None:
    assert [Retry(5, [1, "2s", 3.5]).delay(attempt) for attempt in range(1, 6)] == [1.0, 2.0, 3.5, 3.5, 3.5]
    assert [Repeat(4, (10, 20)).delay(nth) for nth in range(1, 5)] == [10.0, 20.0, 20.0, 20.0]
    assert Retry(2).delay(1) == 0.0


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        Retry(2).delay(0)


@pytest.mark.parametrize("number", [0, -1, 10**12])
def test_a_number_of_times_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=r"Retry\(max\)"):
        Retry(number)
    with pytest.raises(ValueError, match=r"Repeat\(times\)"):
        Repeat(number)


@pytest.mark.parametrize("number", [True, 1.0, "3", None])
def test_a_number_of_times_is_a_whole_number(number: Any) -> None:
    with pytest.raises(TypeError, match="whole number"):
        Retry(number)
    with pytest.raises(TypeError, match="whole number"):
        Repeat(number)


def test_a_bad_pause_is_named_with_its_place() -> None:
    with pytest.raises(TimeoutFormatError, match=r"Retry\(interval\)\[1\]='soon'"):
        Retry(3, [1, "soon"])
    with pytest.raises(TimeoutFormatError, match=r"Repeat\(interval\)=-5"):
        Repeat(3, -5)
    with pytest.raises(ValueError, match="empty list"):
        Retry(3, [])


@pytest.mark.parametrize("interval", [None, {1, 2}, {"a": 1}, b"1"])
def test_pauses_that_have_no_order_are_refused(interval: Any) -> None:
    with pytest.raises(TypeError, match="a duration or a list of them"):
        Retry(3, interval)


def test_a_flag_is_no_number() -> None:
    with pytest.raises(TypeError, match="True or False"):
        Retry(3, 0, 1)  # type: ignore[arg-type]


def test_a_number_is_taken_as_a_retry_and_a_retry_as_itself() -> None:
    retry = Retry(2, 5)
    assert Retry.coerce(3) == Retry(3)
    assert Retry.coerce(retry) is retry
    with pytest.raises(TypeError):
        Retry.coerce("3")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Retry.coerce(True)


def test_a_function_is_taken_as_a_callback() -> None:
    callback = Callback(textwrap.dedent, timeout=5)
    assert Callback.coerce(callback) is callback
    assert Callback.coerce(textwrap.dedent) == Callback("textwrap.dedent")
    assert Callback.coerce("tasks.report").reference == "tasks.report"


def test_a_callback_needs_a_function_that_a_worker_can_find() -> None:
    with pytest.raises(ValueError, match="lambda"):
        Callback(lambda: None)
    with pytest.raises(TimeoutFormatError, match="more than 0"):
        Callback("tasks.report", timeout=0)


@pytest.mark.parametrize("wire", [None, 3, [], [1], [0, [1], False], ["x", [1], False], [1, [None], False], {"max": 1}])
def test_a_malformed_policy_is_a_deserialization_error(wire: object) -> None:
    with pytest.raises(DeserializationError):
        Retry.from_wire(wire)
    with pytest.raises(DeserializationError):
        Repeat.from_wire(wire)
    with pytest.raises(DeserializationError):
        Callback.from_wire(wire)
