"""RESP2 in both directions, incrementally: what a loop that never blocks needs and client libraries do not offer.

`pack` makes a command, `Replies` takes bytes as they come and gives complete replies. hiredis does the parsing where
it is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

try:
    from hiredis import Reader as _HiredisReader
except ImportError:  # the extra `fast` is not installed
    _HiredisReader = None

Reply = Any  #: bytes | int | None | list of replies | ServerError
INCOMPLETE: Final = object()


class ServerError(Exception):
    """An error reply. `word` is its first word (NOSCRIPT, OOM, READONLY, …), `text` the whole of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.word = text.partition(" ")[0]


class MalformedReply(Exception):
    """The server sent something that is not RESP2; the connection is of no more use."""


def pack(*parts: bytes | str | int | float) -> bytes:
    """One command as an array of bulk strings."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        out += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(out)


class Replies(Protocol):
    """A parser that is fed bytes and gives replies."""

    def feed(self, data: bytes, /) -> None:
        """Takes bytes as they came."""

    def take(self) -> Reply:
        """The next complete reply, or INCOMPLETE. Raises MalformedReply."""


class PlainReplies:
    """The parser in Python. A reply that is not complete is parsed again from its start with more bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes bytes as they came."""
        self._buffer += data

    def take(self) -> Reply:
        """The next complete reply, or INCOMPLETE. Raises MalformedReply."""
        try:
            reply, end = self._parse(0)
        except _NotYet:
            return INCOMPLETE
        del self._buffer[:end]
        return reply

    def _parse(self, at: int) -> tuple[Reply, int]:
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            raise _NotYet
        kind, line, after = self._buffer[at : at + 1], bytes(self._buffer[at + 1 : end]), end + 2
        match kind:
            case b"$":
                return self._bulk(_length(line), after)
            case b":":
                return _length(line), after
            case b"*":
                return self._array(_length(line), after)
            case b"+":
                return line, after
            case b"-":
                return ServerError(line.decode(errors="replace")), after
        raise MalformedReply(f"{bytes(kind)!r} does not begin a reply")

    def _bulk(self, size: int, at: int) -> tuple[Reply, int]:
        if size < 0:
            return None, at
        if len(self._buffer) < at + size + 2:
            raise _NotYet
        return bytes(self._buffer[at : at + size]), at + size + 2

    def _array(self, size: int, at: int) -> tuple[Reply, int]:
        if size < 0:
            return None, at
        items = []
        for _ in range(size):
            item, at = self._parse(at)
            items.append(item)
        return items, at


class FastReplies:
    """The parser of hiredis."""

    def __init__(self) -> None:
        self._reader = _HiredisReader(protocolError=MalformedReply, replyError=ServerError, notEnoughData=INCOMPLETE)

    def feed(self, data: bytes) -> None:
        """Takes bytes as they came."""
        self._reader.feed(data)

    def take(self) -> Reply:
        """The next complete reply, or INCOMPLETE. Raises MalformedReply."""
        return self._reader.gets()


def replies() -> Replies:
    """The best parser there is."""
    return PlainReplies() if _HiredisReader is None else FastReplies()


def first_error(items: Iterable[Reply]) -> ServerError | None:
    """The first error among replies."""
    return next((item for item in items if isinstance(item, ServerError)), None)


class _NotYet(Exception):
    """The buffer ends before the reply does."""


def _length(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise MalformedReply(f"{line!r:.40} is not a number") from None
