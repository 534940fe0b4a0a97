"""What an execution came to, and what follows from it. Pure: no clock, no server, no user code.

A horse reports an `Outcome`; for a horse that died its worker writes one; for a worker that died whoever recovers the
execution does. `decide` judges all three alike, and the `Verdict` is carried out by the script `advance`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self, cast

from rqlike.exceptions import AbandonedJobError, DeserializationError
from rqlike.policies import Retry, lineage
from rqlike.records import JobRecord
from rqlike.settings import DEFAULT_RESULT_TTL, FRONT_BAND, MAX_CRASHES, NORMAL_BAND
from rqlike.states import CRASHES, JobStatus, Reason, ResultType
from rqlike.timeouts import JobTimeoutException

_OF_CRASHES: Final = lineage(AbandonedJobError)
_OF_TIMEOUTS: Final = lineage(JobTimeoutException)
_OF_UNREADABLE: Final = lineage(DeserializationError)
ABANDONED_ERROR: Final = _OF_CRASHES[0]
#: Ends after which no policy is asked.
_NEVER_RETRIED: Final = frozenset({None, Reason.STOPPED, Reason.CANCELED, Reason.UNRECOVERABLE})


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
    lineage: tuple[str, ...] = ()  #: paths of the exception's class and its bases; () where there was none in hand
    delay_s: float | None = None  #: before the next attempt, where RetryLater or the function of Retry.custom said it

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
        said: list[object] = [
            self.reason,
            self.value,
            self.exc_string,
            self.exc_type,
            retry,
            self.began_s,
            self.ended_s,
        ]
        return [*said, self.lineage, self.delay_s] if self.lineage or self.delay_s is not None else said

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        try:
            reason, value, exc_string, exc_type, retry, began_s, ended_s, *more = cast(list[Any], wire)
            paths, delay_s = more or ((), None)
            return cls(
                reason if reason is None else Reason(reason),
                value,
                exc_string,
                exc_type,
                retry if retry is None else Retry.from_wire(retry),
                began_s,
                ended_s,
                tuple(paths),
                delay_s,
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


def decide(job: JobRecord, outcome: Outcome, rules: Rules, draw: float = 0.5) -> Verdict:
    """The verdict on one execution of `job`, the record as of its claim. `draw`: a random number from 0 to 1, which
    places the next attempt within the jitter of its pause.

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
    return _failed(job, outcome, rules, draw)


def granted(job: JobRecord, outcome: Outcome) -> Retry | None:
    """The Retry by which another attempt follows this execution, crashes in a row aside; None where none is left, or
    where it is not to be retried. A returned Retry is asked in place of the job's own, and not by exception."""
    if outcome.reason in _NEVER_RETRIED:
        return None
    retry = outcome.retry if outcome.reason is Reason.RETRY_RETURNED else job.policy.retry
    if retry is None or job.attempt > retry.max:
        return None
    by_exception = outcome.reason is not Reason.RETRY_RETURNED and (retry.on is not None or retry.give_up_on)
    return None if by_exception and not retry.covers(_lineage_of(outcome)) else retry


def _lineage_of(outcome: Outcome) -> tuple[str, ...]:
    """Of the exception that an execution ended with; where nobody has it in hand, of the one that stands for it."""
    if outcome.reason in CRASHES:
        return _OF_CRASHES
    if outcome.reason is Reason.TIMEOUT:
        # Whatever was raised while it cleaned up: that is not why it ended.
        return outcome.lineage if _OF_TIMEOUTS[0] in outcome.lineage else _OF_TIMEOUTS
    return outcome.lineage or (_OF_UNREADABLE if outcome.reason is Reason.SERIALIZATION else ())


def _returned(job: JobRecord, rules: Rules) -> Verdict:
    repeat = job.policy.repeat
    if repeat is not None and job.repeats < repeat.times:
        delay = repeat.delay(max(0, job.repeats) + 1)
        return Verdict("repeat", _later(delay), ResultType.SUCCESSFUL, delay_s=delay, band=job.policy.band)
    ttl = rules.default_result_ttl if job.policy.result_ttl is None else job.policy.result_ttl
    return Verdict("finish", JobStatus.FINISHED if ttl else None, ResultType.SUCCESSFUL, ttl_s=ttl)


def _failed(job: JobRecord, outcome: Outcome, rules: Rules, draw: float) -> Verdict:
    crashes = job.crashes + 1 if outcome.reason in CRASHES else 0
    retry = granted(job, outcome)
    if retry is not None and crashes < rules.max_crashes:
        return _again(job, retry, crashes, outcome.delay_s, draw)
    returned = outcome.reason is Reason.RETRY_RETURNED
    type_ = ResultType.MAX_RETRIES_EXCEEDED if returned else ResultType.FAILED
    return _ended(job, "fail", JobStatus.FAILED, type_)


def _again(job: JobRecord, retry: Retry, crashes: int, said_s: float | None, draw: float) -> Verdict:
    attempt = max(1, job.attempt)  # whatever is stored
    delay = retry.delay(attempt, draw) if said_s is None else said_s
    band = FRONT_BAND if retry.enqueue_at_front else job.policy.band
    return Verdict("retry", _later(delay), ResultType.RETRIED, delay_s=delay, band=band, crashes=crashes)


def _ended(job: JobRecord, verb: str, to: JobStatus, type_: ResultType) -> Verdict:
    return Verdict(verb, to, type_, ttl_s=job.policy.failure_ttl)


def _later(delay_s: float) -> JobStatus:
    return JobStatus.SCHEDULED if delay_s > 0 else JobStatus.QUEUED
