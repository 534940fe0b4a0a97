"""A job that waits for others, which no horse is left to run: all of them wait.

A wait inside a job says so to the server once it takes longer than a second. When a job it waits for is queued, and
every horse of every worker that serves its queue runs a job whose own wait cannot end either, nothing will ever change:
the wait that would be over first ends with an error that names the jobs. It has to be so twice in a row, a second
apart, since a worker may be starting.

A wait for many says one job of each queue: those of one queue wait for the same horses. Where any of them is enough,
all of them must be stuck.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

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
_MOST_SAID: Final = 8  #: jobs that a wait for many says: one of each queue, and such as run


class Awaited(Protocol):
    """What a wait knows of a job."""

    @property
    def id(self) -> str: ...
    @property
    def queue(self) -> str: ...


@contextmanager
def eye_on_horses(store: Store, awaited: JobRecord, seconds: float | None) -> Iterator[Eye | None]:
    """What a wait for a job is to call now and then, at most once a second; None outside of a job, where nothing is
    added. `seconds`: how long it waits, None without limit.

    The wait's own patience with the server, and its timeout, stay as they are: what cannot be asked is not known."""
    own = _own_job(store)
    if own is None:
        yield None
        return
    eye = Eye(store, own, awaited, seconds)
    try:
        yield eye
    except Exception:
        eye.close()
        raise
    eye.close()  # not after a time-out of the job, which has no time left for this


@contextmanager
def eye_on_many(
    store: Store, awaited: Sequence[Awaited], end: float | None, handles: Sequence[Any], *, any_of: bool
) -> Iterator[ManyEye | None]:
    """The same for a wait for many, which ends at `end` (of `clock.mono`; None: never). `any_of`: it ends when any of
    them does. `handles`: of these, for the error. Between two waits it is to be closed."""
    own = _own_job(store)
    if own is None:
        yield None
        return
    eye = ManyEye(store, own, awaited, end, handles, any_of=any_of)
    try:
        yield eye
    except Exception:
        eye.close()
        raise
    eye.close()


def _own_job(store: Store) -> JobRecord | None:
    current = get_current_job()
    if current is None or current.namespace != store.namespace or current.record.token is None:
        return None
    return current.record


class _Said:
    """What a job has said of its wait."""

    def __init__(self, store: Store, own: JobRecord, end: float | None) -> None:
        self.store, self.own, self._end = store, own, end
        self._said = False
        self.looked = clock.mono()

    def is_due(self) -> bool:
        """Whether a second has passed since it was so last."""
        now = clock.mono()
        if now - self.looked < _NEARLY_S:
            return False
        self.looked = now
        return True

    def say(self, awaited: Sequence[str], *, any_of: bool = False) -> bool:
        """Said each time: another thread of the job may have waited too, and be done. False where the execution is
        nobody's any more, or of another server."""
        left_ms = None if self._end is None else max(0, round((self._end - self.looked) * 1000))
        request = staff.await_job(self.own.id, self.own.token or "", awaited, left_ms, any_of=any_of)
        self._said = bool(self.store.look(request))
        return self._said

    def unsay(self) -> None:
        """It waits no more."""
        if self._said:
            self._said = False
            tell(self.store, staff.await_job(self.own.id, self.own.token or "", ()))


class Eye:
    """One wait inside a job, for one job."""

    def __init__(self, store: Store, own: JobRecord, awaited: JobRecord, seconds: float | None) -> None:
        self._own, self._awaited, self._store = own, awaited, store
        self._wait = _Said(store, own, None if seconds is None else clock.mono() + seconds)
        self._stuck = False

    def __call__(self) -> None:
        """Looks, once a second, whether the wait can end at all. Four small calls. Raises WaitDeadlock."""
        if not self._wait.is_due():
            return
        before, self._stuck = self._stuck, False
        own, awaited = self._own, self._awaited
        if not self._wait.say([awaited.id]):
            return
        if own.id == awaited.id:
            raise _itself(own)
        self._stuck = bool(_stuck_ones(self._store, own.id, [awaited.id]))
        if self._stuck and before:
            raise _deadlock(own, awaited)

    def close(self) -> None:
        """The job waits no more."""
        self._wait.unsay()


class Chosen(NamedTuple):
    """The numbers of those jobs, of many, which stand for all of them."""

    queued: list[int]
    running: list[int]


class ManyEye:
    """One wait inside a job, for many jobs."""

    def __init__(
        self,
        store: Store,
        own: JobRecord,
        awaited: Sequence[Awaited],
        end: float | None,
        handles: Sequence[Any],
        *,
        any_of: bool,
    ) -> None:
        self._own, self._awaited, self._handles, self._store = own, awaited, handles, store
        self._any_of = any_of
        self._wait = _Said(store, own, end)
        self._stuck = False

    def __call__(self, statuses: Mapping[int, JobStatus | None]) -> None:
        """Looks, once a second, whether the wait can end at all. `statuses`: of those that have not ended, by their
        numbers, a few seconds old at most. Four small calls, and one for each queue. Raises WaitDeadlock."""
        if not self._wait.is_due():
            return
        before, self._stuck = self._stuck, False
        if self._waits_for_itself(statuses):
            raise _itself(self._own, [self._handles[number] for number in statuses])
        chosen = choose(statuses, self._awaited, any_of=self._any_of)
        if chosen is None:
            self._wait.unsay()
            return
        ids = [self._awaited[number].id for number in (*chosen.queued, *chosen.running)]
        if not self._wait.say(ids, any_of=self._any_of):
            return
        stuck = _stuck_ones(self._store, self._own.id, [self._awaited[number].id for number in chosen.queued])
        self._stuck = len(stuck) == len(ids) if self._any_of else bool(stuck)
        if self._stuck and before:
            awaited = next(self._awaited[number] for number in chosen.queued if self._awaited[number].id in stuck)
            raise _deadlock(self._own, awaited, [self._handles[number] for number in statuses])

    def _waits_for_itself(self, statuses: Iterable[int]) -> bool:
        same = (self._awaited[number].id == self._own.id for number in statuses)
        return all(same) if self._any_of else any(same)

    def close(self) -> None:
        """The job waits no more, or does something else before it waits again."""
        self._wait.unsay()
        self._wait.looked, self._stuck = clock.mono(), False


def choose(statuses: Mapping[int, JobStatus | None], awaited: Sequence[Awaited], *, any_of: bool) -> Chosen | None:
    """Which of many jobs stand for all of them: the first queued one of each queue, and those that run, a few at most.
    None where there is none to say; where any of them is enough, also where others may end, or these are too many."""
    queued: dict[str, int] = {}
    running, others = [], False
    for number, status in statuses.items():
        if status is JobStatus.QUEUED:
            queued.setdefault(awaited[number].queue, number)
        elif status is JobStatus.STARTED:
            running.append(number)
        else:
            others = True
    if any_of and (others or len(queued) + len(running) > _MOST_SAID):
        return None
    first = list(queued.values())[:_MOST_SAID]
    chosen = Chosen(first, running[: _MOST_SAID - len(first)])
    return chosen if chosen.queued or chosen.running else None


def _stuck_ones(store: Store, own_id: str, awaited: Sequence[str]) -> set[str]:
    """Those of some jobs that are queued where no horse is left, of which the job `own_id` has said that it waits for
    them."""
    queues: dict[str, str] = {}
    for job_id in awaited:
        found = store.look(verbs.find(job_id))
        if found.status is JobStatus.QUEUED:
            queues[job_id] = found.queue
    if not queues:
        return set()
    workers = store.look(staff.workers())
    near = {queue for worker in workers if not {*queues.values()}.isdisjoint(worker.queues) for queue in worker.queues}
    if not near:
        return set()  # nobody serves them: that is told when the time is over
    running: list[Running] = store.look(staff.running(sorted(near)))
    full = {queue for queue in queues.values() if _are_full(queue, workers, running)}
    if not full:
        return set()
    far = {queue for worker in workers for queue in worker.queues} - near
    if far and any(one.queue not in near for one in running):
        others = store.look(staff.running(sorted(far)))
        running += others
    full = {queue for queue in full if no_horse_left(own_id, queue, workers, running)}
    return {job_id for job_id, queue in queues.items() if queue in full}


def no_horse_left(own_id: str, queue: str, workers: Sequence[WorkerRecord], running: Sequence[Running]) -> bool:
    """Whether the jobs that run on the horses of a queue wait for each other, or for jobs that wait for a horse, and
    none of these waits is over much before that of the job `own_id`."""
    until = next((one.until_ms for one in running if one.job_id == own_id), math.inf) - _ALIKE_MS
    stuck: dict[str, list[Running]] = defaultdict(list)
    for one in running:
        if one.awaits and one.until_ms >= until:
            stuck[one.job_id].append(one)
    while True:
        rows = [row for waits in stuck.values() for row in waits]
        still = {job_id: waits for job_id, waits in stuck.items() if _cannot_end(waits, stuck, workers, rows)}
        if len(still) == len(stuck):
            return _are_full(queue, workers, rows)
        stuck = still


def _cannot_end(
    waits: Sequence[Running], stuck: Mapping[str, object], workers: Sequence[WorkerRecord], rows: Sequence[Running]
) -> bool:
    """Whether a job waits for ever, since one it waits for is stuck, or all are where any of them would be enough."""
    each = (
        (one.status is JobStatus.STARTED and one.awaits in stuck)
        or (one.status is JobStatus.QUEUED and _are_full(one.queue, workers, rows))
        for one in waits
    )
    return all(each) if waits[0].any_of else any(each)


def _are_full(queue: str, workers: Sequence[WorkerRecord], running: Sequence[Running]) -> bool:
    """Whether somebody serves a queue, and all horses of those who do run a job that waits."""
    serving = [worker for worker in workers if queue in worker.queues]
    waiting = Counter(worker for worker, _ in {(one.worker, one.job_id) for one in running if one.awaits})
    return bool(serving) and all(waiting[worker.name] >= worker.concurrency for worker in serving)


def _itself(own: JobRecord, pending: Sequence[Any] = ()) -> WaitDeadlock:
    return WaitDeadlock(
        f"Job {own.id} waits for itself, which never ends. Wait for another job, or return.",
        job_id=own.id,
        status=JobStatus.STARTED,
        waiting=(own.id,),
        pending=pending,
    )


def _deadlock(own: JobRecord, awaited: Awaited, pending: Sequence[Any] = ()) -> WaitDeadlock:
    return WaitDeadlock(
        f"Job {own.id} waits for job {awaited.id}, which cannot begin: every horse that serves queue {awaited.queue!r} "
        "runs a job that waits itself. Enqueue it on a queue of other workers, start more horses (--concurrency), or "
        "do not wait in a job.",
        job_id=awaited.id,
        status=JobStatus.QUEUED,
        waiting=(own.id,),
        pending=pending,
    )
