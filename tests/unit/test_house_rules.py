"""The rules of the house that a machine can keep: layers, and what may be spelt where.

A rule is a function from the sources to a list of complaints. Each is applied to the package, and to a small source
that breaks it, so that a rule which sees nothing any more is noticed.
"""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "rqlike"
LINE_LIMIT = 450

# From the words at the bottom to the edges. A module imports only from lines above its own and, in its own line, from
# names to its left. "worker.*" is a whole package, whose modules may import each other (though never in a circle).
LAYERS = (
    (
        "safetext jsonvalues exceptions failpoints timeouts states settings fields keys clock durations tables "
        "callables policies dependency limits events logs"
    ),
    "options records refusals serializers identity codec told outcomes entries zones firetimes timetables",
    (
        "store.scripts store.resp store.requests store.verbs store.groups store.staff store.schedules store.events "
        "store.pauses store.pages store.erasures store.turns store.embedded_keeper store.embedded store.sentinels "
        "store.connecting store.endpoint store.route store.link store.store store.durable store.wishes "
        "store.waiting store.gathering store.following store"
    ),
    "running.*",
    (
        "tellings lookups results standoff awaiting live dependencies job gathering paging failures erasure "
        "preparing sending joining speech inline registry schedules pauses following queue group decorators command "
        "suspension cron"
    ),
    "worker.*",
    "testing web delivery.* metrics contrib.* dashboard.* cli.*",
)
# Nothing imports these; they may import anything.
DOORS = frozenset({"", "__main__"})

# Allowed although it is not in the table: none so far. (importer, imported): reason.
EXCEPTIONS: Mapping[tuple[str, str], str] = {}

CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})
HASH_WRITES = frozenset({"hset", "hsetnx", "hmset", "hincrby"})


@dataclass(frozen=True, slots=True)
class Source:
    """One module: its name below the package ("store.link", "" for the package itself), and what it says."""

    name: str
    text: str
    tree: ast.Module
    is_package: bool

    @classmethod
    def of(cls, name: str, text: str, *, is_package: bool = False) -> Source:
        return cls(name, text, ast.parse(text), is_package)

    def where(self, node: ast.AST) -> str:
        return f"{PACKAGE}.{self.name}:{getattr(node, 'lineno', 0)}"


Sources = Mapping[str, Source]
Rule = Callable[[Sources], list[str]]


def read_package() -> dict[str, Source]:
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = Source.of(name, path.read_text(), is_package=is_package)
    return found


# --- reading imports


@dataclass(frozen=True, slots=True)
class Import:
    node: ast.Import | ast.ImportFrom
    names: tuple[str, ...]  # Absolute; for `from a import b` both "a" and "a.b".
    in_function: bool


def is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_of(source: Source) -> Iterator[Import]:
    """All imports but those for the type checker."""

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield Import(node, tuple(alias.name for alias in node.names), in_function)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(source, node)
            yield Import(node, (base, *(f"{base}.{alias.name}" for alias in node.names)), in_function)
        deeper = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in node.orelse if is_for_types(node) else ast.iter_child_nodes(node):
            yield from visit(child, deeper)

    return visit(source.tree, False)


def absolute_base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *source.name.split(".")] if source.name else [PACKAGE]
    if not source.is_package:
        here = here[:-1]
    here = here[: len(here) - node.level + 1]
    return ".".join([*here, node.module] if node.module else here)


def internal(found: Import, sources: Sources) -> set[str]:
    """The modules of the package that an import loads by name; `from rqlike.store import link` is store.link alone."""
    names = {name[len(PACKAGE) :].lstrip(".") for name in found.names if (name + ".").startswith(PACKAGE + ".")}
    known = {name for name in names if name in sources}
    if isinstance(found.node, ast.ImportFrom) and len(known) > 1:
        base = min(known, key=len)
        if all(
            any(other.endswith("." + alias.name) or other == alias.name for other in known - {base})
            for alias in found.node.names
        ):
            known.discard(base)
    return known


# --- the table


def row_of(name: str) -> tuple[int, int, str] | None:
    """Layer, place and entry of a module in the table."""
    for layer, line in enumerate(LAYERS):
        for place, entry in enumerate(line.split()):
            package = entry.removesuffix(".*")
            if name == entry or (entry.endswith(".*") and (name == package or name.startswith(package + "."))):
                return layer, place, entry
    return None


def modules_stand_in_the_table(sources: Sources) -> list[str]:
    return [
        f"{PACKAGE}.{name} has no place in LAYERS of {Path(__file__).name}: add it to the layer it belongs to"
        for name in sources
        if name not in DOORS and row_of(name) is None
    ]


def imports_point_down(sources: Sources) -> list[str]:
    complaints = []
    for source in sources.values():
        importer = row_of(source.name)
        if source.name in DOORS or importer is None:
            continue
        for found in imports_of(source):
            for name in sorted(internal(found, sources) - {source.name}):
                imported = row_of(name)
                if name in DOORS:
                    complaints.append(f"{source.where(found.node)} imports the package itself: import the module")
                elif imported is None or imported[:2] < importer[:2] or imported[2] == importer[2]:
                    continue
                elif (source.name, name) not in EXCEPTIONS:
                    complaints.append(
                        f"{source.where(found.node)} imports {PACKAGE}.{name}, which is not below it "
                        f"(layer {importer[0]} place {importer[1]} -> layer {imported[0]} place {imported[1]}): "
                        "move what both need further down, or pass it in as an argument"
                    )
    return complaints


def imports_make_no_circle(sources: Sources) -> list[str]:
    graph = {
        source.name: set().union(*(internal(found, sources) for found in imports_of(source))) - {source.name}
        for source in sources.values()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(f"{PACKAGE}.{name}" for name in reversed(error.args[1]))
        return [f"these modules import each other: {circle}; move what both need into a third"]
    return []


# --- what may be spelt where


def functions_import_nothing_of_the_package(sources: Sources) -> list[str]:
    return [
        f"{source.where(found.node)} imports a module of the package inside a function: import it at the top, "
        "and if that makes a circle the layers are wrong"
        for source in sources.values()
        for found in imports_of(source)
        if found.in_function and any((name + ".").startswith(PACKAGE + ".") for name in found.names)
    ]


def only_the_store_talks_to_servers(sources: Sources) -> list[str]:
    return [
        f"{source.where(found.node)} imports {found.names[0]}: only store/ talks to a server, give it a function there "
        "(for annotations import under TYPE_CHECKING)"
        for source in sources.values()
        if source.name.partition(".")[0] != "store"
        for found in imports_of(source)
        if {name.partition(".")[0] for name in found.names} & {"redis", "valkey"}
    ]


def only_clock_reads_clocks(sources: Sources) -> list[str]:
    return [
        f"{source.where(node)} reads a clock ({word}): call rqlike.clock, so that tests can hold it"
        for source in sources.values()
        if source.name != "clock"
        for node, word in clock_readings(source.tree)
    ]


def clock_readings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            owner_name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
            if owner_name is not None and node.attr in CLOCKS.get(owner_name, ()):
                yield node, f"{owner_name}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            for alias in node.names:
                if alias.name in CLOCKS["time"]:
                    yield node, f"from time import {alias.name}"


def only_keys_spells_keys(sources: Sources) -> list[str]:
    return [
        f"{source.where(node)} spells a key: give it a method in keys.py, the one list of what is stored"
        for source in sources.values()
        if source.name != "keys"
        for node in key_literals(source.tree)
    ]


def key_literals(tree: ast.Module) -> Iterator[ast.AST]:
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    for text in formatted:
        for before, hole, after in zip(text.values, text.values[1:], text.values[2:], strict=False):
            tagged = text_of(before).endswith("{") and text_of(after).startswith("}:")
            if tagged and isinstance(hole, ast.FormattedValue):
                yield text
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    seen = documentation | {id(part) for text in formatted for part in text.values}
    for node in ast.walk(tree):
        if id(node) not in seen and re.match(r"\{rqlike\}:|\}:", text_of(node)):
            yield node


def text_of(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def only_scripts_write_a_status(sources: Sources) -> list[str]:
    return [
        f"{source.where(node)} writes the field `status`: only a script in lua/ does, through a verb of TRANSITIONS"
        for source in sources.values()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and is_hash_write(node) and mentions_status(node)
    ]


def is_hash_write(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Attribute) and call.func.attr.lower() in HASH_WRITES:
        return True
    return any(text_of(word).lower() in HASH_WRITES for word in call.args)


def mentions_status(call: ast.Call) -> bool:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(text_of(node) == "status" for value in values for node in ast.walk(value))


def exceptions_are_named(sources: Sources) -> list[str]:
    return [
        f"{source.where(node)} catches everything: name the exceptions, or BaseException where nothing may pass"
        for source in sources.values()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def modules_are_named_for_a_thing(sources: Sources) -> list[str]:
    return [
        f"{PACKAGE}.{name} is named for nothing: name a module for the noun that lives in it"
        for name in sources
        if name.rpartition(".")[2] in VAGUE_NAMES
    ]


def modules_are_short(sources: Sources) -> list[str]:
    return [
        f"{PACKAGE}.{source.name} has {lines} lines without its docstrings (at most {LINE_LIMIT}): split it by nouns"
        for source in sources.values()
        if (lines := len(source.text.splitlines()) - docstring_lines(source.tree)) > LINE_LIMIT
    ]


def docstring_lines(tree: ast.Module) -> int:
    count = 0
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            count += (first.end_lineno or first.lineno) - first.lineno + 1
    return count


# --- the tests

RULES: tuple[Rule, ...] = (
    modules_stand_in_the_table,
    imports_point_down,
    imports_make_no_circle,
    functions_import_nothing_of_the_package,
    only_the_store_talks_to_servers,
    only_clock_reads_clocks,
    only_keys_spells_keys,
    only_scripts_write_a_status,
    exceptions_are_named,
    modules_are_named_for_a_thing,
    modules_are_short,
)


def sources_of(texts: Mapping[str, str]) -> dict[str, Source]:
    """Sources by name; a name that ends with a dot is a package."""
    made = {}
    for given, text in texts.items():
        name = given.removesuffix(".")
        made[name] = Source.of(name, text, is_package=given.endswith(".") or not given)
    return made


@pytest.fixture(scope="module")
def package() -> dict[str, Source]:
    return read_package()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule, package: dict[str, Source]) -> None:
    complaints = rule(package)
    assert not complaints, "\n" + "\n".join(complaints)


BROKEN: Iterable[tuple[Rule, dict[str, str]]] = (
    (modules_stand_in_the_table, {"surprise": ""}),
    (modules_stand_in_the_table, {"store.surprise": ""}),
    (imports_point_down, {"keys": "from rqlike.job import Job", "job": ""}),
    (imports_point_down, {"keys": "import rqlike.clock", "clock": ""}),
    (imports_point_down, {"store.link": "from .waiting import read", "store.waiting": "", "store.": ""}),
    (imports_point_down, {"store.link": "from . import waiting", "store.waiting": "", "store.": ""}),
    (imports_point_down, {"running.executor": "from rqlike.worker import horse", "worker.horse": "", "worker.": ""}),
    (imports_point_down, {"job": "import rqlike", "": ""}),
    (imports_point_down, {"job": "from rqlike import Queue", "": ""}),
    (imports_point_down, {"keys": "if x:\n    from rqlike import job", "job": "", "": ""}),
    (imports_point_down, {"keys": "if TYPE_CHECKING:\n    pass\nelse:\n    from rqlike import job", "job": "", "": ""}),
    (
        imports_make_no_circle,
        {"worker.a": "from rqlike.worker import b", "worker.b": "from .a import x", "worker.": ""},
    ),
    (imports_make_no_circle, {"worker.a": "import rqlike.worker.b", "worker.b": "import rqlike.worker.a"}),
    (functions_import_nothing_of_the_package, {"queue": "def f():\n    from rqlike.job import Job"}),
    (functions_import_nothing_of_the_package, {"queue": "class A:\n    async def f(self):\n        from . import job"}),
    (functions_import_nothing_of_the_package, {"queue": "def f():\n    if x:\n        import rqlike"}),
    (only_the_store_talks_to_servers, {"queue": "import redis"}),
    (only_the_store_talks_to_servers, {"queue": "def f():\n    from redis.client import Redis"}),
    (only_the_store_talks_to_servers, {"worker.link": "import valkey"}),
    (only_clock_reads_clocks, {"queue": "import time\nnow = time.time()"}),
    (only_clock_reads_clocks, {"queue": "from time import monotonic as m"}),
    (only_clock_reads_clocks, {"queue": "import datetime\nnow = datetime.datetime.now(datetime.UTC)"}),
    (only_clock_reads_clocks, {"queue": "from datetime import datetime\nf = datetime.utcnow"}),
    (only_keys_spells_keys, {"queue": 'key = f"{{{namespace}}}:queue:{name}"'}),
    (only_keys_spells_keys, {"queue": 'key = "{" + namespace + "}:queue"'}),
    (only_keys_spells_keys, {"queue": 'key = "{rqlike}:queues"'}),
    (only_scripts_write_a_status, {"job": 'client.hset(key, "status", "finished")'}),
    (only_scripts_write_a_status, {"job": 'pipe.hset(key, mapping={"status": x, "a": 1})'}),
    (only_scripts_write_a_status, {"store.verbs": 'send("HSET", key, "status", "queued")'}),
    (exceptions_are_named, {"job": "try:\n    f()\nexcept:\n    pass"}),
    (modules_are_named_for_a_thing, {"utils": ""}),
    (modules_are_named_for_a_thing, {"worker.helpers": ""}),
    (modules_are_short, {"job": "x = 1\n" * (LINE_LIMIT + 1)}),
)


@pytest.mark.parametrize(("rule", "texts"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_source_that_breaks_the_rule_is_caught(rule: Rule, texts: dict[str, str]) -> None:
    assert rule(sources_of(texts))


KEPT: Iterable[tuple[Rule, dict[str, str]]] = (
    (
        imports_point_down,
        {"job": "from rqlike.keys import Keys\nfrom rqlike import clock", "keys": "", "clock": "", "": ""},
    ),
    (imports_point_down, {"keys": "if TYPE_CHECKING:\n    from rqlike.job import Job", "job": ""}),
    (imports_point_down, {"store.waiting": "from rqlike.store import link", "store.link": "", "store.": ""}),
    (imports_point_down, {"worker.a": "from rqlike.worker.b import x", "worker.b": "", "worker.": ""}),
    (imports_point_down, {"": "from rqlike.job import Job", "job": ""}),
    (imports_make_no_circle, {"worker.a": "from rqlike.worker import b", "worker.b": "", "worker.": ""}),
    (only_the_store_talks_to_servers, {"job": "if TYPE_CHECKING:\n    import redis", "store.link": "import redis"}),
    (only_clock_reads_clocks, {"clock": "import time\ntime.time()", "job": "import time\ntime.sleep(1)"}),
    (only_keys_spells_keys, {"job": '"""{rqlike}:… is a key."""\nf"{a}: {b}"', "keys": 'f"{{{n}}}:x"'}),
    (only_scripts_write_a_status, {"job": 'client.hset(key, "meta", x)\nprint("status")'}),
    (modules_are_short, {"job": '"""' + "words\n" * 2 * LINE_LIMIT + '"""\nx = 1\n'}),
)


@pytest.mark.parametrize(("rule", "texts"), KEPT, ids=lambda value: getattr(value, "__name__", ""))
def test_a_source_that_keeps_the_rule_is_left_alone(rule: Rule, texts: dict[str, str]) -> None:
    assert rule(sources_of(texts)) == []
