"""What a waiter leaves with the job it waits for: until when it will look for the value. A ttl that is shorter than
that does not take the value away from a waiter who is cut off when the job ends. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

from rqlike.durations import LONGEST
from rqlike.settings import BLOCK_S
from rqlike.store import verbs
from rqlike.store.requests import Request

#: Seconds that a waiter without a deadline asks for; it asks again when half of them are over.
ENDLESS_S: Final = 60.0


@dataclass(slots=True)
class Wish:
    """Until when one waiter will look, and when it is to say so. Moments are of the monotonic clock."""

    job_id: str
    end: float | None  #: None: it waits without a deadline
    due: float  #: when it is to be said; infinity: it has been

    @classmethod
    def of(cls, job_id: str, timeout: float | None, kept: float, now: float) -> Self:
        """Due at once where the waiter may wait longer than what it waits for is `kept` (seconds); else once it has
        waited for a whole slice: a worker may keep results for less than its waiters know, and most never get there."""
        span = ENDLESS_S if timeout is None else timeout
        return cls(job_id, None if timeout is None else now + timeout, now if span > kept else now + BLOCK_S)

    def request(self, now: float, *, all_of_it: bool) -> Request[int]:
        """What says it, to the script `want`."""
        left = ENDLESS_S if self.end is None else min(self.end - now, LONGEST)
        return verbs.want(self.job_id, max(0, math.ceil(left * 1000)), all_of_it=all_of_it)

    def forgotten(self, now: float) -> None:
        """The server was away, and what answers next may not have it: a replica, or one that was restarted."""
        if self.due == math.inf:
            self.due = now

    def said(self, now: float) -> None:
        """The server has it."""
        self.due = math.inf if self.end is not None else now + ENDLESS_S / 2
