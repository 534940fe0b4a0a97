"""Option values that click has no type for. Each raises click.BadParameter, which click completes with the option."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import click

from rqlike.durations import parse_seconds
from rqlike.exceptions import TimeoutFormatError

_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def duration(*, forever: bool = False, zero: bool = True) -> Callable[[str], float]:
    """A reader of `90`, `0.5`, `1h30m`, with `forever` also -1; it gives seconds."""

    def read(text: str) -> float:
        try:
            return parse_seconds(text, "duration", forever=forever, zero=zero)
        except TimeoutFormatError as error:
            raise click.BadParameter(str(error)) from error

    return read


def moment(text: str) -> datetime:
    """An aware datetime of ISO 8601 text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not like 2026-11-22T08:30:00Z") from error
    if found.utcoffset() is None:
        raise click.BadParameter(f"{text!r} has no time zone; write {text}Z for UTC, or {text}+01:00")
    return found


def size(text: str) -> int:
    """Bytes of `512M`, `2G`, `800000000`."""
    match = re.fullmatch(r"([1-9]\d*)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size like 512M or 2G")
    return int(match[1]) * _SIZES[match[2].upper()]


def weight(text: str) -> tuple[str, int]:
    """A queue and its weight: `high=5`."""
    name, _, number = text.rpartition("=")
    if not name or not re.fullmatch(r"[1-9]\d{0,8}", number, re.ASCII):
        raise click.BadParameter(f"{text!r} is not a queue and its weight, like high=5")
    return name, int(number)


def concurrency(text: str) -> int:
    """A number of horses; RQ's `-c FILE` is told apart."""
    try:
        number = int(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a number of horses. There is no configuration file as RQ's -c: "
            "name the server with -u/--url or RQLIKE_REDIS_URL, and give the rest as options"
        ) from None
    if number < 1:
        raise click.BadParameter("a worker needs at least 1 horse")
    return number
