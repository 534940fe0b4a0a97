"""Schedules as a program meets them: made, looked at, paused, fired by a worker in this process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

from rqlike import Callback, Queue, Retry, Schedule
from rqlike.exceptions import NoSuchScheduleError, PayloadTooLarge
from rqlike.states import JobStatus
from rqlike.store import schedules
from rqlike.timetables import Due, Timetable
from tests.servers import eventually
from tests.surface import tasks
from tests.surface.conftest import Work


def past(queue: Queue, schedule: Schedule, seconds: float) -> None:
    """Makes its next slot one that came so long ago."""
    slot = datetime.now(UTC) - timedelta(seconds=seconds)
    store, key = queue.store, queue.store.keys
    slot_ms = int(slot.timestamp()) * 1000
    store.client.hset(key.schedule(schedule.key), "next", slot_ms)
    store.client.zadd(key.schedules(), {schedule.key: slot_ms})
    schedule.refresh()


def test_a_schedule_tells_what_it_is_and_when_it_comes(queue: Queue) -> None:
    made = queue.schedule("report", tasks.add, (1,), {"b": 2}, cron="0 3 * * *", tz="Europe/Berlin")
    assert (made.key, made.queue_name, made.func_name) == ("report", "q", "tests.surface.tasks.add")
    assert (made.cron, made.every, made.tz, made.paused, made.fired, made.missed_count) == (
        "0 3 * * *", None, "Europe/Berlin", False, 0, 0,
    )  # fmt: skip
    assert made.last_at is None
    first, second = made.upcoming(2)
    assert made.next_at == first
    assert first > datetime.now(UTC)
    assert first.astimezone(ZoneInfo("Europe/Berlin")).hour == second.astimezone(ZoneInfo("Europe/Berlin")).hour == 3
    assert repr(made).startswith("<Schedule 'report': tests.surface.tasks.add on 'q', cron='0 3 * * *', tz='Europe/B")


def test_a_slot_is_one_job_with_its_template_and_an_id_of_key_and_slot(queue: Queue, work: Work) -> None:
    made = queue.schedule("sum", tasks.add, (1,), {"b": 2}, every="1h", meta={"a": 1}, description="the sum", retry=2)
    past(queue, made, 5)
    slot = made.next_at
    work()
    job = queue.fetch_job(f"sum@{slot:%Y-%m-%dT%H:%M:%SZ}")
    assert job is not None
    assert (job.return_value(), job.meta, job.description, job.retries_left) == (3, {"a": 1}, "the sum", 2)
    assert job.scheduled_for == slot
    made.refresh()
    assert (made.fired, made.last_at, made.missed_count) == (1, slot, 0)
    assert slot is not None
    assert made.next_at == slot + timedelta(hours=1)
    (fire,) = made.history()
    assert (fire.slot, fire.job_id) == (slot, job.id)
    assert 5 <= fire.late < 30
    assert "late>" in repr(fire)


def test_the_same_schedule_at_each_start_of_a_program_does_not_move_its_slots(queue: Queue) -> None:
    first = queue.schedule("beat", tasks.nothing, every=3600)
    past(queue, first, -100)
    again = queue.schedule("beat", tasks.add, (1,), every="1h")
    assert again.next_at == first.next_at
    assert again.func_name == "tests.surface.tasks.add"
    other = queue.schedule("beat", tasks.add, (1,), every=60)
    assert other.next_at is not None
    assert other.next_at <= datetime.now(UTC) + timedelta(seconds=60)
    assert len(Schedule.all(queue.connection, namespace=queue.store.namespace)) == 1


def test_another_timetable_begins_after_what_has_fired(queue: Queue, work: Work) -> None:
    made = queue.schedule("beat", tasks.nothing, every=1, start=datetime.now(UTC) - timedelta(seconds=1))
    eventually(work)
    slot = made.history()[0].slot
    assert slot is not None
    again = queue.schedule("beat", tasks.nothing, every=1, start=slot - timedelta(seconds=9))
    assert again.next_at is not None
    assert again.next_at > slot


def test_a_paused_schedule_fires_nothing_and_misses_nothing(queue: Queue, work: Work) -> None:
    made = queue.schedule("beat", tasks.nothing, every=3600)
    made.pause()
    past(queue, made, 8000)
    queue.store.client.zadd(queue.store.keys.schedules(), {"beat": 10**14})
    assert (made.paused, made.next_at, made.upcoming()) == (True, None, [])
    assert queue.schedule("beat", tasks.nothing, every=3600).paused
    work()
    made.resume()
    assert not made.paused
    assert made.next_at is not None
    assert made.next_at > datetime.now(UTC)
    assert (made.next_at - datetime.now(UTC)) <= timedelta(hours=1)
    made.refresh()
    assert (made.fired, made.missed_count) == (0, 0)
    made.resume()  # twice is once


def test_run_now_is_a_job_at_once_beside_the_slots(queue: Queue, work: Work) -> None:
    made = queue.schedule("sum", tasks.add, (2,), every=3600)
    before = made.next_at
    job = made.run_now()
    assert job.id.startswith("sum@now-")
    assert job.scheduled_for is None
    work()
    assert job.wait(timeout=5) == 2
    made.refresh()
    assert (made.next_at, made.fired) == (before, 0)
    (fire,) = made.history()
    assert (fire.slot, fire.job_id, fire.late) == (None, job.id, 0.0)


def test_a_removed_schedule_is_gone_and_says_so(queue: Queue) -> None:
    made = queue.schedule("beat", tasks.nothing, every=3600)
    made.remove()
    made.remove()  # it is gone either way
    for act in (made.refresh, made.pause, made.resume, made.run_now):
        with pytest.raises(NoSuchScheduleError, match="There is no schedule beat"):
            act()
    with pytest.raises(NoSuchScheduleError):
        Schedule.fetch("beat", queue.connection, namespace=queue.store.namespace)
    assert made.history() == []


def test_schedules_are_found_by_key_and_by_queue(queue: Queue, client: redis.Redis, namespace: str) -> None:
    other = Queue("other", client, namespace=namespace)
    for where, key in ((queue, "b"), (other, "c"), (queue, "a: with spaces")):
        where.schedule(key, tasks.nothing, every=60)
    assert [one.key for one in Schedule.all(client, namespace=namespace)] == ["a: with spaces", "b", "c"]
    assert [one.key for one in Schedule.all(client, queue=other, namespace=namespace)] == ["c"]
    assert [one.key for one in Schedule.all(client, queue="q", namespace=namespace)] == ["a: with spaces", "b"]
    assert (
        Schedule.fetch("c", client, namespace=namespace) == Schedule.all(client, queue="other", namespace=namespace)[0]
    )


@pytest.mark.parametrize(("missed", "fires", "counted"), [("skip", 0, 4), ("once", 1, 3), ("all", 4, 0)])
def test_slots_that_nobody_was_there_for(queue: Queue, work: Work, missed: Any, fires: int, counted: int) -> None:
    made = queue.schedule("beat", tasks.nothing, every=600, missed=missed, grace=1)
    past(queue, made, 3 * 600 + 100)
    work()
    made.refresh()
    assert (made.fired, made.missed_count) == (fires, counted)
    assert len(made.history()) == fires
    assert made.next_at is not None
    assert made.next_at > datetime.now(UTC)


def test_a_limit_and_an_end_are_kept(queue: Queue, work: Work) -> None:
    made = queue.schedule("twice", tasks.nothing, every=600, limit=2, missed="all")
    assert len(made.upcoming(5)) == 2
    past(queue, made, 3000)
    work()
    made.refresh()
    assert (made.fired, made.missed_count, made.next_at, made.upcoming()) == (2, 0, None, [])
    assert "over" in repr(made)
    with pytest.raises(ValueError, match="it has fired 2 times already"):
        queue.schedule("twice", tasks.nothing, every=60, limit=2)
    now = datetime.now(UTC)
    short = queue.schedule("short", tasks.nothing, every=60, start=now, end=now + timedelta(seconds=150))
    assert len(short.upcoming(9)) in (2, 3)


NAIVE = datetime(2030, 1, 1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timetable", "says"),
    [
        ({}, "exactly one of"),
        ({"cron": "* * * * *", "every": 5}, "exactly one of"),
        ({"cron": "61 * * * *"}, "minute"),
        ({"cron": "* * *"}, "3 fields"),
        ({"cron": "0 0 30 2 *"}, "never comes"),
        ({"every": 0}, "more than 0"),
        ({"every": 0.01}, "less than 0.1 s"),
        ({"every": "often"}, "is not a duration"),
        ({"every": 60, "tz": "Europe/Berlon"}, "Europe/Berlin"),
        ({"every": 60, "start": NAIVE}, "time zone"),
        ({"every": 60, "start": LONG_AGO, "end": LONG_AGO - timedelta(days=1)}, "before its start"),
        ({"every": 60, "end": LONG_AGO}, "would never fire"),
        ({"cron": "* * * * *", "end": LONG_AGO}, "would never fire"),
        ({"every": 60, "limit": 0}, "limit must be from 1"),
        ({"every": 60, "missed": "never"}, "'skip', 'once', 'all'"),
        ({"every": 60, "max_catchup": 101}, "from 1 to 100"),
        ({"every": 60, "grace": -1}, "negative"),
    ],
)
def test_a_timetable_that_cannot_be_is_refused_before_anything_is_written(
    queue: Queue, timetable: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        queue.schedule("s", tasks.nothing, **timetable)
    assert list(queue.store.client.scan_iter(match="{" + queue.store.namespace + "}*")) == []


@pytest.mark.parametrize(
    ("key", "error"), [("", ValueError), ("a\nb", ValueError), ("x" * 201, ValueError), (5, TypeError)]
)
def test_a_key_that_cannot_be_one_is_refused(queue: Queue, key: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        queue.schedule(key, tasks.nothing, every=60)


def test_options_and_calls_are_checked_as_an_enqueue_checks_them(queue: Queue) -> None:
    with pytest.raises(TypeError, match="Did you mean 'result_ttl'"):
        queue.schedule("s", tasks.nothing, every=60, results_ttl=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="job_id cannot be"):
        queue.schedule("s", tasks.nothing, every=60, job_id="mine")
    with pytest.raises(TypeError, match="durable cannot be"):
        queue.schedule("s", tasks.nothing, every=60, durable=True)
    with pytest.raises(TypeError):
        queue.schedule("s", tasks.add, every=60)
    with pytest.raises(PayloadTooLarge):
        queue.schedule("s", tasks.echo, ("x" * (2 << 20),), every=60)
    with pytest.raises(TypeError):
        queue.schedule("s", tasks.nothing, every=60, limit=True)


def test_every_option_of_a_job_reaches_the_jobs_of_a_schedule(queue: Queue, work: Work) -> None:
    made = queue.schedule(
        "s", tasks.nothing, every=600, job_timeout=7, result_ttl=9, failure_ttl=11, ttl=60, retry=Retry(3, 5),
        on_success=Callback("tests.surface.tasks.nothing"), headers={"trace": "1"}, at_front=True,
    )  # fmt: skip
    past(queue, made, 1)
    queue.enqueue(tasks.nothing, job_id="before")
    slot = made.next_at
    queue.store.run(schedules.fire([_plan_of(queue, made)]))
    assert queue.get_job_ids() == [f"s@{slot:%Y-%m-%dT%H:%M:%SZ}", "before"]
    (job, _) = queue.get_jobs()
    assert (job.timeout, job.result_ttl, job.failure_ttl, job.headers) == (7, 9, 11, {"trace": "1"})
    assert job.retries_left == 3
    assert job.get_status() is JobStatus.QUEUED


def _plan_of(queue: Queue, schedule: Schedule) -> schedules.Plan:
    record = queue.store.run(schedules.look(schedule.key)).record
    assert record is not None
    assert record.next_ms is not None
    one = schedules.DueSchedule(
        schedule.key, record.timetable.to_wire(), str(record.next_ms), record.revision, record.fired
    )
    return schedules.Plan(one, Due((record.next_ms,), record.next_ms + 600_000, 0))


def test_a_timetable_of_a_newer_version_is_told_and_keeps_no_other_schedule(
    queue: Queue, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    good, strange = (queue.schedule(key, tasks.nothing, every=600) for key in ("good", "strange"))
    past(queue, good, 1)
    past(queue, strange, 1)
    stored = Timetable(every_ms=5).to_wire().replace(b"\x01", b"\x02", 1)
    queue.store.client.hset(queue.store.keys.schedule("strange"), "timetable", stored)
    work()
    good.refresh()
    assert good.fired == 1
    assert "schedule strange: The timetable has format version 2" in caplog.text
