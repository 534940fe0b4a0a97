"""Where a client is connected to, as plain parameters: what a second connection of our own needs.

A worker's loop never blocks, and a waiter blocks longer than the caller's client would stand, so both take the
parameters of the caller's client and not the client.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqlike.exceptions import RqlikeError
from rqlike.store.sentinels import is_led, owner_of, pool_like

#: What of a client's parameters a connection of our own takes over. The rest is the pool's housekeeping, retries and
#: decoding, which are not ours, and differs between versions of redis-py.
_OURS: Final = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name"}
    | {"socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "encoding", "redis_connect_func"}
)
_NOT_OURS: Final = frozenset(
    {"retry", "retry_on_error", "retry_on_timeout", "decode_responses", "health_check_interval", "max_connections"}
    | {"maint_notifications_config", "maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler"}
)
_UNBOUNDED: Final = 2**31


@dataclass(frozen=True, slots=True)
class Group:
    """A primary and its replicas under one name: which of them is the primary, the sentinels know."""

    service: str
    sentinels: tuple[Endpoint, ...]
    forced_host: str | None = None  #: taken in place of the host that a sentinel answers (`force_master_ip`)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address and how to enter. `path` for a unix socket, `group` where sentinels know the address, else
    `host` and `port`."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    group: Group | None = None

    @classmethod
    def of(cls, client: redis.Redis) -> Endpoint:
        """The endpoint of a client. Raises RqlikeError for a kind of client that has no address, or only replicas."""
        given = client.connection_pool.connection_kwargs
        group = _group_of(client.connection_pool)
        if group is None and "path" not in given and "host" not in given:
            raise RqlikeError(
                f"{type(client.connection_pool).__name__} has no address to connect to; "
                "pass a redis.Redis or a URL to the worker."
            )
        username, password = given.get("username"), given.get("password")
        if given.get("credential_provider") is not None:
            credentials = given["credential_provider"].get_credentials()
            username, password = (None, *credentials)[-2:]
        secure = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
        return cls(
            host=given.get("host") or "localhost",
            port=int(given.get("port") or 6379),
            path=given.get("path"),
            db=int(given.get("db") or 0),
            username=username,
            password=password,
            tls={name: value for name, value in given.items() if name.startswith("ssl_")} if secure else None,
            group=group,
        )

    @property
    def place(self) -> object:
        """What is equal where two endpoints lead to the same database, however they enter it."""
        if self.group is not None:
            return self.group.service, {(one.host, one.port) for one in self.group.sentinels}, self.db
        return (self.path, self.db) if self.path else (self.host, self.port, self.db)

    def at(self, host: str, port: int) -> Endpoint:
        """The same way in, at another address."""
        return replace(self, host=host, port=port)

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        if self.group is not None:
            hosts = ",".join(f"{one.host}:{one.port}" for one in self.group.sentinels)
            scheme = "rediss" if self.tls is not None else "redis"
            return f"{scheme}+sentinel://{hosts}/{self.group.service}/{self.db}"
        return f"{'rediss' if self.tls is not None else 'redis'}://{self.host}:{self.port}/{self.db}"

    def tls_context(self) -> ssl.SSLContext | None:
        """The context of a TLS connection as redis-py would make it; None without TLS."""
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=self.tls.get("ssl_ca_certs"), capath=self.tls.get("ssl_ca_path"))
        context.check_hostname = bool(self.tls.get("ssl_check_hostname", True))
        requirement = self.tls.get("ssl_cert_reqs", "required")
        named = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
        mode = named[requirement] if isinstance(requirement, str) else ssl.VerifyMode(requirement)
        context.check_hostname = context.check_hostname and mode is not ssl.CERT_NONE
        context.verify_mode = mode
        if self.tls.get("ssl_certfile"):
            context.load_cert_chain(self.tls["ssl_certfile"], self.tls.get("ssl_keyfile"), self.tls.get("ssl_password"))
        return context


def _group_of(pool: Any) -> Group | None:
    """The group behind the pool of a client of `Sentinel.master_for`; None for other pools."""
    manager = getattr(pool, "sentinel_manager", None)
    if manager is None:
        return None
    if not pool.is_master:
        raise RqlikeError("A worker writes, and this client reads from replicas: make it by Sentinel.master_for.")
    sentinels = tuple(Endpoint.of(one) for one in manager.sentinels)
    return Group(pool.service_name, sentinels, getattr(manager, "_force_master_ip", None))


def patient_client(client: redis.Redis, socket_timeout: float) -> redis.Redis:
    """A client on connections of its own to the same server: RESP2, bytes, no hidden retries, `socket_timeout` s.

    Of a client that asks sentinels it is one that asks them by itself, each of them for at most 1 s.
    """
    if type(client).__module__.startswith("fakeredis"):
        return client  # there is nothing to connect to but itself
    pool = client.connection_pool
    plain = (redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection)
    known = pool.connection_class in plain or is_led(pool)
    given = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if (name in _OURS or name.startswith("ssl_") if known else name not in _NOT_OURS)
    }
    # redis-py 8 has a hundred connections for all commands together. Each waiter holds one for as long as it waits, and
    # the hundred and first would look again and again until another one has gone.
    given.update(socket_timeout=socket_timeout, protocol=2, retry=Retry(NoBackoff(), 0), max_connections=_UNBOUNDED)
    if is_led(pool):
        own: redis.ConnectionPool = pool_like(pool, given)
    else:
        own = redis.ConnectionPool(connection_class=pool.connection_class, **given)
    patient = owner_of(own)
    patient.set_response_callback("XREAD", lambda reply, **_: reply)
    return patient
