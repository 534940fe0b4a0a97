"""The page of the examples that shows a running job: their own servers, a real worker, a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.edges.browser import Browser, browser
from tests.edges.example_workers import environment, running_worker
from tests.servers import ROOT, Server, eventually, free_port

LINES = 40
TEXT = "\n".join(f"the goose and the lamp of line {number}" for number in range(1, LINES + 1))
PAUSE = 0.04  # seconds after each line
PICTURE = "PICTURE_OF_A_RUNNING_JOB"  # where the test is to leave the picture of the docs

# The page itself notes what it shows after each event that has changed it: a look from outside might come too late.
RECORD = """
    window.noted = [];
    new MutationObserver(() => noted.push({
        title: document.title,
        bar: document.getElementById("bar").value,
        told: document.getElementById("told").textContent,
        lines: document.getElementById("log").textContent.split("\\n").length - 1,
    })).observe(document.documentElement, {subtree: true, childList: true, attributes: true});
"""


@dataclass(frozen=True)
class Example:
    """One of the examples: how it is started, and what its page says of TEXT."""

    name: str
    serve: tuple[str, ...]  # a port follows
    texts: str
    first_line: str
    result: str
    prepare: tuple[str, ...] = ()
    middleware: str = ""


FLASK = Example(
    "flask_app",
    ("-m", "flask", "--app", "app", "run", "--port"),
    "/texts",
    first_line="line 1: 8 words, 7 different ones so far",
    result='[["the",80],["goose",40],["and",40],["lamp",40],["of",40]]',
)
DJANGO = Example(
    "django_app",
    ("manage.py", "runserver", "--noreload"),
    "/texts/",
    first_line="8 words so far",
    result=str(8 * LINES),
    prepare=("manage.py", "migrate", "--verbosity", "0"),
    middleware="counts.worker.DjangoJobs",
)
BOTH = pytest.mark.parametrize("example", [FLASK, DJANGO], ids=lambda example: example.name)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the tests of this module."""
    with browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


@contextmanager
def served(example: Example, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """The example as its own server serves it, on a free port. What that said is shown when the block fails."""
    if example.prepare:
        subprocess.run([sys.executable, *example.prepare], cwd=folder, env=env, check=True, timeout=60)
    port = str(free_port())
    command = [sys.executable, *example.serve, port]
    with (folder / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    except BaseException:
        sys.stderr.write((folder / "web.log").read_text(errors="replace"))
        raise
    finally:
        web.kill()
        web.wait()


def submit(web: str, example: Example) -> str:
    """Sends TEXT as soon as the server listens; gives the address of the answer."""
    request = urllib.request.Request(f"{web}{example.texts}?pause={PAUSE}", TEXT.encode())
    request.add_header("Content-Type", "text/plain")
    port = urlsplit(web).port
    eventually(lambda: _listens(port), 20.0, 0.05, "the web server listens")
    with urllib.request.urlopen(request, timeout=15) as answer:
        return urljoin(web, str(answer.headers["Location"]))


def _listens(port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def watch_page(place: str) -> str:
    """The address of the page that watches the job whose answer is at `place`."""
    return f"{place.removesuffix('/')}/watch"


@BOTH
def test_a_page_shows_how_far_a_job_is_and_its_log_while_it_runs_and_then_its_result(
    tmp_path: Path, server: Server, namespace: str, page: Browser, example: Example
) -> None:
    folder = Path(shutil.copytree(ROOT / "examples" / example.name, tmp_path / example.name))
    env = environment(server.url, namespace)
    with served(example, folder, env) as web:
        page.open(watch_page(submit(web, example)))
        page.until("document.getElementById('told')?.textContent == 'waiting for a worker'")
        page.says(RECORD)
        with running_worker(["texts"], folder, env, middleware=example.middleware):
            if PICTURE in os.environ:
                page.until("document.getElementById('bar').value >= 50")
                page.picture(Path(os.environ[PICTURE]))
            page.until("document.title == 'finished'")
        noted = page.says("window.noted")
        shown = [page.says(f"document.getElementById('{name}').{what}") for name, what in SHOWN]

    bar, status, log, result = shown
    assert (bar, status, log[0], len(log), result) == (100, "finished", example.first_line, LINES, example.result)
    on_the_way = [one for one in noted if one["title"] == "running" and 0 < one["bar"] < 100]
    assert any(0 < one["lines"] < LINES for one in on_the_way), f"{noted}\n{page.shown()}"
    assert all(f" of {LINES}" in one["told"] for one in on_the_way), noted
    assert [one["bar"] for one in on_the_way] == sorted(one["bar"] for one in on_the_way)
    assert page.console == []


SHOWN = (
    ("bar", "value"),
    ("status", "textContent"),
    ("log", "textContent.trimEnd().split('\\n')"),
    ("result", "textContent"),
)


def test_a_page_of_a_job_that_is_not_known_says_so(
    tmp_path: Path, server: Server, namespace: str, page: Browser
) -> None:
    folder = Path(shutil.copytree(ROOT / "examples" / FLASK.name, tmp_path / FLASK.name))
    with served(FLASK, folder, environment(server.url, namespace)) as web:
        port = urlsplit(web).port
        eventually(lambda: _listens(port), 20.0, 0.05, "the web server listens")
        page.open(f"{web}/texts/never/watch")
        page.until("document.title == 'unknown'")
    assert page.says("document.getElementById('told').textContent") == "nothing is known about this job (any more)"
    assert "404" in "".join(page.console)


def test_both_examples_have_the_same_page() -> None:
    flask = ROOT / "examples" / "flask_app" / "static" / "watch.html"
    django = ROOT / "examples" / "django_app" / "counts" / "watch.html"
    assert flask.read_text() == django.read_text()
