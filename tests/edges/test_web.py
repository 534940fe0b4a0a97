"""What a web server answers about a job, on a real server, with work done in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

import pytest
import redis
from flask import Flask

from rqlike import Job, Queue, testing
from rqlike.contrib import flask as contrib_flask
from rqlike.entries import entry_of
from rqlike.exceptions import WaitTimeout
from rqlike.outcomes import Outcome, Rules, decide
from rqlike.states import Reason
from rqlike.store import turns
from rqlike.store.turns import Settlement, Turn
from rqlike.web import Reply, reply
from tests.servers import Server
from tests.surface import tasks
from tests.surface.waiters import Counting, counting_client, waiting

KEEP_NOTHING = {"Cache-Control": "no-store"}
SECRET = "the password is swordfish"


@pytest.fixture
def queue(client: redis.Redis, namespace: str) -> Queue:
    return Queue("q", client, namespace=namespace)


@pytest.fixture
def work(client: redis.Redis, namespace: str) -> Callable[[], bool]:
    return lambda: testing.work("q", connection=client, namespace=namespace)


def sent(job: Job[Any] | None, **options: Any) -> Reply:
    """A reply whose body has been through JSON."""
    status, headers, body = reply(job, **options)
    return Reply(status, headers, json.loads(json.dumps(body, allow_nan=False)))


def end(queue: Queue, outcome: Outcome) -> None:
    """Ends the next job of the queue in a way that no function in this process can."""
    turn = Turn("w", "w-1", 1, (queue.name,), want=1)
    (execution,) = queue.store.run(turns.advance(turn)).granted
    verdict = decide(execution.job, outcome, Rules())
    entry = entry_of(execution, verdict, outcome, worker="w", offset_ms=0)
    queue.store.run(
        turns.advance(Turn("w", "w-1", 2, (queue.name,), settlements=(Settlement(execution, verdict, entry),)))
    )


def returns_itself() -> list[Any]:
    """What only a pickle can carry."""
    value: list[Any] = []
    value.append(value)
    return value


# -- 200 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ({"total": 3}, {"total": 3}),
        (
            (timedelta(minutes=1), b"\xff", {2, 1}, {3: float("inf")}),
            ["P0DT00H01M00S", "/w==", [1, 2], {"3": "Infinity"}],
        ),
    ],
)
def test_a_finished_job_is_200_with_its_result(
    queue: Queue, work: Callable[[], bool], value: object, shown: object
) -> None:
    job = queue.enqueue(tasks.echo, value)
    work()
    assert sent(job) == (200, KEEP_NOTHING, {"job_id": job.id, "status": "finished", "result": shown})


def test_a_value_that_was_not_kept_is_200_and_says_so(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    end(queue, Outcome())
    body = {"job_id": job.id, "status": "finished", "result": None, "stored": False}
    assert sent(job) == (200, KEEP_NOTHING, body)


def test_a_long_poll_answers_as_soon_as_the_job_has_ended(
    queue: Queue, client: redis.Redis, work: Callable[[], bool]
) -> None:
    job = queue.enqueue(tasks.add, 1, b=2)
    poll = waiting(client, lambda: reply(job, wait="30s"))
    work()
    assert poll.outcomes(5.0) == [(200, KEEP_NOTHING, {"job_id": job.id, "status": "finished", "result": 3})]


# -- 202 ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_has_not_ended_is_202_with_its_place_and_where_to_ask_again(queue: Queue) -> None:
    queue.enqueue(tasks.nothing)
    job = queue.enqueue(tasks.nothing)
    expected = {**KEEP_NOTHING, "Location": "/jobs/1", "Retry-After": "7"}
    answer = sent(job, location="/jobs/1", retry_after=7)
    assert answer == (202, expected, {"job_id": job.id, "status": "queued", "position": 1})


def test_a_job_that_is_not_queued_has_no_place(queue: Queue) -> None:
    job = queue.enqueue_in(60, tasks.nothing)
    assert sent(job) == (
        202,
        {**KEEP_NOTHING, "Retry-After": "1"},
        {"job_id": job.id, "status": "scheduled", "position": None},
    )


def test_a_long_poll_that_is_over_is_202(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    assert sent(job, wait=0.01).status == 202


class EndsBetweenTheLooks(Job[Any]):
    """A job that ends after `wait` has looked for its result, and before it looks for its status."""

    seen: str | None = "finished"

    def wait(self, timeout: Any = None) -> Any:
        if timeout:
            raise WaitTimeout(job_id=self.id, status=self.seen)
        return super().wait(timeout)


@pytest.mark.parametrize("seen", ["finished", None])
def test_a_job_that_ends_while_it_is_looked_at_is_not_said_to_be_on_its_way(
    queue: Queue, work: Callable[[], bool], seen: str | None
) -> None:
    job = queue.enqueue(tasks.add, 1)
    work()
    late = EndsBetweenTheLooks(job._record, queue.store)
    late.seen = seen
    assert sent(late, wait=1).status == 200


def test_an_answer_costs_one_round_trip_and_two_more_where_there_is_no_result(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        done, waiting_one = queue.enqueue(tasks.nothing), queue.enqueue(tasks.nothing)
        end(queue, Outcome())
        for job, cost in ((done, 1), (waiting_one, 3)):
            Counting.sent.clear()
            reply(job)
            assert len(Counting.sent) == cost


# -- 404, 409, 410 -----------------------------------------------------------------------------------------------------


def test_no_job_is_404() -> None:
    body = {"job_id": None, "error": {"type": "NoSuchJobError", "reason": "not_found"}}
    assert sent(None, location="/jobs/1") == (404, KEEP_NOTHING, body)


def test_a_job_that_was_deleted_is_404(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    job.delete()
    body = {"job_id": job.id, "error": {"type": "NoSuchJobError", "reason": "not_found"}}
    assert sent(job) == (404, KEEP_NOTHING, body)


def test_a_canceled_job_is_409(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    job.cancel()
    error = {"type": "JobCanceled", "reason": "canceled"}
    assert sent(job) == (409, KEEP_NOTHING, {"job_id": job.id, "status": "canceled", "error": error})


def test_a_stopped_job_is_409(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    end(queue, Outcome(Reason.STOPPED))
    error = {"type": "JobStopped", "reason": "stopped"}
    assert sent(job) == (409, KEEP_NOTHING, {"job_id": job.id, "status": "stopped", "error": error})


def test_a_job_that_was_not_started_in_time_is_410(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing, ttl=0.001)
    error = {"type": "JobExpired", "reason": "expired"}
    assert sent(job, wait=5) == (410, KEEP_NOTHING, {"job_id": job.id, "status": "expired", "error": error})


def test_a_result_that_is_gone_is_410(queue: Queue, client: redis.Redis, work: Callable[[], bool]) -> None:
    job = queue.enqueue(tasks.nothing)
    work()
    client.delete(queue.store.keys.results(job.id))
    error = {"type": "ResultExpired", "reason": "result_expired"}
    assert sent(job) == (410, KEEP_NOTHING, {"job_id": job.id, "error": error})


# -- 500 ---------------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_500_with_the_class_of_its_exception_and_not_its_text(
    queue: Queue, work: Callable[[], bool]
) -> None:
    job = queue.enqueue(tasks.fail, SECRET)
    work()
    answer = sent(job)
    error = {"type": "ValueError", "reason": "exception"}
    assert answer == (500, KEEP_NOTHING, {"job_id": job.id, "status": "failed", "error": error})
    assert SECRET in str(job.results()[0].exc_string)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome(Reason.EXCEPTION, None, SECRET, "shop.errors.CardDeclined"), ("CardDeclined", "exception")),
        (
            Outcome(Reason.TIMEOUT, None, SECRET, "rqlike.timeouts.JobTimeoutException"),
            ("JobTimeoutException", "timeout"),
        ),
        (Outcome(Reason.KILLED), ("JobFailed", "killed")),
        (Outcome(Reason.EXCEPTION, None, SECRET, "x\x1b[2J" + "y" * 500), ("x\\x1b[2J" + "y" * 91 + "…", "exception")),
    ],
)
def test_why_a_job_failed_is_a_name_and_a_word(queue: Queue, outcome: Outcome, error: tuple[str, str]) -> None:
    job = queue.enqueue(tasks.nothing)
    end(queue, outcome)
    status, _, body = sent(job)
    assert (status, body["error"]) == (500, dict(zip(("type", "reason"), error, strict=True)))
    assert SECRET not in str(body)


def test_a_result_that_cannot_be_read_is_500(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    end(queue, Outcome(value=b"\xc1"))
    error = {"type": "DeserializationError", "reason": "serialization"}
    assert sent(job) == (500, KEEP_NOTHING, {"job_id": job.id, "error": error})


def test_a_result_that_json_cannot_hold_is_500(client: redis.Redis, namespace: str) -> None:
    pickles = Queue("q", client, is_async=False, serializer="pickle", namespace=namespace)
    job = pickles.enqueue(returns_itself)
    error = {"type": "SerializationError", "reason": "serialization"}
    assert sent(job) == (500, KEEP_NOTHING, {"job_id": job.id, "status": "finished", "error": error})


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"wait": None}, TypeError, "without limit"),
        ({"wait": -1}, ValueError, "wait=-1 is negative"),
        ({"wait": True}, ValueError, "wait=True"),
        ({"wait": float("nan")}, ValueError, "wait=nan"),
        ({"wait": "soon"}, ValueError, "wait='soon'"),
        ({"location": 5}, TypeError, "location=5 is no str"),
        ({"location": "/a\r\nSet-Cookie: b"}, ValueError, "no header can hold"),
        ({"retry_after": 1.5}, TypeError, "whole seconds"),
        ({"retry_after": True}, TypeError, "whole seconds"),
        ({"retry_after": -1}, ValueError, "negative"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_an_argument_that_means_nothing_is_refused_whatever_the_job(
    queue: Queue, options: dict[str, Any], kind: type[Exception], text: str, there: bool
) -> None:
    job = queue.enqueue(tasks.nothing) if there else None
    with pytest.raises(kind, match=text):
        reply(job, **options)


def test_an_id_in_place_of_a_job_is_refused() -> None:
    with pytest.raises(TypeError, match="fetch_job"):
        reply("an-id")  # type: ignore[arg-type]


# -- frameworks --------------------------------------------------------------------------------------------------------


def test_flask_sends_status_headers_and_body(queue: Queue) -> None:
    job = queue.enqueue(tasks.nothing)
    with Flask(__name__).test_request_context():
        response = contrib_flask.respond(job, wait=0.01, location="/jobs/1", retry_after=2)
    assert (response.status_code, response.mimetype) == (202, "application/json")
    assert response.json == {"job_id": job.id, "status": "queued", "position": 0}
    assert {name: response.headers[name] for name in ("Location", "Retry-After", "Cache-Control")} == {
        "Location": "/jobs/1",
        "Retry-After": "2",
        "Cache-Control": "no-store",
    }


class NotInstalled(MetaPathFinder):
    """Finds no module of this name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == self.name:
            raise ModuleNotFoundError(name=fullname)


@pytest.mark.parametrize("name", ["flask", "django"])
def test_where_a_framework_is_missing_the_error_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [one for one in sys.modules if one.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, f"rqlike.contrib.{name}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(name), *sys.meta_path])
    with pytest.raises(ImportError, match=rf"pip install 'rqlike\[{name}\]'"):
        import_module(f"rqlike.contrib.{name}")
