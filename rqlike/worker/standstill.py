"""What keeps a worker from its queues, told once when it begins and once when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from rqlike import logs


@dataclass(slots=True)
class Standstill:
    """The pauses that a worker has met, by the names of its queues; '' for a suspension of all of them."""

    _known: frozenset[str] = frozenset()

    def note(self, worker: str, paused: tuple[str, ...]) -> None:
        """What a claim was told."""
        if not paused and not self._known:
            return
        now, before = frozenset(paused), self._known
        self._known = now
        if "" in now - before:
            logs.worker_suspended(worker)
        if "" in before - now:
            logs.worker_resumed(worker)
        if begun := sorted(now - before - {""}):
            logs.queues_paused(worker, begun)
        if ended := sorted(before - now - {""}):
            logs.queues_resumed(worker, ended)
