"""Groups: jobs that were enqueued together, counted, waited for and canceled together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rqlike import clock, codec
from rqlike.durations import Seconds
from rqlike.gathering import Waited, wait
from rqlike.job import Job
from rqlike.lookups import load_many
from rqlike.options import Policy, check_job_id
from rqlike.policies import Callback
from rqlike.preparing import EnqueueData
from rqlike.queue import Counts, Queue
from rqlike.records import CallRecord
from rqlike.results import Result
from rqlike.serializers import dumps_call, resolve_serializer
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store import groups, verbs
from rqlike.store.gathering import Sought, standings
from rqlike.store.requests import nonce, random_id
from rqlike.store.store import Conn, Store

if TYPE_CHECKING:
    from collections.abc import Sequence

_CANCELED: Final = (JobStatus.CANCELED, JobStatus.STARTED)  #: what becomes of a job that is canceled


class Group:
    """Jobs that belong together, in any queues of a namespace.

    `Group.create(connection)`, then `group.enqueue_many(queue, datas)`, any number of times. It is complete when all of
    its jobs have ended, in whatever way. It is kept as long as the one of its jobs that is kept longest; without a job
    for a day.
    """

    def __init__(self, group_id: str, store: Store) -> None:
        self.id = group_id
        self.store = store

    @classmethod
    def create(
        cls,
        connection: Conn = None,
        name: str | None = None,
        *,
        on_complete: Callback | None = None,
        namespace: str | None = None,
    ) -> Group:
        """A new group. One round trip.

        `name` is its id, any printable text of 1 to 200 bytes; None makes one. `on_complete`: a function that is called
        with the id of the group, by a job of its own on the queue of the job that ended last, when all of its jobs have
        ended. It comes once, and once more each time the group was complete, got other jobs, or had one requeued, and
        is complete again. Raises TypeError, ValueError; DuplicateJobError where a group of this name has jobs.
        """
        group = cls(_checked(name) if name is not None else random_id(), Store(connection, namespace))
        group.store.run(groups.create_group(group.id, _call_of(on_complete, group.id)))
        return group

    @classmethod
    def fetch(cls, name: str, connection: Conn = None, *, namespace: str | None = None) -> Group:
        """A group that is there. One round trip. Raises NoSuchGroupError."""
        group = cls(_checked(name), Store(connection, namespace))
        group.store.run(groups.group(group.id))
        return group

    @property
    def name(self) -> str:
        """RQ's word for its id."""
        return self.id

    @property
    def created_at(self) -> datetime:
        """When it was made. One round trip. Raises NoSuchGroupError."""
        return clock.utc(self._seen().created_ms)

    def enqueue_many(self, queue: Queue, job_datas: Iterable[EnqueueData]) -> list[Job[Any]]:
        """`Queue.enqueue_many` of jobs that belong to it: the group is not complete before the last of them has come.
        Raises what that raises, ValueError for a queue of another namespace, NoSuchGroupError."""
        if queue.store.namespace != self.store.namespace:
            there, here = queue.store.namespace, self.store.namespace
            raise ValueError(f"{queue!r} is in namespace {there!r}, the group in {here!r}")
        return queue.enqueue_many(job_datas, group_id=self.id)

    # -- looking -------------------------------------------------------------------------------------------------------

    def job_ids(self) -> list[str]:
        """The ids of its jobs in the order in which they came. One round trip per 500. Raises NoSuchGroupError."""
        return [job_id for page in self._pages() for job_id in page]

    def jobs(self) -> list[Job[Any]]:
        """Its jobs, without those that are kept no longer. Two round trips per 500. Raises NoSuchGroupError."""
        return [Job(record, self.store) for record in load_many(self.store, self.job_ids()) if record is not None]

    get_jobs = jobs

    def counts(self) -> Counts:
        """How many of its jobs are in each status; those that are kept no longer are not counted. Two round trips per
        500. Raises NoSuchGroupError."""
        counts = Counts(dict.fromkeys(JobStatus, 0))
        for page in self._pages():
            for standing in self.store.run(standings([Sought(job_id, 1) for job_id in page], how=False)):
                if standing.status is not None:
                    counts[standing.status] += 1
        return counts

    @property
    def progress(self) -> float:
        """The part of its jobs that has ended, from 0.0 to 1.0; 0.0 without jobs. One round trip. Raises
        NoSuchGroupError."""
        seen = self._seen()
        return 1 - seen.pending / seen.total if seen.total else 0.0

    def wait(self, timeout: Seconds | None = None) -> Waited[Job[Any]]:
        """`rqlike.wait` for all of its jobs. Raises NoSuchGroupError."""
        return wait(self.jobs(), timeout)

    def results(self) -> list[Result[Any] | None]:
        """The newest result of each of its jobs, in the order in which they came; None where there is none. Two round
        trips per 500. Raises NoSuchGroupError."""
        found: list[Result[Any] | None] = []
        for page in self._pages():
            records = self.store.run(verbs.newest(page))
            found += [None if record is None else Result(record) for record in records]
        return found

    # -- changing ------------------------------------------------------------------------------------------------------

    def cancel(self) -> int:
        """Cancels those of its jobs that have not ended; started ones are asked to stop. Returns how many; without
        those whose keys something else has written into. Two round trips per 500 jobs, and some more where these take
        the server longer than a few milliseconds. Raises NoSuchGroupError."""
        canceled, act = 0, nonce()
        for page in self._pages(pending=True):
            left = list(page)
            while left:
                words = self.store.run(verbs.cancel_many(left, act))
                canceled += sum(word in _CANCELED for word in words)  # the others have ended meanwhile
                left = left[len(words) :]
        return canceled

    # -- people --------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Group {self.id!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and (other.id, other.store.namespace) == (self.id, self.store.namespace)

    def __hash__(self) -> int:
        return hash((self.id, self.store.namespace))

    def _seen(self) -> groups.GroupSeen:
        return self.store.run(groups.group(self.id))

    def _pages(self, *, pending: bool = False) -> Iterator[Sequence[str]]:
        first, total = 0, 1
        while first < total:
            seen = self.store.run(groups.group(self.id, first, TOUCH_LIMIT, pending=pending))
            total = seen.total
            yield seen.job_ids
            first += TOUCH_LIMIT


def _checked(name: object) -> str:
    checked = check_job_id(name)
    if len(checked.encode()) > 200:
        raise ValueError(f"the name of a group has at most 200 bytes, {checked[:40]!r}… has {len(checked.encode())}")
    return checked


def _call_of(callback: Callback | None, group_id: str) -> bytes:
    if callback is None:
        return b""
    if not isinstance(callback, Callback):
        raise TypeError(f"on_complete takes a Callback, not {callback!r:.60}; write Callback(function)")
    serializer = resolve_serializer("msgpack")
    payload = dumps_call(serializer, (group_id,), {})
    return codec.encode_call(CallRecord(callback.reference, payload, policy=Policy(job_timeout=callback.timeout)))


__all__ = ["Group"]
