"""What should happen around the executions of a job: retry it, repeat it, call back."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar

from rqlike.callables import reference_of
from rqlike.durations import LONGEST, Seconds, parse_seconds
from rqlike.exceptions import DeserializationError, RetryLater
from rqlike.settings import LINEAGE_LIMIT, NAME_LIMIT

P = TypeVar("P")

Kinds = Sequence[type[BaseException] | str]
"""Exception classes, or the paths where they are defined."""

_MOST = 1_000_000_000


class Backoff(NamedTuple):
    """Pauses that grow: `base` seconds, `factor` times as long after each attempt, never more than `cap` seconds."""

    base: float
    factor: float
    cap: float

    def pause(self, attempt: int) -> float:
        """Seconds after execution number `attempt`, before jitter."""
        if attempt < 1:
            raise ValueError(f"counts from 1, not {attempt}")
        try:
            return min(self.cap, self.base * self.factor ** (attempt - 1))
        except OverflowError:
            return self.cap


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Retry:
    """Run a job again when an execution failed: at most `max` more times in one cycle.

    `interval`: the pause before each, or a sequence of pauses, the last of which repeats. With `enqueue_at_front`
    the job goes before the others of its queue. `jitter` spreads the pauses: a number from 0 to 1 is the share by which
    one may be longer or shorter, "full" takes any from 0 to the whole pause.

    `on`: only these exceptions are retried; None retries all. `give_up_on`: these are not, whatever `on` says. Classes,
    or their paths as text ("package.module.Class", where the class is defined); subclasses count. They are compared by
    path along the exception's bases. A time-out is a `rqlike.timeouts.JobTimeoutException`, a killed horse or a lost
    worker a `rqlike.exceptions.AbandonedJobError`.

    ValueError (TimeoutFormatError for a pause) or TypeError at construction.
    """

    max: int
    intervals: tuple[float, ...]
    """Seconds, before jitter. Of `custom` the fallback alone; of `exponential` none."""
    enqueue_at_front: bool
    jitter: float | Literal["full"]
    on: tuple[str, ...] | None
    """Paths of exception classes; None is all."""
    give_up_on: tuple[str, ...]
    backoff: Backoff | None
    """Of `exponential`."""
    delay_func: str
    """Of `custom`: the path of its function; otherwise empty."""

    def __init__(
        self,
        max: int,  # noqa: A002  # RQ's name
        interval: Seconds | Sequence[Seconds] = 0,
        enqueue_at_front: bool = False,
        *,
        jitter: float | Literal["full"] = 0,
        on: Kinds | None = None,
        give_up_on: Kinds = (),
    ) -> None:
        put = object.__setattr__  # one by one: a call of `_set` takes half as long as the rest
        put(self, "max", _count(max, "Retry(max)"))
        put(self, "intervals", _intervals(interval, "Retry(interval)"))
        put(self, "enqueue_at_front", _flag(enqueue_at_front, "Retry(enqueue_at_front)"))
        put(self, "jitter", _jitter(jitter) if jitter else 0.0)
        put(self, "backoff", None)
        put(self, "delay_func", "")
        put(self, "on", None if on is None else _paths(on, "Retry(on)"))
        put(self, "give_up_on", () if give_up_on == () else _paths(give_up_on, "Retry(give_up_on)"))

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def exponential(
        cls,
        max: int,  # noqa: A002  # as above
        base: Seconds = 1,
        factor: float = 2,
        cap: Seconds = 3600,
        *,
        jitter: float | Literal["full"] = "full",
        on: Kinds | None = None,
        give_up_on: Kinds = (),
        enqueue_at_front: bool = False,
    ) -> Self:
        """Pauses that grow: `base`, then `factor` times as long each time, never more than `cap`, jitter included.

        `jitter` "full": each pause is drawn evenly from 0 to what it would be, so that jobs that failed together do
        not come back together. The rest is as of `Retry`. ValueError (TimeoutFormatError for a duration), TypeError.
        """
        first = parse_seconds(base, "Retry.exponential(base)", zero=False)
        most = parse_seconds(cap, "Retry.exponential(cap)", zero=False)
        if most < first:
            raise ValueError(f"Retry.exponential(cap) is {most:g} s, less than the first pause of {first:g} s (base)")
        retry = cls(max, 0, enqueue_at_front, jitter=jitter, on=on, give_up_on=give_up_on)
        retry._set(intervals=(), backoff=Backoff(first, _factor(factor), most))
        return retry

    @classmethod
    def custom(
        cls,
        max: int,  # noqa: A002  # as above
        delay: Callable[..., Any] | str,
        *,
        fallback: Seconds = 60,
        on: Kinds | None = None,
        give_up_on: Kinds = (),
    ) -> Self:
        """Pauses by a function of yours: `delay(attempt, exc)` gives the seconds (or a timedelta, or text).

        It is called in the horse, just after the attempt and within 2 s; `attempt` is 1 for the first one, `exc` None
        where the job returned this Retry. `fallback` is the pause where it raises, gives no duration, or the horse has
        died; what went wrong stands before the traceback in the history, and in the log.
        Raises what `Retry` raises, and what `Callback` raises for a function that a worker cannot import.
        """
        reference = reference_of(delay)
        pause = parse_seconds(fallback, "Retry.custom(fallback)")
        retry = cls(max, pause, on=on, give_up_on=give_up_on)
        retry._set(delay_func=reference)
        return retry

    def __repr__(self) -> str:
        front = ", enqueue_at_front=True" if self.enqueue_at_front else ""
        kinds = f", on={list(self.on)}" if self.on is not None else ""
        kinds += f", give_up_on={list(self.give_up_on)}" if self.give_up_on else ""
        if self.delay_func:
            return f"Retry.custom(max={self.max}, delay={self.delay_func!r}, fallback={_shown(self.intervals)}{kinds})"
        if self.backoff is not None:
            base, factor, cap = map(_compact, self.backoff)
            pauses = f"base={base}, factor={factor}, cap={cap}, jitter={self.jitter!r}"
            return f"Retry.exponential(max={self.max}, {pauses}{kinds}{front})"
        jitter = f", jitter={self.jitter!r}" if self.jitter else ""
        return f"Retry(max={self.max}, interval={_shown(self.intervals)}{front}{jitter}{kinds})"

    def delay(self, attempt: int, draw: float | None = None) -> float:
        """Seconds to pause after execution number `attempt` (1 is the first one).

        `draw`, from 0 to 1, says where in the range of its jitter it lies; None leaves the jitter out."""
        pause = _nth(self.intervals, attempt) if self.backoff is None else self.backoff.pause(attempt)
        if draw is None or not self.jitter:
            return pause
        if self.jitter == "full":
            return pause * draw
        most = LONGEST if self.backoff is None else self.backoff.cap
        return min(most, max(0.0, pause * (1 + self.jitter * (2 * draw - 1))))

    def pauses(self, most: int = 100) -> list[float]:
        """The pauses in order, before jitter: the last one repeats, and of those that grow at most `most` are told."""
        if self.backoff is None:
            return list(self.intervals)
        return [self.backoff.pause(attempt) for attempt in range(1, min(self.max, most) + 1)]

    def covers(self, lineage: Sequence[str]) -> bool:
        """Whether an exception is to be retried, by the paths of its class and of that one's bases.

        RetryLater asks for it itself: that is not held against `on`, only against `give_up_on`."""
        if any(path in self.give_up_on for path in lineage):
            return False
        return self.on is None or _ASKED in lineage or any(path in self.on for path in lineage)

    def to_wire(self) -> list[object]:
        """`[max, intervals, at front]` as plain values, and a map of the rest where there is any."""
        wire: list[object] = [self.max, [_compact(interval) for interval in self.intervals], self.enqueue_at_front]
        rest: dict[str, object] = {}
        if self.jitter:
            rest["j"] = self.jitter
        if self.on is not None:
            rest["o"] = list(self.on)
        if self.give_up_on:
            rest["g"] = list(self.give_up_on)
        if self.backoff is not None:
            rest["b"] = [_compact(number) for number in self.backoff]
        if self.delay_func:
            rest["d"] = self.delay_func
        return [*wire, rest] if rest else wire

    @classmethod
    def from_wire(cls, obj: object) -> Self:
        """The reverse of `to_wire`. Raises DeserializationError."""
        if isinstance(obj, list | tuple) and len(obj) == 4 and isinstance(obj[3], dict):
            return _from_wire(cls._of_parts, obj, 4)
        return _from_wire(cls, obj, 3)

    @classmethod
    def _of_parts(cls, most: int, intervals: Sequence[Seconds], front: bool, rest: dict[str, Any]) -> Self:
        if unknown := sorted(str(name) for name in rest if name not in ("j", "o", "g", "b", "d")):
            raise ValueError(f"it has parts that this version does not know: {', '.join(unknown):.40}")
        on, give_up_on = rest.get("o"), rest.get("g", ())
        if "d" in rest:
            (fallback,) = intervals
            return cls.custom(most, rest["d"], fallback=fallback, on=on, give_up_on=give_up_on)
        jitter = rest.get("j", 0)
        if "b" not in rest:
            return cls(most, intervals, front, jitter=jitter, on=on, give_up_on=give_up_on)
        base, factor, cap = rest["b"]
        kinds: dict[str, Any] = {"on": on, "give_up_on": give_up_on}
        return cls.exponential(most, base, factor, cap, jitter=jitter, enqueue_at_front=front, **kinds)

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


def _jitter(value: object) -> float | Literal["full"]:
    if isinstance(value, str) and value == "full":
        return "full"
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f'Retry(jitter) must be a number from 0 to 1, or "full", not {value!r:.60}')
    if not 0 <= value <= 1:
        raise ValueError(f"Retry(jitter) is the share of a pause, from 0 to 1, not {value}")
    return float(value)


def _factor(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"Retry.exponential(factor) must be a number, not {value!r:.60}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"Retry.exponential(factor) must be from 1 to {_MOST}, not {value!r:.60}")
    return float(value)


# -- exceptions by path ------------------------------------------------------------------------------------------------


def lineage(kind: type[BaseException]) -> tuple[str, ...]:
    """The paths of an exception class and of its bases, nearest first; of very many the first and the last."""
    bases = kind.__mro__[:-1]
    if len(bases) > LINEAGE_LIMIT:
        bases = bases[: LINEAGE_LIMIT // 2] + bases[-LINEAGE_LIMIT // 2 :]
    return tuple(_path_of(base) for base in bases)


_ASKED: Final = f"{RetryLater.__module__}.{RetryLater.__qualname__}"


def _path_of(kind: type[BaseException]) -> str:
    path = f"{kind.__module__}.{kind.__qualname__}"
    # A name with lone surrogates has no form on a wire.
    return path[:NAME_LIMIT].encode(errors="backslashreplace").decode()


def _paths(kinds: object, name: str) -> tuple[str, ...]:
    if not isinstance(kinds, list | tuple):
        raise TypeError(f"{name} takes a list of exception classes or their paths, not {kinds!r:.60}")
    if not kinds or len(kinds) > LINEAGE_LIMIT:
        raise ValueError(f"{name} takes 1 to {LINEAGE_LIMIT} exceptions, not {len(kinds)}; leave it out for none")
    return tuple(dict.fromkeys(_path(kind, f"{name}[{index}]") for index, kind in enumerate(kinds)))


def _path(kind: object, name: str) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseException):
        path = _path_of(kind)
    elif isinstance(kind, str):
        path = kind.replace(":", ".") if "." in kind or ":" in kind else f"builtins.{kind}"
    else:
        raise TypeError(f"{name} must be an exception class or its path, not {kind!r:.60}")
    parts = path.split(".")
    if len(path) > NAME_LIMIT or not all(part.isidentifier() or part == "<locals>" for part in parts):
        raise ValueError(f'{name} is no path of a class: {path!r:.60}; write "package.module.Class"')
    if parts[0] == "__main__":
        raise ValueError(f"{name}: a worker has another __main__ than {path:.60}; define the class in a module")
    if parts[0] == "builtins" and not _is_builtin_exception(parts[-1]):
        raise ValueError(f'{name}: there is no builtin exception {parts[-1]!r:.60}; write "package.module.Class"')
    return path


def _is_builtin_exception(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


# -- on the wire -------------------------------------------------------------------------------------------------------


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
