"""The command line. stdout carries data, stderr the rest; `context` lists the exit codes."""

from __future__ import annotations

import click

from rqlike.cli.completion import completion
from rqlike.cli.dev import dev
from rqlike.cli.doctor import doctor
from rqlike.cli.enqueue import enqueue
from rqlike.cli.failed import failed
from rqlike.cli.info import info
from rqlike.cli.jobs import jobs
from rqlike.cli.program import Program
from rqlike.cli.queues import queues
from rqlike.cli.server import server
from rqlike.cli.worker import worker
from rqlike.cli.workers import workers


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rqlike", prog_name="rqlike", message="%(prog)s %(version)s")
def main() -> None:
    """A job queue on Redis and Valkey.

    Exit codes: 0 ok, 1 a job or an operation failed, 2 usage, 3 not found, 4 no server, 5 timed out,
    75 a worker left outcomes unwritten, 130 interrupted.
    """


for _command in (worker, enqueue, info, jobs, failed, queues, workers, server, dev, doctor, completion):
    main.add_command(_command)

__all__ = ["main"]
