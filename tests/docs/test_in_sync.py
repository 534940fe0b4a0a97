"""The generated parts of the documentation are what the code would write today."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

from rqlike.states import TRANSITIONS
from tests.docs.pages import name_of
from tools import docs


def test_generated_parts_are_up_to_date() -> None:
    pages = [name_of(path) for path in docs.stale()]
    assert not pages, f"run `make docs`: {', '.join(pages)} differ from the code they describe"


def test_every_part_that_can_be_generated_is_in_a_page() -> None:
    used = [name for path in docs.DOCS.rglob("*.md") for name in docs.parts_in(path.read_text())]
    assert sorted(used) == sorted(docs.PARTS)


def test_a_change_in_the_code_makes_a_page_stale() -> None:
    page = "# Page\n\n<!-- generated: diagram -->\nold\n<!-- end of diagram -->\n\nBy hand.\n"
    new = docs.rewritten(page)
    assert new != page
    assert "stateDiagram-v2" in new
    assert new.endswith("By hand.\n")
    assert docs.rewritten(new) == new


def test_a_part_that_nobody_generates_is_refused() -> None:
    with pytest.raises(KeyError):
        docs.rewritten("<!-- generated: weather -->\n<!-- end of weather -->")


def test_a_member_without_a_comment_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("shapes")
    monkeypatch.setattr(inspect, "getsource", lambda _: "class Shape:\n    ROUND = 1\n")
    with pytest.raises(KeyError, match=r"Shape\.ROUND"):
        docs.notes_of(module, "Shape")


def test_the_prose_of_the_lifecycle_has_a_word_on_every_verb() -> None:
    text = (docs.DOCS / "explanation" / "lifecycle.md").read_text()
    silent = [row.verb for row in TRANSITIONS if f"**{row.verb}**" not in text]
    assert not silent, f"docs/explanation/lifecycle.md says nothing about {silent}"
