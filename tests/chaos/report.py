"""What a chaos run says: one line for people or for programs."""

from __future__ import annotations

import json
from collections import Counter

from tests.chaos.driver import Run
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
        "strikes": dict(sorted(Counter(strike.kind for strike in evidence.strikes).items())),
        "reasons": dict(sorted(Counter(str(entry.reason) for entry in entries if entry.reason).items())),
        "acts": dict(sorted(Counter(f"{act.what} {act.answer}" for act in evidence.acts).items())),
        "statuses": dict(sorted(evidence.tally.items())),
        "waits": dict(sorted(Counter(wait.error or "value" for wait in evidence.waits).items())),
        "quiet_s": round(run.quiet_s, 2),
        "took_s": round(run.took_s, 1),
        "checked": list(INVARIANTS),
        "not_yet": list(NOT_YET),
        "violations": {name: list(said) for name, said in run.violations.items()},
    }


def as_json(run: Run) -> str:
    """One line."""
    return json.dumps(as_dict(run))


def as_text(run: Run, most: int = 5) -> str:
    """One line, and a line more for each violation, at most so many of each invariant."""
    told = as_dict(run)
    words = ("mix", "seed", "acknowledged", "refused", "executions", "strikes", "reasons", "quiet_s", "took_s")
    head = ("VIOLATED " if run.violations else "ok ") + " ".join(f"{word}={told[word]}" for word in words)
    lines = [head]
    for name, said in run.violations.items():
        lines += [f"  {name} {sentence}" for sentence in said[:most]]
        lines += [f"  {name} and {len(said) - most} more"] if len(said) > most else []
    return "\n".join(lines)
