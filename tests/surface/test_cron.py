"""Cron files: what `register` takes and refuses, which keys it makes, and what a file owns in Redis."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from rqlike import Queue, Retry, Schedule, cron, firetimes
from rqlike.cron import CronJob, CronScheduler, Upserted
from rqlike.exceptions import SerializationError
from rqlike.store.schedules import unschedule
from tests.conftest import AnyServer
from tests.surface import tasks

RQ_ORDER = [
    *("func", "queue_name", "args", "kwargs", "interval", "cron", "job_timeout"),
    *("result_ttl", "ttl", "failure_ttl", "meta", "webhooks", "name"),
]

Load = Callable[..., Upserted]


@pytest.fixture(autouse=True)
def empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron._TABLE, "_entries", [])


@pytest.fixture
def scheduler(client: redis.Redis, namespace: str) -> CronScheduler:
    return CronScheduler(client, None, namespace=namespace)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where code is imported from; its modules are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def load(folder: Path, client: redis.Redis, namespace: str) -> Load:
    """Writes a file of these `register(...)` calls, loads it and starts."""

    def loaded(*calls: str, file: str = "crontab.py", name: str = "") -> Upserted:
        (folder / file).write_text("\n".join(["from rqlike.cron import register", *calls, ""]))
        made = CronScheduler(client, None, name, namespace=namespace)
        made.load_config_from_file(file)
        return made.start()

    return loaded


@pytest.fixture
def standing(client: redis.Redis, namespace: str) -> Callable[[], list[str]]:
    """The keys of the schedules that are in Redis."""
    return lambda: [one.key for one in Schedule.all(client, namespace=namespace)]


# -- an entry ----------------------------------------------------------------------------------------------------------


def test_the_positional_arguments_are_those_of_rq_in_their_order() -> None:
    parameters = inspect.signature(cron.register).parameters.values()
    assert [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD] == RQ_ORDER
    assert list(inspect.signature(CronScheduler.register).parameters)[1:14] == RQ_ORDER


def test_an_entry_says_what_it_is() -> None:
    entry = cron.register(tasks.add, "q", (1,), {"b": 2}, interval=90, name="sum")
    assert isinstance(entry, CronJob)
    assert (entry.key, entry.queue_name, entry.func_name) == ("sum", "q", "tests.surface.tasks.add")
    assert (entry.args, entry.kwargs, entry.interval, entry.cron) == ((1,), {"b": 2}, 90.0, None)
    assert entry.place.startswith("tests.surface.test_cron, line ")
    assert entry.next_at is not None


def test_the_calendar_is_to_be_had_here_too() -> None:
    assert cron.next_fire is firetimes.next_fire


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, ValueError, "exactly one of cron"),
        ({"cron": "* * * * *", "interval": 5}, ValueError, "exactly one of cron"),
        ({"interval": 0}, ValueError, "interval=0"),
        ({"cron": "61 * * * *"}, ValueError, "minutes are 0 to 59"),
        ({"cron": "* * * * *", "tz": "Berlin"}, ValueError, "Europe/Berlin"),
        ({"interval": 5, "missed": "never"}, ValueError, "'skip', 'once', 'all'"),
        ({"interval": 5, "webhooks": []}, TypeError, "on_success="),
        ({"interval": 5, "retires": 3}, TypeError, "unknown job option 'retires'"),
        ({"interval": 5, "job_timeout": 0}, ValueError, "job_timeout=0"),
        ({"interval": 5, "job_id": "x"}, TypeError, "job_id cannot be an option of a schedule"),
        ({"interval": 5, "args": "text"}, TypeError, "args=('text',)"),
        ({"interval": 5, "args": (1, 2, 3)}, TypeError, "add"),
        ({"interval": 5, "args": (object(),)}, SerializationError, "args"),
        ({"interval": 5, "name": "a\nb"}, ValueError, "cannot be printed"),
        ({"interval": 5, "queue_name": ""}, ValueError, "queue name"),
        ({"interval": 5, "func": lambda: None}, ValueError, "lambda"),
    ],
)
def test_what_is_wrong_is_said_at_once_and_nothing_is_kept(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        cron.register(**{"func": tasks.add, "queue_name": "q", "args": (1,), **arguments})
    assert said in str(caught.value)
    assert CronScheduler(None, None).get_jobs() == []


# -- keys --------------------------------------------------------------------------------------------------------------


def keys_of(*entries: dict[str, Any]) -> list[str]:
    scheduler = CronScheduler(None, None)
    for entry in entries:
        scheduler.register(**{"func": tasks.anything, "queue_name": "q", "interval": 60, **entry})
    return [entry.key for entry in scheduler.get_jobs()]


def test_an_entry_without_a_name_has_a_key_of_queue_function_and_arguments() -> None:
    (plain,) = keys_of({})
    assert plain == "q:tests.surface.tasks.anything"
    assert keys_of({"interval": 5}) == keys_of({"interval": None, "cron": "@daily"}) == [plain]
    (one,), (other,) = keys_of({"args": (1,)}), keys_of({"args": (2,)})
    assert one.startswith(f"{plain}-")
    assert len({plain, one, other}) == 3
    assert keys_of({"kwargs": {"a": 1, "b": 2}}) == keys_of({"kwargs": {"b": 2, "a": 1}})


def test_a_second_entry_of_the_same_call_has_a_number_behind_its_key() -> None:
    assert keys_of({}, {"interval": 5}, {"interval": 6}) == [
        "q:tests.surface.tasks.anything",
        "q:tests.surface.tasks.anything-2",
        "q:tests.surface.tasks.anything-3",
    ]
    name = "q:tests.surface.tasks.anything"
    assert keys_of({}, {"name": name}) == [f"{name}-2", name]


def test_the_key_of_a_long_queue_and_path_is_short_enough() -> None:
    keys = keys_of({"queue_name": "q" * 250}, {"queue_name": "q" * 249}, {"func": f"m.{'ß' * 400}"})
    assert len(set(keys)) == 3
    assert all(len(key.encode()) <= 200 for key in keys)


def test_two_entries_of_one_name_are_refused_before_anything_is_written(
    scheduler: CronScheduler, standing: Callable[[], list[str]]
) -> None:
    scheduler.register(tasks.nothing, "q", interval=5, name="a")
    scheduler.register(tasks.nothing, "q", interval=6, name="a")
    with pytest.raises(ValueError, match=r"two entries are named 'a': tests\.surface\.test_cron, line \d+ and"):
        scheduler.start()
    assert standing() == []


# -- starting ----------------------------------------------------------------------------------------------------------


def test_starting_writes_all_that_was_said_of_an_entry_and_returns(
    scheduler: CronScheduler, queue: Queue, client: redis.Redis, namespace: str
) -> None:
    end = datetime(2999, 1, 1, tzinfo=UTC)
    scheduler.register(
        tasks.add, "q", (1,), {"b": 2}, None, "0 3 * * *", 60, 70, 80, 90, {"by": "me"}, None, "sum",
        tz="Europe/Berlin", end=end, limit=7, missed="all", max_catchup=3, grace="2m", retry=Retry(2),
    )  # fmt: skip
    done = scheduler.start()
    (made,) = done.schedules
    assert (done.new, done.changed, done.removed) == (["sum"], [], [])
    found = Schedule.fetch("sum", client, namespace=namespace)
    assert (found.queue_name, found.cron, found.tz, found.source) == ("q", "0 3 * * *", "Europe/Berlin", None)
    table, policy = found.timetable, found.policy
    assert (table.limit, table.missed, table.max_catchup, table.grace_ms) == (7, "all", 3, 120_000)
    assert table.end_ms == end.timestamp() * 1000
    assert (policy.job_timeout, policy.result_ttl, policy.ttl, policy.failure_ttl) == (60, 70, 80, 90)
    assert policy.retry == Retry(2)
    job = made.run_now()
    assert (job.args, job.kwargs, job.meta) == ((1,), {"b": 2}, {"by": "me"})


def test_a_worker_fires_what_a_file_has_registered(load: Load, client: redis.Redis, work: Any, namespace: str) -> None:
    (made,) = load("register('tests.surface.tasks.nothing', 'q', interval=0.1)").schedules
    for _ in range(50):
        work()
        made.refresh()
        if made.fired:
            break
    assert made.history()[0].job_id.startswith("q:tests.surface.tasks.nothing@20")


def test_starting_again_changes_nothing(load: Load) -> None:
    call = "register('a.b', 'q', interval=60)"
    (first,) = load(call).schedules
    first.pause()
    again = load(call)
    assert (again.new, again.changed, again.removed) == ([], [], [])
    assert again.schedules[0].paused
    assert again.schedules[0].timetable == first.timetable


def test_a_changed_interval_replaces_an_entry_without_a_name(load: Load, standing: Callable[[], list[str]]) -> None:
    load("register('a.b', 'q', interval=60)")
    done = load("register('a.b', 'q', interval=90)")
    assert (done.new, done.changed, done.removed) == ([], ["q:a.b"], [])
    assert standing() == ["q:a.b"]
    assert done.schedules[0].every == 90


def test_what_a_file_has_no_more_is_removed_and_nothing_of_others(
    load: Load, queue: Queue, standing: Callable[[], list[str]]
) -> None:
    queue.schedule("by hand", tasks.nothing, every=60)
    load("register('a.c', 'q', interval=60, name='other file')", file="other.py")
    load("register('a.b', 'q', interval=60, name='one')", "register('a.b', 'q', interval=60, name='two')")
    done = load("register('a.b', 'q', interval=60, name='two')")
    assert done.removed == ["one"]
    assert standing() == ["by hand", "other file", "two"]
    assert load().removed == ["two"]
    assert standing() == ["by hand", "other file"]


def test_a_key_of_others_is_taken_over_with_a_warning(
    load: Load, queue: Queue, standing: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    queue.schedule("a", "a.b", every=60)
    with caplog.at_level(logging.WARNING, "rqlike.worker"):
        done = load("register('a.b', 'q', interval=60, name='a')")
    assert [record.getMessage() for record in caplog.records] == ["schedule a was of a program and is of crontab now"]
    assert done.changed == ["a"]
    assert load("register('a.b', 'q', interval=60, name='a')", file="new.py").changed == ["a"]
    assert load().removed == []  # it is the other file's now
    queue.schedule("a", "a.b", every=60)
    load(file="new.py")
    assert standing() == ["a"]


def test_a_scheduler_with_a_name_owns_what_it_registers(
    client: redis.Redis, namespace: str, standing: Callable[[], list[str]]
) -> None:
    for names in ("ab", "b", "bc"):
        named = CronScheduler(client, None, "mine", namespace=namespace)
        for name in names:
            named.register(tasks.nothing, "q", interval=60, name=name)
        named.start()
        assert standing() == list(names)
    unnamed = CronScheduler(client, None, namespace=namespace)
    unnamed.register(tasks.nothing, "q", interval=60, name="d")
    unnamed.start()
    assert CronScheduler(client, None, namespace=namespace).start() == Upserted([], [], [], [])
    assert standing() == ["b", "c", "d"]


def test_entries_of_the_module_are_written_by_any_scheduler(
    scheduler: CronScheduler, standing: Callable[[], list[str]]
) -> None:
    cron.register(tasks.nothing, "q", interval=60, name="a")
    scheduler.start()
    assert standing() == ["a"]


def test_an_entry_that_has_come_to_its_end_keeps_no_other_from_being_written(
    load: Load, standing: Callable[[], list[str]]
) -> None:
    entry = "register('a.b', 'q', cron='@daily', name='x', end=datetime({}, 1, 1, tzinfo=UTC))"
    there = "register('a.b', 'q', interval=5, name='y')"
    imports = "from datetime import UTC, datetime"
    assert load(imports, entry.format(2999), there).schedules[0].next_at is not None
    for _ in range(2):
        done = load(imports, entry.format(2020), there)
        assert [one.next_at is None for one in done.schedules] == [True, False]
        assert standing() == ["x", "y"]
    assert (done.changed, done.removed) == ([], [])


def test_a_schedule_that_was_taken_over_meanwhile_is_not_removed(any_server: AnyServer, namespace: str) -> None:
    client = any_server.client()
    named = CronScheduler(client, None, "mine", namespace=namespace)
    named.register("a.b", "q", interval=60, name="x")
    named.start()
    store = Queue("q", client, namespace=namespace).store
    assert not store.run(unschedule("x", "another"))
    assert Schedule.fetch("x", client, namespace=namespace).source == "mine"
    assert [store.run(unschedule("x", "mine")) for _ in range(2)] == [True, False]


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_has_one_source_however_it_is_called(folder: Path, client: redis.Redis, namespace: str) -> None:
    (folder / "store_front").mkdir()
    (folder / "store_front" / "crontab.py").write_text(
        "from rqlike.cron import register\nregister('a.b', 'q', interval=5)\n"
    )
    for name in (
        "store_front.crontab",
        "store_front/crontab.py",
        "store_front/crontab",
        str(folder / "store_front" / "crontab.py"),
    ):
        scheduler = CronScheduler(client, None, namespace=namespace)
        scheduler.load_config_from_file(name)
        assert [entry.source for entry in scheduler.get_jobs()] == ["store_front.crontab"], name


def test_a_file_that_cannot_be_imported_is_called_after_itself(
    tmp_path: Path, scheduler: CronScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my crontab.py"
    path.write_text("from rqlike.cron import register\nregister('a.b', 'q', interval=5)\n")
    scheduler.load_config_from_file(str(path))
    assert scheduler.get_jobs()[0].source == "my crontab"
    del sys.modules["my crontab"]


def test_functions_of_the_file_itself_are_found_under_its_name(load: Load) -> None:
    done = load("def own(): pass", "register(own, 'q', interval=5)")
    assert done.schedules[0].func_name == "crontab.own"


def test_a_file_that_raises_leaves_nothing_behind(folder: Path, scheduler: CronScheduler) -> None:
    (folder / "crontab.py").write_text("from rqlike.cron import register\nregister('a.b', 'q', interval=5)\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        scheduler.load_config_from_file("crontab.py")
    assert scheduler.get_jobs() == []
    assert "crontab" not in sys.modules


def test_a_module_that_was_imported_before_is_read_again_and_counts_once(
    folder: Path, scheduler: CronScheduler
) -> None:
    (folder / "crontab.py").write_text("from rqlike.cron import register\nregister('a.b', 'q', interval=5)\n")
    __import__("crontab")
    assert [entry.source for entry in scheduler.get_jobs()] == [""]
    scheduler.load_config_from_file("crontab")
    assert [entry.source for entry in scheduler.get_jobs()] == ["crontab"]


def test_no_file_takes_the_place_of_a_module_that_is_in_use(folder: Path, scheduler: CronScheduler) -> None:
    (folder / "apart").mkdir()
    (folder / "apart" / "not-a-name").mkdir()
    (folder / "apart" / "not-a-name" / "json.py").write_text("")
    with pytest.raises(ImportError, match="rename the file"):
        scheduler.load_config_from_file("apart/not-a-name/json.py")


@pytest.mark.parametrize(("name", "error"), [("nothere.py", FileNotFoundError), ("not.there", ModuleNotFoundError)])
def test_a_file_that_is_not_there_is_named(scheduler: CronScheduler, name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="not"):
        scheduler.load_config_from_file(name)
