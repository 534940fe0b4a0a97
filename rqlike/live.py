"""Watching a job: what it tells while it runs, and how each of its executions ended, in the order in which it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from rqlike import codec
from rqlike.durations import Seconds, parse_seconds
from rqlike.records import JobRecord, NoticeRecord, ResultRecord
from rqlike.results import Result
from rqlike.running.progress import write_line
from rqlike.settings import LOG_LINES
from rqlike.store import verbs
from rqlike.store.following import News, follow
from rqlike.store.store import Store
from rqlike.store.verbs import Peeked
from rqlike.told import LogLine, Progress, read_line, read_progress

T = TypeVar("T")

#: What a watcher is given; what becomes of a job beside that would be added here and in `_sorted`.
Watched = Progress | LogLine | Result[Any]


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

    def watch(self, timeout: Seconds | None = None) -> Iterator[Progress | LogLine | Result[T]]:
        """What this cycle of the job tells, as it comes, until it ends: first what is kept of it, then what is new.

        `Progress` at most ten times a second and only where it changed, `LogLine` for each line, `Result` for each
        execution, the one that ends the cycle last. A job that is canceled, expired, deleted or gone just ends it.
        `timeout`: seconds; None without limit; when they are over it ends too. One connection of its own, one round
        trip per piece of news. Raises TimeoutFormatError, and redis-py's errors where the server is away at first, or
        still at the end of the timeout.
        """
        return _watch(self._store, self._record, None if timeout is None else parse_seconds(timeout, "timeout"))


def _watch(store: Store, job: JobRecord, seconds: float | None) -> Iterator[Watched]:
    """`Job.watch`: all news of the cycle of `job`, until it ends or `seconds` are over (None: without limit)."""
    for news in follow(store, job.id, job.queue, job.since, seconds):
        over = news.seen is not None and _is_over(job, news.seen)
        for one in _in_order(job, news):
            if isinstance(one, NoticeRecord):
                over = True
                continue
            over = over or (isinstance(one, Result) and one.final)
            yield one
        if over:
            return


def _is_over(job: JobRecord, seen: Peeked) -> bool:
    """Whether the cycle has ended, or the id has come to another job."""
    another = seen.cycle != job.cycle or (seen.created_ms or 0) > job.created_ms
    return seen.status is None or seen.status.terminal or another


def _in_order(job: JobRecord, news: News) -> list[Watched | NoticeRecord]:
    """What belongs to the cycle, in the order in which it was written."""
    read = [codec.decode_entry(job.id, entry) for entry in news.results]
    results: list[Watched | NoticeRecord] = [
        Result(one) if isinstance(one, ResultRecord) else one for one in read if one and one.cycle == job.cycle
    ]
    states = [read_progress(entry) for entry in news.states]
    lines = [read_line(entry) for entry in news.lines]
    told = [one for one in (*states, *lines) if one is not None and one.cycle == job.cycle]
    return sorted([*told, *results], key=_place)


def _place(one: Watched | NoticeRecord) -> tuple[int, bool, int]:
    """Of what was written in the same millisecond, how an execution ended comes after what it told."""
    first, _, second = one.id.partition("-")
    return int(first), isinstance(one, Result | NoticeRecord), int(second)
