"""The command line over a namespace into which something else has written: it shows what it can, and nothing it shows
does anything to a terminal. Passwords are shown nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from rqlike import fields, serializers
from rqlike.cli import main
from rqlike.exceptions import DeserializationError
from rqlike.queue import Queue
from rqlike.results import Result as Execution
from rqlike.states import JobStatus
from rqlike.store import turns
from rqlike.told import State
from tests.edges.conftest import Run
from tests.servers import ROOT, Server
from tests.store.builders import Scene
from tests.store.test_poison import WRONG, poisons, replaced
from tests.unit.test_safetext import EVIL

READERS = (
    ("info",),
    ("jobs", "ls", "-n", "2000"),
    ("failed", "ls", "-n", "2000"),
    ("queues", "ls"),
    ("workers", "ls"),
    ("doctor",),
)


@pytest.fixture
def poisoned(queue: Queue, client: redis.Redis) -> list[str]:
    """Queued and failed jobs that something has been written into; their ids."""
    known = list(poisons(Scene(queue.store)))
    failing = Queue("mail", client, namespace=queue.store.namespace, is_async=False)
    for name, poison in known:
        queue.enqueue("tests.surface.tasks.nothing", job_id=name)
        poison(client, name)
    for name, poison in known[::5]:
        failing.enqueue("tests.surface.tasks.fail", job_id=f"failed.{name}")
        poison(client, f"failed.{name}")
    return [*(name for name, _ in known), *(f"failed.{name}" for name, _ in known[::5])]


def test_every_list_is_shown_whatever_is_in_it(run: Run, poisoned: list[str]) -> None:
    for words in READERS:
        assert run(*words).exit_code in (0, 1), words
        json.loads(run("--json", *words).stdout)
    shown = run("jobs", "ls", "-n", "2000").stdout
    assert "(unreadable call)" in shown
    assert "(unreadable job)" in shown
    listed = {job["id"]: job for job in json.loads(run("--json", "jobs", "ls", "-n", "2000").stdout)}
    assert listed["job-is-string"]["status"] == "unreadable"
    assert "WRONGTYPE" in listed["job-is-string"]["problem"]
    assert listed["enqueued.0"]["problem"] is None


def test_every_poisoned_job_is_shown_or_said_to_be_unreadable_and_can_be_deleted(run: Run, poisoned: list[str]) -> None:
    for name in poisoned[::3]:
        result = run("jobs", "show", name)
        assert result.exit_code in (0, 1, 3), (name, result.output)
        if result.exit_code == 1:
            assert (
                "cannot be read" in result.stderr
                or "rqlike has not written" in result.stderr
                or "unknown" in result.stderr
            )
        shown = run("--json", "jobs", "show", name)
        if shown.exit_code == 0:
            assert json.loads(shown.stdout)["id"] == name
    deleted = run("jobs", "rm", *poisoned)
    assert deleted.exit_code in (0, 3), deleted.stderr  # 3: those that were taken away
    assert json.loads(run("--json", "jobs", "ls", "-n", "2000").stdout) == []


def test_no_text_of_somebody_else_reaches_the_terminal_raw(run: Run, queue: Queue, client: redis.Redis) -> None:
    said = EVIL.replace("\ud800", "")  # which has no form on the wire
    evil = said.encode() + b"\xff"
    keys, store = queue.store.keys, queue.store
    inline = Queue("mail", client, namespace=store.namespace, is_async=False)
    job = inline.enqueue("tests.surface.tasks.fail", said, description=said, meta={said: said})
    client.hset(keys.job(job.id), fields.JOB["worker"], evil)
    entry: dict[Any, Any] = {"t": 2, "i": "e", "w": evil, "x": evil, "e": evil, "r": "killed", "b": 1, "d": 2}
    client.xadd(keys.results(job.id), entry)
    client.xadd(keys.log(job.id), {"l": evil, "z": 1})
    client.xadd(keys.live(job.id), {"p": State(1, 2, said, said).stored(None), "z": 1})
    client.sadd(keys.queues(), evil)
    client.zadd(keys.home("queued", said), {b"member": 1})
    store.run(turns.register(said, "i", {"pid": 7, "queues": [said], "host": evil, "jobs": [said], "state": evil}))
    for words in (
        *READERS,
        ("jobs", "show", job.id),
        ("jobs", "wait", job.id),
        ("jobs", "watch", job.id),
        ("workers", "stop", "nobody"),
    ):
        run(*words)
        run("--json", *words)
    run("queues", "empty", "nobody")
    assert json.loads(run("--json", "workers", "ls").stdout)[0]["name"].startswith("\x1b[2J")


def test_looking_at_a_pickled_job_runs_none_of_its_code(
    run: Run, queue: Queue, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickling = Queue("mail", client, namespace=queue.store.namespace, serializer="pickle", is_async=False)
    job = pickling.enqueue("tests.surface.tasks.echo", {1, 2})
    monkeypatch.setattr(serializers, "_asked", set())
    assert "echo(unreadable arguments)" in run("jobs", "ls").stdout
    shown = json.loads(run("--json", "jobs", "show", job.id).stdout)
    assert "only where serializer='pickle' was asked for" in shown["results"][0]["value_error"]
    result = Execution.fetch_many([job])[0]
    assert result is not None
    with pytest.raises(DeserializationError):
        _ = result.return_value


def test_a_shared_key_of_another_type_is_one_line_that_says_so(run: Run, queue: Queue, client: redis.Redis) -> None:
    queue.enqueue("tests.surface.tasks.nothing")
    replaced(client, queue.store.keys.home(JobStatus.FINISHED, "mail"), WRONG["list"])
    result = run("queues", "ls")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "something that rqlike has not written there" in result.stderr


def test_a_number_too_long_to_print_is_shown_as_what_it_is(run: Run, queue: Queue, client: redis.Redis) -> None:
    inline = Queue("mail", client, namespace=queue.store.namespace, is_async=False)
    job = inline.enqueue("tests.surface.tasks.echo", 10**6000, meta={"count": 10**6000})
    assert "cannot be shown" in run("jobs", "wait", job.id).stdout
    assert "cannot be shown" in run("jobs", "show", job.id).stdout
    assert int(json.loads(run("--json", "jobs", "wait", job.id).stdout), 16) == 10**6000
    assert run("--json", "jobs", "show", job.id).exit_code == run("--json", "jobs", "ls").exit_code == 0


# -- passwords ---------------------------------------------------------------------------------------------------------

SECRET = "s3cret-p4ss"


@pytest.fixture
def guarded() -> Iterator[str]:
    """The URL of a server that wants a password."""
    server = Server("valkey", tcp=True)
    with server.client() as client:
        client.config_set("requirepass", SECRET)
    yield f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
    server.close()


def test_what_is_shown_of_a_server_hides_its_password(guarded: str, tmp_path: Path) -> None:
    environment = {**os.environ, "RQLIKE_REDIS_URL": guarded, "PYTHONPATH": str(ROOT)}
    queue = Queue("default", guarded)
    queue.enqueue("tests.surface.tasks.nothing", job_id="j")
    queue.connection.close()
    told = []
    for words in (("worker", "--burst"), ("worker", "--burst", "--log-format", "json", "-v")):
        command = [sys.executable, "-m", "rqlike", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        told += [done.stdout, done.stderr]
    for reading in (*READERS, ("jobs", "show", "j")):
        for form in ((), ("--json",)):
            result = CliRunner().invoke(main, [*form, *reading], prog_name="rqlike", env={"RQLIKE_REDIS_URL": guarded})
            assert result.exit_code in (0, 1), result.output
            told += [result.output, result.stderr]
    with redis.Redis.from_url(guarded) as client:
        for key in client.scan_iter():
            told.append(repr(client.dump(key)))
    assert any("***" in text for text in told)
    assert not any(SECRET in text for text in told)


def test_a_wrong_password_is_not_shown_either(guarded: str) -> None:
    url = guarded.replace(SECRET, SECRET + "x")
    for words in (*READERS, ("worker", "--burst")):
        result = CliRunner().invoke(main, ["-u", url, *words], prog_name="rqlike")
        assert result.exit_code == 4, result.output
        assert SECRET not in result.output + result.stderr


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:1/0",
        f"redis://user:{SECRET}@nowhere.invalid:6379/0",
        f"redis://127.0.0.1:1/0?password={SECRET}",
        f"unix://:{SECRET}@/nonexistent/a.sock",
        f"redis://:{SECRET}@127.0.0.1:port/0",
        f"http://:{SECRET}@127.0.0.1/0",
        f"redis://:{SECRET}@127.0.0.1:1/db",
    ],
)
def test_an_error_about_a_server_shows_no_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (*READERS, ("worker", "--burst"), ("enqueue", "tasks.f")):
        for result in (
            CliRunner().invoke(main, ["-u", url, *words], prog_name="rqlike"),
            CliRunner().invoke(main, list(words), prog_name="rqlike", env={"RQLIKE_REDIS_URL": url}),
        ):
            assert result.exit_code in (2, 4), result.output
            assert SECRET not in result.output
            assert SECRET not in result.stderr
