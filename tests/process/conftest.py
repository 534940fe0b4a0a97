"""Fixtures for the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.together import Passed, are_together
from tests.process.workers import Stable
from tests.servers import Server


@pytest.fixture
def stable(server: Server, namespace: str, tmp_path: Path) -> Iterator[Stable]:
    """A namespace on the shared server, and workers that end with the test."""
    made = Stable(server, namespace, tmp_path)
    yield made
    made.close()


@pytest.fixture
def own_stable(own_server: Server, namespace: str, tmp_path: Path) -> Iterator[Stable]:
    """The same on a server of this test alone, with AOF."""
    made = Stable(own_server, namespace, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="package")
def passed_together(
    request: pytest.FixtureRequest, valkey_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Passed:
    """Runs all tests of this folder that are marked `together`, before the first of them."""
    return Passed(are_together(request.session.items, Path(__file__).parent), valkey_server, tmp_path_factory.mktemp)
