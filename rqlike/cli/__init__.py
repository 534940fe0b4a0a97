"""The command line. stdout carries data, stderr the rest; `context` lists the exit codes."""

from __future__ import annotations

from typing import Final

import click

from rqlike.cli.program import Program

_COMMANDS: Final = (
    *("completion", "cron", "dev", "doctor", "enqueue", "failed", "info", "jobs"),
    *("queues", "resume", "schedules", "server", "suspend", "worker", "workers"),
)


@click.group(cls=Program, modules=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rqlike", prog_name="rqlike", message="%(prog)s %(version)s")
def main() -> None:
    """A job queue on Redis and Valkey.

    Exit codes: 0 ok, 1 a job or an operation failed, 2 usage, 3 not found, 4 no server, 5 timed out,
    75 a worker left outcomes unwritten, 130 interrupted.
    """


__all__ = ["main"]
