"""What executions came to, as people read it: `results`, `Result`, `Results`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from rqlike import Queue, Result, Results
from rqlike.exceptions import DeserializationError
from rqlike.records import ResultRecord
from rqlike.states import Reason, ResultType
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, counting_client


@pytest.fixture
def failed(queue: Queue, work: Work) -> Iterator[Results[None]]:
    """The history of a job that failed with a message that would do harm in a page and on a terminal."""
    job = queue.enqueue(tasks.fail, "<script>&\x1b[31m")
    work()
    yield job.results()


def test_results_are_newest_first_and_each_attempt_is_one(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, retry=2)
    work()
    results = job.results()
    assert [(one.type.name, one.attempt) for one in results] == [("FAILED", 3), ("RETRIED", 2), ("RETRIED", 1)]
    assert len({one.execution_id for one in results}) == 3


def test_exactly_the_last_ten_executions_are_kept(queue: Queue, work: Work) -> None:
    for number in range(25):
        job = queue.enqueue(tasks.echo, number, job_id="a")
        work()
    assert [one.return_value for one in job.results()] == list(range(24, 14, -1))


def test_a_result_tells_who_when_how_long_and_why(queue: Queue, work: Work) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    job = queue.enqueue(tasks.nap, 0.05)
    work()
    (result,) = job.results()
    assert result.job_id == job.id
    assert (
        before <= result.execution_started_at <= result.execution_ended_at <= result.created_at + timedelta(seconds=1)
    )
    assert 0.045 <= result.duration <= 1.0
    assert result.worker_name
    assert (result.cycle, result.attempt, result.final, result.reason, result.exc_string) == (1, 1, True, None, None)
    assert result.Type is ResultType
    assert result.type == 1, "RQ's numbers"


def test_an_unserialisable_result_is_a_failure_that_says_where(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.unserialisable)
    work()
    (result,) = job.results()
    assert (result.type, result.reason, result.has_value) == (ResultType.FAILED, Reason.SERIALIZATION, False)
    assert "result" in (result.exc_string or "")


def test_a_result_over_the_limit_is_a_failure(queue: Queue, work: Work) -> None:
    job = queue.enqueue("tests.surface.tasks.echo_many", 1)
    work()
    assert [one.reason for one in job.results()] == [Reason.IMPORT]
    job = queue.enqueue("operator.mul", "x", (1 << 20) + 1)
    work()
    (result,) = job.results()
    assert (result.type, result.reason) == (ResultType.FAILED, Reason.TOO_LARGE)


def test_a_failing_callback_is_told_by_results_and_by_the_latest_and_changes_nothing(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1, on_success=tasks.failing_callback)
    work()
    latest = job.latest_result()
    assert latest is not None
    assert job.is_finished
    assert job.wait(timeout=0) == 1
    for result in (latest, *job.results(), *Result.fetch_many([job])):
        assert result is not None
        assert "LookupError: callback" in (result.callback_error or "")


# -- how they read -----------------------------------------------------------------------------------------------------


def test_an_empty_history_says_so(queue: Queue) -> None:
    assert repr(queue.enqueue(tasks.nothing).results()) == "no executions yet"


def test_the_repr_of_a_history_is_a_table_with_a_line_for_each_execution(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.fail, retry=1)
    work()
    lines = repr(job.results()).splitlines()
    assert lines[0].split() == ["ended", "cycle", "attempt", "type", "took", "value", "or", "error", "worker"]
    assert len(lines) == 3
    assert re.search(r"FAILED .*exception ValueError: boom", lines[1])


def test_slices_of_a_history_are_histories(failed: Results[None]) -> None:
    assert type(failed[:1]) is Results
    assert type(failed[0]) is Result


def test_html_is_escaped(failed: Results[None]) -> None:
    page = failed._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;&amp;" in page


def test_nothing_a_job_said_reaches_the_terminal_raw(failed: Results[None]) -> None:
    assert "\x1b" not in repr(failed) + repr(failed[0])


def test_the_repr_of_a_result_says_what_it_came_to(queue: Queue, work: Work, failed: Results[None]) -> None:
    job = queue.enqueue(tasks.add, 1, job_id="sum")
    work()
    assert re.fullmatch(r"<Result SUCCESSFUL of sum: 1, attempt 1, took .*>", repr(job.latest_result()))
    assert "exception ValueError" in repr(failed[0])


def test_a_value_that_cannot_be_read_does_not_break_the_table() -> None:
    record = ResultRecord("1-0", "a", ResultType.SUCCESSFUL, 1, 1, "w", "e", 0, 0, value=b"\xc1")
    result: Result[object] = Result(record)
    assert "(unreadable: DeserializationError)" in repr(Results([result]))
    with pytest.raises(DeserializationError):
        _ = result.return_value


# -- many at once ------------------------------------------------------------------------------------------------------


def test_the_newest_results_of_many_jobs_come_in_one_round_trip(server: Server, namespace: str, work: Work) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        jobs = [queue.enqueue(tasks.echo, number) for number in range(20)]
        work()
        waits = queue.enqueue(tasks.echo, 1)
        Counting.sent.clear()
        found = Result.fetch_many([*jobs, waits, "absent"], client, namespace)
        assert len(Counting.sent) <= 2, "one, and once more where the server did not know the script"
        Counting.sent.clear()
        Result.fetch_many([*jobs, waits, "absent"], client, namespace)
        assert len(Counting.sent) == 1
    assert [one and one.return_value for one in found] == [*range(20), None, None]


def test_handles_bring_their_connection_along(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.echo, 7)
    work()
    (found,) = Result.fetch_many([job])
    assert found is not None
    assert found.return_value == 7
    assert Result.fetch_many([]) == []


def test_handles_of_several_namespaces_cannot_be_mixed(queue: Queue, client: redis.Redis) -> None:
    other = Queue("q", client, namespace=queue.store.namespace + "b")
    with pytest.raises(ValueError, match="one at a time"):
        Result.fetch_many([queue.enqueue(tasks.nothing), other.enqueue(tasks.nothing)])
