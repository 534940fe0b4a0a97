"""What rqlike offers to the tests of its users."""

from __future__ import annotations

import redis

from rqlike import Queue, testing
from tests.servers import Server
from tests.surface import tasks


def test_work_runs_what_is_queued_and_tells_whether_anything_was(server: Server, namespace: str) -> None:
    client: redis.Redis = server.client()
    job = Queue("mail", client, namespace=namespace).enqueue(tasks.add, 1, 2)
    assert testing.work("mail", connection=client, namespace=namespace)
    assert job.wait(timeout=0) == 3
    assert not testing.work("mail", connection=client, namespace=namespace)
