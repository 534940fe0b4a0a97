"""`rqlike suspend`: no worker of the namespace claims anything."""

from __future__ import annotations

import click

from rqlike import pauses
from rqlike.cli.context import OK, Session, pass_session, usage
from rqlike.cli.output import emit, emit_json
from rqlike.cli.program import Command
from rqlike.cli.values import duration


@click.command(cls=Command)
@click.option(
    "--for",
    "--duration",
    "ttl",
    type=duration(zero=False),
    metavar="TIME",
    help="Resume by itself after 90, 10m, …; default when `rqlike resume` is called.",
)
@click.option("--reason", default="", metavar="TEXT", help="One line for people.")
@pass_session
def suspend(session: Session, /, ttl: float | None, reason: str) -> int:
    """Have all workers of the namespace claim nothing more; running jobs go on, enqueueing too."""
    with usage():
        pauses.check_reason(reason)
    pauses.pause(session.store, pauses.ALL, ttl, reason)
    if session.json:
        emit_json({"suspended": session.store.namespace})
    else:
        emit(f"{session.store.namespace} suspended")
    return OK
