"""Waiters in threads, what a worker does around them, and counting what goes to the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import redis

from rqlike import Queue
from rqlike.entries import entry_of
from rqlike.outcomes import Outcome, Rules, decide
from rqlike.records import Execution
from rqlike.store import turns
from rqlike.store.turns import Settlement, Turn
from tests.servers import Server, eventually


@dataclass(slots=True)
class Waiting:
    """Threads that each make one blocking call; `ends` has (what came of it, when)."""

    call: Callable[[], object]
    count: int = 1
    ends: list[tuple[object, float]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> Waiting:
        for _ in range(self.count):
            self._threads.append(threading.Thread(target=self._one, daemon=True))
            self._threads[-1].start()
        return self

    def _one(self) -> None:
        try:
            outcome: object = self.call()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            outcome = error
        self.ends.append((outcome, time.monotonic()))

    def outcomes(self, within: float = 10.0) -> list[object]:
        """What came of all of them."""
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert len(self.ends) == self.count, f"{self.count - len(self.ends)} still wait after {within} s"
        return [outcome for outcome, _ in self.ends]

    def last_end(self) -> float:
        """The moment at which the last of them learnt."""
        return max(moment for _, moment in self.ends)


def blocked(client: redis.Redis, count: int = 1) -> None:
    """Returns once `count` clients are in a blocking read of a stream."""

    def are() -> bool:
        listed: list[dict[str, Any]] = client.client_list()
        blocking = [one for one in listed if one["cmd"] == "xread" and "b" in one["flags"]]
        return len(blocking) >= count

    eventually(are, 5.0, 0.005, f"{count} waiters block")
    # The server may list a client as blocked before it has written what that client asked for in the same packet; it
    # has when it answers another command. Without this a server killed now would owe a waiter its first look.
    client.ping()


def waiting(client: redis.Redis, call: Callable[[], object], count: int = 1) -> Waiting:
    """Starts waiters and returns once all of them block."""
    started = Waiting(call, count).start()
    blocked(client, count)
    return started


class Counting(redis.UnixDomainSocketConnection):
    """A connection that remembers what was sent over any of its kind."""

    sent: list[bytes] = []  # noqa: RUF012

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        parts = [command] if isinstance(command, bytes) else list(command)
        type(self).sent.append(b"".join(part.encode() if isinstance(part, str) else part for part in parts))
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]


def counting_client(server: Server) -> redis.Redis:
    """A client whose `Counting.sent` is empty and whose handshake is over."""
    made = redis.Redis(connection_pool=redis.ConnectionPool(Counting, path=str(server.socket)))
    made.ping()
    Counting.sent.clear()
    return made


def scripts_sent() -> int:
    """How many calls of scripts were sent."""
    return sum(b"EVALSHA" in command for command in Counting.sent)


def at_once(call: Callable[[int], object], count: int) -> list[object]:
    """`call(0)` … `call(count - 1)` in threads of their own; raises what one of them raised."""
    pool: AbstractContextManager[ThreadPoolExecutor] = ThreadPoolExecutor(count)
    with pool as executor:
        return list(executor.map(call, range(count)))


def claim(queue: Queue, worker: str = "w", lease_ms: int = 30_000) -> Execution:
    """What a worker does first."""
    turn = Turn(worker, worker + "-1", 1, (queue.name,), want=1, lease_ms=lease_ms)
    (granted,) = queue.store.run(turns.advance(turn)).granted
    return granted


def settle(queue: Queue, execution: Execution, outcome: Outcome) -> str:
    """What a worker does last."""
    verdict = decide(execution.job, outcome, Rules())
    entry = entry_of(execution, verdict, outcome, worker="w", offset_ms=0)
    turn = Turn("w", "w-1", 2, (queue.name,), settlements=(Settlement(execution, verdict, entry),))
    (word,) = queue.store.run(turns.advance(turn)).words
    return word
