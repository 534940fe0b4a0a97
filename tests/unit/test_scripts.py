"""The assembly of the Lua verbs: names, includes, flags, and that each of them compiles."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fakeredis
import pytest

import rqlike
from rqlike import fields, settings, states
from rqlike.states import JobStatus
from rqlike.store import scripts
from rqlike.store.scripts import script
from tests.conftest import AnyServer
from tests.unit.lua_globals import globals_of

LUA = Path(rqlike.__file__).parent / "lua"
NAMES = [*scripts.names(), "advance_oom"]
GIVEN = {"KEYS", "ARGV", "redis", "cmsgpack", "os", "string", "table", "math", "tonumber", "tostring", "type"}
GIVEN |= {"pairs", "ipairs", "unpack", "pcall", "error"}


def test_every_file_is_a_verb_with_a_contract() -> None:
    for name in scripts.names():
        text = (LUA / f"{name}.lua").read_text()
        for word in ("KEYS: prefix", "ARGV:", "Answers:"):
            assert word in text, f"{name} says nothing of {word}"
        assert re.search(rf"^-- {name}: ", text, re.MULTILINE), name


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_to_substitute(name: str) -> None:
    source = script(name).source
    assert not re.search(r"\b[FEWSVC]\.[A-Za-z_]+", source)
    assert "--- @" not in source
    assert source.startswith("#!lua")


@pytest.mark.parametrize("name", NAMES)
def test_a_script_spells_no_key_but_by_its_name(name: str) -> None:
    path = LUA / f"{name.removesuffix('_oom')}.lua"
    for text in (path, *(LUA / "include").glob("*.lua")):
        assert "PREFIX" not in text.read_text(), f"{text.name} spells a key"
    assert script(name).bare.startswith("local PREFIX = KEYS[1]\n")


def test_a_hash_is_that_of_the_text_sent() -> None:
    one = script("advance")
    assert one.sha == hashlib.sha1(one.source.encode()).hexdigest()
    assert one.bare_sha == hashlib.sha1(one.bare.encode()).hexdigest()
    assert one.source == "#!lua\n" + one.bare


def test_the_two_flavours_of_advance_differ_in_their_flag_only() -> None:
    plain, oom = script("advance"), script("advance_oom")
    assert plain.bare == oom.bare
    assert oom.source.startswith("#!lua flags=allow-oom\n")
    assert plain.sha != oom.sha


def test_what_producers_send_may_be_refused_by_a_full_server_and_reads_do_not_write() -> None:
    for name in ("enqueue", "requeue", "save", "advance"):
        assert "flags" not in script(name).source.splitlines()[0]
    readers = {name for name in scripts.names() if script(name).reads_only}
    readers_there_are = (
        "aged counts dependents events failures find follow group history list load newest newest_event page pauses "
        "peek queues running schedule_of schedules standings told workers"
    )
    assert readers == set(readers_there_are.split())


@pytest.mark.parametrize("name", scripts.names())
def test_an_include_comes_once_and_before_what_needs_it(name: str) -> None:
    bare = script(name).bare
    functions = re.findall(r"^local function (\w+)", bare, re.MULTILINE)
    assert len(functions) == len(set(functions))


def test_an_unknown_name_fails_when_the_script_is_assembled() -> None:
    pattern = scripts._NAME
    for text, error in (("F.nonsense", KeyError), ("C.NONSENSE", AttributeError)):
        with pytest.raises(error):
            pattern.sub(scripts._substitute, text)
    assert pattern.sub(scripts._substitute, "F.status") == f"'{fields.JOB['status']}'"
    assert pattern.sub(scripts._substitute, "C.MARKERS") == str(settings.MARKERS)


@pytest.mark.parametrize("verb", states.VERBS)
def test_a_permission_that_is_spelt_out_is_that_of_the_table(verb: str) -> None:
    client = fakeredis.FakeRedis()
    asked = scripts._ALLOWED.sub(
        scripts._permitted, f"local got = {{ARGV[1] ~= '' and ARGV[1]}} return allowed('{verb}', got[1]) and 1 or 0"
    )
    assert "allowed" not in asked
    for status in (None, *JobStatus):
        assert client.eval(asked, 0, status or "") == states.allowed(verb, status), (verb, status)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_names_nothing_that_is_not_known_where_it_is_named(name: str) -> None:
    assert globals_of(script(name).bare) <= GIVEN


def test_names_that_no_local_around_them_declares_are_global() -> None:
    assert globals_of("do local a = 1 end local function f() return a, redis.call end g = f()") == {"a", "redis", "g"}


def test_no_script_is_larger_than_a_server_compiles_in_a_few_milliseconds() -> None:
    sizes = {name: len(script(name).source) for name in NAMES}
    assert max(sizes.values()) < 150_000, sizes


def test_what_a_file_gives_stands_once_in_a_script_and_is_asked_for_where_it_is_needed() -> None:
    bare = script("advance").bare
    assert bare.count("function leave(") == 1
    assert bare.count("local leave, load_leaving = include('leave')") > 2


def test_an_indented_include_is_known_in_its_block_only_and_a_later_one_is_complete() -> None:
    bare = script("advance").bare
    top = set(re.findall(r"^local function (\w+)", bare, re.MULTILINE))
    nested = set(re.findall(r"^ +local function (\w+)", bare, re.MULTILINE))
    assert {"settle", "append", "rehome"} <= top
    assert {"go_on", "give_back", "recover", "take", "prune"} <= nested - top


def test_constants_side_by_side_are_one() -> None:
    for name in NAMES:
        assert "' .. '" not in script(name).bare, name


def test_every_script_compiles_on_fakeredis() -> None:
    client = fakeredis.FakeRedis()
    for name in NAMES:
        assert client.script_load(script(name).bare) in (script(name).bare_sha, script(name).bare_sha.encode())


def test_every_script_compiles_on_real_servers(any_server: AnyServer) -> None:
    if any_server.real is None:
        return
    client = any_server.client()
    for name in NAMES:
        assert client.script_load(script(name).source) in (script(name).sha, script(name).sha.encode())


def test_field_names_are_short_and_no_two_are_alike() -> None:
    for names in (fields.JOB, fields.ENTRY):
        assert all(len(short) == 1 for short in names.values())
        assert len(set(names.values())) == len(names)


def test_a_worker_asks_at_its_start_for_every_command_that_its_scripts_call() -> None:
    words = {"COUNT", "ERR", "KEEPTTL", "LIMIT", "MAXLEN", "PXAT", "REPLACE", "REV", "WITHSCORES", "WRONGTYPE"}
    verbs = ("advance", "renew", "register", "depart", "annotate", "fire", "tell")
    called = {word for verb in verbs for word in re.findall(r"'([A-Z]{3,})'", script(verb).bare)} - words
    text = (LUA / "register.lua").read_text()
    asked = re.findall(r"'([A-Z]+)'", text[text.index("COMMANDS = {") : text.index("if redis.acl_check_cmd")])
    assert called == set(asked)
    assert asked == sorted(asked)


def test_a_script_that_many_threads_want_at_once_is_assembled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts.script.cache_clear()
    scripts._assembled.cache_clear()
    expand, calls = scripts._expanded, []

    def slowly(name: str) -> str:
        calls.append(name)
        return expand(name)

    monkeypatch.setattr(scripts, "_expanded", slowly)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(scripts.script, ["expire"] * 64))
    assert (len({id(one) for one in found}), calls) == (1, ["expire"])
