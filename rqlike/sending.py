"""Many prepared jobs on their way to the server, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rqlike.exceptions import DurabilityUnavailable, EnqueueManyError, RqlikeError
from rqlike.job import Job
from rqlike.settings import BATCH
from rqlike.store import verbs
from rqlike.store.durable import PLAINLY, Confirmation, not_durable, run_durably
from rqlike.store.requests import Request
from rqlike.store.store import Store
from rqlike.store.verbs import Enqueued, Fresh, NewJob

Jobs = list[Job[Any] | None]
Errors = dict[int, RqlikeError]


def send_many(store: Store, queue: str, prepared: Sequence[NewJob], *, durable: bool) -> list[Job[Any]]:
    """Enqueues them in order, one round trip per 500. Raises EnqueueManyError, NotDurableError, and redis-py's errors
    with a note that says which are enqueued."""
    sender = _Sender(store, queue, prepared)
    kept = sender.send_durably() if durable and prepared else sender.send()
    if kept.missing:
        raise not_durable(sender.jobs, kept, sender.errors)
    if sender.errors:
        raise EnqueueManyError(jobs=sender.jobs, errors=sender.errors)
    return [job for job in sender.jobs if job is not None]


class _Sender:
    def __init__(self, store: Store, queue: str, prepared: Sequence[NewJob]) -> None:
        self._store = store
        self._queue = queue
        self._prepared = prepared
        self.jobs: Jobs = []
        self.errors: Errors = {}

    def send(self) -> Confirmation:
        prepared, sent = self._prepared, 0
        news = iter(prepared)

        def chunks() -> Iterator[Request[list[Enqueued]]]:
            nonlocal sent
            for at in range(0, len(prepared), BATCH):
                sent = min(at + BATCH, len(prepared))
                yield verbs.enqueue(self._queue, prepared[at:sent])

        try:
            for answers in self._store.run_each(chunks()):
                self._take(answers, news)
        except Exception as error:
            error.add_note(_how_far(len(self.jobs), len(self.errors), sent, len(prepared)))
            raise
        return PLAINLY

    def send_durably(self) -> Confirmation:
        prepared = self._prepared
        chunks = [verbs.enqueue(self._queue, prepared[at : at + BATCH]) for at in range(0, len(prepared), BATCH)]
        try:
            found, kept = run_durably(self._store, chunks)
        except DurabilityUnavailable:
            raise
        except Exception as error:
            error.add_note(_how_far(0, 0, len(prepared), len(prepared)))
            raise
        news = iter(prepared)
        for answers in found:
            self._take(answers, news)
        return kept

    def _take(self, answers: Iterable[Enqueued], news: Iterator[NewJob]) -> None:
        for answer, new in zip(answers, news, strict=False):  # in this order: it ends before it takes a new one
            if answer.word == "duplicate":
                self.errors[len(self.jobs)] = verbs.duplicate(new.id, answer)
                self.jobs.append(None)
            else:
                self.jobs.append(Job(Fresh(new, self._queue, answer), self._store))


def _how_far(answered: int, refused: int, sent: int, total: int) -> str:
    """What is known of the items when the server fails on the way."""
    but = f" but for {refused} whose ids live jobs have" if refused else ""
    known = f"the first {answered} are enqueued{but}, " if answered else ""
    rest = f", and the {total - sent} after them are not" if sent < total else ""
    return (
        f"enqueue_many of {total} items: {known}the next {sent - answered} may be{rest}. "
        "Items that have a job_id can be sent again: those that are enqueued are refused then."
    )
