"""The store of one namespace on one server: sends requests through the caller's client.

Thread-safe as redis-py's clients are. Scripts go by EVALSHA, one round trip; where the server does not know one
(restart, failover, SCRIPT FLUSH) it is loaded and sent again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain, islice
from typing import Any, Final, TypeVar

import redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from rqlike.exceptions import DeserializationError, RqlikeError
from rqlike.keys import Keys
from rqlike.settings import BLOCK_S, DEFAULT_NAMESPACE
from rqlike.store.connecting import connect
from rqlike.store.endpoint import Endpoint, patient_client
from rqlike.store.requests import Argument, Request
from rqlike.store.resp import pack
from rqlike.store.scripts import script
from rqlike.store.sentinels import is_led, owner_of, pool_like

T = TypeVar("T")

_LOADS: Final = 3  #: of a script in a row: somebody may flush it, or a failover, between its load and its call
ServerFull = OutOfMemoryError  #: the server is at maxmemory and took nothing of a request
Conn = Any  #: redis.Redis | valkey.Valkey | a URL | None
Entries = list[tuple[bytes, list[bytes]]]

_READ_ONE_EACH: Final[tuple[str | int, ...]] = ("XREAD", "COUNT", 1, "BLOCK")
_MARGIN_S: Final = 5.0
#: Requests of a series that are sent and not answered: the server has work while the caller prepares the next.
_AHEAD: Final = 2


class Store:
    """Sends requests to the keys of one namespace.

    `connection` is a client, a URL, or None for `rqlike.connect()`; `namespace` None is RQLIKE_NAMESPACE or "rqlike".
    Making a Store does no I/O. Raises ValueError for a bad namespace, TypeError for something that is no connection.
    """

    def __init__(self, connection: Conn = None, namespace: str | None = None) -> None:
        named = namespace if namespace is not None else os.environ.get("RQLIKE_NAMESPACE") or DEFAULT_NAMESPACE
        self.keys = Keys(named)
        self._prefix = self.keys.prefix.encode()
        self._connection = _checked(connection)
        self._client: redis.Redis | None = None
        self._patient: redis.Redis | None = None
        self._followed: object = None  #: the primary of the caller's client when that was made
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

    def is_same_place(self, other: Store) -> bool:
        """Whether another store has the same namespace on the same server, as far as what their clients were given
        tells. Asks no server."""
        if self is other or self.namespace != other.namespace:
            return self is other
        mine, theirs = self.client, other.client
        if mine.connection_pool is theirs.connection_pool:
            return True
        return Endpoint.of(mine).place == Endpoint.of(theirs).place

    def run(self, request: Request[T]) -> T:
        """Sends a request and reads its answer: one round trip.

        Raises the errors of the verb, and redis-py's own where the server is away or refuses (OOM, READONLY).
        """
        return self._send(self.client, request)

    def run_each(self, requests: Iterable[Request[T]]) -> Iterator[T]:
        """Answers to requests, in order; the next one is prepared and sent while the server works on the last.

        The first goes as `run` sends it, by the caller's client. The others share one connection of its pool, at most
        two of them under way. Where that connection fails, or the server does not know the script any more, those
        without an answer are sent again by `run`, with the client's own retries. Raises what `run` raises; of
        `requests` no more is taken by then than was sent.
        """
        return self._each(self.client, requests)

    def _each(self, client: redis.Redis, requests: Iterable[Request[T]]) -> Iterator[T]:
        rest = iter(requests)
        for request in rest:
            yield self._send(client, request)
            break
        waiting: deque[Request[T]] = deque(islice(rest, 1))  # who sends one needs no second connection
        if waiting and not self._bare and client.connection is None:  # a client that is one connection has no other
            following, waiting = chain(waiting, rest), deque()
            with suppress(Disconnected, TimedOut, NoScriptError):
                yield from self._overlapping(client, following, waiting)
        for request in chain(waiting, rest):
            yield self._send(client, request)

    def _overlapping(
        self, client: redis.Redis, requests: Iterator[Request[T]], waiting: deque[Request[T]]
    ) -> Iterator[T]:
        with borrowed(client) as line:
            for request in requests:
                waiting.append(request)
                # No PING where replies are under way: its reader would take one of them for the PONG.
                line.send_packed_command([self.packed(request)], check_health=len(waiting) == 1)
                if len(waiting) == _AHEAD:
                    yield _first_answer(line, waiting)
            while waiting:
                yield _first_answer(line, waiting)

    def look(self, request: Request[T]) -> T:
        """`run` on the connections that block: no retries of the caller's client stretch it beyond a deadline."""
        return self._send(self._own_client(), request)

    def look_each(self, requests: Iterable[Request[T]]) -> Iterator[T]:
        """`run_each` on the connections that block."""
        return self._each(self._own_client(), requests)

    def _send(self, client: redis.Redis, request: Request[T]) -> T:
        command, loads = self._command(request), 0
        try:
            while True:
                try:
                    # NEVER_DECODE: replies are bytes on clients with decode_responses=True too
                    reply = client.execute_command(*command, NEVER_DECODE=True)  # type: ignore[no-untyped-call]
                    break
                except NoScriptError:
                    if loads == _LOADS:
                        raise
                    verb, loads = script(request.script), loads + 1
                    client.script_load(verb.bare if self._bare else verb.source)
        except ResponseError as refusal:
            meant = _meant(request, refusal)
            if meant is None:
                raise
            raise meant from None
        return request.read(reply)

    def packed(self, request: Request[Any]) -> bytes:
        """A request as it goes over a connection."""
        return pack(*self._command(request))

    def _command(self, request: Request[Any]) -> tuple[Argument, ...]:
        verb = script(request.script)
        return ("EVALSHA", verb.bare_sha if self._bare else verb.sha, b"1", self._prefix, *request.argv())

    def block_for_entries(self, job_id: str, after: str, seconds: float) -> Entries:
        """Blocks until the job's stream has entries newer than id `after`, at most `seconds` (≤ 4, > 0).

        On a connection outside the client's pool; empty where none came. A server that goes away is an error here;
        the caller keeps the deadline. UNBLOCKED (a failover) reads as none.
        """
        try:
            return entries_of(self._blocking(*self.blocking_read(job_id, after, seconds)))
        except ResponseError as refusal:
            if str(refusal).startswith("UNBLOCKED"):
                return []
            raise

    def block_for_streams(self, places: Mapping[str, str], seconds: float) -> dict[str, Entries]:
        """Blocks until one of these streams has an entry newer than the id that stands with its key, at most `seconds`
        (≤ 4, > 0): the first such entry of each that has. Empty where none came, or where it could not go on (a
        failover, or a key that holds no stream): they are to be looked at. Connections and other errors as of
        `block_for_entries`."""
        try:
            reply = self._blocking(*_READ_ONE_EACH, _block_ms(seconds), "STREAMS", *places, *places.values())
        except ResponseError as refusal:
            if str(refusal).startswith(("UNBLOCKED", "WRONGTYPE")):
                return {}
            raise
        return {key.decode(errors="surrogateescape"): entries_of([(key, entries)]) for key, entries in reply or ()}

    def blocking_read(self, job_id: str, after: str, seconds: float) -> tuple[str | int, ...]:
        """The command that `block_for_entries` sends."""
        return ("XREAD", "BLOCK", _block_ms(seconds), "STREAMS", self.keys.results(job_id), after)

    def block_for_any(self, after: Mapping[str, str], seconds: float) -> list[str] | None:
        """Blocks until a stream of these jobs has an entry newer than the id that stands with the job, at most
        `seconds` (≤ 4, > 0): the ids of jobs whose streams have.

        One read for all of them, which brings the first such entry of each; they are dropped here. Empty where none
        came; None where it could not go on (a failover, or a key that holds no stream): they are to be looked at.
        Connections and other errors as of `block_for_entries`.
        """
        streams = [self.keys.results(job_id) for job_id in after]
        read = [*_READ_ONE_EACH, _block_ms(seconds), "STREAMS", *streams, *after.values()]
        own, head = self._own_client(), len(self.keys.results("").encode())
        try:
            if self._bare:
                reply: Any = own.execute_command(*read, NEVER_DECODE=True)  # type: ignore[no-untyped-call]
            else:
                with borrowed(own) as line:  # without hiredis, redis-py packs thousands of keys in four times the time
                    line.send_packed_command([pack(*read)], check_health=False)
                    reply = line.read_response(disable_decoding=True)
        except ResponseError as refusal:
            if str(refusal).startswith(("UNBLOCKED", "WRONGTYPE")):
                return None
            raise
        return [key[head:].decode(errors="surrogateescape") for key, *_ in reply or ()]

    def block_for_event(self, queue: str, after: str, seconds: float) -> None:
        """Blocks until the queue has an event newer than id `after`, at most `seconds` (≤ 4, > 0).

        The event itself is dropped here: to read it is a call that sees at the same moment what is kept no longer.
        Connections and errors as of `block_for_entries`."""
        read = (*_READ_ONE_EACH, _block_ms(seconds), "STREAMS", self.keys.events(queue), after.partition(".")[0])
        try:
            self._blocking(*read)
        except ResponseError as refusal:
            if not str(refusal).startswith("UNBLOCKED"):
                raise

    def block_for_markers(self, markers: Sequence[str], seconds: float) -> bool:
        """Blocks until one of the marker keys has a member, at most `seconds` (≤ 4, > 0), and takes it."""
        return self._blocking("BZPOPMIN", *markers, max(0.001, min(seconds, BLOCK_S))) is not None

    def patient_line(self, *, first: bool = False) -> AbstractContextManager[Any] | None:
        """A connection of those that block, for the time of a block: RESP2, no retries, a reply may take 9 s. An
        exception closes it, so that no reply is left to whoever gets it next. None before the first block, unless this
        is to be the `first`, since who need not block shall not connect; and with fakeredis, which has none."""
        return None if self._bare or (self._patient is None and not first) else borrowed(self._own_client())

    def _blocking(self, *command: str | int | float) -> Any:
        return self._own_client().execute_command(*command)  # type: ignore[no-untyped-call]

    def _own_client(self) -> redis.Redis:
        client, own = self.client, self._patient
        found = _primary_of(client)
        # Where the caller's client has found another primary since, what it enqueues there could not be seen here, for
        # as long as the old one is left to live.
        if own is None or (found != self._followed and found not in (None, _primary_of(own))):
            self._followed = found
            own = self._patient = patient_client(client, BLOCK_S + _MARGIN_S)
        return own


def _block_ms(seconds: float) -> int:
    return max(1, round(min(seconds, BLOCK_S) * 1000))


def _primary_of(client: redis.Redis) -> object:
    """Where a client that asks sentinels was told to connect last; None for others, and before that."""
    return getattr(client.connection_pool, "master_address", None)


@contextmanager
def borrowed(client: redis.Redis) -> Iterator[Any]:
    """A connection of a client's pool, or the only one of a client that is one connection. After an exception it is
    closed: replies may still be under way on it."""
    pool = client.connection_pool
    line: Any = client.connection
    if line is None:
        try:
            line = pool.get_connection()
        except TypeError:  # redis-py before 5.3 wants to know what for
            line = pool.get_connection("EVALSHA")
    try:
        yield line
    except BaseException:
        line.disconnect()
        raise
    finally:
        if line is not client.connection:
            pool.release(line)


def entries_of(reply: Any) -> Entries:
    """The entries in the reply to a read of one stream; empty where none came. Of fakeredis redis-py makes mappings."""
    return [(entry, _flat(fields)) for entry, fields in reply[0][1]] if reply else []


def _flat(fields: Any) -> list[bytes]:
    return [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else list(fields)


def _first_answer(line: Any, waiting: deque[Request[T]]) -> T:
    """The answer to the first of those that wait for one."""
    answer = answer_on(line, waiting[0])
    waiting.popleft()
    return answer


def answer_on(line: Any, request: Request[T]) -> T:
    """The answer to a request that was sent on a connection, and whose reply comes next on it."""
    try:
        return request.read(line.read_response(disable_decoding=True))
    except NoScriptError:
        raise
    except ResponseError as refusal:
        meant = _meant(request, refusal)
        if meant is None:
            raise
        raise meant from None


def _meant(request: Request[Any], refusal: ResponseError) -> RqlikeError | None:
    """The error of ours that a script's `WORD detail` stands for."""
    text = str(refusal)
    word, _, detail = text.partition(" ")
    meant = request.refused(word, detail)
    if meant is None and (word == "WRONGTYPE" or "user_script:" in text or "not an integer" in text):
        return DeserializationError(
            f"A key that {request.script!r} works with holds something that rqlike has not written there: {text:.200}"
        )
    return meant


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
    if is_led(client.connection_pool):
        plain.update({name: value for name, value in given.items() if name.startswith("ssl_")})
        return owner_of(pool_like(client.connection_pool, plain))
    if "path" in plain:
        plain["unix_socket_path"] = plain.pop("path")
    secure = "SSL" in client.connection_pool.connection_class.__name__
    if secure:
        plain.update({name: value for name, value in given.items() if name.startswith("ssl_")})
    return redis.Redis(ssl=secure, **plain)
