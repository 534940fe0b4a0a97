"""The code blocks of a Markdown page, and what running one means.

- `python`: run in one namespace per page. A block with `>>>` is a session, whose output is compared. A block whose
  first line is a comment with a file name (`# tasks.py`) is written to that file and not run.
- `shell`: run by bash, which stops at the first command that fails.
- `console`: each line after `$ ` is run by bash, the lines below it are what it is expected to print.
- Any other language is shown and not run.

A block that cannot be run has an HTML comment above it that says why: `<!-- not run: it never ends -->`.
In expected output `...` stands for anything; times, durations, ids and names of workers may be any.
"""

from __future__ import annotations

import doctest
import re
import signal
import subprocess
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = frozenset({"text", "ini", "dockerfile", "mermaid", "yaml", "toml"})
RUN = frozenset({"python", "shell", "console"})
BLOCK_LIMIT_S = 20

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)$")
_NOT_RUN = re.compile(r"^\s*<!-- not run: (?P<reason>\S.*\S) -->\s*$")
_FILE = re.compile(r"^# (?P<name>[\w/.-]+\.\w+)$")

# What differs from run to run, with what stands for it in both texts.
_VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "<moment>"),
    (re.compile(r"(?<![\w.'\"])<?\d+(\.\d+)?(ms|s)\b"), "<took>"),
    (re.compile(r"\b(worker-of-[\w.-]+|inline\.\d+|[\w-]+\.\d+\.[0-9a-f]{4})\b"), "<worker>"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it is (`line` is that of its first code line), what it says."""

    path: Path
    line: int
    language: str
    text: str
    not_run: str | None  #: the reason it is not run

    @property
    def file_name(self) -> str | None:
        """The file this block is to be written to, if it is one."""
        first = _FILE.match(self.text.partition("\n")[0]) if self.language == "python" else None
        return None if first is None else first["name"]

    @property
    def place(self) -> str:
        """For messages: `path:line`."""
        return f"{self.path}:{self.line}"


class BlockFailed(Exception):
    """A block did not do what its page says."""


def blocks_of(path: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order. Raises BlockFailed for one that is not closed."""
    lines = path.read_text(encoding="utf-8").split("\n")
    at, reason = 0, None
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if opening is None:
            said = _NOT_RUN.match(lines[at])
            reason = said["reason"] if said else reason if not lines[at].strip() else None
            at += 1
            continue
        closing = re.compile(rf"^ *{opening['ticks']}`*\s*$")
        end = next((n for n in range(at + 1, len(lines)) if closing.match(lines[n])), None)
        if end is None:
            raise BlockFailed(f"{path}:{at + 1}: this block is never closed")
        indent = len(opening["indent"])
        text = "\n".join(line[indent:] for line in lines[at + 1 : end]) + "\n"
        yield Block(path, at + 2, opening["info"].partition(" ")[0].strip(), text, reason)
        at, reason = end + 1, None


class Page:
    """Runs the blocks of one page: one namespace, one directory, one environment."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._directory = directory
        self._env = dict(env)
        self._names: dict[str, Any] = {"__name__": "a_page"}

    def run(self, block: Block) -> None:
        """Runs one block. Raises BlockFailed, naming its page and line."""
        if block.not_run is not None or block.language in SHOWN:
            return
        with limited(block):
            self._run(block)

    def _run(self, block: Block) -> None:
        if block.file_name is not None:
            target = self._directory / block.file_name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "python":
            (self._session if block.text.lstrip().startswith(">>>") else self._python)(block)
        elif block.language == "shell":
            self._shell(block, block.text)
        else:
            self._console(block)

    def _python(self, block: Block) -> None:
        code = compile("\n" * (block.line - 1) + block.text, str(block.path), "exec")
        try:
            exec(code, self._names)
        except Exception as error:
            raise BlockFailed(f"{block.place}: {''.join(traceback.format_exception(error)[-6:])}") from error

    def _session(self, block: Block) -> None:
        test = doctest.DocTestParser().get_doctest(block.text, {}, str(block.path), str(block.path), block.line - 1)
        test.globs = self._names
        said: list[str] = []
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        runner = doctest.DocTestRunner(_Checker(), verbose=False, optionflags=flags)
        runner.run(test, out=said.append, clear_globs=False)
        if runner.failures:
            raise BlockFailed(f"{block.place}: {''.join(said)}")

    def _shell(self, block: Block, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._directory,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=BLOCK_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise BlockFailed(f"{block.place}: exit {done.returncode}\n{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _console(self, block: Block) -> None:
        for command, expected in _commands(block):
            got = self._shell(block, command)
            if expected.strip() and not matches(expected, got):
                raise BlockFailed(f"{block.place}: {command}\n-- expected\n{expected}\n-- got\n{got}")


class _TooLong(KeyboardInterrupt):
    """A block has not ended in time. A KeyboardInterrupt is the one exception that doctest does not take for the
    block's own."""


@contextmanager
def limited(block: Block) -> Iterator[None]:
    """Ends a block that waits for ever, say for a worker that has died."""

    def ring(number: int, frame: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, BLOCK_LIMIT_S)
    try:
        yield
    except _TooLong as error:
        raise BlockFailed(f"{block.place}: not done within {BLOCK_LIMIT_S} s") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(steady(want), steady(got), optionflags)


def matches(expected: str, got: str) -> bool:
    """Whether a text is what was expected, spaces and what varies from run to run apart."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return _Checker().check_output(expected, got, flags)


def steady(text: str) -> str:
    """The text with marks in place of what differs from run to run."""
    for pattern, mark in _VARYING:
        text = pattern.sub(mark, text)
    return text


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """(command, expected output) of a console block; a command goes on after a backslash at the end of its line."""
    command, expected = "", ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line[2:], ""
        elif command.endswith("\\"):
            command = command[:-1] + line.strip()
        elif command:
            expected += line + "\n"
        else:
            raise BlockFailed(f"{block.place}: a console block begins with `$ ` and a command")
    if command:
        yield command, expected
