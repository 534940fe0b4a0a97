"""The order in which a claim looks at the queues: RQ's three strategies, and weights."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

STRATEGIES: Final = ("default", "round_robin", "random", "weighted")


@dataclass(slots=True)
class Rotation:
    """`strategy`: "default" (as given), "round_robin" (after the queue that gave last), "random" or "weighted".

    `weights`: for "weighted"; a queue that is not in it has the weight 1. `dice`: where chance comes from."""

    queues: tuple[str, ...]
    strategy: str = "default"
    weights: Mapping[str, int] = field(default_factory=dict)
    dice: random.Random = field(default_factory=random.Random)
    _first: int = 0

    def order(self) -> tuple[str, ...]:
        """The queues in the order of the next claim."""
        match self.strategy:
            case "round_robin":
                return self.queues[self._first :] + self.queues[: self._first]
            case "random":
                return tuple(self.dice.sample(self.queues, len(self.queues)))
            case "weighted":
                # The first of several exponential delays is that of a queue as often as its share of the rates says.
                return tuple(sorted(self.queues, key=lambda queue: self.dice.expovariate(self.weights.get(queue, 1))))
        return self.queues

    def took(self, queue: str) -> None:
        """A claim was given a job of this queue."""
        self._first = (self.queues.index(queue) + 1) % len(self.queues)


def check_weights(weights: Mapping[str, int], queues: Sequence[str]) -> dict[str, int]:
    """Weights of some of the queues, whole numbers from 1 on. Raises TypeError or ValueError."""
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights takes a mapping of queue names to whole numbers, not {type(weights).__name__}")
    if not weights:
        raise ValueError("weights is empty; leave it out, or name a queue and its weight")
    for name, weight in weights.items():
        if name not in queues:
            raise ValueError(f"weights names the queue {name!r}; this worker has {', '.join(queues)}")
        if type(weight) is not int or weight < 1:
            raise ValueError(f"the weight of queue {name!r} is a whole number of at least 1, not {weight!r}")
    return dict(weights)


def check_strategy(strategy: str, weights: Mapping[str, int] | None) -> str:
    """The strategy that is meant: weights select "weighted". Raises ValueError for one that is unknown or lacks
    them."""
    if strategy not in STRATEGIES:
        raise ValueError(f"dequeue_strategy {strategy!r} is none of {', '.join(STRATEGIES)}")
    if weights and strategy not in ("default", "weighted"):
        raise ValueError(f"weights and dequeue_strategy {strategy!r} contradict each other; give one of the two")
    if strategy == "weighted" and not weights:
        raise ValueError("dequeue_strategy 'weighted' needs weights: Worker(weights={'high': 5, 'low': 1})")
    return "weighted" if weights else strategy
