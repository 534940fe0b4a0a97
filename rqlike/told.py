"""What a job tells while it runs, as values: how far it is, and the lines of its log. Pure: no clock, no server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import msgpack

from rqlike import clock, codec, fields
from rqlike.settings import LOG_LINE_LIMIT, NOTE_LIMIT

_SAID, _PROGRESS, _LINE, _CYCLE, _ATTEMPT = (
    fields.ENTRY[name].encode() for name in ("said", "progress", "line", "cycle", "attempt")
)
_CUT: Final = " … (cut)".encode()
_LARGEST: Final = 1e300


class Progress(NamedTuple):
    """How far a job said it was."""

    current: float  #: what is done; an int where it is a whole number
    total: float | None  #: of how much; None where nobody knows
    rate: float | None  #: done per second, of late; None before anything was
    desc: str  #: what is being done
    note: str  #: what was said last about it
    cycle: int
    attempt: int
    updated_at: datetime  #: when it changed last, to a tenth of a second; aware UTC
    id: str  #: of this state; later ones of the job are greater

    @property
    def percent(self) -> float | None:
        """From 0 to 100; None without a total."""
        if self.total is None:
            return None
        return 100.0 if self.total <= 0 else min(100.0, max(0.0, 100.0 * self.current / self.total))

    @property
    def eta(self) -> float | None:
        """Seconds that the rest takes at this rate; None where that cannot be said."""
        if self.total is None or not self.rate or self.rate < 0:
            return None
        return max(0.0, (self.total - self.current) / self.rate)


class LogLine(NamedTuple):
    """A line that a job has written with `job.log`."""

    text: str  #: cut where it was longer than 4,000 bytes
    cycle: int
    attempt: int
    at: datetime  #: when it was written; aware UTC
    id: str  #: of this line; later ones of the job are greater


class State(NamedTuple):
    """How far a job says it is, on its way to the server."""

    current: float
    total: float | None = None
    desc: str = ""
    note: str = ""

    @classmethod
    def from_wire(cls, wire: object) -> State | None:
        """The reverse of the tuple as a list; None for what is none."""
        match wire:
            case [float() | int() as current, float() | int() | None as total, str(desc), str(note)]:
                if is_amount(current) and (total is None or is_amount(total)):
                    return cls(current, total, desc[:NOTE_LIMIT], note[:NOTE_LIMIT])
        return None

    def stored(self, rate: float | None) -> bytes:
        """As it is written, with the speed."""
        data: bytes = msgpack.packb([self.current, self.total, self.desc, self.note, rate])
        return data


def is_amount(value: object) -> bool:
    """Whether it is a number that can be calculated with."""
    return type(value) in (int, float) and abs(cast(float, value)) < _LARGEST


def short(text: str) -> str:
    """A note or a description, cut, without what cannot be sent."""
    return text[:NOTE_LIMIT].encode(errors="backslashreplace").decode()[:NOTE_LIMIT]


def line_bytes(text: str) -> bytes:
    """A line as it is sent: at most LOG_LINE_LIMIT bytes, with a mark where it was cut."""
    data = text[: LOG_LINE_LIMIT + 1].encode(errors="backslashreplace")
    if len(data) <= LOG_LINE_LIMIT:
        return data
    kept = data[: LOG_LINE_LIMIT - len(_CUT)].decode(errors="ignore")  # not in the middle of a character
    return kept.encode() + _CUT


# -- as stored ---------------------------------------------------------------------------------------------------------


class _Where(NamedTuple):
    cycle: int
    attempt: int
    at: datetime
    id: str


def _where(entry: codec.Entry, got: dict[bytes, bytes]) -> _Where:
    entry_id = codec.text(entry[0])
    moment = codec.number(got.get(_SAID)) or codec.number(entry_id.partition("-")[0].encode()) or 0
    return _Where(codec.number(got.get(_CYCLE)) or 1, codec.number(got.get(_ATTEMPT)) or 1, clock.utc(moment), entry_id)


def _fields(entry: codec.Entry) -> dict[bytes, bytes]:
    return dict(zip(entry[1][::2], entry[1][1::2], strict=False))


def read_progress(entry: codec.Entry) -> Progress | None:
    """A state from its entry; None where something else has written it."""
    got = _fields(entry)
    try:
        *wire, rate = msgpack.unpackb(got.get(_PROGRESS, b""))
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None
    state = State.from_wire(wire)
    if state is None or not (rate is None or is_amount(rate)):
        return None
    total = None if state.total is None else _plain(state.total)
    return Progress(_plain(state.current), total, rate, state.desc, state.note, *_where(entry, got))


def read_line(entry: codec.Entry) -> LogLine | None:
    """A line from its entry; None where something else has written it."""
    got = _fields(entry)
    return LogLine(codec.text(got[_LINE]), *_where(entry, got)) if _LINE in got else None


def _plain(amount: float) -> float:
    return int(amount) if amount == int(amount) else amount


class Told(NamedTuple):
    """What is kept of what a job has told."""

    progress: Progress | None  #: of the newest attempt; None where it has not told any
    lines: list[LogLine]  #: oldest first


def read_told(reply: Any) -> Told:
    """The answer of `told`. What an attempt before the newest one has told of its progress says nothing of this one."""
    (cycle, attempt), states, entries = reply
    progress = read_progress(states[0]) if states else None
    now_at = codec.number(cycle or b"0"), codec.number(attempt or b"0")
    if progress is not None and (progress.cycle, progress.attempt) != now_at:
        progress = None
    lines: Sequence[LogLine | None] = [read_line(entry) for entry in reversed(entries)]
    return Told(progress, [line for line in lines if line is not None])
