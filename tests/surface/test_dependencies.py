"""`depends_on`, as callers meet it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from rqlike import Dependency, Job, JobStatus, Queue, Repeat, Retry
from rqlike.cron import CronScheduler
from rqlike.exceptions import DuplicateJobError, EnqueueManyError, InvalidJobOperation, JobCanceled, NoSuchJobError
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import waiting


def test_a_job_runs_after_those_it_depends_on(queue: Queue, work: Work) -> None:
    first, second = queue.enqueue(tasks.add, 1), queue.enqueue(tasks.add, 2)
    last = queue.enqueue(tasks.add, 3, depends_on=[first, second.id])
    assert (last.get_status(), last.is_deferred) == ("deferred", True)
    assert queue.deferred_job_registry.get_job_ids() == [last.id]
    assert (last.dependency_ids, last.dependency, first.dependent_ids) == ([first.id, second.id], first, [last.id])
    assert last.fetch_dependencies() == [first, second]
    work()
    assert (last.wait(timeout=0), first.dependent_ids) == (3, [])
    assert Job.fetch(last.id, queue.connection, queue.store.namespace).dependency_ids == [first.id, second.id]


def test_across_queues_and_in_bulk(queue: Queue, client: redis.Redis, namespace: str, work: Work) -> None:
    elsewhere = Queue("elsewhere", client, namespace=namespace)
    parent = elsewhere.enqueue(tasks.add, 1)
    jobs = queue.enqueue_many([queue.prepare_data(tasks.add, (n,), depends_on=parent) for n in range(3)])
    assert {job.get_status() for job in jobs} == {JobStatus.DEFERRED}
    parent.cancel(enqueue_dependents=True)
    work()
    assert [job.wait(timeout=0) for job in jobs] == [0, 1, 2]


def test_a_failure_is_passed_down_and_every_waiter_learns(queue: Queue, client: redis.Redis, work: Work) -> None:
    parent = queue.enqueue(tasks.fail)
    child = queue.enqueue(tasks.add, 1, depends_on=parent)
    grandchild = queue.enqueue(tasks.add, 1, depends_on=child)
    blocked = waiting(client, lambda: grandchild.wait(timeout=20))
    work()
    (error,) = blocked.outcomes(within=2)
    assert isinstance(error, JobCanceled)
    assert (error.job_id, error.reason) == (grandchild.id, "dependency")
    assert child.is_canceled


@pytest.mark.parametrize(
    ("dependency", "status"),
    [
        ({}, "canceled"),
        ({"allow_failure": True}, "queued"),
        ({"on_failure": "run"}, "queued"),
        ({"on_failure": "wait"}, "deferred"),
    ],
)
def test_a_dependency_says_what_becomes_of_it_where_one_fails(
    queue: Queue, work: Work, dependency: dict[str, Any], status: str
) -> None:
    parent = queue.enqueue(tasks.fail)
    work()
    child = queue.enqueue(tasks.add, 1, depends_on=Dependency([parent], **dependency))
    assert child.get_status() == status


def test_one_that_waits_for_another_try_gets_it_by_requeue(queue: Queue, work: Work, tmp_path: object) -> None:
    parent = queue.enqueue(tasks.fails_until, f"{tmp_path}.calls", 2)
    child = queue.enqueue(tasks.add, 1, depends_on=Dependency(parent, on_failure="wait"))
    work()
    assert child.is_deferred
    parent.requeue()
    work()
    assert child.wait(timeout=0) == 1


def test_a_job_that_would_wait_for_itself_by_way_of_others_is_refused(queue: Queue, work: Work) -> None:
    parent = queue.enqueue(tasks.fail, job_id="a")
    work()
    child = queue.enqueue(tasks.add, 1, depends_on=Dependency(parent, on_failure="wait"))
    with pytest.raises(InvalidJobOperation, match=f"Job a cannot depend on job {child.id}, which waits until job a"):
        queue.enqueue(tasks.add, 1, job_id="a", depends_on=child)
    with pytest.raises(EnqueueManyError) as caught:
        queue.enqueue_many([queue.prepare_data(tasks.add, (1,), job_id="a", depends_on=child)])
    assert isinstance(caught.value.errors[0], InvalidJobOperation)
    assert (parent.get_status(), child.get_status()) == ("failed", "deferred")


def test_to_go_to_the_front(queue: Queue) -> None:
    parent = queue.enqueue(tasks.add, 1)
    child = queue.enqueue(tasks.add, 2, depends_on=Dependency(parent, enqueue_at_front=True))
    queue.enqueue(tasks.add, 3)
    parent.cancel(enqueue_dependents=True)
    assert queue.job_ids[0] == child.id


def test_a_parent_that_is_none_is_refused(queue: Queue) -> None:
    with pytest.raises(NoSuchJobError, match="There is no job none to depend on") as caught:
        queue.enqueue(tasks.add, 1, depends_on="none")
    assert caught.value.job_id == "none"
    good, bad = queue.prepare_data(tasks.add, (1,)), queue.prepare_data(tasks.add, (1,), depends_on="none")
    with pytest.raises(EnqueueManyError) as refused:
        queue.enqueue_many([good, bad])
    assert ([job is None for job in refused.value.jobs], list(refused.value.errors)) == ([False, True], [1])
    with pytest.raises(EnqueueManyError, match="Nothing is enqueued"):
        queue.enqueue_many([good, bad], atomic=True)
    assert queue.count == 1


def test_a_job_that_replaces_its_parent_is_canceled_with_it(queue: Queue) -> None:
    parent = queue.enqueue(tasks.add, 1, unique_key="k")
    child = queue.enqueue(tasks.add, 2, unique_key="k", on_duplicate="replace", depends_on=parent)
    assert (parent.get_status(), child.get_status()) == (JobStatus.CANCELED, JobStatus.CANCELED)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (7, TypeError, "depends_on takes jobs, ids and Dependency, not 7"),
        ([None], TypeError, "not None"),
        (["x"] * 2 + [str(n) for n in range(500)], ValueError, "at most 500 jobs, not 501"),
    ],
)
def test_what_makes_no_sense_is_refused(queue: Queue, given: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        queue.enqueue(tasks.add, 1, depends_on=given)


def test_what_a_dependency_does_not_take_is_refused_where_it_is_made(queue: Queue) -> None:
    with pytest.raises(ValueError, match="'cancel', 'run', 'wait', not 'ignore'"):
        Dependency("a", on_failure="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give one of them"):
        Dependency("a", allow_failure=True, on_failure="wait")
    with pytest.raises(ValueError, match="at least one job"):
        Dependency([])
    with pytest.raises(NoSuchJobError, match="There is no job a to depend on"):
        queue.schedule("s", tasks.add, (1,), every=60, depends_on="a")
    with pytest.raises(ValueError, match="job a cannot depend on itself"):
        queue.enqueue(tasks.add, 1, job_id="a", depends_on="a")


# -- later, again and again --------------------------------------------------------------------------------------------


def test_a_job_that_is_due_later_waits_for_both(queue: Queue, work: Work) -> None:
    parent = queue.enqueue(tasks.add, 1)
    soon = queue.enqueue_in(0, tasks.add, 2, depends_on=parent)
    later = queue.enqueue_in(60, tasks.add, 3, depends_on=parent)
    past = queue.enqueue_at(datetime(2020, 1, 1, tzinfo=UTC), tasks.add, 4, depends_on=parent)
    assert {job.get_status() for job in (soon, later, past)} == {JobStatus.DEFERRED}
    work()
    assert [job.get_status() for job in (soon, later, past)] == ["finished", "scheduled", "finished"]


def test_repetitions_attempts_and_requeues_do_not_wait_again(queue: Queue, client: redis.Redis, work: Work) -> None:
    parent = queue.enqueue(tasks.add, 1, job_id="parent")
    often = queue.enqueue(tasks.add, 2, depends_on=parent, repeat=Repeat(2))
    again = queue.enqueue(tasks.fail, depends_on=parent, retry=Retry(1))
    work()
    elsewhere = Queue("nobody", client, namespace=queue.store.namespace)
    elsewhere.enqueue(tasks.add, 1, job_id="parent")
    assert ([result.cycle for result in often.results()], often.dependency_ids) == ([3, 2, 1], ["parent"])
    assert [result.attempt for result in again.results()] == [2, 1]
    assert again.requeue().get_status() == "queued"


def test_the_first_success_of_a_parent_that_retries_or_repeats_is_enough(
    queue: Queue, work: Work, tmp_path: object
) -> None:
    flaky = queue.enqueue(tasks.fails_until, f"{tmp_path}.calls", 2, retry=Retry(3))
    often = queue.enqueue(tasks.add, 1, repeat=Repeat(5, interval=60))
    child = queue.enqueue(tasks.add, 2, depends_on=[flaky, often])
    work()
    assert (child.wait(timeout=0), often.get_status()) == (2, "scheduled")


def test_the_jobs_of_a_schedule_wait_for_others(queue: Queue, client: redis.Redis, work: Work) -> None:
    elsewhere = Queue("nobody", client, namespace=queue.store.namespace)
    parent = elsewhere.enqueue(tasks.add, 1)
    schedule = queue.schedule(
        "s", tasks.add, (2,), every=60, depends_on=[Dependency(parent, on_failure="run")], unique=True
    )
    first = schedule.run_now()
    assert (first.get_status(), first.dependency_ids, parent.dependent_ids) == ("deferred", [parent.id], [first.id])
    with pytest.raises(DuplicateJobError):
        schedule.run_now()
    parent.cancel()
    work()
    assert (first.wait(timeout=0), schedule.run_now().get_status()) == (2, "queued")
    parent.delete()
    queue.schedule("s", tasks.add, (2,), every=60, depends_on=[Dependency(parent, on_failure="run")])


def test_so_do_those_of_a_cron_file(queue: Queue, client: redis.Redis) -> None:
    parent = queue.enqueue(tasks.add, 1)
    cron = CronScheduler(client, None, namespace=queue.store.namespace)
    cron.register(tasks.add, "q", args=(2,), cron="0 3 * * *", name="nightly", depends_on=parent.id)
    (schedule,) = cron.start().schedules
    assert schedule.run_now().get_status() == "deferred"


def test_a_parent_may_take_its_dependents_along(queue: Queue) -> None:
    parent = queue.enqueue(tasks.add, 1)
    child = queue.enqueue(tasks.add, 2, depends_on=parent)
    parent.delete(delete_dependents=True)
    with pytest.raises(NoSuchJobError):
        child.get_status()


def test_without_workers_a_dependent_runs_where_its_parent_has(client: redis.Redis, namespace: str) -> None:
    queue = Queue("q", client, is_async=False, namespace=namespace)
    parent = queue.enqueue(tasks.add, 1)
    assert queue.enqueue(tasks.add, 2, depends_on=parent).return_value() == 2


def test_one_call_of_a_bulk_looks_at_no_more_than_500_that_its_jobs_depend_on(server: Server, namespace: str) -> None:
    with server.client() as client:
        queue = Queue("q", client, namespace=namespace)
        parents = queue.enqueue_many([queue.prepare_data(tasks.nothing) for _ in range(200)])
        datas = [queue.prepare_data(tasks.nothing, depends_on=parents) for _ in range(13)]
        client.config_resetstat()
        jobs = queue.enqueue_many(datas[:5])
        stats: dict[str, Any] = client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 3  # of two, two, and one
        assert {job.get_status() for job in jobs} == {JobStatus.DEFERRED}
        with pytest.raises(ValueError, match="at most 2500 others"):
            queue.enqueue_many(datas, atomic=True)
