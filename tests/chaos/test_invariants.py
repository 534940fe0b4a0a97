"""Each invariant of a chaos run can fail: evidence that was tampered with is caught, and by the one that is meant."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import pytest

from rqlike import clock
from rqlike.dependency import Need
from rqlike.events import Event
from rqlike.live import Watched as News
from rqlike.records import ResultRecord
from rqlike.results import Result
from rqlike.serializers import resolve_serializer
from rqlike.settings import TELL_LIMIT
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.store.schedules import FireRecord
from rqlike.timetables import slot_text
from rqlike.told import LogLine, Progress
from tests.chaos.bodies import SAYS, said, signature
from tests.chaos.evidence import (
    Acked,
    Act,
    Batch,
    Body,
    Claim,
    Denied,
    Evidence,
    Exit,
    Gathered,
    Given,
    GroupSeen,
    Heard,
    Held,
    Holding,
    JobSeen,
    Kept,
    Lists,
    Orphaned,
    ScheduleSeen,
    Strike,
    Swept,
    Told,
    ToldSeen,
    Wait,
    Watched,
    read_bodies,
)
from tests.chaos.families import PRODUCERS, calls
from tests.chaos.faults import EVERYTHING, MIXES
from tests.chaos.invariants import INVARIANTS, NOT_YET, violations
from tests.chaos.kinds import (
    ASKERS,
    KINDS,
    POLICIES,
    RAZED,
    SWEPT,
    Order,
    StandingOrder,
    Sweep,
    asks,
    awaited_orders,
    orders,
    shared_orders,
    standing_orders,
    sweeps,
)
from tests.chaos.sweeping import acts_of

pack = resolve_serializer("msgpack").dumps
T0: Final = 1_800_000_000_000.0  #: the wall clock at the beginning, in ms


def body(execution: str, job_id: str, began_ms: float, ended_ms: float | None = None) -> Body:
    """One that began and ended so many ms after the beginning."""
    ended_ns = None if ended_ms is None else int(ended_ms * 1e6)
    wall = None if ended_ms is None else T0 + ended_ms
    return Body(execution, job_id, 100, int(began_ms * 1e6), T0 + began_ms, ended_ns, None, wall)


def entry(execution: str, job_id: str, at_ms: int, **more: Any) -> ResultRecord:
    """One of a job that returned its id, on worker w1."""
    plain = ResultRecord(
        f"{int(T0) + at_ms}-0", job_id, ResultType.SUCCESSFUL, 1, 1, "w1", execution, int(T0), int(T0) + at_ms
    )
    given: dict[str, Any] = {"value": pack(job_id), **more}
    return plain._replace(**given)


def retried(execution: str, job_id: str, at_ms: int, reason: Reason, **more: Any) -> ResultRecord:
    return entry(execution, job_id, at_ms, type=ResultType.RETRIED, reason=reason, value=None, **more)


#: a: returned. b: its worker was killed, then it returned. c: canceled before it began. d: deleted. e: due later.
SOUND: Final = Evidence(
    orders={
        "a": Order("a", "quick", waits=True),
        "b": Order("b", "slow", retries=2),
        "c": Order("c", "quick", act="cancel"),
        "d": Order("d", "quick", act="delete"),
        "e": Order("e", "quick", delay=0.5),
    },
    acked={job_id: Acked(T0, T0 + 1) for job_id in "abcde"},
    bodies=[
        body("a1", "a", 10, 12),
        body("b1", "b", 20),
        body("b2", "b", 9000, 9100),
        body("e1", "e", 510, 511),
    ],
    jobs={
        "a": JobSeen(JobStatus.FINISHED, 1, (entry("a1", "a", 13),)),
        "b": JobSeen(
            JobStatus.FINISHED,
            1,
            (retried("b1", "b", 8000, Reason.ABANDONED), entry("b2", "b", 9101, attempt=2, worker_name="w2")),
        ),
        "c": JobSeen(JobStatus.CANCELED, 1, ()),
        "e": JobSeen(JobStatus.FINISHED, 1, (entry("e1", "e", 512),)),
    },
    acts=[Act("cancel", "c", "canceled", T0 + 5), Act("delete", "d", "ok", T0 + 6)],
    waits=[Wait("a", "", "a", T0 + 14, T0 + 5)],
    strikes=[Strike("parent", "w1", T0 + 500, T0 + 6500)],
    exits=[Exit("w2", 0, 0.3, asked=True)],
    counts={"finished": 3, "canceled": 1},
    tally={"finished": 3, "canceled": 1},
    idle=True,
)


def of_slot(key: str, seconds: float) -> str:
    return f"{key}@{slot_text(int(T0 + 1000 * seconds))}"


def with_slots(
    seconds: Sequence[float] = (1.0, 1.5, 2.0, 2.5, 3.0),
    *,
    policy: str = "all",
    fired: int | None = None,
    missed: int = 0,
    next_ms: int | None = None,
    limit: int | None = None,
    kept: Sequence[Kept] = (),
    more: Mapping[str, JobSeen] | None = None,
) -> Evidence:
    """A schedule of every 0.5 s from the first to the third second, that has made jobs of these slots."""
    slots = [int(T0 + 1000 * at) for at in seconds]
    jobs = {
        f"s@{slot_text(slot)}": JobSeen(JobStatus.FINISHED, 1, (entry(f"s{slot}", f"s@{slot_text(slot)}", 4000),), slot)
        for slot in slots
    }
    seen = ScheduleSeen(len(slots) if fired is None else fired, missed, next_ms, ())
    made = {**jobs, **(more or {})}
    return replace(
        SOUND,
        orders={**SOUND.orders, **{job_id: Order(job_id, "quick") for job_id in made}},
        jobs={**SOUND.jobs, **made},
        bodies=[
            *SOUND.bodies,
            *(body(f"s{slot}", f"s@{slot_text(slot)}", slot - T0 + 1, slot - T0 + 2) for slot in slots),
        ],
        standing={"s": StandingOrder("s", policy, 0.5, by_cron=False, start_s=1.0, end_s=3.2, limit=limit)},
        opened_ms=int(T0),
        closed_ms=int(T0) + 5000,
        kept=[Kept("put", "s", T0, T0 + 1, int(T0) + 1000), *kept],
        schedules={"s": seen},
    )


FOUR: Final = (1.0, 1.5, 2.5, 3.0)
PAUSED: Final = (
    Kept("pause", "s", T0 + 1600, T0 + 1601, int(T0) + 2000),
    Kept("resume", "s", T0 + 2200, T0 + 2201, int(T0) + 2500),
)


def with_job(job_id: str, **changes: Any) -> Evidence:
    return replace(SOUND, jobs={**SOUND.jobs, job_id: SOUND.jobs[job_id]._replace(**changes)})


def with_order(job_id: str, **changes: Any) -> Evidence:
    return replace(SOUND, orders={**SOUND.orders, job_id: replace(SOUND.orders[job_id], **changes)})


def with_bodies(*bodies: Body) -> Evidence:
    return replace(SOUND, bodies=[*SOUND.bodies, *bodies])


def without_job(job_id: str, **more: Any) -> Evidence:
    return replace(SOUND, jobs={name: job for name, job in SOUND.jobs.items() if name != job_id}, **more)


def with_wait(job_id: str, error: str, value: object = None, **more: Any) -> Evidence:
    return replace(SOUND, waits=[Wait(job_id, error, value, T0 + 14, T0 + 5)], **more)


def with_rivals(
    *, ended_ms: int = 40, sent_ms: float = 60, first: Mapping[str, Any] | None = None, **second: Any
) -> Any:
    """Two quick jobs of the key k. x was sent at once and ran from 30 ms on; y was sent at `sent_ms`, and ran 20 ms
    later. `first` and the rest are what their orders say beside that."""
    given: dict[str, Any] = {"unique": "k", **(first or {})}
    ran = sent_ms + 20
    return replace(
        SOUND,
        orders={**SOUND.orders, "x": Order("x", "quick", **given), "y": Order("y", "quick", unique="k", **second)},
        acked={**SOUND.acked, "x": Acked(T0, T0 + 1), "y": Acked(T0 + sent_ms, T0 + sent_ms + 1)},
        bodies=[*SOUND.bodies, body("x1", "x", 30, ended_ms), body("y1", "y", ran, ran + 5)],
        jobs={
            **SOUND.jobs,
            "x": JobSeen(JobStatus.FINISHED, 1, (entry("x1", "x", ended_ms + 1),)),
            "y": JobSeen(JobStatus.FINISHED, 1, (entry("y1", "y", int(ran) + 6),)),
        },
        strikes=[],
        tally={"finished": 5, "canceled": 1},
        counts={"finished": 5, "canceled": 1},
    )


def with_shared(*waits: Wait, **changes: Any) -> Evidence:
    """A job z that many ask for: its first cycle returned at 40 ms, its second one at 80 ms."""
    first = entry("z1", "z", 41, value=pack(signature("z", "z1")))
    second = entry("z2", "z", 81, value=pack(signature("z", "z2")), cycle=2)
    made = replace(
        SOUND,
        orders={**SOUND.orders, "z": Order("z", "signed", shared=True)},
        acked={**SOUND.acked, "z": Acked(T0, T0 + 1)},
        bodies=[*SOUND.bodies, body("z1", "z", 30, 40), body("z2", "z", 70, 80)],
        jobs={**SOUND.jobs, "z": JobSeen(JobStatus.FINISHED, 2, (first, second))},
        waits=[*SOUND.waits, *waits],
        tally={"finished": 4, "canceled": 1},
        counts={"finished": 4, "canceled": 1},
    )
    return replace(made, **changes)


def asked_for_z(
    error: str, execution: str = "", *, at: float = 90, cycle: int = 2, how: str = "joined", **more: Any
) -> Wait:
    """Somebody who asked for z at 60 ms; `execution` is the one whose value it was told."""
    return Wait("z", error, signature("z", execution) if execution else None, T0 + at, T0 + 60, 1.0, cycle, how, **more)


def with_gathered(
    *, done: Any = (), pending: Any = (("z", 2),), at: float = 160, when: str = "ALL_COMPLETED"
) -> Evidence:
    """Somebody who waited for many jobs from 60 ms on, for 0.1 s."""
    return with_shared(gathered=[Gathered(done, pending, when, T0 + 60, T0 + at, 0.1)])


def with_kin(how: str = "cancel", /, **parent: Any) -> Evidence:
    """A job q that depends on p. p ran from 30 to 40 ms, q from 60 to 65 ms; `parent`: what is known of p otherwise."""
    made = {"status": JobStatus.FINISHED, "cycle": 1, "entries": (entry("p1", "p", 41),), "ended_ms": int(T0) + 41}
    return replace(
        SOUND,
        orders={**SOUND.orders, "p": Order("p", "quick"), "q": Order("q", "quick")},
        acked={**SOUND.acked, "p": Acked(T0, T0 + 1), "q": Acked(T0 + 2, T0 + 3)},
        needs={"q": (Need("p", how),)},
        bodies=[*SOUND.bodies, body("p1", "p", 30, 40), body("q1", "q", 60, 65)],
        jobs={
            **SOUND.jobs,
            "p": JobSeen(**{**made, **parent}),
            "q": JobSeen(JobStatus.FINISHED, 1, (entry("q1", "q", 66),)),
        },
        tally={},
        counts={},
    )


FAILED: Final = {
    "status": JobStatus.FAILED,
    "entries": (entry("p1", "p", 41, type=ResultType.FAILED, reason=Reason.ABANDONED, value=None),),
}


def with_waiting(how: str = "wait", /, **parent: Any) -> Evidence:
    """q has not run, and is deferred, since p has failed."""
    made = with_kin(how, **{**FAILED, **parent})
    return replace(
        made,
        bodies=made.bodies[:-1],
        jobs={**made.jobs, "q": JobSeen(JobStatus.DEFERRED, 1, ())},
        lists=Lists({"p": (f"7 {how[0]} q",)}, (), ("- gone p",)),
        strikes=[Strike("parent", "w1", T0, T0 + 6500)],
    )


def with_canceled(how: str = "cancel", /, **parent: Any) -> Evidence:
    """q has not run, and was canceled for a dependency."""
    made = with_waiting(how, **parent)
    return replace(
        made,
        jobs={**made.jobs, "q": JobSeen(JobStatus.CANCELED, 1, (), notice="dependency")},
        lists=Lists({}, (), ()),
    )


def with_group(*, created_ms: int = 70, begun: bool = True, seen: GroupSeen | None = None, **changes: Any) -> Evidence:
    """p and q in a group, which was complete when q had ended."""
    made = with_kin()
    calls = {"g@1": JobSeen(JobStatus.FINISHED, 1, (entry("g1", "g@1", 76),), None, int(T0) + created_ms)}
    orders = {name: replace(order, group="g" if name in "pq" else "") for name, order in made.orders.items()}
    jobs = {**made.jobs, **calls, "q": made.jobs["q"]._replace(ended_ms=int(T0) + 66)}
    found = replace(
        made,
        orders={**orders, "g@1": Order("g@1", "quick")},
        bodies=[*made.bodies, *([body("g1", "g@1", 72, 75)] if begun else [])],
        jobs=jobs,
        groups={"g": seen or GroupSeen(frozenset("pq"), 0, 1)},
    )
    return replace(found, **changes)


SAID: Final = SAYS["tells"]


def lines_of(execution: str, numbers: Sequence[int] = range(1, SAID + 1), attempt: int = 1) -> list[LogLine]:
    """What an execution has written into its log."""
    at = {"v1": 31, "v2": 61}.get(execution, 80)
    return [
        LogLine(said(execution, number), 1, attempt, clock.utc(int(T0) + at), f"{int(T0) + at}-{number}")
        for number in numbers
    ]


def at_line(number: int, attempt: int = 2) -> Progress:
    return Progress(number, SAID, None, "lines", "", 1, attempt, clock.utc(int(T0)), f"{int(T0) + 62}-{number}")


V1, V2 = lines_of("v1", range(1, 8)), lines_of("v2", attempt=2)
VERBS_OF_V: Final = ("enqueue queued", "claim started 1", "retry queued 1", "claim started 2", "finish finished 2")


def event(number: int, job_id: str, text: str, *, queue: str = "a", reason: str | None = None) -> Event:
    """The one that happened 10 ms after the one before; text: verb, status and attempt."""
    verb, status, attempt = (text + " 0").split(" ")[:3]
    worker = "w1" if verb in ("claim", "finish", "fail", "retry") else None
    at = int(T0) + 10 * number
    to = None if status == "-" else JobStatus(status)
    return Event(f"{at}-0", verb, job_id, queue, to, 1, int(attempt), reason, worker, clock.utc(at))


OF_V: Final = [event(at, "v", text, reason="killed" if at == 2 else None) for at, text in enumerate(VERBS_OF_V)]


def with_teller(
    lines: Sequence[LogLine] = (*V1, *V2),
    progress: Progress | None = at_line(SAID),  # noqa: B008  # a value
    *,
    events: Sequence[Event] = OF_V,
    kept: Sequence[Event] | None = None,
    **changes: Any,
) -> Evidence:
    """A job v whose first execution was killed after seven lines, and whose second one returned."""
    first = retried("v1", "v", 20, Reason.KILLED)
    last = entry("v2", "v", 70, attempt=2)
    made = replace(
        SOUND,
        orders={"v": Order("v", "tells", retries=2)},
        acked={"v": Acked(T0, T0 + 1)},
        bodies=[body("v1", "v", 12), body("v2", "v", 35, 39)],
        jobs={"v": JobSeen(JobStatus.FINISHED, 1, (first, last))},
        acts=(),
        waits=(),
        strikes=[Strike("horse", "w1", T0 + 10, T0 + 20)],
        tally={},
        counts={},
        told=[ToldSeen("v", tuple(lines), progress, at_the_end=True)],
        heard=[Heard("a", tuple(events), tuple(events if kept is None else kept))],
    )
    return replace(made, **changes)


def with_watcher(news: Sequence[News] | None = None, *, at: float = 72, cycle: int = 1) -> Evidence:
    """Somebody watched v from 30 ms on, for a second."""
    made, given = with_teller(), tuple(news_of_v() if news is None else news)
    return replace(made, watched=[Watched("v", cycle, given, T0 + 30, T0 + at, 1.0)])


def news_of_v(*events: Event) -> list[News]:
    """All that a watcher may be given of v, behind some events."""
    first, last = results_of_v()
    return [*cast(list[News], list(events)), *V1, first, at_line(3), *V2, at_line(SAID), last]


def results_of_v() -> list[News]:
    return [Result(one) for one in with_teller().jobs["v"].entries]


CLEAN: Final = Sweep(0.0, "clean", frozenset({JobStatus.FAILED}), limit=10)
RUN_AGAIN: Final = Sweep(0.0, "requeue", frozenset({JobStatus.FAILED}), reason="exception")
RAZE: Final = Sweep(0.0, "raze", options={"force": True})


def with_sweeps(*swept: Swept, then: Sequence[str] = ("delete -",), **changes: Any) -> Evidence:
    """A job u of the swept queue, which has failed after 20 ms; what becomes of it begins after 30 ms."""
    way = ("enqueue queued", "claim started 1", "fail failed 1", *then)
    told = [
        event(at, "u", text, queue=SWEPT, reason="exception" if text.startswith("fail") else None)
        for at, text in enumerate(way)
    ]
    heard = [Heard(SWEPT, tuple(told), tuple(told))]
    made = replace(SOUND, orders={**SOUND.orders, "u": Order("u", "system_exit", SWEPT)}, swept=swept, heard=heard)
    return replace(made, **changes)


def swept(sweep: Sweep, sent_ms: float = 29, at_ms: float = 31, count: int = 1, error: str = "") -> Swept:
    return Swept(sweep, T0 + sent_ms, T0 + at_ms, count, error)


def with_razed(*, began_ms: float = 40, **changes: Any) -> Evidence:
    """A job r of the queue that was obliterated after 60 ms."""
    return replace(
        SOUND,
        orders={**SOUND.orders, "r": Order("r", "quick", RAZED)},
        acked={**SOUND.acked, "r": Acked(T0, T0 + 1)},
        bodies=[*SOUND.bodies, body("r1", "r", began_ms, began_ms + 1)],
        acts=[*SOUND.acts, Act("delete", "r", "ok", T0 + 60)],
        swept=[swept(RAZE, 60, 62)],
        **changes,
    )


A, B1, B2 = SOUND.jobs["a"].entries[0], *SOUND.jobs["b"].entries

TAMPERED: Final[dict[str, tuple[str, Callable[[], Evidence]]]] = {
    "a job is gone": ("INV-1", lambda: without_job("a")),
    "one is gone that was to be kept not at all, and never returned": (
        "INV-1",
        lambda: replace(with_order("d", result_ttl=0.0), acts=SOUND.acts[:1]),
    ),
    "a job is stuck": ("INV-2", lambda: with_job("c", status=JobStatus.QUEUED)),
    "an index disagrees": ("INV-3", lambda: replace(SOUND, unsound=["a is at home in two places"])),
    "an execution has no entry": ("INV-4", lambda: with_bodies(body("a0", "a", 5))),
    "an execution has two entries": ("INV-4", lambda: with_job("a", entries=(A, A))),
    "there are eleven entries": (
        "INV-4",
        lambda: with_job("a", entries=tuple(entry(f"a{n}", "a", n, attempt=n) for n in range(1, 12))),
    ),
    "an entry has no execution, and it was no crash": ("INV-4", lambda: replace(SOUND, bodies=SOUND.bodies[1:])),
    "an entry of a crash has no execution, and there was no fault": (
        "INV-4",
        lambda: replace(SOUND, bodies=[b for b in SOUND.bodies if b.execution != "b1"], strikes=[]),
    ),
    "entries are out of order": ("INV-5", lambda: with_job("b", entries=(B2._replace(attempt=1), B1))),
    "an attempt is missing": ("INV-5", lambda: with_job("b", entries=(B1, B2._replace(attempt=3)))),
    "the first attempt is missing": ("INV-5", lambda: with_job("b", entries=(B2,))),
    "the status is not that of the last entry": ("INV-5", lambda: with_job("a", status=JobStatus.FAILED)),
    "an expired job has run": ("INV-5", lambda: with_job("a", status=JobStatus.EXPIRED)),
    "a job runs beside itself": ("INV-6", lambda: with_bodies(body("b3", "b", 9050, 9200))),
    "what returned was abandoned, and there was no fault": (
        "INV-7",
        lambda: replace(SOUND, bodies=[*SOUND.bodies[:1], body("b1", "b", 20, 30), *SOUND.bodies[2:]], strikes=[]),
    ),
    "a finished job never returned": ("INV-8", lambda: replace(SOUND, bodies=SOUND.bodies[1:])),
    "a value is that of another job": ("INV-8", lambda: with_job("a", entries=(A._replace(value=pack("b")),))),
    "a value is missing": ("INV-8", lambda: with_job("a", entries=(A._replace(value=None),))),
    "a job succeeds that cannot": ("INV-8", lambda: with_order("a", kind="exit")),
    "a job fails that cannot": (
        "INV-8",
        lambda: with_job(
            "a",
            status=JobStatus.FAILED,
            entries=(A._replace(type=ResultType.FAILED, reason=Reason.EXCEPTION, value=None),),
        ),
    ),
    "a job fails by a crash without a fault": (
        "INV-8",
        lambda: replace(
            with_job(
                "a",
                status=JobStatus.FAILED,
                entries=(A._replace(type=ResultType.FAILED, reason=Reason.KILLED, value=None),),
            ),
            strikes=[],
        ),
    ),
    "there is an attempt too many": ("INV-9", lambda: with_order("b", retries=0)),
    "it crashes too often in a row": (
        "INV-9",
        lambda: with_job(
            "b", entries=tuple(retried(f"b{n}", "b", 8000 + n, Reason.KILLED, attempt=n) for n in range(1, 4))
        ),
    ),
    "a key is left": ("INV-10", lambda: replace(SOUND, leaks=["{x}:results:a"])),
    "a job that was refused began and is nowhere": (
        "INV-11",
        lambda: without_job(
            "a", refused={"a": "ConnectionError"}, acked={k: v for k, v in SOUND.acked.items() if k != "a"}
        ),
    ),
    "the same call once more was a new job": (
        "INV-11",
        lambda: replace(SOUND, acked={**SOUND.acked, "a": Acked(T0, T0 + 1, "duplicate")}),
    ),
    "a waiter gets another job's value": ("INV-12", lambda: with_wait("a", "", "b")),
    "a waiter gets a value where there is none": ("INV-12", lambda: with_wait("c", "", "c")),
    "a waiter hears of a failure that was none": ("INV-12", lambda: with_wait("a", "JobFailed")),
    "a waiter hears that nobody canceled": ("INV-12", lambda: with_wait("a", "JobCanceled")),
    "a waiter hears that it has expired": ("INV-12", lambda: with_wait("a", "JobExpired")),
    "a waiter hears that it is gone": ("INV-12", lambda: with_wait("a", "NoSuchJobError")),
    "a waiter hears that the value was not kept": ("INV-12", lambda: with_wait("a", "ResultNotStored")),
    "a waiter is never told": ("INV-12", lambda: with_wait("a", "WaitTimeout")),
    "a waiter loses its connection, and the network was well": ("INV-12", lambda: with_wait("a", "ConnectionError")),
    "a waiter gets the value of the cycle before": ("INV-12", lambda: with_shared(asked_for_z("", "z1"))),
    "a waiter gets a value that no body has returned": ("INV-12", lambda: with_shared(asked_for_z("", "z3", cycle=0))),
    "a waiter gets a value before its body has ended": ("INV-12", lambda: with_shared(asked_for_z("", "z2", at=75))),
    "a waiter gives up early": ("INV-12", lambda: with_shared(asked_for_z("WaitTimeout", at=90, cycle=0))),
    "a waiter gives up though its job had ended": ("INV-12", lambda: with_shared(asked_for_z("WaitTimeout", at=1100))),
    "a waiter waits longer than it wanted": (
        "INV-12",
        lambda: with_shared(asked_for_z("WaitTimeout", at=1060 + 4000, cycle=3)),
    ),
    "a waiter hears of a failure of what succeeded": (
        "INV-12",
        lambda: with_shared(asked_for_z("JobFailed", at=90, cycle=0)._replace(execution="z2")),
    ),
    "a waiter hears of a failure of the cycle before": (
        "INV-12",
        lambda: with_shared(
            asked_for_z("JobFailed")._replace(execution="z1"),
            jobs={"z": JobSeen(JobStatus.FAILED, 1, (entry("z1", "z", 41, type=ResultType.FAILED),))},
        ),
    ),
    "a waiter hears that nobody stopped": ("INV-12", lambda: with_shared(asked_for_z("JobStopped"))),
    "a waiter waits for what nobody has enqueued": (
        "INV-12",
        lambda: replace(SOUND, waits=[Wait("nobody", "", "a", T0 + 14, T0 + 5)]),
    ),
    "an atomic call that was refused leaves a job": (
        "INV-11",
        lambda: replace(SOUND, batches=[Batch(("a", "q"), "EnqueueManyError")]),
    ),
    "an atomic call that was cut leaves a part of its jobs": (
        "INV-11",
        lambda: replace(
            SOUND, orders={**SOUND.orders, "q": Order("q", "quick")}, batches=[Batch(("a", "q"), "ConnectionError")]
        ),
    ),
    "two living jobs have one key": ("INV-24", lambda: replace(SOUND, holdings=[Holding("k0", ("a", "b"), "a")])),
    "a living job does not hold its key": ("INV-24", lambda: replace(SOUND, holdings=[Holding("k0", ("a",), "")])),
    "a job that does not live holds a key": ("INV-24", lambda: replace(SOUND, holdings=[Holding("k0", (), "a")])),
    "a key is never let go": ("INV-25", lambda: replace(SOUND, unreleased=["{x}:unique:k0"])),
    "bodies of a key overlap": ("INV-26", lambda: with_rivals(ended_ms=90)),
    "bodies of a key overlap for longer than it takes to kill one": (
        "INV-26",
        lambda: replace(with_rivals(ended_ms=5000), acts=[Act("delete", "x", "ok", T0 + 35)]),
    ),
    "an enqueue is refused for the sake of no job": (
        "INV-27",
        lambda: replace(SOUND, denied=[Denied("a", "nobody", T0, T0 + 1)]),
    ),
    "an enqueue is refused for the sake of a job with another key": (
        "INV-27",
        lambda: replace(with_rivals(), denied=[Denied("y", "a", T0 + 5, T0 + 6)]),
    ),
    "an enqueue is refused for the sake of a job that has ended": (
        "INV-27",
        lambda: replace(with_rivals(), denied=[Denied("y", "x", T0 + 50, T0 + 51)]),
    ),
    "an enqueue is refused for the sake of a job that is to come": (
        "INV-27",
        lambda: replace(with_rivals(), denied=[Denied("x", "y", T0 + 5, T0 + 6)]),
    ),
    "an enqueue is refused when the time of a key is over": (
        "INV-27",
        lambda: replace(with_rivals(first={"unique_for": 0.01}), denied=[Denied("y", "x", T0 + 20, T0 + 21)]),
    ),
    "a job that has ended is given": (
        "INV-27",
        lambda: replace(with_rivals(), given=[Given("y", "x", "held", T0 + 50, T0 + 51)]),
    ),
    "who asks for a job gets the other one that has its key": (
        "INV-27",
        lambda: replace(with_rivals(), given=[Given("y", "x", "joined", T0 + 20, T0 + 21)]),
    ),
    "a value is called cached that no body had returned": (
        "INV-27",
        lambda: with_shared(asked_for_z("", "z2", how="cached")),
    ),
    "a job is called cached and has no value": (
        "INV-27",
        lambda: with_shared(asked_for_z("WaitTimeout", at=1100, how="cached", cycle=0)),
    ),
    "a job is called cached and has failed": ("INV-27", lambda: with_shared(asked_for_z("JobFailed", how="cached"))),
    "a replaced job begins": ("INV-28", lambda: with_rivals(sent_ms=10, wish="replace")),
    "many are waited for too long": ("INV-30", lambda: with_gathered(at=5000)),
    "one of many is called done before its end": ("INV-30", lambda: with_gathered(done=(("z", 2),), pending=(), at=75)),
    "one of many is called pending after its end": ("INV-30", lambda: with_gathered()),
    "who waits for many gives up early": ("INV-30", lambda: with_gathered(pending=(("z", 3),), at=75)),
    "who waits for one of many gives up early": (
        "INV-30",
        lambda: with_gathered(pending=(("z", 3),), at=75, when="FIRST_COMPLETED"),
    ),
    "a key goes to another job before its time": ("INV-29", lambda: with_rivals(first={"unique_for": 0.3})),
    "a job is canceled by nobody": ("INV-13", lambda: replace(SOUND, acts=SOUND.acts[1:])),
    "a job is stopped by nobody": (
        "INV-13",
        lambda: with_job(
            "a",
            status=JobStatus.STOPPED,
            entries=(A._replace(type=ResultType.STOPPED, reason=Reason.STOPPED, value=None),),
        ),
    ),
    "a job is canceled by nobody while it runs": (
        "INV-13",
        lambda: with_job(
            "a",
            status=JobStatus.CANCELED,
            entries=(A._replace(type=ResultType.STOPPED, reason=Reason.CANCELED, value=None),),
        ),
    ),
    "a canceled job begins": ("INV-13", lambda: with_bodies(body("c1", "c", 50, 51))),
    "a worker ends by itself": ("INV-14", lambda: replace(SOUND, exits=[Exit("w1", 1, 0.0, asked=False)])),
    "a worker ends badly": ("INV-14", lambda: replace(SOUND, exits=[Exit("w1", 1, 0.3, asked=True)])),
    "a worker ends with unwritten outcomes": (
        "INV-14",
        lambda: replace(SOUND, exits=[Exit("w1", 75, 1.0, asked=True)]),
    ),
    "a worker does not end": ("INV-14", lambda: replace(SOUND, exits=[Exit("w1", None, 30.0, asked=True)])),
    "a process outlives its worker": ("INV-14", lambda: replace(SOUND, orphans=["process 7"])),
    "a due job begins early": ("INV-17", lambda: with_order("e", delay=0.6)),
    "a due job begins late": ("INV-17", lambda: with_order("e", delay=0.4)),
    "a slot is missing": ("INV-16", lambda: with_slots(FOUR)),
    "a slot is missing that was caught up by nobody and is not counted": (
        "INV-16",
        lambda: with_slots(FOUR, policy="skip"),
    ),
    "a slot is a job twice": (
        "INV-16",
        lambda: with_slots(fired=6, more={"s@twice": JobSeen(JobStatus.FINISHED, 1, (), int(T0) + 2000)}),
    ),
    "a slot was enqueued twice": (
        "INV-16",
        lambda: with_slots(FOUR, fired=5, more={of_slot("s", 2.0): JobSeen(JobStatus.FINISHED, 2, (), int(T0) + 2000)}),
    ),
    "a slot was fired twice": ("INV-16", lambda: with_slots(fired=6)),
    "a fire is told twice": (
        "INV-16",
        lambda: replace(
            with_slots(),
            schedules={"s": ScheduleSeen(5, 0, None, (FireRecord(int(T0) + 2000, of_slot("s", 2.0), 0),) * 2)},
        ),
    ),
    "a job stands for a slot that is none": ("INV-16", lambda: with_slots((1.0, 1.5, 2.0, 2.2, 2.5, 3.0))),
    "a job stands for a slot after the end": ("INV-16", lambda: with_slots((1.0, 1.5, 2.0, 2.5, 3.0, 3.5))),
    "a paused schedule fires": ("INV-16", lambda: with_slots(kept=PAUSED)),
    "a slot is missing after a pause": ("INV-16", lambda: with_slots((1.0, 1.5, 3.0), kept=PAUSED)),
    "there are more jobs than the limit": ("INV-16", lambda: with_slots(policy="limit", limit=4)),
    "a limit is not reached": ("INV-16", lambda: with_slots(policy="limit", limit=6)),
    "a slot is missed that must fire": ("INV-16", lambda: with_slots(missed=1)),
    "a slot is waited for": ("INV-16", lambda: with_slots(FOUR[:-1], next_ms=int(T0) + 3000)),
    "a schedule is gone": ("INV-16", lambda: replace(with_slots(), schedules={})),
    "a job of a slot is gone": ("INV-16", lambda: with_bodies(body("g1", of_slot("s", 1.0), 1001, 1002))),
    "a slot begins late": (
        "INV-17",
        lambda: replace(with_slots(FOUR), bodies=[body("s1", of_slot("s", 1.0), 1100, 1101)]),
    ),
    "a slot begins early": (
        "INV-17",
        lambda: replace(with_slots(FOUR), bodies=[body("s1", of_slot("s", 1.0), 900, 901)]),
    ),
    "a callback is called twice": ("INV-19", lambda: replace(SOUND, calls=[Told("called", "a", "a1", 100, 1, 1)] * 2)),
    "a callback follows nothing": ("INV-19", lambda: replace(SOUND, calls=[Told("called", "b", "b1", 100, 1, 1)])),
    "a waiter is told late": ("INV-12", lambda: replace(SOUND, waits=[Wait("a", "", "a", T0 + 9000, T0 + 5)])),
    "a permit is left": ("INV-20", lambda: replace(SOUND, permits=["{x}:holders:one"])),
    "two are started where one may be": ("INV-21", lambda: replace(SOUND, started={"one": 2})),
    "a body runs beside another of its key": (
        "INV-21",
        lambda: replace(
            with_order("a", limit="one"), bodies=[body("a1", "a", 10, 90), body("a2", "a", 20, 30)], strikes=[]
        ),
    ),
    "starts come too fast": (
        "INV-22",
        lambda: replace(with_order("a", limit="even"), claims=[Claim("a", "a", int(T0) + at, "a1") for at in (0, 30)]),
    ),
    "a paused queue is claimed from": (
        "INV-23",
        lambda: replace(SOUND, held=[Held("a", T0, T0 + 500)], claims=[Claim("a", "a", int(T0) + 200, "a1")]),
    ),
    "a job is claimed while all is suspended": (
        "INV-23",
        lambda: replace(SOUND, held=[Held("", T0, T0 + 500)], claims=[Claim("a", "b", int(T0) + 200, "a1")]),
    ),
    "a dependent begins before its parent has ended": (
        "INV-15",
        lambda: with_kin(entries=(entry("p1", "p", 80),)),
    ),
    "a dependent runs though its parent failed": ("INV-15", lambda: with_kin(**FAILED)),
    "a dependent runs though its parent was canceled": (
        "INV-15",
        lambda: with_kin(status=JobStatus.CANCELED, entries=()),
    ),
    "a dependent that runs in any case does so before its parent was canceled": (
        "INV-15",
        lambda: with_kin("run", status=JobStatus.CANCELED, entries=(), ended_ms=int(T0) + 80),
    ),
    "a dependent is deferred for a parent that finished": (
        "INV-2",
        lambda: with_waiting(status=JobStatus.FINISHED, entries=(entry("p1", "p", 41),)),
    ),
    "a dependent is deferred that was to be canceled": ("INV-2", lambda: with_waiting("cancel")),
    "a job that finished is waited for": (
        "INV-31",
        lambda: replace(with_kin(), lists=Lists({"p": ("7 c q",)}, (), ())),
    ),
    "a job that is gone is waited for": ("INV-31", lambda: replace(SOUND, lists=Lists({"p": ("7 c q",)}, (), ()))),
    "nobody was told that a job has failed": (
        "INV-31",
        lambda: replace(with_waiting(), lists=Lists({"p": ("7 c q",)}, (), ())),
    ),
    "a list is left": ("INV-31", lambda: replace(SOUND, lists=Lists({}, ("{x}:telling:7",), ()))),
    "an end is to be told": ("INV-31", lambda: replace(SOUND, lists=Lists({}, (), ("7 finished a",)))),
    "a producer adds to a group for ever": ("INV-31", lambda: replace(SOUND, lists=Lists({}, (), ("- open g",)))),
    "a job is to be looked at for whom nobody waits": (
        "INV-31",
        lambda: replace(SOUND, lists=Lists({}, (), ("- gone a",))),
    ),
    "a job is canceled for a parent that finished": (
        "INV-32",
        lambda: with_canceled(status=JobStatus.FINISHED, entries=(entry("p1", "p", 41),)),
    ),
    "a job is canceled for a parent whose failure was to be no matter": ("INV-32", lambda: with_canceled("run")),
    "a job is canceled for a parent that is kept": ("INV-32", lambda: with_canceled("wait")),
    "a job is canceled for a dependency, and has none": ("INV-32", lambda: replace(with_canceled(), needs={})),
    "a group is gone": ("INV-33", lambda: with_group(groups={"g": None})),
    "a group does not know one of its jobs": ("INV-33", lambda: with_group(seen=GroupSeen(frozenset("p"), 0, 1))),
    "a group is not complete": ("INV-33", lambda: with_group(seen=GroupSeen(frozenset("pq"), 1, 1))),
    "a callback of a group is missing": ("INV-33", lambda: with_group(seen=GroupSeen(frozenset("pq"), 0, 2))),
    "a callback of a group comes early": ("INV-33", lambda: with_group(created_ms=50)),
    "a callback of a group never begins": ("INV-33", lambda: with_group(begun=False)),
    "a group was complete, and again, and its callback came once": (
        "INV-33",
        lambda: with_group(
            created_ms=50,
            acked={**SOUND.acked, "p": Acked(T0, T0 + 1), "q": Acked(T0 + 50, T0 + 52)},
        ),
    ),
    "an enqueue is refused for the sake of a parent that is there": (
        "INV-34",
        lambda: replace(with_canceled(), orphaned=[Orphaned("q", "p")]),
    ),
    "an enqueue is refused for the sake of a job it does not depend on": (
        "INV-34",
        lambda: replace(SOUND, orphaned=[Orphaned("q", "d")]),
    ),
    "an enqueue is refused for the sake of a parent and leaves a job": (
        "INV-34",
        lambda: replace(with_kin(), acts=[*SOUND.acts, Act("delete", "p", "ok", T0)], orphaned=[Orphaned("q", "p")]),
    ),
    "a line is missing": ("INV-35", lambda: with_teller([*V1[:3], *V1[4:], *V2])),
    "a line is there twice": ("INV-35", lambda: with_teller([*V1, *V1[-1:], *V2])),
    "the first line is missing": ("INV-35", lambda: with_teller([*V1[1:], *V2])),
    "the last line is missing": ("INV-35", lambda: with_teller([*V1, *V2[:-1]])),
    "lines stand in the order of no executions": ("INV-35", lambda: with_teller([*V2, *V1])),
    "lines of an execution stand in two places": ("INV-35", lambda: with_teller([*V1[:3], *V2, *V1[3:]])),
    "a line says that it is of another attempt": ("INV-35", lambda: with_teller([*V1, *lines_of("v2")])),
    "a log is too long": ("INV-35", lambda: with_teller(lines_of("v2", range(1, 1002), attempt=2))),
    "the last progress is missing": ("INV-35", lambda: with_teller(progress=at_line(SAID - 1))),
    "there is no progress": ("INV-35", lambda: with_teller(progress=None)),
    "the progress is that of an attempt before": ("INV-35", lambda: with_teller(progress=at_line(SAID, attempt=1))),
    "a watcher misses a line": (
        "INV-36",
        lambda: with_watcher([*V1, results_of_v()[0], *V2[:3], *V2[4:], at_line(SAID), results_of_v()[1]]),
    ),
    "a watcher is given a line twice": (
        "INV-36",
        lambda: with_watcher([*V1, *V1, results_of_v()[0], *V2, at_line(SAID), results_of_v()[1]]),
    ),
    "a watcher misses the last progress": ("INV-36", lambda: with_watcher([*V1, *V2, at_line(3), results_of_v()[1]])),
    "a watcher sees progress go back": (
        "INV-36",
        lambda: with_watcher([*V1, *V2, at_line(9), at_line(3), at_line(SAID), results_of_v()[1]]),
    ),
    "a watcher is told something after the end": (
        "INV-36",
        lambda: with_watcher([*V1, *V2, results_of_v()[1], at_line(SAID)]),
    ),
    "a watcher is told a result twice": (
        "INV-36",
        lambda: with_watcher([*V1, *results_of_v()[:1] * 2, *V2, at_line(SAID), results_of_v()[1]]),
    ),
    "a watcher is given an event twice": ("INV-36", lambda: with_watcher(news_of_v(OF_V[1], OF_V[1]))),
    "a watcher is given an event of another job": (
        "INV-36",
        lambda: with_watcher(news_of_v(OF_V[1]._replace(job_id="a"))),
    ),
    "a watcher is left before the end": ("INV-36", lambda: with_watcher([*V1])),
    "a watcher is told of another cycle": ("INV-36", lambda: with_watcher(cycle=2)),
    "a watcher is told late": ("INV-36", lambda: with_watcher(at=9000)),
    "an event is told twice": ("INV-37", lambda: with_teller(events=[*OF_V[:2], OF_V[1], *OF_V[2:]], kept=OF_V)),
    "events are told in another order": (
        "INV-37",
        lambda: with_teller(events=[OF_V[1], OF_V[0], *OF_V[2:]], kept=OF_V),
    ),
    "an event is missing": ("INV-37", lambda: with_teller(events=[*OF_V[:2], *OF_V[3:]], kept=OF_V)),
    "the last event is missing": ("INV-37", lambda: with_teller(events=OF_V[:-1], kept=OF_V)),
    "an event is told of which nothing is kept": ("INV-37", lambda: with_teller(kept=[*OF_V[:2], *OF_V[3:]])),
    "a reader is told of a gap where there is none": (
        "INV-37",
        lambda: with_teller(events=[*OF_V[:2], OF_V[2]._replace(missed=True), *OF_V[3:]], kept=OF_V),
    ),
    "events tell a way that is none": ("INV-37", lambda: with_teller(events=[OF_V[0], *OF_V[2:]])),
    "the last event says something else than the job": ("INV-37", lambda: with_teller(events=OF_V[:-1])),
    "an execution has no event": ("INV-38", lambda: with_teller(events=[*OF_V[:2], *OF_V[3:]])),
    "an event gives another reason": (
        "INV-38",
        lambda: with_teller(events=[*OF_V[:2], OF_V[2]._replace(reason="timeout"), *OF_V[3:]]),
    ),
    "a job is cleaned that had not failed": (
        "INV-39",
        lambda: with_sweeps(swept(replace(CLEAN, statuses=frozenset({JobStatus.FINISHED})))),
    ),
    "a job is cleaned that is too young": ("INV-39", lambda: with_sweeps(swept(replace(CLEAN, older_s=0.5)))),
    "a job is deleted by nobody": ("INV-39", with_sweeps),
    "a job is deleted that was to be run again": ("INV-39", lambda: with_sweeps(swept(RUN_AGAIN))),
    "a job is run again that failed in another way": (
        "INV-39",
        lambda: with_sweeps(swept(replace(RUN_AGAIN, reason="timeout")), then=["requeue queued"]),
    ),
    "a job is run again that is of another kind": (
        "INV-39",
        lambda: with_sweeps(swept(replace(RUN_AGAIN, kinds=frozenset())), then=["requeue queued"]),
    ),
    "a call counts more than it does": ("INV-39", lambda: with_sweeps(swept(CLEAN, count=2))),
    "a call counts less than it does": ("INV-39", lambda: with_sweeps(swept(CLEAN, count=0))),
    "a call takes more than its limit": ("INV-39", lambda: with_sweeps(swept(replace(CLEAN, limit=0)))),
    "a call takes a job twice": (
        "INV-39",
        lambda: with_sweeps(
            swept(RUN_AGAIN, 20, 90, count=2),
            then=["requeue queued", "claim started 1", "fail failed 1", "requeue queued"],
        ),
    ),
    "a call leaves what it was to take": ("INV-39", lambda: with_sweeps(swept(CLEAN, count=0), then=[])),
    "something is left of what was razed": ("INV-40", lambda: with_razed(remains=["{x}:queued:d"])),
    "a job begins that was razed": ("INV-40", lambda: with_razed(began_ms=3000)),
    "a count is wrong": ("INV-18", lambda: replace(SOUND, counts={"finished": 4, "canceled": 1})),
}


def test_sound_evidence_violates_nothing() -> None:
    assert violations(SOUND) == {}


@pytest.mark.parametrize("tampering", TAMPERED)
def test_evidence_that_was_tampered_with_is_caught_by_the_invariant_that_is_meant(tampering: str) -> None:
    name, made = TAMPERED[tampering]
    assert name in violations(made())


def test_every_invariant_has_evidence_that_violates_it_and_those_to_come_are_not_counted() -> None:
    assert {name for name, _ in TAMPERED.values()} == set(INVARIANTS)
    assert {*INVARIANTS, *NOT_YET} == {f"INV-{number}" for number in range(1, 41)}


@pytest.mark.parametrize(
    "evidence",
    [
        with_rivals(),
        with_rivals(first={"unique_for": 0.05}),
        with_rivals(first={"unique_for": 0.3}, wish="replace"),
        replace(with_rivals(), denied=[Denied("y", "x", T0 + 20, T0 + 21)]),
        replace(with_rivals(), given=[Given("y", "x", "held", T0 + 41, T0 + 43)]),
        replace(with_rivals(ended_ms=90), acts=[*SOUND.acts, Act("delete", "x", "ok", T0 + 35)]),
        with_shared(
            asked_for_z("", "z2"), asked_for_z("", "z1", cycle=1), asked_for_z("", "z1", cycle=1, how="cached")
        ),
        with_shared(asked_for_z("WaitTimeout", at=1070, cycle=3), asked_for_z("WaitTimeout", at=1070, cycle=0)),
        replace(
            with_shared(acts=[*SOUND.acts, Act("replace", "y", "asked", T0 + 50), Act("delete", "y", "ok", T0 + 52)]),
            orders={**with_shared().orders, "y": Order("y", "signed", shared=True)},
            given=[Given("y", "y", "joined", T0 + 50, T0 + 52)],
        ),
        with_gathered(done=(("z", 2), ("a", 1)), pending=(), at=82),
        with_gathered(done=(("z", 2),), pending=(("z", 3),), at=165),
        with_gathered(done=(("z", 1),), pending=(("z", 2),), at=65, when="FIRST_COMPLETED"),
        replace(SOUND, batches=[Batch(("a", "b"), ""), Batch(("q", "r"), "EnqueueManyError")]),
    ],
)
def test_what_is_allowed_of_ids_and_keys_violates_nothing(evidence: Evidence) -> None:
    sound = {"INV-4", "INV-7"} if evidence.strikes == [] else set()  # b was killed, and this evidence says by nobody
    assert violations(evidence).keys() <= sound


@pytest.mark.parametrize(
    "evidence",
    [
        with_kin(),
        with_kin("run", **FAILED),
        replace(with_kin(), acts=[*SOUND.acts, Act("cancel", "p", "started", T0 + 20, kin=True)]),
        replace(with_kin(**FAILED), acts=[*SOUND.acts, Act("requeue", "q", "ok", T0 + 58)]),
        with_waiting(),
        with_canceled(),
        with_group(),
        with_group(seen=GroupSeen(frozenset("pq"), 0, 1), acked={**SOUND.acked, "p": Acked(T0, T0 + 1)}),
    ],
)
def test_what_is_allowed_of_dependents_and_groups_violates_nothing(evidence: Evidence) -> None:
    kin = {"INV-15", *(f"INV-{number}" for number in range(31, 35)), "INV-2", "INV-13"}
    assert not violations(evidence).keys() & kin


@pytest.mark.parametrize(
    "evidence",
    [
        with_teller(),
        with_teller(
            [*V1, *V2[:-1]], at_line(3), strikes=[Strike("memory", "", T0, T0 + 500), Strike("horse", "w1", T0, T0)]
        ),
        with_watcher(),
        with_watcher(news_of_v(*OF_V)),
        with_watcher([*V1, results_of_v()[0], at_line(3), *V2[:5]], at=1030),
    ],
)
def test_what_is_allowed_of_what_jobs_and_events_tell_violates_nothing(evidence: Evidence) -> None:
    assert violations(evidence) == {}


@pytest.mark.parametrize(
    "evidence",
    [
        with_sweeps(swept(CLEAN)),
        with_sweeps(swept(CLEAN, at_ms=25, count=0, error="TimeoutError")),
        with_sweeps(swept(replace(CLEAN, older_s=0.5), count=0), then=[]),
        with_sweeps(swept(replace(CLEAN, limit=0), count=0), then=[]),
        with_sweeps(swept(RUN_AGAIN), then=["requeue queued"]),
        with_razed(),
    ],
)
def test_what_is_allowed_of_sweeps_violates_nothing(evidence: Evidence) -> None:
    assert not violations(evidence).keys() & {"INV-1", "INV-39", "INV-40"}


def test_what_sweeps_did_to_jobs_is_known_by_the_events_of_their_queue_and_all_of_a_razed_one_are_gone() -> None:
    made = with_sweeps(
        swept(RAZE, 40, 50), swept(RAZE, 60, 70, 0, "InvalidJobOperation"), then=["requeue queued", "delete -"]
    )
    orders = {"r": Order("r", "quick", RAZED)}
    acts = [(act.what, act.job_id, act.at_ms - T0) for act in acts_of(made.swept, made.heard, orders)]
    assert acts == [("requeue", "u", 30), ("delete", "u", 40), ("delete", "r", 40)]


def test_the_sweeps_of_a_run_follow_from_its_seed_and_are_of_all_kinds() -> None:
    assert sweeps(7, 5.0) == sweeps(7, 5.0) != sweeps(8, 5.0)
    many = [sweep for seed in range(20) for sweep in sweeps(seed, 5.0)]
    assert {sweep.what for sweep in many} == {"clean", "empty", "requeue", "raze"}
    assert {len(sweep.statuses) for sweep in many if sweep.what == "empty"} == {1, 3}
    assert all(
        any(getattr(sweep, name) for sweep in many) for name in ("older_s", "limit", "reason", "step", "cut_off")
    )


def test_who_was_deleted_with_a_parent_of_a_parent_may_be_gone() -> None:
    made = replace(with_kin(), acts=[Act("delete", "p", "ok", T0 + 5, kin=True)])
    made = replace(made, needs={**made.needs, "r": (Need("q"),)})
    assert made.cleared == {"q", "r"}


def test_what_was_claimed_before_a_pause_and_as_fast_as_a_rate_allows_violates_nothing() -> None:
    claims = [Claim("a", "a", int(T0) + at, "a1") for at in (0, 100, 600)]
    held = [Held("a", T0 + 50, T0 + 590), Held("b", T0, T0 + 900)]
    assert violations(replace(with_order("a", limit="even"), claims=claims, held=held, started={"one": 1})) == {}


@pytest.mark.parametrize(
    "evidence",
    [
        with_slots(),
        with_slots(FOUR, policy="skip", missed=1),
        with_slots((1.0, 1.5, 2.5, 3.0), kept=PAUSED),
        with_slots((1.0, 1.5, 2.0, 2.5), policy="limit", limit=4),
    ],
)
def test_a_schedule_that_did_as_it_was_told_violates_nothing(evidence: Evidence) -> None:
    assert "INV-16" not in violations(evidence)


def test_the_schedules_of_a_run_follow_from_its_seed_and_are_of_all_policies() -> None:
    assert standing_orders(7, 5.0) == standing_orders(7, 5.0) != standing_orders(8, 5.0)
    many = [order for seed in range(20) for order in standing_orders(seed, 5.0)]
    assert {order.policy for order in many} == set(POLICIES)
    assert all(
        any(getattr(order, name) for order in many) for name in ("by_cron", "limit", "pause_s", "again_s", "now_s")
    )


def test_an_overlap_is_excused_where_a_worker_was_frozen() -> None:
    frozen = replace(with_bodies(body("b3", "b", 9050, 9200)), strikes=[Strike("freeze", "w2", T0, T0 + 9000)])
    assert "INV-6" not in violations(frozen)


def test_an_overlap_of_a_key_is_excused_where_a_worker_was_frozen_and_is_on_record_as_lost() -> None:
    frozen = replace(with_rivals(ended_ms=90), strikes=[Strike("freeze", "w1", T0, T0 + 9000)])
    assert "INV-26" in violations(frozen)
    ended = entry("x1", "x", 91, type=ResultType.FAILED, reason=Reason.ABANDONED, value=None)
    lost = {**frozen.jobs, "x": JobSeen(JobStatus.FAILED, 1, (ended,))}
    assert "INV-26" not in violations(replace(frozen, jobs=lost))


def test_a_lost_connection_is_excused_where_the_server_was_killed() -> None:
    killed = replace(with_wait("a", "ConnectionError"), strikes=[*SOUND.strikes, Strike("server_kill", "", T0, T0 + 9)])
    assert violations(killed) == {}


def test_what_a_copy_of_a_horse_tells_is_not_the_body(tmp_path: Any) -> None:
    path = tmp_path / "told"
    path.write_text("begin a a1 7 1000000 5000000\nend a a1 8 2000000 6000000\nout a a1 7 3000000 7000000\n")
    (found,) = read_bodies(path)
    assert (found.ended_ns, found.left_ns, found.over_ns) == (None, 3_000_000, 3_000_000)


def test_the_jobs_of_a_run_follow_from_its_seed_and_are_of_all_kinds() -> None:
    assert orders(7, 50) == orders(7, 50) != orders(8, 50)
    many = orders(1, 2000)
    assert {order.kind for order in many} == set(KINDS)
    assert {order.act for order in many} == {"", "cancel", "stop", "delete", "requeue", "drop", "keep"}
    assert all(
        any(getattr(order, name) for order in many)
        for name in (
            "repeats",
            "delay",
            "ttl",
            "waits",
            "resend",
            "limit",
            "priority",
            "unique",
            "unique_for",
            "batch",
            "bulky",
        )
    )


def test_what_is_asked_in_a_run_follows_from_its_seed_and_is_of_all_kinds() -> None:
    def asked(seed: int) -> Any:
        return asks(seed, 5.0, shared_orders(seed), awaited_orders(seed, 40), 200)

    assert asked(7) == asked(7) != asked(8)
    known = {order.id for order in (*shared_orders(7), *awaited_orders(7, 40))}
    assert {ask.job_id for ask in asked(7)} == known
    assert {ask.what for ask in asked(7)} > {"join", "wait", "return", "replace", "watch", "latest", "gather", "stop"}
    at_once = [ask for ask in asked(7) if sum(ask.at_s == other.at_s for other in asked(7)) == ASKERS]
    assert {ask.who for ask in at_once} == set(range(ASKERS))
    assert all(any(getattr(ask, name) for ask in asked(7)) for name in ("cancels", "deadline", "timeout_s"))


def test_the_jobs_of_a_run_depend_on_others_in_all_ways() -> None:
    many = [*orders(1, 500), *(order for call in calls(1, 5.0) for order in call.orders)]
    needs = [need for order in many for need in order.needs]
    assert {need.on_failure for need in needs} == {"cancel", "run", "wait"}
    assert {need.at_front for need in needs} == {True, False}
    assert {len(order.needs) for order in many} == {0, 1, 2, 3}
    assert any(order.needs and order.delay for order in many)
    assert any(order.needs and order.batch for order in many)
    assert {order.act for order in many if order.act_kin} == {"cancel", "delete"}
    known: set[str] = set()
    for order in many:
        assert {need.job_id for need in order.needs} <= known
        known.add(order.id)


def test_families_follow_from_the_seed_and_are_chains_a_fan_told_in_steps_and_groups_that_several_fill() -> None:
    assert calls(7, 5.0) == calls(7, 5.0) != calls(8, 5.0)
    for seed in (7, 8):
        made = calls(seed, 5.0)
        assert max(len(call.orders) for call in made) > TELL_LIMIT
        groups = {call.group for call in made} - {""}
        assert len(groups) > 1
        for group in groups - {f"{seed}-gfan"}:
            assert {call.who for call in made if call.group == group} == set(range(PRODUCERS))
        assert sum(order.needs != () for call in made for order in call.orders if "chain" in order.id) > 9
    assert {call.atomic for seed in range(9) for call in calls(seed, 5.0)} == {True, False}


def test_every_fault_is_in_some_mix_and_everything_is_all_of_them() -> None:
    assert {name for mix in MIXES.values() for name in mix} == set(EVERYTHING)
    assert random.Random(1).choices(list(EVERYTHING), list(EVERYTHING.values()))
