"""One waiter for thousands of jobs: what `wait` and `as_completed` cost it and the server while workers drain them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from rqlike import Job, Queue, as_completed, wait
from tests.load.figures import Figure
from tests.process import jobs as bodies
from tests.process.worker_main import bind_to_parent
from tests.process.workers import Stable
from tests.servers import ROOT, eventually

_LIMIT_S = 120.0
_WAYS = ("wait", "as_completed")

_FEW = "one for each job only where few are left"
_NO_VALUES = "no values are kept: its memory does not grow with them"


def gather(stable: Stable, *, count: int = 5000, size: int = 10_000, workers: int = 2) -> list[Figure]:
    """`count` jobs that return `size` bytes each, drained while nobody waits for them and while somebody does."""
    alone = _drain(stable, "nobody", count, size, workers)
    figures = [Figure("jobs", count), Figure("s that the workers need alone", alone["drain"])]
    for way in _WAYS:
        found = _drain(stable, way, count, size, workers)
        figures += [
            Figure(f"{way}: jobs that it did not tell", count - found["told"], 0, "promise 4"),
            Figure(f"{way}: s that the workers need", found["drain"]),
            Figure(f"{way}: s after the last one was recorded", found["late"], 1.0, "one look at what is left"),
            Figure(f"{way}: blocking reads", found["reads"], 250 + count / 20, _FEW),
            Figure(f"{way}: calls of scripts", found["scripts"], 250 + count / 10, _FEW),
            Figure(
                f"{way}: most connections at once", found["connections"], 2, "one that blocks, and the client's own"
            ),
            Figure(f"{way}: MB by which the waiter grew", found["grew"], 5 + count * size / 2e7, _NO_VALUES),
            Figure(f"{way}: s of processor time of the waiter", found["cpu"]),
            Figure(f"{way}: s of processor time of the server, more than alone", found["server"] - alone["server"]),
            Figure(f"{way}: which is % of a processor", 100 * (found["server"] - alone["server"]) / found["drain"]),
        ]
    return figures


def _drain(stable: Stable, way: str, count: int, size: int, workers: int) -> dict[str, float]:
    """Jobs that wait in a queue of their own, drained by new workers; seconds, and what the waiter tells of itself."""
    client, queue = stable.client(), stable.queue(f"gathered by {way}")
    data = Queue.prepare_data(bodies.big, (size,), result_ttl=3600)
    ids = [job.id for job in queue.enqueue_many([data] * count)]
    with _waiter(stable, way, ids) as process:
        started, spent = time.monotonic(), _server_s(client)
        for number in range(workers):
            stable.start(queue.name, name=f"{way}{number}", work={"burst": True}, wait=False)
        eventually(lambda: queue.counts().finished == count, _LIMIT_S, 0.02, "all jobs are finished")
        drained = time.monotonic()
        told = _told(process)
        spent = _server_s(client) - spent
    for worker in stable.started[-workers:]:
        worker.ends()
    return {**told, "drain": drained - started, "late": max(0.0, told.get("ended", 0) - drained), "server": spent}


def _server_s(client: redis.Redis) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"] + found["used_cpu_sys"])


@contextmanager
def _waiter(stable: Stable, way: str, ids: list[str]) -> Iterator[subprocess.Popen[str] | None]:
    """A process that waits for jobs, once it blocks; None for nobody."""
    if way not in _WAYS:
        yield None
        return
    asked = {"url": stable.server.url, "namespace": stable.namespace, "ids": ids, "way": way}
    command = [sys.executable, "-m", "tests.load.gather"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        client = stable.client()
        eventually(lambda: any(_is_blocked(one) for one in client.client_list()), _LIMIT_S, 0.01, "it blocks")
        yield process


def _is_blocked(one: dict[str, Any]) -> bool:
    return one["name"] == "gatherer" and one["cmd"] == "xread" and "b" in one["flags"]


def _told(process: subprocess.Popen[str] | None) -> dict[str, float]:
    if process is None:
        return {}
    assert process.stdout is not None
    told: dict[str, float] = json.loads(process.stdout.read())
    assert process.wait(10) == 0
    return told


class _Counting(redis.UnixDomainSocketConnection):
    """Counts what is sent over connections of its kind, and how many of these there are."""

    sent = {"XREAD": 0, "EVALSHA": 0}  # noqa: RUF012
    open = most = 0

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        head = (command if isinstance(command, bytes) else b"".join(command))[:40]
        for word in _Counting.sent:
            _Counting.sent[word] += word.encode() in head
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

    def _connect(self) -> Any:
        _Counting.open += 1
        _Counting.most = max(_Counting.most, _Counting.open)
        return super()._connect()  # type: ignore[no-untyped-call]

    def disconnect(self, *args: Any) -> None:
        _Counting.open -= self._sock is not None
        super().disconnect(*args)  # type: ignore[no-untyped-call]


def main() -> None:
    """The process that waits."""
    bind_to_parent()
    asked = json.loads(sys.stdin.read())
    path = asked["url"].removeprefix("unix://")
    pool = redis.ConnectionPool(_Counting, path=path, client_name="gatherer")
    with redis.Redis(connection_pool=pool) as client:
        jobs = [job for job in Job.fetch_many(asked["ids"], client, asked["namespace"]) if job is not None]
        wait(jobs, 0)
        _Counting.sent = dict.fromkeys(_Counting.sent, 0)
        before, cpu = _peak_kb(), time.process_time()
        if asked["way"] == "wait":
            told = len(wait(jobs, _LIMIT_S).done)
        else:
            told = sum(1 for _ in as_completed(jobs, _LIMIT_S))
        report = {"ended": time.monotonic(), "cpu": time.process_time() - cpu, "grew": (_peak_kb() - before) / 1024}
    sent = _Counting.sent
    report.update(told=told, connections=_Counting.most, reads=sent["XREAD"], scripts=sent["EVALSHA"])
    print(json.dumps(report))


def _peak_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
