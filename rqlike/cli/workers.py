"""`rqlike workers`: who is alive, and sending them home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rqlike.cli.context import OK, NotFound, Session, pass_session
from rqlike.cli.output import emit, emit_json, emit_table, note, when
from rqlike.cli.program import Group
from rqlike.command import send_shutdown_command
from rqlike.worker.worker import Worker, WorkerHandle


@click.group(cls=Group)
def workers() -> None:
    """Look at the living workers, and stop them."""


def living(session: Session) -> list[WorkerHandle]:
    """The living workers of the namespace; one round trip."""
    return Worker.all(session.client, namespace=session.store.namespace)


def worker_facts(found: Sequence[WorkerHandle]) -> list[dict[str, Any]]:
    """Workers as data."""
    return [
        {
            "name": worker.name,
            "state": worker.state,
            "queues": worker.queue_names(),
            "hostname": worker.hostname,
            "pid": worker.pid,
            "version": worker.version,
            "python_version": worker.python_version,
            "concurrency": worker.concurrency,
            "birth_date": worker.birth_date,
            "last_heartbeat": worker.last_heartbeat,
            "successful_job_count": worker.successful_job_count,
            "failed_job_count": worker.failed_job_count,
            "total_working_time": worker.total_working_time,
            "current_job_ids": list(worker.current_job_ids),
        }
        for worker in found
    ]


def show_workers(found: Sequence[WorkerHandle]) -> None:
    """Workers as a table."""
    rows = [
        (
            worker.name,
            worker.state,
            ",".join(worker.queue_names()),
            f"{len(worker.current_job_ids)}/{worker.concurrency}",
            worker.successful_job_count,
            worker.failed_job_count,
            when(worker.last_heartbeat),
        )
        for worker in found
    ]
    emit_table(("worker", "state", "queues", "busy", "ok", "failed", "last seen (UTC)"), rows, right=(3, 4, 5))


@workers.command("ls")
@pass_session
def list_workers(session: Session, /) -> int:
    """List the living workers."""
    found = living(session)
    if session.json:
        emit_json(worker_facts(found))
    elif found:
        show_workers(found)
    else:
        note("no workers: start one with `rqlike worker`")
    return OK


@workers.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All living workers of the namespace.")
@pass_session
def stop(session: Session, /, names: tuple[str, ...], every: bool) -> int:
    """Have workers stop as after a first SIGTERM: running jobs end, nothing more is claimed.

    Returns once the order is given.
    """
    if every == bool(names):
        raise click.UsageError("name the workers to stop (`rqlike workers ls` lists them), or give --all")
    alive = [worker.name for worker in living(session)]
    for name in names:
        if name not in alive:
            raise NotFound(f"there is no living worker {name!r}; living: {', '.join(alive) or 'none'}")
    ordered = alive if every else list(dict.fromkeys(names))
    for name in ordered:
        send_shutdown_command(session.client, name, namespace=session.store.namespace)
    if session.json:
        emit_json({"stopping": ordered})
    elif ordered:
        emit("\n".join(ordered))
    else:
        note("no workers are living")
    return OK
