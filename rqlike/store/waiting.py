"""Blocking reads of callers: the one home of waiting for a job.

First the job is looked at, then its stream is read from the newest id that look has seen, so nothing can fall between
the two. A read blocks at most 4 s, then the job is looked at again: whatever happened to it, a waiter learns.

A waiter who knows an id that is older than all it waits for (a handle knows where its cycle began) sends both at once:
the look, and the read from that id. The look's reply comes at once, though the read blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeVar

from redis.exceptions import AuthenticationError, ClusterDownError, ReadOnlyError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from rqlike import clock, codec
from rqlike.exceptions import NoSuchJobError
from rqlike.settings import BLOCK_S
from rqlike.store import verbs
from rqlike.store.resp import TRANSIENT, pack
from rqlike.store.store import Entries, Store, entries_of
from rqlike.store.verbs import Peeked

T = TypeVar("T")

#: A waiter leaves an overdue job to a worker's sweep for so long.
_SWEEP_CHANCE_S: Final = 0.05
_LOOK: Final = 1
#: Entries that are there when a job has ended come with the look's reply; a moment for them to arrive.
_ARRIVAL_S: Final = 0.1
#: Pauses between two looks while the server is away, in seconds: the first, doubled up to the last.
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


def wait_for(
    store: Store,
    job_id: str,
    queue: str,
    timeout: float | None,
    judge: Callable[[Peeked], T | None],
    since: str | None = None,
) -> T | None:
    """Waits until `judge` makes something of what it is shown of a job; None at `timeout` (seconds; None: no limit).

    `judge` sees the newest entries first and may raise; without entries it may be asked, too. `since`: an id of the
    stream that is older than all that counts. Cost: one round trip, and the block; with `since` they are one. A server
    that cannot be reached at first is an error at once; one that goes away meanwhile is waited for until the timeout,
    then its error is raised.
    """
    end = None if timeout is None else clock.mono() + timeout
    look = verbs.peek(job_id, queue, _LOOK)
    seen: Peeked | None = None
    line = None if since is None or timeout == 0 else store.patient_line()
    if line is None or since is None:
        seen = store.run(look)
    else:
        looked, answer = _look_and_block(store, line, job_id, queue, since, timeout, judge)
        if answer is not None:
            return answer
        if not looked:
            seen = store.run(look)  # by the rules of the caller's client, and with its errors
    pause = _PAUSE_S
    while True:
        try:
            seen = seen or store.look(look)
            answer = judge(seen)
            left = BLOCK_S if end is None else end - clock.mono()
            if answer is not None or left <= 0:
                return answer
            answer = _block(store, job_id, seen, left, judge)
            if answer is not None:
                return answer
            pause = _PAUSE_S
        except AuthenticationError:  # a ConnectionError that no patience mends
            raise
        except (Disconnected, TimedOut, ResponseError) as problem:
            left = pause if end is None else end - clock.mono()
            if left <= 0 or not _passes(problem):
                raise
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        seen = None


def _passes(problem: Exception) -> bool:
    """Whether a server that answers so may answer otherwise a moment later. redis-py has classes for some of these
    errors, whose text is without the word, and for the others the text alone."""
    if isinstance(problem, ReadOnlyError | ClusterDownError | TryAgainError) or not isinstance(problem, ResponseError):
        return True
    return str(problem).partition(" ")[0] in TRANSIENT


def _look_and_block(
    store: Store,
    line: AbstractContextManager[Any],
    job_id: str,
    queue: str,
    since: str,
    timeout: float | None,
    judge: Callable[[Peeked], T | None],
) -> tuple[bool, T | None]:
    """The first look, without entries, and the first read, from `since`: whether the look was answered, and what
    `judge` made of them, None where it is to be asked again."""
    look = verbs.peek(job_id, queue, 0)
    read = store.blocking_read(job_id, since, BLOCK_S if timeout is None else timeout)
    looked = False
    try:
        with line as one:
            one.send_packed_command([store.packed(look) + pack(*read)])  # one packet
            seen = look.read(one.read_response(disable_decoding=True))
            looked = True
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
        return looked, None


def _block(store: Store, job_id: str, seen: Peeked, left: float, judge: Callable[[Peeked], T | None]) -> T | None:
    if seen.deadline_ms is not None and seen.status is not None and not seen.status.terminal:
        until = (seen.deadline_ms - seen.now_ms) / 1000
        if until <= -_SWEEP_CHANCE_S:
            with suppress(NoSuchJobError):  # gone since: the next look says how
                store.look(verbs.expire(job_id))
            return None
        left = min(left, max(until + 2 * _SWEEP_CHANCE_S, 0.001))
    found = store.block_for_entries(job_id, seen.newest_id, left)
    return judge(_with(job_id, seen, found)) if found else None


def _with(job_id: str, seen: Peeked, found: Entries) -> Peeked:
    """What a look has seen, and what a read has brought since."""
    entries = [codec.decode_entry(job_id, entry) for entry in reversed(found)]
    newer = tuple(entry for entry in entries if entry is not None)
    return seen._replace(entries=newer + seen.entries, newest_id=found[-1][0].decode())
