"""Dead letters: the failed jobs of a queue, by function, exception and reason, and how they are run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from rqlike import clock, codec, tables
from rqlike.callables import reference_of
from rqlike.durations import Seconds, parse_seconds, to_ms
from rqlike.lookups import load_many
from rqlike.states import Reason
from rqlike.store import pages, verbs
from rqlike.store.pages import BEGINNING, Cursor, Failure
from rqlike.store.requests import nonce
from rqlike.store.store import Store

_GLOB: Final = frozenset("*?[")
_AT_ONCE: Final = 250  #: jobs requeued per call: each takes the server twice as long as a deletion


class FailureGroup(NamedTuple):
    """Failed jobs of one function, with one class of exception and one reason."""

    func_name: str  #: '' where the calls cannot be read
    exc_type: str | None  #: dotted path; None where no exception was recorded
    reason: Reason | None
    count: int  # type: ignore[assignment]  # of a tuple's own method nobody has need here
    first_at: datetime  #: when the first of them ended; aware UTC
    last_at: datetime
    job_id: str  #: of the one that ended last

    def __repr__(self) -> str:
        return f"<FailureGroup {self.count} of {tables.printable(_call(self), 80)}: {tables.printable(_why(self), 80)}>"


class FailureGroups(list[FailureGroup]):
    """Groups of failed jobs, the largest first. A list whose repr is a table."""

    def __repr__(self) -> str:
        return "no failed jobs" if not self else tables.table(HEADINGS, rows(self), right=(0,))


HEADINGS: Final = ("jobs", "function", "exception", "reason", "first (UTC)", "last (UTC)", "newest job")


def rows(groups: Sequence[FailureGroup]) -> Iterator[tuple[str, ...]]:
    """Groups as the cells of a table."""
    for group in groups:
        yield (
            str(group.count),
            tables.printable(_call(group), 60),
            tables.printable(_class(group), 60),
            group.reason or "",
            f"{group.first_at:%Y-%m-%d %H:%M}",
            f"{group.last_at:%Y-%m-%d %H:%M}",
            tables.printable(group.job_id, 40),
        )


def _call(group: FailureGroup) -> str:
    return group.func_name or "(unreadable)"


def _class(group: FailureGroup) -> str:
    return (group.exc_type or "").removeprefix("builtins.")


def _why(group: FailureGroup) -> str:
    return " ".join(part for part in (_class(group), group.reason and f"({group.reason})") if part) or "unknown"


# -- which -------------------------------------------------------------------------------------------------------------


class Criteria(NamedTuple):
    """Which failed jobs are meant; None: all, in this regard."""

    func: str | None = None  #: a path, or a glob over paths
    exc_type: str | None = None  #: a dotted path, or the name of a class
    reason: Reason | None = None
    older_ms: int | None = None

    @property
    def chooses(self) -> bool:
        """Whether it says anything."""
        return self != Criteria()

    @property
    def asks_why(self) -> bool:
        """Whether more than the moment has to be known of a job."""
        return (self.func, self.exc_type, self.reason) != (None, None, None)

    def fits(self, func_name: str, exc_type: str | None, reason: Reason | None) -> bool:
        """Whether a failure is one of those."""
        return (
            (self.func is None or _named(self.func, func_name))
            and (self.exc_type is None or self.exc_type in (exc_type, (exc_type or "").rpartition(".")[2]))
            and (self.reason is None or self.reason is reason)
        )


def _named(wanted: str, func_name: str) -> bool:
    return func_name == wanted or (not _GLOB.isdisjoint(wanted) and fnmatchcase(func_name, wanted))


def check_criteria(
    func: Callable[..., Any] | str | None = None,
    exc_type: type[BaseException] | str | None = None,
    reason: Reason | str | None = None,
    older_than: Seconds | None = None,
) -> Criteria:
    """Raises TypeError and ValueError for what cannot be one."""
    return Criteria(
        func if func is None or isinstance(func, str) else reference_of(func),
        _class_path(exc_type),
        None if reason is None else _reason(reason),
        None if older_than is None else to_ms(parse_seconds(older_than, "older_than")),
    )


def _class_path(kind: object) -> str | None:
    if kind is None or isinstance(kind, str):
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return f"{kind.__module__}.{kind.__qualname__}"
    raise TypeError(f"exc_type takes a class of exceptions, its path or its name, not {kind!r:.100}")


def _reason(word: object) -> Reason:
    try:
        return Reason(word)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"there is no reason {word!r:.50}; there are {', '.join(Reason)}") from None


class Told(NamedTuple):
    """A failed job, and why it failed as far as it was asked for."""

    failure: Failure
    func_name: str
    ended_ms: int
    is_newest: bool  #: it ended in the very millisecond of the first page: so may one that is requeued and fails again


def matching(store: Store, queue: str, criteria: Criteria, *, ask_why: bool = False) -> Iterator[list[Told]]:
    """Failed jobs that fit, in pages of at most 500 by expiry; one round trip each.

    Those that fail while this goes on are not among them: what counts is the moment of the first page."""
    after: Cursor | None = BEGINNING
    bound: int | None = None
    told = ask_why or criteria.asks_why
    while after is not None:
        page = store.run(pages.failures(queue, after, told=told))
        bound = page.now_ms - (criteria.older_ms or 0) if bound is None else bound
        ended = [(one, bound if one.ended_ms is None else one.ended_ms) for one in page.found]
        late = [(one, moment) for one, moment in ended if moment <= bound]
        names = _names(store, [one for one, _ in late]) if told else [""] * len(late)
        yield [
            Told(one, name, moment, moment == bound)
            for (one, moment), name in zip(late, names, strict=True)
            if criteria.fits(name, one.exc_type, one.reason)
        ]
        after = page.after


def _names(store: Store, found: Sequence[Failure]) -> list[str]:
    """The functions' paths; those that are too long for the first bytes of a call are asked for."""
    names = [codec.name_in(one.head) for one in found]
    cut = [at for at, name in enumerate(names) if name is None]
    records = load_many(store, [found[at].job_id for at in cut])
    for at, record in zip(cut, records, strict=True):
        names[at] = record.call.func_name if record is not None and record.call is not None else ""
    return [name or "" for name in names]


# -- what becomes of them ----------------------------------------------------------------------------------------------


def requeue(store: Store, queue: str, criteria: Criteria, limit: int | None) -> Iterator[int]:
    """New cycles for failed jobs that fit, each at most once; yields how many per call."""
    left, done = float("inf") if limit is None else limit, set[str]()
    if left <= 0:
        return
    for found in matching(store, queue, criteria):
        ids = [one.failure.job_id for one in found if one.failure.job_id not in done]
        done.update(one.failure.job_id for one in found if one.is_newest)
        while ids and left > 0:
            size = int(min(left, _AT_ONCE))
            part, ids = ids[:size], ids[size:]
            words = store.run(verbs.requeue(part, nonce(), at_front=False))
            again = sum(word == "ok" for word in words)
            left -= again
            yield again
        if left <= 0:
            return


def requeueable(store: Store, queue: str, criteria: Criteria, limit: int | None) -> int:
    """How many `requeue` would move, if nobody else changed anything: of jobs with one unique key the first."""
    taken, count = set[str](), 0
    for found in matching(store, queue, criteria):
        for failure in (one.failure for one in found):
            if limit is not None and count >= limit:
                return count
            if failure.unique and (failure.is_held or failure.unique in taken):
                continue
            if failure.unique:
                taken.add(failure.unique)
            count += 1
    return count


def summary(store: Store, queue: str, limit: int) -> FailureGroups:
    """The largest groups of failed jobs."""
    groups = dict[tuple[str, str | None, Reason | None], list[Any]]()
    for found in matching(store, queue, Criteria(), ask_why=True):
        for failure, name, ended, _ in found:
            key = (name, failure.exc_type, failure.reason)
            group = groups.setdefault(key, [0, ended, ended, failure.job_id])
            group[0] += 1
            group[1] = min(group[1], ended)
            if ended >= group[2]:
                group[2:] = ended, failure.job_id
    made = [
        FailureGroup(*key, count, clock.utc(first), clock.utc(last), job_id)
        for key, (count, first, last, job_id) in groups.items()
    ]
    made.sort(key=lambda group: (-group.count, group.func_name, group.exc_type or "", group.reason or ""))
    return FailureGroups(made[:limit])
