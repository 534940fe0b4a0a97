"""What a waiter is told: the newest execution of a job, or the value of one of its cycles, or why there is none."""

from __future__ import annotations

import math
from typing import Any, NoReturn, Protocol

from rqlike import clock
from rqlike.exceptions import (
    JobCanceled,
    JobExpired,
    JobFailed,
    JobStopped,
    NoSuchJobError,
    ResultExpired,
    ResultNotStored,
    WaitTimeout,
)
from rqlike.records import JobRecord, NoticeRecord, ResultRecord
from rqlike.results import Result
from rqlike.settings import DEFAULT_RESULT_TTL
from rqlike.standoff import eye_on_horses
from rqlike.states import JobStatus, Notice, Reason, ResultType
from rqlike.store import staff, verbs
from rqlike.store.store import Store
from rqlike.store.verbs import Peeked
from rqlike.store.waiting import wait_for
from rqlike.store.wishes import Wish

_Place = tuple[int, int]


# -- the newest execution ----------------------------------------------------------------------------------------------


def latest(store: Store, job: JobRecord, seconds: float, after: str | None) -> Result[Any] | None:
    """`Job.latest_result`. `after`: the id of a result, or None."""
    job_id = job.id
    floor = _place("0-0" if after is None else after)
    if seconds == 0:
        return _newest(store, job_id) if after is None else _beyond(store, job_id, floor, final_only=False)

    def judge(seen: Peeked) -> tuple[Result[Any] | None] | None:
        newer = [entry for entry in seen.entries if _place(entry.id) > floor]
        if not newer and seen.status is not None and not seen.status.terminal:
            return None
        if after is None and newer and isinstance(newer[0], ResultRecord) and newer[0].type.final:
            return (Result(newer[0]),)
        found = _beyond(store, job_id, floor, final_only=True, newest=after is None)
        left = seen.status is None or seen.status.terminal or any(isinstance(one, NoticeRecord) for one in newer)
        return (found,) if found is not None or left else None

    since = None if job.policy.ttl is not None or after is not None else "0-0"
    with eye_on_horses(store, job, seconds) as eye:
        answer = wait_for(store, job_id, job.queue, seconds, judge, since, _wish(job, seconds), eye)
    return None if answer is None else answer[0]


def _newest(store: Store, job_id: str) -> Result[Any] | None:
    (record,) = store.run(verbs.newest([job_id]))
    return None if record is None else Result(record)


def _beyond(store: Store, job_id: str, floor: _Place, *, final_only: bool, newest: bool = False) -> Result[Any] | None:
    """The first execution after `floor`, or the newest one."""
    newer = [record for record in store.run(verbs.history(job_id)) if _place(record.id) > floor]
    fitting = [record for record in newer if record.type.final or not final_only]
    if not fitting:
        return None
    return Result(fitting[0] if newest else fitting[-1])


def _wish(job: JobRecord, seconds: float | None) -> Wish:
    """What one who waits for `seconds` leaves with a job, by how long its handle says that results are kept."""
    policy = job.policy
    ttl = DEFAULT_RESULT_TTL if policy.result_ttl is None else policy.result_ttl
    kept = min(kept if kept >= 0 else math.inf for kept in (ttl, policy.failure_ttl))
    return Wish.of(job.id, seconds, kept, clock.mono())


def _place(entry_id: str) -> _Place:
    first, _, second = entry_id.partition("-")
    try:
        return int(first), int(second or 0)
    except ValueError:
        raise ValueError(f"{entry_id!r} is not the id of a result") from None


# -- the value of a cycle ----------------------------------------------------------------------------------------------


def value_of_cycle(store: Store, job: JobRecord, seconds: float | None) -> Any:
    """`Job.wait`: what the cycle of `job` returns. `seconds` None: without limit."""

    def judge(seen: Peeked) -> Result[Any] | None:
        _same_job(job, seen)
        for entry in seen.entries:
            if entry.cycle == job.cycle:
                if isinstance(entry, NoticeRecord):
                    _raise_notice(job, entry)
                if entry.type.final:
                    return Result(entry)
        if seen.status is None:
            ended = job.status.terminal or seen.ended
            raise ResultExpired(job_id=job.id) if ended else NoSuchJobError(job_id=job.id)
        if cycle_is_over(job, seen):
            return _from_history(store, job, seen.cycle)
        return None

    since = None if job.policy.ttl is not None else job.since
    with eye_on_horses(store, job, seconds) as eye:
        result = wait_for(store, job.id, job.queue, seconds, judge, since, _wish(job, seconds), eye)
    if result is None:
        _give_up(store, job, seconds or 0.0)
    return _value(result)


class Known(Protocol):
    """What a handle knows of the job it waits for."""

    @property
    def id(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def status(self) -> JobStatus: ...
    @property
    def cycle(self) -> int: ...
    @property
    def created_ms(self) -> int: ...


class Seen(Protocol):
    """What a look sees of the job that bears an id; a status of None where there is none."""

    @property
    def status(self) -> JobStatus | None: ...
    @property
    def cycle(self) -> int: ...
    @property
    def created_ms(self) -> int | None: ...


def cycle_is_over(job: Known, seen: Seen) -> bool:
    """Whether the cycle of a handle is over, in whatever way: nothing more can come of it."""
    if seen.status is None or seen.status.terminal:
        return True
    return seen.cycle > job.cycle or is_another(job, seen)


def is_another(job: Known, seen: Seen) -> bool:
    """Whether the id has come to another job since: the one of the handle is gone, and cycles count anew."""
    newer = seen.cycle == job.cycle and (seen.created_ms or 0) > job.created_ms
    return seen.status is not None and (seen.cycle < job.cycle or newer)


def _same_job(job: JobRecord, seen: Peeked) -> None:
    """Raises where the job that bears the id is another one."""
    if is_another(job, seen):
        error = ResultExpired if job.status.terminal else NoSuchJobError
        raise error(
            f"Job {job.id} of {clock.utc(job.created_ms):%Y-%m-%d %H:%M:%S} UTC is gone; its id is borne by a newer "
            "job now. Fetch it again to wait for that one.",
            job_id=job.id,
        )


def _from_history(store: Store, job: JobRecord, now_in: int) -> Result[Any]:
    """The cycle is over; its execution is among the last ten, or was, or it never had one."""
    for record in store.run(verbs.history(job.id)):
        if record.cycle == job.cycle and record.type.final:
            return Result(record)
    if now_in == job.cycle:
        raise ResultExpired(job_id=job.id)
    raise ResultExpired(
        f"Cycle {job.cycle} of job {job.id} is over and its result is no longer kept; it is in cycle {now_in} now. "
        "Fetch the job again to wait for that one.",
        job_id=job.id,
    )


def _raise_notice(job: JobRecord, entry: NoticeRecord) -> NoReturn:
    if entry.notice is Notice.DELETED:
        raise NoSuchJobError(f"Job {job.id} was deleted.", job_id=job.id)
    error = JobCanceled if entry.notice is Notice.CANCELED else JobExpired
    raise error(job_id=job.id, reason=entry.reason or str(entry.notice), result=None)


def _give_up(store: Store, job: JobRecord, seconds: float) -> NoReturn:
    found = store.run(verbs.find(job.id))
    queue = found.queue or job.queue
    listening = sum(queue in worker.queues for worker in store.run(staff.workers()))
    position = found.rank if found.status is JobStatus.QUEUED else None
    hint = "" if listening else f" No worker listens on queue {queue!r}: start one with `rqlike worker {queue}`."
    place = "" if position is None else f", {position} before it"
    raise WaitTimeout(
        f"Job {job.id} did not end within {seconds:g} s; it is {found.status or 'gone'}{place}.{hint}",
        job_id=job.id,
        status=found.status,
        position=position,
        workers=listening,
    )


def _value(result: Result[Any]) -> Any:
    if result.type is ResultType.SUCCESSFUL:
        if not result.has_value:
            raise ResultNotStored(job_id=result.job_id, reason=str(result.not_stored), result=result)
        return result.return_value
    error: type[JobFailed | JobStopped | JobCanceled] = JobFailed
    if result.type is ResultType.STOPPED:
        error = JobCanceled if result.reason is Reason.CANCELED else JobStopped
    raise error(job_id=result.job_id, reason=result.reason, result=result)
