"""On which jobs a job depends, and what becomes of it where one of them fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

OnFailure = Literal["cancel", "run", "wait"]
ON_FAILURE: Final = ("cancel", "run", "wait")
#: One script asks for all of them before it writes anything.
MOST_PARENTS: Final = 500


@runtime_checkable
class HasId(Protocol):
    """A job, for what it is here."""

    @property
    def id(self) -> str: ...


JobRef = HasId | str


class Need(NamedTuple):
    """One job that another depends on."""

    job_id: str
    on_failure: str = "cancel"
    at_front: bool = False

    @property
    def wish(self) -> str:
        """As the scripts read it."""
        return self.on_failure[0] + ("f" if self.at_front else "")

    def to_wire(self) -> list[str]:
        """Plain values, to be stored with the call."""
        return [self.wish, self.job_id]

    @classmethod
    def from_wire(cls, wire: object) -> Need:
        """The reverse of `to_wire`. Raises TypeError or ValueError."""
        if not isinstance(wire, list) or len(wire) != 2 or not all(isinstance(part, str) for part in wire):
            raise TypeError("a dependency is stored as two texts")
        wish, job_id = wire
        (how,) = [one for one in ON_FAILURE if wish[:1] == one[0]]
        return cls(job_id, how, wish[1:] == "f")


@dataclass(frozen=True, slots=True, init=False)
class Dependency:
    """Jobs that are to end before the job that depends on them is queued.

    `jobs`: a job, an id, or several of them. `on_failure` says what becomes of the dependent job where one of them ends
    in any other way than finished: "cancel" it is canceled, and so are those that depend on it; "run" it runs all the
    same; "wait" it stays deferred until that one is run again and finishes (RQ's rule), and is canceled when that one
    is deleted or its failure_ttl is over. `allow_failure=True` is "run". `enqueue_at_front`: it goes to the front of
    its queue. Raises TypeError, ValueError.
    """

    jobs: tuple[str, ...]
    on_failure: OnFailure
    enqueue_at_front: bool

    def __init__(
        self,
        jobs: JobRef | Sequence[JobRef],
        allow_failure: bool = False,
        enqueue_at_front: bool = False,
        *,
        on_failure: OnFailure = "cancel",
    ) -> None:
        ids = tuple(_id_of(one) for one in (jobs if isinstance(jobs, list | tuple) else [jobs]))
        if not ids:
            raise ValueError("Dependency takes at least one job")
        if on_failure not in ON_FAILURE:
            raise ValueError(f"on_failure takes {', '.join(map(repr, ON_FAILURE))}, not {on_failure!r}")
        if allow_failure and on_failure == "wait":
            raise ValueError("allow_failure=True runs the job where on_failure='wait' holds it: give one of them")
        object.__setattr__(self, "jobs", ids)
        object.__setattr__(self, "on_failure", "run" if allow_failure else on_failure)
        object.__setattr__(self, "enqueue_at_front", bool(enqueue_at_front))

    @property
    def allow_failure(self) -> bool:
        """RQ's word for on_failure="run"."""
        return self.on_failure == "run"


def needs_of(value: object) -> tuple[Need, ...]:
    """What `depends_on` says, each job once. Raises TypeError, ValueError."""
    if value is None:
        return ()
    given: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
    found: dict[str, Need] = {}
    for one in given:
        if isinstance(one, Dependency):
            for job_id in one.jobs:
                found.setdefault(job_id, Need(job_id, one.on_failure, one.enqueue_at_front))
        else:
            job_id = _id_of(one)
            found.setdefault(job_id, Need(job_id))
    if len(found) > MOST_PARENTS:
        raise ValueError(
            f"depends_on takes at most {MOST_PARENTS} jobs, not {len(found)}; put the jobs into a Group and use its "
            "on_complete"
        )
    return tuple(found.values())


def _id_of(value: object) -> str:
    job_id = value if isinstance(value, str) else getattr(value, "id", None)
    if not isinstance(job_id, str) or not job_id or not job_id.isprintable():
        raise TypeError(f"depends_on takes jobs, ids and Dependency, not {value!r:.80}")
    return job_id
