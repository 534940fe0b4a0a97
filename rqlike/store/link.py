"""A connection that never blocks, for the loop of a worker.

A `Link` has one call outstanding at a time and keeps it until it is answered: whatever happens to the connection,
the same call with the same arguments goes out again on a new one. Every script answers the second time as the first,
so this is safe. Connect, TLS and AUTH are turns of the same loop, and so is asking a sentinel where the primary is, at
the beginning of each connection. The loop asks a link what it waits for (`fileno`, `mask`, `wake_at`) and calls `step`
when that has come.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from rqlike import clock
from rqlike.keys import Keys
from rqlike.settings import CONNECT_S, RECONNECT_CAP_S, REPLY_S
from rqlike.store.endpoint import Endpoint
from rqlike.store.requests import Request
from rqlike.store.resp import INCOMPLETE, TRANSIENT, MalformedReply, Replies, Reply, ServerError, pack, replies
from rqlike.store.route import ASK, ROLE, Route, Stop
from rqlike.store.scripts import script

_FIRST_PAUSE_S: Final = 0.02
_CHUNK: Final = 1 << 16


class _State(Enum):
    CLOSED = "closed"
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    GREETING = "greeting"
    READY = "ready"


class Link:
    """One connection to `endpoint` and at most one outstanding call on it.

    `name` is what CLIENT LIST shows. `stops` are where a connection may begin, tried in turn; resolved here where they
    are not given (see `route.resolve`).
    """

    def __init__(self, endpoint: Endpoint, keys: Keys, name: str, stops: Sequence[Stop] = ()) -> None:
        self._keys = keys
        self._name = name
        self._route = Route(endpoint, stops)
        self._stop = self._route.first()  #: where the connection leads, or the last one led
        self._state = _State.CLOSED
        self._socket: socket.socket | None = None
        self._replies: Replies = replies()
        self._out = bytearray()
        self._expected = 0
        self._greeting: list[str | int] = []  #: what was said and is not answered yet
        self._call: bytes | None = None
        self._sent = False
        self.may_have_arrived = False  #: whether the server may know of the outstanding call
        self._source: str | None = None
        self._limit_s = REPLY_S
        self._deadline: float | None = None
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE_S
        self._wants_write = False
        self.trouble: str | None = None  #: why the last connection was lost, until one works again
        self.connections = 0  #: made so far
        self.losses = 0  #: of connections on which a call had been sent, so far
        self.timeouts = 0  #: connections given up because nothing came, so far

    # -- what the loop asks --------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a call is outstanding."""
        return self._call is not None

    @property
    def ready(self) -> bool:
        """Whether the connection stands."""
        return self._state is _State.READY

    def fileno(self) -> int:
        """The file descriptor to watch, -1 where there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def mask(self) -> int:
        """The events to watch for."""
        if self._state is _State.CONNECTING or self._out or self._wants_write:
            return selectors.EVENT_READ | selectors.EVENT_WRITE
        return selectors.EVENT_READ

    @property
    def wake_at(self) -> float | None:
        """The monotonic moment at which `step` is due though nothing came; None where only the socket matters."""
        if self._state is _State.CLOSED:
            return self._retry_at if self._call is not None else None
        return self._deadline

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call(self, request: Request[Any], limit_s: float = REPLY_S) -> None:
        """Sends a script call. `limit_s`: without a complete reply by then it is sent again on a new connection."""
        verb = script(request.script)
        self._source = verb.source
        self._begin(pack("EVALSHA", verb.sha, 1, self._keys.prefix, *request.argv()), limit_s)

    def block(self, keys: Sequence[str], seconds: float) -> None:
        """Waits on the server for a member of any of the sorted sets `keys`; the reply is (key, member, score)."""
        self._source = None
        self._begin(pack("BZPOPMIN", *keys, seconds), seconds + REPLY_S)

    def _begin(self, call: bytes, limit_s: float) -> None:
        assert self._call is None, "one call at a time"
        self._call, self._sent, self._limit_s = call, False, limit_s
        self.may_have_arrived = False
        self._guarded(receive=False)

    def forget(self) -> None:
        """Gives the outstanding call up, and with it the connection, on which its reply may still come."""
        self._call = None
        self._drop()
        self._retry_at = 0.0

    def renew(self) -> None:
        """Sends the outstanding call again on a new connection: this one may be dead without a sign of it."""
        if self._call is not None and self._state is not _State.CLOSED:
            self._drop()
            self._retry_at = clock.mono() + self._pause

    def close(self) -> None:
        """Ends the connection for good."""
        self._call = None
        self._drop()

    # -- progress ------------------------------------------------------------------------------------------------------

    def step(self) -> Reply:
        """Does what can be done without waiting. The reply of the call once it is complete, else INCOMPLETE.

        An error reply that is not transient is returned as a ServerError."""
        return self._guarded(receive=True)

    def _guarded(self, *, receive: bool) -> Reply:
        try:
            return self._step(clock.mono(), receive)
        except (OSError, ssl.SSLError, MalformedReply, ServerError) as problem:
            self._fail(str(problem) or type(problem).__name__)
            return INCOMPLETE

    def _step(self, now: float, receive: bool) -> Reply:
        if self._state is _State.CLOSED:
            if self._call is None or now < self._retry_at:
                return INCOMPLETE
            self._connect(now)
        if self._deadline is not None and now >= self._deadline:
            self.timeouts += 1
            raise OSError("no answer in time")
        if self._state is _State.CONNECTING:
            self._connected()
        if self._state is _State.HANDSHAKE:
            self._shake_hands()
        if self._state is _State.READY and self._call is not None and not self._sent:
            self._send_call(now)
        self._flush()
        if receive and self._state in (_State.GREETING, _State.READY):
            return self._receive(now)
        return INCOMPLETE

    def _connect(self, now: float) -> None:
        self._deadline = now + CONNECT_S
        self._go_to(self._route.first())

    def _go_to(self, stop: Stop) -> None:
        self.connections += 1
        self._stop = stop
        self._socket = socket.socket(stop.family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._replies, self._expected, self._greeting, self._sent = replies(), 0, [], False
        self._out.clear()
        self._state = _State.CONNECTING
        code = self._socket.connect_ex(stop.target)
        # EAGAIN of a unix socket: the server's backlog is full, and nothing is in progress.
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def _connected(self) -> None:
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        try:
            self._socket.getpeername()
        except OSError:
            return  # not yet
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = self._route.context(self._stop)
        if context is None:
            self._greet()
            return
        self._socket = context.wrap_socket(
            self._socket, server_hostname=self._stop.endpoint.host, do_handshake_on_connect=False
        )
        self._state = _State.HANDSHAKE

    def _shake_hands(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        self._wants_write = False
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return
        self._greet()

    def _greet(self) -> None:
        commands = self._stop.greeting(self._name)
        for command in commands:
            self._out += pack(*command)
        self._greeting = [command[0] for command in commands]
        self._state = _State.GREETING

    def _send_call(self, now: float) -> None:
        assert self._call is not None
        self._out += self._call
        self._sent = self.may_have_arrived = True
        self._deadline = now + self._limit_s

    def _flush(self) -> None:
        if not self._out or self._socket is None or self._state in (_State.CONNECTING, _State.HANDSHAKE):
            return
        self._wants_write = False
        try:
            sent = self._socket.send(self._out)
            del self._out[:sent]
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except ssl.SSLWantWriteError:
            self._wants_write = True

    def _receive(self, now: float) -> Reply:
        assert self._socket is not None
        while True:
            reply = self._replies.take()
            if reply is not INCOMPLETE:
                answer = self._take(reply, now)
                if answer is not INCOMPLETE or self._state is _State.CONNECTING:
                    return answer
                continue
            try:
                data = self._socket.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                return INCOMPLETE
            except ssl.SSLWantWriteError:
                self._wants_write = True
                return INCOMPLETE
            if not data:
                raise OSError("the server closed the connection")
            self._replies.feed(data)

    def _take(self, reply: Reply, now: float) -> Reply:
        if self._state is _State.GREETING:
            self._greeted(reply, now)
            return INCOMPLETE
        if self._expected:  # the reply to SCRIPT LOAD, before that to the call sent again
            self._expected -= 1
            if isinstance(reply, ServerError):
                raise reply
            return INCOMPLETE
        if self._call is None:
            raise OSError("the server sent a reply that nobody had asked for")
        if isinstance(reply, ServerError):
            if reply.word == "NOSCRIPT" and self._source is not None:
                self._load_script(now)
                return INCOMPLETE
            if reply.word in TRANSIENT:
                raise reply
        self._call, self._deadline = None, None
        self._pause, self.trouble = _FIRST_PAUSE_S, None
        return reply

    def _greeted(self, reply: Reply, now: float) -> None:
        said = self._greeting.pop(0)
        if isinstance(reply, ServerError):
            # a server without the right to name connections, or to ask for its role, is good enough
            if said not in (ROLE, "CLIENT") or reply.word in ("NOAUTH", "LOADING", "WRONGPASS"):
                raise reply
        elif said == ASK:
            assert self._socket is not None
            self._socket.close()
            self._go_to(self._route.onward(reply))
            return
        elif said == ROLE and not (isinstance(reply, list) and reply[:1] == [b"master"]):
            raise OSError("it is a replica; the sentinels have not agreed on another primary yet")
        if not self._greeting:
            self._state, self._deadline = _State.READY, None
            if self._call is not None:
                self._send_call(now)
                self._flush()

    def _load_script(self, now: float) -> None:
        assert self._source is not None and self._call is not None
        self._out += pack("SCRIPT", "LOAD", self._source) + self._call
        self._expected = 1
        self._deadline = now + self._limit_s
        self._flush()

    # -- trouble -------------------------------------------------------------------------------------------------------

    def _fail(self, why: str) -> None:
        where = str(self._stop)
        self.trouble = f"{where}: {why}" if where else why
        if self._state is _State.CONNECTING or self._route.asks:
            self._route.missed()  # another sentinel may know better
        self._drop()
        self._retry_at = clock.mono() + self._pause
        self._pause = min(self._pause * 2, RECONNECT_CAP_S)

    def _drop(self) -> None:
        self.losses += self._sent
        if self._socket is not None:
            self._socket.close()
        self._socket, self._state, self._deadline, self._sent = None, _State.CLOSED, None, False
        self._expected = 0
        self._wants_write = False
        self._out.clear()
