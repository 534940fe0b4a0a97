"""Watching a job: what it tells while it runs, and what becomes of it, in the order in which it came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from typing import Any, Generic, TypeVar

from rqlike import codec
from rqlike.durations import Seconds, parse_seconds
from rqlike.events import Event, begins_cycle, ends_cycle, event_place
from rqlike.records import JobRecord, NoticeRecord, ResultRecord
from rqlike.results import Result
from rqlike.running.progress import write_line
from rqlike.settings import LOG_LINES
from rqlike.store import verbs
from rqlike.store.following import Followed, News, Seen, follow
from rqlike.store.store import Entries, Store
from rqlike.told import LogLine, Progress, read_line, read_progress

T = TypeVar("T")

#: What a watcher is given.
Watched = Progress | LogLine | Event | Result[Any]


class Live(Generic[T]):
    """The part of `Job` that is about what it tells while it runs."""

    _store: Store

    @property
    def _record(self) -> JobRecord:
        raise NotImplementedError

    @property
    def progress(self) -> Progress | None:
        """How far it says it is, asked of the server: the newest that its newest attempt has told with `track` or
        `progress`, kept as long as the job; None where it has told nothing. One round trip."""
        return self._store.run(verbs.told(self._record.id, 0)).progress

    def log(self, text: str) -> None:
        """Writes a line into its log, from the function of the job: `get_current_job().log("…")`.

        Lines reach the server within a tenth of a second; the last 1,000 of them are kept, as long as the job, each cut
        at 4,000 bytes. Nothing is waited for. Raises RqlikeError where the job does not run in this process, TypeError
        for what is no text.
        """
        write_line(self._record.id, self._record.token, text)

    def logs(self, limit: int = 100) -> list[LogLine]:
        """The last lines of its log, of all its cycles, oldest first; at most `limit` (1 to 1,000). One round trip.
        Raises ValueError."""
        if type(limit) is not int or not 1 <= limit <= LOG_LINES:
            raise ValueError(f"limit is a whole number from 1 to {LOG_LINES}, not {limit!r}")
        return self._store.run(verbs.told(self._record.id, limit)).lines

    def watch(self, timeout: Seconds | None = None) -> Iterator[Progress | LogLine | Event | Result[T]]:
        """What this cycle of the job tells, as it comes, until it ends: first what is kept of it, then what is new.

        `Progress` at most ten times a second and only where it changed, `LogLine` for each line, `Event` for each step,
        `Result` for each execution; in the order in which they came, the Result that ends the cycle last. A job that is
        canceled, expired, deleted or gone ends it without one. Where the events of its queue are switched off, or those
        of this cycle are kept no longer, it goes on without them. Where other jobs of the queue do much, an event comes
        up to about a second late if nothing else does, and one is left out where the job soon stands again as it did
        (claimed and given back).

        `timeout`: seconds; None without limit; when they are over it ends too. One connection of its own. Two round
        trips per piece of news; where other jobs of its queue do something also without news, as a rule once a second,
        ten times at most. Raises TimeoutFormatError, and redis-py's errors where the server is away at first, or still
        at the end of the timeout.
        """
        return _watch(self._store, self._record, None if timeout is None else parse_seconds(timeout, "timeout"))


def _watch(store: Store, job: JobRecord, seconds: float | None) -> Iterator[Watched]:
    """`Job.watch`: all news of the cycle of `job`, until it ends or `seconds` are over (None: without limit)."""
    begun_ms = _begun_ms(job)
    for news in follow(store, Followed(job.id, job.queue, job.since, begun_ms), seconds):
        entries = _of_cycle(job, news.results)
        results: list[Result[Any]] = [Result(one) for one in entries if isinstance(one, ResultRecord)]
        yield from _in_order(_told(job, news), _steps(job, news.events, begun_ms), results)
        if _is_over(job, news.seen) or len(results) < len(entries) or any(one.final for one in results):
            return


def _begun_ms(job: JobRecord) -> int:
    """When its cycle began, or earlier: after the end of the one before it."""
    return max(job.created_ms, codec.number(job.since.partition("-")[0].encode()) or 0)


def _is_over(job: JobRecord, seen: Seen) -> bool:
    """Whether the cycle has ended, or the id has come to another job."""
    another = seen.cycle != job.cycle or (seen.created_ms or 0) > job.created_ms
    return seen.status is None or seen.status.terminal or another


def _of_cycle(job: JobRecord, entries: Entries) -> list[ResultRecord | NoticeRecord]:
    read = (codec.decode_entry(job.id, entry) for entry in entries)
    return [one for one in read if one is not None and one.cycle == job.cycle]


def _told(job: JobRecord, news: News) -> list[Progress | LogLine]:
    told = (*map(read_progress, news.states), *map(read_line, news.lines))
    return sorted((one for one in told if one is not None and one.cycle == job.cycle), key=_place)


def _steps(job: JobRecord, events: Sequence[Event], begun_ms: int) -> list[Event]:
    """Those of the cycle: without what became of another job of the same id, before or after."""
    steps = [event for event in events if event.cycle == job.cycle]
    first = next((at for at, event in enumerate(steps) if begins_cycle(event)), 0)
    if steps and event_place(steps[first].id)[0] == begun_ms:  # nothing before it is younger
        del steps[:first]
    last = next((at for at, event in enumerate(steps) if ends_cycle(event)), len(steps))
    return steps[: last + 1]


def _in_order(told: Iterable[Watched], steps: Iterable[Watched], results: Sequence[Result[Any]]) -> list[Watched]:
    """As they came; the end of the cycle last."""
    ends: list[Watched] = [one for one in results if one.final]
    return [*merge(told, steps, (one for one in results if not one.final), key=_place), *ends]


def _place(one: Watched) -> tuple[int, int, int, int, float]:
    """In the same millisecond an execution is claimed, tells, has its result, and what follows from that happens."""
    if isinstance(one, Event):
        rank = 0 if one.name == "claim" else 3
    else:
        rank = 2 if isinstance(one, Result) else 1
    first, second, inside = event_place(one.id)
    return first, one.attempt, rank, second, inside
