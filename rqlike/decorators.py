"""@job: a function that knows how to enqueue itself, with its types kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from rqlike.durations import Seconds
from rqlike.job import Job
from rqlike.options import JobOptions, check, check_queue_name
from rqlike.queue import Queue
from rqlike.settings import DEFAULT_QUEUE
from rqlike.store.store import Conn

P = ParamSpec("P")
T = TypeVar("T")


class JobFunction(Generic[P, T]):
    """A function with a queue: callable as before; `delay` enqueues a call of it."""

    __name__: str
    __qualname__: str

    def __init__(self, func: Callable[P, T], queue: Callable[[], Queue], options: dict[str, Any]) -> None:
        self._func = func
        self._make_queue = queue
        self._options = options
        check(options, {})
        update_wrapper(self, func)
        self.__signature__ = inspect.signature(func)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._func(*args, **kwargs)

    @cached_property
    def queue(self) -> Queue:
        """Its queue; made at first use, so that importing the module needs no server."""
        return self._make_queue()

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job[T]:
        """Enqueues the call `f(*args, **kwargs)`; all of them are the function's own. Raises what `enqueue` raises."""
        return self.queue.enqueue_call(self._func, args, kwargs, **self._options)

    def options(self, **options: Unpack[JobOptions]) -> JobFunction[P, T]:
        """The same function with other job options for the calls enqueued through what this returns."""
        return JobFunction(self._func, lambda: self.queue, {**self._options, **options})

    enqueue = delay

    def __get__(self, instance: object, owner: type | None = None) -> JobFunction[P, T]:
        if instance is not None:
            raise TypeError(f"{self.__qualname__} is a method: enqueue a function and pass it what it needs")
        return self

    def __repr__(self) -> str:
        return f"<job {self.__module__}.{self.__qualname__}>"


def job(
    queue: Queue | str = DEFAULT_QUEUE,
    connection: Conn = None,
    timeout: Seconds | None = None,
    *,
    namespace: str | None = None,
    **options: Unpack[JobOptions],
) -> Callable[[Callable[P, T]], JobFunction[P, T]]:
    """Makes a function a job: `@job("emails", retry=3)`, then `f.delay(...)`.

    `timeout` is RQ's word for job_timeout. Raises TypeError and ValueError for bad options where it stands. No I/O.
    """
    if not isinstance(queue, Queue | str):
        raise TypeError("write @job() or @job('queue'), with parentheses and the name of a queue")
    if isinstance(queue, Queue) and (connection is not None or namespace is not None):
        raise TypeError("a Queue brings its own connection and namespace; give @job its name to choose others")
    given: dict[str, Any] = dict(options)
    if timeout is not None:
        given["job_timeout"] = timeout
    if isinstance(queue, Queue):
        return lambda func: JobFunction(func, lambda: queue, given)
    name = check_queue_name(queue)
    made = cache(lambda: Queue(name, connection, namespace=namespace))  # at first use, one for all that share it
    return lambda func: JobFunction(func, made, given)
