"""What is called once an outcome is recorded: callbacks and exception handlers. They change no status."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from rqlike.callables import resolve
from rqlike.codec import decode_entry
from rqlike.policies import Callback
from rqlike.records import JobRecord, ResultRecord
from rqlike.running.deadline import Deadline
from rqlike.running.executor import Ran
from rqlike.running.tracebacks import text_of
from rqlike.serializers import Serializer, loads_result, stored_serializer

CALLBACKS: Final[Mapping[str, str]] = {"success": "on_success", "failure": "on_failure", "stopped": "on_stopped"}


Handler = Callable[..., object]


class RemoteError(Exception):
    """An exception of another process whose class is not known in this one; its text is the stored traceback's."""


def read_result(job_id: str, entry: object) -> ResultRecord | None:
    """The execution of an entry that came through a frame, [id, flat fields]; None where it is none."""
    if not isinstance(entry, list | tuple) or len(entry) != 2 or not isinstance(entry[1], list | tuple):
        return None
    entry_id, fields = entry
    record = decode_entry(job_id, (_bytes(entry_id), [_bytes(part) for part in fields]))
    return record if isinstance(record, ResultRecord) else None


def _bytes(part: object) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


def call_back(
    which: str,
    record: JobRecord,
    job: object,
    *,
    connect: Callable[[], object] | None = None,
    result: ResultRecord | None,
    ran: Ran | None,
    deadline: Deadline,
    serializer: Serializer | None = None,
    allow: Sequence[str] | None = None,
) -> str | None:
    """Runs one callback of a job under its own time limit; how it failed as text, or None.

    `on_success(job, connection, result)`, `on_failure(job, connection, type, value, traceback)`,
    `on_stopped(job, connection)`. `ran`: what the execution came to, where it ran in this process; otherwise the
    value is read from `result`, the exception is made anew from what was stored, and its traceback is None.
    `connect` gives the connection, when it is needed; None: the job's own. `allow`: globs of what may be called.
    """
    callback: Callback | None = getattr(record.policy, CALLBACKS[which]) if which in CALLBACKS else None
    if callback is None:
        return None

    def body() -> None:
        func: Callable[..., object] = resolve(callback.reference, allow)
        connection = getattr(job, "connection", None) if connect is None else connect()
        value = func(job, connection, *_arguments(which, result, ran, serializer))
        if inspect.iscoroutine(value):
            asyncio.run(value)

    message = f"{CALLBACKS[which]} {callback.reference} of job {record.id} ran longer than {callback.timeout:g} seconds"
    try:
        deadline.run(body, callback.timeout, job_id=record.id, execution_id=f"{record.id}:{which}", message=message)
    except BaseException as error:  # noqa: BLE001  # whatever a callback raises is noted, and changes nothing
        return text_of(error)
    return None


def handle_exception(
    handlers: Sequence[Handler | str],
    record: JobRecord,
    job: object,
    *,
    result: ResultRecord | None,
    ran: Ran | None,
    deadline: Deadline,
    timeout: float,
) -> str | None:
    """Hands a failed execution to `handler(job, type, value, traceback)` in order, until one returns False.

    All of them together have `timeout` seconds. How one failed as text, or None; the rest is not called then.
    """

    def body() -> None:
        for handler in handlers:
            func: Handler = resolve(handler) if isinstance(handler, str) else handler
            answer = func(job, *_exception(result, ran))
            if answer is not None and not answer:
                return

    message = f"the exception handlers for job {record.id} ran longer than {timeout:g} seconds"
    try:
        deadline.run(body, timeout, job_id=record.id, execution_id=f"{record.id}:handlers", message=message)
    except BaseException as error:  # noqa: BLE001  # whatever a handler raises is noted, and changes nothing
        return text_of(error)
    return None


def _arguments(
    which: str, result: ResultRecord | None, ran: Ran | None, serializer: Serializer | None
) -> tuple[Any, ...]:
    if which == "success":
        return (ran.value if ran is not None else _stored_value(result, serializer),)
    return _exception(result, ran) if which == "failure" else ()


def _exception(
    result: ResultRecord | None, ran: Ran | None
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    error = ran.error if ran is not None else None
    if error is None:
        error = stored_error(result)
    return type(error), error, error.__traceback__


def _stored_value(result: ResultRecord | None, serializer: Serializer | None) -> Any:
    if result is None or result.value is None:
        return None
    if serializer is None or serializer.name != result.serializer:
        serializer = stored_serializer(result.serializer)
    return loads_result(serializer, result.value)


def stored_error(result: ResultRecord | None) -> BaseException:
    """An exception made from what was stored: of its own class where that is imported here, else a RemoteError.

    It has the message as its one argument, no traceback, and what its class does when it is made is not done.
    """
    path = (result.exc_type if result is not None else None) or ""
    text = (result.exc_string if result is not None else None) or ""
    if not text and result is not None:
        text = f"no exception; the execution ended for this reason: {result.reason}"
    module_name, _, name = path.rpartition(".")
    # Only what is imported already: a stored name must not make a process import anything.
    # And only what stands there: a module may have a __getattr__ of its own.
    kind: object = getattr(sys.modules.get(module_name), "__dict__", {}).get(name)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        kind = RemoteError
    elif issubclass(kind, BaseExceptionGroup):
        kind = RemoteError  # a group cannot be made without its members
    error: BaseException = kind.__new__(kind)
    error.args = (_message(text, path, name),)
    return error


def _message(text: str, path: str, name: str) -> str:
    """The message at the end of a traceback: what follows the exception's name."""
    lines = text.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        for prefix in (f"{path}: ", f"{name}: "):
            if name and lines[number].startswith(prefix):
                return "\n".join([lines[number][len(prefix) :], *lines[number + 1 :]])
    return text
