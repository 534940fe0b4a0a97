"""All wording and levels of log lines. Each carries a stable word in `extra["event"]` and plain ids beside it.

Arguments and return values are never logged. Nothing here configures logging; `configure` is for the command line
and `Worker.work`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Final

from rqlike import safetext
from rqlike.clock import utc
from rqlike.durations import format_seconds
from rqlike.settings import LINE_LIMIT

LOG: Final = logging.getLogger("rqlike.worker")

DATE_FORMAT: Final = "%H:%M:%S"
LOG_FORMAT: Final = "%(asctime)s %(message)s"


def configure(level: str | int = "INFO", date_format: str = DATE_FORMAT, log_format: str = LOG_FORMAT) -> None:
    """A handler to stderr for rqlike's loggers, once; `log_format="json"` writes one object per line.

    Raises ValueError for an unknown level."""
    root = logging.getLogger("rqlike")
    root.setLevel(level.upper() if isinstance(level, str) else level)
    if any(getattr(handler, "of_rqlike", False) for handler in root.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.of_rqlike = True  # type: ignore[attr-defined]
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(log_format, date_format))
    root.addHandler(handler)
    root.propagate = False


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, event and the ids of the line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = {
            "time": utc(int(record.created * 1000)).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: getattr(record, name) for name in _FACTS if hasattr(record, name)}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return safetext.json_text(said)


_FACTS: Final = (
    "event",
    "job_id",
    "queue",
    "execution_id",
    "worker",
    "reason",
    "seconds",
    "attempt",
    "attempts",
    "delay",
)


def _say(level: int, event: str, text: str, **facts: object) -> None:
    """One line, not too long. What is in `facts` is in the text too, so it is safe where that is."""
    if len(text) > LINE_LIMIT or not text.isprintable():
        text = safetext.ends(text, LINE_LIMIT)
        facts = {name: safetext.ends(fact, LINE_LIMIT) if type(fact) is str else fact for name, fact in facts.items()}
    LOG.log(level, text, extra={"event": event, **facts})


def worker_started(worker: str, queues: Sequence[str], server: str, concurrency: int) -> None:
    """A worker is ready to claim."""
    horses = "1 horse" if concurrency == 1 else f"{concurrency} horses"
    _say(
        logging.INFO,
        "worker_started",
        f"worker {worker} listens on {', '.join(queues)} with {horses}, server {server}",
        worker=worker,
    )


def worker_suspended(worker: str) -> None:
    """All queues of the namespace are paused."""
    _say(logging.WARNING, "worker_suspended", f"worker {worker} is suspended: it claims nothing", worker=worker)


def worker_resumed(worker: str) -> None:
    """They are not any more."""
    _say(logging.WARNING, "worker_resumed", f"worker {worker} is suspended no more", worker=worker)


def queues_paused(worker: str, queues: Sequence[str]) -> None:
    """Some of a worker's queues are paused."""
    text = f"worker {worker} claims nothing from {', '.join(queues)}: paused"
    _say(logging.WARNING, "queues_paused", text, worker=worker)


def queues_resumed(worker: str, queues: Sequence[str]) -> None:
    """They are not any more."""
    text = f"worker {worker} claims from {', '.join(queues)} again"
    _say(logging.WARNING, "queues_resumed", text, worker=worker)


def worker_stopping(worker: str, running: int, why: str) -> None:
    """A worker claims nothing more."""
    wait = f", {running} running; once more to kill" if running else ""
    _say(logging.INFO, "worker_stopping", f"worker {worker} stops ({why}){wait}", worker=worker)


def worker_stopped(worker: str, done: int) -> None:
    """A worker has recorded everything and ends."""
    jobs = "1 job" if done == 1 else f"{done} jobs"
    _say(logging.INFO, "worker_stopped", f"worker {worker} stopped after {jobs}", worker=worker)


def outcomes_unwritten(worker: str, job_ids: Sequence[str]) -> None:
    """A worker ends though the server could not be reached to record what has ended."""
    _say(
        logging.ERROR,
        "outcomes_unwritten",
        f"worker {worker} stops without recording {', '.join(job_ids)}: the server is away. "
        "These executions will be recorded as abandoned.",
        worker=worker,
    )


def job_started(job_id: str, func_name: str, queue: str, attempt: int) -> None:
    """A job was handed to a horse."""
    if not LOG.isEnabledFor(logging.INFO):
        return
    which = "" if attempt <= 1 else f" (attempt {attempt})"
    _say(logging.INFO, "job_started", f"{queue}: {func_name} {job_id}{which}", job_id=job_id, queue=queue)


def job_ended(job_id: str, queue: str, status: str, seconds: float, reason: str | None, told: str) -> None:
    """An execution was recorded."""
    level = logging.INFO if reason is None or status in ("canceled", "stopped") else logging.WARNING
    if not LOG.isEnabledFor(level):
        return
    why = f" ({reason}) {told}".rstrip() if reason else ""
    _say(
        level,
        "job_ended",
        f"{queue}: {job_id} {status} in {format_seconds(seconds)}{why}",
        job_id=job_id,
        queue=queue,
        reason=reason,
        seconds=seconds,
    )


def job_retried(
    job_id: str, queue: str, attempt: int, attempts: int, seconds: float, delay: float, reason: str | None, told: str
) -> None:
    """An execution failed, or returned Retry, and another attempt follows after `delay` seconds. `attempts`: how many
    there may be in all."""
    if not LOG.isEnabledFor(logging.WARNING):
        return
    again = f"in {format_seconds(delay)}" if delay > 0 else "at once"
    ended = f"attempt {attempt} of {attempts} ended after {format_seconds(seconds)}"
    _say(
        logging.WARNING,
        "job_retried",
        f"{queue}: {job_id} is retried {again}: {ended} ({reason}) {told}".rstrip(),
        job_id=job_id,
        queue=queue,
        reason=reason,
        seconds=seconds,
        attempt=attempt,
        attempts=attempts,
        delay=delay,
    )


def pause_failed(job_id: str, problem: str) -> None:
    """A job or its Retry.custom asked for a pause that cannot be had."""
    _say(logging.WARNING, "pause_failed", f"{job_id}: {problem}", job_id=job_id)


_REFUSED: Final = {"gone": "the job was deleted", "broken": "something else has written into the keys of the job"}


def outcome_refused(job_id: str, word: str) -> None:
    """What a horse brought was not wanted any more."""
    why = _REFUSED.get(word, "another worker has taken the job over")
    _say(logging.WARNING, "outcome_refused", f"outcome of {job_id} not recorded: {why}", job_id=job_id)


def store_broken(queue: str, job_id: str, text: str) -> None:
    """Something that is stored could not be worked with: a job, or where `job_id` is '' a whole queue."""
    what = f"job {job_id} is taken out of the way" if job_id else "it cannot be served as it should"
    _say(logging.ERROR, "store_broken", f"{queue or '?'}: {what}: {text}", job_id=job_id, queue=queue, reason=text)


def schedule_fired(key: str, jobs: int) -> None:
    """Slots of a schedule have become jobs."""
    _say(logging.DEBUG, "schedule_fired", f"schedule {key} fired: {jobs} job{'s' if jobs != 1 else ''}")


def slots_missed(key: str, slots: int) -> None:
    """Slots of a schedule never fire."""
    text = f"schedule {key}: {slots} slot{'s were' if slots != 1 else ' was'} missed, no worker was there in time"
    _say(logging.WARNING, "slots_missed", text)


def schedules_upserted(schedules: int, removed: int, names: Sequence[str]) -> None:
    """A cron file stands in Redis."""
    count = f"{schedules} schedule{'s' if schedules != 1 else ''}"
    gone = f", {removed} removed" if removed else ""
    origin = f" of {', '.join(names)}" if names else ""
    text = f"{count}{origin} written{gone}; any worker of the namespace fires them, so no scheduler stays running"
    _say(logging.INFO, "schedules_upserted", text)


def schedule_taken(key: str, before: str, now: str) -> None:
    """A schedule has another source than it had."""
    text = f"schedule {key} was of {before or 'a program'} and is of {now or 'a program'} now"
    _say(logging.WARNING, "schedule_taken", text)


def value_dropped(job_id: str) -> None:
    """The server was full."""
    _say(
        logging.ERROR,
        "value_dropped",
        f"the server is at maxmemory: {job_id} is recorded as finished without its value",
        job_id=job_id,
    )


def execution_lost(job_id: str, why: str) -> None:
    """A horse was killed because its execution is no longer this worker's."""
    _say(logging.WARNING, "execution_lost", f"{job_id}: {why}; its horse is killed", job_id=job_id)


def job_recovered(job_id: str, worker: str) -> None:
    """An execution of a lost worker was taken over."""
    _say(logging.WARNING, "job_recovered", f"{job_id}: its worker {worker} was lost", job_id=job_id)


def horse_retired(pid: int, reason: str) -> None:
    """A horse is not used again."""
    _say(logging.INFO, "horse_retired", f"horse {pid} retires: {reason}", reason=reason)


def horse_died(pid: int, how: str) -> None:
    """A horse died on its own."""
    _say(logging.WARNING, "horse_died", f"horse {pid} died: {how}")


def horse_overran(pid: int, job_id: str, seconds: float) -> None:
    """A horse did not heed its time-out."""
    _say(
        logging.WARNING,
        "horse_overran",
        f"{job_id} did not end {format_seconds(seconds)} after its start; horse {pid} is killed",
        job_id=job_id,
    )


def fork_failed(why: str) -> None:
    """The system has no room for another horse."""
    _say(logging.ERROR, "fork_failed", f"no horse could be forked ({why}); tried again in a second")


def zygote_lost(why: str) -> None:
    """The process that forks horses for the worker is of no use any more."""
    text = f"the zygote is lost ({why}); this worker forks its horses itself from now on, which takes longer"
    _say(logging.WARNING, "zygote_lost", text)


def unguarded(why: str) -> None:
    """There is no guardian, and none could be started."""
    text = f"no guardian could be started ({why}): what jobs have started outlives a worker that is killed"
    _say(logging.WARNING, "unguarded", text)


def setup_failed(error: str, times: int) -> None:
    """A horse could not be set up."""
    _say(logging.ERROR, "setup_failed", f"a horse could not be set up ({times} in a row): {error}")


def callback_failed(job_id: str, error: str) -> None:
    """A callback raised, timed out or could not be imported."""
    _say(logging.WARNING, "callback_failed", f"callback of {job_id}: {error}", job_id=job_id)


def server_away(server: str, why: str) -> None:
    """The connection was lost."""
    _say(logging.WARNING, "server_away", f"server {server} is away ({why}); running jobs go on, outcomes are kept")


def server_back(server: str, seconds: float) -> None:
    """The connection stands again."""
    _say(logging.WARNING, "server_back", f"server {server} is back after {format_seconds(seconds)}")


def call_refused(why: str) -> None:
    """The server refuses what a worker needs to do."""
    _say(logging.ERROR, "call_refused", f"the server refuses: {why}")


def events_missed(queue: str, after: str) -> None:
    """Who reads the events of a queue comes too late for some of them."""
    text = f"events of {queue} that came after {after} are kept no longer; it goes on with the oldest that is"
    _say(logging.WARNING, "events_missed", text)


def code_changed(path: str) -> None:
    """A source file changed while the worker reloads."""
    _say(logging.INFO, "code_changed", f"{path} changed: new horses from the next job on")
