"""Chains and fans of jobs that depend on each other, groups that several producers fill, and what comes into the queues
that are swept and razed: what is ordered of them, and those who enqueue it. Threads of the driver, which write into the
ledgers of `people`."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from redis.exceptions import RedisError

from rqlike import Callback, Group, Queue
from rqlike.exceptions import NoSuchGroupError
from tests.chaos import bodies
from tests.chaos.crew import Crew
from tests.chaos.kinds import ALL_QUEUES, KINDS, QUEUES, RAZED, SWEPT, Order, keyed, need_of
from tests.chaos.people import People, client_of, now_ms

PRODUCERS: Final = 3
FAN: Final = 300  #: so many that they are told in steps
_FEW: Final = 20
_CHAINED: Final = ("quick", "quick", "signed", "short", "flaky", "system_exit")
_GROUPED: Final = ("quick", "quick", "short", "flaky", "system_exit", "exit", "large")
#: In the queues that are swept and razed; some of them to be found failed, and some to be found running.
_SWEPT: Final = (
    "quick",
    "quick",
    "short",
    "flaky",
    "system_exit",
    "system_exit",
    "exit",
    "tells",
    "slow",
    "chatty",
    "asks",
)
_CALLS: Final = 2  #: a second, into each of these queues
_ACTS: Final = ("", "", "", "", "cancel", "cancel_kin", "delete", "delete_kin", "stop", "requeue")


@dataclass(frozen=True, slots=True)
class Call:
    """What one producer enqueues at once, all into one queue."""

    at_s: float
    who: int
    orders: tuple[Order, ...]
    atomic: bool = False
    group: str = ""


def calls(seed: int, seconds: float, *, quick: bool = False) -> list[Call]:
    """The families of a run, by its seed alone. `quick`: few of them, which take no time."""
    dice = random.Random(f"families {seed}")
    made = _fan(dice, seed, seconds, quick=quick)
    for number in range(1 if quick else 3):
        made += _chain(dice, f"{seed}-chain{number}", seconds, quick=quick)
    for number in range(2):
        made += _filled(dice, f"{seed}-g{number}", seconds, quick=quick)
    for queue in (SWEPT, RAZED):
        made += _doomed(dice, f"{seed}-{queue}", queue, seconds, quick=quick)
    return sorted(made, key=lambda call: call.at_s)


def _acted(dice: random.Random, order: Order) -> Order:
    act, _, kin = dice.choice(_ACTS).partition("_")
    return replace(order, act=act, act_kin=bool(kin), act_after=dice.uniform(0.0, 1.0))


def _some(dice: random.Random, job_id: str, kinds: Sequence[str], queue: str, *, quick: bool) -> Order:
    kind = "quick" if quick else dice.choice(kinds)
    naps = dice.uniform(*KINDS[kind].naps)
    return Order(job_id, kind, queue, seconds=naps, retries=KINDS[kind].retries or dice.choice((0, 3)))


def _fan(dice: random.Random, seed: int, seconds: float, *, quick: bool) -> list[Call]:
    """One that takes its time, and those that depend on it: in a group, or with some that may wait for ever."""
    name, group, queue = f"{seed}-fan", f"{seed}-gfan" if seed % 2 else "", dice.choice(QUEUES)
    kind, home = dice.choice(("slow", "slow", "system_exit")), dice.choice((*QUEUES, *ALL_QUEUES))
    parent = Order(name, kind, home, 1.0, dice.choice((0, 3)))
    if home in QUEUES:
        parent = _acted(dice, parent)
    if not parent.act:  # what is swept is judged by sweeps alone
        queue = dice.choice((queue, queue, SWEPT, RAZED))
    many = [
        Order(
            f"{name}{number}", "quick", queue, retries=9, group=group, needs=(need_of(dice, name, may_wait=not group),)
        )
        for number in range(_FEW if quick else FAN)
    ]
    at = dice.uniform(0.2, 0.4) * seconds
    return [Call(at, 0, (parent,)), Call(at + 0.05, 0, tuple(many), group=group)]


def _chain(dice: random.Random, name: str, seconds: float, *, quick: bool) -> list[Call]:
    """Each depends on the one before; enqueued by one call, all or none of them or as they come, or by one each."""
    way, queue, links = dice.choice(("atomic", "many", "each")), dice.choice(QUEUES), list[Order]()
    for number in range(dice.randint(5, 10)):
        order = _some(dice, f"{name}-{number}", _CHAINED, dice.choice(QUEUES) if way == "each" else queue, quick=quick)
        needs = (need_of(dice, links[-1].id),) if links else ()
        links.append(replace(order, needs=needs, delay=dice.uniform(0.1, 1.0) if dice.random() < 0.15 else None))
    at, chosen = dice.uniform(0.1, 0.8) * seconds, dice.randrange(len(links))
    links[chosen] = _acted(dice, links[chosen])
    who = dice.randrange(PRODUCERS)
    if way == "each":
        return [Call(at + 0.01 * number, who, (order,)) for number, order in enumerate(links)]
    return [Call(at, who, tuple(links), way == "atomic")]


def _filled(dice: random.Random, group: str, seconds: float, *, quick: bool) -> list[Call]:
    """What a group is filled with, by all producers; some of it depends on what is before it in the same call."""
    made = []
    for number in range(PRODUCERS if quick else 2 * PRODUCERS):
        queue, some = dice.choice(QUEUES), list[Order]()
        for at in range(3 if quick else 8):
            order = replace(_some(dice, f"{group}-{number}-{at}", _GROUPED, queue, quick=quick), group=group)
            if some and dice.random() < 0.3:
                order = replace(order, needs=(need_of(dice, dice.choice(some).id, may_wait=False),))
            some.append(_acted(dice, order) if dice.random() < 0.3 else order)
        made.append(Call(dice.uniform(0.1, 0.9) * seconds, number % PRODUCERS, tuple(some), number % 2 == 1, group))
    return made


def _doomed(dice: random.Random, name: str, queue: str, seconds: float, *, quick: bool) -> list[Call]:
    """Jobs of a queue that many of them are to be deleted from, and jobs of other queues that depend on them."""
    made = []
    for number in range(PRODUCERS if quick else max(PRODUCERS, round(_CALLS * seconds))):
        some = list[Order]()
        for at in range(dice.choice((1, 2, 4))):
            order = _some(dice, f"{name}-{number}-{at}", _SWEPT, queue, quick=quick)
            if some and dice.random() < 0.3:
                order = replace(order, needs=(need_of(dice, dice.choice(some).id),))
            elif not quick:
                order = replace(keyed(dice, order), waits=dice.random() < 0.2)
            order = replace(order, bulky=dice.random() < 0.3)
            some.append(replace(order, delay=dice.uniform(0.1, 2.0) if dice.random() < 0.15 else None))
        at_s, group = (
            dice.uniform(0.05, 1.0) * seconds,
            f"{name}-g" if number < PRODUCERS or dice.random() < 0.2 else "",
        )
        if group:  # to be complete, it may have none that waits for ever
            some = [replace(one, group=group, needs=()) for one in some]
        made.append(Call(at_s, number % PRODUCERS, tuple(some), number % 4 == 1, group))
        if dice.random() < 0.5:
            child = _some(dice, f"{name}-{number}-child", _CHAINED, dice.choice(QUEUES), quick=quick)
            child = replace(child, needs=tuple(need_of(dice, parent.id) for parent in some[:2]))
            made.append(Call(at_s + 0.03, number % PRODUCERS, (child,)))
    return made


class Families(Crew):
    """Enqueue what is to be enqueued, each producer one call after the other."""

    def __init__(self, people: People, plan: Sequence[Call]) -> None:
        self._people, self._plan = people, plan
        self.groups = sorted({call.group for call in plan} - {""})
        self._made = threading.Event()
        super().__init__(*(partial(self._go, who) for who in range(PRODUCERS)))

    def _go(self, who: int) -> None:
        people = self._people
        client = client_of(people.url)
        people.clients.append(client)  # which waiters of its jobs have too
        queues = {name: Queue(name, client, namespace=people.namespace) for name in ALL_QUEUES}
        try:
            if who == 0:
                for name in self.groups:
                    self._make(queues[QUEUES[0]], name)
                self._made.set()
            self._made.wait(30)
            for call in self._plan:
                if call.who == who:
                    threading.Event().wait(max(0.0, (people.opened_ms + call.at_s * 1000 - now_ms()) / 1000))
                    queue = queues[call.orders[0].queue]
                    group = Group(call.group, queue.store) if call.group else None
                    try:
                        people.enqueue_many(queue, call.orders, atomic=call.atomic, group=group)
                    except NoSuchGroupError:
                        if queue.name not in (SWEPT, RAZED):  # none of its jobs may be kept any more
                            raise
        except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
            people.problems.append(f"family: {problem!r}")

    def _make(self, queue: Queue, name: str) -> None:
        """Insists."""
        while True:
            try:
                callback = Callback(bodies.completed)
                Group.create(queue.connection, name, on_complete=callback, namespace=queue.store.namespace)
                return
            except RedisError:
                threading.Event().wait(0.05)
