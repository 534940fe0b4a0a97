"""The moments by which the loop of a worker goes."""

from __future__ import annotations

from dataclasses import dataclass, field

from rqlike import clock, logs
from rqlike.settings import REPLY_S, TICK_S, UNWRITTEN_S
from rqlike.worker.plan import Plan

_LONG_AGO: float = -1e9
_FIRST_S: float = 0.1


@dataclass(slots=True)
class Times:
    """Monotonic moments in seconds; None where there is none."""

    swept: float = _LONG_AGO
    prune: float = _LONG_AGO  #: when ids of expired jobs are to be looked for
    #: When leases are to be renewed; the first time soon, to tell that it works, but after its first claim.
    renewal: float = field(default_factory=lambda: clock.mono() + _FIRST_S)
    busy: float = field(default_factory=clock.mono)  #: the last one at which there was something to do
    watched: float | None = None  #: the next due moment this worker is to wake for
    offset_ms: int = 0  #: the server's clock minus ours
    away: float | None = None  #: since when the server is away
    contact: float = field(default_factory=clock.mono)  #: last moment at which leases were certainly ours
    stop_by: float | None = None  #: when running jobs are killed
    unreachable: float | None = None  #: since when only the server keeps a stopping worker from its end
    reload: float = 0.0  #: the next look at the source files

    def upcoming(self, plan: Plan, *, may_call: bool, stopping: bool) -> list[float | None]:
        """When something is due by these alone. `may_call`: no call to the server is under way."""
        moments = [self.stop_by]
        if may_call:
            moments += [self.renewal, self.watched, None if stopping else self.swept + TICK_S]
        if not stopping:
            moments.append(None if plan.max_idle_s is None else self.busy + plan.max_idle_s)
            moments.append(None if plan.reload is None else self.reload)
        return moments

    def note_trouble(self, trouble: str | None, server: str, now: float) -> None:
        """The server is away, or is back. `trouble`: why it cannot be reached now; None where it can."""
        if trouble is not None and self.away is None:
            self.away = now
            logs.server_away(server, trouble)
        elif trouble is None and self.away is not None:
            logs.server_back(server, now - self.away)
            self.away = None

    def waited_enough(self, now: float, patience_s: float, reachable: bool) -> bool:
        """Whether the server has been away for all of a stopping worker's patience."""
        if reachable:
            self.unreachable = None
            return False
        if self.unreachable is None:
            self.unreachable = now
        return now >= self.unreachable + patience_s

    def patience(self, plan: Plan) -> float:
        """Seconds that a worker waits which has something to write and is to stop."""
        if plan.shutdown_timeout_s is None:
            return UNWRITTEN_S
        return max(REPLY_S, (self.stop_by or 0.0) - (self.unreachable or 0.0))
