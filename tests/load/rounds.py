"""How long a worker's loop does anything but wait, told by the loop itself. For workers that tests start."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from rqlike.worker.watch import Watch

VARIABLE: Final = "RQLIKE_TEST_ROUNDS"  #: a file
_SHORT_S: Final = 0.005


class Round(NamedTuple):
    """One that took longer than 5 ms."""

    ended: float  #: seconds since the epoch
    wall_ms: float
    cpu_ms: float  #: of these, what the loop computed; the rest is other processes' and the system's


def tell_rounds(path: str) -> None:
    """From now on this process appends each of its long rounds to the file."""
    wait, began, cpu = Watch.wait, float("inf"), 0.0  # not the start

    def telling(self: Watch, *given: Any) -> Any:
        nonlocal began, cpu
        took = time.monotonic() - began
        if took > _SHORT_S:
            with Path(path).open("a") as told:
                told.write(f"{time.time()} {1000 * took} {1000 * (time.thread_time() - cpu)}\n")
        answer = wait(self, *given)
        began, cpu = time.monotonic(), time.thread_time()
        return answer

    Watch.wait = telling  # type: ignore[method-assign,assignment]


def rounds(path: Path) -> list[Round]:
    """What was told."""
    if not path.exists():
        return []
    return [Round(*map(float, line.split())) for line in path.read_text().splitlines()]


def tell_if_asked() -> None:
    """Where the variable names a file."""
    if path := os.environ.get(VARIABLE):
        tell_rounds(path)
