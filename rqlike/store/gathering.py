"""Waiting for many jobs: looks at hundreds of them in one call, and one blocking read over all their streams.

A look is a script that answers where each job stands and brings no value. A read starts from the entries that looks
have seen, so nothing falls between the two; it brings the entry of one job, or of those few that ended since the last
look, and is only taken as a sign to look at these again. So a waiter's memory does not grow with what the jobs return.

To block on thousands of streams costs the server some milliseconds each time. Who waits for all of the jobs blocks on
one alone, since none may be missing in the end; who waits for any of them lets some more end before it blocks again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, NamedTuple

from redis.exceptions import RedisError

from rqlike import clock, codec
from rqlike.exceptions import DeserializationError
from rqlike.settings import BLOCK_S, TOUCH_LIMIT
from rqlike.states import JobStatus, ResultType
from rqlike.store.requests import Argument, Request
from rqlike.store.store import Store
from rqlike.store.waiting import AWAY, EYE_S, SWEEP_CHANCE_S, Patience, expire, expiry_in

#: Most streams in one read: the server serves nobody else while it goes through them. Of more jobs, the first ones that
#: pend; the others are looked at every 4 s.
_STREAMS: Final = 5_000
#: A pause per stream before a read is made anew, from so many streams on: 20 ms with 5,000, which halves what the reads
#: cost a server that records 3,000 jobs a second meanwhile.
_PAUSE_S: Final = 0.000_004
_MANY: Final = 200
#: After so long without a look or a read, say in a slow consumer, a read might bring any number of values.
_UNSEEN_S: Final = 0.1
#: Who waits for all looks at so many times more jobs where all that it has looked at were over.
_GROWTH: Final = 8

_STATUSES: Final = {status.encode(): status for status in JobStatus}
_TYPES: Final = {b"%d" % kind: kind for kind in ResultType}


class Sought(NamedTuple):
    """A job that is waited for, and the cycle of its handle."""

    job_id: str
    cycle: int


class Standing(NamedTuple):
    """Where the job of an id stands."""

    status: JobStatus | None  #: None: gone, or something that is no job is stored under its id
    cycle: int
    created_ms: int | None
    newest_id: str  #: of the history of one that has not ended; '0-0' where it is empty, '' where it is no history
    ending: ResultType | None  #: of the handle's cycle, where that was asked for and `status` does not tell it
    expiry_s: float | None = None  #: seconds until a waiter may expire it; None where its ttl cannot be missed


def standings(sought: Sequence[Sought], *, how: bool, now_ms: int | None = None) -> Request[list[Standing]]:
    """Where jobs stand, without any value; at most 500. `how`: also how cycles ended that are over for longer."""

    def read(reply: Any) -> list[Standing]:
        now, *rows = codec.unpack_reply(reply)
        return [_standing(now, row) for row in rows]

    arguments: list[Argument] = [int(how)]
    for job_id, cycle in sought:
        arguments += (job_id, cycle)
    return Request("standings", tuple(arguments), read, now_ms=now_ms)


def _standing(now_ms: int, row: Sequence[Any]) -> Standing:
    status, cycle, created, deadline, newest_id, ending = row
    deadline_ms = codec.number(deadline) if deadline else None
    return Standing(
        _STATUSES.get(status),
        cycle if isinstance(cycle, int) else codec.number(cycle) or 1,
        codec.number(created) if created else None,
        newest_id.decode(),
        _TYPES.get(ending),
        None if deadline_ms is None else expiry_in(deadline_ms, now_ms),
    )


def gather(
    store: Store,
    sought: Mapping[int, Sought],
    end: float | None,
    is_over: Callable[[int, Standing], bool],
    *,
    every: bool,
    how: bool = False,
    eye: Callable[[Mapping[int, JobStatus | None]], None] | None = None,
) -> Iterator[list[int]]:
    """The numbers of those that are over, some at a time as they are found, until none is left or `end` is reached (of
    `clock.mono`; None: no limit).

    The first list, perhaps empty, is that of the first look; a server that cannot be reached then is an error at once.
    One that goes away later is waited for until the end, then its error is raised. `every`: who asks has no use for
    some of them. Cost: a look per 500 jobs at first and every 4 s, one blocking read for all, looks at what has news.
    `eye` is shown the statuses of those that pend once a second or oftener, and may raise; what the server refuses it
    is no error.
    """
    crowd = _Crowd(store, sought, is_over, how, watched=eye is not None)
    crowd.look(list(sought), store.run_each)
    yield crowd.found()
    patience, was_away = Patience(end), False
    while crowd.pending and (was_away or patience.left() > 0):
        try:
            if eye is not None:
                with suppress(RedisError, DeserializationError):
                    eye(crowd.statuses)
            crowd.look(crowd.await_news(patience, every=every), store.look_each)
            patience.renew()
            was_away = False
        except AWAY as problem:
            crowd.lost_sight()
            was_away = patience.outlasts(problem)
            if not was_away:
                raise
        if found := crowd.found():
            yield found
    if (
        end is not None and crowd.pending and crowd.asked_all_s < end
    ):  # a look at some of them took the rest of the time
        crowd.look(list(crowd.pending), store.look_each)
        yield crowd.found()


class _Crowd:
    """Those that are waited for, by their numbers, and what is known of them."""

    def __init__(
        self,
        store: Store,
        sought: Mapping[int, Sought],
        is_over: Callable[[int, Standing], bool],
        how: bool,
        *,
        watched: bool,
    ) -> None:
        self.pending = dict.fromkeys(sought, "")  #: number -> id of the newest entry seen; '' where none may be read
        self._store, self._sought, self._is_over, self._how = store, sought, is_over, how
        self.statuses: dict[int, JobStatus | None] = {}  #: of these, as they were seen last, where they are watched
        self._watched = watched
        self._slice_s = EYE_S if watched else BLOCK_S  #: longest block
        self._numbers: dict[str, list[int]] = {}
        for number, one in sought.items():
            self._numbers.setdefault(one.job_id, []).append(number)
        self._found: list[int] = []
        self._expiries: dict[int, float] = {}  #: when this waiter may expire them
        self._expired: set[int] = set()  #: it has tried to
        self._reach = 1  #: how many at the end are to be looked at, by who waits for all
        self.asked_all_s = -math.inf  #: when the last look at all of them began
        self._seen_s = self._seen_all_s = self._rest_s = -math.inf

    def found(self) -> list[int]:
        """Those found over since this was asked last."""
        found, self._found = self._found, []
        return found

    def lost_sight(self) -> None:
        """The server was away, or something else has written: all of them are to be looked at."""
        self._seen_all_s = -math.inf

    def look(self, numbers: Sequence[int], each: Callable[[Iterable[Request[Any]]], Iterator[list[Standing]]]) -> None:
        """Asks where these stand. `each` sends requests."""
        parts = [numbers[at : at + TOUCH_LIMIT] for at in range(0, len(numbers), TOUCH_LIMIT)]
        requests = (standings([self._sought[number] for number in part], how=self._how) for part in parts)
        everything, before, began = len(numbers) == len(self.pending), len(self.pending), clock.mono()
        for part, answers in zip(parts, each(requests), strict=True):
            moment = clock.mono()
            for number, standing in zip(part, answers, strict=True):
                self._note(number, standing, moment)
        self._seen_s = clock.mono()
        if everything:
            self.asked_all_s, self._seen_all_s = began, self._seen_s
            self._expired.clear()
        all_over = before - len(self.pending) == len(numbers)
        self._reach = _GROWTH * self._reach if numbers and all_over else 1

    def _note(self, number: int, standing: Standing, moment: float) -> None:
        self._expiries.pop(number, None)
        if self._is_over(number, standing):
            self._found.append(number)
            del self.pending[number]
            self.statuses.pop(number, None)
            return
        if self._watched:
            self.statuses[number] = standing.status
        self.pending[number] = standing.newest_id
        if standing.expiry_s is not None and number not in self._expired:
            self._expiries[number] = moment + standing.expiry_s

    def await_news(self, patience: Patience, *, every: bool) -> list[int]:
        """Blocks until some are to be looked at again, and tells which; may be none of them."""
        now = clock.mono()
        if now - self._seen_all_s >= BLOCK_S or (not every and now - self._seen_s > _UNSEEN_S):
            return list(self.pending)
        if late := [number for number, moment in self._expiries.items() if moment <= now]:
            return self._expire(late[:TOUCH_LIMIT])
        if every and self._reach > 1:
            return self._last(self._reach)
        news = self._block(self._last(1) if every else self._first_to_read(patience), patience)
        if patience.left() <= 0:
            return list(self.pending)  # once more, so that what has ended in time is told
        return news

    def _last(self, count: int) -> list[int]:
        return list(islice(reversed(self.pending), count))

    def _first_to_read(self, patience: Patience) -> list[int]:
        """Those to block on, after a pause in which more of them may end where there are many."""
        pause = min(self._rest_s - clock.mono(), patience.left())
        if pause > 0:
            time.sleep(pause)
        return list(islice(self.pending, _STREAMS))

    def _block(self, numbers: Sequence[int], patience: Patience) -> list[int]:
        after: dict[str, str] = {}
        for number in numbers:
            if seen := self.pending[number]:
                # of two handles of one job the first was looked at no later than the second
                after.setdefault(self._sought[number].job_id, seen)
        now = clock.mono()
        next_expiry = min(self._expiries.values(), default=now + BLOCK_S) + SWEEP_CHANCE_S
        until = min(next_expiry, self._seen_all_s + BLOCK_S, now + self._slice_s)
        seconds = max(0.001, min(patience.left(), until - now))
        if not after:  # none of them can tell anything
            time.sleep(seconds)
            return []
        job_ids = self._store.block_for_any(after, seconds)
        if job_ids is None:
            self.lost_sight()
            return []
        self._seen_s = clock.mono()
        self._rest_s = self._seen_s + (len(after) * _PAUSE_S if len(after) >= _MANY else 0)
        return [number for job_id in job_ids for number in self._numbers[job_id] if number in self.pending]

    def _expire(self, late: list[int]) -> list[int]:
        """Ends those whose ttl is over, once; where that fails they are left to a worker."""
        for number in late:
            self._expired.add(number)
            with suppress(DeserializationError):
                expire(self._store, self._sought[number].job_id)
        return late
