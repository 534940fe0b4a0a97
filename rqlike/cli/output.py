"""How the command line speaks: data on stdout, everything else on stderr, colours on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

import click

from rqlike import safetext, tables
from rqlike.jsonvalues import jsonable

_LONG: Final = 5_000  #: jobs; fewer are done before anybody has read a bar


def emit(text: str, *, lead: str = "") -> None:
    """A piece of data, on stdout; whatever is in it, it does nothing to a terminal. `lead` goes before it as it is."""
    _write(text, sys.stdout, lead)


def emit_json(value: object) -> None:
    """A document of data, on stdout."""
    emit(safetext.json_text(jsonable(value), indent=2))


def emit_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """An aligned table, on stdout."""
    head, *body = tables.table(headings, rows, right=right).split("\n")
    emit("".join(f"\n{line}" for line in body), lead=styled(head, sys.stdout, bold=True))


def note(text: str) -> None:
    """A line for whoever reads along, on stderr."""
    _write(text, sys.stderr)


def aside(text: str) -> None:
    """A line for whoever wants to know it all, on stderr."""
    _write("", sys.stderr, styled(safetext.printable(text), sys.stderr, dim=True))


def warn(text: str) -> None:
    """A warning, on stderr."""
    _write(f" {text}", sys.stderr, styled("warning:", sys.stderr, fg="yellow"))


def styled(text: str, stream: TextIO, **style: Any) -> str:
    """`text` in a colour or weight where `stream` shows them: a terminal, and no NO_COLOR."""
    return click.style(text, **style) if is_terminal(stream) and not os.environ.get("NO_COLOR") else text


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads `stream`."""
    return stream.isatty()


def _write(text: str, stream: TextIO, lead: str = "") -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = lead + safetext.lines(text)
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def confirm(question: str, yes: bool) -> None:
    """Asks before something is lost. Raises click.Abort for no, click.UsageError where nobody can be asked."""
    if yes:
        return
    question = safetext.printable(question)
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{question} Nobody can be asked here: add --yes")
    click.confirm(question, abort=True, err=True)


def progress(steps: Iterable[int], total: int) -> int:
    """The sum of `steps`. Where they are many and stderr is a terminal, a bar tells how far it is."""
    if total < _LONG or not is_terminal(sys.stderr):
        return sum(steps)
    done = 0
    with click.progressbar(length=total, file=sys.stderr) as bar:
        for step in steps:
            bar.update(step)
            done += step
    return done


def lines(text: str) -> str:
    """Text of several lines, such as a traceback, without what `emit` would have to escape where that is harmless."""
    return "\n".join(line.expandtabs(4) for line in safetext.lines(text).split("\n")).rstrip()


def shown(value: object) -> str:
    """A value as Python would show it; of one whose text takes too long to make, or fails, what it is."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  # a value's own repr, or an integer that is too long to print
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def when(moment: datetime | None) -> str:
    """A moment for a table, in UTC; '' for None."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")
