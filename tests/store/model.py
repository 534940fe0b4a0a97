"""The state machine once more, in plain Python: what each verb is to do to status, cycle, attempt and order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rqlike.options import Policy
from rqlike.outcomes import Verdict
from rqlike.settings import GRACE_MS, LEASE_MS, OUTAGE_MS, RECOVER_LIMIT
from rqlike.states import JobStatus, ResultType

QUEUED, STARTED, SCHEDULED = JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED
FAILURE_TTL_MS: Final = 31_536_000_000


@dataclass(slots=True)
class Modelled:
    """A job as the model knows it."""

    id: str
    queue: str
    nonce: str
    policy: Policy
    key: str = ""  #: its unique key, held until it has ended
    status: JobStatus = QUEUED
    cycle: int = 1
    attempt: int = 0
    place: tuple[int, int] = (101, 0)  #: (0 front | 101 - priority, number)
    due: int = 0
    ttl: int | None = None  #: counted from its promotion
    deadline: int | None = None
    lease: int = 0
    token: str = ""
    asked: bool = False
    expiry: int | None = None
    wanted: int = 0  #: until when a waiter looks
    entries: list[ResultType] = field(default_factory=list)
    notice: bool = False
    replaced: tuple[str, ...] = ()  #: nonces of its cycles before that were replaced, since it was claimed last
    valued: bool = False  #: its last execution has returned, in this cycle


class Model:
    """A namespace. Each method is one verb and says what the server is to answer."""

    def __init__(self, now_ms: int) -> None:
        self.now = now_ms
        self.jobs: dict[str, Modelled] = {}
        self.traces: dict[str, tuple[set[str], int]] = {}  #: of jobs that are gone: nonces, and until when
        self.values: set[str] = set()  #: those of these that have run, and were not deleted
        self.contact: int | None = None
        self.grace = 0
        self._number = 0
        self.pauses: dict[str, int | None] = {}  #: queue, '' for all -> until

    def at(self, status: JobStatus, queue: str) -> list[Modelled]:
        return [job for job in self.jobs.values() if job.status is status and job.queue == queue]

    def order(self, queue: str) -> list[Modelled]:
        return sorted(self.at(QUEUED, queue), key=lambda job: job.place)

    def pass_ms(self, ms: int) -> None:
        self.now += ms
        for job in list(self.jobs.values()):
            if job.expiry is not None and job.expiry < self.now:
                del self.jobs[job.id]
        self.traces = {job_id: trace for job_id, trace in self.traces.items() if trace[1] > self.now}

    def _place(self, front: bool, policy: Policy) -> tuple[int, int]:
        self._number += 1
        return (0, -self._number) if front else (101 - policy.priority, self._number)

    def _gone(self, job: Modelled, *nonces: str) -> None:
        del self.jobs[job.id]
        self.traces[job.id] = ({*nonces, job.nonce}, self.now + GRACE_MS)
        self.values.discard(job.id)

    def _ended(self, job: Modelled, status: JobStatus, ttl_ms: float, notice: bool = False) -> None:
        job.status, job.token, job.asked, job.deadline, job.notice = status, "", False, None, notice
        job.expiry = None if ttl_ms < 0 else max(self.now + int(ttl_ms), job.wanted)

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def holder(self, key: str) -> Modelled | None:
        """The live job that holds a unique key."""
        return next((job for job in self.jobs.values() if key and job.key == key and not job.status.terminal), None)

    def enqueue(self, new: Modelled, *, front: bool, due: int | None, ttl: int | None, wish: str = "") -> str:
        """new | cycle | replayed | duplicate | held | cached | failed"""
        old = self.jobs.get(new.id)
        word = "new"
        if old is not None:
            if new.nonce in (old.nonce, *old.replaced):
                return "replayed"
            word = "cycle"
            if ended := self._joined(old, wish):
                return ended
        elif new.id in self.traces and new.nonce in self.traces[new.id][0]:
            return "replayed"
        in_the_way = {job.id: job for job in (old, self.holder(new.key)) if job is not None and not job.status.terminal}
        if in_the_way:
            if wish != "replace":
                return "held" if wish else "duplicate"
            if any(job.status is STARTED for job in in_the_way.values()):
                return "duplicate"
            for job in in_the_way.values():
                if job is old:
                    new.replaced = (job.nonce, *job.replaced)
                self._ended(job, JobStatus.CANCELED, FAILURE_TTL_MS, notice=True)
        self._written(new, old, front=front, due=due, ttl=ttl)
        return word

    def _joined(self, old: Modelled, wish: str) -> str:
        """What joining a job that has ended comes to; '' where it is to run again, or lives."""
        if wish.startswith("join") and old.status is JobStatus.FINISHED and old.valued:
            return "cached"
        return "failed" if wish == "join_or_raise" and old.status is JobStatus.FAILED else ""

    def _written(self, new: Modelled, old: Modelled | None, *, front: bool, due: int | None, ttl: int | None) -> None:
        if old is not None:
            new.cycle, new.entries = old.cycle + 1, old.entries
        self.traces.pop(new.id, None)
        new.place = self._place(front, new.policy)
        if due is None:
            new.deadline = None if ttl is None else self.now + ttl
        else:
            new.status, new.due, new.ttl = SCHEDULED, due, ttl
        self.jobs[new.id] = new

    def settle(self, job_id: str, token: str, verdict: Verdict) -> str:
        job = self.jobs.get(job_id)
        if job is None or job.token != token:
            return "gone" if job is None else "stale"
        if verdict.verb == "give_back":
            self._given_back(job)
            return "ok"
        assert verdict.type is not None
        job.entries = [*job.entries, verdict.type][-10:]
        job.valued = verdict.type is ResultType.SUCCESSFUL
        job.token = ""
        if verdict.to is None:
            self._gone(job)
            self.values.add(job.id)
            self._prolong(job.id, job.wanted)
        elif verdict.verb in ("retry", "repeat"):
            self._goes_on(job, verdict)
        else:
            self._ended(job, verdict.to, verdict.ttl_s * 1000)
        return "ok"

    def _given_back(self, job: Modelled) -> None:
        job.status, job.token, job.attempt = QUEUED, "", job.attempt - 1
        if job.asked:
            self._ended(job, JobStatus.CANCELED, FAILURE_TTL_MS, notice=True)

    def _goes_on(self, job: Modelled, verdict: Verdict) -> None:
        job.place, job.deadline = self._place(verdict.band == 0, job.policy), None
        if verdict.verb == "repeat":
            job.cycle, job.attempt = job.cycle + 1, 0
        job.status = QUEUED
        if verdict.delay_s:
            job.status, job.due = SCHEDULED, self.now + round(verdict.delay_s * 1000)
        if job.asked:
            self._ended(job, JobStatus.CANCELED, FAILURE_TTL_MS, notice=True)

    def touch(self) -> bool:
        """A contact; whether anybody may be recovered."""
        if self.contact is not None and self.now - self.contact > OUTAGE_MS:
            self.grace = self.now + OUTAGE_MS
        self.contact = self.now
        return self.now >= self.grace

    def sweep(self, queues: Sequence[str]) -> list[Modelled]:
        """Promotes and expires; the jobs that are recovered."""
        is_open = self.touch()
        lapsed: list[Modelled] = []
        for queue in queues:
            if is_open:
                dead = sorted((job.lease, job.id) for job in self.at(STARTED, queue) if job.lease <= self.now)
                for _, job_id in dead[: RECOVER_LIMIT - len(lapsed)]:
                    lapsed.append(self.jobs[job_id])
                    self.jobs[job_id].lease = self.now + LEASE_MS
            for _, job_id in sorted((job.due, job.id) for job in self.at(SCHEDULED, queue) if job.due <= self.now):
                self._promoted(self.jobs[job_id])
            for job in self.order(queue):
                self._expires(job)
        return lapsed

    def _promoted(self, job: Modelled) -> None:
        job.status, job.place = QUEUED, self._place(job.place[0] == 0, job.policy)
        if job.ttl is not None:
            job.deadline, job.ttl = self.now + job.ttl, None

    def _expires(self, job: Modelled) -> bool:
        if job.deadline is None or job.deadline > self.now:
            return False
        self._ended(job, JobStatus.EXPIRED, FAILURE_TTL_MS, notice=True)
        return True

    def take(self, queues: Sequence[str], want: int) -> list[Modelled]:
        taken: list[Modelled] = []
        for queue in queues:
            for job in [] if self.paused(("", queue)) else self.order(queue):
                if len(taken) == want:
                    return taken
                if not self._expires(job):
                    job.replaced = ()
                    job.status, job.attempt, job.lease = STARTED, job.attempt + 1, self.now + LEASE_MS
                    taken.append(job)
        return taken

    def pause(self, queue: str, ttl: int | None) -> None:
        self.pauses[queue] = None if ttl is None else self.now + ttl

    def resume(self, queue: str) -> bool:
        was = queue in self.paused([queue])
        self.pauses.pop(queue, None)
        return was

    def paused(self, names: Sequence[str]) -> list[str]:
        """Those of the names, '' for all queues, under which there is a pause that is not over."""
        found = ((name, self.pauses.get(name, 0)) for name in names)
        return [name for name, until in found if until is None or until > self.now]

    def cancel(self, job_id: str) -> JobStatus | None:
        """The status answered; None where it is refused."""
        job = self.jobs.get(job_id)
        if job is None or job.status.terminal:
            return None
        if job.status is STARTED:
            job.asked = True
        else:
            self._ended(job, JobStatus.CANCELED, FAILURE_TTL_MS, notice=True)
        return job.status

    def stop(self, job_id: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.status is not STARTED:
            return False
        job.asked = True
        return True

    def expire(self, job_id: str) -> JobStatus | None:
        job = self.jobs.get(job_id)
        if job is not None and job.status is QUEUED:
            self._expires(job)
        return None if job is None else job.status

    def _prolong(self, job_id: str, until: int) -> None:
        nonces, was = self.traces[job_id]
        self.traces[job_id] = (nonces, max(was, until))

    def want(self, job_id: str, ms: int, *, all_of_it: bool) -> int:
        job, until = self.jobs.get(job_id), self.now + ms
        if job is not None and not job.status.terminal:
            job.wanted = max(job.wanted, until)
            return 1
        if not all_of_it or (job is None and not (job_id in self.traces and job_id in self.values)):
            return 0
        if job is None:
            self._prolong(job_id, until)
        elif job.expiry is not None:
            job.expiry = max(job.expiry, until)
        return 1

    def requeue(self, job_id: str, *, front: bool) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return "NOJOB"
        if not job.status.terminal:
            return f"WRONGSTATE {job.status}"
        if holder := self.holder(job.key):
            return f"HELD {holder.status} {holder.id}"
        job.status, job.cycle, job.attempt, job.expiry, job.notice = QUEUED, job.cycle + 1, 0, None, False
        job.wanted = 0
        job.place = self._place(front, job.policy)
        return "ok"

    def delete(self, job_id: str, nonce: str) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return "NOJOB"
        self._gone(job, nonce)
        return "ok"

    def empty(self, queue: str, limit: int, *, scheduled: bool) -> tuple[int, int]:
        waiting = self.order(queue)
        if scheduled:
            waiting += sorted(self.at(SCHEDULED, queue), key=lambda job: (job.due, job.id))
        for job in waiting[:limit]:
            self._gone(job)
        return min(limit, len(waiting)), max(0, len(waiting) - limit)

    def clean(self, status: JobStatus, queue: str, limit: int) -> int:
        found = [job for job in self.at(status, queue) if job.expiry is None or job.expiry > self.now]
        found.sort(key=lambda job: (job.due if status is SCHEDULED else job.expiry or float("inf"), job.id))
        for job in found[:limit]:
            self._gone(job)
        return min(limit, len(found))

    def obliterate(self, queue: str, *, force: bool) -> int | None:
        """How many jobs; None where it is refused."""
        if self.at(STARTED, queue) and not force:
            return None
        found = [job for job in self.jobs.values() if job.queue == queue]
        for job in found:
            self._gone(job)
        self.pauses.pop(queue, None)
        return len(found)
