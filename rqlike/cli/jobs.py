"""`rqlike jobs`: look at jobs, and act on them by their ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from rqlike.cli.context import FAILED, NOT_FOUND, OK, Session, pass_session, usage
from rqlike.cli.histories import job_facts, show_job, show_jobs
from rqlike.cli.output import emit, emit_json, note
from rqlike.cli.program import Group
from rqlike.cli.queues import counted, known_queues
from rqlike.cli.values import duration
from rqlike.cli.waiting import wait_and_show
from rqlike.cli.watching import watch_and_show
from rqlike.exceptions import NoSuchJobError, RqlikeError
from rqlike.job import Job
from rqlike.states import JobStatus
from rqlike.store import verbs


@click.group(cls=Group)
def jobs() -> None:
    """Look at jobs, wait for them, and act on them."""


def fetch(session: Session, job_id: str) -> Job[Any]:
    """The job of an id. Raises click.UsageError for what cannot be an id, NoSuchJobError."""
    with usage():
        return Job.fetch(job_id, session.client, session.store.namespace)


def jobs_in(
    session: Session, queues: Sequence[str], statuses: Sequence[JobStatus], limit: int
) -> tuple[list[Job[Any]], int]:
    """At most `limit` jobs, live statuses first, and how many there are.

    Waiting ones in the order in which they will be taken, ended ones newest first. Three round trips and one per home
    that is listed."""
    found = counted(session, queues)
    total = sum(counts[status] for _, counts in found for status in statuses)
    ids: list[str] = []
    for status in statuses:
        for name, counts in found:
            if counts[status] and len(ids) < limit:
                last = limit - len(ids) - 1
                home = session.store.run(verbs.listing(status, name, 0, last, descending=status.terminal))
                ids += [job_id for job_id, _ in home]
    loaded = Job.fetch_many(ids, session.client, session.store.namespace)
    return [job for job in loaded if job is not None], total


def _handle(session: Session, job_id: str) -> Job[Any]:
    """As `fetch`; of a job that cannot be read too, since it must be possible to delete it."""
    with usage():
        (job,) = Job.fetch_many([job_id], session.client, session.store.namespace)
    if job is None:
        raise NoSuchJobError(job_id=job_id)
    return job


def act(session: Session, job_ids: Sequence[str], word: str, do: Callable[[Job[Any]], object]) -> int:
    """Does one thing to each job. What was done is data; a refusal is a line on stderr, and the others go on."""
    done, code = [], OK
    for job_id in dict.fromkeys(job_ids):
        try:
            do(_handle(session, job_id))
        except RqlikeError as error:
            note(f"rqlike: {error}")
            code = max(code, NOT_FOUND if isinstance(error, NoSuchJobError) else FAILED)
        else:
            done.append(job_id)
            if not session.json:
                emit(f"{job_id} {word}")
    if session.json:
        emit_json({word: done})
    return code


@jobs.command("ls")
@click.option("-q", "--queue", "names", multiple=True, help="Only this queue. May be repeated.")
@click.option(
    "-s",
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in JobStatus]),
    help="May be repeated.",
)
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@pass_session
def list_jobs(session: Session, /, names: tuple[str, ...], statuses: tuple[str, ...], limit: int) -> int:
    """List jobs: live ones first, ended ones by how long they are kept."""
    wanted = [status for status in JobStatus if not statuses or status in statuses]
    found, total = jobs_in(session, known_queues(session, names), wanted, limit)
    if session.json:
        emit_json([job.to_dict() for job in found])
    elif found:
        show_jobs(found)
    else:
        note("no such jobs")
    if len(found) < total:
        note(f"{len(found)} of {total} jobs; --limit shows more, --queue and --status choose")
    return OK


@jobs.command()
@click.argument("job_id", metavar="ID")
@pass_session
def show(session: Session, /, job_id: str) -> int:
    """Show a job, its last 10 executions, and the newest traceback."""
    job = fetch(session, job_id)
    results = job.results()
    if session.json:
        emit_json(job_facts(job, results))
    else:
        show_job(job, results)
    return OK


@jobs.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--at-front", is_flag=True, help="Before the others of its queue.")
@pass_session
def requeue(session: Session, /, job_ids: tuple[str, ...], at_front: bool) -> int:
    """Run ended jobs again; their history stays."""
    return act(session, job_ids, "requeued", lambda job: job.requeue(at_front))


@jobs.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@pass_session
def cancel(session: Session, /, job_ids: tuple[str, ...]) -> int:
    """Cancel jobs: waiting ones never start, running ones are killed."""
    return act(session, job_ids, "canceled", lambda job: job.cancel())


@jobs.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@pass_session
def rm(session: Session, /, job_ids: tuple[str, ...]) -> int:
    """Delete jobs with their history; running ones are killed."""
    return act(session, job_ids, "deleted", lambda job: job.delete())


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("-t", "--timeout", type=duration(), metavar="TIME", help="Exit with 5 after so long; default no limit.")
@pass_session
def wait(session: Session, /, job_id: str, timeout: float | None) -> int:
    """Wait for a job and print its value; exit with 1 where it failed, with the traceback on stderr."""
    return wait_and_show(session, fetch(session, job_id), timeout)


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("-t", "--timeout", type=duration(), metavar="TIME", help="Exit with 5 after so long; default no limit.")
@pass_session
def watch(session: Session, /, job_id: str, timeout: float | None) -> int:
    """Show how far a job is, its log and its steps until it ends, then as `wait`. With --json a line for each."""
    return watch_and_show(session, fetch(session, job_id), timeout)
