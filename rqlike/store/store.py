"""The store of one namespace on one server: sends requests through the caller's client.

Thread-safe as redis-py's clients are. Scripts go by EVALSHA, one round trip; where the server does not know one
(restart, failover, SCRIPT FLUSH) it is loaded and sent again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import redis
from redis.exceptions import NoScriptError, ResponseError

from rqlike.keys import Keys
from rqlike.settings import BLOCK_S, DEFAULT_NAMESPACE
from rqlike.store.connecting import connect
from rqlike.store.endpoint import patient_client
from rqlike.store.requests import Request
from rqlike.store.scripts import script

T = TypeVar("T")
Conn = Any  #: redis.Redis | valkey.Valkey | a URL | None
Entries = list[tuple[bytes, list[bytes]]]

_MARGIN_S: Final = 5.0


class Store:
    """Sends requests to the keys of one namespace.

    `connection` is a client, a URL, or None for `rqlike.connect()`; `namespace` None is RQLIKE_NAMESPACE or "rqlike".
    Making a Store does no I/O. Raises ValueError for a bad namespace, TypeError for something that is no connection.
    """

    def __init__(self, connection: Conn = None, namespace: str | None = None) -> None:
        named = namespace if namespace is not None else os.environ.get("RQLIKE_NAMESPACE") or DEFAULT_NAMESPACE
        self.keys = Keys(named)
        self._connection = _checked(connection)
        self._client: redis.Redis | None = None
        self._patient: redis.Redis | None = None
        self._bare = False

    @property
    def namespace(self) -> str:
        """The namespace its keys carry."""
        return self.keys.namespace

    @property
    def client(self) -> redis.Redis:
        """The client of its server, made at first use."""
        if self._client is None:
            given = self._connection
            made = connect(given) if given is None or isinstance(given, str) else _as_redis(given)
            # fakeredis reads scripts with a plain Lua, to which `#!lua` is a syntax error
            self._bare = type(made).__module__.startswith("fakeredis")
            self._client = made  # last: another thread must not see it without the line above
        return self._client

    def run(self, request: Request[T]) -> T:
        """Sends a request and reads its answer: one round trip.

        Raises the errors of the verb, and redis-py's own where the server is away or refuses (OOM, READONLY).
        """
        return self._send(self.client, request)

    def look(self, request: Request[T]) -> T:
        """`run` on the connections that block: no retries of the caller's client stretch it beyond a deadline."""
        return self._send(self._own_client(), request)

    def _send(self, client: redis.Redis, request: Request[T]) -> T:
        verb = script(request.script)
        sha = verb.bare_sha if self._bare else verb.sha
        argv = request.argv()
        try:
            try:
                reply = self._evaluate(client, sha, argv)
            except NoScriptError:
                client.script_load(verb.bare if self._bare else verb.source)
                reply = self._evaluate(client, sha, argv)
        except ResponseError as refusal:
            word, _, detail = str(refusal).partition(" ")
            meant = request.refused(word, detail)
            if meant is None:
                raise
            raise meant from None
        return request.read(reply)

    def _evaluate(self, client: redis.Redis, sha: str, argv: tuple[Any, ...]) -> Any:
        # NEVER_DECODE: replies are bytes on clients with decode_responses=True too
        return client.execute_command(  # type: ignore[no-untyped-call]
            "EVALSHA", sha, 1, self.keys.prefix, *argv, NEVER_DECODE=True
        )

    def block_for_entries(self, job_id: str, after: str, seconds: float) -> Entries:
        """Blocks until the job's stream has entries newer than id `after`, at most `seconds` (≤ 4, > 0).

        On a connection outside the client's pool; empty where none came. A server that goes away is an error here;
        the caller keeps the deadline. UNBLOCKED (a failover) reads as none.
        """
        block_ms = max(1, round(min(seconds, BLOCK_S) * 1000))
        try:
            reply = self._blocking("XREAD", "BLOCK", block_ms, "STREAMS", self.keys.results(job_id), after)
        except ResponseError as refusal:
            if str(refusal).startswith("UNBLOCKED"):
                return []
            raise
        return [(entry[0], entry[1]) for entry in reply[0][1]] if reply else []

    def block_for_markers(self, markers: Sequence[str], seconds: float) -> bool:
        """Blocks until one of the marker keys has a member, at most `seconds` (≤ 4, > 0), and takes it."""
        return self._blocking("BZPOPMIN", *markers, max(0.001, min(seconds, BLOCK_S))) is not None

    def _blocking(self, *command: str | int | float) -> Any:
        return self._own_client().execute_command(*command)  # type: ignore[no-untyped-call]

    def _own_client(self) -> redis.Redis:
        if self._patient is None:
            self._patient = patient_client(self.client, BLOCK_S + _MARGIN_S)
        return self._patient


def _checked(connection: Conn) -> Conn:
    if connection is None or isinstance(connection, str):
        return connection
    kind = type(connection)
    is_client = hasattr(connection, "connection_pool") and ".asyncio" not in kind.__module__
    if is_client and not hasattr(kind, "immediate_execute_command"):  # which only pipelines have
        return connection
    raise TypeError(
        f"connection takes a redis.Redis, a URL or None, not {type(connection).__name__}; "
        "an asyncio client or a pipeline cannot be used here"
    )


def _as_redis(client: Any) -> redis.Redis:
    """The client itself; for one of valkey-py, a redis-py client with the same parameters."""
    if isinstance(client, redis.Redis):
        return client
    given = client.connection_pool.connection_kwargs
    names = ("host", "port", "path", "db", "username", "password", "decode_responses")
    plain = {name: given[name] for name in names if name in given}
    if "path" in plain:
        plain["unix_socket_path"] = plain.pop("path")
    secure = "SSL" in client.connection_pool.connection_class.__name__
    if secure:
        plain.update({name: value for name, value in given.items() if name.startswith("ssl_")})
    return redis.Redis(ssl=secure, **plain)
