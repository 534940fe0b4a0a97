"""Functions that enqueue themselves."""

from __future__ import annotations

from rqlike.decorators import job


@job("q", timeout=9, retry=2)
def plus(a: int, b: int = 0) -> int:
    """The sum."""
    return a + b


@job("q")
def timeout_of(job_timeout: str) -> str:
    """Its argument bears the name of an option."""
    return job_timeout


def raw() -> None:
    """Not decorated."""
