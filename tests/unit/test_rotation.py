"""The order in which claims look at the queues: given, in turn, at random, by weight."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from rqlike import Worker
from rqlike.worker.rotation import Rotation, check_strategy, check_weights

QUEUES = ("a", "b", "c")
DRAWS = 10_000


def drawn(weights: dict[str, int], seed: int = 1) -> list[tuple[str, ...]]:
    rotation = Rotation(QUEUES, "weighted", weights, random.Random(seed))
    return [rotation.order() for _ in range(DRAWS)]


@pytest.mark.parametrize("weights", [{"a": 5, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 3}, {"b": 100}])
def test_each_queue_comes_first_as_often_as_its_weight_says(weights: dict[str, int]) -> None:
    first = Counter(order[0] for order in drawn(weights))
    total = sum(weights.get(queue, 1) for queue in QUEUES)
    for queue in QUEUES:
        assert first[queue] / DRAWS == pytest.approx(weights.get(queue, 1) / total, abs=0.015)
        assert first[queue] > 0, "no queue starves"


def test_the_rest_of_an_order_is_drawn_by_weight_too() -> None:
    """Where the first queue is empty, the others share as if it were not there."""
    behind = [order[1] for order in drawn({"a": 2, "b": 3, "c": 1}) if order[0] == "a"]
    assert Counter(behind)["b"] / len(behind) == pytest.approx(3 / 4, abs=0.03)


def test_every_order_holds_each_queue_once() -> None:
    assert {tuple(sorted(order)) for order in drawn({"a": 9})} == {QUEUES}
    rotation = Rotation(QUEUES, "random", dice=random.Random(1))
    assert {rotation.order() for _ in range(200)} == {
        *(("a", "b", "c"), ("a", "c", "b"), ("b", "a", "c")),
        *(("b", "c", "a"), ("c", "a", "b"), ("c", "b", "a")),
    }


def test_the_given_order_stays_and_round_robin_goes_on_behind_the_queue_that_gave() -> None:
    assert Rotation(QUEUES).order() == QUEUES
    rotation = Rotation(QUEUES, "round_robin")
    rotation.took("a")
    assert rotation.order() == ("b", "c", "a")


@pytest.mark.parametrize(
    ("weights", "error", "said"),
    [
        ({"d": 1}, ValueError, "'d'; this worker has a, b, c"),
        ({"a": 0}, ValueError, "queue 'a' is a whole number of at least 1, not 0"),
        ({"a": -1}, ValueError, "at least 1"),
        ({"a": 1.5}, ValueError, "not 1.5"),
        ({"a": True}, ValueError, "not True"),
        ({}, ValueError, "empty"),
        ([("a", 1)], TypeError, "not list"),
    ],
)
def test_bad_weights_are_refused_with_what_they_take(weights: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_weights(weights, QUEUES)
    with pytest.raises(error, match=said):
        Worker(QUEUES, connection="redis://localhost:1", weights=weights)


def test_weights_select_their_strategy_and_it_needs_them() -> None:
    assert check_strategy("default", {"a": 1}) == check_strategy("weighted", {"a": 1}) == "weighted"
    assert check_strategy("random", None) == "random"
    for strategy, weights, said in (
        ("weighted", None, "needs weights"),
        ("random", {"a": 1}, "contradict"),
        ("fair", None, "none of default, round_robin, random, weighted"),
    ):
        with pytest.raises(ValueError, match=said):
            check_strategy(strategy, weights)
