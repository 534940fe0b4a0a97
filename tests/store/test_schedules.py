"""Schedules in the store: each slot is one job, whoever fires it and however often a call is sent. The clock is
injected; all servers."""

from __future__ import annotations

import pytest

from rqlike import fields
from rqlike.exceptions import NoSuchJobError, NoSuchScheduleError, ScheduleChanged
from rqlike.settings import FIRE_MS, FIRES_KEPT, NEVER_MS, SLOT_LIMIT
from rqlike.states import JobStatus
from rqlike.store import schedules, turns, verbs
from rqlike.store.schedules import DueSchedule, Plan, ScheduleRecord
from rqlike.timetables import Due, Timetable, due
from tests.store.builders import BASE_MS, QUEUE, Scene, call_of, new_job, raised, returned

SECOND = 1000
CALL = call_of(b"x" * 900)
SECONDLY = Timetable(every_ms=SECOND, grace_ms=60_000)


def put(
    scene: Scene, key: str = "s", table: Timetable = SECONDLY, at_ms: int = BASE_MS, **job: object
) -> ScheduleRecord:
    """A schedule whose next slot is `at_ms`."""
    before = scene.run(schedules.look(key)).record
    return scene.run(schedules.upsert(key, before, table, at_ms, QUEUE, new_job("template", **job)))  # type: ignore[arg-type]


def handed(scene: Scene, worker: str = "w") -> tuple[DueSchedule, ...]:
    """What a sweep hands over."""
    return scene.turn(worker, sweep=True).due


def plan(scene: Scene, schedule: DueSchedule) -> Plan:
    table = Timetable.from_wire(schedule.timetable)
    return Plan(schedule, due(table, int(schedule.slot), scene.now_ms, schedule.fired))


def fire(scene: Scene, *due_ones: DueSchedule) -> list[int | str]:
    return scene.run(schedules.fire([plan(scene, one) for one in due_ones]))


def read(scene: Scene, key: str = "s") -> ScheduleRecord:
    record = scene.run(schedules.look(key)).record
    assert record is not None
    return record


def test_a_slot_becomes_a_job_and_the_schedule_goes_on_to_the_next(scene: Scene) -> None:
    put(scene)
    assert fire(scene, *handed(scene)) == [1]
    assert scene.order() == ["s@2100-01-01T00:00:00Z"]
    job = scene.job(schedules.job_id("s", BASE_MS))
    assert job is not None
    assert (job.status, job.slot_ms, job.queue, job.attempt) == (JobStatus.QUEUED, BASE_MS, QUEUE, 0)
    record = read(scene)
    assert (record.next_ms, record.last_ms, record.last_at_ms) == (BASE_MS + SECOND, BASE_MS, BASE_MS)
    assert (record.fired, record.missed) == (1, 0)


def test_nothing_is_handed_over_before_its_time(scene: Scene) -> None:
    put(scene, at_ms=BASE_MS + 1)
    assert handed(scene) == ()
    scene.now_ms += 1
    assert [one.key for one in handed(scene)] == ["s"]


def test_what_one_worker_fires_no_other_is_handed_for_two_seconds(scene: Scene) -> None:
    put(scene)
    (first,) = handed(scene, "one")
    assert handed(scene, "two") == ()
    scene.now_ms += FIRE_MS
    (second,) = handed(scene, "two")
    assert fire(scene, second) == [3], "the slots that have come meanwhile, too"
    assert fire(scene, first) == [-1], "the first worker comes back, too late"
    assert scene.order() == [schedules.job_id("s", BASE_MS + n * SECOND) for n in range(3)]


def test_a_call_that_is_sent_again_fires_nothing_twice(scene: Scene) -> None:
    put(scene)
    fire(scene, *handed(scene))
    before = scene.dump()
    assert scene.again()[0] == -1
    assert scene.dump() == before


def test_a_slot_whose_job_is_there_already_is_not_made_twice(scene: Scene) -> None:
    put(scene)
    scene.enqueue(new_job(schedules.job_id("s", BASE_MS)))
    assert fire(scene, *handed(scene)) == [0]
    assert len(scene.order()) == 1
    assert read(scene).next_ms == BASE_MS + SECOND


def test_a_schedule_that_was_changed_meanwhile_is_not_fired_by_its_old_timetable(scene: Scene) -> None:
    put(scene)
    (old,) = handed(scene)
    put(scene, table=SECONDLY._replace(every_ms=5_000), at_ms=BASE_MS + 5_000)
    assert fire(scene, old) == [-1]
    assert scene.order() == []
    assert read(scene).next_ms == BASE_MS + 5_000


def test_while_the_timetable_is_the_same_a_new_template_keeps_the_slots_and_the_counters(scene: Scene) -> None:
    put(scene)
    fire(scene, *handed(scene))
    record = put(scene, at_ms=BASE_MS + 77_000, call=new_job("x", policy=None).call)
    assert (record.next_ms, record.fired) == (BASE_MS + SECOND, 1)


def test_two_who_write_at_once_do_not_overwrite_what_neither_has_seen(scene: Scene) -> None:
    record = put(scene)
    with pytest.raises(ScheduleChanged):
        scene.run(schedules.upsert("s", None, SECONDLY, BASE_MS, QUEUE, new_job("t")))
    put(scene)
    with pytest.raises(ScheduleChanged):
        scene.run(schedules.upsert("s", record, SECONDLY, BASE_MS, QUEUE, new_job("t")))


def test_a_paused_schedule_is_not_handed_over_and_goes_on_where_it_is_told(scene: Scene) -> None:
    record = put(scene)
    paused = scene.run(schedules.reschedule(record, paused=True))
    assert scene.run(schedules.reschedule(paused, paused=True)) == paused, "twice is once"
    assert paused.paused_ms == BASE_MS
    scene.now_ms += 10 * SECOND
    assert handed(scene) == ()
    assert put(scene).paused_ms == BASE_MS, "a new template does not let it go on"
    assert handed(scene) == ()
    going = scene.run(schedules.reschedule(read(scene), paused=False, next_ms=scene.now_ms + SECOND))
    assert going.paused_ms is None
    scene.now_ms += SECOND
    assert fire(scene, *handed(scene)) == [1]
    assert read(scene).missed == 0


def test_what_was_handed_over_before_a_pause_is_not_fired_in_it(scene: Scene) -> None:
    record = put(scene)
    (one,) = handed(scene)
    scene.run(schedules.reschedule(record, paused=True))
    assert fire(scene, one) == [-1]
    assert scene.order() == []


def test_a_schedule_that_is_over_is_never_handed_over_again(scene: Scene) -> None:
    put(scene, table=SECONDLY._replace(limit=1))
    assert fire(scene, *handed(scene)) == [1]
    scene.now_ms += 1_000_000
    assert handed(scene) == ()
    assert read(scene).next_ms is None
    assert scene.client.zscore(scene.store.keys.schedules(), "s") == NEVER_MS


def test_missed_slots_are_counted_in_the_same_step(scene: Scene) -> None:
    put(scene, table=Timetable(every_ms=SECOND, missed="once"))
    scene.now_ms += 9 * SECOND + 900
    assert fire(scene, *handed(scene)) == [1]
    record = read(scene)
    assert (record.fired, record.missed, record.next_ms) == (1, 9, BASE_MS + 10 * SECOND)
    assert scene.order() == [schedules.job_id("s", BASE_MS + 9 * SECOND)]


def test_slots_that_are_all_missed_move_the_schedule_on_without_a_job(scene: Scene) -> None:
    put(scene, table=Timetable(every_ms=10 * SECOND))
    scene.now_ms += 9 * SECOND
    assert fire(scene, *handed(scene)) == [0]
    record = read(scene)
    assert (record.fired, record.missed, record.next_ms, record.last_at_ms) == (0, 1, BASE_MS + 10 * SECOND, None)


def test_the_template_is_all_of_what_an_enqueue_would_have_said(scene: Scene) -> None:
    put(scene, front=True, ttl_ms=5_000, failure_ttl_ms=7_000, meta=b"\x81\xa1a\x01", call=CALL)
    scene.enqueue(new_job("before"))
    fire(scene, *handed(scene))
    made = schedules.job_id("s", BASE_MS)
    assert scene.order() == [made, "before"]
    job = scene.job(made)
    assert job is not None
    assert (job.deadline_ms, job.meta) == (BASE_MS + 5_000, b"\x81\xa1a\x01")
    stored = scene.client.hgetall(scene.store.keys.job(made))
    assert stored[fields.JOB["failure_ttl"].encode()] == b"7000"
    assert scene.client.get(scene.store.keys.blob(fields.JOB["call"], made)) == CALL
    scene.pass_ms(5_001)
    scene.turn(sweep=True)
    assert scene.status(made) is JobStatus.EXPIRED


def test_run_now_makes_a_job_beside_the_slots_and_is_safe_to_send_twice(scene: Scene) -> None:
    put(scene, at_ms=BASE_MS + SECOND)
    scene.run(schedules.run_now("s", "s@now-1"))
    scene.again()
    assert scene.order() == ["s@now-1"]
    record = read(scene)
    assert (record.fired, record.next_ms) == (0, BASE_MS + SECOND)
    (one,) = scene.run(schedules.look("s", 5)).fires
    assert (one.slot_ms, one.job_id) == (None, "s@now-1")
    job = scene.job("s@now-1")
    assert job is not None
    assert job.slot_ms is None


def test_the_newest_fires_are_remembered_newest_first(scene: Scene) -> None:
    put(scene)
    for _ in range(FIRES_KEPT + 5):
        fire(scene, *handed(scene))
        scene.now_ms += SECOND
    fires = scene.run(schedules.look("s", 100)).fires
    assert [one.slot_ms for one in fires] == [BASE_MS + n * SECOND for n in range(FIRES_KEPT + 4, 4, -1)]
    assert {one.fired_ms - (one.slot_ms or 0) for one in fires} == {0}


def test_a_schedule_that_is_removed_leaves_nothing_but_its_jobs(scene: Scene) -> None:
    put(scene)
    fire(scene, *handed(scene))
    assert scene.run(schedules.unschedule("s")) is True
    assert scene.run(schedules.unschedule("s")) is False
    keys = scene.store.keys
    assert not {keys.schedules(), keys.schedule("s"), keys.fires("s")} & scene.dump().keys()
    assert scene.status(schedules.job_id("s", BASE_MS)) is JobStatus.QUEUED
    assert scene.run(schedules.look("s", 5)).record is None


def test_what_is_said_of_a_schedule_that_is_not_there(scene: Scene) -> None:
    record = put(scene)
    scene.run(schedules.unschedule("s"))
    with pytest.raises(NoSuchScheduleError, match="There is no schedule s"):
        scene.run(schedules.run_now("s", "j"))
    with pytest.raises(NoSuchScheduleError):
        scene.run(schedules.reschedule(record, paused=True))
    assert scene.order() == []


def test_many_that_are_due_at_once_are_handed_over_in_slices_and_each_fires_once(scene: Scene) -> None:
    for number in range(2 * SLOT_LIMIT + 7):
        put(scene, f"s{number}", at_ms=BASE_MS)
    sizes, moments = [], []
    while slice_ := scene.turn("w", sweep=True):
        if not slice_.due:
            break
        sizes.append(len(slice_.due))
        moments.append(slice_.moment_ms)
        assert set(fire(scene, *slice_.due)) == {1}
    assert sizes == [SLOT_LIMIT, SLOT_LIMIT, 7]
    assert moments[0] == BASE_MS, "there are more, so it is to come again at once"
    assert len(scene.order()) == 2 * SLOT_LIMIT + 7


def test_all_schedules_are_listed_by_pages_each_once(scene: Scene) -> None:
    for number in range(300):
        put(scene, f"s{number}")
    cursor, found = "0", list[str]()
    while True:
        cursor, records = scene.run(schedules.some(cursor))
        found += [record.key for record in records]
        if cursor == "0":
            break
    assert sorted(set(found)) == sorted(f"s{number}" for number in range(300))


# -- jobs that depend on others ----------------------------------------------------------------------------------------


def slot_job(number: int = 0, key: str = "s") -> str:
    return schedules.job_id(key, BASE_MS + number * SECOND)


def test_the_job_of_a_slot_waits_for_those_it_depends_on_as_they_are_then(scene: Scene) -> None:
    scene.enqueue(new_job("x"), new_job("y"))
    put(scene, needs="c x\nr y")
    one, other = scene.claim(2)
    scene.settle(one, returned())
    assert (fire(scene, *handed(scene)), scene.again()) == ([1], [-1])
    assert (scene.status(slot_job()), scene.claim()) == (JobStatus.DEFERRED, ())
    scene.settle(other, raised())
    assert scene.order() == [slot_job()]
    scene.now_ms += SECOND
    fire(scene, *handed(scene))
    assert scene.order() == [slot_job(), slot_job(1)], "both have ended as it wished"


@pytest.mark.parametrize(("wish", "status"), [("c", "canceled"), ("r", "queued"), ("w", "deferred")])
def test_what_becomes_of_a_slot_where_its_parent_has_failed(scene: Scene, wish: str, status: str) -> None:
    scene.put(JobStatus.FAILED, "p")
    put(scene, needs=f"{wish} p", ttl_ms=60_000)
    assert fire(scene, *handed(scene)) == [1]
    assert scene.status(slot_job()) == status
    assert read(scene).fired == 1
    if wish == "w":
        scene.run(verbs.requeue(["p"], "n", at_front=False))
        scene.settle(scene.claim_one(), returned())
        job = scene.job(slot_job())
        assert job is not None
        assert (job.status, job.deadline_ms) == (JobStatus.QUEUED, scene.now_ms + 60_000)


def test_a_parent_that_is_gone_or_no_job_is_not_waited_for(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "p")
    put(scene, needs="c p")
    scene.run(verbs.delete(["p"], "n"))
    fire(scene, *handed(scene))
    scene.client.set(scene.store.keys.job("p"), "x")
    scene.now_ms += SECOND
    fire(scene, *handed(scene))
    assert scene.order() == [slot_job(), slot_job(1)]
    scene.client.delete(scene.store.keys.job("p"))


def test_a_new_parent_must_be_a_job_and_one_that_was_there_before_may_be_gone(scene: Scene) -> None:
    with pytest.raises(NoSuchJobError, match="There is no job p to depend on"):
        put(scene, needs="c p")
    assert scene.run(schedules.look("s")).record is None
    scene.put(JobStatus.FINISHED, "p")
    put(scene, needs="c p")
    scene.run(verbs.delete(["p"], "n"))
    scene.pass_ms(5_001)
    put(scene, needs="r p")
    with pytest.raises(NoSuchJobError, match="There is no job q to depend on"):
        put(scene, needs="r p\nc q")
    put(scene)
    with pytest.raises(NoSuchJobError):
        put(scene, needs="r p")


def test_run_now_waits_for_them_too(scene: Scene) -> None:
    scene.enqueue(new_job("p"))
    put(scene, needs="c p", at_ms=BASE_MS + SECOND)
    scene.run(schedules.run_now("s", "s@now-1"))
    assert (scene.again(), scene.status("s@now-1")) == ("s@now-1", JobStatus.DEFERRED)
    scene.run(verbs.cancel("p", "n"))
    assert scene.status("s@now-1") is JobStatus.CANCELED


def test_a_slot_that_replaces_its_own_parent_is_canceled_with_it(scene: Scene) -> None:
    scene.enqueue(new_job("p", unique="k"))
    put(scene, needs="c p", unique="k", wish="replace")
    assert fire(scene, *handed(scene)) == [1]
    assert (scene.status("p"), scene.status(slot_job())) == (JobStatus.CANCELED, JobStatus.CANCELED)


def test_many_slots_of_many_parents_are_fired_in_steps_and_none_is_lost(scene: Scene) -> None:
    parents = [f"p{n}" for n in range(199)]
    scene.enqueue(*(new_job(name) for name in parents))
    table = SECONDLY._replace(missed="all", max_catchup=5, grace_ms=0)
    needs = "\n".join(f"c {name}" for name in parents)
    for key in ("s", "t"):
        put(scene, key, table, needs=needs)
    scene.now_ms += 6 * SECOND
    steps = []
    for _ in range(10):
        if due_ones := handed(scene):
            steps.append(fire(scene, *due_ones))
    assert [sum(map(int, step)) for step in steps] == [2, 2, 2, 2, 2]
    for key in ("s", "t"):
        record = read(scene, key)
        assert (record.fired, record.missed, record.next_ms) == (5, 2, BASE_MS + 7 * SECOND)
    assert len(scene.order(JobStatus.DEFERRED)) == 10


# -- who watches -------------------------------------------------------------------------------------------------------


def control(scene: Scene, worker: str) -> list[object]:
    return list(scene.client.zrange(scene.store.keys.control(worker), 0, -1))


def register(scene: Scene, worker: str) -> None:
    scene.run(turns.register(worker, f"i-{worker}", {"host": "h", "pid": 1}))


def test_one_worker_wakes_for_the_next_slot_and_another_takes_over_where_it_does_not(scene: Scene) -> None:
    put(scene, at_ms=BASE_MS + SECOND)
    assert scene.turn("one", sweep=True).moment_ms == BASE_MS + SECOND
    assert scene.turn("two", sweep=True).moment_ms is None
    scene.now_ms += SECOND + 150
    assert len(handed(scene, "two")) == 1


def test_a_schedule_that_comes_earlier_than_what_is_watched_is_told_to_whoever_watches(scene: Scene) -> None:
    for worker in ("one", "two"):
        register(scene, worker)
    put(scene, at_ms=BASE_MS + 60_000)
    assert scene.turn("one", sweep=True).moment_ms == BASE_MS + 60_000
    scene.client.delete(scene.store.keys.control("one"), scene.store.keys.control("two"))
    put(scene, "later", at_ms=BASE_MS + 90_000)
    assert control(scene, "one") + control(scene, "two") == []
    put(scene, "earlier", at_ms=BASE_MS + 5_000)
    assert (control(scene, "one"), control(scene, "two")) == ([b"look"], [])


def test_the_first_schedule_is_told_to_the_worker_that_was_heard_of_last(scene: Scene) -> None:
    register(scene, "one")
    scene.now_ms += 10
    register(scene, "two")
    put(scene, at_ms=BASE_MS + 60_000)
    assert (control(scene, "one"), control(scene, "two")) == ([], [b"look"])


def test_a_worker_that_ends_hands_its_watch_to_another_one(scene: Scene) -> None:
    for worker in ("one", "two"):
        register(scene, worker)
    put(scene, at_ms=BASE_MS + 60_000)
    scene.turn("two", sweep=True)
    scene.client.delete(scene.store.keys.control("one"))
    scene.run(turns.depart("two"))
    assert control(scene, "one") == [b"look"]


# -- what something else has written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["schedules", "schedule", "fires"])
@pytest.mark.parametrize("kind", ["string", "list", "hash"])
def test_a_foreign_key_keeps_no_other_schedule_and_no_queue_from_being_served(
    scene: Scene, name: str, kind: str
) -> None:
    put(scene, "good")
    put(scene, "bad")
    keys = scene.store.keys
    key = keys.schedules() if name == "schedules" else getattr(keys, name)("bad")
    scene.client.delete(key)
    match kind:
        case "string":
            scene.client.set(key, "foreign")
        case "list":
            scene.client.rpush(key, "foreign")
        case "hash":
            scene.client.hset(key, "foreign", "1")
    scene.enqueue(new_job("j"))
    turned = scene.turn("w", sweep=True, want=1)
    assert [one.job_id for one in turned.granted] == ["j"]
    if name != "schedules":
        good = [one for one in turned.due if one.key == "good"]
        assert fire(scene, *good) == [1]
    for one in turned.due:
        if one.key == "bad" and name == "fires":
            assert fire(scene, one) == [1], "its history is begun anew"
    scene.client.delete(key)


@pytest.mark.parametrize("field", sorted(fields.SCHEDULE.values()))
def test_garbage_in_any_field_of_a_schedule_is_told_or_does_no_harm(scene: Scene, field: str) -> None:
    put(scene, "good")
    put(scene, "bad")
    scene.client.hset(scene.store.keys.schedule("bad"), field, b"\xff garbage")
    turned = scene.turn("w", sweep=True)
    assert "good" in [one.key for one in turned.due]
    for one in turned.due:
        answer = scene.run(schedules.fire([Plan(one, Due((BASE_MS,), BASE_MS + SECOND, 1))]))
        if one.key == "good":
            assert answer == [1]
    assert scene.status(schedules.job_id("good", BASE_MS)) is JobStatus.QUEUED
    made = schedules.job_id("bad", BASE_MS)
    if scene.status(made) is not None:
        scene.run(verbs.delete([made], "d"))
    scene.client.delete(scene.store.keys.events("").encode() + b"\xff garbage")  # where that is its queue
