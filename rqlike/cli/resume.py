"""`rqlike resume`: the end of `rqlike suspend`."""

from __future__ import annotations

import click

from rqlike import pauses
from rqlike.cli.context import OK, Session, pass_session
from rqlike.cli.output import emit, emit_json, note
from rqlike.cli.program import Command


@click.command(cls=Command)
@pass_session
def resume(session: Session, /) -> int:
    """Have workers claim again after `rqlike suspend`; queues that are paused themselves stay so."""
    resumed = pauses.resume(session.store, pauses.ALL)
    if session.json:
        emit_json({"resumed": resumed})
    elif resumed:
        emit(f"{session.store.namespace} resumed")
    else:
        note(f"{session.store.namespace} was not suspended")
    return OK
