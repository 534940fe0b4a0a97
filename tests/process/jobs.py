"""Jobs whose arguments choose their fate. They tell what they did by lines in a file, never by Redis."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rqlike import Callback, get_current_job, progress, track
from rqlike.running.middleware import Middleware

if TYPE_CHECKING:
    from collections.abc import Iterator


def tell(path: str, *words: object) -> None:
    """Appends a line; one write, so lines of many processes do not mix."""
    line = " ".join(str(word) for word in words) + "\n"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def told(path: str | Path) -> list[str]:
    """The lines so far."""
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:
        return []


# -- those that end ----------------------------------------------------------------------------------------------------


def nothing() -> None:
    """A no-op."""


def echo(value: Any = None) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def mark(path: str, word: str = "ran", seconds: float = 0.0) -> str:
    """Tells that it runs, sleeps, and returns the word."""
    tell(path, word, os.getpid())
    time.sleep(seconds)
    return word


def slow_at_first(path: str, seconds: float) -> None:
    """The first execution sleeps, any other returns at once."""
    tell(path, "ran", os.getpid())
    if len(told(path)) == 1:
        time.sleep(seconds)


def span(path: str, word: str, seconds: float) -> None:
    """Tells its beginning and its end."""
    tell(path, "begin", word)
    time.sleep(seconds)
    tell(path, "end", word)


def fail(text: str = "boom") -> None:
    raise ValueError(text)


def fail_until(path: str, times: int) -> int:
    """Fails `times` times, by what is told in the file."""
    tell(path, "ran")
    count = len(told(path))
    if count <= times:
        raise ValueError(f"attempt {count}")
    return count


def sleep_long() -> None:
    time.sleep(60)


def recurse() -> None:
    recurse()


def out_of_memory() -> None:
    raise MemoryError("no more")


def big(size: int) -> bytes:
    return b"x" * size


def length(data: bytes) -> int:
    return len(data)


def both_ways(data: bytes) -> bytes:
    return data[::-1]


def unserialisable() -> object:
    return object()


def keep_meta() -> str:
    """Writes into its own job."""
    job = get_current_job()
    assert job is not None
    job.meta["seen"] = "by the job"
    job.save_meta()
    return str(job.id)


# -- those that do not end well ----------------------------------------------------------------------------------------


def leave(code: int) -> None:
    os._exit(code)


def system_exit(code: int) -> None:
    sys.exit(code)


def segv() -> None:
    ctypes.string_at(0)


def kill_self(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    time.sleep(30)


def swallow(path: str, seconds: float) -> str:
    """Swallows everything, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(seconds)
        except BaseException as error:  # noqa: BLE001
            tell(path, type(error).__name__)
    return "survived"


def hang_in_c(path: str) -> None:
    """Holds the GIL in C for ever: no signal handler of Python runs."""
    tell(path, "hanging", os.getpid())
    sum(range(10**15))


def hang_deaf(path: str, seconds: float = 600.0) -> None:
    """Deaf to SIGALRM and to everything that may be blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    tell(path, "hanging", os.getpid())
    time.sleep(seconds)


# -- those that leave something behind ---------------------------------------------------------------------------------


def vandal(folder: str) -> None:
    """Changes whatever a process has but one of."""
    os.chdir(folder)
    os.umask(0o777)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    socket.setdefaulttimeout(0.001)


def surroundings() -> list[Any]:
    umask = os.umask(0)
    os.umask(umask)
    return [str(Path.cwd()), umask, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, socket.getdefaulttimeout()]


def leave_thread() -> int:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return os.getpid()


def grandchild(path: str) -> None:
    """Leaves a process behind that holds every descriptor of the horse, and dies."""
    if os.fork() == 0:
        tell(path, "grandchild", os.getpid())
        os.setsid()  # out of reach of the group's kill
        for fd in _socket_fds():
            os.set_inheritable(fd, True)
        time.sleep(20)
        os._exit(0)
    while not told(path):
        time.sleep(0.005)
    os._exit(0)


def child_of(path: str) -> None:
    """Starts a program in its own group and waits for ever."""
    child = subprocess.Popen(["sleep", "60"])
    tell(path, child.pid)
    child.wait()


def return_twice() -> str:
    os.fork()
    return "once"


def close_all(path: str, seconds: float = 0.0) -> None:
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0] if sys.platform == "linux" else 4096)
    tell(path, "closed", os.getpid())
    time.sleep(seconds)


def _socket_fds() -> list[int]:
    found = []
    for path in sorted(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if str(path.readlink()).startswith("socket:"):
                found.append(int(path.name))
    return found


def forged(data: bytes, name: str = "") -> str:
    """Sends the worker a frame that this job has made; its own outcome comes after it."""
    for fd in _socket_fds():
        os.write(fd, data)
    return name


def garbage() -> None:
    """Writes into its horse's socket."""
    for fd in _socket_fds():
        os.write(fd, b"this is not a frame at all\n")
    time.sleep(30)


def descriptors() -> dict[str, str]:
    """What this process has open, by number."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found[path.name] = str(path.readlink())
    return found


def standing() -> list[int]:
    """Process id, group, and the parent's id."""
    return [os.getpid(), os.getpgrp(), os.getppid()]


# -- callbacks, handlers, middleware -----------------------------------------------------------------------------------


def note_success(job: Any, connection: Any, result: Any) -> None:
    tell(job.meta["path"], "success", result)


def note_failure(job: Any, connection: Any, kind: Any, value: Any, tb: Any) -> None:
    tell(job.meta["path"], "failure", kind.__name__, str(value).replace("\n", "|")[:60])


def note_stopped(job: Any, connection: Any) -> None:
    tell(job.meta["path"], "stopped", job.id)


def note_badly(job: Any, *rest: Any) -> None:
    raise RuntimeError("the callback broke")


def note_slowly(job: Any, *rest: Any) -> None:
    time.sleep(60)


def handle(job: Any, kind: Any, value: Any, tb: Any) -> None:
    tell(job.meta["path"], "handled", kind.__name__)


def handle_and_end(job: Any, kind: Any, value: Any, tb: Any) -> bool:
    tell(job.meta["path"], "last", kind.__name__)
    return False


TRACE = os.environ.get("TRACE_FILE", "/dev/null")


class Tracing(Middleware):
    """Tells of each of its hooks."""

    def before_fork(self) -> None:
        tell(TRACE, "before_fork", os.getpid())

    def after_fork(self) -> None:
        tell(TRACE, "after_fork", os.getpid())

    def setup(self) -> None:
        tell(TRACE, "setup", os.getpid())

    @contextmanager
    def around_job(self, job: Any) -> Iterator[None]:
        tell(TRACE, "in", job.id)
        try:
            yield
        finally:
            tell(TRACE, "out", job.id)

    def after_result(self, job: Any, result: Any) -> None:
        tell(TRACE, "after_result", result.type.name)


class Broken(Middleware):
    """Cannot be set up."""

    def setup(self) -> None:
        tell(TRACE, "setup", os.getpid())
        raise RuntimeError("no database")


SUCCESS, FAILURE, STOPPED = (f"tests.process.jobs.note_{name}" for name in ("success", "failure", "stopped"))
SLOW = Callback("tests.process.jobs.note_slowly", timeout=0.2)


# -- those that tell ---------------------------------------------------------------------------------------------------


def count_up(path: str, to: int, every_s: float = 0.0, fate: str = "") -> int:
    """Says how far it is, and something about it; then it waits for `path` to be told, where there is one."""
    job = get_current_job()
    assert job is not None
    handle = progress(to, desc="counting")
    for number in range(1, to + 1):
        handle.update(note=f"at {number}")
        if every_s:
            time.sleep(every_s)
    job.log(f"counted to {to}")
    while path and not told(path):
        time.sleep(0.005)
    if fate:
        raise ValueError(fate)
    return to


def tracked(count: int) -> int:
    """Sums up what it tracks."""
    return sum(track(range(count), desc="summing"))


def chatter(lines: int, length: int = 20, path: str = "") -> int:
    """Writes so many lines into its log, as fast as it can."""
    job = get_current_job()
    assert job is not None
    began = time.monotonic()
    for number in range(lines):
        job.log(f"{number} ".ljust(length, "x"))
    took = time.monotonic() - began
    while path and not told(path):
        time.sleep(0.005)
    return round(took * 1000)


def calibrated(seconds: float) -> int:
    """How many numbers are sorted in so long."""
    count, times = 1_000, 1_000
    began = time.process_time()
    for _ in range(times):
        _turns(count)
    return max(1, round(seconds * times * count / (time.process_time() - began)))


def _turns(count: int) -> list[int]:
    # Not a sum: how fast that goes follows from where the allocator happens to put one more number.
    return sorted(range(count), key=_reversed)


def _reversed(number: int) -> int:
    return -number


def steps(count: int, work: int, tells: bool) -> tuple[float, float]:
    """Does `count` pieces of work, and says so after each or does not: seconds of processor time, and of time."""
    handle = progress(count)
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(count):
        _turns(work)
        if tells:
            handle.update()
    return time.process_time() - cpu, time.monotonic() - began


def last_word(after: float) -> float:
    """Says its last value so many seconds after its first ones, and goes on for half a second; when it was said."""
    handle = progress(10)
    handle.update(5)
    time.sleep(0.12 + after)
    handle.update(5)
    said = time.monotonic()
    time.sleep(0.5)
    return said


def chorus(threads: int, lines: int) -> bytes:
    """Threads write into the log while it returns something large, at once where the last of them has begun."""
    job = get_current_job()
    assert job is not None

    def sing(number: int) -> None:
        for line in range(lines):
            job.log(f"{number}.{line}")

    singers = [threading.Thread(target=sing, args=(number,)) for number in range(threads)]
    for singer in singers:
        singer.start()
    for singer in singers:
        singer.join()
    return b"x" * 900_000
