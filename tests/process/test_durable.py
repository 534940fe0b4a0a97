"""`durable=True` with real servers: what it waits for, what it refuses, and that it never says more than is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import fakeredis
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqlike import Job, Queue
from rqlike.decorators import job
from rqlike.exceptions import DuplicateJobError, DurabilityUnavailable, NotDurableError
from rqlike.store import durable
from tests.conftest import skip_or_fail
from tests.groups import Group
from tests.process.proxies import LossyProxy
from tests.servers import Kind, Server, ServerMissing, eventually
from tests.surface import tasks
from tests.surface.waiters import Waiting

Making = Callable[..., Group]


@pytest.fixture
def servers() -> Iterator[Making]:
    """Makes servers without sentinels: `servers(kind, replicas, appendonly="yes", …)`."""
    with ExitStack() as stack:

        def make(kind: Kind = "valkey", replicas: int = 0, **options: str) -> Group:
            try:
                return stack.enter_context(Group(kind, replicas=replicas, sentinels=0, options=options))
            except ServerMissing as missing:
                skip_or_fail(missing)

        yield make


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Group]:
    """A primary and a replica, which answers within a moment: it does only some time after it was attached."""
    try:
        made = Group(replicas=1, sentinels=0)
    except ServerMissing as missing:
        skip_or_fail(missing)
    with made:
        queue_on(made.servers[0], "first").enqueue(tasks.nothing, durable=True)
        yield made


@pytest.fixture
def pair(shared_pair: Group) -> Iterator[Group]:
    """The shared primary, without an append-only file, and its replica: to pause it and to change settings."""
    yield shared_pair
    primary, replica = shared_pair.servers
    replica.proceed()
    with primary.client() as client:
        client.config_set("appendonly", "no")
        client.config_set("appendfsync", "everysec")


def with_a_file(group: Group, sync: str) -> None:
    """From now on the primary appends to a file, which it syncs `always` or by `everysec`."""
    with group.servers[0].client() as client:
        client.config_set("appendfsync", sync)
        client.config_set("appendonly", "yes")
        eventually(lambda: not rewriting(client), 10.0, message="the file is begun")


def rewriting(client: redis.Redis) -> bool:
    facts: dict[str, Any] = client.info("persistence")
    return bool(facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that will not answer is given up sooner."""
    monkeypatch.setattr(durable, "DURABLE_S", 0.3)


def queue_on(server: Server, namespace: str, **options: Any) -> Queue:
    return Queue("q", server.client(**options), namespace=namespace)


def taking(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


KINDS: list[Kind] = ["valkey", "redis7"]


@pytest.mark.parametrize("kind", KINDS)
def test_where_the_disk_comes_before_each_reply_it_is_one_round_trip_more(
    servers: Making, namespace: str, kind: Kind
) -> None:
    server = servers(kind, appendonly="yes", appendfsync="always").servers[0]
    queue = queue_on(server, namespace)
    queue.enqueue(tasks.nothing)
    assert taking(lambda: queue.enqueue(tasks.nothing, durable=True)) < 0.9
    assert queue.count == 2


@pytest.mark.parametrize("kind", KINDS)
def test_where_the_disk_comes_every_second_that_second_is_waited_for(
    servers: Making, namespace: str, kind: Kind
) -> None:
    """What WAITAOF says at once is not so: see docs/decisions."""
    server = servers(kind, appendonly="yes", appendfsync="everysec").servers[0]
    queue = queue_on(server, namespace)
    assert 1.0 < taking(lambda: queue.enqueue(tasks.nothing, durable=True)) < 3.0
    assert queue.count == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"appendonly": "no"}, "appendonly is off"), ({"appendonly": "yes", "appendfsync": "no"}, "appendfsync is no")],
)
def test_a_server_that_has_nothing_but_memory_is_refused_before_anything_is_written(
    servers: Making, namespace: str, settings: Mapping[str, str], why: str
) -> None:
    server = servers(**settings).servers[0]
    queue = queue_on(server, namespace)
    with pytest.raises(DurabilityUnavailable, match=rf"Nothing was enqueued.*{why}"):
        queue.enqueue(tasks.nothing, durable=True)
    with pytest.raises(DurabilityUnavailable) as caught:
        queue.enqueue_many([Queue.prepare_data(tasks.nothing, durable=True)])
    assert not hasattr(caught.value, "__notes__"), "such as one that says what may be enqueued"
    with server.client() as client:
        assert client.dbsize() == 0


def test_a_fake_server_is_refused_too(namespace: str) -> None:
    with fakeredis.FakeRedis() as client, pytest.raises(DurabilityUnavailable, match="fakeredis"):
        Queue("q", client, namespace=namespace).enqueue(tasks.nothing, durable=True)


def test_a_server_that_hides_its_settings_is_not_taken_at_its_best(servers: Making, namespace: str) -> None:
    server = servers(appendonly="yes", appendfsync="always").servers[0]
    with server.client() as client:
        client.acl_setuser("app", enabled=True, nopass=True, categories=["+@all"], commands=["-config"], keys=["*"])
    with pytest.raises(DurabilityUnavailable, match="CONFIG GET appendfsync is refused"):
        queue_on(server, namespace, username="app", password="any").enqueue(tasks.nothing, durable=True)


# -- replicas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_replica_is_waited_for(servers: Making, namespace: str, kind: Kind) -> None:
    group = servers(kind, 1)
    made = queue_on(group.servers[0], namespace).enqueue(tasks.nothing, durable=True)
    with group.servers[1].client() as there:
        assert Job.exists(made.id, there, namespace)


@pytest.mark.usefixtures("impatient")
def test_a_replica_that_does_not_answer_is_told_and_the_job_runs_all_the_same(pair: Group, namespace: str) -> None:
    with_a_file(pair, "always")
    queue = queue_on(pair.servers[0], namespace)
    pair.servers[1].pause()
    with pytest.raises(NotDurableError, match=r"is enqueued and will run.*no replica has received it") as caught:
        queue.enqueue(tasks.nothing, job_id="a", durable=True)
    error = caught.value
    assert (error.job_id, error.on_disk, error.replicas) == ("a", True, 0)
    assert [one.id for one in error.jobs] == queue.job_ids == ["a"]
    with pytest.raises(DuplicateJobError):
        queue.enqueue(tasks.nothing, job_id="a")


def test_disk_and_replica_are_told_apart(pair: Group, namespace: str) -> None:
    with_a_file(pair, "everysec")
    queue = queue_on(pair.servers[0], namespace)
    queue.enqueue(tasks.nothing, durable=True)
    pair.servers[1].pause()
    with pytest.raises(NotDurableError) as caught:
        queue.enqueue(tasks.nothing, durable=True)
    assert (caught.value.on_disk, caught.value.replicas) == (True, 0)


@pytest.mark.usefixtures("impatient")
def test_a_call_that_is_sent_again_is_not_taken_for_confirmed(pair: Group, namespace: str) -> None:
    """A server says of a connection that wrote nothing that all have it. So the script must write the second time
    too."""
    pair.servers[1].pause()
    with LossyProxy(pair.servers[0].socket, 1, word=b"EVALSHA") as proxy:
        client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 2))
        proxy.only(1)
        with pytest.raises(NotDurableError), client:
            Queue("q", client, namespace=namespace).enqueue(tasks.nothing, durable=True)
        assert proxy.lost == 1
    assert queue_on(pair.servers[0], namespace).count == 1


def test_a_call_that_is_sent_again_is_confirmed_where_it_is_so(pair: Group, namespace: str) -> None:
    with LossyProxy(pair.servers[0].socket, 1, word=b"EVALSHA") as proxy:
        client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 2))
        proxy.only(1)
        with client:
            made = Queue("q", client, namespace=namespace).enqueue(tasks.nothing, durable=True)
        assert proxy.lost == 1
    with pair.servers[1].client() as there:
        assert Job.exists(made.id, there, namespace)


def test_a_server_that_is_lost_in_the_wait_is_told(servers: Making, namespace: str) -> None:
    server = servers(appendonly="yes", appendfsync="everysec").servers[0]
    queue = queue_on(server, namespace, retry=Retry(NoBackoff(), 0))
    waiting = Waiting(lambda: queue.enqueue(tasks.nothing, durable=True)).start()
    with server.client() as client:
        watcher = Queue("q", client, namespace=namespace)
        eventually(lambda: watcher.count == 1)
    server.kill()
    (error,) = waiting.outcomes()
    assert isinstance(error, NotDurableError)
    assert "the connection was lost" in str(error)
    assert len(error.jobs) == 1


# -- every way to enqueue ----------------------------------------------------------------------------------------------


def test_many_jobs_are_waited_for_once(pair: Group, namespace: str) -> None:
    queue = queue_on(pair.servers[0], namespace)
    datas = [Queue.prepare_data(tasks.add, (n,)) for n in range(1200)]
    datas[7] = Queue.prepare_data(tasks.add, (7,), durable=True)
    made = queue.enqueue_many(datas)
    assert [one.args for one in made] == [(n,) for n in range(1200)]
    with pair.servers[1].client() as there:
        assert Queue("q", there, namespace=namespace).count == 1200


@pytest.mark.usefixtures("impatient")
def test_of_many_jobs_the_refused_ones_are_told_with_what_is_not_confirmed(pair: Group, namespace: str) -> None:
    queue = queue_on(pair.servers[0], namespace)
    queue.enqueue(tasks.nothing, job_id="taken")
    pair.servers[1].pause()
    with pytest.raises(NotDurableError, match="1 of 2 jobs are enqueued") as caught:
        queue.enqueue_many([Queue.prepare_data(tasks.nothing, job_id=name, durable=True) for name in ("taken", "new")])
    assert list(caught.value.errors) == [0]
    assert [one and one.id for one in caught.value.jobs] == [None, "new"]
    assert queue.enqueue_many([]) == []


def test_each_way_to_enqueue_takes_it(pair: Group, namespace: str) -> None:
    client = pair.servers[0].client()
    queue = Queue("q", client, namespace=namespace, durable=True)
    by_name = job(queue, durable=True)(tasks.nothing)
    calls: list[Callable[[], object]] = [
        lambda: queue.enqueue(tasks.nothing),
        lambda: queue.enqueue_in(60, tasks.nothing),
        lambda: queue.enqueue_call(tasks.nothing),
        lambda: queue.enqueue_many([Queue.prepare_data(tasks.nothing, delay=60)]),
        by_name.delay,
    ]
    assert queue.enqueue(tasks.nothing, durable=False).get_status() == "queued"
    for call in calls:
        before = waits(client)
        call()
        assert waits(client) == before + 1
    with pytest.raises(TypeError, match="durable takes True or False"):
        queue.enqueue(tasks.nothing, durable=1)


def waits(client: redis.Redis) -> int:
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_wait", {"calls": 0})["calls"])


@pytest.mark.parametrize(
    "options",
    [{"protocol": 2}, {"protocol": 3}, {"decode_responses": True}, {"single_connection_client": True}],
    ids=lambda options: next(iter(options)) + str(next(iter(options.values()))),
)
def test_any_client_will_do(pair: Group, namespace: str, options: dict[str, Any]) -> None:
    with_a_file(pair, "always")
    pool = redis.BlockingConnectionPool.from_url(pair.servers[0].url, max_connections=1, timeout=1, **protocol(options))
    with redis.Redis(connection_pool=pool, **single(options)) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing, durable=True)
        client.script_flush()
        queue.enqueue(tasks.nothing, durable=True)
        assert queue.count == 2
    pool.disconnect()


def protocol(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "single_connection_client"}


def single(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name == "single_connection_client"}
