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
    from rqlike.gathering import Waited, as_completed, wait
    from rqlike.identity import content_id
    from rqlike.job import Job, cancel_job, requeue_job
    from rqlike.joining import Joined
    from rqlike.limits import RateLimit
    from rqlike.policies import Callback, Repeat, Retry
    from rqlike.preparing import EnqueueData
    from rqlike.queue import Counts, Queue
    from rqlike.results import Result, Results
    from rqlike.running.current import WorkerInfo, get_current_job, get_current_worker
    from rqlike.running.middleware import Middleware, use
    from rqlike.schedules import Fire, Schedule
    from rqlike.states import JobStatus
    from rqlike.store.connecting import connect
    from rqlike.worker.simple import SimpleWorker
    from rqlike.worker.worker import Worker

    __version__: str

_HOMES = {
    "command": "send_kill_horse_command send_shutdown_command send_stop_job_command",
    "decorators": "JobFunction",
    "dependency": "Dependency",
    "events": "Event",
    "exceptions": "RetryLater Unrecoverable",
    "gathering": "Waited as_completed wait",
    "job": "Job cancel_job requeue_job",
    "limits": "RateLimit",
    "policies": "Callback Repeat Retry",
    "identity": "content_id",
    "joining": "Joined",
    "preparing": "EnqueueData",
    "queue": "Counts Queue",
    "results": "Result Results",
    "schedules": "Fire Schedule",
    "running.current": "WorkerInfo get_current_job get_current_worker",
    "running.middleware": "Middleware use",
    "states": "JobStatus",
    "store.connecting": "connect",
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
    "Fire",
    "Job",
    "JobFunction",
    "JobStatus",
    "Joined",
    "Middleware",
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
    "requeue_job",
    "send_kill_horse_command",
    "send_shutdown_command",
    "send_stop_job_command",
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
