"""Joining work that is under way, or done: one id, one run, one answer for all who ask."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from rqlike import codec
from rqlike.exceptions import (
    DeserializationError,
    DuplicateJobError,
    NoSuchJobError,
    SerializationError,
    WaitDeadlock,
    WaitTimeout,
)
from rqlike.identity import canonical, digest
from rqlike.job import Job
from rqlike.records import CallRecord
from rqlike.sending import send_one
from rqlike.serializers import loads_call, stored_serializer
from rqlike.states import LIVE, JobStatus
from rqlike.store import verbs
from rqlike.store.requests import nonce
from rqlike.store.store import Store
from rqlike.store.verbs import Enqueued, NewJob

How = Literal["queued", "joined", "cached"]
ON_FAILED: Final = ("rerun", "raise")

#: Serializers whose values can be read without running anybody's code, and compare as one expects.
_TELLING: Final = ("msgpack", "json")


class Joined(NamedTuple):
    """A job, and how the caller came to it: it was `queued` by this call, was under way and is `joined`, or has a value
    that is still kept and is `cached`."""

    job: Job[Any]
    how: How


def check_on_failed(on_failed: object) -> None:
    """Raises ValueError where it is not one of the two words."""
    if on_failed not in ON_FAILED:
        raise ValueError(f"on_failed takes {', '.join(map(repr, ON_FAILED))}, not {on_failed!r}")


def join(store: Store, queue: str, new: NewJob, on_failed: str, *, durable: bool) -> Joined:
    """Enqueues a job, or joins the one that has its id. One round trip.

    Raises DuplicateJobError where that one is another call; JobFailed where it failed, with `on_failed` "raise"."""
    wish = "join" if on_failed == "rerun" else "join_or_raise"
    job, answer = send_one(store, queue, new._replace(wish=wish), durable=durable)
    if answer.written:
        return Joined(job, "queued")
    _require_same_call(job, new, answer)
    if answer.word == "failed":
        job.wait(timeout=0)  # which raises
    if answer.word == "held" and answer.status in LIVE:
        return Joined(job, "joined")
    if answer.word == "held" and answer.status is not JobStatus.FINISHED:
        raise _refused(answer, "its unique key is still held. Wait until its unique_for is over, or delete it.")
    return Joined(job, "cached")


def _require_same_call(job: Job[Any], new: NewJob, answer: Enqueued) -> None:
    """Raises DuplicateJobError where the job that is in the way is another call than the one that was to be joined."""
    theirs = job.record.call
    if theirs is not None and _are_same(codec.decode_call(new.call), theirs):
        return
    if answer.status is None:
        raise _refused(answer, "its unique key is still held. Wait until its unique_for is over.")
    other = "whose call cannot be read" if theirs is None else f"of another call, {job.get_call_string()}"
    raise _refused(answer, f"is {other}. Give each call an id of its own, as rqlike.content_id does.")


def _refused(answer: Enqueued, why: str) -> DuplicateJobError:
    state = "gone" if answer.status is None else str(answer.status)
    return DuplicateJobError(f"Job {answer.meant} is {state}, and {why}", job_id=answer.meant, status=answer.status)


def _are_same(one: CallRecord, other: CallRecord) -> bool:
    if (one.func_name, one.payload) == (other.func_name, other.payload):
        return True
    return _digest(one) == _digest(other) is not None


def _digest(call: CallRecord) -> str | None:
    """Its content id, which is the same in whatever order a mapping lists its entries; None where there is none: what
    was pickled is not read for this."""
    if call.policy.serializer not in _TELLING:
        return None
    try:
        args, kwargs = loads_call(stored_serializer(call.policy.serializer), call.payload)
        return digest(call.func_name, canonical(args, kwargs))
    except (DeserializationError, SerializationError):
        return None


def wait_or_leave(job: Job[Any], seconds: float, *, cancel: bool) -> Any:
    """The value of a job. `cancel`: where it has not been started when the time is over, it never is. Raises what
    `Job.wait` raises."""
    try:
        return job.wait(seconds)
    except WaitDeadlock:
        if cancel:
            _cancel_waiting(job)
        raise
    except WaitTimeout as over:
        if cancel and _cancel_waiting(job):
            text = f"Job {job.id} was not started within {seconds:g} s, and is canceled now."
            raise WaitTimeout(
                text, job_id=job.id, status=JobStatus.CANCELED, position=None, workers=over.workers
            ) from None
        raise


def _cancel_waiting(job: Job[Any]) -> bool:
    try:
        status = job.store.run(verbs.cancel_waiting(job.id, nonce(), job.cycle))
    except NoSuchJobError:
        return False
    return status is JobStatus.CANCELED


__all__ = ["How", "Joined"]
