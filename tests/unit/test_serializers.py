"""Serializers: what goes in comes out, of the same type, or is refused with its place and a remedy."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import io
import json
import math
import pickle
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike import serializers
from rqlike.exceptions import DeserializationError, SerializationError
from rqlike.serializers import (
    JSONSerializer,
    MsgpackSerializer,
    PickleSerializer,
    Serializer,
    dumps_call,
    dumps_result,
    loads_call,
    loads_result,
    resolve_serializer,
    stored_serializer,
)

MSGPACK = MsgpackSerializer()
JSON = JSONSerializer()
PICKLE = PickleSerializer()
BERLIN = ZoneInfo("Europe/Berlin")

# -- round trips


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types all the way down, with the same zone, fold and sign."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other or (one != one and other != other))
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, datetime | time):
        return repr(one) == repr(other) and one.fold == other.fold
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(item, twin) for twin in other) for item in one)
    return bool(one == other)


zones = (
    st.none() | st.just(UTC) | st.timezones() | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
)
leaves = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**200), 2**200) | st.floats() | st.text() | st.binary()
    | st.dates() | st.timedeltas() | st.uuids() | st.decimals(allow_nan=False)
    | st.datetimes(timezones=zones, allow_imaginary=False) | st.times(timezones=zones)
)  # fmt: skip
keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.dates() | st.uuids(),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5) | st.lists(inner, max_size=5).map(tuple) | st.dictionaries(keys, inner, max_size=5)
        | st.sets(keys, max_size=4) | st.frozensets(keys, max_size=4)
    ),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_a_value_comes_back_the_same_and_of_the_same_type(value: object) -> None:
    assert same(resolve_serializer("msgpack").loads(MSGPACK.dumps(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -(2**64), 10**5000, 0.1, -0.0,
        math.nan, math.inf, -math.inf, "", "ä€😀", b"", b"\xc7\x00\x01", "\x00", (), [], {}, set(), frozenset(),
        ((),), [()], {(): ()}, {(1, (2,)): {3}}, {frozenset({1, (2,)}): None}, {None: 1, True: 2, 0.5: 3, b"k": 4},
        [(1, [2, (3, {4: (5,)})])], {1, (2, frozenset({3}))}, [[], [()], [[()]]],
        Decimal("1.10"), Decimal("-0"), Decimal("1E+400"), Decimal("NaN"), Decimal("sNaN12"), Decimal("-Infinity"),
        datetime(1, 1, 1), datetime.max, datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN), datetime(2026, 1, 1, fold=1),
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, seconds=7, microseconds=5))),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1), "Mitte\nzeit")),
        datetime(2026, 1, 1, fold=1, tzinfo=timezone(timedelta(0), "")),
        time(23, 59, 59, 999_999), time(1, fold=1), time(1, tzinfo=UTC), time(1, tzinfo=BERLIN), time(0),
        timedelta.min, timedelta.max, timedelta(microseconds=-1), date.min, date.max, UUID(int=0),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_at_the_edge_comes_back_the_same(value: object) -> None:
    again = resolve_serializer("msgpack").loads(MSGPACK.dumps(value))
    assert same(again, value)
    assert same(resolve_serializer("msgpack").loads(MSGPACK.dumps([value, {"k": (value,)}])), [value, {"k": (value,)}])


def test_a_zone_is_kept_as_a_zone_and_not_as_its_offset() -> None:
    again = resolve_serializer("msgpack").loads(MSGPACK.dumps(datetime(2026, 7, 1, tzinfo=BERLIN)))
    assert again.tzinfo is ZoneInfo("Europe/Berlin")
    assert resolve_serializer("msgpack").loads(MSGPACK.dumps(datetime(2026, 7, 1, tzinfo=UTC))).tzinfo is UTC
    assert resolve_serializer("msgpack").loads(MSGPACK.dumps(datetime(2026, 7, 1))).tzinfo is None


def test_the_order_of_a_dict_is_kept() -> None:
    assert list(resolve_serializer("msgpack").loads(MSGPACK.dumps({"b": 1, "a": 2, 3: 4}))) == ["b", "a", 3]


def test_plain_values_are_plain_msgpack_for_other_languages() -> None:
    value = {"a": [1, 2.5, None, True, "x", b"y"]}
    assert MSGPACK.dumps(value) == msgpack.packb(value)


def test_threads_can_share_a_serializer() -> None:
    failures: list[object] = []

    def work(number: int) -> None:
        value = [(number, "x" * number, Decimal(number))] * 20
        failures.extend(value for _ in range(200) if resolve_serializer("msgpack").loads(MSGPACK.dumps(value)) != value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures


# -- refusals


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Name(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int


class Zone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> str:
        return "Z"


class Moment(datetime):
    pass


class Options:
    pass


class Model:
    """What a model of an ORM looks like from outside."""

    _meta = Options()

    @property
    def pk(self) -> int:
        raise AssertionError("a refusal must not touch the object")


@dataclasses.dataclass
class Order:
    total: int


class Hostile:
    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")


REFUSED: list[tuple[Any, str]] = [
    (Color.RED, r"x\.value"),
    (Level.LOW, r"x\.value"),
    (Word.YES, r"x\.value"),
    (Name("x"), r"str\(x\)"),
    (collections.OrderedDict(a=1), r"dict\(x\)"),
    (collections.defaultdict(int), r"dict\(x\)"),
    (collections.Counter("aa"), r"dict\(x\)"),
    (collections.deque([1]), r"list\(x\)"),
    (Point(1), r"tuple\(x\) or x\._asdict\(\)"),
    (type("Ints", (list,), {})(), r"list\(x\)"),
    (type("Number", (int,), {})(3), r"int\(x\)"),
    (type("Ratio", (float,), {})(3), r"float\(x\)"),
    (bytearray(b"x"), r"bytes\(x\)"),
    (memoryview(b"x"), r"bytes\(x\)"),
    (Moment(2026, 1, 1), "fromisoformat"),
    (datetime(2026, 1, 1, tzinfo=Zone()), "astimezone"),
    (time(1, tzinfo=Zone()), "ZoneInfo"),
    (Model(), r"x\.pk, and fetch"),
    (Order(1), r"dataclasses\.asdict\(x\)"),
    (Path("x"), r"str\(x\)"),
    (io.StringIO(), "its path or its content"),
    ((n for n in "ab"), r"list\(x\)"),
    (range(3), r"list\(x\)"),
    ({}.keys(), r"list\(x\)"),
    (ValueError("x"), r"str\(x\)"),
    (len, "its name as a string"),
    (Order, "its name as a string|asdict"),
    (1 + 2j, "plain data"),
    (object(), "plain data"),
    (Hostile(), "plain data"),
    ("\ud800", "surrogates"),
    (msgpack.ExtType(16, b"x"), "ExtType"),
    (msgpack.Timestamp(1), "Timestamp"),
]

SURROUNDINGS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: x, "args[0]"),
    (lambda x: [1, (2, x)], "args[0][1][1]"),
    (lambda x: {"a": {3: [x]}}, "args[0]['a'][3][0]"),
    (lambda x: [b"bytes", {"k": x}], "args[0][1]['k']"),
]


@pytest.mark.parametrize(("value", "remedy"), REFUSED, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize(("surround", "path"), SURROUNDINGS, ids=lambda item: item if isinstance(item, str) else "")
def test_what_would_not_come_back_the_same_is_refused_with_place_and_remedy(
    value: Any, remedy: str, surround: Callable[[Any], Any], path: str
) -> None:
    with pytest.raises(SerializationError, match=remedy) as caught:
        dumps_call(MSGPACK, (surround(value),), {})
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path} cannot be serialised: ")


def test_the_path_names_keywords_and_results() -> None:
    with pytest.raises(SerializationError) as caught:
        dumps_call(MSGPACK, (1,), {"n": 1, "user": {"tags": ["a", Color.RED]}})
    assert caught.value.path == "kwargs['user']['tags'][1]"
    with pytest.raises(SerializationError) as caught:
        dumps_result(MSGPACK, {"when": object()})
    assert caught.value.path == "result['when']"


def test_the_path_names_keys_and_elements_that_have_no_place_of_their_own() -> None:
    with pytest.raises(SerializationError) as caught:
        dumps_call(MSGPACK, ({(1, Color.RED): 1},), {})
    assert caught.value.path == "a key of args[0][1]"
    with pytest.raises(SerializationError) as caught:
        dumps_result(MSGPACK, {"ids": {Color.RED}})
    assert caught.value.path == "an element of result['ids']"


def test_the_class_is_named_with_its_module() -> None:
    with pytest.raises(SerializationError, match=r"it is a \S*test_serializers\.Order; pass"):
        MSGPACK.dumps(Order(1))


def nested(depth: int, wrap: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = wrap(0)
    for _ in range(depth - 1):
        value = wrap(value)
    return value


WRAPS: list[Callable[[Any], Any]] = [
    lambda inner: [inner], lambda inner: (inner,), lambda inner: {"k": inner}, lambda inner: frozenset({inner}),
]  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPS, ids=["list", "tuple", "dict", "frozenset"])
@pytest.mark.parametrize("depth", [65, 300, 100_000])
def test_too_deep_a_value_is_refused(wrap: Callable[[Any], Any], depth: int) -> None:
    if depth == 100_000 and isinstance(wrap(0), tuple | frozenset):
        depth = 600  # to hash or free more is beyond Python itself
    assert same(resolve_serializer("msgpack").loads(MSGPACK.dumps(nested(64, wrap))), nested(64, wrap))
    with pytest.raises(SerializationError, match="deeper than 64"):
        MSGPACK.dumps(nested(depth, wrap))


def test_a_wide_value_is_not_a_deep_one() -> None:
    wide = [{"a": [n, (n,)], "b": {n}} for n in range(500)]
    assert same(resolve_serializer("msgpack").loads(MSGPACK.dumps(wide)), wide)


@pytest.mark.parametrize("serializer", [MSGPACK, JSON], ids=["msgpack", "json"])
def test_a_cycle_is_refused_as_a_cycle(serializer: Serializer) -> None:
    cycle: dict[str, Any] = {"list": [1]}
    cycle["list"].append(cycle)
    with pytest.raises(SerializationError, match="contains itself") as caught:
        dumps_call(serializer, (), {"tree": cycle})
    assert caught.value.path == "kwargs['tree']['list'][1]"


def test_a_value_that_occurs_twice_is_no_cycle() -> None:
    shared = [1]
    assert resolve_serializer("msgpack").loads(MSGPACK.dumps([shared, shared, {"a": shared}])) == [[1], [1], {"a": [1]}]


def test_a_key_too_long_to_print_does_not_hide_the_refusal() -> None:
    with pytest.raises(SerializationError, match=r"value\[<int>\]"):
        MSGPACK.dumps({10**6000: Color.RED})


# -- hostile input


def loads_or_refuses(serializer: Serializer, data: bytes) -> None:
    try:
        serializer.loads(data)
    except DeserializationError as error:
        assert len(str(error)) < 500
    with contextlib.suppress(DeserializationError):
        loads_call(serializer, data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    loads_or_refuses(MSGPACK, data)
    loads_or_refuses(JSON, data)


ext_bytes = st.builds(
    lambda code, data: msgpack.packb(msgpack.ExtType(code, data)), st.integers(0, 30), st.binary(max_size=40)
)
fragments = st.lists(
    ext_bytes
    | st.sampled_from([b"\xc7\x00\x01", b"\xc7\x00\x02", b"\x91", b"\x92", b"\x81", b"\xdd\xff\xff\xff\xff", b"\xc0"]),
    max_size=12,
).map(b"".join)


@given(fragments)
def test_any_mixture_of_our_own_pieces_is_read_or_refused(data: bytes) -> None:
    loads_or_refuses(MSGPACK, data)


@given(values, st.data())
def test_cut_or_changed_data_is_read_or_refused(value: object, data: st.DataObject) -> None:
    packed = bytearray(MSGPACK.dumps(value))
    place = data.draw(st.integers(0, len(packed) - 1))
    loads_or_refuses(MSGPACK, bytes(packed[:place]))
    packed[place] = data.draw(st.integers(0, 255))
    loads_or_refuses(MSGPACK, bytes(packed))


MARK, SET_MARK = b"\xc7\x00\x01", b"\xc7\x00\x02"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc1", b"\x91", b"\x01\x02", MARK, b"\x92\x01" + MARK, b"\x92" + MARK + MARK, b"\x81" + MARK + b"\x01",
        b"\x81\x01" + MARK, b"\xc8\x00\x00\x01", b"\xd4\x01\x00", b"\xd4\x63\x00", b"\x92" + SET_MARK + b"\x90",
        b"\x81\x90\x01", b"\xdd\xff\xff\xff\xff\x01", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xffx", b"\xa1\xff",
        b"\x91" * 65 + b"\x01", b"\x91" * 5000 + b"\x01", b"\x81" * 5000 + b"\x01", b"\xdd\x00\x00\xff\xff" * 3000,
        b"\xc7\x03\x10abc", b"\xc7\x02\x14\xff\xff", b"\xd5\x13ab", b"\xc7\x01\x15a", b"\xd6\x11\x00\x00\x00\x00",
        msgpack.packb(msgpack.ExtType(16, b"2026-01-01T00:00:00\nzno/such")),
        msgpack.packb(msgpack.ExtType(16, b"2026-01-01T00:00:00\nz../../../etc/passwd")),
        msgpack.packb(msgpack.ExtType(16, b"2026-01-01T00:00:00\nzEurope")),
        msgpack.packb(msgpack.ExtType(16, b"2026-01-01T00:00:00\nnX")),
        msgpack.packb(msgpack.ExtType(18, b"01:00\nq")),
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_malformed_data_is_a_deserialization_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(DeserializationError, match="no valid msgpack"):
        resolve_serializer("msgpack").loads(data)


@pytest.mark.parametrize("data", [None, "text", 3, [1]])
def test_what_is_no_bytes_is_a_deserialization_error(data: Any) -> None:
    for serializer in (MSGPACK, PICKLE):
        with pytest.raises(DeserializationError):
            serializer.loads(data)


def test_an_ext_type_of_a_later_version_is_named() -> None:
    with pytest.raises(DeserializationError, match="unknown ext type 99"):
        resolve_serializer("msgpack").loads(msgpack.packb(msgpack.ExtType(99, b"xy")))


# -- calls and results


@pytest.mark.parametrize("serializer", [MSGPACK, JSON, PICKLE], ids=lambda one: one.name)
def test_a_call_comes_back_as_arguments(serializer: Serializer) -> None:
    assert loads_call(serializer, dumps_call(serializer, (1, "a"), {"k": [None]})) == ([1, "a"], {"k": [None]})
    assert loads_call(serializer, dumps_call(serializer, (), {})) == ([], {})


@pytest.mark.parametrize("serializer", [MSGPACK, JSON, PICKLE], ids=lambda one: one.name)
@pytest.mark.parametrize("call", [None, 1, [], [[]], [[], {}, 1], [{}, []], [[], []], [1, {}], "ab"])
def test_data_that_holds_no_call_is_refused(serializer: Serializer, call: Any) -> None:
    with pytest.raises(DeserializationError, match="arguments of a call"):
        loads_call(serializer, serializer.dumps(call))


def test_keyword_names_are_text() -> None:
    with pytest.raises(DeserializationError, match="arguments of a call"):
        loads_call(MSGPACK, MSGPACK.dumps([[], {1: 2}]))


@pytest.mark.parametrize("serializer", [MSGPACK, JSON, PICKLE], ids=lambda one: one.name)
def test_none_is_an_ordinary_result(serializer: Serializer) -> None:
    assert loads_result(serializer, dumps_result(serializer, None)) is None


# -- json, pickle, and those of others


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(json_values)
def test_json_gives_back_what_it_takes(value: object) -> None:
    data = JSON.dumps(value)
    assert same(JSON.loads(data), value)
    assert same(json.loads(data), value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1,), "a tuple, which JSON cannot give back"),
        ({1}, "a set"),
        (b"x", "a bytes"),
        ({1: 2}, "keys that are no str"),
        (math.nan, "no NaN"),
        (-math.inf, "no NaN or infinity"),
        (datetime(2026, 1, 1), "datetime"),
        (Level.LOW, r"x\.value"),
        (Name("x"), r"str\(x\)"),
        (Order(1), "asdict"),
        ("\ud800", "surrogates"),
        (10**5000, "digits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_refuses_what_it_would_change(value: Any, message: str) -> None:
    with pytest.raises(SerializationError, match=message) as caught:
        dumps_call(JSON, (), {"a": [0, value]})
    assert caught.value.path in ("kwargs['a'][1]", "kwargs['a']")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"[" * 70 + b"]" * 70, b"1 2"])
def test_malformed_json_is_a_deserialization_error(data: bytes) -> None:
    with pytest.raises(DeserializationError, match="no valid json"):
        JSON.loads(data)


def test_pickle_takes_nearly_anything() -> None:
    value = [Order(1), Color.RED, Point(1), {1j}]
    assert loads_result(PICKLE, dumps_result(PICKLE, value)) == value


def test_pickle_names_the_argument_it_refuses() -> None:
    with pytest.raises(SerializationError, match="pickle refused it") as caught:
        dumps_call(PICKLE, (1, 2), {"f": lambda: None})
    assert caught.value.path == "kwargs['f']"


@pytest.mark.parametrize("data", [b"", b"x", b"\x80\x05", pickle.dumps(Order(1))[:-3], b"cno_such_module\nf\n."])
def test_malformed_pickle_is_a_deserialization_error(data: bytes) -> None:
    with pytest.raises(DeserializationError, match="no valid pickle"):
        PICKLE.loads(data)


class Reversed:
    name = "reversed"

    def dumps(self, obj: Any, /) -> bytes:
        return json.dumps(obj).encode()[::-1]

    def loads(self, data: bytes, /) -> Any:
        return json.loads(data[::-1])


def test_a_serializer_of_a_user_is_taken_and_its_errors_are_ours() -> None:
    mine = resolve_serializer(Reversed())
    assert loads_call(mine, dumps_call(mine, (1,), {"k": 2})) == ([1], {"k": 2})
    with pytest.raises(SerializationError, match="TypeError") as caught:
        dumps_call(mine, (1, {2}), {})
    assert caught.value.path == "args[1]"
    with pytest.raises(SerializationError, match="TypeError") as caught:
        dumps_result(mine, {2})
    assert caught.value.path == "result"
    with pytest.raises(DeserializationError, match="no valid reversed"):
        loads_result(mine, b"x")


def test_a_serializer_is_found_by_its_name() -> None:
    for name in ("msgpack", "json", "pickle"):
        assert resolve_serializer(name).name == name
    assert resolve_serializer("msgpack") is resolve_serializer("msgpack")
    with pytest.raises(ValueError, match="unknown serializer 'yaml'; there are 'msgpack', 'json', 'pickle'"):
        resolve_serializer("yaml")


def test_a_class_is_taken_for_its_instance() -> None:
    assert resolve_serializer(JSONSerializer).name == "json"  # type: ignore[arg-type]


@pytest.mark.parametrize("candidate", [None, 3, json, object()])
def test_an_object_that_lacks_something_is_no_serializer(candidate: Any) -> None:
    with pytest.raises(TypeError, match="is no serializer: it has no"):
        resolve_serializer(candidate)


def test_a_pickle_is_read_only_where_this_process_has_asked_for_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serializers, "_asked", set())
    with pytest.raises(DeserializationError, match="only where serializer='pickle' was asked for"):
        stored_serializer("pickle")
    assert stored_serializer("msgpack").name == "msgpack"
    assert stored_serializer("json").name == "json"
    asked = resolve_serializer("pickle")
    assert stored_serializer("pickle") is asked
    with pytest.raises(DeserializationError, match="'yaml' is not known here"):
        stored_serializer("yaml")


@pytest.mark.parametrize("code", [16, 17, 18, 19, 20, 21])
def test_an_error_about_stored_bytes_does_not_quote_them(code: int) -> None:
    data = msgpack.packb(msgpack.ExtType(code, b"4111-secret-card"[: 15 if code == 21 else 16]))
    with pytest.raises(DeserializationError) as caught:
        resolve_serializer("msgpack").loads(data)
    assert "secret" not in str(caught.value)
