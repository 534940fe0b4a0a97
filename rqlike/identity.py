"""Who a call is: an id that is the same wherever and whenever the same call is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from rqlike.callables import reference_of
from rqlike.refusals import CONTAINERS
from rqlike.serializers import MARK_OF, MsgpackSerializer, dumps_call, packer

if TYPE_CHECKING:
    import msgpack

_MSGPACK: Final = MsgpackSerializer()
_ORDERED: Final = bytes(set(range(256)) - {*range(0x80, 0x90), 0xDE, 0xDF, 0xC7})
"""All bytes but those by which a map, or the mark of a set, begins."""


def content_id(f: Callable[..., Any] | str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> str:
    """64 hex digits that stand for the call `f(*args, **kwargs)`: the same in every process and on every host.

    It is the SHA-256 of the function's path and of the arguments as msgpack, with the entries of mappings and sets in
    the order of their bytes. Equal calls written differently are different ones: `f(1)` and `f(x=1)`, `1` and `1.0`,
    a list and a tuple. Of a function and of its path it is the same. Asks no server.

    Raises what `enqueue` raises for the function and, whatever the serializer of the queue, SerializationError for an
    argument that msgpack does not take.
    """
    return digest(reference_of(f), canonical(args, kwargs or {}))


def canonical(args: Sequence[Any], kwargs: Mapping[str, Any], packed: bytes | None = None) -> bytes:
    """Arguments as bytes that are the same for equal ones. `packed`: as the default serializer packs them, where they
    are already. Raises SerializationError."""
    payload = dumps_call(_MSGPACK, args, kwargs) if packed is None else packed  # which refuses what has no exact form
    # Maps and sets, which nearly no arguments have, show in the bytes; a text may look like one, which costs time only.
    # The last byte is the map of the keyword arguments, empty as a rule.
    plain = not payload[:-1].translate(None, _ORDERED)
    return payload if plain else _canonical([list(args), dict(kwargs)], packer())


def digest(reference: str, data: bytes) -> str:
    """`content_id` of a function that is known by its path, and arguments in their canonical form."""
    module, nested, name = reference.partition(":")
    path = f"{module}.{name}" if nested and "." not in name else reference
    return hashlib.sha256(b"%b\0%b" % (path.encode(), data)).hexdigest()


def _canonical(value: Any, pack: msgpack.Packer) -> bytes:
    """The value's msgpack, with the entries of maps and sets in the order of their bytes."""
    kind = type(value)
    if kind not in CONTAINERS:
        return cast(bytes, pack.pack(value))
    if kind is dict:
        entries = sorted(_canonical(key, pack) + _canonical(item, pack) for key, item in value.items())
        return cast(bytes, pack.pack_map_header(len(entries)) + b"".join(entries))
    items = [_canonical(item, pack) for item in value]
    if kind in (set, frozenset):
        items.sort()
    if kind is not list:
        items.insert(0, pack.pack(MARK_OF[kind]))
    return cast(bytes, pack.pack_array_header(len(items)) + b"".join(items))


__all__ = ["canonical", "content_id", "digest"]
