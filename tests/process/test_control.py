"""Real workers in the middle of their work, and somebody who cleans, requeues and obliterates around them."""

from __future__ import annotations

from rqlike import Job, JobStatus, Queue
from rqlike.exceptions import InvalidJobOperation
from tests.process import jobs
from tests.process.workers import Stable
from tests.servers import eventually


def test_what_is_cleaned_and_requeued_while_workers_run_is_lost_by_nobody(stable: Stable) -> None:
    queue = stable.queue()
    count = 2_000
    ids = [job.id for job in queue.enqueue_many(Queue.prepare_data(jobs.fail) for _ in range(count))]
    stable.start(concurrency=2)
    requeued = cleaned = 0
    for _ in range(8):
        requeued += queue.failed_job_registry.requeue_all(exc_type=ValueError, limit=150)
        cleaned += queue.clean("failed", limit=40)
    eventually(lambda: queue.counts().failed == count - cleaned, 20.0)
    left = [job for job in Job.fetch_many(ids, stable.client(), stable.namespace) if job is not None]
    assert len(left) == count - cleaned
    assert sum(job.cycle - 1 for job in left) <= requeued <= sum(job.cycle - 1 for job in left) + 8 * cleaned
    assert {job.get_status() for job in left} == {JobStatus.FAILED}
    assert all(len(job.results()) == job.cycle for job in left[:50])


def test_requeue_all_ends_though_each_job_fails_again_at_once(stable: Stable) -> None:
    queue = stable.queue()
    queue.enqueue_many(Queue.prepare_data(jobs.fail) for _ in range(1_200))
    stable.start(concurrency=2)
    eventually(lambda: queue.counts().failed == 1_200, 20.0)
    assert queue.failed_job_registry.requeue_all() == 1_200
    eventually(lambda: queue.counts().failed == 1_200, 20.0)
    assert {job.cycle for job in queue.failed_job_registry.get_jobs()} == {2}


def test_a_queue_is_obliterated_under_its_workers_and_serves_anew(stable: Stable) -> None:
    queue = stable.queue()
    worker = stable.start(concurrency=2)
    long = [queue.enqueue(jobs.sleep_long) for _ in range(2)]
    eventually(lambda: queue.counts().started == 2)
    queue.enqueue_many(Queue.prepare_data(jobs.nothing) for _ in range(1_500))
    horses = worker.horses()
    try:
        queue.obliterate()
        raise AssertionError("its jobs run")
    except InvalidJobOperation:
        assert queue.counts().queued == 1_500
    assert queue.obliterate(force=True) == 1_502
    assert Queue.all(stable.client(), namespace=stable.namespace) == []
    assert [job.latest_result(timeout=5) for job in long] == [None, None]
    eventually(lambda: not set(horses) & set(worker.horses()), 10.0, message="the horses of both are killed")
    assert queue.enqueue(jobs.echo, "anew").wait(timeout=10) == "anew"
    assert worker.process.poll() is None
    assert sum(queue.counts().values()) == 1


def test_a_busy_queue_is_obliterated_while_it_is_enqueued_to(stable: Stable) -> None:
    queue = stable.queue()
    stable.start(concurrency=2)
    for _ in range(5):
        queue.enqueue_many(Queue.prepare_data(jobs.nothing) for _ in range(700))
        queue.obliterate(force=True)
        assert sum(queue.counts().values()) == 0
    job = queue.enqueue(jobs.echo, "still there")
    assert job.wait(timeout=10) == "still there"
    assert queue.paused is None
