"""Every block of code in the documentation does what its page says, against a real server and a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import blocks
from tests.docs.blocks import RUN, SHOWN, BlockFailed, Page, blocks_of, matches
from tests.docs.pages import ROOT, name_of, pages
from tests.edges.example_workers import environment, imported_from, running_worker
from tests.servers import Server

PAGES = pages()
#: The queues that the pages use and that a worker serves. `nobody` is one that none serves.
QUEUES = ("default", "emails", "reports")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to work in, whose modules can be imported and are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with imported_from(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_code_of_a_page_does_what_the_page_says(
    path: Path, desk: Path, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = [block for block in blocks_of(path) if block.not_run is None and block.language not in SHOWN]
    if not code:
        return
    env = environment(server.url, namespace)
    for name in ("RQLIKE_REDIS_URL", "RQLIKE_NAMESPACE"):
        monkeypatch.setenv(name, env[name])
    page = Page(desk, env)
    with running_worker(QUEUES, desk, env, jobs_per_horse=1):
        for block in code:
            page.run(block)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_block_of_a_page_is_of_a_kind_that_is_known(path: Path) -> None:
    strange = [block.place for block in blocks_of(path) if block.language not in RUN | SHOWN]
    assert not strange, f"name the language of these blocks ({', '.join(sorted(RUN | SHOWN))}): {strange}"


def test_the_pages_are_found() -> None:
    assert ROOT / "docs" / "index.md" in PAGES
    assert sum(1 for path in PAGES for block in blocks_of(path) if block.not_run is None) > 30


# -- the runner itself: it would be of no use if it passed everything


def write(desk: Path, text: str) -> Path:
    page = desk / "page.md"
    page.write_text(text)
    return page


def run_all(path: Path, desk: Path) -> None:
    page = Page(desk, environment("unix:///nowhere", "none"))
    for block in blocks_of(path):
        page.run(block)


@pytest.mark.parametrize(
    "body",
    [
        "```python\nassert 1 == 2\n```",
        "```python\n>>> 1 + 1\n3\n```",
        "```shell\nfalse\ntrue\n```",
        "```console\n$ echo one\ntwo\n```",
        "```console\necho one\n```",
        "```python\n1",
    ],
    ids=["python", "session", "shell", "console", "no prompt", "not closed"],
)
def test_a_page_that_does_not_hold_is_noticed(desk: Path, body: str) -> None:
    with pytest.raises(BlockFailed, match=r"page\.md:\d"):
        run_all(write(desk, f"# A page\n\n{body}\n"), desk)


@pytest.mark.parametrize("body", ["import time\ntime.sleep(60)", ">>> import time\n>>> time.sleep(60)"])
def test_a_block_that_does_not_end_is_ended(desk: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_LIMIT_S", 0.1)
    with pytest.raises(BlockFailed, match="not done within"):
        run_all(write(desk, f"```python\n{body}\n```\n"), desk)


def test_blocks_of_a_page_share_their_names_and_files(desk: Path) -> None:
    text = (
        "```python\n# words.py\nCOUNT = 2\n```\n```python\nimport words\n```\n"
        "```python\n>>> words.COUNT\n2\n```\n```console\n$ cat words.py\n# words.py\nCOUNT = 2\n```\n"
    )
    run_all(write(desk, text), desk)


def test_a_block_with_a_reason_is_not_run(desk: Path) -> None:
    run_all(write(desk, "<!-- not run: it cannot -->\n\n```python\nassert False\n```\n"), desk)


def test_a_reason_counts_for_the_next_block_only(desk: Path) -> None:
    text = "<!-- not run: it cannot -->\n```python\nassert False\n```\n```python\nassert False\n```\n"
    with pytest.raises(BlockFailed):
        run_all(write(desk, text), desk)


def test_output_may_vary_in_times_and_names_and_in_nothing_else() -> None:
    row = "2026-11-22 02:59:13      1        1  SUCCESSFUL  1ms   3               web.15125.d9a5\n"
    assert matches(row, "2031-01-01 00:00:00  1  1  SUCCESSFUL  <1ms  3  worker-of-12-t3-ab\n")
    assert not matches(row, "2031-01-01 00:00:00  1  1  SUCCESSFUL  <1ms  4  worker-of-12-t3-ab\n")
    assert not matches(row, "2031-01-01 00:00:00  1  1  FAILED  <1ms  3  worker-of-12-t3-ab\n")
