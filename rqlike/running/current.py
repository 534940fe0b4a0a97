"""Which job this code runs in, and in which worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

if TYPE_CHECKING:
    from rqlike.job import Job


class WorkerInfo(NamedTuple):
    """The worker a job runs in."""

    name: str
    pid: int  #: of the worker; a job runs in a process forked from it
    queues: tuple[str, ...]  #: in the order in which it serves them
    hostname: str


_job: Final[ContextVar[object | None]] = ContextVar("rqlike_job", default=None)
_worker: Final[ContextVar[WorkerInfo | None]] = ContextVar("rqlike_worker", default=None)


def get_current_job() -> Job[Any] | None:
    """The job whose function, callback or middleware is running here; None outside of one.

    It is bound to the context of the call: coroutines see it, threads that the job starts do not. No I/O.
    """
    return cast("Job[Any] | None", _job.get())


def get_current_worker() -> WorkerInfo | None:
    """The worker this process works for; None where it works for none (a view, a shell). No I/O."""
    return _worker.get()


@contextmanager
def current_job(job: object | None) -> Iterator[None]:
    """`get_current_job()` gives `job` inside."""
    token = _job.set(job)
    try:
        yield
    finally:
        _job.reset(token)


def set_current_worker(worker: WorkerInfo | None) -> None:
    """`get_current_worker()` gives `worker` from now on; for processes that work for one only."""
    _worker.set(worker)


@contextmanager
def current_worker(worker: WorkerInfo | None) -> Iterator[None]:
    """`get_current_worker()` gives `worker` inside."""
    token = _worker.set(worker)
    try:
        yield
    finally:
        _worker.reset(token)
