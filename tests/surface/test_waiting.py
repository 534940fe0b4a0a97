"""`Job.wait`: whoever blocks on a job learns what became of it, soon, and by the right error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as Again

from rqlike import Job, Queue, Repeat, Retry
from rqlike.exceptions import (
    JobCanceled,
    JobExpired,
    JobFailed,
    JobStopped,
    NoSuchJobError,
    ResultExpired,
    WaitTimeout,
)
from rqlike.outcomes import Outcome
from rqlike.states import JobStatus, Reason
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.conftest import start_or_skip
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, Waiting, blocked, claim, counting_client, scripts_sent, settle, waiting

AT_ONCE_S = 0.1


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, "", [1, {"a": (2, 3)}], b"\xff", "déjà"])
def test_the_value_comes_back_as_it_was_returned(queue: Queue, work: Work, value: object) -> None:
    job = queue.enqueue(tasks.echo, value)
    work()
    assert job.wait(timeout=0) == value


def test_none_is_a_value_and_wakes_a_waiter(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.nothing)
    waiter = waiting(client, lambda: job.wait(timeout=10))
    work()
    assert waiter.outcomes() == [None]
    result = job.latest_result()
    assert result is not None
    assert result.has_value


def test_a_fetched_finished_job_gives_its_value_without_blocking(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1, b=2)
    work()
    assert Job.fetch(job.id, client, queue.store.namespace).wait(timeout=0) == 3


def test_five_waiters_of_a_job_with_result_ttl_0_all_get_its_value(
    queue: Queue, client: redis.Redis, work: Work
) -> None:
    job = queue.enqueue(tasks.add, 20, 22, result_ttl=0)
    waiters = waiting(client, lambda: job.wait(timeout=10), 5)
    work()
    assert waiters.outcomes() == [42] * 5
    assert not Job.exists(job.id, client, queue.store.namespace)
    assert job.wait(timeout=0) == 42, "the trace of 5 s serves those who ask a moment later"


# -- time-outs ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_wait_longer_than_the_clients_socket_timeout_gets_its_value(server: Server, namespace: str) -> None:
    with server.client(socket_timeout=2) as client:
        queue = Queue("q", client, namespace=namespace)
        job = queue.enqueue(tasks.nothing)
        waiter = waiting(client, lambda: job.wait(timeout=10))
        with pytest.raises(WaitTimeout):
            job.wait(timeout=4.5)  # the time that passes; longer than socket_timeout and than one slice
        settle(queue, claim(queue), Outcome(value=b"\x07"))
        assert waiter.outcomes(1.0) == [7]


@pytest.mark.parametrize("seconds", [0.25, "0.25s"])
def test_fractions_of_a_second_are_kept(queue: Queue, seconds: Any) -> None:
    job = queue.enqueue(tasks.nothing)
    before = time.monotonic()
    with pytest.raises(WaitTimeout):
        job.wait(timeout=seconds)
    assert 0.24 <= time.monotonic() - before <= 0.45


def test_zero_does_not_block_and_the_error_says_where_the_job_stands(queue: Queue) -> None:
    queue.enqueue(tasks.nothing)
    job = queue.enqueue(tasks.nothing)
    before = time.monotonic()
    with pytest.raises(WaitTimeout) as caught:
        job.wait(timeout=0)
    assert time.monotonic() - before < 0.2
    error = caught.value
    assert (error.job_id, error.status, error.position, error.workers) == (job.id, JobStatus.QUEUED, 1, 0)
    assert "No worker listens on queue 'q'" in str(error)
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize("seconds", [-1, float("nan"), True, "soon"])
def test_a_timeout_that_means_nothing_is_refused(queue: Queue, seconds: Any) -> None:
    job = queue.enqueue(tasks.nothing)
    with pytest.raises(ValueError, match="timeout"):
        job.wait(timeout=seconds)


def test_a_wait_for_a_finished_job_costs_one_round_trip(server: Server, namespace: str, work: Work) -> None:
    with counting_client(server) as client:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.nothing)
        work()
        Counting.sent.clear()
        job.wait(timeout=5)
        assert len(Counting.sent) == 1


def test_a_wait_that_blocks_costs_one_round_trip_and_the_block(server: Server, namespace: str, work: Work) -> None:
    with counting_client(server) as client:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.nothing)
        Counting.sent.clear()
        waiter = Waiting(lambda: job.wait(timeout=5)).start()
        with server.client() as other:
            blocked(other)
        work()
        waiter.outcomes()
        assert scripts_sent() == 1
        assert sum(b"XREAD" in command for command in Counting.sent) == 1


# -- ways out ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "error"), [("cancel", JobCanceled), ("delete", NoSuchJobError)])
@pytest.mark.parametrize("delay", [None, 60])
def test_cancel_and_delete_wake_five_waiters_at_once(
    queue: Queue, client: redis.Redis, act: str, error: type[Exception], delay: int | None
) -> None:
    job = queue.enqueue(tasks.nothing) if delay is None else queue.enqueue_in(delay, tasks.nothing)
    waiters = waiting(client, lambda: job.wait(timeout=10), 5)
    before = time.monotonic()
    getattr(job, act)()
    assert [type(outcome) for outcome in waiters.outcomes()] == [error] * 5
    assert waiters.last_end() - before <= AT_ONCE_S


def test_emptying_the_queue_wakes_the_waiters(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing)
    waiter = waiting(client, lambda: job.wait(timeout=10))
    assert queue.empty() == 1
    (outcome,) = waiter.outcomes(1.0)
    assert type(outcome) is NoSuchJobError


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.STOPPED, JobStopped),
        (Reason.CANCELED, JobCanceled),
        (Reason.EXCEPTION, JobFailed),
        (Reason.TIMEOUT, JobFailed),
        (Reason.KILLED, JobFailed),
    ],
)
def test_an_execution_that_gave_no_value_wakes_with_its_reason_and_result(
    queue: Queue, client: redis.Redis, reason: Reason, error: type[JobFailed]
) -> None:
    job = queue.enqueue(tasks.nothing)
    execution = claim(queue)
    waiter = waiting(client, lambda: job.wait(timeout=10))
    before = time.monotonic()
    settle(queue, execution, Outcome(reason, None, "Traceback: boom", "ValueError"))
    (outcome,) = waiter.outcomes()
    assert type(outcome) is error
    assert waiter.last_end() - before <= AT_ONCE_S
    assert (outcome.job_id, outcome.reason) == (job.id, reason)
    assert outcome.result.exc_string == "Traceback: boom"


def test_a_waiter_of_a_ttl_job_learns_of_its_expiry_though_no_worker_runs(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, ttl=0.4)
    before = time.monotonic()
    with pytest.raises(JobExpired) as caught:
        job.wait(timeout=10)
    assert 0.4 <= time.monotonic() - before <= 0.8
    assert caught.value.job_id == job.id
    assert Job.fetch(job.id, client, queue.store.namespace).get_status() is JobStatus.EXPIRED
    assert queue.counts().queued == 0


def test_an_idle_server_whose_blocks_end_late_does_not_keep_a_waiter_from_the_expiry(queue: Queue) -> None:
    def late_s() -> float:
        job = queue.enqueue(tasks.nothing, ttl=0.1)
        with pytest.raises(JobExpired):
            job.wait(timeout=10)
        return time.time() - job.created_at.timestamp() - 0.1

    assert min(late_s() for _ in range(3)) < AT_ONCE_S


def test_of_many_waiters_of_an_overdue_job_each_is_told_though_one_expires_it(
    queue: Queue, client: redis.Redis
) -> None:
    job = queue.enqueue(tasks.nothing, ttl=0.5)
    waiter = waiting(client, lambda: job.wait(timeout=10), 20)
    assert [type(outcome) for outcome in waiter.outcomes()] == [JobExpired] * 20


def test_a_waiter_whose_job_was_started_before_its_ttl_was_over_waits_on(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, ttl=0.3)
    waiter = waiting(client, lambda: job.wait(timeout=10))
    execution = claim(queue)
    time_over = job.created_at.timestamp() + 0.6
    eventually(lambda: time.time() > time_over)
    settle(queue, execution, Outcome(value=b"\x07"))
    assert waiter.outcomes() == [7]


def test_a_waiter_of_an_expired_job_is_woken_by_the_worker_that_expires_it(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, ttl=60)
    waiter = waiting(client, lambda: job.wait(timeout=10))
    before = time.monotonic()
    a_minute_later = round(job.created_at.timestamp() * 1000) + 60_001
    queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1, sweep=True), now_ms=a_minute_later))
    assert [type(outcome) for outcome in waiter.outcomes()] == [JobExpired]
    assert waiter.last_end() - before <= AT_ONCE_S
    assert len(job.results()) == 0, "it never ran"


def test_a_job_that_never_was_is_an_error_at_once(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    queue.store.client.delete(job.key)
    before = time.monotonic()
    with pytest.raises(NoSuchJobError) as caught:
        job.wait(timeout=10)
    assert time.monotonic() - before < 0.2
    assert type(caught.value) is NoSuchJobError, "nothing shows that it ended"


def test_a_job_whose_result_is_over_is_told_from_one_that_never_was(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing, result_ttl=0.05)
    work()
    queue.store.client.delete(job.key, queue.store.keys.results(job.id))  # what its TTL does
    with pytest.raises(ResultExpired):
        job.wait(timeout=10)


def test_a_handle_that_saw_the_end_knows_that_the_result_is_over(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.nothing)
    work()
    job.refresh()
    queue.store.client.delete(job.key, queue.store.keys.results(job.id))
    queue.store.client.delete(queue.store.keys.home("finished", "q"))
    with pytest.raises(ResultExpired):
        job.wait(timeout=10)


# -- cycles ------------------------------------------------------------------------------------------------------------


def test_a_retried_attempt_does_not_end_the_wait(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, retry=Retry(1))
    waiter = waiting(client, lambda: job.wait(timeout=10))
    settle(queue, claim(queue), Outcome(Reason.EXCEPTION, None, "first", "ValueError"))
    blocked(client)
    assert not waiter.ends
    second = queue.store.run(turns.advance(Turn("w2", "w2-1", 1, ("q",), want=1))).granted[0]
    settle(queue, second, Outcome(value=b"\x07"))
    assert waiter.outcomes(1.0) == [7]


def test_the_handle_of_an_old_cycle_gets_the_value_of_that_cycle(queue: Queue, work: Work) -> None:
    first = queue.enqueue(tasks.echo, "old", job_id="a")
    work()
    second = queue.enqueue(tasks.echo, "new", job_id="a")
    assert (first.cycle, second.cycle) == (1, 2)
    assert first.wait(timeout=0) == "old", "although its next cycle is queued"
    with pytest.raises(WaitTimeout):
        second.wait(timeout=0)
    work()
    assert (first.wait(timeout=0), second.wait(timeout=0)) == ("old", "new")


def test_a_requeued_handle_waits_for_the_new_cycle(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.fail, job_id="a")
    work()
    with pytest.raises(JobFailed):
        job.wait(timeout=0)
    job.requeue()
    assert job.cycle == 2
    waiter = waiting(client, lambda: job.wait(timeout=10))
    assert not waiter.ends
    work()
    assert type(waiter.outcomes()[0]) is JobFailed


def test_a_cycle_that_left_the_history_is_a_result_that_expired(queue: Queue, work: Work) -> None:
    first = queue.enqueue(tasks.echo, 0, job_id="a")
    work()
    for number in range(1, 12):
        queue.enqueue(tasks.echo, number, job_id="a")
        work()
    with pytest.raises(ResultExpired, match="cycle 12"):
        first.wait(timeout=0)


def test_a_repeating_job_gives_each_handle_the_value_of_its_cycle(queue: Queue, work: Work, tmp_path: Any) -> None:
    job = queue.enqueue(tasks.numbered, str(tmp_path / "n"), repeat=Repeat(2))
    work()
    assert job.wait(timeout=0) == 1
    job.refresh()
    assert (job.cycle, job.wait(timeout=0)) == (3, 3)


def test_the_handle_of_a_deleted_job_does_not_take_the_value_of_its_successor(queue: Queue, work: Work) -> None:
    old = queue.enqueue(tasks.echo, "old", job_id="a")
    work()
    old.requeue()
    old.delete()
    now = queue.store.client.time()
    eventually(lambda: queue.store.client.time() > (now[0], now[1] + 1000), interval=0.001)  # a later millisecond
    queue.enqueue(tasks.echo, "new", job_id="a")
    for _ in range(2):
        with pytest.raises(NoSuchJobError, match="newer job"):
            old.wait(timeout=0)
        work()


# -- servers and clients -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_any_kind_of_client_can_wait(
    server: Server, namespace: str, work: Work, protocol: int, decode_responses: bool
) -> None:
    with server.client(protocol=protocol, decode_responses=decode_responses) as client, server.client() as watcher:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.echo, "väl")
        waiter = Waiting(lambda: job.wait(timeout=10)).start()
        blocked(watcher)
        work()
        assert waiter.outcomes() == ["väl"]
        result = job.latest_result()
        assert result is not None
        assert result.return_value == "väl"


def test_a_server_that_restarts_during_the_wait_is_waited_for(own_server: Server, namespace: str) -> None:
    with own_server.client() as client:
        queue = Queue("q", client, namespace=namespace)
        job = queue.enqueue(tasks.nothing)
        waiter = waiting(client, lambda: job.wait(timeout=20))
        own_server.kill()
        own_server.start()
        blocked(client)
        settle(queue, claim(queue), Outcome(value=b"\x07"))
        assert waiter.outcomes() == [7]


def test_a_server_that_stays_away_is_an_error_at_the_timeout_and_costs_no_cpu(
    own_server: Server, namespace: str
) -> None:
    with own_server.client() as client:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.nothing)
        waiter = waiting(client, lambda: job.wait(timeout=1.5))
        own_server.kill()
        cpu, before = time.process_time(), time.monotonic()
        (outcome,) = waiter.outcomes()
        assert isinstance(outcome, redis.ConnectionError | redis.TimeoutError)
        assert waiter.last_end() - before <= 2.0
        assert time.process_time() - cpu < 0.4


def test_a_server_that_cannot_be_reached_at_first_is_an_error_at_once(own_server: Server, namespace: str) -> None:
    with own_server.client(retry=Again(NoBackoff(), 0)) as client:
        job = Queue("q", client, namespace=namespace).enqueue(tasks.nothing)
        own_server.kill()
        before = time.monotonic()
        with pytest.raises(redis.ConnectionError):
            job.wait(timeout=30)
        assert time.monotonic() - before < 1.0


def test_a_wait_survives_a_cut_connection(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.nothing)
    waiter = waiting(client, lambda: job.wait(timeout=10))
    for one in client.client_list():
        if one["cmd"] == "xread":
            client.client_kill_filter(_id=one["id"])
    blocked(client)
    work()
    assert waiter.outcomes() == [None]


# -- waits after the first of a client, whose look and block go out together -------------------------------------------


@pytest.fixture
def later(queue: Queue) -> Queue:
    """A queue whose client has blocked before."""
    with pytest.raises(WaitTimeout):
        queue.enqueue(tasks.nothing).wait(timeout=0.1)
    queue.empty()
    return queue


@pytest.mark.parametrize("ended", [False, True])
def test_a_later_wait_sends_its_look_and_its_block_together(
    server: Server, namespace: str, work: Work, ended: bool
) -> None:
    with counting_client(server) as client, server.client() as other:
        queue = Queue("q", client, namespace=namespace)
        with pytest.raises(WaitTimeout):
            queue.enqueue(tasks.nothing).wait(timeout=0.1)
        queue.empty()
        job = queue.enqueue(tasks.echo, "value")
        if ended:
            work()
        Counting.sent.clear()
        waiter = Waiting(lambda: job.wait(timeout=5)).start()
        if not ended:
            blocked(other)
            work()
        assert waiter.outcomes() == ["value"]
        assert len(Counting.sent) == 1
        assert scripts_sent() == 1


@pytest.mark.parametrize("how", ["wait", "latest_result"])
def test_a_later_wait_gets_what_is_recorded_before_it_and_while_it_blocks(
    later: Queue, client: redis.Redis, work: Work, how: str
) -> None:
    def value(job: Job[Any]) -> object:
        if how == "wait":
            return job.wait(timeout=10)
        result = job.latest_result(timeout=10)
        return result and result.return_value

    for number in range(3):
        before, meanwhile = later.enqueue(tasks.echo, number), later.enqueue(tasks.echo, -number, job_id=f"m{number}")
        settle(later, claim(later, f"w{number}"), Outcome(value=codec_of(number)))
        assert value(before) == number
        waiter = waiting(client, lambda: value(meanwhile))  # noqa: B023  # it ends within the turn
        work()
        assert waiter.outcomes() == [-number]


def codec_of(number: int) -> bytes:
    """A small number as the default serializer writes it."""
    return bytes([number])


@pytest.mark.parametrize(("act", "error"), [("cancel", JobCanceled), ("delete", NoSuchJobError)])
def test_a_later_wait_is_woken_by_every_way_out(
    later: Queue, client: redis.Redis, act: str, error: type[Exception]
) -> None:
    job, gone = later.enqueue(tasks.nothing), later.enqueue(tasks.nothing)
    getattr(gone, act)()
    with pytest.raises(error):
        gone.wait(timeout=10)
    waiters = waiting(client, lambda: job.wait(timeout=10), 3)
    before = time.monotonic()
    getattr(job, act)()
    assert [type(outcome) for outcome in waiters.outcomes()] == [error] * 3
    assert waiters.last_end() - before <= AT_ONCE_S


def test_a_later_wait_for_a_job_without_a_trace_is_an_error_at_once(later: Queue, client: redis.Redis) -> None:
    for _ in range(2):
        job = later.enqueue(tasks.nothing)
        client.delete(job.key)
        before = time.monotonic()
        with pytest.raises(NoSuchJobError):
            job.wait(timeout=10)
        assert job.latest_result(timeout=10) is None
        assert time.monotonic() - before < 1.0


def test_a_later_wait_goes_on_after_a_retried_attempt(later: Queue, client: redis.Redis) -> None:
    job = later.enqueue(tasks.nothing, retry=Retry(1))
    settle(later, claim(later), Outcome(Reason.EXCEPTION, None, "first", "ValueError"))
    waiter = waiting(client, lambda: job.wait(timeout=10))
    second = later.store.run(turns.advance(Turn("w2", "w2-1", 1, ("q",), want=1))).granted[0]
    settle(later, second, Outcome(value=b"\x07"))
    assert waiter.outcomes(1.0) == [7]


def test_the_handle_of_an_old_cycle_learns_at_once_in_a_later_wait_too(later: Queue) -> None:
    first = later.enqueue(tasks.nothing, job_id="a")
    first.cancel()
    later.enqueue(tasks.nothing, job_id="a")
    before = time.monotonic()
    with pytest.raises(ResultExpired, match="cycle 2"):
        first.wait(timeout=10)
    assert time.monotonic() - before < 1.0


def test_a_later_wait_keeps_fractions_of_a_second_and_the_expiry_of_a_ttl(later: Queue) -> None:
    job, short = later.enqueue(tasks.nothing), later.enqueue(tasks.nothing, ttl=0.3)
    before = time.monotonic()
    with pytest.raises(WaitTimeout):
        job.wait(timeout=0.25)
    assert 0.24 <= time.monotonic() - before <= 0.45
    with pytest.raises(JobExpired):
        Job.fetch(short.id, later.connection, later.store.namespace).wait(timeout=10)
    with pytest.raises(JobExpired):
        short.wait(timeout=10)
    assert time.monotonic() - before <= 1.2


def test_a_later_wait_survives_a_cut_connection_and_a_server_that_forgot_its_scripts(
    later: Queue, client: redis.Redis, work: Work
) -> None:
    job = later.enqueue(tasks.nothing)
    client.script_flush()
    waiter = waiting(client, lambda: job.wait(timeout=10))
    for one in client.client_list():
        if one["cmd"] == "xread":
            client.client_kill_filter(_id=one["id"])
    blocked(client)
    work()
    assert waiter.outcomes() == [None]
    assert job.wait(timeout=5) is None


@pytest.mark.slow
def test_a_server_that_is_away_for_a_while_is_waited_for_in_a_later_wait_too(
    own_server: Server, namespace: str
) -> None:
    with own_server.client(retry=Again(NoBackoff(), 0)) as client:
        queue = Queue("q", client, namespace=namespace)
        with pytest.raises(WaitTimeout):
            queue.enqueue(tasks.nothing, job_id="a").wait(timeout=0.1)
        job = queue.enqueue(tasks.nothing)
        waiter = waiting(client, lambda: job.wait(timeout=20))
        own_server.kill()
        with pytest.raises(redis.ConnectionError):
            job.wait(timeout=5)  # a new wait: an error at once
        assert not waiter.ends
        own_server.start()
        blocked(client)
        queue.store.client.delete(job.key)


def test_more_threads_may_wait_than_a_pool_of_redis_py_has_connections(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing)
    waiter = waiting(client, lambda: job.wait(timeout=20), 120)
    job.cancel()
    assert all(isinstance(one, JobCanceled) for one in waiter.outcomes(5.0))


# -- a long one --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def seven_seconds() -> Iterator[Waiting]:
    """Who waits so long for a job that nobody runs, on a server of its own, while the tests above are run."""
    with start_or_skip("valkey") as server, server.client() as client:
        job = Queue("q", client, namespace="long").enqueue(tasks.nothing)

        def waited() -> float:
            before = time.monotonic()
            try:
                job.wait(timeout=7)
            except WaitTimeout:
                return time.monotonic() - before
            raise AssertionError("nobody has run it")

        yield Waiting(waited).start()


@pytest.mark.slow
def test_a_timeout_of_seven_seconds_is_kept_on_a_client_with_the_defaults_of_redis_py(seven_seconds: Waiting) -> None:
    (seconds,) = seven_seconds.outcomes()
    assert isinstance(seconds, float), seconds
    assert 6.99 <= seconds <= 7.3
