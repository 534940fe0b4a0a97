"""An interpreter for each queue: a virtual environment of its own under `.bench/`, made once."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".bench"
NEEDS = {"rq": ["rq==3.0.0"], "huey": ["huey==3.5.4", "redis"]}
#: what rqlike is built from
SOURCES = ("rqlike", "pyproject.toml", "setup.cfg", "README.md", "LICENSE")


@functools.cache
def interpreter(name: str) -> Path:
    """The Python that has the queue `name` installed; installs it where it is missing, rqlike anew."""
    home = HOME / name
    python = home / "bin" / "python"
    fresh = not python.exists()
    if fresh:
        print(f"making {home.relative_to(ROOT)}", file=sys.stderr)
        venv.create(home, with_pip=True)
    if name == "rqlike":
        install_tree(python, fresh)
    elif fresh:
        install(python, NEEDS[name])
    return python


def install(python: Path, what: list[str]) -> None:
    """`pip install`, quietly. Raises CalledProcessError."""
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *what], check=True)


def install_tree(python: Path, fresh: bool) -> None:
    """Installs rqlike as it is now, from a copy, so that the build leaves nothing in the tree."""
    with tempfile.TemporaryDirectory() as place:
        for name in SOURCES:
            source, copy = ROOT / name, Path(place, name)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        install(python, [*([] if fresh else ["--force-reinstall", "--no-deps"]), place])


def versions(name: str) -> str:
    """What is installed for the queue `name`, as `package version, …`."""
    code = (
        "from importlib.metadata import version, distributions\n"
        "names = {d.metadata['Name'].lower() for d in distributions()}\n"
        f"print(', '.join(f'{{n}} {{version(n)}}' for n in ({name!r}, 'redis', 'hiredis') if n in names))"
    )
    python = HOME / name / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
