"""Writes those parts of docs/ that the code knows best: the diagram, statuses, options, errors, keys, command line.

    python tools/docs.py            writes them
    python tools/docs.py --check    names the pages that are not what it would write, and exits with 1

A generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; the rest of a page is written by
hand.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import click

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from rqlike import exceptions, fields, keys, options, states, timeouts  # noqa: E402
from rqlike.cli import main as program  # noqa: E402

DOCS: Final = ROOT / "docs"
_PART: Final = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n)(?P<text>.*?)(<!-- end of (?P=name) -->)", re.DOTALL)


# -- what the parts say ------------------------------------------------------------------------------------------------


def diagram() -> str:
    """One cycle as Mermaid draws it: without the ways that lead out of every status or out of every ended one, which
    are too many to read, and with one arrow where two verbs go the same way."""
    arrows: dict[str, list[str]] = {}
    head, *lines = states.mermaid().splitlines()
    for line in lines:
        way, _, verb = line.partition(": ")
        if verb != "delete" and way.split()[0] not in states.TERMINAL:
            arrows.setdefault(way, []).append(verb)
    drawn = "\n".join([head, *(f"{way}: {', '.join(verbs)}" for way, verbs in arrows.items())])
    return f"```mermaid\n{drawn}\n```"


def statuses() -> str:
    """The statuses, each with its meaning."""
    said = notes_of(states, "JobStatus")
    rows = ((f"`{status}`", "yes" if status.terminal else "", said[status.name]) for status in states.JobStatus)
    return table(("status", "ends the cycle", "meaning"), rows)


def transitions() -> str:
    """The verbs, from where to where."""
    rows = (
        (
            f"`{row.verb}`",
            _statuses(row.sources, "no job"),
            _statuses(row.targets, "gone"),
            row.said_by,
            row.writes,
            row.why,
        )
        for row in states.TRANSITIONS
    )
    return table(("verb", "from", "to", "said by", "appends", "why"), rows)


def _statuses(found: frozenset[states.JobStatus | None], nothing: str) -> str:
    if found >= states.TERMINAL and len(found - {None}) == len(states.JobStatus):
        return "any"
    names = [nothing] if None in found else []
    if found >= states.TERMINAL:
        names.append("any that ended")
        found -= states.TERMINAL
    return ", ".join([*names, *(str(status) for status in states.JobStatus if status in found)])


def results() -> str:
    """The types of results."""
    said = notes_of(states, "ResultType")
    rows = ((f"`{kind.name}`", "yes" if kind.final else "", said[kind.name]) for kind in states.ResultType)
    return table(("type", "ends the cycle", "meaning"), rows)


def reasons() -> str:
    """The reasons of results."""
    said = notes_of(states, "Reason")
    return table(("reason", "meaning"), ((f"`{reason}`", said[reason.name]) for reason in states.Reason))


def job_options() -> str:
    """The options of a job."""
    said = notes_of(options, "JobOptions")
    kinds = types_of(options, "JobOptions")
    rows = ((f"`{name}`", f"`{kinds[name]}`", said[name]) for name in options.NAMES)
    return table(("option", "takes", "meaning"), rows)


def errors() -> str:
    """The tree of errors, and what each one says."""
    found = list(_tree(exceptions.RqlikeError, 0))
    tree = "\n".join(f"{'    ' * depth}{kind.__name__}{_other_bases(kind)}" for kind, depth in found)
    apart = timeouts.JobTimeoutException
    rows = [(f"`{kind.__name__}`", f"`{kind.code}`", _sentence(kind)) for kind, _ in found]
    return f"```text\n{tree}\n{apart.__name__} (BaseException), in rqlike.timeouts\n```\n\n" + table(
        ("error", "code", "its message, unless the raiser knows better"), rows
    )


def _tree(kind: type[exceptions.RqlikeError], depth: int) -> Iterator[tuple[type[exceptions.RqlikeError], int]]:
    yield kind, depth
    for below in kind.__subclasses__():
        if below.__module__ == exceptions.__name__:
            yield from _tree(below, depth + 1)


def _other_bases(kind: type) -> str:
    others = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
    return f" ({', '.join(others)})" if others else ""


def _sentence(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def redis_keys() -> str:
    """Every key."""
    rows = ((f"`{pattern}`", said) for pattern, said in keys.documented().values())
    return table(("key", "type, who writes and reads it, how long it lives, what a score means"), rows)


def hash_fields() -> str:
    """The fields of hashes and of stream entries, by the short names they are stored under."""
    tables = (
        ("A job's hash", fields.JOB),
        ("An entry of a job's stream", fields.ENTRY),
        ("A schedule's hash", fields.SCHEDULE),
        ("A worker's hash", fields.WORKER),
    )
    parts = []
    for title, names in tables:
        rows = ((f"`{short}`", name.replace("_", " ")) for name, short in names.items())
        parts.append(f"{title}:\n\n{table(('field', 'holds'), rows)}")
    return "\n\n".join(parts)


def command_line() -> str:
    """Every command with its options."""
    context = click.Context(program, info_name="rqlike")
    return "\n\n".join(_commands(program, context))


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    common = getattr(command, "common", [])
    if context.parent is None:
        yield "### Options of every command\n\nThey may stand before or after a subcommand.\n\n" + _option_table(common)
    else:
        yield "\n\n".join(_about(command, context, common))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _commands(below, click.Context(below, info_name=name, parent=context))


def _about(command: click.Command, context: click.Context, common: list[click.Parameter]) -> Iterator[str]:
    own = [param for param in command.params if param not in common]
    yield f"### {context.command_path}"
    if not isinstance(command, click.Group):
        yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    shown = [param for param in own if isinstance(param, click.Option) and not param.hidden]
    if shown:
        yield _option_table(shown)


def _option_table(params: Sequence[click.Parameter]) -> str:
    rows = ((_spelling(param), param.help or "") for param in params if isinstance(param, click.Option))
    return table(("option", "meaning"), rows)


def _spelling(option: click.Option) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return f"`{names}`"
    takes = "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else option.metavar
    return f"`{names} {(takes or option.type.name.upper().split()[0]).lower() if not option.metavar else takes}`"


# -- reading the sources -----------------------------------------------------------------------------------------------


def _members(module: ModuleType, name: str) -> Iterator[tuple[str, ast.stmt]]:
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node


def notes_of(module: ModuleType, name: str) -> dict[str, str]:
    """The `#:` comment of each member of a class, beside it or above it. Raises KeyError where one has none."""
    lines = inspect.getsource(module).split("\n")
    found = {}
    for member, node in _members(module, name):
        beside = lines[(node.end_lineno or node.lineno) - 1].partition("#: ")[2]
        above: list[str] = []
        at = node.lineno - 2
        while lines[at].lstrip().startswith("#: "):
            above.insert(0, lines[at].strip()[3:])
            at -= 1
        found[member] = beside or " ".join(above)
        if not found[member]:
            raise KeyError(f"{name}.{member} has no #: comment in {module.__name__}")
    return found


def types_of(module: ModuleType, name: str) -> dict[str, str]:
    """The annotation of each member of a class, as it is written but for the types of callbacks."""
    found = {
        member: ast.unparse(node.annotation)
        for member, node in _members(module, name)
        if isinstance(node, ast.AnnAssign)
    }
    return {member: kind.replace("AnyCallable[..., Any]", "Callable") for member, kind in found.items()}


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = (headings, tuple("---" for _ in headings), *rows)
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# -- pages -------------------------------------------------------------------------------------------------------------

PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "diagram": diagram,
    "statuses": statuses,
    "transitions": transitions,
    "results": results,
    "reasons": reasons,
    "job_options": job_options,
    "errors": errors,
    "redis_keys": redis_keys,
    "hash_fields": hash_fields,
    "command_line": command_line,
}


def rewritten(text: str) -> str:
    """A page with its generated parts as they are to be. Raises KeyError for a part that nobody generates."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part['name']]()}\n{part[4]}", text)


def parts_in(text: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [found["name"] for found in _PART.finditer(text)]


def stale() -> list[Path]:
    """The pages that are not as they are to be."""
    return [path for path in sorted(DOCS.rglob("*.md")) if path.read_text() != rewritten(path.read_text())]


def main(arguments: list[str]) -> int:
    """Writes, or with `--check` only looks; the exit code."""
    pages = stale()
    for path in pages:
        if "--check" not in arguments:
            path.write_text(rewritten(path.read_text()))
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 1 if pages and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
