"""A TCP proxy in front of a server that loses replies."""

from __future__ import annotations

import selectors
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self


class LossyProxy:
    """Passes bytes on, but swallows every `every`-th reply to a command (`word`) and cuts that connection.

    The server has done what it was asked; who asked does not learn it. The first `sparing` calls are let through.
    """

    def __init__(self, target: Path, every: int, *, sparing: int = 0, word: bytes = b"EVALSHA") -> None:
        self._target = target
        self._every = every
        self._word = word
        self._calls = -sparing
        self.lost = 0
        self._most: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._dooms: set[socket.socket] = set()  # server sides whose next reply is lost
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="lossy proxy")

    def only(self, times: int) -> None:
        """Loses no more replies than so many."""
        self._most = times

    @property
    def url(self) -> str:
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
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(self._target))
        self._pairs |= {near: far, far: near}
        for one in (near, far):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        try:
            data = source.recv(1 << 18)
        except ConnectionError:
            data = b""
        other = self._pairs[source]
        if not data or source in self._dooms:
            self.lost += bool(data)
            self._cut(source, other)
            return
        if self._word in data and source.family == socket.AF_INET:
            self._calls += 1
            spent = self._most is not None and self._calls > self._most * self._every
            if self._calls > 0 and self._calls % self._every == 0 and not spent:
                self._dooms.add(other)
        try:
            other.sendall(data)
        except ConnectionError:
            self._cut(source, other)

    def _cut(self, *pair: socket.socket) -> None:
        for one in pair:
            self._selector.unregister(one)
            self._pairs.pop(one, None)
            self._dooms.discard(one)
            one.close()
