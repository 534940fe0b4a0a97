"""RESP2 in both directions, incrementally: what a loop that never blocks needs and client libraries do not offer.

`pack` makes a command, `Replies` takes bytes as they come and gives complete replies. hiredis does the parsing where
it is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

try:
    from hiredis import Reader
except ImportError:  # the extra `fast` is not installed
    FAST = False
else:
    FAST = True

Reply = Any  #: bytes | int | None | list of replies | ServerError
INCOMPLETE: Final = object()

#: First words of errors of a server that is starting, failing over, busy or full on disk: it may take the same call a
#: moment later.
TRANSIENT: Final = frozenset(
    {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED"}
)

_BULK, _ARRAY, _NUMBER, _TEXT, _ERROR = b"$*:+-"
_KINDS: Final = frozenset((b"", b"$", b"*", b":", b"+", b"-"))  #: b"": nothing has come yet
_HEADS: Final = [b"$%d\r\n" % size for size in range(256)]
_NUMERAL: Final = re.compile(rb"[+-]?[0-9]{1,20}")


class ServerError(Exception):
    """An error reply. `word` is its first word (NOSCRIPT, OOM, READONLY, …), `text` the whole of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.word = text.partition(" ")[0]


class MalformedReply(Exception):
    """The server sent something that is not RESP2; the connection is of no more use."""


def pack(*parts: bytes | str | int | float) -> bytes:
    """One command as an array of bulk strings. A worker's turn has some hundred parts: joined by slices, they take a
    third of the time of one `%` each, and no longer than hiredis takes."""
    try:
        encoded = [part.encode() if type(part) is str else _bytes(part) for part in parts]
    except UnicodeEncodeError:  # an id that is no text, as it was read
        encoded = [part.encode(errors="surrogateescape") if isinstance(part, str) else _bytes(part) for part in parts]
    pieces = [b"\r\n"] * (3 * len(encoded))
    pieces[::3] = [_HEADS[len(part)] if len(part) < 256 else b"$%d\r\n" % len(part) for part in encoded]
    pieces[1::3] = encoded
    return b"*%d\r\n%b" % (len(encoded), b"".join(pieces))


def _bytes(part: bytes | str | int | float) -> bytes:
    if isinstance(part, str):  # a member of an enum of strings: what it is, not how it is shown
        return part.encode()
    return part if isinstance(part, bytes) else str(part).encode()


class Replies(Protocol):
    """A parser that is fed bytes and gives replies."""

    def feed(self, data: bytes, /) -> None:
        """Takes bytes as they came."""

    def take(self) -> Reply:
        """The next complete reply, or INCOMPLETE. Raises MalformedReply."""


class PlainReplies:
    """The parser in Python. A reply that is not complete is parsed again from its start with more bytes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._wanted = 0  #: bytes below which the reply cannot be complete

    def feed(self, data: bytes) -> None:
        """Takes bytes as they came."""
        self._buffer += data

    def take(self) -> Reply:
        """The next complete reply, or INCOMPLETE. Raises MalformedReply."""
        if not self._buffer or len(self._buffer) < self._wanted:
            return INCOMPLETE
        self._at = 0
        try:
            reply = self._parse()
        except _NotYet:
            return INCOMPLETE
        self._buffer, self._wanted = self._buffer[self._at :], 0
        return reply

    def _parse(self) -> Reply:
        buffer, at = self._buffer, self._at
        if buffer[at : at + 1] not in _KINDS:
            raise MalformedReply(f"{buffer[at : at + 1]!r} does not begin a reply")
        end = buffer.find(b"\r\n", at)
        if end < 0:
            raise _NotYet
        self._at = end + 2
        kind = buffer[at]
        if kind == _BULK:
            return self._bulk(_length(buffer[at + 1 : end]))
        if kind == _ARRAY:
            size = _length(buffer[at + 1 : end])
            return None if size < 0 else [self._parse() for _ in range(size)]
        if kind == _NUMBER:
            return _number(buffer[at + 1 : end])
        if kind == _TEXT:
            return buffer[at + 1 : end]
        return ServerError(buffer[at + 1 : end].decode(errors="replace"))

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        at = self._at
        self._at = at + size + 2
        if len(self._buffer) < self._at:
            # a large value is not parsed again with each piece of it
            self._wanted = self._at
            raise _NotYet
        return self._buffer[at : at + size]


class FastReplies:
    """The parser of hiredis."""

    def __init__(self) -> None:
        self._reader = Reader(protocolError=MalformedReply, replyError=ServerError, notEnoughData=INCOMPLETE)

    def feed(self, data: bytes) -> None:
        """Takes bytes as they came."""
        self._reader.feed(data)

    def take(self) -> Reply:
        """The next complete reply, or INCOMPLETE. Raises MalformedReply."""
        return self._reader.gets()


def replies() -> Replies:
    """The best parser there is."""
    return FastReplies() if FAST else PlainReplies()


def first_error(items: Iterable[Reply]) -> ServerError | None:
    """The first error among replies."""
    return next((item for item in items if isinstance(item, ServerError)), None)


class _NotYet(Exception):
    """The buffer ends before the reply does."""


def _number(line: bytes) -> int:
    if _NUMERAL.fullmatch(line) is None:  # int() takes more than RESP does
        raise MalformedReply(f"{line!r:.40} is not a number")
    return int(line)


def _length(line: bytes) -> int:
    size = _number(line)
    if size < -1:
        raise MalformedReply(f"{size} is not a length")
    return size
