"""What is measured: one `Task` for each measurement of a queue, and which of them make up a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ENQUEUES, BULK, WAITS, MEMORY = 3000, 20_000, 300, 1000
DRAIN_S = 2.5  #: longest time a drain is looked at
DEPTHS = (1_000, 100_000)
MILLION = 1_000_000
FIRST = 5_000  #: jobs drained from the front of a deep queue
LEAST = 400  #: jobs put in for a drain, at least

#: (queue, variant of its worker): more jobs per second than it does on a fast machine, so that none runs dry
FASTEST = {
    ("rqlike", "default"): 12_000,
    ("rqlike", "c2"): 12_000,
    ("rqlike", "no-prefetch"): 4_000,
    ("rqlike", "isolate"): 500,
    ("rq", "fork"): 180,
    ("rq", "simple"): 1_000,
    ("huey", "proc1"): 4_000,
}
#: how each queue works where nothing else is said
PLAIN = {"rqlike": "default", "rq": "fork", "huey": "proc1"}
#: and where somebody waits for a value: without its blocking results huey's callers would poll
WAITING = {**PLAIN, "huey": "notify1"}
#: those whose users ask for one value at once: by `enqueue_and_wait`, or by what RQ's users write for it
ASKING = ("rqlike", "rq")
#: what jobs of one call are given each; `all` is delay, unique and retry, `all by key` has unique keys of its own
OPTIONS = ("delay", "unique", "unique key", "retry", "all", "all by key")


@dataclass(frozen=True)
class Task:
    """One measurement of one queue. `name` is what results are kept under, `group` what `--only` asks for."""

    name: str
    group: str
    peer: str
    what: str
    pin: str
    variant: str = ""
    load: str = "noop"
    count: int = 1
    depth: int = 0
    seconds: float = DRAIN_S
    forget: bool = False
    options: str = ""  #: of jobs put in by one call; see `OPTIONS`
    once: bool = False  #: whether one round is enough: it counts, or looks at something that does not vary

    def arguments(self) -> list[str]:
        """For measure.py."""
        said = {
            "--variant": self.variant,
            "--load": self.load,
            "--options": self.options,
            "--count": self.count,
            "--depth": self.depth,
            "--seconds": self.seconds,
        }
        words = [self.peer, self.what, *(str(word) for pair in said.items() for word in pair)]
        return [*words, "--forget"] if self.forget else words


def drained(peer: str, variant: str, load: str = "noop", seconds: float = DRAIN_S) -> int:
    """How many jobs to put in, so that a drain lasts about `seconds` with half a second to spare."""
    name, _, ms = load.partition(":")
    fastest = FASTEST[peer, variant]
    if name != "noop":
        fastest = min(fastest, (2_000 if variant == "c2" else 1_000) // int(ms) + 1)
    return max(LEAST if name == "noop" else 20, int(fastest * (seconds + 0.5)))


def drain(group: str, name: str, peer: str, variant: str, pin: str, load: str = "noop", forget: bool = False) -> Task:
    """A drain by one worker."""
    return Task(name, group, peer, "drain", pin, variant, load, drained(peer, variant, load), forget=forget)


def deep(peer: str, depth: int, pin: str) -> Task:
    """Enqueue and drain of a queue with `depth` jobs in it. A slow worker is looked at for `DRAIN_S` only."""
    variant = PLAIN[peer]
    count = min(FIRST, drained(peer, variant))
    return Task(f"depth {depth}", "depth", peer, "depth", pin, variant, count=count, depth=depth)


def plan(peers: Iterable[str], pin: str, full: bool) -> Iterator[Task]:
    """One round; the queues take turns in everything."""
    peers = tuple(peers)
    yield from (Task("enqueue", "enqueue", peer, "enqueue", pin, count=ENQUEUES) for peer in peers)
    yield from (Task("bulk", "bulk", peer, "bulk", pin, count=BULK) for peer in peers)
    if "rqlike" in peers:
        named = (("plain", ""), *((one, one) for one in OPTIONS))
        yield from (
            Task(f"many {name}", "options", "rqlike", "many", pin, options=said, count=BULK) for name, said in named
        )
    yield from (drain("drain", "drain", peer, PLAIN[peer], pin) for peer in peers)
    if "rq" in peers:
        yield drain("drain", "drain simple", "rq", "simple", pin)
    if "rqlike" in peers:
        yield drain("drain", "drain no-prefetch", "rqlike", "no-prefetch", pin)
        yield drain("drain", "drain isolate", "rqlike", "isolate", pin)
        yield drain("results", "drain forget", "rqlike", "default", pin, forget=True)
        yield drain("horses", "horses 1", "rqlike", "default", "none", load="burn:5")
        yield drain("horses", "horses 2", "rqlike", "c2", "none", load="burn:5")
    if pin == "split":
        yield from (drain("one", "drain one", peer, PLAIN[peer], "one") for peer in peers)
    yield from (Task("wait", "wait", peer, "wait", pin, WAITING[peer], count=WAITS) for peer in peers)
    yield from (Task("ask", "ask", peer, "ask", pin, PLAIN[peer], count=WAITS) for peer in peers if peer in ASKING)
    if "rqlike" in peers:
        yield from (deep("rqlike", depth, pin) for depth in (*DEPTHS, *((MILLION,) if full else ())))
    yield from (Task("start", "start", peer, "start", pin, PLAIN[peer]) for peer in peers)
    yield from (Task("idle", "idle", peer, "idle", pin, PLAIN[peer], once=True) for peer in peers)
    quickest = {**PLAIN, "rq": "simple"}  # the same keys
    yield from (
        Task("memory", "memory", peer, "memory", pin, quickest[peer], count=MEMORY, once=True) for peer in peers
    )


GROUPS = (
    *("counts", "enqueue", "bulk", "options", "drain", "one", "results", "horses", "wait", "ask", "depth", "start"),
    *("idle", "memory", "import"),
)


def chosen(tasks: Iterable[Task], only: Iterable[str]) -> Iterator[Task]:
    """Those of the groups `only`; `results` needs the plain drain of rqlike beside its own."""
    groups = set(only)
    for task in tasks:
        compared = "results" in groups and (task.name, task.peer) == ("drain", "rqlike")
        if task.group in groups or compared:
            yield task
