"""The kinds of jobs of a chaos run, and what each comes to where nothing is done to it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from rqlike import RateLimit
from tests.chaos.bodies import LARGE

RETURNS: Final = ""  #: in place of a reason
QUEUES: Final = ("a", "b")
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
    act: str = ""  #: cancel | delete | requeue, or nothing
    act_after: float = 0.0  #: seconds after it was acknowledged
    waits: bool = False  #: somebody blocks on it
    resend: bool = False  #: the same call is sent twice
    calls_back: bool = False
    limit: str = ""  #: a key of LIMITS
    priority: int = 0

    @property
    def of(self) -> Kind:
        return KINDS[self.kind]

    @property
    def returns(self) -> bool:
        """Whether its body is to return a value."""
        return RETURNS in self.of.ends

    @property
    def value(self) -> str:
        """What it returns."""
        return self.id.ljust(LARGE, ".") if self.of.act == "large" else self.id


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
    )


def orders(seed: int, count: int) -> list[Order]:
    """The jobs of a run, by its seed alone."""
    dice = random.Random(seed)
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    made = [_order(dice, f"{seed}-{number}", dice.choices(names, weights)[0]) for number in range(count)]
    limits = random.Random(f"limits {seed}")
    return [_limited(limits, order) for order in made]


def _limited(dice: random.Random, order: Order) -> Order:
    """Some jobs go by a limit, some by a priority."""
    key = dice.choice(list(LIMITS)) if dice.random() < 0.25 else ""
    priority = dice.choice((-100, -1, 1, 100)) if dice.random() < 0.15 else 0
    return replace(order, limit=key, priority=priority)


def due_orders(seed: int, count: int) -> list[Order]:
    """Nothing but quick jobs that are due later."""
    dice = random.Random(seed)
    return [Order(f"{seed}-{number}", "quick", delay=dice.uniform(0.05, 1.5)) for number in range(count)]


def _order(dice: random.Random, job_id: str, name: str) -> Order:
    kind = KINDS[name]
    act = dice.choices(("", "cancel", "delete", "requeue"), (85, 5, 4, 6))[0]
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
    )
