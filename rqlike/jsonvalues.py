"""Values as JSON can hold them: the one place that says what becomes of those that JSON has no form for.

What stands for such a value is text that the common libraries of other languages read back, as far as there is any:

- datetime, date, time: ISO 8601, with the offset where it is aware
- timedelta: an ISO 8601 duration, `P1DT02H30M00S`
- Decimal, UUID: as `str` writes them
- bytes: base64
- tuple: an array; set and frozenset: an array, sorted where its items can be
- nan and infinities: `NaN`, `Infinity`, `-Infinity`
- an integer beyond ±(2**53 - 1), which most readers of JSON would round: its decimal digits; beyond 10,000 bits, of
  which Python makes no decimal text, hexadecimal digits after `0x`
- keys of a dict that are no text: the text of their JSON; where two keys would become the same text, the dict is an
  array of [key, value] pairs
- half of a surrogate pair in a text: its escape
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

_EXACT: Final = 2**53 - 1  #: beyond it, readers that hold numbers as doubles round
_LONG_BITS: Final = 10_000  #: from some more on Python makes no decimal text of an integer


def jsonable(value: Any) -> Any:
    """`value` as JSON can hold it, all that is in it too.

    Takes whatever the serializers msgpack and json give back. Of other types, which only a pickle brings: their `str`,
    and what that raises; RecursionError for a value that holds itself.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _endless(value)
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return [jsonable(item) for item in _ordered(value)]
    return _other(value)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="backslashreplace").decode()
    return value


def _integer(value: int) -> int | str:
    if -_EXACT <= value <= _EXACT:
        return value
    return str(value) if value.bit_length() < _LONG_BITS else hex(value)


def _endless(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _object(value: Mapping[Any, Any]) -> dict[str, Any] | list[list[Any]]:
    made = {_key(key): jsonable(item) for key, item in value.items()}
    if len(made) == len(value):
        return made
    return [[jsonable(key), jsonable(item)] for key, item in value.items()]


def _key(key: object) -> str:
    plain = jsonable(key)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _ordered(values: Iterable[Any]) -> list[Any]:
    """The same order each time: that of a set of texts is another one in each process."""
    try:
        return sorted(values)
    except (TypeError, ArithmeticError):  # the latter of a Decimal that is no number
        return sorted(values, key=repr)


def _other(value: object) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return _text(str(value))


def _duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06}" if value.microseconds else ""
    return f"{sign}P{value.days}DT{hours:02}H{minutes:02}M{seconds:02}{fraction}S"
