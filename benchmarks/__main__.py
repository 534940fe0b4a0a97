"""python -m benchmarks: sets up RQ and huey in environments of their own, measures, prints tables.

python -m benchmarks plots draws the pictures of the docs from the measurements beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import counts, page, pictures, report, rounds, servers
from benchmarks.environments import HOME, interpreter
from benchmarks.rounds import Record
from benchmarks.tasks import GROUPS, chosen, plan


def names(allowed: Iterable[str], said: str) -> list[str]:
    """A list with commas; raises ArgumentTypeError for what is not allowed."""
    asked = said.split(",")
    unknown = sorted(set(asked) - set(allowed))
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(allowed)}")
    return asked


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    pins = tuple(servers.PINS)
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("what", nargs="?", choices=("tables", "plots"), default="tables")
    options.add_argument("--rounds", type=int, default=None, help="3 for tables, 1 for plots")
    options.add_argument("--peers", type=lambda said: names(report.NAMES, said), default=list(report.NAMES))
    options.add_argument("--only", type=lambda said: names(GROUPS, said), default=list(GROUPS), metavar="WHAT,WHAT")
    options.add_argument("--pin", choices=pins, default="split" if servers.can_pin() else "none")
    options.add_argument("--full", action="store_true", help="a queue of 1,000,000 too")
    options.add_argument("--targets", action="store_true", help="what was aimed at, and whether it is met")
    options.add_argument("--counts", action="store_true", help="only what is counted and not timed")
    options.add_argument("--json", type=Path, help="keeps the records; .bench/results.json, with --only partial.json")
    options.add_argument("--read", type=Path, help="prints the tables of kept records; measures nothing")
    options.add_argument("--page", action="store_true", help="puts the tables into docs/reference/benchmarks.md")
    options.add_argument("--patient", action="store_true", help="measure again, twice at most, what others disturbed")
    options.add_argument("--measure", action="store_true", help="plots: measure first")
    return options.parse_args(arguments)


def groups(given: argparse.Namespace) -> list[str]:
    """What is to be measured."""
    return ["counts"] if given.counts else list(given.only)


def times(given: argparse.Namespace) -> int:
    """How often one measurement may be taken."""
    return 3 if given.patient else 1


def measure(given: argparse.Namespace, arguments: Sequence[str]) -> Record:
    """Counts and times what was asked for, and keeps what there is, also where it is interrupted."""
    only = groups(given)
    number = given.rounds or 3
    pythons = [] if only == ["counts"] else given.peers
    for peer in pythons:
        interpreter(peer)
    record = Record(rounds.conditions(pythons, given.pin, number, arguments))
    try:
        if "counts" in only:
            record.counts = counts.all_of_them()
        if "import" in only:
            rounds.imports(given.peers, given.pin, record)
        tasks = list(chosen(plan(given.peers, given.pin, given.full), only))
        rounds.run(tasks, number, record, times(given))
    except KeyboardInterrupt:
        record.conditions["interrupted"] = "these are not all rounds"
    record.save(given.json or HOME / ("results.json" if set(GROUPS) <= set(only) else "partial.json"))
    return record


def main(arguments: Sequence[str]) -> None:
    """Reads the command line, measures, prints, keeps the records."""
    given = read(arguments)
    if given.what == "plots":
        if given.measure:
            tasks = pictures.tasks(given.peers, given.pin, given.full)
            pictures.measure(tasks, given.peers, given.pin, given.rounds or 1, times(given), arguments)
        pictures.draw()
        return
    record = Record.load(given.read) if given.read else measure(given, arguments)
    text = "\n\n".join(report.parts(record, given.targets))
    print(text)
    if given.page:
        page.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
