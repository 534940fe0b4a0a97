"""Emptying, cleaning and obliterating a queue, as callers see it; a dry run tells what would go and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from rqlike import Job, JobStatus, Queue
from rqlike.erasure import look
from rqlike.exceptions import InvalidJobOperation
from rqlike.store import turns
from rqlike.store.requests import Request
from rqlike.store.store import Store
from rqlike.store.turns import Turn
from tests.servers import Server
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.test_registries import dump, fail_all
from tests.surface.waiters import Waiting, blocked


@pytest.fixture
def full(queue: Queue, work: Work) -> Queue:
    """A queue with a job in most statuses, a schedule and a pause."""
    queue.enqueue(tasks.nothing, job_id="finished")
    queue.enqueue(tasks.fail, job_id="failed", unique_key="f")
    work()
    queue.enqueue(tasks.nothing, job_id="canceled").cancel()
    queue.enqueue_in(60, tasks.nothing, job_id="scheduled", unique_key="s")
    queue.enqueue(tasks.nothing, job_id="queued")
    queue.schedule("nightly", tasks.nothing, every=3600)
    queue.pause(reason="for a while")
    return queue


def start_one(queue: Queue, job_id: str) -> None:
    queue.enqueue(tasks.nothing, job_id=job_id, at_front=True)
    queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1)))


Act = Callable[..., int]
ACTS: dict[str, tuple[Act, set[str]]] = {
    "empty": (lambda queue, **more: queue.empty(**more), {"queued"}),
    "empty, scheduled": (lambda queue, **more: queue.empty(scheduled=True, **more), {"queued", "scheduled"}),
    "clean": (lambda queue, **more: queue.clean("failed", **more), {"failed"}),
    "clean by age": (lambda queue, **more: queue.clean("failed", "1h", **more), set()),
    "clean canceled": (lambda queue, **more: queue.clean(JobStatus.CANCELED, 0, **more), {"canceled"}),
    "obliterate": (
        lambda queue, **more: queue.obliterate(**more),
        {"finished", "failed", "canceled", "scheduled", "queued"},
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_dry_run_counts_what_would_go_and_changes_nothing(full: Queue, client: redis.Redis, name: str) -> None:
    act, gone = ACTS[name]
    before = dump(client, full.store.namespace)
    assert act(full, dry_run=True) == len(gone)
    assert dump(client, full.store.namespace) == before
    assert act(full) == len(gone)
    names = ["finished", "failed", "canceled", "scheduled", "queued"]
    left = Job.fetch_many(names, client, full.store.namespace)
    assert {name for name, job in zip(names, left, strict=True) if job is None} == gone


def test_nothing_is_left_of_an_obliterated_queue(full: Queue, client: redis.Redis) -> None:
    full.resume()
    start_one(full, "started")
    full.pause()
    assert look(full.store, "q") == (6, 1, 1)
    with pytest.raises(InvalidJobOperation, match=r"'q' cannot be obliterated: 1 of its jobs are started.*force"):
        full.obliterate(dry_run=True)
    with pytest.raises(InvalidJobOperation):
        full.obliterate()
    assert full.obliterate(force=True, dry_run=True) == full.obliterate(force=True) == 6
    keys = full.store.keys
    found: list[bytes] = list(client.scan_iter(match=keys.prefix + "*"))
    lasting = {key.decode() for key in found if client.ttl(key) < 0}
    assert lasting <= {keys.sequence(), keys.contact(), keys.watch()}
    assert not client.hexists(keys.watch(), "q")
    assert (Queue.all(client, namespace=full.store.namespace), full.paused, full.obliterate()) == ([], None, 0)
    full.enqueue(tasks.nothing)
    assert [queue.name for queue in Queue.all(client, namespace=full.store.namespace)] == ["q"]


def test_who_waits_for_a_job_learns_that_it_was_cleaned_away(queue: Queue, client: redis.Redis) -> None:
    job = queue.enqueue_in(60, tasks.nothing)
    waiting = Waiting(lambda: job.latest_result(timeout=20)).start()
    blocked(client)
    assert queue.clean("scheduled") == 1
    assert waiting.outcomes() == [None]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda queue: queue.clean("queued"), ValueError, r"queue\.empty\(\)"),
        (lambda queue: queue.clean("started"), ValueError, r"job\.cancel\(\).*job\.delete\(\)"),
        (lambda queue: queue.clean("dead"), ValueError, "there is no status 'dead'; there are queued"),
        (lambda queue: queue.clean("failed", "soon"), ValueError, "older_than='soon'"),
        (lambda queue: queue.clean("failed", -1), ValueError, "older_than=-1 is negative"),
        (lambda queue: queue.clean("failed", limit=-1), ValueError, "limit=-1"),
        (lambda queue: queue.clean("failed", limit=None), TypeError, "limit takes a number of jobs, not NoneType"),
        (lambda queue: queue.page("failed", limit=0), ValueError, "1 to 500"),
        (lambda queue: queue.page("failed", limit=501), ValueError, "1 to 500"),
        (lambda queue: queue.page("failed", limit=True), TypeError, "not bool"),
        (lambda queue: queue.page("dead"), ValueError, "there is no status"),
        (lambda queue: queue.page("failed", "somewhere"), ValueError, "pass the `next` of a page"),
        (lambda queue: queue.page("failed", "nan:x"), ValueError, "pass the `next` of a page"),
        (lambda queue: queue.page("failed", 7), TypeError, "cursor takes"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    call: Callable[[Queue], Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        call(Queue("q", "unix:///nonexistent/no-server.sock"))


def test_limits_of_0_do_nothing(full: Queue) -> None:
    assert full.clean("failed", limit=0) == 0
    assert full.counts().failed == 1


def test_more_jobs_than_one_call_takes_are_cleaned_up_to_the_limit(queue: Queue) -> None:
    queue.enqueue_many(Queue.prepare_data(tasks.nothing) for _ in range(1_150))
    fail_all(queue, queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1_150))).granted)
    assert queue.clean("failed", limit=620, dry_run=True) == queue.clean("failed", limit=620) == 620
    assert queue.clean("failed", 3600) == 0
    assert (queue.clean("failed"), queue.counts().failed) == (530, 0)


# -- pages -------------------------------------------------------------------------------------------------------------


def test_pages_lead_through_all_jobs_of_a_status(queue: Queue) -> None:
    queue.enqueue_many(Queue.prepare_data(tasks.echo, (number,), job_id=f"j{number}") for number in range(7))
    page = queue.page("queued", limit=3)
    assert [job.id for job in page.jobs] == ["j0", "j1", "j2"]
    page.jobs[2].delete()
    page = queue.page("queued", page.next, 3)
    assert [job.args for job in page.jobs] == [(3,), (4,), (5,)]
    page = queue.page(JobStatus.QUEUED, page.next, 3)
    assert ([job.id for job in page.jobs], page.next) == (["j6"], None)
    assert queue.page("failed") == ([], None)


# -- a call that was cut off -------------------------------------------------------------------------------------------


class CutOff(Exception):
    """The process that called is gone."""


def cut_after(queue: Queue, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store answers so many requests more, and then the process dies after it has sent one."""
    left, run = iter(range(calls)), Store.run

    def counted(self: Store, request: Request[Any]) -> Any:
        answer = run(self, request)
        if next(left, None) is None:
            raise CutOff
        return answer

    monkeypatch.setattr(Store, "run", counted)


@pytest.mark.parametrize("name", ["empty", "clean", "obliterate", "requeue_all"])
def test_the_same_call_goes_on_where_one_was_cut_off(
    queue: Queue, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    count = 1_300
    queue.enqueue_many(Queue.prepare_data(tasks.nothing) for _ in range(count))
    if name in ("clean", "requeue_all"):
        fail_all(queue, queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=count))).granted)
    act: dict[str, Callable[[], int]] = {
        "empty": queue.empty,
        "clean": lambda: queue.clean("failed", limit=5_000),
        "obliterate": queue.obliterate,
        "requeue_all": queue.failed_job_registry.requeue_all,
    }
    with monkeypatch.context() as patch:
        cut_after(queue, 1, patch)
        with pytest.raises(CutOff):
            act[name]()
    counts = queue.counts()
    done = counts.queued if name == "requeue_all" else count - sum(counts.values())
    assert 0 < done < count
    assert sum(len(queue.registry(status).get_jobs()) for status in JobStatus) == sum(counts.values())
    assert act[name]() == count - done
    assert queue.counts().queued == (count if name == "requeue_all" else 0)


class Twice(redis.Redis):
    """Sends each command again, as redis-py does where a reply is lost."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ["empty", "clean", "obliterate"])
def test_what_a_call_has_done_is_told_though_each_reply_is_lost_once(server: Server, namespace: str, name: str) -> None:
    with Twice.from_url(server.url) as client:
        queue = Queue("q", client, namespace=namespace)
        queue.enqueue_many(Queue.prepare_data(tasks.nothing) for _ in range(1_200))
        if name == "clean":
            fail_all(queue, queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1_200))).granted)
        act = {
            "empty": queue.empty,
            "clean": lambda: queue.clean("failed", limit=5_000),
            "obliterate": queue.obliterate,
        }
        assert act[name]() == 1_200
        assert sum(queue.counts().values()) == 0
