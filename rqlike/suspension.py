"""Suspending all workers of a namespace, under RQ's names: they claim nothing, what runs goes on."""

from __future__ import annotations

from rqlike import pauses
from rqlike.durations import Seconds
from rqlike.store.store import Conn, Store


def suspend(
    connection: Conn = None, ttl: Seconds | None = None, *, reason: str = "", namespace: str | None = None
) -> None:
    """No worker claims from any queue of the namespace, for `ttl` (seconds; None until `resume`).

    Jobs that run go on; enqueueing goes on, and what is due is queued. `reason`: one line of at most 1 kB, for people.
    Suspending again replaces the end and the reason. One round trip. Raises TypeError, ValueError.
    """
    pauses.pause(Store(connection, namespace), pauses.ALL, ttl, reason)


def resume(connection: Conn = None, *, namespace: str | None = None) -> bool:
    """Workers claim again, but not from queues that are paused themselves; True if they were suspended.
    One round trip."""
    return pauses.resume(Store(connection, namespace), pauses.ALL)


def is_suspended(connection: Conn = None, *, namespace: str | None = None) -> bool:
    """Whether no worker claims from any queue. One round trip."""
    return suspension(connection, namespace=namespace) is not None


def suspension(connection: Conn = None, *, namespace: str | None = None) -> pauses.Pause | None:
    """Since when, until when and why; None where workers are not suspended. One round trip."""
    return pauses.of_each(Store(connection, namespace), (pauses.ALL,))[0]


__all__ = ["is_suspended", "resume", "suspend", "suspension"]
