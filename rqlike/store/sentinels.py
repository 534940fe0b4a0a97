"""Sentinels: a URL for them, and clients that ask them where the primary is.

    redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/db][?option=value&...]

User and password are for the servers; `sentinel_username` and `sentinel_password` among the options are for the
sentinels. With `rediss+sentinel` both are spoken to by TLS. All other options are the client's, as in any other URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

import redis
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from rqlike.settings import ASK_S

DEFAULT_PORT: Final = 26379
FORM: Final = "redis+sentinel://[user:password@]host:26379,host2:26379/service/0"

#: Scheme to the scheme of the servers themselves.
SCHEMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "redis+sentinel": "redis",
        "rediss+sentinel": "rediss",
        "valkey+sentinel": "redis",
        "valkeys+sentinel": "rediss",
    }
)
_FOR_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}
#: What a sentinel's client of another library may say in words that this one understands.
_COMMON: Final = frozenset({"username", "password", "ssl"})
#: A call is sent again for about four seconds: an election among sentinels that watch closely takes less.
_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """What such a URL says. `server` and `sentinel` are arguments of clients of the one and of the other."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    server: Mapping[str, Any]
    sentinel: Mapping[str, Any]


def is_sentinel_url(url: str) -> bool:
    """Whether the URL's scheme is one of those for sentinels."""
    head, separator, _ = url.partition("://")
    return bool(separator) and head in SCHEMES


def parse(url: str) -> SentinelUrl:
    """Reads a URL of sentinels. Raises ValueError, whose text quotes nothing of what may be a password."""
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    credentials, at, listed = authority.rpartition("@")
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError(f"the name of the service is missing: {FORM}")
    if database and not database.isdecimal():
        raise ValueError(f"after the service comes the number of a database or nothing: {FORM}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    own: dict[str, Any] = {_FOR_SENTINELS[name]: options.pop(name) for name in tuple(options) if name in _FOR_SENTINELS}
    if "db" in options:
        raise ValueError("the number of a database stands after the service, and not among the options")
    try:
        plain = f"{SCHEMES[scheme]}://{credentials}{at}host/{database or 0}?{urlencode(options)}"
        server: dict[str, Any] = parse_url(plain)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError(f"its user, password or options cannot be read: {FORM}") from None
    server.pop("host")
    if server.pop("connection_class", None) is not None:
        own |= {name: value for name, value in server.items() if name.startswith("ssl_")}
        own["ssl"] = server["ssl"] = True
    return SentinelUrl(tuple(map(_host, listed.split(","))), unquote(service), server, own)


def _host(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]` or `[::1]:port`."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        fits = bool(closed) and colon in ("", ":")
    else:
        host, colon, port = text.partition(":")
        fits = True
    if not fits or not host or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(f"a sentinel is written host or host:port, several with commas between them: {FORM}")
    return unquote(host), int(port) if colon else DEFAULT_PORT


def client_of(url: str, client_options: Mapping[str, Any]) -> redis.Redis:
    """A client of the primary that the sentinels of `url` know. Nothing is sent.

    Each of them is asked for at most 1 s, once. A call is sent again for about 4 s unless `client_options` has a
    `retry` of its own.
    """
    said = parse(url)
    given: dict[str, Any] = {"retry": Retry(EqualJitterBackoff(cap=1.0, base=0.02), _TRIES), **said.server}
    given.update(client_options)
    secure = given.pop("ssl", False)
    entry = said.sentinel
    if entry.get("ssl"):  # whoever signs for the servers signs for their sentinels
        entry = {**{name: value for name, value in client_options.items() if name.startswith("ssl_")}, **entry}
    return owner_of(_pool(said.service, _manager(said.hosts, entry), secure, given))


def owner_of(pool: redis.ConnectionPool) -> redis.Redis:
    """A client that closes the pool with itself; by default it leaves that to whoever made the pool."""
    client = redis.Redis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def is_led(pool: Any) -> bool:
    """Whether a client's pool asks sentinels where to connect."""
    return hasattr(pool, "sentinel_manager")


def pool_like(pool: Any, given: Mapping[str, Any]) -> SentinelConnectionPool:
    """Another pool for the same service, with sentinel clients of its own and `given` for its connections. `pool` may
    be one of valkey-py."""
    theirs = pool.sentinel_manager
    hosts = []
    for one in theirs.sentinels:
        there = one.connection_pool.connection_kwargs
        hosts.append((there["host"], int(there["port"])))
    entry = {
        name: value for name, value in theirs.sentinel_kwargs.items() if name in _COMMON or name.startswith("ssl_")
    }
    manager = _manager(tuple(hosts), entry, theirs)
    made = _pool(pool.service_name, manager, "SSL" in pool.connection_class.__name__, dict(given))
    made.is_master = made.proxy.is_master = pool.is_master
    return made


def _manager(hosts: tuple[tuple[str, int], ...], entry: Mapping[str, Any], like: Any = None) -> Sentinel:
    """Who asks the sentinels: each for a limited time and once, since there are others."""
    patience = {"socket_timeout": ASK_S, "socket_connect_timeout": ASK_S, "retry": Retry(NoBackoff(), 0)}
    others = getattr(like, "min_other_sentinels", 0)
    made = Sentinel(  # type: ignore[no-untyped-call]
        hosts, min_other_sentinels=others, sentinel_kwargs={**entry, **patience}
    )
    made._force_master_ip = getattr(like, "_force_master_ip", None)  # an argument only since redis-py 5.1
    return made


def _pool(service: str, manager: Sentinel, secure: bool, given: dict[str, Any]) -> SentinelConnectionPool:
    kind = _LedSSLConnection if secure else _LedConnection
    return _LedPool(service, manager, connection_class=kind, **given)  # type: ignore[no-untyped-call]


class _LedPool(SentinelConnectionPool):
    """A pool whose sentinel clients are its own."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        for one in self.sentinel_manager.sentinels:
            one.close()


class _Asking(SentinelManagedConnection):
    """A connection that asks the sentinels each time it is made. redis-py's own asks when it leaves the pool; a call
    that is sent again on it goes to where the primary was."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self._sock:
            self.connect_to(self.connection_pool.get_master_address())  # type: ignore[no-untyped-call]
        super().send_packed_command(command, check_health=check_health)  # type: ignore[no-untyped-call]


class _LedConnection(_Asking):
    pass


class _LedSSLConnection(_Asking, SentinelManagedSSLConnection):
    pass
