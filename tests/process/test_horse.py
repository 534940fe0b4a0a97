"""A horse in a process of its own: what it answers, what it keeps out of its worker's way, and how it ends."""

from __future__ import annotations

import contextvars
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

import pytest

from rqlike import clock
from rqlike.callables import reference_of
from rqlike.codec import encode_call
from rqlike.options import Policy
from rqlike.outcomes import Outcome
from rqlike.policies import Callback
from rqlike.records import CallRecord, Execution, JobRecord, ResultRecord
from rqlike.running.current import WorkerInfo, get_current_job, get_current_worker
from rqlike.running.middleware import Middleware
from rqlike.serializers import dumps_call, loads_result, resolve_serializer
from rqlike.settings import WHISPER_S
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.timeouts import JobTimeoutException
from rqlike.worker.channel import WHISPER_LIMIT, open_channel
from rqlike.worker.frames import (
    Frame,
    FrameKind,
    FrameReader,
    pack,
    pack_after,
    pack_jobs,
    read_afterwards,
    read_outcome,
)
from rqlike.worker.horse import LOST_SOCKET, HorseSettings, run_horse
from rqlike.worker.signals import blocked
from tests.servers import eventually, is_gone

LIMIT_S = 10.0
LONG = 30.0
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


# -- functions that run as jobs ----------------------------------------------------------------------------------------


def double(value: Any) -> Any:
    return value * 2


def pid() -> int:
    return os.getpid()


def boom() -> Never:
    raise ValueError("boom")


def leaves() -> Never:
    sys.exit(3)


def leaves_at_once() -> Never:
    os._exit(9)


def hang() -> None:
    threading.Event().wait(LONG)


def returns_in_spite_of_its_limit() -> str:
    with suppress(JobTimeoutException):
        hang()
    return "late"


def surroundings() -> dict[str, Any]:
    job: Any = get_current_job()
    worker = get_current_worker()
    return {
        "job": job.id,
        "worker": [worker.name, worker.pid, worker.queues, worker.hostname] if worker is not None else None,
        "ppid": os.getppid(),
        "group": os.getpgid(0),
        "pid": os.getpid(),
        "stdin": os.read(0, 1),
        "sigint_ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "sigterm_default": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "usr1_default": signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "wakeup_fd": signal.set_wakeup_fd(-1),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }


def open_fds() -> list[int]:
    return sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())


LEAK: contextvars.ContextVar[str] = contextvars.ContextVar("LEAK", default="clean")


def ours(*_: object) -> None:
    pass


def state() -> dict[str, Any]:
    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "cwd": str(Path.cwd()),
        "umask": umask,
        "usr1": str(signal.getsignal(signal.SIGUSR1)),
        "alarm": str(signal.getsignal(signal.SIGALRM).__class__),
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "socket": socket.getdefaulttimeout(),
        "recursion": sys.getrecursionlimit(),
        "context": LEAK.get(),
    }


def makes_a_mess() -> None:
    os.chdir("/")
    os.umask(0o777)
    for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ours)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR2})
    socket.setdefaulttimeout(0.01)
    sys.setrecursionlimit(5000)
    LEAK.set("dirty")


def leaves_a_thread() -> None:
    threading.Thread(target=hang, daemon=True).start()


def leaves_a_child() -> int:
    return subprocess.Popen(["sleep", "30"]).pid


def waits_for_its_child() -> int:
    return subprocess.run(["true"], check=True).returncode


def leaves_a_zombie() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken note


def out_of_memory() -> Never:
    raise MemoryError


def endless_recursion() -> int:
    return endless_recursion() + 1


def leaks_fds() -> None:
    for _ in range(600):
        os.open(os.devnull, os.O_RDONLY)


def closes_stdin() -> None:
    os.close(0)


def forks_and_returns_twice() -> str:
    return "child" if os.fork() == 0 else "parent"


def closes_all_fds() -> None:
    os.closerange(3, 4096)


def takes_the_place_of_the_socket(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for number in open_fds():
        if number >= 500:
            os.dup2(fd, number)


def kills_itself(number: int) -> None:
    os.kill(os.getpid(), number)


def prints() -> None:
    print("seen at once")


def note_success(job: Any, connection: Any, result: Any) -> None:
    write(job, ["success", connection, result])


def note_failure(job: Any, connection: Any, kind: type[BaseException], value: BaseException, tb: Any) -> None:
    write(
        job, ["failure", kind.__module__ + "." + kind.__qualname__, str(value), tb is not None, value.__class__ is kind]
    )


def note_stopped(job: Any, connection: Any) -> None:
    write(job, ["stopped", connection, get_current_job() is job])


def first_handler(job: Any, kind: type[BaseException], value: BaseException, tb: Any) -> None:
    write(job, ["first", kind.__qualname__, str(value)])


def last_handler(job: Any, kind: type[BaseException], value: BaseException, tb: Any) -> bool:
    write(job, ["last", kind.__qualname__])
    return False


def unreached_handler(job: Any, *_: Any) -> None:
    write(job, ["unreached"])


def write(job: Any, note: list[Any]) -> None:
    with job.notes.open("a") as file:
        file.write(f"{note!r}\n")


# -- a horse under test ------------------------------------------------------------------------------------------------


@dataclass
class Handle:
    """What stands for a job handle here."""

    id: str
    record: JobRecord
    notes: Path
    connection: str = "the job's connection"


def fields_of(func: Callable[..., Any] | str, args: tuple[Any, ...], policy: Policy) -> list[bytes]:
    name = func if isinstance(func, str) else reference_of(func)
    payload = dumps_call(resolve_serializer("msgpack"), args, {})
    blob = encode_call(CallRecord(name, payload, {}, policy))
    flat = [b"s", b"started", b"q", b"default", b"t", b"1"]
    for number, start in enumerate(range(0, len(blob), 64)):
        flat += [b"c%d" % number, blob[start : start + 64]]
    return flat


def execution(token: str, flat: list[bytes]) -> Execution:
    record = JobRecord("j1", "default", JobStatus.STARTED, None, created_ms=1, token=token)
    return Execution(record, token, token, raw=flat)


class Stable:
    """Forks one horse and talks to it, as its worker would."""

    def __init__(self, notes: Path, settings: HorseSettings | None = None, *, parent_pid: int | None = None) -> None:
        self.notes = notes
        self.reader = FrameReader()
        self.frames: list[Frame] = []
        self.status: int | None = None
        self.end, theirs = open_channel()
        self.sock = self.end.sock
        self.sock.settimeout(LIMIT_S)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid() if parent_pid is None else parent_pid
        with blocked():
            self.pid = os.fork()
            if self.pid == 0:
                run_horse(
                    theirs,
                    parent_pid=parent,
                    settings=settings or HorseSettings(),
                    make_job=lambda record: Handle(record.id, record, notes),
                    make_result=lambda record: record,
                    close_fds=self.end.fds,
                )
        theirs.close()

    def receive(self) -> Frame:
        while not self.frames:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self.frames += self.reader.feed(data)
        return self.frames.pop(0)

    def ready(self) -> object:
        frame = self.receive()
        assert frame.kind is FrameKind.READY
        return frame.payload

    def give(
        self, func: Callable[..., Any] | str, *args: Any, policy: Policy | None = None, execution_id: str = "e"
    ) -> None:
        self.send([execution(execution_id, fields_of(func, args, policy or Policy()))])

    def send(self, executions: list[Execution], *, permits: int | None = None, age_s: float = 0.0) -> None:
        """A frame of jobs, of a generation of its own, sent `age_s` ago; `permits` None: one for each."""
        self.end.generation += 1
        self.end.permit(len(executions) if permits is None else permits)
        self.sock.sendall(pack_jobs(self.end.generation, clock.mono() - age_s, executions))

    def outcome(self) -> tuple[Outcome, str | None]:
        frame = self.receive()
        assert frame.kind is FrameKind.OUTCOME
        return read_outcome(frame)

    def run(
        self, func: Callable[..., Any] | str, *args: Any, policy: Policy | None = None
    ) -> tuple[Outcome, str | None]:
        self.give(func, *args, policy=policy)
        return self.outcome()

    def value(self, func: Callable[..., Any], *args: Any) -> Any:
        outcome, retire = self.run(func, *args)
        assert outcome.reason is None, outcome.exc_string
        assert retire is None
        assert outcome.value is not None
        return loads_result(resolve_serializer("msgpack"), outcome.value)

    def after(
        self, which: str, policy: Policy, entry: list[bytes] | None = None, execution_id: str = "e"
    ) -> tuple[str | None, str | None]:
        place = None if entry is None else (b"5-0", entry)
        self.sock.sendall(pack_after(execution_id, which, "j1", fields_of(double, (1,), policy), place))
        frame = self.receive()
        assert frame.kind is FrameKind.AFTERWARDS
        return read_afterwards(frame)

    def quit(self) -> int:
        self.sock.sendall(pack(FrameKind.QUIT))
        return self.ended()

    def ended(self) -> int:
        """Its exit code; minus the signal where it died of one."""
        if self.status is None:
            found = eventually(self._wait, timeout=LIMIT_S, message="the horse ended")
            assert found is not None
            self.status = found[1]
        return os.waitstatus_to_exitcode(self.status)

    def _wait(self) -> tuple[int, int] | None:
        found = os.waitpid(self.pid, os.WNOHANG)
        return found if found[0] else None

    def close(self) -> None:
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        self.ended()
        self.sock.close()
        self.end.close()


Start = Callable[..., Stable]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Stable] = []

    def start_horse(settings: HorseSettings | None = None, **options: Any) -> Stable:
        made.append(Stable(tmp_path / "notes", settings, **options))
        return made[-1]

    yield start_horse
    for one in made:
        one.close()


@pytest.fixture
def horse(start: Start) -> Stable:
    """A horse that is ready."""
    one = start()
    assert one.ready() is None
    return one


def notes_of(horse: Stable) -> list[str]:
    return horse.notes.read_text().splitlines() if horse.notes.exists() else []


def entry_of(value: bytes | None = None, **more: bytes) -> list[bytes]:
    """A stream entry of execution "e"."""
    entry = {b"t": b"1" if value is not None else b"2", b"i": b"e", b"w": b"w1", b"b": b"1", b"d": b"2"}
    if value is not None:
        entry[b"v"] = value
    names = {"reason": b"r", "exc_type": b"e", "exc_string": b"x"}
    entry |= {names[name]: text for name, text in more.items()}
    return [part for pair in entry.items() for part in pair]


# -- running jobs ------------------------------------------------------------------------------------------------------


def test_it_runs_jobs_one_after_the_other_and_quits_when_told(horse: Stable) -> None:
    assert [horse.value(double, number) for number in range(20)] == [number * 2 for number in range(20)]
    assert {horse.value(pid) for _ in range(3)} == {horse.pid}
    assert horse.quit() == 0


def test_it_ends_when_its_worker_is_gone(horse: Stable) -> None:
    horse.sock.close()
    assert horse.ended() == 0


def test_frames_that_were_sent_ahead_are_answered_in_order(horse: Stable) -> None:
    for number in range(5):
        horse.give(double, number, execution_id=str(number))
    assert [horse.receive().execution_id for _ in range(5)] == list("01234")


def aloud_and_quietly(horse: Stable, total: int) -> tuple[list[str], list[str]]:
    """The tokens of `total` outcomes: those that woke its worker, and those that were left for it to find."""
    aloud: list[str] = []
    quietly: list[str] = []
    whispers = FrameReader()
    while len(aloud) + len(quietly) < total:
        aloud.append(horse.receive().execution_id)
        quietly += [frame.execution_id for frame in whispers.feed(horse.end.overhear() or b"")]
    return aloud, quietly


def of_numbers(count: int, size: int = 0) -> list[Execution]:
    return [execution(str(number), fields_of(double, ("x" * size,), Policy())) for number in range(count)]


def test_only_the_last_outcome_of_a_quick_frame_wakes_its_worker(horse: Stable) -> None:
    horse.value(double, 1)
    horse.send(of_numbers(4), age_s=-60.0)
    assert aloud_and_quietly(horse, 4) == (["3"], ["0", "1", "2"])


def test_every_outcome_of_a_frame_that_takes_long_wakes_its_worker(horse: Stable) -> None:
    horse.send(of_numbers(3), age_s=WHISPER_S)
    assert aloud_and_quietly(horse, 3) == (["0", "1", "2"], [])


def test_an_outcome_too_large_for_a_whisper_is_said_aloud(horse: Stable) -> None:
    horse.value(double, 1)
    horse.send(of_numbers(2, WHISPER_LIMIT), age_s=-60.0)
    assert aloud_and_quietly(horse, 2) == (["0", "1"], [])


def test_what_was_whispered_outlives_the_horse(horse: Stable) -> None:
    dies = execution("dies", fields_of(leaves_at_once, (), Policy()))
    horse.send([*of_numbers(2), dies], age_s=-60.0)
    assert horse.ended() == 9
    assert [frame.execution_id for frame in FrameReader().feed(horse.end.overhear() or b"")] == ["0", "1"]
    assert horse.end.revoke() == 0, "the one that died was begun"


def test_a_job_without_a_permit_is_not_begun(horse: Stable) -> None:
    horse.send(of_numbers(4), permits=2, age_s=60.0)
    assert [horse.receive().execution_id for _ in range(2)] == ["0", "1"]
    assert horse.value(double, 4) == 8, "nor later, on the permit of another frame"


def test_a_permit_of_a_later_frame_begins_only_that(horse: Stable) -> None:
    horse.end.generation = 7
    horse.send(of_numbers(2), permits=0, age_s=60.0)
    horse.send([execution("later", fields_of(double, (1,), Policy()))])
    assert horse.receive().execution_id == "later"
    assert horse.end.revoke() == 0


def test_a_horse_that_must_be_retired_begins_nothing_more_of_its_frame(horse: Stable) -> None:
    horse.send([execution("spoils", fields_of(leaves_a_thread, (), Policy())), *of_numbers(3)], age_s=-60.0)
    frame = horse.receive()
    assert (frame.execution_id, read_outcome(frame)[1]) == ("spoils", "thread")
    assert horse.quit() == 0
    assert horse.end.revoke() == 3


def test_a_megabyte_goes_both_ways(horse: Stable) -> None:
    data = os.urandom(500_000)
    assert horse.value(double, data) == data * 2


def test_what_a_job_raises_leaves_the_horse_fit(horse: Stable) -> None:
    for func, exc_type in ((boom, "builtins.ValueError"), (leaves, "builtins.SystemExit")):
        outcome, retire = horse.run(func)
        assert (outcome.reason, outcome.exc_type, retire) == (Reason.EXCEPTION, exc_type, None)
    assert horse.value(double, 2) == 4


def test_a_job_whose_call_cannot_be_read_fails_with_the_reason(horse: Stable) -> None:
    for flat in ([b"s", b"started", b"q", b"default", b"c0", b"\xc1"], [b"s", b"no status"], []):
        horse.send([execution("e", flat)])
        outcome, retire = horse.outcome()
        assert (outcome.reason, retire) == (Reason.SERIALIZATION, None)
        assert "j1" in (outcome.exc_string or "")


def test_what_is_no_frame_ends_it(horse: Stable) -> None:
    horse.sock.sendall(b"GET / HTTP/1.1\r\n")
    assert horse.ended() == 71


def test_what_a_job_prints_is_seen_when_it_has_ended(tmp_path: Path) -> None:
    program = (
        "import os, sys; from tests.process.test_horse import Stable, prints; from pathlib import Path\n"
        f"horse = Stable(Path({str(tmp_path / 'notes')!r})); horse.ready(); horse.run(prints)\n"
        "os.write(1, b'then this\\n'); horse.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG)
    assert done.stdout.splitlines() == ["seen at once", "then this"], done.stderr


# -- just after the fork -----------------------------------------------------------------------------------------------


def test_it_has_nothing_of_its_workers_that_it_should_not_have(start: Start) -> None:
    worker = WorkerInfo("w1", os.getpid(), ("high", "low"), "host")
    before = signal.signal(signal.SIGUSR1, ours)
    try:
        horse = start(HorseSettings(worker=worker))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert horse.ready() is None
    assert horse.value(surroundings) == {
        "job": "j1",
        "worker": ["w1", os.getpid(), ("high", "low"), "host"],
        "ppid": os.getpid(),
        "group": horse.pid,
        "pid": horse.pid,
        "stdin": b"",
        "sigint_ignored": True,
        "sigterm_default": True,
        "usr1_default": True,
        "mask": [],
        "wakeup_fd": -1,
        "core": 0,
    }


@linux
def test_descriptors_of_the_workers_loop_are_closed_and_its_own_are_out_of_the_way(start: Start) -> None:
    before = set(open_fds())
    horse = start()
    horse.ready()
    theirs = set(horse.value(open_fds))
    assert horse.sock.fileno() not in theirs - before
    assert len([fd for fd in theirs if fd >= 500]) == 4, "the socket, the permits, the whispers and the stack file"
    links = [Path(f"/proc/{horse.pid}/fd/{fd}") for fd in theirs]
    inodes = {link.stat().st_ino for link in links if link.exists()}
    assert os.fstat(horse.sock.fileno()).st_ino not in inodes


def test_ctrl_c_does_not_reach_it(horse: Stable) -> None:
    os.kill(horse.pid, signal.SIGINT)
    assert horse.value(double, 2) == 4


def test_sigterm_ends_it(horse: Stable) -> None:
    os.kill(horse.pid, signal.SIGTERM)
    assert horse.ended() == -signal.SIGTERM


def test_a_horse_whose_worker_died_before_it_was_ready_ends_at_once(start: Start) -> None:
    horse = start(parent_pid=1)
    assert horse.ended() == 0
    with pytest.raises(EOFError):
        horse.receive()


@linux
def test_a_busy_horse_dies_with_its_worker(tmp_path: Path) -> None:
    read_fd, write_fd = os.pipe()
    worker = os.fork()
    if worker == 0:
        one = Stable(tmp_path / "notes")
        one.ready()
        one.give(hang)
        os.write(write_fd, str(one.pid).encode())
        signal.pause()
        os._exit(1)
    horse_pid = int(os.read(read_fd, 20))
    os.close(read_fd)
    os.close(write_fd)
    assert not is_gone(horse_pid)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    eventually(lambda: is_gone(horse_pid), message="the horse died with its worker")


# -- between jobs ------------------------------------------------------------------------------------------------------


def test_what_a_job_changes_in_its_process_is_put_back(horse: Stable) -> None:
    before = horse.value(state)
    assert horse.value(makes_a_mess) is None
    assert horse.value(state) == before
    assert before["context"] == "clean"
    os.kill(horse.pid, signal.SIGINT)
    assert horse.value(double, 1) == 2, "SIGINT is ignored again"


def test_a_job_that_blocked_the_alarm_does_not_cost_the_next_one_its_limit(horse: Stable) -> None:
    horse.value(makes_a_mess)
    assert horse.run(hang, policy=Policy(job_timeout=0.1))[0].reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    ("func", "why"),
    [
        (leaves_a_thread, "thread"),
        (leaves_a_child, "child"),
        (out_of_memory, "memory-error"),
        (endless_recursion, "recursion-error"),
        (leaks_fds, "fds"),
        (closes_stdin, "fds"),
    ],
)
def test_a_job_after_which_nobody_knows_retires_its_horse(horse: Stable, func: Callable[..., Any], why: str) -> None:
    assert horse.run(func)[1] == why


@pytest.mark.parametrize("func", [waits_for_its_child, leaves_a_zombie])
def test_children_that_have_ended_do_not_count(horse: Stable, func: Callable[..., Any]) -> None:
    assert horse.run(func)[1] is None
    assert horse.run(double, 1)[1] is None


def test_a_horse_that_has_grown_too_large_is_retired(start: Start) -> None:
    for max_memory, why in ((1 << 20, "memory"), (1 << 40, None)):
        horse = start(HorseSettings(max_memory=max_memory))
        horse.ready()
        assert horse.run(double, 1)[1] == why


def test_a_time_out_is_the_outcome_and_retires_the_horse(horse: Stable) -> None:
    outcome, retire = horse.run(hang, policy=Policy(job_timeout=0.1))
    assert (outcome.reason, outcome.exc_type) == (Reason.TIMEOUT, "rqlike.timeouts.JobTimeoutException")
    assert "in hang" in (outcome.exc_string or "")
    assert retire == "timeout"


def test_a_value_returned_after_the_time_out_counts_and_the_horse_is_retired_all_the_same(horse: Stable) -> None:
    outcome, retire = horse.run(returns_in_spite_of_its_limit, policy=Policy(job_timeout=0.1))
    assert (outcome.reason, retire) == (None, "timeout")


# -- jobs that break things --------------------------------------------------------------------------------------------


def test_a_job_that_forks_and_returns_twice_has_one_outcome(horse: Stable) -> None:
    horse.give(forks_and_returns_twice)
    outcome, _ = horse.outcome()
    assert outcome.value is not None
    assert loads_result(resolve_serializer("msgpack"), outcome.value) == "parent"
    horse.give(double, 1, execution_id="next")
    assert horse.receive().execution_id == "next"
    assert horse.quit() == 0
    with pytest.raises(EOFError):  # comes when the forked process has ended too
        horse.receive()


def test_a_job_that_closes_all_descriptors_ends_its_horse_with_a_code_of_its_own(horse: Stable) -> None:
    horse.give(closes_all_fds)
    assert horse.ended() == LOST_SOCKET
    with pytest.raises(EOFError):
        horse.receive()


@linux
def test_nothing_is_written_into_a_file_that_took_the_sockets_place(horse: Stable, tmp_path: Path) -> None:
    path = tmp_path / "data of the job"
    horse.give(takes_the_place_of_the_socket, str(path))
    assert horse.ended() == LOST_SOCKET
    assert path.read_bytes() == b""


def test_a_horse_that_is_aborted_leaves_its_stack(horse: Stable) -> None:
    horse.value(double, 1)
    horse.give(kills_itself, int(signal.SIGABRT))
    assert horse.ended() == -signal.SIGABRT
    stack = horse.end.stack()
    assert "Aborted" in stack
    assert "in kills_itself" in stack


def test_an_outcome_that_nobody_reads_any_more_is_no_error(horse: Stable) -> None:
    horse.give(double, 1)
    horse.sock.close()
    assert horse.ended() == 0


# -- middleware --------------------------------------------------------------------------------------------------------


class Noting(Middleware):
    def __init__(self, notes: Path, *, broken: str = "") -> None:
        self.notes, self.broken = notes, broken

    def note(self, word: str) -> None:
        with self.notes.open("a") as file:
            file.write(f"{word}\n")
        if word.split()[0] == self.broken:
            raise LookupError(f"{word} is broken")

    def setup(self) -> None:
        self.note("setup")

    def after_fork(self) -> None:
        self.note("after_fork")

    def after_result(self, job: Any, result: Any) -> None:
        record: ResultRecord = result
        assert record.type in ResultType
        self.note(f"after_result {job.id} {record.id} {record.execution_id}")


def test_it_is_set_up_once_before_the_first_job(start: Start, tmp_path: Path) -> None:
    horse = start(HorseSettings(middleware=[Noting(tmp_path / "notes")]))
    assert horse.ready() is None
    horse.value(double, 1)
    horse.value(double, 1)
    assert notes_of(horse) == ["after_fork", "setup"]


@pytest.mark.parametrize("hook", ["setup", "after_fork"])
def test_a_horse_that_cannot_be_set_up_tells_why_and_ends(start: Start, tmp_path: Path, hook: str) -> None:
    horse = start(HorseSettings(middleware=[Noting(tmp_path / "notes", broken=hook)]))
    assert f"LookupError: {hook} is broken" in str(horse.ready())
    assert horse.ended() == 1


class Prepared(Middleware):
    def setup(self) -> None:
        os.umask(0o007)
        threading.Thread(target=hang, daemon=True).start()


def test_what_middleware_has_set_up_stays(start: Start) -> None:
    horse = start(HorseSettings(middleware=[Prepared()]))
    assert horse.ready() is None
    horse.value(makes_a_mess)
    assert horse.value(state)["umask"] == 0o007


# -- after the record --------------------------------------------------------------------------------------------------

SUCCESS = Policy(on_success=Callback(f"{__name__}.note_success"))
FAILURE = Policy(on_failure=Callback(f"{__name__}.note_failure"))


def test_on_success_gets_the_job_its_connection_and_the_value(horse: Stable) -> None:
    horse.run(double, "ab", policy=SUCCESS)
    assert horse.after("success", SUCCESS) == (None, None)
    assert notes_of(horse) == [repr(["success", "the job's connection", "abab"])]


def test_on_success_in_another_horse_reads_the_value_that_was_stored(start: Start) -> None:
    horse = start(HorseSettings(callback_connection=lambda: "a connection"))
    horse.ready()
    entry = entry_of(resolve_serializer("msgpack").dumps({"a": (1, 2)}))
    assert horse.after("success", SUCCESS, entry) == (None, None)
    assert notes_of(horse) == [repr(["success", "a connection", {"a": (1, 2)}])]


def test_on_failure_gets_the_exception_itself(horse: Stable) -> None:
    horse.run(boom, policy=FAILURE)
    assert horse.after("failure", FAILURE) == (None, None)
    assert notes_of(horse) == [repr(["failure", "builtins.ValueError", "boom", True, True])]


@pytest.mark.parametrize(
    ("exc_type", "exc_string", "told"),
    [
        (b"builtins.ValueError", b"Traceback\n  File\nValueError: a\nb", ["builtins.ValueError", "a\nb"]),
        (
            b"rqlike.exceptions.AbandonedJobError",
            b"The horse died.",
            ["rqlike.exceptions.AbandonedJobError", "The horse died."],
        ),
        (b"no_such.Error", b"no_such.Error: x", ["rqlike.running.callbacks.RemoteError", "x"]),
        (b"os.path", b"odd", ["rqlike.running.callbacks.RemoteError", "odd"]),
    ],
)
def test_on_failure_in_another_horse_gets_what_was_stored(
    horse: Stable, exc_type: bytes, exc_string: bytes, told: list[str]
) -> None:
    entry = entry_of(reason=b"exception", exc_type=exc_type, exc_string=exc_string)
    assert horse.after("failure", FAILURE, entry) == (None, None)
    assert notes_of(horse) == [repr(["failure", *told, False, True])]


def test_on_stopped_gets_the_job_and_its_connection(horse: Stable) -> None:
    assert horse.after("stopped", Policy(on_stopped=Callback(f"{__name__}.note_stopped"))) == (None, None)
    assert notes_of(horse) == [repr(["stopped", "the job's connection", True])]


def test_a_callback_that_fails_is_told_and_the_horse_goes_on(horse: Stable) -> None:
    for reference, told in ((f"{__name__}.double", "TypeError"), ("no_such_module.f", "no_such_module")):
        error, retire = horse.after("success", Policy(on_success=Callback(reference)))
        assert told in (error or "")
        assert retire is None
    assert horse.value(double, 1) == 2


def hanging_callback(*_: Any) -> None:
    hang()


def test_a_callback_has_its_own_limit_and_its_time_out_retires_the_horse(horse: Stable) -> None:
    policy = Policy(on_stopped=Callback(f"{__name__}.hanging_callback", timeout=0.1))
    error, retire = horse.after("stopped", policy)
    assert "on_stopped" in (error or "")
    assert "0.1 seconds" in (error or "")
    assert retire == "timeout"


def test_after_result_is_called_with_the_result_and_its_error_is_only_logged(start: Start, tmp_path: Path) -> None:
    horse = start(HorseSettings(middleware=[Noting(tmp_path / "notes", broken="after_result")]))
    horse.ready()
    assert horse.after("", Policy(), entry_of(b"\xc0")) == (None, None)
    assert notes_of(horse)[-1] == "after_result j1 5-0 e"
    assert horse.value(double, 1) == 2


def test_exception_handlers_are_called_in_order_until_one_returns_false(start: Start) -> None:
    handlers: list[Callable[..., object] | str] = [first_handler, f"{__name__}.last_handler", unreached_handler]
    horse = start(HorseSettings(exception_handlers=handlers))
    horse.ready()
    entry = entry_of(reason=b"exception", exc_type=b"builtins.KeyError", exc_string=b"KeyError: 'x'")
    assert horse.after("", Policy(), entry) == (None, None)
    assert notes_of(horse) == [repr(["first", "KeyError", "\"'x'\""]), repr(["last", "KeyError"])]


def test_exception_handlers_are_not_called_for_a_success(start: Start) -> None:
    horse = start(HorseSettings(exception_handlers=[first_handler]))
    horse.ready()
    assert horse.after("", Policy(), entry_of(b"\xc0")) == (None, None)
    assert notes_of(horse) == []
