"""Functions by name: what may be enqueued, what is found, what a call must look like."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike.callables import bind_call, call_string, check_allow, reference_of, resolve
from rqlike.exceptions import CallableNotFound

MODULE = """
import functools

answer = 42

def plain(path, limit=10): return ("plain", path, limit)

class Mail:
    def __init__(self, to="you"): self.to = to
    def send(self): return self.to
    def __call__(self): return "called"
    @staticmethod
    def static(a): return ("static", a)
    @classmethod
    def by_class(cls, a): return (cls.__name__, a)
    class Inner:
        @staticmethod
        def deep(): return "deep"

class SpecialMail(Mail): pass

def outer():
    def inner(): pass
    return inner

nameless = lambda: None
part = functools.partial(plain, "a")
instance = Mail()

def shadowed(): return 1
first_shadowed = shadowed
def shadowed(): return 2

def decorate(func):
    @functools.wraps(func)
    def wrapper(*args, **kwargs): return func(*args, **kwargs)
    return wrapper

class Task:
    def __init__(self, func):
        functools.update_wrapper(self, func)
    def __call__(self, *args, **kwargs): return self.__wrapped__(*args, **kwargs)

@decorate
def decorated(path, limit=10): return ("decorated", path, limit)

@Task
def tasked(path): return ("tasked", path)

def bare(func):
    def wrapper(): pass
    return wrapper

def original(): pass
first_original = original
original = bare(original)

evaluate = eval

import os
import sys as _sys
from os import system

table = {"a": 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on sys.path whose modules are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.fixture
def jobs(folder: Path) -> types.ModuleType:
    package = folder / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "jobs.py").write_text(MODULE)
    importlib.invalidate_caches()
    return importlib.import_module("shop.jobs")


# -- names of functions


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("plain", "shop.jobs.plain"),
        ("decorated", "shop.jobs.decorated"),
        ("decorated.__wrapped__", "shop.jobs.decorated"),
        ("tasked", "shop.jobs.tasked"),
        ("tasked.__wrapped__", "shop.jobs.tasked"),
        ("Mail", "shop.jobs.Mail"),
        ("Mail.static", "shop.jobs:Mail.static"),
        ("Mail.by_class", "shop.jobs:Mail.by_class"),
        ("SpecialMail.by_class", "shop.jobs:SpecialMail.by_class"),
        ("Mail.Inner.deep", "shop.jobs:Mail.Inner.deep"),
        ("Mail.Inner", "shop.jobs:Mail.Inner"),
    ],
)
def test_a_reference_leads_back_to_the_function_it_was_made_of(
    jobs: types.ModuleType, path: str, reference: str
) -> None:
    func: Any = functools.reduce(getattr, path.split("."), jobs)
    assert reference_of(func) == reference
    found = resolve(reference)
    assert found == func or getattr(found, "__wrapped__", None) is func


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("nameless", ValueError, r"a lambda has no name .*tasks\.py"),
        ("outer()", ValueError, r"outer\.<locals>\.inner is defined inside a function"),
        ("part", TypeError, "a partial"),
        ("instance", TypeError, "no name to find it by"),
        ("instance.send", TypeError, "a method of one object"),
        ("first_shadowed", ValueError, "shop.jobs.shadowed now names something else"),
        ("first_original", ValueError, "is not found|now names something else"),
        ("answer", TypeError, "42 is not callable"),
        ("evaluate", ValueError, "builtins are not open to jobs"),
        ("Mail.__call__", ValueError, "__call__ is not open to jobs"),
    ],
)
def test_what_a_worker_could_not_find_is_refused_with_a_remedy(
    jobs: types.ModuleType, path: str, error: type[Exception], message: str
) -> None:
    func = eval(f"jobs.{path}", {"jobs": jobs})
    with pytest.raises(error, match=message):
        reference_of(func)


@pytest.mark.parametrize("func", [len, [].append, str.join, None, 3, object()])
def test_builtins_and_things_are_refused(func: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        reference_of(func)


def test_a_function_of_main_is_refused_with_the_remedy() -> None:
    func = types.FunctionType((lambda: None).__code__, {"__name__": "__main__"}, "count_words")
    func.__qualname__ = "count_words"
    func.__module__ = "__main__"
    with pytest.raises(ValueError, match=r"worker has another __main__; put it in a module .*tasks\.count_words"):
        reference_of(func)


def test_a_function_that_left_its_module_is_refused(jobs: types.ModuleType) -> None:
    func = jobs.plain
    del jobs.plain
    with pytest.raises(ValueError, match="not found under that name"):
        reference_of(func)
    del sys.modules["shop.jobs"]
    with pytest.raises(ValueError, match=r"no module 'shop\.jobs' is imported here"):
        reference_of(func)


@pytest.mark.parametrize("reference", ["tasks.send", "shop.jobs:Mail.static", "no_such_module.func", "a.b.c.d"])
def test_a_string_is_taken_as_it_is_and_not_imported(reference: str) -> None:
    assert reference_of(reference) == reference
    assert reference.partition(".")[0] not in sys.modules


@pytest.mark.parametrize(
    "reference",
    [
        "", "send", "tasks.", ".send", "tasks..send", "tasks:", ":send", "tasks:a:b", "tasks:a.", "tasks.send()",
        "tasks send", "tasks.1", "builtins.eval", "builtins:eval", "__main__.send", "__main__:send",
        "tasks.__class__", "tasks:Mail.__init__.__globals__", "pkg.__main__.f", "tasks.send\n", "../tasks.send",
    ],
)  # fmt: skip
def test_a_string_of_the_wrong_shape_is_refused_on_both_sides(reference: str) -> None:
    with pytest.raises(ValueError, match="does not name a function"):
        reference_of(reference)
    with pytest.raises(CallableNotFound):
        resolve(reference)


@given(st.text(max_size=30))
def test_any_text_is_refused_or_resolved_without_another_error(text: str) -> None:
    try:
        reference_of(text)
    except ValueError:
        with pytest.raises(CallableNotFound):
            resolve(text)


# -- finding them again


def test_both_forms_lead_through_modules_and_classes(jobs: types.ModuleType) -> None:
    assert resolve("shop.jobs.Mail.static")("x") == ("static", "x")
    assert resolve("shop.jobs:Mail.static")("x") == ("static", "x")
    assert resolve("shop.jobs:SpecialMail.by_class")("x") == ("SpecialMail", "x")
    assert resolve("shop.jobs.instance.send")() == "you"


def test_an_absent_module_is_answered_with_the_path_option(folder: Path) -> None:
    for reference in ("no_such_shop.jobs.plain", "no_such_shop:plain"):
        with pytest.raises(CallableNotFound, match=r"no module 'no_such_shop.*rqlike worker --path DIR") as caught:
            resolve(reference)
        assert caught.value.reference == reference


def test_a_misspelt_attribute_is_answered_with_the_nearest_name(jobs: types.ModuleType) -> None:
    with pytest.raises(CallableNotFound, match=r"module shop\.jobs has no 'plian'; did you mean 'plain'\?"):
        resolve("shop.jobs.plian")
    with pytest.raises(CallableNotFound, match=r"Mail has no 'statik'; did you mean 'static'\?"):
        resolve("shop.jobs:Mail.statik")


def test_a_misspelt_submodule_is_answered_with_the_nearest_name(jobs: types.ModuleType) -> None:
    with pytest.raises(CallableNotFound, match=r"module shop has no 'job'; did you mean 'jobs'\?"):
        resolve("shop.job.plain")
    with pytest.raises(CallableNotFound, match=r"no module 'shop\.job' here"):
        resolve("shop.job:plain")


def test_a_missing_import_inside_the_module_is_told_from_a_missing_module(folder: Path) -> None:
    (folder / "broken_shop.py").write_text("import no_such_library\ndef f(): pass\n")
    with pytest.raises(CallableNotFound, match="'broken_shop' was found, but it imports 'no_such_library'") as caught:
        resolve("broken_shop.f")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('no settings')", "raised RuntimeError while it was imported: no settings"),
        ("def f(:", "raised SyntaxError"),
        ("import sys; sys.exit(3)", "raised SystemExit"),
        ("from os import no_such_name", "raised ImportError"),
    ],
)
def test_a_module_that_raises_is_named_with_the_cause(folder: Path, source: str, message: str) -> None:
    (folder / "raising_shop.py").write_text(source)
    importlib.invalidate_caches()
    with pytest.raises(CallableNotFound, match=message) as caught:
        resolve("raising_shop.f")
    assert caught.value.__cause__ is not None


def test_a_lazy_module_that_raises_is_a_missing_callable(folder: Path) -> None:
    (folder / "lazy_shop.py").write_text("def __getattr__(name): raise OSError('disk')")
    with pytest.raises(CallableNotFound, match="looking up 'f' raised OSError: disk"):
        resolve("lazy_shop.f")


def test_a_name_of_something_else_is_refused(jobs: types.ModuleType) -> None:
    with pytest.raises(CallableNotFound, match="it is 42, which cannot be called"):
        resolve("shop.jobs.answer")
    with pytest.raises(CallableNotFound, match="which cannot be called"):
        resolve("shop.jobs")


@pytest.mark.parametrize("reference", ["shop.jobs.evaluate", "os:sys.modules", "reprlib:builtins.eval"])
def test_a_builtin_is_not_reached_by_a_detour(jobs: types.ModuleType, reference: str) -> None:
    with pytest.raises(CallableNotFound):
        resolve(reference)


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("shop.jobs.os.system", "'os'"),
        ("shop.jobs:os.system", "'os'"),
        ("shop.jobs._sys.path.insert", "'sys'"),
        ("random:_os.system", "'os'"),
        ("shop.jobs.functools.reduce", "'functools'"),
    ],
)
def test_a_module_is_no_part_of_another_one_that_imports_it(jobs: types.ModuleType, reference: str, named: str) -> None:
    with pytest.raises(CallableNotFound, match=f"is the module {named}; name the function by that"):
        resolve(reference)


def test_a_module_that_bears_its_own_name_is_found_by_both_forms(jobs: types.ModuleType) -> None:
    import os.path

    assert resolve("os.path.join") is resolve("os:path.join") is os.path.join
    assert resolve("shop:jobs.plain") is jobs.plain


@pytest.mark.parametrize("reference", ["shop.jobs.plain", "shop.jobs:Mail.static", "shop.jobs.decorated"])
def test_what_the_globs_name_is_allowed(jobs: types.ModuleType, reference: str) -> None:
    found = resolve(reference)
    assert resolve(reference, ["nothing.*", "shop.jobs.*"]) == found
    assert resolve(reference, [reference]) == found


@pytest.mark.parametrize(
    "reference",
    [
        "os.system",
        "shop.jobs.system",
        "shop.jobs.os.system",
        "shop.jobs.table.clear",
        "subprocess.run",
        "shop:jobs.os.kill",
    ],
)
def test_what_the_globs_do_not_name_is_refused_whatever_way_leads_to_it(jobs: types.ModuleType, reference: str) -> None:
    with pytest.raises(CallableNotFound):
        resolve(reference, ["shop.jobs.*"])


def test_a_module_that_is_not_allowed_is_not_even_imported(folder: Path) -> None:
    (folder / "trap.py").write_text("raise SystemExit('sprung')")
    importlib.invalidate_caches()
    with pytest.raises(CallableNotFound, match=r"trap\.f is not among the functions .* \(shop\.\*\)"):
        resolve("trap.f", ["shop.*"])


@pytest.mark.parametrize(
    ("globs", "error"), [("a.*", TypeError), ([""], TypeError), ([7], TypeError), ([], ValueError)]
)
def test_globs_that_say_nothing_are_refused(globs: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="allow"):
        check_allow(globs)


@pytest.mark.parametrize(
    "reference",
    ["a." + "b" * 600, "x.__class__", "__main__.f", "m.__main__.f", "builtins.eval", "m:__dict__.pop", "a..b", ""],
)
def test_no_stored_name_leads_to_dunders_builtins_or_the_program_itself(reference: str) -> None:
    with pytest.raises(CallableNotFound):
        resolve(reference)
    with pytest.raises(ValueError):
        reference_of(reference)


# -- calls


def simple(path: str, limit: int = 10) -> None: ...


def variadic(path: str, *rest: int, flag: bool, **more: int) -> None: ...


def keyword_only(*, when: int, zone: str = "UTC") -> None: ...


def positional_only(a: int, b: int = 2, /, c: int = 3) -> None: ...


def positional_and_more(a: int, /, **more: int) -> None: ...


def nothing() -> None: ...


@functools.wraps(simple)
def wrapped(*args: Any, **kwargs: Any) -> None: ...


class Service:
    def __init__(self, name: str) -> None: ...

    def run(self, n: int) -> None: ...

    @classmethod
    def make(cls, n: int) -> None: ...

    def __call__(self, n: int) -> None: ...


FUNCTIONS: list[Callable[..., Any]] = [
    simple, variadic, keyword_only, positional_only, positional_and_more, nothing, wrapped, Service, Service("x"),
    Service.make, Service("x").run, Service.run, functools.partial(simple, "a"), lambda *a, b=1: None,
]  # fmt: skip


@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["path", "limit", "flag", "a", "b", "c", "n", "when", "zone", "x"]), st.none()),
)
def test_a_call_is_refused_exactly_when_python_would_refuse_it(
    func: Callable[..., Any], args: list[int], kwargs: dict[str, None]
) -> None:
    try:
        inspect.signature(func, follow_wrapped=False).bind(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            bind_call(func, args, kwargs)
    else:
        bind_call(func, args, kwargs)


def test_a_refused_call_shows_the_signature() -> None:
    with pytest.raises(TypeError, match=r"simple\(path, limit=10\) cannot be called like this: missing .*'path'"):
        bind_call(simple, (), {})
    with pytest.raises(TypeError, match="too many positional arguments"):
        bind_call(simple, ("a", 1, 2), {})


def test_an_unexpected_keyword_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match=r"takes no argument 'limt'; did you mean 'limit'\?"):
        bind_call(simple, ("a",), {"limt": 1})
    with pytest.raises(TypeError, match=r"takes no argument 'job_timout'; did you mean 'job_timeout'\?"):
        bind_call(simple, ("a",), {"job_timout": 1}, {"job_timeout", "ttl"})
    with pytest.raises(TypeError, match=r"takes no argument 'xyz'$"):
        bind_call(simple, ("a",), {"xyz": 1}, {"job_timeout"})


def test_a_misspelt_keyword_is_named_before_the_argument_it_leaves_missing() -> None:
    with pytest.raises(TypeError, match=r"takes no argument 'pth'; did you mean 'path'\?"):
        bind_call(simple, (), {"pth": "a"})


def test_a_misspelt_option_is_seen_through_a_decorator() -> None:
    with pytest.raises(TypeError, match=r"did you mean 'job_timeout'\?"):
        bind_call(wrapped, ("a",), {"job_timout": 1}, {"job_timeout"})


def test_a_decorator_may_take_arguments_that_the_function_does_not() -> None:
    bind_call(wrapped, (), {"session": 1}, {"job_timeout"})


def test_a_callable_without_a_signature_passes() -> None:
    bind_call(dict, (1, 2, 3), {})
    bind_call(max, (), {"nonsense": 1})
    bind_call(type("Odd", (), {"__call__": 3, "__signature__": "no"})(), (), {})


def test_a_default_whose_repr_raises_does_not_hide_the_error() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    def func(a: int, b: object = Bad()) -> None: ...

    with pytest.raises(TypeError, match=r"func\(\.\.\.\) cannot be called like this"):
        bind_call(func, (), {})


# -- calls as text


def test_a_call_is_shown_as_it_would_be_typed() -> None:
    assert call_string("tasks.f", (1, None), {"a": "x", "b": [1, {"c": 2.5}]}) == (
        "tasks.f(1, None, a='x', b=[1, {'c': 2.5}])"
    )
    assert call_string("tasks.f", (), {}) == "tasks.f()"


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, b"x" * 10**6, list(range(10**5)), {n: n for n in range(10**4)}, 10**6000, {"k": "x" * 999}],
    ids=lambda value: type(value).__name__,
)
def test_a_large_argument_is_cut(value: object) -> None:
    assert len(call_string("f", (value,), {})) <= 75 + len("f()")
    assert len(call_string("f", (value,), {}, limit=20)) <= 20 + len("f()")


def test_a_repr_that_raises_is_replaced_by_the_name_of_the_class() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Bad" in call_string("f", (Bad(),), {"a": [Bad()]})


def test_a_cycle_can_be_shown() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    assert call_string("f", (cycle,), {}).startswith("f([")
