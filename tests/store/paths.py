"""Whether the events of jobs tell paths that the table of transitions allows, to where the jobs are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from rqlike.events import Event
from rqlike.states import VERBS, JobStatus


def strayed(told: Iterable[Event], now_in: Mapping[str, JobStatus]) -> Iterator[str]:
    """One sentence per event that cannot have followed the one before it, and per job that is not where its last event
    says. `told`: in the order of each queue. Jobs whose first event is kept no longer are left out, and those that have
    been in several queues, whose events are in no order."""
    paths: dict[str, list[Event]] = defaultdict(list)
    for event in told:
        paths[event.job_id].append(event)
    for job_id, path in paths.items():
        if None in VERBS[path[0].name].sources and len({event.queue for event in path}) == 1:
            yield from _steps(path)
            yield from _end(path[-1], now_in.get(job_id))


def _steps(path: list[Event]) -> Iterator[str]:
    for before, event in pairwise((None, *path)):
        assert event is not None
        row, source = VERBS[event.name], None if before is None else before.status
        # a job whose time to live is over leaves without an event
        vanished = source is not None and source.terminal and None in row.sources
        if source not in row.sources and not vanished:
            yield f"{event!r} follows {before!r}"
        if event.status not in row.targets:
            yield f"{event!r} leads to {event.status}"
        if event.name == "claim" and before is not None:
            same = event.cycle == before.cycle
            if event.attempt != (before.attempt + 1 if same else 1) or event.cycle - before.cycle not in (0, 1):
                yield f"{event!r} follows {before!r}, which is another attempt"


def _end(last: Event, status: JobStatus | None) -> Iterator[str]:
    expired = status is None and last.status is not None and last.status.terminal
    if last.status is not status and not expired:
        yield f"{last.job_id} is {status or 'gone'}, and its last event is {last!r}"
