"""What is done to workers, networks and the server of a chaos run, by a seeded dice. Each fault undoes itself."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import redis

from rqlike.failpoints import POINTS
from tests.chaos.evidence import Strike, read_bodies
from tests.chaos.people import now_ms
from tests.chaos.stage import Post, Stage

_AWAY_S: Final = 1.5  #: a server that is away for longer lets short leases lapse, and it is no outage yet
_REST_S: Final = 4.0  #: for every worker to find it again and to renew: two outages in a row would outlast a lease
_ANY_TIME_S: Final = 3600.0
_FULL: Final = 1  #: bytes of maxmemory
_CUTS: Final = (100, 8_000)  #: bytes between two cuts

DUE: Final = "due"  #: nothing but jobs that are due later, which must come in time on an idle machine
#: Names of faults with their weights. `cut` and `hole` need networks.
MIXES: Final[Mapping[str, Mapping[str, float]]] = {
    "calm": {},
    DUE: {},
    "kills": {"horse": 4, "parent": 2, "both": 1, "term": 2, "zygote": 1},
    "points": {"point": 3, "horse": 1},
    "pauses": {"freeze": 3, "freeze_all": 1, "nap_horse": 2, "horse": 1},
    "server": {"server_kill": 2, "server_pause": 2, "flush": 3, "clients": 3, "outage": 0.5},
    "network": {"cut": 4, "hole": 2, "road_cut": 2, "road_hole": 1},
    "memory": {"memory": 3, "flush": 1},
}
EVERYTHING: Final = {name: weight for mix in MIXES.values() for name, weight in mix.items()}
NETWORKED: Final = frozenset({"cut", "hole", "road_cut", "road_hole"})


#: Seconds of a lease. Where the server may be away it has to outlast that, or everybody living would look lost.
SHORT_S: Final = 3.0
PATIENT_S: Final = 6.0


def lease_of(name: str) -> float:
    """The lease that fits a mix."""
    return SHORT_S if name in ("calm", DUE, "kills", "points", "pauses") else PATIENT_S


def mix_of(name: str) -> Mapping[str, float]:
    """The faults of a mix. Raises KeyError."""
    return EVERYTHING if name == "everything" else MIXES[name]


class Faults:
    """Strikes about every `gap_s` seconds, until `heal`. `is_long` tells of a job whether it takes long."""

    def __init__(
        self,
        stage: Stage,
        mix: Mapping[str, float],
        seed: int,
        *,
        gap_s: float,
        log: Path,
        is_long: Callable[[str], bool],
    ) -> None:
        self._stage = stage
        self._names, self._weights = list(mix), list(mix.values())
        self._dice = random.Random(seed + 1)
        self._lease_s, self._gap_s = stage.lease_s, gap_s
        self._log, self._is_long = log, is_long
        self._client = stage.stable.client()
        self._undo: list[tuple[float, Callable[[], None]]] = []
        self._next = time.monotonic() + gap_s
        self._server_down = False
        self._server_rests = 0.0  #: until then it is left in peace
        self.strikes: list[Strike] = []

    def tick(self) -> None:
        """Undoes what has lasted long enough; strikes if it is time."""
        now = time.monotonic()
        for due in [one for one in self._undo if one[0] <= now]:
            self._undo.remove(due)
            due[1]()
        if self._names and now >= self._next:
            self._next = now + self._dice.expovariate(1 / self._gap_s)
            self.strike(self._dice.choices(self._names, self._weights)[0])

    def strike(self, name: str) -> bool:
        """That fault, now; whether there was somebody to hit."""
        at = now_ms()
        hit = _ACTS[name](self)
        if hit is None:
            return False
        worker, seconds = hit
        self.strikes.append(Strike(name, worker, at, now_ms() + seconds * 1000))
        return True

    def heal(self) -> None:
        """Everything works again."""
        for _, undo in self._undo:
            undo()
        self._undo.clear()

    def _later(self, seconds: float, undo: Callable[[], None]) -> float:
        self._undo.append((time.monotonic() + seconds, undo))
        return seconds

    # -- processes -----------------------------------------------------------------------------------------------------

    def _standing(self, *, awake: bool = True) -> Post | None:
        posts = [post for post in self._stage.posts if post.listens and not (awake and post.frozen)]
        return self._dice.choice(posts) if posts else None

    def _horse(self) -> tuple[str, float] | None:
        post = self._standing()
        horses = [] if post is None else post.worker.horses()
        if post is None or not horses:
            return None
        _signal([self._dice.choice(horses)], signal.SIGKILL)
        return post.worker.name, 0.0

    def _zygote(self) -> tuple[str, float] | None:
        """What forks the horses of a worker; that can fork by itself, so it costs nobody anything."""
        posts = [post for post in self._stage.posts if post.isolates and post.listens and not post.frozen]
        zygote = posts[0].worker.zygote() if posts else None
        if zygote is None:
            return None
        _signal([zygote], signal.SIGKILL)
        return posts[0].worker.name, 0.0

    def _parent(self) -> tuple[str, float] | None:
        post = self._standing(awake=False)
        if post is None:
            return None
        name = post.worker.name
        self._stage.kill(post)
        self._stage.replace(post)
        return name, self._lease_s

    def _both(self) -> tuple[str, float] | None:
        post = self._standing(awake=False)
        if post is None:
            return None
        name = post.worker.name
        _signal(post.worker.horses(), signal.SIGKILL)
        self._stage.kill(post)
        self._stage.replace(post)
        return name, self._lease_s

    def _term(self) -> tuple[str, float] | None:
        post = self._standing()
        if post is None:
            return None
        name = post.worker.name
        self._stage.dismiss(post)
        return name, 0.0

    def _point(self) -> tuple[str, float] | None:
        """A worker gives way to one that dies, or stands still for a while, at one of the steps of some job's way."""
        post = self._standing(awake=False)
        if post is None:
            return None
        self._parent_of(post)
        point = self._dice.choice([point for point in POINTS if not point.startswith("producer.")])
        stops = ":stop" if point.startswith("parent.") and self._dice.random() < 0.3 else ""
        self._stage.replace(post, f"{point}:{self._dice.choice((1, 2, 5, 20))}{stops}")
        return post.worker.name, _ANY_TIME_S

    def _parent_of(self, post: Post) -> None:
        at, name = now_ms(), post.worker.name
        self._stage.kill(post)
        self.strikes.append(Strike("parent", name, at, at + self._lease_s * 1000))

    def _with_a_long_job(self) -> Post | None:
        """A worker that runs a job which may still run elsewhere when this one comes back; else any."""
        running = {body.pid for body in read_bodies(self._log) if body.over_ns is None and self._is_long(body.job_id)}
        posts = [post for post in self._stage.posts if post.listens and not post.frozen]
        busy = [post for post in posts if running.intersection(post.worker.horses())]
        return self._dice.choice(busy) if busy else self._standing()

    def _freeze(self, *, horses: bool) -> tuple[str, float] | None:
        post = self._with_a_long_job()
        if post is None:
            return None
        worker = post.worker
        post.frozen = [worker.pid, *(worker.horses() if horses else ())]
        _signal(post.frozen, signal.SIGSTOP)

        def thaw() -> None:
            if post.worker is worker:
                _signal(post.frozen, signal.SIGCONT)
                post.frozen = []

        return worker.name, self._later(self._lease_s + self._dice.uniform(0.1, 3.0), thaw)

    def _nap_horse(self) -> tuple[str, float] | None:
        post = self._standing()
        horses = [] if post is None else post.worker.horses()
        if post is None or not horses:
            return None
        horse = self._dice.choice(horses)
        _signal([horse], signal.SIGSTOP)
        return post.worker.name, self._later(self._dice.uniform(0.05, 1.0), lambda: _signal([horse], signal.SIGCONT))

    # -- the server ----------------------------------------------------------------------------------------------------

    def _server_kill(self) -> tuple[str, float] | None:
        return self._killed_server(self._dice.uniform(0.0, _AWAY_S))

    def _outage(self) -> tuple[str, float] | None:
        """Longer than any lease."""
        return self._killed_server(self._lease_s + self._dice.uniform(0.5, 2.5))

    def _killed_server(self, seconds: float) -> tuple[str, float] | None:
        if self._server_down or time.monotonic() < self._server_rests:
            return None
        self._server_down = True
        self._stage.server.kill()

        def start() -> None:
            self._stage.server.start()
            self._server_is_back()

        return "", self._later(seconds, start) + 1.0

    def _server_is_back(self) -> None:
        self._server_down = False
        self._server_rests = time.monotonic() + _REST_S

    def _server_pause(self) -> tuple[str, float] | None:
        if self._server_down or time.monotonic() < self._server_rests:
            return None
        self._server_down = True
        self._stage.server.pause()

        def proceed() -> None:
            self._stage.server.proceed()
            self._server_is_back()

        return "", self._later(self._dice.uniform(0.1, _AWAY_S), proceed)

    def _flush(self) -> tuple[str, float] | None:
        return self._said(lambda: self._client.script_flush(), 0.0)

    def _clients(self) -> tuple[str, float] | None:
        return self._said(lambda: self._client.client_kill_filter(_type="normal", skipme=True), 0.0)

    def _memory(self) -> tuple[str, float] | None:
        seconds = self._dice.uniform(0.1, 1.0)
        hit = self._said(lambda: self._client.config_set("maxmemory", _FULL), seconds)
        if hit is not None:
            self._later(seconds, self._make_room)
        return hit

    def _make_room(self) -> None:
        if self._said(lambda: self._client.config_set("maxmemory", 0), 0.0) is None:
            self._later(0.2, self._make_room)

    def _said(self, call: Callable[[], object], seconds: float) -> tuple[str, float] | None:
        if self._server_down:
            return None
        with suppress(redis.ConnectionError, redis.TimeoutError):
            call()
            return "", seconds
        return None

    # -- networks ------------------------------------------------------------------------------------------------------

    def _cut(self) -> tuple[str, float] | None:
        post = self._standing()
        if post is None or post.proxy is None:
            return None
        post.proxy.cut_between(*_CUTS)
        return post.worker.name, self._later(self._dice.uniform(0.5, 3.0), post.proxy.heal)

    def _hole(self) -> tuple[str, float] | None:
        post = self._standing()
        if post is None or post.proxy is None:
            return None
        post.proxy.swallow()
        seconds = self._dice.choice((0.5, 2.5, self._lease_s + 3.0))
        return post.worker.name, self._later(seconds, post.proxy.heal) + 1.0

    def _road_cut(self) -> tuple[str, float] | None:
        road = self._stage.road
        if road is None:
            return None
        road.cut_between(*_CUTS)
        return "producer", self._later(self._dice.uniform(0.5, 2.0), road.heal)

    def _road_hole(self) -> tuple[str, float] | None:
        road = self._stage.road
        if road is None:
            return None
        road.swallow()
        return "producer", self._later(self._dice.uniform(0.5, 2.0), road.heal)


_ACTS: Final[Mapping[str, Callable[[Faults], tuple[str, float] | None]]] = {
    "horse": Faults._horse,
    "zygote": Faults._zygote,
    "parent": Faults._parent,
    "both": Faults._both,
    "term": Faults._term,
    "point": Faults._point,
    "freeze": lambda faults: faults._freeze(horses=False),
    "freeze_all": lambda faults: faults._freeze(horses=True),
    "nap_horse": Faults._nap_horse,
    "server_kill": Faults._server_kill,
    "server_pause": Faults._server_pause,
    "outage": Faults._outage,
    "flush": Faults._flush,
    "clients": Faults._clients,
    "cut": Faults._cut,
    "hole": Faults._hole,
    "road_cut": Faults._road_cut,
    "road_hole": Faults._road_hole,
    "memory": Faults._memory,
}


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
