"""The verbs of producers, operators and readers, as requests. A worker's own are in `turns`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rqlike import codec, fields
from rqlike.durations import to_ms
from rqlike.exceptions import (
    DeserializationError,
    DuplicateJobError,
    InvalidTransition,
    NoSuchGroupError,
    NoSuchJobError,
    RqlikeError,
)
from rqlike.options import Unique
from rqlike.records import JobRecord, NoticeRecord, ResultRecord
from rqlike.settings import DEFAULT_FAILURE_TTL, GROUP_HOLD_MS, NORMAL_BAND
from rqlike.states import JobStatus
from rqlike.store.requests import Argument, Request
from rqlike.told import Told, read_told

_LIVE: Final = tuple(status for status in JobStatus if not status.terminal)
_STATUS_OF: Final = {status.encode(): status for status in JobStatus}
_WRITTEN: Final = frozenset({"new", "cycle", "replayed"})
#: Clients pack bytes twice as fast as numbers.
_SENT: Final[dict[object, bytes]] = {None: b"", "": b""}
_STATUSES: Final = _LIVE + tuple(status for status in JobStatus if status.terminal)


# -- producing ---------------------------------------------------------------------------------------------------------


class NewJob(NamedTuple):
    """A job about to be enqueued: everything is checked and encoded. A tuple, since it is made for every job: a frozen
    dataclass of this size takes 2 µs more."""

    id: str
    call: bytes
    nonce: str = ""  #: '' where rqlike made the id, which is then its own nonce
    band: int = NORMAL_BAND  #: 101 - priority; 0 at the front; negative: at the front, and of that band later
    due: str = ""  #: '' now | '+ms' from the server's now | ms since the epoch
    unique: str = ""  #: see `Unique.to_text`
    wish: str = ""  #: where another job has its id or its key: '' an error | return | replace | join | join_or_raise
    ttl_ms: int | None = None
    failure_ttl_ms: int | None = None
    meta: bytes = b""
    limit: str = ""  #: see `RateLimit.to_text`
    needs: str = ""  #: lines of `wish id`, the jobs that it depends on; see `Need.wish`


#: From the third field on. What is left out at the end is not sent.
_NO_OPTIONS: Final = ("", NORMAL_BAND, "", "", "", None, None, b"", "", "")


class Enqueued(NamedTuple):
    """The answer for one new job."""

    word: str  #: new | cycle | replayed | duplicate | orphan | held | …: all of them stand in `enqueue.lua`
    status: JobStatus | None  #: None: the job is gone, or something else has written what is stored under its id
    cycle: int
    since: str
    now_ms: int
    meant: str = ""  #: the id of the job that is in its place
    flat: codec.Flat = ()  #: the fields of that job, where the caller wants it

    @property
    def written(self) -> bool:
        """Whether the job is enqueued, by this call or by the same one sent before."""
        return self.word in _WRITTEN


class Fresh(NamedTuple):
    """A job that was just enqueued: what was sent, and what was answered. Most handles are never asked for more."""

    new: NewJob
    queue: str
    answer: Enqueued

    @property
    def id(self) -> str:
        """Its id."""
        return self.new.id

    @property
    def status(self) -> JobStatus:
        """The status it was given."""
        return self.answer.status or JobStatus.QUEUED

    @property
    def cycle(self) -> int:
        """Its cycle."""
        return self.answer.cycle

    @property
    def created_ms(self) -> int:
        """When its cycle was created."""
        return self.answer.now_ms

    def record(self) -> JobRecord:
        """The record as it reads now."""
        new, answer = self.new, self.answer
        return JobRecord(
            id=new.id,
            queue=self.queue,
            status=self.status,
            call=codec.decode_call(new.call),
            created_ms=self.created_ms,
            enqueued_ms=answer.now_ms,
            due_ms=_due_ms(new.due, answer.now_ms),
            deadline_ms=None if new.ttl_ms is None or new.due else answer.now_ms + new.ttl_ms,
            cycle=self.cycle,
            since=answer.since,
            meta=new.meta,
            limit=new.limit,
        )


def _due_ms(due: str, now_ms: int) -> int | None:
    if not due:
        return None
    return now_ms + int(due[1:]) if due.startswith("+") else int(due)


class Into(NamedTuple):
    """The group that jobs are to belong to."""

    group: str = ""  #: '' none
    more: bool = False  #: whether other jobs of it follow, until which it is not complete
    last: bool = False  #: whether these are the last of several parts


NO_GROUP: Final = Into()


def enqueue(
    queue: str,
    jobs: Sequence[NewJob],
    now_ms: int | None = None,
    *,
    atomic: bool = False,
    into: Into = NO_GROUP,
) -> Request[list[Enqueued]]:
    """New jobs, or new cycles of ended ones, into one queue; at most `BATCH` of them per call. `atomic`: all of them or
    none. Raises NoSuchGroupError."""
    if len(jobs) == 1 and jobs[0][2:] == _NO_OPTIONS and not into.group:
        return Request("enqueue", (queue, *jobs[0][:2]), _read_enqueued, now_ms=now_ms)
    columns = list(zip(*jobs, strict=True))
    width = _width(columns)
    sent: list[Argument] = [b""] * (width * len(jobs))
    for at, column in enumerate(columns[:width]):
        sent[at::width] = column if at < 2 else [_SENT.get(value, value) for value in column]
    mode = "atomic" if atomic else ""
    if into.group:
        hold_ms = GROUP_HOLD_MS if into.more else "0" if into.last else "-"
        mode = f"{mode} group {hold_ms} {into.group}".lstrip()
    head = (queue, mode or b"", width)

    def refused(word: str, detail: str) -> RqlikeError | None:
        return NoSuchGroupError(group_id=into.group) if word == "NOGROUP" else None

    return Request("enqueue", (*head, *sent), _read_enqueued, refused, now_ms)


def _width(columns: Sequence[tuple[Any, ...]]) -> int:
    """How many fields of each job are to be sent: up to the last one that says something of one of them."""
    usual = (None, None, *_NO_OPTIONS)
    for width in range(len(columns), 2, -1):
        column = columns[width - 1]
        if column.count(usual[width - 1]) != len(column):
            return width
    return 2


def _read_enqueued(reply: Any) -> list[Enqueued]:
    now, *answers = codec.unpack_reply(reply)
    new: dict[bytes, Enqueued] = {}  # a new job is told by its status alone; five hundred of them share two answers
    out: list[Enqueued] = []
    for answer in answers:
        if isinstance(answer, bytes):
            if answer not in new:
                new[answer] = Enqueued("new", _STATUS_OF[answer], 1, "0-0", now)
            out.append(new[answer])
        else:
            word, status, cycle, since, meant, *flat = answer
            seen = (codec.text(word), _STATUS_OF.get(status), cycle, codec.text(since), now, codec.text(meant))
            out.append(Enqueued(*seen, *flat))
    return out


def record_of(answer: Enqueued) -> JobRecord | None:
    """The job that stands in the place of the one that was sent; None where it is gone."""
    return _read_job(answer.meant, answer.flat)


def failure_ttl_ms(seconds: float) -> int | None:
    """What a script needs to know of a failure_ttl: nothing where it is the default."""
    if seconds == DEFAULT_FAILURE_TTL:
        return None
    return to_ms(seconds)


# -- operating ---------------------------------------------------------------------------------------------------------


def _refusal(job_id: str, verb: str) -> Callable[[str, str], RqlikeError | None]:
    def refused(word: str, detail: str) -> RqlikeError | None:
        if word == "BROKEN":
            return DeserializationError(f"Job {job_id} cannot be read ({detail:.200}); delete it.", job_id=job_id)
        if word == "NOJOB":
            return NoSuchJobError(job_id=job_id)
        if word == "HELD":
            return held_by(detail)
        if word == "WRONGSTATE":
            return InvalidTransition(job_id=job_id, verb=verb, status=detail)
        return None

    return refused


def cancel(
    job_id: str, nonce: str, now_ms: int | None = None, *, enqueue_dependents: bool = False
) -> Request[JobStatus]:
    """A waiting job never starts, a started one is to be killed. The answer is the status it has now.

    `enqueue_dependents`: the jobs that depend on it go on as if it had finished."""
    arguments = (job_id, nonce, "", "run" if enqueue_dependents else "")
    return Request("cancel", arguments, _status_of(job_id), _refusal(job_id, "cancel"), now_ms)


def cancel_waiting(job_id: str, nonce: str, cycle: int) -> Request[JobStatus]:
    """A job that has not been started in this cycle never is; any other one goes on. The answer is the status it has
    now."""
    return Request("cancel", (job_id, nonce, cycle, ""), _status_of(job_id), _refusal(job_id, "cancel"))


def cancel_many(job_ids: Sequence[str], nonce: str, now_ms: int | None = None) -> Request[list[str]]:
    """`cancel` of at most 500 jobs, as many as one call does: per job the status it has now | NOJOB | WRONGSTATE status
    | BROKEN problem; fewer words than jobs, and at least one, where others are left for another call."""
    return Request("cancel_many", (nonce, *job_ids), _read_words, now_ms=now_ms)


def stop(job_id: str, nonce: str = "") -> Request[JobStatus]:
    """A started job is to be killed."""
    return Request("stop", (job_id, nonce), _status_of(job_id), _refusal(job_id, "stop"))


def expire(job_id: str, now_ms: int | None = None) -> Request[JobStatus]:
    """Ends a job whose ttl is over; the answer is the status it has now."""
    return Request("expire", (job_id,), _status_of(job_id), _refusal(job_id, "expire"), now_ms)


def _status_of(job_id: str) -> Callable[[Any], JobStatus]:
    return lambda reply: codec.read_status(job_id, reply)


def requeue(job_ids: Sequence[str], nonce: str, at_front: bool, now_ms: int | None = None) -> Request[list[str]]:
    """New cycles for ended jobs, each of its priority; per job ok | NOJOB | WRONGSTATE status."""
    return Request("requeue", (nonce, int(at_front), *job_ids), _read_words, now_ms=now_ms)


def delete(
    job_ids: Sequence[str], nonce: str, now_ms: int | None = None, *, dependents_too: bool = False
) -> Request[list[str]]:
    """Jobs are gone at once; per job ok | NOJOB. `dependents_too`: those that wait for them go with them."""
    return Request("delete", (nonce, "delete" if dependents_too else "", *job_ids), _read_words, now_ms=now_ms)


def _read_words(reply: Any) -> list[str]:
    return [codec.text(word) for word in reply]


def word_error(word: str, job_id: str, verb: str) -> RqlikeError | None:
    """The error that a word for one job of many stands for; None for `ok`."""
    first, _, detail = word.partition(" ")
    return None if first == "ok" else _refusal(job_id, verb)(first, detail)


def empty(
    queue: str, limit: int, nonce: str = "", statuses: Sequence[JobStatus] = (JobStatus.QUEUED,)
) -> Request[tuple[int, int]]:
    """Deletes jobs of some statuses from the heads of their homes: (deleted, left)."""
    return Request("empty", (nonce, queue, limit, *statuses), lambda reply: (int(reply[0]), int(reply[1])))


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
    flat = tuple(part for name, data in blobs.items() for part in (fields.JOB[name], data))
    ttl = "" if failure_ttl is None else failure_ttl
    arguments = (job_id, ttl, result_ttl, int(redate), *flat)
    return Request("save", arguments, int, _refusal(job_id, "save"), now_ms)


def want(job_id: str, ms: int, *, all_of_it: bool, now_ms: int | None = None) -> Request[int]:
    """A waiter will look for what becomes of a job for another `ms`. With `all_of_it` also what is left of one that has
    ended stays as long; else that is left alone."""
    return Request("want", (job_id, ms, "all" if all_of_it else "live"), int, now_ms=now_ms)


def annotate(job_id: str, execution_id: str, text: str) -> Request[int]:
    """How a callback of an execution failed; 0 where the job is gone."""
    return Request("annotate", (job_id, execution_id, text[:1000]), int)


# -- reading -----------------------------------------------------------------------------------------------------------


def load(job_ids: Sequence[str]) -> Request[list[JobRecord | None]]:
    """Jobs as they are, None for each that does not exist; one that cannot be read is `unreadable`."""

    def read(reply: Any) -> list[JobRecord | None]:
        return [_read_job(job_id, flat) for job_id, flat in zip(job_ids, reply, strict=True)]

    return Request("load", tuple(job_ids), read)


def _read_job(job_id: str, flat: codec.Flat) -> JobRecord | None:
    try:
        return codec.decode_job(job_id, flat)
    except DeserializationError as problem:
        return codec.unreadable(job_id, str(problem), flat)


class Peeked(NamedTuple):
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
    """Status, cycle and the newest entries of a job; `entries` may be 0."""

    def read(reply: Any) -> Peeked:
        (now, status, cycle, deadline, ended, created), found = codec.unpack_reply(reply)
        found = found or []  # the server says nil where none were asked for
        decoded = (codec.decode_entry(job_id, (entry_id, flat)) for entry_id, flat in found)
        return Peeked(
            now,
            codec.read_status(job_id, status) if status else None,
            (codec.number(cycle) or 1) if isinstance(cycle, bytes) and cycle else cycle or 0,
            codec.number(deadline) if deadline else None,
            tuple(entry for entry in decoded if entry is not None),
            found[0][0].decode() if found else "0-0",
            bool(ended),
            codec.number(created) if created else None,
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


def told(job_id: str, lines: int) -> Request[Told]:
    """The newest progress of a job, and the last lines of its log; `lines` may be 0."""
    return Request("told", (job_id, lines), read_told)


def counts(queues: Sequence[str], now_ms: int | None = None) -> Request[list[dict[JobStatus, int]]]:
    """How many jobs are in each status, per queue."""

    def read(reply: Any) -> list[dict[JobStatus, int]]:
        return [dict(zip(_STATUSES, row, strict=True)) for row in reply]

    return Request("counts", (len(_LIVE), *_STATUSES, "-", *queues), read, now_ms=now_ms)


def listing(
    status: JobStatus,
    queue: str,
    first: int = 0,
    last: int = -1,
    *,
    descending: bool = False,
    now_ms: int | None = None,
) -> Request[list[tuple[str, float]]]:
    """(id, score) of the jobs in one home, by rank from `first` to `last` inclusive; -1 is the end."""

    def read(reply: Any) -> list[tuple[str, float]]:
        return [(codec.text(job_id), float(score)) for job_id, score in zip(reply[::2], reply[1::2], strict=True)]

    arguments = (status, queue, int(status.terminal), first, last, int(descending))
    return Request("list", arguments, read, now_ms=now_ms)


class Found(NamedTuple):
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
            codec.read_status(job_id, status) if status else None,
            codec.text(queue),
            rank if rank >= 0 else None,
            float(score) if score else None,
        )

    return Request("find", (job_id,), read)


def queues() -> Request[list[str]]:
    """The names of all queues ever used, sorted."""
    return Request("queues", (), lambda reply: sorted(codec.text(name) for name in reply))


def duplicate(new: NewJob, answer: Enqueued) -> DuplicateJobError:
    """The error for an id that a live job has, or something that is no job; and for a unique key that is held."""
    if answer.word == "twice":
        what = f"id {new.id}" if answer.meant == new.id else f"unique key {Unique.key_of(new.unique)!r}"
        text = (
            f"Another job before it in this call has the {what}. Leave one of them out, or say on_duplicate='return'."
        )
        return DuplicateJobError(text, job_id=answer.meant, status=None)
    if answer.word == "mixed":
        text = (
            f"Job {answer.meant} stands in the way of another job before it in this call, which leaves it in peace, so "
            "this one cannot replace it. Say the same on_duplicate of both, or send them in two calls."
        )
        return DuplicateJobError(text, job_id=answer.meant, status=answer.status)
    if answer.meant != new.id or (answer.status is not None and answer.status.terminal):
        return _key_held(Unique.key_of(new.unique), answer.meant, answer.status)
    if answer.status is None:
        text = f"The id {new.id} is taken by something that cannot be read; delete it, or choose another job_id."
        return DuplicateJobError(text, job_id=new.id, status=None)
    return DuplicateJobError(job_id=new.id, status=answer.status)


def held_by(detail: str) -> DuplicateJobError:
    """The error for `HELD status id`: the unique key of a job is held by another one."""
    status, _, holder = detail.partition(" ")
    return _key_held("", holder, _STATUS_OF.get(status.encode()))


def _key_held(key: str, holder: str, status: JobStatus | None) -> DuplicateJobError:
    named = f"The unique key {key!r}" if key else "Its unique key"
    state = "is gone; the key is free when its unique_for is over" if status is None else f"is {status}"
    choice = ", or say on_duplicate='return' to get that job" if key else ""
    return DuplicateJobError(
        f"{named} is held by job {holder}, which {state}. Wait until it is free{choice}.",
        job_id=holder,
        status=status,
    )
