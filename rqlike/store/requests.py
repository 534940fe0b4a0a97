"""A request to the store as a value: which script, with which arguments, and how its answer reads.

It is sent by whoever has a connection: by `Store` through the caller's client, or by a worker's own connections,
which never block. It may be sent again unchanged at any time; every script answers the second time as the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from rqlike.exceptions import RqlikeError

T = TypeVar("T")
Argument = bytes | str | int

#: The first digit of the fourth group of a UUID has its two highest bits set to 10.
_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One script call. `read` makes the answer of the reply; `refused` an error of `WORD detail`, where it can."""

    script: str
    arguments: tuple[Argument, ...]
    read: Callable[[Any], T]
    refused: Callable[[str, str], RqlikeError | None] = lambda word, detail: None
    now_ms: int | None = None  #: tests may say what time it is

    def argv(self) -> tuple[Argument, ...]:
        """ARGV: the moment, then the verb's own arguments."""
        return (b"" if self.now_ms is None else self.now_ms, *self.arguments)


def random_id() -> str:
    """A random UUID as text, in a third of the time that the module `uuid` takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def nonce() -> str:
    """A mark that makes one act of a caller recognisable when its call is sent again."""
    return os.urandom(6).hex()
