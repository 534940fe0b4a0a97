"""Where one feature meets another: groups, dependents, unique keys, erasures, and keys that are none of rqlike's."""

from __future__ import annotations

from typing import Any

import pytest

from rqlike.exceptions import DeserializationError
from rqlike.records import NoticeRecord
from rqlike.settings import AUDIT_MS, GROUP_HOLD_MS, LEASE_MS, TELL_LIMIT, TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store import erasures, groups, pauses, turns, verbs
from rqlike.store.turns import Telling
from rqlike.store.verbs import Into, NewJob
from rqlike.told import State, Told
from tests.conftest import AnyServer
from tests.servers import Server
from tests.store.builders import QUEUE, Scene, call_of, new_job, policy, raised, retries, returned, scene_on

FOREIGN = "something else"


@pytest.fixture
def trodden(any_server: AnyServer, namespace: str) -> Scene:
    """Without the invariants, which do not hold for what something else has written."""
    return scene_on(any_server.client(), namespace)


def grouped(scene: Scene, *jobs: NewJob, group: str = "g", more: bool = False) -> list[Any]:
    """Jobs of a group."""
    return scene.run(verbs.enqueue(QUEUE, jobs, into=Into(group, more)))


def make_group(scene: Scene, group: str = "g") -> None:
    """A group with a callback."""
    scene.run(groups.create_group(group, call_of(name="tasks.done")))


def seen(scene: Scene, group: str = "g") -> tuple[int, int, int]:
    """Its jobs, those that have not ended, and how often it was complete."""
    found = scene.run(groups.group(group))
    return found.total, found.pending, found.completed


def overwrite(scene: Scene, key: str) -> None:
    scene.client.delete(key)
    scene.client.set(key, FOREIGN)


def notices(scene: Scene, job_id: str) -> list[str]:
    found = scene.run(verbs.peek(job_id, QUEUE, 10)).entries
    return [entry.notice for entry in found if isinstance(entry, NoticeRecord)]


def test_who_waits_for_any_of_those_that_are_deleted_with_a_parent_learns(scene: Scene) -> None:
    scene.enqueue(new_job("p"), *(new_job(name, needs="c p") for name in "abc"), new_job("d", needs="c a"))
    scene.run(verbs.delete(["p"], "n", dependents_too=True))
    assert {name: notices(scene, name) for name in "pabcd"} == {name: ["deleted"] for name in "pabcd"}


@pytest.mark.parametrize("status", ["queued", "failed", "vanished"])
def test_the_callback_of_a_group_never_takes_the_place_of_another_job(scene: Scene, status: str) -> None:
    scene.enqueue(new_job("g@1", policy=policy(result_ttl=0.0)))
    if status != "queued":
        scene.settle(scene.claim_one(), raised() if status == "failed" else returned())
    before = scene.job("g@1")
    make_group(scene)
    grouped(scene, new_job("a", "n"))
    scene.run(verbs.cancel("a", "x"))
    assert (scene.job("g@1") == before, seen(scene)) == (True, (1, 0, 1))
    assert sum(name.startswith("g@1-") for name in scene.order()) == 1


def test_who_may_go_on_after_a_cancel_goes_on_where_the_job_fails_before_it_is_killed(scene: Scene) -> None:
    scene.enqueue(new_job("p"))
    started = scene.claim_one()
    scene.enqueue(new_job("a", needs="c p"))
    scene.run(verbs.cancel("p", "n", enqueue_dependents=True))
    scene.settle(started, raised())
    assert scene.status("a") is JobStatus.QUEUED


def test_a_call_of_one_part_leaves_a_group_open_to_which_another_is_adding(scene: Scene) -> None:
    make_group(scene)
    grouped(scene, new_job("a"), more=True)
    grouped(scene, new_job("b"))
    for name in "ab":
        scene.run(verbs.cancel(name, "x"))
    assert seen(scene) == (2, 0, 0)
    scene.pass_ms(GROUP_HOLD_MS + 1)
    scene.turn(sweep=True)
    assert seen(scene) == (2, 0, 1)


def test_a_job_that_is_replaced_in_the_call_that_made_it_keeps_its_group_from_nothing(scene: Scene) -> None:
    make_group(scene)
    grouped(scene, new_job("a", unique="k", wish="replace"), new_job("b", unique="k", wish="replace"))
    assert (scene.status("a"), scene.status("b"), seen(scene)) == (JobStatus.CANCELED, JobStatus.QUEUED, (2, 1, 0))
    scene.run(verbs.cancel("b", "x"))
    assert seen(scene) == (2, 0, 1)


@pytest.mark.parametrize("name", ["unsettled", "group", "members", "pending"])
@pytest.mark.parametrize("end", ["finish", "fail", "vanish", "cancel", "delete"])
def test_a_key_of_dependents_or_groups_that_is_not_ours_costs_no_outcome(trodden: Scene, name: str, end: str) -> None:
    make_group(trodden)
    grouped(trodden, new_job("p", policy=policy(result_ttl=0.0 if end == "vanish" else None)))
    trodden.enqueue(new_job("a", needs="r p"))
    started = None if end in ("cancel", "delete") else trodden.claim_one()
    keys = trodden.store.keys
    overwrite(trodden, keys.unsettled() if name == "unsettled" else getattr(keys, name)("g"))
    if started is not None:
        assert trodden.settle(started, raised() if end == "fail" else returned()) == "ok"
    elif end == "cancel":
        assert trodden.run(verbs.cancel("p", "x")) is JobStatus.CANCELED
    else:
        assert trodden.run(verbs.delete(["p"], "x")) == ["ok"]
    trodden.turn(sweep=True)
    assert trodden.status("a") is JobStatus.QUEUED
    assert trodden.status("p") is {
        "finish": JobStatus.FINISHED,
        "fail": JobStatus.FAILED,
        "cancel": JobStatus.CANCELED,
    }.get(end)


@pytest.mark.parametrize("name", ["group", "members", "pending"])
def test_a_job_is_requeued_whatever_is_in_the_place_of_its_group(trodden: Scene, name: str) -> None:
    make_group(trodden)
    grouped(trodden, new_job("p"))
    trodden.run(verbs.cancel("p", "x"))
    overwrite(trodden, getattr(trodden.store.keys, name)("g"))
    assert trodden.run(verbs.requeue(["p"], "y", at_front=False)) == ["ok"]
    assert trodden.status("p") is JobStatus.QUEUED


@pytest.mark.parametrize("wish", ["c", "r", "w"])
@pytest.mark.parametrize("way", ["met", "deleted"])
def test_who_waits_for_a_job_that_something_else_has_overwritten_waits_no_more(
    trodden: Scene, way: str, wish: str
) -> None:
    trodden.enqueue(new_job("p"))
    trodden.enqueue(new_job("a", needs=f"{wish} p"))
    overwrite(trodden, trodden.store.keys.job("p"))
    if way == "met":
        trodden.turn(want=1, sweep=True)
        trodden.turn(sweep=True)
        trodden.client.delete(trodden.store.keys.job("p"))
    else:
        trodden.run(verbs.delete(["p"], "n"))
    assert trodden.status("a") is (JobStatus.QUEUED if wish == "r" else JobStatus.CANCELED)


def test_a_dependent_that_a_producer_cannot_work_with_is_left_to_a_worker(trodden: Scene) -> None:
    trodden.enqueue(new_job("p"))
    trodden.enqueue(new_job("a", needs="c p"), new_job("b", needs="c p"))
    home = trodden.store.keys.home("canceled", QUEUE)
    trodden.run(verbs.enqueue("other", [new_job("c", needs="c p")], trodden.now_ms))
    overwrite(trodden, home)
    trodden.run(verbs.delete(["p"], "n"))
    assert trodden.status("c") is JobStatus.CANCELED
    trodden.pass_ms(2)
    trodden.turn(sweep=True)
    trodden.client.delete(home)
    assert [trodden.status(name) for name in "ab"] == [JobStatus.FAILED] * 2


def test_who_waits_for_another_try_is_not_kept_where_that_has_been_made_meanwhile(scene: Scene) -> None:
    scene.enqueue(new_job("p"))
    many = [f"a{number}" for number in range(TELL_LIMIT + 10)]
    scene.enqueue(*(new_job(name, needs="w p") for name in many))
    scene.run(verbs.cancel("p", "n"))  # no worker lives: the rest of them are not told
    scene.run(verbs.requeue(["p"], "m", at_front=False))
    scene.settle(scene.claim_one(), returned())
    for _ in range(3):
        scene.turn(sweep=True)
    assert {scene.status(name) for name in many} == {JobStatus.QUEUED}


@pytest.mark.parametrize("ms", [0, 5_000])
def test_who_waits_for_another_try_of_a_job_learns_where_that_is_kept_for_less(scene: Scene, ms: int) -> None:
    scene.put(JobStatus.FAILED, "p")
    scene.enqueue(new_job("a", needs="w p"))
    scene.run(verbs.save("p", {}, None, ms, redate=True))
    scene.pass_ms(ms + 2)
    scene.turn(sweep=True)
    assert scene.status("a") is JobStatus.CANCELED


def test_a_new_job_shows_nothing_of_what_another_one_of_its_id_has_told(scene: Scene) -> None:
    execution = scene.put(JobStatus.STARTED, policy=policy(result_ttl=0.0))
    assert execution is not None
    scene.run(turns.tell([Telling("j", execution.token, 1, 1000, State(1, 10).stored(None), ((1000, b"a"),))]))
    scene.settle(execution, returned())
    scene.enqueue(new_job("j", "other"))
    scene.claim_one()
    assert scene.run(verbs.told("j", 10)) == Told(None, [])


def test_one_that_is_to_go_to_the_front_does_so_also_where_it_is_due_later(scene: Scene) -> None:
    started = scene.put(JobStatus.STARTED, "p")
    assert started is not None
    scene.enqueue(new_job("a", needs="cf p", due="+1000"))
    scene.settle(started, returned())
    scene.enqueue(new_job("b"))
    scene.pass_ms(1000)
    assert [one.job_id for one in scene.claim(2, sweep=True)] == ["a", "b"]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.STARTED, JobStatus.DEFERRED])
def test_who_waits_for_a_job_that_something_else_took_waits_no_more(trodden: Scene, status: JobStatus) -> None:
    trodden.put(status, "p")
    trodden.enqueue(new_job("a", needs="r p"))
    trodden.client.delete(trodden.store.keys.job("p"))
    trodden.pass_ms(LEASE_MS)
    if status is JobStatus.DEFERRED:
        trodden.run(verbs.cancel("p-parent", "n"))
    for _ in range(3):
        trodden.turn("other", want=10, sweep=True)
    assert trodden.status("a") in (JobStatus.QUEUED, JobStatus.STARTED)


def test_those_that_wait_are_named_in_parts(scene: Scene) -> None:
    scene.enqueue(new_job("p"))
    many = [f"a{number}" for number in range(TOUCH_LIMIT + 1)]
    for at in (0, TOUCH_LIMIT):
        scene.enqueue(*(new_job(name, needs="c p") for name in many[at : at + TOUCH_LIMIT]))
    first, following = scene.run(groups.dependents("p"))
    assert (first, following) == (many[:TOUCH_LIMIT], TOUCH_LIMIT)
    assert scene.run(groups.dependents("p", TOUCH_LIMIT)) == (many[TOUCH_LIMIT:], None)


def test_a_call_that_fails_half_way_leaves_its_group_as_it_was(trodden: Scene) -> None:
    make_group(trodden)
    grouped(trodden, new_job("z"), more=True)
    trodden.enqueue(new_job("p"), new_job("old", unique="k"))
    trodden.client.set(trodden.store.keys.dependents("p"), FOREIGN)
    with pytest.raises(DeserializationError):
        grouped(trodden, new_job("a"), new_job("b", unique="k", wish="replace"), new_job("c", needs="c p"))
    assert seen(trodden) == (1, 1, 0)
    trodden.client.delete(trodden.store.keys.dependents("p"))


@pytest.mark.parametrize("ms", [60_000_000, -1])
def test_a_group_is_kept_as_long_as_one_of_its_jobs_that_is_to_be_kept_longer(scene: Scene, ms: int) -> None:
    make_group(scene)
    grouped(scene, new_job("a"))
    scene.settle(scene.claim_one(), returned())
    scene.run(verbs.save("a", {}, None, ms, redate=True))
    for key in (scene.store.keys.group("g"), scene.store.keys.members("g")):
        assert scene.client.pexpiretime(key) == (scene.now_ms + ms if ms > 0 else -1)


def test_a_queue_that_cannot_take_the_callback_of_a_group_costs_no_outcome(scene: Scene) -> None:
    make_group(scene)
    grouped(scene, new_job("a"))
    started = scene.claim_one()
    home = scene.store.keys.home("queued", QUEUE)
    scene.client.set(home, FOREIGN)
    assert scene.settle(started, returned()) == "ok"
    scene.client.delete(home)
    assert seen(scene) == (1, 0, 0)
    scene.pass_ms(AUDIT_MS)
    scene.turn(sweep=True)
    assert (seen(scene), scene.order()) == ((1, 0, 1), ["g@1"])


@pytest.mark.parametrize("doomed", [False, True])
def test_a_call_sent_again_does_not_bring_back_what_was_replaced_and_then_canceled(scene: Scene, doomed: bool) -> None:
    scene.put(JobStatus.FAILED, "p")
    scene.enqueue(new_job("a", "n"))
    first = scene.last
    assert first is not None
    scene.enqueue(new_job("a", "m", wish="replace", needs="c p" if doomed else ""))
    if not doomed:
        scene.run(verbs.cancel("a", "x"))
    before = scene.dump()
    (again,) = scene.store.run(first)
    assert (again.word, again.cycle) == ("replayed", 1)
    assert {key: value for key, value in scene.dump().items() if not key.endswith("sequence")} == {
        key: value for key, value in before.items() if not key.endswith("sequence")
    }


def test_the_end_of_an_obliterations_pause_is_answered_the_same_again(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    scene.run(erasures.obliterate(QUEUE, "n", force=False, limit=1))
    assert (scene.run(pauses.resume(QUEUE, "m")), scene.again()) == (True, True)


def test_a_callback_that_comes_with_a_deadline_that_is_seen_by_a_claim_wakes_a_worker(scene: Scene) -> None:
    make_group(scene)
    grouped(scene, new_job("a", ttl_ms=1000))
    scene.pass_ms(1000)
    assert scene.claim(4) == ()
    assert (scene.status("a"), scene.order(), scene.markers()) == (JobStatus.EXPIRED, ["g@1"], 1)


def test_who_waits_for_another_try_of_a_job_that_was_forgotten_does_not_wait_for_a_new_one_of_its_id(
    scene: Scene,
) -> None:
    scene.put(JobStatus.FAILED, "p", policy=policy(failure_ttl=1.0))
    scene.enqueue(new_job("a", needs="w p"))
    scene.pass_ms(1001)
    scene.enqueue(new_job("p", "n"))  # before anybody has told that it is gone
    scene.enqueue(new_job("b", needs="c p"))
    scene.settle(scene.claim_one(), returned())
    scene.turn(sweep=True)
    assert (scene.status("a"), scene.status("b")) == (JobStatus.CANCELED, JobStatus.QUEUED)


def test_one_call_moves_no_more_than_500_jobs_however_many_queues_it_is_for(server: Server, namespace: str) -> None:
    with server.client() as client:
        scene, queues = scene_on(client, namespace), [f"q{number}" for number in range(7)]
        for queue in queues:
            scene.enqueue(*(new_job(f"{queue} {number}", due="+10") for number in range(90)), queue=queue)
        scene.now_ms += 10
        moments = []
        while sum(len(scene.order(JobStatus.SCHEDULED, queue)) for queue in queues):
            moments.append(scene.turn("w", sweep=True, queues=queues).moment_ms)
        assert len(moments) == 2
        assert moments[0] is not None and moments[0] <= scene.now_ms  # it is to call again at once


def test_a_job_that_cannot_go_on_fails_in_the_queue_it_is_of(trodden: Scene) -> None:
    trodden.enqueue(new_job("a", policy=retries(1, 5)), queue="second")
    (started,) = trodden.claim(1, queues=("first", "second"))
    home = trodden.store.keys.home("scheduled", "second")
    trodden.client.set(home, FOREIGN)
    assert trodden.settle(started, raised(), queues=("first", "second")) == "broken"
    trodden.client.delete(home)
    assert (trodden.order(JobStatus.FAILED, "second"), trodden.order(JobStatus.FAILED, "first")) == (["a"], [])
