"""The guardian: what a killed worker's jobs have started does not outlive it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rqlike.worker.channel import HorseEnd
from rqlike.worker.guardian import Guardian
from rqlike.worker.supervisor import Supervisor
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, WorkerProcess, lines
from tests.servers import eventually, is_gone


def guardian_of(worker: WorkerProcess) -> int:
    """Its pid, once it is there."""
    found = eventually(worker.guardian, message="a guardian is there")
    assert found is not None
    return found


def program_of(stable: Stable, name: str) -> int:
    """The pid of a program that a running job has started."""
    stable.queue().enqueue(jobs.child_of, stable.file(name))
    (line,) = lines(lambda: told(stable.file(name)), 1)
    return int(line)


@pytest.mark.parametrize("options", [{}, {"jobs_per_horse": 1}, {"concurrency": 3}], ids=["", "isolate", "three"])
def test_what_a_job_has_started_ends_when_its_worker_is_killed(stable: Stable, options: dict[str, Any]) -> None:
    worker = stable.start(**options)
    programs = [program_of(stable, f"told{number}") for number in range(options.get("concurrency", 1))]
    horses, guardian = worker.horses(), guardian_of(worker)
    worker.kill()
    for pid in (*programs, *horses, guardian):
        eventually(lambda: is_gone(pid), 2.0, message=f"{pid} ends with its worker")  # noqa: B023


def test_a_guardian_ends_with_its_worker_and_is_waited_for(stable: Stable) -> None:
    worker = stable.start()
    guardian = guardian_of(worker)
    worker.terminate()
    assert worker.ends() == 0
    assert is_gone(guardian)


def test_a_guardian_that_was_killed_is_replaced_and_the_next_one_knows_all_horses(stable: Stable) -> None:
    worker = stable.start()
    program = program_of(stable, "told")
    first = guardian_of(worker)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: worker.guardian() not in (None, first), message="another guardian is there")
    assert worker.zombies() == []
    worker.kill()
    eventually(lambda: is_gone(program), 2.0, message="the program ends with its worker")


def test_a_guardian_holds_nothing_of_its_worker_but_the_pipe(stable: Stable) -> None:
    worker = stable.start(concurrency=2)
    program_of(stable, "told")
    guardian = guardian_of(worker)
    os.kill(guardian, signal.SIGKILL)  # the second one is forked while connections and channels are open
    second = eventually(lambda: worker.guardian() if worker.guardian() != guardian else None)

    held = {str(path.readlink()) for path in Path(f"/proc/{second}/fd").iterdir()}
    assert sorted(one.partition(":")[0] for one in held) == ["/dev/null", "/memfd", "pipe"]


def test_a_signal_for_the_whole_group_of_a_worker_is_not_for_its_guardian(stable: Stable) -> None:
    worker = stable.start()
    guardian = guardian_of(worker)
    assert os.getpgid(guardian) != os.getpgid(worker.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guardian, number)
    assert worker.guardian() == guardian


def test_a_worker_goes_on_without_a_guardian_where_there_is_no_shell_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def horse(end: HorseEnd, close_fds: Sequence[int]) -> NoReturn:
        while True:
            signal.pause()

    supervisor = Supervisor(
        horse,
        concurrency=1,
        jobs_per_horse=1,
        kill_grace=1.0,
        before_fork=lambda: None,
        inherited=lambda: (),
        guardian=Guardian(room=2, shell="/nowhere/sh"),
    )
    with caplog.at_level("WARNING", "rqlike"):
        supervisor.staff(1)
        supervisor.reap()
    assert len(supervisor.horses) == 1
    supervisor.end()
    assert caplog.text.count("no guardian could be started") == 1


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    made = Guardian(room=2)
    made.start()
    yield made
    made.end()


def test_a_guardian_works_where_low_descriptors_are_free() -> None:
    """Its pipe and its list may be given the very numbers under which the shell is to find them."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.closerange(3, 10)
        os.dup2(write, 9)
        made = Guardian(room=2)
        made.start()
        held = {Path(f"/proc/{made._pid}/fd/{number}").readlink().name.partition(":")[0] for number in (3, 4)}
        os.write(9, " ".join(sorted(held)).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as heard:  # noqa: PTH123  # a descriptor
        assert heard.read() == b"memfd pipe"
    os.waitpid(child, 0)


def test_a_guardian_that_dies_at_once_is_started_once_a_second(tmp_path: Path) -> None:
    shell = tmp_path / "sh"
    shell.write_text(f"#!/bin/sh\necho x >> {tmp_path}/starts\n")
    shell.chmod(0o755)
    made = Guardian(room=2, shell=str(shell))
    for _ in range(5):
        made.keep(100.0)
        eventually(lambda: not made.lives(), message="it has died")
    made.keep(100.9)
    assert made.due_s == 101.0
    made.keep(101.0)
    eventually(lambda: not made.lives())
    made.end()
    assert len(told(tmp_path / "starts")) == 2


def test_one_horse_too_many_is_not_guarded_and_does_no_harm(guardian: Guardian) -> None:
    nobody = 2**30  # no system has such a pid
    for pid in (nobody + 1, nobody + 2, nobody + 3):
        guardian.note(pid)
    for pid in (nobody + 3, nobody + 1, nobody + 2):
        guardian.forget(pid)
    assert guardian.lives()
