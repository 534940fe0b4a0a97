"""The tables that are printed: Markdown, so that they can be pasted as they are."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Record, disturbance, workers
from benchmarks.tasks import MILLION, OPTIONS

#: how the queues are called in tables, in the order of their columns
NAMES = {"rqlike": "rqlike", "rq": "RQ", "huey": "huey"}


@dataclass(frozen=True)
class Cell:
    """Which figure: the name and metric that a result is kept under, and whose; `label` where it needs saying."""

    name: str
    metric: str
    peer: str = "rqlike"
    label: str = ""

    def median(self, record: Record) -> float | None:
        """The median over the rounds; None where nothing was found."""
        found = record.values(self.name, self.peer, self.metric)
        return statistics.median(found) if found else None


@dataclass(frozen=True)
class Target:
    """What rqlike's figure is to be: at least or at most `limit` times the figure `of`, or `limit` itself."""

    limit: float
    of: Cell | None = None
    most: bool = False

    def met(self, value: float, record: Record) -> bool | None:
        """None where there is nothing to compare with."""
        base = 1.0 if self.of is None else self.of.median(record)
        if base is None:
            return None
        return value <= self.limit * base if self.most else value >= self.limit * base

    def __str__(self) -> str:
        sign = "≤" if self.most else "≥"
        if self.of is None:
            return f"{sign} {self.limit:g}"
        return f"{sign} {self.limit:g} x {self.of.label or NAMES[self.of.peer]}"


@dataclass(frozen=True)
class Row:
    """A line of the table: rqlike's figure, the others', and what it is to be measured by."""

    title: str
    cells: tuple[Cell, ...]
    targets: tuple[Target, ...] = ()
    unit: str = "{:,.0f}"

    def shown(self, record: Record, targets: bool) -> list[str] | None:
        """The cells of the line as text; None where rqlike has no figure."""
        own = self.cells[0].median(record)
        if own is None:
            return None
        others = {cell.peer: cell.median(record) for cell in self.cells[1:] if not cell.label}
        line = [self.title, self.unit.format(own)]
        for peer in list(NAMES)[1:]:
            value = others.get(peer)
            line.append("" if value is None else self.unit.format(value))
        line.append(", ".join(self.ratios(own, record)))
        if targets:
            line += [", ".join(map(str, self.targets)), ", ".join(self.verdicts(own, record))]
        return line

    def ratios(self, own: float, record: Record) -> Iterator[str]:
        """rqlike's figure in those of the others."""
        for cell in self.cells[1:]:
            base = cell.median(record)
            if base:
                name = cell.label or NAMES[cell.peer]
                against = f" of {self.unit.format(base)}" if cell.label else ""
                yield f"{figures(own / base)} x {name}{against}"

    def verdicts(self, own: float, record: Record) -> Iterator[str]:
        """Per target: yes, no, or nothing known."""
        for target in self.targets:
            met = target.met(own, record)
            yield "?" if met is None else "yes" if met else "**no**"


def figures(ratio: float) -> str:
    """Three figures of a ratio."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def beside(name: str, metric: str, *peers: str) -> tuple[Cell, ...]:
    """rqlike's figure, then that of each other queue."""
    return tuple(Cell(name, metric, peer) for peer in ("rqlike", *peers))


def least(*limits: tuple[float, Cell]) -> tuple[Target, ...]:
    """At least so many times a figure."""
    return tuple(Target(limit, cell) for limit, cell in limits)


def most(*limits: tuple[float, Cell]) -> tuple[Target, ...]:
    """At most so many times a figure."""
    return tuple(Target(limit, cell, most=True) for limit, cell in limits)


def drains() -> Iterator[Row]:
    """How fast a worker is."""
    plain, rq, huey = beside("drain", "per_s", "rq", "huey")
    yield Row("drain, one worker, jobs/s", (plain, rq, huey), least((100, rq), (5, huey)))
    one = beside("drain one", "per_s", "rq", "huey")
    yield Row("drain, everything on one CPU, jobs/s", one, least((2, one[2])))
    simple = Cell("drain simple", "per_s", "rq")
    yield Row("drain, against RQ's `SimpleWorker`, jobs/s", (plain, simple))
    careful = Cell("drain no-prefetch", "per_s")
    yield Row("drain, rqlike with `--no-prefetch`, jobs/s", (careful, rq, huey), least((40, rq)))
    alone = Cell("drain isolate", "per_s")
    yield Row("drain, one process per job (`--isolate`), jobs/s", (alone, rq), least((3.5, rq)))
    kept = Cell("drain forget", "per_s", label="`result_ttl=0`")
    yield Row("drain, results kept, jobs/s", (plain, kept), least((0.9, kept)))
    one_horse = Cell("horses 1", "per_s", label="one horse")
    yield Row(
        "drain of 5 ms CPU, two horses, not pinned, jobs/s",
        (Cell("horses 2", "per_s"), one_horse),
        least((1.8, one_horse)),
    )


def producers() -> Iterator[Row]:
    """How fast a caller is."""
    single, many = beside("enqueue", "per_s", "rq", "huey"), beside("bulk", "per_s", "rq", "huey")
    yield Row("enqueue one by one, jobs/s", single, least((2.8, single[1]), (0.8, single[2])))
    yield Row("`enqueue_many` of 20,000, jobs/s", many, least((4, many[1])))
    base = Cell("many plain", "per_s", label="plain ones")
    for name in OPTIONS:
        targets = least((0.7, base)) if name.startswith("all") else ()
        what = f"delay, unique{name[3:]}, retry" if name.startswith("all") else name
        yield Row(f"`enqueue_many` of 20,000, {what} each, jobs/s", (Cell(f"many {name}", "per_s"), base), targets)
    half, late = beside("wait", "p50_ms", "rq", "huey"), beside("wait", "p99_ms", "rq", "huey")
    yield Row("enqueue to value, idle worker, p50 ms", half, most((0.08, half[1]), (0.8, half[2])), "{:.2f}")
    yield Row("enqueue to value, idle worker, p99 ms", late, (Target(2, most=True),), "{:.2f}")
    half, late = beside("ask", "p50_ms", "rq"), beside("ask", "p99_ms", "rq")
    yield Row("`enqueue_and_wait`, idle worker, p50 ms", half, most((0.09, half[1])), "{:.2f}")
    yield Row("`enqueue_and_wait`, idle worker, p99 ms", late, (Target(2, most=True),), "{:.2f}")


def depths(record: Record) -> Iterator[Row]:
    """What a long queue costs, against a short one."""
    short = "depth 1000"
    found = sorted(int(name.split()[1]) for name, _ in record.runs if name.startswith("depth ") and name != short)
    for depth in found:
        asked = 0.9 if depth == MILLION else 0.0
        for what, metric in (("drain", "per_s"), ("enqueue", "enqueue_per_s")):
            base = Cell(short, metric, label="1,000 queued")
            targets = least((asked, base)) if asked else ()
            yield Row(f"{what} with {depth:,} queued, jobs/s", (Cell(f"depth {depth}", metric), base), targets)


def sizes() -> Iterator[Row]:
    """What it takes to have it."""
    size, rest = beside("idle", "pss_mb", "rq", "huey"), beside("idle", "commands_per_s", "rq", "huey")
    yield Row("idle worker, one horse, MB (PSS)", size, most((1.3, size[1])), "{:.1f}")
    yield Row("idle worker, Redis commands/s", rest, (Target(2, most=True),), "{:.1f}")
    begun = beside("start", "ms", "rq", "huey")
    yield Row("worker's start to its first job's end, ms", begun, most((1, begun[1])))
    needed = Cell("import redis", "ms", label="`import redis`")
    yield Row("`import rqlike`, ms", (Cell("import", "ms"), needed), most((1.3, needed)), "{:.0f}")
    queue = beside("import Queue", "ms", "rq", "huey")
    yield Row("`from rqlike import Queue`, ms", (*queue, needed), most((1.3, needed)), "{:.0f}")
    yield Row("bytes in Redis, queued job", beside("memory", "queued", "rq", "huey"))
    yield Row("bytes in Redis, finished job with result", beside("memory", "finished", "rq", "huey"))


def rows(record: Record) -> Iterator[Row]:
    """Every line of the table."""
    yield from drains()
    yield from producers()
    yield from depths(record)
    yield from sizes()


def markdown(headings: Sequence[str], lines: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table in Markdown."""
    flush = set(right)
    rule = ["--:" if column in flush else "---" for column in range(len(headings))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *lines))


def main_table(record: Record, targets: bool) -> str:
    """rqlike beside the others: medians and ratios of medians."""
    lines = [line for row in rows(record) if (line := row.shown(record, targets)) is not None]
    headings = ["what", *NAMES.values(), "rqlike is", *(("target", "met") if targets else ())]
    return markdown(headings, lines, range(1, 1 + len(NAMES)))


def spread_table(record: Record) -> str:
    """Every measurement with its median and its range."""
    metrics = (
        "per_s",
        "make_us",
        "send_us",
        "enqueue_per_s",
        "p50_ms",
        "p99_ms",
        "ms",
        "pss_mb",
        "commands_per_s",
        "commands",
        "queued",
        "finished",
    )
    lines = []
    for name, peer in record.runs:
        for metric in metrics:
            found = record.values(name, peer, metric)
            if found:
                shown = (f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}" for value in range_of(found))
                lines.append([name, NAMES[peer], metric, *shown, str(len(found))])
    return markdown(("measurement", "queue", "metric", "median", "lowest", "highest", "runs"), lines, range(3, 7))


def range_of(found: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest, highest."""
    return statistics.median(found), min(found), max(found)


def count_table(record: Record) -> str:
    """What was counted, with what it is to stay under."""
    lines = [[what, f"{measured:,.4g}", f"{limit:,g}", why] for what, measured, limit, why in record.counts]
    return markdown(("counted", "now", "at most", "because"), lines, (1, 2))


def conditions(record: Record) -> str:
    """Machine, versions, pinning and commands, as a list."""
    lines = [f"- {name}: {value}" for name, value in record.conditions.items()]
    others = disturbance(record)
    if others:
        lines.append(f"- used by others meanwhile: {others}")
    return "\n".join([*lines, *(f"- worker: `{line}`" for line in workers(record))])


def parts(record: Record, targets: bool) -> Iterator[str]:
    """All that is printed, in order."""
    if record.runs:
        yield main_table(record, targets)
    if record.counts:
        yield count_table(record)
    yield conditions(record)
    if record.runs:
        yield "Spread. Rates are jobs/s (`per_s`), `commands` are Redis commands per job, those in scripts included.\n"
        yield spread_table(record)
