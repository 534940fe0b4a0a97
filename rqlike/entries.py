"""An execution's entry in the history of its job, from what it came to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rqlike import codec, fields
from rqlike.durations import to_ms
from rqlike.outcomes import Outcome, Verdict
from rqlike.records import Execution, ResultRecord
from rqlike.states import ResultType, Unkept

Field = bytes | str | int

_NAMES = ("execution", "worker", "started", "ended", "type", "attempt", "cycle", "value", "serializer")
_EXECUTION, _WORKER, _STARTED, _ENDED, _TYPE, _ATTEMPT, _CYCLE, _VALUE, _SERIALIZER = (fields.ENTRY[n] for n in _NAMES)
_UNKEPT: Final = fields.ENTRY["unkept"]
_NAMES_OF_FAILURE = ("reason", "exc_type", "exc_string", "next_attempt")
_REASON, _EXC_TYPE, _EXC_STRING, _NEXT_ATTEMPT = (fields.ENTRY[name] for name in _NAMES_OF_FAILURE)


def entry_of(
    execution: Execution, verdict: Verdict, outcome: Outcome, *, worker: str, offset_ms: int
) -> tuple[Field, ...]:
    """The fields of an execution's entry, flat; what says nothing is left out.

    `offset_ms`: the server's clock minus this host's monotonic one."""
    job = execution.job
    ended_ms = offset_ms + round(outcome.ended_s * 1000)
    started_ms = (job.started_ms or 0) if execution.lapsed else offset_ms + round(outcome.began_s * 1000)
    entry: list[Field] = [_EXECUTION, execution.execution_id, _WORKER, job.worker_name or worker]
    entry += (_STARTED, started_ms, _ENDED, ended_ms)
    if verdict.type is not None:
        entry += (_TYPE, int(verdict.type))
    if job.attempt > 1:
        entry += (_ATTEMPT, job.attempt)
    if job.cycle > 1:
        entry += (_CYCLE, job.cycle)
    if verdict.type is ResultType.SUCCESSFUL:
        # a value is there unless the job wants none: one that cannot be stored has made it fail
        entry += (_UNKEPT, Unkept.DISABLED) if outcome.value is None else (_VALUE, outcome.value)
    if job.policy.serializer != "msgpack":
        entry += (_SERIALIZER, job.policy.serializer)
    if outcome.reason is not None:
        entry += (_REASON, outcome.reason)
        entry += _of_failure(verdict, outcome, ended_ms)
    return tuple(entry)


def _of_failure(verdict: Verdict, outcome: Outcome, ended_ms: int) -> Iterator[Field]:
    """What only an execution that did not return a value has to tell."""
    if outcome.exc_type is not None:
        yield from (_EXC_TYPE, outcome.exc_type)
    if outcome.exc_string is not None:
        yield from (_EXC_STRING, outcome.exc_string)
    if verdict.type is ResultType.RETRIED:
        yield from (_NEXT_ATTEMPT, ended_ms + to_ms(verdict.delay_s))


def without_value(entry: Sequence[Field]) -> tuple[Field, ...]:
    """The fields of an entry for a server that has no room for its value: they say so in its place."""
    kept: list[Field] = []
    for name, part in zip(entry[::2], entry[1::2], strict=True):
        kept += (_UNKEPT, Unkept.MAXMEMORY) if name == _VALUE else (name, part)
    return tuple(kept)


def entry_bytes(entry: Sequence[Field]) -> list[bytes]:
    """An entry's fields as they read back from the stream."""
    return [part if isinstance(part, bytes) else str(part).encode() for part in entry]


def entry_record(job_id: str, entry_id: str, entry: Sequence[Field]) -> ResultRecord | None:
    """The record of an entry that was just written."""
    record = codec.decode_entry(job_id, (entry_id.encode(), entry_bytes(entry)))
    return record if isinstance(record, ResultRecord) else None
