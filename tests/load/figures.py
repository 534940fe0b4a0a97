"""What a scenario has found: figures with the limits they must keep, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rqlike.tables import table


class Figure(NamedTuple):
    """One figure; `most` None is told without a limit."""

    what: str
    value: float
    most: float | None = None
    why: str = ""

    @property
    def kept(self) -> bool:
        """Whether it is within its limit."""
        return self.most is None or self.value <= self.most


def broken(figures: Sequence[Figure]) -> list[str]:
    """Those over their limits, in words."""
    return [f"{one.what}: {one.value:g} > {one.most:g} ({one.why})" for one in figures if not one.kept]


def shown(figures: Sequence[Figure]) -> str:
    """A table for people."""
    rows = [
        (one.what, f"{one.value:,.6g}", "" if one.most is None else f"{one.most:,g}", "" if one.kept else "OVER")
        for one in figures
    ]
    return table(("what", "found", "at most", ""), rows)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
