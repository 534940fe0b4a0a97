"""Stands between a client and its server, and counts how often the client waits for an answer."""

from __future__ import annotations

import socket
from typing import Any

import redis

from benchmarks.passage import Passage, Passed


class Relay(Passage):
    """Passes bytes on. `turns` are round trips: times that a client spoke after its server had; `sent` are bytes."""

    def __init__(self, client: redis.Redis) -> None:
        target: dict[str, Any] = client.connection_pool.connection_kwargs
        super().__init__(lambda: _connected(target))
        self.turns = 0
        self.sent = 0
        self._answered: set[socket.socket] = set()  # clients' sides where the server spoke last

    def reset(self) -> None:
        """Counts from zero again."""
        self.turns = self.sent = 0

    def _came(self, near: socket.socket) -> None:
        self._answered.add(near)

    def _heard(self, data: bytes, source: socket.socket, other: socket.socket) -> Passed:
        if source in self._near:
            self.sent += len(data)
            self.turns += source in self._answered
            self._answered.discard(source)
        else:
            self._answered.add(other)
        return Passed(data)

    def _forgotten(self, end: socket.socket) -> None:
        self._answered.discard(end)


def _connected(target: dict[str, Any]) -> socket.socket:
    if "path" not in target:
        return socket.create_connection((target.get("host", "localhost"), target.get("port", 6379)))
    far = socket.socket(socket.AF_UNIX)
    far.connect(target["path"])
    return far
