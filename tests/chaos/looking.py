"""Those who only look: readers of events, who go away and go on where they were, and watchers of jobs. Threads of the
driver."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import RedisError

from rqlike import Job, Queue
from rqlike.events import Event, event_place
from rqlike.exceptions import RqlikeError
from rqlike.live import Watched as News
from rqlike.settings import LOG_LINES
from rqlike.store import events, verbs
from rqlike.store.store import Store
from tests.chaos.evidence import Heard, ToldSeen, Watched
from tests.chaos.kinds import ALL_QUEUES, Order
from tests.chaos.people import People, client_of, now_ms

_WATCHERS: Final = 2
_PAUSE_S: Final = 0.05  #: of a watcher
_STAYS: Final = (1, 5, 40, 400)  #: events after which a reader goes away
_LAST_S: Final = 10.0  #: for a reader to come to the end


class Onlookers:
    """One reader for each queue, and some who watch one job after the other."""

    def __init__(self, people: People, orders: Mapping[str, Order], seed: int) -> None:
        self._people, self._orders, self._seed = people, orders, seed
        self._stop = threading.Event()
        self._heard: dict[str, list[Event]] = {name: [] for name in ALL_QUEUES}
        self._ends: dict[str, str] = {}
        self._readers = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in ALL_QUEUES]
        self._watchers = [threading.Thread(target=self._watch, args=(who,), daemon=True) for who in range(_WATCHERS)]
        self.watched: list[Watched] = []
        self.told: list[ToldSeen] = []

    def start(self) -> None:
        """Begins."""
        for thread in (*self._readers, *self._watchers):
            thread.start()

    def finish(self, store: Store) -> list[Heard]:
        """Lets readers come to what is the newest now. What they were given."""
        self._ends = {name: store.run(events.newest(name)) for name in ALL_QUEUES}
        kept = {name: _kept(store, name) for name in ALL_QUEUES}
        self._stop.set()
        for thread in (*self._readers, *self._watchers):
            thread.join(_LAST_S + 5)
            if thread.is_alive():
                self._people.problems.append("an onlooker")
        return [Heard(name, tuple(self._heard[name]), kept[name]) for name in ALL_QUEUES]

    # -- readers -------------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> None:
        dice = random.Random(f"reader {self._seed} {name}")
        client = client_of(self._people.url)
        queue, last, until = Queue(name, client, namespace=self._people.namespace), "0", 0.0
        heard = self._heard[name]
        while not self._is_done(name, last) and not (until and now_ms() > until):
            until = until or (now_ms() + _LAST_S * 1000 if self._stop.is_set() else 0.0)
            stay = dice.choice(_STAYS)
            try:
                for event in queue.events(after=last, timeout=dice.choice((0.1, 0.5, 2.0))):
                    heard.append(event)
                    last, stay = event.id, stay - 1
                    if not stay or self._is_done(name, last):
                        break
            except RedisError:
                self._stop.wait(0.02)
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self._people.problems.append(f"reader of {name}: {problem!r}")
                return
        client.close()

    def _is_done(self, name: str, last: str) -> bool:
        return self._stop.is_set() and event_place(last) >= event_place(self._ends[name])

    # -- watchers ------------------------------------------------------------------------------------------------------

    def _watch(self, who: int) -> None:
        dice = random.Random(f"watcher {self._seed} {who}")
        client = client_of(self._people.url)
        store = Store(client, self._people.namespace)
        while not self._stop.wait(_PAUSE_S):
            says = [job_id for job_id in (*self._people.acked,) if self._says(job_id)]
            if not says:
                continue
            job_id = dice.choice(says[-8:])
            try:
                self._watch_one(store, job_id, dice.choice((0.05, 0.5, 3.0)))
            except (RedisError, RqlikeError):
                continue
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self._people.problems.append(f"watcher of {job_id}: {problem!r}")
                return
        client.close()

    def _says(self, job_id: str) -> bool:
        order = self._orders.get(job_id)
        return order is not None and order.says > 0

    def _watch_one(self, store: Store, job_id: str, seconds: float) -> None:
        job: Job[Any] = Job.fetch(job_id, store.client, store.namespace)
        self.told.append(told_of(store, job_id))
        asked, error, news = now_ms(), "", list[News]()
        try:
            for one in job.watch(timeout=seconds):
                news.append(one)
        except (RedisError, RqlikeError) as problem:
            error = type(problem).__name__
        self.watched.append(Watched(job_id, job.cycle, tuple(news), asked, now_ms(), seconds, error))


def told_of(store: Store, job_id: str, *, at_the_end: bool = False) -> ToldSeen:
    """What a job has told."""
    told = store.run(verbs.told(job_id, LOG_LINES))
    return ToldSeen(job_id, tuple(told.lines), told.progress, at_the_end)


def _kept(store: Store, queue: str) -> tuple[Event, ...]:
    found, after = list[Event](), "0"
    while True:
        heard = store.run(events.heard(queue, after, 200))
        found += heard.events
        if not heard.last:
            return tuple(found)
        after = heard.last
