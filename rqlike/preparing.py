"""From a call as it was made to a job as it is sent: everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from rqlike import callables, codec
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.exceptions import PayloadTooLarge
from rqlike.identity import call_digest
from rqlike.options import NAMES, PLAIN, Checked, check, check_headers
from rqlike.records import CallRecord
from rqlike.running.middleware import Call, producers
from rqlike.serializers import MsgpackSerializer, Serializer, dumps_call
from rqlike.settings import FRONT_BAND, NORMAL_BAND, PAYLOAD_LIMIT
from rqlike.store import verbs
from rqlike.store.requests import nonce, random_id
from rqlike.store.verbs import NewJob

Func = Callable[..., Any] | str

NO_DEFAULTS: Final[Mapping[str, Any]] = {}


class EnqueueData(NamedTuple):
    """One job of an `enqueue_many`; made by `Queue.prepare_data`, and validated by it."""

    func: Func
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    due: str = ""


class Terms(NamedTuple):
    """What a queue says about all its jobs."""

    queue: str
    serializer: Serializer
    defaults: Mapping[str, Any]
    usual: Checked  #: the defaults, checked


def prepare(
    terms: Terms,
    func: Func,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    due: str = "",
) -> NewJob:
    """A job that the server may have. Raises TypeError, ValueError, SerializationError, PayloadTooLarge, and what
    middleware raises."""
    checked = check(options, terms.defaults, terms.serializer.name) if options else terms.usual
    reference = callables.reference_of(func)
    if not isinstance(func, str):
        callables.bind_call(func, args, kwargs, NAMES)
    headers = dict(checked.headers) if checked.headers else {}
    for middleware in producers():
        middleware.on_enqueue(Call(reference, terms.queue, headers))
    if headers:
        headers = check_headers(headers)  # again: middleware has added its own
    payload = dumps_call(terms.serializer, args, kwargs)
    if len(payload) > PAYLOAD_LIMIT:
        raise PayloadTooLarge(size=len(payload), limit=PAYLOAD_LIMIT)
    if checked is PLAIN and not headers:
        return NewJob(random_id(), codec.encode_plain_call(reference, payload), due=due)
    unique = ""
    if checked.unique is not None:
        key = checked.unique.key or checked.job_id
        if key is None:
            packed = payload if type(terms.serializer) is MsgpackSerializer else None
            key = call_digest(reference, args, kwargs, packed)
        unique = checked.unique.to_text(key)
    return _with_options(
        checked, codec.encode_call(CallRecord(reference, payload, headers, checked.policy)), due, unique
    )


def _with_options(checked: Checked, call: bytes, due: str, unique: str) -> NewJob:
    policy, job_id = checked.policy, checked.job_id
    return NewJob(
        random_id() if job_id is None else job_id,
        call,
        "" if job_id is None else nonce(),
        _band(checked) if checked.at_front or policy.priority else NORMAL_BAND,
        due,
        unique,
        checked.wish,
        None if policy.ttl is None else to_ms(policy.ttl),
        verbs.failure_ttl_ms(policy.failure_ttl),
        codec.encode_meta(checked.meta) if checked.meta else b"",
        checked.rate_limit.to_text() if checked.rate_limit is not None else "",
    )


def _band(checked: Checked) -> int:
    """What `NewJob.band` is to be."""
    own = checked.policy.band
    if not checked.at_front:
        return own
    return FRONT_BAND if own == NORMAL_BAND else -own


def explicit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """RQ's explicit form: `enqueue(f, args=(...), kwargs={...}, option=...)`."""
    if "args" not in kwargs and "kwargs" not in kwargs:
        return args, kwargs
    own = dict(kwargs)
    given, named = own.pop("args", ()) or (), own.pop("kwargs", {}) or {}
    if args or own:
        extra = f"{next(iter(own))}=" if own else "positional ones"
        raise TypeError(f"arguments were given both by args=/kwargs= and by {extra}; use one form")
    return tuple(given), dict(named)


def with_timeout(options: Mapping[str, Any], timeout: Seconds | None) -> dict[str, Any]:
    """Options with RQ's `timeout` among them, which is job_timeout."""
    own = dict(options)
    if timeout is not None:
        if "job_timeout" in own:
            raise TypeError("give either timeout or job_timeout, not both")
        own["job_timeout"] = timeout
    return own


def delay_of(value: Seconds | datetime) -> str:
    """A delay as `NewJob.due` spells it."""
    if isinstance(value, datetime):
        raise TypeError("enqueue_in takes a duration; for a moment use enqueue_at")
    return f"+{to_ms(parse_seconds(value, 'time_delta'))}"


def check_template(options: Mapping[str, Any]) -> None:
    """Raises TypeError for an option that the jobs of a schedule cannot have."""
    for name in ("job_id", "durable"):
        if name in options:
            raise TypeError(f"{name} cannot be an option of a schedule: it makes its jobs by itself")
