"""What is known after a chaos run, from which alone it is judged. Values; who collects them is `driver`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from rqlike.dependency import Need
from rqlike.events import Event
from rqlike.live import Watched as News
from rqlike.records import ResultRecord
from rqlike.states import JobStatus
from rqlike.store.schedules import FireRecord
from rqlike.told import LogLine, Progress
from tests.chaos.kinds import Order, StandingOrder, Sweep

#: Faults that may end an execution, or make others believe that it has ended. An outage does that only with a lease
#: below ten seconds: what is away for longer is known to be an outage.
DEADLY: Final = frozenset({"point", "horse", "parent", "both", "freeze", "freeze_all", "hole", "outage"})
#: Those that may let two executions of a job overlap: a worker that is replaced and does not know it.
PARTING: Final = frozenset({"point", "freeze", "freeze_all", "hole", "outage"})
#: Those that may keep a worker from registering, which it does not try twice.
NO_START: Final = frozenset({"server_kill", "server_pause", "clients", "cut", "hole", "memory", "outage"})
#: Those that may keep a producer or a waiter from the server.
AWAY: Final = frozenset({"server_kill", "server_pause", "clients", "road_cut", "road_hole", "memory", "outage"})


class Told(NamedTuple):
    """A line of a body, begin | end | out, or of its callback: called."""

    event: str
    job_id: str
    execution: str
    pid: int
    mono_ns: int
    wall_ns: int


@dataclass(slots=True)
class Body:
    """One execution of a job, as its body told it."""

    execution: str
    job_id: str
    pid: int
    began_ns: int
    began_ms: float  #: by the wall clock
    ended_ns: int | None = None  #: just before it returned its value
    left_ns: int | None = None  #: by an exception
    ended_ms: float | None = None

    @property
    def over_ns(self) -> int | None:
        """When it was certainly over; None where it did not live to tell."""
        return self.left_ns if self.ended_ns is None else self.ended_ns


class Acked(NamedTuple):
    """An enqueue that returned. Wall-clock milliseconds."""

    sent_ms: float
    acked_ms: float
    again: str = ""  #: the word with which the same call was answered when it was sent again


class Act(NamedTuple):
    """What an operator did. `answer`: the status it was told, "ok", or the name of the error."""

    what: str
    job_id: str
    answer: str
    at_ms: float
    kin: bool = False  #: with regard to those that depend on it: they go on, or go too


class Wait(NamedTuple):
    """What somebody who blocked on a job was told."""

    job_id: str
    error: str  #: name of the exception, "" for a value; "None" of `latest_result`
    value: object
    at_ms: float
    asked_ms: float
    timeout_s: float = 90.0
    cycle: int = 1  #: the one that was waited for; 0 where that is not known
    how: str = ""  #: how it came to the job: queued | joined | cached | held | raised; latest: of any cycle
    execution: str = ""  #: the one that the error speaks of


class Gathered(NamedTuple):
    """What somebody who blocked on many jobs was told. Handles are ids with the cycle that was waited for."""

    done: tuple[tuple[str, int], ...]
    pending: tuple[tuple[str, int], ...]
    when: str  #: ALL_COMPLETED | FIRST_COMPLETED | FIRST_EXCEPTION
    asked_ms: float
    at_ms: float
    timeout_s: float


class Denied(NamedTuple):
    """An enqueue that was answered with DuplicateJobError."""

    job_id: str
    named: str  #: by the error
    sent_ms: float
    at_ms: float


class Given(NamedTuple):
    """An enqueue that was answered with another job, or with a cycle that was there."""

    job_id: str
    given: str
    how: str  #: held | joined | cached
    sent_ms: float
    at_ms: float


class Orphaned(NamedTuple):
    """An enqueue that was answered with NoSuchJobError, since there is no such job to depend on."""

    job_id: str
    named: str  #: by the error


class GroupSeen(NamedTuple):
    """A group at the end."""

    members: frozenset[str]
    pending: int
    completed: int


class Lists(NamedTuple):
    """What is left in the store of those who wait for others."""

    waiting: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {}
    )  #: job -> "number wish dependent", for each that waits for it
    telling: tuple[str, ...] = ()  #: lists that are being worked through
    unsettled: tuple[str, ...] = ()  #: what is to be looked at


class Batch(NamedTuple):
    """An atomic call, and the name of its error; "" where there was none."""

    ids: tuple[str, ...]
    error: str


class Holding(NamedTuple):
    """A key of which a look at the store found more than one living job, one that does not hold it, or none, though it
    is held without an end."""

    key: str
    living: tuple[str, ...]
    holder: str  #: "" where there was none


class Strike(NamedTuple):
    """A fault. `worker` is "" where it concerns all of them."""

    kind: str
    worker: str
    at_ms: float
    until_ms: float


class Exit(NamedTuple):
    """How a worker ended that was told to, or that ended by itself."""

    worker: str
    code: int | None  #: None: not within its time
    seconds: float
    asked: bool
    said: str = ""  #: the end of its log, where it was not asked
    listened: bool = True  #: whether it had come so far


class Kept(NamedTuple):
    """What was done to a schedule until it was acknowledged. `what`: put | again | pause | resume."""

    what: str
    key: str
    sent_ms: float  #: for the first time
    acked_ms: float
    next_ms: int | None  #: its next slot, as the answer says


class Held(NamedTuple):
    """A pause that was answered; it was in force from one moment to the other. `queue`: "" for all."""

    queue: str
    acked_ms: float
    ended_ms: float  #: no later than it was ended


class Claim(NamedTuple):
    """A started job, as a look at the store found it."""

    job_id: str
    queue: str
    started_ms: int
    execution: str


class ScheduleSeen(NamedTuple):
    """A schedule at the end."""

    fired: int
    missed: int
    next_ms: int | None
    fires: tuple[FireRecord, ...]  #: newest first


class Swept(NamedTuple):
    """A sweep, and what it was answered: a number of jobs, or the name of an error."""

    sweep: Sweep
    sent_ms: float
    at_ms: float
    done: int = 0
    error: str = ""


class Heard(NamedTuple):
    """What a reader of a queue's events was given, who went away and came again now and then, and what was kept when
    it was done."""

    queue: str
    events: tuple[Event, ...]
    kept: tuple[Event, ...] = ()  #: of those that had happened before it was done


class Watched(NamedTuple):
    """What somebody who watched a job was given."""

    job_id: str
    cycle: int
    news: tuple[News, ...]
    asked_ms: float
    at_ms: float
    timeout_s: float
    error: str = ""


class ToldSeen(NamedTuple):
    """What a job had told when it was looked at."""

    job_id: str
    lines: tuple[LogLine, ...]
    progress: Progress | None
    at_the_end: bool = False  #: it was looked at when all had ended


class JobSeen(NamedTuple):
    """A job at the end; `entries` oldest first."""

    status: JobStatus
    cycle: int
    entries: tuple[ResultRecord, ...]
    slot_ms: int | None = None  #: of its schedule
    created_ms: int = 0
    ended_ms: int | None = None
    notice: str = ""  #: why it has left without an execution


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run."""

    orders: Mapping[str, Order]
    acked: Mapping[str, Acked] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)  #: id -> error of an enqueue
    bodies: Sequence[Body] = ()
    calls: Sequence[Told] = ()  #: of callbacks
    jobs: Mapping[str, JobSeen] = field(default_factory=dict)
    standing: Mapping[str, StandingOrder] = field(default_factory=dict)
    opened_ms: int = 0  #: what the seconds of standing orders count from
    closed_ms: int = 0  #: when all was quiet
    kept: Sequence[Kept] = ()
    schedules: Mapping[str, ScheduleSeen] = field(default_factory=dict)
    acts: Sequence[Act] = ()
    waits: Sequence[Wait] = ()
    strikes: Sequence[Strike] = ()
    exits: Sequence[Exit] = ()
    orphans: Sequence[str] = ()  #: processes that outlived all workers
    unsound: Sequence[str] = ()  #: what is wrong in the store
    leaks: Sequence[str] = ()  #: keys that outlived all times to live
    counts: Mapping[str, int] = field(default_factory=dict)  #: jobs by status, as the queues count them
    tally: Mapping[str, int] = field(default_factory=dict)  #: the same, as the jobs say
    held: Sequence[Held] = ()
    claims: Sequence[Claim] = ()  #: each once
    started: Mapping[str, int] = field(default_factory=dict)  #: limit -> the most that were started at once
    gathered: Sequence[Gathered] = ()
    denied: Sequence[Denied] = ()
    given: Sequence[Given] = ()
    batches: Sequence[Batch] = ()
    holdings: Sequence[Holding] = ()  #: each once
    needs: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)  #: of each enqueue that was sent
    orphaned: Sequence[Orphaned] = ()
    groups: Mapping[str, GroupSeen | None] = field(default_factory=dict)  #: of which somebody was told that it is there
    lists: Lists = field(default_factory=Lists)
    unique: int = 0  #: how often a living job with a key until it ends was seen
    unreleased: Sequence[str] = ()  #: unique keys without a time to live that are left when all jobs have ended
    permits: Sequence[str] = ()  #: keys of limits that are left when all jobs have ended
    swept: Sequence[Swept] = ()
    heard: Sequence[Heard] = ()
    watched: Sequence[Watched] = ()
    told: Sequence[ToldSeen] = ()
    remains: Sequence[str] = ()  #: what is left of the queue that was obliterated last of all
    idle: bool = False  #: whether the machine had nothing else to do, so that lateness means something
    shutdown_s: float = 30.0

    @cached_property
    def begun(self) -> Mapping[str, list[Body]]:
        """Bodies by job, in order of their beginning."""
        found: dict[str, list[Body]] = defaultdict(list)
        for body in sorted(self.bodies, key=lambda body: body.began_ns):
            found[body.job_id].append(body)
        return found

    @cached_property
    def acted(self) -> Mapping[str, list[Act]]:
        """Acts by job."""
        found: dict[str, list[Act]] = defaultdict(list)
        for act in self.acts:
            found[act.job_id].append(act)
        return found

    @cached_property
    def rivals(self) -> Mapping[str, list[Order]]:
        """Orders by their unique key."""
        found: dict[str, list[Order]] = defaultdict(list)
        for order in self.orders.values():
            if order.unique:
                found[order.unique].append(order)
        return found

    @cached_property
    def of_schedules(self) -> Mapping[str, list[tuple[str, JobSeen]]]:
        """The jobs of slots, by the key in their ids."""
        found: dict[str, list[tuple[str, JobSeen]]] = defaultdict(list)
        for job_id, job in self.jobs.items():
            key, at, slot = job_id.partition("@")
            if at and not slot.startswith("now-"):
                found[key].append((job_id, job))
        return found

    @cached_property
    def cleared(self) -> frozenset[str]:
        """Jobs that may have been deleted with one they depend on."""
        found = {act.job_id for act in self.acts if act.what == "delete" and act.kin}
        roots, size = frozenset(found), -1
        while size < len(found):
            size = len(found)
            found |= {job_id for job_id, needs in self.needs.items() if any(need.job_id in found for need in needs)}
        return frozenset(found - roots)

    def was(self, what: str, job_id: str) -> bool:
        """Whether that was done to the job, or may have been: an error of a connection tells nothing."""
        return any(act.what == what for act in self.acted.get(job_id, ()))

    def struck(self, kinds: frozenset[str], worker: str, since_ms: float, until_ms: float) -> bool:
        """Whether a fault of these kinds may have hit that worker then."""
        return any(
            strike.kind in kinds
            and strike.worker in ("", worker)
            and strike.at_ms <= until_ms
            and strike.until_ms >= since_ms
            for strike in self.strikes
        )

    def any_strike(self, kinds: frozenset[str]) -> bool:
        """Whether there was any fault of these kinds."""
        return any(strike.kind in kinds for strike in self.strikes)


def read(path: Path) -> Iterator[Told]:
    """What was told in a run."""
    for line in path.read_text().splitlines():
        event, job_id, execution, pid, mono, wall = line.split()
        yield Told(event, job_id, execution, int(pid), int(mono), int(wall))


def read_bodies(path: Path) -> list[Body]:
    """What the bodies of a run told. A copy of a process that a job has forked tells nothing."""
    bodies: dict[str, Body] = {}
    for told in read(path):
        if told.event == "begin":
            bodies[told.execution] = Body(told.execution, told.job_id, told.pid, told.mono_ns, told.wall_ns / 1e6)
            continue
        body = bodies.get(told.execution)
        if body is None or body.pid != told.pid:
            continue
        if told.event == "end":
            body.ended_ns, body.ended_ms = told.mono_ns, told.wall_ns / 1e6
        elif told.event == "out":
            body.left_ns = told.mono_ns
    return list(bodies.values())
