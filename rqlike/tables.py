"""Plain text tables, as a shell shows them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from rqlike.safetext import printable as printable


def width(text: str) -> int:
    """Columns a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """An aligned table without a trailing newline; columns whose numbers are in `right` are flush right."""
    cells = [list(headings), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        padded = (
            " " * (size - width(cell)) + cell if column in right else cell + " " * (size - width(cell))
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    return "\n".join(line(row) for row in cells)
