"""A worker's side of the store: its turns, its leases, its beginning and end. Values, as all requests are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rqlike import codec, fields
from rqlike.durations import to_ms
from rqlike.entries import Field, without_value
from rqlike.exceptions import RqlikeError
from rqlike.outcomes import Verdict
from rqlike.records import Execution, JobRecord
from rqlike.settings import LEASE_MS
from rqlike.store.requests import Argument, Request
from rqlike.store.schedules import DueSchedule, read_due

# -- a worker's turn ---------------------------------------------------------------------------------------------------


class Settlement(NamedTuple):
    """A verdict on an execution, with its entry for the history."""

    execution: Execution
    verdict: Verdict
    entry: tuple[Field, ...] = ()

    @property
    def carries_value(self) -> bool:
        """Whether a full server may refuse it."""
        return fields.ENTRY["value"] in self.entry[::2]

    def without_value(self) -> Settlement:
        """The same without the value, for a server that has no room for it."""
        return self._replace(entry=without_value(self.entry))

    def arguments(self) -> tuple[Argument, ...]:
        """As `include/settle.lua` reads it."""
        verdict, execution = self.verdict, self.execution
        return (
            execution.job_id,
            execution.token,
            execution.execution_id,
            verdict.verb,
            verdict.to or "gone",
            to_ms(verdict.ttl_s),
            to_ms(verdict.delay_s),
            verdict.band,
            verdict.crashes,
            len(self.entry),
            *self.entry,
        )


class Turn(NamedTuple):
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
    free: int | None = None  #: most jobs with a rate limit among those wanted, which must begin at once; None: all


class Problem(NamedTuple):
    """Something that is stored and could not be worked with: of one job, or of a whole queue where `job_id` is ''."""

    queue: str  #: '' where it is not known
    job_id: str
    text: str


class Turned(NamedTuple):
    """The answer to a turn."""

    now_ms: int
    words: tuple[str, ...]  #: per settlement: ok, with the id of its entry | already | stale | gone | broken
    granted: tuple[Execution, ...]
    lapsed: tuple[Execution, ...]
    moment_ms: int | None  #: when this worker is to ask again, whatever else happens
    more_to_prune: bool = False  #: there are more ids of expired jobs than one call removes
    problems: tuple[Problem, ...] = ()
    due: tuple[DueSchedule, ...] = ()  #: schedules that this worker is to fire, within 2 s
    paused: tuple[str, ...] = ()  #: of its queues, where it wanted jobs; '' where all are
    more_to_claim: bool = False  #: it looked at as many jobs as one call may, and has not seen all that wait


def advance(turn: Turn, now_ms: int | None = None) -> Request[Turned]:
    """One turn of a worker: settle, sweep, claim. Refused as a whole (OOM) only while a settlement carries a value."""
    mode = ("s" if turn.sweep else "") + ("p" if turn.prune else "") + ("w" if turn.woken else "")
    free = turn.want if turn.free is None else turn.free
    arguments: list[Argument] = [turn.worker, turn.number, turn.instance, turn.lease_ms, turn.want, free, mode]
    arguments += (len(turn.queues), *turn.queues, len(turn.settlements))
    for settlement in turn.settlements:
        arguments += settlement.arguments()
    name = "advance" if any(settlement.carries_value for settlement in turn.settlements) else "advance_oom"
    return Request(name, tuple(arguments), lambda reply: _read_turned(turn.worker, reply), now_ms=now_ms)


def _read_turned(worker: str, reply: Any) -> Turned:
    now, words, granted, lapsed, moment, more, problems, *extra = codec.unpack_reply(reply)
    slots, paused = extra[0] if extra else ((), ())
    return Turned(
        now_ms=now,
        words=tuple(word.decode() for word in words),
        granted=tuple(_granted(worker, now, *one) for one in granted),
        lapsed=tuple(_lapsed(*one) for one in lapsed),
        moment_ms=codec.number(moment) if moment else None,
        more_to_prune=bool(more & 1),
        problems=tuple(Problem(*map(codec.text, one)) for one in problems) if problems else (),
        due=tuple(map(read_due, slots)) if slots else (),
        paused=tuple(map(codec.text, paused)) if paused else (),
        more_to_claim=bool(more & 2),
    )


def _granted(
    worker: str, now_ms: int, job_id: bytes, flat: codec.Flat, attempt: bytes = b"", token: bytes = b""
) -> Execution:
    """Of a job that was just claimed come the fields from before: what the claim has made of them is known here. Where
    the call was made again they are as they are now."""
    if token:
        flat = [*flat, *codec.started(token, worker, now_ms, attempt)]
    job = _job(job_id, flat)
    return Execution(job, job.token or "", job.token or "", raw=flat)


def _lapsed(job_id: bytes, flat: codec.Flat, lapsed_token: bytes) -> Execution:
    job = _job(job_id, flat)
    return Execution(job, job.token or "", codec.text(lapsed_token), lapsed=True, raw=flat)


def _job(job_id: bytes, flat: codec.Flat) -> JobRecord:
    """A job that was just claimed. Whatever is in its fields, a worker must be able to go on with the others."""
    try:
        job = codec.decode_job(job_id.decode(), flat)
    except Exception as problem:  # noqa: BLE001  # what is stored may be anything, and the claim is made already
        return codec.unreadable(job_id.decode(errors="surrogateescape"), f"{type(problem).__name__}: {problem}", flat)
    return job or codec.unreadable(job_id.decode(), "it has no fields", flat)


def begin(job_id: str, worker: str, token: str, lease_ms: int) -> Request[tuple[Execution, int] | None]:
    """Claims one queued job by its id; with it the server's time in ms. None where it is not queued any more."""

    def read(reply: Any) -> tuple[Execution, int] | None:
        now, found = reply
        return (_granted(worker, now, *found[0]), now) if found else None

    return Request("begin", (job_id, worker, token, lease_ms), read)


# -- what runs ---------------------------------------------------------------------------------------------------------


class Telling(NamedTuple):
    """What an execution says of itself."""

    job_id: str
    token: str
    number: int  #: of this telling in the execution, so that one sent again is not written again
    at_ms: int  #: when its progress changed
    progress: bytes  #: b"" where it did not
    lines: tuple[tuple[int, bytes], ...]  #: moment in ms, and text


def tell(tellings: Sequence[Telling]) -> Request[Sequence[str]]:
    """Writes what executions say of themselves; per execution ok | stale, its token is not the current one | broken."""
    arguments: list[Argument] = []
    for one in tellings:
        moment: Argument = one.at_ms if one.progress else b""
        arguments += (one.job_id, one.token, one.number, moment, one.progress, len(one.lines))
        arguments += (part for line in one.lines for part in line)
    return Request("tell", tuple(arguments), lambda reply: [codec.text(word) for word in reply])


# -- a worker's life ---------------------------------------------------------------------------------------------------


class Renewed(NamedTuple):
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
    return Renewed(now, tuple(word.decode() for word in words), codec.text(order))


def register(worker: str, instance: str, facts: Mapping[str, object], now_ms: int | None = None) -> Request[int]:
    """A worker begins; the answer is the server's time in ms. Refused where a worker of this name is alive, and where
    the server's ACL keeps a command from this user that some script of a worker needs."""
    flat = codec.encode_worker(facts)

    def refused(word: str, detail: str) -> RqlikeError | None:
        if word == "NORIGHT":
            return RqlikeError(
                f"The server does not let this user call {', '.join(detail.split())}, without which a worker would "
                "leave jobs half way. Grant them (ACL SETUSER), or let the worker connect as another user."
            )
        if word != "TAKEN":
            return None
        host, _, pid = detail.partition(" ")
        return RqlikeError(f"A worker named {worker!r} is alive (host {host}, pid {pid}); give this one another name.")

    return Request("register", (worker, instance, len(flat), *flat), int, refused, now_ms)


def depart(worker: str) -> Request[int]:
    """A worker ends."""
    return Request("depart", (worker,), int)
