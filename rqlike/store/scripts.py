"""The Lua verbs: read from the package, assembled, and known by their SHA-1.

A verb's file says what it needs by `--- @include name` and `--- @flags allow-oom|no-writes`. Names of fields, numbers
and keys are not written in Lua but substituted: `F.status` (a job's hash), `E.type` (a stream entry), `W.seen` (a
worker's hash), `S.next` (a schedule's), `G.held` (a group's), `C.MARKERS` (a setting),
`key_job(id)` (a key), `allowed('claim', status)` (a permission). An unknown name fails here, when the script is
assembled, and not on the server.

A server runs a script's text from its first line at each call, and a function is made anew where its definition is
run. So what can be an expression is one, an include stands where its directive stands (below an early `return` it
costs nothing), and `call` is `redis.call` in a local.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from threading import Lock
from typing import Final

from rqlike import fields, keys, settings, states

_DIRECTIVE: Final = re.compile(r"^( *)--- @(include|flags|gives) (.+)\n", re.MULTILINE)
_NAME: Final = re.compile(r"\b([FEWSGC])\.([A-Za-z_]+)\b")
_KEY: Final = re.compile(r"\bkey_(\w+)\(((?:[^()]|\([^()]*\))*)\)")
_ALLOWED: Final = re.compile(r"\ballowed\('(\w+)', (\w+(?:\.\w+|\[\d+\])?)\)")
_JOINED: Final = re.compile(r"(?<=')([^'\n]*)' \.\. '([^'\n]*)(?=')")
_COMMENT: Final = re.compile(r"(?m)^\s*--(?!-).*\n|\s+-- .*(?=\n)")
_HERE: Final = "--- here\n"  # where the function of `_Assembly` is to stand
_ASSEMBLING: Final = Lock()
_FIELDS: Final = {
    "F": fields.JOB,
    "E": fields.ENTRY,
    "W": fields.WORKER,
    "S": fields.SCHEDULE,
    "G": fields.GROUP,
}


@dataclass(frozen=True, slots=True)
class Script:
    """One verb, ready to send. `bare` has no `#!lua` line, for servers that cannot read it (fakeredis)."""

    name: str
    source: str
    sha: str
    bare: str
    bare_sha: str
    reads_only: bool


@cache
def script(name: str) -> Script:
    """The assembled verb `name`; `advance_oom` is `advance` with the flag allow-oom."""
    # A thousand waiters in threads may all want one at the same moment, and it takes milliseconds: once is enough.
    with _ASSEMBLING:
        return _assembled(name)


@cache
def _assembled(name: str) -> Script:
    filename, _, flavour = name.partition("_oom")
    text = _read(filename)
    flags = [value for _, kind, value in _DIRECTIVE.findall(text) if kind == "flags"]
    if name.endswith("_oom") and not flavour:
        flags = ["allow-oom"]
    body = _expanded(filename)
    bare = f"{_preamble(body)}{body}"
    shebang = f"#!lua flags={','.join(flags)}\n" if flags else "#!lua\n"
    source = shebang + bare
    return Script(name, source, _sha(source), bare, _sha(bare), "no-writes" in flags)


def names() -> list[str]:
    """All verbs that have a file."""
    return sorted(path.name[:-4] for path in files("rqlike").joinpath("lua").iterdir() if path.name.endswith(".lua"))


@cache
def _read(name: str) -> str:
    return files("rqlike").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@cache
def _expanded(filename: str) -> str:
    return _Assembly().text_of(filename)


class _Assembly:
    """A verb's text, with the text of each include in the place of its directive, where it comes first.

    What an indented directive includes is known in the block around it only. Much of a script is for what few calls
    meet, and what stood in each block that includes it would stand there twenty times; a server's collector of garbage
    goes through all texts again and again, and what it touches is no more in the processor's cache. So a file that says
    what it gives (`--- @gives name, name`) stands once, in a function right behind the include `happened`, and a block
    that includes it calls that function."""

    def __init__(self) -> None:
        self._known: set[str] | None = None  # what is included before that function stands; None: it does not, yet
        self._bodies: dict[str, str] = {}
        self._open: list[str] = []  # includes whose text is not complete

    def text_of(self, filename: str) -> str:
        text = self._file(filename, {"allowed"}, in_block=False)  # which comes with the preamble
        return text.replace(_HERE, self._function())

    def _file(self, name: str, seen: set[str], *, in_block: bool) -> str:
        def replaced(directive: re.Match[str]) -> str:
            indent, kind, value = directive.groups()
            if kind == "gives":  # first of all, since what it includes may come back to it
                return f"local {value}\n"
            if kind != "include" or value in seen:
                return ""
            inside, around = in_block or bool(indent), {*seen} if indent else seen
            around.add(value)
            if inside and self._known is not None and _given(value):
                text = self._call(value)
            else:
                self._open.append(value)
                text = self._file(f"include/{value}", around, in_block=inside)
                self._open.pop()
            if value == "happened" and not inside:
                self._known = seen - {*self._open}
                text += _HERE
            return _indented(indent, text) if indent else text

        return _DIRECTIVE.sub(replaced, _spelled(name))

    def _call(self, value: str) -> str:
        assert self._known is not None
        if value not in self._bodies:
            self._bodies[value] = ""  # known from here on: it may include what includes it
            self._bodies[value] = self._file(f"include/{value}", {*self._known, value}, in_block=True)
        return f"local {_given(value)} = include('{value}')\n"

    def _function(self) -> str:
        """One for all of them: to make it costs each call, so it is made once."""
        if not self._bodies:
            return ""
        parts = (
            f"  if name == '{name}' then\n{_indented('    ', body)}    return {_given(name)}\n  end\n"
            for name, body in self._bodies.items()
        )
        return f"local function include(name)\n{''.join(parts)}end\n"


def _given(include: str) -> str:
    """The names that an include says it gives; '' where it says nothing."""
    found = _DIRECTIVE.search(_read(f"include/{include}"))
    return found[3] if found and found[2] == "gives" else ""


def _indented(indent: str, text: str) -> str:
    return indent + text.rstrip("\n").replace("\n", f"\n{indent}") + "\n"


@cache
def _spelled(name: str) -> str:
    """A file without its comments, its names substituted; some are included fifty times."""
    text = _KEY.sub(_spell, _ALLOWED.sub(_permitted, _NAME.sub(_substitute, _strip(_read(name)))))
    while (joined := _JOINED.sub(_join, text)) != text:
        text = joined
    return text


def _join(match: re.Match[str]) -> str:
    """Two constants side by side as one: Lua would join them at each call."""
    return "".join(match.groups())


def _permitted(match: re.Match[str]) -> str:
    """The permission of a verb that is known here, as an expression over the status."""
    verb, status = match.groups()
    sources = sorted(states.VERBS[verb].sources, key=lambda source: source or "")
    return f"({' or '.join(f'{status} == {source.value!r}' if source else f'not {status}' for source in sources)})"


def _substitute(match: re.Match[str]) -> str:
    kind, name = match.groups()
    if kind == "C":
        if name == "FAILURE_TTL_MS":
            return str(int(settings.DEFAULT_FAILURE_TTL * 1000))
        return str(getattr(settings, name))
    return f"'{_FIELDS[kind][name]}'"


def _strip(text: str) -> str:
    return _COMMENT.sub("", text)


def _preamble(body: str) -> str:
    """What a script begins with: the prefix, and the permissions where it asks for one it does not name."""
    permissions = states.allowed_in_lua() if "allowed(" in body else ""
    return f"local PREFIX = KEYS[1]\nlocal call = redis.call\n{permissions}"


def _spell(match: re.Match[str]) -> str:
    name, arguments = match.groups()
    return keys.in_lua(name, [argument.strip() for argument in arguments.split(",")] if arguments else [])


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
