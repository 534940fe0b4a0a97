"""Groups, and jobs that wait for others, as requests."""

from __future__ import annotations

from typing import Any, NamedTuple

from rqlike import codec
from rqlike.exceptions import (
    DuplicateJobError,
    InvalidJobOperation,
    NoSuchGroupError,
    NoSuchJobError,
    RqlikeError,
)
from rqlike.store.requests import Request
from rqlike.store.verbs import Enqueued, NewJob


class GroupSeen(NamedTuple):
    """Where a group stands."""

    created_ms: int
    total: int
    pending: int  #: of these, those that have not ended
    completed: int  #: how often it was complete
    job_ids: list[str]


def create_group(group_id: str, callback: bytes) -> Request[int]:
    """A group without jobs; `callback` is the call that is made when it is complete, b"" none."""

    def refused(word: str, detail: str) -> RqlikeError | None:
        text = f"There is a group {group_id} with jobs already: fetch it, or choose another name."
        return DuplicateJobError(text, job_id=group_id) if word == "TAKEN" else None

    return Request("create_group", (group_id, callback), int, refused)


def group(group_id: str, first: int = 0, count: int = 0, *, pending: bool = False) -> Request[GroupSeen]:
    """A group, and the ids of `count` of its jobs from rank `first` on, in the order in which they came; `pending`: of
    these only those that have not ended. Raises NoSuchGroupError."""

    def read(reply: Any) -> GroupSeen:
        created, total, left, completed, ids = reply
        if not created:
            raise NoSuchGroupError(group_id=group_id)
        return GroupSeen(
            codec.number(created) or 0, total, left, codec.number(completed) or 0, [codec.text(one) for one in ids]
        )

    return Request("group", (group_id, first, count, int(pending)), read)


def dependents(job_id: str, first: int = 0) -> Request[tuple[list[str], int | None]]:
    """The ids of some of the jobs that wait for one to end, and where the next call is to go on; None at the end."""

    def read(reply: Any) -> tuple[list[str], int | None]:
        following, *ids = reply
        return [codec.text(one) for one in ids], int(following) if following else None

    return Request("dependents", (job_id, first), read)


def orphan(parent: str) -> NoSuchJobError:
    """The error for a job that depends on one which is none."""
    text = f"There is no job {parent} to depend on: it never was in this namespace, was deleted, or has ended and "
    return NoSuchJobError(f"{text}is kept no longer (result_ttl, failure_ttl).", job_id=parent)


def circle(new: NewJob, answer: Enqueued) -> InvalidJobOperation:
    """The error for a job that depends on one which waits for it."""
    why = f"which waits until job {new.id} is run again: neither would ever run"
    if answer.word == "crowd":
        why = f"which may be one of the hundreds of jobs that wait until job {new.id} is run again"
    text = f"Job {new.id} cannot depend on job {answer.meant}, {why}. Requeue it, or give the call another id."
    return InvalidJobOperation(text, job_id=new.id, status=answer.status)
