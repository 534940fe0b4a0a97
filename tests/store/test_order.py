"""The order of a queue: who is next, after whatever happened to it."""

from __future__ import annotations

import pytest

from rqlike.settings import BAND_WIDTH, FRONT_BAND, NORMAL_BAND, PRUNE_LIMIT, SWEEP_LIMIT
from rqlike.states import JobStatus
from rqlike.store import verbs
from tests.store.builders import QUEUE, Scene, new_job, policy, raised, repeats, retries, returned

LAST = BAND_WIDTH - 10


def test_jobs_of_one_call_and_of_many_are_taken_in_the_order_of_their_enqueue(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("z"), new_job("b"))
    scene.enqueue(new_job("y"))
    scene.enqueue(new_job("c"))
    assert scene.order() == ["a", "z", "b", "y", "c"]
    assert [execution.job_id for execution in scene.claim(4)] == ["a", "z", "b", "y"]


def test_jobs_at_the_front_go_before_the_others_and_the_latest_of_them_first(scene: Scene) -> None:
    scene.enqueue(new_job("n1"))
    scene.enqueue(new_job("f1", front=True), new_job("f2", front=True))
    scene.enqueue(new_job("n2"))
    scene.enqueue(new_job("f3", front=True))
    assert scene.order() == ["f3", "f2", "f1", "n1", "n2"]


def test_what_is_given_back_goes_to_its_exact_place_without_an_entry_or_an_attempt(scene: Scene) -> None:
    scene.enqueue(new_job("f", front=True), *(new_job(f"n{n}") for n in range(4)))
    taken = scene.claim(4)
    scene.enqueue(new_job("later"))
    for execution in (taken[2], taken[0], taken[1]):
        assert scene.give_back(execution) == "ok"
    assert scene.order() == ["f", "n0", "n1", "n3", "later"]
    job = scene.job("f")
    assert job is not None
    assert (job.attempt, job.token, job.worker_name, job.started_ms) == (0, None, None, None)
    assert scene.history("f") == []


def test_promoted_jobs_come_by_their_time_and_after_those_that_wait(scene: Scene) -> None:
    scene.enqueue(new_job("waiting"))
    for job_id, due in (("third", "+300"), ("first", "+100"), ("second", "+200")):
        scene.enqueue(new_job(job_id, due=due))
    scene.enqueue(new_job("not yet", due="+10000"))
    scene.enqueue(new_job("front", due="+250", front=True))
    scene.pass_ms(300)
    scene.turn(sweep=True)
    scene.enqueue(new_job("afterwards"))
    assert scene.order() == ["front", "waiting", "first", "second", "third", "afterwards"]


def test_a_job_enqueued_after_a_promotion_is_not_level_with_the_promoted(scene: Scene) -> None:
    scene.enqueue(new_job("zz", due="+1"))
    scene.pass_ms(1)
    scene.turn(sweep=True)
    scene.enqueue(new_job("aa"))
    scores = [score for _, score in scene.run(verbs.listing(JobStatus.QUEUED, QUEUE))]
    assert scene.order() == ["zz", "aa"]
    assert len(set(scores)) == 2


def test_a_sweep_promotes_a_bounded_number_and_the_next_one_the_rest(scene: Scene) -> None:
    scene.enqueue(*(new_job(f"j{n:03}", due=f"+{n + 1}") for n in range(SWEEP_LIMIT + 20)))
    scene.pass_ms(1000)
    scene.turn(sweep=True)
    assert len(scene.order()) == SWEEP_LIMIT
    scene.turn(sweep=True)
    assert scene.order() == [f"j{n:03}" for n in range(SWEEP_LIMIT + 20)]


def test_a_retry_goes_behind_the_others_or_where_it_asks_before_them(scene: Scene) -> None:
    scene.enqueue(new_job("behind", policy=retries(1)), new_job("before", policy=retries(1, front=True)), new_job("x"))
    for execution in scene.claim(2):
        scene.settle(execution, raised())
    assert scene.order() == ["before", "x", "behind"]


def test_a_retry_that_waits_goes_to_the_front_when_it_is_due(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(1, 5, front=True)))
    scene.settle(scene.claim_one(), raised())
    scene.enqueue(new_job("x"))
    scene.pass_ms(5000)
    scene.turn(sweep=True)
    assert scene.order() == ["j", "x"]


def test_requeued_jobs_keep_the_order_given_and_go_to_the_front_on_request(scene: Scene) -> None:
    for job_id in ("a", "b", "c"):
        scene.put(JobStatus.FAILED, job_id)
    scene.enqueue(new_job("x"))
    scene.run(verbs.requeue(["c", "a"], "r1", at_front=False))
    scene.run(verbs.requeue(["b"], "r2", at_front=True))
    assert scene.order() == ["b", "x", "c", "a"]


def test_a_repeat_goes_behind_the_others(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=repeats(1)), new_job("x"))
    scene.settle(scene.claim_one(), returned())
    assert scene.order() == ["x", "j"]


@pytest.mark.parametrize("front", [True, False])
def test_places_are_exact_up_to_the_width_of_a_band(scene: Scene, front: bool) -> None:
    scene.client.set(scene.store.keys.sequence(), LAST)
    ids = [f"j{n}" for n in range(5)]
    for job_id in ids:
        scene.enqueue(new_job(job_id, front=front))
    expected = list(reversed(ids)) if front else ids
    assert scene.order() == expected
    scores = [int(score) for _, score in scene.run(verbs.listing(JobStatus.QUEUED, QUEUE))]
    if front:
        assert scores == [BAND_WIDTH * FRONT_BAND + BAND_WIDTH - 1 - (LAST + n) for n in (4, 3, 2, 1, 0)]
    else:
        assert scores == [BAND_WIDTH * NORMAL_BAND + LAST + n for n in range(5)]
    taken = scene.claim(3)
    for execution in taken:
        scene.give_back(execution)
    assert scene.order() == expected


def test_a_large_queue_is_taken_in_order_across_many_claims(scene: Scene) -> None:
    ids = [f"j{n * 7919 % 1000:04}" for n in range(1000)]
    for first in range(0, 1000, 250):
        scene.enqueue(*(new_job(job_id) for job_id in ids[first : first + 250]))
    taken = [execution.job_id for _ in range(10) for execution in scene.claim(100)]
    assert taken == ids


def test_queues_are_served_in_the_order_a_worker_names_them(scene: Scene) -> None:
    scene.enqueue(new_job("low"), queue="low")
    scene.enqueue(new_job("high1"), new_job("high2"), queue="high")
    taken = scene.claim(5, queues=("high", "low"))
    assert [(execution.job.queue, execution.job_id) for execution in taken] == [
        ("high", "high1"),
        ("high", "high2"),
        ("low", "low"),
    ]


def test_a_rank_a_count_and_a_listing_agree_with_the_order(scene: Scene) -> None:
    scene.enqueue(*(new_job(f"j{n}") for n in range(4)))
    assert [scene.run(verbs.find(f"j{n}")).rank for n in range(4)] == [0, 1, 2, 3]
    assert scene.run(verbs.find("nobody")).status is None
    (counts,) = scene.run(verbs.counts([QUEUE]))
    assert counts[JobStatus.QUEUED] == 4 and sum(counts.values()) == 4
    listed = scene.run(verbs.listing(JobStatus.QUEUED, QUEUE, 1, 2, descending=True))
    assert [job_id for job_id, _ in listed] == ["j2", "j1"]


def test_what_has_expired_is_neither_counted_nor_listed_before_it_is_pruned(scene: Scene) -> None:
    for number, ttl in enumerate((10.0, -1.0, 30.0)):
        scene.put(JobStatus.FINISHED, f"j{number}", policy=policy(result_ttl=ttl))
    scene.pass_ms(15_000)
    (counts,) = scene.run(verbs.counts([QUEUE]))
    assert counts[JobStatus.FINISHED] == 2
    assert scene.order(JobStatus.FINISHED) == ["j2", "j1"]
    listed = scene.run(verbs.listing(JobStatus.FINISHED, QUEUE, 0, 0, descending=True))
    assert [job_id for job_id, _ in listed] == ["j1"]
    assert [job_id for job_id, _ in scene.run(verbs.listing(JobStatus.FINISHED, QUEUE, -1))] == ["j1"]
    before = scene.client.zcard(scene.store.keys.home("finished", QUEUE))
    scene.turn(sweep=True, prune=True)
    assert (before, scene.client.zcard(scene.store.keys.home("finished", QUEUE))) == (3, 2)


def test_a_worker_is_told_where_more_has_expired_than_one_call_removes(scene: Scene) -> None:
    home = scene.store.keys.home("finished", QUEUE)
    scene.client.zadd(home, {f"j{number}": scene.now_ms - 1 for number in range(PRUNE_LIMIT + 1)})
    assert scene.turn(sweep=True, prune=True).more_to_prune
    assert scene.client.zcard(home) == 1
    assert not scene.turn(sweep=True, prune=True).more_to_prune
    assert scene.client.zcard(home) == 0
