"""`Job.watch`: what a job tells and what becomes of it, of this job and no other, in the order in which it came."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import redis

from rqlike import Event, Job, LogLine, Progress, Queue, Repeat
from rqlike.live import Watched
from rqlike.outcomes import Outcome
from rqlike.states import JobStatus
from rqlike.store.following import Followed, follow
from tests.conftest import AnyServer
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, Waiting, blocked, claim, counting_client, scripts_sent, settle, waiting

RETURNED = Outcome(value=b"\x01")


class Weighing(Counting):
    """A connection that remembers how much was read over any of its kind."""

    read: list[int] = []  # noqa: RUF012

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        reply = super().read_response(*args, **kwargs)
        type(self).read.append(weight(reply))
        return reply


def weight(reply: object) -> int:
    """The bytes in a reply."""
    if isinstance(reply, list):
        return sum(map(weight, reply))
    return len(reply) if isinstance(reply, bytes) else 8


def short(seen: list[Any]) -> list[str]:
    """What a watcher was given: verbs of events, lines of the log, types of results in capitals."""
    return [
        one.name
        if isinstance(one, Event)
        else one.text
        if isinstance(one, LogLine)
        else f"{one.current}"
        if isinstance(one, Progress)
        else one.type.name
        for one in seen
    ]


def others(queue: Queue, count: int) -> None:
    """Other jobs of the queue are enqueued: as many events, and some milliseconds."""
    for _ in range(count // 500):
        queue.enqueue_many([Queue.prepare_data(tasks.nothing) for _ in range(500)])


def watched(job: Job[Any], timeout: float = 5.0) -> Waiting:
    """A watcher that is waiting for news."""
    return Waiting(lambda: list(job.watch(timeout))).start()


def given(watcher: Waiting) -> list[Watched]:
    (seen,) = watcher.outcomes()
    assert isinstance(seen, list), seen
    return seen


def test_steps_what_is_told_and_results_come_once_and_in_their_order(
    any_server: AnyServer, namespace: str, tmp_path: Path
) -> None:
    queue = Queue("q", any_server.client(), namespace=namespace, is_async=False)
    job = queue.enqueue(tasks.stutter, str(tmp_path / "calls"), retry=1)
    seen = list(job.watch(5))
    first = ["enqueue", "claim", "call 1", "RETRIED", "retry"]
    assert short(seen) == [*first, "claim", "call 2", "finish", "SUCCESSFUL"]
    assert list(job.watch(0)) == seen
    events = [one for one in seen if isinstance(one, Event)]
    assert [event.attempt for event in events] == [0, 1, 1, 2, 2]
    assert {event.job_id for event in events} == {job.id}
    assert not any(event.missed for event in events)
    assert events[-1].status is JobStatus.FINISHED


def test_who_waits_is_told_of_a_step_at_once(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing)
    news = job.watch(20)
    assert short([next(news)]) == ["enqueue"]
    watcher = waiting(client, lambda: next(news))
    before = time.monotonic()
    claim(queue)
    (event,) = watcher.outcomes()
    assert isinstance(event, Event) and (event.name, event.worker_name) == ("claim", "w")
    assert watcher.last_end() - before < 1.0


@pytest.mark.parametrize(
    ("end", "last"), [(Job.cancel, ["cancel"]), (Job.delete, ["delete"])], ids=["canceled", "deleted"]
)
def test_a_job_that_leaves_without_an_execution_ends_the_watch_with_that_event(
    queue: Queue, client: redis.Redis, end: Any, last: list[str]
) -> None:
    job = queue.enqueue(tasks.nothing)
    watcher = waiting(client, lambda: list(job.watch(10)))
    end(job)
    assert short(given(watcher)) == ["enqueue", *last]


def test_an_overdue_job_is_expired_by_its_watcher_and_that_is_seen(queue: Queue) -> None:
    assert short(list(queue.enqueue(tasks.nothing, ttl=0.01).watch(10))) == ["enqueue", "expire"]


def test_only_the_cycle_of_the_handle_is_told(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, job_id="j")
    work()
    Job.fetch("j", queue.connection, queue.store.namespace).requeue()
    work()
    assert short(list(job.watch(0))) == ["enqueue", "claim", "fail", "FAILED"]
    newest = Job.fetch("j", queue.connection, queue.store.namespace)
    assert short(list(newest.watch(0))) == ["requeue", "claim", "fail", "FAILED"]


def test_a_repetition_ends_the_watch_and_the_next_cycle_is_another_one(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, repeat=Repeat(1))
    execution = claim(queue)
    watcher = waiting(client, lambda: list(job.watch(10)))
    settle(queue, execution, RETURNED)
    assert short(given(watcher)) == ["enqueue", "claim", "repeat", "SUCCESSFUL"]
    claim(queue, "w2")
    assert short(list(Job.fetch(job.id, client, queue.store.namespace).watch(0))) == ["claim"]


def test_another_job_of_the_same_id_is_not_this_one(queue: Queue) -> None:
    old = queue.enqueue(tasks.nothing, job_id="j")
    eventually(lambda: queue.enqueue(tasks.nothing).created_at > old.created_at, message="a later millisecond")
    old.delete()
    new = queue.enqueue(tasks.nothing, job_id="j")
    assert short(list(old.watch(0))) == ["enqueue", "delete"]
    assert short(list(new.watch(0))) == ["enqueue"]
    new.cancel()
    assert short(list(new.watch(0))) == ["enqueue", "cancel"]


def test_on_a_busy_queue_a_watcher_sees_its_own_job_and_reads_little(queue: Queue, server: Server) -> None:
    pool = redis.ConnectionPool(Weighing, path=str(server.socket))
    with redis.Redis(connection_pool=pool) as patient:
        job = queue.enqueue(tasks.nothing)
        mine = Job.fetch(job.id, patient, queue.store.namespace)
        watcher = watched(mine, 20)
        blocked(queue.connection)
        Weighing.read.clear()
        Weighing.sent.clear()
        began = time.monotonic()
        others(queue, 3_000)
        execution = claim(queue)
        others(queue, 3_000)
        settle(queue, execution, RETURNED)
        seen = given(watcher)
        took = time.monotonic() - began
    assert short(seen) == ["enqueue", "claim", "finish", "SUCCESSFUL"]
    assert {one.job_id for one in seen if isinstance(one, Event)} == {job.id}
    events = queue.connection.memory_usage(queue.store.keys.events("q"))
    assert sum(Weighing.read) < 10_000 < events / 10
    looks = took / 0.1 + 6_000 / 500 + 5  # while it stands, when it has moved, and for what it tells
    assert scripts_sent() < looks


def test_other_jobs_wake_a_watcher_a_few_times_a_second_at_most(queue: Queue, server: Server) -> None:
    client = counting_client(server)
    job = Job.fetch(queue.enqueue(tasks.nothing).id, client, queue.store.namespace)
    watcher = watched(job, 0.8)
    blocked(queue.connection)
    Counting.sent.clear()
    rounds, end = 0, time.monotonic() + 0.7
    while time.monotonic() < end:
        queue.enqueue_many([Queue.prepare_data(tasks.nothing) for _ in range(20)])
        rounds += 1
    assert short(given(watcher)) == ["enqueue"]
    assert rounds > 50
    looks = 0.8 / (0.75 * 0.1) + 2
    assert scripts_sent() <= looks
    assert len(Counting.sent) <= 2 * looks


def test_of_what_others_did_meanwhile_none_is_read_where_the_job_has_not_moved(queue: Queue, server: Server) -> None:
    job = queue.enqueue(tasks.nothing)
    execution = claim(queue)
    others(queue, 5_000)
    client = counting_client(server)
    late = Job.fetch(job.id, client, queue.store.namespace)
    Counting.sent.clear()
    news = late.watch(20)
    assert short([next(news), next(news)]) == ["enqueue", "claim"]
    assert scripts_sent() <= 3
    others(queue, 2_000)
    settle(queue, execution, RETURNED)
    assert short(list(news)) == ["finish", "SUCCESSFUL"]


def test_a_job_that_has_moved_is_found_behind_what_many_others_did(any_server: AnyServer, namespace: str) -> None:
    queue = Queue("q", any_server.client(), namespace=namespace)
    job = queue.enqueue(tasks.nothing)
    looks = follow(queue.store, Followed(job.id, "q", "0-0", 0), 10)
    assert [event.name for event in next(looks).events] == ["enqueue"]
    others(queue, 1_000)
    claim(queue)
    others(queue, 1_000)
    seen = next(looks)
    assert [event.name for event in seen.events] == ["claim"]
    assert seen.seen.status is JobStatus.STARTED


def test_events_that_are_kept_no_longer_are_missed_and_that_is_said(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing)
    execution = claim(queue)
    client.xtrim(queue.store.keys.events("q"), maxlen=1, approximate=False)
    news = job.watch(10)
    first = next(news)
    assert isinstance(first, Event) and (first.name, first.missed) == ("claim", True)
    settle(queue, execution, RETURNED)
    second = next(news)
    assert isinstance(second, Event) and (second.name, second.missed) == ("finish", False)


def test_where_events_are_switched_off_a_watch_goes_on_without_them(queue: Queue, client: redis.Redis) -> None:
    queue.enable_events(False)
    job = queue.enqueue(tasks.nothing)
    watcher = waiting(client, lambda: list(job.watch(10)))
    execution = claim(queue)
    queue.enable_events()
    settle(queue, execution, RETURNED)
    end, result = given(watcher)
    assert isinstance(end, Event) and (end.name, end.missed) == ("finish", True)
    assert short([result]) == ["SUCCESSFUL"]


def test_a_key_that_holds_something_else_in_place_of_the_events_takes_only_these(
    queue: Queue, client: redis.Redis
) -> None:
    job = queue.enqueue(tasks.nothing)
    execution = claim(queue)
    news = job.watch(10)
    assert short([next(news), next(news)]) == ["enqueue", "claim"]
    watcher = waiting(client, lambda: list(news))
    client.set(queue.store.keys.events("q"), "not ours")
    other = Waiting(lambda: list(job.watch(10))).start()
    blocked(client, 2)
    client.delete(queue.store.keys.events("q"))
    client.xadd(queue.store.keys.events("q"), {"not": "ours"}, id=f"1-{(1 << 64) - 1}")
    client.xadd(queue.store.keys.events("q"), {"e": f"\n{job.id}"})
    settle(queue, execution, RETURNED)
    assert short(given(watcher)) == short(given(other)) == ["finish", "SUCCESSFUL"]


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_any_kind_of_client_can_watch(server: Server, namespace: str, protocol: int, decode_responses: bool) -> None:
    with server.client(protocol=protocol, decode_responses=decode_responses) as client:
        queue = Queue("q", client, namespace=namespace)
        job = queue.enqueue(tasks.nothing, job_id="väl")
        watcher = watched(job)
        settle(queue, claim(queue), RETURNED)
        assert short(given(watcher)) == ["enqueue", "claim", "finish", "SUCCESSFUL"]
