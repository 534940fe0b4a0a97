"""What a Lua program takes for a global name: read from what Lua 5.1, which servers run, makes of it.

A name that no `local` around it declares compiles without a word, and fails when a server comes by.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from
from typing import Any, Final

from lupa import lua51

_HEADER: Final = b"\x1bLuaQ\x00\x01\x04\x08\x04\x08\x00"  # little-endian, 4 bytes an int, 8 a size and a number
_GET_GLOBAL, _SET_GLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


def globals_of(source: str) -> set[str]:
    """All names that are global anywhere in a program. Raises LuaError where it does not compile."""
    lua: Any = lua51.LuaRuntime(encoding=None)
    compiled: bytes = lua.eval(b"function(source) return string.dump(assert(loadstring(source))) end")(source.encode())
    assert compiled.startswith(_HEADER), "another machine than the one this reads"
    return set(_Reader(compiled, len(_HEADER)).function())


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def function(self) -> Iterator[str]:
        self._text()  # where it comes from
        self._at += 4 + 4 + 4  # its lines, and four bytes about its parameters and registers
        code = [self._take("<I", 4) for _ in range(self._take("<i", 4))]
        constants = [self._constant() for _ in range(self._take("<i", 4))]
        for instruction in code:
            if instruction & 0x3F in (_GET_GLOBAL, _SET_GLOBAL):
                yield constants[instruction >> 14].decode()
        for _ in range(self._take("<i", 4)):
            yield from self.function()
        lines = self._take("<i", 4)
        self._at += 4 * lines
        for _ in range(self._take("<i", 4)):  # locals
            self._text()
            self._at += 8
        for _ in range(self._take("<i", 4)):  # upvalues
            self._text()

    def _constant(self) -> bytes:
        kind = self._take("<B", 1)
        if kind == _STRING:
            return self._text()
        self._at += {_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind]
        return b""

    def _text(self) -> bytes:
        size = self._take("<Q", 8)
        self._at += size
        return self._data[self._at - size : self._at].rstrip(b"\x00")

    def _take(self, form: str, size: int) -> int:
        (value,) = unpack_from(form, self._data, self._at)
        self._at += size
        return int(value)
