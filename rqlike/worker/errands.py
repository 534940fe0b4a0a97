"""Callbacks that wait for a free horse, and how they failed, which waits to be written down."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from rqlike import logs
from rqlike.entries import entry_bytes
from rqlike.policies import Callback
from rqlike.records import Execution
from rqlike.store import verbs
from rqlike.store.requests import Request
from rqlike.store.turns import Settlement
from rqlike.worker.frames import pack_after
from rqlike.worker.ledger import Written
from rqlike.worker.plan import Plan

_AFTER_S: Final = 60.0  #: seconds for middleware's `after_result`


class Errand(NamedTuple):
    """What follows from one recorded execution; `frame` tells a horse, which has `limit_s` seconds for it."""

    execution: Execution
    frame: bytes
    limit_s: float


@dataclass(slots=True)
class Errands:
    """The errands of one worker, oldest first. `notes` are failures that are not written yet."""

    plan: Plan
    waiting: deque[Errand] = field(default_factory=deque)
    notes: deque[tuple[Execution, str]] = field(default_factory=deque)

    def __len__(self) -> int:
        """How many wait."""
        return len(self.waiting)

    def may_follow(self, settlement: Settlement) -> bool:
        """Whether a horse is to be kept free for what follows from this execution."""
        plan = self.plan
        return plan.always_after or plan.wants_failures or settlement.execution.job.policy.has_callbacks

    def add(self, written: Written) -> None:
        """What follows from a recorded execution, where anything does."""
        plan, settlement = self.plan, written.settlement
        which = settlement.verdict.callback
        callback: Callback | None = getattr(settlement.execution.job.policy, f"on_{which}", None)
        if callback is None and not plan.always_after and not (plan.wants_failures and which == "failure"):
            return
        execution = settlement.execution
        entry = written.entry_id.encode(), entry_bytes(settlement.entry)
        frame = pack_after(execution.token, which, execution.job_id, execution.raw, entry)
        limit_s = _AFTER_S + (callback.timeout if callback is not None else 0.0)
        self.waiting.append(Errand(execution, frame, limit_s))

    def take(self) -> Errand:
        """The oldest one."""
        return self.waiting.popleft()

    def drop(self, why: str) -> None:
        """None of them will be called; that is noted with their executions."""
        self.notes.extend((errand.execution, why) for errand in self.waiting)
        self.waiting.clear()

    def failed(self, execution: Execution, error: str) -> None:
        """One was called, and how it failed is to be written down."""
        logs.callback_failed(execution.job_id, error)
        self.notes.append((execution, error))

    def next_note(self) -> Request[Any]:
        """The call that writes the oldest note."""
        execution, error = self.notes.popleft()
        return verbs.annotate(execution.job_id, execution.execution_id, error)
