"""The tables and pictures of the benchmarks say what was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import page, pictures, report
from benchmarks.plots import Axis, apart
from benchmarks.rounds import Record
from benchmarks.tasks import GROUPS, chosen, plan

SVG = "{http://www.w3.org/2000/svg}"
WHERE = {"server": "redis 7.0, loopback", "Python": "3.11", "machine": "2 CPUs, any", "pinning": "none", "rounds": "3"}


def record_of(**rates: list[float]) -> Record:
    record = Record(dict(WHERE))
    for peer, found in rates.items():
        for per_s in found:
            record.add("drain", peer, {"per_s": per_s})
    return record


def cells(record: Record, start: str) -> list[str]:
    lines = report.main_table(record, targets=True).splitlines()
    return [cell.strip() for cell in next(line for line in lines if line.startswith(start)).strip("|").split("|")]


def test_a_line_has_the_medians_and_the_ratios_of_medians() -> None:
    row = cells(record_of(rqlike=[900, 1000, 5000], rq=[10, 11, 9], huey=[500]), "| drain, one worker")
    assert row == [
        *("drain, one worker, jobs/s", "1,000", "10", "500", "100 x RQ, 2.00 x huey"),
        *("≥ 100 x RQ, ≥ 5 x huey", "yes, **no**"),
    ]


def test_a_queue_that_was_not_measured_leaves_its_cell_empty_and_its_target_open() -> None:
    row = cells(record_of(rqlike=[1000], huey=[100]), "| drain, one worker")
    assert row[1:] == ["1,000", "", "100", "10.0 x huey", "≥ 100 x RQ, ≥ 5 x huey", "?, yes"]


def test_nothing_is_said_of_what_was_not_measured() -> None:
    table = report.main_table(record_of(rqlike=[1000]), targets=False)
    assert "enqueue" not in table
    assert "idle" not in table


def test_the_spread_has_lowest_highest_and_number_of_runs() -> None:
    assert "| drain | rqlike | per_s | 1,000 | 900 | 5,000 | 3 |" in report.spread_table(
        record_of(rqlike=[900, 1000, 5000])
    )


def test_a_machine_that_others_used_is_told() -> None:
    quiet, loud = record_of(), record_of()
    for share in (0.01, 0.02, 0.4):
        quiet.add("drain", "rqlike", {"per_s": 1, "others": share})
        loud.add("drain", "rqlike", {"per_s": 1, "others": share + 0.3})
    assert "used by others meanwhile: 0.02 CPUs in the median measurement, 0.40 in the worst\n" in (
        report.conditions(quiet) + "\n"
    )
    assert "do not quote" in report.conditions(loud)


def test_a_record_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    record = record_of(rqlike=[1.5], rq=[2.5])
    record.counts = [("a count", 1.0, 2.0, "a reason")]
    record.save(tmp_path / "kept.json")
    assert Record.load(tmp_path / "kept.json") == record


def test_every_group_that_can_be_asked_for_has_a_measurement() -> None:
    tasks = list(plan(("rqlike", "rq", "huey"), "split", full=True))
    assert {task.group for task in tasks} | {"counts", "import"} == set(GROUPS)


def test_a_comparison_of_rqlike_with_itself_brings_what_it_is_compared_with() -> None:
    names = [task.name for task in chosen(plan(("rqlike", "rq"), "none", full=False), ["results"])]
    assert names == ["drain", "drain forget"]


def test_the_figures_replace_what_stood_between_the_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "page.md"
    place.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    monkeypatch.setattr(page, "PAGE", place)
    for text in ("first", "second"):
        page.write(text)
    assert place.read_text() == f"before\n{page.BEGIN}\n\nsecond\n\n{page.END}\nafter\n"


def test_the_page_of_the_docs_has_a_place_for_the_figures() -> None:
    text = page.PAGE.read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1


def test_zero_stands_left_of_the_first_value_of_a_logarithmic_axis() -> None:
    axis = Axis("ms", 0.1, 100, ((0, "0"), (1, "1")), zero=0.5)
    assert 0 < axis.share(0) < axis.share(1) < axis.share(100) == 1


def test_labels_that_would_touch_move_apart_in_their_order_and_others_stay() -> None:
    assert apart([100, 101, 300], 10) == pytest.approx([95.5, 105.5, 300])
    close = apart([50, 52, 48, 59], 10)
    assert sorted(range(4), key=close.__getitem__) == [2, 0, 1, 3]
    assert all(b - a >= 10 - 1e-9 for a, b in zip(sorted(close), sorted(close)[1:], strict=False))


def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ET.Element]:
    """Both pictures, of made-up figures."""
    monkeypatch.setattr(pictures, "PLACE", tmp_path)
    short, deep = Record(dict(WHERE)), Record(dict(WHERE))
    for ms in pictures.MS:
        for peer, variant, *_ in pictures.DRAINS:
            short.add(f"{variant} {ms}", peer, {"per_s": 1000 / (ms + 1)})
    for depth in pictures.DEPTHS:
        deep.add(f"depth {depth}", "rqlike", {"per_s": 3000, "enqueue_per_s": 4000})
    short.save(tmp_path / f"{pictures.DURATION}.json")
    deep.save(tmp_path / f"{pictures.DEPTH}.json")
    pictures.draw()
    return {path.stem: ET.parse(path).getroot() for path in tmp_path.glob("*.svg")}


def test_each_line_of_a_picture_carries_its_name_and_the_picture_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drawn(tmp_path, monkeypatch)
    said = {stem: {"".join(node.itertext()) for node in root.iter(f"{SVG}text")} for stem, root in found.items()}
    assert {"rqlike", "rqlike --no-prefetch", "huey", "RQ", "0", "100"} <= said[pictures.DURATION]
    assert {"rqlike drain", "rqlike enqueue", "1,000,000"} <= said[pictures.DEPTH]
    for root in found.values():
        assert root.find(f"{SVG}title") is not None
        words = root.findtext(f"{SVG}desc")
        assert words is not None
        assert "rqlike" in words


def test_everything_is_drawn_within_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in drawn(tmp_path, monkeypatch).values():
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for node in root.iter():
            for across, up in (("x", "y"), ("cx", "cy"), ("x1", "y1"), ("x2", "y2")):
                assert 0 <= float(node.attrib.get(across, 0)) <= width, node.attrib
                assert 0 <= float(node.attrib.get(up, 0)) <= height, node.attrib


def test_the_pictures_of_the_docs_show_the_measurements_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = pictures.PLACE
    before = {path.name: path.read_text(encoding="utf-8") for path in sorted(place.glob("*.svg"))}
    for source in place.glob("*.json"):
        (tmp_path / source.name).write_text(source.read_text())
    monkeypatch.setattr(pictures, "PLACE", tmp_path)
    pictures.draw()
    assert {path.name: path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.svg"))} == before
