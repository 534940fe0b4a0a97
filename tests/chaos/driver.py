"""One chaos run: sets the stage, lets people and faults loose, waits for quiet, and collects the evidence."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rqlike.exceptions import NoSuchGroupError
from rqlike.keys import Keys
from rqlike.records import NoticeRecord
from rqlike.settings import FIRES_KEPT, TOUCH_LIMIT
from rqlike.states import TERMINAL, JobStatus
from rqlike.store import groups, schedules, turns, verbs
from rqlike.store.store import Store
from rqlike.store.turns import Turn
from tests.chaos import families
from tests.chaos.askers import Askers
from tests.chaos.evidence import Evidence, GroupSeen, JobSeen, Lists, ScheduleSeen, read, read_bodies
from tests.chaos.faults import DUE, NETWORKED, Faults, lease_of, mix_of
from tests.chaos.invariants import violations
from tests.chaos.kinds import (
    ALL_QUEUES,
    FIRED_RETRIES,
    SHORT_TTL_S,
    Order,
    asked_orders,
    asks,
    awaited_orders,
    due_orders,
    orders,
    shared_orders,
    standing_orders,
    sweeps,
)
from tests.chaos.kinship import waits_rightly
from tests.chaos.looking import Onlookers, told_of
from tests.chaos.people import People, now_ms
from tests.chaos.stage import SHUTDOWN_S, Stage
from tests.chaos.sweeping import SCHEDULE, Sweepers, acts_of, remains
from tests.chaos.watching import Watch
from tests.process.workers import pass_time
from tests.servers import Kind, eventually
from tests.store.builders import Dump, Scene
from tests.store.invariants import violations as unsound

_QUIET_S: Final = 90.0  #: from the last deed to the end of the last job, before the rest is called stuck
_PERMITS_S: Final = 10.0
_HOLDS: Final = 6  #: pauses in a run
_ASKS: Final = 25  #: a second
_AWAITED: Final = 8  #: a second
_FEW: Final = 0.2  #: of these on a machine that is to be idle
_ORPHANS_S: Final = 2.0
_FAR_MS: Final = 10 * 31_536_000_000
_LOAD: Final = 500
_LIVES: Final = 30  #: of a chain whose links wait for each other to be run again, twice as many as there are


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is to be; all that is left to chance follows from the seed."""

    seed: int
    mix: str = "everything"
    jobs: int = 500
    seconds: float = 10.0
    posts: int = 3
    lease_s: float | None = None  #: None: what fits the mix
    gap_s: float = 0.3
    kind: Kind = "valkey"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    settings: Settings
    evidence: Evidence
    quiet_s: float  #: from the last fault to the end of the last job
    took_s: float
    violations: Mapping[str, Sequence[str]] = field(default_factory=dict)


def run(settings: Settings, folder: Path | None = None) -> Run:
    """Raises nothing that a violation can say; a machine that is too slow for the driver is an AssertionError."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="rqlike-chaos-") as made:
            return run(settings, Path(made))
    began = time.monotonic()
    log = folder / "bodies"
    log.touch()
    mix = mix_of(settings.mix)
    networks = bool(NETWORKED & set(mix))
    lease_s = lease_of(settings.mix) if settings.lease_s is None else settings.lease_s
    with Stage(
        folder,
        settings.seed,
        posts=settings.posts,
        lease_s=lease_s,
        networks=networks,
        kind=settings.kind,
    ) as stage:
        evidence, quiet_s = _Director(settings, stage, mix, log).direct()
    return Run(settings, evidence, quiet_s, time.monotonic() - began, violations(evidence))


class _Director:
    def __init__(self, settings: Settings, stage: Stage, mix: Mapping[str, float], log: Path) -> None:
        self.settings, self.stage, self.log = settings, stage, log
        self.load = os.getloadavg()[0]
        made = due_orders if settings.mix == DUE else orders
        self.orders = {order.id: order for order in made(settings.seed, settings.jobs)}
        self.faults = Faults(stage, mix, settings.seed, gap_s=settings.gap_s, log=log, is_long=self._is_long)
        url = stage.server.url if stage.road is None else stage.road.url
        namespace = stage.stable.namespace
        standing = standing_orders(settings.seed, settings.seconds)
        self.standing = {order.key: order for order in standing}
        holds = 0 if settings.mix == DUE else _HOLDS
        given = list(self.orders.values())
        self.people = People(url, namespace, str(log), given, settings.seconds, standing, holds)
        self.askers = self._askers(quick=settings.mix == DUE)
        plan = families.calls(settings.seed, settings.seconds, quick=settings.mix == DUE)
        self.orders |= {order.id: order for call in plan for order in call.orders}
        self.families = families.Families(self.people, plan)
        self.orders |= {order.id: order for order in asked_orders(self.orders.values())}
        quick = settings.mix == DUE
        self.sweepers = Sweepers(self.people, sweeps(settings.seed, settings.seconds, quick=quick))
        self.onlookers = Onlookers(self.people, self.orders, settings.seed)
        self.store = Store(stage.stable.client(), namespace)

    def _askers(self, *, quick: bool) -> Askers:
        """Their orders are orders too."""
        seed, seconds = self.settings.seed, self.settings.seconds
        part = (_FEW if quick else 1.0) * seconds
        shared, awaited = shared_orders(seed, quick=quick), awaited_orders(seed, round(_AWAITED * part), quick=quick)
        self.orders |= {order.id: order for order in (*shared, *awaited)}
        return Askers(self.people, asks(seed, seconds, shared, awaited, round(_ASKS * part)), self.orders)

    def _is_long(self, job_id: str) -> bool:
        order = self.orders.get(job_id)  # None: of a schedule, whose jobs are known when all is over
        return order is not None and order.kind == "long"

    def direct(self) -> tuple[Evidence, float]:
        """The run itself."""
        watch = self.watch = Watch(self.stage.server.url, self.store.keys, dict(self.orders))
        self.people.start()
        self.askers.start()
        self.families.start()
        self.sweepers.start()
        self.onlookers.start()
        end = time.monotonic() + self.settings.seconds
        while time.monotonic() < end:
            self.stage.tend()
            self.faults.tick()
            pass_time(0.02)
        self.faults.heal()
        last = time.monotonic()
        longest = 60 + 4 * self.settings.seconds
        self._tend_until(lambda: self.people.done, longest, "the producer and the operator are done")
        self._tend_until(lambda: self.families.done, longest, "all families were enqueued")
        self._tend_until(lambda: self.askers.done, longest, "all was asked and answered")
        self._tend_until(lambda: self.sweepers.done, longest, "all was swept")
        self.sweepers.finish()
        quiet_s = self._quiet(last)
        self.permits, self.unreleased = self._permits(), self._left(self.store.keys.unique("*"))
        waiting = self.people.finish(30)
        watch.stop()
        self.heard = self.onlookers.finish(self.store)
        self.acts = [*self.people.acts, *acts_of(self.sweepers.swept, self.heard, self.orders)]
        pass_time(SHORT_TTL_S + 0.1)  # what fades is gone, and not going while it is looked at
        self.closed_ms, self.seen, found = now_ms(), schedules_of(self.store, self.standing), self._look()
        self.lists, self.grouped = self._lists(), self._groups()
        self.stage.dismiss_all()
        return self._evidence(found, waiting), quiet_s

    def _tend_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Who has ended meanwhile is replaced."""

        def met() -> bool:
            self.stage.tend()
            return condition()

        eventually(met, seconds, 0.05, what)

    def _quiet(self, last: float) -> float:
        """Seconds until no job was left to end and no slot to come; also where some never do."""
        end = time.monotonic() + _QUIET_S
        while time.monotonic() < end:
            self.stage.tend()
            (rows,) = [self.store.run(verbs.counts(ALL_QUEUES))]
            ended = {*TERMINAL, JobStatus.DEFERRED}  # some may stay deferred
            live = any(row[status] for row in rows for status in row.keys() - ended)
            slots = (one.next_ms for one in schedules_of(self.store, self.standing).values())
            if not live and all(slot is None for slot in slots) and self._all_are_told():
                break
            pass_time(0.02)
        return time.monotonic() - last

    def _all_are_told(self) -> bool:
        """Whether nobody is to learn of an end, and who is deferred is to stay so."""
        lists, keys = self._lists(), self.store.keys
        if lists.telling or any(not member.startswith("- gone ") for member in lists.unsettled):
            return False
        homes = [keys.home(JobStatus.DEFERRED, queue) for queue in ALL_QUEUES]
        deferred = [job_id for home in homes for job_id in self._members(home)]
        if not deferred:
            return True
        found = Evidence(orders=self.orders, jobs=self._jobs(history=False), needs=self.people.needs)
        return all(job_id in found.jobs and waits_rightly(found, job_id) for job_id in deferred)

    def _lists(self) -> Lists:
        client, keys = self.store.client, self.store.keys

        def found(pattern: str) -> list[str]:
            return [key.decode() for key in client.scan_iter(pattern, count=1000)]

        waiting = {
            key.removeprefix(keys.dependents("")): tuple(_text(edge) for edge in client.lrange(key, 0, -1))
            for key in found(keys.dependents("*"))
        }
        unsettled = tuple(self._members(keys.unsettled()))
        return Lists(waiting, tuple(found(keys.telling("*"))), unsettled)

    def _members(self, key: str) -> list[str]:
        return [_text(raw) for raw in self.store.client.zrange(key, 0, -1)]

    def _groups(self) -> dict[str, GroupSeen | None]:
        found: dict[str, GroupSeen | None] = {}
        for name in self.families.groups:
            try:
                seen = self.store.run(groups.group(name, 0, TOUCH_LIMIT))
            except NoSuchGroupError:
                found[name] = None
            else:
                found[name] = GroupSeen(frozenset(seen.job_ids), seen.pending, seen.completed)
        return found

    def _permits(self) -> list[str]:
        """Keys of limits that are left, once workers have had time to look at them."""
        end, keys = time.monotonic() + _PERMITS_S, self.store.keys
        while True:
            self.stage.tend()
            patterns = (keys.holders("*"), keys.waiting("*"), keys.limits())
            left = [key.decode() for one in patterns for key in self.store.client.scan_iter(one, count=1000)]
            left += self._left(keys.tat("*"))
            if not left or time.monotonic() > end:
                return sorted(left)
            pass_time(0.05)

    def _left(self, pattern: str) -> list[str]:
        """Keys without a time to live."""
        client = self.store.client
        return [key.decode() for key in client.scan_iter(pattern, count=1000) if client.ttl(key) == -1]

    # -- evidence ------------------------------------------------------------------------------------------------------

    def _look(self) -> tuple[dict[str, JobSeen], list[str], Counter[str], Counter[str]]:
        scene = Scene(self.store)
        self._know_fired()
        counts, jobs = self._counts(), self._jobs()
        while counts != (again := self._counts()):  # one that was kept for a waiter has gone meanwhile
            counts, jobs = again, self._jobs()
        said = [told_of(self.store, job_id, at_the_end=True) for job_id in jobs if self.orders[job_id].says]
        self.told, self.remains = [*self.onlookers.told, *said], remains(self.store, self.orders)
        seconds, micros = self.store.client.time()
        complaints = unsound(scene.dump(), self.store.keys, int(seconds) * 1000 + int(micros) // 1000)
        return jobs, complaints, counts, Counter(str(job.status) for job in jobs.values())

    def _counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in self.store.run(verbs.counts(ALL_QUEUES)):
            counts.update({str(status): number for status, number in row.items() if number})
        return counts

    def _know_fired(self) -> None:
        """The jobs that schedules have made are orders too: of a quick job that may be tried many times."""
        deleted = {act.job_id for act in self.acts if "@" in act.job_id}
        for job_id in {*fired_ids(self.store), *deleted}:
            if job_id.startswith(f"{SCHEDULE}@"):
                continue  # of what is razed: nobody judges it, but nothing of it is to be left
            if job_id.partition("@")[0] in self.families.groups:
                self.orders[job_id] = Order(job_id, "quick")
                continue
            standing = self.standing[job_id.partition("@")[0]]
            self.orders[job_id] = Order(
                job_id, "quick", standing.queue, retries=FIRED_RETRIES, unique=standing.unique, wish=standing.wish
            )

    def _jobs(self, *, history: bool = True) -> dict[str, JobSeen]:
        ids, found = list(self.orders), {}
        for at in range(0, len(ids), _LOAD):
            for record in self.store.run(verbs.load(ids[at : at + _LOAD])):
                if record is not None:
                    entries = self.store.run(verbs.history(record.id)) if history else []
                    found[record.id] = JobSeen(
                        record.status,
                        record.cycle,
                        tuple(reversed(entries)),
                        record.slot_ms,
                        record.created_ms,
                        record.ended_ms,
                        self._notice(record.id) if history and record.status is JobStatus.CANCELED else "",
                    )
        return found

    def _notice(self, job_id: str) -> str:
        (newest,) = self.store.run(verbs.peek(job_id, "", 1)).entries or (None,)
        return newest.reason if isinstance(newest, NoticeRecord) else ""

    def _evidence(self, found: tuple[Any, list[str], Counter[str], Counter[str]], waiting: int) -> Evidence:
        jobs, complaints, counts, tally = found
        return Evidence(
            orders=self.orders,
            acked=self.people.acked,
            refused=self.people.refused,
            bodies=read_bodies(self.log),
            calls=[told for told in read(self.log) if told.event == "called"],
            jobs=jobs,
            standing=self.standing,
            opened_ms=self.people.opened_ms,
            closed_ms=round(self.closed_ms),
            kept=self.people.kept,
            schedules=self.seen,
            acts=self.acts,
            swept=self.sweepers.swept,
            heard=self.heard,
            watched=self.onlookers.watched,
            told=self.told,
            remains=self.remains,
            waits=self.people.waits,
            gathered=self.people.gathered,
            denied=self.people.denied,
            given=self.people.given,
            batches=self.people.batches,
            needs=self.people.needs,
            orphaned=self.people.orphaned,
            groups=self.grouped,
            lists=self.lists,
            holdings=list(self.watch.holdings),
            unique=self.watch.unique,
            unreleased=self.unreleased,
            held=self.people.held,
            claims=list(self.watch.claims),
            started=self.watch.started,
            permits=self.permits,
            strikes=self.faults.strikes,
            exits=self.stage.exits,
            orphans=[
                *self._orphans(),
                *self.stage.orphans,
                *self.people.problems,
                *self.watch.problems,
                *([f"{waiting} waiters"] if waiting else []),
            ],
            unsound=complaints,
            leaks=self._leaks(),
            counts=counts,
            tally=tally,
            idle=self.settings.mix == DUE and self.load < 1.0,
            shutdown_s=SHUTDOWN_S,
        )

    def _orphans(self) -> list[str]:
        """What a job has forked dies with its horse: by the hand of the worker, or of its guardian."""
        end = time.monotonic() + _ORPHANS_S
        while (left := self.stage.processes()) and time.monotonic() < end:
            pass_time(0.05)
        return [f"process {pid}" for pid in left]

    def _leaks(self) -> list[str]:
        """What is left once all times to live are over and a worker has looked once more, long after."""
        scene, keys = Scene(self.store), self.store.keys
        for key in self.standing:
            self.store.run(schedules.unschedule(key))
        self._let_expire(scene.dump())
        turn = Turn("caretaker", "caretaker", 1, ALL_QUEUES, sweep=True, prune=True)
        for later in range(1, _LIVES + 1):  # who waits for one that is gone is canceled, and kept for a while itself
            for number in range(3 * later, 3 * later + 3):
                self.store.run(turns.advance(turn._replace(number=number), now_ms=_far(later)))
            self._delete_queued()
            dump = scene.dump()
            self._let_expire(dump)
            left = sorted({key for key, (_, _, expiry) in dump.items() if expiry < 0} - _constants(keys))
            if not left:
                break
        return left

    def _delete_queued(self) -> None:
        """Those that run whatever becomes of the one they waited for."""
        for queue in ALL_QUEUES:
            ids = self._members(self.store.keys.home(JobStatus.QUEUED, queue))[:TOUCH_LIMIT]
            if ids:
                self.store.run(verbs.delete(ids, ""))

    def _let_expire(self, dump: Dump) -> None:
        for key, (_, _, expiry) in dump.items():
            if expiry >= 0:
                self.store.client.delete(key)


def schedules_of(store: Store, keys: Iterable[str]) -> dict[str, ScheduleSeen]:
    """What there is of these schedules."""
    found = {}
    for key in keys:
        seen = store.run(schedules.look(key, FIRES_KEPT))
        if seen.record is not None:
            record = seen.record
            found[key] = ScheduleSeen(record.fired, record.missed, record.next_ms, seen.fires)
    return found


def fired_ids(store: Store) -> list[str]:
    """The ids of the jobs that schedules have made."""
    prefix = store.keys.job("")
    return [key.decode().removeprefix(prefix) for key in store.client.scan_iter(f"{prefix}*@*", count=1000)]


def _text(raw: Any) -> str:
    return str(raw.decode())


def _far(times: int) -> int:
    return time.time_ns() // 1_000_000 + times * _FAR_MS


def _constants(keys: Keys) -> set[str]:
    """What a namespace keeps for ever."""
    streams = {keys.events(queue) for queue in ALL_QUEUES}
    return {keys.queues(), keys.sequence(), keys.contact(), keys.watch(), *streams}
