"""Going through the homes of a queue in pages, as requests. Whoever moves on passes the cursor of the last page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rqlike import codec
from rqlike.options import Unique
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import JobStatus, Reason
from rqlike.store.requests import Argument, Request


class Cursor(NamedTuple):
    """The member of a home that was looked at last: whoever is behind it comes next, be it there still or not."""

    score: bytes
    job_id: bytes  #: as it is stored, which need not be text


BEGINNING: Final = Cursor(b"", b"")
_REASONS: Final = {reason.encode(): reason for reason in Reason}


def read_cursor(score: Any, job_id: Any) -> Cursor | None:
    """A cursor as a script answers it; None at the end."""
    return Cursor(score, job_id) if score else None


def page(
    status: JobStatus, queue: str, after: Cursor, count: int, now_ms: int | None = None
) -> Request[tuple[list[str], Cursor | None]]:
    """Ids of jobs in one status, in its order, and where the next page begins."""

    def read(reply: Any) -> tuple[list[str], Cursor | None]:
        score, last, *ids = reply
        return [codec.text(job_id) for job_id in ids], read_cursor(score, last)

    return Request("page", (status, queue, int(status.terminal), *after, count), read, now_ms=now_ms)


class Failure(NamedTuple):
    """A failed job and why its newest execution failed."""

    job_id: str
    ended_ms: int | None
    exc_type: str | None
    reason: Reason | None
    head: bytes  #: the first bytes of its call
    unique: str  #: its unique key, '' where it has none
    is_held: bool  #: another job has that key


class Failures(NamedTuple):
    """A page of the dead letters of a queue."""

    now_ms: int
    after: Cursor | None  #: where the next page begins
    found: tuple[Failure, ...]


def failures(queue: str, after: Cursor, *, told: bool, now_ms: int | None = None) -> Request[Failures]:
    """Up to 500 failed jobs. `told`: also why, and the first bytes of their calls."""

    def read(reply: Any) -> Failures:
        now, score, last, *found = codec.unpack_reply(reply)
        return Failures(now, read_cursor(score, last), tuple(_failure(one) for one in found))

    arguments: Sequence[Argument] = (queue, *after, TOUCH_LIMIT, int(told))
    return Request("failures", tuple(arguments), read, now_ms=now_ms)


def _failure(stored: Sequence[Any]) -> Failure:
    job_id, ended, exc_type, reason, head, unique, held = stored
    return Failure(
        codec.text(job_id),
        codec.number(ended or None),
        codec.text(exc_type) or None,
        _REASONS.get(reason),
        head,
        Unique.key_of(codec.text(unique)) if unique else "",
        bool(held),
    )
