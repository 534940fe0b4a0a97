"""The parser of replies: complete whatever the pieces, and the same as hiredis."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike.store.resp import (
    INCOMPLETE,
    FastReplies,
    MalformedReply,
    PlainReplies,
    Replies,
    ServerError,
    first_error,
    pack,
    replies,
)

PARSERS = [PlainReplies, FastReplies]
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(max_size=40),
        st.text("abc xyz", max_size=9).map(lambda text: ServerError(f"ERR {text}")),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def encoded(value: Any) -> bytes:
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, ServerError):
        return b"-%b\r\n" % value.text.encode()
    return b"*%d\r\n" % len(value) + b"".join(encoded(item) for item in value)


def plain(value: Any) -> Any:
    """Errors compare by identity; their texts do not."""
    if isinstance(value, ServerError):
        return ("error", value.text, value.word)
    return [plain(item) for item in value] if isinstance(value, list) else value


def drained(parser: Replies) -> list[Any]:
    out = []
    while (reply := parser.take()) is not INCOMPLETE:
        out.append(plain(reply))
    return out


@pytest.mark.parametrize("parser", PARSERS)
@given(values=st.lists(VALUES, max_size=4), data=st.data())
def test_replies_come_complete_whatever_the_pieces(
    parser: type[Replies], values: list[Any], data: st.DataObject
) -> None:
    sent = b"".join(encoded(value) for value in values)
    reader, got, at = parser(), [], 0
    while at < len(sent):
        size = data.draw(st.integers(1, len(sent)))
        reader.feed(sent[at : at + size])
        got += drained(reader)
        at += size
    assert got == [plain(value) for value in values]
    assert reader.take() is INCOMPLETE


@given(value=VALUES)
def test_a_reply_fed_byte_by_byte_is_there_with_its_last_byte_only(value: Any) -> None:
    ours, theirs = PlainReplies(), FastReplies()
    for byte in encoded(value)[:-1]:
        for reader in (ours, theirs):
            reader.feed(bytes([byte]))
            assert reader.take() is INCOMPLETE
    for reader in (ours, theirs):
        reader.feed(b"\n")
        assert plain(reader.take()) == plain(value)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (b"+OK\r\n", b"OK"),
        (b"+\r\n", b""),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*0\r\n", []),
        (b":-7\r\n", -7),
        (b"*2\r\n*1\r\n$-1\r\n*2\r\n:1\r\n+a\r\n", [[None], [1, b"a"]]),
        (b"$4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
        (b"-OOM command not allowed\r\n", ("error", "OOM command not allowed", "OOM")),
        (b"*2\r\n-NOJOB\r\n:1\r\n", [("error", "NOJOB", "NOJOB"), 1]),
    ],
)
def test_each_kind_of_reply_is_read(parser: type[Replies], sent: bytes, meant: Any) -> None:
    reader = parser()
    reader.feed(sent)
    assert plain(reader.take()) == meant


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("sent", [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b":\r\n", b"*1.5\r\n", b"\x00\x01\r\n"])
def test_garbage_is_malformed(parser: type[Replies], sent: bytes) -> None:
    reader = parser()
    reader.feed(sent)
    with pytest.raises(MalformedReply):
        reader.take()


REFUSED = [b"\x16\x03\x01\x02", b"$-2\r\n", b"*-2\r\n", b":1_0\r\n", b"$ 1\r\nx\r\n", b":+\r\n", b":-\r\n"]


@pytest.mark.parametrize("sent", REFUSED)
def test_garbage_in_numbers_and_first_bytes_is_malformed_for_hiredis(sent: bytes) -> None:
    reader = FastReplies()
    reader.feed(sent)
    with pytest.raises(MalformedReply):
        reader.take()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02",
        b"$-2\r\n",
        b"*-2\r\n",
        b":1_0\r\n",
        b"$ 1\r\nx\r\n",
        b":+\r\n",
        b":-\r\n",
    ],
)
def test_garbage_in_numbers_and_first_bytes_is_malformed_without_hiredis(sent: bytes) -> None:
    reader = PlainReplies()
    reader.feed(sent)
    with pytest.raises(MalformedReply):
        reader.take()


@pytest.mark.parametrize("parser", PARSERS)
def test_what_is_not_text_in_an_error_does_not_break_it(parser: type[Replies]) -> None:
    reader = parser()
    reader.feed(b"-ERR \xff\xfe\r\n")
    reply = reader.take()
    assert isinstance(reply, ServerError)
    assert reply.word == "ERR"


@given(parts=st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=9), st.integers()), min_size=1, max_size=6))
def test_a_packed_command_reads_back_as_its_parts(parts: list[bytes | str | int]) -> None:
    reader = replies()
    reader.feed(pack(*parts))
    assert reader.take() == [part if isinstance(part, bytes) else str(part).encode() for part in parts]


def test_the_first_error_of_many_replies_is_found() -> None:
    first, second = ServerError("OOM full"), ServerError("ERR other")
    assert first_error([1, first, second]) is first
    assert first_error([1, None]) is None
