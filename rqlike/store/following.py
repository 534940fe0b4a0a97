"""Following a job: all that it tells, and all that becomes of it, as it comes.

The streams are read from ids that are known, never from "now", so nothing falls between two reads. A read blocks at
most 4 s, then the job is looked at: whatever happened to it, a watcher learns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from rqlike import clock
from rqlike.exceptions import NoSuchJobError
from rqlike.settings import BLOCK_S
from rqlike.store import verbs
from rqlike.store.requests import Request
from rqlike.store.store import Entries, Store
from rqlike.store.verbs import Peeked
from rqlike.store.waiting import _passes

#: A watcher leaves an overdue job to a worker's sweep for so long.
_SWEEP_CHANCE_S: Final = 0.1
#: Pauses between two tries while the server is away, in seconds: the first, doubled up to the last.
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


class News(NamedTuple):
    """All that came since the last time."""

    states: Entries  #: progress
    lines: Entries
    results: Entries
    seen: Peeked | None  #: the job, where it was looked at; its entries were read by then


def follow(store: Store, job_id: str, queue: str, since: str, timeout: float | None) -> Iterator[News]:
    """All news of a job from the beginning of a cycle on: what is kept of it at once, then what comes, until `timeout`
    (seconds; None without limit). `since`: the id in the stream of its results that the cycle began after.

    It is for whoever reads it to know when there is an end. A server that cannot be reached at first is an error; one
    that goes away meanwhile is waited for until the timeout, then its error is raised."""
    end = None if timeout is None else clock.mono() + timeout
    places = {store.keys.live(job_id): "0-0", store.keys.log(job_id): "0-0", store.keys.results(job_id): since}
    look = verbs.peek(job_id, queue, 0)
    send: Callable[[Request[Peeked]], Peeked] = store.run  # by the rules of the caller's client, at first
    pause, seen, looks = _PAUSE_S, None, True
    while True:
        left = BLOCK_S if end is None else end - clock.mono()
        try:
            if looks:
                seen = send(look)
                send = store.look
                yield _read(store, places, 0)._replace(seen=seen)
            elif left <= 0:
                return
            else:
                assert seen is not None
                block_s = _until_deadline(store, job_id, seen, min(left, BLOCK_S))
                news = _read(store, places, block_s)
                if any(news[:3]):
                    yield news
                    continue
            looks, pause = not looks, _PAUSE_S
        except AuthenticationError:  # a ConnectionError that no patience mends
            raise
        except (Disconnected, TimedOut, ResponseError) as problem:
            if seen is None or not _passes(problem) or left <= 0:
                raise
            time.sleep(min(pause, left))
            pause, looks = min(pause * 2, _LONGEST_PAUSE_S), True


def _until_deadline(store: Store, job_id: str, seen: Peeked, left: float) -> float:
    """Seconds that a read may block, of those that are left: a job whose ttl is over is to be looked at then. One that
    no worker has expired by now is expired here, and there is nothing to wait for."""
    if seen.deadline_ms is None or seen.status is None or seen.status.terminal:
        return left
    until = (seen.deadline_ms - seen.now_ms) / 1000 + _SWEEP_CHANCE_S
    if until <= 0:
        with suppress(NoSuchJobError):  # gone since: the next look says how
            store.look(verbs.expire(job_id))
        return 0.0
    return min(left, until)


def _read(store: Store, places: dict[str, str], seconds: float) -> News:
    found = store.read_streams(places, seconds)
    for key, entries in found.items():
        places[key] = entries[-1][0].decode()
    states, lines, results = (found.get(key, []) for key in places)
    return News(states, lines, results, None)
