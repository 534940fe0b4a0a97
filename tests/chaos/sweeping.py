"""Those who clean, empty and obliterate queues, and run again what has failed in them. Threads of the driver, which
write into ledgers of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from redis.exceptions import RedisError

from rqlike import Queue, erasure
from rqlike.events import event_place
from rqlike.exceptions import RqlikeError
from rqlike.settings import GRACE_MS
from rqlike.store import erasures
from rqlike.store.requests import nonce
from rqlike.store.store import Store
from tests.chaos import bodies
from tests.chaos.crew import Crew
from tests.chaos.evidence import Act, Heard, Swept
from tests.chaos.kinds import RAZED, SWEPT, Order, Sweep
from tests.chaos.people import People, client_of, now_ms

LAST: Final = Sweep(0.0, "raze", options={"force": True})  #: when nobody enqueues any more
SCHEDULE: Final = "razed"  #: whose jobs come into the queue that is razed


class Sweepers(Crew):
    """Do what is to be done, in each queue one thing after the other."""

    def __init__(self, people: People, plan: Sequence[Sweep]) -> None:
        self._people, self._plan = people, plan
        self._client = client_of(people.url)
        self._queues = {name: Queue(name, self._client, namespace=people.namespace) for name in (SWEPT, RAZED)}
        super().__init__(*(partial(self._go, razes) for razes in (False, True)))
        self.swept: list[Swept] = []

    def finish(self) -> None:
        """Obliterates what is to be razed for the last time; insists."""
        while self._sweep(LAST).error:
            threading.Event().wait(0.05)
        self._client.close()

    def _go(self, razes: bool) -> None:  # of a thread
        for sweep in (one for one in self._plan if (one.what == "raze") is razes):
            threading.Event().wait(max(0.0, (self._people.opened_ms + sweep.at_s * 1000 - now_ms()) / 1000))
            try:
                self._sweep(sweep)
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self._people.problems.append(f"{sweep.what}: {problem!r}")

    def _sweep(self, sweep: Sweep) -> Swept:
        sent, count, error = now_ms(), 0, ""
        try:
            count = self._do(sweep)
        except (RqlikeError, RedisError) as problem:
            error = type(problem).__name__
        swept = Swept(sweep, sent, now_ms(), count, error)
        self.swept.append(swept)
        return swept

    def _do(self, sweep: Sweep) -> int:
        queue = self._queues[SWEPT]
        match sweep.what:
            case "clean":
                (status,) = sweep.statuses
                assert sweep.limit is not None
                return queue.clean(status, sweep.older_s, limit=sweep.limit)
            case "empty":
                return queue.empty(scheduled=len(sweep.statuses) > 1)
            case "requeue":
                older = sweep.older_s or None
                found = queue.failed_job_registry.requeue_all(older_than=older, limit=sweep.limit, **sweep.options)
                return int(found)
        return self._raze(sweep, self._queues[RAZED])

    def _raze(self, sweep: Sweep, queue: Queue) -> int:
        """With a schedule that goes with it, unless it is the last time: one that is made again may stay."""
        if sweep is not LAST and sweep.options["force"]:
            queue.schedule(SCHEDULE, bodies.unnoticed, every=0.2, result_ttl=3600)
        if not sweep.step:
            return sum(erasure.obliterate(queue.store, RAZED, **sweep.options))
        return sum(_in_steps(queue.store, sweep))


def _in_steps(store: Store, sweep: Sweep) -> Iterator[int]:
    """As `erasure.obliterate`, but with few jobs per call."""
    cursor, done, calls = "0", False, 0
    while not done and not (sweep.cut_off and calls > 1):
        step = store.run(erasures.obliterate(RAZED, nonce(), force=True, cursor=cursor, limit=sweep.step))
        cursor, done, calls = step.cursor, step.done, calls + 1
        yield step.jobs


def acts_of(swept: Sequence[Swept], heard: Sequence[Heard], orders: Mapping[str, Order]) -> list[Act]:
    """What was done to jobs by sweeps, as the events tell it; of a queue that is gone, and they with it, to all."""
    named = {"delete": "delete", "requeue": "requeue"}
    events = {event.id: event for one in heard if one.queue == SWEPT for event in (*one.events, *one.kept)}
    acts = [
        Act(named[event.name], event.job_id, "ok", event.at.timestamp() * 1000)
        for _, event in sorted(events.items(), key=lambda item: event_place(item[0]))
        if event.name in named
    ]
    razed = [order.id for order in orders.values() if order.queue == RAZED]
    for one in swept:
        if one.sweep.what == "raze" and one.error != "InvalidJobOperation":
            acts += [Act("delete", job_id, one.error or "ok", one.sent_ms) for job_id in razed]
    return acts


def remains(store: Store, orders: Mapping[str, Order]) -> list[str]:
    """What is left of the queue that is razed: keys by its name or of its jobs that do not go by themselves soon, and
    what others say of it."""
    client, keys = store.client, store.keys
    razed = {order.id for order in orders.values() if order.queue == RAZED}
    left = []
    for raw in client.scan_iter(match=keys.prefix + "*", count=1000):
        kind, _, name = raw.decode().removeprefix(keys.prefix).partition(":")
        if kind in ("group", "members", "pending") or not (
            name == RAZED or name in razed or name.startswith(f"{SCHEDULE}@")
        ):
            continue
        if not 0 <= client.pttl(raw) <= GRACE_MS and client.exists(raw):
            left.append(raw.decode())
    left += [f"the pause of {RAZED}"] if client.hexists(keys.pauses(), RAZED) else []
    left += [f"who wakes for {RAZED}"] if client.hexists(keys.watch(), RAZED) else []
    left += [f"the name of {RAZED}"] if client.sismember(keys.queues(), RAZED) else []
    left += ["its schedule"] if client.exists(keys.schedule(SCHEDULE)) else []
    return left
