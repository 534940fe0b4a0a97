"""What a worker refuses to run, whoever has enqueued it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import redis

from rqlike import Callback, Retry, codec
from rqlike.options import Policy
from rqlike.records import CallRecord
from rqlike.serializers import resolve_serializer
from rqlike.states import JobStatus, Reason
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, outcome
from tests.servers import eventually


@pytest.mark.parametrize(("simple", "options"), [(False, {}), (False, {"jobs_per_horse": 1}), (True, {})])
def test_a_worker_runs_only_what_it_allows(stable: Stable, simple: bool, options: dict[str, Any]) -> None:
    queue = stable.queue()
    refused = [queue.enqueue(name, "true", retry=Retry(1)) for name in ("os.system", "tests.process.jobs.os.system")]
    stable.start(simple=simple, allow=["tests.process.jobs.*"], **options)
    assert queue.enqueue(jobs.echo, 5).wait(10) == 5
    for job in refused:
        result = outcome(job)
        assert (result.reason, result.type.name) == (Reason.IMPORT, "FAILED")
        assert result.exc_type == "rqlike.exceptions.CallableNotFound"
    first = outcome(refused[0]).exc_string or ""
    assert "os.system is not among the functions this worker is allowed to run (tests.process.jobs.*)" in first


@pytest.mark.parametrize("simple", [False, True], ids=["horses", "simple"])
def test_callbacks_go_through_the_same_gate_and_change_no_status(stable: Stable, simple: bool) -> None:
    stable.start(simple=simple, allow=["tests.process.jobs.echo", "tests.process.jobs.fail*"])
    job = stable.queue().enqueue(jobs.echo, 1, on_success=Callback("tests.process.jobs.mark"))
    assert job.wait(10) == 1
    result = eventually(lambda: one if (one := job.latest_result()) and one.callback_error else None)
    assert result is not None
    assert "not among the functions this worker is allowed" in (result.callback_error or "")
    assert job.get_status() is JobStatus.FINISHED


class Bomb:
    """Writes a line where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (jobs.tell, (self.path, "unpickled"))


def with_a_bomb(stable: Stable, client: redis.Redis) -> str:
    """The id of a job whose stored call says that its arguments are a pickle, which no producer here has asked for."""
    queue = stable.queue()
    job = queue.enqueue(jobs.echo, 1)
    payload = pickle.dumps(([Bomb(stable.file())], {}))
    call = codec.encode_call(CallRecord("tests.process.jobs.echo", payload, {}, Policy(serializer="pickle")))
    key = queue.store.keys.job(job.id)
    client.hdel(key, *(name for name in client.hkeys(key) if name[:1] == b"c"))
    client.hset(key, "c#", str(len(call)))
    client.set(queue.store.keys.blob("c", job.id), call)
    return job.id


def test_a_worker_that_was_not_asked_to_reads_no_pickle(stable: Stable) -> None:
    job = stable.queue().fetch_job(with_a_bomb(stable, stable.client()))
    assert job is not None
    stable.start()
    result = outcome(job)
    assert result.reason is Reason.SERIALIZATION
    assert "serializer 'pickle', which this worker does not have" in (result.exc_string or "")
    assert told(stable.file()) == []


def test_a_worker_that_was_asked_to_reads_pickle(stable: Stable) -> None:
    job = stable.queue().fetch_job(with_a_bomb(stable, stable.client()))
    assert job is not None
    stable.start(serializer="pickle")
    assert outcome(job).type.name == "SUCCESSFUL"
    assert told(stable.file()) == ["unpickled"]


def asks_for_pickle() -> None:
    """As a module does that makes a queue of its own."""
    resolve_serializer("pickle")


def test_what_a_job_imports_cannot_make_a_horse_read_pickle(stable: Stable) -> None:
    first = stable.queue().enqueue(asks_for_pickle)
    job = stable.queue().fetch_job(with_a_bomb(stable, stable.client()))
    assert job is not None
    stable.start()
    assert outcome(first).type.name == "SUCCESSFUL"
    assert outcome(job).reason is Reason.SERIALIZATION
    assert told(stable.file()) == []


@pytest.mark.parametrize("right", ["copy", "hdel", "zadd"])
def test_a_worker_without_a_right_that_it_needs_refuses_to_start_and_names_it(stable: Stable, right: str) -> None:
    client = stable.client()
    client.acl_setuser(
        f"no-{right}",
        enabled=True,
        passwords=["+secret"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=[f"-{right}"],
    )
    job = stable.queue().enqueue(jobs.echo, 1)
    url = stable.server.url.replace("unix://", f"unix://no-{right}:secret@")
    worker = stable.start(url=url, wait=False)
    assert worker.ends() != 0
    assert f"does not let this user call {right.upper()}" in worker.log
    assert "secret" not in worker.log
    assert job.get_status() is JobStatus.QUEUED
    client.acl_deluser(f"no-{right}")
