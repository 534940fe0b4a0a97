"""Looks at the store during a chaos run: what is started at each moment, in one script."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from redis.exceptions import RedisError

from rqlike.fields import JOB
from rqlike.keys import Keys
from tests.chaos.evidence import Claim
from tests.chaos.kinds import LIMITS, QUEUES, Order
from tests.chaos.people import client_of

_EVERY_S: Final = 0.02
_LOOK: Final = """
local found = {}
for at = 1, #KEYS do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[at], 0, -1)) do
    local got = redis.call('HMGET', ARGV[1] .. id, ARGV[2], ARGV[3])
    found[#found + 1] = {id, at, got[1] or '', got[2] or ''}
  end
end
return found
"""


class Watch:
    """A thread that looks at short intervals until `stop`. It does not go by a network that faults cut."""

    def __init__(self, url: str, keys: Keys, orders: Mapping[str, Order]) -> None:
        self._client, self._keys, self._orders = client_of(url), keys, orders
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self.claims: dict[Claim, None] = {}
        self.started: dict[str, int] = {}
        self.problems: list[str] = []
        self._thread.start()

    def stop(self) -> None:
        """Looks no more."""
        self._stop.set()
        self._thread.join(10)
        self._client.close()

    def _go(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self._look()
            except RedisError:
                continue
            except Exception as problem:  # noqa: BLE001  # a thread that ends in silence would look like success
                self.problems.append(f"watch: {problem!r}")
                return

    def _look(self) -> None:
        homes = [self._keys.home("started", queue) for queue in QUEUES]
        now: dict[str, int] = {}
        rows = self._client.eval(_LOOK, len(homes), *homes, self._keys.job(""), JOB["started"], JOB["token"])
        for raw, at, moment, token in rows:
            order = self._orders.get(raw.decode())
            if order is None:
                continue
            if order.limit:
                now[order.limit] = now.get(order.limit, 0) + 1
            if moment:
                self.claims[Claim(order.id, QUEUES[int(at) - 1], int(moment), token.decode())] = None
        self.started = {key: max(now.get(key, 0), self.started.get(key, 0)) for key in LIMITS}
