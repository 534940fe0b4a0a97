"""Middleware: found by path, entered in order, left in reverse, and never able to hide that a job failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rqlike.exceptions import CallableNotFound
from rqlike.running.middleware import Call, Middleware, around, load, overrides, producers, use

HERE = __name__


class Noting(Middleware):
    def __init__(self, name: str = "class", notes: list[str] | None = None) -> None:
        self.name, self.notes = name, [] if notes is None else notes

    @contextmanager
    def around_job(self, job: Any) -> Iterator[None]:
        self.notes.append(f"+{self.name}")
        try:
            yield
        finally:
            self.notes.append(f"-{self.name}")


class Plain(Middleware):
    pass


instance = Noting("instance")
not_middleware = 7


def test_it_is_loaded_from_instances_and_from_paths_of_classes_and_instances() -> None:
    plain = Plain()
    loaded = load([plain, f"{HERE}.instance", f"{HERE}:Noting"])
    assert loaded[0] is plain
    assert loaded[1] is instance
    assert isinstance(loaded[2], Noting)


@pytest.mark.parametrize("path", ["nowhere.thing", f"{HERE}.missing", "nodots", f"{HERE}:", f"{HERE}:Noting.missing"])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    with pytest.raises(CallableNotFound) as caught:
        load([path])
    assert path in str(caught.value)
    assert caught.value.reference == path


@pytest.mark.parametrize("spec", [f"{HERE}.not_middleware", f"{HERE}.load", 7])
def test_what_is_no_middleware_is_refused(spec: Any) -> None:
    with pytest.raises(TypeError, match="no middleware"):
        load([spec])


def test_they_are_entered_in_order_and_left_in_reverse() -> None:
    notes: list[str] = []
    with around([Noting("a", notes), Plain(), Noting("b", notes)], object()):
        notes.append("job")
    assert notes == ["+a", "+b", "job", "-b", "-a"]


def test_those_entered_are_left_when_a_later_one_raises() -> None:
    class Refusing(Middleware):
        def around_job(self, job: Any) -> Any:
            raise LookupError("no tenant")

    notes: list[str] = []
    with pytest.raises(LookupError), around([Noting("a", notes), Refusing()], object()):
        notes.append("job")
    assert notes == ["+a", "-a"]


def test_a_hook_that_nobody_overrides_is_known() -> None:
    assert overrides([Plain(), Noting()], "around_job")
    assert not overrides([Plain(), Noting()], "after_result")
    assert not overrides([], "around_job")


def test_a_hook_set_on_an_instance_counts() -> None:
    patched = Plain()
    patched.after_result = lambda job, result: None  # type: ignore[method-assign]
    assert overrides([patched], "after_result")


def test_producers_are_what_use_was_given_last() -> None:
    before = producers()
    try:
        use(instance)
        assert producers() == (instance,)
        use()
        assert producers() == ()
        with pytest.raises(TypeError, match="instances of Middleware"):
            use(Noting)  # type: ignore[arg-type]
    finally:
        use(*before)


def test_headers_can_be_added_to_a_call_and_the_rest_cannot_be_changed() -> None:
    call = Call("tasks.f", "default", {})
    call.headers["traceparent"] = "00-…"
    with pytest.raises(AttributeError):
        call.queue = "other"  # type: ignore[misc]
