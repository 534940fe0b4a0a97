"""The jobs that are measured. Each returns something, because huey keeps no result that is None."""

from __future__ import annotations

import time


def noop(number: int) -> int:
    """The smallest job: gives back its argument."""
    return number


def sleep(ms: int) -> int:
    """Waits, and uses no processor."""
    time.sleep(ms / 1000)
    return ms


def burn(ms: int) -> int:
    """Uses a processor for so long."""
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        pass
    return ms
