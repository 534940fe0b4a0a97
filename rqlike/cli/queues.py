"""`rqlike queues`: what is in them, and emptying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from rqlike.cli.context import OK, NotFound, Session, pass_session
from rqlike.cli.output import confirm, emit, emit_json, emit_table, note
from rqlike.cli.program import Group
from rqlike.queue import Queue
from rqlike.states import JobStatus
from rqlike.store import verbs

#: Shown only where some queue has such jobs: the table is to fit a terminal.
_SELDOM = (JobStatus.DEFERRED, JobStatus.STOPPED, JobStatus.CANCELED, JobStatus.EXPIRED)

Counted = list[tuple[str, Mapping[JobStatus, int]]]


@click.group(cls=Group)
def queues() -> None:
    """Look at queues, and empty them."""


def known_queues(session: Session, names: Sequence[str] = ()) -> list[str]:
    """The queues named, or all. Raises NotFound for a name that was never enqueued to."""
    known = session.store.run(verbs.queues())
    for name in names:
        if name not in known:
            raise NotFound(f"there is no queue {name!r}; known: {', '.join(known) or 'none'}")
    return list(dict.fromkeys(names)) or known


def counted(session: Session, names: Sequence[str]) -> Counted:
    """Queues with their jobs per status; one round trip."""
    if not names:
        return []
    counts = session.store.run(verbs.counts(names))
    return list(zip(names, counts, strict=True))


def queue_facts(found: Counted) -> list[dict[str, object]]:
    """Queues as data."""
    return [{"name": name, **{str(status): count for status, count in counts.items()}} for name, counts in found]


def show_queues(found: Counted) -> None:
    """Queues as a table."""
    shown = [status for status in JobStatus if status not in _SELDOM or any(counts[status] for _, counts in found)]
    rows = [(name, *(counts[status] for status in shown)) for name, counts in found]
    emit_table(("queue", *shown), rows, right=range(1, len(shown) + 1))


@queues.command("ls")
@pass_session
def list_queues(session: Session, /) -> int:
    """List the queues and how many jobs each has per status."""
    found = counted(session, known_queues(session))
    if session.json:
        emit_json(queue_facts(found))
    elif found:
        show_queues(found)
    else:
        note("no queues yet: one comes to be with its first job")
    return OK


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@pass_session
def empty(session: Session, /, names: tuple[str, ...], yes: bool, dry_run: bool) -> int:
    """Delete the queued jobs of queues; running, scheduled and ended ones stay."""
    chosen = [Queue(name, session.client, namespace=session.store.namespace) for name in known_queues(session, names)]
    if not dry_run:
        waiting = sum(queue.count for queue in chosen)
        confirm(f"Delete {waiting} queued jobs of {', '.join(queue.name for queue in chosen)}?", yes or not waiting)
    deleted = {queue.name: queue.empty(dry_run=dry_run) for queue in chosen}
    if session.json:
        emit_json({"deleted": {} if dry_run else deleted, "would_delete": deleted if dry_run else {}})
    else:
        word = "would be deleted" if dry_run else "deleted"
        emit("\n".join(f"{name}: {count} {word}" for name, count in deleted.items()))
    return OK
