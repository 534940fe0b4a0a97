"""Fixtures: real servers by kind, fresh key spaces, and an environment that points nowhere."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

import fakeredis
import hypothesis
import pytest
import redis

from tests.servers import Kind, Server, ServerMissing

hypothesis.settings.register_profile("local", deadline=None)
# One machine must find what another found; and a slow machine is no defect.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

NOWHERE = "unix:///nonexistent/a-test-that-named-no-server.sock"
ANY_KIND = ("fakeredis", "redis7", "valkey")
_numbers = itertools.count(1)


class AnyServer:
    """Makes clients of one server; called or by ``.client``. All of them are closed when the test ends."""

    def __init__(self, kind: str, make: Callable[..., redis.Redis], real: Server | None = None) -> None:
        self.kind = kind
        self.real = real
        self._make = make
        self._made: list[redis.Redis] = []

    def client(self, **options: object) -> redis.Redis:
        """A new client with redis-py's defaults but for ``options``."""
        made = self._make(**options)
        self._made.append(made)
        return made

    __call__ = client

    def close(self) -> None:
        """Close every client that was made here."""
        for made in self._made:
            made.close()


def skip_or_fail(missing: ServerMissing | str) -> NoReturn:
    """A skip with the reason, or a failure under CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, so nothing may be skipped: {missing}")
    pytest.skip(str(missing))


def start_or_skip(kind: Kind, options: Mapping[str, str] | None = None) -> Server:
    """A started server; where there is none, a skip with the reason, or a failure under CI."""
    try:
        return Server(kind, options=options)
    except ServerMissing as missing:
        skip_or_fail(missing)


def start_durable() -> Server:
    """A Valkey that forgets nothing."""
    return start_or_skip("valkey", {"appendonly": "yes", "appendfsync": "always"})


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """Valkey, one for the whole run: keep to your ``namespace`` in it, and leave it running."""
    started = start_or_skip("valkey")
    yield started
    started.close()


@pytest.fixture(scope="session")
def redis7_server() -> Iterator[Server]:
    """The redis-server of this machine, one for the whole run."""
    started = start_or_skip("redis7")
    yield started
    started.close()


@pytest.fixture
def server(valkey_server: Server) -> Server:
    """The server of a test that needs one and does not care which. Shared: not yours to kill."""
    return valkey_server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A Valkey of this test alone, with AOF, to kill, pause and restart."""
    started = start_durable()
    yield started
    started.close()


@pytest.fixture(params=ANY_KIND)
def any_server(request: pytest.FixtureRequest) -> Iterator[AnyServer]:
    """The same test on fakeredis (one of its own), on Redis and on Valkey."""
    kind: str = request.param
    if kind == "fakeredis":
        fake = fakeredis.FakeServer()
        made = AnyServer(kind, lambda **options: fakeredis.FakeRedis(server=fake, **options))
    else:
        real: Server = request.getfixturevalue(f"{kind}_server")
        made = AnyServer(kind, real.client, real)
    yield made
    made.close()


@pytest.fixture
def namespace() -> str:
    """A key space that no other test uses."""
    return f"t{next(_numbers)}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def environment_points_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that names no server must fail, not find the developer's."""
    for name in [name for name in os.environ if name.startswith("RQLIKE_") or name == "REDIS_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RQLIKE_REDIS_URL", NOWHERE)
