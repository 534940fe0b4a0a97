"""A waiter that is cut off while its job ends, and comes back after the ttl of the result, still gets it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from rqlike import Job, Queue
from rqlike.entries import entry_of
from rqlike.exceptions import JobFailed, ResultExpired, ResultNotStored, WaitTimeout
from rqlike.fields import JOB
from rqlike.outcomes import Outcome, Rules, decide
from rqlike.records import Execution
from rqlike.states import JobStatus, Reason
from rqlike.store import turns
from rqlike.store.requests import Request
from rqlike.store.scripts import script
from rqlike.store.turns import Settlement, Turn
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, Waiting, blocked, claim, counting_client, settle, waiting

VALUE = Outcome(value=b"\x07")
FAILURE = Outcome(Reason.EXCEPTION, None, "Traceback: boom", "ValueError")


@pytest.fixture(params=["first", "later"])
def any_wait(request: pytest.FixtureRequest, queue: Queue) -> Queue:
    """A queue whose client blocks for the first time, or has done so before."""
    if request.param == "later":
        with pytest.raises(WaitTimeout):
            queue.enqueue(tasks.nothing).wait(timeout=0.05)
        queue.empty()
    return queue


def ended_long_ago(queue: Queue, execution: Execution, outcome: Outcome, rules: Rules | None = None) -> Request[Any]:
    """The call by which a worker recorded an outcome ten seconds ago."""
    verdict = decide(execution.job, outcome, rules or Rules())
    entry = entry_of(execution, verdict, outcome, worker="w", offset_ms=0)
    turn = Turn("w", "w-1", 2, (queue.name,), settlements=(Settlement(execution, verdict, entry),))
    seconds, micro = queue.store.client.time()
    return turns.advance(turn, now_ms=seconds * 1000 + micro // 1000 - 10_000)


def cut_off_while(queue: Queue, request: Request[Any]) -> None:
    """Cuts off all waiters and does something, and no waiter can come back in between."""
    client: Any = queue.store.client
    client.script_load(script(request.script).source)
    with client.pipeline(transaction=True) as both:
        for one in client.client_list():
            if one["cmd"] == "xread":
                both.execute_command("CLIENT", "KILL", "ID", one["id"])
        both.execute_command(*queue.store._command(request))
        *killed, _ = both.execute()
    assert killed
    assert set(killed) == {1}


def wanted(job: Job[Any]) -> int:
    """Until when somebody looks for it, as the server knows; 0 for nobody."""
    return int(job.connection.hget(job.key, JOB["wanted"]) or 0)


def test_a_value_outlives_its_ttl_for_a_waiter_that_was_cut_off(any_wait: Queue, client: redis.Redis) -> None:
    job = any_wait.enqueue(tasks.nothing, result_ttl=1)
    other = any_wait.enqueue(tasks.nothing, result_ttl=1)
    execution, of_other = claim(any_wait), claim(any_wait, "w2")
    waiter = waiting(client, lambda: job.wait(timeout=30))
    cut_off_while(any_wait, ended_long_ago(any_wait, execution, VALUE))
    any_wait.store.run(ended_long_ago(any_wait, of_other, VALUE))
    assert waiter.outcomes() == [7]
    assert any_wait.finished_job_registry.get_job_ids() == [job.id]
    assert any_wait.counts().finished == 1
    assert 20_000 < client.pttl(job.key) <= 30_000
    with pytest.raises(ResultExpired):
        other.wait(timeout=0)


def test_a_failure_outlives_its_ttl_for_a_waiter_that_was_cut_off(any_wait: Queue, client: redis.Redis) -> None:
    job = any_wait.enqueue(tasks.nothing, failure_ttl=1)
    execution = claim(any_wait)
    waiters = [waiting(client, lambda: job.wait(timeout=30)), waiting(client, lambda: job.latest_result(timeout=30))]
    blocked(client, 2)
    cut_off_while(any_wait, ended_long_ago(any_wait, execution, FAILURE))
    (error,), (result,) = (waiter.outcomes() for waiter in waiters)
    assert isinstance(error, JobFailed)
    assert result == error.result
    assert any_wait.counts().failed == 1


def test_what_a_job_without_a_result_ttl_leaves_stays_for_five_waiters_that_were_cut_off(
    any_wait: Queue, client: redis.Redis
) -> None:
    job = any_wait.enqueue(tasks.nothing, result_ttl=0, store_result=False)
    execution = claim(any_wait)
    waiters = waiting(client, lambda: job.wait(timeout=30), 5)
    cut_off_while(any_wait, ended_long_ago(any_wait, execution, Outcome()))
    outcomes = waiters.outcomes()
    assert [type(outcome) for outcome in outcomes] == [ResultNotStored] * 5
    assert not Job.exists(job.id, client, job.namespace)
    assert 20_000 < client.pttl(job.store.keys.results(job.id)) <= 30_000


def test_a_waiter_that_has_waited_for_a_slice_does_not_trust_what_it_knows_of_the_ttl(
    queue: Queue, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's default may be shorter than the 500 s that the waiter counts on."""
    monkeypatch.setattr("rqlike.store.wishes.BLOCK_S", 0.05)
    monkeypatch.setattr("rqlike.store.store.BLOCK_S", 0.05)
    job = queue.enqueue(tasks.nothing)
    execution = claim(queue)
    waiter = Waiting(lambda: job.wait(timeout=30)).start()
    eventually(lambda: wanted(job) > 0)
    assert 28_000 < wanted(job) - time.time() * 1000 <= 30_000
    assert job.get_status() is JobStatus.STARTED
    first = wanted(job)
    blocked(client)
    queue.store.run(ended_long_ago(queue, execution, VALUE, Rules(default_result_ttl=1)))
    assert waiter.outcomes() == [7]
    assert client.pexpiretime(job.key) == client.pexpiretime(queue.store.keys.results(job.id)) == first


def test_a_waiter_without_a_deadline_asks_for_a_minute_and_asks_again(
    queue: Queue, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rqlike.store.wishes.BLOCK_S", 0.05)
    monkeypatch.setattr("rqlike.store.store.BLOCK_S", 0.05)
    job = queue.enqueue(tasks.nothing, result_ttl=1)
    waiter = waiting(client, job.wait)
    first = wanted(job)
    assert 58_000 < first - time.time() * 1000 <= 60_000
    monkeypatch.setattr("rqlike.store.wishes.ENDLESS_S", 70.0)
    assert wanted(job) == first, "half a minute is not over"
    job.cancel()
    waiter.outcomes()


def test_a_waiter_that_comes_back_says_it_again(any_wait: Queue, client: redis.Redis) -> None:
    """What answers it now may be a replica that had not received it."""
    job = any_wait.enqueue(tasks.nothing, result_ttl=1)
    waiter = waiting(client, lambda: job.wait(timeout=30))
    assert client.hdel(job.key, JOB["wanted"]) == 1
    for one in client.client_list():
        if one["cmd"] == "xread":
            client.client_kill_filter(_id=one["id"])
    eventually(lambda: wanted(job) > 0)
    job.cancel()
    waiter.outcomes()


@pytest.mark.parametrize("options", [{}, {"result_ttl": 30}, {"result_ttl": -1, "failure_ttl": -1}])
def test_a_waiter_whom_the_result_outlasts_says_nothing(
    any_wait: Queue, client: redis.Redis, options: dict[str, Any]
) -> None:
    job = any_wait.enqueue(tasks.nothing, **options)
    waiter = waiting(client, lambda: job.wait(timeout=30))
    assert wanted(job) == 0
    job.cancel()
    waiter.outcomes()


def test_to_wait_for_what_has_ended_puts_nothing_off(any_wait: Queue, client: redis.Redis, work: Work) -> None:
    job = any_wait.enqueue(tasks.echo, 5, result_ttl=100)
    work()
    before = client.pexpiretime(job.key)
    assert job.wait(timeout=1000) == 5
    assert client.pexpiretime(job.key) == client.pexpiretime(job.store.keys.results(job.id)) == before


def test_to_leave_a_deadline_costs_a_round_trip_before_the_first_block_and_none_before_a_later_one(
    server: Server, namespace: str, work: Work
) -> None:
    with counting_client(server) as client, server.client() as other:
        for name in ("peek", "want"):
            other.script_load(script(name).source)
        queue = Queue("q", client, namespace=namespace)
        for expected in (["look", "wish", "block"], ["look wish block"]):
            job = queue.enqueue(tasks.echo, "value", result_ttl=0)
            Counting.sent.clear()
            waiter = Waiting(lambda: job.wait(timeout=5)).start()  # noqa: B023  # it ends within the turn
            blocked(other)
            packets = [words_of(packet) for packet in Counting.sent]
            work()
            assert waiter.outcomes() == ["value"]
            assert [words for words in packets if words] == expected


def words_of(packet: bytes) -> str:
    """What is in a packet of a waiter."""
    words = {"look": script("peek").sha, "wish": script("want").sha, "block": "XREAD"}
    return " ".join(word for word, sign in words.items() if sign.encode() in packet)


def test_a_server_that_forgot_its_scripts_is_told_all_the_same(any_wait: Queue, client: redis.Redis) -> None:
    job = any_wait.enqueue(tasks.nothing, result_ttl=1)
    execution = claim(any_wait)
    client.script_flush()
    waiter = Waiting(lambda: job.wait(timeout=30)).start()
    eventually(lambda: wanted(job) > 0)
    settle(any_wait, execution, VALUE)
    assert waiter.outcomes() == [7]


def test_whoever_may_only_read_waits_all_the_same(server: Server, queue: Queue, client: redis.Redis) -> None:
    name = f"reader-{queue.store.namespace}"
    allowed = ["+@read", "+@connection", "+evalsha", "+script|load", "+time"]
    client.acl_setuser(name, enabled=True, nopass=True, keys=["*"], commands=allowed)
    try:
        job = queue.enqueue(tasks.nothing, result_ttl=0)
        with server.client(username=name, password="any") as reader:
            seen = Job.fetch(job.id, reader, queue.store.namespace)
            for _ in range(2):
                with pytest.raises(WaitTimeout):
                    seen.wait(timeout=0.05)
            waiter = waiting(client, lambda: seen.wait(timeout=30))
            settle(queue, claim(queue), VALUE)
            assert waiter.outcomes() == [7]
            seen.store._own_client().connection_pool.disconnect()  # before its user is gone
    finally:
        client.acl_deluser(name)


@pytest.mark.parametrize(("seconds", "left"), [(-1, -1), (0, None), (2, None)])
def test_a_ttl_that_is_changed_while_somebody_waits_is_not_shorter_than_the_wait(
    queue: Queue, client: redis.Redis, seconds: int, left: int | None
) -> None:
    job = queue.enqueue(tasks.nothing, result_ttl=1)
    execution = claim(queue)
    waiter = waiting(client, lambda: job.wait(timeout=30))
    job.set_result_ttl(seconds)
    cut_off_while(queue, ended_long_ago(queue, execution, VALUE))
    assert waiter.outcomes() == [7]
    assert Job.exists(job.id, client, job.namespace) == (seconds != 0)
    ttl = client.pttl(queue.store.keys.results(job.id))
    assert ttl == left if left is not None else 20_000 < ttl <= 30_000
