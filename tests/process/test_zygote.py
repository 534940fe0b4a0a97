"""Workers that fork a horse for each job have a zygote do it, and nobody can tell the difference."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import NoReturn

import pytest

from rqlike.running.middleware import Middleware
from rqlike.worker.channel import HorseEnd, open_channel
from rqlike.worker.zygote import Birth, Zygote, ZygoteLost
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, WorkerProcess, lines, outcome
from tests.servers import ROOT, eventually, is_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such fork")
CALLED = "a hook ran"
LOST = "the zygote is lost"


class Hooked(Middleware):
    """Does something in the worker between two forks."""

    def before_fork(self) -> None:
        print(CALLED, flush=True)


class Placed(Middleware):
    """Notes in which processes it was set up."""

    pids: tuple[int, ...] = ()

    def setup(self) -> None:
        Placed.pids = (*Placed.pids, os.getpid())


def set_up_in() -> list[int]:
    return [os.getpid(), *Placed.pids]


def chance() -> float:
    return random.random()


def signals_itself() -> list[int]:
    got: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    return got


def starts_a_thread() -> int:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(threading.get_native_id()))
    thread.start()
    thread.join()
    return seen[0] - os.getpid()


def isolating(stable: Stable, **options: object) -> tuple[WorkerProcess, int]:
    """A worker with its zygote, which is there as soon as the first horse is."""
    worker = stable.start(jobs_per_horse=1, **options)  # type: ignore[arg-type]
    zygote = eventually(worker.zygote, message="a zygote")
    assert zygote is not None
    eventually(worker.horses, message="a horse")
    return worker, zygote


def test_its_horses_are_the_workers_own_children(stable: Stable) -> None:
    worker, zygote = isolating(stable)
    for _ in range(3):
        pid, group, parent = stable.queue().enqueue(jobs.standing).wait(5)
        assert (pid, parent) == (group, worker.pid)
        assert pid != zygote
    assert worker.zygote() == zygote


def test_its_horses_have_nothing_open_but_their_channel(stable: Stable) -> None:
    isolating(stable, concurrency=2)
    for _ in range(3):
        seen = stable.queue().enqueue(jobs.descriptors).wait(5)
        kinds = sorted(target.partition(":")[0] for number, target in seen.items() if int(number) > 2)
        channel = [kind for kind in kinds if not kind.startswith("/proc")]
        assert channel == ["/memfd", "pipe", "pipe", "socket"], seen
        assert seen["0"] == "/dev/null"


def test_a_worker_whose_horses_run_many_jobs_has_none(stable: Stable) -> None:
    worker = stable.start()
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1
    assert worker.zygote() is None


def test_a_hook_before_each_fork_is_called_in_the_worker_so_that_is_who_forks(stable: Stable) -> None:
    worker = stable.start(jobs_per_horse=1, middleware=[f"{__name__}.Hooked"])
    for number in range(3):
        assert stable.queue().enqueue(jobs.echo, number).wait(5) == number
    assert worker.zygote() is None
    assert worker.log.count(CALLED) >= 3


def test_middleware_is_set_up_in_each_horse_and_not_before(stable: Stable) -> None:
    isolating(stable, middleware=[f"{__name__}.Placed"])
    for _ in range(3):
        pid, *where = stable.queue().enqueue(set_up_in).wait(5)
        assert where == [pid]


def test_what_python_makes_anew_after_a_fork_is_made_anew(stable: Stable) -> None:
    isolating(stable)
    assert stable.queue().enqueue(chance).wait(5) != stable.queue().enqueue(chance).wait(5)


def test_a_horse_knows_the_number_of_its_own_thread(stable: Stable) -> None:
    isolating(stable)
    assert stable.queue().enqueue(signals_itself).wait(5) == [signal.SIGUSR1]
    assert stable.queue().enqueue(starts_a_thread).wait(5) > 0


def test_a_time_out_and_a_crash_are_told_as_ever(stable: Stable) -> None:
    isolating(stable)
    late = outcome(stable.queue().enqueue(jobs.mark, stable.file(), "slow", 30, job_timeout=0.2))
    assert (late.reason, late.exc_type) == ("timeout", "rqlike.timeouts.JobTimeoutException")
    crashed = outcome(stable.queue().enqueue(jobs.segv)).exc_string or ""
    assert "SIGSEGV" in crashed
    assert "in segv" in crashed


def test_without_it_the_worker_forks_itself_and_says_so(stable: Stable) -> None:
    worker, zygote = isolating(stable)
    os.kill(zygote, signal.SIGKILL)
    for number in range(3):
        assert stable.queue().enqueue(jobs.echo, number).wait(5) == number
    worker.says(LOST)
    assert worker.log.count(LOST) == 1
    eventually(lambda: not worker.zombies(), message="no zombies")


def test_a_horse_it_has_forked_but_not_told_of_is_buried() -> None:
    heard, said = os.pipe()

    def prepare(end: HorseEnd) -> Birth:
        os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGKILL))

        def start() -> NoReturn:
            os.write(said, str(os.getpid()).encode())
            time.sleep(30)
            os._exit(0)

        return start

    zygote = Zygote(prepare)
    ours, theirs = open_channel()
    zygote.start([])
    with pytest.raises(ZygoteLost):
        zygote.fork(theirs)
    horse = int(os.read(heard, 20))
    assert not is_gone(horse)
    zygote.end()
    assert is_gone(horse)
    with pytest.raises(ChildProcessError):
        os.waitpid(horse, 0)
    ours.close()
    theirs.close()
    os.close(heard)
    os.close(said)


def test_one_that_does_not_answer_is_given_up(stable: Stable) -> None:
    worker, zygote = isolating(stable)
    os.kill(zygote, signal.SIGSTOP)
    for number in range(3):
        assert stable.queue().enqueue(jobs.echo, number).wait(10) == number
    assert LOST in worker.log
    assert is_gone(zygote)


def test_signals_meant_for_workers_do_not_end_it(stable: Stable) -> None:
    worker, zygote = isolating(stable)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(zygote, number)
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1
    assert stable.queue().enqueue(jobs.echo, 2).wait(5) == 2
    assert worker.zygote() == zygote


def test_it_ends_with_its_worker_however_that_ends(stable: Stable) -> None:
    worker, zygote = isolating(stable)
    worker.terminate()
    assert worker.ends() == 0
    eventually(lambda: is_gone(zygote), 2.0)
    worker, zygote = isolating(stable)
    stable.queue().enqueue(jobs.mark, stable.file(), "busy", 30)
    lines(lambda: told(stable.file()), 1)
    horses = worker.horses()
    worker.kill()
    eventually(lambda: all(is_gone(pid) for pid in (zygote, *horses)), 2.0)


def test_a_horse_that_was_killed_is_noticed_at_once(stable: Stable) -> None:
    isolating(stable)
    job = stable.queue().enqueue(jobs.mark, stable.file(), "slow", 30)
    (line,) = lines(lambda: told(stable.file()), 1)
    began = time.monotonic()
    os.kill(int(line.split()[1]), signal.SIGKILL)
    assert outcome(job).reason == "killed"
    assert time.monotonic() - began < 0.2


def test_an_idle_horse_that_is_killed_is_replaced_in_its_own_time(stable: Stable) -> None:
    worker, zygote = isolating(stable)
    began = time.monotonic()
    for _ in range(4):
        (horse,) = eventually(worker.horses, interval=0.001, message="a horse")
        os.kill(horse, signal.SIGKILL)
        eventually(lambda: horse not in worker.horses(), interval=0.001)  # noqa: B023
    assert time.monotonic() - began > 0.3, "they were forked as fast as they died"
    assert stable.queue().enqueue(jobs.echo, 1).wait(5) == 1
    assert worker.zygote() == zygote


def test_finishing_one_job_and_claiming_the_next_is_one_call(stable: Stable) -> None:
    queued = [stable.queue().enqueue(jobs.echo, number) for number in range(20)]
    before = stable.client().info("commandstats")["cmdstat_evalsha"]["calls"]
    stable.burst(jobs_per_horse=1)
    calls = stable.client().info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert [job.wait(0) for job in queued] == list(range(20))
    assert calls < 20 * 1.6, "two calls for each job: the next horse was not known to be ready"


REHEARSAL = """
import signal
from rqlike.records import JobRecord
from rqlike.worker.frames import FrameKind, read_outcome
from rqlike.worker.rehearsal import rehearse
from rqlike.worker.signals import blocked

made: list[JobRecord] = []
with blocked():
    (said,) = rehearse(lambda record: made.append(record), times=2)
    assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
assert said.kind is FrameKind.OUTCOME
outcome, retires = read_outcome(said)
assert (outcome.reason, retires, len(made)) == (None, None, 2), outcome.exc_string
"""


def test_a_rehearsal_runs_all_that_a_horse_runs() -> None:
    subprocess.run([sys.executable, "-c", REHEARSAL], check=True, cwd=ROOT, timeout=30)
