"""The parent process of a server that rqlike started: it ends the server when nobody needs it any more.

Two ways to live:

* ``keeper.py idle DIR --idle 600 -- SERVER ARGS…`` detaches itself, holds the lock of the data directory together
  with the server, and shuts the server down after so many seconds without a client.
* ``keeper.py bound [--remove DIR] -- SERVER ARGS…`` prints the pid of the server and ends both when its standard
  input reaches its end or its own parent is gone: whoever holds the pipe holds the server's life.

It is run as a file with ``python -I -S`` and imports the standard library only: the process stays small, starts in
milliseconds and does not care what else is installed. It reads no clock either. Idle time is counted in finished
naps, so a laptop that slept for an hour was not idle for an hour.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

LOCK_PATIENCE_S = 1.0  # Somebody who only looks whether the lock is free holds it for a moment.
BOUND_POLL_S = 0.25
ANOTHER_RUNS = 3  # exit status


def ask(link: socket.socket, *words: str) -> bytes:
    """Send one command over ``link`` and return the reply without its frame; an error reply keeps its ``-``.

    Knows simple strings, errors, integers and bulk strings, which is all that PING, INFO and SHUTDOWN answer.
    Raises OSError when the line breaks or its time-out passes.
    """
    parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
    link.sendall("".join(parts).encode())
    got = _receive_until(link, b"", lambda data: b"\r\n" in data)
    head, _, rest = got.partition(b"\r\n")
    if not head.startswith(b"$"):
        return head if head.startswith(b"-") else head[1:]
    size = int(head[1:])
    return _receive_until(link, rest, lambda data: len(data) >= size + 2)[:size]


def _receive_until(link: socket.socket, data: bytes, enough: Callable[[bytes], bool]) -> bytes:
    while not enough(data):
        more = link.recv(65536)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        data += more
    return data


def open_link(path: str | os.PathLike[str], timeout: float = 2.0) -> socket.socket:
    """A connected unix socket; OSError (ENOENT, ECONNREFUSED, time-out) where nobody listens at ``path``."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(timeout)
        link.connect(os.fspath(path))
    except OSError:
        link.close()
        raise
    return link


def parse_info(text: bytes) -> dict[str, str]:
    """The ``name:value`` lines of INFO."""
    lines = text.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


class IdleWatch:
    """Notices that a server has had no client but this one for ``idle`` seconds.

    One connection is kept for all the looking, so whatever else raises the server's count of connections is
    somebody: a client that came and went between two looks counts as use.
    """

    def __init__(self, data_dir: Path, socket_path: str, idle: float) -> None:
        self.data_dir = data_dir
        self.socket_path = socket_path
        self.nap = min(5.0, max(0.05, idle / 4))
        self.naps_allowed = max(1, round(idle / self.nap))
        self._link: socket.socket | None = None
        self._seen = ""
        self._birth = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.data_dir.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def directory_is_gone(self) -> bool:
        """Whether the data directory was removed or replaced under the server."""
        return self._identity() != self._birth

    def was_used(self) -> bool:
        """Look once: is somebody connected, or has anybody been since the last look?"""
        try:
            if self._link is None:
                self._link = open_link(self.socket_path)
                self._seen = ""
            info = parse_info(ask(self._link, "INFO"))
        except OSError:
            # No answer proves nothing: a server that is busy or still loading must not be called idle.
            self._drop()
            return True
        came, self._seen = self._seen, info.get("total_connections_received", "")
        return info.get("connected_clients") != "1" or came != self._seen

    def shut_down(self) -> None:
        """Ask the server to end in good order."""
        try:
            if self._link is not None:
                ask(self._link, "SHUTDOWN")
        except OSError:
            pass  # The answer to a successful SHUTDOWN is a closed connection.
        self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def watch_idle(watch: IdleWatch, server: subprocess.Popen[bytes]) -> None:
    """Until the server ends: count naps without use, and shut it down when there were enough in a row."""
    quiet = 0
    while server.poll() is None:
        time.sleep(watch.nap)
        if watch.directory_is_gone():
            # Not SIGTERM: a server that ends in good order removes its socket by name, and by now
            # that name may belong to the next server.
            server.kill()
            return
        quiet = 0 if watch.was_used() else quiet + 1
        if quiet >= watch.naps_allowed:
            watch.shut_down()
            quiet = 0


def watch_owner(server: subprocess.Popen[bytes], owner: int, leftovers: str | None) -> None:
    """Until standard input ends or the parent is no longer ``owner``; then the server and its files go at once."""
    while os.getppid() == owner:
        readable, _, _ = select.select([0], [], [], BOUND_POLL_S)
        if readable and not os.read(0, 64):
            break
    server.kill()
    server.wait()
    if leftovers is not None:
        shutil.rmtree(leftovers, ignore_errors=True)


def take_lock(path: Path) -> int | None:
    """An inheritable descriptor that holds the lock at ``path``; None if another server keeps it.

    The server inherits it, so the lock is free only when both keeper and server are gone: two servers never write
    the same files, whoever of them was killed.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(held, True)
    for _ in range(round(LOCK_PATIENCE_S / 0.02)):
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return held
    os.close(held)
    return None


def detach() -> None:
    """Leave the caller for good: whoever started us waits for nothing and keeps no child."""
    if os.fork():
        os._exit(0)
    os.setsid()


def run_idle(data_dir: Path, socket_path: str, idle: float, command: list[str]) -> int:
    """Start the server in ``data_dir`` and stay its parent until it ended."""
    lock = take_lock(data_dir / "running.lock")
    if lock is None:
        return ANOTHER_RUNS
    detach()  # Only now: when the caller sees us return, the lock is held, so a free lock means that we failed.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    os.umask(0o077)
    watch = IdleWatch(data_dir, socket_path, idle)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(lock,))
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(target=watch_idle, args=(watch, server), daemon=True).start()
    return server.wait()


def run_bound(leftovers: str | None, command: list[str]) -> int:
    """Start the server, print its pid, and keep it only as long as standard input stays open."""
    owner = os.getppid()
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # A session of its own: a Ctrl-C meant for the owner must not reach the server first.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    watcher = threading.Thread(target=watch_owner, args=(server, owner, leftovers), daemon=True)
    watcher.start()
    code = server.wait()
    if code == -signal.SIGKILL:
        watcher.join(timeout=2 * BOUND_POLL_S)  # It may be the one who killed, and then has files to remove.
    return code


def main(words: list[str]) -> int:
    """Read the command line described above and do it."""
    import argparse  # here, since whoever enqueues imports this module too and never parses

    parser = argparse.ArgumentParser(prog="embedded_keeper")
    modes = parser.add_subparsers(dest="mode", required=True)
    idle = modes.add_parser("idle")
    idle.add_argument("data_dir", type=Path)
    idle.add_argument("socket")
    idle.add_argument("--idle", type=float, required=True)
    bound = modes.add_parser("bound")
    bound.add_argument("--remove")
    split = words.index("--")
    options, command = parser.parse_args(words[:split]), words[split + 1 :]
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if options.mode == "idle":
        return run_idle(options.data_dir, options.socket, options.idle, command)
    return run_bound(options.remove, command)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
