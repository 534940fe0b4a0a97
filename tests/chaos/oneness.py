"""What must hold after a chaos run of ids and unique keys: that there is one job where there may be but one, and that
who was given or refused something for the sake of another job was told the truth. Judges, as those of `invariants`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from rqlike.states import CRASHES, JobStatus
from tests.chaos.evidence import PARTING, Body, Denied, Evidence, Given
from tests.chaos.kinds import Order

CLOCK_MS: Final = 2.0  #: the server rounds to milliseconds, and so does everybody
_NO_VALUE: Final = ("WaitTimeout", "JobFailed", "JobStopped", "JobCanceled", "JobExpired", "ResultNotStored")
KILL_MS: Final = 2000.0  #: for a body whose job was deleted to be killed


def gone(evidence: Evidence, job_id: str) -> bool:
    """Whether the job may be gone: it was deleted, perhaps with one it depends on, or its result was to be kept for a
    moment at most."""
    return deleted(evidence, job_id) or evidence.orders[job_id].fades


def deleted(evidence: Evidence, job_id: str) -> bool:
    """Whether it may have been deleted, perhaps with one it depends on, or taken away when it had ended."""
    return any(evidence.was(what, job_id) for what in ("delete", "drop")) or job_id in evidence.cleared


def may_be_canceled(evidence: Evidence, job_id: str) -> bool:
    """Whether somebody may have canceled the job: an operator, by a stop between two attempts too, a replacement, or
    the end of one it depends on."""
    order = evidence.orders[job_id]
    if any(need.on_failure != "run" for need in evidence.needs.get(job_id, ())):
        return True
    if any(evidence.was(what, job_id) for what in ("cancel", "stop", "replace")):
        return True
    rivals = (one for one in evidence.rivals.get(order.unique, ()) if one.id != job_id)
    return any(one.wish == "replace" or evidence.was("replace", one.id) for one in rivals)


def a_key_has_one_living_job(evidence: Evidence) -> Iterator[str]:
    """INV-24. At no moment do two living jobs have the same key until they end; each of them holds it, and nobody else
    does."""
    for key, living, holder in evidence.holdings:
        if len(living) > 1:
            yield f"{' and '.join(living)} lived at once, and have the key {key}"
        elif not living:
            yield f"{key} was held without an end by {holder}, which did not live"
        else:
            yield f"{living[0]} lived, and its key {key} was held by {holder or 'nobody'}"


def keys_are_let_go(evidence: Evidence) -> Iterator[str]:
    """INV-25. Once all jobs have ended, nothing holds a key without an end."""
    for key in evidence.unreleased:
        yield f"{key} is left"


def bodies_of_a_key_do_not_overlap(evidence: Evidence) -> Iterator[str]:
    """INV-26. Bodies of two jobs with the same key until they end overlap only where a worker was frozen or cut off for
    longer than its lease, so that one of them is on record as abandoned, and for the moment it takes to kill one whose
    job was deleted."""
    bodies: dict[str, list[Body]] = defaultdict(list)
    for body in sorted(evidence.bodies, key=lambda body: body.began_ns):
        order = evidence.orders.get(body.job_id)
        if order is not None and order.holds:
            bodies[order.holds].append(body)
    for key, some in bodies.items():
        for at, after in enumerate(some):
            for before in some[:at]:
                over = overlap_ms(evidence, before, after) if before.job_id != after.job_id else 0.0
                if over > 0:
                    yield f"{before.job_id} ran {over:.0f} ms beside {after.job_id} with its key {key}"


def was_parted(evidence: Evidence, body: Body) -> bool:
    """Whether its worker may have run it without knowing that it had been replaced: there was such a fault, and it is
    on record as lost, or not at all."""
    job = evidence.jobs.get(body.job_id)
    entry = next((e for e in job.entries if e.execution_id == body.execution), None) if job is not None else None
    return evidence.any_strike(PARTING) and (entry is None or entry.reason in CRASHES)


def overlap_ms(evidence: Evidence, before: Body, after: Body) -> float:
    """For how long two bodies ran at once; 0 where that is not known, or allowed since a worker was cut off or a job
    deleted."""
    if before.over_ns is None or before.over_ns <= after.began_ns:
        return 0.0
    if was_parted(evidence, before) or was_parted(evidence, after):
        return 0.0
    over = (before.over_ns - after.began_ns) / 1e6
    for job_id in {before.job_id, after.job_id}:
        for act in evidence.acted.get(job_id, ()):
            # when it was deleted is known to be after it was asked for
            if act.what == "delete" and act.at_ms <= after.began_ms and over < KILL_MS:
                return 0.0
    return over


# -- who was told of another job ---------------------------------------------------------------------------------------


def who_was_told_of_another_job_was_told_the_truth(evidence: Evidence) -> Iterator[str]:
    """INV-27. A job that was named or given in place of the one that was sent existed, was in its way, and lived or
    held its key at that time; and what is called cached is a value of a body that had run to its end."""
    for denied in evidence.denied:
        yield from _in_the_way(evidence, denied, denied.named)
    for given in evidence.given:
        yield from _in_the_way(evidence, given, given.given)
        if given.how != "held" and given.given != given.job_id:
            yield f"who asked for {given.job_id} was {given.how} with {given.given}"
    for wait in evidence.waits:
        if wait.how == "cached" and wait.error in _NO_VALUE:
            yield f"{wait.job_id} was called cached, and who asked for its value got {wait.error}"
        if wait.how == "cached" and wait.error == "":
            signed = evidence.orders[wait.job_id].signed_by(wait.value)
            ended = [b.ended_ms for b in evidence.begun.get(wait.job_id, ()) if signed in ("", b.execution)]
            if not any(at is not None and at <= wait.asked_ms + CLOCK_MS for at in ended):
                yield f"{wait.job_id} was called cached with {wait.value!r:.60}, which no body had returned"


def _in_the_way(evidence: Evidence, told: Denied | Given, named: str) -> Iterator[str]:
    sent = evidence.orders.get(told.job_id)
    standing = evidence.standing.get(told.job_id)
    key = sent.unique if sent is not None else standing.unique if standing is not None else ""
    other = evidence.orders.get(named)
    if _is_of_the_same_call(evidence, told.job_id, named):
        return
    if other is None or not _existed(evidence, named):
        yield f"{told.job_id} was told of {named or 'no job'}, which there never was"
    elif named != told.job_id and (not key or other.unique != key):
        yield f"{told.job_id} was told of {named}, which is not in its way"
    elif not _may_hold(evidence, other, told.sent_ms, told.at_ms):
        yield f"{told.job_id} was told of {named} when that one was not there"


def _is_of_the_same_call(evidence: Evidence, job_id: str, named: str) -> bool:
    """Whether the two were in the way of each other in an atomic call, so that neither was enqueued."""
    own = next((batch.ids for batch in evidence.batches if job_id in batch.ids), ())
    return named in own and own.index(named) < own.index(job_id) and _has_same_key(evidence, job_id, named)


def _has_same_key(evidence: Evidence, job_id: str, named: str) -> bool:
    key = evidence.orders[job_id].unique
    return key != "" and evidence.orders[named].unique == key


def _existed(evidence: Evidence, job_id: str) -> bool:
    known = (evidence.jobs, evidence.acked, evidence.refused, evidence.begun)
    # of what is shared nobody notes whom a call that may take its place or give way has made
    return any(job_id in some for some in known) or any(evidence.was(what, job_id) for what in ("return", "replace"))


def _may_hold(evidence: Evidence, order: Order, since_ms: float, until_ms: float) -> bool:
    """Whether a job may have lived, or held its key, at some time between these moments."""
    acked, job = evidence.acked.get(order.id), evidence.jobs.get(order.id)
    if order.shared or gone(evidence, order.id) or evidence.was("requeue", order.id):
        return True
    if acked is not None and acked.sent_ms > until_ms + CLOCK_MS:
        return False
    if order.unique_for is not None and acked is not None:
        return acked.acked_ms + order.unique_for * 1000 + CLOCK_MS >= since_ms
    if job is None or not job.entries or job.status in (JobStatus.CANCELED, JobStatus.EXPIRED):
        return True
    return job.entries[-1].created_ms + CLOCK_MS >= since_ms


# -- keys that went on -------------------------------------------------------------------------------------------------


def _pairs(evidence: Evidence) -> Iterator[tuple[Order, Order]]:
    """Two jobs of one key, each enqueued once, of which the first was answered before the second one was sent."""
    for rivals in evidence.rivals.values():
        own = [one for one in rivals if not one.shared and one.id in evidence.acked]
        for one in own:
            for other in own:
                if evidence.acked[one.id].acked_ms < evidence.acked[other.id].sent_ms:
                    yield one, other


def the_replaced_do_not_run(evidence: Evidence) -> Iterator[str]:
    """INV-28. Once its key has gone to another job, by `replace` or since it had ended, a job begins no more."""
    for one, other in _pairs(evidence):
        if not one.holds or evidence.was("requeue", one.id) or evidence.was("delete", one.id):
            continue
        taken = evidence.acked[other.id].acked_ms
        for body in evidence.begun.get(one.id, ()):
            if body.began_ms > taken + CLOCK_MS and not was_parted(evidence, body):
                yield f"{one.id} began {body.began_ms - taken:.0f} ms after {other.id} had its key"


def a_key_with_a_time_is_held_for_it(evidence: Evidence) -> Iterator[str]:
    """INV-29. While the time of a key goes on no other job gets it, unless it replaces the one that has it."""
    for one, other in _pairs(evidence):
        if one.unique_for is None or evidence.was("delete", one.id):
            continue
        first, second = evidence.acked[one.id], evidence.acked[other.id]
        left = first.sent_ms + one.unique_for * 1000 - second.acked_ms
        if left > CLOCK_MS and not _was_replaced(evidence, one, other):
            yield f"{other.id} had the key {one.unique} {left:.0f} ms before the time of {one.id} was over"


def _was_replaced(evidence: Evidence, one: Order, other: Order) -> bool:
    """Whether between the two, or by the second, the key may have come to a job that replaced the first."""
    until = evidence.acked[other.id].acked_ms
    for rival in evidence.rivals[one.unique]:
        acked = evidence.acked.get(rival.id)
        if rival.wish == "replace" and rival is not one and (acked is None or acked.sent_ms <= until):
            return True
    return False


def atomic_calls_are_all_or_nothing(evidence: Evidence) -> Iterator[str]:
    """What an atomic call has left: nothing where it was refused; otherwise all, or where the server failed nothing."""
    for ids, error in evidence.batches:
        left = [job_id for job_id in ids if job_id in evidence.jobs or job_id in evidence.begun]
        if error == "EnqueueManyError":
            for job_id in left:
                yield f"{job_id} is there, and was of an atomic call that was refused"
        elif left:
            for job_id in set(ids) - set(left):
                order = evidence.orders[job_id]
                if not gone(evidence, job_id) and not (order.unique and order.wish == "return"):
                    yield f"{job_id} is missing of an atomic call of which {left[0]} is there"
