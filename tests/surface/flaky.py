"""Jobs that fail in ways of their own, and functions that say how long to pause."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Never

from rqlike import Retry, RetryLater, Unrecoverable, get_current_job


class Busy(ConnectionError):
    """Worth another try."""


class VeryBusy(Busy):
    """A kind of it."""


class NoSuchAccount(Unrecoverable):
    """Not worth one."""


class TooEarly(RetryLater):
    """Says nothing of a pause."""

    def __init__(self) -> None:
        Exception.__init__(self, "too early")


KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (Busy, VeryBusy, NoSuchAccount, Unrecoverable, KeyError)
}


def fails(kind: str) -> Never:
    raise KINDS[kind]("so it is")


def too_early() -> Never:
    raise TooEarly


def later(delay: Any = 30) -> Never:
    raise RetryLater(delay)


def later_of(delay: Any) -> Never:
    error = TooEarly()
    error.delay = delay
    raise error


def dies() -> Never:
    os._exit(3)


def returns_custom(max_: int, function: str) -> Retry:
    return Retry.custom(max_, f"{__name__}.{function}", fallback=5)


def returns_growing(max_: int) -> Retry:
    return Retry.exponential(max_, 10, jitter=0, on=[KeyError])


# -- pauses ------------------------------------------------------------------------------------------------------------


def by_attempt(attempt: int, exc: BaseException | None) -> timedelta:
    return timedelta(seconds=100 * attempt)


def by_error(attempt: int, exc: BaseException | None) -> float:
    """And tells what it was given and where it ran."""
    job = get_current_job()
    assert job is not None
    if "path" in job.meta:
        Path(job.meta["path"]).write_text(f"{attempt} {type(exc).__name__} {exc} {os.getpid()}")
    return 40.5


async def in_a_while(attempt: int, exc: BaseException | None) -> str:
    return "1m"


def breaks(attempt: int, exc: BaseException | None) -> Never:
    raise KeyError("no pause for you")


def nonsense(attempt: int, exc: BaseException | None) -> str:
    return "soon"


def negative(attempt: int, exc: BaseException | None) -> float:
    return -1


def without_end(attempt: int, exc: BaseException | None) -> Never:
    while True:
        time.sleep(0.01)
