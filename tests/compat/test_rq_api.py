"""RQ's names, argument order and defaults, as far as they are built: what an RQ program writes means the same here."""

from __future__ import annotations

import importlib
import inspect
from datetime import timedelta
from typing import Any

import pytest
import redis

import rqlike
from rqlike import Callback, Job, JobStatus, Queue, Repeat, Result, Retry, SimpleWorker, Worker, suspension
from rqlike.exceptions import RqlikeError

EMPTY = inspect.Parameter.empty


def positional(func: Any) -> list[tuple[str, Any]]:
    """Names and defaults of what may be given by place, without self and cls."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [(one.name, one.default) for one in inspect.signature(func).parameters.values() if one.kind in kinds]
    return [pair for pair in found if pair[0] not in ("self", "cls")]


#: RQ 3.0's leading parameters, in its order. Where `connection` is required there, None finds the server here.
SIGNATURES: dict[str, tuple[Any, list[tuple[str, Any]]]] = {
    "Queue": (Queue, [("name", "default"), ("connection", None), ("default_timeout", None), ("is_async", True)]),
    "Queue.enqueue": (Queue.enqueue, [("f", EMPTY)]),
    "Queue.enqueue_call": (
        Queue.enqueue_call,
        [("func", EMPTY), ("args", ()), ("kwargs", None), ("timeout", None)],
    ),
    "Queue.prepare_data": (
        Queue.prepare_data,
        [("func", EMPTY), ("args", ()), ("kwargs", None), ("timeout", None)],
    ),
    "Queue.enqueue_at": (Queue.enqueue_at, [("datetime", EMPTY), ("func", EMPTY)]),
    "Queue.enqueue_in": (Queue.enqueue_in, [("time_delta", EMPTY), ("func", EMPTY)]),
    "Queue.enqueue_many": (Queue.enqueue_many, [("job_datas", EMPTY)]),
    "Queue.get_jobs": (Queue.get_jobs, [("offset", 0), ("length", -1)]),
    "Queue.get_job_ids": (Queue.get_job_ids, [("offset", 0), ("length", -1)]),
    "Queue.get_job_position": (Queue.get_job_position, [("job_or_id", EMPTY)]),
    "Queue.fetch_job": (Queue.fetch_job, [("job_id", EMPTY)]),
    "Queue.all": (Queue.all, [("connection", None)]),
    "Job.fetch": (Job.fetch, [("id", EMPTY), ("connection", None)]),
    "Job.fetch_many": (Job.fetch_many, [("job_ids", EMPTY), ("connection", None)]),
    "Job.exists": (Job.exists, [("job_id", EMPTY), ("connection", None)]),
    "Job.get_status": (Job.get_status, [("refresh", True)]),
    "Job.get_meta": (Job.get_meta, [("refresh", True)]),
    "Job.return_value": (Job.return_value, [("refresh", False)]),
    "Job.latest_result": (Job.latest_result, [("timeout", 0)]),
    "Job.requeue": (Job.requeue, [("at_front", False)]),
    "Job.get_ttl": (Job.get_ttl, [("default_ttl", None)]),
    "Job.get_result_ttl": (Job.get_result_ttl, [("default_ttl", None)]),
    "Retry": (Retry, [("max", EMPTY), ("interval", 0), ("enqueue_at_front", False)]),
    "Repeat": (Repeat, [("times", EMPTY), ("interval", 0)]),
    "Callback": (Callback, [("func", EMPTY), ("timeout", 60)]),
    "cancel_job": (rqlike.cancel_job, [("job_id", EMPTY), ("connection", None)]),
    "requeue_job": (rqlike.requeue_job, [("job_id", EMPTY), ("connection", None)]),
    "suspend": (suspension.suspend, [("connection", None), ("ttl", None)]),
    "resume": (suspension.resume, [("connection", None)]),
    "is_suspended": (suspension.is_suspended, [("connection", None)]),
    "Worker": (
        Worker,
        [
            ("queues", "default"),
            ("name", None),
            ("default_result_ttl", 500.0),
            ("connection", None),
            ("exception_handlers", None),
        ],
    ),
    "job": (
        importlib.import_module("rqlike.decorators").job,
        [("queue", "default"), ("connection", None), ("timeout", None)],
    ),
    "registry": (
        importlib.import_module("rqlike.registry").FailedJobRegistry,
        [("name", "default"), ("connection", None)],
    ),
    "get_job_ids": (
        importlib.import_module("rqlike.registry").FailedJobRegistry.get_job_ids,
        [("start", 0), ("end", -1), ("desc", False)],
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_leading_parameters_are_rqs_in_order_and_default(name: str) -> None:
    func, expected = SIGNATURES[name]
    assert positional(func)[: len(expected)] == expected


def test_work_takes_rqs_arguments() -> None:
    names = [name for name, _ in positional(Worker.work)]
    assert names == [
        "burst",
        "logging_level",
        "date_format",
        "log_format",
        "max_jobs",
        "max_idle_time",
        "with_scheduler",
        "dequeue_strategy",
    ]
    assert inspect.signature(Worker.work).parameters["dequeue_strategy"].default == "default"


@pytest.mark.parametrize(
    "func",
    [
        Queue,
        Queue.all,
        Job.fetch,
        Job.fetch_many,
        Job.exists,
        Result.fetch_many,
        rqlike.cancel_job,
        rqlike.requeue_job,
        suspension.suspend,
        suspension.resume,
        suspension.is_suspended,
        Worker,
        SIGNATURES["job"][0],
        SIGNATURES["registry"][0],
        rqlike.send_stop_job_command,
        rqlike.send_shutdown_command,
        rqlike.send_kill_horse_command,
    ],
)
def test_whatever_takes_a_connection_takes_a_namespace(func: Any) -> None:
    parameters = inspect.signature(func).parameters
    assert "connection" in parameters
    assert parameters["namespace"].default is None


def test_the_words_of_statuses_and_types_are_rqs() -> None:
    assert {status.value for status in JobStatus} == {
        "queued",
        "started",
        "scheduled",
        "deferred",
        "finished",
        "failed",
        "stopped",
        "canceled",
        "expired",
    }
    assert {one.name: one.value for one in Result.Type} == {
        "SUCCESSFUL": 1,
        "FAILED": 2,
        "STOPPED": 3,
        "RETRIED": 4,
        "MAX_RETRIES_EXCEEDED": 5,
    }


MODULES = {
    "rqlike.job": ("Job", "JobStatus", "cancel_job", "requeue_job"),
    "rqlike.queue": ("Queue",),
    "rqlike.results": ("Result",),
    "rqlike.worker": (),
    "rqlike.decorators": ("job",),
    "rqlike.timeouts": ("JobTimeoutException",),
    "rqlike.command": ("send_shutdown_command", "send_kill_horse_command", "send_stop_job_command"),
    "rqlike.suspension": ("suspend", "resume", "is_suspended"),
    "rqlike.exceptions": (
        "NoSuchJobError",
        "InvalidJobOperation",
        "AbandonedJobError",
        "DeserializationError",
        "TimeoutFormatError",
    ),
    "rqlike.registry": (
        "StartedJobRegistry",
        "FinishedJobRegistry",
        "FailedJobRegistry",
        "DeferredJobRegistry",
        "ScheduledJobRegistry",
        "CanceledJobRegistry",
    ),
}


@pytest.mark.parametrize("module", MODULES)
def test_names_stand_where_rq_has_them(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in MODULES[module] if not hasattr(found, name)] == []


def test_the_package_has_rqs_first_names() -> None:
    for name in (
        "Queue",
        "Job",
        "Worker",
        "SimpleWorker",
        "Retry",
        "Repeat",
        "Callback",
        "cancel_job",
        "requeue_job",
        "get_current_job",
    ):
        assert getattr(rqlike, name).__name__ == name


MEMBERS = {
    Job: "id key origin func_name func args kwargs data description meta created_at enqueued_at started_at ended_at "
    "worker_name timeout result_ttl failure_ttl ttl retries_left retry_intervals repeats_left get_status is_finished "
    "is_queued is_failed is_started is_deferred is_canceled is_scheduled is_stopped get_meta save_meta save refresh "
    "to_dict return_value latest_result results cancel delete requeue get_position get_ttl get_result_ttl "
    "get_call_string connection",
    Queue: "key connection count is_empty jobs job_ids get_jobs get_job_ids get_job_position fetch_job empty remove "
    "enqueue enqueue_call enqueue_at enqueue_in enqueue_many prepare_data started_job_registry finished_job_registry "
    "failed_job_registry deferred_job_registry scheduled_job_registry canceled_job_registry all",
    Result: "Type type job_id id created_at return_value exc_string worker_name execution_id execution_started_at "
    "execution_ended_at",
}


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
def test_members_have_rqs_names(kind: type) -> None:
    missing = [name for name in MEMBERS[kind].split() if not hasattr(kind, name)]
    assert missing == []


def test_rqs_options_mean_the_same(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, namespace=namespace)
    given = {
        "job_timeout": "1h",
        "description": "d",
        "result_ttl": 60,
        "ttl": 43,
        "failure_ttl": 61,
        "job_id": "a",
        "at_front": True,
        "meta": {"k": "v"},
        "retry": Retry(max=3, interval=[10, 30, 60]),
        "repeat": Repeat(times=3, interval=5),
        "on_success": Callback("tests.surface.tasks.echo", timeout="2m"),
        "on_failure": "tests.surface.tasks.echo",
        "on_stopped": "tests.surface.tasks.echo",
    }
    job = queue.enqueue("tests.surface.tasks.add", 1, b=2, **given)
    read = Job.fetch("a", client, namespace)
    assert (read.timeout, read.result_ttl, read.failure_ttl, read.ttl) == (3600, 60, 61, 43)
    assert (read.description, read.meta, read.retries_left, read.retry_intervals) == ("d", {"k": "v"}, 3, [10, 30, 60])
    assert (read.repeats_left, read.args, read.kwargs, job.id) == (3, (1,), {"b": 2}, "a")
    assert queue.enqueue_in(timedelta(seconds=10), "tests.surface.tasks.add", 1).is_scheduled


def test_an_rq_option_that_is_not_there_is_a_type_error_and_not_ignored(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, namespace=namespace)
    for name in ("webhooks", "pipeline", "group_id"):
        options: Any = {name: None}
        with pytest.raises(TypeError, match=name):
            queue.enqueue(len_of, "abc", **options)
        with pytest.raises(TypeError, match=name):
            queue.enqueue_call(len_of, ("abc",), **options)
    assert queue.count == 0


def len_of(text: str) -> int:
    """A function with a signature."""
    return len(text)


def test_needless_arguments_are_taken_with_a_warning(client: redis.Redis, namespace: str) -> None:
    for name in (
        "maintenance_interval",
        "job_monitoring_interval",
        "worker_ttl",
        "log_job_description",
        "prepare_for_work",
    ):
        needless: Any = {name: 5}
        with pytest.warns(DeprecationWarning, match=name):
            SimpleWorker(["q"], connection=client, namespace=namespace, **needless)
    with pytest.raises(TypeError):
        SimpleWorker(["q"], connection=client, namespace=namespace, nonsense=5)


def test_every_error_of_the_package_is_caught_by_one_name() -> None:
    for error in vars(rqlike.exceptions).values():
        if isinstance(error, type) and issubclass(error, Exception) and error.__module__ == "rqlike.exceptions":
            assert issubclass(error, RqlikeError), error
