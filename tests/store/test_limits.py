"""Limits per key: who may start when, who waits in which order, and that no permit is lost."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from rqlike.limits import RateLimit
from rqlike.outcomes import Outcome
from rqlike.records import Execution
from rqlike.settings import AUDIT_MS, HELD_PLACE, LATE_MS, LEASE_MS, RELOOK_MS, TOUCH_LIMIT
from rqlike.states import JobStatus, Reason
from rqlike.store import turns, verbs
from rqlike.store.verbs import NewJob
from tests.conftest import AnyServer
from tests.servers import Server
from tests.store.builders import QUEUE, Scene, new_job, raised, repeats, retries, returned, scene_on
from tests.store.invariants import violations
from tests.store.test_poison import WRONG, replaced

TWO = RateLimit("k", 2)
ONE = RateLimit("k", 1)
HUNDRED = RateLimit("k", limit=100)
TEN = RateLimit("k", limit=10)  # a start every 100 ms


def limited(job_id: str, limit: RateLimit = ONE, **more: Any) -> NewJob:
    return new_job(job_id, limit=limit.to_text(), **more)


def ids(executions: tuple[Execution, ...]) -> list[str]:
    return [execution.job_id for execution in executions]


def claim(scene: Scene, want: int = 10, **more: Any) -> list[str]:
    return ids(scene.claim(want, sweep=True, **more))


def holders(scene: Scene, key: str = "k") -> set[str]:
    found: Any = scene.client.smembers(scene.store.keys.holders(key))
    return {raw.decode() for raw in found}


def held(scene: Scene, queue: str = QUEUE) -> list[str]:
    """Ids in the band behind all priorities."""
    found: Any = scene.client.zrangebyscore(scene.store.keys.home("queued", queue), HELD_PLACE, "+inf")
    return [raw.decode() for raw in found]


# -- concurrency -------------------------------------------------------------------------------------------------------


def test_no_more_jobs_of_a_key_are_started_than_its_concurrency(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", TWO) for n in range(5)))
    assert claim(scene) == ["j0", "j1"]
    assert claim(scene, worker="other") == []
    assert holders(scene) == {"j0", "j1"}


def test_jobs_that_are_held_back_are_queued_in_counts_and_lists_and_jobs_behind_them_start(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}") for n in range(3)), new_job("free"), limited("of another", RateLimit("other", 1)))
    assert claim(scene) == ["j0", "free", "of another"]
    assert scene.order() == ["j1", "j2"]
    (counts,) = scene.run(verbs.counts([QUEUE]))
    assert (counts[JobStatus.QUEUED], counts[JobStatus.STARTED]) == (2, 3)
    assert scene.run(verbs.find("j2")).rank == 1


def test_the_call_that_ends_a_job_starts_the_next_of_its_key(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}") for n in range(3)))
    (first,) = scene.claim(8)
    turned = scene.turn("w", scene.judged(first, returned()), want=8)
    assert ids(turned.granted) == ["j1"]
    assert scene.order() == ["j2"]


WAYS_OUT = {
    "finish": returned(),
    "fail": raised(),
    "stop": raised(Reason.STOPPED),
    "cancel": raised(Reason.CANCELED),
    "killed": raised(Reason.KILLED),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_every_way_out_of_started_gives_the_permit_to_the_next(scene: Scene, way: str) -> None:
    scene.enqueue(limited("a"), limited("b"))
    (first,) = scene.claim(8)
    assert scene.settle(first, WAYS_OUT[way]) == "ok"
    assert holders(scene) == set()
    assert claim(scene) == ["b"]


@pytest.mark.parametrize("interval", [0, 5])
@pytest.mark.parametrize("kind", ["retry", "repeat"])
def test_a_job_that_goes_on_lets_others_of_its_key_go_first(scene: Scene, kind: str, interval: int) -> None:
    policy = retries(3, interval) if kind == "retry" else repeats(3, interval)
    scene.enqueue(limited("a", policy=policy), limited("b"))
    (first,) = scene.claim(8)
    assert scene.settle(first, raised() if kind == "retry" else returned()) == "ok"
    (second,) = scene.claim(8, sweep=True)
    assert second.job_id == "b"
    scene.now_ms += 5_000
    assert claim(scene) == []
    assert scene.settle(second, returned()) == "ok"
    assert claim(scene) == ["a"]


def test_a_job_without_a_result_ttl_gives_its_permit_back_too(scene: Scene) -> None:
    scene.rules = scene.rules._replace(default_result_ttl=0)
    scene.enqueue(limited("a"), limited("b"))
    (first,) = scene.claim(8)
    assert scene.settle(first, returned()) == "ok"
    assert scene.status("a") is None
    assert claim(scene) == ["b"]


def test_a_started_job_that_is_deleted_gives_its_permit_back(scene: Scene) -> None:
    scene.enqueue(limited("a"), limited("b"))
    scene.claim(8)
    scene.run(verbs.delete(["a"], "n"))
    assert scene.markers() > 0, "somebody is woken"
    assert claim(scene) == ["b"]


def test_a_started_job_that_is_buried_gives_its_permit_back(any_server: AnyServer, namespace: str) -> None:
    scene = scene_on(any_server.client(), namespace)
    scene.enqueue(limited("a"), limited("b"))
    (first,) = scene.claim(8)
    scene.client.set(scene.store.keys.results("a"), "no stream")
    assert scene.settle(first, returned()) == "broken"
    assert scene.status("a") is JobStatus.FAILED
    assert claim(scene) == ["b"]


def test_what_is_given_back_unbegun_leaves_no_permit_in_use(scene: Scene) -> None:
    scene.enqueue(limited("a"), limited("b"))
    (first,) = scene.claim(8)
    assert scene.give_back(first) == "ok"
    assert holders(scene) == set()
    assert claim(scene) == ["a"]


def test_a_lost_execution_holds_its_permit_until_it_is_judged(scene: Scene) -> None:
    scene.enqueue(limited("a"), limited("b"))
    scene.claim(8, sweep=True)
    found: tuple[Execution, ...] = ()
    for _ in range(LEASE_MS // 5_000):
        scene.now_ms += 5_000
        found += scene.turn("other", sweep=True).lapsed
    (lapsed,) = found
    assert claim(scene, worker="other") == []
    assert scene.settle(lapsed, Outcome.abandoned("w", 0.0), "other") == "ok"
    assert claim(scene, worker="other") == ["b"]


def test_a_permit_whose_holder_something_else_has_taken_away_is_free_after_the_audit(scene: Scene) -> None:
    scene.enqueue(limited("a"), limited("b"))
    scene.claim(8)
    scene.client.delete(scene.store.keys.job("a"), scene.store.keys.events(QUEUE))  # which say that a is started
    scene.client.zrem(scene.store.keys.home("started", QUEUE), "a")
    assert claim(scene) == []
    scene.now_ms += AUDIT_MS - 1
    assert claim(scene) == []
    scene.now_ms += 1
    assert claim(scene) == ["b"]


def test_a_permit_that_a_queue_without_a_worker_was_offered_is_offered_to_the_next(scene: Scene) -> None:
    scene.enqueue(limited("running"))
    scene.enqueue(*(limited(f"left{n}") for n in range(3)), queue="left")
    scene.enqueue(limited("mine"))
    (running,) = scene.claim(8, queues=(QUEUE, "left"))
    assert scene.settle(running, returned()) == "ok"  # the first one of `left` may go now, and nobody claims it
    assert claim(scene) == []
    scene.now_ms += RELOOK_MS
    assert claim(scene) == ["mine"]
    assert len(scene.order(queue="left")) == 3


# -- order -------------------------------------------------------------------------------------------------------------


def test_within_a_key_the_jobs_at_the_front_go_first_and_then_the_oldest(scene: Scene) -> None:
    scene.enqueue(*(limited(f"n{n}") for n in range(3)))
    (running,) = scene.claim(8)
    scene.enqueue(limited("f", front=True))
    scene.enqueue(limited("late"))
    seen = []
    for _ in range(4):
        turned = scene.turn("w", scene.judged(running, returned()), want=8)
        (running,) = turned.granted
        seen.append(running.job_id)
    assert seen == ["f", "n1", "n2", "late"]


def test_a_job_that_comes_as_a_permit_is_due_does_not_overtake_those_that_wait(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", TEN) for n in range(3)))
    assert claim(scene) == ["j0"]
    scene.now_ms += 100
    scene.enqueue(limited("late", TEN))
    assert ids(scene.claim(8)) == ["j1"], "the claim comes before the sweep"
    scene.now_ms += 100
    assert claim(scene) == ["j2"]
    scene.now_ms += 100
    assert claim(scene) == ["late"]


def test_jobs_of_one_key_in_two_queues_share_it_in_the_order_of_their_enqueue(scene: Scene) -> None:
    for number in range(4):
        scene.enqueue(limited(f"j{number}"), queue=f"q{number % 2}")
    running, seen = scene.claim(8, queues=("q0", "q1")), []
    while running:
        seen += ids(running)
        running = scene.turn("w", scene.judged(running[0], returned()), want=8, queues=("q1", "q0")).granted
    assert seen == ["j0", "j1", "j2", "j3"]


def test_nobody_is_to_look_at_a_key_whose_last_waiting_job_was_canceled_or_expired(scene: Scene) -> None:
    scene.enqueue(limited("j0"), limited("j1"), limited("j2", ttl_ms=1000))
    (running,) = scene.claim(10, sweep=True)
    scene.run(verbs.cancel("j1", "c"))
    assert scene.client.exists(scene.store.keys.limits())  # j2 waits
    scene.pass_ms(1001)
    scene.run(verbs.expire("j2"))
    assert not scene.client.exists(scene.store.keys.limits())
    scene.settle(running, returned())
    assert not scene.client.exists(scene.store.keys.limits())


def test_a_canceled_job_that_waited_is_passed_over(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}") for n in range(4)))
    (running,) = scene.claim(8)
    scene.run(verbs.cancel("j1", "c"))
    scene.run(verbs.delete(["j2"], "d"))
    assert ids(scene.turn("w", scene.judged(running, returned()), want=8).granted) == ["j3"]


def test_a_waiting_job_expires_by_its_ttl_and_a_requeued_one_keeps_its_limit(scene: Scene) -> None:
    scene.enqueue(limited("a"), limited("b", ttl_ms=1000))
    (running,) = scene.claim(8)
    scene.pass_ms(1000)
    assert claim(scene) == []
    assert scene.status("b") is JobStatus.EXPIRED
    scene.run(verbs.requeue(["b"], "r", at_front=False))
    assert claim(scene) == []
    assert scene.settle(running, returned()) == "ok"
    assert claim(scene) == ["b"]


def test_a_scheduled_job_keeps_its_limit(scene: Scene) -> None:
    scene.enqueue(limited("now"), limited("later", due="+1000"))
    (running,) = scene.claim(8)
    scene.now_ms += 1000
    assert claim(scene) == []
    assert scene.settle(running, returned()) == "ok"
    assert claim(scene) == ["later"]


def test_emptying_a_queue_takes_the_held_jobs_too_and_leaves_nothing_of_the_limit(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", 1, limit=1, per=60)) for n in range(5)))
    (running,) = scene.claim(8)
    assert scene.run(verbs.empty(QUEUE, 100)) == (4, 0)
    assert scene.settle(running, returned()) == "ok"
    scene.pass_ms(AUDIT_MS + 60_000 + LATE_MS + 1)
    scene.turn(sweep=True)
    left = [
        key for key in scene.dump() if ":waiting:" in key or ":holders:" in key or ":tat:" in key or "limits" in key
    ]
    assert left == []


# -- rates -------------------------------------------------------------------------------------------------------------


def starts(scene: Scene, moments: range, want: int = 10) -> list[int]:
    """At which of the moments, in ms from now, how many jobs start, one turn at each of them."""
    base, seen = scene.now_ms, []
    for moment in moments:
        scene.now_ms = base + moment
        seen += [moment] * len(claim(scene, want))
    return seen


def test_a_rate_spreads_the_starts_evenly(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", TEN) for n in range(5)))
    assert starts(scene, range(0, 500, 10)) == [0, 100, 200, 300, 400]


def test_a_burst_starts_at_once_and_then_the_rate_holds(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", limit=10, burst=3)) for n in range(6)))
    assert starts(scene, range(0, 400, 10)) == [0, 0, 0, 100, 200, 300]


def test_a_burst_grows_back_while_nothing_starts_and_not_beyond_what_it_was(scene: Scene) -> None:
    limit = RateLimit("k", limit=10, burst=3)
    scene.enqueue(*(limited(f"a{n}", limit) for n in range(3)))
    assert len(claim(scene)) == 3
    scene.now_ms += 200
    scene.enqueue(*(limited(f"b{n}", limit) for n in range(3)))
    assert len(claim(scene)) == 2
    scene.now_ms += 60_000
    scene.enqueue(*(limited(f"c{n}", limit) for n in range(5)))
    assert len(claim(scene)) == 3


def test_a_claim_that_comes_late_does_not_lower_the_rate(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", TEN) for n in range(30)))
    assert len(starts(scene, range(0, 2000, 37))) == 20, "each start is up to 36 ms late"


def test_after_a_pause_in_which_nothing_waited_no_more_than_the_burst_starts(scene: Scene) -> None:
    scene.enqueue(limited("first", HUNDRED))
    assert claim(scene) == ["first"]
    scene.now_ms += 40
    scene.enqueue(*(limited(f"j{n}", HUNDRED) for n in range(5)))
    assert claim(scene) == ["j0"]


def test_a_window_holds_no_more_starts_than_is_promised(scene: Scene) -> None:
    dice = random.Random(7)
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", limit=50, burst=2)) for n in range(60)))
    seen: list[int] = []
    base = scene.now_ms
    while len(seen) < 60:
        scene.now_ms += dice.choice([1, 5, 18, 20, 22, 45, 70, 200])
        seen += [scene.now_ms - base] * len(claim(scene))
    for first in range(60):
        for last in range(first, 60):
            assert last - first + 1 <= (seen[last] - seen[first] + LATE_MS) / 20 + 2


def test_the_worker_is_told_when_the_next_start_is_due(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", TEN) for n in range(3)))
    turned = scene.turn(want=1)
    assert turned.moment_ms is None, "nothing waits that it has seen"
    turned = scene.turn(want=1)
    assert turned.moment_ms == scene.now_ms + 100
    assert scene.again().moment_ms == scene.now_ms + 100
    assert scene.turn("other", want=1).moment_ms is None, "one worker wakes for it"
    scene.now_ms += 100
    turned = scene.turn(want=1, sweep=True)
    assert (ids(turned.granted), turned.moment_ms) == (["j1"], scene.now_ms + 100)


def test_a_schedule_that_comes_before_the_next_start_is_watched_first(scene: Scene) -> None:
    schedules = scene.store.keys.schedules()
    scene.client.zadd(schedules, {"s": scene.now_ms + 50})
    scene.enqueue(*(limited(f"j{n}", TEN) for n in range(2)))
    assert scene.turn(want=2).moment_ms == scene.now_ms + 50
    scene.client.zadd(schedules, {"s": scene.now_ms + 5_000})
    assert scene.turn(want=2, sweep=True).moment_ms == scene.now_ms + 100


def test_starts_more_often_than_there_are_milliseconds_are_told_apart(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", limit=3000)) for n in range(400)))
    assert len(starts(scene, range(100), want=50)) == pytest.approx(300, abs=3)


def test_a_start_that_did_not_happen_is_given_back_to_the_rate(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", TEN) for n in range(2)))
    (first,) = scene.claim(1)
    assert scene.give_back(first) == "ok"
    assert claim(scene) == ["j0"]
    assert claim(scene) == []


def test_a_rate_and_a_concurrency_both_hold(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", 2, limit=10)) for n in range(4)))
    assert starts(scene, range(0, 500, 50)) == [0, 100]
    (first, _) = [Execution(job, job.token or "", job.token or "") for job in map(scene.job, ["j0", "j1"]) if job]
    assert scene.settle(first, returned()) == "ok"
    assert claim(scene) == ["j2"]


def test_an_execution_that_is_retried_counts_as_another_start(scene: Scene) -> None:
    scene.enqueue(limited("a", TEN, policy=retries(3)))
    (first,) = scene.claim(1)
    assert scene.settle(first, raised()) == "ok"
    assert claim(scene) == []
    scene.now_ms += 100
    assert claim(scene) == ["a"]


def test_each_job_goes_by_its_own_numbers(scene: Scene) -> None:
    scene.enqueue(limited("narrow", RateLimit("k", 1)), limited("wide", RateLimit("k", 3)), limited("n2"))
    assert claim(scene) == ["narrow", "wide"]


# -- claims ------------------------------------------------------------------------------------------------------------


def test_no_more_limited_jobs_are_claimed_than_can_begin_and_the_order_stays(scene: Scene) -> None:
    wide = RateLimit("k", 100)
    scene.enqueue(new_job("p0"), limited("a", wide), limited("b", wide), new_job("p1"))
    turned = scene.turn(want=10, free=1)
    assert ids(turned.granted) == ["p0", "a"]
    assert not turned.more_to_claim
    assert scene.order() == ["b", "p1"]
    assert scene.markers() > 0
    assert ids(scene.turn(want=10, free=0).granted) == []
    assert ids(scene.turn(want=10, free=2).granted) == ["b", "p1"]


def test_the_same_call_once_more_gives_the_same_and_takes_no_second_permit(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", 3, limit=10, burst=2)) for n in range(3)))
    turned = scene.turn(want=8, sweep=True)
    before = scene.dump()
    again = scene.again()
    assert ids(again.granted) == ids(turned.granted) == ["j0", "j1"]
    assert again.moment_ms == turned.moment_ms
    assert {key: one for key, one in scene.dump().items() if "lastcall" not in key} == {
        key: one for key, one in before.items() if "lastcall" not in key
    }


def test_a_claim_that_meets_only_held_jobs_takes_the_markers_away(scene: Scene) -> None:
    scene.enqueue(*(limited(f"j{n}") for n in range(3)))
    scene.claim(1)
    assert scene.claim(1) == ()
    assert scene.markers() == 0
    scene.enqueue(new_job("free"))
    assert scene.markers() == 1
    assert ids(scene.claim(1)) == ["free"]


def test_ten_thousand_jobs_of_a_full_key_hold_up_nobody(server: Server, namespace: str) -> None:
    with server.client() as client:
        scene = scene_on(client, namespace)
        scene.enqueue(limited("running"))
        scene.claim(1)
        for first in range(0, 10_000, 500):
            scene.enqueue(*(limited(f"j{first + n}") for n in range(500)))
        scene.enqueue(new_job("free"))
        calls = 0
        while True:
            calls += 1
            turned = scene.turn(want=8)
            if turned.granted:
                break
            assert turned.more_to_claim, "the worker is to come again at once"
            assert scene.markers() > 0
        assert ids(turned.granted) == ["free"]
        assert calls <= 20
        assert not scene.turn(want=8).more_to_claim
        assert len(held(scene)) == 10_000


def test_a_claim_looks_at_a_bounded_number_of_jobs(scene: Scene) -> None:
    scene.enqueue(limited("running"))
    scene.claim(1)
    scene.enqueue(*(limited(f"j{n}") for n in range(TOUCH_LIMIT)))
    scene.enqueue(*(limited(f"l{n}") for n in range(100)))
    assert scene.turn(want=1).more_to_claim
    assert len(held(scene)) == TOUCH_LIMIT


def test_a_job_that_is_run_by_its_caller_asks_no_limit_and_ends_as_any_other(scene: Scene) -> None:
    scene.enqueue(limited("a"), limited("b"))
    scene.claim(1)
    begun = scene.run(turns.begin("b", "inline", "token", LEASE_MS))
    assert begun is not None
    scene.client.sadd(scene.store.keys.holders("k"), "b")  # for the invariants, which know of no such claim
    assert scene.settle(begun[0], returned()) == "ok"
    assert holders(scene) == {"a"}


def test_permits_go_back_where_a_claim_is_undone(any_server: AnyServer, namespace: str) -> None:
    scene = scene_on(any_server.client(), namespace)
    scene.client.set(scene.store.keys.home("started", QUEUE), "no sorted set")
    scene.enqueue(limited("a", RateLimit("k", 1, limit=10)))
    assert claim(scene) == []
    scene.client.delete(scene.store.keys.home("started", QUEUE))
    assert claim(scene) == ["a"]


# -- keys that something else has written into -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["limits", "waiting", "holders", "tat"])
@pytest.mark.parametrize("kind", [*WRONG, "nothing"])
def test_a_key_of_a_limit_of_another_type_holds_up_nobody_for_long(
    any_server: AnyServer, namespace: str, name: str, kind: str
) -> None:
    scene = scene_on(any_server.client(), namespace)
    key = scene.store.keys.limits() if name == "limits" else getattr(scene.store.keys, name)("k")
    scene.enqueue(*(limited(f"j{n}", RateLimit("k", 2, limit=10)) for n in range(4)), new_job("free"))
    running, ended = [*scene.claim(8)], set()
    replaced(scene.client, key, WRONG.get(kind, lambda client, key: None))
    scene.enqueue(new_job("free too"))
    for _ in range(10):
        turned = scene.turn("w", *(scene.judged(one, returned()) for one in running), want=8, sweep=True)
        ended |= {one.job_id for one in running}
        running = list(turned.granted)
        scene.now_ms += 4_000
    assert ended == {"j0", "j1", "j2", "j3", "free", "free too"}


@pytest.mark.parametrize("garbage", [b"nan", b"inf", b"1e300", b"x", b"-5", b""])
def test_an_arrival_time_that_is_none_holds_up_nobody(scene: Scene, garbage: bytes) -> None:
    scene.client.set(scene.store.keys.tat("k"), garbage)
    scene.enqueue(limited("a", TEN), limited("b", TEN))
    assert claim(scene) == ["a"]
    scene.now_ms += 100
    assert claim(scene) == ["b"]


@pytest.mark.parametrize("text", ["x", "0 0 0 0 k", "0 5 0 1 k", "1 0 1000 1 ", "9" * 400, "99999999999 0 1000 1 k"])
def test_a_job_whose_limit_is_none_of_ours_fails_and_the_next_one_starts(
    any_server: AnyServer, namespace: str, text: str
) -> None:
    scene = scene_on(any_server.client(), namespace)
    scene.enqueue(new_job("bad", limit=text), new_job("good"))
    assert claim(scene) == ["good"]
    assert scene.status("bad") is JobStatus.FAILED


# -- all of it against a model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_limits_hold_and_every_job_runs(server: Server, namespace: str, seed: int) -> None:
    with server.client() as client:
        Play(scene_on(client, namespace), seed).run()


class Play:
    """Jobs of four keys in two queues, drawn by dice, and what is known of them."""

    LIMITS = (
        RateLimit("c", 2),
        RateLimit("r", limit=20, burst=2),
        RateLimit("both", 1, limit=50),
        None,
    )

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.dice = scene, random.Random(seed)
        self.running: dict[str, Execution] = {}
        self.live: set[str] = set()
        self.starts: list[int] = []
        self.made = 0

    def run(self) -> None:
        for number in range(60):
            self.dice.choice([self.enqueue, self.enqueue, self.work, self.work, self.work, self.operate])()
            self.check()
            if number % 5 == 0:
                self.check_keys()
        for _ in range(300):
            if not self.live:
                break
            self.work(all_of_it=True)
            self.check()
        self.check_keys()
        assert not self.live, "every job has run"

    def enqueue(self) -> None:
        for _ in range(self.dice.choice([1, 2, 5])):
            limit = self.dice.choice(self.LIMITS)
            name = f"{limit.key if limit else 'free'}-{self.made}"
            self.made += 1
            policy = self.dice.choice([None, retries(2), repeats(1)])
            job = new_job(name, front=self.dice.random() < 0.2, policy=policy, limit=limit.to_text() if limit else "")
            self.scene.enqueue(job, queue=self.dice.choice(["q0", "q1"]))
            self.live.add(name)

    def operate(self) -> None:
        if self.live:
            name = self.dice.choice(sorted(self.live))
            if name not in self.running:
                request: Any = verbs.cancel(name, "n") if self.dice.random() < 0.5 else verbs.delete([name], "n")
                self.scene.run(request)
                self.live.discard(name)

    def work(self, *, all_of_it: bool = False) -> None:
        scene, dice = self.scene, self.dice
        scene.pass_ms(dice.choice([1, 7, 30, 120]))
        ending = [one for one in self.running.values() if all_of_it or dice.random() < 0.5]
        settlements = []
        for execution in ending:
            del self.running[execution.job_id]
            outcome = returned() if all_of_it else dice.choice([returned(), raised(), raised(Reason.KILLED)])
            settlements.append(scene.judged(execution, outcome))
        want = dice.choice([1, 4, 8])
        turned = scene.turn(
            "w",
            *settlements,
            want=want,
            free=dice.randint(1, want),
            sweep=True,
            queues=dice.choice([("q0", "q1"), ("q1", "q0")]),
        )
        assert all(word.startswith("ok") for word in turned.words)
        for settlement in settlements:
            if scene.status(settlement.execution.job_id) in (JobStatus.FINISHED, JobStatus.FAILED):
                self.live.discard(settlement.execution.job_id)
        for execution in turned.granted:
            self.running[execution.job_id] = execution
            if execution.job_id.startswith("r-"):
                self.starts.append(scene.now_ms)
        scene.run(turns.renew("w", {"state": "busy"}, list(self.running.values())))

    def check(self) -> None:
        running = Counter(name.partition("-")[0] for name in self.running)
        assert running["c"] <= 2
        assert running["both"] <= 1
        for index in range(len(self.starts)):
            first = self.starts[index]
            within = [moment for moment in self.starts[index:] if moment <= first + 500]
            assert len(within) <= (within[-1] - first + LATE_MS) / 50 + 2

    def check_keys(self) -> None:
        assert violations(self.scene.dump(), self.scene.store.keys, self.scene.now_ms) == []
