"""Frames: what goes in comes out, and whatever is not a frame is noticed at once."""

from __future__ import annotations

import socket
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike.outcomes import Outcome
from rqlike.policies import Retry
from rqlike.records import Execution, JobRecord
from rqlike.settings import FRAME_LIMIT
from rqlike.states import JobStatus, Reason
from rqlike.worker.frames import (
    MAGIC,
    Frame,
    FrameKind,
    FrameReader,
    FrameWriter,
    ProtocolError,
    pack,
    pack_after,
    pack_jobs,
    read_afterwards,
    read_jobs,
    read_outcome,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


#: Lists in lists, as deep as they can be sent; to show them takes more frames than Python has.
DEEP: object = msgpack.unpackb(b"\x91" * 1000 + b"\x01")


def the_only(data: bytes) -> Frame:
    [frame] = FrameReader().feed(data)
    return frame


@given(st.sampled_from(FrameKind), st.text(), PLAIN)
def test_a_frame_comes_out_as_it_went_in(kind: FrameKind, execution_id: str, payload: object) -> None:
    assert the_only(pack(kind, execution_id, payload)) == Frame(kind, execution_id, payload)


@given(st.lists(st.binary(max_size=50), max_size=5), st.data())
def test_frames_come_out_whole_however_the_bytes_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pack(FrameKind.JOBS, str(number), body) for number, body in enumerate(bodies))
    reader, got, start = FrameReader(), [], 0
    while start < len(stream):
        size = data.draw(st.integers(1, len(stream) - start))
        got += reader.feed(stream[start : start + size])
        start += size
    assert [(frame.execution_id, frame.payload) for frame in got] == [(str(n), body) for n, body in enumerate(bodies)]
    assert reader.pending == 0


def test_half_a_frame_waits_for_the_other_half() -> None:
    reader, data = FrameReader(), pack(FrameKind.QUIT)
    assert reader.feed(data[:-1]) == []
    assert reader.pending == len(data) - 1
    assert len(reader.feed(data[-1:])) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"Traceback (most recent call last):\n",
        b"\x00" * 7,
        MAGIC + b"\x63" + b"\x00\x00\x00\x00",
        MAGIC + b"\x02" + (FRAME_LIMIT + 1).to_bytes(4, "big"),
        MAGIC + b"\x02" + b"\x00\x00\x00\x01" + b"\xc1",
        MAGIC + b"\x02" + b"\x00\x00\x00\x00",
        MAGIC + b"\x02" + b"\x00\x00\x00\x03" + msgpack.packb([1, 2]),
        MAGIC + b"\x02" + b"\x00\x00\x00\x02" + msgpack.packb(["x"])[:2],
    ],
    ids=["text", "zeros", "kind", "length", "body", "empty body", "no execution id", "short"],
)
def test_what_is_not_a_frame_is_refused(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(garbage)


@given(st.binary(min_size=7))
def test_bytes_of_somebody_else_never_pass_silently(data: bytes) -> None:
    reader = FrameReader()
    try:
        assert reader.feed(data) == [] or data[:2] == MAGIC
    except ProtocolError:
        return
    assert data[:2] == MAGIC


def test_a_payload_over_the_limit_is_refused_where_it_is_packed() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        pack(FrameKind.OUTCOME, "e", b"x" * (FRAME_LIMIT + 1))


# -- payloads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(None, b"\xc0", began_s=1.5, ended_s=2.5),
        Outcome(Reason.EXCEPTION, None, "Traceback…", "builtins.ValueError"),
        Outcome(Reason.RETRY_RETURNED, retry=Retry(3, [1, 2], enqueue_at_front=True)),
        Outcome(Reason.RETRY_RETURNED, retry=Retry.exponential(3, on=[OSError])),
        Outcome(Reason.EXCEPTION, exc_type="a.B", lineage=("a.B", "builtins.Exception"), delay_s=2.5),
    ],
    ids=["value", "exception", "retry", "exponential", "lineage and pause"],
)
def test_an_outcome_travels_with_the_reason_to_retire(outcome: Outcome) -> None:
    frame = the_only(pack(FrameKind.OUTCOME, "e", [outcome.to_wire(), "thread"]))
    assert read_outcome(frame) == (outcome, "thread")


#: Paths of bases and a pause, as a horse may send them that a job has taken over.
NO_LINEAGE: list[list[Any]] = [
    [["a.B"]],
    [[b"a.B"], None],
    [["a.B"] * 65, None],
    [DEEP, None],
    [7, None],
    [[], -1],
    [[], "soon"],
    [[], True],
    [[], 1e12],
    [[], float("nan")],
    [[], DEEP],
    [[], None, None],
]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        [Outcome().to_wire()],
        [Outcome().to_wire(), 7],
        [["exception"], None],
        [["no such reason", None, None, None, None, 0.0, 0.0], None],
        [[None, "text", None, None, None, 0.0, 0.0], None],
        [["exception", None, b"bytes", None, None, 0.0, 0.0], None],
        [[None, b"", None, None, None, "soon", 0.0], None],
        [[None, b"", None, None, None, float("nan"), 0.0], None],
        [[None, b"", None, None, None, 0.0, float("inf")], None],
        [[None, b"", None, None, None, 0.0, 2**63], None],
        [[DEEP, b"", None, None, None, 0.0, 0.0], None],
        [["retry_returned", None, None, None, DEEP, 0.0, 0.0], None],
        [["retry_returned", None, None, None, [1, [float("nan")], False], 0.0, 0.0], None],
        *([["exception", None, None, None, None, 0.0, 0.0, *more], None] for more in NO_LINEAGE),
        [["retry_returned", None, None, None, [1, [], False, {"b": [1, 2, float("inf")]}], 0.0, 0.0], None],
        [DEEP, None],
        [[None] * 7, DEEP],
    ],
)
def test_an_outcome_of_another_shape_is_refused(payload: object) -> None:
    with pytest.raises(ProtocolError):
        read_outcome(Frame(FrameKind.OUTCOME, "e", payload))


@given(st.binary(max_size=200) | PLAIN.map(msgpack.packb))
def test_any_body_of_an_outcome_is_read_or_refused(body: bytes) -> None:
    whole = MAGIC + bytes([FrameKind.OUTCOME]) + len(body).to_bytes(4, "big") + body
    try:
        outcome, _ = read_outcome(the_only(whole))
    except ProtocolError:
        return
    assert abs(outcome.ended_s) < 1e12


def test_afterwards_tells_the_error_and_the_reason_to_retire() -> None:
    assert read_afterwards(Frame(FrameKind.AFTERWARDS, "e", None)) == (None, None)
    assert read_afterwards(Frame(FrameKind.AFTERWARDS, "e", "it raised")) == ("it raised", None)
    assert read_afterwards(Frame(FrameKind.AFTERWARDS, "e", [None, "timeout"])) == (None, "timeout")
    with pytest.raises(ProtocolError):
        read_afterwards(Frame(FrameKind.AFTERWARDS, "e", 7))


def test_jobs_and_errands_have_the_shape_that_horses_read() -> None:
    record = JobRecord("j", "q", JobStatus.STARTED, None, created_ms=1)
    frame = the_only(pack_jobs(255, 1.5, [Execution(record, "t", "t", raw=[b"s", b"started"])]))
    generation, sent_s, (job,) = read_jobs(frame)
    assert (generation, sent_s, list(job)) == (255, 1.5, ["t", "j", [b"s", b"started"]])
    frame = the_only(pack_after("e", "success", "j", [b"s"], (b"1-0", [b"t", b"1"])))
    assert frame.payload == ["success", "j", [b"s"], [b"1-0", [b"t", b"1"]]]
    assert the_only(pack_after("e", "", "j", [], None)).payload == ["", "j", [], None]


@pytest.mark.parametrize("payload", [None, [], [1, 2.0], [1, 2.0, [["t", "j"]]], ["1", 2.0, []], [1, 2, []]])
def test_jobs_of_another_shape_are_refused(payload: object) -> None:
    with pytest.raises(ProtocolError):
        read_jobs(Frame(FrameKind.JOBS, "", payload))


# -- the worker's writer -----------------------------------------------------------------------------------------------


def test_a_writer_never_waits_and_loses_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        writer, data = FrameWriter(), pack(FrameKind.JOBS, "e", b"x" * 3_000_000)
        writer.put(data)
        assert not writer.flush(ours), "nobody reads, and a socketpair does not take 3 MB"
        assert 0 < writer.pending < len(data)
        got = bytearray()
        while not writer.flush(ours):
            got += theirs.recv(1 << 20)
        while len(got) < len(data):
            got += theirs.recv(1 << 20)
        assert bytes(got) == data
        assert not writer


def test_a_writer_is_bounded() -> None:
    writer = FrameWriter(limit=100)
    writer.put(b"x" * 100)
    with pytest.raises(ProtocolError, match="unread"):
        writer.put(b"x")


def test_a_writer_to_a_dead_horse_gives_up_without_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        theirs.close()
        writer = FrameWriter()
        writer.put(pack(FrameKind.QUIT))
        assert writer.flush(ours)
        assert writer.broken
        writer.put(pack(FrameKind.QUIT))
        assert writer.pending == 0
