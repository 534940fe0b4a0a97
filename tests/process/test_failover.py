"""A primary is lost, and sentinels put a replica in its place: workers, producers and waiters carry on there."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from rqlike import Job, Queue, Retry, clock
from rqlike.exceptions import DurabilityUnavailable, NotDurableError
from rqlike.states import JobStatus
from rqlike.store.store import Store
from tests.conftest import skip_or_fail
from tests.groups import Group
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable
from tests.servers import ServerMissing, eventually
from tests.store.builders import Scene
from tests.store.invariants import violations
from tests.surface.waiters import waiting

#: A lease short enough to see what a failover undid replaced within the test.
PLAN: Final = {"lease_ms": 3000, "renew_s": 0.5}


@pytest.fixture
def group() -> Iterator[Group]:
    """A primary, a replica and three sentinels of this test alone, with AOF."""
    try:
        made = Group(options={"appendonly": "yes", "appendfsync": "always"})
    except ServerMissing as missing:
        skip_or_fail(missing)
    yield made
    made.close()


@pytest.fixture
def group_stable(group: Group, namespace: str, tmp_path: Path) -> Iterator[Stable]:
    made = Stable(group.servers[0], namespace, tmp_path)
    yield made
    made.close()


@dataclass
class Producer:
    """Enqueues one job after the other until it is told to stop. An outage costs it the job it was at."""

    queue: Queue
    file: str
    durable: bool = False
    acknowledged: list[tuple[float, Job[Any]]] = field(default_factory=list)  #: with the moment each call began
    refused: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def run(self) -> None:
        number = 0
        while not self.stopped:
            number += 1
            began = time.monotonic()
            try:
                options = {"retry": Retry(5), "durable": self.durable}
                job = self.queue.enqueue(jobs.mark, self.file, str(number), 0.002, **options)
            except (redis.ConnectionError, redis.TimeoutError, DurabilityUnavailable, NotDurableError) as error:
                self.refused[type(error).__name__] += 1
            else:
                self.acknowledged.append((began, job))
            eventually(lambda began=began: time.monotonic() >= began + 0.01, 5, 0.005)  # type: ignore[misc]


@pytest.mark.slow
def test_what_the_new_primary_knows_is_done_and_all_that_is_enqueued_at_it(group: Group, group_stable: Stable) -> None:
    stable, lost = group_stable, group.servers[0]
    workers = [stable.start(url=group.url, plan=PLAN, concurrency=2) for _ in range(2)]
    queue = Queue("default", group.client(), namespace=stable.namespace)
    producer = Producer(queue, stable.file())
    awaited = queue.enqueue(jobs.mark, stable.file("long"), "long", 4.0, retry=Retry(5))
    waiters = waiting(stable.client(), lambda: awaited.wait(timeout=40), 3)
    careful = Producer(
        Queue("default", group.client(), namespace=stable.namespace), stable.file("careful"), durable=True
    )
    threads = [threading.Thread(target=one.run) for one in (producer, careful)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(producer.acknowledged) > 100, 20)
        lost.kill()
        lost_at = time.monotonic()
        primary = group.after_failover(lost)
        after = eventually(lambda: [one for one in producer.acknowledged if one[0] > lost_at], 20)
        eventually(lambda: len(producer.acknowledged) > len(after) + 200, 20)
        lost.start()  # with its old data, and as a primary until the sentinels tell it otherwise
        group.demoted(lost)
    finally:
        producer.stopped = careful.stopped = True
        for thread in threads:
            thread.join(30)
    assert waiters.outcomes(30) == ["long"] * 3
    with primary.client() as client:
        there = Queue("default", client, namespace=stable.namespace)
        eventually(lambda: quiet(there), 30, 0.05, "all jobs have ended")
        check_history(producer, lost_at, client, stable)
        assert len(careful.acknowledged) > 100
        ids = [job.id for _, job in careful.acknowledged]
        found = Job.fetch_many(ids, client, stable.namespace)
        assert {job and job.get_status(refresh=False) for job in found} == {JobStatus.FINISHED}, "none of these is lost"
    for worker in workers:
        assert worker.log.count("is away") == worker.log.count("is back after") >= 1, worker.log
        worker.terminate()
        assert worker.ends() == 0, worker.log


def quiet(queue: Queue) -> bool:
    counts = queue.counts()
    return counts.queued + counts.started + counts.scheduled == 0


def check_history(producer: Producer, lost_at: float, client: redis.Redis, stable: Stable) -> None:
    """What was acknowledged is done, but for what the replica had not received."""
    ids = [job.id for _, job in producer.acknowledged]
    found = Job.fetch_many(ids, client, stable.namespace)
    gone = [began for (began, _), job in zip(producer.acknowledged, found, strict=True) if job is None]
    assert not [began for began in gone if began > lost_at], "only what the old primary had acknowledged may be lost"
    assert len(gone) < 50, "and of that only the last moments"
    kept = [job for job in found if job is not None]
    assert {job.get_status(refresh=False) for job in kept} == {JobStatus.FINISHED}
    ran = Counter(line.split()[0] for line in told(stable.file()))
    assert all(ran[job.args[1]] for job in kept)
    scene = Scene(Store(client, stable.namespace), clock.wall_ms())
    assert violations(scene.dump(), scene.store.keys, scene.now_ms) == []
