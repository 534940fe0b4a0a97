"""Runs tasks, each on a server of its own, and keeps what they found together with where they ran."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.environments import interpreter, versions
from benchmarks.tasks import Task

HERE = Path(__file__).parent
IMPORTS = 10  #: fresh processes for each import
LONGEST_S = 600.0
QUIET = 0.1  #: processors that others may use on a machine whose figures mean something
#: what is imported, where its time is kept, in whose environment
IMPORTED = (
    ("import redis", "rqlike", "import redis"),
    ("import", "rqlike", "import rqlike"),
    ("import Queue", "rqlike", "from rqlike import Queue"),
    ("import Queue", "rq", "from rq import Queue"),
    ("import Queue", "huey", "from huey import RedisHuey"),
)


@dataclass
class Record:
    """What a run found: (name, queue) -> one result per round; and the conditions, as pairs for people."""

    conditions: dict[str, str] = field(default_factory=dict)
    runs: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    counts: list[tuple[str, float, float, str]] = field(default_factory=list)

    def add(self, name: str, peer: str, result: dict[str, Any]) -> None:
        """One more result; nothing where there is none."""
        if result:
            self.runs.setdefault((name, peer), []).append(result)

    def values(self, name: str, peer: str, metric: str) -> list[float]:
        """All that was found of one metric."""
        return [float(found[metric]) for found in self.runs.get((name, peer), []) if metric in found]

    def save(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        runs = [{"name": name, "queue": peer, "rounds": got} for (name, peer), got in self.runs.items()]
        kept = {"conditions": self.conditions, "counts": self.counts, "runs": runs}
        path.write_text(json.dumps(kept, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Record:
        """What `save` wrote."""
        kept = json.loads(path.read_text())
        runs = {(one["name"], one["queue"]): one["rounds"] for one in kept["runs"]}
        return cls(kept["conditions"], runs, [tuple(row) for row in kept["counts"]])


def say(text: str) -> None:
    """Progress, on a terminal in one line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def busy_s() -> float | None:
    """Seconds of processor time that the whole machine has used so far; None where no /proc tells it."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(ticks) for ticks in first[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_s() -> float:
    """Seconds of processor time that this process has used, with all processes it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def observed(python: Path, task: Task) -> dict[str, Any]:
    """A measurement, with how many processors others used meanwhile (`others`): the more, the less it is worth."""
    began, busy, own = time.monotonic(), busy_s(), own_s()
    result = measure(python, task)
    now = busy_s()
    if result and busy is not None and now is not None:
        result["others"] = max(0.0, now - busy - (own_s() - own)) / (time.monotonic() - began)
    return result


def measure(python: Path, task: Task) -> dict[str, Any]:
    """One measurement in the queue's own interpreter; empty, with a line on stderr, where it failed."""
    with servers.server(task.pin) as client:
        environment = {**os.environ, "BENCH_PORT": str(servers.port_of(client)), "BENCH_VARIANT": task.variant}
        words = [str(python), str(HERE / "measure.py"), *task.arguments()]
        command = servers.pinned(servers.PINS[task.pin][1], words)
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE, timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            print(f"\n{task.peer} {task.name}: not done in {LONGEST_S:.0f} s", file=sys.stderr)
            return {}
    if done.returncode:
        print(f"\n{task.peer} {task.name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return {}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def least_disturbed(python: Path, task: Task, times: int) -> dict[str, Any]:
    """A measurement, taken again up to `times` times while others disturb it: the least disturbed, whatever it says."""
    best = observed(python, task)
    for _ in range(times - 1):
        if best.get("others", 0.0) <= QUIET:
            break
        again = observed(python, task)
        best = min(best, again, key=lambda result: result.get("others", 0.0)) if again else best
    return best


def run(tasks: Sequence[Task], number: int, record: Record, times: int = 1) -> None:
    """All tasks, `number` rounds of them, into `record`; each up to `times` times where others disturb it."""
    pythons = {peer: interpreter(peer) for peer in dict.fromkeys(task.peer for task in tasks)}
    began = time.monotonic()
    for turn in range(number):
        for task in tasks:
            if turn and task.once:
                continue
            say(f"{time.monotonic() - began:5.0f} s  round {turn + 1} of {number}: {task.peer} {task.name}")
            record.add(task.name, task.peer, least_disturbed(pythons[task.peer], task, times))
    say("")


def imports(peers: Iterable[str], pin: str, record: Record) -> None:
    """How long fresh processes take to import, taking turns; the first turn, which writes bytecode, does not count."""
    wanted = [(name, peer, code, interpreter(peer)) for name, peer, code in IMPORTED if peer in peers]
    say(f"imports, {IMPORTS} processes each")
    for turn in range(IMPORTS + 1):
        for name, peer, code, python in wanted:
            timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
            command = servers.pinned(servers.PINS[pin][1], [str(python), "-c", timed])
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent.parent)
            if turn:
                record.add(name, peer, {"ms": 1000 * float(done.stdout)})
    say("")


def conditions(peers: Iterable[str], pin: str, number: int, command: Sequence[str]) -> dict[str, str]:
    """Where and how: for people who read the figures."""
    with servers.server(pin) as client:
        server = servers.version(client)
    pinned = {
        "split": "server on CPU 1, producer and worker on CPU 0",
        "one": "all on CPU 0",
        "none": "none",
    }
    return {
        "command": " ".join(["python -m benchmarks", *command]),
        "machine": f"{os.cpu_count()} CPUs, {processor()}, {platform.system()} {platform.release()}",
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "server": f"{server}, loopback, no persistence, a new one for each measurement",
        "pinning": pinned[pin],
        "Python": platform.python_version(),
        **{peer: versions(peer) for peer in peers},
        "rounds": str(number),
    }


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def disturbance(record: Record) -> str | None:
    """What to say of others on the machine; None where nothing was seen."""
    found = [result["others"] for got in record.runs.values() for result in got if "others" in result]
    if not found:
        return None
    told = f"{statistics.median(found):.2f} CPUs in the median measurement, {max(found):.2f} in the worst"
    return f"{told}; **above {QUIET}, so do not quote these figures**" if statistics.median(found) > QUIET else told


def workers(record: Record) -> Mapping[str, None]:
    """The command lines of the workers that were measured, each once."""
    found = (result["worker"] for got in record.runs.values() for result in got if "worker" in result)
    return dict.fromkeys(generic(line) for line in found)


def generic(line: str) -> str:
    """A command line with the port left out."""
    return " ".join("redis://…" if word.startswith("redis://") else word for word in line.split())
