"""Blocking reads of callers: the one home of waiting for a job.

First the job is looked at, then its stream is read from the newest id that look has seen, so nothing can fall between
the two. A read blocks at most 4 s, then the job is looked at again: whatever happened to it, a waiter learns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from rqlike import clock, codec
from rqlike.exceptions import NoSuchJobError
from rqlike.settings import BLOCK_S
from rqlike.store import verbs
from rqlike.store.store import Store
from rqlike.store.verbs import Peeked

T = TypeVar("T")

#: A waiter leaves an overdue job to a worker's sweep for so long.
_SWEEP_CHANCE_S: Final = 0.05
_LOOK: Final = 1
#: Pauses between two looks while the server is away, in seconds: the first, doubled up to the last.
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


def wait_for(
    store: Store, job_id: str, queue: str, timeout: float | None, judge: Callable[[Peeked], T | None]
) -> T | None:
    """Waits until `judge` makes something of what it is shown of a job; None at `timeout` (seconds; None: no limit).

    `judge` sees the newest entries first and may raise. Cost: one round trip, and the block. A server that cannot be
    reached at first is an error at once; one that goes away meanwhile is waited for until the timeout, then its error
    is raised.
    """
    end = None if timeout is None else clock.mono() + timeout
    look = verbs.peek(job_id, queue, _LOOK)
    seen: Peeked | None = store.run(look)
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
        except (Disconnected, TimedOut):
            left = pause if end is None else end - clock.mono()
            if left <= 0:
                raise
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        seen = None


def _block(store: Store, job_id: str, seen: Peeked, left: float, judge: Callable[[Peeked], T | None]) -> T | None:
    if seen.deadline_ms is not None and seen.status is not None and not seen.status.terminal:
        until = (seen.deadline_ms - seen.now_ms) / 1000
        if until <= -_SWEEP_CHANCE_S:
            with suppress(NoSuchJobError):  # gone since: the next look says how
                store.look(verbs.expire(job_id))
            return None
        left = min(left, max(until + 2 * _SWEEP_CHANCE_S, 0.001))
    found = store.block_for_entries(job_id, seen.newest_id, left)
    if not found:
        return None
    entries = [codec.decode_entry(job_id, entry) for entry in reversed(found)]
    newer = tuple(entry for entry in entries if entry is not None)
    return judge(replace(seen, entries=newer + seen.entries, newest_id=found[-1][0].decode()))
