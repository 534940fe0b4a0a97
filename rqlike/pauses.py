"""Pausing: what `Queue.pause` and `suspension.suspend` have in common. The name '' stands for all queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rqlike import clock
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.settings import REASON_LIMIT, TOUCH_LIMIT
from rqlike.store import pauses
from rqlike.store.requests import nonce
from rqlike.store.store import Store

ALL: Final = ""  #: all queues of a namespace


class Pause(NamedTuple):
    """Why no worker claims from a queue."""

    since: datetime  #: aware UTC
    until: datetime | None  #: aware UTC; None until it is resumed
    reason: str


def pause(store: Store, queue: str, ttl: Seconds | None, reason: str) -> None:
    """Pauses a queue, or all. Raises TypeError, ValueError, TimeoutFormatError."""
    seconds = None if ttl is None else parse_seconds(ttl, "ttl", zero=False)
    store.run(pauses.pause(queue, nonce(), None if seconds is None else to_ms(seconds), check_reason(reason)))


def resume(store: Store, queue: str) -> bool:
    """Ends the pause of a queue, or that of all; whether there was one."""
    return store.run(pauses.resume(queue, nonce()))


def of_each(store: Store, queues: Sequence[str]) -> list[Pause | None]:
    """The pause of each of the queues itself; one round trip per 500."""
    found: list[pauses.PauseRecord | None] = []
    for at in range(0, len(queues), TOUCH_LIMIT):
        part: list[pauses.PauseRecord | None] = store.run(pauses.pauses(queues[at : at + TOUCH_LIMIT]))
        found += part
    return [None if record is None else _read(record) for record in found]


def in_force(store: Store, queue: str) -> Pause | None:
    """What keeps workers from a queue: its own pause, or that of all queues. One round trip."""
    own, everywhere = of_each(store, (queue, ALL))
    return own or everywhere


def check_reason(reason: object) -> str:
    """Printable text of at most 1 kB. Raises TypeError or ValueError."""
    if not isinstance(reason, str):
        raise TypeError(f"reason takes text, not {type(reason).__name__}")
    if not reason.isprintable():
        raise ValueError(f"reason {reason!r:.100} has characters that cannot be printed; it takes one line of text")
    if (size := len(reason.encode())) > REASON_LIMIT:
        raise ValueError(f"reason has {size} bytes, the limit is {REASON_LIMIT}; say in it where to read more")
    return reason


def _read(record: pauses.PauseRecord) -> Pause:
    until = None if record.until_ms is None else clock.utc(record.until_ms)
    return Pause(clock.utc(record.since_ms), until, record.reason)
