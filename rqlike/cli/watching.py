"""Watching a job on the command line: its log on stdout, how far it is and its steps on stderr, in the end what `wait`
shows."""

from __future__ import annotations

import shutil
import sys
from typing import Any, Final

from rqlike import clock, safetext
from rqlike.cli.context import Session
from rqlike.cli.histories import result_facts
from rqlike.cli.output import aside, emit, is_terminal, lines, note
from rqlike.cli.waiting import say_what_is_waited_for, show_outcome
from rqlike.durations import format_seconds
from rqlike.events import Event
from rqlike.job import Job
from rqlike.jsonvalues import jsonable
from rqlike.live import Watched
from rqlike.states import JobStatus
from rqlike.told import LogLine, Progress

_BAR: Final = 30
_PLAIN_S: Final = 1.0  #: seconds between two lines of progress where no terminal redraws one
#: What has happened, by the verb of the event; of others the verb itself.
_STEPS: Final = {
    "enqueue": "enqueued",
    "fire": "enqueued by its schedule",
    "promote": "queued, since it is due",
    "ready": "has nothing to wait for any more",
    "claim": "claimed",
    "give_back": "given back",
    "recover": "taken over, since its lease is over",
    "finish": "finished",
    "repeat": "finished, to be repeated",
    "retry": "to be tried again",
    "fail": "failed",
    "bury": "failed, since it cannot be read",
    "stop": "stopped",
    "cancel": "canceled",
    "expire": "expired",
    "requeue": "requeued",
    "delete": "deleted",
}
_CLEAR: Final = "\r\x1b[K"


def watch_and_show(session: Session, job: Job[Any], seconds: float | None) -> int:
    """Shows what a job tells until its cycle ends (`seconds` None: without limit); the exit code.

    Raises WaitTimeout, NoSuchJobError, KeyboardInterrupt; the job goes on after the first and the last."""
    meter = _Meter(redraws=is_terminal(sys.stderr))
    end = None if seconds is None else clock.mono() + seconds
    try:
        if not session.json:
            say_what_is_waited_for(session, job)
        for one in job.watch(seconds):
            if session.json:
                emit(safetext.json_text(jsonable(facts_of(one))))
            else:
                _show(one, meter)
            sys.stdout.flush()
    except KeyboardInterrupt:
        meter.clear()
        note(f"\nthe job goes on: rqlike jobs watch {job.id}")
        raise
    finally:
        meter.finish()
    left = 0.0 if end is None else max(0.0, end - clock.mono())
    return show_outcome(session, job, left, show_value=not session.json)


def facts_of(one: Watched) -> dict[str, Any]:
    """A piece of news as data; `event` says which."""
    if isinstance(one, Progress):
        return {"event": "progress", **one._asdict(), "percent": one.percent, "eta": one.eta}
    if isinstance(one, LogLine):
        return {"event": "log", **one._asdict()}
    if isinstance(one, Event):
        return {"event": "transition", **one._asdict()}
    return {"event": "result", **result_facts(one)}


def progress_line(one: Progress) -> str:
    """How far it is, on one line: a bar where there is a total, and what is known beside."""
    parts = [one.desc]
    if one.percent is None:
        parts.append(_count(one.current))
    else:
        full = int(_BAR * one.percent / 100)
        counts = f"{_count(one.current)}/{_count(one.total or 0)}"
        parts.append(f"[{'#' * full}{'.' * (_BAR - full)}] {one.percent:3.0f} %  {counts}")
    if one.rate:
        parts.append(f"{one.rate:.3g}/s")
    if one.eta:
        parts.append(f"{format_seconds(round(one.eta, 1))} left")
    if one.attempt > 1:
        parts.append(f"attempt {one.attempt}")
    parts.append(one.note)
    return safetext.printable("  ".join(part for part in parts if part))


def step_line(one: Event) -> str:
    """One step of a job, on one line: when, what, by whom, in which attempt where it is not the first, and why."""
    said = f"{one.at:%H:%M:%S} {_STEPS.get(one.name, one.name)}"
    if one.name == "claim":
        said += f" by {one.worker_name}"
    if one.status in (JobStatus.SCHEDULED, JobStatus.DEFERRED):
        said += f", {one.status}"
    if one.attempt > 1:
        said += f", attempt {one.attempt}"
    return f"{said} ({one.reason})" if one.reason else said


def _count(amount: float) -> str:
    return f"{amount:.2f}".rstrip("0").rstrip(".")


def _show(one: Watched, meter: _Meter) -> None:
    if isinstance(one, Progress):
        meter.show(one)
        return
    meter.clear()
    if isinstance(one, LogLine):
        emit(lines(one.text))
    elif isinstance(one, Event):
        aside(step_line(one))
    elif not one.final:
        note(f"attempt {one.attempt} failed ({one.reason}), it is retried")
    sys.stdout.flush()
    meter.draw()


class _Meter:
    """The line that says how far it is: redrawn below the log on a terminal, else written once a second."""

    def __init__(self, *, redraws: bool) -> None:
        self._redraws = redraws
        self._line = ""
        self._written = ""
        self._drawn = False
        self._next_s = 0.0

    def show(self, one: Progress) -> None:
        """A new state."""
        self._line = progress_line(one)
        now = clock.mono()
        if self._redraws:
            self.draw()
        elif now >= self._next_s:
            self._next_s = now + _PLAIN_S
            self._write()

    def draw(self) -> None:
        """The line as it is, where it is redrawn."""
        if self._redraws and self._line:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"{_CLEAR}{self._line[:width]}")
            sys.stderr.flush()
            self._drawn = True

    def clear(self) -> None:
        """Makes room for another line."""
        if self._drawn:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._drawn = False

    def finish(self) -> None:
        """The last state stays."""
        self.clear()
        self._write()

    def _write(self) -> None:
        if self._line != self._written:
            note(self._line)
            self._written = self._line
