"""Whether a function exists is told from source files alone, wherever they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from rqlike.cli.sources import doubt_about


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A package inside of another one, both without an `__init__.py`."""
    inner = tmp_path / "outer_package" / "inner_package"
    inner.mkdir(parents=True)
    (inner / "tasks.py").write_text("def there(): ...\n")
    return str(tmp_path)


def test_a_function_in_packages_without_init_files_is_found(folder: str) -> None:
    assert doubt_about("outer_package.inner_package.tasks.there", [folder]) is None


def test_a_function_that_is_not_in_them_is_doubted(folder: str) -> None:
    doubt = doubt_about("outer_package.inner_package.tasks.ther", [folder])
    assert doubt is not None
    assert "did you mean 'there'?" in doubt.text
