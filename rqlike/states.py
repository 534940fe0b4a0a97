"""The state machine as a table: which verb moves a job from where to where, and who says it.

`TRANSITIONS` is the one list of what may happen to a job. The Lua verbs ask it for permission (`allowed_in_lua`),
the lifecycle page is drawn from it (`mermaid`), and a test tries every verb on every status against it.
It only permits: what a verb does stands in its own Lua file.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final, NamedTuple


class JobStatus(StrEnum):
    """Where a job is. A job is in exactly one status, and in the one index that is the home of that status."""

    QUEUED = "queued"  #: waiting for a worker; `claim` moves it out
    STARTED = "started"  #: a worker holds a lease on it; its worker, or after the lease any other, moves it out
    SCHEDULED = "scheduled"  #: due later (delay, retry, repeat); any worker moves it out when it is due
    DEFERRED = "deferred"  #: waits for other jobs to end; the end of the last one moves it out
    FINISHED = "finished"  #: returned a value; kept for its result_ttl
    FAILED = "failed"  #: raised, timed out or was lost, and no attempt is left; the dead letters of its queue
    STOPPED = "stopped"  #: stopped by command while it ran
    CANCELED = "canceled"  #: canceled before or while it ran
    EXPIRED = "expired"  #: not started within its ttl; never ran in this cycle

    @property
    def terminal(self) -> bool:
        """True where the cycle is over: only a new enqueue, requeue or delete moves the job."""
        return self in TERMINAL


#: The order is the order of tables and counts.
TERMINAL: Final = frozenset(
    {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED, JobStatus.EXPIRED}
)
LIVE: Final = frozenset(JobStatus) - TERMINAL


class ResultType(IntEnum):
    """What an execution came to: RQ's five types, with RQ's numbers."""

    SUCCESSFUL = 1  #: returned a value
    FAILED = 2  #: the last attempt of its cycle failed
    STOPPED = 3  #: killed by `stop` or `cancel`
    RETRIED = 4  #: failed or returned Retry, and another attempt follows; does not end the cycle
    MAX_RETRIES_EXCEEDED = 5  #: returned Retry once too often

    @property
    def final(self) -> bool:
        """True where this execution ended its cycle."""
        return self is not ResultType.RETRIED


class Reason(StrEnum):
    """Why an execution did not return a value, or a job left without an execution."""

    EXCEPTION = "exception"  #: the body raised
    TIMEOUT = "timeout"  #: it ran longer than its job_timeout
    KILLED = "killed"  #: its horse died while the worker lived (signal, exit, kill-horse)
    ABANDONED = "abandoned"  #: its worker was lost
    UNRECOVERABLE = "unrecoverable"  #: it raised Unrecoverable
    RETRY_RETURNED = "retry_returned"  #: it returned Retry
    SERIALIZATION = "serialization"  #: its arguments, its result or its record could not be read or written
    TOO_LARGE = "too_large"  #: its result is over the limit
    IMPORT = "import"  #: its function could not be imported by the worker, or is not among those it may run
    PROTOCOL = "protocol"  #: its horse sent something that is not a frame
    STOPPED = "stopped"  #: stopped by command
    CANCELED = "canceled"  #: canceled while it ran


#: Reasons after which the abandoned rule holds: nobody knows how far the body came.
CRASHES: Final = frozenset({Reason.KILLED, Reason.ABANDONED, Reason.PROTOCOL})


class Unkept(StrEnum):
    """Why there is no value of a successful execution."""

    DISABLED = "disabled"  #: its job has `store_result=False`
    MAXMEMORY = "maxmemory"  #: the server had no room for it


class Notice(StrEnum):
    """How a job left without an execution: an entry that wakes its waiters and is not part of its history."""

    CANCELED = "canceled"
    EXPIRED = "expired"
    DELETED = "deleted"


class Transition(NamedTuple):
    """One row: `verb` moves a job from any of `sources` (None: there was no job) to one of `targets` (None: gone)."""

    verb: str
    sources: frozenset[JobStatus | None]
    targets: frozenset[JobStatus | None]
    writes: str  #: what it appends to the job's stream
    said_by: str
    why: str


def _row(verb: str, sources: str, targets: str, writes: str, said_by: str, why: str) -> Transition:
    def read(words: str) -> frozenset[JobStatus | None]:
        return frozenset(None if word == "-" else JobStatus(word) for word in words.split())

    return Transition(verb, read(sources), read(targets), writes, said_by, why)


_ENDED = "finished failed stopped canceled expired"

TRANSITIONS: Final[tuple[Transition, ...]] = (
    _row(
        "enqueue",
        f"- {_ENDED}",
        "queued scheduled deferred",
        "",
        "a producer",
        "a new job, or a new cycle of one that ended",
    ),
    _row(
        "fire",
        "-",
        "queued deferred",
        "",
        "any worker",
        "a slot of its schedule has come, or somebody wants it run now",
    ),
    _row("promote", "scheduled", "queued", "", "any worker", "its time has come"),
    _row(
        "ready",
        "deferred",
        "queued scheduled",
        "",
        "whoever ends the last",
        "all it depends on have ended as it wished",
    ),
    _row("claim", "queued", "started", "", "a worker", "a worker with a free horse takes it under a token and a lease"),
    _row("give_back", "started", "queued", "", "its worker", "claimed but not begun: back to its old place, free"),
    _row("recover", "started", "started", "", "any worker", "its lease lapsed: another worker judges it, new token"),
    _row("finish", "started", "finished -", "SUCCESSFUL", "its worker", "the body returned"),
    _row(
        "repeat", "started", "queued scheduled", "SUCCESSFUL", "its worker", "the body returned; Repeat starts a cycle"
    ),
    _row("retry", "started", "queued scheduled", "RETRIED", "its worker", "it failed and an attempt is left"),
    _row("fail", "started", "failed", "FAILED or MAX_RETRIES_EXCEEDED", "its worker", "it failed, no attempt is left"),
    _row(
        "bury",
        "queued scheduled deferred started",
        "failed",
        "FAILED",
        "any worker",
        "something else has written into its keys, and no script can work with it",
    ),
    _row("stop", "started", "stopped", "STOPPED", "its worker, asked by an operator", "stopped while it ran"),
    _row(
        "cancel",
        "queued scheduled deferred started",
        "canceled",
        "a notice; STOPPED if it ran",
        "anyone",
        "never starts; a started one is marked, and its worker kills the horse and writes it",
    ),
    _row("expire", "queued scheduled", "expired", "a notice", "any worker or waiter", "not started within its ttl"),
    _row("requeue", _ENDED, "queued", "", "an operator", "a new cycle; the history is kept"),
    _row("delete", f"queued scheduled deferred started {_ENDED}", "-", "a notice", "an operator", "gone at once"),
)
VERBS: Final = {row.verb: row for row in TRANSITIONS}


def allowed(verb: str, status: JobStatus | None) -> bool:
    """Whether `verb` may move a job that is in `status` (None: no such job)."""
    return status in VERBS[verb].sources


def allowed_in_lua() -> str:
    """The permissions as Lua: one constant string and a look-up, so that a script call builds no table."""
    pairs = sorted(f"{row.verb}:{source or ''}" for row in TRANSITIONS for source in row.sources)
    return (
        f"local ALLOWED = '|{'|'.join(pairs)}|'\n"
        "local function allowed(verb, status)\n"
        "  return string.find(ALLOWED, '|' .. verb .. ':' .. (status or '') .. '|', 1, true) ~= nil\n"
        "end\n"
    )


def mermaid() -> str:
    """The lifecycle as a Mermaid state diagram, drawn from the table."""
    lines = ["stateDiagram-v2"]
    for row in TRANSITIONS:
        for source in sorted(row.sources, key=_place):
            for target in sorted(row.targets, key=_place):
                if source is not None or target is not None:
                    lines.append(f"    {source or '[*]'} --> {target or '[*]'}: {row.verb}")
    return "\n".join(lines) + "\n"


def _place(status: JobStatus | None) -> int:
    return -1 if status is None else list(JobStatus).index(status)
