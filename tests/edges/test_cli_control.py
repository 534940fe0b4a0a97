"""`rqlike queues empty|clean|obliterate` and `rqlike failed` against a real server, in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from click.testing import Result

from rqlike import Queue
from rqlike.cli import output
from rqlike.store import turns
from rqlike.store.turns import Turn
from tests.edges.conftest import Run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)


@pytest.fixture
def inline(client: redis.Redis, namespace: str) -> Queue:
    """Runs its jobs at once, in this process."""
    return Queue("mail", client, namespace=namespace, is_async=False)


@pytest.fixture
def letters(inline: Queue) -> Queue:
    """Three dead letters, and a job that went well. Their ids are in the order in which they end, which may be in one
    millisecond."""
    inline.enqueue("json.loads", "nonsense", job_id="first")
    inline.enqueue("json.loads", "[", job_id="list")
    inline.enqueue("nowhere.to_be_found", job_id="lost")
    inline.enqueue("json.loads", "1", job_id="fine")
    return inline


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def start_one(queue: Queue) -> None:
    queue.enqueue("json.loads", "1", at_front=True)
    queue.store.run(turns.advance(Turn("w", "w-1", 1, ("mail",), want=1)))


# -- queues ------------------------------------------------------------------------------------------------------------


def test_empty_takes_what_is_due_later_where_that_is_said(run: Run, queue: Queue) -> None:
    queue.enqueue_in(60, "json.loads", "1")
    assert run("queues", "empty", "mail").stdout == "mail: 0 deleted\n"
    asked = run("queues", "empty", "mail", "--scheduled")
    assert asked.exit_code == 2
    assert "delete 1 waiting job of mail? Nobody can be asked here: add --yes" in asked.stderr
    assert data(run("queues", "empty", "mail", "--scheduled", "--dry-run", "--json")) == {
        "deleted": {},
        "would_delete": {"mail": 1},
    }
    assert run("queues", "empty", "mail", "--scheduled", "-y").stdout == "mail: 1 deleted\n"


def test_clean_deletes_by_status_and_age_up_to_a_limit(run: Run, letters: Queue) -> None:
    assert run("queues", "clean", "mail", "-s", "failed", "--dry-run").stdout == "mail: 3 would be deleted\n"
    assert run("queues", "clean", "mail", "-s", "failed", "--older-than", "1h").stdout == "mail: 0 deleted\n"
    refused = run("queues", "clean", "mail", "-s", "failed")
    assert (refused.exit_code, "delete 3 failed jobs of mail?" in refused.stderr) == (2, True)
    assert run("queues", "clean", "mail", "-s", "failed", "--limit", "2", "-y").stdout == "mail: 2 deleted\n"
    assert data(run("queues", "clean", "mail", "-s", "failed", "-y", "--json"))["deleted"] == {"mail": 1}
    assert letters.counts().finished == 1


@pytest.mark.parametrize("status", ["queued", "started", "dead"])
def test_clean_takes_no_status_that_other_commands_are_for(run: Run, queue: Queue, status: str) -> None:
    assert run("queues", "clean", "mail", "-s", status).exit_code == 2


def test_obliterate_says_what_goes_and_refuses_while_jobs_run(run: Run, letters: Queue, queue: Queue) -> None:
    queue.schedule("nightly", "json.loads", ("1",), every=3600)
    told = run("queues", "obliterate", "mail", "--dry-run")
    assert told.stdout == "mail: 4 jobs and 1 schedule would be deleted\n"
    start_one(queue)
    refused = run("queues", "obliterate", "mail", "--yes")
    assert refused.exit_code == 1
    assert "1 of its jobs are started" in refused.stderr
    asked = run("queues", "obliterate", "mail", "--force")
    assert asked.exit_code == 2
    assert "delete mail with 5 jobs and 1 schedule, 1 of the jobs running?" in asked.stderr
    assert run("queues", "obliterate", "mail", "--force", "-y").stdout == "mail: 5 jobs and 1 schedule deleted\n"
    assert run("queues", "obliterate", "mail", "-y").exit_code == 3


@pytest.mark.usefixtures("terminal")
def test_whoever_sits_at_a_terminal_is_asked_first(run: Run, queue: Queue) -> None:
    queue.enqueue("json.loads", "1")
    for command in (("empty",), ("obliterate",)):
        refused = run("queues", *command, "mail", said="n\n")
        assert (refused.exit_code, refused.stdout, queue.count) == (130, "", 1)
    assert run("queues", "obliterate", "mail", said="y\n").stdout == "mail: 1 job deleted\n"


# -- dead letters ------------------------------------------------------------------------------------------------------


def test_summary_counts_dead_letters_by_what_became_of_them(run: Run, letters: Queue) -> None:
    found = data(run("failed", "summary", "--json"))
    assert [(one["queue"], one["func_name"], one["reason"], one["count"]) for one in found] == [
        ("mail", "json.loads", "exception", 2),
        ("mail", "nowhere.to_be_found", "import", 1),
    ]
    assert (found[0]["exc_type"], found[0]["job_id"]) == ("json.decoder.JSONDecodeError", "list")
    head, first, _ = run("failed", "summary").stdout.splitlines()
    assert head.split()[:3] == ["queue", "jobs", "function"]
    assert first.split()[:4] == ["mail", "2", "json.loads", "json.decoder.JSONDecodeError"]
    assert len(run("failed", "summary", "-n", "1").stdout.splitlines()) == 2


def test_there_may_be_no_dead_letters(run: Run, queue: Queue) -> None:
    for words in (("summary",), ("ls",), ("ls", "--func", "x")):
        result = run("failed", *words)
        assert (result.stdout, "failed jobs" in result.stderr) == ("", True)
    assert data(run("failed", "summary", "--json")) == []


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--func", "json.*"), ["list", "first"]),
        (("--exc-type", "JSONDecodeError", "-n", "1"), ["list"]),
        (("--reason", "import"), ["lost"]),
        (("--older-than", "1h"), []),
        (("--older-than", "0", "-q", "mail"), ["lost", "list", "first"]),
    ],
)
def test_failed_ls_and_requeue_choose_by_the_same_options(
    run: Run, letters: Queue, words: tuple[str, ...], names: list[str]
) -> None:
    assert [one["id"] for one in data(run("failed", "ls", "--json", *words))] == names
    words = tuple("--limit" if word == "-n" else word for word in words)
    assert run("failed", "requeue", *words, "--dry-run").stdout == f"{len(names)} would be requeued\n"
    assert data(run("failed", "requeue", *words, "--json")) == {"requeued": {"mail": len(names)}}
    assert letters.counts().queued == len(names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("requeue",), "--exc-type"),
        (("requeue", "first", "--func", "x"), "--exc-type"),
        (("requeue", "--limit", "3"), "--all"),
        (("requeue", "--all", "--reason", "bad luck"), "unrecoverable"),
        (("ls", "--older-than", "soon"), "1h30m"),
        (("summary", "--limit", "0"), "0"),
    ],
)
def test_what_the_options_cannot_mean_is_a_usage_error(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run("failed", *words)
    assert result.exit_code == 2
    assert said in result.stderr
