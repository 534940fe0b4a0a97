"""A waiter that says until when it looks: what becomes of the job is not gone before, however short its ttl."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rqlike import fields
from rqlike.options import Policy
from rqlike.policies import Repeat, Retry
from rqlike.settings import DEFAULT_RESULT_TTL, GRACE_MS
from rqlike.states import JobStatus, Reason
from rqlike.store import verbs
from tests.store.builders import BASE_MS, QUEUE, Scene, new_job, raised, returned

SHORT = Policy(result_ttl=1.0, failure_ttl=1.0)
WISH_MS = 60_000

End = Callable[[Scene], object]


def settled(reason: Reason | None) -> End:
    """An end by an execution; None: it returned."""

    def end(scene: Scene) -> None:
        scene.settle(scene.claim_one(), returned() if reason is None else raised(reason))

    return end


def canceled_while_it_was_handed_out(scene: Scene) -> None:
    execution = scene.claim_one()
    scene.run(verbs.cancel("j", "n"))
    scene.give_back(execution)


def overdue(scene: Scene, look: End) -> None:
    scene.pass_ms(2_000)
    look(scene)


ENDS: dict[str, End] = {
    "finished": settled(None),
    "failed": settled(Reason.EXCEPTION),
    "stopped": settled(Reason.STOPPED),
    "canceled while it ran": settled(Reason.CANCELED),
    "canceled": lambda scene: scene.run(verbs.cancel("j", "n")),
    "canceled when it was given back": canceled_while_it_was_handed_out,
    "expired by its waiter": lambda scene: overdue(scene, lambda scene: scene.run(verbs.expire("j"))),
    "expired by a sweep": lambda scene: overdue(scene, lambda scene: scene.turn("w", sweep=True)),
    "expired by a claim": lambda scene: overdue(scene, lambda scene: scene.claim()),
}


def want(scene: Scene, ms: int = WISH_MS, *, job_id: str = "j", all_of_it: bool = False) -> int:
    return scene.run(verbs.want(job_id, ms, all_of_it=all_of_it))


def left_ms(scene: Scene, job_id: str = "j") -> tuple[int, int]:
    """For how long a job and its history stay from now on."""
    keys, dump = scene.store.keys, scene.dump()
    found = (dump.get(key, ("", "", scene.now_ms))[2] for key in (keys.job(job_id), keys.results(job_id)))
    job, stream = (expiry if expiry == -1 else expiry - scene.now_ms for expiry in found)
    return job, stream


def ended(scene: Scene) -> int:
    """Jobs that count as ended."""
    (row,) = scene.run(verbs.counts([QUEUE]))
    return sum(count for status, count in row.items() if status.terminal)


@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_a_job_leaves_it_until_the_deadline_of_a_waiter_and_no_longer(scene: Scene, how: str) -> None:
    ttl_ms = 1_000 if how.startswith("expired") else None
    scene.enqueue(new_job("j", policy=SHORT, failure_ttl_ms=1_000, ttl_ms=ttl_ms))
    assert want(scene) == 1
    deadline = scene.now_ms + WISH_MS
    ENDS[how](scene)
    left = deadline - scene.now_ms
    assert left_ms(scene) == (left, left)
    scene.pass_ms(left - 1)
    assert ended(scene) == 1
    assert scene.run(verbs.peek("j", QUEUE, 1)).entries
    scene.pass_ms(2)
    assert ended(scene) == 0
    scene.turn("w", sweep=True, prune=True)
    rest = {key.removeprefix(scene.store.keys.prefix).split(":")[0] for key in scene.dump()}
    assert rest <= {"queues", "sequence", "contact", "events", "workers", "worker", "lastcall", "watch"}, (
        "nothing else is left"
    )


def test_a_job_that_keeps_no_result_is_gone_at_once_and_its_entry_at_the_deadline(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=Policy(result_ttl=0.0)))
    want(scene)
    settled(None)(scene)
    assert scene.status("j") is None
    assert left_ms(scene) == (0, WISH_MS)
    want(scene, 10)
    assert left_ms(scene) == (0, WISH_MS)
    assert want(scene, 2 * WISH_MS, all_of_it=True) == 1
    assert left_ms(scene) == (0, 2 * WISH_MS)
    scene.pass_ms(2 * WISH_MS + 1)
    assert scene.history("j") == []
    assert want(scene, all_of_it=True) == 0


def test_a_deadline_that_comes_before_the_end_of_the_ttl_changes_nothing(scene: Scene) -> None:
    for job_id, ttl in (("default", None), ("gone", 0.0), ("kept", -1.0)):
        scene.enqueue(new_job(job_id, policy=Policy(result_ttl=ttl)))
        want(scene, GRACE_MS - 1, job_id=job_id)
        settled(None)(scene)
    ttl_ms = round(DEFAULT_RESULT_TTL * 1000)
    assert left_ms(scene, "default") == (ttl_ms, ttl_ms)
    assert left_ms(scene, "gone") == (0, GRACE_MS)
    want(scene, 10**12, job_id="kept", all_of_it=True)
    assert left_ms(scene, "kept") == (-1, -1), "for ever is longer than any deadline"


def test_the_latest_of_many_deadlines_counts_and_survives_retries(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=Policy(result_ttl=1.0, failure_ttl=1.0, retry=Retry(1))))
    for ms in (5_000, WISH_MS, 7_000):
        want(scene, ms)
    settled(Reason.EXCEPTION)(scene)
    settled(Reason.EXCEPTION)(scene)
    assert scene.status("j") is JobStatus.FAILED
    assert left_ms(scene) == (WISH_MS, WISH_MS)


def test_a_waiter_for_one_cycle_of_a_repeating_job_is_served_when_the_last_one_leaves_nothing(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=Policy(result_ttl=0.0, repeat=Repeat(1))))
    want(scene)
    settled(None)(scene)
    settled(None)(scene)
    scene.pass_ms(WISH_MS - 1)
    assert [record.cycle for record in scene.history("j")] == [2, 1]


def test_a_wish_for_what_has_ended_puts_off_its_expiry_in_its_index_and_its_blobs_too(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=Policy(result_ttl=1.0, description="d" * 600)), new_job("other", policy=SHORT))
    settled(None)(scene)
    settled(None)(scene)
    before = left_ms(scene, "other")
    assert want(scene) == 0, "a look that finds the end does not need it any longer"
    assert left_ms(scene) == (1_000, 1_000)
    assert want(scene, all_of_it=True) == 1
    assert left_ms(scene) == (WISH_MS, WISH_MS)
    assert scene.dump()[scene.store.keys.blob("c", "j")][2] == scene.now_ms + WISH_MS
    assert left_ms(scene, "other") == before, "the short ttl of one job is not that of another"
    scene.pass_ms(1_001)
    assert ended(scene) == 1
    assert scene.order(JobStatus.FINISHED) == ["j"]


@pytest.mark.parametrize("how", ["requeue", "enqueue"])
def test_a_new_cycle_that_somebody_starts_forgets_the_wishes_of_the_last(scene: Scene, how: str) -> None:
    scene.enqueue(new_job("j", "first", policy=SHORT))
    want(scene)
    settled(None)(scene)
    if how == "requeue":
        scene.run(verbs.requeue(["j"], "n", at_front=False))
    else:
        scene.enqueue(new_job("j", "second", policy=SHORT))
    assert left_ms(scene) == (-1, -1)
    settled(None)(scene)
    assert left_ms(scene) == (1_000, 1_000)


def test_a_ttl_that_is_set_after_the_end_holds_whatever_a_waiter_has_said(scene: Scene) -> None:
    for job_id in ("j", "k"):
        scene.enqueue(new_job(job_id, policy=SHORT))
        want(scene, job_id=job_id)
        settled(None)(scene)
    scene.run(verbs.save("j", {}, result_ttl=2_000, redate=True))
    assert left_ms(scene) == (2_000, 2_000)
    assert ended(scene) == 2
    scene.run(verbs.save("k", {}, result_ttl=0, redate=True))
    assert left_ms(scene, "k") == (0, GRACE_MS)
    scene.client.delete(scene.store.keys.job("k"))  # as it expires at once
    assert ended(scene) == 1


def test_a_ttl_that_is_set_before_the_end_does_not_undercut_a_waiter(scene: Scene) -> None:
    for job_id, ttl_ms in (("j", 2_000), ("k", 0)):
        scene.enqueue(new_job(job_id))
        want(scene, job_id=job_id)
        scene.run(verbs.save(job_id, {}, result_ttl=ttl_ms, redate=True))
        settled(None)(scene)
    assert left_ms(scene) == (WISH_MS, WISH_MS)
    assert left_ms(scene, "k") == (0, WISH_MS)


def test_a_deleted_job_is_not_kept_for_a_waiter(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    want(scene)
    scene.run(verbs.delete(["j"], "n"))
    assert want(scene, all_of_it=True) == 0
    assert scene.dump()[scene.store.keys.results("j")][2] < BASE_MS, "5 s by the clock of the server"


def test_there_is_nothing_to_want_of_a_job_that_never_was(scene: Scene) -> None:
    assert want(scene, all_of_it=True) == want(scene) == 0
    assert scene.dump() == {}


@pytest.mark.parametrize("written", ["garbage", "nan", "inf", "1e300", "-5", ""])
def test_a_moment_that_something_else_has_written_is_none(scene: Scene, written: str) -> None:
    scene.enqueue(new_job("j", policy=SHORT))
    execution = scene.claim_one()
    scene.client.hset(scene.store.keys.job("j"), fields.JOB["wanted"], written)
    scene.settle(execution, returned())
    assert left_ms(scene) == (1_000, 1_000)
    scene.client.hdel(scene.store.keys.job("j"), fields.JOB["wanted"])  # which no invariant could read
