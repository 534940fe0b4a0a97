"""What a chaos run says: one line for people or for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from tests.chaos.driver import Run
from tests.chaos.evidence import Denied, Evidence, Given
from tests.chaos.invariants import INVARIANTS, NOT_YET


def as_dict(run: Run) -> dict[str, object]:
    """All figures of a run."""
    evidence = run.evidence
    entries = [entry for job in evidence.jobs.values() for entry in job.entries]
    return {
        "seed": run.settings.seed,
        "mix": run.settings.mix,
        "jobs": run.settings.jobs,
        "acknowledged": len(evidence.acked),
        "refused": len(evidence.refused),
        "executions": len(evidence.bodies),
        "entries": len(entries),
        "slots": sum(len(made) for made in evidence.of_schedules.values()),
        "missed": sum(seen.missed for seen in evidence.schedules.values()),
        "strikes": dict(sorted(Counter(strike.kind for strike in evidence.strikes).items())),
        "reasons": dict(sorted(Counter(str(entry.reason) for entry in entries if entry.reason).items())),
        "acts": dict(sorted(Counter(f"{act.what} {act.answer}" for act in evidence.acts).items())),
        "statuses": dict(sorted(evidence.tally.items())),
        "denied": len(evidence.denied),
        "given": dict(sorted(Counter(given.how for given in evidence.given).items())),
        "atomic": dict(sorted(Counter(batch.error or "enqueued" for batch in evidence.batches).items())),
        "unique": evidence.unique,
        "dependents": dict(sorted(Counter(_status(evidence, job_id) for job_id in evidence.needs).items())),
        "orphaned": len(evidence.orphaned),
        "completed": {name: seen.completed for name, seen in evidence.groups.items() if seen is not None},
        "gathered": len(evidence.gathered),
        "swept": _totals(evidence),
        "told": len(evidence.told),
        "watched": len(evidence.watched),
        "heard": {heard.queue: len(heard.events) for heard in evidence.heard},
        "waits": dict(sorted(Counter(wait.error or "value" for wait in evidence.waits).items())),
        "quiet_s": round(run.quiet_s, 2),
        "took_s": round(run.took_s, 1),
        "checked": list(INVARIANTS),
        "not_yet": list(NOT_YET),
        "violations": {name: list(said) for name, said in run.violations.items()},
    }


def _totals(evidence: Evidence) -> dict[str, int]:
    """Jobs by what was done to them at once, and calls by their error."""
    found: Counter[str] = Counter()
    for one in evidence.swept:
        found[f"{one.sweep.what} {one.error}".strip()] += 1 if one.error else one.done
    return dict(sorted(found.items()))


def _status(evidence: Evidence, job_id: str) -> str:
    return str(evidence.jobs[job_id].status) if job_id in evidence.jobs else "gone"


def as_json(run: Run) -> str:
    """One line."""
    return json.dumps(as_dict(run))


def as_text(run: Run, most: int = 5) -> str:
    """One line, and a line more for each violation, at most so many of each invariant."""
    told = as_dict(run)
    words = (
        "mix",
        "seed",
        "acknowledged",
        "refused",
        "executions",
        "slots",
        "missed",
        "denied",
        "given",
        "waits",
        "dependents",
        "orphaned",
        "completed",
        "swept",
        "watched",
        "heard",
        "strikes",
        "reasons",
        "quiet_s",
        "took_s",
    )
    head = ("VIOLATED " if run.violations else "ok ") + " ".join(f"{word}={told[word]}" for word in words)
    lines = [head]
    for name, said in run.violations.items():
        lines += [f"  {name} {sentence}" for sentence in said[:most]]
        lines += [f"  {name} and {len(said) - most} more"] if len(said) > most else []
    lines += as_stories(run) if run.violations else []
    return "\n".join(lines)


def as_stories(run: Run) -> list[str]:
    """What happened to the jobs that violations name, and when what was struck; ms since the first enqueue."""
    evidence = run.evidence
    zero = min((acked.sent_ms for acked in evidence.acked.values()), default=0.0)
    lines = [f"  {s.at_ms - zero:.0f} to {s.until_ms - zero:.0f}: {s.kind} {s.worker}" for s in evidence.strikes]
    text = " ".join(sentence for said in run.violations.values() for sentence in said)
    for key, standing in evidence.standing.items():
        if any(name.partition("@")[0] == key for name in text.split()):
            lines += [f"  {standing}, {evidence.schedules.get(key)}"]
            lines += [
                f"  {k.acked_ms - zero:.0f} {k.what} of {key}, next {k.next_ms}" for k in evidence.kept if k.key == key
            ]
    for job_id in evidence.orders:
        if job_id in set(text.replace(",", " ").split()):
            lines += [f"  {job_id}: {line}" for line in _story(evidence, job_id, zero)]
    return lines


def _story(evidence: Evidence, job_id: str, zero: float) -> Iterator[str]:
    yield f"{evidence.orders[job_id]}, needed {evidence.needs.get(job_id, ())}"
    for body in evidence.begun.get(job_id, ()):
        over = None if body.over_ns is None else (body.over_ns - body.began_ns) / 1e6
        yield f"{body.began_ms - zero:.0f} body {body.execution} for {over} ms, pid {body.pid}"
    for act in evidence.acted.get(job_id, ()):
        yield f"{act.at_ms - zero:.0f} {act.what}: {act.answer}"
    for wait in evidence.waits:
        if wait.job_id == job_id:
            since, what = wait.asked_ms - zero, f"cycle {wait.cycle} {wait.how} {wait.timeout_s:g} s {wait.execution}"
            yield f"{since:.0f} to {wait.at_ms - zero:.0f} waiter: {wait.error or f'{wait.value!r:.60}'} {what}"
    answers: list[Denied | Given] = [*evidence.denied, *evidence.given]
    for told in answers:
        if told.job_id == job_id:
            yield f"{told.sent_ms - zero:.0f} to {told.at_ms - zero:.0f}: {told}"
    if job_id in evidence.acked:
        yield f"{evidence.acked[job_id].sent_ms - zero:.0f} to {evidence.acked[job_id].acked_ms - zero:.0f}: enqueued"
    job = evidence.jobs.get(job_id)
    for entry in job.entries if job is not None else ():
        at = f"cycle {entry.cycle} attempt {entry.attempt} on {entry.worker_name}"
        yield f"{entry.created_ms - zero:.0f} entry {entry.execution_id} {entry.type.name} {entry.reason} {at}"
    yield "gone" if job is None else f"{job.status} in cycle {job.cycle}"
