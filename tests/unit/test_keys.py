"""Keys: one hash tag, no two alike, and the same in Lua."""

from __future__ import annotations

import fakeredis
import pytest

from rqlike.keys import Keys, documented, in_lua


@pytest.mark.parametrize("namespace", ["rqlike", "a", "x" * 64, "Team.one:prod-2_b"])
def test_a_namespace_becomes_the_hash_tag_of_every_key(namespace: str) -> None:
    keys = Keys(namespace)
    assert keys.prefix == "{" + namespace + "}:"
    assert keys.job("1") == "{" + namespace + "}:job:1"
    assert all(pattern.startswith("{rqlike}:") for pattern, _ in documented().values())


@pytest.mark.parametrize("namespace", ["", "x" * 65, "a b", "a{b", "a}b", "ü", "a\n", "a/b"])
def test_a_bad_namespace_is_refused_with_what_is_allowed(namespace: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        Keys(namespace)


def test_every_key_is_documented() -> None:
    for name, (pattern, text) in documented().items():
        assert len(text) > 20, name
        assert pattern


def test_no_two_keys_are_alike_whatever_the_names() -> None:
    keys = Keys()
    names = ("q", "a:b", "job", "queued", "1")
    spelt = [keys.queues(), keys.sequence(), keys.contact(), keys.watch(), keys.scratch(), keys.workers()]
    spelt.append(keys.pauses())
    statuses = ("queued", "started", "scheduled", "deferred", "finished", "failed", "stopped", "canceled", "expired")
    for name in names:
        spelt += [keys.home(status, name) for status in statuses]
        spelt += [keys.ttl(name), keys.markers(name), keys.job(name), keys.results(name)]
        spelt += [keys.blob(field, name) for field in ("c", "m", "o")]
        spelt += [keys.worker(name), keys.call(name), keys.control(name), keys.resumed(name), keys.answer(name)]
    assert len(set(spelt)) == len(spelt)


def test_lua_spells_each_key_as_python_does() -> None:
    client = fakeredis.FakeRedis()
    for name in documented():
        method = getattr(Keys("other"), name)
        arguments = ["x:1", "y"][: method.__code__.co_argcount - 1]
        passed = [f"ARGV[{index + 1}]" for index in range(len(arguments))]
        script = f"local PREFIX = KEYS[1]\nreturn {in_lua(name, passed)}"
        assert client.eval(script, 1, "{other}:", *arguments) == method(*arguments).encode(), name


def test_a_key_with_too_few_arguments_fails_when_the_script_is_made() -> None:
    with pytest.raises(ValueError, match="key_home takes status, queue"):
        in_lua("home", ["'queued'"])
