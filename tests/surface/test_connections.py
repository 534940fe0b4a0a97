"""What may be given as a connection, and handles shared by threads."""

from __future__ import annotations

import asyncio
import enum
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

from rqlike import Job, Queue, Result, SimpleWorker, clock
from rqlike.exceptions import RqlikeError, WaitTimeout
from rqlike.store import verbs
from rqlike.store.requests import Request
from rqlike.store.store import Store
from rqlike.store.verbs import Enqueued, NewJob
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.waiters import at_once, waiting


def round_trip(connection: Any, namespace: str) -> None:
    """Enqueues, executes, waits and reads through one connection."""
    queue = Queue("q", connection, namespace=namespace)
    job = queue.enqueue(tasks.echo, {"ä": (1, b"\xff")}, job_id="a ä")
    SimpleWorker(["q"], connection=connection, namespace=namespace).work(burst=True, logging_level=None)
    assert job.wait(timeout=5) == {"ä": (1, b"\xff")}
    assert Job.fetch("a ä", connection, namespace).results()[0].return_value == {"ä": (1, b"\xff")}
    assert queue.counts().finished == 1
    assert Result.fetch_many(["a ä"], connection, namespace)[0] is not None


def test_a_url_is_a_connection(server: Server, namespace: str) -> None:
    round_trip(server.url, namespace)


def test_none_is_whatever_connect_finds(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_REDIS_URL", server.url)
    monkeypatch.setenv("RQLIKE_NAMESPACE", namespace)
    round_trip(None, namespace)
    assert Queue("q").store.namespace == namespace
    assert Queue("q").counts().finished == 1


def test_a_client_of_valkey_py_is_a_connection(server: Server, namespace: str) -> None:
    valkey = pytest.importorskip("valkey")
    for options in ({}, {"decode_responses": True}):
        with valkey.Valkey(unix_socket_path=str(server.socket), **options) as client:
            round_trip(client, namespace + str(len(options)))


@pytest.mark.parametrize(
    "options", [{"protocol": 2}, {"protocol": 3}, {"decode_responses": True}, {"socket_timeout": 1}]
)
def test_any_options_of_a_client_will_do(server: Server, namespace: str, options: dict[str, Any]) -> None:
    with server.client(**options) as client:
        round_trip(client, namespace)


def test_a_small_pool_is_not_used_up_by_waiters(server: Server, namespace: str) -> None:
    pool = redis.BlockingConnectionPool.from_url(server.url, max_connections=1, timeout=1)
    with redis.Redis(connection_pool=pool) as client, server.client() as watcher:
        queue = Queue("q", client, namespace=namespace)
        job = queue.enqueue(tasks.add, 1)
        waiters = waiting(watcher, lambda: job.wait(timeout=10), 5)
        SimpleWorker(["q"], connection=client, namespace=namespace).work(burst=True, logging_level=None)
        assert waiters.outcomes() == [1] * 5
    pool.disconnect()


def test_a_fake_server_serves_the_tests_of_others(namespace: str) -> None:
    with fakeredis.FakeRedis() as client:
        round_trip(client, namespace)


def test_what_is_no_synchronous_client_is_refused(server: Server) -> None:
    with server.client() as client:
        asynchronous = redis.asyncio.Redis.from_url(server.url)
        for wrong in (5, object(), client.pipeline(), asynchronous):
            with pytest.raises(TypeError, match="connection takes"):
                Queue("q", wrong)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.run(asynchronous.aclose())


def test_a_url_that_is_none_is_refused_at_the_first_use() -> None:
    with pytest.raises((ValueError, RqlikeError), match="redis://"):
        Queue("q", "localhost:6379").counts()


# -- threads -----------------------------------------------------------------------------------------------------------


def test_eight_threads_enqueue_and_wait_on_one_queue(server: Server, namespace: str) -> None:
    import threading

    with server.client() as client:
        queue = Queue("q", client, namespace=namespace)

        def one(number: int) -> list[int]:
            jobs = [queue.enqueue(tasks.add, number, step) for step in range(25)]
            return [job.wait(timeout=20) for job in jobs]

        found: list[object] = []
        threads = threading.Thread(target=lambda: found.extend(at_once(one, 8)))
        threads.start()
        worker = SimpleWorker(["q"], connection=client, namespace=namespace)
        worker.work(max_jobs=200, max_idle_time=20, logging_level=None)
        threads.join(20)
        assert found == [[number + step for step in range(25)] for number in range(8)]
        assert queue.counts().finished == 200


def test_eight_threads_wait_with_one_handle(server: Server, namespace: str) -> None:
    with server.client() as client:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.add, 3)
        waiters = waiting(client, lambda: (job.wait(timeout=10), job.results()[0].return_value), 8)
        SimpleWorker(["q"], connection=client, namespace=namespace).work(burst=True, logging_level=None)
        assert waiters.outcomes() == [(3, 3)] * 8


class Mail(str, enum.Enum):  # noqa: UP042  # str() of a StrEnum's member is its value, of these it is not
    QUEUE = "mail"
    JOB = "nightly"


def test_a_member_of_an_enum_of_strings_is_what_it_stands_for_on_every_way(client: redis.Redis, namespace: str) -> None:
    queue = Queue(Mail.QUEUE, client, namespace=namespace)
    queue.enqueue_many([Queue.prepare_data(tasks.nothing)] * 600)
    assert [(one.name, one.count) for one in Queue.all(client, namespace=namespace)] == [("mail", 600)]
    queue.empty()
    with pytest.raises(WaitTimeout):
        queue.enqueue(tasks.nothing).wait(timeout=0.01)
    queue.empty()
    job = queue.enqueue(tasks.echo, 5, job_id=Mail.JOB)
    SimpleWorker(["mail"], connection=client, namespace=namespace).work(burst=True, logging_level=None)
    assert job.wait(timeout=2) == 5


@pytest.mark.parametrize("items", [1, 501])
def test_many_items_need_no_second_connection_where_there_is_none(server: Server, namespace: str, items: int) -> None:
    pool = redis.BlockingConnectionPool.from_url(server.url, max_connections=1, timeout=1)
    with redis.Redis(connection_pool=pool, single_connection_client=True) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue_many([Queue.prepare_data(tasks.nothing)] * items)
        assert queue.count == items


def test_one_item_takes_one_connection(server: Server, namespace: str) -> None:
    taken = []

    class Counting(redis.ConnectionPool):
        def get_connection(self, *args: Any, **kwargs: Any) -> Any:
            taken.append(args)
            return super().get_connection(*args, **kwargs)

    with redis.Redis(connection_pool=Counting.from_url(server.url)) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing)
        taken.clear()
        queue.enqueue_many([Queue.prepare_data(tasks.nothing)])
        assert len(taken) == 1


def _past(moment: float) -> bool:
    return clock.mono() > moment


def test_no_reply_of_a_chunk_is_taken_for_that_of_a_health_check(server: Server, namespace: str) -> None:
    with server.client(health_check_interval=0.01) as client:
        store = Store(client, namespace)

        def chunks() -> Iterator[Request[list[Enqueued]]]:
            for number in range(1, 6):
                until = clock.mono() + 0.03
                eventually(partial(_past, until))
                yield verbs.enqueue(f"q{number}", [NewJob(f"j{number}-{one}", b"c", "n") for one in range(number)])

        assert [len(answer) for answer in store.run_each(chunks())] == [1, 2, 3, 4, 5]


class Slow(redis.UnixDomainSocketConnection):
    """Nothing more is there yet, whenever somebody looks."""

    def can_read(self, *args: Any, **kwargs: Any) -> bool:
        return False


def test_a_reply_that_is_slow_to_arrive_is_waited_for(server: Server, namespace: str) -> None:
    pool = redis.ConnectionPool(connection_class=Slow, path=str(server.socket))
    with redis.Redis(connection_pool=pool) as client:
        queue = Queue("q", client, namespace=namespace)
        with pytest.raises(WaitTimeout):
            queue.enqueue(tasks.nothing).wait(timeout=0.01)
        queue.empty()
        job = queue.enqueue(tasks.echo, 5, result_ttl=0)
        SimpleWorker(["q"], connection=client, namespace=namespace).work(burst=True, logging_level=None)
        assert job.wait(timeout=5) == 5


class Forgetful(redis.Redis):
    """A client of a server that loses its scripts just after it was given one, so many times."""

    times = 2

    def script_load(self, script: Any) -> Any:
        answer = super().script_load(script)
        if self.times:
            self.times -= 1
            self.script_flush()
        return answer


def test_a_script_that_is_lost_between_its_load_and_its_call_is_loaded_again(
    own_server: Server, namespace: str
) -> None:
    with Forgetful(unix_socket_path=str(own_server.socket)) as client:
        assert Queue("q", client, namespace=namespace).enqueue(tasks.nothing).get_status() == "queued"
        assert client.times == 0
