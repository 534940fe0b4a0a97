"""The Django example, with Django's test client and a real worker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.edges.example_workers import environment, running_worker
from tests.servers import ROOT, Server

DRIVER = Path(__file__).with_name("drive_django_example.py")


class Example:
    """A copy of the example."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def drive(self, what: str) -> Any:
        return json.loads(self.run(str(DRIVER), what))


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, valkey_server: Server) -> Path:
    """A copy of the example with a migrated database."""
    folder = shutil.copytree(ROOT / "examples" / "django_app", tmp_path_factory.mktemp("migrated") / "django_app")
    Example(Path(folder), environment(valkey_server.url, "none")).run("manage.py", "migrate", "--verbosity", "0")
    return Path(folder)


@pytest.fixture
def example(migrated: Path, tmp_path: Path, server: Server, namespace: str) -> Example:
    return Example(Path(shutil.copytree(migrated, tmp_path / "django_app")), environment(server.url, namespace))


def test_a_text_is_saved_enqueued_and_counted_by_a_worker(example: Example) -> None:
    place = "/texts/1/"
    assert example.drive("submit") == {
        "submit": [202, {"job_id": "count:1"}],
        "place": place,
        "early": [202, {"job_id": "count:1", "status": "queued", "position": 0}],
        "headers": {"Location": place, "Retry-After": "1", "Cache-Control": "no-store"},
    }
    with running_worker(["texts"], example.folder, example.env, middleware="counts.worker.DjangoJobs"):
        answers = example.drive("wait")
    counted = [200, {"job_id": "count:1", "status": "finished", "result": 4}]
    error = {"type": "DoesNotExist", "reason": "exception"}
    failed = [500, {"job_id": "count:2", "status": "failed", "error": error}]
    assert answers == {"done": counted, "again": counted, "failed": failed}


def test_a_text_that_will_not_be_counted_says_why(example: Example) -> None:
    answers = example.drive("end")
    assert answers.pop("no text") == 404
    assert {what: (status, body["error"]["type"]) for what, (status, body) in answers.items()} == {
        "never": (404, "NoSuchJobError"),
        "canceled": (409, "JobCanceled"),
        "late": (410, "JobExpired"),
    }


def test_nothing_is_enqueued_when_the_transaction_is_rolled_back(example: Example) -> None:
    assert example.drive("rollback") == {"queued": 0}


def test_an_empty_text_is_refused(example: Example) -> None:
    assert example.drive("empty") == {"empty": 400}


def test_the_migrations_are_those_of_the_models(example: Example) -> None:
    example.run("manage.py", "makemigrations", "--check", "--dry-run")
