"""What a web server answers about a job: status, headers and a body, for any framework.

`rqlike.contrib.flask` and `rqlike.contrib.django` make responses of it.

| status | when | body |
| --- | --- | --- |
| 200 | it has finished | `job_id`, `status`, `result`; `"stored": false` where its value was not kept |
| 202 | not yet | `job_id`, `status`, `position` |
| 404 | there is no such job | `job_id`, `error` |
| 409 | it was canceled or stopped | `job_id`, `status`, `error` |
| 410 | its result is gone; or it was not started within its ttl | `job_id`, `error`, of the latter its `status` too |
| 500 | it failed; or its result cannot be read | `job_id`, `error`, of the former its `status` too |

`error` holds a `type`, the name of a class, and a `reason`, a word. Never a traceback, nor the text of an exception.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rqlike import safetext
from rqlike.durations import Seconds, parse_seconds
from rqlike.exceptions import (
    DeserializationError,
    JobCanceled,
    JobExpired,
    JobFailed,
    JobStopped,
    NoSuchJobError,
    ResultExpired,
    ResultNotStored,
    RqlikeError,
    SerializationError,
    WaitTimeout,
)
from rqlike.job import Job
from rqlike.jsonvalues import jsonable
from rqlike.states import JobStatus, Reason

_NAME_LIMIT: Final = 100


class Reply(NamedTuple):
    """An answer to a request, for a framework to send."""

    status: int
    """The HTTP status: 200, 202, 404, 409, 410 or 500."""
    headers: dict[str, str]
    """`Cache-Control: no-store` always; of a 202 `Retry-After`, and `Location` where one was given."""
    body: dict[str, Any]
    """What JSON can hold, to be sent as that."""


class _Way(NamedTuple):
    """What a wait that gave no value is in HTTP."""

    code: int
    status: JobStatus | None  #: of the job; None where nothing is known of it
    reason: str  #: where the error says none


#: By the class of the error, the first that fits: a ResultExpired is a NoSuchJobError too.
_WAYS: Final[tuple[tuple[type[RqlikeError], _Way], ...]] = (
    (ResultExpired, _Way(410, None, "result_expired")),
    (NoSuchJobError, _Way(404, None, "not_found")),
    (JobExpired, _Way(410, JobStatus.EXPIRED, "expired")),
    (JobCanceled, _Way(409, JobStatus.CANCELED, Reason.CANCELED)),
    (JobStopped, _Way(409, JobStatus.STOPPED, Reason.STOPPED)),
    (JobFailed, _Way(500, JobStatus.FAILED, Reason.EXCEPTION)),
    (DeserializationError, _Way(500, None, Reason.SERIALIZATION)),
    (SerializationError, _Way(500, JobStatus.FINISHED, Reason.SERIALIZATION)),
)
_ENDS: Final = tuple(kind for kind, _ in _WAYS)


def reply(job: Job[Any] | None, *, wait: Seconds = 0, location: str | None = None, retry_after: int = 1) -> Reply:
    """The answer to a request for a job, or for what it returns.

    `job`: None where there is none, as `queue.fetch_job` says it.
    `wait`: seconds to wait for its end before the answer is 202; 0 does not block. Meanwhile the request holds a thread
    of the web server and a connection to Redis, so it takes no None: a limit there must be.
    `location`: where to ask again, for the header of a 202; None leaves the header out.
    `retry_after`: whole seconds after which to ask again.

    Costs what `job.wait(wait)` does: one round trip and the block, two more for a 202. Raises TypeError and ValueError
    for arguments that mean nothing, before the server is asked; an error of the connection as it is.
    """
    seconds = _checked(job, wait, location, retry_after)
    if job is None:
        return _refusal(None, NoSuchJobError())
    try:
        return _finished(job.id, {"result": _plain(_value(job, seconds))})
    except WaitTimeout as not_yet:
        return _accepted(job.id, not_yet, location, retry_after)
    except ResultNotStored:
        return _finished(job.id, {"result": None, "stored": False})
    except _ENDS as error:
        return _refusal(job.id, error)


def _checked(job: object, wait: object, location: object, retry_after: object) -> float:
    """The seconds to wait; raises for whatever is wrong with the arguments of `reply`."""
    if job is not None and not isinstance(job, Job):
        raise TypeError(f"{job!r:.100} is no Job; pass queue.fetch_job(job_id), which is None where there is none")
    if wait is None:
        raise TypeError("wait=None would hold the request without limit; pass the seconds it may take, or 0")
    if location is not None and not isinstance(location, str):
        raise TypeError(f"location={location!r:.100} is no str; pass the address to ask again, or None")
    if location is not None and not location.isprintable():
        raise ValueError(f"location={location!r:.100} has characters that no header can hold")
    if isinstance(retry_after, bool) or not isinstance(retry_after, int):
        raise TypeError(f"retry_after={retry_after!r:.100} is no int; pass whole seconds")
    if retry_after < 0:
        raise ValueError(f"retry_after={retry_after} is negative; pass whole seconds, or 0")
    return parse_seconds(wait, "wait")  # type: ignore[arg-type]  # it says itself what is no duration


def _value(job: Job[Any], seconds: float) -> Any:
    try:
        return job.wait(seconds)
    except WaitTimeout as not_yet:
        if not_yet.status is None or JobStatus(not_yet.status).terminal:
            return job.wait(0)  # it ended after the last look for its result, before the one for its status
        raise


def _plain(value: Any) -> Any:
    try:
        return jsonable(value)
    except Exception as error:  # of a pickle: it holds itself, or its own str fails
        raise SerializationError(path="result", problem="it has no text") from error


def _finished(job_id: str, more: dict[str, Any]) -> Reply:
    return _reply(200, {"job_id": job_id, "status": str(JobStatus.FINISHED), **more})


def _accepted(job_id: str, not_yet: WaitTimeout, location: str | None, retry_after: int) -> Reply:
    status = None if not_yet.status is None else str(not_yet.status)
    headers = {"Retry-After": str(retry_after)} | ({} if location is None else {"Location": location})
    return _reply(202, {"job_id": job_id, "status": status, "position": not_yet.position}, headers)


def _refusal(job_id: str | None, error: RqlikeError) -> Reply:
    way = next(way for kind, way in _WAYS if isinstance(error, kind))
    told = {"type": _type_of(error), "reason": str(getattr(error, "reason", None) or way.reason)}
    status = {} if way.status is None else {"status": str(way.status)}
    return _reply(way.code, {"job_id": job_id, **status, "error": told})


def _type_of(error: RqlikeError) -> str:
    """The exception's class without its module: that of the job where it raised one, else that of rqlike."""
    raised = error.result.exc_type if isinstance(error, JobFailed) and error.result is not None else None
    name = (raised or "").rpartition(".")[2]
    return safetext.printable(name, _NAME_LIMIT) or type(error).__name__


def _reply(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
    # A browser may keep a 404 or 410 by its own rules, and the next answer is another one.
    return Reply(status, {"Cache-Control": "no-store"} | (headers or {}), body)
