"""`rqlike info`: queues, workers and the server on one screen."""

from __future__ import annotations

import click

from rqlike.cli.context import OK, Session, pass_session
from rqlike.cli.output import emit, emit_json, note
from rqlike.cli.program import Command
from rqlike.cli.queues import counted, known_queues, note_suspension, pause_facts, paused, queue_facts, show_queues
from rqlike.cli.workers import living, show_workers, worker_facts
from rqlike.states import JobStatus
from rqlike.store.connecting import describe, masked


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[QUEUE]...")
@pass_session
def info(session: Session, /, names: tuple[str, ...]) -> int:
    """Show queues, workers, and which server they are on."""
    found = counted(session, known_queues(session, names))
    kept = paused(session, [name for name, _ in found])
    alive = [one for one in living(session) if not names or set(names) & set(one.queue_names())]
    if session.json:
        address = session.address
        emit_json(
            {
                "server": {
                    "url": masked(address.url),
                    "chosen_by": address.chosen_by,
                    "embedded": address.embedded,
                },
                "namespace": session.store.namespace,
                "suspended": pause_facts(kept.everywhere),
                "queues": queue_facts(found, kept),
                "workers": worker_facts(alive),
            }
        )
        return OK
    emit(f"server     {describe(session.address)}")
    emit(f"namespace  {session.store.namespace}\n")
    if found:
        show_queues(found, kept)
    else:
        emit("no queues yet")
    emit("")
    if alive:
        show_workers(alive)
    else:
        emit("no workers")
    note_suspension(kept)
    listened = {name for one in alive for name in one.queue_names()}
    stuck = [name for name, counts in found if counts[JobStatus.QUEUED] and name not in listened]
    if stuck:
        note(f"jobs wait and no worker listens: rqlike worker {' '.join(stuck)}")
    return OK
