"""Tests that mostly wait are run at the same time, each in a thread, with a namespace or a server of its own.

Nothing else runs meanwhile: the first of them that is reached lets all of them pass, and each then tells of its own.
A test that compares moments closer than some tenths of a second, counts what the shared server does, or forks this
process is not one for it.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import pytest

from tests.conftest import start_durable
from tests.process.workers import Stable
from tests.servers import Server

P = ParamSpec("P")

AT_A_TIME = 8


def together(test: Callable[Concatenate[Stable, P], None]) -> Callable[..., None]:
    """A test that is run beside the others so marked. It takes `stable` or `own_stable`, and parameters."""
    (stable, *given) = inspect.signature(test).parameters.values()
    assert stable.name in ("stable", "own_stable"), stable

    @wraps(test)
    def tell(request: pytest.FixtureRequest, passed_together: Passed, **given: object) -> None:
        passed_together.tell(request.node.nodeid)

    takes = [inspect.Parameter(name, stable.kind) for name in ("request", "passed_together")]
    tell.__signature__ = inspect.Signature([*takes, *given])  # type: ignore[attr-defined]
    tell.runs_alone = stable.name == "own_stable"  # type: ignore[attr-defined]
    return tell


class Passed:
    """What each of these tests has come to."""

    def __init__(self, tests: Iterable[pytest.Function], server: Server, folder: Callable[[str], Path]) -> None:
        long_ones_first = sorted(tests, key=lambda test: test.get_closest_marker("slow") is None)
        with ThreadPoolExecutor(AT_A_TIME, "together") as pool:
            self._ended: dict[str, Future[None]] = {
                test.nodeid: pool.submit(_run, test, server, f"together-{uuid.uuid4().hex[:12]}", folder("together"))
                for test in long_ones_first
            }

    def tell(self, node_id: str) -> None:
        """Raises what the test has raised."""
        self._ended[node_id].result(0)


def are_together(items: Iterable[pytest.Item], folder: Path) -> list[pytest.Function]:
    """Those of them in this folder that are so marked."""
    functions = [item for item in items if isinstance(item, pytest.Function) and item.path.parent == folder]
    return [one for one in functions if hasattr(one.function, "runs_alone")]


def _run(test: pytest.Function, shared: Server, namespace: str, folder: Path) -> None:
    body: Any = test.function
    given = test.callspec.params if hasattr(test, "callspec") else {}
    with (
        closing(start_durable()) if body.runs_alone else nullcontext(shared) as server,
        closing(Stable(server, namespace, folder)) as stable,
    ):
        body.__wrapped__(stable, **given)
