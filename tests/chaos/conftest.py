"""The fixtures of the tests with real processes."""

from __future__ import annotations

from tests.process.conftest import stable

__all__ = ["stable"]
