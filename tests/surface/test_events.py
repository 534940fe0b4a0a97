"""Events, as callers follow them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as Again

from rqlike import Event, Queue
from rqlike.exceptions import DeserializationError, TimeoutFormatError
from rqlike.job import JobStatus
from rqlike.settings import EVENTS_READ
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Waiting, blocked


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def test_events_come_in_order_and_end_when_nothing_happens_for_the_timeout(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing)
    work()
    began = time.monotonic()
    seen = list(queue.events(after="0", timeout=0.2))
    assert 0.2 <= time.monotonic() - began < 2.0
    assert names(seen) == ["enqueue", "claim", "finish"]
    first = seen[0]
    assert (first.job_id, first.queue, first.status) == (job.id, "q", JobStatus.QUEUED)
    assert first.at.tzinfo is UTC and abs(datetime.now(UTC) - first.at) < timedelta(seconds=10)
    assert list(queue.events(after="0", timeout=0)) == seen


def test_without_an_id_they_begin_with_what_comes_after_the_call(queue: Queue) -> None:
    queue.enqueue(tasks.nothing, job_id="before")
    events = queue.events(timeout=0)
    queue.enqueue(tasks.nothing, job_id="after")
    assert [event.job_id for event in events] == ["after"]
    empty = Queue("empty", queue.connection, namespace=queue.store.namespace)
    events = empty.events(timeout=0)
    empty.enqueue(tasks.nothing, job_id="first")
    assert [event.job_id for event in events] == ["first"]


def test_the_id_of_an_event_goes_on_exactly_behind_it(queue: Queue) -> None:
    queue.enqueue_many([Queue.prepare_data(tasks.nothing, job_id=f"j{number}") for number in range(450)])
    seen = list(queue.events(after="0", timeout=0))
    assert [event.job_id for event in seen] == [f"j{number}" for number in range(450)]
    for at in (0, 199, 200, 448):
        assert list(queue.events(after=seen[at].id, timeout=0)) == seen[at + 1 :]
    assert list(queue.events(after=seen[-1].id, timeout=0)) == []


def test_who_waits_is_told_at_once(queue: Queue, server: Server) -> None:
    with server.client() as watcher:
        waiter = Waiting(lambda: next(queue.events(timeout=20))).start()
        blocked(watcher)
        before = time.monotonic()
        queue.enqueue(tasks.nothing, job_id="j")
        (event,) = waiter.outcomes()
        assert isinstance(event, Event) and event.job_id == "j"
        assert waiter.last_end() - before < 1.0


def test_who_was_away_too_long_sees_that_something_is_missing(
    queue: Queue, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        queue.enqueue(tasks.nothing, job_id=f"j{number}")
    first, *_ = queue.events(after="0", timeout=0)
    following = queue.events(after=first.id, timeout=0)
    client.xtrim(queue.store.keys.events("q"), maxlen=2, approximate=False)
    found = list(following)
    assert [(event.job_id, event.missed) for event in found] == [("j2", True), ("j3", False)]
    assert f"events of q that came after {first.id} are kept no longer" in caplog.text
    assert not any(event.missed for event in queue.events(after="0", timeout=0))
    assert not any(event.missed for event in queue.events(after=found[0].id, timeout=0))


def test_a_slow_reader_sees_a_gap_in_the_middle_too(queue: Queue, client: redis.Redis) -> None:
    for number in range(2 * EVENTS_READ):  # an entry each
        queue.enqueue(tasks.nothing, job_id=f"j{number}")
    following = queue.events(after="0", timeout=0)
    first_part = list(islice(following, EVENTS_READ))
    client.xtrim(queue.store.keys.events("q"), maxlen=10, approximate=False)
    rest = list(following)
    assert not any(event.missed for event in first_part)
    assert [event.missed for event in rest] == [True, *[False] * 9]


def test_they_are_switched_off_and_on_and_the_gap_shows(queue: Queue) -> None:
    queue.enqueue(tasks.nothing)
    (seen,) = queue.events(after="0", timeout=0)
    queue.enable_events(False)
    queue.enqueue(tasks.nothing)
    assert list(queue.events(after=seen.id, timeout=0)) == []
    queue.enable_events()
    queue.enqueue(tasks.nothing, job_id="j")
    (event,) = queue.events(after=seen.id, timeout=0)
    assert (event.job_id, event.missed) == ("j", True)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"after": "$"}, ValueError, "not the id of an event"),
        ({"after": "1-"}, ValueError, "not the id of an event"),
        ({"after": f"1-{1 << 64}"}, ValueError, "not the id of an event"),
        ({"after": "-1"}, ValueError, "not the id of an event"),
        ({"after": "٣"}, ValueError, "not the id of an event"),
        ({"after": 5}, TypeError, "not int"),
        ({"timeout": -1}, TimeoutFormatError, "negative"),
        ({"timeout": "soon"}, TimeoutFormatError, "timeout"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_call_itself(
    queue: Queue, given: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        queue.events(**given)  # type: ignore[arg-type]


def test_events_are_enabled_by_true_or_false_only(queue: Queue) -> None:
    with pytest.raises(TypeError, match="True or False"):
        queue.enable_events(1)  # type: ignore[arg-type]


def test_a_key_that_holds_something_else_is_an_error_that_says_so(queue: Queue, client: redis.Redis) -> None:
    client.set(queue.store.keys.events("q"), "not ours")
    with pytest.raises(DeserializationError, match="something that rqlike has not written"):
        next(queue.events(after="0", timeout=0))


def test_the_synchronous_mode_tells_the_same(queue: Queue) -> None:
    here = Queue("q", queue.connection, is_async=False, namespace=queue.store.namespace)
    here.enqueue(tasks.nothing)
    assert names(list(queue.events(after="0", timeout=0))) == ["enqueue", "claim", "finish"]


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_any_kind_of_client_can_follow(server: Server, namespace: str, protocol: int, decode_responses: bool) -> None:
    with server.client(protocol=protocol, decode_responses=decode_responses) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing, job_id="väl")
        assert [event.job_id for event in queue.events(after="0", timeout=0.01)] == ["väl"]


def test_a_server_that_restarts_meanwhile_is_waited_for_and_one_that_stays_away_is_an_error(
    own_server: Server, namespace: str
) -> None:
    with own_server.client(retry=Again(NoBackoff(), 0)) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing)
        (first,) = queue.events(after="0", timeout=0)
        waiter = Waiting(lambda: next(queue.events(after=first.id, timeout=20))).start()
        blocked(client)
        own_server.kill()
        own_server.start()
        blocked(client)
        queue.enqueue(tasks.nothing, job_id="j")
        (event,) = waiter.outcomes()
        assert isinstance(event, Event) and (event.job_id, event.missed) == ("j", False)
        following = queue.events(after=event.id, timeout=0.3)
        own_server.kill()
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            next(following)
        with pytest.raises(redis.ConnectionError):
            queue.events()
