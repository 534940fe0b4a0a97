"""The options of a job: spelt once, checked once, before anything is written.

`JobOptions` is the list. `split` takes them out of a call's keywords, `check` turns them into the values the rest of
the package works with: seconds as floats, policies as policies, an id that is safe in a key and on a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable as AnyCallable
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypedDict

from rqlike.dependency import Dependency, JobRef, Need, needs_of
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.exceptions import PayloadTooLarge
from rqlike.limits import RateLimit
from rqlike.policies import Callback, Repeat, Retry
from rqlike.settings import (
    DEFAULT_FAILURE_TTL,
    DEFAULT_TIMEOUT,
    DESCRIPTION_LIMIT,
    HEADERS_LIMIT,
    ID_LIMIT,
    META_LIMIT,
    MOST_PRIORITY,
    NORMAL_BAND,
)


class JobOptions(TypedDict, total=False):
    """What may be said about a job when it is enqueued. Durations: `90`, `0.5`, `timedelta(...)`, `"1h30m"`."""

    job_timeout: Seconds  #: how long it may run; 180 s; -1 is without limit, 0 is refused
    result_ttl: Seconds | None  #: how long it is kept once finished; None the worker's 500 s, 0 not at all, -1 for ever
    store_result: bool  #: whether the return value is stored; True; False: only that it finished
    failure_ttl: Seconds  #: how long it is kept when it failed, was stopped, canceled or expired; 1 year, -1 for ever
    ttl: Seconds | None  #: how long it may wait, from first queued to first start; then it is `expired`
    job_id: str  #: any printable text up to 256 bytes; default a random UUID
    description: str  #: what people read in lists; default the call itself
    meta: dict[str, object]  #: notes of your own; `job.meta`
    at_front: bool  #: before the others of its queue
    priority: int  #: -100 to 100, 0; higher ones go first in their queue, `at_front` before all of them
    retry: Retry | int  #: what to do when it fails
    repeat: Repeat  #: run it again after it finished
    depends_on: JobRef | Dependency | Sequence[JobRef | Dependency]  #: jobs, ids: to finish before it is queued
    on_success: Callback | AnyCallable[..., Any] | str  #: called in a horse once the outcome is recorded
    on_failure: Callback | AnyCallable[..., Any] | str  #: called after every failed attempt
    on_stopped: Callback | AnyCallable[..., Any] | str  #: called after it was stopped
    unique: bool  #: no other job has its unique key: `unique_key`, else `job_id`, else the content id of the call
    on_duplicate: Literal["raise", "return", "replace"]  #: where its id or key is held; "raise" DuplicateJobError
    unique_key: str  #: any printable text up to 256 bytes, for all queues; makes the job unique
    unique_for: Seconds  #: the key is held so long from the enqueue; default until the job has ended
    durable: bool  #: return only when the server's disk and a replica have it, as far as it has them; default False
    headers: Mapping[str, str]  #: for middleware: trace context and the like
    rate_limit: RateLimit | None  #: how many of its key may run at once, or start in a while; default without limit


ON_DUPLICATE: Final = ("raise", "return", "replace")
NAMES: Final = tuple(JobOptions.__annotations__)

#: Words people bring along from RQ, Celery or a typo that difflib does not bridge.
_MEANT: Final = {
    "timeout": "job_timeout",
    "countdown": "enqueue_in",
    "eta": "enqueue_at",
    "max_retries": "retry",
    "results_ttl": "result_ttl",
    "id": "job_id",
    "task_id": "job_id",
    "job_key": "unique_key",
    "dedup_key": "unique_key",
    "if_exists": "on_duplicate",
    "fsync": "durable",
    "sync": "durable",
    "ignore_result": "store_result",
    "save_result": "store_result",
}


class Policy(NamedTuple):
    """How a job is to be run, kept and followed up: the part of its options that travels with the call."""

    job_timeout: float = DEFAULT_TIMEOUT  #: seconds; -1 is without limit
    result_ttl: float | None = None  #: seconds; None is the worker's default
    failure_ttl: float = DEFAULT_FAILURE_TTL  #: seconds; -1 for ever
    ttl: float | None = None  #: seconds; None is without limit
    description: str | None = None
    retry: Retry | None = None
    repeat: Repeat | None = None
    on_success: Callback | None = None
    on_failure: Callback | None = None
    on_stopped: Callback | None = None
    serializer: str = "msgpack"
    priority: int = 0  #: -100 to 100; higher ones go first
    depends_on: tuple[Need, ...] = ()  #: jobs that are to end before it is queued
    store_result: bool = True  #: False: what it returns is dropped where it ran

    @property
    def band(self) -> int:
        """Its part of a queue's order: 1 for the highest priority, 201 for the lowest."""
        return NORMAL_BAND - self.priority

    @property
    def has_callbacks(self) -> bool:
        """Whether anything is to be called when an execution ends."""
        return (self.on_success or self.on_failure or self.on_stopped) is not None


PLAIN_POLICY: Final = Policy()


_TIMED: Final = re.compile(r"^[0-9]+ ")


class Unique(NamedTuple):
    """That no other job has its key."""

    key: str | None = None  #: None: its id where it was given one, else the content id of its call
    for_ms: int = 0  #: how long from the enqueue; 0 until it has ended

    def to_text(self, key: str) -> str:
        """As a job carries it and the scripts read it: for how long, and the key; the key alone where it is held until
        the job has ended: a content id just fits the compact form of a job's hash."""
        return f"{self.for_ms} {key}" if self.for_ms or _TIMED.match(key) else key

    @staticmethod
    def key_of(text: str) -> str:
        """The key out of that text."""
        return _TIMED.sub("", text, count=1)


_BY_CONTENT: Final = Unique()


class Checked(NamedTuple):
    """Checked options: the policy, and what concerns only the act of enqueueing."""

    policy: Policy = PLAIN_POLICY
    job_id: str | None = None
    meta: dict[str, object] | None = None
    at_front: bool = False
    headers: Mapping[str, str] = MappingProxyType({})
    durable: bool = False
    rate_limit: RateLimit | None = None
    unique: Unique | None = None
    wish: str = ""  #: where its id or its key is held: '' is an error, return, replace


def split(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options, the function's own keywords): every option name is taken out, the rest is left."""
    if not keywords:
        return {}, keywords
    options = {name: keywords[name] for name in NAMES if name in keywords}
    if not options:
        return options, keywords
    return options, {name: value for name, value in keywords.items() if name not in options}


def suggestion(name: str, known: Iterable[str] = NAMES) -> str:
    """` Did you mean 'x'?`, or nothing where no known word is near."""
    if name in _MEANT:
        return f" Did you mean {_MEANT[name]!r}?"
    import difflib  # for an error only

    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def check(options: Mapping[str, Any], defaults: Mapping[str, Any], serializer: str = "msgpack") -> Checked:
    """Checks options laid over a queue's defaults.

    Raises TypeError for an unknown name or a wrong type, ValueError (TimeoutFormatError for durations) for a value
    out of range; the message names the option and what it takes.
    """
    given = {**defaults, **options} if defaults else options
    if not given and serializer == "msgpack":
        return PLAIN
    policy: dict[str, Any] = {} if serializer == "msgpack" else {"serializer": serializer}
    act: dict[str, Any] = {}
    for name, value in given.items():
        if name in _OF_POLICY:
            if value is not None or name in _FLAGS:
                policy[name] = _OF_POLICY[name](value)
        elif name in _OF_ACT:
            if value is not None or name in _FLAGS:
                act[name] = _OF_ACT[name](value)
        elif name not in _TOGETHER:
            raise TypeError(f"unknown job option {name!r}.{suggestion(name)} Options: {', '.join(NAMES)}")
    if not _TOGETHER.isdisjoint(given):
        act["unique"], act["wish"] = _unique(given, options), _wish(given, options)
    return Checked(Policy(**policy) if policy else PLAIN_POLICY, **act)


def check_job_id(job_id: object) -> str:
    """A job id: printable text of 1 to 256 bytes. Raises TypeError or ValueError."""
    if not isinstance(job_id, str):
        raise TypeError(f"a job id is a str, not {type(job_id).__name__}; write str({job_id!r})")
    return _printable("job id", job_id)


def check_queue_name(name: object) -> str:
    """A queue name: printable text of 1 to 256 bytes. Raises TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"a queue name is a str, not {type(name).__name__}")
    return _printable("queue name", name)


def _printable(what: str, text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{what} {text!r} has characters that cannot be printed; control characters are refused")
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    if not 1 <= size <= ID_LIMIT:
        raise ValueError(f"{what} has {size} bytes; it takes 1 to {ID_LIMIT}. For longer texts use a hash of them")
    return text


def check_description(value: object) -> str | None:
    """Text of at most 1 kB, a longer one cut; None for the call itself. Raises TypeError."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"description takes text, not {type(value).__name__}")
    value.encode()  # half a surrogate pair is refused here, where nothing is written yet
    return value if len(value) <= DESCRIPTION_LIMIT else value[: DESCRIPTION_LIMIT - 1] + "…"


def _meta(value: object) -> dict[str, object] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"meta takes a dict with str keys (at most {META_LIMIT} bytes), not {_kinds(value)}")
    return value or None


def check_priority(value: object) -> int:
    """A whole number from -100 to 100; None is 0. Raises TypeError or ValueError."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"priority takes a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}, not {value!r}")
    if not -MOST_PRIORITY <= value <= MOST_PRIORITY:
        raise ValueError(f"priority {value} is out of range: it takes -{MOST_PRIORITY} to {MOST_PRIORITY}")
    return int(value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} takes True or False, not {value!r}")
    return value


def check_headers(value: object) -> dict[str, str]:
    """Headers as a dict of their own. Raises TypeError, and PayloadTooLarge over 16 kB."""
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise TypeError(f"headers takes a mapping of str to str, not {_kinds(value)}")
    size = sum(len(name.encode()) + len(text.encode()) for name, text in value.items())
    if size > HEADERS_LIMIT:
        raise PayloadTooLarge(
            f"headers have {size} bytes, the limit is {HEADERS_LIMIT}; pass data as arguments of the job",
            size=size,
            limit=HEADERS_LIMIT,
        )
    return dict(value)


def _repeat(value: object) -> Repeat:
    if not isinstance(value, Repeat):
        raise TypeError(f"repeat takes a Repeat(times, interval), not {value!r}")
    return value


def _kinds(value: object) -> str:
    """What it is, without what is in it: this may end in a log."""
    if not isinstance(value, Mapping):
        return type(value).__name__
    kinds = sorted({f"{type(name).__name__} to {type(item).__name__}" for name, item in value.items()})
    return f"a mapping of {', '.join(kinds)}"


def _rate_limit(value: object) -> RateLimit | None:
    if value is not None and not isinstance(value, RateLimit):
        raise TypeError(
            f"rate_limit takes a RateLimit(key, concurrency) or RateLimit(key, limit=, per=), not {value!r}"
        )
    return value


def _unique(given: Mapping[str, Any], own: Mapping[str, Any]) -> Unique | None:
    key, span = given.get("unique_key"), given.get("unique_for")
    wanted = given.get("unique")
    for name in ("unique_key", "unique_for") if own.get("unique") is False else ():
        if own.get(name) is not None:
            raise TypeError(f"{name} makes the job unique: leave it out, or unique=False")
    if wanted is True and key is None and span is None:
        return _BY_CONTENT
    if not (_flag("unique", wanted) if wanted is not None else key is not None or span is not None):
        return None
    return Unique(
        None if key is None else check_unique_key(key),
        0 if span is None else max(1, to_ms(parse_seconds(span, "unique_for", zero=False))),
    )


def check_unique_key(key: object) -> str:
    """A unique key: printable text of 1 to 256 bytes. Raises TypeError or ValueError."""
    if not isinstance(key, str):
        raise TypeError(f"unique_key takes a str, not {type(key).__name__}; write str({key!r})")
    return _printable("unique_key", key)


def _wish(given: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    if "on_duplicate" not in given:
        return ""
    wish = given["on_duplicate"]
    if wish not in ON_DUPLICATE:
        raise ValueError(f"on_duplicate takes {', '.join(map(repr, ON_DUPLICATE))}, not {wish!r}")
    if "on_duplicate" in own and not any(given.get(name) for name in ("job_id", "unique", "unique_key", "unique_for")):
        raise TypeError(
            "on_duplicate says what happens where a job has the same id or unique key: "
            "give job_id=, unique=True or unique_key= too"
        )
    return "" if wish == "raise" else str(wish)


#: How each option is checked that can be checked alone. None is the default, where it is not a flag.
_OF_POLICY: Final[dict[str, AnyCallable[[Any], Any]]] = {
    "job_timeout": partial(parse_seconds, name="job_timeout", forever=True, zero=False),
    "result_ttl": partial(parse_seconds, name="result_ttl", forever=True),
    "failure_ttl": partial(parse_seconds, name="failure_ttl", forever=True, zero=False),
    "ttl": partial(parse_seconds, name="ttl", zero=False),
    "description": check_description,
    "retry": Retry.coerce,
    "repeat": _repeat,
    "on_success": Callback.coerce,
    "on_failure": Callback.coerce,
    "on_stopped": Callback.coerce,
    "priority": check_priority,
    "depends_on": needs_of,
    "store_result": partial(_flag, "store_result"),
}
_OF_ACT: Final[dict[str, AnyCallable[[Any], Any]]] = {
    "job_id": check_job_id,
    "meta": _meta,
    "at_front": partial(_flag, "at_front"),
    "headers": lambda value: check_headers(value or {}),
    "durable": partial(_flag, "durable"),
    "rate_limit": _rate_limit,
}
_FLAGS: Final = frozenset({"at_front", "durable", "store_result"})
_TOGETHER: Final = frozenset({"unique", "unique_key", "unique_for", "on_duplicate"})

PLAIN: Final = Checked()
