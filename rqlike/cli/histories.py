"""A job and its executions, as data and as people read them."""

from __future__ import annotations

from typing import Any

from rqlike import tables
from rqlike.cli.output import emit, emit_table, lines, shown, when
from rqlike.exceptions import RqlikeError
from rqlike.job import Job
from rqlike.results import Result, Results

CALL_WIDTH = 60


def show_jobs(found: list[Job[Any]]) -> None:
    """Jobs as a table."""
    rows = [
        (
            tables.printable(job.id, 40),
            job.origin,
            job.to_dict()["status"],
            when(job.created_at),
            job.attempt,
            tables.printable(job.description, CALL_WIDTH),
        )
        for job in found
    ]
    emit_table(("id", "queue", "status", "created (UTC)", "attempt", "call"), rows, right=(4,))


def result_facts(result: Result[Any]) -> dict[str, Any]:
    """One execution as data; `value_error` says why `return_value` is null although there is one."""
    facts: dict[str, Any] = {
        "id": result.id,
        "job_id": result.job_id,
        "type": result.type.name,
        "cycle": result.cycle,
        "attempt": result.attempt,
        "worker_name": result.worker_name,
        "execution_id": result.execution_id,
        "created_at": result.created_at,
        "execution_started_at": result.execution_started_at,
        "execution_ended_at": result.execution_ended_at,
        "duration": result.duration,
        "has_value": result.has_value,
        "not_stored": result.not_stored,
        "return_value": None,
        "exc_type": result.exc_type,
        "exc_string": result.exc_string,
        "reason": result.reason,
        "final": result.final,
        "next_attempt_at": result.next_attempt_at,
        "callback_error": result.callback_error,
    }
    try:
        facts["return_value"] = result.return_value
    except RqlikeError as error:
        facts["value_error"] = str(error)
    return facts


def job_facts(job: Job[Any], results: Results[Any]) -> dict[str, Any]:
    """A job with its executions as data."""
    return {**job.to_dict(), "results": [result_facts(result) for result in results]}


def show_job(job: Job[Any], results: Results[Any]) -> None:
    """A job, its executions as the table of `job.results()`, and the newest traceback."""
    known = job.to_dict()
    facts: dict[str, object] = {
        "job": job.id,
        "call": job.description,
        "queue": job.origin,
        "priority": job.priority or None,
        "status": known["status"],
        "problem": known["problem"],
        "cycle": job.cycle,
        "attempt": job.attempt,
        "retries left": job.retries_left,
        "created": _utc(when(job.created_at)),
        "enqueued": _utc(when(job.enqueued_at)),
        "next attempt": _utc(when(job.next_attempt_at)),
        "started": _utc(when(job.started_at)),
        "ended": _utc(when(job.ended_at)),
        "worker": job.worker_name,
        "meta": known["meta"] or None,
    }
    for name, value in facts.items():
        if value not in (None, ""):
            text = str(value) if isinstance(value, str) else shown(value)
            emit(f"{name:<13} {tables.printable(text)}")
    emit(f"\n{results!r}")
    told = next((result for result in results if result.exc_string), None)
    if told is not None:
        emit(f"\nattempt {told.attempt} of cycle {told.cycle}:\n{lines(told.exc_string or '')}")
    for result in results:
        if result.callback_error:
            emit(f"\ncallback of attempt {result.attempt}: {lines(result.callback_error)}")


def _utc(text: str) -> str:
    return f"{text} UTC" if text else ""
