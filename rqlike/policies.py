"""What should happen around the executions of a job: retry it, repeat it, call back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

from rqlike.callables import reference_of
from rqlike.durations import Seconds, parse_seconds
from rqlike.exceptions import DeserializationError

P = TypeVar("P")

_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Retry:
    """Run a job again when an execution failed: at most `max` more times in one cycle.

    `interval`: the pause before each, or a sequence of pauses, the last of which repeats. With `enqueue_at_front`
    the job goes before the others of its queue. ValueError (TimeoutFormatError for a pause) at construction.
    """

    max: int
    intervals: tuple[float, ...]
    """Seconds."""
    enqueue_at_front: bool

    def __init__(
        self,
        max: int,  # noqa: A002  # RQ's name
        interval: Seconds | Sequence[Seconds] = 0,
        enqueue_at_front: bool = False,
    ) -> None:
        object.__setattr__(self, "max", _count(max, "Retry(max)"))
        object.__setattr__(self, "intervals", _intervals(interval, "Retry(interval)"))
        object.__setattr__(self, "enqueue_at_front", _flag(enqueue_at_front, "Retry(enqueue_at_front)"))

    def __repr__(self) -> str:
        front = ", enqueue_at_front=True" if self.enqueue_at_front else ""
        return f"Retry(max={self.max}, interval={_shown(self.intervals)}{front})"

    def delay(self, attempt: int) -> float:
        """Seconds to pause after execution number `attempt` (1 is the first one)."""
        return _nth(self.intervals, attempt)

    def to_wire(self) -> list[object]:
        """`[max, intervals, at front]` as plain values."""
        return [self.max, [_compact(interval) for interval in self.intervals], self.enqueue_at_front]

    @classmethod
    def from_wire(cls, obj: object) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        return _from_wire(cls, obj, 3)

    @classmethod
    def coerce(cls, value: Retry | int) -> Retry:
        """`retry=3` is `Retry(3)`. Raises what the constructor raises."""
        return value if isinstance(value, Retry) else cls(value)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Repeat:
    """Run a job again after it finished: `times` more times, each of them a cycle of its own.

    `interval`: the pause before each, or a sequence of pauses in order, the last of which repeats.
    ValueError (TimeoutFormatError for a pause) at construction.
    """

    times: int
    intervals: tuple[float, ...]
    """Seconds."""

    def __init__(self, times: int, interval: Seconds | Sequence[Seconds] = 0) -> None:
        object.__setattr__(self, "times", _count(times, "Repeat(times)"))
        object.__setattr__(self, "intervals", _intervals(interval, "Repeat(interval)"))

    def __repr__(self) -> str:
        return f"Repeat(times={self.times}, interval={_shown(self.intervals)})"

    def delay(self, nth: int) -> float:
        """Seconds to pause before repetition number `nth` (1 is the first one)."""
        return _nth(self.intervals, nth)

    def to_wire(self) -> list[object]:
        """`[times, intervals]` as plain values."""
        return [self.times, [_compact(interval) for interval in self.intervals]]

    @classmethod
    def from_wire(cls, obj: object) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        return _from_wire(cls, obj, 2)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Callback:
    """A function to call once the outcome of a job is recorded; `timeout` is its own time limit.

    `func` is a function that a worker can import, or its dotted name. Raises what `reference_of` raises, and
    TimeoutFormatError.
    """

    reference: str
    timeout: float
    """Seconds."""

    def __init__(self, func: Callable[..., Any] | str, timeout: Seconds = 60) -> None:
        object.__setattr__(self, "reference", reference_of(func))
        object.__setattr__(self, "timeout", parse_seconds(timeout, "Callback(timeout)", zero=False))

    def __repr__(self) -> str:
        return f"Callback({self.reference!r}, timeout={_compact(self.timeout)})"

    def to_wire(self) -> list[object]:
        """`[reference, timeout]` as plain values."""
        return [self.reference, _compact(self.timeout)]

    @classmethod
    def from_wire(cls, obj: object) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        return _from_wire(cls, obj, 2)

    @classmethod
    def coerce(cls, value: Callback | Callable[..., Any] | str) -> Callback:
        """`on_success=func` is `on_success=Callback(func)`."""
        return value if isinstance(value, Callback) else cls(value)


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"{name} must be from 1 to {_MOST}, not {value}; leave the option out for none")
    return int(value)


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def _intervals(value: object, name: str) -> tuple[float, ...]:
    if isinstance(value, int | float | timedelta | str):
        return (parse_seconds(value, name),)
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a duration or a list of them, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} is an empty list; give at least one pause, or leave it out for none")
    return tuple(parse_seconds(item, f"{name}[{index}]") for index, item in enumerate(value))


def _nth(intervals: tuple[float, ...], nth: int) -> float:
    if nth < 1:
        raise ValueError(f"counts from 1, not {nth}")
    return intervals[min(nth, len(intervals)) - 1]


def _compact(seconds: float) -> int | float:
    """A whole number as int: one byte on the wire instead of nine, and no `.0` for the reader."""
    return int(seconds) if seconds == int(seconds) else seconds


def _shown(intervals: tuple[float, ...]) -> str:
    plain = [_compact(interval) for interval in intervals]
    return repr(plain[0] if len(plain) == 1 else plain)


def _from_wire(cls: Callable[..., P], obj: object, fields: int) -> P:
    if not isinstance(obj, list | tuple) or len(obj) != fields:
        raise DeserializationError(problem=f"a policy of {fields} fields was expected, not {obj!r:.80}")
    try:
        return cls(*obj)
    except (TypeError, ValueError, RecursionError) as error:  # the last where an error shows a deep nest
        raise DeserializationError(problem=f"a policy does not hold: {error}") from error
