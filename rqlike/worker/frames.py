"""What a worker and its horses say to each other over a socketpair.

A frame is two bytes of magic, one of kind, four of length (big endian), and a body: msgpack [execution id, payload].
A horse runs code of the user, which may write into any file descriptor, so whatever is not a frame ends the horse.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from socket import socket
from typing import Final, NamedTuple, cast

import msgpack

from rqlike.durations import LONGEST
from rqlike.exceptions import DeserializationError
from rqlike.outcomes import Outcome
from rqlike.records import Execution
from rqlike.settings import FRAME_LIMIT, LINEAGE_LIMIT, LOG_LINE_LIMIT
from rqlike.told import State

MAGIC: Final = b"\xf5q"
_HEADER: Final = struct.Struct(">2sBI")
_LATEST_S: Final = 1e11  #: seconds that no monotonic clock will ever show
_SEND_SIZE: Final = 1 << 18  #: bytes per send; more than a socketpair takes at once
# Tuples: `str | None` is made anew each time it is met.
_TEXT, _BYTES = (str, type(None)), (bytes, type(None))


class ProtocolError(Exception):
    """Something that is not a frame, or one that is too large, or a peer that reads nothing. Internal."""


class FrameKind(IntEnum):
    """What a frame is about. The payload stands beside each kind."""

    READY = 1  #: horse -> worker, once: None, or the text of what went wrong while it was set up
    JOBS = 2  #: worker -> horse: [generation, when it was sent (monotonic), [[token, job id, flat fields], …]]
    OUTCOME = 3  #: horse -> worker: [`Outcome.to_wire()`, why the horse is to be retired or None]
    AFTER = 4  #: worker -> horse: [which callback ("" for none), job id, flat fields, [entry id, flat entry] or None]
    AFTERWARDS = 5  #: horse -> worker: how the callback failed or None; [that, why] where the horse is to be retired
    QUIT = 6  #: worker -> horse: None; exit with 0
    TELLS = 7  #: horse -> worker: [`State` or None, [[when (monotonic), bytes of a line, whether it goes on], …]]


_KINDS: Final = {int(kind): kind for kind in FrameKind}


class Frame(NamedTuple):
    """One frame as it came."""

    kind: FrameKind
    execution_id: str
    payload: object


def pack(kind: FrameKind, execution_id: str = "", payload: object = None) -> bytes:
    """The bytes of a frame. Raises ProtocolError where they are over FRAME_LIMIT."""
    body: bytes = msgpack.packb([execution_id, payload])
    if len(body) > FRAME_LIMIT:
        raise ProtocolError(f"A {kind.name} frame of {len(body)} bytes is over the limit of {FRAME_LIMIT}.")
    return _HEADER.pack(MAGIC, kind, len(body)) + body


def pack_jobs(generation: int, sent_s: float, executions: Iterable[Execution]) -> bytes:
    """A JOBS frame; each job goes with its fields as `codec.decode_job` reads them."""
    jobs = [(one.token, one.job_id, one.raw) for one in executions]
    return pack(FrameKind.JOBS, "", (generation, sent_s, jobs))


def read_jobs(frame: Frame) -> tuple[int, float, Sequence[tuple[str, str, Sequence[bytes]]]]:
    """Generation, moment, and jobs of a JOBS frame. Raises ProtocolError."""
    match frame.payload:
        case [int(generation), float(sent_s), list(jobs)]:
            if all(isinstance(job, list) and len(job) == 3 for job in jobs):
                return generation, sent_s, cast(Sequence[tuple[str, str, Sequence[bytes]]], jobs)
    raise ProtocolError("A JOBS frame has another shape than it should.")


def pack_after(
    execution_id: str,
    which: str,
    job_id: str,
    flat: Sequence[bytes],
    entry: tuple[str | bytes, Sequence[str | bytes]] | None,
) -> bytes:
    """An AFTER frame; `which` is success, failure, stopped or "", `entry` the execution's entry in the history."""
    wire = None if entry is None else [entry[0], list(entry[1])]
    return pack(FrameKind.AFTER, execution_id, [which, job_id, list(flat), wire])


def read_outcome(frame: Frame) -> tuple[Outcome, str | None]:
    """The outcome of an OUTCOME frame, and why its horse is to be retired (None: it is not). Raises ProtocolError."""
    wire, retire = _pair(frame)
    try:
        outcome = Outcome.from_wire(wire)
    except DeserializationError as broken:
        raise ProtocolError(str(broken)) from broken
    if not _is_sound(outcome):
        raise ProtocolError("An OUTCOME frame has values of the wrong types.")
    return outcome, retire


def _is_sound(outcome: Outcome) -> bool:
    """Whether the values are of the types they are declared with: `from_wire` takes what it is given."""
    fields: tuple[object, ...] = outcome
    _, value, exc_string, exc_type, _, began_s, ended_s, lineage, delay_s = fields
    return (
        isinstance(value, _BYTES)
        and isinstance(exc_string, _TEXT)
        and isinstance(exc_type, _TEXT)
        and _is_moment(began_s)
        and _is_moment(ended_s)
        and (not lineage or _are_paths(lineage))
        and (delay_s is None or (type(delay_s) in (int, float) and 0 <= cast(float, delay_s) <= LONGEST))
    )


def _are_paths(lineage: object) -> bool:
    """Whether it is a tuple of text, and no more of it than a horse sends."""
    return isinstance(lineage, tuple) and len(lineage) <= LINEAGE_LIMIT and all(isinstance(it, str) for it in lineage)


def _is_moment(value: object) -> bool:
    """Whether it can be calculated with: neither NaN nor infinite nor of some thousand years."""
    return isinstance(value, int | float) and abs(value) < _LATEST_S


def read_afterwards(frame: Frame) -> tuple[str | None, str | None]:
    """How the callback failed, and why the horse is to be retired; None where neither. Raises ProtocolError."""
    error, retire = _pair(frame) if isinstance(frame.payload, list) else (frame.payload, None)
    if error is not None and not isinstance(error, str):
        raise ProtocolError("An AFTERWARDS frame has an error that is no text.")
    return error, retire


def read_telling(frame: Frame) -> tuple[State | None, list[tuple[float, bytes, bool]]]:
    """What a running job says of itself: how far it is, where it says so, and pieces of lines. A state that is none
    says nothing: the numbers are of the job's own making. Raises ProtocolError."""
    match frame.payload:
        case [wire, list(lines)]:
            if all(_is_piece(piece) for piece in lines):
                return State.from_wire(wire), [(piece[0], piece[1], piece[2]) for piece in lines]
    raise ProtocolError("A TELLS frame has another shape than it should.")


def _is_piece(piece: object) -> bool:
    match piece:
        case [float(said_s), bytes(text), bool()]:
            return _is_moment(said_s) and len(text) <= LOG_LINE_LIMIT
    return False


def _pair(frame: Frame) -> tuple[object, str | None]:
    payload = frame.payload
    if not isinstance(payload, list) or len(payload) != 2 or not isinstance(payload[1], _TEXT):
        raise ProtocolError(f"An {frame.kind.name} frame has another shape than it should.")
    return payload[0], payload[1]


class FrameReader:
    """Bytes in, frames out; keeps what is not complete yet."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now, in order. Raises ProtocolError where the next thing is none, so ask again
        until nothing comes: then the stream is lost, since nothing after it can be trusted."""
        buffer = self._buffer
        buffer += data
        frames, start = [], 0
        try:
            while len(buffer) - start >= _HEADER.size:
                magic, kind, length = _HEADER.unpack_from(buffer, start)
                if magic != MAGIC or kind not in _KINDS:
                    raise ProtocolError(f"Not a frame: {bytes(buffer[start : start + 16])!r}")
                if length > self._limit:
                    raise ProtocolError(f"A frame of {length} bytes is over the limit of {self._limit}.")
                end = start + _HEADER.size + length
                if len(buffer) < end:
                    break
                frames.append(_read(_KINDS[kind], buffer[start + _HEADER.size : end]))
                start = end
        except ProtocolError:
            if not frames:
                raise
        if start:
            del buffer[:start]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)


def _read(kind: FrameKind, body: bytearray) -> Frame:
    try:
        got = msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as broken:
        raise ProtocolError(f"The body of a {kind.name} frame is not msgpack: {broken}") from broken
    if not isinstance(got, list) or len(got) != 2 or not isinstance(got[0], str):
        raise ProtocolError(f"The body of a {kind.name} frame is not [execution id, payload].")
    return Frame(kind, got[0], cast(object, got[1]))


class FrameWriter:
    """The worker's side of one horse's socket: a bounded buffer, emptied without ever waiting."""

    __slots__ = ("_buffer", "_limit", "broken")

    def __init__(self, limit: int = 2 * FRAME_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self.broken = False  #: nobody reads any more; what is put is dropped, the horse's death is known otherwise

    def __bool__(self) -> bool:
        """Whether anything is left to send."""
        return bool(self._buffer)

    def put(self, data: bytes) -> None:
        """Keep the bytes for `flush`. Raises ProtocolError where the horse has left too much unread."""
        if len(self._buffer) + len(data) > self._limit:
            raise ProtocolError(f"A horse has left {len(self._buffer)} bytes unread.")
        if not self.broken:
            self._buffer += data

    def flush(self, sock: socket) -> bool:
        """Send what the (non-blocking) socket takes; True when nothing is left."""
        buffer = self._buffer
        while buffer:
            try:
                with memoryview(buffer) as view:
                    sent = sock.send(view[:_SEND_SIZE])
            except (BlockingIOError, InterruptedError):
                return False
            except (BrokenPipeError, ConnectionError):
                self.broken = True
                buffer.clear()
                return True
            del buffer[:sent]
        return True

    @property
    def pending(self) -> int:
        """Bytes not sent yet."""
        return len(self._buffer)


def send_blocking(sock: socket, data: bytes) -> None:
    """Send all of it; for the horse, with SIGALRM masked by the caller: half a frame would spoil all that follow."""
    sock.sendall(data)
