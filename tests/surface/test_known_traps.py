"""Traps that other queues have set for those who wait: each of these was somebody's bug report."""

from __future__ import annotations

import pytest
import redis

from rqlike import Job, Queue, Retry
from rqlike.exceptions import JobCanceled, JobFailed, NoSuchJobError, WaitTimeout
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.servers import eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import waiting


def test_a_job_with_a_short_ttl_takes_no_other_result_along(queue: Queue, client: redis.Redis, work: Work) -> None:
    long, short = queue.enqueue(tasks.echo, "long"), queue.enqueue(tasks.echo, "short", result_ttl=0.05)
    gone = queue.enqueue(tasks.echo, "gone", result_ttl=0)
    work()
    eventually(lambda: not client.exists(short.key), interval=0.005)
    assert (long.wait(timeout=0), Job.exists(gone.id, client, queue.store.namespace)) == ("long", False)
    assert client.pttl(queue.store.keys.results(long.id)) > 400_000


def test_none_is_an_answer_and_not_a_wait_for_one(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.nothing)
    blocked = waiting(client, lambda: ("value", job.wait(timeout=20)))
    work()
    assert blocked.outcomes(within=2) == [("value", None)]
    assert queue.enqueue_and_wait(tasks.nothing, job_id=job.id, timeout=0) is None  # cached


def test_a_waiter_that_leaves_takes_nothing_from_the_others(queue: Queue, client: redis.Redis, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1, 2)
    blocked = waiting(client, lambda: job.wait(timeout=20))
    with pytest.raises(WaitTimeout):
        job.wait(timeout=0.05)
    work()
    assert blocked.outcomes(within=2) == [3]


def test_a_finished_job_whose_value_is_gone_is_run_again_and_not_waited_for(queue: Queue, work: Work) -> None:
    first = queue.enqueue_or_join(tasks.add, 1, 2, job_id="a").job
    work()
    queue.connection.delete(queue.store.keys.results("a"))
    again = queue.enqueue_or_join(tasks.add, 1, 2, job_id="a")
    assert (again.how, again.job.cycle, first.cycle) == ("queued", 2, 1)


def test_a_waiter_is_told_of_a_cancel(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.add, 1)
    blocked = waiting(client, lambda: job.wait(timeout=20), 3)
    job.cancel()
    assert [type(outcome) for outcome in blocked.outcomes(within=1)] == [JobCanceled] * 3


def test_a_waiter_is_told_of_a_delete(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue(tasks.add, 1)
    blocked = waiting(client, lambda: job.wait(timeout=20), 3)
    job.delete()
    assert [type(outcome) for outcome in blocked.outcomes(within=1)] == [NoSuchJobError] * 3
    with pytest.raises(NoSuchJobError):
        job.wait(timeout=20)  # and who comes late does not wait at all


def test_an_id_that_was_canceled_and_is_enqueued_again_runs_once(queue: Queue, work: Work, tmp_path: object) -> None:
    path = f"{tmp_path}/calls"
    queue.enqueue(tasks.numbered, path, job_id="a").cancel()
    job = queue.enqueue(tasks.numbered, path, job_id="a")
    work()
    assert (job.wait(timeout=0), len(job.results())) == (1, 1)


def test_an_id_with_a_colon_is_recovered_when_its_worker_is_lost(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1, 2, job_id="rpc:getUserProfile", retry=Retry(1))
    queue.store.run(turns.advance(Turn("lost", "lost-1", 1, ("q",), want=1, lease_ms=1)))
    eventually(lambda: work() or job.get_status() is JobStatus.FINISHED, interval=0.002)
    assert [(one.type, one.reason) for one in job.results()] == [
        (ResultType.SUCCESSFUL, None),
        (ResultType.RETRIED, Reason.ABANDONED),
    ]


def test_a_job_that_is_gone_with_its_end_still_answers_all_who_wait(
    queue: Queue, client: redis.Redis, work: Work
) -> None:
    job = queue.enqueue(tasks.add, 1, 2, result_ttl=0)
    blocked = waiting(client, lambda: job.wait(timeout=20), 5)
    work()
    assert blocked.outcomes(within=2) == [3] * 5


def test_who_waits_for_a_requeued_job_is_not_given_its_old_result(
    queue: Queue, client: redis.Redis, work: Work, tmp_path: object
) -> None:
    job = queue.enqueue(tasks.fails_until, f"{tmp_path}/calls", 2)
    work()
    job.requeue()
    blocked = waiting(client, lambda: job.wait(timeout=20))
    work()
    assert blocked.outcomes(within=2) == [2]


def test_a_result_that_cannot_be_stored_is_no_success(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.unserialisable)
    work()
    with pytest.raises(JobFailed) as caught:
        job.wait(timeout=0)
    assert caught.value.reason is Reason.SERIALIZATION


def test_a_failure_is_given_to_each_who_joined_and_the_next_one_runs_it_again(
    queue: Queue, client: redis.Redis, work: Work
) -> None:
    queue.enqueue_or_join(tasks.fail, job_id="a")
    blocked = waiting(client, lambda: queue.enqueue_and_wait(tasks.fail, job_id="a", timeout=20), 3)
    work()
    assert [type(outcome) for outcome in blocked.outcomes(within=2)] == [JobFailed] * 3
    assert queue.enqueue_or_join(tasks.fail, job_id="a").job.cycle == 2


def test_half_seconds_are_waited_for_as_such(queue: Queue, work: Work) -> None:
    job = queue.enqueue(tasks.add, 1)
    assert job.latest_result(timeout=0.05) is None
    work()
    result = job.latest_result(timeout=0.5)
    assert result is not None
    assert result.return_value == 1
