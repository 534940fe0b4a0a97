"""The types that a caller's type checker sees, on a small program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

PROGRAM = Path(__file__).with_name("typed_program.txt")  # not .py: half of it is wrong on purpose


@pytest.mark.slow
def test_a_strict_type_checker_agrees_with_each_line_of_the_program(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # As a program of somebody else: in a folder of its own, and without this project's settings.
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.read_text())
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nstrict = True\n[mypy-croniter.*]\nignore_missing_imports = True\n")
    cache = ROOT / ".mypy_cache" / "caller"
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(cache), str(program)]
    env = {**os.environ, "MYPYPATH": str(ROOT)}  # an editable install is not found by itself
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=env).stdout
    ours = [line for line in said.splitlines() if "error:" in line and Path(line.split(":")[0]).name == "program.py"]
    found = sorted({int(line.split(":")[1]) for line in ours})
    expected = [n for n, line in enumerate(PROGRAM.read_text().splitlines(), 1) if line.endswith("# error")]
    assert found == expected, said
