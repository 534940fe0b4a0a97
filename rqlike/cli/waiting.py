"""Waiting for a job on the command line: its value on stdout, its traceback on stderr, its fate as exit code."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from rqlike.cli.context import FAILED, OK, Session
from rqlike.cli.output import emit, emit_json, is_terminal, lines, note, shown
from rqlike.cli.program import Command
from rqlike.cli.values import duration
from rqlike.cli.workers import living
from rqlike.exceptions import ResultNotStored, WaitError, WaitTimeout
from rqlike.job import Job
from rqlike.states import JobStatus, Unkept

_ENDLESS: Final = "no limit"
_seconds = duration()


def wait_limit(text: str) -> float:
    """Seconds of `--wait`, infinite where no number was said."""
    return float("inf") if text == _ENDLESS else _seconds(text)


wait_option: Final = click.option(
    "--wait",
    "limit",
    type=wait_limit,
    metavar="[=SECONDS]",
    help="Wait for it and print its value; a limit is written --wait=20.",
)


class WaitingCommand(Command):
    """A command with `--wait[=SECONDS]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--wait` alone has no value; click would take the next word for it."""
        end = args.index("--") if "--" in args else len(args)
        ready = [f"--wait={_ENDLESS}" if word == "--wait" else word for word in args[:end]]
        return super().parse_args(ctx, ready + args[end:])


def wait_and_show(session: Session, job: Job[Any], seconds: float | None) -> int:
    """Blocks until the job's cycle ends (`seconds` None: without limit); the exit code.

    Raises WaitTimeout, NoSuchJobError, KeyboardInterrupt; the job goes on after the first and the last."""
    try:
        say_what_is_waited_for(session, job)
        return show_outcome(session, job, seconds)
    except KeyboardInterrupt:
        note(f"\nthe job goes on: rqlike jobs wait {job.id}")
        raise


def show_outcome(session: Session, job: Job[Any], seconds: float | None, *, show_value: bool = True) -> int:
    """Waits, and shows the value or why there is none; the exit code. Raises WaitTimeout, NoSuchJobError."""
    try:
        value = job.wait(seconds)
    except WaitTimeout:
        raise
    except ResultNotStored as error:  # no failure, unless a value was to be had
        note(f"rqlike: {error}")
        return OK if error.reason == Unkept.DISABLED else FAILED
    except WaitError as error:
        result = error.result
        if result is not None and result.exc_string:
            note(lines(result.exc_string))
        note(f"rqlike: {error}")
        return FAILED
    if not show_value:
        return OK
    if session.json:
        emit_json(value)
    else:
        emit(lines(shown(value)))
    return OK


def say_what_is_waited_for(session: Session, job: Job[Any]) -> None:
    """Somebody may look at a cursor that blinks for ever."""
    status = job.get_status(refresh=False)
    if status.terminal:
        return
    note(f"{job.id} is {status} in {job.origin!r}")
    if not is_terminal(sys.stderr) or status is JobStatus.STARTED:
        return
    if not any(job.origin in worker.queue_names() for worker in living(session)):
        note(f"no worker listens on queue {job.origin!r}; start one in another terminal: rqlike worker {job.origin}")
