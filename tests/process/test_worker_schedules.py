"""Schedules with real workers: in time, by any worker, through busy horses, deaths and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from rqlike import Schedule
from rqlike.settings import FIRE_MS
from tests.process import jobs
from tests.process.together import together
from tests.process.workers import Stable
from tests.servers import eventually

IN_TIME_S = 0.25  # 3 to 6 ms on a quiet machine


def in_a_moment(seconds: float = 0.4) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def fired(schedule: Schedule, times: int, timeout: float = 8.0) -> None:
    def enough() -> bool:
        schedule.refresh()
        return schedule.fired >= times

    eventually(enough, timeout, message=f"{times} fires of {schedule.key}")


def test_an_idle_worker_fires_in_time_for_a_queue_that_it_does_not_listen_to(stable: Stable) -> None:
    worker = stable.start()
    worker.says("listens")
    made = stable.queue("elsewhere").schedule("beat", jobs.nothing, every="1s", start=in_a_moment(), limit=2)
    fired(made, 2)
    late = [fire.late for fire in made.history()]
    assert max(late) < IN_TIME_S, late
    assert stable.queue("elsewhere").count == 2


def test_a_worker_whose_horses_are_all_busy_hears_of_a_schedule_and_fires_it(stable: Stable) -> None:
    stable.start()
    hang = stable.queue().enqueue(jobs.hang_deaf, stable.file())
    eventually(lambda: hang.get_status(refresh=True) == "started", 5.0)
    made = stable.queue().schedule("once", jobs.nothing, every=60, start=in_a_moment(), limit=1)
    fired(made, 1)
    assert made.history()[0].late < IN_TIME_S


def test_an_earlier_schedule_shortens_the_sleep_of_whoever_watches(stable: Stable) -> None:
    worker = stable.start()
    worker.says("listens")
    queue = stable.queue()
    queue.schedule("far", jobs.nothing, every=3600)
    made = queue.schedule("near", jobs.nothing, every=60, start=in_a_moment(), limit=1)
    fired(made, 1)
    assert made.history()[0].late < IN_TIME_S


def test_where_the_worker_that_watches_ends_another_one_fires_in_time(stable: Stable) -> None:
    first, second = stable.start(), stable.start()
    for worker in (first, second):
        worker.says("listens")
    made = stable.queue().schedule("once", jobs.nothing, every=60, start=in_a_moment(1.0), limit=1)
    store = stable.queue().store
    holder = eventually(lambda: store.client.hget(store.keys.watch(), ""), 5.0)
    assert isinstance(holder, bytes)
    watching = next(worker for worker in (first, second) if holder.endswith(worker.name.encode()))
    watching.terminate()
    assert watching.ends() == 0
    fired(made, 1)
    assert made.history()[0].late < IN_TIME_S


@together
def test_a_worker_that_is_killed_with_due_schedules_in_hand_delays_them_by_two_seconds_at_most(stable: Stable) -> None:
    dying = stable.start(env={"RQLIKE_FAILPOINT": "parent.fire.before"})
    dying.says("listens")
    made = stable.queue().schedule("once", jobs.nothing, every=60, start=in_a_moment(), limit=1, grace=60)
    assert dying.ends() != 0
    stable.start()
    fired(made, 1)
    (fire,) = made.history()
    assert fire.late < FIRE_MS / 1000 + 5.0 + 1.0  # and the tick of a worker that nobody has told
    assert stable.queue().fetch_job(fire.job_id) is not None


def test_a_burst_ends_with_the_jobs_of_the_slots_that_had_come(stable: Stable) -> None:
    slot = in_a_moment(-1)
    made = stable.queue().schedule("once", jobs.echo, ("ran",), every=60, start=slot, missed="all", grace=60)
    store = stable.queue().store
    slot_ms = int(slot.timestamp() * 1000)
    store.client.hset(store.keys.schedule("once"), "next", slot_ms)
    store.client.zadd(store.keys.schedules(), {"once": slot_ms})
    worker = stable.start(work={"burst": True})
    assert worker.ends() == 0
    (fire,) = made.history()
    job = stable.queue().fetch_job(fire.job_id)
    assert job is not None
    assert job.return_value() == "ran"


@pytest.mark.parametrize("unit", ["cron", "every"])
def test_what_is_due_each_second_is_never_late_nor_lost_nor_double(stable: Stable, unit: str) -> None:
    for _ in range(2):
        stable.start().says("listens")
    queue = stable.queue()
    if unit == "cron":
        made = queue.schedule("beat", jobs.nothing, cron="* * * * * *", limit=4)
    else:
        made = queue.schedule("beat", jobs.nothing, every=0.5, limit=6)
    fired(made, 4 if unit == "cron" else 6)
    fires = made.history()
    slots = [fire.slot for fire in fires if fire.slot is not None]
    assert [fire.job_id for fire in fires] == [*dict.fromkeys(fire.job_id for fire in fires)]
    steps = {(one - two).total_seconds() for one, two in pairwise(slots)}
    assert steps == {1.0 if unit == "cron" else 0.5}
    assert made.missed_count == 0
    assert max(fire.late for fire in fires) < IN_TIME_S
