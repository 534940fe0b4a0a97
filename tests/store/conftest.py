"""Fixtures of the store's tests: a scene on each kind of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import AnyServer
from tests.store.builders import Scene, scene_on
from tests.store.invariants import violations


@pytest.fixture
def scene(any_server: AnyServer, namespace: str) -> Iterator[Scene]:
    """A namespace of its own on each kind of server; when the test ends, its invariants hold."""
    made = scene_on(any_server.client(), namespace)
    yield made
    assert violations(made.dump(), made.store.keys, made.now_ms) == []
