"""What one call to the server does for the jobs, in words: the names by which failpoints know it. Pure."""

from __future__ import annotations

from typing import Any

from rqlike.store.requests import Request
from rqlike.store.turns import Settlement, Turn


def steps_of(request: Request[Any] | None, turn: Turn | None) -> list[str]:
    """The steps that a call takes; `turn` where it is one. See `failpoints.STEPS`."""
    if turn is None:
        return [] if request is None else [request.script]
    steps = dict.fromkeys(_step(settlement) for settlement in turn.settlements)
    return [*steps, *(["claim"] if turn.want else [])]


def _step(settlement: Settlement) -> str:
    if settlement.execution.lapsed:
        return "recover"
    return "return" if settlement.verdict.verb == "give_back" else "finish"
