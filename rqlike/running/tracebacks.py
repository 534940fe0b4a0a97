"""An exception as text that can be stored: from the user's frames on, bounded, and never failing.

Bounded in work as well as in length. A message of a gigabyte, a recursion of a million frames or a group of a million
exceptions is what a job is most likely to end with when it takes its horse to the limit.
"""

from __future__ import annotations

import reprlib
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from rqlike.policies import lineage
from rqlike.settings import TRACEBACK_LIMIT

_FRAMES: Final = 40  #: at each end of a stack
_LINKS: Final = 8  #: of a chain of causes and contexts
_MEMBERS: Final = 40  #: of all exception groups together
_WIDE: Final = 500  #: items of a container in a message that are shown
_PACKAGE: Final = str(Path(__file__).parents[1]) + "/"
_ALARM: Final = str(Path(__file__).with_name("deadline.py"))
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_HEADING: Final = "Traceback (most recent call last):\n"


def type_name(error: BaseException) -> str:
    """The dotted path of its class: "builtins.ValueError"."""
    kind = type(error)
    return encodable(f"{kind.__module__}.{kind.__qualname__}")


def lineage_of(error: BaseException) -> tuple[str, ...]:
    """The dotted paths of its class and of that one's bases; () where they cannot be told."""
    try:
        return lineage(type(error))
    except Exception:  # noqa: BLE001  # a metaclass is code of the user
        return ()


def text_of(error: BaseException, limit: int = TRACEBACK_LIMIT) -> str:
    """Its traceback as Python prints it, without rqlike's frames before the user's, in at most `limit` characters."""
    try:
        text = "".join(_chain(error, limit, _Budget()))
    except Exception as broken:  # noqa: BLE001  # code of the user is involved, and the memory may be gone
        text = f"{type(error).__name__} (its traceback cannot be shown: {type(broken).__name__})"
    return clip(encodable(text).rstrip("\n"), limit)


def clip(text: str, limit: int) -> str:
    """At most `limit` characters: the head and the tail, and between them how many were left out."""
    if len(text) <= limit:
        return text
    # The marker is longest when everything is left out.
    room = max(0, limit - len(_marker(len(text))))
    head, tail = room - room // 2, room // 2
    left_out = len(text) - head - tail
    return (text[:head] + _marker(left_out) + (text[-tail:] if tail else ""))[:limit]


def _marker(count: int) -> str:
    return f"\n… {count} characters left out …\n"


def encodable(text: str) -> str:
    """Text that has a UTF-8 form: lone surrogates, as in undecodable file names, are escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


class _Budget:
    """How many members of exception groups may still be shown."""

    def __init__(self) -> None:
        self.members = _MEMBERS


def _chain(error: BaseException, limit: int, budget: _Budget) -> Iterator[str]:
    """The exception and what led to it, oldest first."""
    links, left_out = _links(error)
    if left_out:
        yield "… earlier exceptions left out …\n"
    for one, joint in reversed(links):
        yield from _one(one, limit, budget)
        yield joint


def _links(error: BaseException) -> tuple[list[tuple[BaseException, str]], bool]:
    """Newest first, each with the words that lead on to the next newer one."""
    links: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    joint = ""
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if len(links) == _LINKS:
            return links, True
        links.append((current, joint))
        seen.add(id(current))
        if current.__cause__ is not None:
            current, joint = current.__cause__, _CAUSE
        else:
            current, joint = (None if current.__suppress_context__ else current.__context__), _CONTEXT
    return links, False


def _one(error: BaseException, limit: int, budget: _Budget) -> Iterator[str]:
    frames = _frames(error)
    if frames:
        yield _HEADING
        yield from frames
    yield from _exception_only(error, limit)
    if isinstance(error, BaseExceptionGroup):
        yield from _members(error, limit, budget)


def _members(group: BaseExceptionGroup[BaseException], limit: int, budget: _Budget) -> Iterator[str]:
    members = group.exceptions
    for number, member in enumerate(members, 1):
        if not budget.members:
            yield f"  | … {len(members) - number + 1} of {len(members)} exceptions left out …\n"
            return
        budget.members -= 1
        yield f"  +---------------- {number} ----------------\n"
        # What is longer than its share cannot be in the text as a whole anyway.
        text = clip("".join(_chain(member, limit // 4, budget)), limit // 4)
        yield textwrap.indent(text, "  | ", lambda line: True)


# -- frames ------------------------------------------------------------------------------------------------------------


def _frames(error: BaseException) -> list[str]:
    nodes = []
    tb = error.__traceback__
    while tb is not None:
        nodes.append(tb)
        tb = tb.tb_next
    start = next((n for n, node in enumerate(nodes) if not _is_machinery(node)), len(nodes))
    nodes = nodes[start:]
    if nodes and nodes[-1].tb_frame.f_code.co_filename == _ALARM:
        nodes.pop()  # where the alarm was raised is of no interest, only where it hit
    if not nodes:
        return []
    if len(nodes) <= 2 * _FRAMES:
        return traceback.extract_tb(nodes[0], limit=len(nodes)).format()
    left_out = f"  … {len(nodes) - 2 * _FRAMES} frames left out …\n"
    head = traceback.extract_tb(nodes[0], limit=_FRAMES)
    tail = traceback.extract_tb(nodes[-_FRAMES], limit=_FRAMES)
    return [*head.format(), left_out, *tail.format()]


def _is_machinery(node: TracebackType) -> bool:
    """Whether this frame belongs to what leads from a horse to the user's function."""
    module = node.tb_frame.f_globals.get("__name__")
    first = module.partition(".")[0] if isinstance(module, str) else ""
    return first in ("asyncio", "importlib") or node.tb_frame.f_code.co_filename.startswith(_PACKAGE)


# -- messages ----------------------------------------------------------------------------------------------------------


def _exception_only(error: BaseException, limit: int) -> Iterator[str]:
    if isinstance(error, SyntaxError | NameError | AttributeError | ImportError) and error.__traceback__ is not None:
        # The place of a syntax error, and from Python 3.12 on what may have been meant.
        stdlib = traceback.TracebackException(type(error), error, error.__traceback__, limit=0, lookup_lines=False)
        yield from (clip(line, limit) for line in stdlib.format_exception_only())
        return
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    message = clip(_message(error), limit)
    yield f"{name}: {message}\n" if message else f"{name}\n"
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        for note in notes[:_LINKS]:
            yield clip(_shown(note), limit) + "\n"


def message_of(error: BaseException, limit: int = 500) -> str:
    """Its message in at most `limit` characters; never raises."""
    return encodable(clip(_message(error), limit))


def _message(error: BaseException) -> str:
    plain = type(error).__str__
    if plain in (BaseException.__str__, KeyError.__str__) and any(_is_huge(arg) for arg in error.args):
        return ", ".join(_shortened(arg) for arg in error.args[:_LINKS])
    return _shown(error)


def _shown(value: object) -> str:
    try:
        return str(value)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as broken:  # noqa: BLE001  # __str__ and __repr__ are code of the user
        return f"<its text cannot be shown: {type(broken).__name__}>"


def _is_huge(value: object) -> bool:
    return isinstance(value, list | tuple | dict | set | frozenset | bytes | bytearray) and len(value) > _WIDE


def _shortened(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        value = value[:_WIDE]
    try:
        return _SHORT.repr(value)
    except Exception as broken:  # noqa: BLE001  # __repr__ is code of the user
        return f"<its text cannot be shown: {type(broken).__name__}>"


_SHORT: Final = reprlib.Repr()
for _size in ("maxlist", "maxtuple", "maxdict", "maxset", "maxfrozenset", "maxdeque", "maxstring", "maxother"):
    setattr(_SHORT, _size, _WIDE)
