"""What rqlike costs is counted, and may not grow: round trips, commands, calls, bytes. Times are for the benchmarks."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import redis

from benchmarks import counts, work
from benchmarks.counts import LIMITS, Limit
from benchmarks.relay import Relay
from rqlike import Queue
from tests.conftest import start_or_skip
from tests.servers import Kind, Server

KINDS: tuple[Kind, ...] = ("redis7", "valkey")


@pytest.fixture(scope="module")
def counted() -> dict[Kind, dict[str, float]]:
    """Every count on servers of each kind, which nobody else uses: what others do would be counted too."""
    with ExitStack() as stack:

        def client(kind: Kind) -> redis.Redis:
            made: redis.Redis = stack.enter_context(stack.enter_context(start_or_skip(kind)).client())
            return made

        return dict(zip(KINDS, counts.take(*[(client(kind), client(kind)) for kind in KINDS]), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LIMITS)
def test_a_count_has_not_grown(counted: dict[Kind, dict[str, float]], kind: Kind, name: str) -> None:
    complaint = counts.complaint(name, counted[kind][name])
    assert complaint is None, complaint


def test_a_count_that_has_grown_is_told_with_what_it_was_and_what_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "calls", Limit(2, 3, "one each way"))
    assert counts.complaint("calls", 3) is None
    assert counts.complaint("calls", 3.5) == "calls: grew from 2 to 3.5, may be 3 (one each way)"


def test_no_limit_is_below_what_was_counted_when_it_was_set() -> None:
    wrong = [name for name, limit in LIMITS.items() if not 0 <= limit.before <= limit.most]
    assert not wrong


def test_the_relay_counts_a_pipeline_as_one_round_trip_and_single_commands_as_one_each(valkey_server: Server) -> None:
    with valkey_server.client() as client, Relay(client) as relay, redis.Redis(port=relay.port) as through:
        through.ping()
        relay.reset()
        through.pipeline(transaction=False).echo("a").echo("b").execute()
        assert relay.turns == 1
        for _ in range(3):
            through.ping()
        assert relay.turns == 4
        assert relay.sent == 2 * len(b"*2\r\n$4\r\nECHO\r\n$1\r\na\r\n") + 3 * len(b"*1\r\n$4\r\nPING\r\n")


def test_work_that_calls_more_functions_of_the_package_is_noticed() -> None:
    def prepare(times: int) -> None:
        for number in range(times):
            Queue.prepare_data(work.noop, (number,))

    once = counts.functions_called(lambda: prepare(1))
    assert once > 0
    assert counts.functions_called(lambda: prepare(2)) == 2 * once
