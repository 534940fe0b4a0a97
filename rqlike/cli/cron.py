"""`rqlike cron`: a cron file's schedules into Redis."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from rqlike import tables
from rqlike.cli.context import OK, Session, pass_session, usage
from rqlike.cli.output import emit_json, emit_table, lines, note, warn, when
from rqlike.cli.program import Command
from rqlike.cli.schedules import coming, schedule_facts, timetable_facts, when_text
from rqlike.cli.sources import doubt_about
from rqlike.cli.worker import make_importable
from rqlike.cli.workers import living
from rqlike.cron import CronJob, CronScheduler, Upserted

_WIDTH: Final = 40
_PACKAGE: Final = str(Path(tables.__file__).parent) + os.sep
_HEADINGS: Final = ("key", "queue", "function", "when", "zone", "next (UTC)")


@click.command(cls=Command)
@click.argument("file")
@click.option("--name", help="Its source: what else has it is removed; default the name to import FILE under.")
@click.option("--dry-run", is_flag=True, help="Only read the file and print; asks no server.")
@click.option("-l", "--logging-level", "--logging_level", hidden=True)
@pass_session
def cron(session: Session, /, file: str, name: str | None, dry_run: bool, logging_level: str | None) -> int:
    """Write the schedules of a cron file, and return.

    FILE: a path or a dotted module that calls rqlike.cron.register. Schedules that it has written before and has no
    more are removed. No process stays, as RQ's does: any worker of the namespace fires. Exit code 2, with the line,
    where the file is wrong.
    """
    if logging_level is not None:
        warn("-l/--logging-level is needless: nothing stays running; `rqlike worker -v` logs the fires")
    make_importable(session.folders)
    with usage():
        scheduler = CronScheduler(None if dry_run else session.client, None, name or "", namespace=session.namespace)
    entries = _read(scheduler, file)
    _say_doubts(entries, session.folders)
    if dry_run:
        _show_entries(session, entries)
        return OK
    done = scheduler.start()
    if session.json:
        emit_json(_facts(done))
    else:
        _show(done)
    _say_what_follows(session, done)
    return OK


def _read(scheduler: CronScheduler, file: str) -> list[CronJob]:
    """The entries of a file. Raises click.UsageError that names its line."""
    try:
        scheduler.load_config_from_file(file)
        return scheduler.get_jobs()
    except Exception as error:
        place, is_ours = _place(error, file)
        if not is_ours:
            note(lines("".join(traceback.format_exception(error))))
        plain = is_ours and type(error) in (TypeError, ValueError, FileNotFoundError)
        kind = "" if plain else f"{type(error).__name__}: "
        said = error.msg if isinstance(error, SyntaxError) else error
        raise click.UsageError(f"{file}{place}: {kind}{said}") from error


def _place(error: Exception, file: str) -> tuple[str, bool]:
    """ ", line 7" of the file, as far as it is known, and whether the error says enough without a traceback."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}" if error.lineno and _is_file(error.filename, file) else "", True
    frames = traceback.extract_tb(error.__traceback__)
    numbers = [frame.lineno for frame in frames if _is_file(frame.filename, file)]
    raised_by = frames[-1].filename
    is_ours = raised_by.startswith((_PACKAGE, "<frozen ")) or _is_file(raised_by, file)
    return f", line {numbers[-1]}" if numbers else "", is_ours


def _is_file(filename: str | None, file: str) -> bool:
    """Whether a frame is of the cron file, which may be given as a path, with or without .py, or as a module."""
    stem = file.removesuffix(".py").replace(".", os.sep) if os.sep not in file else file.removesuffix(".py")
    wanted = Path(stem)
    given = Path(filename or "").with_suffix("")
    return given.parts[-len(wanted.parts) :] == wanted.parts or given == wanted.resolve()


def _say_doubts(entries: Sequence[CronJob], folders: Sequence[str]) -> None:
    """Of functions given by name; the others are here. A worker may have other code, so nothing is refused."""
    for name in dict.fromkeys(entry.func_name for entry in entries if isinstance(entry.func, str)):
        doubt = doubt_about(name, folders)
        if doubt is not None:
            warn(f"{doubt.text}. Workers that find none either will fail the jobs")


# -- showing -----------------------------------------------------------------------------------------------------------


def _show_entries(session: Session, entries: Sequence[CronJob]) -> None:
    if session.json:
        emit_json({"schedules": [_entry_facts(entry) for entry in entries]})
    elif entries:
        emit_table(_HEADINGS, [(*_cells(entry), when(entry.next_at) or "over") for entry in entries])
    note("nothing was written (--dry-run)")


def _entry_facts(entry: CronJob) -> dict[str, Any]:
    return {
        "key": entry.key,
        "queue": entry.queue_name,
        "func_name": entry.func_name,
        "source": entry.source,
        **timetable_facts(entry.timetable),
        "next_at": entry.next_at,
    }


def _facts(done: Upserted) -> dict[str, Any]:
    return {
        "schedules": [schedule_facts(one) for one in done.schedules],
        "new": done.new,
        "changed": done.changed,
        "removed": done.removed,
    }


def _show(done: Upserted) -> None:
    words = {**dict.fromkeys(done.changed, "changed"), **dict.fromkeys(done.new, "new")}
    rows = [(*_cells(one), coming(one), words.get(one.key, "as it was")) for one in done.schedules]
    rows += [(tables.printable(key, _WIDTH), "", "", "", "", "", "removed") for key in done.removed]
    if rows:
        emit_table((*_HEADINGS, ""), rows)


def _cells(one: Any) -> tuple[str, ...]:
    return (
        tables.printable(one.key, _WIDTH),
        one.queue_name,
        tables.printable(one.func_name, _WIDTH),
        tables.printable(when_text(one.timetable), _WIDTH),
        one.timetable.tz,
    )


def _say_what_follows(session: Session, done: Upserted) -> None:
    if not done.schedules:
        return
    note("any worker of the namespace fires them: no process needs to stay for that")
    if not living(session):
        queues = sorted({one.queue_name for one in done.schedules})
        note(f"no worker is living; start one: rqlike worker {' '.join(queues)}")
