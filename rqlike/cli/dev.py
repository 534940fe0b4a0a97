"""`rqlike dev`: an embedded server and a worker that reloads, for a developer's terminal."""

from __future__ import annotations

import os

import click

from rqlike import logs
from rqlike.cli.context import Session, pass_session, usage
from rqlike.cli.output import note, warn
from rqlike.cli.program import Command
from rqlike.cli.values import concurrency as horses
from rqlike.cli.worker import make_importable, run
from rqlike.settings import DEFAULT_QUEUE
from rqlike.store import embedded
from rqlike.store.connecting import URL_VARIABLES, Address, resolve_server
from rqlike.worker.worker import Worker


@click.command(cls=Command)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option("-c", "--concurrency", type=horses, metavar="N", default=1, show_default=True, help="Jobs at a time.")
@click.option("--stop-server", is_flag=True, help="Stop the server too in the end.")
@click.option("-v", "--verbose", is_flag=True, help="More log lines.")
@pass_session
def dev(session: Session, /, queues: tuple[str, ...], concurrency: int, stop_server: bool, verbose: bool) -> int:
    """Run an embedded server and a worker that reloads.

    The server is the one of this project directory. The worker takes up changed code from the next job on. Ctrl-C lets
    the running job end and stops the worker; the server goes on, until nobody has used it for ten minutes.
    """
    if session.url is not None:
        raise click.UsageError("dev brings its own server; with yours it is `rqlike worker --reload -u URL`")
    make_importable(session.folders)
    session.use(Address(embedded.url_of(embedded.data_dir()), "rqlike dev", embedded=True, allow_path=True))
    names = queues or (DEFAULT_QUEUE,)
    with usage():
        made = Worker(
            names,
            connection=session.client,
            namespace=session.store.namespace,
            concurrency=concurrency,
            reload=session.folders,
        )
    _banner(session, names)
    logs.configure("DEBUG" if verbose else "INFO")
    try:
        return run(made)
    finally:
        if stop_server and embedded.stop(embedded.data_dir()):
            note("server stopped")


def _banner(session: Session, names: tuple[str, ...]) -> None:
    found = embedded.status(embedded.data_dir())
    option = "" if DEFAULT_QUEUE in names else f" -q {names[0]}"
    note(f"server   {found.url} ({found.version}), data in {found.data_dir}")
    note(f"worker   on {', '.join(names)}, code from {', '.join(session.folders)}, reloads")
    note(f"enqueue  rqlike enqueue{option} MODULE.FUNCTION [ARGS]   or   Queue({names[0]!r}).enqueue(FUNCTION, …)")
    note("stop     Ctrl-C")
    usual = resolve_server()
    if usual.url == found.url:
        return
    variable = next((name for name in URL_VARIABLES if os.environ.get(name)), None)
    why = f"{variable} names another server" if variable else "they would look at localhost"
    warn(f"programs started elsewhere will not find this one: {why}. Say: export RQLIKE_REDIS_URL={found.url}")
