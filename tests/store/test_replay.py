"""A reply may be lost after its script has run: sent again, each call answers what it answered first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rqlike.exceptions import InvalidTransition, NoSuchJobError
from rqlike.options import Policy
from rqlike.outcomes import Outcome
from rqlike.policies import Retry
from rqlike.records import Execution
from rqlike.settings import LEASE_MS
from rqlike.states import JobStatus, Reason
from rqlike.store import turns, verbs
from rqlike.store.turns import Turn
from rqlike.store.verbs import NewJob
from tests.store.builders import QUEUE, Scene, new_job, raised, repeats, retries, returned


def test_enqueue_sent_again_is_the_same_job(scene: Scene) -> None:
    (first,) = scene.enqueue(new_job("j", "n"))
    (second,) = scene.again()
    assert (first.word, second.word) == ("new", "replayed")
    assert (second.status, second.cycle, second.since) == (first.status, first.cycle, first.since)
    assert scene.order() == ["j"]


@pytest.mark.parametrize("nonce", ["", "n"])
@pytest.mark.parametrize("status", list(JobStatus))
def test_enqueue_sent_again_late_finds_its_job_whatever_became_of_it(
    scene: Scene, status: JobStatus, nonce: str
) -> None:
    ttl = 1000 if status is JobStatus.EXPIRED else None
    due = "+1000" if status is JobStatus.SCHEDULED else ""
    request = verbs.enqueue(QUEUE, [new_job("j", nonce, ttl_ms=ttl, due=due)])
    scene.put(status, nonce=nonce)
    (answer,) = scene.run(request)
    assert (answer.word, answer.status, answer.cycle) == ("replayed", status, 1)
    assert scene.status("j") is status


@pytest.mark.parametrize("nonce", ["", "n"])
def test_enqueue_sent_again_does_not_bring_back_a_job_that_left_no_result(scene: Scene, nonce: str) -> None:
    request = verbs.enqueue(QUEUE, [new_job("j", nonce, policy=Policy(result_ttl=0.0))])
    scene.run(request)
    assert scene.settle(scene.claim_one(), returned()) == "ok"
    (answer,) = scene.run(request)
    assert answer.word == "replayed"
    assert scene.status("j") is None
    assert len(scene.history("j")) == 1


@pytest.mark.parametrize("how", ["delete", "empty"])
@pytest.mark.parametrize("nonce", ["", "n"])
def test_enqueue_sent_again_does_not_bring_back_a_deleted_job(scene: Scene, nonce: str, how: str) -> None:
    request = verbs.enqueue(QUEUE, [new_job("j", nonce)])
    scene.run(request)
    if how == "delete":
        scene.run(verbs.delete(["j"], "d"))
    else:
        scene.run(verbs.empty(QUEUE, 10))
    (answer,) = scene.run(request)
    assert answer.word == "replayed"
    assert scene.status("j") is None
    assert scene.order() == []


def test_another_enqueue_of_a_deleted_id_starts_afresh(scene: Scene) -> None:
    scene.enqueue(new_job("j", "n1"))
    scene.settle(scene.claim_one(), raised())
    scene.run(verbs.delete(["j"], "d"))
    (answer,) = scene.enqueue(new_job("j", "n2"))
    assert (answer.word, answer.cycle, answer.since) == ("new", 1, "0-0")
    assert scene.client.xlen(scene.store.keys.results("j")) == 0
    assert scene.client.ttl(scene.store.keys.results("j")) < 0


def test_a_new_cycle_sent_again_starts_no_other(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, nonce="n1")
    (first,) = scene.enqueue(new_job("j", "n2"))
    (second,) = scene.again()
    assert (first.word, second.word, second.cycle, second.since) == ("cycle", "replayed", 2, first.since)


def test_a_claim_sent_again_gets_the_same_jobs(scene: Scene) -> None:
    scene.enqueue(*(new_job(f"j{n}") for n in range(5)))
    first = scene.turn(want=2, sweep=True)
    assert scene.again() == first
    assert [execution.job_id for execution in first.granted] == ["j0", "j1"]
    assert scene.order() == ["j2", "j3", "j4"]
    assert scene.again() == first


def test_a_claim_sent_again_after_an_outage_of_an_hour_gets_the_same_jobs(scene: Scene) -> None:
    """What the server remembers of the call must not expire while the server is away: the jobs would be nobody's."""
    scene.enqueue(new_job("j"))
    first = scene.turn("w", want=1)
    record = scene.store.keys.call("w")
    scene.client.pexpire(record, scene.client.pttl(record) - 3_600_000)
    assert scene.again() == first
    assert [execution.job_id for execution in first.granted] == ["j"]


def test_a_claim_that_got_nothing_gets_nothing_when_sent_again(scene: Scene) -> None:
    """Or its grants would be those of nobody: whoever sent it twice reads one reply."""
    scene.turn(want=1)
    lost = scene.last
    assert lost is not None
    scene.enqueue(new_job("j"))
    assert scene.store.run(lost).granted == ()
    assert scene.order() == ["j"]


def test_a_claim_left_behind_in_a_connection_gets_nothing_after_a_later_one(scene: Scene) -> None:
    scene.enqueue(*(new_job(f"j{n}") for n in range(5)))
    scene.turn(want=1)
    old = scene.last
    assert old is not None
    scene.turn(want=1)
    assert scene.store.run(old).granted == ()
    assert scene.order() == ["j2", "j3", "j4"]


def test_a_claim_sent_again_leaves_out_what_was_taken_from_it_meanwhile(scene: Scene) -> None:
    scene.enqueue(new_job("j0"), new_job("j1"))
    first = scene.turn(want=2)
    lost = scene.last
    assert lost is not None
    scene.run(verbs.delete(["j0"], "d"))
    assert scene.store.run(lost).granted == first.granted[1:]


def test_a_worker_started_again_under_its_name_is_not_given_what_the_dead_one_held(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    granted = scene.run(turns.advance(Turn("w", "first", 1, (QUEUE,), want=1))).granted
    assert len(granted) == 1
    assert scene.run(turns.advance(Turn("w", "second", 1, (QUEUE,), want=1))).granted == ()


def test_a_claim_sent_again_is_told_the_moment_to_watch_again(scene: Scene) -> None:
    scene.enqueue(new_job("now"))
    scene.enqueue(new_job("later", due="+5000"))
    first = scene.turn(want=1, sweep=True)
    assert first.moment_ms == scene.now_ms + 5000
    assert scene.again() == first


def test_a_recovery_sent_again_hands_over_the_same_executions(scene: Scene) -> None:
    scene.put(JobStatus.STARTED)
    scene.now_ms += LEASE_MS
    first = scene.turn("other", sweep=True)
    assert scene.again() == first
    assert [execution.job_id for execution in first.lapsed] == ["j"]


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(result_ttl=0.0), repeats(3), Policy(description="d" * 600), Policy(result_ttl=-1.0)]
)
def test_a_finish_sent_again_is_already_recorded_under_the_same_entry(scene: Scene, policy: Policy) -> None:
    execution = scene.put(JobStatus.STARTED, policy=policy)
    assert execution is not None
    (first,) = scene.turn("w", scene.judged(execution, returned())).words
    (second,) = scene.again().words
    word, _, entry_id = first.partition(" ")
    assert (word, second) == ("ok", f"already {entry_id}")
    assert len(scene.history("j")) == 1


def test_a_retry_that_somebody_else_has_claimed_meanwhile_is_already_recorded(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED, policy=retries(3))
    assert execution is not None
    settlement = scene.judged(execution, raised())
    scene.turn("w", settlement)
    assert scene.claim_one("other").job.attempt == 2
    (word,) = scene.turn("w", settlement).words
    assert word.startswith("already ")
    assert scene.status("j") is JobStatus.STARTED
    assert len(scene.history("j")) == 1


def test_a_turn_that_finishes_and_claims_is_answered_the_same_again(scene: Scene) -> None:
    scene.enqueue(new_job("j0", policy=retries(3)), new_job("j1"))
    execution = scene.claim_one()
    first = scene.turn("w", scene.judged(execution, raised()), want=2, sweep=True)
    second = scene.again()
    assert [execution.job_id for execution in first.granted] == ["j1", "j0"]
    assert (second.granted, second.lapsed, second.moment_ms) == (first.granted, first.lapsed, first.moment_ms)


def test_an_outcome_is_stale_where_its_execution_was_judged_as_abandoned(scene: Scene) -> None:
    """What follows from an outcome may not follow from one that is not the recorded one."""
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    scene.now_ms += LEASE_MS
    (lapsed,) = scene.turn("other", sweep=True).lapsed
    assert scene.settle(lapsed, raised(Reason.ABANDONED), "other") == "ok"
    assert scene.settle(execution, returned()) == "stale"
    assert [record.reason for record in scene.history("j")] == [Reason.ABANDONED]


def test_a_settlement_without_its_value_is_the_same_settlement(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    settlement = scene.judged(execution, returned())
    assert scene.turn("w", settlement).words[0].startswith("ok ")
    assert scene.turn("w", settlement.without_value()).words[0].startswith("already ")


def test_giving_back_twice_leaves_the_job_where_it_is(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    assert scene.give_back(execution) == "ok"
    before = scene.dump()
    scene.again()
    assert scene.dump() == before


def test_settlements_of_a_job_that_is_deleted_find_it_gone(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    scene.run(verbs.delete(["j"], "d"))
    assert scene.settle(execution, returned()) == "gone"
    assert scene.status("j") is None


@pytest.mark.parametrize("status", list(JobStatus))
def test_delete_sent_again_is_done(scene: Scene, status: JobStatus) -> None:
    scene.put(status)
    assert scene.run(verbs.delete(["j"], "d")) == ["ok"]
    assert scene.again() == ["ok"]
    assert scene.run(verbs.delete(["j"], "another")) == ["NOJOB"]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED, JobStatus.STARTED])
def test_cancel_sent_again_answers_the_same(scene: Scene, status: JobStatus) -> None:
    scene.put(status)
    first = scene.run(verbs.cancel("j", "c"))
    assert scene.again() is first
    if first is JobStatus.CANCELED:
        with pytest.raises(InvalidTransition):
            scene.run(verbs.cancel("j", "another"))


@pytest.mark.parametrize("given_back", [True, False])
def test_cancel_sent_again_after_the_worker_has_obeyed_is_not_refused(scene: Scene, given_back: bool) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    request = verbs.cancel("j", "c")
    scene.run(request)
    if given_back:
        scene.give_back(execution)
    else:
        scene.settle(execution, raised(Reason.CANCELED))
    assert scene.run(request) is JobStatus.CANCELED
    with pytest.raises(InvalidTransition):
        scene.run(verbs.cancel("j", "another"))


def test_many_that_are_canceled_are_told_of_one_by_one_and_the_same_when_sent_again(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "ended")
    started = scene.put(JobStatus.STARTED, "started")
    assert started is not None
    scene.enqueue(new_job("waits"), new_job("after", needs="c waits"), new_job("run", needs="r waits"))
    ids = ["ended", "waits", "nobody", "started"]
    words = scene.run(verbs.cancel_many(ids, "n"))
    assert words == ["WRONGSTATE finished", "canceled", "NOJOB", "started"]
    assert scene.again() == words
    assert [scene.status(name) for name in ("waits", "after", "run")] == ["canceled", "canceled", "queued"]
    scene.settle(started, raised(Reason.CANCELED))
    assert scene.run(verbs.cancel_many(["started"], "n")) == ["canceled"]


def test_of_very_many_one_call_cancels_as_many_as_are_quick(scene: Scene) -> None:
    ids = [f"j{n}" for n in range(500)]
    scene.enqueue(*(new_job(job_id) for job_id in ids))
    left = ids
    while left:
        scene.run(verbs.cancel_many(left, "n"))
        words = scene.again()  # which may come less far, or farther
        assert words == ["canceled"] * len(words) != []
        left = left[len(words) :]
    assert scene.order() == []


def test_stop_sent_again_answers_the_same(scene: Scene) -> None:
    scene.put(JobStatus.STARTED)
    scene.run(verbs.stop("j"))
    assert scene.again() is JobStatus.STARTED


def test_requeue_sent_again_starts_no_second_cycle_even_when_the_job_has_failed_again(scene: Scene) -> None:
    scene.put(JobStatus.FAILED)
    request = verbs.requeue(["j"], "r", at_front=False)
    assert scene.run(request) == ["ok"]
    assert scene.again() == ["ok"]
    assert scene.order() == ["j"]
    scene.settle(scene.claim_one(), raised())
    assert scene.run(request) == ["ok"]
    job = scene.job("j")
    assert job is not None
    assert (job.status, job.cycle) == (JobStatus.FAILED, 2)


def test_expire_renew_register_save_and_annotate_sent_again_answer_the_same(scene: Scene) -> None:
    scene.put(JobStatus.EXPIRED, "gone")
    assert scene.run(verbs.expire("gone")) is scene.again() is JobStatus.EXPIRED
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    assert scene.run(turns.register("w", "i", {"host": "h"})) == scene.again()
    assert scene.run(turns.renew("w", {"state": "busy"}, [execution])) == scene.again()
    assert scene.run(verbs.save("j", {"meta": b"m" * 600})) == scene.again()
    assert scene.run(verbs.annotate("j", execution.token, "boom")) == scene.again()
    job = scene.job("j")
    assert job is not None
    assert (job.meta, job.callback_errors) == (b"m" * 600, {execution.token: "boom"})
    assert scene.run(turns.depart("w")) == scene.again()


@pytest.mark.parametrize("ttl", [0.0, 1.0])
def test_want_sent_again_and_a_finish_sent_again_after_it_answer_the_same(scene: Scene, ttl: float) -> None:
    scene.enqueue(new_job("j", policy=Policy(result_ttl=ttl)))
    execution = scene.claim_one()
    assert scene.run(verbs.want("j", 60_000, all_of_it=False)) == scene.again() == 1
    (word,) = scene.turn("w", scene.judged(execution, returned())).words
    before = scene.dump()
    assert scene.again().words == (word.replace("ok", "already"),)
    assert scene.run(verbs.want("j", 60_000, all_of_it=True)) == scene.again() == 1
    assert scene.dump() == before
    assert scene.run(verbs.want("j", 60_001, all_of_it=True)) == scene.again() == 1
    assert scene.dump()[scene.store.keys.results("j")][2] == scene.now_ms + 60_001


def test_an_ended_job_that_is_to_be_kept_no_longer_is_gone_also_when_that_is_sent_again(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED)
    scene.put(JobStatus.CANCELED, "k")
    for job_id in ("j", "k"):
        assert scene.run(verbs.save(job_id, {}, result_ttl=0, redate=True)) == 1
        scene.client.delete(scene.store.keys.job(job_id))  # as it expires at once
        assert scene.again() == 1
    scene.put(JobStatus.QUEUED, nonce="another")
    scene.run(verbs.delete(["j"], "n"))
    with pytest.raises(NoSuchJobError):
        scene.run(verbs.save("j", {}, result_ttl=0, redate=True))
    with pytest.raises(NoSuchJobError):
        scene.run(verbs.save("k", {}, result_ttl=5, redate=True))


def test_begin_sent_again_is_the_same_execution(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    first = scene.run(turns.begin("j", "w", "token", LEASE_MS))
    assert first is not None and scene.again() is not None
    assert scene.again()[0] == replace(first[0], raw=scene.again()[0].raw)
    assert scene.run(turns.begin("j", "w", "another", LEASE_MS)) is None


def test_two_entries_of_one_call_under_one_id_are_one_job(scene: Scene) -> None:
    same = new_job("j", "n")
    answers = scene.enqueue(same, same, new_job("j", "other"))
    assert [answer.word for answer in answers] == ["new", "replayed", "duplicate"]


def test_a_retry_at_the_last_attempt_is_judged_by_the_record_of_its_claim(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=Policy(retry=Retry(1))))
    assert scene.settle(scene.claim_one(), raised()) == "ok"
    assert scene.settle(scene.claim_one(), raised()) == "ok"
    assert scene.status("j") is JobStatus.FAILED


def test_a_stop_sent_again_after_it_was_obeyed_is_answered_the_same(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    (execution,) = scene.claim()
    stop = verbs.stop("j", "n1")
    assert scene.run(stop) is JobStatus.STARTED
    scene.settle(execution, Outcome(Reason.STOPPED))
    assert scene.run(stop) is JobStatus.STARTED
    with pytest.raises(InvalidTransition):
        scene.run(verbs.stop("j", "n2"))


def test_where_a_rescuer_is_lost_too_the_first_execution_is_judged(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    (first,) = scene.claim()
    rescued: list[Execution] = []
    for rescuer in ("r1", "r2"):
        for _ in range(8):  # others stay in contact, so that it is no outage
            scene.pass_ms(5_000)
            scene.run(turns.renew("other", {}, []))
        rescued += scene.turn(rescuer, sweep=True).lapsed
    assert [execution.execution_id for execution in rescued] == [first.token] * 2
    assert len({execution.token for execution in rescued}) == 2


@pytest.mark.parametrize("size", [1, 64, 65, 512, 513, 5000])
def test_a_job_without_options_is_enqueued_as_any_other_and_once(scene: Scene, size: int) -> None:
    scene.enqueue(NewJob("first", b"c", "n"))
    call = b"x" * size
    (answer,) = scene.enqueue(NewJob("j", call))
    (again,) = scene.again()
    scene.enqueue(NewJob("last", b"c", "n"))
    assert (answer.word, answer.status, again.word) == ("new", JobStatus.QUEUED, "replayed")
    assert scene.order() == ["first", "j", "last"]
    fields: dict[bytes, bytes] = scene.client.hgetall(scene.store.keys.job("j"))  # type: ignore[assignment]
    other = scene.client.hgetall(scene.store.keys.job("first"))
    assert {name[:1] for name in fields} - {b"+"} == {name[:1] for name in other} - {b"n"}
    large = scene.client.get(scene.store.keys.blob("c", "j"))
    assert (large or b"".join(fields.get(b"c%d" % chunk, b"") for chunk in range(8))) == call


def test_a_call_sent_again_does_not_replace_the_ones_that_have_replaced_it(scene: Scene) -> None:
    requests = [verbs.enqueue(QUEUE, [new_job("j", nonce, wish="replace")]) for nonce in ("n1", "n2", "n3")]
    for request in requests:
        scene.run(request)
    before = scene.dump()
    for cycle, request in enumerate(requests, 1):
        (answer,) = scene.run(request)
        status = JobStatus.QUEUED if cycle == 3 else JobStatus.CANCELED
        assert (answer.word, answer.cycle, answer.status) == ("replayed", cycle, status)
    after = scene.dump()
    assert after.pop(scene.store.keys.sequence()) != before.pop(scene.store.keys.sequence())
    assert after == before


def test_replacements_of_one_id_within_one_call_are_answered_the_same_when_sent_again(scene: Scene) -> None:
    first = scene.enqueue(*(new_job("j", nonce, wish="replace") for nonce in ("n1", "n2", "n3")))
    second = scene.again()
    assert [answer.word for answer in first + second] == ["new", "cycle", "cycle", *["replayed"] * 3]
    assert [answer.cycle for answer in second] == [1, 2, 3]
    assert scene.order() == ["j"]
