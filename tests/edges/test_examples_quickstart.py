"""The quickstart: what a newcomer runs first."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rqlike.store import embedded
from tests.servers import ROOT

LIMIT_S = 15.0


@pytest.fixture
def examples(tmp_path: Path) -> Iterator[Path]:
    """A copy of the examples in a project of its own, whose embedded server is ended afterwards."""
    if embedded.find_binary() is None:
        pytest.skip("the extra 'server' is not installed")
    (tmp_path / "pyproject.toml").touch()
    yield Path(shutil.copytree(ROOT / "examples", tmp_path / "examples"))
    embedded.stop(tmp_path / ".rqlike")


def run_quickstart(examples: Path, cwd: Path) -> str:
    """As `env -i PATH=/usr/bin:/bin python …/quickstart.py`."""
    done = subprocess.run(
        [sys.executable, str(examples / "quickstart.py")],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_quickstart_runs_in_an_empty_environment_from_any_directory(examples: Path) -> None:
    said = run_quickstart(examples, Path("/"))
    words = {path.name: len(path.read_text().split()) for path in (examples / "texts").glob("*.txt")}
    assert len(words) == 3
    for name, count in words.items():
        assert f"texts/{name}" in said
        assert f" {count} words" in said
    assert said.count("RETRIED") == 2
    assert "reason timeout" in said
    assert "JobTimeoutException" in said
    assert not embedded.answers(Path("/.rqlike/s.sock"))


def test_the_quickstart_can_be_run_twice_and_leaves_only_the_embedded_server(examples: Path) -> None:
    run_quickstart(examples, examples)
    run_quickstart(examples, examples)
    status = embedded.status(examples.parent / ".rqlike")
    assert status.running
    workers = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in workers.splitlines() if "worker" in line and str(examples.parent) in line]
