"""What a failed execution says itself about the pause before its next attempt: RetryLater, and Retry.custom."""

from __future__ import annotations

import asyncio
import inspect

from rqlike import logs
from rqlike.callables import resolve
from rqlike.durations import format_seconds, parse_seconds
from rqlike.exceptions import RetryLater
from rqlike.outcomes import granted
from rqlike.policies import Retry
from rqlike.records import JobRecord
from rqlike.running.current import current_job
from rqlike.running.executor import Ran, Rig
from rqlike.running.tracebacks import clip, message_of, type_name
from rqlike.settings import RETRY_DELAY_S, TRACEBACK_LIMIT
from rqlike.states import Reason


def with_pause(ran: Ran, record: JobRecord, job: object, rig: Rig) -> Ran:
    """A failed execution with the pause that it asks for in its outcome, where it asks for one and another attempt
    follows.

    Where that cannot be had, the policy's own pause holds; why stands before the traceback, and in the log. Never
    raises for what the user's code does."""
    retry = granted(record, ran.outcome)
    if retry is None:
        return ran
    asks = isinstance(ran.error, RetryLater) and ran.outcome.reason is Reason.EXCEPTION
    if not asks and not retry.delay_func:
        return ran
    try:
        delay_s = _asked(ran.error) if asks else _called(retry, ran.error, record, job, rig)
    except BaseException as error:  # noqa: BLE001  # code of the user; the job has ended, and its outcome stands
        return _noted(ran, retry, asks, record, error)
    return ran._replace(outcome=ran.outcome._replace(delay_s=delay_s))


def _asked(error: BaseException | None) -> float:
    return parse_seconds(getattr(error, "delay", None), "RetryLater(delay)")  # type: ignore[arg-type]


def _called(retry: Retry, error: BaseException | None, record: JobRecord, job: object, rig: Rig) -> float:
    def body() -> float:
        value = resolve(retry.delay_func, rig.allow)(record.attempt, error)
        value = asyncio.run(value) if inspect.iscoroutine(value) else value
        return parse_seconds(value, "its value")  # type: ignore[arg-type]

    message = f"it ran longer than {RETRY_DELAY_S:g} seconds"
    with current_job(job):
        return rig.deadline.run(
            body, RETRY_DELAY_S, job_id=record.id, execution_id=f"{record.id}:delay", message=message
        )


def _noted(ran: Ran, retry: Retry, asks: bool, record: JobRecord, error: BaseException) -> Ran:
    what = "RetryLater" if asks else f"The function {retry.delay_func} of Retry.custom"
    pause = "the pause of the Retry holds" if asks else f"the fallback of {format_seconds(retry.intervals[0])} holds"
    problem = f"{what} gave no pause ({type_name(error)}: {message_of(error)}); {pause}."
    logs.pause_failed(record.id, problem)
    told = "\n\n".join(part for part in (problem, ran.outcome.exc_string) if part)
    return ran._replace(outcome=ran.outcome._replace(exc_string=clip(told, TRACEBACK_LIMIT)))
