"""The cron example, with the real commands and a real worker."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rqlike import Schedule
from tests.edges.example_workers import environment, running_worker
from tests.servers import ROOT, Server, eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "cron", tmp_path / "cron"))


def test_the_file_is_written_by_one_command_and_fired_by_a_worker(folder: Path, server: Server, namespace: str) -> None:
    env = environment(server.url, namespace)

    def rqlike(*words: str) -> str:
        done = subprocess.run(["rqlike", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    file = folder / "crontab.py"
    assert rqlike("cron", "crontab.py").count("new") == 3
    assert "Europe/Berlin" in rqlike("schedules", "ls")
    with running_worker(["reports"], folder, env):
        rqlike("schedules", "run", "nightly", "--wait=20")
        reports = folder / "reports.txt"
        eventually(lambda: "tick for 20" in reports.read_text(), 15.0, message="the schedule has fired")
    assert "nightly on demand\n" in reports.read_text()

    file.write_text("\n".join(line for line in file.read_text().split("\n") if '"tick"' not in line))
    assert "removed" in rqlike("cron", "crontab.py")
    with server.client() as client:
        keys = [one.key for one in Schedule.all(client, namespace=namespace)]
    assert keys == ["nightly", "reports:tasks.clean_up"]
