"""Deleting many jobs at once, in calls that are short each. These functions are generators: they yield what one call
has done, so that somebody can look on. Whoever stops in between leaves whole jobs, and can go on by the same call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.paging import check_status
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store import erasures, schedules, verbs
from rqlike.store.erasures import Cleaned
from rqlike.store.pages import BEGINNING
from rqlike.store.requests import nonce
from rqlike.store.store import Store

_WAITING: Final = (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED)
#: Statuses that are not cleaned, and what does it.
INSTEAD: Final = {
    JobStatus.QUEUED: "queue.empty() deletes what waits",
    JobStatus.STARTED: "job.cancel() ends one that runs, job.delete() deletes it",
}


# -- what waits --------------------------------------------------------------------------------------------------------


def waiting(*, scheduled: bool) -> tuple[JobStatus, ...]:
    """The statuses that `Queue.empty` empties."""
    return _WAITING if scheduled else _WAITING[:1]


def empty(store: Store, queue: str, statuses: Sequence[JobStatus]) -> Iterator[int]:
    """Deletes all jobs in some statuses."""
    left = 1
    while left:
        deleted, left = store.run(verbs.empty(queue, TOUCH_LIMIT, nonce(), statuses))
        yield deleted


def count(store: Store, queue: str, statuses: Sequence[JobStatus]) -> int:
    """How many jobs there are in some statuses. One round trip."""
    (found,) = store.run(verbs.counts([queue]))
    return sum(found[status] for status in statuses)


# -- what has ended ----------------------------------------------------------------------------------------------------


class Sweep(NamedTuple):
    """What is to be cleaned, checked."""

    status: JobStatus
    older_ms: int
    limit: int


def check_sweep(status: JobStatus | str, older_than: Seconds, limit: int) -> Sweep:
    """Raises ValueError and TypeError, which say what to use instead."""
    wanted = check_status(status)
    if wanted in INSTEAD:
        raise ValueError(f"clean does not take {wanted} jobs: {INSTEAD[wanted]}")
    return Sweep(wanted, to_ms(parse_seconds(older_than, "older_than")), check_limit(limit))


def check_limit(limit: object) -> int:
    """A number of jobs, from 0. Raises TypeError, ValueError."""
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit takes a number of jobs, not {type(limit).__name__}")
    if limit < 0:
        raise ValueError(f"limit={limit}: it is how many jobs at most, from 0")
    return limit


def clean(store: Store, queue: str, sweep: Sweep, *, dry_run: bool = False) -> Iterator[int]:
    """Deletes jobs that are old enough, or counts them."""
    left, last = sweep.limit, Cleaned(0, -1, BEGINNING)
    while left and last.after is not None:
        bound = None if last.bound_ms < 0 else last.bound_ms
        if dry_run:
            request = erasures.aged(queue, sweep.status, sweep.older_ms, left, last.after, bound)
        else:
            request = erasures.clean(queue, sweep.status, sweep.older_ms, left, nonce(), last.after, bound)
        last = store.run(request)
        left -= last.jobs
        yield last.jobs


# -- all of it ---------------------------------------------------------------------------------------------------------


class Remains(NamedTuple):
    """What an obliteration deletes."""

    jobs: int
    running: int  #: of the jobs
    schedules: int


def look(store: Store, queue: str) -> Remains:
    """What there is of a queue. One round trip, and one per some 250 schedules of the namespace."""
    (found,) = store.run(verbs.counts([queue]))
    cursor, keys = "0", set[str]()
    while True:
        cursor, records = store.run(schedules.some(cursor))
        keys |= {record.key for record in records if record.queue == queue}
        if cursor == "0":
            return Remains(sum(found.values()), found[JobStatus.STARTED], len(keys))


def obliterate(store: Store, queue: str, *, force: bool) -> Iterator[int]:
    """Deletes a queue. Raises InvalidJobOperation where jobs run, unless `force`."""
    cursor, done = "0", False
    while not done:
        step = store.run(erasures.obliterate(queue, nonce(), force=force, cursor=cursor))
        cursor, done = step.cursor, step.done
        yield step.jobs
