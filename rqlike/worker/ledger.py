"""What a worker owes: the executions it holds, and the outcomes it has yet to write. Pure: no clock, no server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Final, NamedTuple

from rqlike.entries import entry_of
from rqlike.outcomes import Outcome, Rules, Verdict, decide
from rqlike.records import Execution
from rqlike.store.turns import Settlement

_NO_DRAW: Final = 0.5


class Written(NamedTuple):
    """A settlement that the server has answered."""

    settlement: Settlement
    outcome: Outcome | None  #: None: given back
    word: str  #: ok | already | stale | gone
    entry_id: str  #: of its entry; '' where there is none


class _Due(NamedTuple):
    settlement: Settlement
    outcome: Outcome | None


@dataclass(slots=True)
class Ledger:
    """The books of one worker.

    `held`: by token, every execution that this worker may write. An outcome stays until the server has answered.
    `draw`: random numbers from 0 to 1, for the jitter of pauses. The system's: a job or a preloaded module may seed
    Python's, and workers that were forked from one process would share them.
    """

    worker: str
    rules: Rules
    draw: Callable[[], float] = SystemRandom().random
    held: dict[str, Execution] = field(default_factory=dict)
    _due: deque[_Due] = field(default_factory=deque)
    _sent: list[_Due] = field(default_factory=list)
    finished: int = 0
    failed: int = 0
    working_s: float = 0.0

    @property
    def unwritten(self) -> list[str]:
        """Ids of jobs with an outcome that the server has not taken yet."""
        return [due.settlement.execution.job_id for due in (*self._sent, *self._due)]

    @property
    def has_due(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._due)

    def take(self, executions: Iterable[Execution]) -> None:
        """Claimed or recovered: held from now on."""
        for execution in executions:
            self.held[execution.token] = execution

    @property
    def due_since(self) -> float:
        """The monotonic moment at which the oldest outcome ended; the far past where something is to be given back."""
        outcome = self._due[0].outcome if self._due else None
        return 0.0 if outcome is None else outcome.ended_s

    def close(self, execution: Execution, outcome: Outcome, offset_ms: int) -> None:
        """An execution has ended. `offset_ms`: the server's clock minus the host's monotonic one."""
        draw = _NO_DRAW if outcome.reason is None else self.draw()
        verdict = decide(execution.job, outcome, self.rules, draw)
        entry = entry_of(execution, verdict, outcome, worker=self.worker, offset_ms=offset_ms)
        self._due.append(_Due(Settlement(execution, verdict, entry), outcome))
        if outcome.reason is None:
            self.finished += 1
        else:
            self.failed += 1
        self.working_s += max(0.0, outcome.ended_s - outcome.began_s)

    def give_back(self, execution: Execution) -> None:
        """Claimed but not begun."""
        self._due.append(_Due(Settlement(execution, Verdict.give_back()), None))

    def forget(self, execution: Execution) -> None:
        """No longer ours: nothing of it will be written."""
        self.held.pop(execution.token, None)
        self._due = deque(due for due in self._due if due.settlement.execution.token != execution.token)

    def to_send(self) -> tuple[Settlement, ...]:
        """What goes into the next turn; it stays here until `answered`."""
        assert not self._sent, "one turn at a time"
        self._sent = list(self._due)
        self._due.clear()
        return tuple(due.settlement for due in self._sent)

    def answered(self, words: Sequence[str]) -> list[Written]:
        """The server has answered the turn: its executions are closed."""
        written = []
        for due, told in zip(self._sent, words, strict=True):
            word, _, entry_id = told.partition(" ")
            self.held.pop(due.settlement.execution.token, None)
            written.append(Written(due.settlement, due.outcome, word, entry_id))
        self._sent = []
        return written

    def unsent(self, *, without_values: bool) -> None:
        """The turn was refused as a whole: its outcomes are due again, `without_values` for a full server."""
        for due in reversed(self._sent):
            settlement = due.settlement.without_value() if without_values else due.settlement
            self._due.appendleft(_Due(settlement, due.outcome))
        self._sent = []

    def facts(self) -> dict[str, object]:
        """The numbers that a worker tells of itself."""
        return {"successful": self.finished, "failed": self.failed, "working": round(self.working_s * 1000)}
