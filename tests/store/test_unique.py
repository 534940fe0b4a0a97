"""Ids and unique keys: who holds one, for how long, and what becomes of another job that wants it."""

from __future__ import annotations

from typing import Any

import pytest

from rqlike import codec
from rqlike.exceptions import DuplicateJobError
from rqlike.fields import JOB
from rqlike.outcomes import Outcome
from rqlike.records import NoticeRecord
from rqlike.settings import LEASE_MS
from rqlike.states import JobStatus, Reason
from rqlike.store import verbs
from rqlike.store.verbs import Enqueued, NewJob
from tests.store.builders import QUEUE, Scene, new_job, policy, raised, repeats, retries, returned

UNTIL_IT_ENDS = "0 key"
A_MINUTE = "60000 key"
LIVE = [status for status in JobStatus if not status.terminal]
WAITING = [status for status in LIVE if status is not JobStatus.STARTED]


def words(answers: list[Enqueued]) -> list[str]:
    return [answer.word for answer in answers]


def one(scene: Scene, job: NewJob) -> Enqueued:
    (answer,) = scene.enqueue(job)
    return answer


def key_of(scene: Scene) -> bytes | None:
    found = scene.client.get(scene.store.keys.unique("key"))
    assert found is None or isinstance(found, bytes)
    return found


# -- who holds it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", LIVE)
def test_a_key_is_held_by_a_job_that_lives(scene: Scene, status: JobStatus) -> None:
    scene.put(status, "a", unique=UNTIL_IT_ENDS)
    answer = one(scene, new_job("b", unique=UNTIL_IT_ENDS))
    assert (answer.word, answer.meant, answer.status) == ("duplicate", "a", status)
    assert scene.job("b") is None
    error = verbs.duplicate(new_job("b", unique=UNTIL_IT_ENDS), answer)
    assert (error.job_id, error.status) == ("a", status)
    assert "unique key 'key' is held by job a" in str(error)


@pytest.mark.parametrize("status", [status for status in JobStatus if status.terminal])
def test_a_key_is_free_once_its_job_has_ended(scene: Scene, status: JobStatus) -> None:
    scene.put(status, "a", unique=UNTIL_IT_ENDS)
    assert key_of(scene) is None
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "new"


@pytest.mark.parametrize("status", LIVE)
def test_a_key_is_free_once_its_job_is_deleted(scene: Scene, status: JobStatus) -> None:
    scene.put(status, "a", unique=UNTIL_IT_ENDS)
    scene.run(verbs.delete(["a"], "n"))
    assert key_of(scene) is None


def test_a_key_is_free_once_its_queue_is_emptied(scene: Scene) -> None:
    scene.enqueue(new_job("a", unique=UNTIL_IT_ENDS))
    scene.run(verbs.empty(QUEUE, 10))
    assert key_of(scene) is None


def test_a_key_is_free_once_its_job_has_vanished(scene: Scene) -> None:
    scene.enqueue(new_job("a", unique=UNTIL_IT_ENDS, policy=policy(result_ttl=0.0)))
    scene.settle(scene.claim_one(), returned())
    assert (key_of(scene), scene.job("a")) == (None, None)


def test_a_key_is_free_once_the_worker_of_its_job_is_lost(scene: Scene) -> None:
    scene.put(JobStatus.STARTED, "a", unique=UNTIL_IT_ENDS)
    scene.now_ms += LEASE_MS
    (lapsed,) = scene.turn("other", sweep=True).lapsed
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "duplicate"
    scene.settle(lapsed, Outcome.abandoned("w", 0.0), "other")
    assert scene.status("a") is JobStatus.FAILED
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "new"


@pytest.mark.parametrize("again", [retries(2), retries(2, 5), repeats(2), repeats(2, 5)])
def test_a_key_is_held_over_all_attempts_and_repetitions(scene: Scene, again: object) -> None:
    scene.enqueue(new_job("a", unique=UNTIL_IT_ENDS, policy=again))  # type: ignore[arg-type]
    execution = scene.claim_one()
    scene.settle(execution, returned() if execution.job.policy.repeat else raised())
    assert scene.status("a") in WAITING
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "duplicate"


def test_a_job_that_is_given_back_holds_its_key(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED, "a", unique=UNTIL_IT_ENDS)
    assert execution is not None
    scene.give_back(execution)
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "duplicate"


def test_a_key_is_one_for_all_queues(scene: Scene) -> None:
    scene.enqueue(new_job("a", unique=UNTIL_IT_ENDS), queue="one")
    (answer,) = scene.enqueue(new_job("b", unique=UNTIL_IT_ENDS), queue="two")
    assert answer.word == "duplicate"


def test_a_key_whose_job_knows_nothing_of_it_holds_nothing(scene: Scene) -> None:
    scene.enqueue(new_job("other", unique="0 another"))
    for stray, name in (("gone", "b"), ("other", "c")):
        scene.client.set(scene.store.keys.unique("key"), stray)
        assert one(scene, new_job(name, unique=UNTIL_IT_ENDS)).word == "new"
        scene.run(verbs.delete([name], "n"))


def test_a_key_of_another_type_is_taken_over(scene: Scene) -> None:
    scene.client.lpush(scene.store.keys.unique("key"), "x")
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "new"
    assert key_of(scene) == b"b"


# -- for a time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.STARTED, JobStatus.FINISHED, JobStatus.FAILED])
def test_a_key_that_is_held_for_a_time_is_held_for_it_whatever_becomes_of_the_job(
    scene: Scene, status: JobStatus
) -> None:
    scene.put(status, "a", unique=A_MINUTE)
    assert 50_000 < scene.client.pttl(scene.store.keys.unique("key")) <= 60_000
    answer = one(scene, new_job("b", unique=A_MINUTE))
    assert (answer.word, answer.meant, answer.status) == ("duplicate", "a", status)
    scene.client.delete(scene.store.keys.unique("key"))  # the minute is over
    assert one(scene, new_job("b", unique=A_MINUTE)).word == "new"


def test_the_same_id_waits_for_the_end_of_its_key_too(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a", unique=A_MINUTE)
    answer = one(scene, new_job("a", "n", unique=A_MINUTE))
    assert (answer.word, answer.status) == ("duplicate", JobStatus.FINISHED)
    assert "held by job a" in str(verbs.duplicate(new_job("a", unique=A_MINUTE), answer))


def test_a_key_for_a_time_is_free_once_its_job_is_deleted(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a", unique=A_MINUTE)
    scene.run(verbs.delete(["a"], "n"))
    assert key_of(scene) is None


def test_a_key_for_a_time_outlives_a_job_that_is_gone(scene: Scene) -> None:
    scene.enqueue(new_job("a", unique=A_MINUTE, policy=policy(result_ttl=0.0)))
    scene.settle(scene.claim_one(), returned())
    answer = one(scene, new_job("b", unique=A_MINUTE, wish="return"))
    assert (answer.word, answer.meant, answer.status) == ("held", "a", None)
    assert verbs.record_of(answer) is None


# -- return and replace ------------------------------------------------------------------------------------------------


def test_return_gives_the_job_that_holds_the_key(scene: Scene) -> None:
    scene.enqueue(new_job("a", unique=UNTIL_IT_ENDS, meta=codec.encode_meta({"x": 1})))
    answer = one(scene, new_job("b", unique=UNTIL_IT_ENDS, wish="return"))
    assert (answer.word, verbs.record_of(answer)) == ("held", scene.job("a"))


def test_return_gives_the_job_that_has_the_id(scene: Scene) -> None:
    scene.put(JobStatus.STARTED, "a")
    answer = one(scene, new_job("a", "n", wish="return"))
    assert (answer.word, verbs.record_of(answer)) == ("held", scene.job("a"))


@pytest.mark.parametrize("status", WAITING)
def test_replace_cancels_a_holder_that_waits(scene: Scene, status: JobStatus) -> None:
    scene.put(status, "a", unique=UNTIL_IT_ENDS)
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS, wish="replace")).word == "new"
    assert (scene.status("a"), scene.status("b"), key_of(scene)) == (JobStatus.CANCELED, JobStatus.QUEUED, b"b")


@pytest.mark.parametrize("ids", [("a", "b"), ("a", "a")], ids=["of the key", "of the id"])
def test_replace_leaves_a_started_holder_alone(scene: Scene, ids: tuple[str, str]) -> None:
    scene.put(JobStatus.STARTED, ids[0], unique=UNTIL_IT_ENDS)
    before = scene.dump()
    answer = one(scene, new_job(ids[1], "n", unique=UNTIL_IT_ENDS, wish="replace"))
    assert (answer.word, answer.meant, answer.status) == ("duplicate", "a", JobStatus.STARTED)
    assert {name: seen for name, seen in scene.dump().items() if "sequence" not in name} == {
        name: seen for name, seen in before.items() if "sequence" not in name
    }


@pytest.mark.parametrize("status", WAITING)
def test_replace_starts_a_new_cycle_of_the_same_id_and_the_old_one_s_waiters_learn(
    scene: Scene, status: JobStatus
) -> None:
    scene.put(status, "a")
    answer = one(scene, new_job("a", "n", wish="replace"))
    assert (answer.word, answer.status, answer.cycle) == ("cycle", JobStatus.QUEUED, 2)
    seen = scene.run(verbs.peek("a", QUEUE, 10))
    (notice,) = seen.entries
    assert isinstance(notice, NoticeRecord)
    assert (notice.cycle, notice.notice, notice.id, scene.history("a")) == (1, "canceled", answer.since, [])


def test_the_notice_of_a_replaced_cycle_takes_no_place_in_the_history(scene: Scene) -> None:
    for _ in range(12):
        scene.enqueue(new_job("a", "x"))
        scene.enqueue(new_job("a", "y", wish="replace"))
        scene.settle(scene.claim_one(), returned())
    assert len(scene.history("a")) == 10
    assert scene.client.xlen(scene.store.keys.results("a")) == 10
    for nonce in "abcd":  # and one that never ran leaves none behind
        scene.enqueue(new_job("a", nonce, wish="replace"))
    assert scene.client.xlen(scene.store.keys.results("a")) == 11


def test_replace_within_one_call_leaves_the_last(scene: Scene) -> None:
    jobs = [new_job(name, unique=UNTIL_IT_ENDS, wish="replace") for name in "abc"]
    assert words(scene.enqueue(*jobs)) == ["new"] * 3
    assert [scene.status(name) for name in "abc"] == [JobStatus.CANCELED, JobStatus.CANCELED, JobStatus.QUEUED]
    assert scene.order() == ["c"]


def test_replace_cancels_both_the_job_of_the_id_and_the_one_that_holds_the_key(scene: Scene) -> None:
    scene.enqueue(new_job("a", "n"), new_job("b", "n", unique=UNTIL_IT_ENDS))
    answer = one(scene, new_job("a", "m", unique=UNTIL_IT_ENDS, wish="replace"))
    assert (answer.word, answer.cycle, scene.status("b"), key_of(scene)) == ("cycle", 2, JobStatus.CANCELED, b"a")


def test_replace_does_nothing_where_one_of_the_two_has_started(scene: Scene) -> None:
    scene.put(JobStatus.STARTED, "b", unique=UNTIL_IT_ENDS)
    scene.enqueue(new_job("a", "n"))
    assert one(scene, new_job("a", "m", unique=UNTIL_IT_ENDS, wish="replace")).word == "duplicate"
    assert scene.status("a") is JobStatus.QUEUED


@pytest.mark.parametrize("what", ["hash", "history"])
@pytest.mark.parametrize("span", [UNTIL_IT_ENDS, A_MINUTE])
def test_a_holder_that_something_else_has_written_into_is_not_replaced_and_stays_where_it_is(
    scene: Scene, what: str, span: str
) -> None:
    keys = scene.store.keys
    scene.enqueue(new_job("a", unique=span))
    whole: dict[Any, Any] = scene.client.hgetall(keys.job("a"))
    spoilt = keys.job("a") if what == "hash" else keys.results("a")
    scene.client.delete(spoilt)
    scene.client.set(spoilt, "x")
    answer = one(scene, new_job("b", unique=UNTIL_IT_ENDS, wish="replace"))
    if what == "hash" and span == UNTIL_IT_ENDS:
        assert answer.word == "new"  # which says nothing of the key
    else:
        assert (answer.word, answer.meant, key_of(scene)) == ("duplicate", "a", b"a")
        assert scene.order() == ["a"]
    scene.client.delete(spoilt)
    scene.client.hset(keys.job("a"), mapping=whole)
    scene.run(verbs.delete(["b"], "n"))
    if answer.word == "new":
        scene.client.set(keys.unique("key"), "a")


def test_a_later_cycle_without_the_key_is_not_canceled_for_it(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a", unique=A_MINUTE)
    scene.enqueue(new_job("a", "n"))
    answer = one(scene, new_job("b", unique=UNTIL_IT_ENDS, wish="replace"))
    assert (answer.word, answer.meant, scene.status("a")) == ("duplicate", "a", JobStatus.QUEUED)


def test_replace_names_the_job_that_cannot_be_replaced(scene: Scene) -> None:
    scene.put(JobStatus.STARTED, "b", unique=UNTIL_IT_ENDS)
    scene.enqueue(new_job("a", "n"))
    answer = one(scene, new_job("a", "m", unique=UNTIL_IT_ENDS, wish="replace"))
    assert (answer.word, answer.meant, answer.status) == ("duplicate", "b", JobStatus.STARTED)


# -- every path --------------------------------------------------------------------------------------------------------


def test_a_delayed_job_holds_its_key_too(scene: Scene) -> None:
    scene.enqueue(new_job("a", unique=UNTIL_IT_ENDS, due="+60000"))
    assert one(scene, new_job("b", unique=UNTIL_IT_ENDS)).word == "duplicate"
    assert one(scene, new_job("c", unique=UNTIL_IT_ENDS, due="+1")).word == "duplicate"


def test_of_many_in_one_call_the_first_gets_the_key(scene: Scene) -> None:
    answers = scene.enqueue(*(new_job(f"j{n}", unique=UNTIL_IT_ENDS, due="+5" if n % 2 else "") for n in range(5)))
    assert words(answers) == ["new"] + ["duplicate"] * 4
    assert {answer.meant for answer in answers[1:]} == {"j0"}


def test_a_requeued_job_takes_its_key_again_unless_another_holds_it(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "a", unique=UNTIL_IT_ENDS)
    scene.enqueue(new_job("b", unique=UNTIL_IT_ENDS))
    (word,) = scene.run(verbs.requeue(["a"], "n", at_front=False))
    assert word == "HELD queued b"
    error = verbs.word_error(word, "a", "requeue")
    assert isinstance(error, DuplicateJobError)
    assert (error.job_id, error.status) == ("b", JobStatus.QUEUED)
    scene.run(verbs.cancel("b", "n"))
    assert scene.run(verbs.requeue(["a"], "n", at_front=False)) == ["ok"]
    assert key_of(scene) == b"a"
    assert scene.again() == ["ok"]


def test_of_two_requeued_jobs_of_one_key_the_first_goes(scene: Scene) -> None:
    for name in "ab":
        scene.put(JobStatus.FAILED, name, unique=UNTIL_IT_ENDS)
    assert scene.run(verbs.requeue(["a", "b"], "n", at_front=False)) == ["ok", "HELD queued a"]


def test_a_requeued_job_holds_its_key_for_its_time_again(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "a", unique=A_MINUTE)
    assert scene.run(verbs.requeue(["a"], "n", at_front=False)) == ["ok"]
    assert scene.client.pttl(scene.store.keys.unique("key")) > 50_000


@pytest.mark.parametrize("text", ["key", "0 key"])
def test_a_key_alone_is_held_until_its_job_has_ended_as_one_of_no_time_is(scene: Scene, text: str) -> None:
    scene.enqueue(new_job("a", unique=text))
    assert key_of(scene) == b"a"
    scene.settle(scene.claim_one(), returned())
    assert key_of(scene) is None


@pytest.mark.parametrize("text", ["99999999999999999999 key", "00 key", "", "x" * 301])
def test_a_requeued_job_whose_key_is_none_of_rqlike_s_is_requeued_without_it(scene: Scene, text: str) -> None:
    scene.put(JobStatus.FAILED, "a", unique=UNTIL_IT_ENDS)
    scene.client.hset(scene.store.keys.job("a"), JOB["unique"], text)
    assert scene.run(verbs.requeue(["a"], "n", at_front=False)) == ["ok"]
    assert (scene.order(), key_of(scene)) == (["a"], None)
    scene.client.hdel(scene.store.keys.job("a"), JOB["unique"])


# -- sent again, and all or none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["", "return", "replace", "join"])
def test_a_call_that_is_sent_again_is_answered_as_the_job_it_made(scene: Scene, wish: str) -> None:
    scene.enqueue(new_job("a", "n", unique=UNTIL_IT_ENDS, wish=wish))
    dump = scene.dump()
    (answer,) = scene.again()
    assert (answer.word, answer.written, answer.status) == ("replayed", True, JobStatus.QUEUED)
    dump.pop(scene.store.keys.sequence())
    after = scene.dump()
    after.pop(scene.store.keys.sequence())
    assert after == dump


def test_an_atomic_call_writes_all_or_nothing(scene: Scene) -> None:
    scene.enqueue(new_job("a", "n"), new_job("k", unique=UNTIL_IT_ENDS))
    before = scene.dump()
    jobs = [new_job("b", "m"), new_job("a", "m"), new_job("c", unique=UNTIL_IT_ENDS), new_job("b", "m")]
    answers = scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))
    assert words(answers) == ["refused", "duplicate", "duplicate", "twice"]
    assert [answer.meant for answer in answers] == ["b", "a", "k", "b"]
    before.pop(scene.store.keys.sequence())
    after = scene.dump()
    after.pop(scene.store.keys.sequence())
    assert after == before
    jobs = [new_job("b", "m"), new_job("a", "m", wish="return"), new_job("c", unique=UNTIL_IT_ENDS, wish="replace")]
    assert words(scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))) == ["new", "held", "new"]
    assert words(scene.again()) == ["replayed", "held", "replayed"]


def test_an_atomic_call_that_was_written_is_not_refused_when_it_is_sent_again(scene: Scene) -> None:
    scene.enqueue(new_job("a", "n", unique=UNTIL_IT_ENDS))
    jobs = [new_job("b", "m", unique=UNTIL_IT_ENDS, wish="replace"), new_job("c", "o", unique=UNTIL_IT_ENDS)]
    jobs[1] = jobs[1]._replace(wish="return")  # of the one that the first replaces
    assert words(scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))) == ["new", "held"]
    assert words(scene.again()) == ["replayed", "held"]
    assert (scene.order(), scene.status("a")) == (["b"], JobStatus.CANCELED)


@pytest.mark.parametrize("wish", ["", "return", "join"])
@pytest.mark.parametrize("way", ["id", "key"])
def test_what_one_item_leaves_in_the_way_no_later_item_of_the_call_replaces(scene: Scene, way: str, wish: str) -> None:
    scene.enqueue(new_job("a", "n", unique=UNTIL_IT_ENDS))
    held = new_job("a", "m", wish=wish) if way == "id" else new_job("x", "m", wish=wish, unique=UNTIL_IT_ENDS)
    jobs = [new_job("y", "l"), held, new_job("a", "o", wish="replace")]
    word = "held" if wish else "duplicate"
    answers = scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))
    assert words(answers) == ["refused", "refused" if wish else word, "mixed"]
    assert scene.order() == ["a"]
    assert "stands in the way of another job before it" in str(verbs.duplicate(jobs[2], answers[2]))
    for _ in range(2):
        answers = scene.enqueue(*jobs)
        assert (words(answers)[1:], answers[1].meant, answers[2].meant) == ([word, "mixed"], "a", "a")
        assert (words(scene.again()), scene.order()) == (["replayed", word, "mixed"], ["a", "y"])
    assert words(scene.enqueue(jobs[2], *jobs[:2]))[0] == "cycle", "the other way round it may"


@pytest.mark.parametrize(("wish", "atomic"), [("", False), ("return", False), ("join", False), ("return", True)])
def test_an_item_that_gave_way_to_one_before_it_does_so_when_the_call_is_sent_again_later(
    scene: Scene, atomic: bool, wish: str
) -> None:
    jobs = [new_job("a", "n", unique=UNTIL_IT_ENDS), new_job("b", "m", unique=UNTIL_IT_ENDS, wish=wish)]
    request = verbs.enqueue(QUEUE, jobs, atomic=atomic)
    assert [answer.written for answer in scene.run(request)] == [True, False]
    scene.settle(scene.claim_one(), returned())  # the reply was lost, and the job was quick
    answers = scene.run(request)
    assert words(answers) == ["replayed", "held" if wish else "duplicate"]
    assert (answers[1].meant, answers[1].status, scene.status("b")) == ("a", JobStatus.FINISHED, None)


def test_what_an_atomic_call_has_twice_is_told_as_that(scene: Scene) -> None:
    jobs = [new_job("a", "m"), new_job("a", "n"), *(new_job(name, unique=UNTIL_IT_ENDS) for name in "bc")]
    answers = scene.run(verbs.enqueue(QUEUE, jobs, atomic=True))
    assert words(answers) == ["refused", "twice", "refused", "twice"]
    errors = [str(verbs.duplicate(job, answer)) for job, answer in zip(jobs, answers, strict=True)]
    assert "Another job before it in this call has the id a." in errors[1]
    assert "Another job before it in this call has the unique key 'key'." in errors[3]


@pytest.mark.parametrize("atomic", [False, True])
def test_a_refused_job_leaves_what_waiters_of_a_job_of_its_id_that_is_gone_are_to_read(
    scene: Scene, atomic: bool
) -> None:
    scene.enqueue(new_job("a", "n", policy=policy(result_ttl=0.0)))
    scene.settle(scene.claim_one(), returned())
    scene.enqueue(new_job("holder", unique=UNTIL_IT_ENDS))
    (answer,) = scene.run(verbs.enqueue(QUEUE, [new_job("a", "m", unique=UNTIL_IT_ENDS)], atomic=atomic))
    assert (answer.word, len(scene.history("a"))) == ("duplicate", 1)
    assert (one(scene, new_job("a", "m")).word, scene.history("a")) == ("new", [])


# -- joining -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", LIVE)
def test_a_live_job_is_joined(scene: Scene, status: JobStatus) -> None:
    scene.put(status, "a")
    answer = one(scene, new_job("a", "n", wish="join"))
    assert (answer.word, verbs.record_of(answer)) == ("held", scene.job("a"))


@pytest.mark.parametrize("wish", ["join", "join_or_raise"])
@pytest.mark.parametrize("status", [status for status in JobStatus if status.terminal])
def test_what_has_ended_is_told_or_run_again(scene: Scene, status: JobStatus, wish: str) -> None:
    scene.put(status, "a")
    answer = one(scene, new_job("a", "n", wish=wish))
    expected = "cycle"
    if status is JobStatus.FINISHED:
        expected = "cached"
    elif status is JobStatus.FAILED and wish == "join_or_raise":
        expected = "failed"
    assert answer.word == expected


def test_a_job_that_finished_without_a_value_is_run_again(scene: Scene) -> None:
    scene.enqueue(new_job("a", "n"))
    scene.settle(scene.claim_one(), Outcome())
    assert one(scene, new_job("a", "m", wish="join")).word == "cycle"


def test_the_value_of_an_earlier_cycle_is_not_taken_for_that_of_the_last_one(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a")
    scene.enqueue(new_job("a", "m"))
    scene.settle(scene.claim_one(), Outcome())
    assert one(scene, new_job("a", "o", wish="join")).word == "cycle"


# -- canceling what waits ----------------------------------------------------------------------------------------------


def test_canceling_what_waits_leaves_a_started_job_and_a_later_cycle_alone(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED, "a")
    assert execution is not None
    assert scene.run(verbs.cancel_waiting("a", "n", 1)) is JobStatus.STARTED
    scene.settle(execution, raised(Reason.EXCEPTION))
    assert scene.run(verbs.cancel_waiting("a", "n", 1)) is JobStatus.FAILED
    scene.enqueue(new_job("a", "m"))
    assert scene.run(verbs.cancel_waiting("a", "n", 1)) is JobStatus.QUEUED
    assert scene.run(verbs.cancel_waiting("a", "n", 2)) is JobStatus.CANCELED
    assert scene.again() is JobStatus.CANCELED


@pytest.mark.parametrize("interval", [0, 5])
def test_what_waits_for_its_next_attempt_has_been_started_and_goes_on(scene: Scene, interval: float) -> None:
    scene.enqueue(new_job("a", policy=retries(2, interval)))
    scene.settle(scene.claim_one(), raised())
    before = scene.status("a")
    assert before in WAITING
    assert scene.run(verbs.cancel_waiting("a", "n", 1)) is before
    assert scene.status("a") is before


def test_what_was_given_back_was_not_started(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED, "a")
    assert execution is not None
    scene.give_back(execution)
    assert scene.run(verbs.cancel_waiting("a", "n", 1)) is JobStatus.CANCELED
