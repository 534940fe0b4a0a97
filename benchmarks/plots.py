"""Line charts as SVG, by plain string building: logarithmic axes, lines that carry their names, light and dark.

A picture brings its own background, because whoever shows it (a repository's page, an editor) may be light where the
reader's system is dark. Colours are told apart by most colour-blind readers, and marks and dashes tell lines apart
without colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 760, 450
TOP, BOTTOM = 112, 62
GAP = 17.0  #: least distance between two labels
LETTER = 7.8  #: width of a letter of a label, about
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"

#: class -> light, dark
COLOURS = {
    "blue": ("#0b5cad", "#6cb6ff"),
    "sky": ("#3a8fd9", "#a5d5ff"),
    "orange": ("#b84a00", "#ff9a57"),
    "green": ("#00785a", "#3ddbaa"),
    "grey": ("#66707a", "#9aa4ae"),
}
_PAPER, _INK, _SOFT, _RULE = (
    ("#ffffff", "#14181d"),
    ("#1c2126", "#e6e9ec"),
    ("#59636d", "#a3adb7"),
    ("#e3e7ea", "#2d343b"),
)
_MARKS = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True)
class Line:
    """One line. `label` stands at its `end` (left or right); `dash` for what is the second of its kind."""

    label: str
    points: tuple[Point, ...]
    colour: str
    mark: str = "circle"  #: circle, square, diamond, triangle, or none
    dash: bool = False
    spans: tuple[tuple[float, float], ...] = ()  #: lowest and highest of each point, drawn where given


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis. `ticks` are (value, text). Zero has no place on it: it is drawn at `zero`, where given."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    zero: float | None = None

    def share(self, value: float) -> float:
        """0 at its beginning, 1 at its end."""
        shown = self.zero if value <= 0 and self.zero is not None else value
        return math.log(shown / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class Chart:
    """A picture. `told` is the alternative text; `labels` is the side at which lines carry their names."""

    title: str
    subtitle: str
    told: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    labels: str = "right"
    note: str = ""

    @property
    def left(self) -> float:
        """Where the plot begins."""
        return 74.0

    @property
    def right(self) -> float:
        """Where it ends; names at the right stand beyond."""
        longest = max((len(line.label) for line in self.lines), default=0)
        return WIDTH - 24 - (longest * LETTER + 18 if self.labels == "right" else 0)

    def place(self, point: Point) -> Point:
        """Where a point is in the picture."""
        across, up = self.x.share(point[0]), self.y.share(point[1])
        return self.left + across * (self.right - self.left), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)


def svg(chart: Chart) -> str:
    """The picture."""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title told">',
            f'<title id="title">{escape(chart.title)}</title>',
            f'<desc id="told">{escape(chart.told)}</desc>',
            style(),
            f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
            f'<text class="title" x="24" y="34">{escape(chart.title)}</text>',
            f'<text class="soft" x="24" y="55">{escape(chart.subtitle)}</text>',
            *axes(chart),
            *(part for line in chart.lines for part in drawn(chart, line)),
            *names(chart),
            "</svg>\n",
        ]
    )


def style() -> str:
    """The colours of both schemes, and the letters."""

    def scheme(which: int) -> str:
        rules = [
            f".paper{{fill:{_PAPER[which]};stroke:{_RULE[which]}}}",
            f"text{{fill:{_INK[which]}}}",
            f".soft{{fill:{_SOFT[which]}}}",
            f".rule{{stroke:{_RULE[which]}}}",
            f".edge{{stroke:{_SOFT[which]}}}",
            f".halo{{stroke:{_PAPER[which]}}}",
        ]
        for name, colours in COLOURS.items():
            colour = colours[which]
            rules.append(f".{name}{{stroke:{colour}}} .{name}-full{{fill:{colour};stroke:{_PAPER[which]}}}")
            rules.append(f".{name}-hollow{{fill:{_PAPER[which]};stroke:{colour}}} text.{name}-name{{fill:{colour}}}")
        return "".join(rules)

    plain = (
        f"text{{font:13px {FONT}}}.title{{font-size:18px;font-weight:600}}.name{{font-weight:600}}"
        ".line{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}.dash{stroke-dasharray:7 5}"
        ".dots{stroke-width:1.5;stroke-dasharray:2 4}.rule,.edge{stroke-width:1}.span{stroke-width:1.25}"
        ".halo{fill:none;stroke-width:4;stroke-linejoin:round}.mark{stroke-width:1.25}.hollow{stroke-width:2}"
        ".lead{stroke-width:1;opacity:.45}"
    )
    return f"<style>{plain}{scheme(0)}@media (prefers-color-scheme:dark){{{scheme(1)}}}</style>"


def axes(chart: Chart) -> Iterator[str]:
    """Rules, ticks and what the axes say."""
    bottom = HEIGHT - BOTTOM
    for value, text in chart.y.ticks:
        _, y = chart.place((chart.x.low, value))
        yield f'<line class="rule" x1="{chart.left:.0f}" x2="{chart.right:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="soft" x="{chart.left - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for value, text in chart.x.ticks:
        x, _ = chart.place((value, chart.y.low))
        yield f'<line class="edge" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
        yield f'<text class="soft" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{text}</text>'
    yield f'<line class="edge" x1="{chart.left:.0f}" x2="{chart.right:.0f}" y1="{bottom}" y2="{bottom}"/>'
    if chart.x.zero is not None:
        yield from gap(chart)
    middle = (chart.left + chart.right) / 2
    yield f'<text class="soft" x="{middle:.0f}" y="{HEIGHT - 18}" text-anchor="middle">{escape(chart.x.title)}</text>'
    yield f'<text class="soft" x="24" y="{TOP - 22}">{escape(chart.y.title)}</text>'
    if chart.note:
        yield (f'<text class="soft" x="{chart.right:.0f}" y="{TOP - 22}" text-anchor="end">{escape(chart.note)}</text>')


def gap(chart: Chart) -> Iterator[str]:
    """Two strokes where the axis leaps from zero to its first value."""
    assert chart.x.zero is not None
    first = min(value for value, _ in chart.x.ticks if value > 0)
    x, y = chart.place((math.sqrt(chart.x.zero * first), chart.y.low))
    yield f'<rect class="paper" style="stroke:none" x="{x - 3:.1f}" y="{y - 2:.1f}" width="6" height="4"/>'
    for at in (x - 3, x + 3):
        yield f'<line class="edge" x1="{at - 2:.1f}" x2="{at + 2:.1f}" y1="{y + 5:.1f}" y2="{y - 5:.1f}"/>'


def drawn(chart: Chart, line: Line) -> Iterator[str]:
    """A line with its points."""
    places = [chart.place(point) for point in line.points]
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if line.mark == "none":
        yield f'<path class="line dots {line.colour}" d="{path}"/>'
        return
    dash = " dash" if line.dash else ""
    if not line.dash:  # what lies under a dashed line is to be seen between the dashes
        yield f'<path class="halo" d="{path}"/>'
    yield f'<path class="line {line.colour}{dash}" d="{path}"/>'
    for (x, _), point, (low, high) in zip(places, line.points, line.spans, strict=False):
        if high > low:
            (_, under), (_, over) = chart.place((point[0], low)), chart.place((point[0], high))
            yield f'<line class="span {line.colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{under:.1f}" y2="{over:.1f}"/>'
    for x, y in places:
        yield marked(line, x, y)


def marked(line: Line, x: float, y: float) -> str:
    """The mark of one point."""
    kind = f'class="hollow {line.colour}-hollow"' if line.dash else f'class="mark {line.colour}-full"'
    if line.mark == "circle":
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    if line.mark == "square":
        return f'<rect {kind} x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    corners = {
        "diamond": ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
        "triangle": ((0, -5.5), (5.2, 4), (-5.2, 4)),
    }[line.mark]
    return f'<polygon {kind} points="{" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)}"/>'


def names(chart: Chart) -> Iterator[str]:
    """The names of the lines at one side, moved apart where they would touch, and led to where they are far off."""
    right = chart.labels == "right"
    named = [line for line in chart.lines if line.label]
    ends = [chart.place(line.points[-1 if right else 0]) for line in named]
    heights = apart([y for _, y in ends], GAP)
    for line, (x, wanted), y in zip(named, ends, heights, strict=True):
        at, anchor = (chart.right + 20, "start") if right else (x - 12, "end")
        name = escape(line.label)
        if right and (abs(y - wanted) > 2 or chart.right - x > 40):
            path = f'x1="{x + 8:.1f}" y1="{wanted:.1f}" x2="{at - 4:.1f}" y2="{y:.1f}"'
            yield f'<line class="lead {line.colour}" {path}/>'
        yield f'<text class="name {line.colour}-name" x="{at:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{name}</text>'


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """The places nearest to those wanted, in the same order, at least `gap` apart.

    Neighbours that are too close make a block around the mean of what they want; blocks that touch become one.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _begin(blocks[-1], wanted, gap) < _end(blocks[-2], wanted, gap) + gap:
            last = blocks.pop()
            blocks[-1] += last
    found = list(wanted)
    for block in blocks:
        for place, index in enumerate(block):
            found[index] = _begin(block, wanted, gap) + place * gap
    return found


def _begin(block: Sequence[int], wanted: Sequence[float], gap: float) -> float:
    middle = sum(wanted[index] for index in block) / len(block)
    return middle - gap * (len(block) - 1) / 2


def _end(block: Sequence[int], wanted: Sequence[float], gap: float) -> float:
    return _begin(block, wanted, gap) + gap * (len(block) - 1)
