"""Values to bytes and back: msgpack by default, json and pickle by name.

The default keeps types exactly: what comes out equals what went in, and is of the same class, or the value is refused
where it was given, with its place in the arguments and with what to pass instead.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache, partial
from itertools import chain, compress, repeat
from operator import is_
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

import msgpack

from rqlike.exceptions import DeserializationError, SerializationError
from rqlike.refusals import CONTAINERS, DEPTH_LIMIT, Judge, find_refused, kind_of, refusal, remedy, steps, text_problem

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@runtime_checkable
class Serializer(Protocol):
    """What `serializer=` takes: a name that both sides know it by, and the two directions."""

    @property
    def name(self) -> str: ...

    def dumps(self, obj: Any, /) -> bytes: ...

    def loads(self, data: bytes, /) -> Any: ...


# -- msgpack -------------------------------------------------------------------------------------------------------
#
# A tuple, set or frozenset is an array whose first element is a mark (an empty ext value), a leaf type is an ext value
# of its own. So nested values are one pass of the C code in both directions, whatever their types, and hostile input
# can make no Python function call itself.

_TUPLE, _SET, _FROZENSET = 1, 2, 3
_DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _INT = 16, 17, 18, 19, 20, 21, 22

_MARK_BYTES: Final = b"\xc7\x00"
"""How every mark begins on the wire: ext 8, length 0."""

_SUSPECTS: Final = bytes([*range(0x80, 0xA0), *range(0xC4, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0)])
"""First bytes of containers (which may nest too deep) and of bin and ext values (which may have been a bytearray)."""
_CONTAINER_BYTES: Final = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_HARMLESS: Final = bytes(set(range(256)) - set(_SUSPECTS))
_NOT_CONTAINER: Final = bytes(set(range(256)) - set(_CONTAINER_BYTES))

_SEQUENCES: Final = CONTAINERS - {dict}
_TEXT: Final = frozenset({str})
_SLIPS: Final = frozenset({bytearray, memoryview, msgpack.ExtType, msgpack.Timestamp})
"""Types that msgpack takes by itself and gives back as something else."""


class _Refused(Exception):
    """The packer met a value it has no form for."""


def _zone_text(value: datetime | time) -> str:
    """What ISO text cannot hold: `f` for fold, then `z` + the key of a ZoneInfo or `n` + the name of an offset."""
    zone, fold = value.tzinfo, "f" if value.fold else ""
    if zone is None:
        return fold
    if type(zone) is timezone:
        name = zone.tzname(None)
        return fold if name == str(timezone(zone.utcoffset(None))) else f"{fold}n{name}"
    key = zone.key if isinstance(zone, kind := _zone_info()) and type(zone) is kind else None
    if key is None:
        raise _Refused
    return f"{fold}z{key}"


@cache
def _zone_info() -> type[ZoneInfo]:
    from zoneinfo import ZoneInfo  # 2 ms; most arguments name no place

    return ZoneInfo


def _pack_moment(value: datetime | time) -> bytes:
    rest = _zone_text(value)
    plain = value if value.tzinfo is None or type(value.tzinfo) is timezone else value.replace(tzinfo=None)
    return (f"{plain.isoformat()}\n{rest}" if rest else plain.isoformat()).encode()


def _unpack_zone(rest: str, offset: tzinfo | None) -> tuple[int, tzinfo | None]:
    fold = rest.startswith("f")
    rest = rest[fold:]
    if rest.startswith("z"):
        return fold, _zone_info()(rest[1:])
    if rest.startswith("n"):
        if not isinstance(offset, timezone):
            raise ValueError("a zone name without an offset")
        return fold, timezone(offset.utcoffset(None), rest[1:])
    if rest:
        raise ValueError(f"unknown zone {rest!r:.80}")
    return fold, offset


def _unpack_datetime(data: bytes) -> datetime:
    text, _, rest = data.decode().partition("\n")
    value = datetime.fromisoformat(text)
    if not rest:
        return value
    fold, zone = _unpack_zone(rest, value.tzinfo)
    return value.replace(fold=fold, tzinfo=zone)


def _unpack_time(data: bytes) -> time:
    text, _, rest = data.decode().partition("\n")
    value = time.fromisoformat(text)
    if not rest:
        return value
    fold, zone = _unpack_zone(rest, value.tzinfo)
    return value.replace(fold=fold, tzinfo=zone)


_ISO_DAY: Final = struct.Struct(">HBB")
_SPAN: Final = struct.Struct(">iii")


def _marked(code: int, items: Iterable[object], /) -> list[object]:
    return [_MARK_VALUES[code], *items]


_MARK_VALUES: Final = {code: msgpack.ExtType(code, b"") for code in (_TUPLE, _SET, _FROZENSET)}
MARK_OF: Final[dict[type, object]] = dict(zip((tuple, set, frozenset), _MARK_VALUES.values(), strict=True))

_PACK: Final[dict[type, Callable[[Any], object]]] = {
    tuple: partial(_marked, _TUPLE),
    set: partial(_marked, _SET),
    frozenset: partial(_marked, _FROZENSET),
    datetime: lambda value: msgpack.ExtType(_DATETIME, _pack_moment(value)),
    date: lambda value: msgpack.ExtType(_DATE, _ISO_DAY.pack(value.year, value.month, value.day)),
    time: lambda value: msgpack.ExtType(_TIME, _pack_moment(value)),
    timedelta: lambda value: msgpack.ExtType(_TIMEDELTA, _SPAN.pack(value.days, value.seconds, value.microseconds)),
    Decimal: lambda value: msgpack.ExtType(_DECIMAL, str(value).encode()),
    UUID: lambda value: msgpack.ExtType(_UUID, value.bytes),
    int: lambda value: msgpack.ExtType(_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)),
}

_UNPACK: Final[dict[int, Callable[[bytes], object]]] = {
    _DATETIME: _unpack_datetime,
    _DATE: lambda data: date(*_ISO_DAY.unpack(data)),
    _TIME: _unpack_time,
    _TIMEDELTA: lambda data: timedelta(*_SPAN.unpack(data)),
    _DECIMAL: lambda data: Decimal(data.decode("ascii")),
    _UUID: lambda data: UUID(bytes=data),
    _INT: lambda data: int.from_bytes(data, "big", signed=True),
}


def _pack_other(value: object) -> object:
    pack = _PACK.get(type(value))
    if pack is None:
        raise _Refused
    return pack(value)


def _unpack_leaf(code: int, data: bytes) -> object:
    unpack = _UNPACK.get(code)
    if unpack is None:
        raise ValueError(f"unknown ext type {code}; was it written by a newer version?")
    try:
        return unpack(data)
    except Exception as error:  # noqa: BLE001  # whatever the bytes bring about in the constructors
        # Not in the error's own words: they quote what may be a secret, and end in a log.
        raise ValueError(f"what ext type {code} holds is no such value ({type(error).__name__})") from None


#: Makes one that packs what the default serializer takes. It holds its buffer: one that is shared would be mixed up by
#: threads and by finalizers.
packer: Final = partial(msgpack.Packer, strict_types=True, default=_pack_other)


class _Mark(NamedTuple):
    build: Callable[[list[Any]], object]


_MARKS: Final = {_TUPLE: _Mark(tuple), _SET: _Mark(set), _FROZENSET: _Mark(frozenset)}


class _Rebuilding:
    """The hooks of one `loads` whose data has marks; each mark must begin an array, or the input is malformed."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = 0

    def ext(self, code: int, data: bytes) -> object:
        mark = _MARKS.get(code)
        if mark is None or data:
            return _unpack_leaf(code, data)
        self.open += 1
        return mark

    def array(self, items: list[Any]) -> object:
        if not items or type(items[0]) is not _Mark:
            return items
        self.open -= 1
        build = items[0].build
        del items[0]
        return build(items)


class MsgpackSerializer:
    """The default: exact types, one C call, safe to read from anybody.

    Takes None, bool, int of any size, float, str, bytes, list, dict (any of these as keys that can be), tuple, set,
    frozenset, datetime, date, time, timedelta, Decimal and UUID, and none of their subclasses.
    """

    name: Final = "msgpack"

    def dumps(self, obj: Any, /) -> bytes:
        """Raises SerializationError with the place of the first value that has no exact form."""
        try:
            data: bytes = msgpack.Packer(strict_types=True, default=_pack_other).pack(obj)  # `packer`, without its call
        except (_Refused, ValueError, OverflowError, RecursionError, RuntimeError) as error:
            raise _located(obj, _msgpack_problem, error) from None
        suspects = data.translate(None, _HARMLESS)
        suspicious = len(suspects) > DEPTH_LIMIT or suspects.translate(None, _CONTAINER_BYTES)
        if suspicious and not _is_sound(obj):
            raise _located(obj, _msgpack_problem, None)
        return data

    def loads(self, data: bytes, /) -> Any:
        """Raises DeserializationError for whatever is wrong with `data`, and nothing else."""
        try:
            if _MARK_BYTES not in data:
                value = msgpack.unpackb(data, ext_hook=_unpack_leaf, strict_map_key=False)
            else:
                rebuilding = _Rebuilding()
                hooks = {"ext_hook": rebuilding.ext, "list_hook": rebuilding.array}
                value = msgpack.unpackb(data, strict_map_key=False, **hooks)
                if rebuilding.open:
                    raise ValueError("a container mark out of place")
            if len(data.translate(None, _NOT_CONTAINER)) > DEPTH_LIMIT and not _is_sound(value):
                raise ValueError(f"nested deeper than {DEPTH_LIMIT}")
        except Exception as error:
            raise _unreadable(self.name, error) from error
        return value


def _is_sound(value: object) -> bool:
    """Whether no type slipped through and the depth is allowed: level by level, each level counted in C."""
    level: list[Any] = [value]
    for _ in range(DEPTH_LIMIT + 1):
        kinds = list(map(type, level))
        distinct = set(kinds)
        if not _SLIPS.isdisjoint(distinct):
            return False
        if CONTAINERS.isdisjoint(distinct):
            return True
        dicts: list[dict[Any, Any]] = list(compress(level, map(is_, kinds, repeat(dict)))) if dict in distinct else []
        inner: list[Iterable[Any]] = list(compress(level, map(_SEQUENCES.__contains__, kinds)))
        inner += map(dict.values, dicts)
        if not _TEXT.issuperset(map(type, chain.from_iterable(dicts))):
            inner += dicts
        level = list(chain.from_iterable(inner))
    return False


# -- json and pickle -----------------------------------------------------------------------------------------------


class JSONSerializer:
    """Text that other languages read. Takes only what comes back the same: None, bool, int, float (no NaN), str,
    list, and dict with str keys."""

    name: Final = "json"

    def dumps(self, obj: Any, /) -> bytes:
        """Raises SerializationError with the place of the first value that would come back as another."""
        # The module itself would turn tuples into lists and keys into text without a word, so the walk comes first.
        found = find_refused(obj, _json_problem)
        if found is not None:
            raise refusal(*found)
        try:
            return json.dumps(obj, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise refusal("value", str(error)) from None

    def loads(self, data: bytes, /) -> Any:
        """Raises DeserializationError."""
        try:
            value = json.loads(data)
            if not _is_sound(value):
                raise ValueError(f"nested deeper than {DEPTH_LIMIT}")
        except Exception as error:
            raise _unreadable(self.name, error) from error
        return value


class PickleSerializer:
    """Nearly any Python object. Whoever can write to the server can run code in every process that reads from it."""

    name: Final = "pickle"

    def dumps(self, obj: Any, /) -> bytes:
        """Raises SerializationError."""
        import pickle  # who does not ask for it does not load it

        try:
            return pickle.dumps(obj, protocol=5)
        except Exception as error:  # __reduce__ and __getstate__ are code of the user
            raise refusal("value", f"pickle refused it ({type(error).__name__}: {error})") from error

    def loads(self, data: bytes, /) -> Any:
        """Raises DeserializationError."""
        import pickle

        try:
            return pickle.loads(data)  # noqa: S301  # asked for by name
        except Exception as error:
            raise _unreadable(self.name, error) from error


_BY_NAME: Final[dict[str, Serializer]] = {
    serializer.name: serializer for serializer in (MsgpackSerializer(), JSONSerializer(), PickleSerializer())
}


_asked: Final[set[str]] = set()
"""What this process has asked for by name. Reading a pickle runs code, so a name that only stands in Redis does not
suffice for it."""


def stored_serializer(name: str, *, pickles: bool | None = None) -> Serializer:
    """The serializer of a name that came from the server.

    `pickles`: whether it may be pickle; None: where this process has asked for it. Raises DeserializationError for an
    unknown one, and for "pickle" where it may not be.
    """
    found = _BY_NAME.get(name)
    if found is None:
        raise DeserializationError(problem=f"the serializer {name!r:.40} is not known here")
    if name == PickleSerializer.name and not (name in _asked if pickles is None else pickles):
        raise DeserializationError(problem="a pickle is read only where serializer='pickle' was asked for")
    return found


def resolve_serializer(serializer: str | Serializer) -> Serializer:
    """The serializer of that name, or the object itself where it has `name`, `dumps` and `loads`. Whoever asks for
    pickle here reads pickles from then on.

    Raises ValueError for an unknown name, TypeError for an object without the three.
    """
    if isinstance(serializer, str):
        try:
            found = _BY_NAME[serializer]
            _asked.add(serializer)
            return found
        except KeyError:
            names = ", ".join(repr(name) for name in _BY_NAME)
            raise ValueError(f"unknown serializer {serializer!r}; there are {names}, or pass an object") from None
    candidate: object = serializer() if isinstance(serializer, type) else serializer
    missing = [method for method in ("dumps", "loads") if not callable(getattr(candidate, method, None))]
    if not isinstance(getattr(candidate, "name", None), str):
        missing.append("name (a string)")
    if missing or not isinstance(candidate, Serializer):
        raise TypeError(f"{type(candidate).__name__} is no serializer: it has no {', no '.join(missing)}")
    _asked.add(candidate.name)
    return candidate


# -- calls and results ---------------------------------------------------------------------------------------------


def dumps_call(serializer: Serializer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """The arguments of a call as one value. Raises SerializationError with a path such as `kwargs['user'][0]`."""
    try:
        return serializer.dumps([list(args), kwargs if type(kwargs) is dict else dict(kwargs)])
    except SerializationError as error:
        for inside, root in (("value[0]", "args"), ("value[1]", "kwargs")):
            if inside in error.path:
                raise refusal(error.path.replace(inside, root, 1), error.problem) from error.__cause__
        cause: Exception = error
    except Exception as error:  # noqa: BLE001  # raised below, with its place
        cause = error
    # The serializer does not say where: try the arguments one by one.
    for path, value in chain(steps("args", list(args)), steps("kwargs", dict(kwargs))):
        try:
            serializer.dumps(value)
        except Exception as error:
            raise refusal(path, _problem_of(error)) from error
    raise refusal("the call", _problem_of(cause)) from cause


def loads_call(serializer: Serializer, data: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The reverse of `dumps_call`: positional arguments and keyword arguments. Raises DeserializationError."""
    call = _loaded(serializer, data)
    if isinstance(call, list | tuple) and len(call) == 2:
        args, kwargs = call
        if isinstance(args, list | tuple) and isinstance(kwargs, dict) and all(type(name) is str for name in kwargs):
            return list(args), kwargs
    raise DeserializationError(problem="they do not hold the arguments of a call")


def dumps_result(serializer: Serializer, value: Any) -> bytes:
    """A return value. Raises SerializationError with a path such as `result['when']`."""
    try:
        return serializer.dumps(value)
    except SerializationError as error:
        raise refusal(error.path.replace("value", "result", 1), error.problem) from error.__cause__
    except Exception as error:
        raise refusal("result", _problem_of(error)) from error


def loads_result(serializer: Serializer, data: bytes) -> Any:
    """The reverse of `dumps_result`. Raises DeserializationError."""
    return _loaded(serializer, data)


def _loaded(serializer: Serializer, data: bytes) -> Any:
    try:
        return serializer.loads(data)
    except DeserializationError:
        raise
    except Exception as error:
        raise _unreadable(serializer.name, error) from error


# -- what each format refuses -------------------------------------------------------------------------------------

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes, date, timedelta, Decimal, UUID})


def _msgpack_problem(value: object) -> str | None:
    """What is wrong with this one value, its children apart; None where it is fine."""
    kind = type(value)
    if kind is str:
        return text_problem(value)
    if kind in _SCALARS or kind in CONTAINERS:
        return None
    if isinstance(value, datetime | time) and kind in (datetime, time):
        try:
            _zone_text(value)
        except _Refused:
            zone = type(value.tzinfo).__name__
            return f"its zone is a {zone}, which has no exact form; pass x.astimezone(timezone.utc) or use a ZoneInfo"
        return None
    return f"it is {kind_of(kind)}; {remedy(value)}"


def _json_problem(value: object) -> str | None:
    kind = type(value)
    if type(value) is float and not math.isfinite(value):
        return "JSON has no NaN or infinity; pass None, or use serializer='msgpack'"
    if kind is str:
        return text_problem(value)
    if kind in (type(None), bool, int, float, list):
        return None
    if isinstance(value, dict) and kind is dict:
        if all(type(key) is str for key in value):
            return None
        return "it has keys that are no str, which JSON would turn into str; use serializer='msgpack'"
    if kind in _SCALARS or kind in CONTAINERS or kind in (datetime, time):
        return f"it is {kind_of(kind)}, which JSON cannot give back; use serializer='msgpack'"
    return f"it is {kind_of(kind)}; {remedy(value)}"


def _located(value: object, judge: Judge, error: Exception | None) -> SerializationError:
    found = find_refused(value, judge)
    return refusal(*found) if found is not None else refusal("value", _problem_of(error) if error else "refused")


def _problem_of(error: Exception) -> str:
    if isinstance(error, SerializationError) and error.problem:
        return error.problem
    return f"{type(error).__name__}: {error}"


def _unreadable(name: str, error: Exception) -> DeserializationError:
    return DeserializationError(problem=f"no valid {name} ({type(error).__name__}: {error!s:.200})")
