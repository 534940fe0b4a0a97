"""Executions claimed before a horse is free for them, so that short jobs do not each wait for the server. Pure.

They wait in the worker, begun by nobody, and are given back to their old places when no horse took one for 10 ms.
How many there may be follows from how long the jobs of late took: what is here should run within 5 ms.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rqlike.records import Execution

MOST: Final = 16  #: executions ahead of one horse
SPAN_S: Final = 0.005  #: seconds that what is ahead of one horse may be expected to take
FRAME_BYTES: Final = 1 << 16  #: of what one frame brings, unless it is a single job
STALE_S: Final = 0.010  #: seconds after which what no horse took is given back
_HOP_S: Final = 0.0002  #: seconds between two jobs of a horse
_WEIGHT: Final = 0.3  #: of the newest job in the mean of all


@dataclass(slots=True)
class Ahead:
    """What waits, oldest first, for any of `horses` horses; at most `most` for each, and as many in a frame. `most` 1
    is nothing ahead."""

    horses: int
    most: int = MOST
    waiting: deque[Execution] = field(default_factory=deque)
    _moved_s: float = 0.0  #: when the last one came or went
    _mean_s: float | None = None  #: how long a job takes

    def __len__(self) -> int:
        """How many wait."""
        return len(self.waiting)

    def learn(self, took_s: float) -> None:
        """How long a job took. A slow one counts at once, quick ones have to show that it was the exception."""
        if self._mean_s is None or took_s > SPAN_S:
            self._mean_s = took_s
        else:
            self._mean_s += _WEIGHT * (took_s - self._mean_s)

    @property
    def width(self) -> int:
        """Executions that may wait ahead of one horse now; 0 for none."""
        if self.most <= 1 or self._mean_s is None:
            return 0
        expected = int(SPAN_S / (self._mean_s + _HOP_S))
        return min(self.most, expected) if expected > 1 else 0

    def room(self) -> int:
        """How many more may come."""
        return max(0, self.width * self.horses - len(self.waiting))

    @property
    def low(self) -> bool:
        """Whether more should come now: half of it is gone."""
        return 2 * len(self.waiting) <= self.width * self.horses

    def put(self, executions: Iterable[Execution], now: float) -> None:
        """They have come."""
        self.waiting.extend(executions)
        self._moved_s = now

    def frame(self, horses: int, now: float) -> list[Execution]:
        """What the next horse is given, oldest first: an even share where `horses` wait for one, and no more than is
        expected to run within 5 ms, or is read at once."""
        share = min(max(1, self.width), -(-len(self.waiting) // horses))
        self._moved_s = now
        frame: list[Execution] = []
        size = 0
        while len(frame) < share:
            size += sum(map(len, self.waiting[0].raw))
            if frame and size > FRAME_BYTES:
                break
            frame.append(self.waiting.popleft())
        return frame

    def back(self, executions: Iterable[Execution]) -> None:
        """A horse did not get to them; they are the next."""
        self.waiting.extendleft(reversed(list(executions)))

    def withdraw(self, token: str) -> Execution | None:
        """One that an operator wants to end; None where it does not wait here."""
        for execution in self.waiting:
            if execution.token == token:
                self.waiting.remove(execution)
                return execution
        return None

    def clear(self) -> list[Execution]:
        """All of them, to be given back."""
        left = list(self.waiting)
        self.waiting.clear()
        return left

    def stale(self, now: float) -> list[Execution]:
        """All of them where no horse took one for too long; the jobs are not that short, it seems."""
        if not self.waiting or now - self._moved_s < STALE_S:
            return []
        self.learn(now - self._moved_s)
        return self.clear()

    def next_moment(self) -> float:
        """When `stale` has to be asked; infinity where nothing waits."""
        return self._moved_s + STALE_S if self.waiting else math.inf
