"""What a job has to do with others: those it depends on, and those that depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rqlike.lookups import load_many
from rqlike.store import groups

if TYPE_CHECKING:
    from rqlike.job import Job
    from rqlike.records import JobRecord
    from rqlike.store.store import Store


class Related:
    """The part of a `Job` that asks for others."""

    if TYPE_CHECKING:
        _store: Store

        @property
        def id(self) -> str: ...

        @property
        def record(self) -> JobRecord: ...

    @property
    def dependency_ids(self) -> list[str]:
        """The ids of the jobs that it depends on."""
        return [need.job_id for need in self.record.policy.depends_on]

    def fetch_dependencies(self) -> list[Job[Any]]:
        """The jobs that it depends on, without those that are gone. One round trip."""
        kind = cast("type[Job[Any]]", type(self))
        return [kind(one, self._store) for one in load_many(self._store, self.dependency_ids) if one is not None]

    @property
    def dependency(self) -> Job[Any] | None:
        """RQ's: the first of the jobs that it depends on; None where there is none, or all are gone. One round trip."""
        return next(iter(self.fetch_dependencies()), None)

    @property
    def dependent_ids(self) -> list[str]:
        """The ids of the jobs that wait for it to end. One round trip per 500."""
        found: list[str] = []
        following: int | None = 0
        while following is not None:
            ids, following = self._store.run(groups.dependents(self.id, following))
            found += ids
        return found
