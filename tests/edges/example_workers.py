"""Workers for the tests of documentation and examples: real processes, ended with the block they are started in."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from rqlike import Worker
from tests.servers import eventually

PROGRAM = """
import sys
from rqlike import Worker
name, jobs_per_horse, middleware, *queues = sys.argv[1:]
worker = Worker(queues, name, jobs_per_horse=int(jobs_per_horse), middleware=middleware.split())
worker.work()
sys.exit(worker.exit_code)
"""


def environment(url: str, namespace: str, **more: str) -> dict[str, str]:
    """The environment of a process that is to use this server and no other, with this Python's programs on PATH."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RQLIKE_", "REDIS_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "/usr/bin:/bin")])
    return {**inherited, "PATH": path, "RQLIKE_REDIS_URL": url, "RQLIKE_NAMESPACE": namespace, **more}


@contextmanager
def imported_from(directory: Path) -> Iterator[None]:
    """Forgets the modules of a directory at the end, and closes the clients that they or other code has left open.

    What a module holds is let go as a circle, in which a socket may be finalised before the connection that would close
    it: a ResourceWarning, in whatever test runs when garbage is collected. A pool that is in use connects again.
    """
    known = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - known:
            if str(directory) in (getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]
        for pool in [one for one in gc.get_objects() if isinstance(one, redis.ConnectionPool)]:
            pool.disconnect()


@contextmanager
def running_worker(
    queues: Sequence[str],
    directory: Path,
    env: Mapping[str, str],
    *,
    jobs_per_horse: int = 1000,
    middleware: str = "",
) -> Iterator[str]:
    """A worker in `directory`, whose modules it can import; gives its name once it is registered.

    Ended by SIGTERM, and its exit code must then be 0. What it said is shown when the block fails.
    """
    name = f"worker-of-{os.getpid()}-{env['RQLIKE_NAMESPACE']}"
    log = directory / "worker.log"
    with log.open("ab") as said:
        command = [sys.executable, "-c", PROGRAM, name, str(jobs_per_horse), middleware, *queues]
        worker = subprocess.Popen(command, cwd=directory, env=dict(env), stderr=said, stdin=subprocess.DEVNULL)
    client = redis.Redis.from_url(env["RQLIKE_REDIS_URL"])
    try:
        eventually(
            lambda: worker.poll() is not None or Worker.count(client, namespace=env["RQLIKE_NAMESPACE"]),
            15.0,
            message="the worker has registered",
        )
        yield name
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace"))
        raise
    finally:
        client.close()
        worker.terminate()
        try:
            worker.wait(15)
        finally:
            worker.kill()
            worker.wait()
    assert worker.returncode == 0, log.read_text(errors="replace")
