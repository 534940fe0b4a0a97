"""The only reader of clocks.

One clock decides anything that is written: the server's, read inside the scripts. What is here serves durations
inside a process (`mono`) and the places where no server is asked (`wall_ms`, e.g. the synchronous mode's records).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def mono() -> float:
    """Seconds of the monotonic clock; on Linux and macOS comparable between a worker and its horses."""
    return time.monotonic()


def wall_ms() -> int:
    """Milliseconds since the epoch by this host's clock."""
    return time.time_ns() // 1_000_000


def utc(ms: int) -> datetime:
    """An aware UTC datetime of milliseconds since the epoch; beyond the years 1 to 9999 the first or last there is."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return (datetime.max if ms > 0 else datetime.min).replace(tzinfo=UTC)


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime.

    Raises ValueError for a naive one: it would mean another moment on every host."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(
            f"{moment!r} has no time zone, so it means another moment on every host; "
            "use datetime.now(timezone.utc) or moment.replace(tzinfo=ZoneInfo('Europe/Berlin'))"
        )
    return round(moment.timestamp() * 1000)
