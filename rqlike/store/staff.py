"""The workers of a namespace, what they run, and what is asked of them, as requests. Their own ones are in `turns`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rqlike import codec
from rqlike.exceptions import RqlikeError
from rqlike.records import WorkerRecord
from rqlike.states import JobStatus
from rqlike.store.requests import Argument, Request

_STATUS_OF: Final = {status.encode(): status for status in JobStatus}


def command(worker: str, order: str) -> Request[int]:
    """An order to a worker: shutdown or kill-horse."""

    def nobody(word: str, detail: str) -> RqlikeError | None:
        return RqlikeError(f"There is no living worker named {worker!r}.") if word == "NOWORKER" else None

    return Request("command", (worker, order), int, nobody)


def workers(now_ms: int | None = None) -> Request[list[WorkerRecord]]:
    """The living workers."""

    def read(reply: Any) -> list[WorkerRecord]:
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return [codec.decode_worker(codec.text(name), flat) for name, flat in pairs]

    return Request("workers", (), read, now_ms=now_ms)


class Running(NamedTuple):
    """An execution that is under way, and one of the jobs that it waits for."""

    worker: str
    job_id: str
    awaits: str = ""  #: id of a job that it waits for
    until_ms: float = math.inf  #: when that wait is over in any case, in ms since the epoch
    status: JobStatus | None = None  #: of the job that it waits for; None: that one is gone
    queue: str = ""  #: of that job
    any_of: bool = False  #: whether the end of any of those it waits for is enough


def running(queues: Sequence[str]) -> Request[list[Running]]:
    """The executions in some queues, each as often as it waits for a job, and once where it does not."""

    def read(reply: Any) -> list[Running]:
        return [
            Running(
                codec.text(worker),
                codec.text(job_id),
                codec.text(awaits),
                codec.number(until) or math.inf,
                _STATUS_OF.get(status),
                codec.text(queue),
                how == b"any",
            )
            for worker, job_id, awaits, until, status, queue, how in zip(*[iter(reply)] * 7, strict=True)
        ]

    return Request("running", tuple(queues), read)


def await_job(
    job_id: str, token: str, awaited: Sequence[str], left_ms: int | None = None, *, any_of: bool = False
) -> Request[int]:
    """A started job waits for others, none for no longer, for so long, None without limit; `any_of`: the end of any of
    them is enough. 0 where the token is not its current one."""
    left: Argument = "" if left_ms is None else left_ms
    return Request("await", (job_id, token, left, "any" if any_of else "all", *awaited), int)
