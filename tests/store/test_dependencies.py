"""Jobs that wait for others: when they are queued, canceled, or go on waiting, and that none is forgotten."""

from __future__ import annotations

import pytest

from rqlike.outcomes import Outcome
from rqlike.records import Execution, NoticeRecord
from rqlike.settings import FRONT_BAND, LEASE_MS, TELL_LIMIT
from rqlike.states import JobStatus, Reason
from rqlike.store import erasures, groups, verbs
from rqlike.store.pages import BEGINNING
from tests.store.builders import QUEUE, Scene, new_job, policy, raised, repeats, retries, returned

ENDS = [status for status in JobStatus if status.terminal]
WISHES = ["c", "r", "w"]


def start(scene: Scene, job_id: str = "p", **fields: object) -> Execution:
    """A started parent."""
    scene.enqueue(new_job(job_id, **fields))  # type: ignore[arg-type]
    return scene.claim_one()


def reason_of(scene: Scene, job_id: str) -> str:
    (notice,) = scene.run(verbs.peek(job_id, QUEUE, 10)).entries
    assert isinstance(notice, NoticeRecord)
    return notice.reason


def unsettled(scene: Scene) -> list[bytes]:
    return [bytes(one) for one in scene.client.zrange(scene.store.keys.unsettled(), 0, -1)]  # type: ignore[arg-type]


def nothing_left(scene: Scene) -> bool:
    """Of the lists of those that wait."""
    keys = scene.store.keys
    return not any(key.startswith((keys.dependents(""), keys.telling(""), keys.unsettled())) for key in scene.dump())


# -- one parent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", WISHES)
def test_a_job_waits_for_its_parent_and_is_queued_when_that_one_has_finished(scene: Scene, wish: str) -> None:
    parent = start(scene)
    (answer,) = scene.enqueue(new_job("a", needs=f"{wish} p"))
    assert (answer.status, scene.status("a"), scene.claim()) == (JobStatus.DEFERRED, JobStatus.DEFERRED, ())
    assert scene.run(groups.dependents("p")) == ["a"]
    turned = scene.turn("w", scene.judged(parent, returned()), want=1)
    assert [execution.job_id for execution in turned.granted] == ["a"]  # by the very call that ended its parent
    assert nothing_left(scene)


@pytest.mark.parametrize("status", [status for status in JobStatus if not status.terminal])
def test_a_job_waits_for_a_parent_in_any_live_status(scene: Scene, status: JobStatus) -> None:
    scene.put(status, "p")
    scene.enqueue(new_job("a", needs="c p"))
    assert scene.status("a") is JobStatus.DEFERRED


def test_a_job_whose_parent_has_finished_already_is_queued_at_once(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "p")
    (answer,) = scene.enqueue(new_job("a", needs="c p"))
    assert (answer.status, scene.status("a"), nothing_left(scene)) == (JobStatus.QUEUED, JobStatus.QUEUED, True)


def test_a_job_whose_parent_has_just_vanished_is_queued_at_once(scene: Scene) -> None:
    parent = start(scene, policy=policy(result_ttl=0.0))
    scene.settle(parent, returned())
    assert scene.enqueue(new_job("a", needs="c p"))[0].status is JobStatus.QUEUED


@pytest.mark.parametrize("end", [end for end in ENDS if end is not JobStatus.FINISHED])
@pytest.mark.parametrize(("wish", "status"), [("c", "canceled"), ("r", "queued"), ("w", "deferred")])
def test_what_becomes_of_a_job_whose_parent_did_not_finish(
    scene: Scene, end: JobStatus, wish: str, status: str
) -> None:
    scene.put(end, "p")
    (answer,) = scene.enqueue(new_job("a", needs=f"{wish} p"))
    assert (answer.status, scene.status("a")) == (status, status)
    if wish == "c":
        assert reason_of(scene, "a") == "dependency"


@pytest.mark.parametrize("way", ["failed", "stopped", "canceled", "expired", "abandoned"])
@pytest.mark.parametrize(("wish", "status"), [("c", "canceled"), ("r", "queued"), ("w", "deferred")])
def test_what_becomes_of_a_job_when_its_parent_ends_otherwise(scene: Scene, way: str, wish: str, status: str) -> None:
    scene.enqueue(new_job("p", ttl_ms=1000 if way == "expired" else None))
    scene.enqueue(new_job("a", needs=f"{wish} p"))
    if way == "canceled":
        scene.run(verbs.cancel("p", "n"))
    elif way == "expired":
        scene.pass_ms(1001)
        scene.run(verbs.expire("p"))
    elif way == "abandoned":
        scene.claim_one("lost")
        scene.now_ms += LEASE_MS
        (lapsed,) = scene.turn("w", sweep=True).lapsed
        scene.settle(lapsed, Outcome.abandoned("lost", 0.0))
    else:
        scene.settle(scene.claim_one(), raised(Reason.STOPPED if way == "stopped" else Reason.EXCEPTION))
    assert scene.status("a") == status
    assert scene.status("p") is not None


@pytest.mark.parametrize(("wish", "status"), [("c", "canceled"), ("r", "queued"), ("w", "canceled")])
def test_what_becomes_of_a_job_when_its_parent_is_deleted(scene: Scene, wish: str, status: str) -> None:
    scene.enqueue(new_job("p"), new_job("a", needs=f"{wish} p"))
    scene.run(verbs.delete(["p"], "n"))
    assert (scene.status("a"), nothing_left(scene)) == (status, True)


def test_with_a_parent_its_dependents_may_be_deleted_all_the_way_down(scene: Scene) -> None:
    scene.enqueue(new_job("p"), new_job("a", needs="w p"), new_job("b", needs="c a"), new_job("c", needs="c b"))
    scene.run(verbs.delete(["p"], "n", dependents_too=True))
    assert [scene.status(name) for name in "pabc"] == [None] * 4
    assert nothing_left(scene)


def test_a_canceled_parent_may_let_its_dependents_go_on(scene: Scene) -> None:
    scene.enqueue(new_job("p"), new_job("a", needs="c p"))
    scene.run(verbs.cancel("p", "n", enqueue_dependents=True))
    assert (scene.status("p"), scene.status("a")) == (JobStatus.CANCELED, JobStatus.QUEUED)


def test_so_may_one_that_is_canceled_while_it_runs(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(new_job("a", needs="c p"))
    scene.run(verbs.cancel("p", "n", enqueue_dependents=True))
    scene.settle(parent, raised(Reason.CANCELED))
    assert (scene.status("p"), scene.status("a")) == (JobStatus.CANCELED, JobStatus.QUEUED)


@pytest.mark.parametrize("way", ["requeued", "enqueued"])
def test_so_it_may_for_that_cycle_alone(scene: Scene, way: str) -> None:
    scene.enqueue(new_job("p"), new_job("a", needs="c p"))
    scene.run(verbs.cancel("p", "n", enqueue_dependents=True))
    if way == "requeued":
        scene.run(verbs.requeue(["p"], "m", at_front=False))
    else:
        scene.enqueue(new_job("p", "again"))
    scene.enqueue(new_job("b", needs="c p"))
    scene.run(verbs.cancel("p", "o"))
    assert (scene.status("a"), scene.status("b")) == (JobStatus.QUEUED, JobStatus.CANCELED)


def test_an_attempt_that_is_followed_by_another_one_ends_nothing(scene: Scene) -> None:
    parent = start(scene, policy=retries(1))
    scene.enqueue(new_job("a", needs="c p"))
    scene.settle(parent, raised())
    assert scene.status("a") is JobStatus.DEFERRED
    scene.settle(scene.claim_one(), returned())
    assert scene.status("a") is JobStatus.QUEUED


def test_the_first_of_many_repetitions_is_enough(scene: Scene) -> None:
    parent = start(scene, policy=repeats(3, 60))
    scene.enqueue(new_job("a", needs="c p"))
    scene.settle(parent, returned())
    assert (scene.status("p"), scene.status("a")) == (JobStatus.SCHEDULED, JobStatus.QUEUED)


# -- waiting for another try -------------------------------------------------------------------------------------------


def test_a_job_that_waits_for_another_try_is_queued_when_that_one_finishes(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(new_job("a", needs="w p"))
    scene.settle(parent, raised())
    assert (scene.status("a"), scene.run(groups.dependents("p"))) == (JobStatus.DEFERRED, ["a"])
    scene.run(verbs.requeue(["p"], "n", at_front=False))
    scene.settle(scene.claim_one(), raised())
    assert scene.status("a") is JobStatus.DEFERRED
    scene.enqueue(new_job("p", "again"))
    scene.settle(scene.claim_one(), returned())
    scene.pass_ms(366 * 86_400_000)  # when it would have been forgotten had it stayed failed
    scene.turn("w", sweep=True)
    assert (scene.status("a"), unsettled(scene)) == (JobStatus.QUEUED, [])


def test_it_is_canceled_when_the_one_it_waits_for_is_gone_for_good(scene: Scene) -> None:
    parent = start(scene, policy=policy(failure_ttl=60.0))
    scene.enqueue(new_job("a", needs="w p"))
    scene.settle(parent, raised())
    scene.pass_ms(60_002)
    assert scene.status("p") is None
    scene.turn("w", sweep=True)
    assert (scene.status("a"), reason_of(scene, "a"), nothing_left(scene)) == (JobStatus.CANCELED, "dependency", True)


def test_so_it_is_where_that_one_had_failed_before_it_came(scene: Scene) -> None:
    parent = start(scene, policy=policy(failure_ttl=60.0))
    scene.settle(parent, raised())
    scene.enqueue(new_job("a", needs="w p"))
    scene.pass_ms(60_002)
    scene.turn("w", sweep=True)
    assert (scene.status("a"), reason_of(scene, "a"), nothing_left(scene)) == (JobStatus.CANCELED, "dependency", True)


def test_one_that_failed_longer_than_expected_is_waited_for_longer(scene: Scene) -> None:
    parent = start(scene, policy=policy(failure_ttl=60.0))
    scene.enqueue(new_job("a", needs="w p"))
    scene.settle(parent, raised())
    scene.run(verbs.save("p", {}, None, 600_000, redate=True))
    scene.pass_ms(60_002)
    scene.turn("w", sweep=True)
    assert (scene.status("p"), scene.status("a")) == (JobStatus.FAILED, JobStatus.DEFERRED)
    scene.pass_ms(600_002)
    scene.turn("w", sweep=True)
    assert scene.status("a") is JobStatus.CANCELED


# -- several parents ---------------------------------------------------------------------------------------------------


def test_a_job_waits_for_all_of_its_parents_in_any_queues(scene: Scene) -> None:
    for name in "xyz":
        scene.enqueue(new_job(name), queue=name)
    scene.enqueue(new_job("a", needs="c x\nr y\nw z"))
    for name in "xyz":
        assert scene.status("a") is JobStatus.DEFERRED
        (execution,) = scene.turn("w", want=1, queues=(name,)).granted
        scene.settle(execution, returned() if name != "y" else raised(), queues=(name,))
    assert scene.status("a") is JobStatus.QUEUED


def test_the_first_parent_that_fails_ends_it(scene: Scene) -> None:
    scene.enqueue(new_job("x"), new_job("y"))
    scene.enqueue(new_job("a", needs="c x\nc y"))
    one, other = scene.claim(2)
    scene.settle(one, raised())
    assert scene.status("a") is JobStatus.CANCELED
    scene.settle(other, returned())
    assert (scene.status("a"), nothing_left(scene)) == (JobStatus.CANCELED, True)


def test_a_dependent_that_was_enqueued_anew_is_not_told_of_what_it_waited_for_before(scene: Scene) -> None:
    one = start(scene, "x")
    scene.enqueue(new_job("y"), queue="other")
    scene.enqueue(new_job("a", "1", needs="c x"))
    scene.run(verbs.cancel("a", "n"))
    scene.enqueue(new_job("a", "2", needs="c y"))
    scene.settle(one, returned())
    assert scene.status("a") is JobStatus.DEFERRED


def test_a_parent_that_was_enqueued_anew_tells_those_of_its_new_cycle_alone(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(*(new_job(f"a{n}", needs="c p") for n in range(2 * TELL_LIMIT)))
    scene.settle(parent, raised())  # half of them are told of it so far
    scene.enqueue(new_job("p", "again"))
    scene.enqueue(new_job("b", needs="c p"))
    for _ in range(3):
        scene.turn("other", sweep=True)
    assert (scene.status(f"a{2 * TELL_LIMIT - 1}"), scene.status("b")) == (JobStatus.CANCELED, JobStatus.DEFERRED)


def test_who_depends_on_no_job_is_refused_and_the_rest_of_the_call_goes_on(scene: Scene) -> None:
    answers = scene.enqueue(new_job("a", needs="c none"), new_job("b"), new_job("c", needs="c b"))
    assert [(answer.word, answer.meant) for answer in answers] == [("orphan", "none"), ("new", ""), ("new", "")]
    assert [scene.status(name) for name in "abc"] == [None, JobStatus.QUEUED, JobStatus.DEFERRED]
    assert str(verbs.orphan(answers[0])).startswith("There is no job none to depend on")


def test_an_atomic_call_may_depend_on_itself_and_is_refused_whole_where_a_parent_is_none(scene: Scene) -> None:
    jobs = [new_job("a"), new_job("b", needs="c a"), new_job("c", needs="c none")]
    answers = scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))
    assert [answer.word for answer in answers] == ["refused", "refused", "orphan"]
    assert scene.status("a") is None
    assert [answer.word for answer in scene.run(verbs.enqueue(QUEUE, jobs[:2], atomic=True))] == ["new", "new"]


@pytest.mark.parametrize("needs", ["c a\nc none", "c held"])
def test_so_it_is_where_only_one_of_its_parents_is_of_the_call_or_one_of_the_call_is_not_made(
    scene: Scene, needs: str
) -> None:
    scene.enqueue(new_job("holder", unique="k"))
    jobs = [new_job("a"), new_job("held", unique="k", wish="return"), new_job("b", needs=needs)]
    answers = scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))
    assert [answer.word for answer in answers] == ["refused", "refused", "orphan"]
    assert [scene.status(job.id) for job in jobs] == [None] * 3


# -- how it comes to its queue -----------------------------------------------------------------------------------------


def test_it_takes_its_place_when_it_is_ready_with_its_priority_or_at_the_front(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(
        new_job("late", needs="c p"),
        new_job("high", needs="c p", policy=policy(priority=5)),
        new_job("front", needs="cf p"),
        new_job("other"),
    )
    scene.settle(parent, returned())
    assert scene.order() == ["front", "high", "other", "late"]
    job = scene.job("front")
    assert job is not None
    assert FRONT_BAND == 0


def test_one_that_is_due_later_is_scheduled_when_it_is_ready_or_queued_where_that_has_passed(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(new_job("later", needs="c p", due="+60000"), new_job("now", needs="c p", due="+1000"))
    scene.now_ms += 2_000
    scene.settle(parent, returned())
    assert (scene.status("later"), scene.status("now")) == (JobStatus.SCHEDULED, JobStatus.QUEUED)


def test_its_ttl_begins_when_it_is_queued(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(new_job("a", needs="c p", ttl_ms=1000))
    scene.now_ms += 10_000
    scene.turn("w", sweep=True)
    assert scene.status("a") is JobStatus.DEFERRED
    scene.settle(parent, returned())
    job = scene.job("a")
    assert job is not None
    assert job.deadline_ms == scene.now_ms + 1000


# -- many --------------------------------------------------------------------------------------------------------------


def test_a_wide_fan_is_told_in_steps_of_a_few_hundred(scene: Scene) -> None:
    parent = start(scene)
    count = 3 * TELL_LIMIT + 10
    for first in range(0, count, 300):
        scene.enqueue(*(new_job(f"a{n}", needs="c p") for n in range(first, min(first + 300, count))))
    turned = scene.turn("w", scene.judged(parent, returned()))
    assert (len(scene.order()), turned.moment_ms) == (TELL_LIMIT, scene.now_ms)  # so its worker comes again at once
    for steps in (2, 3, 4):
        scene.turn("other", sweep=True)
        assert len(scene.order()) == min(steps * TELL_LIMIT, count)
    assert nothing_left(scene)


def test_a_deep_chain_is_canceled_all_the_way_down(scene: Scene) -> None:
    count = 2 * TELL_LIMIT + 10
    scene.enqueue(new_job("a0"))
    scene.enqueue(*(new_job(f"a{n}", needs=f"c a{n - 1}") for n in range(1, 500)))
    scene.enqueue(*(new_job(f"a{n}", needs=f"c a{n - 1}") for n in range(500, count)))
    scene.run(verbs.cancel("a0", "n"))
    for _ in range(2):
        scene.turn("other", sweep=True)
    assert {scene.status(f"a{n}") for n in range(count)} == {JobStatus.CANCELED}
    assert nothing_left(scene)


def test_a_chain_runs_from_end_to_end(scene: Scene) -> None:
    scene.enqueue(new_job("a0"), *(new_job(f"a{n}", needs=f"c a{n - 1}") for n in range(1, 20)))
    execution = scene.claim_one()
    for number in range(1, 20):
        (execution,) = scene.turn("w", scene.judged(execution, returned()), want=1).granted
        assert execution.job_id == f"a{number}"
    scene.settle(execution, returned())


def test_a_call_that_is_sent_again_tells_nobody_twice(scene: Scene) -> None:
    one = start(scene, "x")
    scene.enqueue(new_job("y"), queue="other")
    scene.enqueue(new_job("a", needs="c x\nc y"))
    scene.settle(one, returned())
    scene.again()
    assert scene.status("a") is JobStatus.DEFERRED
    scene.enqueue(new_job("b", "n", needs="c y"))
    assert scene.again()[0].word == "replayed"
    assert scene.run(groups.dependents("y")) == ["a", "b"]


def test_a_dependent_that_cannot_be_worked_with_keeps_none_of_the_others(scene: Scene) -> None:
    parent = start(scene)
    scene.enqueue(*(new_job(name, needs="c p") for name in "abc"))
    key = scene.store.keys.job("b")
    scene.client.delete(key)
    scene.client.set(key, "x")
    scene.turn("w", scene.judged(parent, returned()))
    assert (scene.status("a"), scene.status("c")) == (JobStatus.QUEUED, JobStatus.QUEUED)
    scene.client.delete(key, scene.store.keys.events(QUEUE))  # which says that there is a job b
    scene.client.zrem(scene.store.keys.home("deferred", QUEUE), "b")


@pytest.mark.parametrize("way", ["empty", "clean", "obliterate"])
def test_who_waits_for_what_is_deleted_in_bulk_is_told(scene: Scene, way: str) -> None:
    scene.put(JobStatus.FAILED if way == "clean" else JobStatus.QUEUED, "p")
    scene.enqueue(new_job("a", needs="w p"), queue="other")
    scene.enqueue(new_job("b", needs="r p"), queue="other")
    if way == "empty":
        scene.run(verbs.empty(QUEUE, 100, "n"))
    elif way == "clean":
        scene.run(erasures.clean(QUEUE, JobStatus.FAILED, 0, 100, "n", BEGINNING))
    else:
        scene.run(erasures.obliterate(QUEUE, "n", force=False))
    assert (scene.status("a"), scene.status("b")) == (JobStatus.CANCELED, JobStatus.QUEUED)
    assert nothing_left(scene)
