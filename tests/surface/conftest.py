"""A queue of one test alone on the shared server, and a worker in this process to serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from rqlike import Queue, SimpleWorker
from tests.servers import Server


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A client as redis-py makes it."""
    with server.client() as made:
        yield made


@pytest.fixture
def queue(client: redis.Redis, namespace: str) -> Queue:
    """An empty queue."""
    return Queue("q", client, namespace=namespace)


Work = Callable[[], bool]


@pytest.fixture
def work(client: redis.Redis, namespace: str) -> Work:
    """Executes what is queued or due, in this process."""

    def burst() -> bool:
        worker = SimpleWorker(["q"], connection=client, namespace=namespace)
        return worker.work(burst=True, logging_level=None)

    return burst
