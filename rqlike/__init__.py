"""rqlike: a job queue on Redis and Valkey, in RQ's words, that loses nothing.

from rqlike import Queue
job = Queue().enqueue("tasks.count_words", "a.txt")
job.wait()
"""

from importlib.metadata import version as _version

from rqlike import exceptions
from rqlike.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command
from rqlike.decorators import JobFunction
from rqlike.job import Job, cancel_job, requeue_job
from rqlike.policies import Callback, Repeat, Retry
from rqlike.queue import Counts, EnqueueData, Queue
from rqlike.results import Result, Results
from rqlike.running.current import WorkerInfo, get_current_job, get_current_worker
from rqlike.running.middleware import Middleware, use
from rqlike.states import JobStatus
from rqlike.store.connecting import connect
from rqlike.worker.simple import SimpleWorker
from rqlike.worker.worker import Worker

__version__ = _version("rqlike")

__all__ = [
    "Callback",
    "Counts",
    "EnqueueData",
    "Job",
    "JobFunction",
    "JobStatus",
    "Middleware",
    "Queue",
    "Repeat",
    "Result",
    "Results",
    "Retry",
    "SimpleWorker",
    "Worker",
    "WorkerInfo",
    "__version__",
    "cancel_job",
    "connect",
    "exceptions",
    "get_current_job",
    "get_current_worker",
    "requeue_job",
    "send_kill_horse_command",
    "send_shutdown_command",
    "send_stop_job_command",
    "use",
]
