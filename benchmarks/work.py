"""The jobs that are measured."""

from __future__ import annotations


def noop(number: int) -> int:
    """The smallest job: gives back its argument."""
    return number
