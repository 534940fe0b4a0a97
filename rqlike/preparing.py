"""From a call as it was made to a job as it is sent: everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from rqlike import callables, codec
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.exceptions import PayloadTooLarge
from rqlike.identity import canonical, digest
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


class Examined(NamedTuple):
    """A call that the server may have. Nothing of it is refused any more; what is left is work, which has time until it
    is to be sent."""

    checked: Checked
    reference: str
    payload: bytes
    headers: Mapping[str, str]
    due: str
    meta: bytes = b""
    content: bytes = b""  #: of its arguments, where its unique key is made of them


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
    return finish(examine(terms, func, args, kwargs, options, due))


def examine(
    terms: Terms,
    func: Func,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    due: str = "",
) -> Examined:
    """Everything of `prepare` that may raise."""
    checked = check(options, terms.defaults, terms.serializer.name) if options else terms.usual
    reference = callables.reference_of(func)
    if not isinstance(func, str):
        callables.bind_call(func, args, kwargs, NAMES)
    headers: Mapping[str, str] = checked.headers
    if headers or producers():
        headers = _with_added(reference, terms.queue, dict(headers))
    payload = dumps_call(terms.serializer, args, kwargs)
    if len(payload) > PAYLOAD_LIMIT:
        raise PayloadTooLarge(size=len(payload), limit=PAYLOAD_LIMIT)
    if checked is PLAIN:
        return Examined(checked, reference, payload, headers, due)
    if checked.job_id is not None and checked.job_id in {need.job_id for need in checked.policy.depends_on}:
        raise ValueError(f"job {checked.job_id} cannot depend on itself")
    content = b""
    if checked.unique is not None and checked.unique.key is None and checked.job_id is None:
        content = canonical(args, kwargs, payload if type(terms.serializer) is MsgpackSerializer else None)
    meta = codec.encode_meta(checked.meta) if checked.meta else b""
    return Examined(checked, reference, payload, headers, due, meta, content)


def _with_added(reference: str, queue: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers with those of middleware."""
    for middleware in producers():
        middleware.on_enqueue(Call(reference, queue, headers))
    return check_headers(headers)  # again, where middleware has added its own


def finish(examined: Examined) -> NewJob:
    """The rest of `prepare`: ids, and bytes as they are sent."""
    checked, reference, payload, headers, due, meta, content = examined
    if checked is PLAIN and not headers:
        return NewJob(random_id(), codec.encode_plain_call(reference, payload), due=due)
    policy, job_id, own = checked.policy, checked.job_id, checked.unique
    return NewJob(
        random_id() if job_id is None else job_id,
        codec.encode_call(CallRecord(reference, payload, headers, policy)),
        "" if job_id is None else nonce(),
        _band(checked) if checked.at_front or policy.priority else NORMAL_BAND,
        due,
        "" if own is None else own.to_text(own.key or job_id or digest(reference, content)),
        checked.wish,
        None if policy.ttl is None else to_ms(policy.ttl),
        verbs.failure_ttl_ms(policy.failure_ttl),
        meta,
        checked.rate_limit.to_text() if checked.rate_limit is not None else "",
        "\n".join(f"{need.wish} {need.job_id}" for need in policy.depends_on) if policy.depends_on else "",
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


def with_timeout(options: Mapping[str, Any], timeout: Seconds | None) -> Mapping[str, Any]:
    """Options with RQ's `timeout` among them, which is job_timeout."""
    if timeout is None:
        return options
    if "job_timeout" in options:
        raise TypeError("give either timeout or job_timeout, not both")
    return {**options, "job_timeout": timeout}


def delay_of(value: Seconds | datetime) -> str:
    """A delay as `NewJob.due` spells it."""
    if isinstance(value, datetime):
        raise TypeError("enqueue_in takes a duration; for a moment use enqueue_at")
    return f"+{to_ms(parse_seconds(value, 'time_delta'))}"


def check_template(options: Mapping[str, Any]) -> None:
    """Raises TypeError for an option that the jobs of a schedule cannot have."""
    for name in ("job_id", "durable"):
        if name in options:
            raise TypeError(f"{name} cannot be an option of a schedule: it makes its jobs by itself, again and again")
