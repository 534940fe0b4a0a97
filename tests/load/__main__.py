"""`python -m tests.load [NAME …] [--short] [--json]`: the scenarios in full size, each on its own server.

NAME: idle, waiters, leaving, gather, million, soak, schedules, limits, dependencies, control, progress. Exit code 1
where a limit is not kept."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.load.control import control
from tests.load.dependencies import dependencies
from tests.load.figures import Figure, broken, shown
from tests.load.gather import gather
from tests.load.idle import idle
from tests.load.leaving import leaving
from tests.load.limits import limits
from tests.load.million import million
from tests.load.progress import progress
from tests.load.schedules import schedules_and_delays
from tests.load.soak import soak
from tests.load.waiters import waiters
from tests.process.workers import Stable
from tests.servers import Kind, Server


def scenarios(stable: Stable, short: bool) -> dict[str, Callable[[], list[Figure]]]:
    """By name, in full size or as the tests run them."""
    server, namespace = stable.server, stable.namespace
    if short:
        return {
            "idle": lambda: idle(server, namespace, workers=30, seconds=3, rounds=90),
            "waiters": lambda: waiters(stable, count=300),
            "leaving": lambda: leaving(stable, count=24, processes=1, ttl=0.3, most_ms=1000),
            "gather": lambda: gather(stable, count=400, size=20_000, workers=1),
            "million": lambda: million(stable, count=20_000, slice_=2_000),
            "soak": lambda: soak(stable, seconds=12),
            "schedules": lambda: schedules_and_delays(stable, short=True),
            "limits": lambda: limits(stable, seconds=2, loose=0.1),
            "dependencies": lambda: dependencies(stable, count=1_000, share=0.2),
            "control": lambda: control(stable, count=5_000),
            "progress": lambda: progress(stable, rounds=4, seconds=0.05, lasts=2, loose=5.0),
        }
    return {
        "idle": lambda: idle(server, namespace),
        "waiters": lambda: waiters(stable),
        "leaving": lambda: leaving(stable),
        "gather": lambda: gather(stable),
        "million": lambda: million(stable),
        "soak": lambda: soak(stable),
        "schedules": lambda: schedules_and_delays(stable),
        "limits": lambda: limits(stable),
        "dependencies": lambda: dependencies(stable),
        "control": lambda: control(stable),
        "progress": lambda: progress(stable),
    }


def run(name: str, *, short: bool = False, kind: Kind = "valkey") -> list[Figure]:
    """One scenario on a server of its own."""
    with Server(kind) as server, tempfile.TemporaryDirectory() as folder:
        stable = Stable(server, "load", Path(folder))
        try:
            return scenarios(stable, short)[name]()
        finally:
            stable.close()


def main(arguments: Sequence[str]) -> int:
    """Runs what is asked for and prints it."""
    names = (
        *("idle", "waiters", "leaving", "gather", "million", "soak", "schedules", "limits", "dependencies", "control"),
        "progress",
    )
    options = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    options.add_argument("names", nargs="*", choices=[*names, []], default=list(names))
    options.add_argument("--short", action="store_true", help="as the tests run them")
    options.add_argument("--server", choices=("valkey", "redis7"), default="valkey")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args(arguments)
    found = {name: run(name, short=asked.short, kind=asked.server) for name in asked.names}
    if asked.json:
        print(json.dumps({name: {one.what: one.value for one in figures} for name, figures in found.items()}))
    else:
        for name, figures in found.items():
            print(f"{name}\n\n{shown(figures)}\n")
    over = [line for figures in found.values() for line in broken(figures)]
    for line in over:
        print(line, file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
