"""The order in which a claim looks at the queues: RQ's three strategies."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Rotation:
    """`strategy`: "default" (as given), "round_robin" (after the queue that gave last) or "random"."""

    queues: tuple[str, ...]
    strategy: str = "default"
    _first: int = 0

    def order(self) -> tuple[str, ...]:
        """The queues in the order of the next claim."""
        match self.strategy:
            case "round_robin":
                return self.queues[self._first :] + self.queues[: self._first]
            case "random":
                return tuple(random.sample(self.queues, len(self.queues)))
        return self.queues

    def took(self, queue: str) -> None:
        """A claim was given a job of this queue."""
        self._first = (self.queues.index(queue) + 1) % len(self.queues)
