"""Anything into any key at any moment, between the verbs of producers, operators and a worker: drawn by dice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from rqlike import fields
from rqlike.exceptions import RqlikeError
from rqlike.limits import RateLimit
from rqlike.options import Policy
from rqlike.outcomes import Outcome
from rqlike.policies import Repeat, Retry
from rqlike.states import JobStatus, Reason
from rqlike.store import erasures, pages, turns, verbs
from rqlike.store.pages import BEGINNING
from rqlike.store.requests import Request
from rqlike.store.turns import Settlement, Turned
from tests.servers import Server
from tests.store.builders import Scene, new_job, raised, returned, scene_on
from tests.store.test_poison import GARBAGE, WRONG, hostile_calls, judged, replaced

SEEDS = range(30)
STEPS = 60
WORDS = (*GARBAGE, b"-1", b"0", b"1", b"5", b"started", b"queued", b"finished", b"scheduled", b"i-w-1-1", b"elsewhere")
#: Of what keys something else writes into. Those of the queue itself hold the good jobs, and are left alone here.
TOUCHED = ("job:bad", "results:bad", "c:bad", "m:bad", "contact", "watch", "lastcall", "worker", "wake", "scratch")
LIMIT_KEYS = ("limits", "waiting", "holders", "tat")
LIMITS = (RateLimit("c", 3), RateLimit("r", limit=50, burst=2), RateLimit("both", 2, limit=100))
CALLS = tuple(hostile_calls())


class Play:
    """One namespace, the dice, and what is known of the good jobs in it."""

    def __init__(self, scene: Scene, seed: int, *, limits: bool = False, unique: bool = False) -> None:
        self.scene, self.dice, self.limits, self.unique = scene, random.Random(seed), limits, unique
        self.touched = (*TOUCHED, *(LIMIT_KEYS if limits else ()), *(["unique"] if unique else ()))
        self.good: list[str] = []
        self.bad: list[str] = []
        self.held: list[Settlement] = []
        self.written: list[Any] = []

    def step(self) -> None:
        acts: list[tuple[Callable[[], None], int]] = [
            (self.enqueue_bad, 5),
            (self.enqueue_good, 3),
            (self.corrupt, 5),
            (self.operate, 2),
            (self.work, 7),
        ]
        (act,) = self.dice.choices([act for act, _ in acts], [weight for _, weight in acts])
        act()

    def enqueue_bad(self) -> None:
        dice, name = self.dice, f"bad{len(self.bad)}"
        repeat = dice.choice([None, Repeat(2)])
        policy = Policy(retry=Retry(2, dice.choice([0, 1])), repeat=repeat, description="x" * dice.choice([1, 700]))
        due, ttl_ms = dice.choice(["", "+1500"]), dice.choice([None, 3000])
        with suppress(RqlikeError):
            more: dict[str, Any] = {"limit": self.limit(), **self.identity(name)}
            self.scene.enqueue(new_job(name, f"nonce-{name}", due=due, ttl_ms=ttl_ms, policy=policy, **more))
        self.bad.append(name)

    def identity(self, name: str) -> dict[str, Any]:
        """A key that few share, and what is to happen to who holds it."""
        if not self.unique or name.startswith("good"):
            return {"unique": f"0 {name}"} if self.unique else {}
        span, key = self.dice.choice([0, 0, 0, 60_000]), self.dice.choice("kl")
        return {"unique": f"{span} {key}", "wish": self.dice.choice(["", "return", "replace", "replace", "join"])}

    def enqueue_good(self) -> None:
        self.good.append(f"good{len(self.good)}")
        self.scene.enqueue(new_job(self.good[-1], limit=self.limit(), **self.identity(self.good[-1])))

    def limit(self) -> str:
        return self.dice.choice(LIMITS).to_text() if self.limits and self.dice.random() < 0.6 else ""

    def operate(self) -> None:
        scene, job_id = self.scene, self.dice.choice(self.bad or ["bad0"])
        requests: list[Request[Any]] = [
            verbs.cancel(job_id, "c"),
            verbs.requeue([job_id], "r", at_front=False),
            verbs.delete([job_id], "d"),
            verbs.stop(job_id, "s"),
            verbs.expire(job_id),
            verbs.save(job_id, {"meta": b"\x80"}, 5, 6),
            verbs.want(job_id, 60_000, all_of_it=True),
            verbs.history(job_id),
            verbs.peek(job_id, "q", 2),
        ]
        if self.unique:
            again = new_job(job_id, f"again{len(self.written)}", **self.identity(job_id))
            requests += [
                verbs.enqueue("q", [again]),
                verbs.enqueue("q", [again, again._replace(id="bad0")], atomic=True),
            ]
        with suppress(RqlikeError):
            scene.run(self.dice.choice(requests))

    def corrupt(self) -> None:
        client, dice = self.scene.client, self.dice
        prefix = self.scene.store.keys.prefix
        found = sorted(raw.decode() for raw in client.scan_iter(match=f"{prefix}*", count=10_000))
        touched = [key for key in found if key.removeprefix(prefix).startswith(self.touched)]
        if not touched:
            return
        key, word = dice.choice(touched), dice.choice(WORDS)
        self.written.append((key, word))
        if dice.random() < 0.25:
            replaced(client, key, dice.choice([*WRONG.values(), lambda client, key: None]))
        else:
            self.write(client, key, word)

    def write(self, client: redis.Redis, key: str, word: bytes) -> None:
        match client.type(key):
            case b"hash":
                field = self.dice.choice([*fields.JOB.values(), *fields.WORKER.values()])
                if field in "cmo":
                    client.hset(key, f"{field}0", self.dice.choice(CALLS))
                elif self.dice.random() < 0.3:
                    client.hdel(key, field)
                else:
                    client.hset(key, field, word)
            case b"string":
                client.set(key, word)
            case b"zset":
                client.zadd(key, {word: self.dice.choice([0, 1e18, -1e18, float("inf")])})
            case b"set":
                client.sadd(key, word)
            case b"stream":
                client.xadd(key, {self.dice.choice([*fields.ENTRY.values()]): word})

    def work(self, want: int | None = None) -> None:
        dice = self.dice
        asked = dice.choice([0, 1, 5]) if want is None else want
        flags: dict[str, Any] = {name: want is not None or dice.random() < 0.5 for name in ("sweep", "prune", "woken")}
        turned = self.scene.turn("w", *self.held, want=asked, **flags)
        self.held = list(self.verdicts(turned, calm=want is not None))
        self.scene.run(turns.renew("w", {"state": "busy"}, [*turned.granted, *turned.lapsed]))
        self.scene.now_ms += 2_000 if want is not None else dice.choice([10, 500, 2_000])

    def verdicts(self, turned: Turned, *, calm: bool) -> Iterator[Settlement]:
        ways = [returned(), raised(), raised(Reason.KILLED), raised(Reason.STOPPED)]
        for execution in turned.granted:
            calmly = calm or execution.job_id.startswith("good")
            yield judged(self.scene, execution, returned() if calmly else self.dice.choice(ways))
        for execution in turned.lapsed:
            yield judged(self.scene, execution, Outcome.abandoned("another", 0.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_written_all_good_jobs_finish_and_nothing_stays_in_the_way(
    server: Server, namespace: str, seed: int
) -> None:
    with server.client() as client:
        play_through(Play(scene_on(client, namespace), seed))


@pytest.mark.parametrize("seed", range(20))
def test_the_same_holds_where_jobs_have_limits_and_their_keys_are_written_into(
    server: Server, namespace: str, seed: int
) -> None:
    with server.client() as client:
        play_through(Play(scene_on(client, namespace), seed, limits=True))


@pytest.mark.parametrize("seed", range(10))
def test_the_same_holds_where_jobs_share_unique_keys_and_replace_each_other(
    server: Server, namespace: str, seed: int
) -> None:
    with server.client() as client:
        play_through(Play(scene_on(client, namespace), seed, unique=True))


@pytest.mark.parametrize("seed", range(20))
def test_a_queue_is_read_cleaned_and_obliterated_whatever_is_written(server: Server, namespace: str, seed: int) -> None:
    with server.client() as client:
        scene = scene_on(client, namespace)
        play = Play(scene, seed, limits=True)
        for _ in range(STEPS):
            play.step()
        for status in JobStatus:
            scene.run(pages.page(status, "q", BEGINNING, 100))
        dead = scene.run(pages.failures("q", BEGINNING, told=True))
        assert {one.job_id for one in dead.found} <= set(scene.order(JobStatus.FAILED))
        asked = scene.run(erasures.aged("q", JobStatus.FAILED, 0, 1000, BEGINNING))
        assert scene.run(erasures.clean("q", JobStatus.FAILED, 0, 1000, "c", BEGINNING)) == asked
        assert scene.order(JobStatus.FAILED) == [], play.written
        assert scene.run(erasures.obliterate("q", "o", force=True)).done, play.written
        homes = [name for status in JobStatus for name in [scene.store.keys.home(status, "q")] if client.exists(name)]
        assert (homes, scene.run(verbs.queues())) == ([], [])
        assert not any(name in scene.dump() for name in (scene.store.keys.ttl("q"), scene.store.keys.markers("q")))


def play_through(play: Play) -> None:
    scene = play.scene
    for _ in range(STEPS):
        play.step()
    for _ in range(50):
        play.work(want=50)
    left = {status: scene.order(status) for status in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED)}
    assert not any(left.values()), (left, play.written)
    assert not play.held, play.written
    assert {name: scene.status(name) for name in play.good} == dict.fromkeys(play.good, JobStatus.FINISHED)
