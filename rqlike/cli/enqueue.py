"""`rqlike enqueue`: a call from a shell."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from rqlike.callables import reference_of
from rqlike.cli.arguments import parse_arguments
from rqlike.cli.context import OK, Session, pass_session, usage
from rqlike.cli.output import emit, emit_json, is_terminal, note, warn
from rqlike.cli.sources import doubt_about
from rqlike.cli.values import duration
from rqlike.cli.values import moment as at_moment
from rqlike.cli.waiting import WaitingCommand, wait_and_show, wait_option
from rqlike.exceptions import RqlikeError, TimeoutFormatError
from rqlike.job import Job
from rqlike.options import check
from rqlike.queue import Queue
from rqlike.settings import DEFAULT_QUEUE


@click.command(cls=WaitingCommand)
@click.argument("func")
@click.argument("arguments", nargs=-1, metavar="[ARGS]...")
@click.option("-q", "--queue", "queue_name", default=DEFAULT_QUEUE, show_default=True, help="Its queue.")
@click.option("--in", "delay", type=duration(), metavar="TIME", help="Run it in 90, 1h30m, …")
@click.option("--at", "moment", type=at_moment, metavar="WHEN", help="Run it at 2026-11-22T08:30:00Z.")
@click.option("--job-id", help="Default a random UUID.")
@click.option("--retry", type=int, metavar="N", help="Try again so often when it fails.")
@click.option(
    "--timeout",
    "job_timeout",
    type=duration(forever=True, zero=False),
    metavar="TIME",
    help="It may run so long; 180.",
)
@click.option(
    "--result-ttl",
    type=duration(forever=True),
    metavar="TIME",
    help="Keep it so long once finished; 500, -1 for ever.",
)
@click.option(
    "--no-store-result",
    "store_result",
    flag_value=False,
    default=None,
    help="Store only that it finished, not what it returned.",
)
@click.option(
    "--failure-ttl",
    type=duration(forever=True, zero=False),
    metavar="TIME",
    help="Keep it so long when failed; a year.",
)
@click.option(
    "--ttl", type=duration(zero=False), metavar="TIME", help="Drop it where it has not started after so long."
)
@click.option("--description", help="For lists; default the call.")
@click.option("--at-front", is_flag=True, help="Before the others of its queue.")
@click.option("--priority", type=int, metavar="N", help="-100 to 100, 0; higher ones go first in their queue.")
@click.option("--durable", is_flag=True, help="Return only when the server's disk and a replica have it.")
@click.option("-S", "--serializer", default="msgpack", show_default=True, help="msgpack, json or pickle.")
@wait_option
@pass_session
def enqueue(
    session: Session,
    /,
    func: str,
    arguments: tuple[str, ...],
    queue_name: str,
    serializer: str,
    delay: float | None,
    moment: datetime | None,
    limit: float | None,
    **options: Any,
) -> int:
    """Enqueue a call and print the id of its job.

    FUNC: package.module.function; a worker must be able to import it.

    ARGS: text, :json, %literal; name=text, name:=json, name%=literal; @file in place of a value reads a file. Write --
    before arguments that begin with a dash.

    With --wait: print the value instead; exit 1 where the job failed, 5 where SECONDS were over.
    """
    if delay is not None and moment is not None:
        raise click.UsageError("give either --in or --at, not both")
    args, kwargs = parse_arguments(arguments)
    given = {name: value for name, value in options.items() if value is not None}
    with usage():
        reference_of(func)
        check(given, {})
        queue = Queue(queue_name, session.client, serializer=serializer, namespace=session.store.namespace)
    _say_doubts(session, func)
    job = _enqueued(queue, func, args, kwargs, delay, moment, given)
    if limit is None:
        _show(session, job)
        return OK
    return wait_and_show(session, job, None if limit == float("inf") else limit)


def _enqueued(
    queue: Queue,
    func: str,
    args: list[Any],
    kwargs: dict[str, Any],
    delay: float | None,
    moment: datetime | None,
    options: dict[str, Any],
) -> Job[Any]:
    try:
        if delay is not None:
            return queue.enqueue_in(delay, func, args=args, kwargs=kwargs, **options)
        if moment is not None:
            return queue.enqueue_at(moment, func, args=args, kwargs=kwargs, **options)
        return queue.enqueue(func, args=args, kwargs=kwargs, **options)
    except TimeoutFormatError as error:
        raise click.UsageError(str(error)) from error
    except RqlikeError:
        raise
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _say_doubts(session: Session, func: str) -> None:
    """A worker may have other code than this host, so nothing is refused; but a typo should not take a job to find."""
    doubt = doubt_about(func, session.folders)
    if doubt is not None and (not doubt.missing or is_terminal(sys.stderr)):
        warn(f"{doubt.text}. Workers that find none either will fail the job; --path says where to look")


def _show(session: Session, job: Job[Any]) -> None:
    if session.json:
        emit_json(job.to_dict())
        return
    emit(job.id)
    if is_terminal(sys.stderr):
        due = job.next_attempt_at
        note(f"{job.get_status(refresh=False)} in {job.origin!r}{f' for {due:%Y-%m-%d %H:%M:%S} UTC' if due else ''}")
