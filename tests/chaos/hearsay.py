"""What must hold after a chaos run of what jobs tell while they run, and of what events tell of them. Judges, as those
of `invariants`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final

from rqlike.events import Event, event_place
from rqlike.live import Watched as News
from rqlike.records import ResultRecord
from rqlike.results import Result
from rqlike.settings import EVENTS_KEPT, HISTORY_LENGTH, LOG_LINES
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.told import LogLine, Progress
from tests.chaos.evidence import AWAY, Evidence, Heard, JobSeen, ToldSeen, Watched
from tests.chaos.kinds import RAZED, Order
from tests.chaos.oneness import CLOCK_MS, gone
from tests.store.paths import strayed

_TOLD_MS: Final = 3000.0  #: for a watcher to hear, on a machine that is busy with the rest of the run
_ENDS: Final = frozenset({"finish", "repeat", "retry", "fail", "stop", "cancel"})


# -- what jobs tell ----------------------------------------------------------------------------------------------------


class _Run:
    """The lines of one execution that stand together."""

    def __init__(self, execution: str, lines: Sequence[LogLine]) -> None:
        self.execution = execution
        self.numbers = [_number(line) for line in lines]
        self.cycle, self.attempt = lines[0].cycle, lines[0].attempt
        self.agrees = {(line.cycle, line.attempt) for line in lines} == {(self.cycle, self.attempt)}

    @property
    def is_whole(self) -> bool:
        """Whether none is missing in between, or stands there twice."""
        return all(after == before + 1 for before, after in pairwise(self.numbers))


def _execution(line: LogLine) -> str:
    return line.text.partition(" ")[0]


def _number(line: LogLine) -> int:
    return int(line.text.partition(" ")[2])


def _runs(lines: Sequence[LogLine]) -> list[_Run]:
    return [_Run(execution, list(some)) for execution, some in groupby(lines, _execution)]


def a_log_is_what_was_written(evidence: Evidence) -> Iterator[str]:
    """INV-35. The log of a job has the lines of its executions in their order, none twice and none missing before
    another one, but for those that it keeps no longer; where an execution came to its end all that it has said is
    there, and its progress is the last it has told."""
    for told in evidence.told:
        order, job = evidence.orders[told.job_id], evidence.jobs.get(told.job_id)
        if len(told.lines) > LOG_LINES:
            yield f"{told.job_id} has {len(told.lines)} lines"
        yield from _wrong_lines(order, job, told)
        if told.at_the_end and job is not None and not evidence.any_strike(frozenset({"memory"})):
            yield from _unsaid(order, job, told)


def _wrong_lines(order: Order, job: JobSeen | None, told: ToldSeen) -> Iterator[str]:
    runs, entries = _runs(told.lines), {entry.execution_id: entry for entry in (job.entries if job else ())}
    if len({run.execution for run in runs}) < len(runs):
        yield f"{order.id} has lines of one execution in two places: {[run.execution for run in runs]}"
    known = [run.execution for run in runs if run.execution in entries]
    if known != [execution for execution in entries if execution in known]:
        yield f"{order.id} has lines of {known} in this order"
    for at, run in enumerate(runs):
        entry = entries.get(run.execution)
        if not run.agrees or (entry is not None and (entry.cycle, entry.attempt) != (run.cycle, run.attempt)):
            yield f"{order.id} has lines of {run.execution} in cycle {run.cycle}, attempt {run.attempt}"
        # more than the log keeps may be said before the first of it is written
        if order.says < LOG_LINES and not run.is_whole:
            yield f"{order.id} has the lines {run.numbers} of {run.execution}"
        begins_late = run.numbers[0] != 1 and not (at == 0 and len(told.lines) == LOG_LINES)
        if order.says < LOG_LINES and begins_late:
            yield f"{order.id} has no first line of {run.execution}, but line {run.numbers[0]}"


def _came_to_its_end(order: Order, entry: ResultRecord) -> bool:
    """Whether the execution has said all that it was to say."""
    fails = order.of.act == "tells_and_fails"
    return entry.type is ResultType.SUCCESSFUL or (fails and entry.reason is Reason.EXCEPTION)


def _unsaid(order: Order, job: JobSeen, told: ToldSeen) -> Iterator[str]:
    last = {run.execution: run.numbers for run in _runs(told.lines)}
    for entry in job.entries:
        numbers = last.get(entry.execution_id, [0])
        full = len(told.lines) == LOG_LINES and entry is not job.entries[-1]  # its lines may be kept no longer
        if _came_to_its_end(order, entry) and not full and numbers[-1] != order.says:
            yield f"{order.id} has {numbers[-1]} lines of {entry.execution_id}, which came to its end"
    newest = job.entries[-1] if job.entries and job.entries[-1].cycle == job.cycle else None
    if newest is None or not _came_to_its_end(order, newest) or job.status is JobStatus.CANCELED:
        return
    if not _is_all(told.progress, order, newest):
        yield f"{order.id} came to its end in {newest.execution_id}, and its progress is {told.progress}"


def _is_all(progress: Progress | None, order: Order, entry: ResultRecord) -> bool:
    wanted = (order.says, order.says, entry.cycle, entry.attempt)
    return progress is not None and (progress.current, progress.total, progress.cycle, progress.attempt) == wanted


def who_watches_sees_it_as_it_was(evidence: Evidence) -> Iterator[str]:
    """INV-36. A watcher is given the lines of the cycle in order and none twice, its progress never backwards within an
    attempt, and all that was said before the result that ends the cycle; it ends with that, soon after it, or where
    its time is over."""
    for watched in evidence.watched:
        order, job = evidence.orders[watched.job_id], evidence.jobs.get(watched.job_id)
        yield from _wrong_news(order, watched)
        last = watched.news[-1] if watched.news else None
        if isinstance(last, Result) and last.final:
            if not evidence.any_strike(frozenset({"memory"})) and job is not None and job.cycle == watched.cycle:
                yield from _unseen(order, watched, last.record)
        elif not watched.error and watched.at_ms < watched.asked_ms + watched.timeout_s * 1000 - CLOCK_MS:
            yield from _ended_early(evidence, watched)
        yield from _late(evidence, watched)


def _wrong_news(order: Order, watched: Watched) -> Iterator[str]:
    lines = [one for one in watched.news if isinstance(one, LogLine)]
    if any(one.cycle != watched.cycle for one in watched.news):
        yield f"who watched cycle {watched.cycle} of {order.id} was told of another one"
    for run in _runs(lines) if order.says < LOG_LINES else ():
        if not run.is_whole or run.numbers[0] != 1:
            yield f"who watched {order.id} was given the lines {run.numbers} of {run.execution}"
    if len({line.id for line in lines}) != len(lines) or len(_runs(lines)) != len({_execution(line) for line in lines}):
        yield f"who watched {order.id} was given a line twice"
    steps = [(one.cycle, one.attempt, one.current) for one in watched.news if isinstance(one, Progress)]
    if steps != sorted(set(steps)):
        yield f"who watched {order.id} was given the progress {steps}"
    given: list[object] = list(watched.news)
    events = [one for one in given if isinstance(one, Event)]
    places = [event_place(one.id) for one in events]
    if places != sorted(set(places)) or any(one.job_id != order.id for one in events):
        yield f"who watched {order.id} was given the events {events}"
    results = [one for one in watched.news if isinstance(one, Result)]
    if len({one.execution_id for one in results}) != len(results):
        yield f"who watched {order.id} was given a result twice"
    if any(one.final for one in results[:-1]) or (
        results and results[-1].final and watched.news[-1] is not results[-1]
    ):
        yield f"who watched {order.id} was told something after the end of its cycle"


def _unseen(order: Order, watched: Watched, entry: ResultRecord) -> Iterator[str]:
    if not _came_to_its_end(order, entry):
        return
    lines = [one for one in watched.news if isinstance(one, LogLine) and _execution(one) == entry.execution_id]
    if not lines or _number(lines[-1]) != order.says:
        yield f"who watched {order.id} saw {len(lines)} lines of {entry.execution_id}, which came to its end"
    states: list[News] = [one for one in watched.news if isinstance(one, Progress)]
    last = states[-1] if states else None
    if not isinstance(last, Progress) or not _is_all(last, order, entry):
        yield f"who watched {order.id} saw {last} last, and {entry.execution_id} came to its end"


def _ended_early(evidence: Evidence, watched: Watched) -> Iterator[str]:
    """A watch may end by itself without a result where there is none."""
    job = evidence.jobs.get(watched.job_id)
    if job is None or gone(evidence, watched.job_id) or job.cycle != watched.cycle:
        return
    if any(entry.cycle == watched.cycle and entry.type.final for entry in job.entries):
        yield f"who watched {watched.job_id} was not told how its cycle ended"
    elif not job.status.terminal:
        yield f"who watched {watched.job_id} was left, and it has not ended"


def _late(evidence: Evidence, watched: Watched) -> Iterator[str]:
    job = evidence.jobs.get(watched.job_id)
    if job is None or watched.error or evidence.any_strike(AWAY):
        return
    for entry in job.entries:
        if entry.cycle == watched.cycle and entry.type.final:
            late = watched.at_ms - max(entry.created_ms, watched.asked_ms)
            if late > _TOLD_MS:
                yield f"who watched {watched.job_id} was told {late:.0f} ms after its cycle had ended"
    over = watched.at_ms - watched.asked_ms - watched.timeout_s * 1000
    if over > _TOLD_MS:
        yield f"who watched {watched.job_id} did so {over:.0f} ms longer than {watched.timeout_s:g} s"


# -- what events tell --------------------------------------------------------------------------------------------------


def each_event_is_told_once(evidence: Evidence) -> Iterator[str]:
    """INV-37. A reader of events, who goes on where it was after each break, is given each of them once and in order,
    and none is missing; those of a job are steps that the table of transitions allows, to where it is in the end."""
    for heard in evidence.heard:
        yield from _wrongly_heard(heard)
        if heard.queue != RAZED:  # what is razed takes the events with it
            statuses = {job_id: job.status for job_id, job in evidence.jobs.items()}
            yield from strayed(heard.events, statuses)


def _wrongly_heard(heard: Heard) -> Iterator[str]:
    for before, after in pairwise(heard.events):
        if event_place(after.id) <= event_place(before.id):
            yield f"a reader of {heard.queue} was given {after!r} behind {before!r}"
    cut = len(heard.kept) >= EVENTS_KEPT or heard.queue == RAZED
    for event in heard.events if not cut else ():
        if event.missed:
            yield f"a reader of {heard.queue} was told of a gap before {event!r}, and nothing is gone"
    given = {event.id: event._replace(missed=False) for event in heard.events}
    for event in heard.kept:
        if given.get(event.id) != event:
            yield f"{event!r} is kept in {heard.queue}, and a reader was given {given.get(event.id)!r}"
    since = event_place(heard.kept[0].id if heard.kept else "0")
    kept = {event.id for event in heard.kept}
    for event in heard.events if heard.kept and heard.queue != RAZED else ():
        if event.id not in kept and event_place(event.id) >= since:
            yield f"{event!r} was given to a reader of {heard.queue}, and is not kept"


def events_are_the_results(evidence: Evidence) -> Iterator[str]:
    """INV-38. Each execution of a job that is on record ended with one event, which says the same, and no other
    event tells of an end of an execution."""
    cut = any(len(heard.kept) >= EVENTS_KEPT for heard in evidence.heard)
    ends: dict[str, list[Event]] = {}
    for event in (event for heard in evidence.heard if not cut for event in heard.events):
        if event.name == "delete":
            ends.pop(event.job_id, None)
        elif event.name in _ENDS and event.worker_name:
            ends.setdefault(event.job_id, []).append(event)
    for job_id, job in evidence.jobs.items() if ends else ():
        order = evidence.orders[job_id]
        if order.queue == RAZED or order.fades or order.shared or len(job.entries) >= HISTORY_LENGTH:
            continue
        told = [(e.cycle, e.attempt, e.worker_name, e.reason) for e in ends.get(job_id, ())]
        kept = [(e.cycle, e.attempt, e.worker_name, e.reason and str(e.reason)) for e in job.entries]
        if told != kept:
            yield f"{job_id} has the entries {kept}, and its events tell of {told}"
