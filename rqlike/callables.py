"""Functions by name: what a producer may enqueue, what a worker finds under a name, what a call must look like."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import reprlib
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from weakref import WeakKeyDictionary

from rqlike.exceptions import CallableNotFound
from rqlike.settings import NAME_LIMIT

_EXAMPLE: Final = "put it in a module that the worker can import (tasks.py, say) and enqueue that: tasks.{name}"
_ATOMS: Final = frozenset({int, float, bool, type(None)})
_UNWRAP_LIMIT: Final = 32

_signatures: WeakKeyDictionary[Any, inspect.Signature | None] = WeakKeyDictionary()


# -- from a function to its name -----------------------------------------------------------------------------------


def reference_of(func: Callable[..., Any] | str) -> str:
    """The name under which a worker finds `func`: "pkg.mod.func", or "pkg.mod:Class.method" where it is nested.

    A string is checked for its shape only and given back unchanged; it is not imported. Raises TypeError for what is
    no importable kind of callable (a partial, a method of an instance) and ValueError where the name would not lead
    a worker back to this very function (`__main__`, a lambda, a nested function, a shadowed name, a builtin).
    """
    if isinstance(func, str):
        return _checked(func)
    if isinstance(func, types.FunctionType) and _is_plain(func):
        return f"{func.__module__}.{func.__name__}"
    module_name, qualname = _names_of(func)
    reference = f"{module_name}:{qualname}" if "." in qualname else f"{module_name}.{qualname}"
    if problem := _shape_problem(reference):
        raise ValueError(f"{reference!r} cannot be enqueued: {problem}")
    _require_way_back(func, module_name, qualname)
    return reference


def _is_plain(func: types.FunctionType) -> bool:
    """A quick yes for the common case: a function bound to its own name in an ordinary module."""
    module_name, name = func.__module__, func.__name__
    module = sys.modules.get(module_name)
    return (
        module is not None
        and module.__dict__.get(name) is func
        and func.__qualname__ == name
        and "__" not in module_name
        and name.isidentifier()
        and not name.startswith("__")
    )


def _checked(reference: str) -> str:
    if problem := _shape_problem(reference):
        raise ValueError(f"{_shown(reference, 100)} does not name a function: {problem}")
    return reference


@functools.lru_cache(maxsize=1024)
def _shape_problem(reference: str) -> str | None:
    """Why this text cannot name a function in a module, or None."""
    if len(reference) > NAME_LIMIT:
        return f"it has {len(reference)} characters, the limit is {NAME_LIMIT}"
    module_name, colon, attributes = reference.partition(":")
    parts = [*module_name.split("."), *(attributes.split(".") if colon else ())]
    if not all(part.isidentifier() for part in parts):
        return 'write "package.module.function" or "package.module:Class.method"'
    if parts[0] == "__main__":
        return f"a worker has another __main__; {_EXAMPLE.format(name=parts[-1])}"
    if dunder := next((part for part in parts if part.startswith("__") and part.endswith("__")), None):
        return f"{dunder} is not open to jobs"
    if parts[0] == "builtins":
        return "builtins are not open to jobs; write a function that calls it"
    if len(parts) < 2:
        return f'there is no module in it; write "module.{reference}"'
    return None


def _names_of(func: object) -> tuple[str, str]:
    """Module and qualified name, or an error that says why there is none that a worker could use."""
    if inspect.ismethod(func) and isinstance(func.__self__, type):
        # A class method answers to the class it was taken from, which need not be the one that defines it.
        return _reachable(func.__self__.__module__, f"{func.__self__.__qualname__}.{func.__name__}")
    if isinstance(func, functools.partial):
        raise TypeError(f"{_shown(func)} is a partial, which has no name; enqueue its function and pass the arguments")
    if not callable(func):
        raise TypeError(f"{_shown(func)} is not callable; pass a function, or its name as a string")
    owner = getattr(func, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        raise TypeError(
            f"{_shown(func)} is a method of one object, which a worker does not have; "
            "enqueue a function of a module and pass it what it needs to build or fetch the object (its id, say)"
        )
    module_name, qualname = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(qualname, str):
        raise TypeError(
            f"{_shown(func)} has no name to find it by; enqueue a function of a module that calls it, "
            "or pass its name as a string"
        )
    return _reachable(module_name, qualname)


def _reachable(module_name: str, qualname: str) -> tuple[str, str]:
    name = qualname.rpartition(".")[2]
    if "<lambda>" in qualname:
        raise ValueError(f"a lambda has no name a worker could find; {_EXAMPLE.format(name='my_function')} (with def)")
    if "<locals>" in qualname:
        raise ValueError(f"{qualname} is defined inside a function; {_EXAMPLE.format(name=name)}")
    if module_name == "__main__":
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        known = f"; or pass the name as a string, {spec.name + ':' + qualname!r}" if spec is not None else ""
        raise ValueError(
            f"{qualname} is defined in the program that was started (__main__), and a worker has another __main__; "
            f"{_EXAMPLE.format(name=name)}{known}"
        )
    return module_name, qualname


def _require_way_back(func: object, module_name: str, qualname: str) -> None:
    """The name must lead to `func`, or to a decorated form of it, since that is what the worker will call."""
    found: object = sys.modules.get(module_name)
    if found is None:
        raise ValueError(f"{module_name}.{qualname}: no module {module_name!r} is imported here; pass the name it has")
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(
                f"{module_name}.{qualname} is not found under that name: {_shown(found)} has no {part!r}. "
                "Bind the function to the name it was defined with, or pass the name it has as a string"
            ) from None
    here, there = (func, *_unwrapped(func)), (found, *_unwrapped(found))
    if not any(_same(found, one) for one in here) and not any(_same(func, one) for one in there):
        raise ValueError(
            f"{module_name}.{qualname} now names something else, {_shown(found)}, and that is what a worker would "
            "call. Rename one of them, or let the decorator use functools.wraps"
        )


def _same(one: object, other: object) -> bool:
    if inspect.ismethod(one) and inspect.ismethod(other):  # made anew at each access
        return one.__func__ is other.__func__ and one.__self__ is other.__self__
    return one is other


def _unwrapped(func: object) -> Iterator[object]:
    for _ in range(_UNWRAP_LIMIT):
        func = getattr(func, "__wrapped__", None)
        if func is None:
            return
        yield func


# -- from a name to the function -----------------------------------------------------------------------------------


def resolve(reference: str, allow: Sequence[str] | None = None) -> Callable[..., object]:
    """Import and give what `reference` names ("pkg.mod.func" or "pkg.mod:Class.method").

    In the dotted form the longest prefix that is a module counts, the rest are attributes. `allow`: globs over dotted
    paths, one of which must match, before anything is imported; None allows all.

    Raises CallableNotFound, which says which part failed: no such module, a module that raised while it was imported
    (the cause is chained), no such attribute, not callable, not allowed, or not open to jobs (builtins, `__main__`,
    names with double underscores, a module reached through another one that only imports it).
    """
    if problem := _shape_problem(reference):
        raise _not_found(reference, problem)
    if allow is not None:
        _require(reference, reference, allow)
    module_name, colon, attributes = reference.partition(":")
    if colon:
        found: object = _import(reference, module_name)
        if found is None:
            raise _no_module(reference, module_name)
        names = attributes.split(".")
    else:
        found, names = _longest_module(reference)
    dotted = reference.replace(":", ".").split(".")
    for place, name in enumerate(names, len(dotted) - len(names)):
        found = _attribute(reference, found, name)
        if isinstance(found, types.ModuleType):
            _require_part(reference, found, ".".join(dotted[: place + 1]))
    if getattr(found, "__module__", None) == "builtins" and isinstance(found, type | types.BuiltinFunctionType):
        raise _not_found(reference, "it is a builtin, and builtins are not open to jobs")
    if not callable(found):
        raise _not_found(reference, f"it is {_shown(found)}, which cannot be called")
    if allow is not None:
        _require_itself(reference, found, len(names), allow)
    return found


def _require_part(reference: str, module: types.ModuleType, path: str) -> None:
    """A module has its own name, and is not a part of every module that imports it."""
    if sys.modules.get(path) is not module:
        raise _not_found(reference, f"{path} is the module {module.__name__!r}; name the function by that")


def _require_itself(reference: str, found: object, depth: int, allow: Sequence[str]) -> None:
    """What was found must be allowed by the name it has itself, too: a module that is open to jobs imports functions
    of others. What has no name of its own is allowed where the module itself holds it, and not inside of its objects:
    a method of a dict is none of the module's functions."""
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if isinstance(module, str) and isinstance(name, str):
        _require(f"{module}.{name}", reference, allow)
    elif depth > 1:
        raise _not_found(reference, f"it is {_shown(found)}, which is no function of a module this worker may run")


def _require(path: str, reference: str, allow: Sequence[str]) -> None:
    if not any(fnmatchcase(path.replace(":", "."), pattern.replace(":", ".")) for pattern in allow):
        where = "" if path == reference else f", which is {path},"
        text = f"{reference}{where} is not among the functions this worker is allowed to run ({', '.join(allow)})"
        raise CallableNotFound(text, reference=reference)


def check_allow(allow: Sequence[str] | None) -> tuple[str, ...] | None:
    """Globs for `resolve`; None allows all. Raises TypeError, and ValueError where they would refuse everything."""
    if allow is None:
        return None
    globs: Sequence[object] = allow
    if isinstance(allow, str) or not all(isinstance(glob, str) and bool(glob.strip()) for glob in globs):
        raise TypeError(f"allow takes a list of globs over function paths, such as ['app.tasks.*'], not {allow!r:.80}")
    if not allow:
        raise ValueError("allow is an empty list, which refuses every job; leave it out to run all")
    return tuple(allow)


def _longest_module(reference: str) -> tuple[object, list[str]]:
    parts = reference.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module = _import(reference, ".".join(parts[:count]))
        if module is not None:
            return module, parts[count:]
    raise _no_module(reference, parts[0])


def _import(reference: str, module_name: str) -> types.ModuleType | None:
    """The module, or None where there is none of that name; what it raises itself is another matter."""
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            return None
        problem = f"module {module_name!r} was found, but it imports {error.name!r}, which is not installed here"
        raise _not_found(reference, problem) from error
    except (Exception, SystemExit) as error:  # a script without a main guard ends in SystemExit
        problem = f"module {module_name!r} raised {type(error).__name__} while it was imported: {_text_of(error)}"
        raise _not_found(reference, problem) from error


def _attribute(reference: str, owner: object, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        cause: BaseException | None = error.__cause__ or error.__context__
    except Exception as error:  # a module's or class's own __getattr__
        raise _not_found(reference, f"looking up {name!r} raised {type(error).__name__}: {_text_of(error)}") from error
    where = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", None) or _shown(owner)
    kind = "module " if isinstance(owner, types.ModuleType) else ""
    hint = _did_you_mean(name, _names_in(owner))
    raise _not_found(reference, f"{kind}{where} has no {name!r}{hint}") from cause


def _names_in(owner: object) -> list[str]:
    names = [name for name in dir(owner) if not name.startswith("_")]
    if isinstance(owner, types.ModuleType) and hasattr(owner, "__path__"):
        import pkgutil  # for an error only

        names += [module.name for module in pkgutil.iter_modules(owner.__path__)]
    return names


def _no_module(reference: str, module_name: str) -> CallableNotFound:
    return _not_found(
        reference,
        f"there is no module {module_name!r} here. A worker imports from its own sys.path: start it in the directory "
        "of that module, or with `rqlike worker --path DIR`",
    )


def _not_found(reference: str, problem: str) -> CallableNotFound:
    return CallableNotFound(f"{reference[:NAME_LIMIT]}: {problem}", reference=reference)


# -- does the call fit ---------------------------------------------------------------------------------------------


def bind_call(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], known: Collection[str] = ()
) -> None:
    """Raise TypeError unless `func(*args, **kwargs)` fits the signature of `func`; nothing is called.

    `known` are option names of the caller, suggested where an unexpected keyword looks like one of them. A decorator
    that takes `*args, **kwargs` may fill in arguments by itself, so it is only its own signature that must fit.
    A callable without a signature (some of those in C) passes.
    """
    owner = getattr(func, "__self__", None)
    if owner is not None and inspect.ismethod(func):
        func, args = func.__func__, (owner, *args)
    if isinstance(func, types.FunctionType) and _fits(func, args, kwargs):
        return
    signature = _signature(func)
    if signature is None:
        return
    unexpected = _unexpected(signature, kwargs)
    if unexpected is None and kwargs and known:
        unexpected = _misspelt(func, kwargs, known)
    if unexpected is not None:
        hint = _keyword_hint(unexpected, signature, known)
        raise TypeError(f"{_described(func, signature)} takes no argument {unexpected!r}{hint}")
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{_described(func, signature)} cannot be called like this: {error}") from None


def _fits(func: types.FunctionType, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """A quick yes for plain functions; False means that the slow way must decide."""
    attributes = func.__dict__
    if attributes and ("__wrapped__" in attributes or "__signature__" in attributes):
        return False
    code = func.__code__
    flags, most, given = code.co_flags, code.co_argcount, len(args)
    if given > most:
        if not flags & inspect.CO_VARARGS:
            return False
        given = most
    required = most - len(func.__defaults__ or ())
    if not kwargs and not code.co_kwonlyargcount:
        return given >= required
    names, positional = code.co_varnames, code.co_posonlyargcount
    if given < min(positional, required) or any(name not in kwargs for name in names[given:required]):
        return False
    last = most + code.co_kwonlyargcount
    optional = func.__kwdefaults__ or ()
    if any(name not in kwargs and name not in optional for name in names[most:last]):
        return False
    if flags & inspect.CO_VARKEYWORDS:
        return not any(name in names[positional:given] for name in kwargs)
    free = names[max(given, positional) : last]
    return all(name in free for name in kwargs)


def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return _signatures[func]
    except (KeyError, TypeError):  # TypeError: not hashable, or no weak references to it
        pass
    try:
        signature = inspect.signature(func, follow_wrapped=False)
    except (TypeError, ValueError):
        signature = None
    with contextlib.suppress(TypeError):
        _signatures[func] = signature
    return signature


def _unexpected(signature: inspect.Signature, kwargs: Mapping[str, Any]) -> str | None:
    """The first keyword that no parameter takes."""
    parameters = signature.parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return next((name for name in kwargs if name not in parameters), None)


def _misspelt(func: Callable[..., Any], kwargs: Mapping[str, Any], known: Collection[str]) -> str | None:
    """A keyword that the function inside the decorators does not take and that is nearly one of the options."""
    innermost = next(reversed([*_unwrapped(func)]), None)
    signature = _signature(innermost) if callable(innermost) else None
    if signature is None:
        return None
    unexpected = _unexpected(signature, kwargs)
    return unexpected if unexpected is not None and _nearest(unexpected, known, 0.8) else None


def _keyword_hint(name: str, signature: inspect.Signature, known: Collection[str]) -> str:
    own = [parameter for parameter in signature.parameters if parameter not in ("args", "kwargs")]
    return _did_you_mean(name, [*own, *known])


def _did_you_mean(name: str, candidates: Iterable[str]) -> str:
    close = _nearest(name, candidates, 0.6)
    return f"; did you mean {close!r}?" if close else ""


def _nearest(name: str, candidates: Iterable[str], cutoff: float) -> str | None:
    import difflib  # for an error only

    return next(iter(difflib.get_close_matches(name, list(candidates), 1, cutoff)), None)


def _described(func: Callable[..., Any], signature: inspect.Signature) -> str:
    """`module.name(a, b=1)`, without annotations, which drown the names."""
    module_name, name = getattr(func, "__module__", None), getattr(func, "__qualname__", type(func).__name__)
    try:
        bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
        text = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    except Exception:  # noqa: BLE001  # the repr of a default value is code of the user
        text = "(...)"
    prefix = f"{module_name}." if module_name else ""
    return f"{prefix}{name}{text if len(text) <= 200 else text[:196] + '...)'}"


# -- a call as text ------------------------------------------------------------------------------------------------


def call_string(reference: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, limit: int = 75) -> str:
    """`pkg.mod.f(1, a='x')` for people. Each argument takes at most `limit` characters; never raises, and costs
    little for large arguments, since only what is shown of them is turned into text."""
    shown = [_shown(value, limit) for value in args]
    shown += [f"{name}={_shown(value, limit)}" for name, value in kwargs.items()]
    return f"{reference}({', '.join(shown)})"


@functools.lru_cache(maxsize=8)
def _shortener(limit: int) -> reprlib.Repr:
    shortener = reprlib.Repr()
    shortener.maxlevel = 4
    shortener.maxstring = shortener.maxother = shortener.maxlong = limit
    for name in ("maxlist", "maxtuple", "maxdict", "maxset", "maxfrozenset", "maxdeque", "maxarray"):
        setattr(shortener, name, max(limit // 3, 1))
    return shortener


def _shown(value: object, limit: int = 75) -> str:
    try:
        if type(value) in _ATOMS or (type(value) is str and len(value) < limit):
            text = repr(value)
        elif type(value) is bytes:
            text = repr(value[:limit])
        else:
            text = _shortener(limit).repr(value)
    except Exception:  # noqa: BLE001  # a repr is code of the user, and an integer can be too long to print
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:  # noqa: BLE001  # __str__ is code of the user
        return "(its text cannot be shown)"
