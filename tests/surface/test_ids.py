"""A caller's own ids: any printable text, through the whole life of a job."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from rqlike import Job, Queue, Retry, cancel_job, requeue_job
from rqlike.exceptions import DuplicateJobError, NoSuchJobError
from rqlike.states import JobStatus, Reason
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.servers import eventually
from tests.surface import tasks
from tests.surface.conftest import Work

IDS = [
    "rpc:getUserProfile",
    "rpc:get:1",
    "with a space",
    " edges ",
    "ünï→漢字🙂",
    "{tag}",
    "a/b\\c?d=e&f#g",
    "%s %d {0}",
    "*[a-z]?",
    "'\"`$(x)",
    "-1",
    "0",
    "x" * 256,
    "é" * 128,
    "job:job:a",
]


@pytest.mark.parametrize("job_id", IDS)
def test_any_printable_id_lives_a_whole_life(queue: Queue, client: redis.Redis, work: Work, job_id: str) -> None:
    namespace = queue.store.namespace
    job = queue.enqueue(tasks.add, 1, 2, job_id=job_id, retry=Retry(1))
    assert (job.id, queue.job_ids, queue.get_job_position(job_id)) == (job_id, [job_id], 0)
    assert Job.exists(job_id, client, namespace)
    with pytest.raises(DuplicateJobError) as caught:
        queue.enqueue(tasks.nothing, job_id=job_id)
    assert (caught.value.job_id, caught.value.status) == (job_id, "queued")

    # its worker is lost, and another one recovers it
    lost = Turn("lost", "lost-1", 1, ("q",), want=1, lease_ms=1)
    (execution,) = queue.store.run(turns.advance(lost)).granted
    assert execution.job_id == job_id
    assert job_id in queue.started_job_registry
    eventually(lambda: work() or len(job.results()) == 2, interval=0.002)

    assert job.wait(timeout=0) == 3
    assert [one.reason for one in job.results()] == [None, Reason.ABANDONED]
    assert queue.finished_job_registry.get_job_ids() == [job_id]
    assert requeue_job(job_id, client, namespace).cycle == 2
    cancel_job(job_id, client, namespace)
    assert Job.fetch(job_id, client, namespace).get_status() is JobStatus.CANCELED
    assert [one and one.id for one in Job.fetch_many([job_id], client, namespace)] == [job_id]
    job.delete()
    with pytest.raises(NoSuchJobError):
        Job.fetch(job_id, client, namespace)
    assert queue.fetch_job(job_id) is None


def test_an_ended_id_begins_a_new_cycle_and_keeps_its_history(queue: Queue, work: Work) -> None:
    for number in (1, 2, 3):
        job = queue.enqueue(tasks.echo, number, job_id="a", meta={"n": number})
        assert (job.cycle, job.meta) == (number, {"n": number})
        work()
    assert [(one.cycle, one.return_value) for one in job.results()] == [(3, 3), (2, 2), (1, 1)]
    assert queue.counts().finished == 1


@pytest.mark.parametrize("state", ["queued", "scheduled", "started"])
def test_a_live_id_is_refused_and_nothing_of_it_changes(queue: Queue, client: redis.Redis, state: str) -> None:
    job = (
        queue.enqueue(tasks.add, 1, job_id="a")
        if state != "scheduled"
        else queue.enqueue_in(60, tasks.add, 1, job_id="a")
    )
    if state == "started":
        queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1)))
    before = client.hgetall(job.key)
    with pytest.raises(DuplicateJobError) as caught:
        queue.enqueue(tasks.add, 2, job_id="a")
    assert caught.value.status == state
    assert client.hgetall(job.key) == before


def test_an_id_is_unique_over_all_queues_of_the_namespace(queue: Queue, client: redis.Redis) -> None:
    other = Queue("other", client, namespace=queue.store.namespace)
    queue.enqueue(tasks.nothing, job_id="a")
    with pytest.raises(DuplicateJobError):
        other.enqueue(tasks.nothing, job_id="a")
    assert other.fetch_job("a") is None
    assert Queue("q", client, namespace=queue.store.namespace + "2").fetch_job("a") is None


@pytest.mark.parametrize("job_id", [5, None, b"a"])
def test_what_is_no_text_is_no_id_anywhere(queue: Queue, client: redis.Redis, job_id: Any) -> None:
    for call in (Job.fetch, Job.exists, cancel_job, requeue_job):
        with pytest.raises(TypeError, match="a job id is a str"):
            call(job_id, client)
    with pytest.raises(TypeError, match="a job id is a str"):
        Job.fetch_many([job_id], client)
