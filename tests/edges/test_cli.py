"""The command line against a real server, in this process: what it reads, what it refuses, how it says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import redis
from click.testing import CliRunner, Result

from rqlike.cli import main
from rqlike.cli.arguments import parse_arguments
from rqlike.cli.watching import progress_line, step_line
from rqlike.events import Event
from rqlike.job import Job
from rqlike.queue import Queue
from rqlike.states import VERBS, JobStatus
from rqlike.told import Progress
from tests.process.jobs import count_up
from tests.servers import Server

Run = Callable[..., Result]
CLICK_PROPOSES = hasattr(click.exceptions, "NoSuchCommand")  # older ones do so for options only


@pytest.fixture
def run(server: Server, namespace: str) -> Run:
    """Runs `rqlike ARGS` against the namespace of this test."""

    def invoke(*words: str, color: bool = False) -> Result:
        return CliRunner().invoke(main, ["-u", server.url, "-N", namespace, *words], prog_name="rqlike", color=color)

    return invoke


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    made = server.client()
    yield made
    made.close()


@pytest.fixture
def queue(client: redis.Redis, namespace: str) -> Queue:
    return Queue("mail", client, namespace=namespace)


@pytest.fixture
def inline(client: redis.Redis, namespace: str) -> Queue:
    """Runs its jobs at once, in this process."""
    return Queue("mail", client, namespace=namespace, is_async=False)


def nowhere(*words: str) -> Result:
    """`rqlike ARGS` where RQLIKE_REDIS_URL leads to no server."""
    return CliRunner().invoke(main, list(words), prog_name="rqlike")


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# -- the frame ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["", "jobs", "failed", "queues", "schedules", "server", "workers"])
def test_help_of_a_group_tells_what_each_command_does_in_a_whole_sentence(group: str) -> None:
    commands = nowhere(*group.split(), "--help").stdout.partition("\nCommands:\n")[2]
    assert commands and "..." not in commands
    assert all(len(line) <= 80 for line in commands.splitlines())


@pytest.mark.parametrize(("words", "meant"), [(["jbos"], "jobs"), (["jobs", "lss"], "ls")])
def test_a_command_that_is_misspelt_is_told_the_one_that_may_be_meant(words: list[str], meant: str) -> None:
    done = subprocess.run([sys.executable, "-m", "rqlike", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such command" in done.stderr and (f"Did you mean '{meant}'?" in done.stderr or not CLICK_PROPOSES)


def test_help_names_every_command_and_none_that_is_not_built() -> None:
    shown = nowhere("--help").stdout
    for name in (
        "worker",
        "enqueue",
        "info",
        "jobs",
        "failed",
        "queues",
        "workers",
        "server",
        "dev",
        "doctor",
        "suspend",
        "resume",
        "schedules",
        "cron",
    ):
        assert f"\n  {name} " in shown
    for name in ("deliveries", "groups"):
        assert nowhere(name).exit_code == 2


def test_the_version_is_data() -> None:
    result = nowhere("--version")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("rqlike ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("worker", "--brust"), "--burst"),
        (("wroker",), "worker"),
        (("jobs", "ls", "--status", "dead"), "finished"),
        (("jobs", "shwo", "x"), "show"),
        (("worker", "-c", "settings.py"), "RQLIKE_REDIS_URL"),
        (("worker", "-c", "0"), "at least 1"),
        (("worker", "-w", "rq.Worker"), "--isolate"),
        (("worker", "-j", "my.Job"), "--middleware"),
        (("worker", "--max-memory", "lots"), "512M"),
        (("worker", "--isolate", "--jobs-per-horse", "7"), "one of the two"),
        (("worker", "-v", "-q"), "contradict"),
        (("worker", "-S", "yaml"), "msgpack"),
        (("worker", "-P", "/nonexistent"), "not a directory"),
        (("enqueue", "add"), "module.add"),
        (("enqueue", "tasks.add", "--timeout", "0"), "above 0"),
        (("enqueue", "tasks.add", "--in", "soon"), "1h30m"),
        (("enqueue", "tasks.add", "--at", "2030-01-01T00:00:00"), "time zone"),
        (("enqueue", "tasks.add", "--in", "5", "--at", "2030-01-01T00:00:00Z"), "not both"),
        (("enqueue", "tasks.add", "--retry", "0"), "from 1"),
        (("enqueue", "tasks.add", "--job-id", "a\nb"), "cannot be printed"),
        (("enqueue", "tasks.add", ":{"), "JSON"),
        (("enqueue", "tasks.add", "@/nonexistent"), "cannot be read"),
        (("failed", "requeue"), "--all"),
        (("failed", "requeue", "x", "--dry-run"), "--all"),
        (("workers", "stop"), "--all"),
        (("-N", "no spaces", "info"), "namespace"),
        (("-u", "localhost:6379", "info"), "redis://host"),
        (("-u", "redis://localhost", "server", "start"), "embedded"),
        (("-u", "redis://localhost", "dev"), "rqlike worker --reload"),
    ],
)
def test_a_wrong_word_is_one_line_that_names_the_remedy(words: tuple[str, ...], said: str) -> None:
    result = nowhere(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_common_options_hold_wherever_they_stand(server: Server, namespace: str, queue: Queue) -> None:
    queue.enqueue("json.loads", "1")
    common = ("-u", server.url, "-N", namespace, "--json")
    before, after = nowhere(*common, "queues", "ls"), nowhere("queues", "ls", *common)
    between = nowhere("queues", *common, "ls")
    assert data(before) == data(after) == data(between)
    assert data(before)[0]["name"] == "mail"


@pytest.mark.parametrize("words", [("info",), ("jobs", "show", "x"), ("enqueue", "tasks.add"), ("worker", "-b")])
def test_a_server_that_is_away_is_one_line_without_its_password(words: tuple[str, ...]) -> None:
    result = nowhere("-u", "redis://me:secret@localhost:1/0", *words)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "redis://me:***@localhost:1/0 (from -u/--url)" in result.stderr
    assert "secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_server_that_is_away_is_named_with_the_variable_that_chose_it() -> None:
    assert "(from RQLIKE_REDIS_URL)" in nowhere("info").stderr


# -- enqueue -----------------------------------------------------------------------------------------------------------


def test_enqueue_prints_the_id_and_nothing_else_on_stdout(run: Run, client: redis.Redis, namespace: str) -> None:
    result = run("enqueue", "json.loads", ":[1, 2]", "name=Ann", "n:=3", "t%=(1, 2)", "-q", "mail", "--retry", "2")
    job = Job.fetch(result.stdout.strip(), client, namespace)
    assert job.origin == "mail"
    assert job.args == ([1, 2],)
    assert job.kwargs == {"name": "Ann", "n": 3, "t": (1, 2)}
    assert job.retries_left == 2
    assert result.stderr == ""


def test_options_reach_the_job(run: Run, client: redis.Redis, namespace: str) -> None:
    words = ("--job-id", "j", "--timeout", "1m", "--result-ttl", "-1", "--ttl", "1h", "--failure-ttl", "2h")
    assert run("enqueue", "json.loads", "1", *words, "--description", "a job").exit_code == 0
    job = Job.fetch("j", client, namespace)
    assert (job.timeout, job.result_ttl, job.ttl, job.failure_ttl, job.description) == (60, -1, 3600, 7200, "a job")


def test_a_result_ttl_of_nothing_is_not_no_result_ttl(run: Run, client: redis.Redis, namespace: str) -> None:
    result = run("enqueue", "json.loads", "1", "--result-ttl", "0")
    assert Job.fetch(result.stdout.strip(), client, namespace).result_ttl == 0


def test_in_and_at_make_it_due_later(run: Run, client: redis.Redis, namespace: str) -> None:
    later = Job.fetch(run("enqueue", "json.loads", "1", "--in", "1h").stdout.strip(), client, namespace)
    assert later.get_status(refresh=False) is JobStatus.SCHEDULED
    fixed = data(run("enqueue", "json.loads", "1", "--at", "2100-01-01T00:00:00+01:00", "--json"))
    assert (fixed["status"], fixed["due_at"]) == ("scheduled", "2099-12-31T23:00:00+00:00")


def test_words_after_two_dashes_are_arguments(run: Run, client: redis.Redis, namespace: str) -> None:
    result = run("enqueue", "json.loads", "--", "-1", "--wait")
    assert Job.fetch(result.stdout.strip(), client, namespace).args == ("-1", "--wait")


def test_a_refused_enqueue_writes_nothing(run: Run) -> None:
    assert run("enqueue", "nodots").exit_code == 2
    assert run("enqueue", "json.loads", "1", "--ttl", "0").exit_code == 2
    assert data(run("queues", "ls", "--json")) == []


def test_the_id_of_a_live_job_is_refused_by_name(run: Run) -> None:
    assert run("enqueue", "json.loads", "1", "--job-id", "twice").exit_code == 0
    again = run("enqueue", "json.loads", "1", "--job-id", "twice")
    assert again.exit_code == 1
    assert "twice exists and is queued" in again.stderr


def test_a_function_that_its_module_lacks_is_doubted_without_running_the_module(run: Run, tmp_path: Path) -> None:
    (tmp_path / "chores.py").write_text("def sweep(): ...\nraise RuntimeError('this module was run')\n")
    wrong = run("enqueue", "chores.swep", "-P", str(tmp_path))
    assert wrong.exit_code == 0
    assert "did you mean 'sweep'?" in wrong.stderr
    assert run("enqueue", "chores.sweep", "-P", str(tmp_path)).stderr == ""


@pytest.mark.parametrize(
    "text", ["from os.path import *", "def __getattr__(name): ...", "if 1:\n    sweep = print", "import x as sweep"]
)
def test_what_only_running_a_module_could_tell_is_not_doubted(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "chores.py").write_text(text)
    assert run("enqueue", "chores.sweep", "-P", str(tmp_path)).stderr == ""


def test_a_module_is_no_function(run: Run) -> None:
    assert "is a module" in run("enqueue", "json.decoder").stderr


@pytest.mark.parametrize(
    ("words", "args", "kwargs"),
    [
        (["a.txt"], ["a.txt"], {}),
        ([""], [""], {}),
        ([":null"], [None], {}),
        (["%{1, 2}"], [{1, 2}], {}),
        (["k="], [], {"k": ""}),
        (["k=a=b"], [], {"k": "a=b"}),
        (["k:=[1]"], [], {"k": [1]}),
        (["k%=b'x'"], [], {"k": b"x"}),
        (["größe=1"], [], {"größe": "1"}),
        (["https://host/?a=1"], ["https://host/?a=1"], {}),
        (["1+1=2"], ["1+1=2"], {}),
        (["2=two"], ["2=two"], {}),
    ],
)
def test_arguments_are_read_in_the_notation_of_rq(words: list[str], args: list[Any], kwargs: dict[str, Any]) -> None:
    assert parse_arguments(words) == (args, kwargs)


def test_a_value_can_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text('{"a": 1}')
    text = path.read_text()
    assert parse_arguments([f"@{path}", f":@{path}", f"k:=@{path}"]) == ([text, {"a": 1}], {"k": {"a": 1}})


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_show_prints_the_executions_as_the_table_of_results_and_the_traceback(run: Run, inline: Queue) -> None:
    job = inline.enqueue("json.loads", "\x1b[31m", job_id="bad")
    shown = run("jobs", "show", "bad").stdout
    assert repr(job.results()) in shown
    assert "Traceback (most recent call last)" in shown
    assert "JSONDecodeError" in shown
    assert "\x1b" not in shown


def test_a_value_that_is_not_stored_is_told_and_is_no_failure_to_wait_for(run: Run, inline: Queue) -> None:
    made = data(run("enqueue", "json.loads", "[1]", "--no-store-result", "--json", "-q", "another"))
    assert Job.fetch(made["id"], inline.connection, inline.store.namespace)._record.policy.store_result is False
    job = inline.enqueue("json.loads", "[1]", store_result=False)
    shown = data(run("jobs", "show", job.id, "--json"))["results"][0]
    assert (shown["type"], shown["has_value"], shown["not_stored"]) == ("SUCCESSFUL", False, "disabled")
    assert "(value not stored)" in run("jobs", "show", job.id).stdout
    waited = run("jobs", "wait", job.id)
    assert (waited.exit_code, waited.stdout) == (0, "")
    assert "its value was not kept (disabled)" in waited.stderr


def test_show_gives_everything_as_json(run: Run, inline: Queue) -> None:
    inline.enqueue("json.loads", "[1]", job_id="good", meta={"when": datetime(2030, 1, 1, tzinfo=UTC)})
    shown = data(run("jobs", "show", "good", "--json"))
    assert (shown["status"], shown["meta"]) == ("finished", {"when": "2030-01-01T00:00:00+00:00"})
    (result,) = shown["results"]
    assert (result["type"], result["return_value"], result["has_value"], result["final"]) == (
        "SUCCESSFUL",
        [1],
        True,
        True,
    )


def test_a_job_that_is_not_there_is_exit_code_3(run: Run) -> None:
    for words in (
        ("show", "ghost"),
        ("wait", "ghost"),
        ("watch", "ghost"),
        ("requeue", "ghost"),
        ("cancel", "ghost"),
        ("rm", "ghost"),
    ):
        result = run("jobs", *words)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "There is no job ghost" in result.stderr


def test_ls_lists_all_queues_and_chooses_by_queue_and_status(run: Run, queue: Queue, inline: Queue) -> None:
    queue.enqueue("json.loads", "1", job_id="waiting")
    inline.enqueue("json.loads", "1", job_id="done")
    Queue("other", queue.connection, namespace=queue.store.namespace).enqueue("json.loads", job_id="else")
    assert {job["id"] for job in data(run("jobs", "ls", "--json"))} == {"waiting", "done", "else"}
    assert [job["id"] for job in data(run("jobs", "ls", "--json", "-q", "mail", "-s", "queued"))] == ["waiting"]
    table = run("jobs", "ls", "-s", "finished").stdout
    assert "json.loads('1')" in table
    assert "waiting" not in table
    assert run("jobs", "ls", "-q", "nosuch").exit_code == 3


def test_ls_says_how_many_it_leaves_out(run: Run, queue: Queue) -> None:
    for number in range(3):
        queue.enqueue("json.loads", job_id=f"job{number}")
    result = run("jobs", "ls", "-n", "2")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["id", "job0", "job1"]
    assert "2 of 3 jobs" in result.stderr


def test_requeue_cancel_and_rm_say_what_they_did(run: Run, queue: Queue, inline: Queue) -> None:
    job = inline.enqueue("json.loads", "1", job_id="j")
    assert run("jobs", "requeue", "j").stdout == "j requeued\n"
    assert job.get_status() is JobStatus.QUEUED
    assert run("jobs", "cancel", "j").stdout == "j canceled\n"
    assert job.get_status() is JobStatus.CANCELED
    refused = run("jobs", "cancel", "j")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert data(run("jobs", "rm", "j", "--json")) == {"deleted": ["j"]}
    assert run("jobs", "show", "j").exit_code == 3


def test_one_id_that_fails_does_not_keep_the_others(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads", "1", job_id="there")
    result = run("jobs", "rm", "ghost", "there")
    assert result.exit_code == 3
    assert result.stdout == "there deleted\n"
    assert "ghost" in result.stderr


def test_wait_prints_the_value_for_people_and_as_json(run: Run, inline: Queue) -> None:
    inline.enqueue("ast.literal_eval", "('a', {1})", job_id="j")
    assert run("jobs", "wait", "j").stdout == "('a', {1})\n"
    assert data(run("jobs", "wait", "j", "--json")) == ["a", [1]]


def test_wait_for_a_failed_job_is_exit_code_1_with_the_traceback_on_stderr(run: Run, inline: Queue) -> None:
    inline.enqueue("json.loads", "nonsense", job_id="j")
    result = run("jobs", "wait", "j")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" in result.stderr
    assert "Job j failed" in result.stderr


def test_wait_without_a_worker_times_out_with_5_and_the_remedy(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads", "1", job_id="j")
    result = run("jobs", "wait", "j", "--timeout", "0.05")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "rqlike worker mail" in result.stderr


def test_wait_for_a_canceled_job_is_exit_code_1(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads", "1", job_id="j").cancel()
    result = run("jobs", "wait", "j")
    assert result.exit_code == 1
    assert "canceled" in result.stderr


def test_watch_shows_the_log_and_the_last_progress_and_then_the_value(run: Run, inline: Queue) -> None:
    inline.enqueue(count_up, "", 3, job_id="j")
    result = run("jobs", "watch", "j")
    assert (result.exit_code, result.stdout) == (0, "counted to 3\n3\n")
    assert f"counting  [{'#' * 30}] 100 %  3/3  at 3\n" in result.stderr


def test_watch_shows_each_step_in_a_line_of_its_own_dimmed_on_a_terminal(
    run: Run, inline: Queue, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline.enqueue(count_up, "", 3, 0.0, "boom", job_id="j", retry=1)
    said = run("jobs", "watch", "j").stderr
    claims = [line for line in said.splitlines() if re.match(r"\d\d:\d\d:\d\d claimed by \S+", line)]
    assert [line.partition(",")[2] for line in claims] == ["", " attempt 2"]
    assert re.search(r"^\d\d:\d\d:\d\d failed, attempt 2 \(exception\)$", said, re.MULTILINE)
    queue.enqueue_in(timedelta(hours=1), "json.loads", job_id="late")
    monkeypatch.setattr("rqlike.cli.output.is_terminal", lambda stream: True)
    late = run("jobs", "watch", "late", "--timeout", "0", color=True).stderr
    assert re.search(r"\x1b\[2m\d\d:\d\d:\d\d enqueued, scheduled\x1b\[0m\n", late)


def test_each_step_is_said_in_words() -> None:
    moment = datetime(2026, 1, 1, 12, 3, 4, tzinfo=UTC)
    for verb in VERBS:
        event = Event("1-0", verb, "j", "q", JobStatus.QUEUED, 1, 1, None, "w\x1b1", moment)
        assert not step_line(event).endswith(f" {verb}")
    assert step_line(event._replace(name="claim", attempt=2)) == "12:03:04 claimed by w\x1b1, attempt 2"
    assert step_line(event._replace(name="unheard_of")) == "12:03:04 unheard_of"


def test_watch_as_json_is_a_line_for_each_piece_of_news(run: Run, inline: Queue) -> None:
    inline.enqueue(count_up, "", 3, job_id="j")
    news = [json.loads(line) for line in run("jobs", "watch", "j", "--json").stdout.splitlines()]
    found = {one["event"]: one for one in news}
    assert [one["event"] for one in news] == ["transition", "transition", "log", "progress", "transition", "result"]
    assert [one["name"] for one in news if one["event"] == "transition"] == ["enqueue", "claim", "finish"]
    assert found["progress"]["percent"] == 100
    assert (found["log"]["text"], found["result"]["return_value"]) == ("counted to 3", 3)


def test_watch_has_the_exit_codes_of_wait(run: Run, inline: Queue, queue: Queue) -> None:
    inline.enqueue(count_up, "", 3, 0.0, "boom", job_id="failed")
    failed = run("jobs", "watch", "failed")
    assert (failed.exit_code, failed.stdout) == (1, "counted to 3\n")
    assert "ValueError: boom" in failed.stderr
    queue.enqueue("json.loads", "1", job_id="late")
    late = run("jobs", "watch", "late", "--timeout", "0.05")
    assert (late.exit_code, late.stdout) == (5, "")
    queue.enqueue("json.loads", "1", job_id="canceled").cancel()
    assert run("jobs", "watch", "canceled").exit_code == 1


def test_progress_is_one_line_of_what_is_known() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    half = Progress(50, 100, 2.0, "up\x1b[2J", "note\n", 1, 2, moment, "1-0")
    bar = f"[{'#' * 15}{'.' * 15}]  50 %  50/100"
    assert progress_line(half) == f"up\\x1b[2J  {bar}  2/s  25s left  attempt 2  note\\n"
    assert progress_line(Progress(0.5, None, None, "", "", 1, 1, moment, "1-0")) == "0.5"


def test_on_a_terminal_the_line_is_redrawn_below_the_log(
    run: Run, inline: Queue, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline.enqueue(count_up, "", 3, job_id="j")
    monkeypatch.setattr("rqlike.cli.watching.is_terminal", lambda stream: True)
    said = run("jobs", "watch", "j").stderr
    assert said.count("\r\x1b[K") >= 2
    assert said.endswith("at 3\n")


# -- failed ------------------------------------------------------------------------------------------------------------


def test_failed_ls_says_why(run: Run, inline: Queue) -> None:
    inline.enqueue("json.loads", "nonsense", job_id="j")
    inline.enqueue("json.loads", "1", job_id="fine")
    (found,) = data(run("failed", "ls", "--json"))
    assert (found["id"], found["result"]["reason"]) == ("j", "exception")
    assert found["result"]["exc_type"] == "json.decoder.JSONDecodeError"
    assert "JSONDecodeError" in run("failed", "ls").stdout


def test_failed_requeue_takes_all_or_those_named(run: Run, inline: Queue) -> None:
    jobs = [inline.enqueue("json.loads", "nonsense", job_id=f"j{number}") for number in range(3)]
    assert run("failed", "requeue", "--all", "--dry-run").stdout == "3 would be requeued\n"
    assert run("failed", "requeue", "j0").stdout == "j0 requeued\n"
    assert data(run("failed", "requeue", "--all", "--queue", "mail", "--json")) == {"requeued": {"mail": 2}}
    assert {job.get_status() for job in jobs} == {JobStatus.QUEUED}


def test_failed_requeue_leaves_alone_what_has_not_failed(run: Run, inline: Queue) -> None:
    job = inline.enqueue("json.loads", "1", job_id="fine")
    assert run("failed", "requeue", "fine").exit_code == 3
    assert job.get_status() is JobStatus.FINISHED


# -- queues, workers, info ---------------------------------------------------------------------------------------------


def test_empty_deletes_queued_jobs_only_and_not_without_being_told_so(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads", job_id="queued")
    queue.enqueue_in(60, "json.loads", job_id="later")
    asked = run("queues", "empty", "mail")
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    assert run("queues", "empty", "mail", "--dry-run").stdout == "mail: 1 would be deleted\n"
    assert queue.count == 1
    assert run("queues", "empty", "mail", "--yes").stdout == "mail: 1 deleted\n"
    assert queue.counts()[JobStatus.QUEUED] == 0
    assert queue.counts()[JobStatus.SCHEDULED] == 1
    assert run("queues", "empty", "nosuch", "--yes").exit_code == 3


def test_info_shows_server_queues_and_workers(run: Run, server: Server, namespace: str, queue: Queue) -> None:
    queue.enqueue("json.loads")
    result = run("info")
    assert f"{server.url} (from -u/--url)" in result.stdout
    assert namespace in result.stdout
    assert "no workers" in result.stdout
    assert "rqlike worker mail" in result.stderr
    told = data(run("info", "--json"))
    assert told["server"] == {"url": server.url, "chosen_by": "-u/--url", "embedded": False}
    assert told["workers"] == []
    (counts,) = told["queues"]
    assert (counts["name"], counts["queued"], counts["expired"]) == ("mail", 1, 0)


def test_a_namespace_without_anything_is_shown_as_such(run: Run) -> None:
    assert "no queues yet" in run("info").stdout
    for words in (("jobs", "ls"), ("failed", "ls"), ("queues", "ls"), ("workers", "ls")):
        result = run(*words)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr
        assert data(run(*words, "--json")) == []


def test_a_worker_that_does_not_live_cannot_be_stopped(run: Run) -> None:
    assert run("workers", "stop", "ghost").exit_code == 3
    assert data(run("workers", "stop", "--all", "--json")) == {"stopping": []}


# -- doctor ------------------------------------------------------------------------------------------------------------


def checks_of(result: Result) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(result.stdout)}


def test_doctor_warns_with_a_remedy_and_is_content(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads")
    result = run("doctor", "--json")
    checks = checks_of(result)
    assert result.exit_code == 0
    assert checks["version"]["text"].startswith("valkey ")
    assert (checks["aof"]["level"], checks["aof"]["remedy"]) == ("warn", "CONFIG SET appendonly yes")
    assert checks["workers"]["remedy"] == "rqlike worker mail"
    assert checks["clocks"]["level"] == checks["eviction"]["level"] == checks["role"]["level"] == "ok"
    assert "warn  aof" in run("doctor").stdout


def test_doctor_fails_a_server_that_throws_jobs_away() -> None:
    with Server("valkey", options={"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}) as evicting:
        result = nowhere("-u", evicting.url, "doctor", "--json")
    assert result.exit_code == 1
    assert checks_of(result)["eviction"]["level"] == "fail"


def test_doctor_knows_a_redis_7(redis7_server: Server) -> None:
    result = nowhere("-u", redis7_server.url, "-N", "doctor", "doctor", "--json")
    assert result.exit_code == 0
    assert checks_of(result)["version"]["text"].startswith("redis 7")


def test_doctor_says_what_it_can_where_there_is_no_server() -> None:
    result = nowhere("doctor", "--json")
    checks = checks_of(result)
    assert result.exit_code == 4
    assert checks["versions"]["level"] == "ok"
    assert checks["server"]["level"] == "fail"


# -- completion, paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = nowhere("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_RQLIKE_COMPLETE={shell}_complete" in result.stdout


def test_a_function_in_a_directory_without_init_inside_a_package_is_no_defect(
    run: Run, queue: Queue, tmp_path: Path
) -> None:
    inner = tmp_path / "outer_package" / "plain_directory"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").touch()
    (inner / "tasks.py").write_text("def f(): pass\n")
    done = run("--path", str(tmp_path), "enqueue", "-q", queue.name, "outer_package.plain_directory.tasks.f")
    assert done.exit_code == 0, done.output
    assert queue.count == 1
    durable = run("--path", str(tmp_path), "enqueue", "-q", queue.name, "--durable", "operator.neg", ":1")
    assert (durable.exit_code, "Nothing was enqueued" in durable.output) == (1, True)


def test_what_happens_in_a_queue_is_shown_as_lines_or_as_one_object_each(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads", job_id="j").cancel()
    first, second = queue.events(after="0", timeout=0)
    shown = run("queues", "events", "mail", "--after", "0", "--timeout", "0")
    assert shown.stdout == f"{first.id} {first}\n{second.id} {second}\n"
    told = run("queues", "events", "mail", "--after", first.id, "--timeout", "0", "--json")
    assert data(told) == {**second._asdict(), "at": second.at.isoformat()}
    assert run("queues", "events", "mail", "--timeout", "0").stdout == ""
    queue.enable_events(False)
    queue.enable_events()
    queue.enqueue("json.loads")
    assert "kept no longer" in run("queues", "events", "mail", "--after", second.id, "--timeout", "0").stderr
    refused = run("queues", "events", "mail", "--after", "now")
    assert (refused.exit_code, "not the id of an event" in refused.stderr) == (2, True)
    assert run("queues", "events", "nosuch").exit_code == 3


def test_a_queue_is_paused_shown_and_resumed(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads")
    assert "paused" not in run("queues", "ls").stdout
    assert data(run("queues", "ls", "--json"))[0]["paused"] is None
    assert run("queues", "pause", "mail", "--for", "10m", "--reason", "no disk").stdout == "mail paused\n"
    paused = queue.paused
    assert paused is not None and paused.until is not None
    assert (paused.until - paused.since).total_seconds() == 600
    shown = run("queues", "ls").stdout
    assert f"until {paused.until:%Y-%m-%d %H:%M:%S} UTC: no disk" in shown
    assert "no disk" in run("info").stdout
    told = data(run("queues", "ls", "--json"))[0]["paused"]
    assert told == {"since": paused.since.isoformat(), "until": paused.until.isoformat(), "reason": "no disk"}
    assert run("queues", "resume", "mail").stdout == "mail resumed\n"
    again = run("queues", "resume", "mail")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "mail was not paused\n")
    assert data(run("queues", "pause", "mail", "--json")) == {"paused": ["mail"]}
    assert data(run("queues", "resume", "mail", "--json")) == {"resumed": ["mail"]}


def test_pausing_refuses_what_it_does_not_know(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads")
    for word in ("pause", "resume"):
        assert run("queues", word, "nosuch").exit_code == 3
    assert run("queues", "pause", "mail", "--for", "0").exit_code == 2
    assert run("queues", "pause", "mail", "--reason", "two\nlines").exit_code == 2
    assert run("suspend", "--reason", "\x1b[2J").exit_code == 2
    assert queue.paused is None


def test_all_workers_are_suspended_and_resumed(run: Run, namespace: str, queue: Queue) -> None:
    queue.enqueue("json.loads")
    assert run("suspend", "--duration", "60", "--reason", "moving").stdout == f"{namespace} suspended\n"
    assert data(run("info", "--json"))["suspended"]["reason"] == "moving"
    for words in (("queues", "ls"), ("info",), ("queues", "resume", "mail")):
        assert "suspended, until" in run(*words).stderr
    assert data(run("queues", "ls", "--json"))[0]["paused"]["reason"] == "moving"
    assert run("resume").stdout == f"{namespace} resumed\n"
    assert run("resume").stderr == f"{namespace} was not suspended\n"
    assert data(run("suspend", "--json")) == {"suspended": namespace}
    assert data(run("resume", "--json")) == {"resumed": True}


def test_a_reason_that_something_else_has_written_does_nothing_to_a_terminal(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads")
    queue.connection.hset(queue.store.keys.pauses(), "mail", "1 - n \x1b[2J\u202eevil\n")
    assert "\x1b" not in run("queues", "ls").stdout
    assert "\u202e" not in run("info").stdout
    assert data(run("queues", "ls", "--json"))[0]["paused"]["reason"] == "\x1b[2J\u202eevil\n"


def test_a_priority_is_given_and_shown(run: Run, queue: Queue) -> None:
    job_id = run("enqueue", "json.loads", "1", "-q", "mail", "--priority", "-7").stdout.strip()
    assert queue.fetch_job(job_id) is not None
    assert re.search(r"^priority +-7$", run("jobs", "show", job_id).stdout, re.MULTILINE)
    assert data(run("jobs", "show", job_id, "--json"))["priority"] == -7
    assert run("enqueue", "json.loads", "--priority", "101").exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--weight", "high"), "like high=5"),
        (("--weight", "high=0"), "like high=5"),
        (("--weight", "low=1"), "'low'; this worker has high"),
        (("--weight", "high=1", "--weight", "high=2"), "twice"),
        (("--dequeue-strategy", "weighted"), "needs weights"),
        (("--dequeue-strategy", "random", "--weight", "high=2"), "contradict"),
    ],
)
def test_bad_weights_are_usage_errors(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run("worker", "high", "--burst", *words)
    assert result.exit_code == 2
    assert said in result.stderr
