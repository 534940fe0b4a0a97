"""The door of the package: its names, and what entering loads."""

from __future__ import annotations

import subprocess
import sys

import rqlike


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*(name for name in sys.modules if name.startswith('rqlike')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_public_name_is_there_and_is_listed() -> None:
    assert all(getattr(rqlike, name) is not None for name in rqlike.__all__)
    assert set(rqlike.__all__) <= set(dir(rqlike))
    assert set(rqlike.__all__) == {*rqlike._HOME_OF, "__version__", "exceptions"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(rqlike, "Quue")


def test_who_enqueues_does_not_load_the_worker() -> None:
    assert "rqlike.worker.worker" not in loaded_by("from rqlike import Queue, Retry, Job")
    assert loaded_by("import rqlike") == {"rqlike"}


def test_who_enqueues_does_not_load_what_only_errors_notebooks_and_pickle_need() -> None:
    code = (
        "import sys, redis; had = set(sys.modules); from rqlike import Queue; Queue()\nprint(*(set(sys.modules) - had))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spare = {"argparse", "difflib", "html", "pickle", "pkgutil", "zoneinfo", "click", "croniter"}
    assert not spare & set(done.stdout.split())
