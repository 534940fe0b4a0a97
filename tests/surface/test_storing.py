"""`store_result=False`, and values for which a full server had no room: who asks learns that there is none, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from rqlike import Job, Queue, Repeat, Result, SimpleWorker
from rqlike.exceptions import ResultNotStored
from rqlike.fields import ENTRY
from rqlike.states import JobStatus, ResultType, Unkept
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import waiting

Run = Callable[..., Job[Any]]


@pytest.fixture(params=["a worker", "in the caller"])
def run(request: pytest.FixtureRequest, client: redis.Redis, namespace: str, work: Work) -> Run:
    """Enqueues a job, and returns when it has been run."""
    here = request.param == "in the caller"

    def enqueued(func: Any, *args: Any, **options: Any) -> Job[Any]:
        job = Queue("q", client, is_async=not here, namespace=namespace).enqueue(func, args=args, **options)
        if not here:
            work()
        return job

    return enqueued


def why(job: Job[Any]) -> tuple[str, Result[Any]]:
    """What a waiter of a job without a value is told."""
    with pytest.raises(ResultNotStored) as caught:
        job.wait(timeout=0)
    assert caught.value.job_id == job.id
    result: Result[Any] = caught.value.result
    return str(caught.value.reason), result


def test_a_job_that_stores_no_value_is_finished_and_says_so(run: Run) -> None:
    job = run(tasks.add, 1, 2, store_result=False)
    assert job.get_status() is JobStatus.FINISHED
    reason, result = why(job)
    assert (reason, result.type, result.has_value, result.not_stored) == (
        "disabled",
        ResultType.SUCCESSFUL,
        False,
        Unkept.DISABLED,
    )
    assert job.latest_result() == job.latest_result(timeout=1) == result
    assert (job.return_value(), result.return_value, result.reason) == (None, None, None)
    assert "(value not stored)" in repr(job.results())
    assert "(value not stored)" in repr(result)


@pytest.mark.parametrize("call", [(tasks.unserialisable,), ("operator.mul", "x", (1 << 20) + 1)])
def test_a_value_that_is_not_stored_need_not_be_one_that_could_be(run: Run, call: tuple[Any, ...]) -> None:
    job = run(*call, store_result=False)
    assert [result.type for result in job.results()] == [ResultType.SUCCESSFUL]


def test_its_waiters_are_woken_as_always(queue: Queue, client: redis.Redis, work: Work) -> None:
    job, gone = (queue.enqueue(tasks.add, 1, store_result=False, result_ttl=ttl) for ttl in (None, 0))
    waiters = waiting(client, lambda: job.wait(timeout=10), 2)
    of_gone = waiting(client, lambda: gone.wait(timeout=10), 2)
    latest = waiting(client, lambda: job.latest_result(timeout=10))
    work()
    for outcome in waiters.outcomes() + of_gone.outcomes():
        assert isinstance(outcome, ResultNotStored)
        assert outcome.reason == "disabled"
    (result,) = latest.outcomes()
    assert isinstance(result, Result)
    assert not result.has_value
    assert not Job.exists(gone.id, client, queue.store.namespace)


def test_every_cycle_and_only_a_success_is_without_its_value(run: Run, tmp_path: Path) -> None:
    repeated = run(tasks.add, 1, store_result=False, repeat=Repeat(2))
    assert [(one.cycle, one.not_stored) for one in repeated.results()] == [(n, Unkept.DISABLED) for n in (3, 2, 1)]
    retried = run(tasks.fails_until, str(tmp_path / "n"), 2, store_result=False, retry=1)
    told = [(one.type.name, one.not_stored, one.exc_string is None) for one in retried.results()]
    assert told == [("SUCCESSFUL", Unkept.DISABLED, True), ("RETRIED", None, False)]
    asked = run(tasks.wants_retry, 1, store_result=False)
    assert [one.type.name for one in asked.results()] == ["MAX_RETRIES_EXCEEDED", "RETRIED"]


def test_on_success_is_given_the_value_all_the_same(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "told"
    run(tasks.add, 20, 22, store_result=False, on_success=tasks.tells, meta={"path": str(path)}, result_ttl=0)
    assert path.read_text() == "42"


def test_it_is_an_option_of_a_queue_of_prepared_calls_and_of_schedules(
    client: redis.Redis, namespace: str, work: Work
) -> None:
    queue = Queue("q", client, namespace=namespace, store_result=False)
    stored = queue.enqueue(tasks.add, 1, store_result=True)
    (prepared,) = Queue("q", client, namespace=namespace).enqueue_many(
        [Queue.prepare_data(tasks.add, (1,), store_result=False)]
    )
    schedule = queue.schedule("s", tasks.add, [1], every=3600)
    fired, plain = schedule.run_now(), queue.enqueue(tasks.add, 1)
    work()
    assert stored.wait(timeout=0) == 1
    assert [why(job)[0] for job in (prepared, fired, plain)] == ["disabled"] * 3


def test_a_value_without_a_word_about_why_it_is_not_there_was_dropped_at_maxmemory(queue: Queue, work: Work) -> None:
    """As an older version has written it."""
    job = queue.enqueue(tasks.add, 1, store_result=False)
    work()
    stream, client = queue.store.keys.results(job.id), cast(Any, queue.store.client)
    ((_, entry),) = client.xrange(stream)
    del entry[ENTRY["unkept"].encode()]
    client.delete(stream)
    client.xadd(stream, entry)
    assert why(job)[0] == "maxmemory"


@pytest.mark.parametrize("ttl", [60, 0])
def test_a_full_server_learns_what_ended_in_the_caller_or_in_a_simple_worker_and_why_there_is_no_value(
    own_server: Server, namespace: str, caplog: pytest.LogCaptureFixture, ttl: int, tmp_path: Path
) -> None:
    with own_server.client() as client:
        path = tmp_path / "told"
        options: dict[str, Any] = {"result_ttl": ttl, "on_success": tasks.tells, "meta": {"path": str(path)}}
        for here in (True, False):
            queue = Queue("q", client, is_async=not here, namespace=namespace)
            job = queue.enqueue(tasks.fills_the_server, str(own_server.socket), **options)
            if not here:
                SimpleWorker(["q"], connection=client, namespace=namespace).work(burst=True, logging_level=None)
            client.config_set("maxmemory", "0")
            reason, result = why(job)
            assert (reason, result.not_stored) == ("maxmemory", Unkept.MAXMEMORY)
            assert f"the server is at maxmemory: {job.id}" in caplog.text
            assert path.read_text() == "full", "the callback had the value"
            path.unlink()
            if ttl:
                assert "(value dropped: the server was at maxmemory)" in repr(job.results())
