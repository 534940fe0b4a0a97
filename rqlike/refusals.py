"""Values that cannot be sent: where they sit, what is wrong with them, and what to pass instead.

Looked for only after a value was refused, so this may take its time; the good case never comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from rqlike.exceptions import SerializationError

DEPTH_LIMIT: Final = 64
"""Containers inside each other, the two of a call included. More is a cycle or an attack far oftener than a wish."""

CONTAINERS: Final = frozenset({list, dict, tuple, set, frozenset})

Judge = Callable[[object], str | None]
"""What is wrong with one value, its children apart; None where it is fine."""

_COPIES: Final = (
    (str, "str(x)"),
    (int, "int(x)"),
    (float, "float(x)"),
    (bytes, "bytes(x)"),
    (dict, "dict(x)"),
    (list, "list(x)"),
    (tuple, "tuple(x)"),
    (frozenset, "frozenset(x)"),
    (set, "set(x)"),
    (datetime, "datetime.fromisoformat(x.isoformat())"),
    (Decimal, "Decimal(x)"),
    (UUID, "UUID(int=x.int)"),
)
_BY_MARK: Final = (
    ("tolist", "x.tolist()"),  # arrays and their scalars
    ("model_dump", "x.model_dump()"),
    ("_asdict", "x._asdict()"),
    ("__fspath__", "str(x)"),
    ("read", "its path or its content"),
    ("__next__", "list(x)"),
)


def refusal(path: str, problem: str) -> SerializationError:
    """The error to raise; `path` as one would write it in Python, with `value` for the whole."""
    return SerializationError(path=path, problem=problem)


def find_refused(
    value: object, judge: Judge, path: str = "value", above: tuple[int, ...] = ()
) -> tuple[str, str] | None:
    """Path and problem of the first refused value, depth first; None where there is none.

    `path` names `value` itself; `above` are the ids of the containers around it.
    """
    problem = judge(value)
    if problem is not None:
        return path, problem
    if type(value) not in CONTAINERS:
        return None
    if id(value) in above:
        return path, "it contains itself; pass data without cycles"
    if len(above) >= DEPTH_LIMIT:
        return path, f"it is nested deeper than {DEPTH_LIMIT} containers; pass it flatter, or as a string of JSON"
    above = (*above, id(value))
    for inner, item in steps(path, value):
        found = find_refused(item, judge, inner, above)
        if found is not None:
            return found
    return None


def steps(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each child with its path; keys before values."""
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                yield f"a key of {path}", key
            yield f"{path}[{_key_text(key)}]", item
    elif type(value) in (set, frozenset):
        for item in value:
            yield f"an element of {path}", item
    else:
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item


def _key_text(key: object) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001  # code of the user, or an integer too long to print
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def text_problem(value: object) -> str | None:
    """What is wrong with a str, or None."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return "the text has lone surrogates and is no valid Unicode; pass os.fsencode(x), or clean it"
    return None


def remedy(value: object) -> str:
    """What to pass instead. Looks at the class only: attributes of the object may run code."""
    kind = type(value)
    if isinstance(value, Enum):
        return "pass x.value"
    if hasattr(kind, "_meta") and hasattr(kind, "pk"):
        return "pass x.pk, and fetch the object in the job"
    if is_dataclass(kind):
        return "pass dataclasses.asdict(x)"
    if isinstance(value, bytearray | memoryview):
        return "pass bytes(x)"
    if issubclass(kind, tuple) and hasattr(kind, "_asdict"):
        return "pass tuple(x) or x._asdict()"
    for base, copy in _COPIES:
        if issubclass(kind, base):
            return f"pass {copy}"
    if isinstance(value, BaseException):
        return "pass str(x)"
    for attribute, instead in _BY_MARK:
        if hasattr(kind, attribute):
            return f"pass {instead}"
    if hasattr(kind, "__iter__") and hasattr(kind, "__len__"):
        return "pass dict(x)" if hasattr(kind, "keys") else "pass list(x)"
    if callable(value):
        return 'pass its name as a string ("pkg.mod.func") and import it in the job'
    return "pass plain data, such as its id, str(x), or a dict of its fields"


def kind_of(kind: type) -> str:
    """The class with its article and module, to be read in a sentence."""
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
