"""Following a job: all that it tells, and all that becomes of it, as it comes.

What is kept is read from ids that are known, never from "now", and all of it at one moment, by one script: so nothing
falls between two looks, and what a look brings can be put in order. Between two looks a read blocks on the streams of
the job for at most 4 s: whatever happened to it, a watcher learns.

The events of a job stand in the stream of its queue, among those of all its jobs. A read blocks on that one too. Where
it is woken by what another job did, the watcher leaves the stream out of its reads for a moment, longer each time up to
a second, so that it costs much the same however much goes on in the queue; but no longer than half the time that the
stream reaches back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import SystemRandom
from typing import Any, Final, NamedTuple

from rqlike import codec
from rqlike.clock import mono
from rqlike.events import Event, begins_cycle, event_place
from rqlike.settings import EVENTS_CAUGHT_UP, EVENTS_SOUGHT
from rqlike.states import JobStatus
from rqlike.store.events import own_events
from rqlike.store.requests import Request
from rqlike.store.store import Entries, Store
from rqlike.store.waiting import AWAY, Patience, expire

#: A watcher leaves an overdue job to a worker's sweep for so long.
_SWEEP_CHANCE_S: Final = 0.1
#: For how long what other jobs do does not wake a watcher, in seconds: the first time, doubled up to the second. Where
#: a stream reaches back by less than twice that, it is half of it, but not less than the third.
_BACKOFF_S, _LONGEST_BACKOFF_S, _LEAST_BACKOFF_S = 0.25, 1.0, 0.1
_DICE: Final = SystemRandom()


class Followed(NamedTuple):
    """Whose news are read, and from where on."""

    job_id: str
    queue: str
    since: str  #: id in the stream of its results that the cycle began after
    begun_ms: int  #: no event of the cycle is older


class Seen(NamedTuple):
    """What a watcher sees of the job itself."""

    now_ms: int
    status: JobStatus | None  #: None where there is no such job
    cycle: int
    deadline_ms: int | None  #: when it expires if it has not started
    created_ms: int | None  #: of the job that bears the id now


class News(NamedTuple):
    """All that came since the last time."""

    states: Entries  #: progress
    lines: Entries
    results: Entries
    events: tuple[Event, ...]  #: its own ones, oldest first
    seen: Seen  #: the job, when all of these had been written


class _Place(NamedTuple):
    """Up to where a watcher has read."""

    state: str
    line: str
    result: str
    event: str  #: of any job of the queue
    stands: str  #: how the job stood when its events up to there had been seen; "" before the first time
    gap: bool = False  #: whether events are kept no longer that may have been its own
    readable: bool = True  #: whether the events are what can be blocked on
    reach_s: float = 0.0  #: how far back those go that are kept


def follow(store: Store, job: Followed, timeout: float | None) -> Iterator[News]:
    """All news of a job from the beginning of a cycle on: what is kept of it at once, then what comes, until `timeout`
    (seconds; None without limit). There may be nothing in them but how the job stands.

    It is for whoever reads it to know when there is an end. A server that cannot be reached at first is an error; one
    that goes away meanwhile is waited for until the timeout, then its error is raised."""
    patience = Patience(None if timeout is None else mono() + timeout)
    place = _Place("0-0", "0-0", job.since, f"{max(0, job.begun_ms - 1)}-0", "")
    send: Callable[[Request[_Look]], _Look] = store.run  # by the rules of the caller's client, at first
    backoff_s = 0.0  # for how long the events of other jobs are not to wake it
    while True:
        try:
            news, there = _look(send, job, place)
        except AWAY as problem:
            if send == store.run or not patience.outlasts(problem):
                raise
            continue
        if news.events or there.event == place.event:  # the others are quiet, or it is worth it
            backoff_s = 0.0
        place, send = there, store.look
        patience.renew()
        yield news
        left = patience.left()
        if left <= 0:
            return
        try:
            backoff_s = _block(store, job, place, _until_deadline(store, job.job_id, news.seen, left), backoff_s)
        except AWAY as problem:
            if not patience.outlasts(problem):
                raise


def _block(store: Store, job: Followed, place: _Place, left: float, backoff_s: float) -> float:
    """Blocks until there may be news, at most `left` seconds. The events of the queue do not wake it for `backoff_s` of
    them, where that is not 0, nor any more after the first one of another job. Answers what `backoff_s` is to be the
    next time, if those go on."""
    if left <= 0:
        return backoff_s
    keys, events = store.keys, store.keys.events(job.queue)
    own = {
        keys.live(job.job_id): place.state,
        keys.log(job.job_id): place.line,
        keys.results(job.job_id): place.result,
    }
    if not backoff_s:
        end = mono() + left
        found = store.block_for_streams({**own, events: place.event} if place.readable else own, left)
        if found.keys() != {events} or own_events(job.queue, job.job_id, found[events]):
            return 0.0
        backoff_s, left = _BACKOFF_S, end - mono()
    backoff_s = min(backoff_s, _LONGEST_BACKOFF_S, max(_LEAST_BACKOFF_S, place.reach_s / 2))
    if left <= 0 or store.block_for_streams(own, min(left, backoff_s * _DICE.uniform(0.75, 1.25))):
        return backoff_s
    return 2 * backoff_s


def _until_deadline(store: Store, job_id: str, seen: Seen, left: float) -> float:
    """Seconds that a read may block, of those that are left: a job whose ttl is over is to be looked at then. One that
    no worker has expired by now is expired here, and there is nothing to wait for."""
    if seen.deadline_ms is None or seen.status is None or seen.status.terminal:
        return left
    until = (seen.deadline_ms - seen.now_ms) / 1000 + _SWEEP_CHANCE_S
    if until <= 0:
        expire(store, job_id)
        return 0.0
    return min(left, until)


# -- one look ----------------------------------------------------------------------------------------------------------


class _Look(NamedTuple):
    """What one call has read."""

    news: News
    place: _Place
    more: bool  #: whether there are events to look through that may be its own


def _look(send: Callable[[Request[_Look]], _Look], job: Followed, place: _Place) -> tuple[News, _Place]:
    """All news after a place, and the place after them. One round trip; some more where the job has moved while others
    of its queue did hundreds of things."""
    found = send(_request(job, place, EVENTS_SOUGHT))
    news = found.news
    while found.more:
        found = send(_request(job, found.place, EVENTS_CAUGHT_UP))
        news = _joined(news, found.news)
    return news, found.place


def _joined(old: News, new: News) -> News:
    return News(
        old.states + new.states, old.lines + new.lines, old.results + new.results, old.events + new.events, new.seen
    )


def _request(job: Followed, place: _Place, most: int) -> Request[_Look]:
    """What there is after a place, among so many events of the queue."""

    def read(reply: Any) -> _Look:
        row, stands, told, (first, last, more, found) = codec.unpack_reply(reply)
        oldest = codec.text(first)
        states, lines, results = ([(entry_id, flat) for entry_id, flat in entries] for entries in told)
        events = own_events(job.queue, job.job_id, found)
        moved = codec.text(stands) != place.stands
        gap = place.gap or (moved and event_place(place.event) < event_place(oldest or "0-0"))
        if events and gap and not begins_cycle(events[0]):
            events = (events[0]._replace(missed=True), *events[1:])
        there = _Place(
            _last(states, place.state),
            _last(lines, place.line),
            _last(results, place.result),
            codec.text(last) or place.event,
            place.stands if more else codec.text(stands),
            gap and not events,
            bool(last),
            (row[0] - event_place(oldest)[0]) / 1000 if oldest else 0.0,
        )
        return _Look(News(states, lines, results, events, _seen(job.job_id, row)), there, bool(more))

    return Request("follow", (job.job_id, job.queue, *place[:5], most), read)


def _seen(job_id: str, row: Any) -> Seen:
    now, status, cycle, deadline, created = row
    return Seen(
        now,
        codec.read_status(job_id, status) if status else None,
        (codec.number(cycle) or 1) if status else 0,
        codec.number(deadline) if deadline else None,
        codec.number(created) if created else None,
    )


def _last(entries: Entries, known: str) -> str:
    return codec.text(entries[-1][0]) if entries else known
