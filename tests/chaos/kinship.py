"""What must hold after a chaos run of jobs that depend on others, and of groups. Judges, as those of `invariants`."""

from __future__ import annotations

from collections.abc import Iterator

from rqlike.dependency import Need
from rqlike.settings import HISTORY_LENGTH
from rqlike.states import CRASHES, JobStatus, ResultType
from tests.chaos.evidence import Evidence, GroupSeen, JobSeen
from tests.chaos.kinds import RAZED
from tests.chaos.oneness import CLOCK_MS, gone, may_be_canceled


def waits_rightly(evidence: Evidence, job_id: str) -> bool:
    """Whether a job is deferred for another one that has failed and is kept, or that waits itself in this way."""
    job = evidence.jobs[job_id]
    return job.status is JobStatus.DEFERRED and any(_holds_back(evidence, n) for n in evidence.needs.get(job_id, ()))


def _holds_back(evidence: Evidence, need: Need) -> bool:
    parent = evidence.jobs.get(need.job_id)
    if parent is None or parent.status is JobStatus.DEFERRED:
        return parent is not None and waits_rightly(evidence, need.job_id)
    return need.on_failure == "wait" and parent.status.terminal and parent.status is not JobStatus.FINISHED


def dependents_run_after_what_they_depend_on(evidence: Evidence) -> Iterator[str]:
    """INV-15. A job begins not before each of those that it depends on has ended as it wishes."""
    for job_id, needs in evidence.needs.items():
        bodies = evidence.begun.get(job_id)
        if not bodies or _was_put_into_its_queue(evidence, job_id, bodies[0].began_ms):
            continue
        for need in needs:
            if not _had_ended(evidence, need, bodies[0].began_ms + CLOCK_MS):
                yield f"{job_id} began before {need.job_id} had ended ({need.on_failure})"


def _was_put_into_its_queue(evidence: Evidence, job_id: str, at_ms: float) -> bool:
    """By an operator, who does not ask what it depends on."""
    return any(act.what == "requeue" and act.at_ms <= at_ms for act in evidence.acted.get(job_id, ()))


def _had_ended(evidence: Evidence, need: Need, at_ms: float) -> bool:
    """Whether a job had ended by then in a way that lets go on who needs it so."""
    name, job, acts = need.job_id, evidence.jobs.get(need.job_id), evidence.acted.get(need.job_id, ())
    if any(act.what == "cancel" and act.kin for act in acts):
        return True
    entries = job.entries if job is not None else ()
    anyhow = need.on_failure == "run"
    if any(e.created_ms <= at_ms and (e.type is ResultType.SUCCESSFUL or (anyhow and e.type.final)) for e in entries):
        return True
    if job is None or len(entries) >= HISTORY_LENGTH:
        bodies = evidence.begun.get(name, ()) if evidence.orders[name].returns else ()
        if any(body.ended_ms is not None and body.ended_ms <= at_ms for body in bodies):
            return True
    if not anyhow:
        return False
    if job is None:  # deleted, perhaps after it had failed, or had ended without an execution
        if any(body.began_ms <= at_ms for body in evidence.begun.get(name, ())):
            return True
        if evidence.orders[name].expires or may_be_canceled(evidence, name):
            return True
        return name in evidence.cleared or any(act.what in ("delete", "drop") and act.at_ms <= at_ms for act in acts)
    if evidence.was("requeue", name):  # how a cycle ended that had no execution is not known once there is another one
        return True
    return job.status in (JobStatus.CANCELED, JobStatus.EXPIRED) and (job.ended_ms or 0) <= at_ms


def nobody_is_left_in_a_list(evidence: Evidence) -> Iterator[str]:
    """INV-31. When all has ended, nobody is still to be told of an end, and only jobs that have failed, and those that
    wait for such, are waited for."""
    for parent, edges in evidence.lists.waiting.items():
        job = evidence.jobs.get(parent)
        failed = job is not None and job.status.terminal and job.status is not JobStatus.FINISHED
        if not failed and (job is None or not waits_rightly(evidence, parent)):
            yield f"{parent} is {'gone' if job is None else job.status}, and is waited for: {', '.join(edges)}"
        for edge in edges if failed else ():
            if not edge.split(" ")[1].startswith("w"):
                yield f"{parent} has failed, and nobody was told: {edge}"
    for key in evidence.lists.telling:
        yield f"{key} is left"
    waited_for = {n.job_id for needs in evidence.needs.values() for n in needs if n.on_failure == "wait"}
    for member in evidence.lists.unsettled:
        number, outcome, name = member.split(" ", 2)
        if (number, outcome) != ("-", "gone") or name not in waited_for:
            yield f"{member!r} is still to be looked at"


def nobody_is_canceled_for_what_finished(evidence: Evidence) -> Iterator[str]:
    """INV-32. A job is canceled for the sake of those that it depends on only where one of them did not finish."""
    for job_id, job in evidence.jobs.items():
        if job.status is JobStatus.CANCELED and job.notice == "dependency":
            needs = evidence.needs.get(job_id, ())
            if not any(_may_not_have_finished(evidence, need) for need in needs):
                yield f"{job_id} was canceled for a dependency, and all of them finished: {needs}"


def _may_not_have_finished(evidence: Evidence, need: Need) -> bool:
    """Whether a job may have ended in a way that cancels who needs it so."""
    job = evidence.jobs.get(need.job_id)
    if need.on_failure == "run":
        return False
    if job is None:
        return gone(evidence, need.job_id)
    if need.on_failure == "wait":
        return False
    if job.status is not JobStatus.FINISHED or len(job.entries) >= HISTORY_LENGTH:
        return True
    failed = any(entry.type.final and entry.type is not ResultType.SUCCESSFUL for entry in job.entries)
    return failed or evidence.was("requeue", need.job_id)


def groups_are_complete_once_all_have_ended(evidence: Evidence) -> Iterator[str]:
    """INV-33. In the end a group is complete, and knows all of its jobs. Its callback comes when all that had been
    acknowledged have ended, and not before."""
    for name, seen in evidence.groups.items():
        own = {order.id for order in evidence.orders.values() if order.group == name and order.id in evidence.acked}
        if seen is None:
            # it is kept as long as the one of its jobs that is kept longest
            yield from [f"group {name} is gone"] if not all(gone(evidence, job_id) for job_id in own) else []
            continue
        for job_id in sorted(own - seen.members):
            yield f"{job_id} was acknowledged, and group {name} does not know it"
        if seen.pending:
            yield f"group {name} still waits for {seen.pending} of {len(seen.members)} jobs"
        yield from _callbacks(evidence, name, seen)


def _callbacks(evidence: Evidence, name: str, seen: GroupSeen) -> Iterator[str]:
    calls = {job_id: job for job_id, job in evidence.jobs.items() if job_id.startswith(f"{name}@")}
    made = {f"{name}@{number}" for number in range(1, seen.completed + 1)}
    erased = {job_id for job_id in made if _was_erased(evidence, name, job_id)}
    if not made - erased <= set(calls) <= made:
        yield f"group {name} was complete {seen.completed} times, and its callbacks are {sorted(calls)}"
    ends = {job_id: _end_of(evidence, job_id) for job_id in seen.members}
    for job_id, job in calls.items():
        for member, end in ends.items():
            acked = evidence.acked.get(member)
            known = acked is not None and acked.acked_ms < job.created_ms - CLOCK_MS
            if known and end is not None and end > job.created_ms + CLOCK_MS:
                yield f"{job_id} came {end - job.created_ms:.0f} ms before {member} had ended"
        if not evidence.begun.get(job_id) and not any(entry.reason in CRASHES for entry in job.entries):
            yield f"{job_id} never began"
    last = max((job.created_ms for job in calls.values()), default=0)
    late = max((_last_end_of(evidence.jobs.get(job_id)) for job_id in seen.members), default=0)
    if seen.members and last < late - CLOCK_MS and not erased:
        yield f"the last callback of group {name} came {late - last:.0f} ms before its last job had ended"


def _was_erased(evidence: Evidence, group: str, job_id: str) -> bool:
    """Whether a callback may have been deleted: it comes into the queue of the last job of its group."""
    razed = any(order.queue == RAZED for order in evidence.orders.values() if order.group == group)
    return razed or evidence.was("delete", job_id)


def _end_of(evidence: Evidence, job_id: str) -> float | None:
    """When it had ended for the first time; None where that is not known."""
    job = evidence.jobs.get(job_id)
    if job is None or len(job.entries) >= HISTORY_LENGTH or evidence.was("requeue", job_id):
        return None
    finals = [entry.created_ms for entry in job.entries if entry.type.final]
    return float(finals[-1]) if finals else job.ended_ms


def _last_end_of(job: JobSeen | None) -> int:
    return (job.ended_ms or 0) if job is not None and job.status.terminal else 0


def who_depends_on_no_job_was_told_the_truth(evidence: Evidence) -> Iterator[str]:
    """INV-34. An enqueue is refused for the sake of a job to depend on only where that one is none, or is gone, and
    leaves nothing."""
    for job_id, named in evidence.orphaned:
        if named not in {need.job_id for need in evidence.needs.get(job_id, ())}:
            yield f"{job_id} was told that {named} is gone, on which it does not depend"
        elif named in evidence.acked and not gone(evidence, named):
            yield f"{job_id} was told that {named} is gone, which is there"
        if job_id in evidence.jobs or job_id in evidence.begun:
            yield f"{job_id} is there, and was refused since {named} is gone"
