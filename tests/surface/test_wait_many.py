"""`rqlike.wait` and `rqlike.as_completed`: who waits for many jobs learns of each way out, soon, without values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from threading import Thread
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry as Again

from rqlike import Job, Queue, Repeat, Result, Retry, SimpleWorker, Waited, as_completed, clock, wait
from rqlike.exceptions import WaitDeadlock, WaitTimeout
from rqlike.fields import JOB
from rqlike.outcomes import Outcome
from rqlike.records import Execution
from rqlike.running.current import current_job
from rqlike.states import JobStatus, Reason
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.conftest import AnyServer
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, Waiting, blocked, claim, counting_client, scripts_sent, settle, waiting

AT_ONCE_S = 0.25
WORDS = ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION")
VALUE = Outcome(value=b"\x07")
FAILURE = Outcome(Reason.EXCEPTION, None, "Traceback: boom", "ValueError")
Jobs = list[Job[Any]]


def enqueued(queue: Queue, count: int, **options: Any) -> Jobs:
    """Jobs that return None."""
    return list(queue.enqueue_many([Queue.prepare_data(tasks.nothing, **options) for _ in range(count)]))


def started(queue: Queue, jobs: Sequence[Job[Any]]) -> list[Execution]:
    """Their executions, all under way."""
    found = {one.job_id: one for one in (claim(queue, f"w{number}") for number in range(len(jobs)))}
    return [found[job.id] for job in jobs]


def looks(jobs: Iterable[Job[Any]], **options: Any) -> Waited[Any]:
    """What one look tells."""
    return wait(jobs, 0, **options)


def now_s(queue: Queue) -> float:
    """The server's time."""
    seconds, microseconds = queue.store.client.time()
    return float(seconds + microseconds / 1_000_000)


# -- what is waited for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_all_completed_returns_when_the_last_one_has_ended_in_whatever_order(
    queue: Queue, client: redis.Redis, order: tuple[int, ...]
) -> None:
    jobs = enqueued(queue, 4)
    executions = started(queue, jobs)
    waiter = waiting(client, lambda: wait(jobs, 10))
    for number in order[:3]:
        settle(queue, executions[number], VALUE)
    blocked(client)
    assert not waiter.ends
    before = time.monotonic()
    settle(queue, executions[order[3]], FAILURE)
    assert waiter.outcomes() == [(jobs, [])]
    assert waiter.last_end() - before <= AT_ONCE_S


def test_first_completed_returns_with_the_first_that_has_ended(queue: Queue, client: redis.Redis) -> None:
    jobs = enqueued(queue, 3)
    executions = started(queue, jobs)
    waiter = waiting(client, lambda: wait(jobs, 10, "FIRST_COMPLETED"))
    before = time.monotonic()
    settle(queue, executions[1], VALUE)
    assert waiter.outcomes() == [([jobs[1]], [jobs[0], jobs[2]])]
    assert waiter.last_end() - before <= AT_ONCE_S
    assert wait(jobs, 10, "FIRST_COMPLETED").done == [jobs[1]], "which it is already"


def test_first_exception_waits_on_after_values_and_returns_with_the_first_failure(
    queue: Queue, client: redis.Redis
) -> None:
    jobs = enqueued(queue, 4)
    executions = started(queue, jobs)
    waiter = waiting(client, lambda: wait(jobs, 10, "FIRST_EXCEPTION"))
    settle(queue, executions[3], VALUE)
    settle(queue, executions[0], VALUE)
    blocked(client)
    assert not waiter.ends
    settle(queue, executions[1], FAILURE)
    assert waiter.outcomes() == [([jobs[0], jobs[1], jobs[3]], [jobs[2]])]
    settle(queue, executions[2], VALUE)
    assert not looks(jobs, return_when="FIRST_EXCEPTION").not_done


def test_a_result_is_a_named_tuple_and_the_values_come_by_fetch_many(queue: Queue, work: Work) -> None:
    jobs = [queue.enqueue(tasks.echo, number) for number in range(3)]
    work()
    waited = wait(jobs, 10)
    assert waited == Waited(jobs, [])
    assert waited.done is not jobs
    assert [result and result.return_value for result in Result.fetch_many(waited.done)] == [0, 1, 2]
    assert [job.wait(0) for job in waited.done] == [0, 1, 2]


def test_the_lists_are_in_the_order_of_the_input_and_keep_what_is_given_twice(queue: Queue) -> None:
    a, b, c = enqueued(queue, 3)
    c.cancel()
    a.cancel()
    waited = looks([c, b, a, b, c])
    assert [list(map(id, part)) for part in waited] == [[id(c), id(a), id(c)], [id(b), id(b)]]
    assert looks(one for one in (b, a)) == ([a], [b]), "any iterable will do"


def test_handles_are_not_refreshed(queue: Queue, work: Work) -> None:
    jobs = enqueued(queue, 2)
    work()
    assert wait(jobs, 10).done == jobs
    assert [job.get_status(refresh=False) for job in jobs] == [JobStatus.QUEUED] * 2


# -- ways out ----------------------------------------------------------------------------------------------------------


def finishes(queue: Queue, job: Job[Any]) -> None:
    settle(queue, claim(queue, "z"), Outcome(value=b"\xc0"))


def fails(queue: Queue, job: Job[Any]) -> None:
    settle(queue, claim(queue, "z"), FAILURE)


def is_stopped(queue: Queue, job: Job[Any]) -> None:
    settle(queue, claim(queue, "z"), Outcome(Reason.STOPPED))


def is_canceled(queue: Queue, job: Job[Any]) -> None:
    job.cancel()


def is_canceled_while_it_runs(queue: Queue, job: Job[Any]) -> None:
    settle(queue, claim(queue, "z"), Outcome(Reason.CANCELED))


def is_deleted(queue: Queue, job: Job[Any]) -> None:
    job.delete()


def is_emptied(queue: Queue, job: Job[Any]) -> None:
    queue.empty()


def is_swept_away(queue: Queue, job: Job[Any]) -> None:
    later = round(job.created_at.timestamp() * 1000) + 60_001
    queue.store.run(turns.advance(Turn("z", "z-1", 1, ("q",), want=0, sweep=True), now_ms=later))


def is_finished_and_enqueued_again(queue: Queue, job: Job[Any]) -> None:
    finishes(queue, job)
    queue.enqueue(tasks.nothing, job_id=job.id)


def fails_and_is_requeued(queue: Queue, job: Job[Any]) -> None:
    fails(queue, job)
    Job.fetch(job.id, queue.connection, queue.store.namespace).requeue()


def is_canceled_and_requeued(queue: Queue, job: Job[Any]) -> None:
    job.cancel()
    Job.fetch(job.id, queue.connection, queue.store.namespace).requeue()


Act = Callable[[Queue, Job[Any]], None]
#: act, options of the job, whether it ended well
WAYS: list[tuple[Act, dict[str, Any], bool]] = [
    (finishes, {}, True),
    (finishes, {"result_ttl": 0}, True),
    (finishes, {"repeat": Repeat(1)}, True),
    (is_finished_and_enqueued_again, {}, True),
    (fails, {}, False),
    (fails, {"retry": Retry(1), "attempts": 2}, False),
    (fails_and_is_requeued, {}, False),
    (is_stopped, {}, False),
    (is_canceled, {}, False),
    (is_canceled_while_it_runs, {}, False),
    (is_canceled_and_requeued, {}, False),
    (is_deleted, {}, False),
    (is_emptied, {}, False),
    (is_swept_away, {"ttl": 60}, False),
]


def way_name(value: object) -> str:
    if isinstance(value, dict):
        return "-".join(value)
    return str(getattr(value, "__name__", value))


@pytest.mark.parametrize(("act", "options", "well"), WAYS, ids=way_name)
def test_every_way_out_ends_the_wait_at_once_and_one_without_a_return_is_an_exception(
    queue: Queue, client: redis.Redis, act: Act, options: dict[str, Any], well: bool
) -> None:
    left = dict(options)
    attempts = left.pop("attempts", 1)
    (other,) = enqueued(queue, 1)
    busy = claim(queue, "busy")
    job = queue.enqueue(tasks.nothing, **left)
    for _ in range(attempts - 1):
        settle(queue, claim(queue, "y"), FAILURE)
    handles = [other, job]
    first_exception = partial(wait, handles, 10, "FIRST_EXCEPTION")
    waiters = [
        Waiting(lambda: wait([job], 10)).start(),
        Waiting(lambda: wait(handles, 10, "FIRST_COMPLETED")).start(),
        Waiting(lambda: next(as_completed(handles, 10))).start(),
    ]
    careful = [Waiting(first_exception).start()]
    blocked(client, 4)
    before = time.monotonic()
    act(queue, job)
    assert [waiter.outcomes() for waiter in waiters] == [[([job], [])], [([job], [other])], [job]]
    assert max(waiter.last_end() for waiter in waiters) - before <= AT_ONCE_S
    assert looks(handles) == ([job], [other]), "as who comes later sees it"
    careful.append(Waiting(first_exception).start())
    if well:
        blocked(client, 2)
        assert not any(waiter.ends for waiter in careful)
        settle(queue, busy, FAILURE)
    assert [waiter.outcomes() for waiter in careful] == [[(handles, []) if well else ([job], [other])]] * 2


def test_an_attempt_that_is_retried_ends_no_wait(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.nothing, retry=Retry(1))
    waiters = [Waiting(partial(wait, [job], 10, word)).start() for word in WORDS]
    blocked(client, 3)
    settle(queue, claim(queue), FAILURE)
    blocked(client, 3)
    assert not any(waiter.ends for waiter in waiters)
    assert looks([job]) == ([], [job])
    second = claim(queue, "w2")
    settle(queue, second, VALUE)
    assert [waiter.outcomes(1.0) for waiter in waiters] == [[([job], [])]] * 3


def test_jobs_whose_ttl_is_over_are_expired_though_no_worker_runs(queue: Queue) -> None:
    (other,) = enqueued(queue, 1)
    late = [enqueued(queue, 3, ttl=0.3) for _ in WORDS]
    before = time.monotonic()
    waiters = [
        Waiting(partial(wait, jobs if word == "ALL_COMPLETED" else [other, *jobs], 10, word)).start()
        for word, jobs in zip(WORDS, late, strict=True)
    ]
    for waiter, jobs in zip(waiters, late, strict=True):
        (found,) = waiter.outcomes()
        assert isinstance(found, Waited)
        assert jobs[0] in found.done
        assert jobs[0].get_status() is JobStatus.EXPIRED
    assert waiters[0].outcomes() == [(late[0], [])]
    assert all(0.3 <= waiter.last_end() - before <= 0.8 for waiter in waiters)


def test_a_look_expires_nothing(queue: Queue) -> None:
    jobs = enqueued(queue, 1, ttl=0.001)
    eventually(lambda: now_s(queue) > jobs[0].created_at.timestamp() + 0.1)
    assert looks(jobs) == ([], jobs)
    assert jobs[0].get_status() is JobStatus.QUEUED


def test_an_expiry_that_cannot_be_written_is_left_to_a_worker_and_stops_nothing(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        jobs = enqueued(queue, 2, ttl=0.1)
        client.set(queue.store.keys.home("expired", "q"), "not a sorted set")
        Counting.sent.clear()
        assert wait(jobs, 0.4) == ([], jobs)
        assert len(Counting.sent) < 12


def test_a_job_that_is_gone_without_a_trace_is_done(queue: Queue, client: redis.Redis) -> None:
    jobs = enqueued(queue, 2)
    client.delete(jobs[0].key)
    assert looks(jobs) == ([jobs[0]], [jobs[1]])
    before = time.monotonic()
    assert wait(jobs, 10, "FIRST_EXCEPTION").done == [jobs[0]]
    assert time.monotonic() - before < AT_ONCE_S


def test_a_job_that_vanishes_without_a_word_is_noticed_at_the_next_look_whatever_the_clients_socket_timeout(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rqlike.store.gathering.BLOCK_S", 0.7)  # 4 s is long for a test
    with server.client(socket_timeout=0.3, decode_responses=True) as client, server.client() as watcher:
        jobs = enqueued(Queue("q", client, namespace=namespace), 2)
        waiters = [Waiting(partial(wait, jobs, 10, word)).start() for word in WORDS]
        waiters.append(Waiting(lambda: Waited(list(as_completed(jobs, 10)), [])).start())
        blocked(watcher, 4)
        before = time.monotonic()
        watcher.delete(*(job.key for job in jobs))
        assert [waiter.outcomes(6.0) for waiter in waiters] == [[(jobs, [])]] * 4
        assert 0.5 <= max(waiter.last_end() for waiter in waiters) - before <= 1.2


def test_an_id_that_is_borne_by_a_newer_job_is_done_and_no_success(queue: Queue, client: redis.Redis) -> None:
    old = queue.enqueue(tasks.nothing, job_id="a")
    old.delete()
    began = client.time()
    eventually(lambda: client.time() > (began[0], began[1] + 1000), interval=0.001)  # a later millisecond
    new = queue.enqueue(tasks.nothing, job_id="a")
    assert [list(map(id, part)) for part in looks([old, new])] == [[id(old)], [id(new)]]
    settle(queue, claim(queue), VALUE)
    (other,) = enqueued(queue, 1)
    before = time.monotonic()
    waited = wait([old, new, other], 10, "FIRST_EXCEPTION")
    assert time.monotonic() - before < AT_ONCE_S
    assert [list(map(id, part)) for part in waited] == [[id(old), id(new)], [id(other)]]


def test_handles_of_two_cycles_of_one_job_are_told_apart(queue: Queue, client: redis.Redis) -> None:
    first = queue.enqueue(tasks.nothing, job_id="a")
    settle(queue, claim(queue), VALUE)
    second = queue.enqueue(tasks.nothing, job_id="a")
    assert [list(map(id, part)) for part in looks([second, first])] == [[id(first)], [id(second)]]
    waiter = waiting(client, lambda: list(as_completed([second, first], 10)))
    settle(queue, claim(queue, "w2"), VALUE)
    (found,) = waiter.outcomes()
    assert isinstance(found, list)
    assert list(map(id, found)) == [id(first), id(second)]


def test_a_handle_that_has_seen_the_end_asks_no_server(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        ended = [Queue("q", client, is_async=False, namespace=namespace).enqueue(tasks.nothing)]
        Counting.sent.clear()
        assert wait(ended) == wait(ended, 10, "FIRST_EXCEPTION") == (ended, [])
        assert list(as_completed(ended)) == ended
        assert not Counting.sent


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "seconds"), list(zip(WORDS, (0.25, "250ms", 0.25), strict=True)))
def test_fractions_of_a_second_are_kept(queue: Queue, word: str, seconds: Any) -> None:
    jobs = enqueued(queue, 2)
    before = time.monotonic()
    assert wait(jobs, seconds, word) == ([], jobs)
    assert 0.24 <= time.monotonic() - before <= 0.5


def test_zero_looks_once_and_does_not_block(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        jobs = enqueued(queue, 3)
        jobs[1].cancel()
        Counting.sent.clear()
        assert wait(jobs, 0) == ([jobs[1]], [jobs[0], jobs[2]])
        assert len(Counting.sent) == 1


def test_what_ends_just_before_the_time_is_over_is_told(queue: Queue, client: redis.Redis) -> None:
    jobs = enqueued(queue, 3)
    waiter = waiting(client, lambda: wait(jobs, 0.25))
    jobs[0].cancel()  # who waits for all of them does not look at this one yet
    assert waiter.outcomes() == [([jobs[0]], jobs[1:])]


def test_what_ends_in_time_is_told_where_the_look_at_another_one_takes_the_rest_of_the_time(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = enqueued(queue, 2)
    first, last = started(queue, jobs)
    store, mono = jobs[0].store, clock.mono
    at_first, again = store.run_each, store.look_each

    def one_ends_after_the_first_look(requests: Any) -> Any:
        yield from at_first(requests)
        settle(queue, last, VALUE)

    def time_is_over_after_the_second(requests: Any) -> Any:
        yield from again(requests)
        if last.job_id not in ended:
            ended.append(last.job_id)
            settle(queue, first, VALUE)
            monkeypatch.setattr(clock, "mono", lambda: mono() + 10)

    ended: list[str] = []
    monkeypatch.setattr(store, "run_each", one_ends_after_the_first_look)
    monkeypatch.setattr(store, "look_each", time_is_over_after_the_second)
    assert wait(jobs, 9) == (jobs, [])


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_any_kind_of_client_can_wait(server: Server, namespace: str, protocol: int, decode_responses: bool) -> None:
    with server.client(protocol=protocol, decode_responses=decode_responses) as client, server.client() as watcher:
        queue = Queue("q", client, namespace=namespace)
        jobs = [queue.enqueue(tasks.nothing, job_id=name) for name in ("väl", "b")]
        waiters = [Waiting(lambda: wait(jobs, 10)).start(), Waiting(lambda: list(as_completed(jobs, 10))).start()]
        blocked(watcher, 2)
        settle(queue, claim(queue), VALUE)
        jobs[1].cancel()
        assert waiters[0].outcomes() == [(jobs, [])]
        assert waiters[1].outcomes() == [jobs]


def test_every_kind_of_server_can_be_waited_on(any_server: AnyServer, namespace: str) -> None:
    client = any_server.client()
    queue = Queue("q", client, namespace=namespace)
    jobs = enqueued(queue, 3)
    assert wait(jobs, 0.1) == ([], jobs)
    with pytest.raises(WaitTimeout):
        next(as_completed(jobs, 0.1))
    SimpleWorker(["q"], connection=client, namespace=namespace).work(burst=True, logging_level=None)
    assert wait(jobs, 10) == (jobs, [])
    assert list(as_completed(jobs, 10)) == jobs


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [wait, as_completed])
def test_jobs_of_several_places_are_refused_at_once(server: Server, namespace: str, call: Any) -> None:
    with server.client() as client, server.client() as second, server.client(db=1) as elsewhere:
        (job,) = enqueued(Queue("q", client, namespace=namespace), 1)
        (near,) = enqueued(Queue("other", second, namespace=namespace), 1)
        (strange,) = enqueued(Queue("q", client, namespace=f"{namespace}-2"), 1)
        (far,) = enqueued(Queue("q", elsewhere, namespace=namespace), 1)
        for other in (strange, far):
            with pytest.raises(ValueError, match="several servers or namespaces"):
                call([job, other], 0)
            other.delete()
        call([job, near], 0)


@pytest.mark.parametrize("seconds", [-1, float("nan"), True, "soon"])
@pytest.mark.parametrize("call", [wait, as_completed])
def test_a_timeout_that_means_nothing_is_refused_at_once(queue: Queue, call: Any, seconds: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        call(enqueued(queue, 1), seconds)


@pytest.mark.parametrize("call", [wait, as_completed])
def test_what_is_no_job_is_refused_at_once(queue: Queue, call: Any) -> None:
    (job,) = enqueued(queue, 1)
    for given, said in (([job, None], r"jobs\[1\] is NoneType"), ([job.id], r"jobs\[0\] is str"), (job, "this is one")):
        with pytest.raises(TypeError, match=said):
            call(given, 0)


def test_a_word_of_no_meaning_is_refused(queue: Queue) -> None:
    with pytest.raises(ValueError, match="return_when='all' is none of"):
        wait(enqueued(queue, 1), 0, "all")


def test_nothing_to_wait_for_is_done_at_once() -> None:
    for word in WORDS:
        assert wait([], return_when=word) == ([], [])
    assert list(as_completed(iter(()))) == []


# -- as_completed ------------------------------------------------------------------------------------------------------


def test_what_is_done_comes_first_and_the_others_in_the_order_in_which_they_end(queue: Queue) -> None:
    jobs = enqueued(queue, 5)
    executions = started(queue, jobs)
    for number in (3, 1):
        settle(queue, executions[number], VALUE)
    found = as_completed(jobs, 10)
    assert [next(found), next(found)] == [jobs[1], jobs[3]]
    for number in (4, 0, 2):
        settle(queue, executions[number], FAILURE)
        assert next(found) is jobs[number]
    assert list(found) == []


def test_the_time_out_names_who_is_pending(queue: Queue) -> None:
    jobs = enqueued(queue, 9)
    jobs[4].cancel()
    found = as_completed([*jobs, jobs[4], jobs[0]], 0.2)
    assert next(found) is jobs[4], "once, though it is given twice"
    with pytest.raises(
        WaitTimeout, match=f"8 of 9 jobs did not end within 200ms: {jobs[0].id}, .* and 3 more"
    ) as caught:
        next(found)
    assert caught.value.pending == [*jobs[:4], *jobs[5:]]
    assert caught.value.code == "wait_timeout"


def test_the_time_counts_from_the_call(queue: Queue) -> None:
    jobs = enqueued(queue, 2)
    found = as_completed(jobs, 0.2)
    wait(jobs, 0.2)  # the time that passes
    jobs[1].cancel()
    before = time.monotonic()
    assert next(found) is jobs[1], "one look there is in any case"
    with pytest.raises(WaitTimeout):
        next(found)
    assert time.monotonic() - before < 0.15


def test_a_slow_consumer_gets_all_of_them_and_no_values_travel_meanwhile(queue: Queue, client: redis.Redis) -> None:
    jobs = enqueued(queue, 21)
    executions = started(queue, jobs)
    settle(queue, executions[20], VALUE)
    found = as_completed(jobs, 10)
    assert next(found) is jobs[20]
    for execution in executions[:20]:
        settle(queue, execution, Outcome(value=b"\xc6" + (100_000).to_bytes(4, "big") + bytes(100_000)))
    wait(enqueued(queue, 1), 0.15)  # the time that passes
    before = int(client.info("stats")["total_net_output_bytes"])
    assert list(found) == jobs[:20]
    assert int(client.info("stats")["total_net_output_bytes"]) - before < 100_000


# -- what it costs, and what happens meanwhile -------------------------------------------------------------------------


def connections(client: redis.Redis) -> set[str]:
    """The ids of those that are open; one that a test before this one has left may close at any time."""
    return {one["id"] for one in client.client_list()}


@pytest.mark.parametrize("call", [wait, lambda jobs, seconds: Waited(list(as_completed(jobs, seconds)), [])])
def test_a_thousand_jobs_that_end_at_once_cost_few_calls_one_read_and_one_connection(
    server: Server, namespace: str, call: Any
) -> None:
    with counting_client(server) as client, server.client() as other:
        jobs = enqueued(Queue("q", client, namespace=namespace), 1000)
        before = connections(other)
        Counting.sent.clear()
        waiter = Waiting(lambda: call(jobs, 10)).start()
        blocked(other)
        assert len(connections(other) - before) == 1
        assert Queue("q", other, namespace=namespace).empty() == 1000
        (found,) = waiter.outcomes()
        assert isinstance(found, Waited)
        assert set(found.done) == set(jobs) and not found.not_done
        assert scripts_sent() <= 15
        assert sum(b"XREAD" in command for command in Counting.sent) <= 4


def test_who_waits_for_all_reads_no_value_but_one(queue: Queue, client: redis.Redis) -> None:
    jobs = enqueued(queue, 20)
    executions = started(queue, jobs)
    waiter = waiting(client, lambda: wait(jobs, 10))
    before = int(client.info("stats")["total_net_output_bytes"])
    for execution in executions:
        settle(queue, execution, Outcome(value=b"\xc6" + (100_000).to_bytes(4, "big") + bytes(100_000)))
    assert waiter.outcomes() == [(jobs, [])]
    assert int(client.info("stats")["total_net_output_bytes"]) - before < 250_000


@pytest.mark.parametrize("word", ["FIRST_COMPLETED", "FIRST_EXCEPTION"])
def test_the_last_of_hundreds_wakes_as_well_as_the_first(queue: Queue, client: redis.Redis, word: str) -> None:
    jobs = enqueued(queue, 600)
    for number in (599, 0):
        left = [job for job in jobs if job is not jobs[599] or number == 599]
        waiter = waiting(client, lambda: wait(left, 10, word))  # noqa: B023  # it ends within the turn
        before = time.monotonic()
        jobs[number].cancel()
        (found,) = waiter.outcomes()
        assert isinstance(found, Waited)
        assert found.done == [jobs[number]]
        assert waiter.last_end() - before <= AT_ONCE_S


@pytest.mark.parametrize("word", WORDS)
def test_what_ends_between_the_look_and_the_read_is_seen(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    jobs = enqueued(queue, 2)
    (first,) = started(queue, jobs[:1])
    read = queue.store.block_for_any
    acts: list[Callable[[], object]] = [lambda: settle(queue, first, FAILURE), lambda: jobs[1].cancel()]

    def late(after: Any, seconds: float) -> list[str] | None:
        if acts:
            acts.pop()()
        return read(after, seconds)

    monkeypatch.setattr(queue.store, "block_for_any", late)
    before = time.monotonic()
    assert jobs[1] in wait(jobs, 10, word).done
    assert time.monotonic() - before <= 2 * AT_ONCE_S


@pytest.fixture(params=["wait", "as_completed"])
def all_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Jobs], set[Job[Any]]]]:
    """Waits for all, in one way or the other."""
    yield (
        (lambda jobs: set(wait(jobs, 20).done)) if request.param == "wait" else lambda jobs: set(as_completed(jobs, 20))
    )


def test_a_wait_survives_a_cut_connection_and_a_server_that_forgot_its_scripts(
    queue: Queue, client: redis.Redis, all_of: Callable[[Jobs], set[Job[Any]]]
) -> None:
    jobs = enqueued(queue, 3)
    waiter = waiting(client, lambda: all_of(jobs))
    client.script_flush()
    jobs[0].cancel()
    blocked(client)
    for one in client.client_list():
        if one["cmd"] == "xread":
            client.client_kill_filter(_id=one["id"])
    blocked(client)
    jobs[2].cancel()
    jobs[1].delete()
    assert waiter.outcomes() == [set(jobs)]


def test_a_server_that_restarts_meanwhile_is_waited_for(
    own_server: Server, namespace: str, all_of: Callable[[Jobs], set[Job[Any]]]
) -> None:
    with own_server.client() as client:
        queue = Queue("q", client, namespace=namespace)
        jobs = enqueued(queue, 2)
        waiter = waiting(client, lambda: all_of(jobs))
        own_server.kill()
        own_server.start()
        blocked(client)
        settle(queue, claim(queue), VALUE)
        jobs[1].cancel()
        assert waiter.outcomes() == [set(jobs)]


def test_who_waits_on_a_server_that_comes_back_empty_learns_it_at_once(
    own_server: Server, namespace: str, all_of: Callable[[Jobs], set[Job[Any]]]
) -> None:
    with own_server.client() as client:
        jobs = enqueued(Queue("q", client, namespace=namespace), 2)
        waiter = waiting(client, lambda: all_of(jobs))
        own_server.kill()
        own_server.options["appendonly"] = "no"
        own_server.start()
        assert waiter.outcomes(2.0) == [set(jobs)]


@pytest.mark.parametrize("call", [wait, lambda jobs, seconds: list(as_completed(jobs, seconds))])
def test_a_server_that_stays_away_is_an_error_at_the_timeout_and_at_first_an_error_at_once(
    own_server: Server, namespace: str, call: Any
) -> None:
    stubborn, hasty_retry = Again(ConstantBackoff(1), 9), Again(NoBackoff(), 0)
    with own_server.client(retry=stubborn) as client, own_server.client(retry=hasty_retry) as hasty:
        jobs = enqueued(Queue("q", client, namespace=namespace), 2)
        others = enqueued(Queue("q", hasty, namespace=namespace), 2)
        waiter = waiting(client, lambda: call(jobs, 0.5))
        own_server.kill()
        before = time.monotonic()
        with pytest.raises(redis.ConnectionError):
            call(others, 30)
        assert time.monotonic() - before < 0.5
        (outcome,) = waiter.outcomes(2.0)
        assert isinstance(outcome, redis.ConnectionError | redis.TimeoutError)
        assert waiter.last_end() - before <= 1.0, "whatever the retries of its client"


@pytest.mark.parametrize("word", ["ALL_COMPLETED", "FIRST_COMPLETED"])
def test_what_is_no_history_keeps_no_other_from_being_seen(queue: Queue, client: redis.Redis, word: str) -> None:
    jobs = enqueued(queue, 3)
    client.set(queue.store.keys.results(jobs[0].id), "a string")
    asked = jobs if word == "FIRST_COMPLETED" else jobs[1:]
    waiter = waiting(client, lambda: wait(asked, 10, word))
    client.set(queue.store.keys.results(jobs[1].id), "a string, since the look")
    client.delete(jobs[1].key)
    before = time.monotonic()
    jobs[2].cancel()
    (found,) = waiter.outcomes()
    assert isinstance(found, Waited)
    assert jobs[2] in found.done
    assert waiter.last_end() - before <= AT_ONCE_S
    assert wait(jobs[:1], 0.2) == ([], jobs[:1]), "nothing to block on, and no loop"


# -- inside a job ------------------------------------------------------------------------------------------------------

Gather = Callable[[Jobs, float], object]
GATHERS: dict[str, Gather] = {
    "all": lambda jobs, timeout: wait(jobs, timeout),
    "first": lambda jobs, timeout: wait(jobs, timeout, "FIRST_COMPLETED"),
    "exception": lambda jobs, timeout: wait(jobs, timeout, "FIRST_EXCEPTION"),
    "each": lambda jobs, timeout: list(as_completed(jobs, timeout)),
}
EACH_GATHER = pytest.mark.parametrize("way", GATHERS)


@pytest.fixture
def inside(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job[Any]]:
    """A job on the only horse of the only worker, in which the test runs; a second is a fiftieth of one."""
    monkeypatch.setattr("rqlike.store.gathering.EYE_S", 0.02)
    monkeypatch.setattr("rqlike.standoff._NEARLY_S", 0.01)
    queue.store.run(turns.register("w", "w-1", {"host": "h", "queues": ["q"], "concurrency": 1}))
    queue.enqueue(tasks.nothing, job_id="inside")
    job: Job[Any] = Job(claim(queue).job, queue.store)
    with current_job(job):
        yield job


def running_elsewhere(queue: Queue) -> tuple[Queue, Job[Any], Execution]:
    """A job of another queue that a worker of its own runs."""
    other = Queue("p", queue.connection, namespace=queue.store.namespace)
    other.store.run(turns.register("v", "v-1", {"host": "h", "queues": ["p"], "concurrency": 1}))
    job = other.enqueue(tasks.nothing)
    return other, job, claim(other, "v")


def says_that_it_waits(job: Job[Any]) -> bool:
    return bool(job.connection.hexists(job.key, JOB["awaits"]))


@EACH_GATHER
def test_a_wait_for_jobs_that_no_horse_is_left_to_run_is_told(queue: Queue, inside: Job[Any], way: str) -> None:
    jobs = enqueued(queue, 600)
    with pytest.raises(WaitDeadlock, match="every horse that serves queue 'q'") as caught:
        GATHERS[way](jobs, 20)
    assert (caught.value.job_id, caught.value.waiting) == (jobs[0].id, ("inside",))
    assert list(caught.value.pending) == jobs
    assert not says_that_it_waits(inside)


@EACH_GATHER
def test_it_goes_on_while_one_of_them_may_end_where_that_is_enough(queue: Queue, inside: Job[Any], way: str) -> None:
    _, running, _ = running_elsewhere(queue)
    jobs = [*enqueued(queue, 2), running]
    with pytest.raises(WaitTimeout) if way in ("all", "each") else nullcontext() as caught:
        GATHERS[way](jobs, 0.3)
    assert isinstance(caught and caught.value, WaitDeadlock) == (way == "all")


def test_while_a_job_works_on_one_of_them_it_does_not_say_that_it_waits(queue: Queue, inside: Job[Any]) -> None:
    other, running, execution = running_elsewhere(queue)
    (idle,) = enqueued(queue, 1)

    def end_it() -> None:
        eventually(lambda: says_that_it_waits(inside), interval=0.01)
        assert settle(other, execution, VALUE).startswith("ok")

    ending = Thread(target=end_it)
    ending.start()
    found = as_completed([idle, running], 20)
    assert next(found) == running
    ending.join()
    assert not says_that_it_waits(inside)
    with pytest.raises(WaitDeadlock):
        next(found)


def test_a_job_that_waits_for_itself_among_others_is_told_where_all_are_to_end(queue: Queue, inside: Job[Any]) -> None:
    _, running, _ = running_elsewhere(queue)
    for way, jobs in (("all", [running, inside]), ("each", [inside])):
        with pytest.raises(WaitDeadlock, match="Job inside waits for itself"):
            GATHERS[way](jobs, 20)
    assert GATHERS["first"]([running, inside], 0.2) == ([], [running, inside])


def test_outside_of_a_job_nobody_looks_for_that(queue: Queue) -> None:
    queue.store.run(turns.register("w", "w-1", {"host": "h", "queues": ["q"], "concurrency": 1}))
    queue.enqueue(tasks.nothing)
    claim(queue)
    assert wait(enqueued(queue, 1), 0.1).done == []
