"""What a worker is asked to do, as its loop needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rqlike.settings import KILL_GRACE, LEASE_MS, RENEW_S


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is asked to do. Seconds but where a name says `_ms`; None is without limit."""

    name: str
    instance: str
    queues: tuple[str, ...]
    concurrency: int = 1
    burst: bool = False
    max_jobs: int | None = None
    max_idle_s: float | None = None
    shutdown_timeout_s: float | None = None
    kill_grace_s: float = KILL_GRACE
    strict_lease: bool = False
    prefetch: int = 1  #: most jobs claimed ahead of each horse; 1 for none
    strategy: str = "default"  #: default | round_robin | random | weighted
    weights: Mapping[str, int] = field(default_factory=dict)  #: for weighted; 1 for a queue that is not in it
    server: str = ""  #: for people
    facts: Mapping[str, object] = field(default_factory=dict)  #: about the worker, told again with each renewal
    always_after: bool = False  #: middleware wants `after_result` of every execution
    wants_failures: bool = False  #: exception handlers want every failed execution
    reload: Callable[[], str | None] | None = None  #: the path of a source file that changed, or None
    lease_ms: int = LEASE_MS
    renew_s: float = RENEW_S

    def is_over(self, idle_s: float, begun: int) -> str | None:
        """Why a worker that was idle for so long, or has begun so many jobs, is to stop; None where it is not."""
        if self.max_idle_s is not None and idle_s >= self.max_idle_s:
            return f"idle for {self.max_idle_s:g} s"
        if self.max_jobs is not None and begun >= self.max_jobs:
            return f"limit of {self.max_jobs} jobs"
        return None

    @property
    def fence_s(self) -> float:
        """Without a renewal for so long, `strict_lease` kills: two thirds of a lease, to be sure of the last third."""
        return self.lease_ms / 1500
