"""A job that waits for another one, which no horse is left to run: all of them wait.

A wait inside a job says so to the server once it takes longer than a second. When the job it waits for is queued, and
every horse of every worker that serves its queue runs a job that waits too, nothing will ever change: the wait ends
with an error that names the jobs. It has to be so twice in a row, a second apart, since a worker may be starting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, TypeVar

from rqlike import clock
from rqlike.exceptions import WaitDeadlock
from rqlike.records import JobRecord
from rqlike.running.current import get_current_job
from rqlike.states import JobStatus
from rqlike.store import verbs
from rqlike.store.store import Store

T = TypeVar("T")

_LOOK_S: Final = 1.0


def with_an_eye_on_horses(
    store: Store, awaited: JobRecord, seconds: float | None, wait: Callable[[float | None], T | None]
) -> T | None:
    """`wait(seconds)`; inside a job in slices, between which it is looked whether the wait can end at all.

    Raises WaitDeadlock. Outside of a job nothing is added; inside, three small reads a second after the first."""
    current = get_current_job()
    if current is None or current.namespace != store.namespace or current.record.token is None:
        return wait(seconds)
    own = current.record
    if own.id == awaited.id:
        raise WaitDeadlock(
            f"Job {own.id} waits for itself, which never ends. Wait for another job, or return.",
            job_id=awaited.id,
            status=JobStatus.STARTED,
            waiting=(own.id,),
        )
    end = None if seconds is None else clock.mono() + seconds
    said, seen = False, False
    try:
        while True:
            left = None if end is None else end - clock.mono()
            found = wait(_LOOK_S if left is None else max(0.0, min(left, _LOOK_S)))
            if found is not None or (left is not None and left <= _LOOK_S):
                return found
            said = said or bool(store.run(verbs.await_job(own.id, own.token or "", awaited.id)))
            stuck = said and _is_stuck(store, awaited)
            if stuck and seen:
                raise _deadlock(store, own, awaited)
            seen = stuck
    finally:
        if said:
            store.run(verbs.await_job(own.id, own.token or "", ""))


def _is_stuck(store: Store, awaited: JobRecord) -> bool:
    found = store.run(verbs.find(awaited.id))
    if found.status is not JobStatus.QUEUED:
        return False
    serving = {worker.name: worker for worker in store.run(verbs.workers()) if found.queue in worker.queues}
    queues = sorted({queue for worker in serving.values() for queue in worker.queues})
    if not serving:
        return False  # nobody serves it: that is told when the time is over
    waiting = Counter(worker for worker, other in store.run(verbs.running(queues)) if other)
    return all(waiting[name] >= worker.concurrency for name, worker in serving.items())


def _deadlock(store: Store, own: JobRecord, awaited: JobRecord) -> WaitDeadlock:
    queue = store.run(verbs.find(awaited.id)).queue or awaited.queue
    return WaitDeadlock(
        f"Job {own.id} waits for job {awaited.id}, which cannot begin: every horse that serves queue {queue!r} runs a "
        "job that waits itself. Enqueue it on a queue of other workers, start more horses (--concurrency), or do not "
        "wait in a job.",
        job_id=awaited.id,
        status=JobStatus.QUEUED,
        waiting=(own.id,),
    )
