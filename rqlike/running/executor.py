"""One execution: from a stored call to an outcome. Whatever the user's code does, an `Outcome` comes back."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rqlike.callables import resolve
from rqlike.clock import mono
from rqlike.exceptions import CallableNotFound, DeserializationError, PayloadTooLarge, Unrecoverable
from rqlike.failpoints import failpoint
from rqlike.outcomes import Outcome
from rqlike.policies import Retry
from rqlike.records import CallRecord
from rqlike.running.current import current_job
from rqlike.running.deadline import Deadline
from rqlike.running.middleware import Middleware, around
from rqlike.running.tracebacks import lineage_of, text_of, type_name
from rqlike.serializers import Serializer, dumps_result, loads_call, stored_serializer
from rqlike.settings import PAYLOAD_LIMIT
from rqlike.states import Reason
from rqlike.timeouts import JobTimeoutException

Body = Callable[[], object]

_NOTHING: Final = object()


class Rig(NamedTuple):
    """What an executing process brings to every call."""

    deadline: Deadline
    middleware: Sequence[Middleware] = ()
    serializer: Serializer | None = None  #: one of its own; the built-in ones are known by name
    payload_limit: int = PAYLOAD_LIMIT  #: bytes of a result
    allow: Sequence[str] | None = None  #: globs of function paths; None allows all
    #: Whether pickled arguments are read; None: where this process has asked for pickle. A process that runs jobs must
    #: not leave that to them: any module that a job imports may ask.
    pickles: bool | None = None


class Ran(NamedTuple):
    """An execution with the objects it came to, for callbacks in the same process."""

    outcome: Outcome
    value: object = None
    error: BaseException | None = None


def execute(
    call: CallRecord | None,
    job: object,
    *,
    job_id: str,
    execution_id: str,
    deadline: Deadline,
    middleware: Sequence[Middleware] = (),
    serializer: Serializer | None = None,
    payload_limit: int = PAYLOAD_LIMIT,
    allow: Sequence[str] | None = None,
    call_error: str = "",
) -> Outcome:
    """Resolve, read the arguments, run under the call's job_timeout, judge, serialise the result.

    `call` None: it could not be read, and `call_error` says why. `job` is the handle that `get_current_job` gives and
    middleware is handed. Never raises for what the user's code does; SystemExit and KeyboardInterrupt are its too.
    """
    rig = Rig(deadline, middleware, serializer, payload_limit, allow)
    return run(call, job, rig, job_id=job_id, execution_id=execution_id, call_error=call_error).outcome


@failpoint("horse.body")
def run(call: CallRecord | None, job: object, rig: Rig, *, job_id: str, execution_id: str, call_error: str = "") -> Ran:
    """`execute`, and the value or exception itself beside the outcome."""
    began_s = mono()
    try:
        serializer, body = prepare(call, rig, job_id, call_error)
    except CallableNotFound as error:
        return _failed(Reason.IMPORT, error, began_s)
    except DeserializationError as error:
        return _failed(Reason.SERIALIZATION, error, began_s)
    except BaseException as error:  # noqa: BLE001  # importing a module and reading a pickle run code of the user
        return _failed(Reason.IMPORT, error, began_s)
    assert call is not None
    times = [mono(), 0.0]
    try:
        limited = _limited(body, call, job, rig, job_id, execution_id, times)
        value = contextvars.copy_context().run(limited)
    except BaseException as error:  # noqa: BLE001  # every exception is the job's
        return _raised(error, times, rig)
    return _returned(value, serializer, rig, job_id, times, wanted=call.policy.store_result)


# -- before the call ---------------------------------------------------------------------------------------------------


def prepare(call: CallRecord | None, rig: Rig, job_id: str, call_error: str) -> tuple[Serializer, Body]:
    """The call's serializer, and the call with its arguments in it.

    Raises CallableNotFound, DeserializationError, and what the user's modules and serializers raise.
    """
    if call is None:
        raise DeserializationError(f"The call of job {job_id} cannot be read: {call_error}", job_id=job_id)
    serializer = _serializer(call.policy.serializer, rig, job_id)
    func = resolve(call.func_name, rig.allow)
    try:
        args, kwargs = loads_call(serializer, call.payload)
    except DeserializationError as error:
        text = f"The arguments of job {job_id} for {call.func_name} cannot be read. {error}"
        raise DeserializationError(text, job_id=job_id) from error

    def body() -> object:
        value = func(*args, **kwargs)
        return asyncio.run(value) if inspect.iscoroutine(value) else value

    return serializer, body


def _serializer(name: str, rig: Rig, job_id: str) -> Serializer:
    own = rig.serializer
    if own is not None and own.name == name:
        return own
    try:
        return stored_serializer(name, pickles=rig.pickles)
    except DeserializationError as error:
        text = (
            f"Job {job_id} was enqueued with serializer {name!r}, which this worker does not have; "
            "start the worker with that serializer"
        )
        raise DeserializationError(text, job_id=job_id) from error


# -- the call ----------------------------------------------------------------------------------------------------------


def _limited(
    body: Body, call: CallRecord, job: object, rig: Rig, job_id: str, execution_id: str, times: list[float]
) -> Body:
    """The body with everything around it; notes when it began and ended in `times`."""
    timeout = call.policy.job_timeout

    def timed() -> object:
        times[0] = mono()
        try:
            return rig.deadline.run(body, timeout, job_id=job_id, execution_id=execution_id)
        finally:
            times[1] = mono()

    def limited() -> object:
        rig.deadline.fired = 0
        with current_job(job):
            return surrounded(timed, rig.middleware, job) if rig.middleware else timed()

    return limited


def surrounded(body: Body, middleware: Sequence[Middleware], job: object) -> object:
    """The value of the body, run inside `around_job` of each. Raises the body's exception even where one of them
    swallowed it: a job that raised must not look as if it had returned."""
    value, raised = _NOTHING, None
    with around(middleware, job):
        try:
            value = body()
        except BaseException as error:
            raised = error
            raise
    if raised is not None:
        raise raised
    return value


# -- after the call ----------------------------------------------------------------------------------------------------


def _returned(
    value: object, serializer: Serializer, rig: Rig, job_id: str, times: Sequence[float], *, wanted: bool
) -> Ran:
    """`wanted`: whether the value is to be stored; where it is not, nobody asks whether it could be."""
    began_s, ended_s = times
    if isinstance(value, Retry):
        return Ran(Outcome(Reason.RETRY_RETURNED, None, None, None, value, began_s, ended_s), value)
    if not wanted:
        return Ran(Outcome(None, None, None, None, None, began_s, ended_s), value)
    try:
        data = dumps_result(serializer, value)
        if len(data) > rig.payload_limit:
            raise PayloadTooLarge(
                f"The result of job {job_id} has {len(data)} bytes, the limit is {rig.payload_limit}; "
                "store it elsewhere and return its id or path",
                size=len(data),
                limit=rig.payload_limit,
                job_id=job_id,
            )
    except BaseException as error:  # noqa: BLE001  # a serializer, __reduce__ and __getstate__ are code of the user
        reason = Reason.TOO_LARGE if isinstance(error, PayloadTooLarge) else Reason.SERIALIZATION
        return _failed(reason, error, began_s, ended_s)
    return Ran(Outcome(None, data, None, None, None, began_s, ended_s), value)


def _raised(error: BaseException, times: Sequence[float], rig: Rig) -> Ran:
    # An exception raised while cleaning up after the time-out does not change why the job ended.
    if rig.deadline.fired or isinstance(error, JobTimeoutException):
        reason = Reason.TIMEOUT
    else:
        reason = Reason.UNRECOVERABLE if isinstance(error, Unrecoverable) else Reason.EXCEPTION
    return _failed(reason, error, times[0], times[1])


def _failed(reason: Reason, error: BaseException, began_s: float, ended_s: float | None = None) -> Ran:
    at = ended_s or mono()
    told = Outcome(reason, None, text_of(error), type_name(error), None, began_s, at, lineage_of(error))
    return Ran(told, None, error)
