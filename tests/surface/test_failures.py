"""Dead letters in numbers: which are meant, how they are grouped, and that each is run again once."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from rqlike import FailureGroup, Queue, Unrecoverable
from rqlike.states import JobStatus, Reason
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.surface import tasks
from tests.surface.conftest import Work
from tests.surface.test_registries import dump, fail_all


@pytest.fixture
def letters(queue: Queue, work: Work) -> Queue:
    """Six failed jobs of three functions."""
    for number in range(3):
        queue.enqueue(tasks.fail, job_id=f"fail{number}")
    queue.enqueue(tasks.give_up, job_id="give_up")
    queue.enqueue("tests.surface.nowhere.to_be_found", job_id="lost")
    queue.enqueue("tests.surface.nowhere." + "n" * 200, job_id="long")
    work()
    assert queue.counts().failed == 6
    return queue


CRITERIA: tuple[tuple[dict[str, Any], set[str]], ...] = (
    ({}, {"fail0", "fail1", "fail2", "give_up", "lost", "long"}),
    ({"func": tasks.fail}, {"fail0", "fail1", "fail2"}),
    ({"func": "tests.surface.tasks.fail"}, {"fail0", "fail1", "fail2"}),
    ({"func": "tests.surface.tasks.*"}, {"fail0", "fail1", "fail2", "give_up"}),
    ({"func": "*n" * 50}, {"long"}),
    ({"func": "fail"}, set()),
    ({"exc_type": ValueError}, {"fail0", "fail1", "fail2"}),
    ({"exc_type": "ValueError"}, {"fail0", "fail1", "fail2"}),
    ({"exc_type": "builtins.ValueError"}, {"fail0", "fail1", "fail2"}),
    ({"exc_type": Unrecoverable}, {"give_up"}),
    ({"exc_type": "Exception"}, set()),
    ({"reason": "import"}, {"lost", "long"}),
    ({"reason": Reason.UNRECOVERABLE, "func": "*.give_*"}, {"give_up"}),
    ({"reason": "import", "func": tasks.fail}, set()),
    ({"older_than": "1h"}, set()),
    ({"older_than": 0, "limit": 2}, {"fail0", "fail1"}),
    ({"exc_type": "ValueError", "limit": 1}, {"fail0"}),
    ({"limit": 0}, set()),
)


def test_a_dry_run_says_how_many_fit_and_changes_nothing(letters: Queue, client: redis.Redis) -> None:
    registry = letters.failed_job_registry
    before = dump(client, letters.store.namespace)
    for criteria, names in CRITERIA:
        assert registry.requeue_all(dry_run=True, **criteria) == len(names), criteria
    assert dump(client, letters.store.namespace) == before


def test_those_that_fit_are_requeued_and_no_others(letters: Queue, work: Work) -> None:
    registry = letters.failed_job_registry
    for criteria, names in CRITERIA:
        assert registry.requeue_all(**criteria) == len(names), criteria
        assert "limit" in criteria or set(letters.job_ids) == names, criteria
        work()
        assert registry.count == 6
    for job in registry.get_jobs():
        assert job.cycle > 1
        assert len(job.results()) == min(job.cycle, 10)


@pytest.mark.parametrize(
    ("criteria", "error", "said"),
    [
        ({"reason": "bad luck"}, ValueError, "there is no reason 'bad luck'; there are exception, timeout"),
        ({"exc_type": 7}, TypeError, "exc_type takes a class of exceptions"),
        ({"exc_type": int}, TypeError, "exc_type takes a class of exceptions"),
        ({"func": lambda: None}, ValueError, "lambda"),
        ({"older_than": "soon"}, ValueError, "older_than='soon'"),
        ({"limit": -1}, ValueError, "limit=-1"),
        ({"limit": 1.5}, TypeError, "not float"),
    ],
)
def test_criteria_that_nothing_can_meet_are_refused_before_anything_is_asked(
    criteria: dict[str, Any], error: type[Exception], said: str
) -> None:
    registry = Queue("q", "unix:///nonexistent/no-server.sock").failed_job_registry
    with pytest.raises(error, match=said):
        registry.requeue_all(**criteria)


def test_a_job_that_fails_again_meanwhile_is_requeued_once(
    letters: Queue, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if pages had two jobs, and a worker ran what is requeued before the next page is read."""
    monkeypatch.setattr("rqlike.store.pages.TOUCH_LIMIT", 2)
    registry, run = letters.failed_job_registry, letters.store.run

    def served(request: Any) -> Any:
        answer = run(request)
        if request.script == "requeue":
            work()
        return answer

    monkeypatch.setattr(letters.store, "run", served)
    assert registry.requeue_all() == 6
    cycles = [job.cycle for job in registry.get_jobs()]
    assert cycles == [2] * 6


def test_jobs_whose_key_another_one_holds_stay_and_are_not_counted(queue: Queue, work: Work) -> None:
    for name in ("held", "first", "second"):
        queue.enqueue(tasks.fail, job_id=name, unique_key="a" if name == "held" else "b")
        work()
    queue.enqueue_in(60, tasks.nothing, unique_key="a", job_id="holder")
    registry = queue.failed_job_registry
    assert registry.requeue_all(dry_run=True) == registry.requeue_all() == 1
    assert (queue.job_ids, set(registry.get_job_ids())) == (["first"], {"held", "second"})


# -- groups ------------------------------------------------------------------------------------------------------------


def test_dead_letters_are_grouped_by_function_exception_and_reason(letters: Queue) -> None:
    groups = letters.failed_job_registry.summary()
    assert [(group.count, group.func_name[:40], group.exc_type, group.reason) for group in groups] == [
        (3, "tests.surface.tasks.fail", "builtins.ValueError", Reason.EXCEPTION),
        (1, "tests.surface.nowhere." + "n" * 18, groups[1].exc_type, Reason.IMPORT),
        (1, "tests.surface.nowhere.to_be_found", groups[2].exc_type, Reason.IMPORT),
        (1, "tests.surface.tasks.give_up", "rqlike.exceptions.Unrecoverable", Reason.UNRECOVERABLE),
    ]
    jobs = [letters.fetch_job(f"fail{number}") for number in range(3)]
    moments = [job.ended_at for job in jobs if job is not None and job.ended_at is not None]
    assert (groups[0].first_at, groups[0].last_at) == (min(moments), max(moments))
    assert groups[0].job_id == "fail2"
    assert letters.failed_job_registry.summary(1) == groups[:1]
    assert letters.failed_job_registry.summary(limit=0) == []


def test_groups_are_shown_as_a_table_and_one_in_a_line(letters: Queue, queue: Queue) -> None:
    groups = letters.failed_job_registry.summary()
    head, first, *others = repr(groups).splitlines()
    assert head.split() == [
        "jobs",
        "function",
        "exception",
        "reason",
        "first",
        "(UTC)",
        "last",
        "(UTC)",
        "newest",
        "job",
    ]
    assert first.split()[:4] == ["3", "tests.surface.tasks.fail", "ValueError", "exception"]
    assert len(others) == 3
    assert max(len(line) for line in others) < 260
    assert repr(groups[0]) == "<FailureGroup 3 of tests.surface.tasks.fail: ValueError (exception)>"
    with pytest.raises(AttributeError):
        groups[0].count = 7  # type: ignore[misc]
    letters.failed_job_registry.requeue_all()
    assert repr(letters.failed_job_registry.summary()) == "no failed jobs"


def test_a_summary_counts_all_and_changes_nothing(queue: Queue, client: redis.Redis) -> None:
    queue.enqueue_many(Queue.prepare_data(tasks.nothing) for _ in range(1_150))
    fail_all(queue, queue.store.run(turns.advance(Turn("w", "w-1", 1, ("q",), want=1_150))).granted)
    before = dump(client, queue.store.namespace)
    (group,) = queue.failed_job_registry.summary()
    assert (group.count, group.func_name, group.exc_type) == (1_150, "tests.surface.tasks.nothing", "ValueError")
    assert dump(client, queue.store.namespace) == before


def test_what_cannot_be_read_is_a_group_of_its_own(letters: Queue, client: redis.Redis) -> None:
    client.hset(letters.store.keys.job("give_up"), "c0", b"garbage")
    client.delete(letters.store.keys.results("give_up"))
    found = {group.func_name: group for group in letters.failed_job_registry.summary()}
    assert (found[""].count, found[""].exc_type, found[""].reason) == (1, None, None)
    assert repr(found[""]) == "<FailureGroup 1 of (unreadable): unknown>"
    assert isinstance(found[""], FailureGroup)


def test_neither_values_nor_tracebacks_travel(queue: Queue, work: Work, client: redis.Redis) -> None:
    secret = "s3cret" * 200
    queue.enqueue(tasks.fail, secret, job_id="j")
    work()
    seen: list[bytes] = []
    execute = client.execute_command

    def spied(*command: Any, **options: Any) -> Any:
        answer = execute(*command, **options)  # type: ignore[no-untyped-call]
        seen.append(repr(answer).encode())
        return answer

    client.execute_command = spied  # type: ignore[method-assign]
    queue.failed_job_registry.summary()
    assert len(seen) == 1
    assert len(seen[0]) < 500
    assert queue.counts()[JobStatus.FAILED] == 1
