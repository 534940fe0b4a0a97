"""Small builders for the tests of the store: a namespace with a clock of its own, and jobs in any status."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import redis

from rqlike import codec
from rqlike.entries import entry_of
from rqlike.options import Policy
from rqlike.outcomes import Outcome, Rules, Verdict, decide
from rqlike.policies import Repeat, Retry
from rqlike.records import CallRecord, Execution, JobRecord, ResultRecord
from rqlike.settings import FRONT_BAND, NORMAL_BAND
from rqlike.states import JobStatus, Reason
from rqlike.store import turns, verbs
from rqlike.store.requests import Request
from rqlike.store.store import Store
from rqlike.store.turns import Settlement, Turn, Turned
from rqlike.store.verbs import Enqueued, NewJob

T = TypeVar("T")

#: The injected clock starts far ahead of the server's: what is dated by it never expires by itself in a test, and
#: what is dated by the server's own clock (a minute at most) is told from it at a glance.
BASE_MS: Final = 4_102_444_800_000
QUEUE: Final = "q"
PARENTS: Final = "parents"  #: where those wait on which a deferred job depends
PAYLOAD: Final = b"\x92\x90\x80"  # no arguments

#: key -> (type, content, expiry in ms since the epoch or -1)
Dump = dict[str, tuple[str, Any, int]]


def call_of(payload: bytes = PAYLOAD, policy: Policy | None = None, name: str = "tasks.noop") -> bytes:
    """A call as it is stored."""
    return codec.encode_call(CallRecord(name, payload, {}, policy or Policy()))


def new_job(
    job_id: str, nonce: str = "", *, front: bool = False, policy: Policy | None = None, **fields: Any
) -> NewJob:
    """A job about to be enqueued."""
    call = fields.pop("call", None) or call_of(policy=policy)
    own = NORMAL_BAND if policy is None else policy.band
    return NewJob(job_id, call, nonce, band=_band(own, front=front), **fields)


def _band(own: int, *, front: bool) -> int:
    return (FRONT_BAND if own == NORMAL_BAND else -own) if front else own


def returned(value: bytes = b"\x01") -> Outcome:
    """The body returned."""
    return Outcome(value=value)


def raised(reason: Reason = Reason.EXCEPTION, retry: Retry | None = None) -> Outcome:
    """The body did not return."""
    return Outcome(reason, None, "Traceback: boom", "ValueError", retry)


@dataclass(slots=True)
class Scene:
    """One namespace on one server. Every call is made at `now_ms`, which only `pass_ms` moves."""

    store: Store
    now_ms: int = BASE_MS
    rules: Rules = field(default_factory=Rules)
    numbers: dict[str, int] = field(default_factory=dict)  #: the last call number of each worker
    last: Request[Any] | None = None  #: the last request, to be sent again

    @property
    def client(self) -> redis.Redis:
        return self.store.client

    def run(self, request: Request[T]) -> T:
        """Sends a request at the moment of the scene."""
        self.last = replace(request, now_ms=self.now_ms)
        return self.store.run(self.last)

    def again(self) -> Any:
        """The last request once more, as after a lost reply."""
        assert self.last is not None
        return self.store.run(self.last)

    def pass_ms(self, ms: int) -> None:
        """Time passes, and what has expired by then is gone."""
        self.now_ms += ms
        for key, (_, _, expiry) in self.dump().items():
            if BASE_MS <= expiry < self.now_ms:
                self.client.delete(key)

    def dump(self) -> Dump:
        """All that the namespace holds."""
        out: Dump = {}
        for raw in sorted(self.client.scan_iter(match=self.store.keys.prefix + "*", count=10_000)):
            key = raw.decode()
            found = self.client.type(key)
            kind = found.decode() if isinstance(found, bytes) else found
            if kind == "none":  # it expired just now
                continue
            out[key] = (kind, _content(self.client, kind, key), int(self.client.pexpiretime(key)))
        return out

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def enqueue(self, *jobs: NewJob, queue: str = QUEUE) -> list[Enqueued]:
        return self.run(verbs.enqueue(queue, jobs))

    def turn(
        self, worker: str = "w", *settlements: Settlement, want: int = 0, queues: Sequence[str] = (QUEUE,), **more: Any
    ) -> Turned:
        """A worker's next turn."""
        self.numbers[worker] = number = self.numbers.get(worker, 0) + 1
        turn = Turn(worker, f"i-{worker}", number, tuple(queues), want=want, settlements=settlements, **more)
        return self.run(turns.advance(turn))

    def claim(self, want: int = 1, worker: str = "w", **more: Any) -> tuple[Execution, ...]:
        return self.turn(worker, want=want, **more).granted

    def claim_one(self, worker: str = "w", **more: Any) -> Execution:
        (execution,) = self.claim(1, worker, **more)
        return execution

    def judged(self, execution: Execution, outcome: Outcome) -> Settlement:
        """The settlement that a worker would send for an outcome."""
        verdict = decide(execution.job, outcome, self.rules)
        entry = entry_of(execution, verdict, outcome, worker="w", offset_ms=self.now_ms)
        return Settlement(execution, verdict, entry)

    def settle(self, execution: Execution, outcome: Outcome, worker: str = "w", **more: Any) -> str:
        """Settles one execution; the word of the answer without the id of the entry."""
        (word,) = self.turn(worker, self.judged(execution, outcome), **more).words
        return word.partition(" ")[0]

    def give_back(self, execution: Execution, worker: str = "w") -> str:
        (word,) = self.turn(worker, Settlement(execution, Verdict.give_back())).words
        return word

    # -- looking -------------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobRecord | None:
        return self.store.run(verbs.load([job_id]))[0]

    def status(self, job_id: str) -> JobStatus | None:
        job = self.job(job_id)
        return None if job is None else job.status

    def order(self, status: JobStatus = JobStatus.QUEUED, queue: str = QUEUE) -> list[str]:
        """Ids in the order of a home."""
        return [job_id for job_id, _ in self.store.run(verbs.listing(status, queue, now_ms=self.now_ms))]

    def history(self, job_id: str) -> list[ResultRecord]:
        """Newest first."""
        return self.store.run(verbs.history(job_id))

    def markers(self, queue: str = QUEUE) -> int:
        return int(self.client.zcard(self.store.keys.markers(queue)))

    # -- a job in any status -------------------------------------------------------------------------------------------

    def put(self, status: JobStatus, job_id: str = "j", **fields: Any) -> Execution | None:
        """Brings a new job into a status; the execution where it is started."""
        if status is JobStatus.SCHEDULED:
            fields.setdefault("due", "+1000")
        if status is JobStatus.EXPIRED:
            fields.setdefault("ttl_ms", 1000)
        if status is JobStatus.DEFERRED:
            self.enqueue(new_job(f"{job_id}-parent"), queue=PARENTS)
            fields.setdefault("needs", f"c {job_id}-parent")
        self.enqueue(new_job(job_id, **fields))
        match status:
            case JobStatus.QUEUED | JobStatus.SCHEDULED | JobStatus.DEFERRED:
                return None
            case JobStatus.CANCELED:
                self.run(verbs.cancel(job_id, "by-put"))
                return None
            case JobStatus.EXPIRED:
                self.pass_ms(1001)
                self.run(verbs.expire(job_id))
                return None
        execution = self.claim_one()
        assert execution.job_id == job_id, "put needs a queue in which nothing else waits"
        outcomes = {
            JobStatus.FINISHED: returned(),
            JobStatus.FAILED: raised(),
            JobStatus.STOPPED: raised(Reason.STOPPED),
        }
        if status is JobStatus.STARTED:
            return execution
        self.settle(execution, outcomes[status])
        return None


def _content(client: redis.Redis, kind: str, key: str) -> Any:
    match kind:
        case "string":
            return client.get(key)
        case "hash":
            return client.hgetall(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case "set":
            return client.smembers(key)
        case "list":
            return client.lrange(key, 0, -1)
        case "stream":
            return client.xrange(key)
    raise AssertionError(f"{key} is a {kind}, which no key of rqlike is")


def scene_on(client: redis.Redis, namespace: str) -> Scene:
    """A fresh scene; the client's server is reachable by then."""
    return Scene(Store(client, namespace))


def policy(**fields: Any) -> Policy:
    """A policy with a few values that are not the defaults."""
    return Policy(**fields)


def retries(most: int, interval: float = 0, *, front: bool = False) -> Policy:
    return Policy(retry=Retry(most, interval, front))


def repeats(times: int, interval: float = 0) -> Policy:
    return Policy(repeat=Repeat(times, interval))


def real_ms() -> int:
    """The wall clock, for what the server dates by its own."""
    return time.time_ns() // 1_000_000
