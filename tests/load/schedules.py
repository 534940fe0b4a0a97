"""Time: many schedules due in one second, many that are idle, and how late due jobs are."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import redis

from rqlike import Queue, clock
from rqlike.preparing import prepare
from rqlike.schedules import check_timetable
from rqlike.store import schedules
from rqlike.store.schedules import ScheduleRecord
from rqlike.store.store import Store
from rqlike.timetables import Timetable
from tests.load.figures import Figure, percentile
from tests.load.rounds import VARIABLE, rounds
from tests.process import jobs
from tests.process.workers import Stable, WorkerProcess, pass_time
from tests.servers import eventually

_OWED_S: Final = 8.0  #: for what a worker that was killed was given: 2 s, and the tick of another one
_ONE_JOB: Final = "each slot is one job"
_LOOP: Final = "nothing blocks the loop of a worker; CPU time, as others use this machine"


def _put(queue: Queue, tables: Sequence[tuple[str, Timetable, int]]) -> None:
    """Schedules with their next slots, as `Queue.schedule` writes them, without its look at what was there."""
    new = prepare(queue._terms, jobs.nothing, (), {}, {})
    requests = (schedules.upsert(key, None, table, slot, queue.name, new) for key, table, slot in tables)
    for _ in queue.store.run_each(requests):
        pass


def _table(
    moment: datetime, *, cron: str | None = None, every: float | None = None, limit: int | None = 1
) -> Timetable:
    return check_timetable(
        cron=cron, every=every, tz="UTC", start=moment, end=None, limit=limit, missed="all", max_catchup=100, grace=60
    )  # fmt: skip


def _records(store: Store) -> Iterator[ScheduleRecord]:
    cursor = "0"
    while True:
        cursor, found = store.run(schedules.some(cursor))
        yield from found
        if cursor == "0":
            return


# -- a tick ------------------------------------------------------------------------------------------------------------


def tick(stable: Stable, *, count: int, workers: int, distinct: int, kill: bool) -> list[Figure]:
    """`count` schedules due at one moment, of so many different expressions; with `kill` a worker dies meanwhile."""
    queue = stable.queue("unserved")
    started = [_start(stable, number) for number in range(workers)]
    for worker in started:
        worker.says("listens on", 30)
    moment = datetime.fromtimestamp(int(time.time() + 3 + count / 2500), UTC)
    dice = random.Random(1)
    expressions = _expressions(dice, moment, distinct)
    slot = clock.epoch_ms(moment)
    tables = [_table(moment, cron=one) for one in expressions]
    _put(queue, [(f"s{number}", tables[number % distinct], slot) for number in range(count)])
    left = moment.timestamp() - time.time()
    assert left > 0, "this machine is too slow to put the schedules before they are due"
    pass_time(left)
    if kill:
        eventually(lambda: queue.count > count // 10, 10, 0.001, "a tenth has fired")
        started[0].kill()
        _start(stable, workers)
    eventually(lambda: queue.count >= count, 60, 0.05, "all have fired")
    pass_time(0.2)
    return _fired(stable, queue, slot, count, f"{'a worker killed, ' if kill else ''}{distinct} expressions")


def _start(stable: Stable, number: int) -> WorkerProcess:
    env = {VARIABLE: stable.file(f"rounds{number}")}
    return stable.start("elsewhere", wait=False, env=env, name=f"tick{number}-{len(stable.started)}")


def _expressions(dice: random.Random, moment: datetime, count: int) -> list[str]:
    """Different ones that fire at that moment."""
    found = {"* * * * * *"}
    while len(found) < count:
        values = (moment.minute, range(60)), (moment.hour, range(24)), (moment.day, range(1, 29))
        fields = [_field(dice, own, among) for own, among in values]
        month = _field(dice, moment.month, range(1, 13))
        found.add(" ".join([*fields, month, "*", _field(dice, moment.second, range(60))]))
    return sorted(found)


def _field(dice: random.Random, own: int, among: range) -> str:
    if dice.random() < 0.2:
        return "*"
    return ",".join(map(str, sorted({own, *dice.sample(among, dice.randrange(8))})))


def _fired(stable: Stable, queue: Queue, slot: int, count: int, how: str) -> list[Figure]:
    records = list(_records(queue.store))
    at = sorted(one.last_at_ms or 0 for one in records)
    made = Counter(job_id.partition("@")[0] for job_id in queue.get_job_ids())
    most = [at[int(0.99 * (len(at) - 1))], at[-1]]
    took = [max(1, moment - at[0]) / 1000 for moment in most]
    long = [one for path in stable.folder.glob("rounds*") for one in rounds(path) if 1000 * one.ended > slot]
    return [
        Figure(f"schedules due at once, {how}", count),
        Figure("slots that are missing", count - len(made), 0, _ONE_JOB),
        Figure("slots that are two jobs", sum(made.values()) - len(made), 0, _ONE_JOB),
        Figure("schedules that count another number", sum(one.fired != 1 for one in records), 0, _ONE_JOB),
        Figure("ms from the slot to the first fire", at[0] - slot),
        Figure("fires per second, first to 99 %", 0.99 * count / took[0]),
        Figure("fires per second, first to last", count / took[1]),
        Figure("ms from the slot to the last fire", at[-1] - slot, 1000 * _OWED_S + count / 3, "2 s and a tick"),
        Figure(
            "longest round of a worker's loop, ms of CPU", max((one.cpu_ms for one in long), default=0.0), 50, _LOOP
        ),
        Figure("longest round of a worker's loop, ms", max((one.wall_ms for one in long), default=0.0)),
    ]


# -- what is not due ---------------------------------------------------------------------------------------------------


def far(stable: Stable, *, count: int, seconds: float, tries: int) -> list[Figure]:
    """What an idle worker and the server cost, and how soon a job is done: with nothing, with so many schedules that
    are not due, with so many delayed jobs, and with nothing again, which tells how steady the machine was."""
    client, queue = stable.client(), stable.queue("served")
    worker = stable.start("served")
    figures = _cost(client, queue, worker, seconds, tries, "nothing")
    most = 2 * figures[2].value
    moment = datetime.fromtimestamp(int(time.time()) + 86_400, UTC)
    dice = random.Random(1)
    tables = [_table(moment + timedelta(seconds=dice.randrange(86_400)), every=86_400, limit=None) for _ in range(100)]
    _put(queue, [(f"s{n}", tables[n % 100], tables[n % 100].start_ms or 0) for n in range(count)])
    figures += _cost(client, queue, worker, seconds, tries, f"{count} schedules", most)
    client.flushall()
    worker.kill()
    worker = stable.start("served")
    queue.enqueue_many([queue.prepare_data(jobs.nothing, delay=86_400 + dice.randrange(86_400)) for _ in range(count)])
    figures += _cost(client, queue, worker, seconds, tries, f"{count} delayed jobs", most)
    client.flushall()
    worker.kill()
    return [*figures, *_cost(client, queue, stable.start("served"), seconds, tries, "nothing again")]


def _cost(
    client: redis.Redis,
    queue: Queue,
    worker: WorkerProcess,
    seconds: float,
    tries: int,
    what: str,
    most: float | None = None,
) -> list[Figure]:
    pass_time(1.0)
    cpu, served, began = worker.cpu_s(), _server_cpu_s(client), time.monotonic()
    pass_time(seconds)
    took = time.monotonic() - began
    share = [100 * (worker.cpu_s() - cpu) / took, 100 * (_server_cpu_s(client) - served) / took]
    waits = []
    for number in range(tries):
        since = time.monotonic()
        assert queue.enqueue(jobs.echo, number).wait(timeout=20) == number
        waits.append(1000 * (time.monotonic() - since))
    return [
        Figure(
            f"{what}: % of a core for an idle worker", share[0], max(1.0, 3 / seconds), "it waits, it does not poll"
        ),
        Figure(f"{what}: % of a core for the server", share[1]),
        Figure(
            f"{what}: ms from enqueue to value, p50", percentile(waits, 0.5), most, "what is not due is not looked at"
        ),
        Figure(f"{what}: ms from enqueue to value, p99", percentile(waits, 0.99)),
    ]


def _server_cpu_s(client: redis.Redis) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


# -- in time -----------------------------------------------------------------------------------------------------------


def late(stable: Stable, *, count: int, seconds: float, loose: float = 1.0) -> list[Figure]:
    """How late jobs begin that are due at so many random moments, on an idle worker: delayed ones, then those of
    schedules."""
    stable.start("served")
    return [
        *_lateness("delayed jobs", _delayed(stable.queue("served"), count, seconds), loose),
        *_lateness("jobs of schedules", _of_schedules(stable.queue("served"), count, seconds), loose),
    ]


def _delayed(queue: Queue, count: int, seconds: float) -> list[float]:
    dice, now = random.Random(1), datetime.now(UTC)
    due = [now + timedelta(seconds=1 + dice.uniform(0, seconds)) for _ in range(count)]
    made = [queue.enqueue_at(moment, jobs.nothing) for moment in due]
    _done(queue, count, seconds)
    found = [job.latest_result() for job in made]
    return [_ms(one.execution_started_at - moment) for one, moment in zip(found, due, strict=True) if one is not None]


def _of_schedules(queue: Queue, count: int, seconds: float) -> list[float]:
    dice, now, before = random.Random(2), datetime.now(UTC), queue.counts().finished
    each = 10 if count >= 200 else 3
    for number in range(count // each):
        start = now + timedelta(milliseconds=1000 + dice.randrange(int(1000 * seconds / each)))
        queue.schedule(f"s{number}", jobs.nothing, every=seconds / each, start=start, limit=each, grace=60)
    _done(queue, before + count // each * each, seconds)
    found = [job for job in queue.finished_job_registry.get_jobs() if job.scheduled_for is not None]
    return [
        _ms(result.execution_started_at - job.scheduled_for)
        for job in found
        if job.scheduled_for is not None and (result := job.latest_result()) is not None
    ]


def _done(queue: Queue, count: int, seconds: float) -> None:
    eventually(lambda: queue.counts().finished >= count, seconds + 30, 0.1, f"{count} jobs are done")


def _ms(late_by: timedelta) -> float:
    return 1000 * late_by.total_seconds()


def _lateness(what: str, found: Sequence[float], loose: float) -> list[Figure]:
    why = "one worker watches the next moment"
    return [
        Figure(f"{what}", len(found)),
        Figure(f"{what}: ms early, most", max(0.0, -min(found)), 2, "not before it is due"),
        Figure(f"{what}: ms late, p50", percentile(found, 0.5), 10 * loose, why),
        Figure(f"{what}: ms late, p99", percentile(found, 0.99), 50 * loose, why),
    ]


# -- scenarios ---------------------------------------------------------------------------------------------------------


def schedules_and_delays(stable: Stable, *, short: bool = False) -> list[Figure]:
    """All of them, each in a namespace that is empty and with workers of its own."""
    if short:
        return [
            *_alone(stable, lambda: tick(stable, count=1_500, workers=2, distinct=100, kill=False)),
            *_alone(stable, lambda: late(stable, count=30, seconds=1, loose=10)),
        ]
    return [
        *_alone(stable, lambda: tick(stable, count=10_000, workers=4, distinct=1, kill=False)),
        *_alone(stable, lambda: tick(stable, count=10_000, workers=4, distinct=1_000, kill=False)),
        *_alone(stable, lambda: tick(stable, count=10_000, workers=4, distinct=1_000, kill=True)),
        *_alone(stable, lambda: late(stable, count=500, seconds=20)),
        *_alone(stable, lambda: far(stable, count=100_000, seconds=20, tries=300)),
    ]


def _alone(stable: Stable, scenario: Callable[[], list[Figure]]) -> list[Figure]:
    figures = scenario()
    for worker in stable.started:
        worker.close()
    stable.client().flushall()
    for path in stable.folder.glob("rounds*"):
        path.unlink()
    return figures
