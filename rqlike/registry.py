"""Registries: views of one status of one queue, under RQ's names. Looking at one changes nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from rqlike import clock, failures
from rqlike.durations import Seconds
from rqlike.erasure import check_limit
from rqlike.exceptions import InvalidJobOperation, NoSuchJobError
from rqlike.failures import FailureGroup
from rqlike.job import Job
from rqlike.lookups import load_many
from rqlike.options import check_queue_name
from rqlike.settings import DEFAULT_QUEUE
from rqlike.states import JobStatus, Reason
from rqlike.store import verbs
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

    def requeue_all(
        self,
        *,
        func: Callable[..., Any] | str | None = None,
        exc_type: type[BaseException] | str | None = None,
        reason: Reason | str | None = None,
        older_than: Seconds | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> int:
        """New cycles for all of them, or for those that fit all that is given, oldest expiry first, `limit` at most;
        None is no limit. Their histories stay. Returns how many; with `dry_run` how many it would be.

        `func`: a function, its path, or a glob over paths ("shop.mail.*"). `exc_type`: the class of the exception, its
        dotted path, or its name alone; of the newest execution, and exactly this class. `reason`: a `Reason` or its
        word. `older_than`: seconds since they ended.

        A job is requeued at most once per call, also where it fails again meanwhile: those that end after the call has
        begun stay. A job whose unique key another one holds stays failed, and is not counted. Three round trips per 500
        failed jobs. Raises TypeError, ValueError.
        """
        criteria = failures.check_criteria(func, exc_type, reason, older_than)
        most = None if limit is None else check_limit(limit)
        if dry_run:
            return failures.requeueable(self._store, self.name, criteria, most)
        return sum(failures.requeue(self._store, self.name, criteria, most))

    def summary(self, limit: int = 20) -> list[FailureGroup]:
        """The largest groups of them, `limit` at most: by function, class of exception and reason of the newest
        execution, each with its number, when the first and the last one ended, and the id of that. Its repr is a table.

        All failed jobs of the queue are counted: one round trip per 500. Raises TypeError, ValueError."""
        return failures.summary(self._store, self.name, check_limit(limit))


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
