"""The two pictures of the docs: drain rate by the duration of jobs, and rates by the length of the queue.

Measurements lie beside the pictures as JSON, so that a picture can be drawn anew without measuring.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import rounds
from benchmarks.environments import interpreter
from benchmarks.plots import Axis, Chart, Line, svg
from benchmarks.rounds import Record
from benchmarks.tasks import MILLION, PLAIN, Task, deep, drained

PLACE = Path(__file__).parent.parent / "docs" / "img"
DURATION, DEPTH = "drain-by-duration", "drain-by-depth"
MS = (0, 1, 2, 5, 10, 20, 50, 100)
DEPTHS = (1_000, 10_000, 100_000, MILLION)
SECONDS = 2.0  #: longest time a drain is looked at, for each point
_ZERO_MS = 0.4  #: where the axis of durations shows 0

#: queue, variant of its worker, name, colour, mark, second of its kind
DRAINS = (
    ("rqlike", "default", "rqlike", "blue", "circle", False),
    ("rqlike", "no-prefetch", "rqlike --no-prefetch", "sky", "diamond", True),
    ("huey", "proc1", "huey", "green", "square", False),
    ("rq", "fork", "RQ", "orange", "triangle", False),
)
_LOOKS = {peer: (name, colour, mark) for peer, _, name, colour, mark, second in DRAINS if not second}


# -- measuring ---------------------------------------------------------------------------------------------------------


def durations(peers: Iterable[str], pin: str) -> Iterator[Task]:
    """One drain for each duration and kind of worker."""
    wanted = set(peers)
    for ms in MS:
        load = f"sleep:{ms}" if ms else "noop"
        for peer, variant, *_ in DRAINS:
            if peer in wanted:
                count = drained(peer, variant, load, SECONDS)
                yield Task(f"{variant} {ms}", "plots", peer, "drain", pin, variant, load, count, seconds=SECONDS)


def lengths(peers: Iterable[str], pin: str, full: bool) -> Iterator[Task]:
    """Enqueue and drain at each length; a million only for rqlike, where `full` does not ask for all."""
    for depth in DEPTHS:
        for peer in PLAIN:
            if peer in peers and (depth < MILLION or full or peer == "rqlike"):
                yield deep(peer, depth, pin)


def tasks(peers: Sequence[str], pin: str, full: bool) -> dict[str, list[Task]]:
    """What each picture needs."""
    return {DURATION: list(durations(peers, pin)), DEPTH: list(lengths(peers, pin, full))}


def measure(
    wanted: dict[str, list[Task]], peers: Sequence[str], pin: str, number: int, times: int, command: Sequence[str]
) -> None:
    """Measures what both pictures show and keeps it beside them. 4 minutes for one round, more with a full million."""
    for peer in peers:
        interpreter(peer)
    conditions = rounds.conditions(peers, pin, number, command)
    for name, needed in wanted.items():
        record = Record(dict(conditions))
        rounds.run(needed, number, record, times)
        record.save(PLACE / f"{name}.json")


# -- drawing -----------------------------------------------------------------------------------------------------------


def draw() -> None:
    """Writes both pictures from what was measured. Raises SystemExit where nothing was."""
    for name, chart in ((DURATION, by_duration), (DEPTH, by_depth)):
        source = PLACE / f"{name}.json"
        if not source.exists():
            raise SystemExit(f"no {source}: python -m benchmarks plots --measure")
        (PLACE / f"{name}.svg").write_text(svg(chart(Record.load(source))), encoding="utf-8")


def line(
    record: Record, keys: Sequence[tuple[float, str]], peer: str, metric: str, look: tuple[str, str, str], dash: bool
) -> Line | None:
    """The medians at (x, name) as a line, with their ranges; None where nothing was measured."""
    found = [(x, record.values(name, peer, metric)) for x, name in keys]
    known = [(x, values) for x, values in found if values]
    if not known:
        return None
    points = tuple((x, statistics.median(values)) for x, values in known)
    spans = tuple((min(values), max(values)) for _, values in known)
    return Line(look[0], points, look[1], look[2], dash, spans)


def by_duration(record: Record) -> Chart:
    """Drain rate of one worker against how long its jobs take."""
    found = []
    for peer, variant, name, colour, mark, dash in DRAINS:
        made = line(record, [(ms, f"{variant} {ms}") for ms in MS], peer, "per_s", (name, colour, mark), dash)
        if made is not None:
            found.append(made)
    ideal = Line("", tuple((ms, 1000 / ms) for ms in MS if ms), "grey", "none")
    high = 10_000 if max(point[1] for one in found for point in one.points) <= 10_000 else 100_000
    ticks = tuple((value, f"{value:,}") for value in (10, 100, 1_000, 10_000, 100_000) if value <= high)
    return Chart(
        "Jobs per second, by how long a job takes",
        conditions(record),
        told(found, "ms", "jobs that sleep"),
        Axis("duration of a job, ms (sleep)", _ZERO_MS / 8, 115, tuple((ms, str(ms)) for ms in MS), _ZERO_MS),
        Axis("jobs per second, one worker", 5, high, ticks),
        (ideal, *reversed(found)),
        labels="left",
        note="dotted: no overhead at all",
    )


def by_depth(record: Record) -> Chart:
    """Drain and enqueue rates against how many jobs are queued."""
    keys = [(depth, f"depth {depth}") for depth in DEPTHS]
    found = []
    for metric, word, dash in (("per_s", "drain", False), ("enqueue_per_s", "enqueue", True)):
        for peer, (name, colour, mark) in _LOOKS.items():
            made = line(record, keys, peer, metric, (f"{name} {word}", colour, mark), dash)
            if made is not None:
                found.append(made)
    high = 10_000 if max(point[1] for one in found for point in one.points) <= 10_000 else 100_000
    ticks = tuple((value, f"{value:,}") for value in (10, 100, 1_000, 10_000, 100_000) if value <= high)
    return Chart(
        "Jobs per second, by how many are queued",
        conditions(record),
        told(found, "queued", "queues"),
        Axis("jobs in the queue", 800, 1_250_000, tuple((depth, f"{depth:,}") for depth in DEPTHS)),
        Axis("jobs per second, one worker or one producer", 10, high, ticks),
        tuple(reversed(found)),
    )


def conditions(record: Record) -> str:
    """The line below the title."""
    said = record.conditions
    server = said["server"].partition(",")[0].capitalize()
    taken = "one round" if said["rounds"] == "1" else f"medians of {said['rounds']} rounds"
    return f"{server}, Python {said['Python']}, {said['machine'].partition(',')[0]}; {said['pinning']}; {taken}"


def told(lines: Sequence[Line], unit: str, what: str) -> str:
    """The picture in words, for those who do not see it."""
    parts = []
    for one in lines:
        (first, begin), (last, end) = one.points[0], one.points[-1]
        parts.append(f"{one.label}: {begin:,.0f} at {first:,.0f} {unit}, {end:,.0f} at {last:,.0f} {unit}")
    return f"Line chart of jobs per second for {what}. " + "; ".join(parts) + "."
