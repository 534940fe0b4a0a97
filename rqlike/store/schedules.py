"""Schedules in the store: what is kept of one, and the requests about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rqlike import codec, fields
from rqlike.exceptions import NoSuchScheduleError, RqlikeError, ScheduleChanged
from rqlike.records import CallRecord
from rqlike.store.groups import orphan
from rqlike.store.requests import Argument, Request
from rqlike.store.verbs import NewJob, held_by
from rqlike.timetables import Due, Timetable, slot_text


class ScheduleRecord(NamedTuple):
    """A schedule as it was when it was read. Moments in ms since the epoch; None: it has not happened, or will not."""

    key: str
    timetable: Timetable
    queue: str
    call: CallRecord
    revision: str
    next_ms: int | None
    last_ms: int | None = None  #: the newest slot that has fired
    last_at_ms: int | None = None  #: when it was fired
    fired: int = 0
    missed: int = 0
    paused_ms: int | None = None  #: since when it is paused
    source: str = ""  #: the cron file it comes from


class FireRecord(NamedTuple):
    """One job that a schedule has made."""

    slot_ms: int | None  #: None: somebody wanted it run now
    job_id: str
    fired_ms: int


class Seen(NamedTuple):
    """A look at one schedule."""

    now_ms: int
    record: ScheduleRecord | None
    fires: tuple[FireRecord, ...]  #: newest first


class DueSchedule(NamedTuple):
    """A schedule that this worker is to fire, as it was handed over."""

    key: str
    timetable: bytes  #: as it is stored
    slot: str
    revision: str
    fired: int


class Plan(NamedTuple):
    """What is to become of a schedule that is due."""

    schedule: DueSchedule
    due: Due


def job_id(key: str, slot_ms: int) -> str:
    """The id of the job of one slot: the same whoever fires it."""
    return f"{key}@{slot_text(slot_ms)}"


def upsert(
    key: str,
    seen: ScheduleRecord | None,
    table: Timetable,
    next_ms: int | None,
    queue: str,
    new: NewJob,
    source: str = "",
) -> Request[ScheduleRecord]:
    """Makes a schedule or replaces its timetable and template. Raises ScheduleChanged, NoSuchJobError."""
    arguments = (
        key,
        "" if seen is None else seen.revision,
        table.to_wire(),
        "" if next_ms is None else next_ms,
        queue,
        new.call,
        new.meta,
        new.band,
        "" if new.ttl_ms is None else new.ttl_ms,
        "" if new.failure_ttl_ms is None else new.failure_ttl_ms,
        new.limit,
        source,
        new.unique,
        new.wish,
        new.needs,
    )
    return Request("schedule", arguments, lambda reply: _record(key, reply), _refusal(key))


def reschedule(seen: ScheduleRecord, *, paused: bool, next_ms: int | None = None) -> Request[ScheduleRecord]:
    """Pauses a schedule, or lets it go on with `next_ms`. Raises NoSuchScheduleError, ScheduleChanged."""
    arguments = (seen.key, seen.revision, int(paused), "" if next_ms is None else next_ms)
    return Request("reschedule", arguments, lambda reply: _record(seen.key, reply), _refusal(seen.key))


def unschedule(key: str, source: str = "") -> Request[bool]:
    """A schedule is gone, where it has the source, if one is given; whether there was one."""
    return Request("unschedule", (key, source), bool)


def run_now(key: str, new_id: str) -> Request[str]:
    """A job beside the slots; the id of the job that holds its key where that one is wanted. Raises
    NoSuchScheduleError, DuplicateJobError."""
    return Request("run_now", (key, new_id), codec.text, _refusal(key))


def look(key: str, fires: int = 0, now_ms: int | None = None) -> Request[Seen]:
    """One schedule and its newest fires."""

    def read(reply: Any) -> Seen:
        now, flat, found = reply
        record = _record(key, flat) if flat else None
        return Seen(now, record, tuple(fire for one in found if (fire := _fire(key, one)) is not None))

    return Request("schedule_of", (key, fires), read, now_ms=now_ms)


def some(cursor: str) -> Request[tuple[str, list[ScheduleRecord]]]:
    """Some schedules, and the cursor of the next call, "0" where these were the last. One that cannot be read is left
    out; a worker that should fire it says so."""

    def read(reply: Any) -> tuple[str, list[ScheduleRecord]]:
        following, pairs = reply
        records = []
        for key, flat in zip(pairs[::2], pairs[1::2], strict=True):
            try:
                records.append(_record(codec.text(key), flat))
            except RqlikeError:
                continue
        return codec.text(following), records

    return Request("schedules", (cursor,), read)


def read_due(stored: Sequence[Any]) -> DueSchedule:
    """A schedule as `advance` hands it over."""
    key, table, slot, revision, fired = stored
    return DueSchedule(codec.text(key), table, codec.text(slot), codec.text(revision), codec.number(fired) or 0)


def fire(plans: Sequence[Plan], now_ms: int | None = None) -> Request[list[int | str]]:
    """Slots become jobs, and their schedules go on. Per schedule the number of jobs made, -1 where another worker was
    quicker or it has changed, or what is wrong with what is stored."""
    arguments: list[Argument] = []
    for schedule, due in plans:
        following = "" if due.next is None else due.next
        arguments += (schedule.key, schedule.revision, schedule.slot, following, due.missed, len(due.slots))
        for slot in due.slots:
            arguments += (slot, job_id(schedule.key, slot))

    def read(reply: Any) -> list[int | str]:
        _, *answers = codec.unpack_reply(reply)
        return [answer if isinstance(answer, int) else codec.text(answer) for answer in answers]

    return Request("fire", tuple(arguments), read, now_ms=now_ms)


def _refusal(key: str) -> Callable[[str, str], RqlikeError | None]:
    def refused(word: str, detail: str) -> RqlikeError | None:
        if word == "NOSCHEDULE":
            return NoSuchScheduleError(key=key)
        if word == "HELD":
            return held_by(detail)
        if word == "NOPARENT":
            return orphan(detail)
        return ScheduleChanged(key=key) if word == "CHANGED" else None

    return refused


def _record(key: str, flat: codec.Flat) -> ScheduleRecord:
    got = dict(zip(flat[::2], flat[1::2], strict=False))

    def stored(name: str) -> bytes:
        return got.get(fields.SCHEDULE[name].encode(), b"")

    def moment(name: str) -> int | None:
        return codec.number(stored(name)) if stored(name) else None

    return ScheduleRecord(
        key=key,
        timetable=Timetable.from_wire(stored("timetable")),
        queue=codec.text(stored("queue")),
        call=codec.decode_call(stored("call")),
        revision=codec.text(stored("revision")),
        next_ms=moment("next"),
        last_ms=moment("last"),
        last_at_ms=moment("last_at"),
        fired=moment("fired") or 0,
        missed=moment("missed") or 0,
        paused_ms=moment("paused"),
        source=codec.text(stored("source")),
    )


def _fire(key: str, stored: bytes) -> FireRecord | None:
    slot, _, rest = codec.text(stored).partition(" ")
    fired, _, own_id = rest.partition(" ")
    if not fired.isdigit():
        return None
    if slot == "-":
        return FireRecord(None, own_id, int(fired))
    return FireRecord(int(slot), job_id(key, int(slot)), int(fired)) if slot.isdigit() else None
