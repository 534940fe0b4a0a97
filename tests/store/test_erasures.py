"""Emptying, cleaning and obliterating a queue: what goes, what stays, and that each call may be the last one made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rqlike import fields
from rqlike.exceptions import InvalidJobOperation
from rqlike.limits import RateLimit
from rqlike.records import NoticeRecord
from rqlike.settings import GRACE_MS, OBLITERATE_MS
from rqlike.states import JobStatus
from rqlike.store import erasures, pauses, schedules, scripts, turns, verbs
from rqlike.store.erasures import Cleaned, Obliterated
from rqlike.store.pages import BEGINNING
from rqlike.store.requests import Request, nonce
from rqlike.timetables import Timetable
from tests.conftest import AnyServer
from tests.servers import Server
from tests.store.builders import PARENTS, QUEUE, Dump, Scene, new_job, policy, raised, real_ms, returned, scene_on
from tests.store.invariants import violations

LIMIT = RateLimit("k", 1).to_text()
SECONDLY = Timetable(every_ms=1000)
WAITING = (JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.DEFERRED)
CLEANED = [status for status in JobStatus if status not in (JobStatus.QUEUED, JobStatus.STARTED)]


def fill(scene: Scene) -> None:
    """A queue with jobs in all statuses and whatever they can bring with them, a schedule and a pause."""
    large, unique = b"m" * 900, iter(f"0 key{number}" for number in range(20))
    for status in JobStatus:
        if status not in (JobStatus.QUEUED, JobStatus.STARTED):
            scene.put(status, f"{status}", meta=large, unique=next(unique), nonce="n")
    scene.put(JobStatus.FINISHED, "for ever", policy=policy(result_ttl=-1.0))
    scene.put(JobStatus.STARTED, "started", meta=large, unique="60000 timed", limit=LIMIT)
    scene.enqueue(new_job("at the front", front=True), new_job("held", limit=LIMIT), new_job("behind it", limit=LIMIT))
    scene.enqueue(new_job("unlimited", meta=large, ttl_ms=60_000, unique=next(unique)))
    assert [one.job_id for one in scene.claim(2)] == ["at the front", "unlimited"]
    scene.enqueue(new_job("queued", meta=large, ttl_ms=60_000, unique=next(unique)), new_job("limited", limit=LIMIT))
    schedule(scene, "s")
    scene.run(pauses.pause(QUEUE, "by-hand", None, "why"))


def schedule(scene: Scene, key: str, queue: str = QUEUE) -> None:
    scene.run(schedules.upsert(key, None, SECONDLY, scene.now_ms + 1000, queue, new_job("template")))


def others(scene: Scene) -> None:
    """What is to stay: another queue, with a job that waits for the same limit, and its schedule."""
    scene.enqueue(new_job("x", unique="0 mine"), new_job("y", ttl_ms=60_000), queue="another")
    schedule(scene, "t", "another")


def obliterate(scene: Scene, *, force: bool = True, limit: int = 500, queue: str = QUEUE) -> list[Obliterated]:
    """Calls until nothing is left."""
    steps, cursor = [], "0"
    while True:
        steps.append(scene.run(erasures.obliterate(queue, nonce(), force=force, cursor=cursor, limit=limit)))
        cursor = steps[-1].cursor
        assert violations(scene.dump(), scene.store.keys, scene.now_ms) == []
        if steps[-1].done:
            return steps


def later(scene: Scene) -> Dump:
    """What there is when the traces of what was deleted are over: those are dated by the server's own clock."""
    traces = (scene.store.keys.results(""), scene.store.keys.answer(""))
    return {
        key: value
        for key, value in scene.dump().items()
        if not (key.startswith(traces) and 0 < value[2] < real_ms() + GRACE_MS + 1_000)
    }


def counts(scene: Scene, queue: str = QUEUE) -> int:
    (found,) = scene.run(verbs.counts([queue]))
    return sum(found.values())


# -- obliterating ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [500, 1])
def test_nothing_is_left_of_an_obliterated_queue_and_nothing_of_another_one_goes(scene: Scene, limit: int) -> None:
    others(scene)
    before = scene.dump()
    fill(scene)
    obliterate(scene, queue=PARENTS)
    assert scene.status("deferred") is JobStatus.CANCELED
    expected = counts(scene)
    steps = obliterate(scene, limit=limit)
    assert (sum(step.jobs for step in steps), sum(step.schedules for step in steps)) == (expected, 1)
    assert len(steps) == (1 if limit == 500 else expected)
    volatile = {scene.store.keys.sequence(), scene.store.keys.contact(), scene.store.keys.watch()}
    left = {key: value for key, value in later(scene).items() if "lastcall" not in key and "control" not in key}
    assert {key: left[key] for key in left.keys() - volatile} == {key: before[key] for key in before.keys() - volatile}
    assert not scene.client.hexists(scene.store.keys.watch(), QUEUE)


def test_jobs_that_run_keep_a_queue_from_being_obliterated_and_nothing_is_changed(scene: Scene) -> None:
    fill(scene)
    before = scene.dump()
    with pytest.raises(InvalidJobOperation, match=r"3 of its jobs are started.*force"):
        scene.run(erasures.obliterate(QUEUE, "o", force=False))
    assert scene.dump() == before


def test_a_started_job_of_an_obliterated_queue_is_killed_and_writes_nothing(scene: Scene) -> None:
    scene.run(turns.register("w", "i-w", {"host": "h"}))
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    obliterate(scene)
    told = scene.client.zrange(scene.store.keys.control("w"), 0, -1)
    assert told == [f"deleted {execution.token}".encode()]
    assert scene.settle(execution, returned()) == "gone"
    assert later(scene).keys() & {scene.store.keys.job("j"), scene.store.keys.home("finished", QUEUE)} == set()


@pytest.mark.parametrize("status", list(JobStatus))
def test_who_waits_for_a_job_of_an_obliterated_queue_learns(scene: Scene, status: JobStatus) -> None:
    scene.put(status)
    obliterate(scene)
    peeked = scene.run(verbs.peek("j", QUEUE, 1))
    assert isinstance(peeked.entries[0], NoticeRecord)
    assert 0 < scene.client.pttl(scene.store.keys.results("j")) <= GRACE_MS


def test_a_queue_is_paused_until_the_last_step_and_no_longer_than_30_s(scene: Scene) -> None:
    scene.enqueue(*(new_job(job_id) for job_id in "abc"))
    scene.run(erasures.obliterate(QUEUE, "o", force=False, limit=1))
    assert scene.claim() == ()
    (pause,) = scene.run(pauses.pauses([QUEUE]))
    assert pause is not None
    assert (pause.until_ms, pause.reason) == (scene.now_ms + OBLITERATE_MS, "it is being obliterated")
    scene.now_ms += OBLITERATE_MS
    assert [execution.job_id for execution in scene.claim()] == ["b"]


@pytest.mark.parametrize(("ttl_ms", "until"), [(None, None), (90_000, 90_000), (1_000, OBLITERATE_MS)])
def test_a_pause_that_somebody_has_made_outlives_an_obliteration_that_was_cut_off(
    scene: Scene, ttl_ms: int | None, until: int | None
) -> None:
    scene.enqueue(*(new_job(job_id) for job_id in "abc"))
    scene.run(pauses.pause(QUEUE, "p", ttl_ms, "why"))
    scene.run(erasures.obliterate(QUEUE, "o", force=False, limit=1))
    (pause,) = scene.run(pauses.pauses([QUEUE]))
    assert pause is not None
    assert (pause.until_ms, pause.reason) == (None if until is None else scene.now_ms + until, "why")


def test_what_is_enqueued_before_the_last_step_goes_too_and_what_comes_later_makes_the_queue_anew(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    first = scene.run(erasures.obliterate(QUEUE, "1", force=False, limit=1))
    scene.enqueue(new_job("meanwhile"))
    second = scene.run(erasures.obliterate(QUEUE, "2", force=False, cursor=first.cursor))
    assert (first.done, second.jobs, second.done) == (False, 2, True)
    assert scene.run(verbs.queues()) == []
    scene.enqueue(new_job("later"))
    assert [execution.job_id for execution in scene.claim()] == ["later"]


def test_all_schedules_of_a_queue_go_among_many_of_others(server: Server, namespace: str) -> None:
    with server.client() as client:
        scene = scene_on(client, namespace)
        for number in range(300):
            schedule(scene, f"s{number}", QUEUE if number % 3 == 0 else "another")
        scene.enqueue(new_job("j"))
        steps = obliterate(scene)
        assert len(steps) > 1
        assert sum(step.schedules for step in steps) == 100
        assert client.zcard(scene.store.keys.schedules()) == 200
        assert scene.run(verbs.queues()) == ["another"]


def test_an_id_that_stayed_behind_does_not_take_another_queues_job_with_it(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "j", policy=policy(result_ttl=1.0))
    scene.pass_ms(1_001)
    scene.enqueue(new_job("j", "n2"), queue="another")
    assert obliterate(scene)[-1] == Obliterated(0, 0, "", True)
    assert scene.status("j") is JobStatus.QUEUED
    assert scene.run(verbs.queues()) == ["another"]


@pytest.mark.parametrize("status", ["queued", "started", "failed"])
def test_what_something_else_has_put_in_the_place_of_keys_goes_with_the_queue(scene: Scene, status: str) -> None:
    keys = scene.store.keys
    scene.enqueue(new_job("a", ttl_ms=60_000), new_job("b"), new_job("c"))
    scene.client.set(keys.home(status, QUEUE), "garbage")
    for name in (keys.ttl(QUEUE), keys.watch(), keys.pauses(), keys.job("b")):
        scene.client.delete(name)
        scene.client.set(name, "garbage")
    assert scene.run(erasures.obliterate(QUEUE, "o", force=False)).done
    for job_id in "abc":  # those whose home was taken from them, nobody finds
        scene.run(verbs.delete([job_id], "d"))
    assert later(scene).keys() <= {keys.sequence(), keys.watch(), keys.pauses(), keys.events(QUEUE)}
    scene.client.delete(keys.pauses())


# -- emptying ----------------------------------------------------------------------------------------------------------


def test_what_is_due_later_goes_only_where_that_is_said(scene: Scene) -> None:
    for status in (JobStatus.SCHEDULED, JobStatus.DEFERRED, JobStatus.FAILED, JobStatus.QUEUED):
        scene.put(status, f"{status}", unique=f"0 {status}", meta=b"m" * 600)
    assert scene.run(verbs.empty(QUEUE, 500)) == (1, 0)
    assert (scene.status("scheduled"), scene.status("deferred")) == (JobStatus.SCHEDULED, JobStatus.DEFERRED)
    assert scene.run(verbs.empty(QUEUE, 1, "e", WAITING)) == (1, 1)
    assert scene.run(verbs.empty(QUEUE, 1, "f", WAITING)) == (1, 0)
    assert scene.status("failed") is JobStatus.FAILED
    assert [key for key in scene.dump() if "unique" in key] == []


# -- cleaning ----------------------------------------------------------------------------------------------------------


def clean(scene: Scene, status: JobStatus, older_ms: int = 0, most: int = 1000) -> list[Cleaned]:
    """Calls until the end; each is asked before what it would do, and nothing is changed by that."""
    steps = [Cleaned(0, -1, BEGINNING)]
    while steps[-1].after is not None and most > 0:
        last = steps[-1]
        bound = last.bound_ms if last.bound_ms >= 0 else None
        assert last.after is not None
        before = scene.dump()
        asked = scene.run(erasures.aged(QUEUE, status, older_ms, most, last.after, bound))
        assert scene.dump() == before
        steps.append(scene.run(erasures.clean(QUEUE, status, older_ms, most, nonce(), last.after, bound)))
        assert steps[-1] == asked
        most -= steps[-1].jobs
        assert violations(scene.dump(), scene.store.keys, scene.now_ms) == []
    return steps[1:]


@pytest.mark.parametrize("status", CLEANED)
def test_jobs_are_cleaned_by_when_they_ended_or_were_made(scene: Scene, status: JobStatus) -> None:
    for job_id, ttl_ms in (("old", None), ("lasting", 90_000_000_000), ("new", None)):
        scene.put(status, job_id, failure_ttl_ms=ttl_ms, meta=b"m" * 600, due="+90000" if status == "scheduled" else "")
        scene.pass_ms(10_000)
    assert clean(scene, status, 15_000)[-1].jobs == 2
    assert (scene.status("old"), scene.status("lasting"), scene.status("new")) == (None, None, status)
    assert isinstance(scene.run(verbs.peek("old", QUEUE, 1)).entries[0], NoticeRecord)
    assert clean(scene, status)[-1].jobs == 1
    assert counts(scene) == 0


def test_a_limit_counts_those_that_are_deleted(scene: Scene) -> None:
    for number in range(5):
        scene.put(JobStatus.FAILED, f"j{number}")
        scene.pass_ms(1_000)
    steps = clean(scene, JobStatus.FAILED, 2_000, 2)
    assert sum(step.jobs for step in steps) == 2
    assert scene.order(JobStatus.FAILED) == ["j2", "j3", "j4"]


def test_jobs_that_end_while_a_cleaning_goes_on_stay(scene: Scene) -> None:
    scene.put(JobStatus.CANCELED, "before")
    first = scene.run(erasures.clean(QUEUE, JobStatus.CANCELED, 0, 10, "1", BEGINNING))
    scene.pass_ms(10)
    scene.put(JobStatus.CANCELED, "after")
    second = scene.run(erasures.clean(QUEUE, JobStatus.CANCELED, 0, 10, "2", BEGINNING, first.bound_ms))
    assert (first.jobs, second.jobs, scene.status("after")) == (1, 0, JobStatus.CANCELED)


def test_a_job_that_runs_again_is_not_cleaned(scene: Scene) -> None:
    """Its id stands in a home where it is no more, as if something else had put it there."""
    scene.put(JobStatus.FAILED, "j")
    scene.run(verbs.requeue(["j"], "r", at_front=False))
    scene.client.zadd(scene.store.keys.home("failed", QUEUE), {"j": scene.now_ms + 60_000})
    asked = scene.run(erasures.aged(QUEUE, JobStatus.FAILED, 0, 10, BEGINNING))
    cleaned = scene.run(erasures.clean(QUEUE, JobStatus.FAILED, 0, 10, "c", BEGINNING))
    assert (asked.jobs, cleaned.jobs, scene.status("j")) == (0, 0, JobStatus.QUEUED)
    scene.client.zrem(scene.store.keys.home("failed", QUEUE), "j")


@pytest.mark.parametrize(("older_ms", "gone"), [(0, 3), (5, 1)])
def test_a_job_whose_age_nobody_can_tell_is_cleaned_where_any_age_will_do(
    scene: Scene, older_ms: int, gone: int
) -> None:
    keys = scene.store.keys
    for job_id in ("sound", "no date", "no hash"):
        scene.put(JobStatus.FAILED, job_id)
    scene.client.hset(keys.job("no date"), fields.JOB["ended"], "garbage")
    scene.client.delete(keys.job("no hash"))
    scene.client.set(keys.job("no hash"), "garbage", px=60_000)
    scene.now_ms += 5
    asked = scene.run(erasures.aged(QUEUE, JobStatus.FAILED, older_ms, 10, BEGINNING))
    cleaned = scene.run(erasures.clean(QUEUE, JobStatus.FAILED, older_ms, 10, "c", BEGINNING))
    assert (asked.jobs, cleaned.jobs) == (gone, gone)
    for job_id in ("no date", "no hash"):
        scene.run(verbs.delete([job_id], "d"))


# -- the same call again, and half of it -------------------------------------------------------------------------------


def test_calls_sent_again_are_answered_the_same_and_delete_nothing_more(scene: Scene) -> None:
    for number in range(4):
        scene.put(JobStatus.FAILED, f"f{number}")
    scene.enqueue(*(new_job(f"q{number}") for number in range(4)))
    requests: tuple[Request[Any], ...] = (
        verbs.empty(QUEUE, 1, "e"),
        erasures.clean(QUEUE, JobStatus.FAILED, 0, 1, "c", BEGINNING),
        erasures.obliterate(QUEUE, "o", force=False, limit=1),
        erasures.obliterate(QUEUE, "p", force=False),
    )
    for request in requests:
        answer = scene.run(request)
        before = scene.dump()
        assert scene.again() == answer
        assert scene.dump() == before


def forget_scripts() -> None:
    for memory in (scripts.script, scripts._assembled, scripts._expanded, scripts._spelled):
        memory.cache_clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scripts that have worked long enough as soon as they ask."""
    monkeypatch.setattr("rqlike.settings.SCRIPT_S", -1.0)
    forget_scripts()
    yield
    monkeypatch.undo()
    forget_scripts()


@pytest.mark.usefixtures("impatient")
def test_a_script_that_takes_long_leaves_the_rest_to_the_next_call(any_server: AnyServer, namespace: str) -> None:
    scene = scene_on(any_server.client(), namespace)
    scene.enqueue(*(new_job(f"j{number:02}") for number in range(70)))
    assert scene.run(verbs.empty(QUEUE, 500, "e")) == (20, 50)
    scene.turn("w", *(scene.judged(execution, raised()) for execution in scene.claim(30)))
    steps = clean(scene, JobStatus.FAILED, most=25)
    assert [step.jobs for step in steps] == [21, 4]
    assert [step.jobs for step in obliterate(scene)] == [20, 5]
    assert later(scene).keys() <= {scene.store.keys.sequence(), scene.store.keys.call("w"), scene.store.keys.contact()}


def test_a_full_server_lets_its_queues_be_emptied_cleaned_and_obliterated() -> None:
    for name in ("empty", "clean", "obliterate"):
        assert scripts.script(name).source.startswith("#!lua flags=allow-oom\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what one thread has used")
def test_500_large_jobs_are_deleted_in_scripts_of_less_than_20_ms(server: Server, namespace: str) -> None:
    with server.client() as client:
        scene = scene_on(client, namespace)
        scene.enqueue(*(new_job(f"j{number}", meta=b"m" * 20_000, unique=f"0 {number}") for number in range(500)))
        took, cursor, done = [], "0", False
        while not done:
            before = server.processor_ms()
            step = scene.run(erasures.obliterate(QUEUE, nonce(), force=False, cursor=cursor))
            took.append(server.processor_ms() - before)
            cursor, done = step.cursor, step.done
        assert max(took) < 20.0
