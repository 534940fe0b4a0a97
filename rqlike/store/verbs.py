"""The verbs of the store as values: which script, with which arguments, and how its answer reads.

A `Request` is sent by whoever has a connection: by `Store` and the caller's client, or by a worker's own connections,
which never block. It may be sent again unchanged at any time; every script answers the second time as the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from rqlike import codec
from rqlike.durations import to_ms
from rqlike.exceptions import DuplicateJobError, InvalidTransition, NoSuchJobError, RqlikeError
from rqlike.outcomes import Outcome, Verdict
from rqlike.records import Execution, JobRecord, NoticeRecord, ResultRecord, WorkerRecord
from rqlike.settings import DEFAULT_FAILURE_TTL, FRONT_BAND, LEASE_MS, NORMAL_BAND
from rqlike.states import JobStatus, ResultType

T = TypeVar("T")
Argument = bytes | str | int

_LIVE: Final = tuple(status for status in JobStatus if not status.terminal)
_STATUSES: Final = _LIVE + tuple(status for status in JobStatus if status.terminal)


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One script call. `read` makes the answer of the reply; `refused` an error of `WORD detail`, where it can."""

    script: str
    arguments: tuple[Argument, ...]
    read: Callable[[Any], T]
    refused: Callable[[str, str], RqlikeError | None] = lambda word, detail: None
    now_ms: int | None = None  #: tests may say what time it is

    def argv(self) -> tuple[Argument, ...]:
        """ARGV: the moment, then the verb's own arguments."""
        return ("" if self.now_ms is None else self.now_ms, *self.arguments)


# -- producing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job about to be enqueued: everything is checked and encoded."""

    id: str
    nonce: str  #: '' where rqlike made the id, which is then its own nonce
    call: bytes
    meta: bytes = b""
    band: int = NORMAL_BAND
    due: str = ""  #: '' now | '+ms' from the server's now | ms since the epoch
    ttl_ms: int | None = None
    failure_ttl_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer for one new job."""

    word: str  #: new | cycle | replayed | duplicate
    status: JobStatus
    cycle: int
    since: str
    now_ms: int


def enqueue(queue: str, jobs: Sequence[NewJob], now_ms: int | None = None) -> Request[list[Enqueued]]:
    """New jobs, or new cycles of ended ones, into one queue; at most `BATCH` of them per call."""
    arguments: list[Argument] = [queue]
    for job in jobs:
        arguments += (
            job.id,
            job.nonce,
            job.band,
            job.due,
            "" if job.ttl_ms is None else job.ttl_ms,
            "" if job.failure_ttl_ms is None else job.failure_ttl_ms,
            job.call,
            job.meta,
        )
    return Request("enqueue", tuple(arguments), _read_enqueued, now_ms=now_ms)


def _read_enqueued(reply: Any) -> list[Enqueued]:
    now = reply[0]
    return [
        Enqueued(word.decode(), JobStatus(status.decode()), cycle, since.decode(), now)
        for word, status, cycle, since in reply[1:]
    ]


def failure_ttl_ms(seconds: float) -> int | None:
    """What a script needs to know of a failure_ttl: nothing where it is the default."""
    if seconds == DEFAULT_FAILURE_TTL:
        return None
    return ttl_ms(seconds)


def ttl_ms(seconds: float) -> int:
    """Seconds to milliseconds, -1 staying for ever."""
    return -1 if seconds < 0 else to_ms(seconds)


# -- a worker's turn ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settlement:
    """A verdict on an execution, with its entry for the history."""

    execution: Execution
    verdict: Verdict
    entry: tuple[Argument, ...] = ()

    @property
    def carries_value(self) -> bool:
        """Whether a full server may refuse it."""
        return codec.ENTRY["value"] in self.entry[::2]

    def without_value(self) -> Settlement:
        """The same without the value, for a server that has no room for it."""
        pairs = zip(self.entry[::2], self.entry[1::2], strict=True)
        kept = tuple(part for pair in pairs if pair[0] != codec.ENTRY["value"] for part in pair)
        return Settlement(self.execution, self.verdict, kept)

    def arguments(self) -> tuple[Argument, ...]:
        """As `include/settle.lua` reads it."""
        verdict, execution = self.verdict, self.execution
        return (
            execution.job_id,
            execution.token,
            execution.execution_id,
            verdict.verb,
            verdict.to or "gone",
            ttl_ms(verdict.ttl_s),
            to_ms(verdict.delay_s),
            verdict.band,
            verdict.crashes,
            len(self.entry),
            *self.entry,
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """What a worker says and asks in one call; `number` grows by one with each answered call."""

    worker: str
    instance: str  #: makes tokens unlike those of any other worker
    number: int
    queues: tuple[str, ...]
    want: int = 0
    sweep: bool = False
    prune: bool = False
    woken: bool = False
    settlements: tuple[Settlement, ...] = ()
    lease_ms: int = LEASE_MS


@dataclass(frozen=True, slots=True)
class Turned:
    """The answer to a turn."""

    now_ms: int
    words: tuple[str, ...]  #: per settlement: ok, with the id of its entry | already | stale | gone
    granted: tuple[Execution, ...]
    lapsed: tuple[Execution, ...]
    moment_ms: int | None  #: when this worker is to ask again, whatever else happens


def advance(turn: Turn, now_ms: int | None = None) -> Request[Turned]:
    """One turn of a worker: settle, sweep, claim. Refused as a whole (OOM) only while a settlement carries a value."""
    mode = ("s" if turn.sweep else "") + ("p" if turn.prune else "") + ("w" if turn.woken else "")
    arguments: list[Argument] = [turn.worker, turn.number, turn.instance, turn.lease_ms, turn.want, mode]
    arguments += (len(turn.queues), *turn.queues, len(turn.settlements))
    for settlement in turn.settlements:
        arguments += settlement.arguments()
    name = "advance" if any(settlement.carries_value for settlement in turn.settlements) else "advance_oom"
    return Request(name, tuple(arguments), _read_turned, now_ms=now_ms)


def _read_turned(reply: Any) -> Turned:
    now, words, granted, lapsed, moment = codec.unpack_reply(reply)
    return Turned(
        now_ms=now,
        words=tuple(word.decode() for word in words),
        granted=tuple(_granted(*one) for one in granted),
        lapsed=tuple(_lapsed(*one) for one in lapsed),
        moment_ms=int(moment) if moment else None,
    )


def _granted(job_id: bytes, flat: codec.Flat) -> Execution:
    job = _job(job_id, flat)
    return Execution(job, job.token or "", job.token or "", raw=flat)


def _lapsed(job_id: bytes, flat: codec.Flat, lapsed_token: bytes) -> Execution:
    job = _job(job_id, flat)
    return Execution(job, job.token or "", lapsed_token.decode(), lapsed=True, raw=flat)


def _job(job_id: bytes, flat: codec.Flat) -> JobRecord:
    job = codec.decode_job(job_id.decode(), flat)
    assert job is not None
    return job


def entry_of(
    execution: Execution, verdict: Verdict, outcome: Outcome, *, worker: str, offset_ms: int
) -> tuple[Argument, ...]:
    """The fields of an execution's entry; what says nothing is left out.

    `offset_ms`: the server's clock minus this host's monotonic one."""
    job = execution.job
    ended_ms = offset_ms + round(outcome.ended_s * 1000)
    fields: dict[str, Argument | None] = {
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


def entry_bytes(entry: Sequence[Argument]) -> list[bytes]:
    """An entry's fields as they read back from the stream."""
    return [part if isinstance(part, bytes) else str(part).encode() for part in entry]


def entry_record(job_id: str, entry_id: str, entry: Sequence[Argument]) -> ResultRecord | None:
    """The record of an entry that was just written."""
    record = codec.decode_entry(job_id, (entry_id.encode(), entry_bytes(entry)))
    return record if isinstance(record, ResultRecord) else None


def begin(job_id: str, worker: str, token: str, lease_ms: int) -> Request[tuple[Execution, int] | None]:
    """Claims one queued job by its id; with it the server's time in ms. None where it is not queued any more."""

    def read(reply: Any) -> tuple[Execution, int] | None:
        now, found = reply
        return (_granted(*found[0]), now) if found else None

    return Request("begin", (job_id, worker, token, lease_ms), read)


# -- a worker's life ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer to a renewal."""

    now_ms: int
    words: tuple[str, ...]  #: per execution: ok | lost | stopped | canceled
    order: str  #: left for the worker: '' or shutdown


def renew(
    worker: str,
    facts: Mapping[str, object],
    executions: Sequence[Execution],
    lease_ms: int = LEASE_MS,
    now_ms: int | None = None,
) -> Request[Renewed]:
    """The worker lives, and so do its executions, for another `lease_ms`."""
    flat = codec.encode_worker(facts)
    held = (part for execution in executions for part in (execution.job_id, execution.token))
    return Request("renew", (worker, lease_ms, len(flat), *flat, *held), _read_renewed, now_ms=now_ms)


def _read_renewed(reply: Any) -> Renewed:
    now, words, order = reply
    return Renewed(now, tuple(word.decode() for word in words), order.decode())


def register(worker: str, instance: str, facts: Mapping[str, object], now_ms: int | None = None) -> Request[int]:
    """A worker begins; the answer is the server's time in ms."""
    flat = codec.encode_worker(facts)

    def taken(word: str, detail: str) -> RqlikeError | None:
        if word != "TAKEN":
            return None
        host, _, pid = detail.partition(" ")
        return RqlikeError(f"A worker named {worker!r} is alive (host {host}, pid {pid}); give this one another name.")

    return Request("register", (worker, instance, len(flat), *flat), int, taken, now_ms)


def depart(worker: str) -> Request[int]:
    """A worker ends."""
    return Request("depart", (worker,), int)


def command(worker: str, order: str) -> Request[int]:
    """An order to a worker: shutdown or kill-horse."""

    def nobody(word: str, detail: str) -> RqlikeError | None:
        return RqlikeError(f"There is no living worker named {worker!r}.") if word == "NOWORKER" else None

    return Request("command", (worker, order), int, nobody)


def workers(now_ms: int | None = None) -> Request[list[WorkerRecord]]:
    """The living workers."""

    def read(reply: Any) -> list[WorkerRecord]:
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return [codec.decode_worker(name.decode(), flat) for name, flat in pairs]

    return Request("workers", (), read, now_ms=now_ms)


# -- operating ---------------------------------------------------------------------------------------------------------


def _refusal(job_id: str, verb: str) -> Callable[[str, str], RqlikeError | None]:
    def refused(word: str, detail: str) -> RqlikeError | None:
        if word == "NOJOB":
            return NoSuchJobError(job_id=job_id)
        if word == "WRONGSTATE":
            return InvalidTransition(job_id=job_id, verb=verb, status=detail)
        return None

    return refused


def cancel(job_id: str, nonce: str, now_ms: int | None = None) -> Request[JobStatus]:
    """A waiting job never starts, a started one is to be killed. The answer is the status it has now."""
    return Request("cancel", (job_id, nonce), _read_status, _refusal(job_id, "cancel"), now_ms)


def stop(job_id: str) -> Request[JobStatus]:
    """A started job is to be killed."""
    return Request("stop", (job_id,), _read_status, _refusal(job_id, "stop"))


def expire(job_id: str, now_ms: int | None = None) -> Request[JobStatus]:
    """Ends a job whose ttl is over; the answer is the status it has now."""
    return Request("expire", (job_id,), _read_status, _refusal(job_id, "expire"), now_ms)


def _read_status(reply: Any) -> JobStatus:
    return JobStatus(reply.decode())


def requeue(job_ids: Sequence[str], nonce: str, at_front: bool, now_ms: int | None = None) -> Request[list[str]]:
    """New cycles for ended jobs; per job ok | NOJOB | WRONGSTATE status."""
    band = FRONT_BAND if at_front else NORMAL_BAND
    arguments = [part for job_id in job_ids for part in (job_id, band)]
    return Request("requeue", (nonce, int(at_front), *arguments), _read_words, now_ms=now_ms)


def delete(job_ids: Sequence[str], nonce: str, now_ms: int | None = None) -> Request[list[str]]:
    """Jobs are gone at once; per job ok | NOJOB."""
    return Request("delete", (nonce, *job_ids), _read_words, now_ms=now_ms)


def _read_words(reply: Any) -> list[str]:
    return [word.decode() for word in reply]


def word_error(word: str, job_id: str, verb: str) -> RqlikeError | None:
    """The error that a word for one job of many stands for; None for `ok`."""
    first, _, detail = word.partition(" ")
    return None if first == "ok" else _refusal(job_id, verb)(first, detail)


def empty(queue: str, limit: int) -> Request[tuple[int, int]]:
    """Deletes queued jobs from the head: (deleted, left)."""
    return Request("empty", (queue, limit), lambda reply: (reply[0], reply[1]))


def save(
    job_id: str,
    blobs: Mapping[str, bytes],
    failure_ttl: int | None = None,
    result_ttl: int | str = "",
    *,
    redate: bool = False,
    now_ms: int | None = None,
) -> Request[int]:
    """Writes editable blobs of a job (`meta`, `overrides`) and its ttls, in ms ("default" is the worker's).

    `redate`: a job that has ended is kept for `result_ttl` from now on."""
    flat = tuple(part for name, data in blobs.items() for part in (codec.FIELDS[name], data))
    ttl = "" if failure_ttl is None else failure_ttl
    arguments = (job_id, ttl, result_ttl, int(redate), *flat)
    return Request("save", arguments, int, _refusal(job_id, "save"), now_ms)


def annotate(job_id: str, execution_id: str, text: str) -> Request[int]:
    """How a callback of an execution failed; 0 where the job is gone."""
    return Request("annotate", (job_id, execution_id, text[:1000]), int)


# -- reading -----------------------------------------------------------------------------------------------------------


def load(job_ids: Sequence[str]) -> Request[list[JobRecord | None]]:
    """Jobs as they are, None for each that does not exist."""

    def read(reply: Any) -> list[JobRecord | None]:
        return [codec.decode_job(job_id, flat) for job_id, flat in zip(job_ids, reply, strict=True)]

    return Request("load", tuple(job_ids), read)


@dataclass(frozen=True, slots=True)
class Peeked:
    """What a waiter sees of a job before it blocks."""

    now_ms: int
    status: JobStatus | None
    cycle: int
    deadline_ms: int | None
    entries: tuple[ResultRecord | NoticeRecord, ...]  #: newest first
    newest_id: str  #: of any entry; '0-0' where there is none
    ended: bool = False  #: the job is gone, and an index that is not swept yet shows that it had ended
    created_ms: int | None = None  #: of the job that bears the id now


def peek(job_id: str, queue: str, entries: int, now_ms: int | None = None) -> Request[Peeked]:
    """Status, cycle and the newest entries of a job."""

    def read(reply: Any) -> Peeked:
        (now, status, cycle, deadline, ended, created), found = reply
        decoded = (codec.decode_entry(job_id, (entry_id, flat)) for entry_id, flat in found)
        return Peeked(
            now,
            JobStatus(status.decode()) if status else None,
            int(cycle) if cycle else 0,
            int(deadline) if deadline else None,
            tuple(entry for entry in decoded if entry is not None),
            found[0][0].decode() if found else "0-0",
            bool(ended),
            int(created) if created else None,
        )

    return Request("peek", (job_id, queue, entries), read, now_ms=now_ms)


def newest(job_ids: Sequence[str]) -> Request[list[ResultRecord | None]]:
    """The newest execution of each job, in one round trip."""

    def read(reply: Any) -> list[ResultRecord | None]:
        out: list[ResultRecord | None] = []
        for job_id, (entries, flat) in zip(job_ids, reply, strict=True):
            errors = codec.callback_errors(dict(zip(flat[::2], flat[1::2], strict=True)))
            executions = codec.decode_results(job_id, entries, errors)
            out.append(executions[0] if executions else None)
        return out

    return Request("newest", tuple(job_ids), read)


def history(job_id: str) -> Request[list[ResultRecord]]:
    """All executions kept of a job, newest first."""

    def read(reply: Any) -> list[ResultRecord]:
        entries, flat = reply
        got = dict(zip(flat[::2], flat[1::2], strict=True))
        return codec.decode_results(job_id, entries, codec.callback_errors(got))

    return Request("history", (job_id,), read)


def counts(queues: Sequence[str], now_ms: int | None = None) -> Request[list[dict[JobStatus, int]]]:
    """How many jobs are in each status, per queue."""

    def read(reply: Any) -> list[dict[JobStatus, int]]:
        return [dict(zip(_STATUSES, row, strict=True)) for row in reply]

    return Request("counts", (len(_LIVE), *_STATUSES, "-", *queues), read, now_ms=now_ms)


def listing(
    status: JobStatus, queue: str, first: int = 0, last: int = -1, *, descending: bool = False, now_ms: int | None = None
) -> Request[list[tuple[str, float]]]:
    """(id, score) of the jobs in one home, by rank from `first` to `last` inclusive; -1 is the end."""

    def read(reply: Any) -> list[tuple[str, float]]:
        return [(job_id.decode(), float(score)) for job_id, score in zip(reply[::2], reply[1::2], strict=True)]

    arguments = (status, queue, int(status.terminal), first, last, int(descending))
    return Request("list", arguments, read, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a job stands."""

    status: JobStatus | None
    queue: str
    rank: int | None
    score: float | None


def find(job_id: str) -> Request[Found]:
    """The home of a job and its rank in it."""

    def read(reply: Any) -> Found:
        status, queue, rank, score = reply
        return Found(
            JobStatus(status.decode()) if status else None,
            queue.decode(),
            rank if rank >= 0 else None,
            float(score) if score else None,
        )

    return Request("find", (job_id,), read)


def queues() -> Request[list[str]]:
    """The names of all queues ever used, sorted."""
    return Request("queues", (), lambda reply: sorted(name.decode() for name in reply))


def duplicate(job_id: str, answer: Enqueued) -> DuplicateJobError:
    """The error for an id that a live job holds."""
    return DuplicateJobError(job_id=job_id, status=answer.status)
