"""The records of jobs by their ids."""

from __future__ import annotations

from collections.abc import Sequence

from rqlike.exceptions import DeserializationError, NoSuchJobError
from rqlike.records import JobRecord
from rqlike.settings import TOUCH_LIMIT
from rqlike.store import verbs
from rqlike.store.store import Store


def load(store: Store, job_id: str) -> JobRecord:
    """The record of a job. Raises NoSuchJobError, DeserializationError where nothing of it can be read."""
    (record,) = store.run(verbs.load([job_id]))
    if record is None:
        raise NoSuchJobError(job_id=job_id)
    if record.unreadable:
        raise DeserializationError(f"{record.unreadable} `rqlike jobs rm {job_id}` deletes it.", job_id=job_id)
    return record


def load_many(store: Store, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """The records of jobs, None for each that does not exist; one round trip per 500 of them."""
    found: list[JobRecord | None] = []
    for at in range(0, len(job_ids), TOUCH_LIMIT):
        part: list[JobRecord | None] = store.run(verbs.load(job_ids[at : at + TOUCH_LIMIT]))
        found += part
    return found
