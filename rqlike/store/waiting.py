"""Blocking reads of callers: the one home of waiting for a job.

First the job is looked at, then its stream is read from the newest id that look has seen, so nothing can fall between
the two. A read blocks at most 4 s, then the job is looked at again: whatever happened to it, a waiter learns.

A waiter who knows an id that is older than all it waits for (a handle knows where its cycle began) sends both at once:
the look, and the read from that id. The look's reply comes at once, though the read blocks.

A waiter who may be cut off for longer than the result is kept leaves its deadline with the job: see `wishes`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from random import SystemRandom
from typing import Any, Final, TypeVar

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from rqlike import clock, codec
from rqlike.exceptions import DeserializationError, NoSuchJobError, RqlikeError
from rqlike.settings import BLOCK_S
from rqlike.store import verbs
from rqlike.store.requests import Request
from rqlike.store.resp import TRANSIENT, pack
from rqlike.store.store import Entries, Store, entries_of
from rqlike.store.verbs import Peeked
from rqlike.store.wishes import Wish

T = TypeVar("T")

#: A waiter leaves an overdue job to a worker's sweep for so long, and up to twice as long: of many waiters the first to
#: expire it wakes the others, and those of many jobs do not all ask at once.
SWEEP_CHANCE_S: Final = 0.02
_DICE: Final = SystemRandom()
#: What a waiter is told by a server that is away, or not itself.
AWAY: Final = (Disconnected, TimedOut, ResponseError)
_LOOK: Final = 1
#: Entries that are there when a job has ended come with the look's reply; a moment for them to arrive.
_ARRIVAL_S: Final = 0.1
#: How long a read blocks where somebody wants to look at other things meanwhile.
EYE_S: Final = 1.0
#: Pauses between two looks while the server is away, in seconds: the first, doubled up to the last.
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


def wait_for(
    store: Store,
    job_id: str,
    queue: str,
    timeout: float | None,
    judge: Callable[[Peeked], T | None],
    since: str | None,
    wish: Wish,
    eye: Callable[[], None] | None = None,
) -> T | None:
    """Waits until `judge` makes something of what it is shown of a job; None at `timeout` (seconds; None: no limit).

    `judge` sees the newest entries first and may raise; without entries it may be asked, too. `since`: an id of the
    stream that is older than all that counts. `wish`: until when the waiter will look, said to the job where it is due.
    `eye` is called once a second or oftener, and may raise; what the server refuses it is no error. Cost: one round
    trip, and the block; with `since` they are one. A server that cannot be reached at first is an error at once; one
    that goes away meanwhile is waited for until the timeout, then its error is raised.
    """
    end = None if timeout is None else clock.mono() + timeout
    slice_s = BLOCK_S if eye is None else EYE_S
    look = verbs.peek(job_id, queue, _LOOK)
    seen: Peeked | None = None
    line = None if since is None or timeout == 0 else store.patient_line()
    if line is None or since is None:
        seen = store.run(look)
    else:
        first = slice_s if timeout is None else min(timeout, slice_s)
        looked, answer = _look_and_block(store, line, wish, queue, since, first, judge)
        if answer is not None:
            return answer
        if not looked:
            seen = store.run(look)  # by the rules of the caller's client, and with its errors
    patience = Patience(end)
    while True:
        try:
            seen = seen or store.look(look)
            answer = judge(seen)
            left = patience.left()
            if answer is not None or left <= 0:
                return answer
            if eye is not None:
                with suppress(RedisError, DeserializationError):
                    eye()
            _say(store, wish)
            answer = _block(store, job_id, seen, min(left, slice_s), judge)
            if answer is not None:
                return answer
            patience.renew()
        except AWAY as problem:
            if not patience.outlasts(problem):
                raise
            wish.forgotten(clock.mono())
        seen = None


class Patience:
    """How a waiter gets over a server that is away, until its own time is over at `end` (of `clock.mono`; None: never).

    Between two tries it pauses, longer each time."""

    def __init__(self, end: float | None) -> None:
        self._end = math.inf if end is None else end
        self._pause = _PAUSE_S

    def left(self) -> float:
        """Seconds until the waiter's time is over; infinite where it never is."""
        return self._end - clock.mono()

    def renew(self) -> None:
        """The server has answered: the next pause is a short one again."""
        self._pause = _PAUSE_S

    def outlasts(self, problem: Exception) -> bool:
        """Pauses where the problem may pass while there is time; False where it is to be raised."""
        left = self.left()
        if left <= 0 or not _passes(problem):
            return False
        time.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
        return True


def tell(store: Store, request: Request[Any]) -> None:
    """Sends what a waiter leaves behind; where the server is away it is not missed."""
    with suppress(RedisError, RqlikeError):
        store.look(request)


def _passes(problem: Exception) -> bool:
    """Whether a server that answers so may answer otherwise a moment later. redis-py has classes for some of these
    errors, whose text is without the word, and for the others the text alone."""
    if isinstance(problem, AuthenticationError):  # a ConnectionError that no patience mends
        return False
    if isinstance(problem, ReadOnlyError | ClusterDownError | TryAgainError) or not isinstance(problem, ResponseError):
        return True
    return str(problem).partition(" ")[0] in TRANSIENT


def _look_and_block(
    store: Store,
    line: AbstractContextManager[Any],
    wish: Wish,
    queue: str,
    since: str,
    seconds: float,
    judge: Callable[[Peeked], T | None],
) -> tuple[bool, T | None]:
    """The first look, without entries, and the first read, from `since`: whether the look was answered, and what
    `judge` made of them, None where it is to be asked again."""
    job_id, now = wish.job_id, clock.mono()
    look = verbs.peek(job_id, queue, 0)
    # What has ended before is not to be kept longer: it is here in a moment.
    word = store.packed(wish.request(now, all_of_it=False)) if now >= wish.due else b""
    read = store.blocking_read(job_id, since, seconds)
    looked = False
    try:
        with line as one:
            one.send_packed_command([store.packed(look) + word + pack(*read)])  # one packet
            seen = look.read(one.read_response(disable_decoding=True))
            looked = True
            if word:
                one.read_response(disable_decoding=True)
                wish.said(now)
            if seen.status is not None and not seen.status.terminal:
                answer = judge(seen)
                if answer is not None or seen.deadline_ms is not None:  # the read is not to block, or not so long
                    one.disconnect()
                    return True, answer
            elif not one.can_read(_ARRIVAL_S):  # it has ended and left nothing to read
                one.disconnect()
                return False, None  # or it is slow to arrive: one look at both says which
            found = entries_of(one.read_response(disable_decoding=True))
        return True, judge(_with(job_id, seen, found)) if found else None
    except AuthenticationError:
        raise
    except (Disconnected, TimedOut, ResponseError):
        wish.forgotten(clock.mono())
        return looked, None


def _say(store: Store, wish: Wish) -> None:
    now = clock.mono()
    if now >= wish.due:
        with suppress(ResponseError, RqlikeError):  # who may only read waits all the same
            store.look(wish.request(now, all_of_it=True))
            wish.said(now)


def _block(store: Store, job_id: str, seen: Peeked, left: float, judge: Callable[[Peeked], T | None]) -> T | None:
    overdue_s = None
    if seen.deadline_ms is not None and seen.status is not None and not seen.status.terminal:
        overdue_s = expiry_in(seen.deadline_ms, seen.now_ms)
    if overdue_s is None or overdue_s > min(left, BLOCK_S):
        found = store.block_for_entries(job_id, seen.newest_id, left)
    else:
        found = _block_until_overdue(store, job_id, seen.newest_id, max(overdue_s, 0.001))
    return judge(_with(job_id, seen, found)) if found else None


def _block_until_overdue(store: Store, job_id: str, after: str, seconds: float) -> Entries:
    """The entries that come in that time, or by expiring the job then. An idle server ends a block a tenth of a second
    late, so it is not left to that; and the read that still blocks brings the notice."""
    line = store.patient_line(first=True)
    if line is None:
        found = store.block_for_entries(job_id, after, seconds)
        if not found:
            expire(store, job_id)
        return found
    with line as one:
        one.send_packed_command([pack(*store.blocking_read(job_id, after, BLOCK_S))])
        if not one.can_read(seconds):
            expire(store, job_id)
            if not one.can_read(_ARRIVAL_S):  # it was not to be expired any more
                one.disconnect()
                return []
        return entries_of(one.read_response(disable_decoding=True))


def expiry_in(deadline_ms: int, now_ms: int) -> float:
    """Seconds until a waiter may expire a job that has not started by its deadline: a worker has a chance before."""
    return (deadline_ms - now_ms) / 1000 + SWEEP_CHANCE_S * (1 + _DICE.random())


def expire(store: Store, job_id: str) -> None:
    """Expires an overdue job, as a worker would; the next look says what has become of it."""
    with suppress(NoSuchJobError):  # gone since
        store.look(verbs.expire(job_id))


def _with(job_id: str, seen: Peeked, found: Entries) -> Peeked:
    """What a look has seen, and what a read has brought since."""
    entries = [codec.decode_entry(job_id, entry) for entry in reversed(found)]
    newer = tuple(entry for entry in entries if entry is not None)
    return seen._replace(entries=newer + seen.entries, newest_id=found[-1][0].decode())
