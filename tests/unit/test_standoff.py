"""When a wait inside a job cannot end: what the jobs on the horses wait for decides, and whose wait is over first."""

from __future__ import annotations

import math

import pytest

from rqlike.records import WorkerRecord
from rqlike.standoff import Chosen, choose, no_horse_left
from rqlike.states import JobStatus
from rqlike.store.staff import Running
from rqlike.store.verbs import Fresh
from tests.store.builders import new_job

QUEUED, STARTED = JobStatus.QUEUED, JobStatus.STARTED


def worker(name: str, *queues: str, horses: int = 1) -> WorkerRecord:
    return WorkerRecord(name, "host", 1, "0", "3", queues, "busy", 0, 0, horses)


def waits(
    worker: str, job_id: str, awaits: str, status: JobStatus | None, queue: str, until: float = math.inf
) -> Running:
    return Running(worker, job_id, awaits, until, status, queue)


def waits_for_any(worker: str, job_id: str, *those: tuple[str, JobStatus, str], any_of: bool = True) -> list[Running]:
    return [Running(worker, job_id, name, math.inf, status, queue, any_of) for name, status, queue in those]


ONE = [worker("w", "q")]
TWO = [worker("w", "q"), worker("v", "p")]
BOTH = [worker("w", "q", horses=2)]
MINE = waits("w", "a", "x", QUEUED, "q")


@pytest.mark.parametrize(
    ("workers", "running"),
    [
        (ONE, [MINE]),
        (BOTH, [MINE, waits("w", "b", "y", QUEUED, "q")]),
        (BOTH, [MINE, waits("w", "b", "a", STARTED, "q")]),  # which waits for one that is stuck
        (TWO, [waits("v", "a", "x", QUEUED, "q"), waits("w", "b", "y", QUEUED, "p")]),  # in a ring
        (BOTH, [waits("w", "a", "x", QUEUED, "q", 1000), waits("w", "b", "y", QUEUED, "q", 9000)]),
        (BOTH, [waits("w", "a", "x", QUEUED, "q", 9000), waits("w", "b", "y", QUEUED, "q", 8999)]),
        (ONE, waits_for_any("w", "a", ("x", QUEUED, "q"), ("y", STARTED, "p"), any_of=False)),
        (TWO, [*waits_for_any("v", "a", ("x", QUEUED, "q"), ("y", QUEUED, "p")), waits("w", "b", "a", STARTED, "p")]),
    ],
)
def test_nothing_ever_changes_where_all_horses_wait_for_what_no_horse_can_begin(
    workers: list[WorkerRecord], running: list[Running]
) -> None:
    assert no_horse_left("a", "q", workers, running)


@pytest.mark.parametrize(
    ("workers", "running"),
    [
        (BOTH, [MINE]),  # one is free
        (BOTH, [MINE, Running("w", "b")]),  # one works
        (BOTH, [MINE, waits("w", "b", "y", STARTED, "p")]),  # waits for one that runs elsewhere
        (BOTH, [MINE, waits("w", "b", "y", JobStatus.FINISHED, "p")]),  # and has not heard of its end yet
        (BOTH, [MINE, waits("w", "b", "y", None, "")]),
        (BOTH, [MINE, waits("w", "b", "y", JobStatus.SCHEDULED, "q")]),
        ([*BOTH, worker("v", "p")], [MINE, waits("w", "b", "y", QUEUED, "p")]),  # which a free horse will take
        (BOTH, [MINE, waits("w", "b", "y", QUEUED, "q", 9000)]),  # gives up some time, and its horse is free then
        (TWO, [waits("v", "a", "x", QUEUED, "q"), waits("w", "b", "y", STARTED, "elsewhere")]),
        ([worker("v", "p")], [MINE]),  # nobody serves it
        (ONE, waits_for_any("w", "a", ("x", QUEUED, "q"), ("y", STARTED, "p"))),  # the other one may end
        (BOTH, waits_for_any("w", "a", ("x", QUEUED, "q"), ("y", QUEUED, "q"))),  # which is one job, on one of two
    ],
)
def test_a_wait_goes_on_where_anything_may_change(workers: list[WorkerRecord], running: list[Running]) -> None:
    assert not no_horse_left("a", "q", workers, running)


@pytest.mark.parametrize(
    ("statuses", "all_of_them", "any_of_them"),
    [
        ([QUEUED, QUEUED, QUEUED], Chosen([0, 2], []), Chosen([0, 2], [])),  # one of each queue
        ([QUEUED, STARTED, STARTED], Chosen([0], [1, 2]), Chosen([0], [1, 2])),
        ([JobStatus.SCHEDULED, QUEUED, None], Chosen([1], []), None),  # others may end
        ([JobStatus.DEFERRED], None, None),
        ([STARTED] * 9, Chosen([], [*range(8)]), None),
    ],
)
def test_of_many_jobs_a_few_are_said_that_stand_for_all(
    statuses: list[JobStatus | None], all_of_them: Chosen | None, any_of_them: Chosen | None
) -> None:
    jobs = [MINE._replace(job_id=f"j{number}", queue="p" if number == 2 else "q") for number in range(9)]
    awaited = [Fresh(new_job(one.job_id), one.queue, None) for one in jobs]  # type: ignore[arg-type]
    told = dict(enumerate(statuses))
    assert choose(told, awaited, any_of=False) == all_of_them
    assert choose(told, awaited, any_of=True) == any_of_them
