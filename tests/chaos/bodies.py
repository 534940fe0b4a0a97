"""What the jobs of a chaos run do. Each tells a file of its beginning and its end.

The file is opened, written in one go, and closed for each line, so it survives a job that closes every descriptor, and
the lines of many processes do not mix. The server under test has no part in it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError

from rqlike import Queue, Retry, get_current_job, progress
from rqlike.exceptions import RqlikeError

LARGE: Final = 200_000  #: bytes of a large value
TRACEBACK: Final = 2_000_000  #: characters of an exception's text
PADDING: Final = "p" * 2000  #: an argument that nobody reads
_ASKS_S: Final = 1.5  #: for the value of another job
ASKED_RETRIES: Final = 9
#: Lines that an execution writes into its log, by its act. The log keeps 1,000.
SAYS: Final = {"tells": 25, "tells_and_fails": 25, "chatty": 1200}


def signature(key: str, execution: str) -> str:
    """What a job of the act `signs` returns."""
    return f"{key} {execution}"


def said(execution: str, number: int) -> str:
    """A line of a log: which execution wrote it, and the how many-th it is, from 1."""
    return f"{execution} {number}"


def tell(log: str, event: str, key: str) -> None:
    """One line: event, key, execution, pid, monotonic ns, wall-clock ns."""
    job = get_current_job()
    token = "-" if job is None else job._record.token
    line = f"{event} {key} {token} {os.getpid()} {time.monotonic_ns()} {time.time_ns()}\n"
    fd = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def perform(log: str, key: str, kind: str, seconds: float = 0.0, padding: str = "") -> Any:
    """Begins, does what its kind does, and ends.

    `end` is told just before a value is returned, `out` where an exception leaves it."""
    tell(log, "begin", key)
    own = os.getpid()
    try:
        value = ACTS[kind](key, seconds)
    except BaseException:
        if os.getpid() == own:
            tell(log, "out", key)
        raise
    tell(log, "end", key)
    return value


def perform_own(log: str, seconds: float = 0.0) -> Any:
    """A job of a schedule: its key is its id."""
    job = get_current_job()
    assert job is not None
    return perform(log, job.id, "nap", seconds)


#: In the environment of workers: the file that a body tells which is not given it.
LOG: Final = "RQLIKE_CHAOS_LOG"


def unnoticed() -> None:
    """A job of a schedule that is removed with its queue: it tells nobody anything."""


def completed(group_id: str) -> Any:
    """The callback of a group: its key is its id."""
    job = get_current_job()
    assert job is not None
    assert job.id.startswith(f"{group_id}@")
    return perform(os.environ[LOG], job.id, "nap")


def called_back(job: Any, connection: Any, result: Any) -> None:
    """The callback of a success."""
    tell(job.args[0], "called", job.args[1])


def _attempt() -> int:
    job = get_current_job()
    assert job is not None
    return job.attempt


def _nap(key: str, seconds: float) -> str:
    time.sleep(seconds)
    return key


def _signs(key: str, seconds: float) -> str:
    """Says which execution it is: what a job with many cycles returned tells which of them did."""
    time.sleep(seconds)
    job = get_current_job()
    assert job is not None
    return signature(key, job._record.token or "-")


def _second_takes_long(key: str, seconds: float) -> str:
    if _attempt() > 1:
        time.sleep(seconds)
    return key


def _flaky(key: str, seconds: float) -> str:
    time.sleep(seconds)
    if _attempt() <= 2:
        raise ValueError(f"attempt {_attempt()} of {key}")
    return key


def _returns_retry(key: str, seconds: float) -> Any:
    return Retry(3) if _attempt() <= 2 else key


def _large(key: str, seconds: float) -> str:
    return key.ljust(LARGE, ".")


def _exit(key: str, seconds: float) -> None:
    time.sleep(seconds)
    os._exit(0)


def _segfault(key: str, seconds: float) -> None:
    ctypes.string_at(0)


def _hang(key: str, seconds: float) -> None:
    time.sleep(60)


def _deaf(key: str, seconds: float) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    time.sleep(60)


def _swallow(key: str, seconds: float) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001  # as much code does
            continue


def _unserialisable(key: str, seconds: float) -> object:
    return object()


def _recurse(key: str, seconds: float) -> Any:
    return _recurse(key, seconds) + _recurse(key, seconds)


def _long_traceback(key: str, seconds: float) -> None:
    raise ValueError("x" * TRACEBACK)


def _system_exit(key: str, seconds: float) -> None:
    time.sleep(seconds)
    sys.exit(0)


def _fork(key: str, seconds: float) -> str:
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    return key


def _close_all(key: str, seconds: float) -> str:
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
    return key


def _vandal(key: str, seconds: float) -> str:
    os.chdir("/")
    os.umask(0o777)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    socket.setdefaulttimeout(0.001)
    return key


def _say(count: int, seconds: float) -> None:
    """Writes so many lines, and counts them."""
    job = get_current_job()
    assert job is not None
    done = progress(count, desc="lines")
    for number in range(1, count + 1):
        job.log(said(job._record.token or "-", number))
        done.update(note=f"line {number}" if number % 5 == 0 else None)
        if seconds:
            time.sleep(seconds / count)


def _tells(key: str, seconds: float) -> str:
    _say(SAYS["tells"], seconds)
    return key


def _tells_and_fails(key: str, seconds: float) -> None:
    _say(SAYS["tells_and_fails"], seconds)
    raise LookupError(key)


def _chatty(key: str, seconds: float) -> str:
    _say(SAYS["chatty"], seconds)
    return key


def _saves(key: str, seconds: float) -> str:
    """Writes what is to be known of it, in the hash of the job and in a key of its own."""
    job = get_current_job()
    assert job is not None
    for padding in ("", PADDING, PADDING * 9, ""):
        time.sleep(seconds / 4)
        job.meta = {"key": key, "padding": padding}
        with suppress(RedisError, RqlikeError):
            job.save_meta()
    return key


def asked_by(key: str) -> str:
    """The id of the job that one of the act `asks` enqueues and waits for."""
    return f"{key}-in"


def _asks(key: str, seconds: float) -> str:
    """Wants the value of another job, and goes on without it where it cannot be had."""
    job = get_current_job()
    assert job is not None
    queue = Queue(job.origin, job.connection, namespace=job.namespace)
    call = (os.environ[LOG], asked_by(key), "nap", seconds)
    kept: dict[str, Any] = {"result_ttl": 3600, "failure_ttl": 3600, "retry": Retry(ASKED_RETRIES)}
    with suppress(RedisError, RqlikeError):
        queue.enqueue_and_wait(perform, *call, timeout=_ASKS_S, job_id=asked_by(key), **kept)
    return key


ACTS: Final[dict[str, Callable[[str, float], Any]]] = {
    "nap": _nap,
    "signs": _signs,
    "second_takes_long": _second_takes_long,
    "flaky": _flaky,
    "returns_retry": _returns_retry,
    "large": _large,
    "exit": _exit,
    "segfault": _segfault,
    "hang": _hang,
    "deaf": _deaf,
    "swallow": _swallow,
    "unserialisable": _unserialisable,
    "recurse": _recurse,
    "long_traceback": _long_traceback,
    "system_exit": _system_exit,
    "fork": _fork,
    "close_all": _close_all,
    "vandal": _vandal,
    "tells": _tells,
    "tells_and_fails": _tells_and_fails,
    "chatty": _chatty,
    "saves": _saves,
    "asks": _asks,
}
