"""Where a chaos run takes place: a server, workers behind networks of their own, and what is known of their ends."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from rqlike.failpoints import VARIABLE
from tests.chaos.bodies import LOG
from tests.chaos.evidence import Exit
from tests.chaos.kinds import ALL_QUEUES, MAX_CRASHES
from tests.process.proxies import UnsteadyProxy
from tests.process.workers import Stable, WorkerProcess
from tests.servers import Kind, Server, eventually, is_gone

MARK: Final = "RQLIKE_CHAOS_RUN"  #: in the environment of all processes of a run
SHUTDOWN_S: Final = 20.0
_ORPHAN_S: Final = 0.5
#: In which workers differ. Where they begin is left to the seed.
_MANNERS: Final[Sequence[Mapping[str, Any]]] = (
    {},
    {"prefetch": 1},
    {"jobs_per_horse": 1},
    {"jobs_per_horse": 20},
    {"strict_lease": True},
    {"work": {"dequeue_strategy": "round_robin"}},
)
AOF: Final = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@dataclass(slots=True)
class Post:
    """A place for one worker at a time."""

    number: int
    manner: Mapping[str, Any]
    proxy: UnsteadyProxy | None
    worker: WorkerProcess
    frozen: list[int] = field(default_factory=list)  #: pids that stand still
    doomed: bool = False  #: it is to die or to stand still at a failpoint
    stands_since: float | None = None  #: at one

    @property
    def isolates(self) -> bool:
        """Whether its worker forks for each job, by a zygote."""
        return self.manner.get("jobs_per_horse") == 1

    @property
    def listens(self) -> bool:
        """Whether it has come so far that it hears signals."""
        return "listens on" in self.worker.log


@dataclass(slots=True)
class Leaving:
    """A worker that was told to end."""

    worker: WorkerProcess
    since: float
    doomed: bool  #: it may die at a failpoint all the same


class Stage:
    """Posts, their workers, and a server. `lease_s` is their lease; with `networks` each post has a proxy."""

    def __init__(
        self, folder: Path, seed: int, *, posts: int, lease_s: float, networks: bool, kind: Kind = "valkey"
    ) -> None:
        self._stack = ExitStack()
        self.mark = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.server = self._stack.enter_context(Server(kind, options=AOF))
        self.stable = Stable(self.server, f"chaos-{seed}", folder)
        self._stack.callback(self._end)
        self.lease_s, self._log = lease_s, str(folder / "bodies")
        self.plan = {"lease_ms": round(lease_s * 1000), "renew_s": lease_s / 10}
        self.exits: list[Exit] = []
        self.leaving: list[Leaving] = []
        self.orphans: list[str] = []  #: horses that outlived their worker by far
        self._bereaved: list[tuple[int, float]] = []
        proxies = [self._proxy(seed * 100 + number) if networks else None for number in range(posts + 1)]
        self.road = proxies.pop()  # that of the producers
        self.posts: list[Post] = []
        for number, proxy in enumerate(proxies):
            manner = _MANNERS[(number + seed - 1) % len(_MANNERS)]
            self.posts.append(Post(number, manner, proxy, self._worker(number, manner, proxy)))
        for post in self.posts:
            post.worker.says("listens on", 30)

    def _proxy(self, seed: int) -> UnsteadyProxy:
        return self._stack.enter_context(UnsteadyProxy(self.server.socket, seed))

    def _worker(
        self, number: int, manner: Mapping[str, Any], proxy: UnsteadyProxy | None, failpoint: str = ""
    ) -> WorkerProcess:
        """One with two horses."""
        return self.stable.start(
            *(ALL_QUEUES if number % 2 else reversed(ALL_QUEUES)),
            url=None if proxy is None else proxy.url,
            plan=self.plan,
            wait=False,
            env={MARK: self.mark, VARIABLE: failpoint, LOG: self._log},
            concurrency=2,
            kill_grace=0.3,
            shutdown_timeout=SHUTDOWN_S,
            max_crashes=MAX_CRASHES,
            **manner,
        )

    # -- workers -------------------------------------------------------------------------------------------------------

    def replace(self, post: Post, failpoint: str = "") -> None:
        """A new worker for a post, which may be one that dies at some point."""
        post.frozen.clear()
        post.worker = self._worker(post.number, post.manner, post.proxy, failpoint)
        post.doomed, post.stands_since = failpoint.startswith("parent."), None

    def kill(self, post: Post) -> None:
        """SIGKILL to a worker, whose horses are to die with it."""
        horses = post.worker.horses()
        post.worker.kill()
        self._bereaved += [(horse, time.monotonic()) for horse in horses]

    def dismiss(self, post: Post) -> None:
        """SIGTERM, and a new worker at once."""
        self.leaving.append(Leaving(post.worker, time.monotonic(), post.doomed))
        post.worker.terminate()
        post.worker.signal(signal.SIGCONT)  # where it stands still at a failpoint
        self.replace(post)

    def tend(self) -> None:
        """Notes who has ended, and fills empty posts."""
        for one in list(self.leaving):
            code, took = one.worker.process.poll(), time.monotonic() - one.since
            if code is None and one.doomed and _stands_still(one.worker.pid):  # at a failpoint on its way out
                one.worker.signal(signal.SIGCONT)
            if code is not None or took > SHUTDOWN_S + 10:
                self.leaving.remove(one)
                if not (one.doomed and code == -signal.SIGKILL):
                    self.exits.append(Exit(one.worker.name, code, took, asked=True))
        for horse, since in list(self._bereaved):
            late = time.monotonic() - since > _ORPHAN_S
            if late or is_gone(horse):
                self._bereaved.remove((horse, since))
                self.orphans += [f"horse {horse}"] if late and not is_gone(horse) else []
        for post in self.posts:
            code = post.worker.process.poll()
            if code is not None:
                if not (post.doomed and code == -signal.SIGKILL):
                    said, name = post.worker.log[-300:], post.worker.name
                    self.exits.append(Exit(name, code, 0.0, asked=False, said=said, listened=post.listens))
                self.replace(post)
            elif post.doomed and not post.frozen:
                self._let_go_on(post)

    def _let_go_on(self, post: Post) -> None:
        """One that stands still at a failpoint stands there for longer than its lease."""
        now = time.monotonic()
        if not _stands_still(post.worker.pid):
            post.stands_since = None
        elif post.stands_since is None:
            post.stands_since = now
        elif now > post.stands_since + self.lease_s + 1.0:
            post.worker.signal(signal.SIGCONT)

    def dismiss_all(self) -> None:
        """SIGTERM to all; returns when they have ended."""
        for post in self.posts:
            self.leaving.append(Leaving(post.worker, time.monotonic(), post.doomed))
            post.worker.terminate()
            post.worker.signal(signal.SIGCONT)
        self.posts = []
        eventually(self._all_left, SHUTDOWN_S + 20, 0.02, "all workers have ended")

    def _all_left(self) -> bool:
        self.tend()
        return not self.leaving

    # -- processes -----------------------------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """All living processes that a worker of this run has started, and those they have."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in path.read_bytes().split(b"\0") and not is_gone(int(path.parent.name)):
                    found.append(int(path.parent.name))
        return found

    def _end(self) -> None:
        self.stable.close()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _stands_still(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
