"""What running executions have told and is not written yet. Pure: it is told the time, and asks no server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rqlike.records import Execution
from rqlike.settings import LOG_LINES, TELL_BYTES, TELL_LINES, TELL_S, TOUCH_LIMIT
from rqlike.store.requests import Request
from rqlike.store.turns import Telling, tell
from rqlike.told import State

_SMOOTH_S: Final = 5.0  #: seconds after which a change of speed has come through
_LEAST_S: Final = 0.02  #: seconds without which nothing can be said of a speed
_EARLY_S: Final = 0.02  #: by which a telling may be early, so that it goes with the look that has brought it
_LATER_S: Final = 1.0  #: seconds to the next one where the server has refused one


class Line(NamedTuple):
    """A line of a log."""

    said_s: float  #: monotonic
    text: bytes


@dataclass(slots=True)
class Pace:
    """How fast something goes: an average in which the last seconds count most."""

    at_s: float
    current: float
    rate: float | None = None

    def note(self, current: float, now: float) -> float | None:
        """It is so far now. What is done per second."""
        took, done = now - self.at_s, current - self.current
        if took < _LEAST_S or not done:
            return self.rate
        weight = 1.0 if self.rate is None else 1.0 - math.exp(-took / _SMOOTH_S)
        before = 0.0 if self.rate is None else self.rate
        self.rate = before + weight * (done / took - before)
        self.at_s, self.current = now, current
        return self.rate


@dataclass(slots=True)
class _Voice:
    """One execution: the newest it has said, and what of it is written."""

    execution: Execution
    state: State | None = None
    changed_s: float = 0.0
    written: State | None = None
    sending: State | None = None
    pace: Pace | None = None
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    sent: list[Line] = field(default_factory=list)
    number: int = 0  #: of its last telling
    over: bool = False  #: it has ended, and its outcome waits for what it has said

    @property
    def waits(self) -> bool:
        """Whether something of it is to be written."""
        return self.state != self.written or bool(self.lines)


@dataclass(slots=True)
class Tellings:
    """At most one call per tenth of a second for all of them, and only of what has changed; at once where one has
    ended, for its outcome ends its right to write."""

    _voices: dict[str, _Voice] = field(default_factory=dict)  #: by token
    _sent: list[_Voice] = field(default_factory=list)
    _not_before: float = -math.inf
    _refused: bool = False  #: the last call was

    def __bool__(self) -> bool:
        """Whether any execution that is not done with has said something."""
        return bool(self._voices)

    def hear(self, execution: Execution, state: State | None, lines: Iterable[Line], now: float) -> None:
        """What an execution says: a state where it told one, and lines for its log."""
        voice = self._voices.get(execution.token)
        if voice is None:
            voice = self._voices[execution.token] = _Voice(execution)
        voice.lines.extend(lines)
        if state is None or state == voice.state:
            return
        anew = voice.state is None or (state.total, state.desc) != (voice.state.total, voice.state.desc)
        if anew or voice.pace is None or state.current < voice.pace.current:
            voice.pace = Pace(now, state.current)
        else:
            voice.pace.note(state.current, now)
        voice.state, voice.changed_s = state, now

    def state_of(self, token: str) -> State | None:
        """The newest that an execution has told."""
        voice = self._voices.get(token)
        return None if voice is None else voice.state

    def close(self, token: str) -> None:
        """The execution says nothing more."""
        voice = self._voices.get(token)
        if voice is not None:
            voice.over = True

    def moment(self) -> float:
        """The monotonic moment of the next call; infinity where nothing is to be written."""
        waiting = [voice for voice in self._voices.values() if voice.waits]
        if not waiting:
            return math.inf
        return -math.inf if any(voice.over for voice in waiting) else self._not_before

    def is_due(self, now: float, held: Container[str]) -> bool:
        """Whether a call is to be made now. `held`: the tokens that may write; the others are forgotten."""
        for token in [token for token in self._voices if token not in held]:
            del self._voices[token]
        return now >= self.moment()

    def to_send(self, now: float, offset_ms: int) -> Request[Sequence[str]]:
        """The next call. `offset_ms`: the server's clock minus this host's monotonic one."""
        self._not_before = now + TELL_S - _EARLY_S
        return tell(list(self._take(offset_ms)))

    def _take(self, offset_ms: int) -> Iterator[Telling]:
        lines, size = TELL_LINES, TELL_BYTES
        first_those_that_ended = sorted(self._voices.values(), key=lambda voice: not voice.over)
        for voice in [voice for voice in first_those_that_ended if voice.waits][:TOUCH_LIMIT]:
            voice.sent.clear()
            while voice.lines and lines > 0 and size > 0:
                line = voice.lines.popleft()
                voice.sent.append(line)
                lines, size = lines - 1, size - len(line.text)
            voice.sending = voice.state
            voice.number += 1
            self._sent.append(voice)
            yield _telling(voice, offset_ms)

    def answered(self, words: Sequence[str]) -> None:
        """The server has answered the last call."""
        self._refused = False
        for voice, word in zip(self._sent, words, strict=True):
            voice.written = voice.sending
            voice.sent.clear()
            if word != "ok" or (voice.over and not voice.waits):
                self._voices.pop(voice.execution.token, None)
        self._sent.clear()

    def refused(self, now: float) -> bool:
        """The server has no room for the last call. It is tried again later, but an outcome does not wait for that.
        Whether it is the first one in a row."""
        self._not_before = now + _LATER_S
        for voice in self._sent:
            voice.number -= 1
            voice.lines = deque([*voice.sent, *voice.lines], maxlen=LOG_LINES)
            if voice.over:
                self._voices.pop(voice.execution.token, None)
        self._sent.clear()
        first, self._refused = not self._refused, True
        return first


def _telling(voice: _Voice, offset_ms: int) -> Telling:
    state = None if voice.state == voice.written else voice.state
    lines = tuple((_server_ms(line.said_s, offset_ms), line.text) for line in voice.sent)
    execution, at_ms = voice.execution, _server_ms(voice.changed_s, offset_ms)
    rate = voice.pace.rate if voice.pace is not None else None
    stored = b"" if state is None else state.stored(rate)
    return Telling(execution.job_id, execution.token, voice.number, at_ms, stored, lines)


def _server_ms(mono_s: float, offset_ms: int) -> int:
    return offset_ms + round(mono_s * 1000)
