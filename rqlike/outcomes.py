"""What an execution came to, and what follows from it. Pure: no clock, no server, no user code.

A horse reports an `Outcome`; for a horse that died its worker writes one; for a worker that died whoever recovers the
execution does. `decide` judges all three alike, and the `Verdict` is carried out by the script `advance`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self, cast

from rqlike.exceptions import DeserializationError
from rqlike.policies import Retry
from rqlike.records import JobRecord
from rqlike.settings import DEFAULT_RESULT_TTL, FRONT_BAND, MAX_CRASHES, NORMAL_BAND
from rqlike.states import CRASHES, JobStatus, Reason, ResultType

ABANDONED_ERROR = "rqlike.exceptions.AbandonedJobError"


class Outcome(NamedTuple):
    """How the body of one execution ended. `reason` None means that it returned.

    `began_s` and `ended_s` are the monotonic clock of the host, in seconds.
    """

    reason: Reason | None = None
    value: bytes | None = None
    exc_string: str | None = None
    exc_type: str | None = None
    retry: Retry | None = None
    began_s: float = 0.0
    ended_s: float = 0.0

    @classmethod
    def killed(cls, why: str, began_s: float, ended_s: float) -> Self:
        """The horse died while its worker lived; `why` says by what."""
        return cls(Reason.KILLED, None, why, ABANDONED_ERROR, None, began_s, ended_s)

    @classmethod
    def abandoned(cls, worker_name: str, now_s: float) -> Self:
        """The worker was lost; nobody knows how far the body came."""
        text = f"The worker {worker_name} was lost while it ran this job; how far the job came is not known."
        return cls(Reason.ABANDONED, None, text, ABANDONED_ERROR, None, now_s, now_s)

    def to_wire(self) -> list[object]:
        """A list of plain values, for a frame."""
        retry = self.retry.to_wire() if self.retry is not None else None
        return [self.reason, self.value, self.exc_string, self.exc_type, retry, self.began_s, self.ended_s]

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        try:
            reason, value, exc_string, exc_type, retry, began_s, ended_s = cast(list[Any], wire)
            return cls(
                reason if reason is None else Reason(reason),
                value,
                exc_string,
                exc_type,
                retry if retry is None else Retry.from_wire(retry),
                began_s,
                ended_s,
            )
        except (TypeError, ValueError, RecursionError) as broken:  # the last where an error shows a deep nest
            raise DeserializationError(f"An outcome is not readable: {broken}") from broken


class Verdict(NamedTuple):
    """What is to be written for one execution; made by `decide` and by the named constructors only."""

    verb: str
    to: JobStatus | None  #: None: the job is gone at once (result_ttl=0)
    type: ResultType | None = None  #: None: nothing enters the history
    ttl_s: float = -1.0  #: of an ended job; -1 for ever
    delay_s: float = 0.0  #: until the next attempt or cycle
    band: int = NORMAL_BAND
    crashes: int = 0

    @property
    def callback(self) -> str:
        """Which of a job's callbacks it asks for: success, failure or stopped; '' for none."""
        if self.type is None:
            return ""
        if self.type is ResultType.SUCCESSFUL:
            return "success"
        return "stopped" if self.type is ResultType.STOPPED else "failure"

    @classmethod
    def give_back(cls) -> Self:
        """Claimed but not begun: back to its old place, free and without an entry."""
        return cls("give_back", JobStatus.QUEUED)


class Rules(NamedTuple):
    """What a worker contributes to a decision."""

    default_result_ttl: float = DEFAULT_RESULT_TTL  #: seconds; for jobs that name none
    max_crashes: int = MAX_CRASHES


def decide(job: JobRecord, outcome: Outcome, rules: Rules) -> Verdict:
    """The verdict on one execution of `job`, the record as of its claim.

    Attempts count within a cycle; exceptions, time-outs, crashes and a returned Retry share them. After a crash the
    abandoned rule holds: without a Retry the job fails, since a half-done body may not be repeatable, and after
    `max_crashes` in a row it fails whatever is left, since it may be what kills its workers.
    """
    match outcome.reason:
        case None:
            return _returned(job, rules)
        case Reason.STOPPED:
            return _ended(job, "stop", JobStatus.STOPPED, ResultType.STOPPED)
        case Reason.CANCELED:
            return _ended(job, "cancel", JobStatus.CANCELED, ResultType.STOPPED)
        case Reason.UNRECOVERABLE:
            return _ended(job, "fail", JobStatus.FAILED, ResultType.FAILED)
        case Reason.RETRY_RETURNED:
            if outcome.retry is not None and job.attempt <= outcome.retry.max:
                return _again(job, outcome.retry, crashes=0)
            return _ended(job, "fail", JobStatus.FAILED, ResultType.MAX_RETRIES_EXCEEDED)
    return _failed(job, outcome.reason, rules)


def _returned(job: JobRecord, rules: Rules) -> Verdict:
    repeat = job.policy.repeat
    if repeat is not None and job.repeats < repeat.times:
        delay = repeat.delay(max(0, job.repeats) + 1)
        return Verdict("repeat", _later(delay), ResultType.SUCCESSFUL, delay_s=delay, band=job.policy.band)
    ttl = rules.default_result_ttl if job.policy.result_ttl is None else job.policy.result_ttl
    return Verdict("finish", JobStatus.FINISHED if ttl else None, ResultType.SUCCESSFUL, ttl_s=ttl)


def _failed(job: JobRecord, reason: Reason, rules: Rules) -> Verdict:
    crashes = job.crashes + 1 if reason in CRASHES else 0
    retry = job.policy.retry
    if retry is None or job.attempt > retry.max or crashes >= rules.max_crashes:
        return _ended(job, "fail", JobStatus.FAILED, ResultType.FAILED)
    return _again(job, retry, crashes)


def _again(job: JobRecord, retry: Retry, crashes: int) -> Verdict:
    delay = retry.delay(max(1, job.attempt))  # whatever is stored
    band = FRONT_BAND if retry.enqueue_at_front else job.policy.band
    return Verdict("retry", _later(delay), ResultType.RETRIED, delay_s=delay, band=band, crashes=crashes)


def _ended(job: JobRecord, verb: str, to: JobStatus, type_: ResultType) -> Verdict:
    return Verdict(verb, to, type_, ttl_s=job.policy.failure_ttl)


def _later(delay_s: float) -> JobStatus:
    return JobStatus.SCHEDULED if delay_s > 0 else JobStatus.QUEUED
