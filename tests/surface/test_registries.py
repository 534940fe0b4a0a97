"""Registries and counts: views of a status, exact, and without any effect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from rqlike import Counts, Job, Queue
from rqlike.entries import entry_of
from rqlike.exceptions import InvalidJobOperation, JobExpired, NoSuchJobError
from rqlike.registry import REGISTRIES, FailedJobRegistry, Registry
from rqlike.states import JobStatus
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.servers import Server, eventually
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.waiters import Counting, counting_client


@pytest.fixture
def full(queue: Queue, work: Work) -> dict[JobStatus, Job[Any]]:
    """A job in each status that there is without dependencies, but stopped."""
    jobs = {
        JobStatus.FINISHED: queue.enqueue(tasks.nothing, job_id="finished"),
        JobStatus.FAILED: queue.enqueue(tasks.fail, job_id="failed"),
    }
    work()
    jobs[JobStatus.EXPIRED] = queue.enqueue(tasks.nothing, job_id="expired", ttl=0.001)
    with pytest.raises(JobExpired):  # no worker that could be quicker: who waits has it expire
        jobs[JobStatus.EXPIRED].wait(timeout=10)
    jobs[JobStatus.STARTED] = queue.enqueue(tasks.nothing, job_id="started")
    queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1)))
    jobs[JobStatus.CANCELED] = queue.enqueue(tasks.nothing, job_id="canceled")
    jobs[JobStatus.CANCELED].cancel()
    jobs[JobStatus.QUEUED] = queue.enqueue(tasks.nothing, job_id="queued")
    jobs[JobStatus.SCHEDULED] = queue.enqueue_in(60, tasks.nothing, job_id="scheduled")
    return jobs


def dump(client: redis.Redis, namespace: str) -> dict[bytes, tuple[bytes | None, int]]:
    """Content and expiry of every key."""
    found: list[bytes] = list(client.scan_iter(match="{" + namespace + "}*"))
    return {key: (client.dump(key), client.execute_command("PEXPIRETIME", key)) for key in found}  # type: ignore[no-untyped-call]


def test_each_job_is_in_the_registry_of_its_status_and_in_no_other(
    queue: Queue, full: dict[JobStatus, Job[Any]]
) -> None:
    for status in JobStatus:
        registry: Registry = queue.registry(status)
        expected = [full[status].id] if status in full else []
        assert (registry.get_job_ids(), registry.count, len(registry)) == (expected, len(expected), len(expected))
        assert list(registry) == expected
        assert [job.id for job in registry.get_jobs()] == expected
        assert [one for one in full.values() if one in registry] == [full[s] for s in full if s is status]
        assert registry.key == queue.store.keys.home(status, "q")
    assert 5 not in queue.failed_job_registry


def test_looking_changes_nothing(queue: Queue, client: redis.Redis, full: dict[JobStatus, Job[Any]]) -> None:
    before = dump(client, queue.store.namespace)
    for status in JobStatus:
        registry = queue.registry(status)
        len(registry)
        registry.get_jobs(desc=True)
        assert registry.get_queue_name() == "q"
    queue.counts()
    queue.job_ids  # noqa: B018
    for job in full.values():
        job.refresh()
        job.get_position()
        job.results()
        job.latest_result()
    assert queue.empty(dry_run=True) == 1
    assert dump(client, queue.store.namespace) == before


def test_counts_are_exact_read_by_name_and_print_as_a_table(queue: Queue, full: dict[JobStatus, Job[Any]]) -> None:
    counts = queue.counts()
    assert counts == {status: int(status in full) for status in JobStatus}
    assert (counts.queued, counts["started"], counts[JobStatus.DEFERRED]) == (1, 1, 0)
    assert [line.split() for line in repr(counts).splitlines()] == [
        ["status", "jobs"],
        *([str(status), str(int(status in full))] for status in counts),
    ]
    with pytest.raises(AttributeError, match="no status 'quened'"):
        counts.quened  # noqa: B018
    assert type(counts) is Counts


def test_counts_are_one_round_trip(server: Server, namespace: str) -> None:
    with counting_client(server) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.counts()
        Counting.sent.clear()
        queue.counts()
        assert len(Counting.sent) == 1


def test_the_moment_of_a_member_is_told(queue: Queue, full: dict[JobStatus, Job[Any]]) -> None:
    now = datetime.now(UTC)
    for status, seconds in {"finished": 500, "failed": 31_536_000, "started": 30, "scheduled": 60}.items():
        moment = queue.registry(status).get_expiration_time(full[JobStatus(status)])
        assert abs(moment - now - timedelta(seconds=seconds)) < timedelta(seconds=5), status
    with pytest.raises(NoSuchJobError):
        queue.failed_job_registry.get_expiration_time("finished")
    with pytest.raises(InvalidJobOperation):
        queue.registry("queued").get_expiration_time("queued")


def test_ranks_are_given_from_either_end(queue: Queue, work: Work) -> None:
    for name in "abcd":
        queue.enqueue(tasks.fail, job_id=name)
        work()
    registry = queue.failed_job_registry
    assert registry.get_job_ids(1, 2) == ["b", "c"]
    assert registry.get_job_ids(-2) == ["c", "d"]
    assert registry.get_job_ids(0, 1, desc=True) == ["d", "c"]
    assert registry.get_job_ids(4) == []
    with pytest.warns(DeprecationWarning, match="cleanup"):
        assert registry.get_job_count(cleanup=True) == 4


def test_a_member_whose_time_is_over_is_not_shown_before_any_sweep(queue: Queue, work: Work) -> None:
    queue.enqueue(tasks.fail, job_id="a", failure_ttl=0.2)
    queue.enqueue(tasks.fail, job_id="b", failure_ttl=60)
    work()
    assert queue.failed_job_registry.count == 2
    eventually(lambda: queue.failed_job_registry.count == 1)
    assert queue.failed_job_registry.get_job_ids() == ["b"]
    assert queue.connection.zcard(queue.failed_job_registry.key) == 2
    work()
    assert queue.connection.zcard(queue.failed_job_registry.key) == 1


def test_a_registry_is_found_without_its_queue(
    queue: Queue, client: redis.Redis, full: dict[JobStatus, Job[Any]]
) -> None:
    registry = FailedJobRegistry("q", connection=client, namespace=queue.store.namespace)
    assert registry.get_job_ids() == ["failed"]
    assert set(REGISTRIES) == set(JobStatus)


def test_a_job_leaves_a_registry_only_by_a_verb(queue: Queue, full: dict[JobStatus, Job[Any]]) -> None:
    with pytest.raises(InvalidJobOperation, match="delete_job=True"):
        queue.failed_job_registry.remove("failed")
    queue.failed_job_registry.remove("failed", delete_job=True)
    assert queue.fetch_job("failed") is None
    assert queue.failed_job_registry.count == 0


def test_remove_cancels_a_queued_job(queue: Queue, full: dict[JobStatus, Job[Any]]) -> None:
    queue.remove("queued")
    assert full[JobStatus.QUEUED].is_canceled


# -- dead letters ------------------------------------------------------------------------------------------------------


def test_one_dead_letter_is_requeued_and_only_one_that_is_there(queue: Queue, full: dict[JobStatus, Job[Any]]) -> None:
    job = queue.failed_job_registry.requeue("failed", at_front=True)
    assert (job.cycle, queue.job_ids[0]) == (2, "failed")
    for absent in ("failed", "finished", "nobody"):
        with pytest.raises(NoSuchJobError, match=absent):
            queue.failed_job_registry.requeue(absent)


def test_all_dead_letters_are_requeued_in_their_order(queue: Queue, work: Work) -> None:
    names = [f"j{number:04}" for number in range(620)]
    queue.enqueue_many(Queue.prepare_data(tasks.nothing, job_id=name) for name in names)
    for _ in range(2):
        turned = queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1000)))
        fail_all(queue, turned.granted)
        assert queue.failed_job_registry.count == 620
        assert queue.failed_job_registry.requeue_all(dry_run=True) == 620
        assert queue.failed_job_registry.requeue_all() == 620
        assert queue.job_ids == names
        queue.connection.delete(queue.store.keys.call("w"))


def test_a_limit_requeues_the_oldest_of_them(queue: Queue, work: Work) -> None:
    for name in "abc":
        queue.enqueue(tasks.fail, job_id=name)
        work()
    registry = queue.failed_job_registry
    assert registry.requeue_all(limit=0) == 0
    assert registry.requeue_all(limit=2, dry_run=True) == 2
    assert registry.requeue_all(limit=2) == 2
    assert (queue.job_ids, registry.get_job_ids()) == (["a", "b"], ["c"])


def fail_all(queue: Queue, executions: Any) -> None:
    """Settles executions as failed, in their order."""
    from rqlike.outcomes import Outcome, Rules, decide
    from rqlike.states import Reason
    from rqlike.store.turns import Settlement

    outcome = Outcome(Reason.EXCEPTION, None, "x", "ValueError")
    settlements = []
    for execution in executions:
        verdict = decide(execution.job, outcome, Rules())
        entry = entry_of(execution, verdict, outcome, worker="w", offset_ms=0)
        settlements.append(Settlement(execution, verdict, entry))
    for at in range(0, len(settlements), 100):
        part = tuple(settlements[at : at + 100])
        queue.store.run(turns.advance(Turn("w", "w-1", 0, ("q",), settlements=part)))
