"""Job: a handle on one job, in RQ's words. The record as it was read, and the store to ask again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

from rqlike import callables, clock, codec, tables
from rqlike.awaiting import latest, value_of_cycle
from rqlike.dependencies import Related
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.exceptions import DeserializationError, NoSuchJobError
from rqlike.limits import RateLimit
from rqlike.live import Live
from rqlike.lookups import load, load_many
from rqlike.options import check_description, check_job_id
from rqlike.records import CallRecord, JobRecord
from rqlike.results import Result, Results
from rqlike.serializers import loads_call, stored_serializer
from rqlike.states import JobStatus
from rqlike.store import verbs
from rqlike.store.requests import nonce
from rqlike.store.store import Conn, Store
from rqlike.store.verbs import Fresh

T = TypeVar("T")


class Job(Related, Live[T], Generic[T]):
    """A handle on one job.

    Its attributes are those of the moment it was made, fetched or refreshed. `get_status` asks the server. All that
    changes a job is one atomic step on the server; there is no way to write a status.
    """

    _meta: dict[str, Any] | None = None

    def __init__(self, record: JobRecord | Fresh, store: Store) -> None:
        self._known = record
        self._store = store

    @property
    def _record(self) -> JobRecord:
        known = self._known
        if isinstance(known, Fresh):
            known = self._known = known.record()
        return known

    @_record.setter
    def _record(self, record: JobRecord) -> None:
        self._known = record

    # -- finding -------------------------------------------------------------------------------------------------------

    @classmethod
    def fetch(cls, id: str, connection: Conn = None, namespace: str | None = None) -> Job[Any]:  # noqa: A002
        """The job of an id, from any queue of the namespace. One round trip. Raises NoSuchJobError."""
        store = Store(connection, namespace)
        return Job(load(store, check_job_id(id)), store)

    @classmethod
    def fetch_many(
        cls, job_ids: Sequence[str], connection: Conn = None, namespace: str | None = None
    ) -> list[Job[Any] | None]:
        """The jobs of ids, None for each that does not exist; index-aligned, one round trip per 500 of them."""
        store = Store(connection, namespace)
        found = load_many(store, [check_job_id(job_id) for job_id in job_ids])
        return [None if record is None else Job(record, store) for record in found]

    @classmethod
    def exists(cls, job_id: str, connection: Conn = None, namespace: str | None = None) -> bool:
        """Whether there is a job of this id."""
        try:
            return Store(connection, namespace).run(verbs.find(check_job_id(job_id))).status is not None
        except DeserializationError:
            return True

    def refresh(self) -> None:
        """Reads the job again. Raises NoSuchJobError."""
        self._adopt(load(self._store, self.id))

    def _adopt(self, record: JobRecord) -> None:
        self._record = record
        self._meta = None
        self.__dict__.pop("_call", None)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id, unique in the namespace."""
        return self._known.id

    @property
    def key(self) -> str:
        """The key of its hash."""
        return self._store.keys.job(self.id)

    @property
    def connection(self) -> Any:
        """The client its store works with."""
        return self._store.client

    @property
    def store(self) -> Store:
        """Where it is kept."""
        return self._store

    @property
    def record(self) -> JobRecord:
        """What was read of it."""
        return self._record

    @property
    def namespace(self) -> str:
        """The namespace it is in."""
        return self._store.namespace

    @property
    def origin(self) -> str:
        """The name of its queue."""
        return self._record.queue

    @property
    def func_name(self) -> str:
        """The path of its function. Raises DeserializationError where the stored call cannot be read."""
        return self._readable.func_name

    @property
    def func(self) -> Callable[..., Any]:
        """Its function, imported. Raises CallableNotFound."""
        return callables.resolve(self.func_name)

    @property
    def args(self) -> tuple[Any, ...]:
        """Its positional arguments."""
        return self._call[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its keyword arguments."""
        return self._call[1]

    @property
    def data(self) -> bytes:
        """Its serialised arguments."""
        return self._readable.payload

    @property
    def headers(self) -> Mapping[str, str]:
        """What middleware sent along."""
        return self._readable.headers

    @cached_property
    def _call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        call = self._readable
        args, kwargs = loads_call(stored_serializer(call.policy.serializer), call.payload)
        return tuple(args), kwargs

    @property
    def _readable(self) -> CallRecord:
        if self._record.call is None:
            raise DeserializationError(f"Job {self.id}: {self._record.call_error}")
        return self._record.call

    @property
    def description(self) -> str:
        """What people read in lists: as given, or the call."""
        given = self._record.policy.description
        return given if given is not None else self.get_call_string()

    @description.setter
    def description(self, value: str) -> None:
        self._edit(description=check_description(value))

    def get_call_string(self) -> str:
        """The call as one would write it, arguments cut short; never raises."""
        if self._record.call is None:
            return "(unreadable job)" if self._record.unreadable else "(unreadable call)"
        try:
            args, kwargs = self._call
        except (DeserializationError, ValueError):
            return f"{self._record.call.func_name}(unreadable arguments)"
        return callables.call_string(self._record.call.func_name, args, kwargs)

    @property
    def created_at(self) -> datetime:
        """When its current cycle was created; aware UTC, as all its times."""
        return clock.utc(self._record.created_ms)

    @property
    def enqueued_at(self) -> datetime | None:
        """When it was last enqueued or requeued."""
        return _at(self._record.enqueued_ms)

    @property
    def started_at(self) -> datetime | None:
        """When its newest execution was claimed."""
        return _at(self._record.started_ms)

    @property
    def ended_at(self) -> datetime | None:
        """When its cycle ended."""
        return _at(self._record.ended_ms)

    @property
    def scheduled_for(self) -> datetime | None:
        """The slot of its schedule that it stands for; None where it comes from none."""
        return _at(self._record.slot_ms)

    @property
    def next_attempt_at(self) -> datetime | None:
        """When a scheduled job is due: a delay, a retry or a repetition. Of a job that is queued for a retry a moment
        that has passed: it runs as soon as a worker is free. None for all others."""
        return _at(self._record.next_attempt_ms)

    @property
    def worker_name(self) -> str | None:
        """The worker of its newest execution."""
        return self._record.worker_name

    @property
    def cycle(self) -> int:
        """The cycle of this handle: 1 for the first enqueue, one more with each enqueue, requeue or repeat."""
        return self._known.cycle

    @property
    def attempt(self) -> int:
        """Executions begun in the cycle."""
        return self._record.attempt

    @property
    def retries_left(self) -> int:
        """Attempts that are left after the current, coming or last one of the cycle; 0 without a Retry."""
        return self._record.retries_left

    @property
    def retry_intervals(self) -> list[float] | None:
        """Seconds between attempts, before jitter; of `Retry.exponential` at most the first 100, of `Retry.custom` the
        fallback. None without a Retry."""
        retry = self._record.policy.retry
        return None if retry is None else retry.pauses()

    @property
    def repeats_left(self) -> int | None:
        """Repetitions that are left; None without a Repeat."""
        repeat = self._record.policy.repeat
        return None if repeat is None else max(0, repeat.times - self._record.repeats)

    @property
    def rate_limit(self) -> RateLimit | None:
        """What it shares with the other jobs of a key; None without a limit."""
        return RateLimit.from_text(self._record.limit)

    @property
    def timeout(self) -> float:
        """Seconds it may run; -1 without limit."""
        return self._record.policy.job_timeout

    @timeout.setter
    def timeout(self, value: Seconds) -> None:
        self._edit(job_timeout=parse_seconds(value, "timeout", forever=True, zero=False))

    @property
    def result_ttl(self) -> float | None:
        """Seconds it is kept once finished; None is the worker's default, -1 for ever."""
        return self._record.policy.result_ttl

    @result_ttl.setter
    def result_ttl(self, value: Seconds | None) -> None:
        self._edit(result_ttl=None if value is None else parse_seconds(value, "result_ttl", forever=True))

    @property
    def failure_ttl(self) -> float:
        """Seconds it is kept when it failed, was stopped, canceled or expired; -1 for ever."""
        return self._record.policy.failure_ttl

    @failure_ttl.setter
    def failure_ttl(self, value: Seconds) -> None:
        self._edit(failure_ttl=parse_seconds(value, "failure_ttl", forever=True, zero=False))

    @property
    def ttl(self) -> float | None:
        """Seconds it may wait for its first start; None without limit."""
        return self._record.policy.ttl

    @property
    def priority(self) -> int:
        """-100 to 100, 0 where nothing was said: higher ones go first in their queue."""
        return self._record.policy.priority

    def get_result_ttl(self, default_ttl: float | None = None) -> float | None:
        """RQ's: `result_ttl`, or `default_ttl`."""
        return default_ttl if self.result_ttl is None else self.result_ttl

    def get_ttl(self, default_ttl: float | None = None) -> float | None:
        """RQ's: `ttl`, or `default_ttl`."""
        return default_ttl if self.ttl is None else self.ttl

    # -- notes ---------------------------------------------------------------------------------------------------------

    @property
    def meta(self) -> dict[str, Any]:
        """Notes of your own, as of this handle; `save_meta` writes them. Raises DeserializationError."""
        if self._meta is None:
            self._meta = codec.decode_meta(self._record.meta)
        return self._meta

    @meta.setter
    def meta(self, value: dict[str, Any]) -> None:
        self._meta = dict(value)

    def get_meta(self, refresh: bool = True) -> dict[str, Any]:
        """The notes, read again from the server unless told otherwise."""
        if refresh:
            self._record = self._record._replace(meta=load(self._store, self.id).meta)
            self._meta = None
        return self.meta

    def save_meta(self) -> None:
        """Writes `meta`, all of it. Raises NoSuchJobError, SerializationError, PayloadTooLarge (over 64 kB)."""
        data = codec.encode_meta(self.meta)
        self._store.run(verbs.save(self.id, {"meta": data}))
        self._record = self._record._replace(meta=data)

    def save(self) -> None:
        """Writes what may be edited: timeout, result_ttl, failure_ttl, description, meta. Raises NoSuchJobError."""
        policy = self._record.policy
        blobs = {"overrides": codec.encode_overrides(policy), "meta": codec.encode_meta(self.meta)}
        result_ttl = "default" if policy.result_ttl is None else to_ms(policy.result_ttl)
        self._store.run(verbs.save(self.id, blobs, to_ms(policy.failure_ttl), result_ttl))
        self._record = self._record._replace(meta=blobs["meta"])

    def set_result_ttl(self, result_ttl: Seconds) -> None:
        """Changes how long it is kept once finished: seconds, -1 for ever. One round trip.

        One that has ended, in whatever way, is kept for so long from now on, with its history; 0 takes it away at
        once, its history after 5 s. Raises NoSuchJobError, TimeoutFormatError.
        """
        seconds = parse_seconds(result_ttl, "result_ttl", forever=True)
        self._store.run(verbs.save(self.id, {}, None, to_ms(seconds), redate=True))
        if self._record.call is not None:
            self._edit(result_ttl=seconds)

    def _edit(self, **changes: Any) -> None:
        call = self._readable
        self._record = self._record._replace(call=call._replace(policy=call.policy._replace(**changes)))

    # -- status --------------------------------------------------------------------------------------------------------

    def get_status(self, refresh: bool = True) -> JobStatus:
        """Its status, asked of the server unless told otherwise. Raises NoSuchJobError where it is gone."""
        if refresh:
            self._adopt(load(self._store, self.id))
        if self._record.unreadable:
            raise DeserializationError(self._record.unreadable, job_id=self.id)
        return self._record.status

    @property
    def is_finished(self) -> bool:
        """Asked of the server, as all of these."""
        return self.get_status() is JobStatus.FINISHED

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a worker."""
        return self.get_status() is JobStatus.QUEUED

    @property
    def is_failed(self) -> bool:
        """Whether its cycle ended in failure."""
        return self.get_status() is JobStatus.FAILED

    @property
    def is_started(self) -> bool:
        """Whether a worker has it."""
        return self.get_status() is JobStatus.STARTED

    @property
    def is_deferred(self) -> bool:
        """Whether it waits for other jobs."""
        return self.get_status() is JobStatus.DEFERRED

    @property
    def is_canceled(self) -> bool:
        """Whether it was canceled."""
        return self.get_status() is JobStatus.CANCELED

    @property
    def is_scheduled(self) -> bool:
        """Whether it is due later."""
        return self.get_status() is JobStatus.SCHEDULED

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped while it ran."""
        return self.get_status() is JobStatus.STOPPED

    @property
    def is_expired(self) -> bool:
        """Whether its ttl was over before it started."""
        return self.get_status() is JobStatus.EXPIRED

    def get_position(self) -> int | None:
        """Its 0-based place in its queue; None where it is not queued."""
        found = self._store.run(verbs.find(self.id))
        return found.rank if found.status is JobStatus.QUEUED else None

    # -- results -------------------------------------------------------------------------------------------------------

    def results(self) -> Results[T]:
        """Its last 10 executions, newest first. One round trip."""
        return Results(Result(record) for record in self._store.run(verbs.history(self.id)))

    def return_value(self, refresh: bool = False) -> T | None:
        """What its newest execution returned; None where it has not, or returned None (`wait` tells them apart)."""
        result = self.latest_result()
        return None if result is None else result.return_value

    def latest_result(self, timeout: Seconds = 0, *, after: Result[T] | str | None = None) -> Result[T] | None:
        """The newest execution.

        With `timeout` (seconds): if an execution has already ended a cycle, the newest such one at once, whichever
        cycle it belongs to (RQ's rule); else blocks for it. RETRIED never satisfies it. A job that ends without
        running, or is gone, gives None at once.
        With `after` (a Result or its id): the first execution newer than it, RETRIED skipped when `timeout` > 0.
        """
        seconds = parse_seconds(timeout, "timeout")
        return latest(self._store, self._record, seconds, after.id if isinstance(after, Result) else after)

    def wait(self, timeout: Seconds | None = None) -> T:
        """The value that this cycle of the job returns; blocks for it.

        `timeout`: seconds; None without limit, 0 does not block. One round trip, and the block.

        Raises JobFailed, JobStopped, JobCanceled, JobExpired where the cycle ended so (`.reason`, `.result`);
        ResultNotStored where the value was not kept; ResultExpired where the cycle ended and its result is gone;
        NoSuchJobError where there is no trace of the job; WaitTimeout (`.status .position .workers`).
        """
        seconds = None if timeout is None else parse_seconds(timeout, "timeout")
        value: T = value_of_cycle(self._store, self._record, seconds)
        return value

    # -- changing ------------------------------------------------------------------------------------------------------

    def cancel(self, *, enqueue_dependents: bool = False) -> None:
        """A waiting job never starts and its waiters learn at once; a started one is asked to be killed, and this
        returns without waiting for it. The jobs that depend on it do as each of them says, or with `enqueue_dependents`
        go on as if it had finished. Raises InvalidTransition where it has ended, NoSuchJobError."""
        status = self._store.run(verbs.cancel(self.id, nonce(), enqueue_dependents=enqueue_dependents))
        self._record = self._record._replace(status=status)

    def delete(self, *, delete_dependents: bool = False) -> None:
        """It is gone at once, with its history; waiters learn, a running execution is killed and not recorded. The jobs
        that wait for it run where it may fail and are canceled otherwise; with `delete_dependents` they are gone too,
        and those that wait for them. Raises NoSuchJobError."""
        words = self._store.run(verbs.delete([self.id], nonce(), dependents_too=delete_dependents))
        self._each(words, "delete")

    def requeue(self, at_front: bool = False) -> Job[T]:
        """A new cycle of an ended job; its history stays. The handle is of the new cycle from then on.
        Raises InvalidTransition where it has not ended, NoSuchJobError."""
        self._each(self._store.run(verbs.requeue([self.id], nonce(), at_front)), "requeue")
        try:
            self.refresh()
        except NoSuchJobError:  # run and, by result_ttl=0, gone already
            self._adopt(self._record._replace(status=JobStatus.QUEUED, cycle=self.cycle + 1, attempt=0))
        return self

    def _each(self, words: list[str], verb: str) -> None:
        error = verbs.word_error(words[0], self.id, verb)
        if error is not None:
            raise error

    # -- people --------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What is known of it, as plain values; times as ISO 8601."""
        record = self._record
        moments = ("created", "enqueued", "started", "ended", "due", "deadline", "next_attempt")
        times = {f"{name}_at": _at(getattr(record, f"{name}_ms")) for name in moments}
        return {
            "id": record.id,
            "queue": record.queue,
            "status": self._shown_status,
            "func_name": None if record.call is None else record.call.func_name,
            "description": self.description,
            **{name: None if moment is None else moment.isoformat() for name, moment in times.items()},
            "cycle": record.cycle,
            "attempt": record.attempt,
            "retries_left": self.retries_left,
            "worker_name": record.worker_name,
            "priority": self.priority,
            "timeout": self.timeout,
            "result_ttl": self.result_ttl,
            "failure_ttl": self.failure_ttl,
            **self._shown_meta(),
        }

    @property
    def _shown_status(self) -> str:
        return "unreadable" if self._record.unreadable else str(self._record.status)

    def _shown_meta(self) -> dict[str, Any]:
        try:
            return {"meta": self.meta, "problem": self._record.call_error or None}
        except DeserializationError as unreadable:
            return {"meta": None, "problem": self._record.call_error or f"meta: {unreadable}"}

    def __repr__(self) -> str:
        name = self._record.call.func_name if self._record.call is not None else "(unreadable call)"
        return f"<Job {tables.printable(self.id, 60)} {tables.printable(name, 60)} {self._shown_status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id and other._store.namespace == self._store.namespace

    def __hash__(self) -> int:
        return hash(self.id)


def known(job: Job[Any]) -> JobRecord | Fresh:
    """What a handle was made of. A record is made of a fresh one only where more than this is asked for."""
    return job._known


def cancel_job(job_id: str, connection: Conn = None, namespace: str | None = None) -> None:
    """Cancels a job by its id; see `Job.cancel`."""
    Store(connection, namespace).run(verbs.cancel(check_job_id(job_id), nonce()))


def requeue_job(job_id: str, connection: Conn = None, namespace: str | None = None) -> Job[Any]:
    """Requeues a job by its id; see `Job.requeue`."""
    return Job.fetch(job_id, connection, namespace).requeue()


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else clock.utc(ms)


__all__ = ["Job", "JobStatus", "cancel_job", "requeue_job"]
