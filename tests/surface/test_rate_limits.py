"""`rate_limit=` as people give it and read it."""

from __future__ import annotations

import pytest
import redis

from rqlike import Job, Queue, RateLimit
from rqlike.decorators import job as as_job
from tests.surface import tasks
from tests.surface.conftest import Work


def test_a_job_tells_its_limit_before_and_after_it_was_read_again(queue: Queue) -> None:
    limit = RateLimit("stripe", 2, limit=10, per=60, burst=3)
    job = queue.enqueue(tasks.nothing, rate_limit=limit)
    assert job.rate_limit == limit
    assert Job.fetch(job.id, queue.connection, queue.store.namespace).rate_limit == limit
    assert queue.enqueue(tasks.nothing).rate_limit is None


def test_a_limit_may_be_the_default_of_a_queue_and_left_out_for_one_job(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, namespace=namespace, rate_limit=RateLimit("k", 1))
    jobs = queue.enqueue_many([Queue.prepare_data(tasks.nothing), Queue.prepare_data(tasks.nothing, rate_limit=None)])
    assert [job.rate_limit for job in jobs] == [RateLimit("k", 1), None]


def test_a_decorated_function_and_a_delayed_job_have_their_limit(queue: Queue) -> None:
    delayed = queue.enqueue_in(60, tasks.nothing, rate_limit=RateLimit("k", 1))
    assert delayed.rate_limit == RateLimit("k", 1)
    decorated = as_job(queue, rate_limit=RateLimit("k", 2))(tasks.nothing)
    assert decorated.delay().rate_limit == RateLimit("k", 2)


def test_a_limit_that_is_none_is_refused_before_anything_is_written(queue: Queue) -> None:
    with pytest.raises(TypeError, match="RateLimit"):
        queue.enqueue(tasks.nothing, rate_limit="10/s")
    assert queue.count == 0


def test_a_held_job_is_counted_listed_and_canceled_as_any_queued_one(queue: Queue, work: Work) -> None:
    limit = RateLimit("k", limit=1, per=3600)
    jobs = [queue.enqueue(tasks.echo, number, rate_limit=limit) for number in range(3)]
    free = queue.enqueue(tasks.echo, "free")
    assert work()
    assert (jobs[0].wait(0), free.wait(0)) == (0, "free")
    assert queue.count == 2
    assert queue.job_ids == [jobs[1].id, jobs[2].id]
    assert queue.get_job_position(jobs[2]) == 1
    jobs[1].cancel()
    assert queue.count == 1
    assert queue.empty() == 1
    assert jobs[1].get_status() == "canceled"


def test_a_burst_runs_all_jobs_of_a_concurrency(queue: Queue, work: Work) -> None:
    jobs = [queue.enqueue(tasks.echo, number, rate_limit=RateLimit("k", 1)) for number in range(5)]
    assert work()
    assert [job.wait(0) for job in jobs] == list(range(5))


def test_without_a_worker_a_job_runs_at_once_whatever_its_limit(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, is_async=False, namespace=namespace)
    limit = RateLimit("k", 1, limit=1, per=3600)
    assert [queue.enqueue(tasks.echo, number, rate_limit=limit).wait(0) for number in range(3)] == [0, 1, 2]
