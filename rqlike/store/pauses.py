"""Pausing queues, as requests. The name '' stands for all queues of the namespace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rqlike import codec
from rqlike.store.requests import Request


class PauseRecord(NamedTuple):
    """A pause as it is stored."""

    since_ms: int
    until_ms: int | None  #: None: until it is resumed
    reason: str


def pause(queue: str, nonce: str, ttl_ms: int | None, reason: str, now_ms: int | None = None) -> Request[int]:
    """Nothing more is claimed from a queue, for `ttl_ms` or until it is resumed."""
    return Request("pause", (queue, nonce, "" if ttl_ms is None else ttl_ms, reason), int, now_ms=now_ms)


def resume(queue: str, nonce: str, now_ms: int | None = None) -> Request[bool]:
    """Ends a pause; whether there was one."""
    return Request("resume", (queue, nonce), bool, now_ms=now_ms)


def pauses(queues: Sequence[str], now_ms: int | None = None) -> Request[list[PauseRecord | None]]:
    """The pause of each of the queues, None for those that have none."""

    def read(reply: Any) -> list[PauseRecord | None]:
        return [
            PauseRecord(int(one[0]), codec.number(one[1] or None), codec.text(one[2])) if one else None for one in reply
        ]

    return Request("pauses", tuple(queues), read, now_ms=now_ms)
