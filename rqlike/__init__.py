"""rqlike: a job queue on Redis and Valkey, in RQ's words, that loses nothing.

    from rqlike import Queue
    job = Queue().enqueue("tasks.count_words", "a.txt")
    job.wait()

A name is imported when it is first asked for: a web process that enqueues does not load the worker.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rqlike import exceptions
    from rqlike.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command
    from rqlike.decorators import JobFunction
    from rqlike.dependency import Dependency
    from rqlike.events import Event
    from rqlike.exceptions import RetryLater, Unrecoverable
    from rqlike.failures import FailureGroup
    from rqlike.gathering import Waited, as_completed, wait
    from rqlike.group import Group
    from rqlike.identity import content_id
    from rqlike.job import Job, cancel_job, requeue_job
    from rqlike.joining import Joined
    from rqlike.limits import RateLimit
    from rqlike.paging import Page
    from rqlike.policies import Callback, Repeat, Retry
    from rqlike.preparing import EnqueueData
    from rqlike.queue import Counts, Queue
    from rqlike.results import Result, Results
    from rqlike.running.current import WorkerInfo, get_current_job, get_current_worker
    from rqlike.running.middleware import Middleware, use
    from rqlike.running.progress import ProgressHandle, progress, track
    from rqlike.schedules import Fire, Schedule
    from rqlike.states import JobStatus
    from rqlike.store.connecting import connect
    from rqlike.told import LogLine, Progress
    from rqlike.worker.simple import SimpleWorker
    from rqlike.worker.worker import Worker

    __version__: str

_HOMES = {
    "command": "send_kill_horse_command send_shutdown_command send_stop_job_command",
    "decorators": "JobFunction",
    "dependency": "Dependency",
    "events": "Event",
    "exceptions": "RetryLater Unrecoverable",
    "failures": "FailureGroup",
    "gathering": "Waited as_completed wait",
    "job": "Job cancel_job requeue_job",
    "limits": "RateLimit",
    "paging": "Page",
    "policies": "Callback Repeat Retry",
    "group": "Group",
    "identity": "content_id",
    "joining": "Joined",
    "preparing": "EnqueueData",
    "queue": "Counts Queue",
    "results": "Result Results",
    "schedules": "Fire Schedule",
    "running.current": "WorkerInfo get_current_job get_current_worker",
    "running.middleware": "Middleware use",
    "running.progress": "ProgressHandle progress track",
    "states": "JobStatus",
    "store.connecting": "connect",
    "told": "LogLine Progress",
    "worker.simple": "SimpleWorker",
    "worker.worker": "Worker",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Callback",
    "Counts",
    "Dependency",
    "EnqueueData",
    "Event",
    "FailureGroup",
    "Fire",
    "Group",
    "Job",
    "JobFunction",
    "JobStatus",
    "Joined",
    "LogLine",
    "Middleware",
    "Page",
    "Progress",
    "ProgressHandle",
    "Queue",
    "RateLimit",
    "Repeat",
    "Result",
    "Results",
    "Retry",
    "RetryLater",
    "Schedule",
    "SimpleWorker",
    "Unrecoverable",
    "Waited",
    "Worker",
    "WorkerInfo",
    "__version__",
    "as_completed",
    "cancel_job",
    "connect",
    "content_id",
    "exceptions",
    "get_current_job",
    "get_current_worker",
    "progress",
    "requeue_job",
    "send_kill_horse_command",
    "send_shutdown_command",
    "send_stop_job_command",
    "track",
    "use",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = import_module("importlib.metadata").version("rqlike")
    elif name == "exceptions":
        found = import_module("rqlike.exceptions")
    elif name in _HOME_OF:
        found = getattr(import_module(f"rqlike.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'rqlike' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
