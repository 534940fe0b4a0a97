"""`rqlike worker`: a worker in the foreground."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from rqlike import logs
from rqlike.cli.context import Failure, Session, pass_session, usage
from rqlike.cli.output import lines, note, warn
from rqlike.cli.program import Command
from rqlike.cli.values import concurrency, duration, size, weight
from rqlike.exceptions import CallableNotFound
from rqlike.running.middleware import load
from rqlike.settings import DEFAULT_QUEUE, JOBS_PER_HORSE
from rqlike.store.connecting import describe
from rqlike.worker.rotation import STRATEGIES, check_strategy
from rqlike.worker.worker import Worker

#: What RQ's options are here. They are taken so that the message can say it.
_REPLACED = {
    "-w": "there are no worker classes: --isolate forks for each job, --middleware hooks into the work",
    "-j": "there are no job classes: --middleware hooks into the work",
}


def _refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None:
        raise click.UsageError(f"{param.opts[0]}: {_REPLACED[param.opts[0]]}", ctx)


@click.command(cls=Command)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option("-b", "--burst", is_flag=True, help="Stop when the queues are empty.")
@click.option("-n", "--name", help="Default host.pid.xxxx.")
@click.option(
    "-c", "--concurrency", type=concurrency, metavar="N", default=1, show_default=True, help="Jobs at a time."
)
@click.option("--isolate", is_flag=True, help="Fork a horse for each job (--jobs-per-horse 1).")
@click.option("--jobs-per-horse", type=click.IntRange(1), help=f"Fork anew after so many; default {JOBS_PER_HORSE}.")
@click.option("--no-prefetch", is_flag=True, help="Claim one job per free horse.")
@click.option("--max-jobs", type=click.IntRange(1), help="Stop after so many.")
@click.option("--max-idle-time", type=duration(), metavar="TIME", help="Stop when there was nothing to do for so long.")
@click.option("--max-memory", type=size, metavar="SIZE", help="Retire a horse that is larger: 512M.")
@click.option(
    "--shutdown-timeout",
    type=duration(),
    metavar="TIME",
    help="Kill running jobs so long after SIGTERM; default never.",
)
@click.option("--dequeue-strategy", type=click.Choice(STRATEGIES), default="default", show_default=True)
@click.option(
    "--weight",
    "weights",
    type=weight,
    multiple=True,
    metavar="QUEUE=N",
    help="How often it comes first, beside 1 for a queue not named. May be repeated.",
)
@click.option("--preload", multiple=True, metavar="MODULE", help="Import it once, before forking. May be repeated.")
@click.option("--middleware", multiple=True, metavar="PATH", help="package.module.Class. May be repeated.")
@click.option("--reload", is_flag=True, help="New code from the next job on when a file below --path changes.")
@click.option("-S", "--serializer", default="msgpack", show_default=True, help="pickle: read that too.")
@click.option("--allow", multiple=True, metavar="GLOB", help="Run only functions like app.tasks.*. May be repeated.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="More log lines.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
@click.option("--pid", type=click.Path(dir_okay=False), metavar="FILE", help="Write the process id there.")
@click.option("-w", "--worker-class", hidden=True, expose_value=False, callback=_refuse)
@click.option("-j", "--job-class", hidden=True, expose_value=False, callback=_refuse)
@click.option("-s", "--with-scheduler", is_flag=True, hidden=True)
@pass_session
def worker(session: Session, /, queues: tuple[str, ...], **options: Any) -> int:
    """Work on queues (default: "default"), in their order.

    SIGTERM or Ctrl-C: running jobs end, nothing more is claimed; once more: they are killed. Exit code 0: everything
    was recorded; 75: the server was away at the end.
    """
    if options["with_scheduler"]:
        warn("-s/--with-scheduler is needless: every worker runs due jobs")
    with usage():
        made = Worker(queues or [DEFAULT_QUEUE], connection=session.client, **construction(session, options))
        strategy = check_strategy(options["dequeue_strategy"], made.weights)
    logs.configure(level_of(options), log_format=log_format_of(options))
    session.client.ping()  # a server that is away is one line, without a banner before it
    if not options["quiet"] and options["log_format"] == "text":
        note(f"server {describe(session.address)}, namespace {session.store.namespace}")
    with _pid_file(options["pid"]):
        return run(
            made,
            burst=options["burst"],
            max_jobs=options["max_jobs"],
            max_idle_time=options["max_idle_time"],
            dequeue_strategy=strategy,
        )


def construction(session: Session, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Worker` that options stand for. Imports what they name."""
    per_horse = options["jobs_per_horse"]
    if options["isolate"] and per_horse not in (None, 1):
        raise click.UsageError("--isolate is --jobs-per-horse 1; give one of the two")
    weights = dict(options["weights"])
    if len(weights) < len(options["weights"]):
        raise click.UsageError("--weight names a queue twice")
    make_importable(session.folders)
    for module in options["preload"]:
        with importing(f"--preload {module}"):
            import_module(module)
    with importing("--middleware"):
        middleware = load(options["middleware"])
    return {
        "name": options["name"],
        "namespace": session.store.namespace,
        "concurrency": options["concurrency"],
        "jobs_per_horse": 1 if options["isolate"] else per_horse or JOBS_PER_HORSE,
        "max_memory": options["max_memory"],
        "prefetch": 1 if options["no_prefetch"] else None,
        "shutdown_timeout": options["shutdown_timeout"],
        "middleware": middleware,
        "preload": options["preload"],
        "serializer": options["serializer"],
        "allow": options["allow"] or None,
        "reload": session.folders if options["reload"] else None,
        "weights": weights or None,
    }


def run(made: Worker, **plan: Any) -> int:
    """Works until told to stop; the exit code. Logging is configured already."""
    made.work(logging_level=None, **plan)
    return made.exit_code


def make_importable(folders: Sequence[str]) -> None:
    """Puts folders first where code is imported from. Raises click.UsageError for one that is none."""
    for folder in reversed(folders):
        if not Path(folder).is_dir():
            raise click.UsageError(f"--path {folder} is not a directory")
        if folder not in sys.path:
            sys.path.insert(0, folder)


@contextmanager
def importing(option: str) -> Iterator[None]:
    """User code is imported: a wrong name is a usage error, code that raises is shown with its traceback."""
    try:
        yield
    except (CallableNotFound, TypeError) as error:
        raise click.UsageError(f"{option}: {error}") from error
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{option}: {error}; --path says where code is imported from") from error
    except Exception as error:
        note(lines("".join(traceback.format_exception(error))))
        raise Failure(f"{option} raised {type(error).__name__} while it was imported") from error


def level_of(options: dict[str, Any]) -> str:
    """The log level that -v and -q stand for."""
    if options["verbose"] and options["quiet"]:
        raise click.UsageError("-v and -q contradict each other")
    return "DEBUG" if options["verbose"] else "WARNING" if options["quiet"] else "INFO"


def log_format_of(options: dict[str, Any]) -> str:
    """What `logs.configure` takes."""
    return "json" if options["log_format"] == "json" else logs.LOG_FORMAT


@contextmanager
def _pid_file(path: str | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise click.UsageError(f"--pid {path} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)
