"""The kinds of jobs of a chaos run, and what each comes to where nothing is done to it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from rqlike import RateLimit
from rqlike.dependency import Need
from rqlike.states import JobStatus
from tests.chaos.bodies import ASKED_RETRIES, LARGE, SAYS, asked_by, signature

RETURNS: Final = ""  #: in place of a reason
QUEUES: Final = ("a", "b")
SWEPT: Final = "c"  #: a queue that is cleaned, emptied, and whose dead letters are run again
RAZED: Final = "d"  #: one that is obliterated
ALL_QUEUES: Final = (*QUEUES, SWEPT, RAZED)
MAX_CRASHES: Final = 3
TIMEOUT_S: Final = 0.5
FIRED_RETRIES: Final = 20  #: of the jobs of schedules
#: What the jobs of a run may share, over all queues.
LIMITS: Final[Mapping[str, RateLimit]] = {
    limit.key: limit
    for limit in (
        RateLimit("one", 1),
        RateLimit("three", 3),
        RateLimit("rate", limit=20, per=1, burst=3),
        RateLimit("even", limit=10, per=1),
        RateLimit("both", 2, limit=15, per=1, burst=5),
    )
}
#: Unique keys: those held until the job has ended, those held for a time, and one that is held in both ways.
HELD_KEYS: Final = ("k0", "k1", "k2", "k3")
TIMED_KEYS: Final = ("t0", "t1")
MIXED_KEY: Final = "m0"
SLOTS_KEY: Final = "slots"  #: of schedules alone
UNIQUE_KEYS: Final = (*HELD_KEYS, *TIMED_KEYS, MIXED_KEY, SLOTS_KEY)
KEY_TIMES_S: Final = (0.1, 0.3, 0.6)
WISHES: Final = ("raise", "return", "replace")
SHORT_TTL_S: Final = 0.3  #: of a result that is soon gone
ASKERS: Final = 4  #: people who ask for the same jobs at once
POLICIES: Final = ("all", "skip", "patient", "limit", "once")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the body does, and the reasons with which its last execution may end; `RETURNS` is a value."""

    act: str
    ends: frozenset[str]
    weight: float
    naps: tuple[float, float] = (0.0, 0.0)
    retries: int | None = None  #: None: by the dice
    timeout: float = 60.0


def _kind(act: str, ends: str, weight: float, **more: object) -> Kind:
    return Kind(act, frozenset(ends.split(",")), weight, **more)  # type: ignore[arg-type]


KINDS: Final[Mapping[str, Kind]] = {
    "quick": _kind("nap", RETURNS, 40),
    "signed": _kind("signs", RETURNS, 6, naps=(0.0, 0.1)),
    "short": _kind("nap", RETURNS, 12, naps=(0.001, 0.05)),
    "slow": _kind("nap", RETURNS, 8, naps=(0.1, 0.6)),
    "long": _kind("nap", RETURNS, 3, naps=(1.0, 4.0), retries=3),
    "flaky": _kind("flaky", RETURNS, 4, retries=8),
    "returns_retry": _kind("returns_retry", RETURNS, 2, retries=0),
    "large": _kind("large", RETURNS, 4),
    "exit": _kind("exit", "killed", 2),
    "segfault": _kind("segfault", "killed", 1),
    "hang": _kind("hang", "timeout", 1, retries=0, timeout=TIMEOUT_S),
    "deaf": _kind("deaf", "timeout", 1, retries=0, timeout=TIMEOUT_S),
    "swallow": _kind("swallow", "timeout", 1, retries=0, timeout=TIMEOUT_S),
    "unserialisable": _kind("unserialisable", "serialization", 2),
    "recurse": _kind("recurse", "exception", 2),
    "long_traceback": _kind("long_traceback", "exception", 1),
    "system_exit": _kind("system_exit", "exception", 2),
    "fork": _kind("fork", RETURNS, 1),
    "close_all": _kind("close_all", "killed", 1),
    "vandal": _kind("vandal", RETURNS, 2),
    "tells": _kind("tells", RETURNS, 4, naps=(0.0, 0.5)),
    "tells_long": _kind("tells", RETURNS, 1, naps=(0.4, 1.2), retries=3),
    "tells_and_fails": _kind("tells_and_fails", "exception", 2, naps=(0.0, 0.3)),
    "chatty": _kind("chatty", RETURNS, 1),
    "asks": _kind("asks", RETURNS, 2, naps=(0.0, 0.2)),
    "saves": _kind("saves", RETURNS, 3, naps=(0.0, 0.3)),
}


@dataclass(frozen=True, slots=True)
class Order:
    """One job that is to be enqueued, and what is done to it afterwards."""

    id: str
    kind: str
    queue: str = QUEUES[0]
    seconds: float = 0.0
    retries: int = 0
    repeats: int = 0
    delay: float | None = None
    ttl: float | None = None
    at_front: bool = False
    result_ttl: float | None = None
    bulky: bool = False  #: its arguments lie in a key of their own
    act: str = ""  #: cancel | stop | delete | requeue | drop | keep, or nothing
    act_kin: bool = False  #: cancel: those that depend on it go on; delete: they go too
    act_after: float = 0.0  #: seconds after it was acknowledged
    waits: bool = False  #: somebody blocks on it
    resend: bool = False  #: the same call is sent twice
    calls_back: bool = False
    limit: str = ""  #: a key of LIMITS
    priority: int = 0
    unique: str = ""  #: its unique key
    unique_for: float | None = None
    wish: str = "raise"  #: where the key is held
    batch: str = ""  #: those of one name are enqueued by one call; "atomic…": all of them or none
    shared: bool = False  #: many ask for it, again and again
    awaited: bool = False  #: by the one who enqueues it, perhaps with a deadline
    needs: tuple[Need, ...] = ()  #: jobs that were ordered before
    group: str = ""

    @property
    def expires(self) -> bool:
        """Whether it may come to nothing since it was not started in time."""
        return self.ttl is not None or self.shared or self.awaited

    @property
    def fades(self) -> bool:
        """Whether it is gone soon after it has ended."""
        return self.result_ttl is not None

    @property
    def holds(self) -> str:
        """The key that it holds until it has ended; "" where there is none."""
        return self.unique if self.unique_for is None else ""

    @property
    def of(self) -> Kind:
        return KINDS[self.kind]

    @property
    def returns(self) -> bool:
        """Whether its body is to return a value."""
        return RETURNS in self.of.ends

    @property
    def says(self) -> int:
        """How many lines each execution of it writes into its log, and how far it says that it is in the end."""
        return SAYS.get(self.of.act, 0)

    def value(self, execution: str) -> str:
        """What that execution of it returns."""
        if self.of.act == "signs":
            return signature(self.id, execution)
        return self.id.ljust(LARGE, ".") if self.of.act == "large" else self.id

    def signed_by(self, value: object) -> str | None:
        """The execution that has returned this value: "" where it does not tell, None where it is no value of this
        job."""
        if self.of.act != "signs":
            return "" if value == self.value("") else None
        name, _, execution = str(value).rpartition(" ")
        return execution if name == self.id and isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants of a job that others may ask for at the same time."""

    at_s: float
    who: int
    what: str  #: join | wait | return | replace | watch | latest | gather | cancel | stop | delete | requeue
    job_id: str
    timeout_s: float = 0.0  #: 0: no wait
    on_failed: Literal["rerun", "raise"] = "rerun"
    cancels: bool = False  #: cancel_on_timeout
    deadline: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    """What somebody does to many jobs at once."""

    at_s: float
    what: str  #: clean | empty | requeue of the queue SWEPT; raze of RAZED
    statuses: frozenset[JobStatus] = frozenset()  #: in which it takes them
    older_s: float = 0.0
    limit: int | None = None
    kinds: frozenset[str] = frozenset(KINDS)  #: whose jobs it takes, as its filters say
    reason: str = ""  #: with which they have failed; "" any
    options: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0  #: raze: jobs per call; 0: as many as there may be
    cut_off: bool = False  #: raze: it is begun, and not gone on with


def sweeps(seed: int, seconds: float, *, quick: bool = False) -> list[Sweep]:
    """What is done to the queues that are swept and razed, by the seed alone."""
    dice = random.Random(f"sweeps {seed}")
    count = round(seconds * (1 if quick else 8))
    return sorted((_sweep(dice, seconds) for _ in range(count)), key=lambda sweep: sweep.at_s)


def _sweep(dice: random.Random, seconds: float) -> Sweep:
    at = dice.uniform(0.1, 1.0) * seconds
    what = dice.choices(("clean", "empty", "requeue", "raze"), (6, 2, 6, 3))[0]
    if what == "clean":
        status = dice.choice((*("finished", "failed") * 3, "canceled", "scheduled", "deferred"))
        older, limit = dice.choice((0.0, 0.0, 0.3, 1.0)), dice.choice((1000, 1000, 3))
        return Sweep(at, what, frozenset({JobStatus(status)}), older, limit)
    if what == "empty":
        waiting = {JobStatus.QUEUED, *((JobStatus.SCHEDULED, JobStatus.DEFERRED) if dice.random() < 0.5 else ())}
        return Sweep(at, what, frozenset(waiting))
    if what == "raze":
        force = dice.random() < 0.7
        step = dice.choice((0, 3)) if force else 0
        return Sweep(at, what, options={"force": force}, step=step, cut_off=step > 0 and dice.random() < 0.3)
    plain = Sweep(at, what, frozenset({JobStatus.FAILED}), dice.choice((0.0, 0.0, 0.5)), dice.choice((None, None, 2)))
    return replace(plain, **_filter(dice))


def _filter(dice: random.Random) -> dict[str, Any]:
    """Of failed jobs."""
    match dice.choice(("all", "class", "reason", "none", "glob")):
        case "class":
            kind = frozenset({"system_exit"})
            return {"options": {"exc_type": SystemExit}, "kinds": kind, "reason": "exception"}
        case "reason":
            reason = dice.choice(("killed", "exception", "abandoned"))
            return {"options": {"reason": reason}, "reason": reason}
        case "none":
            return {"options": {"func": "tests.chaos.kinds.*"}, "kinds": frozenset[str]()}
        case "glob":
            return {"options": {"func": "tests.*.perform"}}
    return {}


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """One schedule, and what is done to it. Seconds of its own are counted from the beginning of the run.

    `all` and `patient` must fire each slot, `limit` so many of them; `skip` and `once` count what they miss."""

    key: str
    policy: str  #: skip | once | all | patient | limit
    step_s: float  #: from slot to slot
    by_cron: bool
    start_s: float
    end_s: float
    queue: str = QUEUES[0]
    limit: int | None = None
    pause_s: float | None = None
    resume_s: float | None = None
    again_s: tuple[float, ...] = ()  #: when it is upserted again, unchanged
    now_s: tuple[float, ...] = ()  #: when somebody wants it run now
    unique: str = ""  #: the unique key of its jobs: a slot whose key is held is missed
    wish: str = "raise"

    @property
    def fires_all(self) -> bool:
        """Whether no slot may be missed."""
        return self.policy in ("all", "patient", "limit")

    def slots(self, from_ms: int, to_ms: int) -> list[int]:
        """Its slots from the one moment to the other, by plain reckoning; `from_ms` is where it starts."""
        step_ms = round(self.step_s * 1000)
        if not self.by_cron:
            return list(range(from_ms, to_ms + 1, step_ms))
        minute = 60_000  # `*/n` counts from the full minute
        first = from_ms // 1000 * 1000
        return [s for s in range(first, to_ms + 1, 1000) if s >= from_ms and s % minute % step_ms == 0]


def standing_orders(seed: int, seconds: float, count: int = 10) -> list[StandingOrder]:
    """The schedules of a run: each policy twice, and what is done to them by the dice."""
    dice = random.Random(f"schedules {seed}")
    return [_standing(dice, f"s{seed}-{number}", POLICIES[number % len(POLICIES)], seconds) for number in range(count)]


def _standing(dice: random.Random, key: str, policy: str, seconds: float) -> StandingOrder:
    by_cron = dice.random() < 0.3
    step = float(dice.choice((1, 2))) if by_cron else round(dice.uniform(0.2, 1.0), 2)
    start = dice.uniform(0.3, 0.2 * seconds)
    limits = policy == "limit"
    pauses = not limits and dice.random() < 0.4
    pause = dice.uniform(0.3, 0.5) * seconds
    unique = dice.choice((HELD_KEYS[-1], SLOTS_KEY)) if policy in ("skip", "once") and dice.random() < 0.6 else ""
    return StandingOrder(
        key,
        policy,
        step,
        by_cron,
        start,
        seconds + dice.uniform(-0.5, 0.5),
        queue=dice.choice(QUEUES),
        limit=max(2, int(0.7 * seconds / step)) if limits else None,
        pause_s=pause if pauses else None,
        resume_s=pause + dice.uniform(0.1, 0.3) * seconds if pauses else None,
        again_s=tuple(sorted(dice.uniform(0.1, 1.0) * seconds for _ in range(dice.choice((0, 2, 4))))),
        now_s=tuple(dice.uniform(0.1, 1.0) * seconds for _ in range(dice.choice((0, 0, 2)))),
        unique=unique,
        wish=dice.choice(WISHES) if unique else "raise",
    )


def orders(seed: int, count: int) -> list[Order]:
    """The jobs of a run, by its seed alone."""
    dice = random.Random(seed)
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    made = [_order(dice, f"{seed}-{number}", dice.choices(names, weights)[0]) for number in range(count)]
    limits, keys = random.Random(f"limits {seed}"), random.Random(f"keys {seed}")
    batched = _in_batches(keys, [_unique(keys, _limited(limits, order), 0.25, 0.3) for order in made])
    return related(random.Random(f"kin {seed}"), batched, 0.25)


def _unique(dice: random.Random, order: Order, share: float, longest: float = 0.0) -> Order:
    """Some jobs have a unique key, which others have too; what takes no time is to take up to `longest` seconds then,
    so that others meet it."""
    if dice.random() >= share:
        return order
    key = dice.choice((*HELD_KEYS, *HELD_KEYS, *TIMED_KEYS, MIXED_KEY))
    timed = key in TIMED_KEYS or (key == MIXED_KEY and dice.random() < 0.5)
    return replace(
        order,
        seconds=order.seconds or dice.choice((0.0, dice.uniform(0.0, longest))),
        unique=key,
        unique_for=dice.choice(KEY_TIMES_S) if timed else None,
        wish=dice.choice(WISHES),
    )


def keyed(dice: random.Random, order: Order) -> Order:
    """Perhaps with a limit, a priority and a unique key."""
    return _unique(dice, _limited(dice, order), 0.25, 0.3)


def _in_batches(dice: random.Random, made: list[Order]) -> list[Order]:
    """Some of them are enqueued together, in order."""
    found: list[Order] = []
    while len(found) < len(made):
        at, size = len(found), dice.choice((3, 4, 6)) if dice.random() < 0.06 else 1
        some = made[at : at + size]
        if len(some) > 1:
            name = f"{dice.choice(('atomic', 'each'))} {at}"
            some = [replace(order, batch=name, queue=some[0].queue, resend=False) for order in some]
        found += some
    return found


def shared_orders(seed: int, *, quick: bool = False) -> list[Order]:
    """Jobs that many ask for: some return at once and some later, some fail, one is soon gone, and one has a unique key
    that others want. `quick`: they take no time."""
    made = [
        Order("0", "signed"),
        Order("1", "signed", seconds=0.1),
        Order("2", "signed", seconds=0.3, queue=QUEUES[1]),
        Order("3", "signed", result_ttl=SHORT_TTL_S),
        Order("4", "system_exit", seconds=0.1, ttl=30.0),  # a new cycle each time, and who waits reads another way
        Order("5", "flaky", retries=8),
        Order("6", "signed", seconds=0.2, unique=HELD_KEYS[0]),
    ]
    return [
        replace(one, id=f"{seed}-shared{one.id}", shared=True, seconds=0.0 if quick else one.seconds)
        for one in made
        if not quick or one.kind == "signed"
    ]


def awaited_orders(seed: int, count: int, *, quick: bool = False) -> list[Order]:
    """Jobs that are enqueued by somebody who waits for them at once."""
    dice = random.Random(f"awaited {seed}")
    made = []
    for number in range(count):
        order = Order(
            f"{seed}-awaited{number}",
            "signed" if quick or dice.random() < 0.8 else "system_exit",
            queue=dice.choice(QUEUES),
            seconds=0.0 if quick else dice.choice((0.0, 0.1, 0.4)),
            awaited=True,
        )
        made.append(_unique(dice, order, 0.3, 0.0 if quick else 0.3))
    return made


def asks(seed: int, seconds: float, shared: list[Order], awaited: list[Order], count: int) -> list[Ask]:
    """What is asked in a run: `count` times for what is shared, and once for each of the others."""
    dice = random.Random(f"asks {seed}")
    verbs = {"join": 30, "wait": 14, "return": 5, "replace": 5, "watch": 12, "latest": 8, "gather": 8}
    acts = {"cancel": 6, "stop": 5, "delete": 4, "requeue": 6}
    mix = {**verbs, **acts}
    made: list[Ask] = []
    while len(made) < count:
        order = dice.choice(shared)
        at_once = ASKERS if dice.random() < 0.3 else 1
        some = [_asked(dice, seconds, dice.choices(list(mix), list(mix.values()))[0], order) for _ in range(at_once)]
        made += some if at_once == 1 else [replace(ask, at_s=some[0].at_s, who=who) for who, ask in enumerate(some)]
    made += [_asked(dice, seconds, "wait", order) for order in awaited]
    return sorted(made, key=lambda ask: ask.at_s)


def _asked(dice: random.Random, seconds: float, what: str, order: Order) -> Ask:
    waits = what in ("wait", "watch", "latest", "gather") or dice.random() < 0.6
    at, longest = dice.uniform(0.2, seconds), dice.choice((0.01, 0.05, 0.2, 1.0, 3.0))
    return Ask(
        at,
        dice.randrange(ASKERS),
        what,
        order.id,
        min(longest, seconds + 0.5 - at) if waits else 0.0,
        "raise" if dice.random() < 0.3 else "rerun",
        cancels=dice.random() < 0.4,
        deadline=dice.random() < 0.25,
    )


def _limited(dice: random.Random, order: Order) -> Order:
    """Some jobs go by a limit, some by a priority."""
    key = dice.choice(list(LIMITS)) if dice.random() < 0.25 else ""
    priority = dice.choice((-100, -1, 1, 100)) if dice.random() < 0.15 else 0
    return replace(order, limit=key, priority=priority)


def asked_orders(made: Iterable[Order]) -> list[Order]:
    """The jobs that others enqueue while they run."""
    asking = [order for order in made if order.of.act == "asks"]
    return [Order(asked_by(order.id), "quick", order.queue, retries=ASKED_RETRIES) for order in asking]


def due_orders(seed: int, count: int) -> list[Order]:
    """Nothing but quick jobs that are due later, some of them with unique keys."""
    dice, keys = random.Random(seed), random.Random(f"keys {seed}")
    made = [Order(f"{seed}-{number}", "quick", delay=dice.uniform(0.05, 1.5)) for number in range(count)]
    batched = _in_batches(keys, [_unique(keys, order, 0.15) for order in made])
    return related(random.Random(f"kin {seed}"), batched, 0.1)


def related(dice: random.Random, made: Sequence[Order], share: float) -> list[Order]:
    """Some of them depend on up to three that come before, mostly on those just before. What is done to a job may be
    done with regard to those that depend on it."""
    found: list[Order] = []
    lingering: set[str] = set()  # what may wait for ever, as others are to go on: nobody waits for it
    for order in made:
        if found and dice.random() < share:
            near = found[-(8 if dice.random() < 0.5 else 200) :]
            parents = dice.sample(near, min(len(near), dice.choice((1, 1, 2, 3))))
            order = replace(order, needs=tuple(need_of(dice, parent.id) for parent in parents))
        if any(need.on_failure == "wait" or need.job_id in lingering for need in order.needs):
            lingering.add(order.id)
            order = replace(order, waits=False, unique="", unique_for=None, wish="raise")
        if order.act in ("cancel", "delete"):
            order = replace(order, act_kin=dice.random() < 0.4)
        found.append(order)
    return found


def need_of(dice: random.Random, job_id: str, *, may_wait: bool = True) -> Need:
    """On that job."""
    how = dice.choices(("cancel", "run", "wait"), (5, 3, 2 if may_wait else 0))[0]
    return Need(job_id, how, dice.random() < 0.2)


def _order(dice: random.Random, job_id: str, name: str) -> Order:
    kind = KINDS[name]
    act = dice.choices(("", "cancel", "stop", "delete", "requeue", "drop", "keep"), (79, 5, 3, 4, 6, 2, 1))[0]
    retries = kind.retries if kind.retries is not None else dice.choice((0, 0, 2, 6))
    plain = act == "" and kind.ends == {RETURNS}
    return Order(
        job_id,
        name,
        queue=dice.choice(QUEUES),
        seconds=dice.uniform(*kind.naps),
        retries=retries,
        repeats=dice.choice((2, 3)) if plain and dice.random() < 0.05 else 0,
        delay=dice.uniform(0.05, 1.5) if dice.random() < 0.12 else None,
        ttl=dice.choice((0.2, 1.0, 30.0)) if dice.random() < 0.06 else None,
        at_front=dice.random() < 0.05,
        result_ttl=0.0 if plain and dice.random() < 0.06 else None,
        act=act,
        act_after=dice.expovariate(4),
        waits=dice.random() < 0.15,
        resend=act == "" and dice.random() < 0.1,
        calls_back=dice.random() < 0.1,
        bulky=dice.random() < 0.1,
    )
