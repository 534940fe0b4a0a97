"""Links between pages lead somewhere, and pages speak of the project only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, name_of, pages

_CODE = re.compile(r"(?ms)^ *(`{3,}).*?^ *\1`*\s*$|`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"(?m)^#{1,6} +(.+?)\s*$")
_ANCHOR = re.compile(r'<a id="([^"]+)">')
#: Words of the places where a project is made, which mean nothing to those who use it.
# A number after # is an issue's, but for cron's second Friday: FRI#2, 5#2.
_FOREIGN = re.compile(
    r"(?<!\w)/work\b|/tmp/w\b|\bsessions? of the project\b|\bissue #?\d|(?<![0-7])(?<![A-Z]{3})#\d+\b"
    r"|\bhelper [A-G]\d?\b"
)
_TEXTS = (".py", ".lua", ".md", ".cfg", ".toml", ".txt", ".html")


def links_of(path: Path) -> Iterator[str]:
    yield from _LINK.findall(_CODE.sub("", path.read_text(encoding="utf-8")))


def anchors_of(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    headings = _HEADING.findall(re.sub(r"(?ms)^ *(`{3,}).*?^ *\1`*\s*$", "", text))
    return {anchor_of(heading) for heading in headings} | set(_ANCHOR.findall(text))


def anchor_of(heading: str) -> str:
    """As GitHub makes them: lower case, spaces to hyphens, the rest of the punctuation gone."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def complaints_about(path: Path) -> Iterator[str]:
    for link in links_of(path):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = (path.parent / target).resolve() if target else path
        if not found.exists():
            yield f"{name_of(path)}: {link} leads nowhere"
        elif anchor and found.suffix == ".md" and anchor not in anchors_of(found):
            yield f"{name_of(path)}: {link}: no heading there makes that anchor"


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_links_lead_to_pages_and_headings_that_exist(path: Path) -> None:
    assert list(complaints_about(path)) == []


def test_every_page_of_the_docs_can_be_reached_from_the_first() -> None:
    seen, waiting = set[Path](), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in links_of(page) if not re.match(r"[a-z]+:", link))
        waiting += [found for link in links if link and (found := (page.parent / link).resolve()).exists()]
    lost = set((ROOT / "docs").rglob("*.md")) - seen
    assert not lost, [name_of(path) for path in sorted(lost)]


def sources() -> Iterator[Path]:
    for name in ("rqlike", "docs", "examples", "tools", "tests", "benchmarks"):
        yield from (path for path in (ROOT / name).rglob("*") if path.suffix in _TEXTS)
    yield from (path for path in ROOT.glob("*") if path.suffix in _TEXTS or path.name == "Makefile")


def test_the_project_speaks_only_of_itself() -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in sources()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if _FOREIGN.search(line)
    ]
    assert found == []
