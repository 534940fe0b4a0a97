"""Noticing that source files have changed, for `--reload`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


class SourceWatch:
    """The `*.py` files below some folders; hidden folders and virtual environments are left out."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = tuple(folders)
        self._seen = self._stamps()

    def changed(self) -> str | None:
        """The path of a file that is new, gone or changed since the last call; None where none is."""
        now, before = self._stamps(), self._seen
        self._seen = now
        for path in now.keys() | before.keys():
            if now.get(path) != before.get(path):
                return path
        return None

    def _stamps(self) -> dict[str, int]:
        return {path: stamp for folder in self._folders for path, stamp in _sources(folder)}


def _sources(folder: str) -> Iterator[tuple[str, int]]:
    for root, folders, names in os.walk(folder):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        for name in names:
            if name.endswith(".py"):
                path = Path(root, name)
                try:
                    yield str(path), path.stat().st_mtime_ns
                except FileNotFoundError:  # gone since it was listed
                    continue
