"""The proxies of the tests lose what they are to lose, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.process.proxies import UnsteadyProxy
from tests.servers import Server, eventually


@pytest.fixture
def proxy(server: Server) -> Iterator[UnsteadyProxy]:
    with UnsteadyProxy(server.socket, 1) as made:
        yield made


@pytest.fixture
def client(proxy: UnsteadyProxy) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.3) as made:
        yield made


def test_a_steady_network_passes_everything_on(client: redis.Redis) -> None:
    assert client.echo("x" * 1_000_000) == b"x" * 1_000_000


def test_a_black_hole_answers_nobody_until_it_is_healed(proxy: UnsteadyProxy, client: redis.Redis) -> None:
    client.ping()
    proxy.swallow()
    for _ in range(2):
        with pytest.raises(redis.TimeoutError):
            client.ping()
    proxy.heal()
    eventually(lambda: answers(client), 5.0)


def test_connections_are_cut_in_the_middle_and_before_answers(
    proxy: UnsteadyProxy, client: redis.Redis, namespace: str
) -> None:
    proxy.cut_between(200, 2000)
    counted = sum(answered(client, namespace) for _ in range(1000))
    proxy.heal()
    eventually(lambda: answers(client), 5.0)
    done = client.incr(namespace) - 1
    assert proxy.cuts > 20
    assert counted < done < 1000, "some were done and not answered, some never arrived"


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def answered(client: redis.Redis, key: str) -> bool:
    try:
        return bool(client.incr(key))
    except redis.ConnectionError:
        return False
