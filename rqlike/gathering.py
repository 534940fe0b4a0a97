"""Waiting for many jobs at once, in the words of `concurrent.futures`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from rqlike import clock
from rqlike.awaiting import Known, cycle_is_over, is_another
from rqlike.durations import Seconds, format_seconds, parse_seconds
from rqlike.exceptions import WaitTimeout
from rqlike.job import Job, known
from rqlike.standoff import eye_on_many
from rqlike.states import JobStatus, ResultType
from rqlike.store.gathering import Sought, Standing, gather

J = TypeVar("J", bound=Job[Any])

FIRST_COMPLETED: Final = "FIRST_COMPLETED"
FIRST_EXCEPTION: Final = "FIRST_EXCEPTION"
ALL_COMPLETED: Final = "ALL_COMPLETED"
_WORDS: Final = (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED)
_NAMED: Final = 5  #: jobs in the message of a time-out


class Waited(NamedTuple, Generic[J]):
    """What `wait` gives: the handles whose cycle is over, and the others; both in the order of the input."""

    done: list[J]
    not_done: list[J]


def wait(jobs: Iterable[J], timeout: Seconds | None = None, return_when: str = ALL_COMPLETED) -> Waited[J]:
    """Blocks until jobs have ended, in whatever way: the handles that are done, and those that are not.

    A handle is done when its cycle is over: the job finished, failed, was stopped, canceled, expired or deleted, is
    gone, or is in a later cycle. A retry does not end a cycle. How a job ended raises nothing here; `job.wait(0)` and
    `Result.fetch_many` give the values. The handles are not refreshed. One that is given twice is in the list twice.

    `timeout`: seconds; None without limit, 0 looks once and does not block. A timeout is no error.
    `return_when`: "ALL_COMPLETED"; "FIRST_COMPLETED", as soon as one is done; "FIRST_EXCEPTION", as soon as one is done
    that did not finish: it failed, was stopped, canceled or expired, or is gone without a trace that it finished in
    this cycle. One that finished and whose value was not kept counts as well ended.

    Cost: one read-only call per 500 jobs at first and every 4 s for those that pend, a read that blocks on all of them
    at once, over one connection, and a call for what has news; no value is kept. A server that goes away meanwhile is
    waited for until the timeout.

    Raises ValueError for jobs of several servers or namespaces, or another `return_when`; TypeError for what is no
    Job; redis-py's errors where the server is away; inside a job WaitDeadlock, with the handles that are not done in
    `.pending`, where the wait can never end since all horses wait. That is asked once a second, by some five calls.
    """
    if return_when not in _WORDS:
        raise ValueError(f"return_when={return_when!r} is none of {', '.join(_WORDS)}")
    crowd = _Crowd(jobs, timeout, any_of=return_when != ALL_COMPLETED)
    done: set[int] = set()
    for found in crowd.over(every=return_when == ALL_COMPLETED, how=return_when == FIRST_EXCEPTION):
        done.update(found)
        if (done and return_when == FIRST_COMPLETED) or (crowd.one_failed and return_when == FIRST_EXCEPTION):
            break
    split: tuple[list[J], list[J]] = ([], [])
    for number, job in enumerate(crowd.jobs):
        split[number not in done].append(job)
    return Waited(*split)


def as_completed(jobs: Iterable[J], timeout: Seconds | None = None) -> Iterator[J]:
    """The handles, each as soon as its cycle is over; what that means stands at `wait`, whose cost it has.

    First come those that are done already, in the order of the input, then the others in the order in which they are
    seen to end. Of many thousands that end within milliseconds some are seen together, in the order of the input. A
    handle that is given twice comes once. A consumer may take its time.

    `timeout`: seconds from this call on; None without limit, 0 gives those that are done already.

    Raises what `wait` raises; and WaitTimeout, with the handles that are not done in `.pending`.
    """
    return _as_completed(_Crowd(jobs, timeout, any_of=True, once=True))


def _as_completed(crowd: _Crowd[J]) -> Iterator[J]:
    pending = dict(enumerate(crowd.jobs))
    for found in crowd.over(every=False, how=False):
        for number in found:
            yield pending.pop(number)
    if pending:
        left = list(pending.values())
        named = ", ".join(job.id for job in left[:_NAMED])
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        raise WaitTimeout(
            f"{len(left)} of {len(crowd.jobs)} jobs did not end within {format_seconds(crowd.seconds or 0)}: "
            f"{named}{more}. They go on; the handles are in `.pending`.",
            job_id=left[0].id,
            pending=left,
        )


class _Crowd(Generic[J]):
    """Handles by their numbers, checked, and until when they are waited for. `any_of`: who asks goes on when any of
    them ends. `once`: without those given twice."""

    def __init__(self, jobs: Iterable[J], timeout: Seconds | None, *, any_of: bool, once: bool = False) -> None:
        self.seconds = None if timeout is None else parse_seconds(timeout, "timeout")
        given = _checked(jobs)
        self.jobs: Sequence[J] = list({id(job): job for job in given}.values()) if once else given
        self.one_failed = False
        self._any_of = any_of
        self._end = None if self.seconds is None else clock.mono() + self.seconds
        self._known: Sequence[Known] = [known(job) for job in self.jobs]

    def over(self, *, every: bool, how: bool) -> Iterator[list[int]]:
        """The numbers of those that are over, as `gather` gives them."""
        sought: dict[int, Sought] = {}
        before: list[int] = []  # a handle that has seen the end of its cycle need not ask
        for number, job in enumerate(self._known):
            if job.status.terminal:
                before.append(number)
                self.one_failed = self.one_failed or job.status is not JobStatus.FINISHED
            else:
                sought[number] = Sought(job.id, job.cycle)
        if not sought:
            yield before
            return
        store = self.jobs[0].store
        with eye_on_many(store, self._known, self._end, self.jobs, any_of=self._any_of) as eye:
            for found in gather(store, sought, self._end, self._is_over, every=every, how=how, eye=eye):
                if eye is not None:
                    eye.close()  # whoever is given them may do something else now
                yield sorted(before + found) if before else found
                before = []

    def _is_over(self, number: int, standing: Standing) -> bool:
        job = self._known[number]
        if not cycle_is_over(job, standing):
            return False
        self.one_failed = self.one_failed or not _ended_well(job, standing)
        return True


def _ended_well(job: Known, standing: Standing) -> bool:
    """Whether a cycle that is over is known to have ended by a return."""
    if is_another(job, standing):
        return False
    if standing.status is not None and standing.cycle == job.cycle:
        return standing.status is JobStatus.FINISHED
    return standing.ending is ResultType.SUCCESSFUL


def _checked(jobs: Iterable[J]) -> list[J]:
    """The handles, all of one server and namespace."""
    if isinstance(jobs, Job):
        raise TypeError(
            f"several jobs are waited for here, and this is one: pass [job], or call job.wait() of {jobs.id}"
        )
    given: list[Any] = list(jobs)
    for at, job in enumerate(given):
        if not isinstance(job, Job):
            raise TypeError(
                f"jobs[{at}] is {type(job).__name__}, not a Job; fetch what you have an id of by Job.fetch_many"
            )
    stores = {id(job.store): job.store for job in given}.values()
    first = next(iter(stores), None)
    for store in stores:
        if first is not None and not first.is_same_place(store):
            raise ValueError("these jobs are of several servers or namespaces; wait for those of one at a time")
    return given
