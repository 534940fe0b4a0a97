"""What a waiter for many jobs is told of each in one call, and that no value is among it."""

from __future__ import annotations

import pytest

from rqlike.options import Policy
from rqlike.states import JobStatus, ResultType
from rqlike.store import verbs
from rqlike.store.gathering import Sought, Standing, standings
from rqlike.store.requests import Request
from rqlike.store.waiting import SWEEP_CHANCE_S
from tests.store.builders import BASE_MS, QUEUE, Scene, new_job, policy, raised, repeats, retries, returned


def standing(scene: Scene, job_id: str, cycle: int = 1) -> Standing:
    """Of one handle, with how its cycle ended."""
    (found,) = scene.run(standings([Sought(job_id, cycle)], how=True))
    return found


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_job_in_any_status_is_told_with_its_cycle(scene: Scene, status: JobStatus) -> None:
    scene.put(status)
    found = standing(scene, "j")
    assert (found.status, found.cycle, found.created_ms) == (status, 1, BASE_MS)


def test_jobs_are_told_in_the_order_in_which_they_are_asked_for(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a")
    scene.enqueue(new_job("b"))
    asked = [Sought(job_id, 1) for job_id in ("b", "nobody", "a", "b")]
    for how in (False, True):
        found = [one.status for one in scene.run(standings(asked, how=how))]
        assert found == [JobStatus.QUEUED, None, JobStatus.FINISHED, JobStatus.QUEUED]


def test_the_newest_entry_of_a_live_job_is_told(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(2)))
    assert standing(scene, "j").newest_id == "0-0"
    scene.settle(scene.claim_one(), raised())
    assert standing(scene, "j").newest_id == scene.history("j")[0].id


def test_a_deadline_is_told_while_it_can_be_missed(scene: Scene) -> None:
    scene.enqueue(new_job("j", ttl_ms=300, policy=Policy()))
    assert 0.3 + SWEEP_CHANCE_S <= (standing(scene, "j").expiry_s or 0) <= 0.3 + 2 * SWEEP_CHANCE_S
    scene.now_ms += 200
    assert 0.1 + SWEEP_CHANCE_S <= (standing(scene, "j").expiry_s or 0) <= 0.1 + 2 * SWEEP_CHANCE_S
    scene.claim_one()
    assert standing(scene, "j").expiry_s is None


def test_how_an_earlier_cycle_ended_is_found_in_the_history(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=repeats(1)))
    scene.settle(scene.claim_one(), returned())
    scene.settle(scene.claim_one(), raised())
    scene.run(verbs.requeue(["j"], "r", at_front=False))
    endings = [standing(scene, "j", cycle).ending for cycle in (1, 2, 3)]
    assert endings == [ResultType.SUCCESSFUL, ResultType.FAILED, None]


def test_a_cycle_that_a_notice_ended_has_no_ending_once_another_one_began(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    scene.run(verbs.cancel("j", "c"))
    scene.run(verbs.requeue(["j"], "r", at_front=False))
    assert standing(scene, "j").ending is None


def test_how_a_job_ended_that_is_gone_at_once_is_told_for_as_long_as_its_trace_is_there(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=policy(result_ttl=0)), new_job("k"))
    scene.settle(scene.claim_one(), returned())
    scene.run(verbs.delete(["k"], "d"))
    assert standing(scene, "j")[::4] == (None, ResultType.SUCCESSFUL)
    assert standing(scene, "k")[::4] == (None, None)
    assert scene.run(standings([Sought("j", 1)], how=False))[0].ending is None


def test_an_answer_does_not_grow_with_what_jobs_have_returned(scene: Scene) -> None:
    scene.enqueue(*[new_job(f"j{number}", policy=repeats(1)) for number in range(10)])
    for execution in scene.claim(10):
        scene.settle(execution, returned(bytes(100_000)))
    request = standings([Sought(f"j{number}", 1) for number in range(10)], how=True)
    assert [one.ending for one in scene.run(request)] == [ResultType.SUCCESSFUL] * 10
    as_it_comes: Request[bytes] = Request(request.script, request.arguments, lambda reply: repr(reply).encode())
    assert len(scene.run(as_it_comes)) < 4_000


def test_what_is_no_job_or_no_history_hides_no_other(scene: Scene) -> None:
    scene.enqueue(*[new_job(job_id) for job_id in ("list", "strange", "no history", "fine")])
    keys = scene.store.keys
    scene.client.delete(keys.job("list"))
    scene.client.rpush(keys.job("list"), "x")
    scene.client.hset(keys.job("strange"), "s", "perhaps")
    scene.client.set(keys.results("no history"), "x")
    found = {job_id: standing(scene, job_id, 2) for job_id in ("list", "strange", "no history", "fine")}
    assert [one.status for one in found.values()] == [None, None, JobStatus.QUEUED, JobStatus.QUEUED]
    assert [one.newest_id for one in found.values()][2:] == ["", "0-0"]
    assert found["no history"].ending is None
    scene.client.delete(keys.job("list"), keys.results("no history"), keys.events(QUEUE))
    scene.client.hset(keys.job("strange"), "s", "queued")
    scene.client.zrem(keys.home("queued", QUEUE), "list")
