"""Stands between a client and its server, and counts how often the client waits for an answer."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType
from typing import Any, Self

import redis


class Relay:
    """Passes bytes on. `turns` are round trips: times that a client spoke after its server had; `sent` are bytes."""

    def __init__(self, client: redis.Redis) -> None:
        self._target: dict[str, Any] = client.connection_pool.connection_kwargs
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.turns = 0
        self.sent = 0
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._near: set[socket.socket] = set()  # the clients' sides
        self._answered: set[socket.socket] = set()  # clients' sides where the server spoke last
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="relay")

    def reset(self) -> None:
        """Counts from zero again."""
        self.turns = self.sent = 0

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

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self._wake:
                    return
                if source is self._listener:
                    self._accept()
                elif source in self._pairs:
                    self._pass_on(source)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = self._connect()
        self._pairs |= {near: far, far: near}
        self._near.add(near)
        self._answered.add(near)
        for one in (near, far):
            self._selector.register(one, selectors.EVENT_READ)

    def _connect(self) -> socket.socket:
        if "path" not in self._target:
            return socket.create_connection((self._target.get("host", "localhost"), self._target.get("port", 6379)))
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._target["path"])
        return far

    def _pass_on(self, source: socket.socket) -> None:
        other = self._pairs[source]
        try:
            data = source.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            self._cut(source, other)
            return
        if source in self._near:
            self.sent += len(data)
            self.turns += source in self._answered
            self._answered.discard(source)
        else:
            self._answered.add(other)
        try:
            other.sendall(data)
        except ConnectionError:
            self._cut(source, other)

    def _cut(self, *pair: socket.socket) -> None:
        for one in pair:
            self._selector.unregister(one)
            self._pairs.pop(one, None)
            one.close()
