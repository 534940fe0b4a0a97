"""Deleting many jobs of a queue, as requests: each does a part, and its answer says where the next one goes on."""

from __future__ import annotations

from typing import Any, NamedTuple

from rqlike import codec
from rqlike.exceptions import InvalidJobOperation, RqlikeError
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store.pages import Cursor, read_cursor
from rqlike.store.requests import Argument, Request


class Cleaned(NamedTuple):
    """A part of a home was looked through."""

    jobs: int  #: that were deleted, or would be
    bound_ms: int  #: the moment by which they had ended, for the next call
    after: Cursor | None  #: where the next call goes on


def clean(
    queue: str,
    status: JobStatus,
    older_ms: int,
    most: int,
    nonce: str,
    after: Cursor,
    bound_ms: int | None = None,
    now_ms: int | None = None,
) -> Request[Cleaned]:
    """Deletes jobs of a status that ended, or were created, `older_ms` ago; at most `most`."""
    return Request(
        "clean", (nonce, *_aged(queue, status, older_ms, most, after, bound_ms)), _read_cleaned, now_ms=now_ms
    )


def aged(
    queue: str,
    status: JobStatus,
    older_ms: int,
    most: int,
    after: Cursor,
    bound_ms: int | None = None,
    now_ms: int | None = None,
) -> Request[Cleaned]:
    """How many jobs `clean` would delete; changes nothing."""
    return Request("aged", _aged(queue, status, older_ms, most, after, bound_ms), _read_cleaned, now_ms=now_ms)


def _aged(
    queue: str, status: JobStatus, older_ms: int, most: int, after: Cursor, bound_ms: int | None
) -> tuple[Argument, ...]:
    return (queue, status, "" if bound_ms is None else bound_ms, older_ms, *after, most)


def _read_cleaned(reply: Any) -> Cleaned:
    count, bound, score, job_id = reply
    return Cleaned(int(count), int(bound), read_cursor(score, job_id))


class Obliterated(NamedTuple):
    """A part of a queue is gone."""

    jobs: int
    schedules: int
    cursor: str  #: over the schedules, for the next call
    done: bool  #: nothing is left


def obliterate(
    queue: str, nonce: str, *, force: bool, cursor: str = "0", limit: int = TOUCH_LIMIT, now_ms: int | None = None
) -> Request[Obliterated]:
    """Deletes a part of a queue, and its name with the last one. Raises InvalidJobOperation where jobs run, unless
    `force`."""

    def read(reply: Any) -> Obliterated:
        jobs, schedules, following, done = reply
        return Obliterated(int(jobs), int(schedules), codec.text(following), int(done) == 1)

    def refused(word: str, detail: str) -> RqlikeError | None:
        return running(queue, int(detail)) if word == "RUNNING" else None

    return Request("obliterate", (nonce, queue, int(force), limit, cursor), read, refused, now_ms)


def running(queue: str, count: int) -> InvalidJobOperation:
    """The error for a queue some of whose jobs run."""
    return InvalidJobOperation(
        f"Queue {queue!r} cannot be obliterated: {count} of its jobs are started. Wait for them or cancel them, "
        "or use force, which deletes them and kills their horses."
    )
