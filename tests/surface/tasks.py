"""Functions that the tests of the surface enqueue."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import redis

from rqlike import Job, Queue, Retry, Unrecoverable, get_current_job


def add(a: int, b: int = 0) -> int:
    """The sum."""
    return a + b


def nothing() -> None:
    """Returns None."""


def echo(value: Any) -> Any:
    """What it is given."""
    return value


def fail(message: str = "boom") -> None:
    """Raises."""
    raise ValueError(message)


def give_up() -> None:
    """Fails whatever is left."""
    raise Unrecoverable


def options(job_timeout: str, ttl: str = "x") -> list[str]:
    """Has arguments that bear the names of options."""
    return [job_timeout, ttl]


def anything(*args: Any, **kwargs: Any) -> list[Any]:
    """Takes everything."""
    return [list(args), kwargs]


def nap(seconds: float) -> float:
    """Sleeps."""
    time.sleep(seconds)
    return seconds


def numbered(path: str) -> int:
    """How often it was called with this path, this call included."""
    with Path(path).open("ab") as log:
        log.write(b"x")
        return log.tell()


def nap_and_count(path: str, seconds: float) -> int:
    """Sleeps; how often it was called with this path."""
    number = numbered(path)
    time.sleep(seconds)
    return number


def asks(queue: str, namespace: str) -> int:
    """Asks a job of the same queue, and waits for it."""
    job = get_current_job()
    assert job is not None
    return Queue(queue, job.connection, namespace=namespace).enqueue_and_wait(add, 1, 2, timeout=8)


def waits_for(job_id: str) -> object:
    """Waits for a job that somebody else has enqueued."""
    job = get_current_job()
    assert job is not None
    return Job.fetch(job_id, job.connection, job.namespace).wait(timeout=20)


def asks_itself() -> object:
    """Waits for itself."""
    job = get_current_job()
    assert job is not None
    return job.wait(timeout=8)


def fails_until(path: str, nth: int) -> int:
    """Raises until its nth call."""
    number = numbered(path)
    if number < nth:
        raise RuntimeError(f"call {number}")
    return number


def wants_retry(most: int, interval: float = 0) -> Retry:
    """Returns Retry, always."""
    return Retry(most, interval)


def unserialisable() -> object:
    """Returns what no serializer takes."""
    return object()


def notes(**given: Any) -> str:
    """Saves notes of its own job."""
    job = get_current_job()
    assert job is not None
    job.meta.update(given)
    job.save_meta()
    return job.id


def failing_callback(job: Job[Any], connection: Any, result: Any) -> None:
    """A callback that raises."""
    raise LookupError("callback")


def pid() -> int:
    """Of the process it runs in."""
    return os.getpid()


def counted(address: str, name: str, seconds: float) -> str:
    """Tells a second server that it began, and that it is about to return."""
    with redis.Redis(unix_socket_path=address) as witness:
        witness.rpush("began", name)
        time.sleep(seconds)
        witness.rpush("ended", name)
    return name


def catches_exceptions(path: str, seconds: float) -> str:
    """What much code does around a slow line."""
    try:
        time.sleep(seconds)
    except Exception:  # noqa: BLE001
        numbered(path)
    return "finished"


def kills_its_process(job: Job[Any], connection: Any, result: Any) -> None:
    """A callback that does not come to its end."""
    numbered(job.meta["path"])
    os.kill(os.getpid(), signal.SIGKILL)


def tells(job: Job[Any], connection: Any, result: Any) -> None:
    """A callback that notes what it was given."""
    Path(job.meta["path"]).write_text(str(result))


def fills_the_server(address: str) -> str:
    """From here on the server refuses whatever may need memory."""
    with redis.Redis(unix_socket_path=address) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
    return "full"


def stutter(path: str) -> int:
    """Says which call it is, and fails the first time."""
    number = numbered(path)
    job = get_current_job()
    assert job is not None
    job.log(f"call {number}")
    if number == 1:
        raise ValueError("not at once")
    return number
