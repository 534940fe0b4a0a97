"""What is stored, as frozen values: a call, a job, an execution's result, a worker.

Nothing here knows a server. Times are milliseconds since the epoch by the server's clock; `None` means that it has
not happened. Named tuples and not dataclasses: a worker makes some of them for every job, which takes a third of the
time, and a program that only enqueues does not wait for the methods of dataclasses to be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from rqlike.options import PLAIN_POLICY, Policy
from rqlike.states import JobStatus, Notice, Reason, ResultType, Unkept

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class CallRecord(NamedTuple):
    """A function call as it travels: the function's path, its serialised arguments, headers and policy."""

    func_name: str
    payload: bytes  #: (args, kwargs), by the policy's serializer
    headers: Mapping[str, str] = _NONE
    policy: Policy = PLAIN_POLICY


class JobRecord(NamedTuple):
    """A job as it was when it was read."""

    id: str
    queue: str
    status: JobStatus
    call: CallRecord | None  #: None: the stored call cannot be read; `call_error` says why
    created_ms: int
    call_error: str = ""
    enqueued_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    due_ms: int | None = None  #: when a scheduled job is to run
    deadline_ms: int | None = None  #: when it expires if it has not started
    cycle: int = 1
    attempt: int = 0  #: executions begun in this cycle
    crashes: int = 0  #: in a row, within this cycle
    repeats: int = 0  #: repetitions done
    since: str = "0-0"  #: stream id at which this cycle began
    token: str | None = None  #: of the current execution
    worker_name: str | None = None
    asked: str | None = None  #: what an operator wants of a started job: stopped, canceled
    meta: bytes = b""
    callback_errors: Mapping[str, str] = _NONE  #: by execution id
    unreadable: str = ""  #: why nothing of it can be trusted: it never runs, and its status only stands for that
    slot_ms: int | None = None  #: the slot of its schedule that it was made for
    limit: str = ""  #: its rate limit, as `RateLimit.to_text` spells it; '' for none

    @property
    def policy(self) -> Policy:
        """The policy of its call; the defaults where the call cannot be read."""
        return self.call.policy if self.call is not None else PLAIN_POLICY

    @property
    def retries_left(self) -> int:
        """Attempts the policy still grants in this cycle after the current or last execution."""
        retry = self.policy.retry
        if retry is None:
            return 0
        waits = self.status in (JobStatus.QUEUED, JobStatus.SCHEDULED)  # for an attempt that is not counted yet
        return max(0, retry.max - max(0, self.attempt if waits else self.attempt - 1))

    @property
    def next_attempt_ms(self) -> int | None:
        """When its next attempt is due; a moment that has passed where it is queued for a retry; None otherwise."""
        if self.status is JobStatus.SCHEDULED:
            return self.due_ms
        if self.status is JobStatus.QUEUED and self.attempt > 0:
            return self.due_ms or self.enqueued_ms
        return None


class ResultRecord(NamedTuple):
    """One execution, as its entry in the job's stream tells it."""

    id: str  #: the stream's id of it
    job_id: str
    type: ResultType
    cycle: int
    attempt: int
    worker_name: str
    execution_id: str
    started_ms: int
    ended_ms: int
    value: bytes | None = None  #: None: there is none, or it was not stored
    serializer: str = "msgpack"
    exc_string: str | None = None
    exc_type: str | None = None
    reason: Reason | None = None
    next_attempt_ms: int | None = None
    callback_error: str | None = None
    unkept: Unkept | None = None  #: why a successful execution has no value

    @property
    def created_ms(self) -> int:
        """When it was recorded."""
        return int(self.id.partition("-")[0])


class NoticeRecord(NamedTuple):
    """How a job left without an execution."""

    id: str
    notice: Notice
    cycle: int
    reason: str = ""  #: why, where there is more to say: "dependency"


class WorkerRecord(NamedTuple):
    """A worker, as its last renewal told it."""

    name: str
    hostname: str
    pid: int
    version: str
    python_version: str
    queues: tuple[str, ...]
    state: str
    birth_ms: int
    seen_ms: int
    concurrency: int = 1
    current_job_ids: tuple[str, ...] = ()
    successful_job_count: int = 0
    failed_job_count: int = 0
    working_ms: int = 0
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """A claimed job: the record as of the claim, and the token that may finish it."""

    job: JobRecord
    token: str  #: who holds it may write
    execution_id: str  #: under which it enters the history; the lapsed token where it is judged for another worker
    lapsed: bool = False  #: its worker was lost; it is to be judged, not run
    #: The job's fields as they came, for the horse to decode; in whatever order, so they do not make another execution.
    raw: Sequence[bytes] = field(default=(), repr=False, compare=False)

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.job.id
