"""`rqlike server`: the embedded server of this project directory."""

from __future__ import annotations

import click

from rqlike.cli.context import NOT_FOUND, OK, NotFound, Session, pass_session
from rqlike.cli.output import emit, emit_json, lines, note, when
from rqlike.cli.program import Group
from rqlike.store import embedded
from rqlike.store.connecting import Address
from rqlike.store.embedded import ServerStatus, data_dir


@click.group(cls=Group)
@pass_session
def server(session: Session, /) -> None:
    """The embedded server of this project directory."""


def _only_ours(session: Session) -> None:
    if session.url is not None:
        raise click.UsageError("this is about the embedded server of the project directory, which has no -u/--url")
    session.use(Address(embedded.url_of(data_dir()), "rqlike server", embedded=True, allow_path=True))


@server.command()
@pass_session
def start(session: Session, /) -> int:
    """Start it where it does not run, and print its URL.

    It ends itself when nobody has been connected for ten minutes.
    """
    _only_ours(session)
    directory = data_dir()
    ran = embedded.status(directory).running
    embedded.attach_or_start(directory, allow_path=True)
    status = embedded.status(directory)
    note(f"{'runs already' if ran else 'started'}: {status.version}, data in {directory}")
    _show(session, status, status.url)
    return OK


@server.command()
@pass_session
def stop(session: Session, /) -> int:
    """Stop it. Jobs are kept; workers keep trying to reach it."""
    _only_ours(session)
    directory = data_dir()
    stopped = embedded.stop(directory)
    note(f"{'stopped' if stopped else 'no server runs'}: {directory}")
    if session.json:
        emit_json({"stopped": stopped, "data_dir": str(directory)})
    return OK


@server.command()
@pass_session
def status(session: Session, /) -> int:
    """Say whether it runs (exit code 0) or not (3)."""
    _only_ours(session)
    found = embedded.status(data_dir())
    told = [f"running   {'yes' if found.running else 'no'}", f"url       {found.url}", f"data      {found.data_dir}"]
    if found.running:
        told += [
            f"server    {found.version}",
            f"pid       {found.pid}",
            f"since     {when(found.started_at)} UTC",
        ]
    _show(session, found, "\n".join(told))
    return OK if found.running else NOT_FOUND


def _show(session: Session, found: ServerStatus, text: str) -> None:
    if not session.json:
        emit(text)
        return
    emit_json(
        {
            "running": found.running,
            "url": found.url,
            "data_dir": str(found.data_dir),
            "log": str(found.log_path),
            "pid": found.pid,
            "version": found.version,
            "started_at": found.started_at,
        }
    )


@server.command()
@click.option("-n", "--lines", "count", type=click.IntRange(1), default=50, show_default=True, help="How many lines.")
@pass_session
def logs(session: Session, /, count: int) -> int:
    """Print the end of its log."""
    _only_ours(session)
    path = embedded.log_path(data_dir())
    if not path.exists():
        raise NotFound(f"there is no log: no server has run for {path.parent}")
    found = path.read_text(errors="replace").splitlines()[-count:]
    if session.json:
        emit_json({"log": str(path), "lines": found})
    else:
        emit(lines("\n".join(found)))
    return OK
