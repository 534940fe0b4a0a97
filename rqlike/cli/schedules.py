"""`rqlike schedules`: when they fire, what they have made, and holding them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from rqlike import clock, tables
from rqlike.cli.context import FAILED, NOT_FOUND, OK, Failure, Session, pass_session, usage
from rqlike.cli.histories import CALL_WIDTH
from rqlike.cli.output import emit, emit_json, emit_table, note, shown, when
from rqlike.cli.program import Group
from rqlike.cli.queues import known_queues
from rqlike.cli.waiting import WaitingCommand, wait_and_show, wait_option
from rqlike.durations import format_seconds
from rqlike.exceptions import NoSuchScheduleError, RqlikeError
from rqlike.firetimes import next_fire
from rqlike.options import PLAIN_POLICY
from rqlike.schedules import Fire, Schedule, check_key
from rqlike.store.schedules import unschedule
from rqlike.timetables import Timetable

_KEY_WIDTH: Final = 40
_FIRES: Final = 10
_UPCOMING: Final = 3


@click.group(cls=Group)
def schedules() -> None:
    """Look at schedules, pause them, and run them now."""


# -- as data and as text -----------------------------------------------------------------------------------------------


def when_text(table: Timetable) -> str:
    """When a schedule fires, for people; its zone apart."""
    return table.cron if table.cron is not None else f"every {format_seconds((table.every_ms or 0) / 1000)}"


def timetable_facts(table: Timetable) -> dict[str, Any]:
    """A timetable as data."""
    return {
        "cron": table.cron,
        "every": None if table.every_ms is None else table.every_ms / 1000,
        "tz": table.tz,
        "start": None if table.start_ms is None else clock.utc(table.start_ms),
        "end": None if table.end_ms is None else clock.utc(table.end_ms),
        "limit": table.limit,
        "missed": table.missed,
        "max_catchup": table.max_catchup,
        "grace": None if table.grace_ms is None else table.grace_ms / 1000,
    }


def schedule_facts(found: Schedule) -> dict[str, Any]:
    """A schedule as data."""
    return {
        "key": found.key,
        "queue": found.queue_name,
        "func_name": found.func_name,
        "description": found.description,
        "source": found.source,
        **timetable_facts(found.timetable),
        "next_at": found.next_at,
        "last_at": found.last_at,
        "fired": found.fired,
        "missed_count": found.missed_count,
        "paused": found.paused,
    }


def _fire_facts(fire: Fire) -> dict[str, Any]:
    return {"slot": fire.slot, "job_id": fire.job_id, "fired_at": fire.fired_at, "late": fire.late}


def relative(moment: datetime) -> str:
    """How far a moment is from now, by this host's clock: "in 3h 5m", "2s ago"."""
    seconds = clock.epoch_ms(moment) / 1000 - clock.wall_ms() / 1000
    return f"in {format_seconds(seconds)}" if seconds >= 0 else f"{format_seconds(-seconds)} ago"


def _local(moment: datetime, tz: str) -> str:
    return moment.astimezone(ZoneInfo(tz)).strftime("%a %Y-%m-%d %H:%M:%S %z")


def coming(found: Schedule) -> str:
    """The next slot for a table, or why there is none."""
    return when(found.next_at) or ("paused" if found.paused else "over")


# -- looking -----------------------------------------------------------------------------------------------------------


@schedules.command("ls")
@click.option("-q", "--queue", "names", multiple=True, help="Only of this queue. May be repeated.")
@pass_session
def list_schedules(session: Session, /, names: tuple[str, ...]) -> int:
    """List the schedules: when they fire next, and how often they have."""
    wanted = known_queues(session, names) if names else None
    found = Schedule.all(session.client, namespace=session.store.namespace)
    found = [one for one in found if wanted is None or one.queue_name in wanted]
    if session.json:
        emit_json([schedule_facts(one) for one in found])
    elif found:
        _show_list(found)
    else:
        note("no schedules: one comes to be with Queue.schedule or `rqlike cron FILE`")
    return OK


def _show_list(found: Sequence[Schedule]) -> None:
    rows = [
        (
            tables.printable(one.key, _KEY_WIDTH),
            one.queue_name,
            tables.printable(one.func_name, _KEY_WIDTH),
            tables.printable(when_text(one.timetable), _KEY_WIDTH),
            one.tz,
            coming(one),
            when(one.last_at),
            one.fired,
            one.missed_count,
            "yes" if one.paused else "no",
        )
        for one in found
    ]
    headings = ("key", "queue", "function", "when", "zone", "next (UTC)", "last (UTC)", "fired", "missed", "paused")
    emit_table(headings, rows, right=(7, 8))


@schedules.command()
@click.argument("key")
@pass_session
def show(session: Session, /, key: str) -> int:
    """Show a schedule, its newest fires, and its next slots."""
    found = _fetch(session, key)
    fires = found.history(_FIRES)
    if session.json:
        more = {"upcoming": _upcoming(found, _UPCOMING), "history": [_fire_facts(fire) for fire in fires]}
        emit_json({**schedule_facts(found), "options": _options(found), **more})
        return OK
    _show_facts(found)
    if fires:
        emit("")
        rows = [(when(fire.slot) or "run now", when(fire.fired_at), _late(fire), fire.job_id) for fire in fires]
        emit_table(("slot (UTC)", "fired at (UTC)", "late", "job"), rows)
    slots = _upcoming(found, _UPCOMING)
    if slots:
        emit("")
        _show_slots(slots, found.tz)
    return OK


def _show_facts(found: Schedule) -> None:
    table = found.timetable
    facts: dict[str, object] = {
        "key": found.key,
        "call": found.description,
        "queue": found.queue_name,
        "when": when_text(table),
        "zone": table.tz,
        "start": "" if table.start_ms is None else f"{when(clock.utc(table.start_ms))} UTC",
        "end": "" if table.end_ms is None else f"{when(clock.utc(table.end_ms))} UTC",
        "limit": table.limit,
        "if missed": f"all, {table.max_catchup} at most" if table.missed == "all" else table.missed,
        "grace": "" if table.grace_ms is None else format_seconds(table.grace_ms / 1000),
        "next": coming(found) + (" UTC" if found.next_at else ""),
        "last": f"{when(found.last_at)} UTC" if found.last_at else "",
        "fired": found.fired,
        "missed": found.missed_count,
        "source": found.source,
        **{name.replace("_", " "): value for name, value in _options(found).items()},
    }
    for name, value in facts.items():
        if value not in (None, ""):
            emit(f"{name:<13} {tables.printable(str(value), CALL_WIDTH * 4)}")


def _options(found: Schedule) -> dict[str, str]:
    """The options of its jobs that are not the usual ones, as text."""
    policy = found.policy
    pairs = zip(policy._fields, policy, PLAIN_POLICY, strict=True)
    differing = {name: value for name, value, usual in pairs if value != usual and name != "description"}
    return {
        name: format_seconds(value) if isinstance(value, float) else value if isinstance(value, str) else shown(value)
        for name, value in differing.items()
    }


def _late(fire: Fire) -> str:
    return "" if fire.slot is None else format_seconds(max(0.0, fire.late))


@schedules.command("next")
@click.argument("key", required=False)
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, show_default=True, help="So many slots.")
@click.option("--cron", "expression", metavar="EXPRESSION", help="Of this expression; asks no server.")
@click.option("--tz", metavar="ZONE", help="With --cron: the time zone it is meant in; default UTC.")
@pass_session
def show_next(session: Session, /, key: str | None, count: int, expression: str | None, tz: str | None) -> int:
    """Show the next slots of a schedule, or of a cron expression.

    In the zone it is meant in, in UTC, and from now.
    """
    if (key is None) == (expression is None):
        raise click.UsageError('name a schedule (`rqlike schedules ls` lists them), or give --cron "0 3 * * *"')
    if expression is None:
        if tz is not None:
            raise click.UsageError("--tz goes with --cron; a schedule has its own zone")
        found = _fetch(session, key or "")
        slots, zone = _upcoming(found, count), found.tz
        if not slots:
            note(f"{found.key} has no next slot: it is {coming(found)}")
    else:
        zone = tz or "UTC"
        with usage():
            slots = list(islice(_fires(expression, zone), count))
    if session.json:
        emit_json(slots)
    elif slots:
        _show_slots(slots, zone)
    return OK


def _upcoming(found: Schedule, count: int) -> list[datetime]:
    """Its next slots. Raises Failure where it names what this host does not know, such as a new zone."""
    try:
        return found.upcoming(count)
    except ValueError as error:
        raise Failure(f"schedule {found.key} cannot fire here: {error}") from error


def _fires(expression: str, tz: str) -> Iterable[datetime]:
    moment = next_fire(expression, clock.utc(clock.wall_ms()), tz)
    while True:
        yield moment
        try:
            moment = next_fire(expression, moment, tz)
        except ValueError:  # past the last year
            return


def _show_slots(slots: Sequence[datetime], tz: str) -> None:
    if tz == "UTC":
        emit_table(("next (UTC)", "from now"), [(when(slot), relative(slot)) for slot in slots])
    else:
        rows = [(_local(slot, tz), when(slot), relative(slot)) for slot in slots]
        emit_table((f"next ({tz})", "UTC", "from now"), rows)


# -- acting ------------------------------------------------------------------------------------------------------------


@schedules.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@pass_session
def pause(session: Session, /, keys: tuple[str, ...]) -> int:
    """Have schedules fire no more until they are resumed; slots until then are not missed."""
    return _act(session, keys, "paused", lambda key: _fetch(session, key).pause())


@schedules.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@pass_session
def resume(session: Session, /, keys: tuple[str, ...]) -> int:
    """Have paused schedules go on with their first slot from now on."""
    return _act(session, keys, "resumed", lambda key: _fetch(session, key).resume())


@schedules.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@pass_session
def rm(session: Session, /, keys: tuple[str, ...]) -> int:
    """Remove schedules with their history; the jobs they have made stay."""

    def remove(key: str) -> None:
        if not session.store.run(unschedule(_checked(key))):
            raise NoSuchScheduleError(key=key)

    return _act(session, keys, "removed", remove)


@schedules.command(cls=WaitingCommand)
@click.argument("key")
@wait_option
@pass_session
def run(session: Session, /, key: str, limit: float | None) -> int:
    """Queue a job of a schedule now, beside its slots, and print its id."""
    job = _fetch(session, key).run_now()
    if limit is not None:
        return wait_and_show(session, job, None if limit == float("inf") else limit)
    if session.json:
        emit_json(job.to_dict())
    else:
        emit(job.id)
    return OK


def _act(session: Session, keys: Sequence[str], word: str, do: Callable[[str], object]) -> int:
    """Does one thing to each schedule. A refusal is a line on stderr, and the others go on."""
    done, code = [], OK
    for key in dict.fromkeys(keys):
        try:
            do(key)
        except (RqlikeError, ValueError) as error:  # the second for a zone, say, that this host does not know
            note(f"rqlike: {error}")
            code = max(code, NOT_FOUND if isinstance(error, NoSuchScheduleError) else FAILED)
        else:
            done.append(key)
            if not session.json:
                emit(f"{key} {word}")
    if session.json:
        emit_json({word: done})
    return code


def _checked(key: str) -> str:
    with usage():
        return check_key(key)


def _fetch(session: Session, key: str) -> Schedule:
    return Schedule.fetch(_checked(key), session.client, namespace=session.store.namespace)
