"""`rqlike doctor`: is this server, and are these programs, fit for the work?"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import click
import msgpack

from rqlike import clock
from rqlike.cli.context import FAILED, NO_SERVER, OK, Session, is_outage, pass_session, unreachable
from rqlike.cli.output import emit, emit_json, lines, styled
from rqlike.cli.program import Command
from rqlike.cli.queues import counted, known_queues
from rqlike.cli.workers import living
from rqlike.exceptions import ServerNotConfigured
from rqlike.states import JobStatus
from rqlike.store.connecting import describe
from rqlike.store.embedded import SERVER_SETTINGS, find_binary

Level = Literal["ok", "warn", "fail"]

_COLOURS: Mapping[Level, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
_LEAST = {"redis": (7, 0), "valkey": (7, 2)}
_PINGS = 5
_SLOW_MS = 10.0  #: a job costs at least one round trip
_SKEW_MS = 1000
#: In their compact form small jobs and small histories take a quarter of the memory.
_COMPACT = ("hash-max-listpack-value", "stream-node-max-bytes")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    level: Level
    text: str
    remedy: str = ""


@click.command(cls=Command)
@pass_session
def doctor(session: Session, /) -> int:
    """Check the server, the versions and the workers.

    Exit code 1 where something fails, 4 where the server cannot be reached.
    """
    checks = list(_packages())
    code = OK
    try:
        checks += _server(session)
    except ServerNotConfigured as error:
        checks.append(Check("server", "fail", str(error)))
        code = NO_SERVER
    except Exception as error:
        if not is_outage(error):
            raise
        checks.append(Check("server", "fail", unreachable(error, session.address)))
        code = NO_SERVER
    if session.json:
        emit_json([asdict(check) for check in checks])
    else:
        _show(checks)
    return code or (FAILED if any(check.level == "fail" for check in checks) else OK)


def _show(checks: list[Check]) -> None:
    for check in checks:
        level = styled(f"{check.level:<4}", sys.stdout, fg=_COLOURS[check.level])
        emit(f"  {check.name:<9} {lines(check.text)}", lead=level)
        if check.remedy:
            emit(f"      {'':<9} -> {check.remedy}")


# -- here --------------------------------------------------------------------------------------------------------------


def _packages() -> Iterator[Check]:
    here = f"rqlike {version('rqlike')}, Python {sys.version.partition(' ')[0]}, redis-py {version('redis')}"
    yield Check("versions", "ok", here)
    if msgpack.Packer.__module__.endswith("fallback"):
        yield Check("msgpack", "warn", "without its C part: slow", "pip install --force-reinstall msgpack")
    else:
        yield Check("msgpack", "ok", version("msgpack"))
    try:
        yield Check("hiredis", "ok", version("hiredis"))
    except PackageNotFoundError:
        yield Check("hiredis", "ok", "not installed; pip install 'rqlike[fast]' reads replies faster")
    try:
        program = find_binary(allow_path=True)
    except ServerNotConfigured as error:
        yield Check("embedded", "fail", str(error))
        return
    yield Check("embedded", "ok", f"server program {program}" if program else "no server program: extra 'server'")


# -- there -------------------------------------------------------------------------------------------------------------


def _server(session: Session) -> list[Check]:
    client = session.client
    delay_ms = statistics.median(_ping_ms(client) for _ in range(_PINGS))
    facts: dict[str, Any] = client.info("everything")
    checks = [_reached(session, delay_ms), _version(facts), _role(facts), _eviction(facts), _durability(facts)]
    checks += _compact_forms(client)
    checks.append(_clocks(client))
    return [*checks, *_work(session)]


def _ping_ms(client: Any) -> float:
    began = clock.mono()
    client.ping()
    return (clock.mono() - began) * 1000


def _reached(session: Session, delay_ms: float) -> Check:
    text = f"{describe(session.address)} answers in {delay_ms:.2g} ms"
    if delay_ms <= _SLOW_MS:
        return Check("server", "ok", text)
    return Check("server", "warn", text, "each job costs a round trip: run workers nearer to it, or with more horses")


def _version(facts: Mapping[str, Any]) -> Check:
    kind = "valkey" if "valkey_version" in facts else "redis"
    found = str(facts.get(f"{kind}_version", "unknown"))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    least = _LEAST[kind]
    if numbers >= least:
        return Check("version", "ok", f"{kind} {found}")
    return Check("version", "fail", f"{kind} {found} is too old", "use Redis 7.0 or Valkey 7.2, or later ones")


def _role(facts: Mapping[str, Any]) -> Check:
    role = str(facts.get("role", "master"))
    if role == "master":
        return Check("role", "ok", "takes writes")
    return Check("role", "fail", f"it is a {role}, which takes no writes", "name its primary with -u/--url")


def _eviction(facts: Mapping[str, Any]) -> Check:
    policy, limit = str(facts.get("maxmemory_policy", "unknown")), int(facts.get("maxmemory", 0))
    text = f"maxmemory-policy {policy}, maxmemory {limit or 'unlimited'}"
    if policy == "noeviction":
        return Check("eviction", "ok", text)
    level: Level = "fail" if limit and policy != "unknown" else "warn"
    return Check("eviction", level, f"{text}: a full server throws jobs away", "CONFIG SET maxmemory-policy noeviction")


def _durability(facts: Mapping[str, Any]) -> Check:
    if not facts.get("aof_enabled"):
        return Check(
            "aof", "warn", "off: a crash of the server loses all since its last snapshot", "CONFIG SET appendonly yes"
        )
    if facts.get("aof_last_write_status", "ok") != "ok":
        return Check("aof", "fail", "the last write to the append-only file failed", "look at its disk and its log")
    return Check("aof", "ok", "appendonly yes")


def _compact_forms(client: Any) -> Iterator[Check]:
    for name in _COMPACT:
        wanted = int(SERVER_SETTINGS[name])
        found = _setting(client, name)
        if found is None:
            yield Check("memory", "ok", f"{name} cannot be read here; {wanted} is good")
        elif (found >= wanted) if name.startswith("hash") else (found <= wanted):
            yield Check("memory", "ok", f"{name} {found}")
        else:
            yield Check("memory", "warn", f"{name} {found}: jobs take more memory", f"CONFIG SET {name} {wanted}")


def _setting(client: Any, name: str) -> int | None:
    """A setting of the server; None where it keeps it to itself, as hosted ones do."""
    try:
        found = client.config_get(name).get(name)
    except Exception as error:
        if is_outage(error) or type(error).__module__ != "redis.exceptions":
            raise
        return None
    return int(found) if found is not None and str(found).isdecimal() else None


def _clocks(client: Any) -> Check:
    before = clock.wall_ms()
    seconds, micros = client.time()
    skew_ms = round(int(seconds) * 1000 + int(micros) / 1000 - (before + clock.wall_ms()) / 2)
    text = f"the server's is {abs(skew_ms)} ms {'ahead' if skew_ms > 0 else 'behind'}"
    if abs(skew_ms) <= _SKEW_MS:
        return Check("clocks", "ok", text)
    return Check("clocks", "warn", f"{text}: enqueue_at means the server's clock", "run NTP on both hosts")


def _work(session: Session) -> Iterator[Check]:
    alive = living(session)
    listened = {name for worker in alive for name in worker.queue_names()}
    waiting = [name for name, counts in counted(session, known_queues(session)) if counts[JobStatus.QUEUED]]
    stuck = [name for name in waiting if name not in listened]
    text = f"{len(alive)} living on {', '.join(sorted(listened))}" if alive else "none living"
    if stuck:
        yield Check("workers", "warn", f"{text}; jobs wait in {', '.join(stuck)}", f"rqlike worker {' '.join(stuck)}")
    elif not alive:
        yield Check("workers", "warn", text, "rqlike worker")
    else:
        yield Check("workers", "ok", text)
