"""What surrounds jobs without being part of them: tracing, database connections, audit."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rqlike.exceptions import CallableNotFound

if TYPE_CHECKING:
    from rqlike.job import Job
    from rqlike.results import Result


@dataclass(frozen=True, slots=True)
class Call:
    """A call on its way into a queue. `headers` may be added to; they travel with the job."""

    func_name: str
    queue: str
    headers: dict[str, str]


class Middleware:
    """Subclass it and override what you need. The others go in before you and come out after you, in order."""

    def on_enqueue(self, call: Call) -> None:
        """In the producer, before anything is written. What it raises refuses the enqueue."""

    def setup(self) -> None:
        """In each new horse, once, before its first job. A horse in which it raises is not used; after three in a
        row the worker stops."""

    def before_fork(self) -> None:
        """In the worker, before each fork: let go of what two processes cannot share."""

    def after_fork(self) -> None:
        """In each new horse, before `setup`: make anew what the fork has broken. Raising is as in `setup`."""

    def around_job(self, job: Job[Any]) -> AbstractContextManager[None]:
        """Entered before the function is called and left after it, in the horse, in the context of the job.

        It sees the exceptions of the job, JobTimeoutException too. What it raises is the job's exception. It cannot
        swallow one: a job that raised has failed. Its own time is not under the job's soft time limit.
        """
        return nullcontext()

    def after_result(self, job: Job[Any], result: Result[Any]) -> None:
        """In a horse, once the outcome is recorded; at most once. What it raises is logged."""


def load(specs: Sequence[Middleware | str]) -> tuple[Middleware, ...]:
    """Instances as they are, and those that dotted paths lead to ("pkg.mod.name" or "pkg.mod:name").

    A path may lead to an instance, or to a class that is made without arguments. Imports their modules. Raises
    CallableNotFound where a path leads nowhere, TypeError for what is no Middleware, and what the class raises.
    """
    return tuple(_instance(spec) for spec in specs)


def _instance(spec: Middleware | str) -> Middleware:
    found: object = _find(spec) if isinstance(spec, str) else spec
    if isinstance(found, type) and issubclass(found, Middleware):
        found = found()
    if not isinstance(found, Middleware):
        raise TypeError(f"{spec!r} is no middleware: it is {found!r:.80}, not a subclass or instance of Middleware")
    return found


def _find(path: str) -> object:
    module_name, colon, names = path.partition(":")
    if not colon:
        module_name, _, names = path.rpartition(".")
    if not module_name or not names:
        raise CallableNotFound(f'{path!r} is no path; write "package.module.name"', reference=path)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        text = f"middleware {path}: there is no module {error.name!r} here; check the name and --path"
        raise CallableNotFound(text, reference=path) from error
    for name in names.split("."):
        if not hasattr(found, name):
            raise CallableNotFound(f"middleware {path}: {module_name} has no {name!r}", reference=path)
        found = getattr(found, name)
    return found


def overrides(middleware: Sequence[Middleware], name: str) -> bool:
    """Whether any of them does something of its own in the hook `name`."""
    return any(_has(one, name) for one in middleware)


def _has(one: Middleware, name: str) -> bool:
    return getattr(type(one), name) is not getattr(Middleware, name) or name in getattr(one, "__dict__", ())


@contextmanager
def around(middleware: Sequence[Middleware], job: object) -> Iterator[None]:
    """Inside all their `around_job`: entered in order, left in reverse. Raises what they raise."""
    with ExitStack() as stack:
        for one in middleware:
            if _has(one, "around_job"):
                stack.enter_context(one.around_job(job))  # type: ignore[arg-type]
        yield


_producers: tuple[Middleware, ...] = ()


def use(*middleware: Middleware) -> None:
    """The middleware of this process as a producer: `on_enqueue` of each is called for every job it enqueues.

    Call it once, where the process is set up; a second call replaces the first. Raises TypeError for what is no
    Middleware.
    """
    global _producers
    for one in middleware:
        if not isinstance(one, Middleware):
            raise TypeError(f"use() takes instances of Middleware, not {one!r:.80}")
    _producers = middleware


def producers() -> tuple[Middleware, ...]:
    """What `use` was given; empty where it was not called."""
    return _producers
