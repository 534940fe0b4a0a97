"""Schedule: a handle on one schedule; any worker of the namespace fires it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from rqlike import clock, firetimes
from rqlike.callables import call_string
from rqlike.durations import Seconds, format_seconds, parse_seconds, to_ms
from rqlike.exceptions import DeserializationError, NoSuchScheduleError, ScheduleChanged
from rqlike.job import Job
from rqlike.lookups import load
from rqlike.options import Policy
from rqlike.serializers import loads_call, stored_serializer
from rqlike.settings import FIRES_KEPT
from rqlike.store import schedules
from rqlike.store.schedules import ScheduleRecord, Seen
from rqlike.store.store import Conn, Store
from rqlike.store.verbs import NewJob
from rqlike.timetables import MISSED, MOST_CATCHUP, Timetable, first_slot, slot_after, slots_from

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

T = TypeVar("T")

KEY_LIMIT: Final = 200  #: bytes; with the slot behind it a key is the id of a job
_TRIES: Final = 20
_EACH_MINUTE: Final = "* * * * *"
_SHORTEST_S: Final = 0.1  #: of `every`: more often is a loop in a job, not a schedule


class Fire(NamedTuple):
    """One job that a schedule has made."""

    slot: datetime | None  #: the moment it stands for; None for `run_now`
    job_id: str
    fired_at: datetime

    @property
    def late(self) -> float:
        """Seconds from the slot to the job; 0 for `run_now`."""
        return 0.0 if self.slot is None else (self.fired_at - self.slot).total_seconds()

    def __repr__(self) -> str:
        late = "now" if self.slot is None else f"{format_seconds(self.late)} late"
        return f"<Fire {self.job_id!r} at {self.fired_at:%Y-%m-%d %H:%M:%SZ}, {late}>"


class Schedule:
    """A handle on one schedule, as it was when it was made, fetched or refreshed; `Queue.schedule` makes one.

    It has no process of its own: a worker of the namespace that comes across a slot makes its job, whatever queues the
    worker listens to. The id of that job is made of key and slot, so a slot is one job however many workers try.
    """

    def __init__(self, record: ScheduleRecord, store: Store) -> None:
        self._record = record
        self._store = store

    # -- finding -------------------------------------------------------------------------------------------------------

    @classmethod
    def fetch(cls, key: str, connection: Conn = None, *, namespace: str | None = None) -> Schedule:
        """The schedule of a key. Raises NoSuchScheduleError. One round trip."""
        store = Store(connection, namespace)
        return cls(_existing(store.run(schedules.look(check_key(key))), key), store)

    @classmethod
    def all(cls, connection: Conn = None, *, queue: object = None, namespace: str | None = None) -> list[Schedule]:
        """All schedules, or those of a queue (its name, or the Queue), by key. One round trip per some 250 of them."""
        store, cursor, found = Store(connection, namespace), "0", dict[str, ScheduleRecord]()
        while True:
            cursor, records = store.run(schedules.some(cursor))
            found.update((record.key, record) for record in records)
            if cursor == "0":
                break
        name = getattr(queue, "name", queue)
        return [cls(found[key], store) for key in sorted(found) if name is None or found[key].queue == name]

    def refresh(self) -> None:
        """Reads it again. Raises NoSuchScheduleError. One round trip."""
        self._record = _existing(self._store.run(schedules.look(self.key)), self.key)

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """Its name in the namespace."""
        return self._record.key

    @property
    def queue_name(self) -> str:
        """Where its jobs are queued."""
        return self._record.queue

    @property
    def func_name(self) -> str:
        """The path of the function that its jobs call."""
        return self._record.call.func_name

    @property
    def description(self) -> str:
        """What people read in lists: as given, or the call; never raises."""
        call = self._record.call
        if call.policy.description is not None:
            return call.policy.description
        try:
            args, kwargs = loads_call(stored_serializer(call.policy.serializer), call.payload)
        except (DeserializationError, ValueError):
            return f"{call.func_name}(unreadable arguments)"
        return call_string(call.func_name, args, kwargs)

    @property
    def policy(self) -> Policy:
        """How its jobs are run, kept and followed up."""
        return self._record.call.policy

    @property
    def cron(self) -> str | None:
        """Its expression; None where it has `every`."""
        return self._record.timetable.cron

    @property
    def every(self) -> float | None:
        """Seconds between two slots; None where it has `cron`."""
        every_ms = self._record.timetable.every_ms
        return None if every_ms is None else every_ms / 1000

    @property
    def tz(self) -> str:
        """The time zone in which `cron` is read."""
        return self._record.timetable.tz

    @property
    def timetable(self) -> Timetable:
        """All that decides when it fires."""
        return self._record.timetable

    @property
    def next_at(self) -> datetime | None:
        """The next slot; None while it is paused, and when it is over."""
        return None if self.paused else _moment(self._record.next_ms)

    @property
    def last_at(self) -> datetime | None:
        """The newest slot that has fired."""
        return _moment(self._record.last_ms)

    @property
    def fired(self) -> int:
        """Slots that have become jobs."""
        return self._record.fired

    @property
    def missed_count(self) -> int:
        """Slots that have not: nobody was there in time."""
        return self._record.missed

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self._record.paused_ms is not None

    @property
    def source(self) -> str | None:
        """The cron file, or the `CronScheduler`, that it comes from; None: `Queue.schedule` has made it."""
        return self._record.source or None

    def upcoming(self, n: int = 5) -> list[datetime]:
        """The next `n` slots as this handle knows it; fewer where it ends before, none while it is paused. Asks no
        server."""
        table, record = self._record.timetable, self._record
        if self.paused:
            return []
        left = n if table.limit is None else min(n, table.limit - record.fired)
        return [clock.utc(slot) for slot in islice(slots_from(table, record.next_ms), max(0, left))]

    def history(self, n: int = 10) -> list[Fire]:
        """The newest `n` of the last 25 fires, newest first. One round trip."""
        seen = self._store.run(schedules.look(self.key, max(0, min(n, FIRES_KEPT))))
        return [Fire(_moment(fire.slot_ms), fire.job_id, clock.utc(fire.fired_ms)) for fire in seen.fires]

    # -- acting --------------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """It fires no more until `resume`; slots until then are not missed, they are not there. Raises
        NoSuchScheduleError. One round trip."""
        self._record = self._store.run(schedules.reschedule(self._record, paused=True))

    def resume(self) -> None:
        """It goes on with its first slot from now on. Raises NoSuchScheduleError. Two round trips."""

        def go_on(seen: Seen) -> ScheduleRecord:
            record = _existing(seen, self.key)
            slot = record.next_ms
            following = slot if slot is None else slot_after(record.timetable, slot, seen.now_ms)
            return self._store.run(schedules.reschedule(record, paused=False, next_ms=following))

        self._record = _insist(self._store, self.key, go_on)

    def remove(self) -> None:
        """It is gone, with its history; also where it was gone before. Jobs that it has made stay. One round trip."""
        self._store.run(schedules.unschedule(self.key))

    def run_now(self) -> Job[Any]:
        """Queues a job from its template at once, beside its slots: they and `fired` stay as they are. Where its unique
        key is held, on_duplicate says what happens; where it depends on others, it waits for them. Raises
        NoSuchScheduleError, DuplicateJobError. Two round trips."""
        new_id = f"{self.key}@now-{os.urandom(6).hex()}"
        job_id = self._store.run(schedules.run_now(self.key, new_id))
        return Job(load(self._store, job_id), self._store)

    # -- comparing and showing -----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        when = f"cron={self.cron!r}" if self.every is None else f"every={self.every:g}"
        zone = f", tz={self.tz!r}" if self.tz != "UTC" else ""
        coming = "paused" if self.paused else "over"
        if self.next_at is not None:
            coming = f"next {self.next_at:%Y-%m-%d %H:%M:%SZ}"
        return f"<Schedule {self.key!r}: {self.func_name} on {self.queue_name!r}, {when}{zone}, {coming}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and (self.key, self._store.namespace) == (other.key, other._store.namespace)

    def __hash__(self) -> int:
        return hash((self.key, self._store.namespace))


def alike(one: Schedule, other: Schedule) -> bool:
    """Whether both make the same calls at the same slots on the same queue, and have the same source."""
    first, second = one._record, other._record
    return all(getattr(first, name) == getattr(second, name) for name in ("timetable", "queue", "call", "source"))


def put_schedule(
    store: Store, key: str, table: Timetable, queue: str, new: NewJob, source: str | None = None
) -> Schedule:
    """Writes a schedule, whatever was under its key. Two round trips.

    While the timetable is the same its slots go on as they were, so that a program may do this at each of its starts.
    Raises ValueError where a new timetable has no slot left, unless there is a `source`, "" or the name of a cron file:
    a file stays as it is when one of its schedules comes to its end."""

    def write(seen: Seen) -> ScheduleRecord:
        before = seen.record
        if before is not None and before.timetable == table:
            following = before.next_ms
        else:
            # not one that has fired already by the timetable before
            after = max(seen.now_ms, (before.last_ms or 0) if before is not None else 0)
            used_up = before is not None and table.limit is not None and before.fired >= table.limit
            following = None if used_up else first_slot(table, after)
            if following is None and source is None:
                why = f"it has fired {table.limit} times already" if used_up else "no slot is left before its end"
                raise ValueError(f"schedule {key!r} would never fire: {why}")
        return store.run(schedules.upsert(key, before, table, following, queue, new, source or ""))

    return Schedule(_insist(store, key, write), store)


def check_timetable(
    *,
    cron: str | None,
    every: Seconds | None,
    tz: str | ZoneInfo,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
    missed: str,
    max_catchup: int,
    grace: Seconds | None,
) -> Timetable:
    """What was said about when to fire, checked. Raises TypeError and ValueError that say what is wrong."""
    if (cron is None) == (every is None):
        raise ValueError('a schedule has exactly one of cron="0 3 * * *" and every="10m"')
    zone = firetimes.zone_name(tz)
    if cron is not None or zone != "UTC":
        firetimes.check(_EACH_MINUTE if cron is None else cron, zone)
    start_ms = None if start is None else clock.epoch_ms(start)
    end_ms = None if end is None else clock.epoch_ms(end)
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise ValueError(f"the end of the schedule, {end}, is before its start, {start}")
    if missed not in MISSED:
        raise ValueError(f"missed takes {', '.join(map(repr, MISSED))}, not {missed!r}")
    return Timetable(
        cron=None if cron is None else " ".join(cron.split()),
        every_ms=None if every is None else _every_ms(every),
        tz=zone,
        start_ms=start_ms,
        end_ms=end_ms,
        limit=None if limit is None else _whole("limit", limit, 1_000_000_000),
        missed=missed,
        max_catchup=_whole("max_catchup", max_catchup, MOST_CATCHUP),
        grace_ms=None if grace is None else to_ms(parse_seconds(grace, "grace")),
    )


def check_key(key: object) -> str:
    """A schedule's key: printable text of 1 to 200 bytes. Raises TypeError or ValueError."""
    if not isinstance(key, str):
        raise TypeError(f"a schedule's key is a str, not {type(key).__name__}")
    if not key.isprintable():
        raise ValueError(f"the key {key!r} has characters that cannot be printed")
    if not 1 <= len(key.encode(errors="replace")) <= KEY_LIMIT:
        raise ValueError(f"a schedule's key has 1 to {KEY_LIMIT} bytes, {key[:40]!r}… has {len(key.encode())}")
    return key


def _every_ms(every: Seconds) -> int:
    seconds = parse_seconds(every, "every", zero=False)
    if seconds < _SHORTEST_S:
        raise ValueError(f"every={every!r} is less than {_SHORTEST_S} s; let one job do the work of many such slots")
    return to_ms(seconds)


def _whole(name: str, value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be from 1 to {most}, not {value}")
    return value


def _insist(store: Store, key: str, write: Callable[[Seen], T]) -> T:
    """Looks and writes, again where somebody else has written in between. Raises ScheduleChanged after 20 times."""
    for _ in range(_TRIES - 1):
        try:
            return write(store.run(schedules.look(key)))
        except ScheduleChanged:
            continue
    return write(store.run(schedules.look(key)))


def _existing(seen: Seen, key: str) -> ScheduleRecord:
    if seen.record is None:
        raise NoSuchScheduleError(key=key)
    return seen.record


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else clock.utc(ms)
