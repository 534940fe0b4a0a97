"""Records to bytes and back, by the names in `fields`. Reading never raises on foreign data: what cannot be read is a
record that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn, cast

import msgpack

from rqlike import fields
from rqlike.dependency import MOST_PARENTS, Need
from rqlike.durations import FOREVER, LONGEST
from rqlike.exceptions import DeserializationError, PayloadTooLarge, RqlikeError
from rqlike.options import PLAIN_POLICY, Policy
from rqlike.policies import Callback, Repeat, Retry
from rqlike.records import CallRecord, JobRecord, NoticeRecord, ResultRecord, WorkerRecord
from rqlike.serializers import resolve_serializer
from rqlike.settings import BLOB_LIMIT, DESCRIPTION_LIMIT, META_LIMIT, MOST_PRIORITY, TRACEBACK_LIMIT
from rqlike.states import JobStatus, Notice, Reason, ResultType, Unkept

CALL_VERSION: Final = 1

#: Keys of the policy map inside a call; only what is not the default travels.
_POLICY: Final = {
    "job_timeout": "t",
    "result_ttl": "r",
    "failure_ttl": "f",
    "ttl": "l",
    "description": "d",
    "retry": "y",
    "repeat": "p",
    "on_success": "s",
    "on_failure": "x",
    "on_stopped": "o",
    "serializer": "z",
    "priority": "i",
    "depends_on": "n",
    "store_result": "k",
}
_DEFAULTS: Final = PLAIN_POLICY
_SHORT: Final = tuple(_POLICY[name] for name in Policy._fields)
_WITH_PARTS: Final = (Retry, Repeat, Callback)
_STATUSES: Final = {str(status).encode(): status for status in JobStatus}
_SUCCESSFUL, _DISABLED = b"%d" % ResultType.SUCCESSFUL, Unkept.DISABLED.encode()
_DIGITS: Final = 19  #: of a number, with its sign, that is certainly no longer one of ours
_LARGEST: Final = 1e18
_ALIEN: Final = b""  #: the name of the field by which `load` says what is wrong with a job
_META: Final = resolve_serializer("msgpack")
_PACK: Final = msgpack.Packer(autoreset=True).pack

Flat = Sequence[bytes]
Entry = tuple[bytes, Flat]


def unpack_reply(reply: Any) -> Any:
    """A deep reply: one msgpack string, or nested lists from a server that cannot pack."""
    return msgpack.unpackb(reply, raw=True) if isinstance(reply, bytes) else reply


# -- calls -------------------------------------------------------------------------------------------------------------


def encode_call(call: CallRecord) -> bytes:
    """A call as versioned msgpack: [version, function, payload, headers, policy]."""
    policy = {} if call.policy is _DEFAULTS else encode_policy(call.policy)
    if not call.headers:
        return encode_plain_call(call.func_name, call.payload)[:-1] + cast(bytes, _PACK(policy))
    return cast(bytes, msgpack.packb([CALL_VERSION, call.func_name, call.payload, dict(call.headers), policy]))


def encode_plain_call(func_name: str, payload: bytes) -> bytes:
    """`encode_call` of a call without headers and with the default policy: a third of the time, the same bytes."""
    size = len(payload)
    if size < 256:
        return b"%b\xc4%c%b\x80\x80" % (_call_head(func_name), size, payload)
    return b"%b%b\x80\x80" % (_call_head(func_name), msgpack.packb(payload))


@lru_cache(maxsize=1024)
def _call_head(func_name: str) -> bytes:
    """How every call of a function begins: an array of five, the version, the name."""
    return b"\x95%b%b" % (msgpack.packb(CALL_VERSION), msgpack.packb(func_name))


def name_in(head: bytes) -> str | None:
    """The function's path in the first bytes of a stored call: '' where they are none, None where it goes on."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(head)
    try:
        if unpacker.read_array_header() != 5 or unpacker.unpack() != CALL_VERSION:
            return ""
        name = unpacker.unpack()
    except msgpack.OutOfData:
        return None if head else ""
    except (ValueError, TypeError, msgpack.UnpackException):
        return ""
    return name if isinstance(name, str) else ""


def encode_policy(policy: Policy) -> dict[str, object]:
    """The map of a policy's values that are not the defaults."""
    out: dict[str, object] = {}
    for short, value, usual in zip(_SHORT, policy, _DEFAULTS, strict=True):
        if value is not usual and (usual is None or value != usual):
            if value is policy.depends_on:
                out[short] = [need.to_wire() for need in policy.depends_on]
            else:
                out[short] = value.to_wire() if isinstance(value, _WITH_PARTS) else value
    return out


def decode_call(data: bytes) -> CallRecord:
    """The reverse of `encode_call`. Raises DeserializationError, which names both versions where they differ."""
    if len(data) > BLOB_LIMIT:
        raise DeserializationError(f"The stored call has more than {BLOB_LIMIT} bytes; rqlike writes none that large.")
    parts = _unpack(data, "call")
    if not isinstance(parts, list) or not parts:
        raise DeserializationError("The stored call is not a list; something else than rqlike has written it.")
    if parts[0] != CALL_VERSION:
        raise DeserializationError(
            f"The call has format version {parts[0]!r:.20}, this rqlike reads version {CALL_VERSION}; "
            "run workers at least as new as the producers."
        )
    try:
        _, func_name, payload, headers, policy = parts
    except ValueError:
        raise DeserializationError(f"The stored call has {len(parts)} parts instead of 5.") from None
    if not (isinstance(func_name, str) and isinstance(payload, bytes) and isinstance(headers, dict)):
        raise DeserializationError("The stored call has parts of the wrong types.")
    if headers and not all(type(name) is str and type(value) is str for name, value in headers.items()):
        raise DeserializationError("The stored call has headers that are no text.")
    return CallRecord(func_name, payload, headers, decode_policy(policy) if policy else _DEFAULTS)


def decode_policy(stored: object) -> Policy:
    """The reverse of `encode_policy`. Raises DeserializationError."""
    if not isinstance(stored, dict):
        raise DeserializationError("The stored policy is not a map.")
    wires: dict[str, Any] = {"retry": Retry, "repeat": Repeat}
    wires |= dict.fromkeys(("on_success", "on_failure", "on_stopped"), Callback)
    values: dict[str, Any] = {}
    for name, short in _POLICY.items():
        if short in stored:
            value = stored[short]
            values[name] = wires[name].from_wire(value) if name in wires else _scalar(name, value)
    return Policy(**values)


def _scalar(name: str, value: object) -> object:
    """Checked as `options` checks it: what these say is carried out by scripts, which are not undone."""
    if name == "depends_on":
        return _needs(value)
    if name in ("description", "serializer"):
        if isinstance(value, str):
            return value[:DESCRIPTION_LIMIT]
    elif name == "store_result":
        if isinstance(value, bool):
            return value
    elif name == "priority":
        if type(value) is int and abs(value) <= MOST_PRIORITY:
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= LONGEST and (value or name == "result_ttl"):
            return value
        if value == FOREVER and name != "ttl":
            return value
    raise DeserializationError(f"The stored policy has {value!r:.40} for {name}.")


def _needs(stored: object) -> tuple[Need, ...]:
    try:
        if isinstance(stored, list) and len(stored) <= MOST_PARENTS:
            return tuple(map(Need.from_wire, stored))
    except (TypeError, ValueError):
        pass
    raise DeserializationError("The stored policy has no readable list of jobs that it depends on.")


def encode_overrides(policy: Policy) -> bytes:
    """The editable part of a policy, as `Job.save` writes it over the call."""
    names = ("job_timeout", "result_ttl", "failure_ttl", "description")
    return cast(bytes, _PACK({_POLICY[name]: getattr(policy, name) for name in names}))


def _unpack(data: bytes, what: str) -> Any:
    try:
        return msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as broken:
        raise DeserializationError(f"The stored {what} is not valid msgpack: {broken}") from broken


# -- notes -------------------------------------------------------------------------------------------------------------


def encode_meta(meta: Mapping[str, object]) -> bytes:
    """Notes as bytes. Raises SerializationError, PayloadTooLarge."""
    if not meta:
        return b""
    data = _META.dumps(dict(meta))
    if len(data) > META_LIMIT:
        message = f"meta has {len(data)} bytes, the limit is {META_LIMIT}; store the data elsewhere and note its id"
        raise PayloadTooLarge(message, size=len(data), limit=META_LIMIT)
    return data


def decode_meta(data: bytes) -> dict[str, Any]:
    """The reverse. Raises DeserializationError."""
    if not data:
        return {}
    stored = _META.loads(data[: BLOB_LIMIT + 1])
    if not isinstance(stored, dict):
        raise DeserializationError("The stored notes are no dict.")
    return stored


# -- jobs --------------------------------------------------------------------------------------------------------------


def decode_job(job_id: str, flat: Flat) -> JobRecord | None:
    """A job from its flat list of fields; None where there are none. Where a field comes twice, the later one holds."""
    if not flat:
        return None
    got = dict(zip(flat[::2], flat[1::2]))  # noqa: B905  # a field without a value is left out; strict= costs a third
    get = got.get
    if _ALIEN in got:
        raise DeserializationError(f"Job {job_id} cannot be read: {_text(got[_ALIEN])[:200]}")
    call, problem = _read_call(got)
    created = number(get(b"t")) or 0
    token, worker, asked, since = get(b"k"), get(b"w"), get(b"v"), get(b"g")
    # In the order of the fields: by name it takes half as long again, and a worker does it for every job. Most fields
    # are not there, and a call to learn that would be most of the time.
    return JobRecord(
        job_id,
        _text(get(b"q", b"")),
        _STATUSES.get(get(b"s", b"")) or _unknown_status(get(b"s", b"")),
        call,
        created,
        problem,
        (b"e" in got and number(got[b"e"])) or created or None,
        number(got[b"b"]) if b"b" in got else None,
        number(got[b"d"]) if b"d" in got else None,
        number(got[b"u"]) if b"u" in got else None,
        number(got[b"x"]) if b"x" in got else None,
        (b"y" in got and number(got[b"y"])) or 1,
        (b"a" in got and number(got[b"a"])) or 0,
        (b"h" in got and number(got[b"h"])) or 0,
        (b"p" in got and number(got[b"p"])) or 0,
        "0-0" if since is None else _text(since),
        None if token is None else _text(token),
        None if worker is None else _text(worker),
        None if asked is None else _text(asked),
        _blob(got, b"m") if b"m0" in got else b"",
        callback_errors(got) if b"!" in b"".join(got) else {},
        "",
        number(got[b"@"]) if b"@" in got else None,
        _text(got[b"="]) if b"=" in got else "",
    )


def started(token: bytes, worker: str, now_ms: int, attempt: bytes) -> tuple[bytes, ...]:
    """What a claim writes into a job's hash, as `include/grant.lua` does it."""
    return (b"s", b"started", b"k", token, b"w", worker.encode(), b"b", b"%d" % now_ms, b"a", attempt)


def unreadable(job_id: str, why: str, flat: Flat = ()) -> JobRecord:
    """Stands for a job of which nothing can be trusted, so that it can be listed, failed and deleted."""
    got = dict(zip(flat[::2], flat[1::2], strict=False))
    token = _text(got[b"k"]) if b"k" in got else None
    queue, call_error = _text(got.get(b"q", b"")), f"It cannot be read: {why}"
    return JobRecord(job_id, queue, JobStatus.FAILED, None, 0, call_error, token=token, unreadable=why)


def callback_errors(got: Mapping[bytes, bytes]) -> dict[str, str]:
    """Execution id -> how its callback failed, out of a job's fields."""
    return {_text(name[1:]): _text(value) for name, value in got.items() if name[:1] == b"!"}


def _read_call(got: Mapping[bytes, bytes]) -> tuple[CallRecord | None, str]:
    try:
        call = decode_call(_blob(got, b"c"))
        overrides = _blob(got, b"o")
        if overrides:
            call = _overridden(call, overrides)
        if b"j" in got:
            ttl_ms = number(got[b"j"]) or 0
            call = call._replace(policy=call.policy._replace(result_ttl=-1.0 if ttl_ms < 0 else ttl_ms / 1000))
        return call, ""
    except RqlikeError as problem:
        return None, str(problem)
    except RecursionError:  # the error itself, which shows what it is about, where that is nested some hundred deep
        return None, "The stored call is nested too deep."


def _overridden(call: CallRecord, overrides: bytes) -> CallRecord:
    stored = _unpack(overrides, "overrides")
    if not isinstance(stored, dict):
        raise DeserializationError("The stored overrides are not a map.")
    merged = {**encode_policy(call.policy), **stored}
    kept = {short: value for short, value in merged.items() if value is not None}
    return CallRecord(call.func_name, call.payload, call.headers, decode_policy(kept))


def _blob(got: Mapping[bytes, bytes], prefix: bytes) -> bytes:
    first = got.get(prefix + b"0", b"")
    if len(first) != 64:
        return first
    chunks, number = [first], 1
    while (chunk := got.get(b"%b%d" % (prefix, number))) is not None:
        chunks.append(chunk)
        number += 1
    return b"".join(chunks)


def _unknown_status(stored: bytes, whose: str = "A job") -> NoReturn:
    raise DeserializationError(
        f"{whose} is stored with the unknown status {stored[:40]!r}; a newer version, or something else, wrote it."
    ) from None


def text(stored: object) -> str:
    """Stored bytes as text, whatever they are: those that are not UTF-8 become replacement characters."""
    return stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored)


def _text(stored: bytes) -> str:
    return stored.decode(errors="replace")


def number(stored: bytes | None) -> int | None:
    """A stored number; None where there is none, or one that rqlike cannot have written: a moment has 13 digits, and
    one of a million could be turned into nothing that anybody calculates with."""
    if stored is None:
        return None
    try:
        return int(stored) if len(stored) < _DIGITS else _rounded(stored)
    except ValueError:
        return _rounded(stored)


def _rounded(stored: bytes) -> int | None:
    try:
        found = float(stored)
    except ValueError:
        return None
    return int(found) if abs(found) < _LARGEST else None


def read_status(job_id: str, stored: bytes) -> JobStatus:
    """The status of a job that is stored. Raises DeserializationError for one that this version does not know."""
    return _STATUSES.get(stored) or _unknown_status(stored, f"Job {job_id}")


# -- results -----------------------------------------------------------------------------------------------------------


def decode_entry(
    job_id: str, entry: Entry, errors: Mapping[str, str] | None = None
) -> ResultRecord | NoticeRecord | None:
    """An execution or a notice from a stream entry; None where it is neither, written by somebody else."""
    entry_id, flat = entry
    got = dict(zip(flat[::2], flat[1::2], strict=False))
    try:
        if b"q" in got:
            reason = _text(got[b"r"]) if b"r" in got else ""
            return NoticeRecord(_text(entry_id), Notice(_text(got[b"q"])), number(got.get(b"y")) or 1, reason)
        execution_id = _text(got[b"i"])
        return ResultRecord(
            id=_text(entry_id),
            job_id=job_id,
            type=ResultType(int(got[b"t"])),
            cycle=number(got.get(b"y")) or 1,
            attempt=number(got.get(b"a")) or 1,
            worker_name=_text(got.get(b"w", b"")),
            execution_id=execution_id,
            started_ms=number(got.get(b"b")) or 0,
            ended_ms=number(got.get(b"d")) or 0,
            value=got.get(b"v"),
            serializer=_text(got.get(b"s", b"msgpack")),
            exc_string=_text(got[b"x"][: 4 * TRACEBACK_LIMIT]) if b"x" in got else None,
            exc_type=_text(got[b"e"]) if b"e" in got else None,
            reason=Reason(_text(got[b"r"])) if b"r" in got else None,
            next_attempt_ms=number(got.get(b"u")),
            callback_error=(errors or {}).get(execution_id),
            unkept=_unkept(got),
        )
    except (KeyError, ValueError):
        return None


def _unkept(got: Mapping[bytes, bytes]) -> Unkept | None:
    """Why a successful execution has no value. Versions that did not say so dropped one at maxmemory only."""
    if b"v" in got or got[b"t"] != _SUCCESSFUL:
        return None
    return Unkept.DISABLED if got.get(b"k") == _DISABLED else Unkept.MAXMEMORY


def decode_results(
    job_id: str, entries: Iterable[Entry], errors: Mapping[str, str] | None = None
) -> list[ResultRecord]:
    """The executions among stream entries, in the order given."""
    records = (decode_entry(job_id, entry, errors) for entry in entries)
    return [record for record in records if isinstance(record, ResultRecord)]


# -- workers -----------------------------------------------------------------------------------------------------------


def encode_worker(values: Mapping[str, object]) -> list[bytes | str | int]:
    """Worker fields, by the names of `fields.WORKER`, as a flat list."""
    flat: list[bytes | str | int] = []
    for name, value in values.items():
        packed = _PACK(list(value)) if isinstance(value, tuple | list) else value
        flat += (fields.WORKER[name], cast("bytes | str | int", packed))
    return flat


def decode_worker(name: str, flat: Flat) -> WorkerRecord:
    """A worker from its flat list of fields."""
    got = {_text(key): value for key, value in zip(flat[::2], flat[1::2], strict=False)}
    return WorkerRecord(
        name=name,
        hostname=_text(got.get("hostname", b"")),
        pid=number(got.get("pid")) or 0,
        version=_text(got.get("version", b"")),
        python_version=_text(got.get("python_version", b"")),
        queues=_names(got.get("queues", b"")),
        state=_text(got.get("state", b"idle")),
        birth_ms=number(got.get("birth")) or 0,
        seen_ms=number(got.get("seen")) or 0,
        concurrency=number(got.get("concurrency")) or 1,
        current_job_ids=_names(got.get("jobs", b"")),
        successful_job_count=number(got.get("successful_job_count")) or 0,
        failed_job_count=number(got.get("failed_job_count")) or 0,
        working_ms=number(got.get("working_ms")) or 0,
        instance=_text(got.get("instance", b"")),
    )


def _names(stored: bytes) -> tuple[str, ...]:
    try:
        names = _unpack(stored, "list") if stored else []
    except DeserializationError:
        return ()
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
