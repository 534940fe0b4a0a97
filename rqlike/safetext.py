"""Text that can do nothing to whoever reads it: the one place that makes it so.

What comes from a server, from a job or from its exception may hold escape sequences that repaint a terminal, marks that
turn the direction of writing round, and line ends that forge a log line. Here such characters become their escapes.
"""

from __future__ import annotations

import json


def printable(text: str, limit: int | None = None) -> str:
    """One line: every character that is not printable is escaped, cut to `limit` characters."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def ends(text: str, limit: int) -> str:
    """One line of at most `limit` characters, with the head and the tail of a longer one."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} … {text[-half:]}"
    return printable(text, limit + 3)


def lines(text: str) -> str:
    """Several lines, as they are but for what is not printable; tabs stay too."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else repr(c)[1:-1] for c in text)


def json_text(value: object, indent: int | None = None) -> str:
    """A JSON document without a character that is not printable: these have an escape in JSON too, which reads back."""
    text = json.dumps(value, default=str, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
