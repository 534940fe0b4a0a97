"""What must hold after a chaos run of queues that are cleaned, emptied and obliterated, and of dead letters that are
run again. Judges, as those of `invariants`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rqlike.events import Event, event_place
from rqlike.states import JobStatus
from tests.chaos.evidence import Evidence, Swept
from tests.chaos.kinds import RAZED, SWEPT
from tests.chaos.oneness import CLOCK_MS, KILL_MS, was_parted

_LATE_MS: Final = 10_000.0  #: for a call whose answer was lost to be carried out
_VERBS: Final = {"clean": "delete", "empty": "delete", "requeue": "requeue"}


class _Step(NamedTuple):
    """An event of the swept queue."""

    event: Event
    at_ms: float
    before: JobStatus | None  #: where the job was
    since_ms: float  #: since when
    created_ms: float
    reason: str  #: with which it came there

    def moment(self, status: JobStatus) -> float:
        """What its age is counted from."""
        return self.since_ms if status.terminal else self.created_ms


def _ms(event: Event) -> float:
    return float(round(event.at.timestamp() * 1000))


def _steps(evidence: Evidence) -> list[_Step]:
    events = {e.id: e for one in evidence.heard if one.queue == SWEPT for e in (*one.events, *one.kept)}
    found, last = list[_Step](), dict[str, _Step]()
    for event in sorted(events.values(), key=lambda event: event_place(event.id)):
        at, before = _ms(event), last.get(event.job_id)
        if before is None:
            step = _Step(event, at, None, at, at, "")
        else:
            step = _Step(event, at, before.event.status, before.at_ms, before.created_ms, before.event.reason or "")
        last[event.job_id] = step
        found.append(step)
    return found


def sweeps_take_what_they_are_to_take(evidence: Evidence) -> Iterator[str]:
    """INV-39. What is cleaned, emptied or run again was in the status, of the age and of the failures that were asked
    for, was taken once in a call, and is as many as were told; what was there all the while is not left."""
    steps = _steps(evidence)
    sweeps = [one for one in evidence.swept if one.sweep.what in _VERBS]
    for step in steps:
        takes = [one for one in sweeps if _VERBS[one.sweep.what] == step.event.name]
        if step.event.name in _VERBS.values() and not any(_may_take(evidence, one, step) for one in takes):
            since = f"{step.before} for {step.at_ms - step.since_ms:.0f} ms"
            yield f"{step.event!r} was {since}, and nobody asked for that"
    for one in sweeps:
        if not one.error:
            yield from _miscounted(one, steps)
            yield from _left(evidence, one, steps)
    for verb in set(_VERBS.values()):
        own = [one for one in sweeps if _VERBS[one.sweep.what] == verb]
        done, told = sum(step.event.name == verb for step in steps), sum(one.done for one in own)
        if done < told or (done > told and not any(one.error for one in own)):
            yield f"{verb} was done to {done} jobs, and those who asked for it were told of {told}"


def _window(one: Swept) -> tuple[float, float]:
    return one.sent_ms - CLOCK_MS, one.at_ms + (_LATE_MS if one.error else CLOCK_MS)


def _may_take(evidence: Evidence, one: Swept, step: _Step) -> bool:
    """Whether a sweep may have done that."""
    sweep, (since, until) = one.sweep, _window(one)
    order = evidence.orders.get(step.event.job_id)
    return (
        since <= step.at_ms <= until
        and step.before in sweep.statuses
        and step.moment(step.before) <= step.at_ms - sweep.older_s * 1000 + CLOCK_MS
        and sweep.reason in ("", step.reason)
        and (order is None or order.kind in sweep.kinds)
    )


def _miscounted(one: Swept, steps: list[_Step]) -> Iterator[str]:
    sweep, (since, until) = one.sweep, _window(one)
    verb = _VERBS[sweep.what]
    inside = [step for step in steps if step.event.name == verb and since <= step.at_ms <= until]
    if len(inside) < one.done:
        yield f"{sweep.what} told of {one.done} jobs, and did it to {len(inside)}"
    if sweep.limit is not None and one.done > sweep.limit:
        yield f"{sweep.what} told of {one.done} jobs, and was to take {sweep.limit}"
    surely = [s.event.job_id for s in inside if since + 2 * CLOCK_MS < s.at_ms < until - 2 * CLOCK_MS]
    for job_id in {job_id for job_id in surely if surely.count(job_id) > 1}:
        yield f"{sweep.what} took {job_id} {surely.count(job_id)} times"


def _left(evidence: Evidence, one: Swept, steps: list[_Step]) -> Iterator[str]:
    """What was there when it was sent, is there when it was answered, and was to be taken."""
    sweep = one.sweep
    if sweep.limit is not None and one.done >= sweep.limit:
        return
    there: dict[str, _Step] = {}
    for step in steps:
        if step.at_ms >= one.sent_ms - CLOCK_MS and step.event.job_id in there and step.at_ms <= one.at_ms + CLOCK_MS:
            del there[step.event.job_id]
        elif step.at_ms < one.sent_ms - CLOCK_MS:
            there[step.event.job_id] = step
    for job_id, step in there.items():
        status, order = step.event.status, evidence.orders.get(job_id)
        if status not in sweep.statuses or order is None or order.kind not in sweep.kinds:
            continue
        moment = step.at_ms if status.terminal else step.created_ms
        held = sweep.what == "requeue" and order.unique  # another one may have its key
        fits = sweep.reason in ("", step.event.reason or "") and not held
        if fits and moment <= one.sent_ms - sweep.older_s * 1000 - CLOCK_MS:
            yield f"{job_id} was {status} all the while, and {sweep.what} left it ({one.at_ms - one.sent_ms:.0f} ms)"


def nothing_is_left_of_what_was_razed(evidence: Evidence) -> Iterator[str]:
    """INV-40. Of a queue that was obliterated, and that nobody has enqueued into since, nothing is left, and none of
    its jobs begins."""
    for key in evidence.remains:
        yield f"{key} is left of {RAZED}"
    whole = [one for one in evidence.swept if one.sweep.what == "raze" and not one.error and not one.sweep.cut_off]
    for job_id, order in evidence.orders.items():
        acked = evidence.acked.get(job_id)
        if order.queue != RAZED or acked is None:
            continue
        for one in whole:
            if acked.acked_ms < one.sent_ms:
                for body in evidence.begun.get(job_id, ()):
                    if body.began_ms > one.at_ms + KILL_MS and not was_parted(evidence, body):
                        yield f"{job_id} began {body.began_ms - one.at_ms:.0f} ms after {RAZED} was obliterated"
                break
