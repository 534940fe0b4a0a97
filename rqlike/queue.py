"""Queue: where callers enqueue, in RQ's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from rqlike import clock, erasure, paging, pauses, tables
from rqlike.durations import Seconds, parse_seconds
from rqlike.events import Event
from rqlike.failpoints import failpoint
from rqlike.following import follow
from rqlike.inline import run_each_inline, run_inline
from rqlike.job import Job
from rqlike.joining import Joined, check_on_failed, join, wait_or_leave
from rqlike.lookups import load_many
from rqlike.options import JobOptions, check, check_job_id, check_queue_name, split
from rqlike.paging import Page
from rqlike.pauses import Pause
from rqlike.preparing import (
    NO_DEFAULTS,
    EnqueueData,
    Func,
    Terms,
    check_template,
    delay_of,
    examine,
    explicit,
    finish,
    prepare,
    with_timeout,
)
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
from rqlike.schedules import Schedule, check_key, check_timetable, put_schedule
from rqlike.sending import send_many, send_one
from rqlike.serializers import Serializer, resolve_serializer
from rqlike.settings import DEFAULT_QUEUE
from rqlike.states import JobStatus
from rqlike.store import events, verbs
from rqlike.store.erasures import running
from rqlike.store.store import Conn, Store
from rqlike.timetables import Timetable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

T = TypeVar("T")


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
        self._terms = Terms(self.name, self.serializer, own, check(NO_DEFAULTS, own, self.serializer.name))

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

        Raises TypeError, ValueError, SerializationError, PayloadTooLarge; DuplicateJobError where a live job has its
        id, or its key is held, and `on_duplicate` says nothing else; NoSuchJobError where it depends on a job that is
        none, and InvalidJobOperation on one that waits for it; with `durable` DurabilityUnavailable, nothing
        being written, and NotDurableError, the job being enqueued.
        """
        if not kwargs:
            return self._enqueue(f, args, kwargs, {})
        options, own = split(kwargs)
        if own:
            args, own = explicit(args, own)
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
        return self._enqueue(func, tuple(args), dict(kwargs or {}), with_timeout(options, timeout))

    @overload
    def enqueue_in(self, time_delta: Seconds, func: Callable[..., T], *args: Any, **kwargs: Any) -> Job[T]: ...
    @overload
    def enqueue_in(self, time_delta: Seconds, func: str, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def enqueue_in(self, time_delta: Seconds, func: Func, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueues a call that is due in `time_delta`, by the server's clock. One round trip."""
        options, own = split(kwargs)
        args, own = explicit(args, own)
        return self._enqueue(func, args, own, options, delay_of(time_delta))

    @overload
    def enqueue_at(self, datetime: datetime, func: Callable[..., T], *args: Any, **kwargs: Any) -> Job[T]: ...
    @overload
    def enqueue_at(self, datetime: datetime, func: str, *args: Any, **kwargs: Any) -> Job[Any]: ...
    def enqueue_at(self, datetime: datetime, func: Func, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueues a call that is due at an aware datetime (ValueError for a naive one). One round trip."""
        options, own = split(kwargs)
        args, own = explicit(args, own)
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
        due = str(clock.epoch_ms(at)) if at is not None else "" if delay is None else delay_of(delay)
        return EnqueueData(func, tuple(args), kwargs or NO_DEFAULTS, with_timeout(options, timeout), due)

    def enqueue_many(
        self, job_datas: Iterable[EnqueueData], *, group_id: str | None = None, atomic: bool = False
    ) -> list[Job[Any]]:
        """Enqueues many jobs, in order: one round trip per 500 of them (100 that may replace
        others, or as many as depend on 500), the next sent while the server works on one.

        Every item is checked before the first is written. Items that the server refuses (the id of a live job, a unique
        key that is held) raise EnqueueManyError, whose `.jobs` has None and `.errors` the error at their places; the
        others are enqueued. With `atomic`, which takes 500 items that depend on 2,500 others at most, none are; and an
        item may not replace another one of the same call. In no case is a job replaced that an item before was
        given, or refused for.
        The error of a server that goes away or refuses a whole call has a note that says which items are enqueued.
        Where one item is `durable`, all are: they are waited for once, at the end. NotDurableError has their jobs.
        """
        datas = list(job_datas)
        terms = self._terms
        examined = [examine(terms, *data) for data in datas]
        durable = any(self._durable(data.options) for data in datas)
        jobs = send_many(self.store, self.name, examined, durable=durable, atomic=atomic, group_id=group_id or "")
        return jobs if self.is_async else run_each_inline(jobs)

    @failpoint("producer.enqueue")
    def _enqueue(
        self, func: Func, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any], due: str = ""
    ) -> Job[Any]:
        new = finish(examine(self._terms, func, args, kwargs, options, due))
        durable = self._durable(options) if options else self._terms.usual.durable
        job, answer = send_one(self.store, self.name, new, durable=durable)
        return job if self.is_async or not answer.written else run_inline(job)

    def _durable(self, options: Mapping[str, Any]) -> bool:
        return bool(options.get("durable", self._terms.usual.durable))

    # -- one answer for all who ask ------------------------------------------------------------------------------------

    def enqueue_or_join(
        self, f: Func, *args: Any, job_id: str, on_failed: Literal["rerun", "raise"] = "rerun", **kwargs: Any
    ) -> Joined:
        """Enqueues the call under `job_id`, or joins the job that has this id: (job, "queued" | "joined" | "cached").

        A live one is joined; one that finished and whose value is still kept is cached; one that is gone, has no value,
        was stopped, canceled or has expired is run again; one that failed is run again, or with `on_failed="raise"`
        JobFailed is raised. The first to enqueue says with which options; `rqlike.content_id` makes ids of calls.
        One round trip. Raises what `enqueue` raises; DuplicateJobError where the job of this id is another call, or is
        to be run again while its `unique_for` goes on.
        """
        check_on_failed(on_failed)
        options, own = split({**kwargs, "job_id": check_job_id(job_id)})
        if "on_duplicate" in options:
            raise TypeError("enqueue_or_join joins the job that has the id: leave on_duplicate out, or use enqueue")
        args, own = explicit(args, own)
        new = prepare(self._terms, f, args, own, options)
        joined = join(self.store, self.name, new, on_failed, durable=self._durable(options))
        if joined.how == "queued" and not self.is_async:
            run_inline(joined.job)
        return joined

    @overload
    def enqueue_and_wait(
        self,
        f: Callable[..., T],
        *args: Any,
        timeout: Seconds = 30,
        on_failed: Literal["rerun", "raise"] = "rerun",
        cancel_on_timeout: bool = False,
        deadline: bool = False,
        **kwargs: Any,
    ) -> T: ...
    @overload
    def enqueue_and_wait(
        self,
        f: str,
        *args: Any,
        timeout: Seconds = 30,
        on_failed: Literal["rerun", "raise"] = "rerun",
        cancel_on_timeout: bool = False,
        deadline: bool = False,
        **kwargs: Any,
    ) -> Any: ...
    def enqueue_and_wait(
        self,
        f: Func,
        *args: Any,
        timeout: Seconds = 30,
        on_failed: Literal["rerun", "raise"] = "rerun",
        cancel_on_timeout: bool = False,
        deadline: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Enqueues the call, waits for it and returns its value: `enqueue`, or with a job_id `enqueue_or_join`, and
        `Job.wait` for what is left of `timeout`. Two round trips, and the block.

        The timeout ends the wait and nothing else: the job goes on. With `cancel_on_timeout` it is canceled then, if
        this call has enqueued it and it has not been started. With `deadline` it does not begin later than `timeout`
        from now (its ttl): nobody would hear of it. Arguments named as these are given by args= and kwargs=.

        Raises what `enqueue`, `enqueue_or_join` and `Job.wait` raise; WaitTimeout names the job.
        """
        seconds, begun = parse_seconds(timeout, "timeout"), clock.mono()
        check_on_failed(on_failed)
        if deadline:
            if "ttl" in kwargs:
                raise TypeError("deadline=True makes the timeout the job's ttl: give either deadline or ttl")
            kwargs["ttl"] = seconds
        if kwargs.get("job_id") is not None and "on_duplicate" not in kwargs:
            job, how = self.enqueue_or_join(f, *args, on_failed=on_failed, **kwargs)
        else:
            job, how = self._enqueue_first(f, args, kwargs)
        left = max(0.0, seconds - (clock.mono() - begun))
        return wait_or_leave(job, left, cancel=cancel_on_timeout and how == "queued")

    def _enqueue_first(self, f: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Joined:
        options, own = split(kwargs)
        args, own = explicit(args, own)
        new = prepare(self._terms, f, args, own, options)
        job, answer = send_one(self.store, self.name, new, durable=self._durable(options))
        if answer.written and not self.is_async:
            run_inline(job)
        return Joined(job, "queued" if answer.written else "joined")

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
        `options` are those of the jobs; their ids are made of key and slot. With `depends_on` each waits for these jobs
        as they are when its slot fires; one that is gone by then is not waited for.

        Raises ValueError that says what is wrong with the timetable, and what `enqueue` raises; NoSuchJobError where
        `depends_on` names a job that is none, and did not before.
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

    def page(self, status: JobStatus | str, cursor: str | None = None, limit: int = 100) -> Page:
        """`.jobs` of a status in its order, `limit` (1 to 500) at most, and `.next`, the cursor of the next page; None
        at the end. `cursor` None is the beginning.

        A job that is there all the while, in its place, comes exactly once, whoever comes and goes around it. A page
        may have fewer jobs than `limit`, where some have just left. Two round trips, O(log n) and what they return.
        Raises TypeError, ValueError."""
        return paging.page(self.store, self.name, status, cursor, limit)

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

    def empty(self, *, scheduled: bool = False, dry_run: bool = False) -> int:
        """Deletes the queued jobs, with `scheduled` those that are scheduled and deferred too; their waiters learn.
        Returns how many; with `dry_run` how many it would be. Jobs that come meanwhile are deleted as well.

        One round trip per 500 jobs, each a few milliseconds of the server's; one in all with `dry_run`."""
        statuses = erasure.waiting(scheduled=scheduled)
        if dry_run:
            return erasure.count(self.store, self.name, statuses)
        return sum(erasure.empty(self.store, self.name, statuses))

    def clean(
        self, status: JobStatus | str, older_than: Seconds = 0, *, limit: int = 1000, dry_run: bool = False
    ) -> int:
        """Deletes jobs of one status that ended at least `older_than` seconds ago, those next to expire first, and
        `limit` at most; of scheduled and deferred ones, those that were created then. Returns how many; with `dry_run`
        how many it would be.

        Homes are not in the order of these moments, so each job is looked at: one round trip per 500 of them, until
        `limit` are found. Jobs that end after the call has begun stay. Raises ValueError for queued and started (use
        `empty`, `job.cancel`, `job.delete`) and for other bad values, TypeError."""
        sweep = erasure.check_sweep(status, older_than, limit)
        return sum(erasure.clean(self.store, self.name, sweep, dry_run=dry_run))

    def obliterate(self, *, force: bool = False, dry_run: bool = False) -> int:
        """Deletes the queue: its jobs of all statuses with their results, its schedules, its pause, its name. Returns
        how many jobs; with `dry_run` how many it would be.

        Raises InvalidJobOperation while jobs of it are started, before anything is deleted. With `force` these are
        deleted as by `job.delete`: their horses are killed. Waiters learn; what tells them is there for 5 s.

        Meanwhile the queue is paused. What is enqueued until the last step is deleted too; what comes later makes the
        queue anew. Where somebody resumes the queue meanwhile and a job starts, it raises after a part. A call that was
        cut off leaves whole jobs and a pause that ends within 30 s; the same call goes on.

        One round trip per 500 jobs, each a few milliseconds of the server's, and one per some 250 schedules of the
        namespace."""
        if dry_run:
            found = erasure.look(self.store, self.name)
            if found.running and not force:
                raise running(self.name, found.running)
            return found.jobs
        return sum(erasure.obliterate(self.store, self.name, force=force))

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

    # -- events --------------------------------------------------------------------------------------------------------

    def events(self, *, after: str | None = None, timeout: Seconds | None = None) -> Iterator[Event]:
        """What happens to its jobs, one `Event` per transition, in order, as an iterator that waits for the next one.

        `after`: the id of an event to go on behind it, also in another process; "0" begins with the oldest that is
        kept; None with what comes from this call on. It ends when `timeout` seconds have passed without an event; None
        never. At least the newest 10,000 are kept: an event with `missed` comes behind a gap, which is logged too. A
        server that goes away meanwhile is waited for until the timeout, then its error is raised. Not for several
        threads at once.

        Raises TypeError, ValueError; DeserializationError where something else has written into the stream's key.
        Cost: for each event that was waited for one blocking read of at most 4 s, on a connection outside the client's
        pool, and one round trip; of those that are there already 200 come with each round trip.
        """
        return follow(self.store, self.name, after, timeout)

    def enable_events(self, on: bool = True) -> None:
        """Switches its events on or off, for all processes. One round trip. They are on by default.

        Off, nothing is written any more, and what was written is gone: who goes on reading later finds the gap by
        `Event.missed`. Raises TypeError."""
        if not isinstance(on, bool):
            raise TypeError(f"on takes True or False, not {type(on).__name__}")
        self.store.run(events.switch(self.name, on))

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
    new = prepare(queue._terms, func, tuple(args), kwargs, options)
    return put_schedule(queue.store, check_key(key), table, queue.name, new, source)


__all__ = ["Counts", "EnqueueData", "Joined", "Page", "Pause", "Queue"]
