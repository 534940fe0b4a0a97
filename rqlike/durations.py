"""Durations as people write them, and as the layers below count them."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from functools import lru_cache
from typing import Final

from rqlike.exceptions import TimeoutFormatError

Seconds = int | float | timedelta | str
"""90, 0.5, timedelta(minutes=2), "90", "1h30m", "250ms"."""

FOREVER: Final = -1.0
"""What -1 becomes where a duration may be without end."""

LONGEST: Final = 10_000_000_000.0
"""Seconds, some 317 years. More is a slip of the unit, and would not fit the server's expiry times."""

_UNITS: Final = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_TEXT = re.compile(r"\s*".join(rf"(?:(\d+(?:\.\d+)?)\s*{unit}(?![a-z]))?" for unit in _UNITS), re.ASCII)


def parse_seconds(value: Seconds, name: str, *, forever: bool = False, zero: bool = True) -> float:
    """Seconds as a float, from anything that `Seconds` allows.

    `name` is the option to blame. With `forever`, -1 (or "-1") is allowed and given back as -1.0; without `zero`,
    0 is refused. Raises TimeoutFormatError (a ValueError) for everything else: bools, NaN, infinity, negative or
    absurdly long durations, unknown units.
    """
    seconds = _plain_seconds(value)
    if seconds is None:
        raise TimeoutFormatError(f"{name}={_shown(value)} is not a duration: {_advice(forever, zero)}")
    if seconds == FOREVER and forever and not isinstance(value, timedelta):
        return FOREVER
    if seconds < 0:
        raise TimeoutFormatError(f"{name}={_shown(value)} is negative: {_advice(forever, zero)}")
    if seconds == 0 and not zero:
        raise TimeoutFormatError(f"{name}={_shown(value)} must be more than 0: {_advice(forever, zero)}")
    if seconds > LONGEST:
        raise TimeoutFormatError(f"{name}={_shown(value)} is over 300 years: {_advice(forever, zero)}")
    return seconds


@lru_cache(maxsize=256)  # a worker asks for each job it settles, and most ask for the same
def to_ms(seconds: float) -> int:
    """Whole milliseconds, rounded up, so that a duration above 0 never becomes 0; -1 (for ever) stays -1."""
    if seconds == FOREVER:
        return -1
    # The inner round takes off the noise of binary fractions, which a bare ceil would count as a millisecond:
    # up to a ten-thousandth of one in a duration of decades.
    return max(math.ceil(round(seconds * 1000, 3)), 1 if seconds > 0 else 0)


def format_seconds(seconds: float) -> str:
    """A short form for tables and messages, at most two units: "250ms", "1.5s", "1m 30s", "3d 4h"; -1: "for ever"."""
    if seconds < 0:
        return "for ever"
    if seconds == 0:
        return "0s"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms" if seconds >= 0.0005 else "<1ms"
    if seconds < 59.95:
        return f"{round(seconds, 1):g}s"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit in ("w", "d", "h", "m", "s"):
        count, left = divmod(left, round(_UNITS[unit]))
        parts.append((count, unit))
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)


def _plain_seconds(value: object) -> float | None:
    """The number of seconds, or None where there is none in it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _text_seconds(value.strip())
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text_seconds(text: str) -> float | None:
    if text == "-1":
        return FOREVER
    if _NUMBER.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else None
    match = _TEXT.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    total = math.fsum(float(count) * size for count, size in zip(match.groups("0"), _UNITS.values(), strict=True))
    return total if math.isfinite(total) else None


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a value's own repr, or an integer too long to print
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def _advice(forever: bool, zero: bool) -> str:
    least = "" if zero else " above 0"
    endless = "; -1 means no limit" if forever else ""
    return f'give seconds{least} such as 90 or 0.5, a timedelta, or text such as "1h30m" or "250ms"{endless}'
