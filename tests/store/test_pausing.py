"""Paused queues: nothing is claimed from them, everything else goes on, and who is idle learns of the end."""

from __future__ import annotations

import pytest

from rqlike import fields
from rqlike.settings import BAND_WIDTH, LEASE_MS, MARKERS, NORMAL_BAND
from rqlike.states import JobStatus
from rqlike.store import pauses, turns, verbs
from rqlike.store.pauses import PauseRecord
from tests.store.builders import QUEUE, Scene, new_job, policy, raised, repeats, retries, returned

ALL = ""


def pause(scene: Scene, queue: str = QUEUE, ttl_ms: int | None = None, nonce: str = "p", reason: str = "") -> None:
    scene.run(pauses.pause(queue, nonce, ttl_ms, reason))


def resume(scene: Scene, queue: str = QUEUE, nonce: str = "r") -> bool:
    return scene.run(pauses.resume(queue, nonce))


def pause_of(scene: Scene, queue: str = QUEUE) -> PauseRecord | None:
    return scene.run(pauses.pauses([queue]))[0]


@pytest.mark.parametrize("name", [QUEUE, ALL])
@pytest.mark.parametrize("sweep", [True, False])
def test_nothing_is_claimed_from_a_paused_queue_until_it_is_resumed(scene: Scene, name: str, sweep: bool) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    assert [one.job_id for one in scene.claim()] == ["a"]
    pause(scene, name)
    turned = scene.turn(want=2, sweep=sweep)
    assert (turned.granted, turned.paused) == ((), (name,))
    assert resume(scene, name)
    turned = scene.turn(want=2, sweep=sweep)
    assert ([one.job_id for one in turned.granted], turned.paused) == (["b"], ())


def test_the_other_queues_of_a_worker_are_served(scene: Scene) -> None:
    scene.enqueue(new_job("a"), queue="a")
    scene.enqueue(new_job("b"), queue="b")
    pause(scene, "a")
    turned = scene.turn(want=5, queues=("a", "b"))
    assert ([one.job_id for one in turned.granted], turned.paused) == (["b"], ("a",))
    resume(scene, "a")


def test_a_suspension_and_a_pause_hold_each_by_itself(scene: Scene) -> None:
    scene.enqueue(new_job("a"))
    pause(scene, QUEUE, nonce="p1")
    pause(scene, ALL, nonce="p2")
    assert scene.turn(want=1).paused == (ALL, QUEUE)
    assert resume(scene, ALL)
    assert scene.turn(want=1).paused == (QUEUE,)
    assert resume(scene, QUEUE, "r2")
    assert len(scene.claim()) == 1


def test_what_runs_is_finished_retried_and_given_back(scene: Scene) -> None:
    scene.enqueue(*(new_job(job_id, policy=retries(1)) for job_id in ("finished", "retried", "given")))
    finished, retried, given = scene.claim(3)
    pause(scene)
    assert scene.settle(finished, returned()) == scene.settle(retried, raised()) == scene.give_back(given) == "ok"
    assert scene.order() == ["given", "retried"]
    assert scene.claim(3) == ()


def test_due_jobs_are_queued_and_missed_deadlines_end_jobs_while_a_queue_is_paused(scene: Scene) -> None:
    scene.enqueue(new_job("due", due="+1000"), new_job("late", ttl_ms=1000))
    pause(scene)
    scene.pass_ms(1001)
    assert scene.turn(want=1, sweep=True).granted == ()
    assert (scene.order(), scene.status("late")) == (["due"], JobStatus.EXPIRED)


def test_executions_of_a_lost_worker_are_recovered_while_a_queue_is_paused(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    scene.claim(worker="lost")
    pause(scene)
    scene.pass_ms(LEASE_MS + 1)
    (lapsed,) = scene.turn("other", want=1, sweep=True).lapsed
    assert lapsed.job_id == "j"


def test_a_job_is_enqueued_into_a_paused_queue_and_can_be_run_in_the_caller(scene: Scene) -> None:
    pause(scene)
    (answer,) = scene.enqueue(new_job("j"))
    assert (answer.word, answer.status) == ("new", JobStatus.QUEUED)
    assert scene.run(turns.begin("j", "inline", "t", 1000)) is not None


# -- its end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [QUEUE, ALL])
def test_a_pause_is_over_at_its_end_and_leaves_nothing(scene: Scene, name: str) -> None:
    scene.enqueue(new_job("j"))
    pause(scene, name, ttl_ms=5000, reason="a deploy")
    assert pause_of(scene, name) == PauseRecord(scene.now_ms, scene.now_ms + 5000, "a deploy")
    scene.pass_ms(4999)
    assert scene.claim() == ()
    scene.pass_ms(1)
    assert pause_of(scene, name) is None
    assert len(scene.claim()) == 1
    assert scene.store.keys.pauses() not in scene.dump()


@pytest.mark.parametrize("name", [QUEUE, ALL])
def test_the_end_of_a_pause_is_a_moment_that_one_worker_is_told_to_wake_for(scene: Scene, name: str) -> None:
    scene.enqueue(new_job("j"))
    pause(scene, name, ttl_ms=5000)
    assert scene.turn("w", want=1, sweep=True).moment_ms == scene.now_ms + 5000
    assert scene.turn("other", want=1, sweep=True).moment_ms is None


def test_the_moment_is_that_at_which_nothing_holds_the_queue_any_more(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    pause(scene, QUEUE, 5000)
    pause(scene, ALL, 9000)
    assert scene.turn(want=1, sweep=True).moment_ms == scene.now_ms + 9000
    scene.enqueue(new_job("due", due="+1000"))
    assert scene.turn(want=1, sweep=True).moment_ms == scene.now_ms + 1000
    resume(scene, ALL)
    resume(scene, QUEUE)


def test_a_pause_without_an_end_gives_no_moment(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    pause(scene)
    assert scene.turn(want=1, sweep=True).moment_ms is None


def test_a_worker_that_leaves_wakes_another_one_for_the_end_of_the_pause(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    pause(scene, ttl_ms=5000)
    scene.turn("w", want=1, sweep=True)
    assert scene.markers() == 0
    scene.run(turns.depart("w"))
    assert scene.markers() == 1
    assert scene.turn("other", want=1, sweep=True, woken=True).moment_ms == scene.now_ms + 5000


# -- markers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [QUEUE, ALL])
@pytest.mark.parametrize("jobs", [3, MARKERS + 10])
def test_a_pause_takes_the_markers_and_its_end_rings_one_per_job(scene: Scene, name: str, jobs: int) -> None:
    scene.enqueue(*(new_job(f"j{number}") for number in range(jobs)))
    pause(scene, name)
    assert scene.markers() == 0
    resume(scene, name)
    assert scene.markers() == min(jobs, MARKERS)


@pytest.mark.parametrize("name", [QUEUE, ALL])
def test_the_end_of_a_ttl_rings_for_the_jobs_that_its_finder_does_not_take(scene: Scene, name: str) -> None:
    scene.enqueue(*(new_job(f"j{number}") for number in range(3)))
    scene.enqueue(new_job("elsewhere"), queue="other")
    pause(scene, name, ttl_ms=1000)
    scene.pass_ms(1000)
    assert len(scene.turn(want=1, sweep=True).granted) == 1
    assert scene.markers() == 3
    assert scene.markers("other") == 1


def test_who_is_woken_for_a_paused_queue_leaves_no_marker_that_would_wake_it_again(scene: Scene) -> None:
    pause(scene)
    scene.enqueue(new_job("a"), new_job("b"))
    assert scene.markers() == 2
    assert scene.turn(want=1, woken=True).granted == ()
    assert scene.markers() == 0


def test_nothing_rings_where_nothing_waits(scene: Scene) -> None:
    pause(scene)
    assert resume(scene)
    assert scene.markers() == 0


# -- calls sent again --------------------------------------------------------------------------------------------------


def test_a_pause_sent_again_does_not_move_its_end_nor_come_back_after_a_resume(scene: Scene) -> None:
    request = pauses.pause(QUEUE, "p", 5000, "")
    scene.run(request)
    first = pause_of(scene)
    scene.pass_ms(100)
    scene.run(request)
    assert pause_of(scene) == first
    resume(scene)
    scene.run(request)
    assert pause_of(scene) is None


@pytest.mark.parametrize("was_paused", [True, False])
def test_a_resume_sent_again_is_answered_the_same_and_ends_no_later_pause(scene: Scene, was_paused: bool) -> None:
    if was_paused:
        pause(scene)
    request = pauses.resume(QUEUE, "r")
    assert scene.run(request) is was_paused
    assert scene.run(request) is was_paused
    pause(scene, nonce="another")
    assert scene.run(request) is was_paused
    assert pause_of(scene) is not None
    assert scene.client.pttl(scene.store.keys.resumed(QUEUE)) > 0


def test_a_claim_sent_again_is_told_of_the_pause_again(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    pause(scene, ttl_ms=5000)
    first = scene.turn(want=1, sweep=True)
    assert scene.again() == first
    assert first.paused == (QUEUE,)


def test_a_second_pause_replaces_the_end_and_the_reason(scene: Scene) -> None:
    pause(scene, ttl_ms=5000, nonce="p1", reason="one")
    pause(scene, nonce="p2", reason="two words")
    assert pause_of(scene) == PauseRecord(scene.now_ms, None, "two words")


# -- what something else has written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", ["", "x", "1 2", "1 soon n r", "1 -5 n r"])
def test_a_record_that_is_none_of_rqlikes_pauses_nothing(scene: Scene, garbage: str) -> None:
    scene.enqueue(new_job("j"))
    scene.client.hset(scene.store.keys.pauses(), QUEUE, garbage)
    assert pause_of(scene) is None
    assert len(scene.claim()) == 1
    assert scene.store.keys.pauses() not in scene.dump()


def test_a_key_of_another_type_pauses_nothing_and_is_told(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    scene.client.set(scene.store.keys.pauses(), "garbage")
    turned = scene.turn(want=1)
    assert len(turned.granted) == 1
    assert "WRONGTYPE" in turned.problems[0].text
    assert pause_of(scene) is None
    pause(scene)
    assert scene.claim() == ()
    resume(scene)


# -- priorities --------------------------------------------------------------------------------------------------------


def test_higher_priorities_go_first_and_those_of_one_in_the_order_of_their_enqueue(scene: Scene) -> None:
    scene.enqueue(new_job("normal 1"), new_job("low 1", policy=policy(priority=-100)))
    scene.enqueue(new_job("high 1", policy=policy(priority=100)), new_job("front", front=True))
    scene.enqueue(new_job("high 2", policy=policy(priority=100)), new_job("some", policy=policy(priority=1)))
    scene.enqueue(new_job("low 2", policy=policy(priority=-100)), new_job("normal 2"))
    expected = ["front", "high 1", "high 2", "some", "normal 1", "normal 2", "low 1", "low 2"]
    assert scene.order() == expected
    assert [one.job_id for one in scene.claim(8)] == expected


def test_a_job_keeps_its_priority_when_it_is_due_given_back_retried_repeated_and_requeued(scene: Scene) -> None:
    high = policy(priority=50, retry=retries(1).retry, repeat=repeats(1).repeat)
    scene.enqueue(new_job("normal"), new_job("high", policy=high, due="+1000"))
    scene.pass_ms(1000)
    scene.turn(sweep=True)
    for act in ("give back", "retry", "repeat", "fail", "requeue"):
        assert scene.order() == ["high", "normal"], act
        taken = scene.claim_one()
        assert taken.job_id == "high"
        if act == "give back":
            scene.give_back(taken)
        else:
            scene.settle(taken, returned() if act == "repeat" else raised())
        if act == "fail":  # the retry of its second cycle
            scene.settle(scene.claim_one(), raised())
            scene.run(verbs.requeue(["high"], "r", at_front=False))
    assert scene.order() == ["high", "normal"]


def test_what_was_once_at_the_front_comes_back_with_its_own_priority(scene: Scene) -> None:
    scene.enqueue(new_job("j", front=True, policy=policy(priority=-7)), new_job("normal"))
    scene.settle(scene.claim_one(), raised())
    scene.run(verbs.requeue(["j"], "r1", at_front=False))
    assert scene.order() == ["normal", "j"]
    (_, score) = scene.run(verbs.listing(JobStatus.QUEUED, QUEUE))[1]
    assert score // BAND_WIDTH == NORMAL_BAND + 7
    scene.claim(2)


@pytest.mark.parametrize("garbage", ["x", "", "-5", "1e300", "nan"])
def test_a_priority_that_is_none_of_rqlikes_is_the_normal_one(scene: Scene, garbage: str) -> None:
    scene.put(JobStatus.FAILED)
    scene.client.hset(scene.store.keys.job("j"), fields.JOB["band"], garbage)
    assert scene.run(verbs.requeue(["j"], "r", at_front=False)) == ["ok"]
    ((_, score),) = scene.run(verbs.listing(JobStatus.QUEUED, QUEUE))
    assert score // BAND_WIDTH == NORMAL_BAND


def test_a_new_cycle_of_an_id_has_the_priority_of_its_own_enqueue(scene: Scene) -> None:
    scene.enqueue(new_job("j", "n1", policy=policy(priority=9)))
    scene.settle(scene.claim_one(), raised())
    scene.enqueue(new_job("normal"), new_job("j", "n2"))
    assert scene.order() == ["normal", "j"]
    assert scene.client.hget(scene.store.keys.job("j"), fields.JOB["band"]) is None
