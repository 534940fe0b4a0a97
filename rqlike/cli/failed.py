"""`rqlike failed`: the dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from typing import Any, TypeVar

import click

from rqlike import failures, tables
from rqlike.cli.context import OK, Session, pass_session, usage
from rqlike.cli.histories import CALL_WIDTH, result_facts
from rqlike.cli.jobs import act, jobs_in
from rqlike.cli.output import emit, emit_json, emit_table, note, progress, when
from rqlike.cli.program import Group
from rqlike.cli.queues import known_queues
from rqlike.cli.values import duration
from rqlike.failures import Criteria, check_criteria
from rqlike.job import Job
from rqlike.registry import FailedJobRegistry
from rqlike.results import Result
from rqlike.states import JobStatus, Reason


@click.group(cls=Group)
def failed() -> None:
    """Look at failed jobs, and run them again."""


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def criteria_options(command: Decorated) -> Decorated:
    """The options by which failed jobs are chosen."""
    for option in (
        click.option("--older-than", type=duration(), metavar="TIME", help="Only those that ended 90, 10m, 7d, … ago."),
        click.option("--reason", type=click.Choice([reason.value for reason in Reason]), help="Only with this reason."),
        click.option("--exc-type", metavar="CLASS", help="Only with this exception: its dotted path, or its name."),
        click.option("--func", metavar="PATH", help="Only of this function: its dotted path, or a glob over paths."),
        click.option("-q", "--queue", "names", multiple=True, help="Only this queue. May be repeated."),
    ):
        command = option(command)
    return command


def _criteria(options: Mapping[str, Any]) -> Criteria:
    with usage():
        return check_criteria(**options)


@failed.command("ls")
@criteria_options
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@pass_session
def list_failed(session: Session, /, names: tuple[str, ...], limit: int, **options: Any) -> int:
    """List failed jobs and why they failed, newest first."""
    criteria, queues = _criteria(options), known_queues(session, names)
    if not criteria.chooses:
        found, total = jobs_in(session, queues, [JobStatus.FAILED], limit)
    else:
        found, total = _matching(session, queues, criteria, limit)
    newest = Result.fetch_many(found, session.client, session.store.namespace)
    if session.json:
        pairs = zip(found, newest, strict=True)
        emit_json([{**job.to_dict(), "result": None if one is None else result_facts(one)} for job, one in pairs])
    elif found:
        _show(found, newest)
    else:
        note("no such failed jobs" if criteria.chooses else "no failed jobs")
    if len(found) < total:
        note(f"{len(found)} of {total} jobs; --limit shows more, --queue and --func choose")
    return OK


def _matching(session: Session, queues: Sequence[str], criteria: Criteria, limit: int) -> tuple[list[Job[Any]], int]:
    """At most `limit` failed jobs that fit, those that ended last first, and how many there are."""
    newest: list[tuple[int, str]] = []
    total = 0
    for name in queues:
        for page in failures.matching(session.store, name, criteria):
            total += len(page)
            newest = nlargest(limit, newest + [(one.ended_ms, one.failure.job_id) for one in page])
    loaded = Job.fetch_many([job_id for _, job_id in newest], session.client, session.store.namespace)
    return [job for job in loaded if job is not None], total


@failed.command()
@click.option("-q", "--queue", "names", multiple=True, help="Only this queue. May be repeated.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many per queue.")
@pass_session
def summary(session: Session, /, names: tuple[str, ...], limit: int) -> int:
    """Count failed jobs by function, exception and reason, the largest groups first."""
    found = {name: failures.summary(session.store, name, limit) for name in known_queues(session, names)}
    pairs = [(name, group) for name, groups in found.items() for group in groups]
    if session.json:
        emit_json([{"queue": name, **group._asdict()} for name, group in pairs])
    elif pairs:
        cells = [(name, *row) for name, groups in found.items() for row in failures.rows(groups)]
        emit_table(("queue", *failures.HEADINGS), cells, right=(1,))
    else:
        note("no failed jobs")
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
@click.option("--all", "every", is_flag=True, help="All of them, or all that the other options choose.")
@criteria_options
@click.option("--limit", type=click.IntRange(1), help="At most so many per queue.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@pass_session
def requeue(
    session: Session,
    /,
    job_ids: tuple[str, ...],
    every: bool,
    names: tuple[str, ...],
    limit: int | None,
    dry_run: bool,
    **options: Any,
) -> int:
    """Run failed jobs again: those named, those that options choose, or all."""
    criteria = _criteria(options)
    every = every or criteria.chooses
    if every == bool(job_ids):
        raise click.UsageError(
            "name the jobs to requeue (`rqlike failed ls` lists them), choose them by --func, --exc-type, --reason or "
            "--older-than, or give --all"
        )
    if not every:
        if names or limit or dry_run:
            raise click.UsageError("--queue, --limit and --dry-run go with --all")
        return act(session, job_ids, "requeued", lambda job: _registry(session, job.origin).requeue(job))
    done = {}
    for name in known_queues(session, names):
        if dry_run:
            done[name] = failures.requeueable(session.store, name, criteria, limit)
        else:
            most = _registry(session, name).count if limit is None else limit
            done[name] = progress(failures.requeue(session.store, name, criteria, limit), most)
    word = "would be requeued" if dry_run else "requeued"
    if session.json:
        emit_json({word.replace(" ", "_"): done})
    else:
        emit(f"{sum(done.values())} {word}")
    return OK


def _registry(session: Session, name: str) -> FailedJobRegistry:
    return FailedJobRegistry(name, session.client, namespace=session.store.namespace)
