"""A server of its own for each measurement, and which processors it and the others may use."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis

from rqlike.store.embedded import find_binary

#: (server's CPU, everybody else's): a wake-up across CPUs costs four times one on the same, so pinnings are not mixed
PINS = {"split": ("1", "0"), "one": ("0", "0"), "none": (None, None)}


def can_pin() -> bool:
    """Whether this machine has `taskset`."""
    return shutil.which("taskset") is not None


def pinned(cpu: str | None, command: Sequence[str]) -> list[str]:
    """The command, kept on one processor where that can be done."""
    return ["taskset", "-c", cpu, *command] if cpu is not None and can_pin() else list(command)


def binary() -> str:
    """`redis-server` of this machine, else the embedded Valkey."""
    return shutil.which("redis-server") or str(find_binary(allow_path=True))


def free_port() -> int:
    """A loopback port that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(pin: str, *settings: str) -> Iterator[redis.Redis]:
    """An empty server on loopback, without persistence, for the time of the block; a client of it. `settings` are
    words of its command line that come last."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *settings]
    command = pinned(PINS[pin][0], [binary(), *options])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    client = redis.Redis(port=port)
    try:
        for _ in range(250):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait()


def port_of(client: redis.Redis) -> int:
    """The port it talks to."""
    return int(client.connection_pool.connection_kwargs["port"])


def version(client: redis.Redis) -> str:
    """`redis 7.0.15` or `valkey 9.1.2`."""
    info = client.info("server")
    return f"valkey {info['valkey_version']}" if "valkey_version" in info else f"redis {info['redis_version']}"
