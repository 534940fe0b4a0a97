"""How many jobs of one kind may run at once, and how many may start in a while."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from rqlike.durations import Seconds, format_seconds, parse_seconds, to_ms
from rqlike.settings import LIMIT_KEY, LIMIT_SPAN_MS

_MOST: Final = 1_000_000
_TEXT: Final = re.compile(r"(\d{1,12}) (\d{1,12}) (\d{1,12}) (\d{1,12}) (.+)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class RateLimit:
    """What the jobs that name one `key` share: at most `concurrency` of them run at once, and at most `limit` of them
    start in `per` seconds; at least one of the two is given.

    `key`: printable text of 1 to 200 bytes, such as `"stripe"` or `f"customer:{pk}"`, one for the whole namespace,
    whatever queue or function a job has. `per` is in seconds. `burst`: how many may start at once after a while in
    which none did; 1 spreads them evenly. A job that may not start yet waits in its queue, counted as queued, and lets
    all others pass. Each job goes by its own numbers, so the jobs of one key should name the same ones.
    TypeError or ValueError (TimeoutFormatError for `per`) at construction. Costs some commands in each claim and end
    of such a job, and no round trip.
    """

    key: str
    concurrency: int | None
    limit: int | None
    per: float
    """Seconds."""
    burst: int

    def __init__(
        self,
        key: str,
        concurrency: int | None = None,
        *,
        limit: int | None = None,
        per: Seconds = 1,
        burst: int = 1,
    ) -> None:
        if concurrency is None and limit is None:
            raise ValueError(
                "RateLimit takes concurrency=, how many may run at once, or limit=, how many may start in `per` seconds"
            )
        object.__setattr__(self, "key", _key(key))
        object.__setattr__(self, "concurrency", None if concurrency is None else _count(concurrency, "concurrency"))
        object.__setattr__(self, "limit", None if limit is None else _count(limit, "limit"))
        object.__setattr__(self, "per", parse_seconds(per, "RateLimit(per)", zero=False))
        object.__setattr__(self, "burst", _count(burst, "burst"))
        if self.limit is None:
            if to_ms(self.per) != to_ms(1.0) or self.burst != 1:
                raise ValueError("RateLimit(per, burst) say how limit= is meant; give limit= too, or leave them out")
        else:
            self._check_rate(self.limit)

    def _check_rate(self, limit: int) -> None:
        every_ms = to_ms(self.per) / limit
        if every_ms * 100 < 1:
            raise ValueError(f"RateLimit(limit={limit}, per={self.per:g}) is over 100,000/s, which no server reaches")
        if every_ms * self.burst > LIMIT_SPAN_MS:
            raise ValueError(
                f"RateLimit(limit={limit}, per={self.per:g}, burst={self.burst}) looks back "
                f"{format_seconds(every_ms * self.burst / 1000)}; the most is a year"
            )

    def __repr__(self) -> str:
        parts = [repr(self.key)]
        if self.concurrency is not None:
            parts.append(f"concurrency={self.concurrency}")
        if self.limit is not None:
            parts += [f"limit={self.limit}", f"per={self.per:g}", f"burst={self.burst}"]
        return f"RateLimit({', '.join(parts)})"

    def to_text(self) -> str:
        """As a job carries it and the scripts read it: concurrency, limit, per in ms, burst, key; 0 for none."""
        return f"{self.concurrency or 0} {self.limit or 0} {to_ms(self.per)} {self.burst} {self.key}"

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """The reverse of `to_text`; None where the text is none of ours."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        concurrency, limit, per_ms, burst = map(int, match.groups()[:4])
        try:
            return cls(match[5], concurrency or None, limit=limit or None, per=per_ms / 1000, burst=burst)
        except ValueError:
            return None


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"RateLimit(key) is a str, not {type(key).__name__}; write str(key)")
    if not key.isprintable():
        raise ValueError(f"RateLimit(key) {key!r} has characters that cannot be printed")
    size = len(key.encode(errors="replace"))
    if not 1 <= size <= LIMIT_KEY:
        raise ValueError(f"RateLimit(key) has {size} bytes; it takes 1 to {LIMIT_KEY}. For longer texts use a hash")
    return key


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"RateLimit({name}) must be a whole number, not {value!r}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"RateLimit({name}) must be from 1 to {_MOST}, not {value}")
    return int(value)
