"""`rqlike schedules` and `rqlike cron` against a real server, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from rqlike import Queue, Retry, Schedule, SimpleWorker, fields
from rqlike.cli import main
from rqlike.timetables import Timetable
from tests.edges.conftest import Run
from tests.unit.test_safetext import EVIL

LATER = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, whose modules are forgotten afterwards."""
    known, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def nowhere(*words: str) -> Result:
    """`rqlike ARGS` where RQLIKE_REDIS_URL leads to no server."""
    return CliRunner().invoke(main, list(words), prog_name="rqlike")


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def cells(result: Result, key: str) -> str:
    """The row of a key in a table, spaces apart."""
    return next(" ".join(line.split()) for line in result.stdout.splitlines() if line.startswith(f"{key} "))


def write(folder: Path, *calls: str, file: str = "crontab.py") -> None:
    (folder / file).write_text("\n".join(["from rqlike import cron", *calls, ""]))


# -- schedules: looking ------------------------------------------------------------------------------------------------


def test_the_list_says_when_each_fires(run: Run, queue: Queue, client: redis.Redis, namespace: str) -> None:
    assert "rqlike cron FILE" in run("schedules", "ls").stderr
    queue.schedule("nightly", "json.loads", ("1",), cron="0 3 * * *", tz="Europe/Berlin", start=LATER)
    queue.schedule("tick", "json.loads", ("1",), every="90s").pause()
    Queue("other", client, namespace=namespace).schedule("far", "json.loads", every=60)
    listed = run("schedules", "ls")
    assert cells(listed, "nightly") == "nightly mail json.loads 0 3 * * * Europe/Berlin 2999-01-01 02:00:00 0 0 no"
    assert cells(listed, "tick") == "tick mail json.loads every 1m 30s UTC paused 0 0 yes"
    assert [one["key"] for one in data(run("schedules", "ls", "-q", "mail", "--json"))] == ["nightly", "tick"]
    nightly = data(run("schedules", "ls", "--json"))[1]
    assert (nightly["next_at"], nightly["tz"], nightly["paused"]) == (
        "2999-01-01T02:00:00+00:00",
        "Europe/Berlin",
        False,
    )
    assert run("schedules", "ls", "-q", "nobody").exit_code == 3


def test_show_has_options_fires_and_next_slots(run: Run, queue: Queue, client: redis.Redis) -> None:
    queue.schedule(
        "tick", "json.loads", ("1",), every=3600, limit=9, missed="all", max_catchup=4, grace=5,
        job_timeout=60, retry=Retry(2), description="a tick",
    )  # fmt: skip
    due_in_the_past(client, queue, "tick")
    SimpleWorker(["mail"], connection=client, namespace=queue.store.namespace).work(burst=True, logging_level=None)
    shown = run("schedules", "show", "tick").stdout
    for line in (
        "call a tick",
        "when every 1h",
        "limit 9",
        "if missed all, 4 at most",
        "grace 5s",
        "job timeout 1m",
    ):
        assert line in "\n".join(" ".join(one.split()) for one in shown.splitlines())
    facts = data(run("schedules", "show", "tick", "--json"))
    assert facts["fired"] == len(facts["history"]) > 0
    assert facts["history"][0]["job_id"].startswith("tick@20")
    assert facts["history"][0]["job_id"] in shown
    assert len(facts["upcoming"]) == 3
    assert facts["options"]["retry"] == "Retry(max=2, interval=0)"
    assert run("schedules", "show", "nope").exit_code == 3


def due_in_the_past(client: redis.Redis, queue: Queue, key: str) -> None:
    """The next slot is ten seconds ago."""
    keys, name = queue.store.keys, fields.SCHEDULE["next"]
    past = int(client.hget(keys.schedule(key), name) or 0) - 3_610_000
    client.hset(keys.schedule(key), name, past)
    client.zadd(keys.schedules(), {key: past})
    client.hdel(keys.watch(), "")


def test_next_shows_slots_in_their_zone_and_in_utc(run: Run, queue: Queue) -> None:
    queue.schedule("nightly", "json.loads", cron="0 3 * * *", tz="Europe/Berlin", start=LATER)
    lines = run("schedules", "next", "nightly", "-n", "2").stdout.splitlines()
    assert " ".join(lines[0].split()) == "next (Europe/Berlin) UTC from now"
    assert "Tue 2999-01-01 03:00:00 +0100  2999-01-01 02:00:00  in " in lines[1]
    assert data(run("schedules", "next", "nightly", "-n", "1", "--json")) == ["2999-01-01T02:00:00+00:00"]
    Schedule.fetch("nightly", queue.connection, namespace=queue.store.namespace).pause()
    paused = run("schedules", "next", "nightly")
    assert (paused.exit_code, paused.stdout) == (0, "")
    assert "it is paused" in paused.stderr
    assert run("schedules", "next", "nope").exit_code == 3


def test_next_of_an_expression_asks_no_server() -> None:
    slots = data(nowhere("schedules", "next", "--cron", "0 3 1 1 *", "--tz", "Asia/Tokyo", "-n", "3", "--json"))
    assert [slot[4:] for slot in slots] == ["-12-31T18:00:00+00:00"] * 3
    assert "next (UTC)" in nowhere("schedules", "next", "--cron", "@daily").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("next",), "--cron"),
        (("next", "a", "--cron", "@daily"), "--cron"),
        (("next", "a", "--tz", "UTC"), "its own zone"),
        (("next", "--cron", "61 * * * *"), "minutes are 0 to 59"),
        (("next", "--cron", "@daily", "--tz", "Berlin"), "Europe/Berlin"),
        (("next", "--cron", "@daily", "-n", "0"), "0"),
        (("show", "a\nb"), "cannot be printed"),
        (("rm", "x" * 201), "200 bytes"),
        (("pause",), "KEY"),
    ],
)
def test_a_wrong_word_is_one_line_that_names_the_remedy(words: tuple[str, ...], said: str) -> None:
    result = nowhere("schedules", *words)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


# -- schedules: acting -------------------------------------------------------------------------------------------------


def test_schedules_are_paused_resumed_and_removed_and_the_others_go_on(run: Run, queue: Queue) -> None:
    for key in "ab":
        queue.schedule(key, "json.loads", every=60)
    result = run("schedules", "pause", "a", "nope", "b")
    assert (result.exit_code, result.stdout) == (3, "a paused\nb paused\n")
    assert "no schedule nope" in result.stderr
    assert data(run("schedules", "resume", "a", "--json")) == {"resumed": ["a"]}
    assert [one["paused"] for one in data(run("schedules", "ls", "--json"))] == [False, True]
    gone = run("schedules", "rm", "a", "a", "nope", "--json")
    assert (gone.exit_code, json.loads(gone.stdout)) == (3, {"removed": ["a"]})
    assert [one["key"] for one in data(run("schedules", "ls", "--json"))] == ["b"]


def test_run_queues_a_job_and_prints_its_id(run: Run, queue: Queue) -> None:
    queue.schedule("tick", "json.loads", ("1",), every=60)
    result = run("schedules", "run", "tick")
    assert result.stdout.startswith("tick@now-")
    assert queue.job_ids == [result.stdout.strip()]
    assert data(run("schedules", "run", "tick", "--json"))["status"] == "queued"
    assert run("schedules", "run", "tick", "--wait=0.01").exit_code == 5
    assert run("schedules", "run", "nope").exit_code == 3


# -- hostile contents --------------------------------------------------------------------------------------------------


def test_what_others_have_written_is_shown_and_does_nothing_to_a_terminal(
    run: Run, queue: Queue, client: redis.Redis
) -> None:
    said = EVIL.replace("\ud800", "")
    evil = said.encode() + b"\xff"
    keys = queue.store.keys
    queue.schedule("fine", "json.loads", (said,), every=60, description=said, start=LATER)
    queue.schedule("strange", "json.loads", every=60)
    client.hset(keys.schedule("strange"), mapping={fields.SCHEDULE[name]: evil for name in ("queue", "source", "last")})
    odd: dict[str, dict[str, Any]] = {"no cron": {"cron": said}, "no zone": {"cron": "@daily", "tz": said}}
    odd["no limit"] = {"every_ms": 9, "limit": "x"}
    for key, parts in odd.items():
        queue.schedule(key, "json.loads", every=60)
        client.hset(keys.schedule(key), fields.SCHEDULE["timetable"], Timetable(**parts).to_wire())
    client.hset(keys.schedule(said), mapping=client.hgetall(keys.schedule("fine")))  # type: ignore[arg-type]
    client.zadd(keys.schedules(), {said: 1})
    queue.schedule("broken", "json.loads", every=60)
    client.hset(keys.schedule("broken"), fields.SCHEDULE["timetable"], evil)
    queue.schedule("other", "json.loads", every=60)
    client.delete(keys.schedule("other"))
    client.set(keys.schedule("other"), "text")
    client.lpush(keys.fires("fine"), evil)
    for words in (("ls",), ("show", "fine"), ("next", "fine")):
        assert run("schedules", *words).exit_code == 0, words
        json.loads(run("--json", "schedules", *words).stdout)
    for key in ("strange", *odd, "broken", "other"):
        for verb in ("show", "next", "pause", "resume", "run"):
            result = run("schedules", verb, key)
            assert result.exit_code in (0, 1), (verb, key, result.output)
            assert len(result.stderr.splitlines()) <= 1
    assert run("schedules", "rm", "broken", "other", *odd).exit_code == 0
    assert run("schedules", "show", "broken").exit_code == 3


# -- cron --------------------------------------------------------------------------------------------------------------


def test_a_cron_file_is_written_and_the_command_returns(run: Run, folder: Path, client: redis.Redis) -> None:
    nightly = "cron.register('json.loads', 'mail', ('1',), cron='0 3 * * *', tz='Europe/Berlin', name='nightly')"
    write(folder, nightly, "cron.register('json.dumps', 'mail', (1,), interval=60, name='tick')")
    first = run("cron", "crontab.py")
    assert first.exit_code == 0
    assert cells(first, "nightly").startswith("nightly mail json.loads 0 3 * * * Europe/Berlin 20")
    assert [line.split()[-1] for line in first.stdout.splitlines()[1:]] == ["new", "new"]
    assert "any worker of the namespace fires them" in first.stderr
    assert "rqlike worker mail" in first.stderr
    write(folder, nightly.replace("0 3", "0 4"))
    again = run("cron", "crontab")
    assert cells(again, "nightly").endswith("changed")
    assert cells(again, "tick") == "tick removed"
    facts = data(run("cron", str(folder / "crontab.py"), "--json"))
    assert (facts["new"], facts["changed"], facts["removed"]) == ([], [], [])
    assert facts["schedules"][0]["source"] == "crontab"


def test_a_file_below_path_is_found_as_a_module(run: Run, folder: Path) -> None:
    (folder / "app").mkdir()
    write(folder / "app", "cron.register('json.dumps', 'mail', (1,), interval=60, name='tick')", file="timing.py")
    assert data(run("cron", "timing", "-P", "app", "--json"))["new"] == ["tick"]
    assert data(run("cron", "app/timing.py", "-P", "app", "--json"))["schedules"][0]["source"] == "timing"
    taken = data(run("cron", "app/timing.py", "-P", "app", "--name", "mine", "--json"))
    assert (taken["changed"], taken["schedules"][0]["source"]) == (["tick"], "mine")


def test_a_dry_run_asks_no_server(folder: Path) -> None:
    write(folder, "cron.register('json.dumps', 'mail', (1,), interval=60, name='tick')")
    result = nowhere("cron", "crontab.py", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "nothing was written (--dry-run)\n")
    assert cells(result, "tick").startswith("tick mail json.dumps every 1m UTC 20")
    assert data(nowhere("cron", "crontab.py", "--dry-run", "--json"))["schedules"][0]["every"] == 60


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["", "cron.register('a.b', 'q', cron='61 * * * *')"], "crontab.py, line 3: cron='61 * * * *': the minute"),
        (["cron.register('a.b', 'q', interval=5, retires=3)"], "crontab.py, line 2: unknown job option 'retires'"),
        (["", "", "if :"], "crontab.py, line 4: SyntaxError: invalid syntax"),
        (["import not_there_at_all"], "crontab.py, line 2: ModuleNotFoundError: No module named 'not_there_at_all'"),
        (["1 / 0"], "crontab.py, line 2: ZeroDivisionError"),
        (["cron.register('a.b', 'q', interval=5, name='x')"] * 2, "two entries are named 'x': crontab, line 2 and"),
    ],
)
def test_a_bad_file_is_one_line_with_the_place_and_writes_nothing(
    run: Run, folder: Path, lines: list[str], said: str
) -> None:
    write(folder, "cron.register('a.b', 'q', interval=5)" if not lines[0] else lines[0], *lines[1:])
    result = run("cron", "crontab.py")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert data(run("schedules", "ls", "--json")) == []


def test_an_error_in_code_that_the_file_calls_comes_with_its_traceback(run: Run, folder: Path) -> None:
    (folder / "deep.py").write_text("def down():\n    raise LookupError('no settings')\n")
    write(folder, "import deep", "deep.down()")
    result = run("cron", "crontab.py")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "crontab.py, line 3: LookupError: no settings" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("file", ["nothere.py", "not.there"])
def test_a_file_that_is_not_there_is_named(run: Run, folder: Path, file: str) -> None:
    result = run("cron", file)
    assert result.exit_code == 2
    assert file.split(".", maxsplit=1)[0] in result.stderr


def test_a_function_that_this_host_does_not_have_is_a_warning(run: Run, folder: Path) -> None:
    (folder / "tasks.py").write_text("def send(): pass\n")
    write(folder, "cron.register('tasks.sent', 'q', interval=60)", "cron.register('tasks.send', 'q', interval=60)")
    result = run("cron", "crontab.py", "-l", "DEBUG")
    assert result.exit_code == 0
    assert "did you mean 'send'?" in result.stderr
    assert "-l/--logging-level is needless" in result.stderr
    assert len(data(run("schedules", "ls", "--json"))) == 2
