"""The page of the examples that shows a running job, in a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rqlike import Queue
from tests.edges.browser import browser, program
from tests.edges.example_workers import environment, running_worker
from tests.servers import ROOT, Server, eventually, free_port

TEXT = "\n".join(f"the goose and the lamp of line {number}" for number in range(1, 41))
PICTURE = "PICTURE_OF_A_RUNNING_JOB"  # where the test is to leave the picture of the docs


@contextmanager
def served(folder: Path, env: dict[str, str], port: int) -> Iterator[str]:
    """The Flask example on a port, as Flask's own server serves it."""
    command = [sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(port)]
    with (folder / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port), 15.0, 0.05, "the web server listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        web.kill()
        web.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_page_shows_how_far_a_job_is_and_its_log_while_it_runs_and_then_its_result(
    tmp_path: Path, server: Server, namespace: str
) -> None:
    program()
    folder = Path(shutil.copytree(ROOT / "examples" / "flask_app", tmp_path / "flask_app"))
    env = environment(server.url, namespace)
    with (
        server.client() as client,
        served(folder, env, free_port()) as web,
        browser(tmp_path) as page,
        running_worker(["texts"], folder, env),
    ):
        job = Queue("texts", client, namespace=namespace).enqueue("tasks.most_common_words", TEXT, pause=0.05)
        page.open(f"{web}/texts/{job.id}/watch")
        page.until("document.getElementById('bar')?.value >= 50")
        assert page.says("document.title") == "running"
        assert page.says("document.getElementById('log').textContent").startswith("line 1: 8 words")
        assert "lines: " in page.says("document.getElementById('told').textContent")
        if PICTURE in os.environ:
            page.picture(Path(os.environ[PICTURE]))
        page.until("document.title == 'finished'")
        shown = [page.says(f"document.getElementById('{name}').{what}") for name, what in SHOWN]
    assert (shown[0], shown[1].count("\n")) == (100, 40)
    assert shown[2].startswith('[["the",80]')


SHOWN = (("bar", "value"), ("log", "textContent"), ("result", "textContent"))
