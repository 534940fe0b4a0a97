"""An execution's entry in the history of its job, from what it came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rqlike import codec
from rqlike.durations import to_ms
from rqlike.outcomes import Outcome, Verdict
from rqlike.records import Execution, ResultRecord
from rqlike.states import ResultType

Field = bytes | str | int


def entry_of(
    execution: Execution, verdict: Verdict, outcome: Outcome, *, worker: str, offset_ms: int
) -> tuple[Field, ...]:
    """The fields of an execution's entry, flat; what says nothing is left out.

    `offset_ms`: the server's clock minus this host's monotonic one."""
    job = execution.job
    ended_ms = offset_ms + round(outcome.ended_s * 1000)
    fields: dict[str, Field | None] = {
        "type": verdict.type if verdict.type is None else int(verdict.type),
        "execution": execution.execution_id,
        "worker": job.worker_name or worker,
        "started": (job.started_ms or 0) if execution.lapsed else offset_ms + round(outcome.began_s * 1000),
        "ended": ended_ms,
        "attempt": None if job.attempt <= 1 else job.attempt,
        "cycle": None if job.cycle <= 1 else job.cycle,
        "value": outcome.value if verdict.type is ResultType.SUCCESSFUL else None,
        "serializer": None if job.policy.serializer == "msgpack" else job.policy.serializer,
        "reason": outcome.reason,
        "exc_type": outcome.exc_type,
        "exc_string": outcome.exc_string,
        "next_attempt": ended_ms + to_ms(verdict.delay_s) if verdict.type is ResultType.RETRIED else None,
    }
    return tuple(part for name, value in fields.items() if value is not None for part in (codec.ENTRY[name], value))


def entry_bytes(entry: Sequence[Field]) -> list[bytes]:
    """An entry's fields as they read back from the stream."""
    return [part if isinstance(part, bytes) else str(part).encode() for part in entry]


def entry_record(job_id: str, entry_id: str, entry: Sequence[Field]) -> ResultRecord | None:
    """The record of an entry that was just written."""
    record = codec.decode_entry(job_id, (entry_id.encode(), entry_bytes(entry)))
    return record if isinstance(record, ResultRecord) else None
