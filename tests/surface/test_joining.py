"""`enqueue_and_wait` and `enqueue_or_join`: one id, one run, one answer for all who ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rqlike import Job, JobStatus, Queue, clock
from rqlike.exceptions import (
    DeserializationError,
    DuplicateJobError,
    JobExpired,
    JobFailed,
    WaitTimeout,
)
from rqlike.fields import ENTRY, JOB
from rqlike.running.current import current_job
from rqlike.standoff import eye_on_horses
from rqlike.store.waiting import wait_for
from rqlike.store.wishes import Wish
from tests.process.workers import Stable
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.racers import race
from tests.surface.waiters import Counting, at_once, claim, counting_client, scripts_sent

# -- joining -----------------------------------------------------------------------------------------------------------


def test_who_comes_first_enqueues_and_the_others_join(queue: Queue, work: Work) -> None:
    first = queue.enqueue_or_join(tasks.add, 1, 2, job_id="a", meta={"first": True}, ttl=60)
    second = queue.enqueue_or_join(tasks.add, 1, 2, job_id="a", meta={"first": False})
    assert (first.how, second.how, first.job == second.job, queue.count) == ("queued", "joined", True, 1)
    assert (second.job.meta, second.job.ttl) == ({"first": True}, 60)
    work()
    third = queue.enqueue_or_join(tasks.add, 1, 2, job_id="a")
    assert (third.how, third.job.wait(timeout=0), third.job.cycle) == ("cached", 3, 1)
    assert [joined.job.wait(timeout=0) for joined in (first, second)] == [3, 3]


def test_none_is_a_value_that_is_cached(queue: Queue, work: Work) -> None:
    queue.enqueue_or_join(tasks.nothing, job_id="a")
    work()
    again = queue.enqueue_or_join(tasks.nothing, job_id="a")
    assert (again.how, again.job.wait(timeout=0)) == ("cached", None)


@pytest.mark.parametrize("way", ["canceled", "expired", "deleted", "vanished"])
def test_what_left_without_a_value_is_run_again(queue: Queue, work: Work, way: str) -> None:
    options: dict[str, Any] = {"result_ttl": 0} if way == "vanished" else {}
    job = queue.enqueue_or_join(tasks.add, 1, job_id="a", **options).job
    if way == "canceled":
        job.cancel()
    elif way == "deleted":
        job.delete()
    elif way == "expired":
        job.cancel()
        queue.connection.hset(job.key, "s", "expired")
        queue.connection.rename(queue.store.keys.home("canceled", "q"), queue.store.keys.home("expired", "q"))
    else:
        work()
    again = queue.enqueue_or_join(tasks.add, 1, job_id="a")
    work()
    assert (again.how, again.job.wait(timeout=0)) == ("queued", 1)


def test_what_failed_is_run_again_or_told_as_the_caller_likes(queue: Queue, work: Work) -> None:
    queue.enqueue_or_join(tasks.fail, "why", job_id="a")
    work()
    with pytest.raises(JobFailed) as caught:
        queue.enqueue_or_join(tasks.fail, "why", job_id="a", on_failed="raise")
    assert "ValueError: why" in caught.value.result.exc_string
    again = queue.enqueue_or_join(tasks.fail, "why", job_id="a")
    assert (again.how, again.job.cycle) == ("queued", 2)
    with pytest.raises(ValueError, match="'rerun', 'raise', not 'ignore'"):
        queue.enqueue_or_join(tasks.fail, "why", job_id="a", on_failed="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["queued", "finished", "failed"])
def test_the_id_of_another_call_is_refused(queue: Queue, work: Work, state: str) -> None:
    queue.enqueue(tasks.fail if state == "failed" else tasks.add, 1, job_id="a")
    if state != "queued":
        work()
    on_failed: Any = "raise"
    for call in ((tasks.add, 2), (tasks.echo, 1)):
        with pytest.raises(
            DuplicateJobError, match=rf"Job a is {state}, and is of another call, tests.*\(1\)"
        ) as caught:
            queue.enqueue_or_join(*call, job_id="a", on_failed=on_failed)
        assert (caught.value.job_id, caught.value.status) == ("a", state)


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_the_same_call_may_list_its_mappings_in_another_order(
    client: redis.Redis, namespace: str, serializer: str
) -> None:
    queue = Queue("q", client, namespace=namespace, serializer=serializer)
    queue.enqueue_or_join(tasks.anything, {"x": 1, "y": [2]}, job_id="a", z=1, w=2)
    again = queue.enqueue_or_join(tasks.anything, {"y": [2], "x": 1}, job_id="a", w=2, z=1)
    assert again.how == "joined"


def test_a_function_and_its_path_are_the_same_call(queue: Queue) -> None:
    queue.enqueue_or_join(tasks.add, 1, job_id="a")
    assert queue.enqueue_or_join("tests.surface.tasks.add", 1, job_id="a").how == "joined"
    assert queue.enqueue_or_join("tests.surface.tasks:add", 1, job_id="a").how == "joined"


@pytest.mark.parametrize("other", [True, 1.0])
def test_what_is_equal_in_python_may_be_another_call(queue: Queue, other: object) -> None:
    queue.enqueue_or_join(tasks.add, 1, job_id="a")
    with pytest.raises(DuplicateJobError, match="of another call"):
        queue.enqueue_or_join(tasks.add, other, job_id="a")


def test_an_id_that_is_none_is_refused_where_work_is_to_be_joined(queue: Queue) -> None:
    with pytest.raises(TypeError, match="a job id is a str"):
        queue.enqueue_or_join(tasks.add, 1, job_id=None)  # type: ignore[arg-type]
    with pytest.raises(WaitTimeout):
        queue.enqueue_and_wait(tasks.add, 1, job_id=None, timeout=0)
    assert queue.count == 1


def test_what_has_ended_within_unique_for_is_cached_or_refused(queue: Queue, work: Work) -> None:
    key: dict[str, Any] = {"unique_key": "k", "unique_for": 60}
    queue.enqueue(tasks.add, 1, job_id="a", **key)
    work()
    assert [queue.enqueue_or_join(tasks.add, 1, job_id=name, **key).how for name in "ab"] == ["cached"] * 2
    queue.enqueue(tasks.add, 2, job_id="c", unique_for=60, unique=True).cancel()
    with pytest.raises(DuplicateJobError, match="Job c is canceled, and its unique key is still held"):
        queue.enqueue_or_join(tasks.add, 2, job_id="c", unique_for=60, unique=True)


def test_a_job_whose_call_cannot_be_read_is_not_joined(queue: Queue) -> None:
    job = queue.enqueue(tasks.add, 1, job_id="a")
    queue.connection.hset(job.key, "c0", "?")
    with pytest.raises(DuplicateJobError, match="whose call cannot be read"):
        queue.enqueue_or_join(tasks.add, 1, job_id="a")


def test_joining_has_its_own_word_for_duplicates(queue: Queue) -> None:
    with pytest.raises(TypeError, match="leave on_duplicate out"):
        queue.enqueue_or_join(tasks.add, 1, job_id="a", on_duplicate="return")


def test_joining_is_one_round_trip_and_waiting_for_what_is_there_one_more(server: Server, namespace: str) -> None:
    client = counting_client(server)
    queue = Queue("q", client, namespace=namespace)
    queue.enqueue_or_join(tasks.add, 1, job_id="a")
    Counting.sent.clear()
    queue.enqueue_or_join(tasks.add, 1, job_id="a")
    assert (len(Counting.sent), scripts_sent()) == (1, 1)


# -- asking and waiting ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stable(valkey_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stable]:
    """One worker with two horses on `served` and one with one on `narrow`, for the tests of this file that need one."""
    made = Stable(valkey_server, "joining", tmp_path_factory.mktemp("joining"))
    made.start("served", concurrency=2)
    made.start("narrow")
    yield made
    made.close()


@pytest.fixture
def served(stable: Stable, client: redis.Redis) -> Queue:
    """A queue that a worker serves."""
    return Queue("served", client, namespace=stable.namespace)


def test_a_call_is_enqueued_and_its_value_returned(served: Queue) -> None:
    assert served.enqueue_and_wait(tasks.add, 1, b=2, timeout=10) == 3
    assert served.enqueue_and_wait("tests.surface.tasks.add", args=(2,), kwargs={"b": 2}) == 4
    assert served.enqueue_and_wait(tasks.nothing) is None


def test_it_takes_two_round_trips(server: Server, stable: Stable) -> None:
    client = counting_client(server)
    queue = Queue("served", client, namespace=stable.namespace)
    queue.enqueue_and_wait(tasks.add, 1)
    sent = []
    for _ in range(5):  # a worker that pauses between two writes makes a waiter look twice
        Counting.sent.clear()
        queue.enqueue_and_wait(tasks.add, 1)
        sent.append(len(Counting.sent))
    assert min(sent) == 2


def test_a_failed_call_raises_with_what_is_known_of_it(served: Queue) -> None:
    with pytest.raises(JobFailed) as caught:
        served.enqueue_and_wait(tasks.fail, "why", timeout=10)
    assert "ValueError: why" in caught.value.result.exc_string


def test_with_an_id_work_that_is_under_way_is_joined_and_done_work_is_not_done_again(
    served: Queue, tmp_path: Path
) -> None:
    path = str(tmp_path / "calls")
    slow = served.enqueue(tasks.nap_and_count, path, 0.3, job_id="slow")
    calls = at_once(lambda _: served.enqueue_and_wait(tasks.nap_and_count, path, 0.3, job_id="slow", timeout=10), 8)
    assert (calls, slow.wait(timeout=5)) == ([1] * 8, 1)
    assert served.enqueue_and_wait(tasks.nap_and_count, path, 0.3, job_id="slow", timeout=0) == 1


def test_failed_work_is_done_again_unless_its_failure_is_wanted(served: Queue, tmp_path: Path) -> None:
    path = str(tmp_path / "calls")
    with pytest.raises(JobFailed):
        served.enqueue_and_wait(tasks.fails_until, path, 2, job_id="flaky", timeout=10)
    with pytest.raises(JobFailed):
        served.enqueue_and_wait(tasks.fails_until, path, 2, job_id="flaky", timeout=10, on_failed="raise")
    assert served.enqueue_and_wait(tasks.fails_until, path, 2, job_id="flaky", timeout=10) == 2


def test_unique_calls_share_one_run_too(served: Queue, tmp_path: Path) -> None:
    path = str(tmp_path / "calls")

    def ask(_: int) -> object:
        return served.enqueue_and_wait(
            tasks.nap_and_count, path, 0.3, unique=True, on_duplicate="return", timeout=10, result_ttl=60
        )

    assert set(at_once(ask, 8)) == {1}


# -- the time is over --------------------------------------------------------------------------------------------------


def test_the_timeout_ends_the_wait_and_not_the_job(queue: Queue, work: Work) -> None:
    with pytest.raises(WaitTimeout, match=r"No worker listens on queue 'q'") as caught:
        queue.enqueue_and_wait(tasks.add, 1, 2, timeout=0.05)
    job = Job.fetch(caught.value.job_id, queue.connection, queue.store.namespace)
    assert (job.get_status(), caught.value.status) == (JobStatus.QUEUED, JobStatus.QUEUED)
    work()
    assert job.wait(timeout=0) == 3


def test_where_it_is_asked_for_a_job_that_was_not_started_in_time_is_canceled(queue: Queue) -> None:
    with pytest.raises(WaitTimeout, match="is canceled now") as caught:
        queue.enqueue_and_wait(tasks.add, 1, timeout=0.05, cancel_on_timeout=True)
    assert caught.value.status is JobStatus.CANCELED
    assert Job.fetch(caught.value.job_id, queue.connection, queue.store.namespace).is_canceled


def test_a_job_that_somebody_else_enqueued_is_not_canceled(queue: Queue) -> None:
    first = queue.enqueue(tasks.add, 1, job_id="a")
    with pytest.raises(WaitTimeout) as caught:
        queue.enqueue_and_wait(tasks.add, 1, job_id="a", timeout=0.05, cancel_on_timeout=True)
    assert (first.get_status(), caught.value.status) == (JobStatus.QUEUED, JobStatus.QUEUED)


def test_a_job_that_has_started_is_not_canceled(served: Queue) -> None:
    with pytest.raises(WaitTimeout) as caught:
        served.enqueue_and_wait(tasks.nap, 0.5, timeout=0.25, cancel_on_timeout=True)
    job = Job.fetch(caught.value.job_id, served.connection, served.store.namespace)
    assert job.wait(timeout=5) == 0.5


def test_with_a_deadline_a_job_does_not_begin_once_nobody_would_hear_of_it(queue: Queue, work: Work) -> None:
    with pytest.raises((WaitTimeout, JobExpired)) as caught:
        queue.enqueue_and_wait(tasks.add, 1, timeout=0.05, deadline=True)
    job = Job.fetch(caught.value.job_id, queue.connection, queue.store.namespace)
    assert job.ttl == 0.05
    eventually(lambda: not work() and job.is_expired, interval=0.01)
    with pytest.raises(TypeError, match="either deadline or ttl"):
        queue.enqueue_and_wait(tasks.add, 1, timeout=1, deadline=True, ttl=5)


@pytest.mark.parametrize("timeout", [None, -1, "soon", True])
def test_a_timeout_that_is_none_is_refused_before_anything_is_written(queue: Queue, timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        queue.enqueue_and_wait(tasks.add, 1, timeout=timeout)
    assert queue.count == 0


def test_without_workers_it_runs_in_the_caller(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, is_async=False, namespace=namespace)
    assert queue.enqueue_and_wait(tasks.add, 1, 2) == 3
    assert queue.enqueue_and_wait(tasks.add, 1, 2, job_id="a") == 3
    assert queue.enqueue_or_join(tasks.add, 1, 2, job_id="a").how == "cached"


# -- waiting inside a job ----------------------------------------------------------------------------------------------


def test_a_job_may_wait_for_another_one_while_a_horse_is_free(served: Queue) -> None:
    assert served.enqueue_and_wait(tasks.asks, served.name, served.store.namespace, timeout=10) == 3


def test_a_job_that_waits_for_one_which_no_horse_is_left_to_run_is_told(stable: Stable, client: redis.Redis) -> None:
    queue = Queue("narrow", client, namespace=stable.namespace)
    job = queue.enqueue(tasks.asks, "narrow", stable.namespace)
    with pytest.raises(JobFailed) as caught:
        job.wait(timeout=10)
    assert caught.value.result.exc_type == "rqlike.exceptions.WaitDeadlock"
    assert "every horse that serves queue 'narrow' runs a job that waits itself" in caught.value.result.exc_string


def test_two_jobs_that_wait_on_all_horses_are_told(served: Queue) -> None:
    one = served.prepare_data(tasks.asks, (served.name, served.store.namespace))
    jobs = served.enqueue_many([one, one])  # in one step, so that neither asks before both are there
    ended = [job.latest_result(timeout=10) for job in jobs]
    assert "rqlike.exceptions.WaitDeadlock" in {result and result.exc_type for result in ended}


def test_a_job_that_waits_for_itself_is_told_at_once(served: Queue) -> None:
    with pytest.raises(JobFailed) as caught:
        served.enqueue_and_wait(tasks.asks_itself, timeout=10)
    assert "waits for itself" in caught.value.result.exc_string


def test_a_job_waits_on_while_another_one_on_the_last_horse_waits_for_what_runs(
    stable: Stable, client: redis.Redis, tmp_path: Path
) -> None:
    narrow, served = (Queue(name, client, namespace=stable.namespace) for name in ("narrow", "served"))
    work = served.enqueue(tasks.nap, 2.8)
    leader = narrow.enqueue(tasks.waits_for, work.id)
    eventually(lambda: leader.get_status() is JobStatus.STARTED)
    asking = served.enqueue(tasks.asks, "narrow", stable.namespace)
    assert (asking.wait(timeout=10), leader.wait(timeout=5)) == (3, 2.8)


@pytest.fixture
def inside(queue: Queue) -> Iterator[Job[Any]]:
    """A job that has started, in which the test runs."""
    queue.enqueue(tasks.nothing, job_id="inside")
    job: Job[Any] = Job(claim(queue).job, queue.store)
    with current_job(job):
        yield job


@pytest.mark.parametrize("problem", [redis.ConnectionError(), redis.ResponseError("OOM"), DeserializationError()])
def test_what_a_wait_inside_a_job_asks_beside_is_no_error_of_the_wait(queue: Queue, problem: Exception) -> None:
    job = queue.enqueue(tasks.add, 1)

    def refused() -> None:
        raise problem

    wish = Wish.of(job.id, 0.05, 500, clock.mono())
    assert wait_for(queue.store, job.id, "q", 0.05, lambda seen: None, None, wish, refused) is None


def test_a_job_s_own_error_and_value_are_not_hidden_by_a_server_that_is_away(
    own_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_server.client(retry=Retry(NoBackoff(), 0)) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue(tasks.nothing)
        outer: Job[Any] = Job(claim(queue).job, queue.store)
        other = queue.enqueue(tasks.nothing)
        with current_job(outer), pytest.raises(KeyError), eye_on_horses(queue.store, other.record, None) as eye:
            assert eye is not None
            monkeypatch.setattr(clock, "mono", lambda: time.monotonic() + 1)
            eye()
            assert client.hget(outer.key, JOB["awaits"]) == f"{outer.record.token} - all {other.id}".encode()
            own_server.kill()
            raise KeyError


def test_what_an_earlier_cycle_of_this_very_job_left_can_be_had(queue: Queue, inside: Job[Any]) -> None:
    assert inside.latest_result(timeout=0.05) is None
    queue.connection.xadd(
        queue.store.keys.results("inside"), {ENTRY["type"]: 1, ENTRY["execution"]: "x", ENTRY["value"]: b"\x07"}
    )
    result = inside.latest_result(timeout=5)
    assert result is not None and result.return_value == 7


# -- fifty at once -----------------------------------------------------------------------------------------------------


def test_fifty_processes_that_ask_for_one_call_run_it_once_and_all_get_its_value(
    served: Queue, server: Server, tmp_path: Path
) -> None:
    path = str(tmp_path / "calls")

    def ask(queue: Queue, number: int) -> Any:
        mine = Queue(served.name, queue.connection, namespace=queue.store.namespace)
        return mine.enqueue_and_wait(tasks.nap_and_count, path, 0.2, job_id="raced", timeout=20)

    assert race(str(server.socket), served.store.namespace, ask) == [1] * 50
