"""Prepared jobs on their way to the server, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rqlike.exceptions import (
    DuplicateJobError,
    DurabilityUnavailable,
    EnqueueManyError,
    InvalidJobOperation,
    NoSuchJobError,
    RqlikeError,
)
from rqlike.job import Job
from rqlike.preparing import Examined, finish
from rqlike.records import JobRecord
from rqlike.settings import ATOMIC_NEEDS, BATCH, NEEDS_BATCH, REPLACE_BATCH
from rqlike.states import JobStatus
from rqlike.store import groups, verbs
from rqlike.store.durable import PLAINLY, Confirmation, not_durable, run_durably
from rqlike.store.requests import Request
from rqlike.store.store import Store
from rqlike.store.verbs import NO_GROUP, Enqueued, Fresh, Into, NewJob

Jobs = list[Job[Any] | None]
Errors = dict[int, RqlikeError]


def send_one(store: Store, queue: str, new: NewJob, *, durable: bool) -> tuple[Job[Any], Enqueued]:
    """Enqueues one: its job, or the one in its place that the caller wants, and the answer. One round trip.

    Raises DuplicateJobError, NotDurableError."""
    request, kept = verbs.enqueue(queue, (new,)), PLAINLY
    if durable:
        ((answer,),), kept = run_durably(store, [request])
    else:
        (answer,) = store.run(request)
    if answer.word == "new" and kept is PLAINLY:  # nearly always
        return Job(Fresh(new, queue, answer), store), answer
    job = _job_of(store, queue, new, answer)
    if kept.missing:
        raise not_durable([job], kept)
    return job, answer


def _job_of(store: Store, queue: str, new: NewJob, answer: Enqueued) -> Job[Any]:
    """Raises DuplicateJobError where another job is in its place, and that is not what the caller wants;
    InvalidJobOperation and NoSuchJobError for jobs it cannot depend on."""
    if answer.written:
        return Job(Fresh(new, queue, answer), store)
    if answer.word in ("duplicate", "twice", "mixed"):
        raise verbs.duplicate(new, answer)
    if answer.word in ("circle", "crowd"):
        raise groups.circle(new, answer)
    if answer.word == "orphan":
        raise groups.orphan(answer.meant)
    return Job(verbs.record_of(answer) or _gone(queue, answer), store)


def _gone(queue: str, answer: Enqueued) -> JobRecord:
    """Stands for a job that has ended and is gone, and whose unique key is held for some time yet."""
    why = "The job is gone; its unique key is held until its unique_for is over."
    return JobRecord(answer.meant, queue, JobStatus.FINISHED, None, answer.now_ms, why)


def send_many(
    store: Store, queue: str, examined: Sequence[Examined], *, durable: bool, atomic: bool = False, group_id: str = ""
) -> list[Job[Any]]:
    """Enqueues them in order, one round trip per 500, or per 100 that may replace others. Raises EnqueueManyError,
    NotDurableError, and redis-py's errors with a note that says which are enqueued. `atomic`: at most 500, all of them
    or none."""
    if atomic and len(examined) > BATCH:
        raise ValueError(
            f"atomic=True takes at most {BATCH} jobs, which are one step of the server; got {len(examined)}"
        )
    if atomic and (needs := sum(len(one.checked.policy.depends_on) for one in examined)) > ATOMIC_NEEDS:
        raise ValueError(
            f"the jobs of atomic=True depend on at most {ATOMIC_NEEDS} others, all told, which are looked at in one "
            f"step of the server; got {needs}"
        )
    sender = _Sender(store, queue, examined, atomic=atomic, group_id=group_id)
    kept = sender.send_durably() if durable and examined else sender.send()
    if kept.missing and not (atomic and sender.errors):
        raise not_durable(sender.jobs, kept, sender.errors)
    if sender.errors:
        raise _refused(sender, atomic=atomic)
    return [job for job in sender.jobs if job is not None]


class _Sender:
    def __init__(self, store: Store, queue: str, examined: Sequence[Examined], *, atomic: bool, group_id: str) -> None:
        self._store = store
        self._queue = queue
        self._examined = examined
        self._atomic = atomic
        self._group_id = group_id
        self._sent: list[NewJob] = []
        self.jobs: Jobs = []
        self.errors: Errors = {}

    def send(self) -> Confirmation:
        total, news = len(self._examined), iter(self._sent)  # which grows
        try:
            for answers in self._store.run_each(self._chunks()):
                self._take(answers, news)
        except Exception as error:
            error.add_note(_how_far(len(self.jobs), len(self.errors), len(self._sent), total))
            raise
        return PLAINLY

    def _chunks(self) -> Iterator[Request[list[Enqueued]]]:
        """What is left to do for a job is done while the server works on those before it."""
        total, at = len(self._examined), 0
        while at < total:
            end = total if self._atomic else _end_of_chunk(self._examined, at)
            news = list(map(finish, self._examined[at:end]))
            self._sent += news
            into = Into(self._group_id, end < total, last=at > 0 and end == total) if self._group_id else NO_GROUP
            yield verbs.enqueue(self._queue, news, atomic=self._atomic, into=into)
            at = end

    def send_durably(self) -> Confirmation:
        chunks, total = list(self._chunks()), len(self._examined)
        try:
            found, kept = run_durably(self._store, chunks)
        except DurabilityUnavailable:
            raise
        except Exception as error:
            error.add_note(_how_far(0, 0, total, total))
            raise
        news = iter(self._sent)
        for answers in found:
            self._take(answers, news)
        return kept

    def _take(self, answers: Iterable[Enqueued], news: Iterator[NewJob]) -> None:
        for answer, new in zip(answers, news, strict=False):  # in this order: it ends before it takes a new one
            if answer.word == "new" or answer.written:
                self.jobs.append(Job(Fresh(new, self._queue, answer), self._store))
                continue
            try:
                self.jobs.append(None if answer.word == "refused" else _job_of(self._store, self._queue, new, answer))
            except (DuplicateJobError, InvalidJobOperation, NoSuchJobError) as error:
                self.errors[len(self.jobs)] = error
                self.jobs.append(None)


def _end_of_chunk(examined: Sequence[Examined], first: int) -> int:
    """Where the call ends that begins with `first`: 500 jobs are written by one, as many looked at that they depend on,
    and fewer of those that replace others, which are canceled there."""
    end, replaced, needs = min(first + BATCH, len(examined)), 0, 0
    for at in range(first, end):
        checked = examined[at].checked
        replaced += checked.wish == "replace"
        needs += len(checked.policy.depends_on)
        if replaced > REPLACE_BATCH or (needs > NEEDS_BATCH and at > first):
            return at
    return end


def _refused(sender: _Sender, *, atomic: bool) -> EnqueueManyError:
    facts: dict[str, Any] = {"jobs": sender.jobs, "errors": sender.errors}
    if not atomic:
        return EnqueueManyError(**facts)
    first = min(sender.errors)
    text = (
        f"Nothing is enqueued: the server refused {len(sender.errors)} of {len(sender.jobs)} jobs, and the call is "
        f"atomic. `.errors` has the reasons by position; of item {first}: {sender.errors[first]}"
    )
    return EnqueueManyError(text, **facts)


def _how_far(answered: int, refused: int, sent: int, total: int) -> str:
    """What is known of the items when the server fails on the way."""
    but = f" but for {refused} whose ids live jobs have" if refused else ""
    known = f"the first {answered} are enqueued{but}, " if answered else ""
    rest = f", and the {total - sent} after them are not" if sent < total else ""
    return (
        f"enqueue_many of {total} items: {known}the next {sent - answered} may be{rest}. "
        "Items that have a job_id can be sent again: those that are enqueued are refused then."
    )
