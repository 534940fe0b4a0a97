"""Is there such a function? An answer from source files alone: enqueueing runs no code of jobs."""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a worker might not find a function. `missing`: already its first module is not here, which may be meant."""

    text: str
    missing: bool


def doubt_about(reference: str, folders: Sequence[str]) -> Doubt | None:
    """What speaks against `reference` ("pkg.mod.func", "pkg.mod:Class.method") with `folders` before sys.path.

    None where nothing does, or where only running the module could tell."""
    module, _, attributes = reference.partition(":")
    names = [*module.split("."), *(attributes.split(".") if attributes else ())]
    spec: ModuleSpec | None = None
    places: Sequence[str] | None = [*folders, *sys.path]
    for name in names:
        # By its last name alone: of a full one in a package without __init__.py it would look for the imported parent.
        inner = None if places is None else PathFinder.find_spec(name, list(places))
        if inner is None:
            return _nowhere(name, folders) if spec is None else _doubt_in(spec, name)
        spec, places = inner, inner.submodule_search_locations
    return Doubt(f"{reference} is a module, not a function in one", missing=False)


def _nowhere(name: str, folders: Sequence[str]) -> Doubt | None:
    if name in sys.builtin_module_names:
        return None
    return Doubt(f"there is no module {name!r} in {', '.join(folders)} or the rest of sys.path", missing=True)


def _doubt_in(spec: ModuleSpec, name: str) -> Doubt | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    names = _names_in(tree)
    if name in names or "*" in names or "__getattr__" in names:
        return None
    near = difflib.get_close_matches(name, sorted(names), 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return Doubt(f"{spec.origin} defines no {name!r}{hint}", missing=False)


def _names_in(tree: ast.Module) -> set[str]:
    """Every name bound anywhere in a module: rather too many, so that a doubt is one."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
    return names
