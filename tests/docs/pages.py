"""Which pages there are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """README, CHANGELOG, CONTRIBUTING, all of docs/, and what lies beside the examples."""
    return [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    ]


def name_of(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))
