"""Bytes on their way between clients and a server, for whoever wants to count, lose or delay them."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self


class Passed(NamedTuple):
    """What goes on of some bytes, and whether the connection is cut after that."""

    data: bytes
    cut: bool = False


class Passage:
    """Listens on a loopback port and passes on what it hears, in a thread of its own. `connect` reaches the server.

    `_heard` says what goes on, in a class derived from this."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._near: set[socket.socket] = set()  # the clients' sides
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        for one in (self._listener, self._wake):
            self._selector.register(one, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._waker.send(b"x")
        self._thread.join(10)
        for one in (*self._pairs, self._listener, self._wake, self._waker):
            one.close()
        self._selector.close()

    def cut_all(self) -> None:
        """Ends all connections there are."""
        self._waker.send(b"c")

    def _heard(self, data: bytes, source: socket.socket, other: socket.socket) -> Passed:
        """What becomes of bytes from `source` to `other`."""
        return Passed(data)

    def _came(self, near: socket.socket) -> None:
        """A client has connected."""

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self._wake:
                    if source.recv(1) == b"x":
                        return
                    for near in tuple(self._near):
                        self._cut(near)
                elif source is self._listener:
                    self._accept()
                elif source in self._pairs:
                    self._pass_on(source)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = self._connect()
        except OSError:  # the server is away
            near.close()
            return
        self._pairs |= {near: far, far: near}
        self._near.add(near)
        self._came(near)
        for one in (near, far):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        other = self._pairs[source]
        try:
            data = source.recv(1 << 18)
        except ConnectionError:
            data = b""
        passed = self._heard(data, source, other) if data else Passed(b"", cut=True)
        try:
            other.sendall(passed.data)
        except (ConnectionError, TimeoutError):
            self._cut(source)
            return
        if passed.cut:
            self._cut(source)

    def _cut(self, one: socket.socket) -> None:
        for end in (one, self._pairs[one]):
            self._selector.unregister(end)
            del self._pairs[end]
            self._near.discard(end)
            self._forgotten(end)
            end.close()

    def _forgotten(self, end: socket.socket) -> None:
        """An end of a connection is no more."""
