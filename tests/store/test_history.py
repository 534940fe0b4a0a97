"""What a job keeps: its executions, a notice, its blobs, and for how long."""

from __future__ import annotations

import pytest

from rqlike import codec
from rqlike.options import Policy
from rqlike.records import NoticeRecord
from rqlike.settings import CHUNKED_LIMIT, DESCRIPTION_LIMIT, HISTORY_LENGTH
from rqlike.states import JobStatus, Notice, Reason, ResultType
from rqlike.store import verbs
from tests.store.builders import BASE_MS, QUEUE, Scene, call_of, new_job, policy, raised, repeats, retries, returned

YEAR_MS = 31_536_000_000
SIZES = [65, 512, 513, 100_000]


def expiry(scene: Scene, key: str) -> int:
    return int(scene.client.pexpiretime(key))


def test_exactly_ten_executions_are_kept_across_attempts_and_cycles(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(4)))
    ran = []
    for number in range(25):
        execution = scene.claim_one()
        ran.append(execution.token)
        scene.settle(execution, raised())
        if scene.status("j") is JobStatus.FAILED:
            scene.run(verbs.requeue(["j"], f"r{number}", at_front=False))
    kept = scene.history("j")
    assert [record.execution_id for record in reversed(kept)] == ran[-HISTORY_LENGTH:]
    assert [(record.cycle, record.attempt) for record in kept][:3] == [(5, 5), (5, 4), (5, 3)]
    assert kept[0].type is ResultType.FAILED and kept[1].type is ResultType.RETRIED


def test_each_repetition_is_a_cycle_of_its_own_that_begins_after_the_last_entry(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=repeats(2)))
    for cycle in (1, 2, 3):
        execution = scene.claim_one()
        assert (execution.job.cycle, execution.job.attempt, execution.job.repeats) == (cycle, 1, cycle - 1)
        assert execution.job.since == (scene.history("j")[0].id if cycle > 1 else "0-0")
        scene.settle(execution, returned(bytes([cycle])))
    assert [record.value for record in scene.history("j")] == [b"\x03", b"\x02", b"\x01"]
    assert scene.status("j") is JobStatus.FINISHED


@pytest.mark.parametrize(
    ("status", "notice"), [(JobStatus.CANCELED, Notice.CANCELED), (JobStatus.EXPIRED, Notice.EXPIRED)]
)
def test_a_notice_tells_waiters_and_is_no_part_of_the_history(scene: Scene, status: JobStatus, notice: Notice) -> None:
    scene.put(status)
    seen = scene.run(verbs.peek("j", QUEUE, 2))
    assert [entry.notice for entry in seen.entries if isinstance(entry, NoticeRecord)] == [notice]
    assert scene.history("j") == []
    assert scene.run(verbs.newest(["j"])) == [None]


@pytest.mark.parametrize("how", ["enqueue", "requeue"])
def test_a_new_cycle_drops_the_notice_and_keeps_the_executions(scene: Scene, how: str) -> None:
    scene.enqueue(new_job("j", "n1", policy=retries(1)))
    scene.settle(scene.claim_one(), raised())
    scene.run(verbs.cancel("j", "c"))
    assert scene.client.xlen(scene.store.keys.results("j")) == 2
    if how == "enqueue":
        scene.enqueue(new_job("j", "n2"))
    else:
        scene.run(verbs.requeue(["j"], "r", at_front=False))
    assert scene.client.xlen(scene.store.keys.results("j")) == 1
    (entry,) = scene.history("j")
    job = scene.job("j")
    assert job is not None and job.cycle == 2
    assert codec_place(job.since) > codec_place(entry.id), "what came before this cycle is before its beginning"
    scene.settle(scene.claim_one(), returned())
    assert [record.cycle for record in scene.history("j")] == [2, 1]
    assert codec_place(scene.history("j")[0].id) > codec_place(job.since)


def codec_place(entry_id: str) -> tuple[int, int]:
    first, _, second = entry_id.partition("-")
    return int(first), int(second)


def test_ten_executions_and_a_notice_are_kept_together(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(20)))
    for _ in range(12):
        scene.settle(scene.claim_one(), raised())
    scene.run(verbs.cancel("j", "c"))
    assert len(scene.history("j")) == 10
    (newest,) = scene.run(verbs.newest(["j"]))
    assert newest is not None and newest.attempt == 12


@pytest.mark.parametrize(
    ("result_ttl", "expected_ms"), [(None, 500_000), (60.0, 60_000), (0.25, 250), (-1.0, -1), (0.0001, 1)]
)
def test_a_finished_job_lives_for_its_result_ttl_and_its_stream_as_long(
    scene: Scene, result_ttl: float | None, expected_ms: int
) -> None:
    scene.put(JobStatus.FINISHED, policy=policy(result_ttl=result_ttl))
    dated = expected_ms if expected_ms < 0 else BASE_MS + expected_ms
    keys = scene.store.keys
    assert expiry(scene, keys.job("j")) == expiry(scene, keys.results("j")) == dated


def test_a_result_ttl_of_nothing_leaves_the_entry_for_five_seconds(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, policy=policy(result_ttl=0.0))
    assert scene.status("j") is None
    assert len(scene.history("j")) == 1
    assert 4000 < scene.client.pttl(scene.store.keys.results("j")) <= 5000


@pytest.mark.parametrize("failure_ttl", [None, 60.0, -1.0])
@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED, JobStatus.EXPIRED])
def test_what_did_not_finish_lives_for_its_failure_ttl(
    scene: Scene, status: JobStatus, failure_ttl: float | None
) -> None:
    chosen = Policy() if failure_ttl is None else policy(failure_ttl=failure_ttl)
    stored = verbs.failure_ttl_ms(chosen.failure_ttl)
    scene.put(status, policy=chosen, failure_ttl_ms=stored)
    expected = {None: scene.now_ms + YEAR_MS, 60.0: scene.now_ms + 60_000, -1.0: -1}[failure_ttl]
    keys = scene.store.keys
    assert expiry(scene, keys.job("j")) == expiry(scene, keys.results("j")) == expected


@pytest.mark.parametrize("how", ["enqueue", "requeue"])
def test_a_new_cycle_expires_no_more(scene: Scene, how: str) -> None:
    scene.put(JobStatus.FAILED, nonce="n1", call=call_of(b"x" * 1000), meta=b"m" * 1000)
    if how == "enqueue":
        scene.enqueue(new_job("j", "n2", call=call_of(b"y" * 1000)))
    else:
        scene.run(verbs.requeue(["j"], "r", at_front=False))
    assert {expiry for key, (_, _, expiry) in scene.dump().items() if ":lastcall:" not in key} == {-1}


@pytest.mark.parametrize("size", SIZES)
def test_blobs_of_any_size_come_back_as_they_were(scene: Scene, size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    call, meta = call_of(payload[:size]), payload[1 : size + 1]
    scene.enqueue(new_job("j", call=call, meta=meta))
    words = "o" * min(size, DESCRIPTION_LIMIT)
    overrides = codec.encode_overrides(Policy(description=words))
    scene.run(verbs.save("j", {"overrides": overrides}))
    for job in (scene.job("j"), scene.claim_one().job):
        assert job is not None and job.call is not None
        assert job.call.payload == payload[:size]
        assert job.meta == meta
        assert job.policy.description == words


@pytest.mark.parametrize("before", [0, 1, 64, *SIZES])
@pytest.mark.parametrize("after", [0, 1, 64, 128, *SIZES])
def test_a_saved_blob_replaces_the_whole_of_the_former_one(scene: Scene, before: int, after: int) -> None:
    scene.enqueue(new_job("j", meta=b"b" * before))
    scene.run(verbs.save("j", {"meta": b"a" * after}))
    job = scene.job("j")
    assert job is not None and job.meta == b"a" * after
    assert scene.client.exists(scene.store.keys.blob("m", "j")) == (after > CHUNKED_LIMIT)


def test_large_blobs_expire_with_their_job_and_are_deleted_with_it(scene: Scene) -> None:
    keys = scene.store.keys
    scene.put(JobStatus.FAILED, call=call_of(b"x" * 1000), meta=b"m" * 1000)
    scene.run(verbs.save("j", {"overrides": b"o" * 1000}))  # saved after it has ended
    for field in ("c", "m", "o"):
        assert expiry(scene, keys.blob(field, "j")) == expiry(scene, keys.job("j")) == scene.now_ms + YEAR_MS
    scene.run(verbs.delete(["j"], "d"))
    assert [key for key in scene.dump() if key.endswith(":j")] == [keys.results("j")]


@pytest.mark.parametrize("status", list(JobStatus))
def test_delete_leaves_one_notice_for_five_seconds_and_nothing_else(scene: Scene, status: JobStatus) -> None:
    scene.put(status, call=call_of(b"x" * 1000), ttl_ms=1000)
    scene.run(verbs.delete(["j"], "d"))
    keys = scene.store.keys
    about = {key for key in scene.dump() if "j" in key.rpartition(":")[2] and key.endswith(":j")}
    assert about == {keys.results("j")}
    assert 4000 < scene.client.pttl(keys.results("j")) <= 5000
    (entry,) = scene.run(verbs.peek("j", QUEUE, 5)).entries
    assert isinstance(entry, NoticeRecord) and entry.notice is Notice.DELETED


def test_what_callbacks_left_goes_with_the_execution_it_belongs_to(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(30)))
    for number in range(25):
        execution = scene.claim_one()
        scene.settle(execution, raised())
        assert scene.run(verbs.annotate("j", execution.execution_id, f"boom {number}")) == 1
    assert [record.callback_error for record in scene.history("j")] == [f"boom {n}" for n in range(24, 14, -1)]
    job = scene.job("j")
    assert job is not None and len(job.callback_errors) == 10


def test_an_annotation_does_not_bring_back_a_job_that_is_gone(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED, policy=policy(result_ttl=0.0))
    assert execution is not None
    scene.settle(execution, returned())
    assert scene.run(verbs.annotate("j", execution.token, "boom")) == 0
    assert scene.status("j") is None


def test_an_entry_tells_all_that_was_reported(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(1, 7)))
    scene.settle(scene.claim_one(), raised(Reason.TIMEOUT))
    scene.pass_ms(7000)
    scene.settle(scene.claim_one(sweep=True), returned(b"\x07"))
    good, bad = scene.history("j")
    assert (bad.type, bad.reason, bad.exc_type, bad.exc_string) == (
        ResultType.RETRIED,
        Reason.TIMEOUT,
        "ValueError",
        "Traceback: boom",
    )
    assert (bad.attempt, bad.next_attempt_ms, bad.value, bad.worker_name) == (1, BASE_MS + 7000, None, "w")
    assert (good.type, good.attempt, good.value, good.reason) == (ResultType.SUCCESSFUL, 2, b"\x07", None)
