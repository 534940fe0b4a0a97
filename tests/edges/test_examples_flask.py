"""The Flask example, with Flask's test client and a real worker."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rqlike import Queue
from tests.edges.example_workers import environment, imported_from, running_worker
from tests.servers import ROOT, Server, eventually

TEXT = "the goose and the lamp and the sea and the goose"


@pytest.fixture
def env(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    made = environment(server.url, namespace)
    for name in ("RQLIKE_REDIS_URL", "RQLIKE_NAMESPACE"):
        monkeypatch.setenv(name, made[name])
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "flask_app", tmp_path / "flask_app"))


@pytest.fixture
def client(folder: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Flask's test client of a fresh copy of the example."""
    monkeypatch.syspath_prepend(str(folder))
    with imported_from(folder):
        yield importlib.import_module("app").create_app().test_client()


def test_a_text_is_accepted_and_a_request_that_waits_gets_its_result_once_a_worker_has_run(
    client: Any, folder: Path, env: dict[str, str]
) -> None:
    accepted = client.post("/texts", data=TEXT)
    assert accepted.status_code == 202
    place = accepted.headers["Location"]
    job_id = accepted.json["job_id"]

    waiting = client.get(place)
    assert (waiting.status_code, waiting.headers["Retry-After"], waiting.headers["Location"]) == (202, "1", place)
    assert waiting.json == {"job_id": job_id, "status": "queued", "position": 0}

    with running_worker(["texts"], folder, env):
        done = client.get(f"{place}?wait=15")
        at_once = client.post("/texts?wait=15", data="one one")
    assert (done.status_code, done.json["job_id"], done.json["status"]) == (200, job_id, "finished")
    assert done.json["result"][:2] == [["the", 4], ["and", 3]]
    assert (at_once.status_code, at_once.json["result"]) == (200, [["one", 2]])


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "0"])
def test_a_wait_that_is_none_is_answered_at_once(client: Any, wait: str) -> None:
    assert client.post(f"/texts?wait={wait}", data=TEXT).status_code == 202


def test_an_empty_text_is_refused_and_nothing_is_enqueued(client: Any) -> None:
    assert client.post("/texts", data=" ").status_code == 400
    assert Queue("texts").counts().queued == 0


def test_an_id_that_never_was_is_not_found(client: Any) -> None:
    assert client.get("/texts/no-such-job").status_code == 404


def test_a_job_of_another_queue_is_not_shown(client: Any) -> None:
    secret = Queue("payroll").enqueue("tasks.most_common_words", "secret")
    assert client.get(f"/texts/{secret.id}").status_code == 404


def test_a_job_that_failed_is_an_error_without_its_traceback(client: Any, folder: Path, env: dict[str, str]) -> None:
    failing = Queue("texts").enqueue("tasks.no_such_function")
    with running_worker(["texts"], folder, env):
        eventually(lambda: failing.is_failed, 15.0, message="the job has failed")
    answer = client.get(f"/texts/{failing.id}")
    error = {"type": "CallableNotFound", "reason": "import"}
    assert (answer.status_code, answer.json) == (500, {"job_id": failing.id, "status": "failed", "error": error})


def test_a_canceled_job_is_a_conflict(client: Any) -> None:
    place = client.post("/texts", data=TEXT).headers["Location"]
    Queue("texts").jobs[0].cancel()
    answer = client.get(place)
    assert (answer.status_code, answer.json["error"]["type"]) == (409, "JobCanceled")


def test_a_job_that_nobody_started_in_time_is_gone(client: Any) -> None:
    late = Queue("texts").enqueue("tasks.most_common_words", "late", ttl=0.001)
    answer = client.get(f"/texts/{late.id}?wait=5")
    assert (answer.status_code, answer.json["error"]["type"]) == (410, "JobExpired")
