"""`rqlike queues`: what is in them, pausing, emptying, cleaning and obliterating them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from rqlike import erasure, pauses, safetext
from rqlike.cli.context import OK, NotFound, Session, pass_session, usage
from rqlike.cli.output import confirm, emit, emit_json, emit_table, note, progress, warn, when
from rqlike.cli.program import Group
from rqlike.cli.values import duration
from rqlike.erasure import Remains
from rqlike.jsonvalues import jsonable
from rqlike.pauses import Pause
from rqlike.queue import Queue
from rqlike.safetext import printable
from rqlike.states import JobStatus
from rqlike.store import verbs
from rqlike.store.erasures import running

#: Shown only where some queue has such jobs: the table is to fit a terminal.
_SELDOM = (JobStatus.DEFERRED, JobStatus.STOPPED, JobStatus.CANCELED, JobStatus.EXPIRED)

Counted = list[tuple[str, Mapping[JobStatus, int]]]


@click.group(cls=Group)
def queues() -> None:
    """Look at queues, pause, empty, clean and obliterate them."""


def known_queues(session: Session, names: Sequence[str] = ()) -> list[str]:
    """The queues named, or all. Raises NotFound for a name that was never enqueued to."""
    known = session.store.run(verbs.queues())
    for name in names:
        if name not in known:
            raise NotFound(f"there is no queue {name!r}; known: {', '.join(known) or 'none'}")
    return list(dict.fromkeys(names)) or known


def queue_of(session: Session, name: str) -> Queue:
    """A queue of the session's namespace."""
    return Queue(name, session.client, namespace=session.store.namespace)


def counted(session: Session, names: Sequence[str]) -> Counted:
    """Queues with their jobs per status; one round trip."""
    if not names:
        return []
    counts = session.store.run(verbs.counts(names))
    return list(zip(names, counts, strict=True))


class Paused(NamedTuple):
    """What keeps workers from queues."""

    everywhere: Pause | None  #: all queues of the namespace
    own: Mapping[str, Pause | None]  #: by name


def paused(session: Session, names: Sequence[str]) -> Paused:
    """The pauses of queues; one round trip per 500."""
    everywhere, *own = pauses.of_each(session.store, (pauses.ALL, *names))
    return Paused(everywhere, dict(zip(names, own, strict=True)))


def pause_facts(found: Pause | None) -> dict[str, object] | None:
    """A pause as data."""
    return None if found is None else dict(found._asdict())


def queue_facts(found: Counted, kept: Paused) -> list[dict[str, object]]:
    """Queues as data; `paused` is what keeps workers from one, be it the suspension of all."""
    return [
        {
            "name": name,
            **{str(status): count for status, count in counts.items()},
            "paused": pause_facts(kept.own[name] or kept.everywhere),
        }
        for name, counts in found
    ]


def show_queues(found: Counted, kept: Paused) -> None:
    """Queues as a table, with a column for pauses where there are some; below it whether all are suspended."""
    shown = [status for status in JobStatus if status not in _SELDOM or any(counts[status] for _, counts in found)]
    head = ("queue", *shown, *(("paused",) if any(kept.own.values()) else ()))
    rows = [
        (name, *(counts[status] for status in shown), said_of(kept.own[name]))[: len(head)] for name, counts in found
    ]
    emit_table(head, rows, right=range(1, len(shown) + 1))


def said_of(found: Pause | None) -> str:
    """A pause in a few words; '' for none."""
    if found is None:
        return ""
    until = "until resumed" if found.until is None else f"until {when(found.until)} UTC"
    return printable(f"{until}: {found.reason}" if found.reason else until, 60)


def note_suspension(kept: Paused) -> None:
    """A line where no worker of the namespace claims anything."""
    if kept.everywhere is not None:
        note(f"suspended, {said_of(kept.everywhere)} (`rqlike resume` ends it)")


@queues.command("ls")
@pass_session
def list_queues(session: Session, /) -> int:
    """List the queues and how many jobs each has per status."""
    found = counted(session, known_queues(session))
    kept = paused(session, [name for name, _ in found])
    if session.json:
        emit_json(queue_facts(found, kept))
        return OK
    if found:
        show_queues(found, kept)
    else:
        note("no queues yet: one comes to be with its first job")
    note_suspension(kept)
    return OK


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option("--for", "ttl", type=duration(zero=False), metavar="TIME", help="Resume by itself after 90, 10m, …")
@click.option("--reason", default="", metavar="TEXT", help="One line for people.")
@pass_session
def pause(session: Session, /, names: tuple[str, ...], ttl: float | None, reason: str) -> int:
    """Have workers claim nothing more from queues; running jobs go on, enqueueing too."""
    chosen = known_queues(session, names)
    with usage():
        pauses.check_reason(reason)
    for name in chosen:
        pauses.pause(session.store, name, ttl, reason)
    if session.json:
        emit_json({"paused": chosen})
    else:
        emit("\n".join(f"{name} paused" for name in chosen))
    return OK


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@pass_session
def resume(session: Session, /, names: tuple[str, ...]) -> int:
    """Have workers claim again from queues that are paused."""
    chosen = known_queues(session, names)
    resumed = [name for name in chosen if pauses.resume(session.store, name)]
    if session.json:
        emit_json({"resumed": resumed})
        return OK
    for name in chosen:
        if name in resumed:
            emit(f"{name} resumed")
        else:
            note(f"{name} was not paused")
    note_suspension(paused(session, ()))
    return OK


_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say how many it would be.")


def _chosen(session: Session, names: Sequence[str]) -> list[Queue]:
    return [Queue(name, session.client, namespace=session.store.namespace) for name in known_queues(session, names)]


def _named(chosen: Sequence[Queue]) -> str:
    return ", ".join(queue.name for queue in chosen)


def _jobs(count: int, kind: str = "") -> str:
    return f"{count} {kind}{' ' if kind else ''}{'job' if count == 1 else 'jobs'}"


def _told(session: Session, counts: Mapping[str, int], *, dry_run: bool, more: Mapping[str, str] | None = None) -> int:
    """How many jobs of each queue are gone, or would be; `more` of a queue is said behind that."""
    if session.json:
        emit_json({"deleted": {} if dry_run else counts, "would_delete": counts if dry_run else {}})
    else:
        word = "would be deleted" if dry_run else "deleted"
        emit("\n".join(f"{name}: {count}{(more or {}).get(name, '')} {word}" for name, count in counts.items()))
    return OK


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option("--scheduled", is_flag=True, help="Also those that are scheduled or deferred.")
@_yes
@_dry_run
@pass_session
def empty(session: Session, /, names: tuple[str, ...], scheduled: bool, yes: bool, dry_run: bool) -> int:
    """Delete the queued jobs of queues; running and ended ones stay."""
    chosen, statuses = _chosen(session, names), erasure.waiting(scheduled=scheduled)
    counts = {queue.name: erasure.count(session.store, queue.name, statuses) for queue in chosen}
    if dry_run:
        return _told(session, counts, dry_run=True)
    total = sum(counts.values())
    confirm(f"Delete {_jobs(total, 'waiting' if scheduled else 'queued')} of {_named(chosen)}?", yes or not total)
    deleted = {name: progress(erasure.empty(session.store, name, statuses), count) for name, count in counts.items()}
    return _told(session, deleted, dry_run=False)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option(
    "-s",
    "--status",
    required=True,
    type=click.Choice([status.value for status in JobStatus if status not in erasure.INSTEAD]),
    help="Which ones.",
)
@click.option("--older-than", type=duration(), default="0", metavar="TIME", help="Only those of 90, 10m, 7d, … ago.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many per queue.")
@_yes
@_dry_run
@pass_session
def clean(
    session: Session, /, names: tuple[str, ...], status: str, older_than: float, limit: int, yes: bool, dry_run: bool
) -> int:
    """Delete jobs of one status. With --older-than only those that ended so long ago, or, where they are still to run,
    were made so long ago."""
    chosen, sweep = _chosen(session, names), erasure.check_sweep(status, older_than, limit)
    counts = {queue.name: queue.clean(status, older_than, limit=limit, dry_run=True) for queue in chosen}
    if dry_run:
        return _told(session, counts, dry_run=True)
    total = sum(counts.values())
    confirm(f"Delete {_jobs(total, status)} of {_named(chosen)}?", yes or not total)
    deleted = {name: progress(erasure.clean(session.store, name, sweep), count) for name, count in counts.items()}
    return _told(session, deleted, dry_run=False)


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option("--force", is_flag=True, help="Even while jobs of it run: these are killed.")
@_yes
@_dry_run
@pass_session
def obliterate(session: Session, /, names: tuple[str, ...], force: bool, yes: bool, dry_run: bool) -> int:
    """Delete queues with all that is theirs: jobs of all statuses, results, schedules, pauses, their names."""
    chosen = _chosen(session, names)
    found = {queue.name: erasure.look(session.store, queue.name) for queue in chosen}
    for name, remains in found.items():
        if remains.running and not force:
            raise running(name, remains.running)
    more = {name: _with_schedules(remains) for name, remains in found.items()}
    if dry_run:
        return _told(session, {name: remains.jobs for name, remains in found.items()}, dry_run=True, more=more)
    told = (f"{name} with {remains.jobs}{more[name]}{_running(remains.running)}" for name, remains in found.items())
    confirm(f"Delete {', '.join(told)}?", yes)
    deleted = {
        name: progress(erasure.obliterate(session.store, name, force=force), remains.jobs)
        for name, remains in found.items()
    }
    return _told(session, deleted, dry_run=False, more=more)


def _with_schedules(remains: Remains) -> str:
    jobs = " job" if remains.jobs == 1 else " jobs"
    if not remains.schedules:
        return jobs
    return f"{jobs} and {remains.schedules} {'schedule' if remains.schedules == 1 else 'schedules'}"


def _running(count: int) -> str:
    return f", {count} of the jobs running" if count else ""


@queues.command()
@click.argument("name", metavar="QUEUE")
@click.option("--after", metavar="ID", help="Go on behind this event; 0 begins with the oldest that is kept.")
@click.option("--timeout", type=duration(), metavar="TIME", help="End when nothing has happened for 90, 10m, …")
@pass_session
def events(session: Session, /, name: str, after: str | None, timeout: float | None) -> int:
    """Show what happens to the jobs of a queue, as it happens, until Ctrl-C."""
    (known,) = known_queues(session, (name,))
    with usage():
        following = queue_of(session, known).events(after=after, timeout=timeout)
    for event in following:
        if event.missed:
            warn("events before this one are kept no longer")
        if session.json:
            emit(safetext.json_text(jsonable(event._asdict())))
        else:
            emit(printable(f"{event.id} {event}", 600))
        sys.stdout.flush()
    return OK
