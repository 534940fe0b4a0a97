"""Registries: views of one status of one queue, under RQ's names. Looking at one changes nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from rqlike import clock
from rqlike.exceptions import InvalidJobOperation, NoSuchJobError
from rqlike.job import Job, load_many
from rqlike.options import check_queue_name
from rqlike.settings import DEFAULT_QUEUE, TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store import verbs
from rqlike.store.requests import nonce
from rqlike.store.store import Conn, Store

if TYPE_CHECKING:
    from rqlike.queue import Queue


class Registry:
    """The jobs of one queue that are in one status.

    `Registry("emails", connection=c)` or `Registry(queue=q)`. Counts are exact: a job whose time is over is not
    counted, swept or not. Cost of each call: one round trip, O(log n) and what it returns.
    """

    status: ClassVar[JobStatus]

    def __init__(
        self,
        name: str = DEFAULT_QUEUE,
        connection: Conn = None,
        queue: Queue | None = None,
        *,
        namespace: str | None = None,
    ) -> None:
        self.name = queue.name if queue is not None else check_queue_name(name)
        self._store = queue.store if queue is not None else Store(connection, namespace)

    @property
    def key(self) -> str:
        """The key of its sorted set."""
        return self._store.keys.home(self.status, self.name)

    @property
    def count(self) -> int:
        """How many jobs there are."""
        return self._store.run(verbs.counts([self.name]))[0][self.status]

    def __len__(self) -> int:
        return self.count

    def get_job_count(self, cleanup: bool | None = None) -> int:
        """RQ's name for `count`."""
        _needless(cleanup)
        return self.count

    def get_job_ids(self, start: int = 0, end: int = -1, desc: bool = False, cleanup: bool | None = None) -> list[str]:
        """Ids by rank from `start` to `end` inclusive (-1 the last), in the order of the status: place in the queue,
        due time, expiry; reversed with `desc`."""
        _needless(cleanup)
        found = self._store.run(verbs.listing(self.status, self.name, start, end, descending=desc))
        return [job_id for job_id, _ in found]

    def get_jobs(self, start: int = 0, end: int = -1, desc: bool = False) -> list[Job[Any]]:
        """The jobs themselves: one round trip, and one per 500 of them."""
        ids = self.get_job_ids(start, end, desc)
        return [Job(record, self._store) for record in load_many(self._store, ids) if record is not None]

    def __contains__(self, item: object) -> bool:
        job_id = item.id if isinstance(item, Job) else item
        if not isinstance(job_id, str):
            return False
        found = self._store.run(verbs.find(job_id))
        return found.status is self.status and found.queue == self.name

    def __iter__(self) -> Iterator[str]:
        return iter(self.get_job_ids())

    def get_queue_name(self) -> str:
        """The name of its queue."""
        return self.name

    def get_expiration_time(self, job: Job[Any] | str) -> datetime:
        """The score of a job here as a moment: expiry, due time or lease. Raises NoSuchJobError where it is not here;
        InvalidJobOperation where it is kept for ever or the score is no moment."""
        job_id = job if isinstance(job, str) else job.id
        found = self._store.run(verbs.find(job_id))
        if found.status is not self.status or found.score is None:
            raise NoSuchJobError(f"Job {job_id} is not {self.status} in queue {self.name!r}.", job_id=job_id)
        if math.isinf(found.score) or self.status is JobStatus.QUEUED:
            raise InvalidJobOperation(f"Job {job_id} has no such moment: it is {self.status} without end.")
        return clock.utc(int(found.score))

    def remove(self, job: Job[Any] | str, delete_job: bool = False) -> None:
        """Deletes a job. Without `delete_job` refused: a job is always in the home of its status."""
        if not delete_job:
            raise InvalidJobOperation(
                "A job cannot leave its registry and stay as it is; use delete_job=True, job.cancel() or job.requeue()."
            )
        handle = job if isinstance(job, Job) else Job.fetch(job, self._store.client, self._store.namespace)
        handle.delete()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class QueuedJobRegistry(Registry):
    """Jobs waiting for a worker, in the order in which they will be taken."""

    status = JobStatus.QUEUED


class StartedJobRegistry(Registry):
    """Jobs that a worker holds, by lease deadline."""

    status = JobStatus.STARTED


class ScheduledJobRegistry(Registry):
    """Jobs that are due later, by due time."""

    status = JobStatus.SCHEDULED

    def get_scheduled_time(self, job: Job[Any] | str) -> datetime:
        """When a job is due. Raises NoSuchJobError where it is not scheduled here."""
        return self.get_expiration_time(job)


class DeferredJobRegistry(Registry):
    """Jobs that wait for other jobs."""

    status = JobStatus.DEFERRED


class FinishedJobRegistry(Registry):
    """Jobs that returned, by expiry."""

    status = JobStatus.FINISHED


class StoppedJobRegistry(Registry):
    """Jobs stopped while they ran, by expiry."""

    status = JobStatus.STOPPED


class CanceledJobRegistry(Registry):
    """Jobs canceled, by expiry."""

    status = JobStatus.CANCELED


class ExpiredJobRegistry(Registry):
    """Jobs not started within their ttl, by expiry."""

    status = JobStatus.EXPIRED


class FailedJobRegistry(Registry):
    """The dead letters of a queue, by expiry."""

    status = JobStatus.FAILED

    def requeue(self, job_or_id: Job[Any] | str, at_front: bool = False) -> Job[Any]:
        """A new cycle for one job. Raises NoSuchJobError where it is not here."""
        job_id = job_or_id if isinstance(job_or_id, str) else job_or_id.id
        if job_id not in self:
            raise NoSuchJobError(f"Job {job_id} is not failed in queue {self.name!r}.", job_id=job_id)
        return Job.fetch(job_id, self._store.client, self._store.namespace).requeue(at_front)

    def requeue_all(self, *, limit: int | None = None, dry_run: bool = False) -> int:
        """New cycles for all of them, oldest expiry first, or for the first `limit`; in calls of at most 500.

        Returns how many; with `dry_run` how many it would be."""
        ids = self.get_job_ids(0, -1 if limit is None else limit - 1) if limit != 0 else []
        if dry_run:
            return len(ids)
        return sum(self._requeue_some(ids[at : at + TOUCH_LIMIT]) for at in range(0, len(ids), TOUCH_LIMIT))

    def _requeue_some(self, ids: Sequence[str]) -> int:
        return sum(word == "ok" for word in self._store.run(verbs.requeue(ids, nonce(), at_front=False)))


REGISTRIES: dict[JobStatus, type[Registry]] = {
    registry.status: registry
    for registry in (
        QueuedJobRegistry,
        StartedJobRegistry,
        ScheduledJobRegistry,
        DeferredJobRegistry,
        FinishedJobRegistry,
        FailedJobRegistry,
        StoppedJobRegistry,
        CanceledJobRegistry,
        ExpiredJobRegistry,
    )
}


def _needless(cleanup: bool | None) -> None:
    if cleanup is not None:
        warnings.warn("cleanup= is needless: reading a registry changes nothing", DeprecationWarning, stacklevel=3)
