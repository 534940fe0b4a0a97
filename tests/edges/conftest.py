"""Fixtures of the tests at the edges: the command line in this process, and a queue for it to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from click.testing import CliRunner, Result

from rqlike.cli import main
from rqlike.queue import Queue
from tests.servers import Server

Run = Callable[..., Result]
REDRAWN = "\r\x1b[K"  # what a line of progress begins with


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as made:
        yield made


@pytest.fixture
def queue(client: redis.Redis, namespace: str) -> Queue:
    return Queue("mail", client, namespace=namespace)


@pytest.fixture
def run(server: Server, namespace: str) -> Run:
    """Runs `rqlike ARGS` against the namespace of this test; `said` is what somebody types. Nothing it says does
    anything to a terminal, but where it is to be in color."""

    def invoke(*words: str, said: str | None = None, color: bool = False) -> Result:
        given = ["-u", server.url, "-N", namespace, *words]
        result = CliRunner().invoke(main, given, prog_name="rqlike", input=said, color=color)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        for text in () if color else (result.stdout, result.stderr):
            assert text.replace("\n", "").replace(REDRAWN, "").isprintable()
        return result

    return invoke
