"""How the command line speaks: data on stdout, everything else on stderr, colours on a terminal only."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import Any, TextIO

import click

from rqlike import tables


def emit(text: str) -> None:
    """A piece of data, on stdout."""
    _write(text, sys.stdout)


def emit_json(value: object) -> None:
    """A document of data, on stdout."""
    emit(json.dumps(jsonable(value), indent=2, ensure_ascii=False))


def emit_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """An aligned table, on stdout."""
    head, *body = tables.table(headings, rows, right=right).split("\n")
    emit("\n".join([styled(head, sys.stdout, bold=True), *body]))


def note(text: str) -> None:
    """A line for whoever reads along, on stderr."""
    _write(text, sys.stderr)


def warn(text: str) -> None:
    """A warning, on stderr."""
    note(f"{styled('warning:', sys.stderr, fg='yellow')} {text}")


def styled(text: str, stream: TextIO, **style: Any) -> str:
    """`text` in a colour or weight where `stream` shows them: a terminal, and no NO_COLOR."""
    return click.style(text, **style) if is_terminal(stream) and not os.environ.get("NO_COLOR") else text


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads `stream`."""
    return stream.isatty()


def _write(text: str, stream: TextIO) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def confirm(question: str, yes: bool) -> None:
    """Asks before something is lost. Raises click.Abort for no, click.UsageError where nobody can be asked."""
    if yes:
        return
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{question} Nobody can be asked here: add --yes")
    click.confirm(question, abort=True, err=True)


def lines(text: str) -> str:
    """Text of several lines without anything that could steer a terminal."""
    return "\n".join(tables.printable(line.expandtabs(4)) for line in text.split("\n")).rstrip()


def when(moment: datetime | None) -> str:
    """A moment for a table, in UTC; '' for None."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def jsonable(value: Any) -> Any:
    """`value` as JSON can hold it: times as ISO 8601, sets and tuples as arrays, what has no form there as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
