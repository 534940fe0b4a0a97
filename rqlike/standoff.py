"""A job that waits for another one, which no horse is left to run: all of them wait.

A wait inside a job says so to the server once it takes longer than a second. When the job it waits for is queued, and
every horse of every worker that serves its queue runs a job whose own wait cannot end either, nothing will ever change:
the wait that would be over first ends with an error that names the jobs. It has to be so twice in a row, a second
apart, since a worker may be starting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rqlike import clock
from rqlike.exceptions import WaitDeadlock
from rqlike.records import JobRecord, WorkerRecord
from rqlike.running.current import get_current_job
from rqlike.states import JobStatus
from rqlike.store import staff, verbs
from rqlike.store.staff import Running
from rqlike.store.store import Store
from rqlike.store.waiting import EYE_S, tell

_NEARLY_S: Final = 0.9 * EYE_S
_ALIKE_MS: Final = 1000 * EYE_S  #: of two waits that end so near each other each might leave it to the other


@contextmanager
def eye_on_horses(store: Store, awaited: JobRecord, seconds: float | None) -> Iterator[Eye | None]:
    """What a wait for a job is to call now and then, at most once a second; None outside of a job, where nothing is
    added. `seconds`: how long it waits, None without limit.

    The wait's own patience with the server, and its timeout, stay as they are: what cannot be asked is not known."""
    current = get_current_job()
    if current is None or current.namespace != store.namespace or current.record.token is None:
        yield None
        return
    eye = Eye(store, current.record, awaited, seconds)
    try:
        yield eye
    except Exception:
        eye.close()
        raise
    eye.close()  # not after a time-out of the job, which has no time left for this


class Eye:
    """One wait inside a job."""

    def __init__(self, store: Store, own: JobRecord, awaited: JobRecord, seconds: float | None) -> None:
        self._store, self._own, self._awaited = store, own, awaited
        self._looked = clock.mono()
        self._end = None if seconds is None else self._looked + seconds
        self._said = self._stuck = False

    def __call__(self) -> None:
        """Looks, once a second, whether the wait can end at all. Four small calls. Raises WaitDeadlock."""
        now = clock.mono()
        if now - self._looked < _NEARLY_S:
            return
        self._looked, before, self._stuck = now, self._stuck, False
        # said each time: another thread of the job may have waited too, and be done
        left_ms = None if self._end is None else max(0, round((self._end - now) * 1000))
        own, awaited = self._own, self._awaited
        self._said = bool(self._store.look(staff.await_job(own.id, own.token or "", awaited.id, left_ms)))
        if not self._said:
            return  # the execution is nobody's any more, or of another server
        if own.id == awaited.id:
            raise _itself(own)
        self._stuck = _is_stuck(self._store, own.id, awaited.id)
        if self._stuck and before:
            raise _deadlock(own, awaited)

    def close(self) -> None:
        """The job waits no more."""
        if self._said:
            tell(self._store, staff.await_job(self._own.id, self._own.token or "", ""))


def _is_stuck(store: Store, own_id: str, awaited_id: str) -> bool:
    found = store.look(verbs.find(awaited_id))
    if found.status is not JobStatus.QUEUED:
        return False
    workers = store.look(staff.workers())
    near = {queue for worker in workers if found.queue in worker.queues for queue in worker.queues}
    if not near:
        return False  # nobody serves it: that is told when the time is over
    running: list[Running] = store.look(staff.running(sorted(near)))
    if not _are_full(found.queue, workers, running):
        return False
    far = {queue for worker in workers for queue in worker.queues} - near
    if far and any(one.queue not in near for one in running):
        others = store.look(staff.running(sorted(far)))
        running += others
    return no_horse_left(own_id, found.queue, workers, running)


def no_horse_left(own_id: str, queue: str, workers: Sequence[WorkerRecord], running: Sequence[Running]) -> bool:
    """Whether the jobs that run on the horses of a queue wait for each other, or for jobs that wait for a horse, and
    none of these waits is over much before that of the job `own_id`."""
    until = next((one.until_ms for one in running if one.job_id == own_id), math.inf) - _ALIKE_MS
    stuck = [one for one in running if one.awaits and one.until_ms >= until]
    while True:
        ids = {one.job_id for one in stuck}
        still = [
            one
            for one in stuck
            if (one.status is JobStatus.STARTED and one.awaits in ids)
            or (one.status is JobStatus.QUEUED and _are_full(one.queue, workers, stuck))
        ]
        if len(still) == len(stuck):
            return _are_full(queue, workers, stuck)
        stuck = still


def _are_full(queue: str, workers: Sequence[WorkerRecord], running: Sequence[Running]) -> bool:
    """Whether somebody serves a queue, and all horses of those who do run a job that waits."""
    serving = [worker for worker in workers if queue in worker.queues]
    waiting = Counter(one.worker for one in running if one.awaits)
    return bool(serving) and all(waiting[worker.name] >= worker.concurrency for worker in serving)


def _itself(own: JobRecord) -> WaitDeadlock:
    return WaitDeadlock(
        f"Job {own.id} waits for itself, which never ends. Wait for another job, or return.",
        job_id=own.id,
        status=JobStatus.STARTED,
        waiting=(own.id,),
    )


def _deadlock(own: JobRecord, awaited: JobRecord) -> WaitDeadlock:
    return WaitDeadlock(
        f"Job {own.id} waits for job {awaited.id}, which cannot begin: every horse that serves queue {awaited.queue!r} "
        "runs a job that waits itself. Enqueue it on a queue of other workers, start more horses (--concurrency), or "
        "do not wait in a job.",
        job_id=awaited.id,
        status=JobStatus.QUEUED,
        waiting=(own.id,),
    )
