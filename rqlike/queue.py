"""Queue: where callers enqueue, in RQ's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar, Unpack, overload

from rqlike import callables, clock, codec, pauses, tables
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.exceptions import PayloadTooLarge
from rqlike.failpoints import failpoint
from rqlike.inline import run_inline
from rqlike.job import Job
from rqlike.lookups import load_many
from rqlike.options import NAMES, PLAIN, Checked, JobOptions, check, check_headers, check_queue_name, split
from rqlike.pauses import Pause
from rqlike.records import CallRecord
from rqlike.registry import (
    REGISTRIES,
    CanceledJobRegistry,
    DeferredJobRegistry,
    ExpiredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
    StoppedJobRegistry,
)
from rqlike.running.middleware import Call, producers
from rqlike.schedules import Schedule, check_key, check_timetable, put_schedule
from rqlike.sending import send_many
from rqlike.serializers import Serializer, dumps_call, resolve_serializer
from rqlike.settings import DEFAULT_QUEUE, FRONT_BAND, NORMAL_BAND, PAYLOAD_LIMIT, TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store import verbs
from rqlike.store.durable import PLAINLY, not_durable, run_durably
from rqlike.store.requests import nonce, random_id
from rqlike.store.store import Conn, Store
from rqlike.store.verbs import Fresh, NewJob
from rqlike.timetables import Timetable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

T = TypeVar("T")
Func = Callable[..., Any] | str

_NO_DEFAULTS: Final[Mapping[str, Any]] = {}


class EnqueueData(NamedTuple):
    """One job of an `enqueue_many`; made by `Queue.prepare_data`, and validated by it."""

    func: Func
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    due: str = ""


class Counts(dict[str, int]):
    """Jobs per status; `counts.queued`, `counts["queued"]`; its repr is a table."""

    def __getattr__(self, name: str) -> int:
        try:
            return self[JobStatus(name)]
        except ValueError:
            raise AttributeError(f"there is no status {name!r}") from None

    def __repr__(self) -> str:
        return tables.table(("status", "jobs"), self.items(), right=(1,))


class Queue:
    """A queue by its name. Making one does no I/O; it exists on the server from the first job on.

    `connection`: a redis-py or valkey-py client, a URL, or None for `rqlike.connect()`. `is_async=False` runs each
    job in the caller, with the history a worker would have written. `defaults` are job options for every job of it.
    Raises TypeError and ValueError for bad names, options and values.
    """

    def __init__(
        self,
        name: str = DEFAULT_QUEUE,
        connection: Conn = None,
        default_timeout: Seconds | None = None,
        is_async: bool = True,
        *,
        serializer: str | Serializer = "msgpack",
        namespace: str | None = None,
        **defaults: Unpack[JobOptions],
    ) -> None:
        self.name = check_queue_name(name)
        self.store = Store(connection, namespace)
        self.is_async = is_async
        self.serializer = resolve_serializer(serializer)
        own: dict[str, Any] = dict(defaults)
        if default_timeout is not None:
            own["job_timeout"] = default_timeout
        if "job_id" in own:
            raise TypeError("job_id cannot be a queue's default: ids are unique")
        self._defaults = own
        self._usual = check(own, _NO_DEFAULTS, self.serializer.name)

    # -- enqueueing ----------------------------------------------------------------------------------------------------

    @overload
    def enqueue(self, f: Callable[..., T], *args: Any, **kwargs: Any) -> Job[T]: ...
    @overload
    def enqueue(self, f: str, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def enqueue(self, f: Func, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueues the call `f(*args, **kwargs)`; job options are taken out of the keywords. One round trip.

        `f` is a function that a worker can import, or its dotted path, which is not imported here. `args=` and
        `kwargs=` give arguments whose names are those of options. A call that does not fit the function's signature
        raises here, as do unknown or bad options, before anything is written.

        `durable=True` is one round trip more, and up to 3 s: it returns when the server's disk and a replica have the
        job, as far as the server has these.

        Raises TypeError, ValueError, SerializationError, PayloadTooLarge; DuplicateJobError for the id of a live job;
        with `durable` DurabilityUnavailable, nothing being written, and NotDurableError, the job being enqueued.
        """
        options, own = split(kwargs)
        args, own = _explicit(args, own)
        return self._enqueue(f, args, own, options)

    def enqueue_call(
        self,
        func: Func,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        timeout: Seconds | None = None,
        **options: Unpack[JobOptions],
    ) -> Job[Any]:
        """`enqueue` with the arguments apart from the options; `timeout` is job_timeout. One round trip."""
        return self._enqueue(func, tuple(args), dict(kwargs or {}), _with_timeout(options, timeout))

    @overload
    def enqueue_in(self, time_delta: Seconds, func: Callable[..., T], *args: Any, **kwargs: Any) -> Job[T]: ...
    @overload
    def enqueue_in(self, time_delta: Seconds, func: str, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def enqueue_in(self, time_delta: Seconds, func: Func, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueues a call that is due in `time_delta`, by the server's clock. One round trip."""
        options, own = split(kwargs)
        args, own = _explicit(args, own)
        return self._enqueue(func, args, own, options, _delay(time_delta))

    @overload
    def enqueue_at(self, datetime: datetime, func: Callable[..., T], *args: Any, **kwargs: Any) -> Job[T]: ...
    @overload
    def enqueue_at(self, datetime: datetime, func: str, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def enqueue_at(self, datetime: datetime, func: Func, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueues a call that is due at an aware datetime (ValueError for a naive one). One round trip."""
        options, own = split(kwargs)
        args, own = _explicit(args, own)
        return self._enqueue(func, args, own, options, str(clock.epoch_ms(datetime)))

    @staticmethod
    def prepare_data(
        func: Func,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        timeout: Seconds | None = None,
        *,
        at: datetime | None = None,
        delay: Seconds | None = None,
        **options: Unpack[JobOptions],
    ) -> EnqueueData:
        """One job for `enqueue_many`, with any option; `at` or `delay` make it due later."""
        if at is not None and delay is not None:
            raise TypeError("give either at or delay, not both")
        due = str(clock.epoch_ms(at)) if at is not None else "" if delay is None else _delay(delay)
        return EnqueueData(func, tuple(args), kwargs or {}, _with_timeout(options, timeout), due)

    def enqueue_many(self, job_datas: Iterable[EnqueueData], *, atomic: bool = False) -> list[Job[Any]]:
        """Enqueues many jobs, in order: one round trip per 500 of them, the next sent while the server works on one.

        Every item is checked before the first is written. Items that the server refuses (the id of a live job) raise
        EnqueueManyError, whose `.jobs` has None and `.errors` the error at their places; the others are enqueued.
        The error of a server that goes away or refuses a whole call has a note that says which items are enqueued.
        Where one item is `durable`, all are: they are waited for once, at the end. NotDurableError has their jobs.
        """
        if atomic:
            raise TypeError("atomic=True is not there yet; enqueue_many reports refused items one by one")
        datas = list(job_datas)
        prepared = [self._prepare(*data) for data in datas]
        durable = self._usual.durable
        durable = any(data.options.get("durable", durable) for data in datas)
        jobs = send_many(self.store, self.name, prepared, durable=durable)
        return [job if self.is_async else run_inline(job) for job in jobs]

    @failpoint("producer.enqueue")
    def _enqueue(
        self, func: Func, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any], due: str = ""
    ) -> Job[Any]:
        new = self._prepare(func, args, kwargs, options, due)
        request, kept = verbs.enqueue(self.name, (new,)), PLAINLY
        if options.get("durable", self._usual.durable) if options else self._usual.durable:
            ((answer,),), kept = run_durably(self.store, [request])
        else:
            (answer,) = self.store.run(request)
        if answer.word == "duplicate":
            raise verbs.duplicate(new.id, answer)
        job: Job[Any] = Job(Fresh(new, self.name, answer), self.store)
        if kept is not PLAINLY and kept.missing:
            raise not_durable([job], kept)
        return job if self.is_async else run_inline(job)

    def _prepare(
        self, func: Func, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any], due: str
    ) -> NewJob:
        """Everything that can be refused is refused here."""
        checked = check(options, self._defaults, self.serializer.name) if options else self._usual
        reference = callables.reference_of(func)
        if not isinstance(func, str):
            callables.bind_call(func, args, kwargs, NAMES)
        headers = dict(checked.headers) if checked.headers else {}
        for middleware in producers():
            middleware.on_enqueue(Call(reference, self.name, headers))
        if headers:
            headers = check_headers(headers)  # again: middleware has added its own
        payload = dumps_call(self.serializer, args, kwargs)
        if len(payload) > PAYLOAD_LIMIT:
            raise PayloadTooLarge(size=len(payload), limit=PAYLOAD_LIMIT)
        if checked is PLAIN and not headers:
            return NewJob(random_id(), "", codec.encode_plain_call(reference, payload), due=due)
        return _with_options(checked, codec.encode_call(CallRecord(reference, payload, headers, checked.policy)), due)

    def schedule(
        self,
        key: str,
        func: Func,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        cron: str | None = None,
        every: Seconds | None = None,
        tz: str | ZoneInfo = "UTC",
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        missed: Literal["skip", "once", "all"] = "skip",
        max_catchup: int = 10,
        grace: Seconds | None = None,
        **options: Unpack[JobOptions],
    ) -> Schedule:
        """A job of this call at each slot of `cron` (5 fields, or 6 with seconds last) in the zone `tz`, or `every` so
        often. Two round trips.

        The schedule lives in Redis under its `key`, which is one in the namespace; any worker of the namespace fires
        it. The same key again replaces timetable and call; while the timetable is the same its slots go on as they
        were, and `fired` and `paused` stay in any case. Slots of `every` begin one `every` from now, or at `start`.

        `start`, `end`: the slots are from the one to the other. `limit`: that many slots fire. A slot that comes up to
        `grace` seconds late fires as if in time; None is half the period, at most 60 s. Beyond that `missed` says what
        happens: "skip" nothing, "once" the newest one fires for all, "all" the newest `max_catchup` fire, oldest first.
        `options` are those of the jobs; their ids are made of key and slot.

        Raises ValueError that says what is wrong with the timetable, and what `enqueue` raises.
        """
        table = check_timetable(
            cron=cron, every=every, tz=tz, start=start, end=end, limit=limit,
            missed=missed, max_catchup=max_catchup, grace=grace,
        )  # fmt: skip
        return schedule_call(self, key, table, func, args, kwargs or {}, options)

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Any:
        """The client its store works with."""
        return self.store.client

    @property
    def key(self) -> str:
        """The key of the sorted set of its queued jobs."""
        return self.store.keys.home(JobStatus.QUEUED, self.name)

    def counts(self) -> Counts:
        """How many jobs are in each status: exact, one round trip, changes nothing."""
        return Counts(self.store.run(verbs.counts([self.name]))[0].items())

    @property
    def count(self) -> int:
        """How many jobs are queued."""
        return self.counts()[JobStatus.QUEUED]

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return True

    def is_empty(self) -> bool:
        """Whether no job is queued."""
        return self.count == 0

    def get_job_ids(self, offset: int = 0, length: int = -1) -> list[str]:
        """Ids of queued jobs in the order in which they will be taken; `length` -1 is all."""
        if length == 0:
            return []
        last = -1 if length < 0 else offset + length - 1
        return [job_id for job_id, _ in self.store.run(verbs.listing(JobStatus.QUEUED, self.name, offset, last))]

    def get_jobs(self, offset: int = 0, length: int = -1) -> list[Job[Any]]:
        """Queued jobs in order: one round trip, and one per 500 of them."""
        ids = self.get_job_ids(offset, length)
        return [Job(record, self.store) for record in load_many(self.store, ids) if record is not None]

    @property
    def job_ids(self) -> list[str]:
        """Ids of all queued jobs."""
        return self.get_job_ids()

    @property
    def jobs(self) -> list[Job[Any]]:
        """All queued jobs."""
        return self.get_jobs()

    def fetch_job(self, job_id: str) -> Job[Any] | None:
        """The job of an id; None where there is none or it is of another queue."""
        (record,) = self.store.run(verbs.load([job_id]))
        return None if record is None or record.queue != self.name else Job(record, self.store)

    def get_job_position(self, job_or_id: Job[Any] | str) -> int | None:
        """The 0-based place of a queued job; None where it is not queued here."""
        found = self.store.run(verbs.find(job_or_id if isinstance(job_or_id, str) else job_or_id.id))
        return found.rank if found.status is JobStatus.QUEUED and found.queue == self.name else None

    @classmethod
    def all(cls, connection: Conn = None, *, namespace: str | None = None) -> list[Queue]:
        """Every queue that was ever enqueued to or paused, by name."""
        store = Store(connection, namespace)
        return [cls(name, store.client, namespace=store.namespace) for name in store.run(verbs.queues())]

    # -- changing ------------------------------------------------------------------------------------------------------

    def empty(self, *, dry_run: bool = False) -> int:
        """Deletes the queued jobs, in calls of at most 500; their waiters learn. Returns how many."""
        if dry_run:
            return self.count
        total = 0
        while True:
            deleted, left = self.store.run(verbs.empty(self.name, TOUCH_LIMIT))
            total += deleted
            if not left:
                return total

    def pause(self, ttl: Seconds | None = None, reason: str = "") -> None:
        """No worker claims from it any more, for `ttl` (seconds; None until `resume`). One round trip.

        Jobs that run go on, and what was claimed ahead may run within about 20 ms. Enqueueing goes on, due
        jobs are queued, the `ttl` of jobs ends. `is_async=False` is not held. `reason`: one line of at most 1 kB, for
        people. To pause again replaces the end and the reason. Raises TypeError, ValueError.
        """
        pauses.pause(self.store, self.name, ttl, reason)

    def resume(self) -> bool:
        """Workers claim from it again, at once; True if it was paused. One round trip."""
        return pauses.resume(self.store, self.name)

    @property
    def paused(self) -> Pause | None:
        """`.since .until .reason` of what keeps workers from it: its own pause, else the suspension of all queues; None
        where they claim. One round trip."""
        return pauses.in_force(self.store, self.name)

    def remove(self, job_or_id: Job[Any] | str) -> None:
        """Cancels a queued job: RQ takes it out of the list and leaves it nowhere; here every job has a home."""
        job = self.fetch_job(job_or_id if isinstance(job_or_id, str) else job_or_id.id)
        if job is not None:
            job.cancel()

    # -- registries ----------------------------------------------------------------------------------------------------

    @property
    def started_job_registry(self) -> StartedJobRegistry:
        """Its running jobs."""
        return StartedJobRegistry(queue=self)

    @property
    def finished_job_registry(self) -> FinishedJobRegistry:
        """Its finished jobs."""
        return FinishedJobRegistry(queue=self)

    @property
    def failed_job_registry(self) -> FailedJobRegistry:
        """Its dead letters."""
        return FailedJobRegistry(queue=self)

    @property
    def scheduled_job_registry(self) -> ScheduledJobRegistry:
        """Its jobs that are due later."""
        return ScheduledJobRegistry(queue=self)

    @property
    def deferred_job_registry(self) -> DeferredJobRegistry:
        """Its jobs that wait for other jobs."""
        return DeferredJobRegistry(queue=self)

    @property
    def canceled_job_registry(self) -> CanceledJobRegistry:
        """Its canceled jobs."""
        return CanceledJobRegistry(queue=self)

    @property
    def stopped_job_registry(self) -> StoppedJobRegistry:
        """Its stopped jobs."""
        return StoppedJobRegistry(queue=self)

    @property
    def expired_job_registry(self) -> ExpiredJobRegistry:
        """Its jobs that did not start in time."""
        return ExpiredJobRegistry(queue=self)

    def registry(self, status: JobStatus | str) -> Any:
        """The registry of any status."""
        return REGISTRIES[JobStatus(status)](queue=self)

    # -- people --------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Queue) and (other.name, other.store.namespace) == (self.name, self.store.namespace)

    def __hash__(self) -> int:
        return hash((self.name, self.store.namespace))


def schedule_call(
    queue: Queue,
    key: str,
    table: Timetable,
    func: Func,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    source: str | None = None,
) -> Schedule:
    """`Queue.schedule` of a checked timetable, with the `source` of `put_schedule`."""
    check_template(options)
    new = queue._prepare(func, tuple(args), kwargs, options, "")
    return put_schedule(queue.store, check_key(key), table, queue.name, new, source)


def check_template(options: Mapping[str, Any]) -> None:
    """Raises TypeError for an option that the jobs of a schedule cannot have."""
    for name in ("job_id", "durable"):
        if name in options:
            raise TypeError(f"{name} cannot be an option of a schedule: it makes its jobs by itself")


def _explicit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """RQ's explicit form: `enqueue(f, args=(...), kwargs={...}, option=...)`."""
    if "args" not in kwargs and "kwargs" not in kwargs:
        return args, kwargs
    own = dict(kwargs)
    given, named = own.pop("args", ()) or (), own.pop("kwargs", {}) or {}
    if args or own:
        extra = f"{next(iter(own))}=" if own else "positional ones"
        raise TypeError(f"arguments were given both by args=/kwargs= and by {extra}; use one form")
    return tuple(given), dict(named)


def _with_options(checked: Checked, call: bytes, due: str) -> NewJob:
    policy = checked.policy
    return NewJob(
        id=checked.job_id or random_id(),
        nonce=nonce() if checked.job_id else "",
        call=call,
        meta=codec.encode_meta(checked.meta) if checked.meta else b"",
        band=_band(checked),
        due=due,
        ttl_ms=None if policy.ttl is None else to_ms(policy.ttl),
        failure_ttl_ms=verbs.failure_ttl_ms(policy.failure_ttl),
        limit=checked.rate_limit.to_text() if checked.rate_limit is not None else "",
    )


def _band(checked: Checked) -> int:
    """What `NewJob.band` is to be."""
    own = checked.policy.band
    if not checked.at_front:
        return own
    return FRONT_BAND if own == NORMAL_BAND else -own


def _with_timeout(options: Mapping[str, Any], timeout: Seconds | None) -> dict[str, Any]:
    own = dict(options)
    if timeout is not None:
        if "job_timeout" in own:
            raise TypeError("give either timeout or job_timeout, not both")
        own["job_timeout"] = timeout
    return own


def _delay(value: Seconds | datetime) -> str:
    if isinstance(value, datetime):
        raise TypeError("enqueue_in takes a duration; for a moment use enqueue_at")
    return f"+{to_ms(parse_seconds(value, 'time_delta'))}"


__all__ = ["Counts", "EnqueueData", "Pause", "Queue"]
