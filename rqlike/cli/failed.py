"""`rqlike failed`: the dead letters."""

from __future__ import annotations

from typing import Any

import click

from rqlike import tables
from rqlike.cli.context import OK, Session, pass_session
from rqlike.cli.histories import CALL_WIDTH, result_facts
from rqlike.cli.jobs import act, jobs_in
from rqlike.cli.output import emit, emit_json, emit_table, note, when
from rqlike.cli.program import Group
from rqlike.cli.queues import known_queues
from rqlike.job import Job
from rqlike.registry import FailedJobRegistry
from rqlike.results import Result
from rqlike.states import JobStatus


@click.group(cls=Group)
def failed() -> None:
    """Look at failed jobs, and run them again."""


@failed.command("ls")
@click.option("-q", "--queue", "names", multiple=True, help="Only this queue. May be repeated.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@pass_session
def list_failed(session: Session, /, names: tuple[str, ...], limit: int) -> int:
    """List failed jobs and why they failed, newest first."""
    found, total = jobs_in(session, known_queues(session, names), [JobStatus.FAILED], limit)
    newest = Result.fetch_many(found, session.client, session.store.namespace)
    if session.json:
        pairs = zip(found, newest, strict=True)
        emit_json([{**job.to_dict(), "result": None if one is None else result_facts(one)} for job, one in pairs])
    elif found:
        _show(found, newest)
    else:
        note("no failed jobs")
    if len(found) < total:
        note(f"{len(found)} of {total} jobs; --limit shows more, --queue chooses")
    return OK


def _show(found: list[Job[Any]], newest: list[Result[Any] | None]) -> None:
    rows = [
        (
            tables.printable(job.id, 40),
            job.origin,
            when(job.ended_at),
            "" if result is None else result.reason or "",
            _last_line(result),
            tables.printable(job.description, CALL_WIDTH),
        )
        for job, result in zip(found, newest, strict=True)
    ]
    emit_table(("id", "queue", "ended (UTC)", "reason", "error", "call"), rows)


def _last_line(result: Result[Any] | None) -> str:
    told = ((result.exc_string if result is not None else None) or "").strip().splitlines()
    return tables.printable(told[-1].strip(), CALL_WIDTH) if told else ""


@failed.command()
@click.argument("job_ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("-q", "--queue", "names", multiple=True, help="With --all: only this queue. May be repeated.")
@click.option("--limit", type=click.IntRange(1), help="With --all: at most so many per queue.")
@click.option("--dry-run", is_flag=True, help="With --all: only say how many it would be.")
@pass_session
def requeue(
    session: Session, /, job_ids: tuple[str, ...], every: bool, names: tuple[str, ...], limit: int | None, dry_run: bool
) -> int:
    """Run failed jobs again: those named, or all."""
    if every == bool(job_ids):
        raise click.UsageError("name the jobs to requeue (`rqlike failed ls` lists them), or give --all")
    if not every:
        if names or limit or dry_run:
            raise click.UsageError("--queue, --limit and --dry-run go with --all")
        return act(session, job_ids, "requeued", lambda job: _registry(session, job.origin).requeue(job))
    done = {
        name: _registry(session, name).requeue_all(limit=limit, dry_run=dry_run)
        for name in known_queues(session, names)
    }
    word = "would be requeued" if dry_run else "requeued"
    if session.json:
        emit_json({word.replace(" ", "_"): done})
    else:
        emit(f"{sum(done.values())} {word}")
    return OK


def _registry(session: Session, name: str) -> FailedJobRegistry:
    return FailedJobRegistry(name, session.client, namespace=session.store.namespace)
