"""Tables: aligned whatever is in them, and harmless to a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rqlike.tables import printable, table, width


def test_columns_are_aligned_and_nothing_trails() -> None:
    shown = table(["id", "n"], [["a", 1], ["bbbb", 100]], right=[1])
    assert shown.splitlines() == ["id      n", "a       1", "bbbb  100"]


def test_wide_and_combining_characters_keep_the_columns() -> None:
    assert (width("abc"), width("日本"), width("e\u0301")) == (3, 4, 1)
    lines = table(["a", "b"], [["日本", "x"], ["e\u0301", "y"]]).splitlines()
    assert [width(line) for line in lines] == [7, 7, 7]


def test_control_characters_are_shown_and_not_sent() -> None:
    assert printable("a\x1b[31mb\n\t\u202e") == "a\\x1b[31mb\\n\\t\\u202e"
    assert "\x1b" not in table(["a"], [["\x1b[2J"]])


def test_a_text_is_cut_to_its_limit_with_a_sign() -> None:
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"


@given(text=st.text(max_size=60))
def test_what_is_printed_is_printable_and_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert len(table(["h"], [[text]]).splitlines()) <= 2


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(["a", "bb"], []) == "a  bb"
