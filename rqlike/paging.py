"""Pages: the jobs of one status of a queue, some at a time."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from rqlike.job import Job
from rqlike.lookups import load_many
from rqlike.settings import TOUCH_LIMIT
from rqlike.states import JobStatus
from rqlike.store import pages
from rqlike.store.pages import BEGINNING, Cursor
from rqlike.store.store import Store

_BETWEEN: Final = ":"


class Page(NamedTuple):
    """Some jobs of one status, and where the next page begins."""

    jobs: list[Job[Any]]
    next: str | None  #: the cursor of the next page; None at the end


def page(store: Store, queue: str, status: JobStatus | str, cursor: str | None, limit: int) -> Page:
    """`Queue.page`."""
    wanted, after = check_status(status), BEGINNING if cursor is None else _read(cursor)
    ids, following = store.run(pages.page(wanted, queue, after, _checked(limit)))
    loaded = load_many(store, ids)
    here = [record for record in loaded if record is not None and (record.status, record.queue) == (wanted, queue)]
    return Page([Job(record, store) for record in here], None if following is None else _text(following))


def check_status(status: object) -> JobStatus:
    """A status by its word. Raises ValueError that names them all."""
    try:
        return JobStatus(status)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"there is no status {status!r:.50}; there are {', '.join(JobStatus)}") from None


def _checked(limit: object) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit takes a number of jobs, not {type(limit).__name__}")
    if not 1 <= limit <= TOUCH_LIMIT:
        raise ValueError(f"limit={limit}: a page has 1 to {TOUCH_LIMIT} jobs")
    return limit


def _text(cursor: Cursor) -> str:
    return f"{cursor.score.decode()}{_BETWEEN}{cursor.job_id.decode(errors='surrogateescape')}"


def _read(text: object) -> Cursor:
    if not isinstance(text, str):
        raise TypeError(f"cursor takes the `next` of a page, not {type(text).__name__}")
    score, between, job_id = text.partition(_BETWEEN)
    try:
        usable = between and job_id and not math.isnan(float(score))
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"cursor {text!r:.100} is none; pass the `next` of a page, or None to begin")
    return Cursor(score.encode(), job_id.encode(errors="surrogateescape"))
