"""The way to a server: straight, or by way of a sentinel that says where the primary is.

A `Stop` is one place to connect to and how to enter it. A route without sentinels has stops of one kind, the addresses
of the server's host name. With sentinels each connection begins at one of them, and what it answers is the next stop.
Names are resolved when a route is made, outside the loop of a worker; a sentinel that answers a host name is not
followed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rqlike.store.endpoint import Endpoint
from rqlike.store.resp import Reply

ASK: Final = "SENTINEL"  #: the first word of the question
ROLE: Final = "ROLE"


class Stop(NamedTuple):
    """Where to connect: family, what `socket.connect` takes, whose password and certificate hold there."""

    family: int
    target: Any
    endpoint: Endpoint
    service: str | None = None  #: what a sentinel is asked for; None where it is the server itself
    led: bool = False  #: a sentinel has named it

    def __str__(self) -> str:
        if self.service is None and not self.led:
            return ""
        kind = "primary" if self.service is None else "sentinel"
        return f"{kind} {self.endpoint.host}:{self.endpoint.port}"

    def greeting(self, name: str) -> list[tuple[str | int, ...]]:
        """AUTH, and the question or what a server is to know; each has one reply."""
        endpoint = self.endpoint
        commands: list[tuple[str | int, ...]] = []
        if endpoint.password is not None:
            commands.append(("AUTH", *((endpoint.username,) if endpoint.username else ()), endpoint.password))
        if self.service is not None:
            return [*commands, (ASK, "GET-MASTER-ADDR-BY-NAME", self.service)]
        if endpoint.db:
            commands.append(("SELECT", endpoint.db))
        if self.led:  # a sentinel may be late, and a replica may be told to take writes
            commands.append((ROLE,))
        return [*commands, ("CLIENT", "SETNAME", name)]


class Route:
    """Where a link connects to `endpoint`. `stops` are the first ones, tried in turn."""

    def __init__(self, endpoint: Endpoint, stops: Sequence[Stop] = ()) -> None:
        self._endpoint = endpoint
        self._stops = stops or resolve(endpoint)
        self._turn = 0
        group = endpoint.group
        self._forced = None if group is None or group.forced_host is None else _address(group.forced_host, 0)
        self._context = endpoint.tls_context()
        # All sentinels of a group are entered in the same way.
        self._context_of_sentinels = None if group is None else group.sentinels[0].tls_context()

    @property
    def asks(self) -> bool:
        """Whether a sentinel stands at its beginning."""
        return self._endpoint.group is not None

    def first(self) -> Stop:
        """Where a new connection begins."""
        return self._stops[self._turn % len(self._stops)]

    def missed(self) -> None:
        """This way led nowhere: the next connection begins elsewhere, where there is another stop."""
        self._turn += 1

    def context(self, stop: Stop) -> ssl.SSLContext | None:
        """The TLS context for a stop; None without TLS."""
        return self._context if stop.service is None else self._context_of_sentinels

    def onward(self, answer: Reply) -> Stop:
        """The stop that a sentinel's answer names. Raises OSError where it names none, or one by its host name."""
        match answer:
            case [bytes(named), bytes(numeral)] if numeral.isdigit():
                host, port = named.decode(errors="replace"), int(numeral)
            case _:
                raise OSError(f"it knows no primary named {self.first().service!r}")
        family, target = self._forced or (_family(host), (host, port))
        if family == socket.AF_UNSPEC:
            raise OSError(
                f"it names the primary by a host name ({host}), and no name is resolved while a worker works; "
                "configure sentinels with `sentinel announce-hostnames no`"
            )
        found = self._endpoint.at(host, port)
        return Stop(family, (target[0], port, *target[2:]), found, led=True)


def resolve(endpoint: Endpoint) -> tuple[Stop, ...]:
    """The first stops on the way to an endpoint: its own addresses, or those of its sentinels.

    Blocks as long as the resolver does, so it is done outside the loop. Raises OSError where no name is known.
    """
    if endpoint.path:
        return (Stop(socket.AF_UNIX, endpoint.path, endpoint),)
    if endpoint.group is None:
        return _stops(endpoint, None)
    found: list[Stop] = []
    problem: OSError | None = None
    for sentinel in endpoint.group.sentinels:
        try:
            found += _stops(sentinel, endpoint.group.service)
        except OSError as error:
            problem = error
    if not found and problem is not None:
        raise problem
    return tuple(found)


def _stops(endpoint: Endpoint, service: str | None) -> tuple[Stop, ...]:
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return tuple(Stop(family, target, endpoint, service) for family, *_, target in found)


def _address(host: str, port: int) -> tuple[int, Any]:
    family, *_, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, target


def _family(host: str) -> int:
    """The family of a numeric address; AF_UNSPEC for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family
    return socket.AF_UNSPEC
