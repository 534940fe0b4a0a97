"""The stream of events: what each transition tells, that nothing else tells anything, and what is in its way."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from rqlike.clock import utc
from rqlike.events import Event, event_place
from rqlike.policies import Repeat, Retry
from rqlike.settings import EVENTS_KEPT, LEASE_MS
from rqlike.states import JobStatus, Reason
from rqlike.store import events, schedules, verbs
from rqlike.timetables import Timetable
from tests.conftest import start_or_skip
from tests.store.builders import PARENTS, QUEUE, Scene, new_job, policy, raised, retries, returned, scene_on
from tests.store.invariants import told_in
from tests.store.paths import strayed


def told(scene: Scene, queue: str = QUEUE) -> list[Event]:
    return list(scene.store.run(events.heard(queue, "0", 20_000)).events)


def names(scene: Scene, queue: str = QUEUE) -> list[str]:
    return [f"{event.name} {event.job_id}" for event in told(scene, queue)]


def facts(event: Event) -> tuple[Any, ...]:
    return (event.name, event.status, event.cycle, event.attempt, event.reason, event.worker_name)


def test_the_events_of_a_job_say_what_was_done_where_it_is_and_by_whom(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=policy(retry=Retry(1), repeat=Repeat(1))))
    scene.settle(scene.claim_one(), raised(Reason.TIMEOUT))
    scene.settle(scene.claim_one("other"), returned(), "other")
    scene.settle(scene.claim_one(), returned())
    scene.run(verbs.requeue(["j"], "r", at_front=False))
    scene.give_back(scene.claim_one())
    scene.run(verbs.delete(["j"], "d"))
    queued, started = JobStatus.QUEUED, JobStatus.STARTED
    assert [facts(event) for event in told(scene)] == [
        ("enqueue", queued, 1, 0, None, None),
        ("claim", started, 1, 1, None, "w"),
        ("retry", queued, 1, 1, "timeout", "w"),
        ("claim", started, 1, 2, None, "other"),
        ("repeat", queued, 1, 2, None, "other"),
        ("claim", started, 2, 1, None, "w"),
        ("finish", JobStatus.FINISHED, 2, 1, None, "w"),
        ("requeue", queued, 3, 0, None, None),
        ("claim", started, 3, 1, None, "w"),
        ("give_back", queued, 3, 0, None, "w"),
        ("delete", None, 3, 0, None, None),
    ]
    assert {event.queue for event in told(scene)} == {QUEUE}


def test_what_many_jobs_go_through_in_one_call_is_one_event_each_in_their_order(scene: Scene) -> None:
    ids = [f"j{number}" for number in range(20)]
    scene.enqueue(*(new_job(job_id) for job_id in ids))
    held = scene.claim(16)
    scene.turn("w", *(scene.judged(execution, returned()) for execution in held))
    scene.run(verbs.empty(QUEUE, 500))
    expected = [*(("enqueue", one) for one in ids), *(("claim", one) for one in ids[:16])]
    expected += [*(("finish", one) for one in ids[:16]), *(("delete", one) for one in ids[16:])]
    found = told(scene)
    assert [(event.name, event.job_id) for event in found] == expected
    places = [event_place(event.id) for event in found]
    assert places == sorted(set(places))


def test_who_replaces_a_job_cancels_it_first_and_each_is_told_after_it_was_made(scene: Scene) -> None:
    scene.enqueue(new_job("first", unique="0 key", wish="replace"), new_job("second", unique="0 key", wish="replace"))
    assert names(scene) == ["enqueue first", "cancel first", "enqueue second"]


def test_a_job_that_is_canceled_for_what_it_depends_on_says_so(scene: Scene) -> None:
    scene.enqueue(new_job("parent"), queue=PARENTS)
    scene.enqueue(new_job("child", needs="c parent"))
    (parent,) = scene.turn("w", want=1, queues=(PARENTS,)).granted
    scene.settle(parent, raised(), queues=(PARENTS,))
    scene.enqueue(new_job("late", needs="c parent"))
    assert [(event.job_id, event.name, event.reason) for event in told(scene)] == [
        ("child", "enqueue", None),
        ("child", "cancel", "dependency"),
        ("late", "enqueue", None),
        ("late", "cancel", "dependency"),
    ]


def test_an_execution_that_is_recovered_is_told_with_the_worker_that_was_lost(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(1, 5)))
    scene.claim_one("lost")
    scene.now_ms += LEASE_MS
    (lapsed,) = scene.turn("other", sweep=True).lapsed
    scene.turn("other", scene.judged(lapsed, raised(Reason.ABANDONED)))
    scene.now_ms += 5_000
    scene.turn("other", sweep=True)
    assert [facts(event) for event in told(scene)][2:] == [
        ("recover", JobStatus.STARTED, 1, 1, None, "lost"),
        ("retry", JobStatus.SCHEDULED, 1, 1, "abandoned", "lost"),
        ("promote", JobStatus.QUEUED, 1, 1, None, None),
    ]


def test_a_job_whose_end_was_asked_for_while_it_failed_is_told_to_have_gone_both_ways(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(3)))
    execution = scene.claim_one()
    scene.run(verbs.cancel("j", "c"))
    scene.settle(execution, raised())
    assert names(scene)[2:] == ["retry j", "cancel j"]


def test_a_result_that_is_not_kept_leaves_an_event_without_a_status(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=policy(result_ttl=0.0)))
    scene.settle(scene.claim_one(), returned())
    assert facts(told(scene)[-1]) == ("finish", None, 1, 1, None, "w")


def test_calls_that_are_sent_again_or_refused_tell_nothing(scene: Scene) -> None:
    scene.enqueue(new_job("j", "nonce"))
    scene.again()
    execution = scene.claim_one()
    scene.again()
    scene.enqueue(new_job("j", "another"))
    scene.settle(execution, returned())
    scene.again()
    scene.run(verbs.requeue(["j"], "r", at_front=False))
    scene.again()
    scene.run(verbs.cancel("j", "c"))
    scene.again()
    scene.run(verbs.delete(["j"], "d"))
    scene.again()
    verbs_told = ["enqueue", "claim", "finish", "requeue", "cancel", "delete"]
    assert [event.name for event in told(scene)] == verbs_told


def test_a_batch_that_cannot_be_written_tells_nothing(scene: Scene) -> None:
    scene.client.set(scene.store.keys.home("scheduled", QUEUE), "not ours")
    with pytest.raises(Exception, match="wrong kind of value"):
        scene.enqueue(new_job("a"), new_job("b", due="+1000"))
    assert names(scene) == []
    scene.client.delete(scene.store.keys.home("scheduled", QUEUE))


def test_a_claim_that_is_undone_tells_nothing(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    scene.client.set(scene.store.keys.home("started", QUEUE), "not ours")
    assert scene.claim(1) == ()
    assert names(scene) == ["enqueue j"]
    scene.client.delete(scene.store.keys.home("started", QUEUE))


def test_events_are_switched_off_per_queue_and_what_was_kept_is_gone(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    for _ in range(2):
        scene.run(events.switch(QUEUE, False))
    scene.enqueue(new_job("k"), new_job("l"))
    scene.enqueue(new_job("m"))
    scene.settle(scene.claim_one(), returned())
    scene.run(verbs.cancel("k", "c"))
    assert told(scene) == []
    assert scene.client.exists(scene.store.keys.events(QUEUE)) == 0
    scene.enqueue(new_job("n"), queue="another")
    assert names(scene, "another") == ["enqueue n"]
    for _ in range(2):
        scene.run(events.switch(QUEUE, True))
    assert scene.client.exists(scene.store.keys.muted()) == 0
    scene.enqueue(new_job("o"))
    assert names(scene) == ["enqueue o"]
    scene.client.delete(scene.store.keys.events(QUEUE), scene.store.keys.events("another"))  # not the whole path


@pytest.mark.parametrize("name", ["events", "muted"])
def test_a_key_of_events_that_is_not_ours_keeps_no_job_from_its_way(scene: Scene, name: str) -> None:
    key = scene.store.keys.events(QUEUE) if name == "events" else scene.store.keys.muted()
    for act in (
        lambda: scene.enqueue(new_job("j")),
        lambda: scene.enqueue(new_job("k"), new_job("l")),
        lambda: scene.settle(scene.claim_one(), returned()),
        lambda: scene.run(verbs.delete(["k"], "d")),
    ):
        scene.client.delete(key)
        scene.client.set(key, "not ours")
        act()
    assert names(scene)[-1] == "delete k"
    assert (scene.status("j"), scene.status("k")) == (JobStatus.FINISHED, None)
    scene.client.delete(scene.store.keys.events(QUEUE))  # which lacks what was told before the key was foreign
    scene.run(events.switch("another", False))
    assert scene.client.smembers(scene.store.keys.muted()) == {b"another"}


def test_an_entry_that_nothing_can_follow_is_taken_away(scene: Scene) -> None:
    key = scene.store.keys.events(QUEUE)
    scene.client.xadd(key, {"x": "not ours"}, id=f"{2**64 - 1}-{2**64 - 1}")
    scene.enqueue(new_job("j"))
    assert names(scene) == ["enqueue j"]


def test_entries_that_are_no_events_are_passed_over(scene: Scene) -> None:
    key = scene.store.keys.events(QUEUE)
    texts = ("", "claim started 1 1 -", "claim nowhere 1 1 -\nw\nj", "claim started x 1 -\nw\nj", b"\xff")
    for text in texts:
        scene.client.xadd(key, {"1": text})
    good = "claim started 1 1 -\n\na job\nof two lines"
    mixed = scene.client.xadd(key, {"1": good, "2": "no event", "3": good})
    last = scene.client.xadd(key, {"1": good})
    heard = scene.store.run(events.heard(QUEUE, "0", 100))
    assert [event.job_id for event in heard.events] == ["a job\nof two lines"] * 3
    assert [event.id.encode() for event in heard.events] == [mixed + b".1", mixed, last]  # type: ignore[operator]
    assert heard.last.encode() == last
    scene.client.delete(key)


def test_names_with_spaces_and_other_letters_read_as_they_were_written(scene: Scene) -> None:
    scene.enqueue(new_job("ein Job - ü"))
    scene.claim_one("Arbeiter Nr. 1 - ß")
    event = told(scene)[-1]
    assert (event.job_id, event.worker_name) == ("ein Job - ü", "Arbeiter Nr. 1 - ß")
    assert str(event).endswith("claim ein Job - ü -> started attempt 1 by Arbeiter Nr. 1 - ß")
    assert repr(event) == f"<Event {event.id} of 'q': {event}>"


def test_about_the_newest_ten_thousand_are_kept_and_never_fewer() -> None:
    with start_or_skip("redis7") as server, server.client() as client:
        scene = scene_on(client, "capped")
        key = scene.store.keys.events(QUEUE)
        with client.pipeline(transaction=False) as line:
            for number in range(EVENTS_KEPT + 1000):
                line.xadd(key, {"1": f"claim started 1 1 -\nw\nj{number}"})
            line.execute()
        scene.enqueue(*(new_job(f"j-{index}") for index in range(20)))
        assert EVENTS_KEPT <= client.xlen(key) < EVENTS_KEPT + 700
        assert told(scene)[-1].job_id == "j-19"


def test_a_full_server_goes_on_telling_what_it_goes_on_doing() -> None:
    with start_or_skip("redis7") as server, server.client() as client:
        scene = scene_on(client, "full")
        scene.enqueue(new_job("j"))
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            scene.enqueue(new_job("k"))
        scene.settle(scene.claim_one(), raised())
        assert names(scene) == ["enqueue j", "claim j", "fail j"]


def test_a_slot_of_a_schedule_is_told_as_fired(scene: Scene) -> None:
    template = new_job("template")
    scene.run(schedules.upsert("s", None, Timetable(every_ms=1000), scene.now_ms + 1000, QUEUE, template))
    scene.run(schedules.run_now("s", "j"))
    assert facts(told(scene)[0]) == ("fire", JobStatus.QUEUED, 1, 0, None, None)


# -- the judge of the other tests --------------------------------------------------------------------------------------


def path(*steps: str) -> list[Event]:
    """Events of the job j from "name status cycle attempt"."""
    made = []
    for number, step in enumerate(steps):
        name, status, cycle, attempt = step.split()
        status_then = None if status == "-" else JobStatus(status)
        made.append(Event(f"{number}-0", name, "j", QUEUE, status_then, int(cycle), int(attempt), None, None, utc(0)))
    return made


FINE = ("enqueue queued 1 0", "claim started 1 1", "retry queued 1 1", "claim started 1 2", "finish finished 1 2")


def test_a_path_that_the_table_allows_is_fine() -> None:
    assert list(strayed(path(*FINE), {"j": JobStatus.FINISHED})) == []
    assert list(strayed(path(*FINE), {})) == [], "its time to live is over"
    assert list(strayed(path(*FINE[1:-1]), {})) == [], "its first event is kept no longer"


@pytest.mark.parametrize("left_out", range(1, len(FINE)))
def test_a_path_that_lacks_a_step_is_found(left_out: int) -> None:
    steps = [step for number, step in enumerate(FINE) if number != left_out]
    assert list(strayed(path(*steps), {"j": JobStatus.FINISHED}))


def test_a_path_that_has_a_step_twice_or_leads_elsewhere_is_found() -> None:
    for step in range(len(FINE)):
        assert list(strayed(path(*FINE[: step + 1], *FINE[step:]), {"j": JobStatus.FINISHED}))
    assert list(strayed(path(*FINE[:-1]), {"j": JobStatus.FINISHED}))
    assert list(strayed(path(*FINE[:-1]), {}))
    assert list(strayed(path(*FINE), {"j": JobStatus.FAILED}))
    assert list(strayed(path(FINE[0], "claim finished 1 1"), {"j": JobStatus.FINISHED}))


def test_the_dump_of_a_scene_tells_the_same_events_as_the_store(scene: Scene) -> None:
    scene.put(JobStatus.FAILED)
    assert list(told_in(scene.dump(), scene.store.keys)) == told(scene)
