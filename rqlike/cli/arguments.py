"""The arguments of a call as words of a command line, in RQ's notation.

`text`, `:json`, `%literal`; with a name `name=text`, `name:=json`, `name%=literal`; `@file` in the place of the value
reads it from a file.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

# A name is one that Python could call the function with: in `https://host/?a=1` nothing is named.
_NAMED = re.compile(r"([^\W\d]\w*)([:%]?)=(.*)", re.DOTALL)


def parse_arguments(words: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """(args, kwargs). Raises click.UsageError naming the word."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        named = _NAMED.fullmatch(word)
        if named is None:
            form = word[:1] if word[:1] in (":", "%") else ""
            args.append(_value(word, form, word[len(form) :]))
        elif named[1] in kwargs:
            raise click.UsageError(f"argument {word!r}: {named[1]} was given before")
        else:
            kwargs[named[1]] = _value(word, named[2], named[3])
    return args, kwargs


def _value(word: str, form: str, text: str) -> Any:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(
                f"argument {word!r}: {text[1:]!r} cannot be read as text ({error}); "
                f"for a text that begins with @ write %{text!r}"
            ) from error
    try:
        if form == ":":
            return json.loads(text)
        return ast.literal_eval(text) if form == "%" else text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        kind = "JSON" if form == ":" else "a Python literal"
        raise click.UsageError(f"argument {word!r} is not {kind}: {error}") from error
