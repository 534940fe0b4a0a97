"""Results: what executions came to, as people ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, SupportsIndex, TypeVar, overload

from rqlike import clock, tables
from rqlike.durations import format_seconds
from rqlike.records import ResultRecord
from rqlike.serializers import stored_serializer
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import Reason, ResultType, Unkept
from rqlike.store import verbs
from rqlike.store.store import Conn, Store

if TYPE_CHECKING:
    from rqlike.job import Job

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """One execution of a job: what it came to, when, where, and on which attempt of which cycle."""

    record: ResultRecord = field(repr=False)

    Type: ClassVar[type[ResultType]] = ResultType

    @property
    def id(self) -> str:
        """Its place in the job's history: the stream's id, growing."""
        return self.record.id

    @property
    def job_id(self) -> str:
        """The job that was executed."""
        return self.record.job_id

    @property
    def type(self) -> ResultType:
        """SUCCESSFUL, FAILED, STOPPED, RETRIED or MAX_RETRIES_EXCEEDED."""
        return self.record.type

    @property
    def cycle(self) -> int:
        """1 for the first enqueue of the job, one more with each enqueue, requeue or repeat of it."""
        return self.record.cycle

    @property
    def attempt(self) -> int:
        """1-based number of this execution within its cycle."""
        return self.record.attempt

    @property
    def worker_name(self) -> str:
        """The worker that ran it."""
        return self.record.worker_name

    @property
    def execution_id(self) -> str:
        """The id of this execution; no other execution of any job has it."""
        return self.record.execution_id

    @property
    def created_at(self) -> datetime:
        """When it was recorded; aware UTC, the server's clock."""
        return clock.utc(self.record.created_ms)

    @property
    def execution_started_at(self) -> datetime:
        """When the body began; aware UTC."""
        return clock.utc(self.record.started_ms)

    @property
    def execution_ended_at(self) -> datetime:
        """When the body ended; aware UTC."""
        return clock.utc(self.record.ended_ms)

    @property
    def duration(self) -> float:
        """Seconds the body ran."""
        return max(0, self.record.ended_ms - self.record.started_ms) / 1000

    @property
    def has_value(self) -> bool:
        """Whether there is a return value; False where the execution failed or its value was not kept."""
        return self.record.value is not None

    @property
    def not_stored(self) -> Unkept | None:
        """Why a successful execution has no value: "disabled" by the option `store_result`, or "maxmemory" of the
        server; None where it has one, and where it was not successful."""
        return self.record.unkept

    @property
    def return_value(self) -> T | None:
        """What the function returned; None where it returned None and where `has_value` is False.

        Raises DeserializationError where the bytes cannot be read."""
        if self.record.value is None:
            return None
        value: Any = stored_serializer(self.record.serializer).loads(self.record.value)
        return value  # type: ignore[no-any-return]

    @property
    def exc_string(self) -> str | None:
        """The traceback of a failed execution; head and tail of one over 64 kB."""
        return self.record.exc_string

    @property
    def exc_type(self) -> str | None:
        """The dotted path of the exception's class."""
        return self.record.exc_type

    @property
    def reason(self) -> Reason | None:
        """Why it was not successful; None where it was."""
        return self.record.reason

    @property
    def final(self) -> bool:
        """Whether this execution ended its cycle; False for RETRIED."""
        return self.record.type.final

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the next attempt of a retried execution is due; None for all others."""
        moment = self.record.next_attempt_ms
        return None if moment is None else clock.utc(moment)

    @property
    def callback_error(self) -> str | None:
        """How a callback of this execution failed; None where none did, and once the job is gone."""
        return self.record.callback_error

    def __repr__(self) -> str:
        shown = f"<Result {self.type.name} of {tables.printable(self.job_id, 40)}"
        if self.has_value or self.not_stored:
            shown += f": {_value(self)}"
        elif self.reason is not None:
            shown += f": {self.reason} {_last_line(self)}".rstrip()
        return f"{shown}, {_times(self)}>"

    @classmethod
    def fetch_many(
        cls, jobs: Sequence[Job[Any] | str], connection: Conn = None, namespace: str | None = None
    ) -> list[Result[Any] | None]:
        """The newest execution of each job, None where there is none: index-aligned, one round trip per 500 of them.

        Without `connection` and `namespace` those of the jobs, where handles are given."""
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        handles = [job for job in jobs if not isinstance(job, str)]
        bring = connection is None and namespace is None and bool(handles)
        if bring and len({(id(job.connection), job.namespace) for job in handles}) > 1:
            raise ValueError("these jobs are of several connections or namespaces; ask for those of one at a time")
        store = handles[0].store if bring else Store(connection, namespace)
        found: list[ResultRecord | None] = []
        for at in range(0, len(ids), TOUCH_LIMIT):
            part: list[ResultRecord | None] = store.run(verbs.newest(ids[at : at + TOUCH_LIMIT]))
            found += part
        return [None if record is None else cls(record) for record in found]


class Results(list[Result[T]]):
    """Executions, newest first. A list whose repr is a table; slices are Results."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Result[T]: ...
    @overload
    def __getitem__(self, index: slice) -> Results[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Result[T] | Results[T]:
        if isinstance(index, slice):
            return Results(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        if not self:
            return "no executions yet"
        return tables.table(_HEADINGS, _rows(self), right=(1, 2))

    def _repr_html_(self) -> str:
        import html  # only notebooks ask, and it brings a table of all entities

        heads = "".join(f"<th>{html.escape(heading)}</th>" for heading in _HEADINGS)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(tables.printable(cell))}</td>" for cell in row) + "</tr>"
            for row in _rows(self)
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


_HEADINGS = ("ended", "cycle", "attempt", "type", "took", "value or error", "worker")


def _rows(results: Iterable[Result[Any]]) -> Iterator[tuple[str, ...]]:
    for result in results:
        fine = result.has_value or result.not_stored
        told = _value(result) if fine else f"{result.reason or ''} {_last_line(result)}".strip()
        if result.next_attempt_at is not None and result.next_attempt_at > result.execution_ended_at:
            told += f"; next attempt {result.next_attempt_at:%Y-%m-%d %H:%M:%S}"
        yield (
            result.execution_ended_at.strftime("%Y-%m-%d %H:%M:%S"),
            str(result.cycle),
            str(result.attempt),
            result.type.name,
            _took(result),
            told or "(no value)",
            result.worker_name,
        )


_ABSENT = {Unkept.DISABLED: "(value not stored)", Unkept.MAXMEMORY: "(value dropped: the server was at maxmemory)"}


def _value(result: Result[Any]) -> str:
    if result.not_stored is not None:
        return _ABSENT[result.not_stored]
    try:
        return tables.printable(repr(result.return_value), 60)
    except Exception as unreadable:  # noqa: BLE001  # a repr must not raise, whatever a value's own repr does
        return f"(unreadable: {type(unreadable).__name__})"


def _last_line(result: Result[Any]) -> str:
    lines = (result.exc_string or "").strip().splitlines()
    return tables.printable(lines[-1].strip(), 60) if lines else ""


def _took(result: Result[Any]) -> str:
    return format_seconds(result.duration) if result.duration else "<1ms"


def _times(result: Result[Any]) -> str:
    at = f"attempt {result.attempt}" if result.cycle == 1 else f"cycle {result.cycle} attempt {result.attempt}"
    return f"{at}, took {_took(result)}"
