"""An interpreter for each queue: a virtual environment of its own under `.bench/`, made once."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".bench"
NEEDS = {"rqlike": [str(ROOT)], "rq": ["rq==3.0.0"], "huey": ["huey", "redis"]}


def interpreter(name: str) -> Path:
    """The Python that has the queue `name` installed; installs it where it is missing, rqlike always anew."""
    home = HOME / name
    python = home / "bin" / "python"
    fresh = not python.exists()
    if fresh:
        print(f"making {home.relative_to(ROOT)}", file=sys.stderr)
        venv.create(home, with_pip=True)
    if fresh or name == "rqlike":
        again = ["--force-reinstall", "--no-deps"] if not fresh else []
        subprocess.run([python, "-m", "pip", "install", "-q", *again, *NEEDS[name]], check=True)
    return python


def versions(name: str) -> str:
    """What is installed for the queue `name`, as `package version, …`."""
    code = (
        "from importlib.metadata import version, distributions\n"
        "names = {d.metadata['Name'].lower() for d in distributions()}\n"
        f"print(', '.join(f'{{n}} {{version(n)}}' for n in ({name!r}, 'redis', 'hiredis') if n in names))"
    )
    python = HOME / name / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
