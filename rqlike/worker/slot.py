"""A place in memory that a horse writes to and its worker reads: how far the running job is.

A job may say so ten thousand times a second, and may fall silent just after. Here it costs no more than writing a
number, nobody is woken, and the worker finds the last one whenever it looks, even when the horse is dead. The place is
in the file for the stack, behind what may come to stand there. The worker reads the file and maps nothing: a job could
cut the file short.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple

from rqlike.settings import NOTE_LIMIT

SLOT: Final = 1 << 16  #: where it begins; a multiple of every page size
_LENGTH: Final = struct.Struct("<H")
_NUMBER: Final = struct.Struct("=d")
_TOKEN_AT, _TOKEN_LIMIT = 0, 250
_NUMBER_AT: Final = 256  #: eight bytes that one instruction writes
_NOTE_AT, _NOTE_BYTES = 264, 4 * NOTE_LIMIT
SLOT_SIZE: Final = _NOTE_AT + _LENGTH.size + _NOTE_BYTES


class Slot:
    """The writing side. Raises OSError or ValueError where the file is none any more."""

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size < SLOT + SLOT_SIZE:
            os.ftruncate(fd, SLOT + SLOT_SIZE)
        self._map = mmap.mmap(fd, SLOT_SIZE, offset=SLOT)
        # Not struct.pack_into, which writes zeros first, and a reader would see them.
        self._number = memoryview(self._map)[_NUMBER_AT : _NUMBER_AT + 8].cast("d")

    def begin(self, token: str, current: float, note: str) -> None:
        """An execution writes here from now on."""
        data = token.encode()[:_TOKEN_LIMIT]
        _LENGTH.pack_into(self._map, _TOKEN_AT, 0)  # whoever reads in between finds nobody's
        self.show(current, note)
        self._map[_LENGTH.size : _LENGTH.size + len(data)] = data
        _LENGTH.pack_into(self._map, _TOKEN_AT, len(data))

    def show(self, current: float, note: str | None) -> None:
        """How far it is, and the note where that is another one."""
        self._number[0] = current
        if note is not None:
            data = note.encode()
            self._map[_NOTE_AT : _NOTE_AT + _LENGTH.size + len(data)] = _LENGTH.pack(len(data)) + data


class Shown(NamedTuple):
    """What stands in a slot."""

    token: str
    current: float
    note: str


def read_slot(fd: int) -> Shown | None:
    """What stands there; None where nothing does."""
    try:
        data = os.pread(fd, SLOT_SIZE, SLOT)
    except OSError:
        return None
    if len(data) < SLOT_SIZE:
        return None
    (length,) = _LENGTH.unpack_from(data, _TOKEN_AT)
    (current,) = _NUMBER.unpack_from(data, _NUMBER_AT)
    (size,) = _LENGTH.unpack_from(data, _NOTE_AT)
    token, note = data[_LENGTH.size : _LENGTH.size + length], data[_NOTE_AT + _LENGTH.size :][:size]
    return Shown(token.decode(errors="replace"), current, note.decode(errors="replace")) if length else None
