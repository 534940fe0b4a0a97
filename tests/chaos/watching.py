"""Looks at the store during a chaos run: what is started at a moment, and who holds which unique key, in one script."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from redis.exceptions import RedisError

from rqlike.fields import JOB
from rqlike.keys import Keys
from rqlike.states import JobStatus
from tests.chaos.evidence import Claim, Holding
from tests.chaos.kinds import ALL_QUEUES, LIMITS, UNIQUE_KEYS, Order
from tests.chaos.people import client_of

_EVERY_S: Final = 0.02
_LIVING: Final = (JobStatus.STARTED, *(s for s in JobStatus if not s.terminal and s is not JobStatus.STARTED))
#: The first homes are those of started jobs.
_LOOK: Final = """
local found, unique = {}, {}
for at = 1, #KEYS do
  for _, id in ipairs(redis.call('ZRANGE', KEYS[at], 0, -1)) do
    local got = redis.call('HMGET', ARGV[1] .. id, ARGV[2], ARGV[3], ARGV[4])
    if at <= tonumber(ARGV[6]) then found[#found + 1] = {id, at, got[1] or '', got[2] or ''} end
    local key = got[3] or nil
    if key and string.find(key, '^%d+ ') then key = string.match(key, '^0 (.+)$') end -- not for a time
    if key then unique[#unique + 1] = {key, id, redis.call('GET', ARGV[5] .. key) or ''} end
  end
end
local endless = {}
for at = 7, #ARGV do
  local holder = redis.call('GET', ARGV[5] .. ARGV[at])
  if holder and redis.call('PTTL', ARGV[5] .. ARGV[at]) == -1 then endless[#endless + 1] = {ARGV[at], holder} end
end
return {found, unique, endless}
"""


class Watch:
    """A thread that looks at short intervals until `stop`. It does not go by a network that faults cut."""

    def __init__(self, url: str, keys: Keys, orders: Mapping[str, Order]) -> None:
        self._client, self._keys, self._orders = client_of(url), keys, orders
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self.claims: dict[Claim, None] = {}
        self.started: dict[str, int] = {}
        self.holdings: dict[Holding, None] = {}
        self.unique = 0  # jobs with a unique key that it has seen, each as often as it has seen it
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
        homes = [self._keys.home(status, queue) for status in _LIVING for queue in ALL_QUEUES]
        names = (JOB["started"], JOB["token"], JOB["unique"])
        given = (self._keys.job(""), *names, self._keys.unique(""), len(ALL_QUEUES), *UNIQUE_KEYS)
        rows, unique, endless = self._client.eval(_LOOK, len(homes), *homes, *given)
        self._claimed(rows)
        self._held(unique, endless)

    def _claimed(self, rows: Sequence[tuple[bytes, int, bytes, bytes]]) -> None:
        now: dict[str, int] = {}
        for raw, at, moment, token in rows:
            order = self._orders.get(raw.decode())
            if order is None:
                continue
            if order.limit:
                now[order.limit] = now.get(order.limit, 0) + 1
            if moment:
                self.claims[Claim(order.id, ALL_QUEUES[int(at) - 1], int(moment), token.decode())] = None
        self.started = {key: max(now.get(key, 0), self.started.get(key, 0)) for key in LIMITS}

    def _held(self, rows: Sequence[tuple[bytes, bytes, bytes]], endless: Sequence[tuple[bytes, bytes]]) -> None:
        """Of living jobs that hold a key until they have ended, and of keys that are held so."""
        living: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for key, job_id, holder in rows:
            living[key.decode()].append((job_id.decode(), holder.decode()))
        self.unique += len(rows)
        for name, some in living.items():
            if len(some) > 1 or some[0][0] != some[0][1]:
                self.holdings[Holding(name, tuple(sorted(one for one, _ in some)), some[0][1])] = None
        for key, holder in endless:
            if key.decode() not in living:
                self.holdings[Holding(key.decode(), (), holder.decode())] = None
