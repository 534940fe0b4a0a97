"""Every verb on every status: what the table allows happens, what it does not changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from rqlike import fields
from rqlike.exceptions import InvalidTransition, NoSuchJobError
from rqlike.options import Policy
from rqlike.outcomes import Verdict
from rqlike.policies import Repeat, Retry
from rqlike.records import Execution
from rqlike.settings import LEASE_MS
from rqlike.states import VERBS, JobStatus, Reason, allowed
from rqlike.store import schedules, verbs
from rqlike.store.turns import Settlement
from rqlike.timetables import Timetable
from tests.store.builders import PARENTS, QUEUE, Dump, Scene, new_job, raised, repeats, retries, returned
from tests.store.invariants import told_in, violations

POLICIES: Final = {"retry": retries(3), "repeat": repeats(2)}


#: A scheduled job may expire, says the table, but has no deadline before it is promoted: see test_time.
PAIRS: Final = [(v, s) for v in VERBS for s in JobStatus if (v, s) != ("expire", JobStatus.SCHEDULED)]


class Refused(Exception):
    """The verb did nothing."""


def holder(scene: Scene, given: Execution | None) -> Execution:
    """An execution to settle: the real one, or one that claims to be of a job which is not started."""
    if given is not None:
        return given
    job = scene.job("j")
    if job is None:
        raise Refused
    return Execution(job, "no-such-token", "no-such-token")


def settle(outcome: Any) -> Callable[[Scene, Execution | None], None]:
    def run(scene: Scene, given: Execution | None) -> None:
        execution = holder(scene, given)
        if given is None:  # a plain `stale` is written where `decide` would need a started job
            settlement = Settlement(execution, Verdict("finish", JobStatus.FINISHED), ("t", 1, "i", "no-such-token"))
        else:
            settlement = scene.judged(execution, outcome)
        (word,) = scene.turn("w", settlement).words
        if not word.startswith("ok"):
            raise Refused

    return run


def give_back(scene: Scene, given: Execution | None) -> None:
    if scene.give_back(holder(scene, given)) != "ok":
        raise Refused


def claim(scene: Scene, _: Execution | None) -> None:
    if not scene.claim(worker="other"):
        raise Refused


def promote(scene: Scene, _: Execution | None) -> None:
    scene.now_ms += 1_000
    before = scene.status("j")
    scene.turn("other", sweep=True)
    if scene.status("j") is before:
        raise Refused


def recover(scene: Scene, _: Execution | None) -> None:
    scene.now_ms += LEASE_MS
    if not scene.turn("other", sweep=True).lapsed:
        raise Refused


def ready(scene: Scene, _: Execution | None) -> None:
    before = scene.status("j")
    for parent in scene.turn("other", want=1, queues=(PARENTS,)).granted:
        scene.settle(parent, returned(), "other", queues=(PARENTS,))
    if scene.status("j") is before:
        raise Refused


def expire(scene: Scene, _: Execution | None) -> None:
    scene.pass_ms(2_000)
    before = scene.status("j")
    if scene.run(verbs.expire("j")) is before:
        raise Refused


def enqueue(scene: Scene, _: Execution | None) -> None:
    (answer,) = scene.enqueue(new_job("j", "another-nonce"))
    if answer.word == "duplicate":
        raise Refused
    assert answer.word in ("new", "cycle")


def requeue(scene: Scene, _: Execution | None) -> None:
    (word,) = scene.run(verbs.requeue(["j"], "another-nonce", at_front=False))
    error = verbs.word_error(word, "j", "requeue")
    if error is not None:
        raise error


def delete(scene: Scene, _: Execution | None) -> None:
    (word,) = scene.run(verbs.delete(["j"], "another-nonce"))
    error = verbs.word_error(word, "j", "delete")
    if error is not None:
        raise error


def cancel(scene: Scene, given: Execution | None) -> None:
    answer = scene.run(verbs.cancel("j", "another-nonce"))
    if answer is JobStatus.STARTED:
        assert given is not None
        scene.settle(given, raised(Reason.CANCELED))


def bury(scene: Scene, given: Execution | None) -> None:
    """What something else has written keeps each script that would move the job from doing it."""
    key = scene.store.keys.job("j")
    before = scene.status("j")
    if before is JobStatus.DEFERRED:
        scene.client.hdel(key, fields.JOB["queue"])
        for parent in scene.turn("w", want=1, queues=(PARENTS, QUEUE)).granted:
            scene.settle(parent, returned(), queues=(PARENTS, QUEUE))
    elif before is not None and not before.terminal:
        for name in ("attempt", "ttl"):
            scene.client.hset(key, fields.JOB[name], "garbage")
    scene.now_ms += 2_000
    if given is not None:
        scene.client.hdel(key, fields.JOB["queue"])
        scene.turn("w", scene.judged(given, returned()))
    scene.turn("w", sweep=True, want=1)
    scene.turn("w", sweep=True, want=1)
    if scene.status("j") is before:
        raise Refused


def stop(scene: Scene, given: Execution | None) -> None:
    assert scene.run(verbs.stop("j")) is JobStatus.STARTED
    assert given is not None
    scene.settle(given, raised(Reason.STOPPED))


def fire(scene: Scene, _: Execution | None) -> None:
    template = new_job("template")
    scene.run(schedules.upsert("s", None, Timetable(every_ms=1000), scene.now_ms + 1000, QUEUE, template))
    before = scene.job("j")
    scene.run(schedules.run_now("s", "j"))
    if scene.job("j") == before:
        raise Refused


ACTS: Final[dict[str, Callable[[Scene, Execution | None], None]]] = {
    "enqueue": enqueue,
    "fire": fire,
    "promote": promote,
    "ready": ready,
    "claim": claim,
    "give_back": give_back,
    "recover": recover,
    "finish": settle(returned()),
    "repeat": settle(returned()),
    "retry": settle(raised()),
    "fail": settle(raised()),
    "bury": bury,
    "stop": stop,
    "cancel": cancel,
    "expire": expire,
    "requeue": requeue,
    "delete": delete,
}


def without_contacts(dump: Dump) -> Dump:
    """Unused numbers, markers, the moment of the last contact, the memory of calls and schedules are no part of any
    job."""
    quiet = (
        ":schedules",
        ":schedule:s",
        ":sequence",
        ":contact",
        ":watch",
        ":lastcall:other",
        ":lastcall:w",
        ":queues",
        f":wake:{QUEUE}",
    )
    return {key: value for key, value in dump.items() if not key.endswith(quiet)}


def prepared(scene: Scene, status: JobStatus, verb: str) -> Execution | None:
    fields: dict[str, Any] = {"policy": POLICIES.get(verb)}
    if verb == "recover" and status is JobStatus.SCHEDULED:
        fields["due"] = f"+{2 * LEASE_MS}"
    if verb == "expire" and status is JobStatus.QUEUED:
        fields["ttl_ms"] = 1000
    return scene.put(status, **fields)


def test_every_verb_of_the_table_is_tried() -> None:
    assert ACTS.keys() == VERBS.keys()


@pytest.mark.parametrize(("verb", "status"), PAIRS)
def test_a_verb_moves_a_job_as_the_table_says_and_tells_so_once_or_changes_nothing(
    scene: Scene, verb: str, status: JobStatus
) -> None:
    execution = prepared(scene, status, verb)
    before = scene.dump()
    refused = False
    try:
        ACTS[verb](scene, execution)
    except (Refused, InvalidTransition):
        refused = True
    if allowed(verb, status):
        assert not refused
        assert scene.status("j") in VERBS[verb].targets
        told = [event for event in told_in(scene.dump(), scene.store.keys) if event.job_id == "j"]
        before_it = sum(event.job_id == "j" for event in told_in(before, scene.store.keys))
        assert [(event.name, event.status) for event in told[before_it:]] == [(verb, scene.status("j"))]
    else:
        assert refused
        assert without_contacts(scene.dump()) == without_contacts(before)
    assert violations(scene.dump(), scene.store.keys, scene.now_ms) == []


@pytest.mark.parametrize("verb", ["cancel", "stop", "expire", "requeue", "delete"])
def test_a_verb_on_a_job_that_is_not_there_names_it_and_changes_nothing(scene: Scene, verb: str) -> None:
    scene.enqueue(new_job("another"))
    before = scene.dump()
    with pytest.raises(NoSuchJobError, match="There is no job j"):
        ACTS[verb](scene, None)
    assert scene.dump() == {**before, **{k: v for k, v in scene.dump().items() if k.endswith(":sequence")}}


@pytest.mark.parametrize("status", [status for status in JobStatus if not allowed("cancel", status)])
def test_a_refusal_names_the_job_its_status_and_the_verb(scene: Scene, status: JobStatus) -> None:
    scene.put(status)
    with pytest.raises(InvalidTransition) as caught:
        scene.run(verbs.cancel("j", "n"))
    error = caught.value
    assert (error.job_id, error.status, error.verb) == ("j", status, "cancel")
    assert all(part in str(error) for part in ("j", status, "cancel"))


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_waiters_wish_moves_no_job_and_shortens_nothing(scene: Scene, status: JobStatus) -> None:
    scene.put(status)
    before, order = scene.dump(), scene.order(status)
    assert scene.run(verbs.want("j", 1, all_of_it=True)) == 1
    assert scene.run(verbs.want("j", 10**12, all_of_it=False)) == (0 if status.terminal else 1)
    after = scene.dump()
    assert scene.status("j") is status
    assert scene.order(status) == order
    if status.terminal:
        assert after == before, "the first is over before it would be, the second leaves what has ended alone"
    else:
        key = scene.store.keys.job("j")
        assert after[key][1].pop(fields.JOB["wanted"].encode()) == str(scene.now_ms + 10**12).encode()
        assert after[key][1].pop(fields.JOB["extra"].encode()) == b"1"
        assert after == before


def test_the_result_of_a_job_that_keeps_none_ends_it_at_once(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=Policy(result_ttl=0.0)))
    assert scene.settle(scene.claim_one(), returned()) == "ok"
    assert scene.status("j") is None
    assert [record.value for record in scene.history("j")] == [b"\x01"]


def test_one_refused_job_of_many_does_not_keep_the_others(scene: Scene) -> None:
    scene.put(JobStatus.FAILED, "failed")
    scene.enqueue(new_job("queued"))
    words = scene.run(verbs.requeue(["queued", "nobody", "failed"], "n", at_front=True))
    assert words == ["WRONGSTATE queued", "NOJOB", "ok"]
    assert scene.order() == ["failed", "queued"]
    assert scene.run(verbs.delete(["nobody", "queued"], "d")) == ["NOJOB", "ok"]
    answers = scene.enqueue(new_job("failed", "x"), new_job("fresh"))
    assert [answer.word for answer in answers] == ["duplicate", "new"]


def test_a_finish_by_a_token_that_is_not_current_changes_nothing(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    forged = Execution(execution.job, "forged", "forged")
    before = without_contacts(scene.dump())
    for outcome in (returned(), raised()):
        (word,) = scene.turn("w", scene.judged(forged, outcome)).words
        assert word == "stale"
    assert scene.give_back(forged) == "stale"
    assert without_contacts(scene.dump()) == before


@pytest.mark.parametrize("asked", ["cancel", "stop"])
@pytest.mark.parametrize(
    ("outcome", "policy"),
    [
        (raised(), retries(3)),
        (raised(), Policy(retry=Retry(3, 60))),
        (raised(Reason.ABANDONED), retries(3)),
        (returned(), Policy(repeat=Repeat(3, 60))),
        (returned(), repeats(3)),
    ],
)
def test_a_job_whose_end_was_asked_for_is_not_begun_again(
    scene: Scene, asked: str, outcome: Any, policy: Policy
) -> None:
    """The wish came after the body had ended, and before its outcome was written."""
    execution = scene.put(JobStatus.STARTED, policy=policy)
    assert execution is not None
    scene.run(verbs.cancel("j", "n") if asked == "cancel" else verbs.stop("j"))
    assert scene.settle(execution, outcome) == "ok"
    assert scene.status("j") is JobStatus.CANCELED
    assert len(scene.history("j")) == 1
    assert scene.order() == scene.order(JobStatus.SCHEDULED) == []
    assert scene.markers(QUEUE) == 0


def test_a_job_whose_end_was_asked_for_is_canceled_when_it_is_given_back(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    scene.run(verbs.stop("j"))
    assert scene.give_back(execution) == "ok"
    assert scene.status("j") is JobStatus.CANCELED
    assert scene.history("j") == []


def test_a_value_that_came_before_the_wish_to_cancel_wins(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    scene.run(verbs.cancel("j", "n"))
    assert scene.settle(execution, returned()) == "ok"
    assert scene.status("j") is JobStatus.FINISHED
