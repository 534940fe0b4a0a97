"""Real worker processes for the tests, each bound to the test's life, with its log at hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from rqlike import Job, Queue
from rqlike.results import Result
from rqlike.worker.guardian import NAME
from tests.servers import ROOT, Server, eventually, is_gone


class WorkerProcess:
    """One running worker; `name` is the name it registers under."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path, name: str) -> None:
        self.process = process
        self.log_file = log_file
        self.name = name
        self._zygote: int | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def says(self, text: str, timeout: float = 10.0) -> None:
        """Waits until its log has the text."""
        message = f"{text!r} in the log of {self.name}"
        eventually(lambda: text in self.log or self._ended(text), timeout, message=message)

    def _ended(self, text: str) -> bool:
        assert self.process.poll() is None or text in self.log, f"{self.name} ended:\n{self.log}"
        return False

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def ends(self, timeout: float = 15.0) -> int:
        """Its exit code; AssertionError with its log where it does not end in time."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout} s:\n{self.log}") from None

    def horses(self) -> list[int]:
        """The pids of its living horses."""
        zygote = self.zygote()
        return [pid for pid in self._family() if pid != zygote and not is_gone(pid)]

    def guardian(self) -> int | None:
        """The pid of the process that outlives it by a moment."""
        return next((pid for pid in self._children() if _is_guardian(pid)), None)

    def zygote(self) -> int | None:
        """The pid of the process that forks its horses; None where it does that itself."""
        oldest = next(iter(self._family()), None)
        if self._zygote is None and oldest is not None and not is_gone(oldest) and not _has_channel(oldest):
            self._zygote = oldest
        return self._zygote if self._zygote is not None and not is_gone(self._zygote) else None

    def _family(self) -> list[int]:
        """Its horses, and what forks them. The note of its horses is the guardian's; another child of the worker has
        it only until it knows what it is to become."""
        return [pid for pid in self._children() if not _holds(pid, "rqlike-horses")]

    def _children(self) -> list[int]:
        found = []
        for path in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(pid) for pid in path.read_text().split()]
        return found

    def zombies(self) -> list[int]:
        """The pids of its children that it has not waited for."""
        found = []
        for path in Path(f"/proc/{self.pid}/task").glob("*/children"):
            found += [int(pid) for pid in path.read_text().split() if is_gone(int(pid))]
        return found

    def cpu_s(self) -> float:
        """Seconds of processor time it has used, without its horses."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def _is_guardian(pid: int) -> bool:
    with suppress(OSError):
        return NAME.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _has_channel(pid: int) -> bool:
    """Whether it holds the file for its stack, as a horse does unless its job has closed it. A process that forks them
    does for a millisecond at a time."""
    return _holds(pid, "rqlike-stack", otherwise=True)


def _holds(pid: int, name: str, otherwise: bool = False) -> bool:
    """Whether a file so named is open in it; `otherwise` where that cannot be seen."""
    with suppress(OSError):
        return any(name in str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir())
    return otherwise


@dataclass
class Stable:
    """A namespace on a server, with queues and workers. Ends its workers on `close`."""

    server: Server
    namespace: str
    folder: Path
    started: list[WorkerProcess] = field(default_factory=list)
    clients: list[redis.Redis] = field(default_factory=list)

    def client(self) -> redis.Redis:
        if not self.clients:
            self.clients.append(self.server.client())
        return self.clients[0]

    def queue(self, name: str = "default", **options: Any) -> Queue:
        return Queue(name, self.client(), namespace=self.namespace, **options)

    def file(self, name: str = "told") -> str:
        return str(self.folder / name)

    def start(
        self,
        *queues: str,
        work: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] | None = None,
        path: Sequence[str] = (),
        url: str | None = None,
        simple: bool = False,
        wait: bool = True,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> WorkerProcess:
        """A worker on `queues` (default). `options` are Worker's, `work` those of `work()`, `plan` changes its plan."""
        name = options.setdefault("name", f"w{len(self.started) + 1}")
        asked = {
            "url": url or self.server.url,
            "namespace": self.namespace,
            "queues": list(queues or ("default",)),
            "options": options,
            "work": dict(work or {}),
            "plan": dict(plan or {}),
            "path": [str(folder) for folder in path],
            "simple": simple,
        }
        log_file = self.folder / f"{name}.{len(self.started)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.process.worker_main", json.dumps(asked)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
        worker = WorkerProcess(process, log_file, name)
        self.started.append(worker)
        if wait:
            worker.says("listens on")
        return worker

    def burst(self, *queues: str, **options: Any) -> WorkerProcess:
        """A worker that has drained the queues and ended."""
        work = {"burst": True, **options.pop("work", {})}
        worker = self.start(*queues, work=work, wait=False, **options)
        assert worker.ends(30.0) == 0, worker.log
        return worker

    def close(self) -> None:
        for worker in self.started:
            worker.close()
        for client in self.clients:
            client.close()


def outcome(job: Job[Any], timeout: float = 15.0) -> Result[Any]:
    """The result that ends the job's cycle."""
    found = job.latest_result(timeout=timeout)
    assert found is not None, f"{job.id} has no result after {timeout} s: {job.get_status()}"
    return found


def all_outcomes(jobs: Sequence[Job[Any]], timeout: float = 30.0) -> list[Result[Any]]:
    """What each job came to."""
    end = time.monotonic() + timeout
    return [outcome(job, max(0.05, end - time.monotonic())) for job in jobs]


def running(job: Job[Any], timeout: float = 10.0, interval: float = 0.01) -> None:
    """Waits until the job is started."""
    eventually(lambda: job.get_status() == "started", timeout, interval, f"{job.id} is started")


def pass_time(seconds: float) -> None:
    """For what must not happen within so many seconds, and for outages that last."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, seconds + 5.0, min(0.1, seconds))


def lines(told: Callable[[], Sequence[str]], count: int, timeout: float = 10.0) -> list[str]:
    """Waits until so many lines were told."""
    eventually(lambda: len(told()) >= count, timeout, message=f"{count} lines")
    return list(told())
