"""What must hold after a chaos run: pure functions over its evidence, one sentence per violation.

A job is judged by its executions, as the design speaks of them: each has one entry, a token fences it, and what a lost
worker held is judged once. What a fault excuses is excused only where there was such a fault at that time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from rqlike.records import ResultRecord
from rqlike.serializers import resolve_serializer
from rqlike.settings import HISTORY_LENGTH
from rqlike.states import CRASHES, JobStatus, Reason, ResultType
from rqlike.timetables import slot_text
from tests.chaos.erased import nothing_is_left_of_what_was_razed, sweeps_take_what_they_are_to_take
from tests.chaos.evidence import AWAY, DEADLY, NO_START, Body, Evidence, JobSeen, ScheduleSeen, Wait
from tests.chaos.hearsay import (
    a_log_is_what_was_written,
    each_event_is_told_once,
    events_are_the_results,
    who_watches_sees_it_as_it_was,
)
from tests.chaos.kinds import LIMITS, MAX_CRASHES, StandingOrder
from tests.chaos.kinship import (
    dependents_run_after_what_they_depend_on,
    groups_are_complete_once_all_have_ended,
    nobody_is_canceled_for_what_finished,
    nobody_is_left_in_a_list,
    waits_rightly,
    who_depends_on_no_job_was_told_the_truth,
)
from tests.chaos.oneness import (
    CLOCK_MS,
    a_key_has_one_living_job,
    a_key_with_a_time_is_held_for_it,
    atomic_calls_are_all_or_nothing,
    bodies_of_a_key_do_not_overlap,
    deleted,
    gone,
    keys_are_let_go,
    may_be_canceled,
    overlap_ms,
    the_replaced_do_not_run,
    who_was_told_of_another_job_was_told_the_truth,
)

LATE_MS: Final = 50.0  #: a due job on an idle machine
TOLD_MS: Final = 3000.0  #: for a waiter to hear, on a machine that is busy with the rest of the run
_HEARD_MS: Final = 2000.0  #: for a fault to take effect, and for a busy machine
_AWAY_MS: Final = 12_000.0  #: for one who has waited long enough to learn that the server is away
_BEFORE_IT_BEGAN: Final = frozenset({Reason.STOPPED, Reason.CANCELED})

_PAUSED_MS: Final = 100.0  #: for a claim to come after a pause was answered

Judge = Callable[[Evidence], Iterator[str]]


def nothing_is_lost(evidence: Evidence) -> Iterator[str]:
    """INV-1. A job whose enqueue returned exists until its time to live is over."""
    for job_id in evidence.acked:
        if job_id in evidence.jobs:
            continue
        if not gone(evidence, job_id):
            yield f"{job_id} was acknowledged and is gone"
        elif not deleted(evidence, job_id) and not any(body.ended_ns for body in evidence.begun.get(job_id, ())):
            yield f"{job_id} is gone as if it had returned, and it never did"


def nothing_is_stuck(evidence: Evidence) -> Iterator[str]:
    """INV-2. Once the faults are over and a worker lives, every job comes to an end, but for one that is to wait until
    another one, which has failed and is kept, is run again."""
    for job_id, job in evidence.jobs.items():
        if not job.status.terminal and not waits_rightly(evidence, job_id):
            yield f"{job_id} is still {job.status}"


def one_status_one_home(evidence: Evidence) -> Iterator[str]:
    """INV-3. Each job is in one status and at home there and nowhere else, no index says otherwise, and the events of a
    job tell a path to it that the table of transitions allows."""
    yield from evidence.unsound


def each_execution_has_one_entry(evidence: Evidence) -> Iterator[str]:
    """INV-4. Each execution that began has exactly one entry, and the last ten are kept."""
    for job_id, job in evidence.jobs.items():
        ids = [entry.execution_id for entry in job.entries]
        if len(ids) > HISTORY_LENGTH:
            yield f"{job_id} has {len(ids)} entries"
        if len(set(ids)) != len(ids):
            yield f"{job_id} has an execution twice: {ids}"
        bodies = evidence.begun.get(job_id, [])
        if _is_reborn(evidence, job_id):  # its history is that of the last one
            bodies = [body for body in bodies if body.execution in ids]
        if len(ids) < HISTORY_LENGTH and job.status.terminal:
            for body in bodies:
                if body.execution not in ids:
                    yield f"{job_id} has no entry of {body.execution}, which began"
        yield from _without_a_body(evidence, job, {body.execution for body in bodies})


def _is_reborn(evidence: Evidence, job_id: str) -> bool:
    """Whether several jobs may have had that id, one after the other was gone."""
    return evidence.orders[job_id].shared and gone(evidence, job_id)


def _without_a_body(evidence: Evidence, job: JobSeen, begun: set[str]) -> Iterator[str]:
    for entry in job.entries:
        if entry.execution_id in begun or entry.reason in _BEFORE_IT_BEGAN:
            continue
        since, until = entry.started_ms - _HEARD_MS, entry.created_ms + _HEARD_MS
        if entry.reason not in CRASHES or not evidence.struck(DEADLY, entry.worker_name, since, until):
            yield f"{entry.job_id} has an entry ({entry.reason}) of {entry.execution_id}, which never began"


def entries_are_in_order(evidence: Evidence) -> Iterator[str]:
    """INV-5. Entries stand in the order of the executions, without a gap, and the last one is what the status says."""
    for job_id, job in evidence.jobs.items():
        for before, after in pairwise(job.entries):
            if _place(before.id) >= _place(after.id):
                yield f"{job_id} has entries out of order: {before.id}, {after.id}"
            if not _follows(before, after):
                yield f"{job_id}: {before.type.name} {_at(before)} is followed by {_at(after)}"
        if job.entries and len(job.entries) < HISTORY_LENGTH and job.entries[0].attempt != 1:
            yield f"{job_id} begins with {_at(job.entries[0])}"
        if job.status.terminal and not _agrees(job):
            last = job.entries[-1] if job.entries else None
            yield f"{job_id} is {job.status} in cycle {job.cycle}, and its last entry is {last}"


def _place(entry_id: str) -> tuple[int, int]:
    first, _, second = entry_id.partition("-")
    return int(first), int(second)


def _at(entry: ResultRecord) -> str:
    return f"cycle {entry.cycle} attempt {entry.attempt}"


def _follows(before: ResultRecord, after: ResultRecord) -> bool:
    if before.cycle == after.cycle:
        return before.type is ResultType.RETRIED and after.attempt == before.attempt + 1
    return after.cycle > before.cycle and after.attempt == 1


def _agrees(job: JobSeen) -> bool:
    last = job.entries[-1] if job.entries and job.entries[-1].cycle == job.cycle else None
    match job.status:
        case JobStatus.FINISHED:
            return last is not None and last.type is ResultType.SUCCESSFUL
        case JobStatus.FAILED:
            return last is not None and last.type in (ResultType.FAILED, ResultType.MAX_RETRIES_EXCEEDED)
        case JobStatus.STOPPED:
            return last is not None and last.type is ResultType.STOPPED
        case JobStatus.EXPIRED:
            return last is None
    # canceled: before it began, between two attempts, or while it ran
    return last is None or last.type in (ResultType.RETRIED, ResultType.STOPPED)


def executions_do_not_overlap(evidence: Evidence) -> Iterator[str]:
    """INV-6. Two executions of a job overlap only where a worker was frozen or cut off for longer than its lease, so
    that one of them is on record as abandoned."""
    for job_id, bodies in evidence.begun.items():
        for before, after in pairwise(bodies):
            if before.over_ns is None or before.over_ns <= after.began_ns:
                continue
            over = overlap_ms(evidence, before, after)
            if over > 0:
                yield f"{job_id} ran {over:.0f} ms beside itself"


def bodies_are_not_repeated(evidence: Evidence) -> Iterator[str]:
    """INV-7. A body that returned is recorded as such, unless a fault fell between its end and its record."""
    for job_id, job in evidence.jobs.items():
        entries = {entry.execution_id: entry for entry in job.entries}
        for body in evidence.begun.get(job_id, ()):
            entry = entries.get(body.execution)
            if entry is None or body.ended_ms is None or not evidence.orders[job_id].returns:
                continue
            if entry.type is ResultType.SUCCESSFUL or entry.reason in (*_BEFORE_IT_BEGAN, Reason.RETRY_RETURNED):
                continue
            until = entry.created_ms + _HEARD_MS
            if not evidence.struck(DEADLY, entry.worker_name, body.ended_ms - _HEARD_MS, until):
                yield f"{job_id} returned in {body.execution}, which is recorded as {entry.reason}"


def each_job_comes_to_what_it_is(evidence: Evidence) -> Iterator[str]:
    """INV-8. A finished job has run and has its own value; one that failed did so in the way of its kind, or by a
    fault."""
    for job_id, job in evidence.jobs.items():
        order = evidence.orders[job_id]
        for entry in job.entries:
            if entry.type is ResultType.SUCCESSFUL:
                yield from _wrong_value(evidence, job_id, entry)
            elif entry.type in (ResultType.FAILED, ResultType.MAX_RETRIES_EXCEEDED):
                yield from _wrong_failure(evidence, entry)
        if job.status is JobStatus.FINISHED and not any(body.ended_ns for body in evidence.begun.get(job_id, ())):
            yield f"{job_id} ({order.kind}) is finished, and never returned"


def _wrong_value(evidence: Evidence, job_id: str, entry: ResultRecord) -> Iterator[str]:
    order = evidence.orders[job_id]
    if not order.returns:
        yield f"{job_id} ({order.kind}) is recorded as successful"
    elif entry.value is None:
        if not evidence.any_strike(frozenset({"memory"})):
            yield f"{job_id} ({order.kind}) has no value"
    elif (found := resolve_serializer(entry.serializer).loads(entry.value)) != order.value(entry.execution_id):
        yield f"{job_id} ({order.kind}) has the value {found!r:.60}"


def _wrong_failure(evidence: Evidence, entry: ResultRecord) -> Iterator[str]:
    order = evidence.orders[entry.job_id]
    if entry.reason in order.of.ends:
        return
    since, until = entry.started_ms - _HEARD_MS, entry.created_ms + _HEARD_MS
    if entry.reason not in CRASHES or not evidence.struck(DEADLY, entry.worker_name, since, until):
        last = (entry.exc_string or "").strip()[-200:]
        yield f"{entry.job_id} ({order.kind}) failed: {entry.reason} on {entry.worker_name}: {last}"


def attempts_are_counted(evidence: Evidence) -> Iterator[str]:
    """INV-9. No more attempts than granted, no more crashes in a row than allowed."""
    for job_id, job in evidence.jobs.items():
        order = evidence.orders[job_id]
        granted = 1 + max(order.retries, 3 if order.of.act == "returns_retry" else 0)
        crashes, cycle = 0, 0
        for entry in job.entries:
            crashes = crashes + 1 if entry.reason in CRASHES and entry.cycle == cycle else int(entry.reason in CRASHES)
            cycle = entry.cycle
            if entry.attempt > granted:
                yield f"{job_id} has attempt {entry.attempt} of {granted}"
            if crashes > MAX_CRASHES or (crashes == MAX_CRASHES and entry.type is ResultType.RETRIED):
                yield f"{job_id} crashed {crashes} times in a row and was tried again"


def nothing_leaks(evidence: Evidence) -> Iterator[str]:
    """INV-10. When all times to live are over and a worker has swept, only the namespace's constants are left."""
    for key in evidence.leaks:
        yield f"{key} is left"


def enqueueing_is_all_or_nothing(evidence: Evidence) -> Iterator[str]:
    """INV-11. An enqueue that failed has written a whole job or none, an atomic one all its jobs or none, and the same
    call once more changes nothing."""
    yield from atomic_calls_are_all_or_nothing(evidence)
    for job_id in evidence.refused:
        if job_id not in evidence.jobs and evidence.begun.get(job_id) and not gone(evidence, job_id):
            yield f"{job_id} was refused, began all the same, and is gone"
    for job_id, acked in evidence.acked.items():
        if acked.again not in ("", "replayed"):
            yield f"{job_id} was sent twice and answered with {acked.again!r}"


def each_waiter_learns_what_became_of_its_job(evidence: Evidence) -> Iterator[str]:
    """INV-12. Each waiter gets the value of its job and cycle, or the error that says why there is none, soon after it
    has ended, and within the time it was given."""
    for wait in evidence.waits:
        if wait.job_id not in evidence.orders:
            yield f"somebody waited for {wait.job_id}, which nobody has enqueued"
            continue
        order, ended = evidence.orders[wait.job_id], _end_of(evidence, wait)
        if wait.error == "":
            yield from _wrong_answer(evidence, wait, ended)
        elif wait.error == "WaitTimeout":
            yield from _gave_up(evidence, wait, ended)
        elif not _may_be_told(evidence, wait, ended):
            yield f"who waited for {wait.job_id} ({order.kind}) got {wait.error}"
        away = evidence.any_strike(AWAY)
        late = 0.0 if ended is None else wait.at_ms - max(ended.created_ms, wait.asked_ms)
        if late > TOLD_MS and not away:
            yield f"who waited for {wait.job_id} was told {late:.0f} ms after it had ended"
        over = wait.at_ms - wait.asked_ms - wait.timeout_s * 1000
        if over > (_AWAY_MS if away else TOLD_MS):
            yield f"who waited for {wait.job_id} did so {over:.0f} ms longer than {wait.timeout_s:g} s"


def _end_of(evidence: Evidence, wait: Wait) -> ResultRecord | None:
    """The execution by which what was waited for has ended, where it is known."""
    job = evidence.jobs.get(wait.job_id)
    execution = wait.execution or (evidence.orders[wait.job_id].signed_by(wait.value) if wait.error == "" else "")
    for entry in job.entries if job is not None else ():
        if execution and entry.execution_id == execution:
            return entry
        if not execution and entry.cycle == wait.cycle and entry.type.final and not _is_reborn(evidence, wait.job_id):
            return entry
    return None


def _is_whole(evidence: Evidence, job_id: str) -> bool:
    """Whether the history has all executions that there were under that id."""
    job = evidence.jobs.get(job_id)
    return job is not None and len(job.entries) < HISTORY_LENGTH and not _is_reborn(evidence, job_id)


def _wrong_answer(evidence: Evidence, wait: Wait, ended: ResultRecord | None) -> Iterator[str]:
    signed = evidence.orders[wait.job_id].signed_by(wait.value)
    bodies = [body for body in evidence.begun.get(wait.job_id, ()) if signed in ("", body.execution)]
    if signed is None:
        yield f"who waited for {wait.job_id} got {wait.value!r:.60}"
    elif not any(body.ended_ms is not None and body.ended_ms <= wait.at_ms + CLOCK_MS for body in bodies):
        yield f"who waited for {wait.job_id} got {wait.value!r:.60}, which no body had returned"
    elif ended is None:
        if _is_whole(evidence, wait.job_id) and (signed or wait.cycle):
            yield f"who waited for {wait.job_id} got a value, and it has none"
    elif ended.type is not ResultType.SUCCESSFUL:
        yield f"who waited for {wait.job_id} got a value, and it has none"
    elif wait.cycle not in (0, ended.cycle) and not _is_reborn(evidence, wait.job_id):
        yield f"who waited for cycle {wait.cycle} of {wait.job_id} got the value of cycle {ended.cycle}"


def _gave_up(evidence: Evidence, wait: Wait, ended: ResultRecord | None) -> Iterator[str]:
    """Who gives up looks once more when the time is over, so what had ended by then is not missed."""
    waited = wait.at_ms - wait.asked_ms
    if waited < wait.timeout_s * 1000 - CLOCK_MS:
        yield f"who waited for {wait.job_id} gave up after {waited:.0f} ms of {wait.timeout_s:g} s"
    until = wait.asked_ms + wait.timeout_s * 1000
    if ended is not None and ended.created_ms < until - CLOCK_MS and not evidence.any_strike(AWAY):
        yield f"who waited for {wait.job_id} gave up {until - ended.created_ms:.0f} ms after it had ended"


def _may_be_told(evidence: Evidence, wait: Wait, ended: ResultRecord | None) -> bool:
    order, job = evidence.orders[wait.job_id], evidence.jobs.get(wait.job_id)
    away = gone(evidence, order.id)
    match wait.error:
        case "JobFailed":
            return ended is None or (
                ended.type in (ResultType.FAILED, ResultType.MAX_RETRIES_EXCEEDED)
                and (wait.cycle in (0, ended.cycle) or _is_reborn(evidence, order.id))
            )
        case "JobStopped":
            return evidence.was("stop", order.id) and (ended is None or ended.type is ResultType.STOPPED)
        case "JobCanceled":
            return may_be_canceled(evidence, order.id)
        case "JobExpired":
            return order.expires
        case "NoSuchJobError":
            return away
        case "ResultExpired":  # a notice is gone once a new cycle has begun
            return away or order.shared or (job is not None and job.cycle > wait.cycle and ended is None)
        case "ResultNotStored":
            return evidence.any_strike(frozenset({"memory"}))
        case "None":
            return wait.how == "latest"
        case "ConnectionError" | "TimeoutError" | "OutOfMemoryError" | "BusyLoadingError":
            return evidence.any_strike(AWAY)
    return False


def who_waits_for_many_learns_of_each(evidence: Evidence) -> Iterator[str]:
    """INV-30. Who waits for many jobs is told of those whose cycles were over and of no others, as soon as that is what
    it waits for, and within its time."""
    away = evidence.any_strike(AWAY)
    for told in evidence.gathered:
        until = told.asked_ms + told.timeout_s * 1000
        over = told.at_ms - until
        if over > (_AWAY_MS if away else TOLD_MS):
            yield f"who waited for {len(told.pending)} jobs did so {over:.0f} ms longer than {told.timeout_s:g} s"
        for job_id, cycle in told.done:
            ended = _final(evidence, job_id, cycle)
            if ended is not None and ended.created_ms > told.at_ms + CLOCK_MS:
                yield f"{job_id} was called done {ended.created_ms - told.at_ms:.0f} ms before its cycle was over"
        for job_id, cycle in told.pending if told.when == "ALL_COMPLETED" and not away else ():
            ended = _final(evidence, job_id, cycle)
            if ended is not None and ended.created_ms < until - CLOCK_MS:
                yield f"{job_id} was called pending {until - ended.created_ms:.0f} ms after its cycle was over"
        early = told.at_ms < until - CLOCK_MS
        if early and (told.pending if told.when == "ALL_COMPLETED" else told.pending and not told.done):
            yield f"who waited for {told.pending[0][0]} was told that it pends, {-over:.0f} ms before the time was over"


def _final(evidence: Evidence, job_id: str, cycle: int) -> ResultRecord | None:
    """The execution that ended a cycle, where that is known."""
    job = evidence.jobs.get(job_id)
    if job is None or _is_reborn(evidence, job_id):
        return None
    return next((entry for entry in job.entries if entry.cycle == cycle and entry.type.final), None)


def callbacks_are_called_once_at_most(evidence: Evidence) -> Iterator[str]:
    """INV-19. A callback follows an execution that is on record, and is called at most once for it."""
    for execution, times in Counter(call.execution for call in evidence.calls).items():
        if times > 1:
            yield f"the callback of {execution} was called {times} times"
    for call in evidence.calls:
        job = evidence.jobs.get(call.job_id)
        if job is None or len(job.entries) >= HISTORY_LENGTH:
            continue
        entry = next((entry for entry in job.entries if entry.execution_id == call.execution), None)
        if entry is None or entry.type is not ResultType.SUCCESSFUL:
            yield f"the callback of {call.execution} was called, and {call.job_id} has no such success"


def the_canceled_do_not_run(evidence: Evidence) -> Iterator[str]:
    """INV-13. A job that was canceled before it was claimed never begins, and none is canceled or stopped that nobody
    wanted to be."""
    for act in evidence.acts:
        if act.what == "cancel" and act.answer == JobStatus.CANCELED and not evidence.orders[act.job_id].shared:
            for body in evidence.begun.get(act.job_id, ()):
                if body.began_ms > act.at_ms + CLOCK_MS:
                    yield f"{act.job_id} began {body.began_ms - act.at_ms:.0f} ms after it was canceled"
    for job_id, job in evidence.jobs.items():
        if job.status is JobStatus.CANCELED and not may_be_canceled(evidence, job_id):
            yield f"{job_id} was canceled by nobody"
        for entry in job.entries:
            if entry.reason is Reason.STOPPED and not evidence.was("stop", job_id):
                yield f"{job_id} was stopped by nobody"
            # who replaces a job, or gives it up, leaves it alone where it runs
            if entry.reason is Reason.CANCELED and not evidence.was("cancel", job_id):
                yield f"{job_id} was canceled by nobody while it ran"


def workers_end_in_good_order(evidence: Evidence) -> Iterator[str]:
    """INV-14. After SIGTERM a worker exits with 0 in time, none ends by itself, and nothing outlives them."""
    for exit_ in evidence.exits:
        if not exit_.asked:
            if exit_.listened or not evidence.any_strike(NO_START):
                yield f"{exit_.worker} ended by itself with {exit_.code}: {exit_.said}"
        elif exit_.code is None:
            yield f"{exit_.worker} did not end within {exit_.seconds:.0f} s after SIGTERM"
        elif exit_.code != 0 and not (exit_.code == 75 and evidence.any_strike(AWAY)):
            yield f"{exit_.worker} ended with {exit_.code} after SIGTERM"
    for orphan in evidence.orphans:
        yield f"{orphan} outlived all workers"


def due_jobs_come_in_time(evidence: Evidence) -> Iterator[str]:
    """INV-17. A scheduled job begins not before its time, and on an idle machine at most 50 ms late."""
    for job_id, acked in evidence.acked.items():
        order, bodies = evidence.orders[job_id], evidence.begun.get(job_id)
        if order.delay is None or not bodies:
            continue
        early = acked.sent_ms + order.delay * 1000 - bodies[0].began_ms
        late = bodies[0].began_ms - acked.acked_ms - order.delay * 1000
        if early > CLOCK_MS and _first_is_kept(evidence, job_id, bodies[0]):
            yield f"{job_id} began {early:.0f} ms before its time"
        if evidence.idle and late > LATE_MS and not order.needs:
            yield f"{job_id} began {late:.0f} ms late"
    for job_id, job in evidence.jobs.items():
        bodies = evidence.begun.get(job_id)
        if job.slot_ms is None or not bodies:
            continue
        late = bodies[0].began_ms - job.slot_ms
        if late < -CLOCK_MS:
            yield f"{job_id} began {-late:.0f} ms before its slot"
        if evidence.idle and late > LATE_MS:
            yield f"{job_id} began {late:.0f} ms late"


def _first_is_kept(evidence: Evidence, job_id: str, body: Body) -> bool:
    """Not where an operator has put the job into the queue meanwhile."""
    return not evidence.was("requeue", job_id) or body.began_ms < evidence.acted[job_id][0].at_ms


def each_slot_is_one_job(evidence: Evidence) -> Iterator[str]:
    """INV-16. Each slot of a schedule is one job and no more; none is missing that must fire, and what is missed is
    counted."""
    for key, order in evidence.standing.items():
        seen, made = evidence.schedules.get(key), evidence.of_schedules.get(key, [])
        if seen is None:
            yield from [f"schedule {key} is gone"] if any(kept.key == key for kept in evidence.kept) else []
            continue
        if seen.next_ms is not None:
            yield f"schedule {key} still waits for {slot_text(seen.next_ms)}"
        yield from _jobs_of_slots(key, made, seen)
        yield from _slots_of_a_schedule(evidence, order, {job.slot_ms for _, job in made if job.slot_ms}, seen)
    for job_id in evidence.begun.keys() - evidence.jobs.keys():
        of_a_group = job_id.partition("@")[0] in evidence.groups
        if "@" in job_id and not of_a_group and not evidence.was("delete", job_id):
            yield f"{job_id} began and is gone"


def _jobs_of_slots(key: str, made: Sequence[tuple[str, JobSeen]], seen: ScheduleSeen) -> Iterator[str]:
    """Each job stands for one slot, each slot for one job, and each fire is counted."""
    for job_id, job in made:
        if job.slot_ms is None or job_id != f"{key}@{slot_text(job.slot_ms)}":
            yield f"{job_id} is the job of the slot {job.slot_ms}"
        if job.cycle != 1:
            yield f"{job_id} was enqueued {job.cycle} times"
    for what, slots in (
        ("jobs", [job.slot_ms for _, job in made]),
        ("fires", [fire.slot_ms for fire in seen.fires if fire.slot_ms is not None]),
    ):
        for slot, times in Counter(slots).items():
            if times > 1:
                yield f"schedule {key} has {times} {what} of the slot {slot}"
    if seen.fired != len(made):
        yield f"schedule {key} counts {seen.fired} fires, and there are {len(made)} jobs"


def _slots_of_a_schedule(
    evidence: Evidence, order: StandingOrder, found: set[int], seen: ScheduleSeen
) -> Iterator[str]:
    """The slots that became jobs are those that came."""
    must, may = _came(evidence, order)
    for slot in sorted(found - must - may):
        yield f"{order.key}@{slot_text(slot)} is the job of a slot that did not come"
    if order.fires_all:
        for slot in sorted(must | found)[: order.limit]:
            if slot not in found:
                yield f"{order.key}@{slot_text(slot)} is missing"
        if order.limit is not None and len(found) != order.limit:
            yield f"schedule {order.key} has {len(found)} jobs, and its limit is {order.limit}"
        if seen.missed:
            yield f"schedule {order.key} ({order.policy}) has missed {seen.missed} slots"
    elif not len(must) <= len(found) + seen.missed <= len(must | may):
        yield (
            f"schedule {order.key} has {len(found)} jobs and {seen.missed} missed slots, "
            f"and {len(must)} to {len(must | may)} have come"
        )


def _came(evidence: Evidence, order: StandingOrder) -> tuple[set[int], set[int]]:
    """The slots that came, and those of which the answers do not tell whether they came: around the moment at which it
    was made, and where it was paused. What pause and resume answered tells from and to which slot it was."""
    kept = {one.what: one for one in evidence.kept if one.key == order.key and one.what != "again"}
    end = evidence.closed_ms if order.limit else evidence.opened_ms + round(order.end_s * 1000)
    grid = order.slots(evidence.opened_ms + round(order.start_s * 1000), end)
    if "put" not in kept:
        return set(), set(grid)
    put, pause, resume = kept["put"], kept.get("pause"), kept.get("resume")
    came = {slot for slot in grid if slot >= put.sent_ms - CLOCK_MS}
    may = {slot for slot in came if slot <= put.acked_ms + CLOCK_MS}
    if pause is not None and pause.next_ms is not None:
        resumed = resume.next_ms if resume is not None else None
        may |= {slot for slot in came if pause.next_ms <= slot and (resumed is None or slot < resumed)}
        until = resume.sent_ms if resume is not None else float("inf")
        came -= {slot for slot in came if pause.acked_ms + CLOCK_MS < slot < until - CLOCK_MS}
    return came - may, may & came


def counts_are_the_jobs(evidence: Evidence) -> Iterator[str]:
    """INV-18. What the queues count is what there is."""
    for status in sorted({*evidence.counts, *evidence.tally}):
        counted, found = evidence.counts.get(status, 0), evidence.tally.get(status, 0)
        if counted != found:
            yield f"{counted} jobs are counted as {status}, and there are {found}"


def _limit_of(evidence: Evidence, job_id: str) -> str:
    order = evidence.orders.get(job_id)
    return "" if order is None else order.limit


def permits_come_back(evidence: Evidence) -> Iterator[str]:
    """INV-20. Once all jobs of a limit have ended, nothing of it is left."""
    for key in evidence.permits:
        yield f"{key} is left"


def no_more_are_started_than_a_limit_allows(evidence: Evidence) -> Iterator[str]:
    """INV-21. Never are more jobs of a key started than its concurrency."""
    for key, most in evidence.started.items():
        allowed = LIMITS[key].concurrency
        if allowed is not None and most > allowed:
            yield f"{most} jobs of {key} were started at once, and {allowed} may be"
    if not evidence.any_strike(DEADLY | AWAY):
        yield from _beside_each_other(evidence)


def _beside_each_other(evidence: Evidence) -> Iterator[str]:
    """Where nothing blurs it, bodies say the same."""
    for key, limit in LIMITS.items():
        bodies = [body for body in evidence.bodies if _limit_of(evidence, body.job_id) == key]
        for one in bodies if limit.concurrency is not None else ():
            beside = sum(body.began_ns <= one.began_ns < (body.over_ns or 0) for body in bodies if body is not one)
            if limit.concurrency is not None and beside >= limit.concurrency:
                yield f"{one.job_id} ran beside {beside} others of {key}"


def starts_keep_to_their_rate(evidence: Evidence) -> Iterator[str]:
    """INV-22. In no window do more jobs of a key start than its rate and its burst allow.

    By the claims that were seen: the history tells when the body began. What did not begin gave its start back."""
    ran = {body.execution for body in evidence.bodies}
    begun = {(one.started_ms, one.job_id) for one in evidence.claims if one.execution in ran}
    for key, limit in LIMITS.items():
        if limit.limit is None:
            continue
        starts = sorted({(ms, job_id) for ms, job_id in begun if _limit_of(evidence, job_id) == key})
        for first, (since, _) in enumerate(starts):
            for last in range(first + 1, len(starts)):
                window = (starts[last][0] - since) / 1000
                if last - first + 1 > (window + 0.05) * limit.limit / limit.per + limit.burst:
                    yield f"{last - first + 1} jobs of {key} started in {window:.3f} s"


def nothing_paused_is_claimed(evidence: Evidence) -> Iterator[str]:
    """INV-23. While a queue is paused nothing of it is claimed, but what was on its way."""
    for pause in evidence.held:
        for claim in evidence.claims:
            if pause.queue in ("", claim.queue) and (
                pause.acked_ms + _PAUSED_MS < claim.started_ms < pause.ended_ms - CLOCK_MS
            ):
                late = claim.started_ms - pause.acked_ms
                yield f"{claim.job_id} was claimed {late:.0f} ms after {pause.queue or 'everything'} was paused"


INVARIANTS: Final[Mapping[str, Judge]] = {
    "INV-1": nothing_is_lost,
    "INV-2": nothing_is_stuck,
    "INV-3": one_status_one_home,
    "INV-4": each_execution_has_one_entry,
    "INV-5": entries_are_in_order,
    "INV-6": executions_do_not_overlap,
    "INV-7": bodies_are_not_repeated,
    "INV-8": each_job_comes_to_what_it_is,
    "INV-9": attempts_are_counted,
    "INV-10": nothing_leaks,
    "INV-11": enqueueing_is_all_or_nothing,
    "INV-12": each_waiter_learns_what_became_of_its_job,
    "INV-13": the_canceled_do_not_run,
    "INV-14": workers_end_in_good_order,
    "INV-15": dependents_run_after_what_they_depend_on,
    "INV-16": each_slot_is_one_job,
    "INV-17": due_jobs_come_in_time,
    "INV-18": counts_are_the_jobs,
    "INV-19": callbacks_are_called_once_at_most,
    "INV-20": permits_come_back,
    "INV-21": no_more_are_started_than_a_limit_allows,
    "INV-22": starts_keep_to_their_rate,
    "INV-23": nothing_paused_is_claimed,
    "INV-24": a_key_has_one_living_job,
    "INV-25": keys_are_let_go,
    "INV-26": bodies_of_a_key_do_not_overlap,
    "INV-27": who_was_told_of_another_job_was_told_the_truth,
    "INV-28": the_replaced_do_not_run,
    "INV-29": a_key_with_a_time_is_held_for_it,
    "INV-30": who_waits_for_many_learns_of_each,
    "INV-31": nobody_is_left_in_a_list,
    "INV-32": nobody_is_canceled_for_what_finished,
    "INV-33": groups_are_complete_once_all_have_ended,
    "INV-34": who_depends_on_no_job_was_told_the_truth,
    "INV-35": a_log_is_what_was_written,
    "INV-36": who_watches_sees_it_as_it_was,
    "INV-37": each_event_is_told_once,
    "INV-38": events_are_the_results,
    "INV-39": sweeps_take_what_they_are_to_take,
    "INV-40": nothing_is_left_of_what_was_razed,
}
#: Of features that are not there yet.
NOT_YET: Final[Mapping[str, str]] = {}


def violations(evidence: Evidence) -> dict[str, list[str]]:
    """Sentences by invariant; only those that are violated."""
    found = {name: list(judge(evidence)) for name, judge in INVARIANTS.items()}
    return {name: sentences for name, sentences in found.items() if sentences}
