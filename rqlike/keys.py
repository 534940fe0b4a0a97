"""Every key rqlike has in Redis, and the only place that spells one.

All keys of a namespace carry one hash tag, so a script is atomic over all of them and a Redis Cluster keeps them in
one slot. The methods are also written into the Lua verbs (`in_lua`), so a script cannot spell a key either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from rqlike.settings import DEFAULT_NAMESPACE

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Keys:
    """The keys of one namespace (`[A-Za-z0-9_.:-]{1,64}`; ValueError otherwise)."""

    __slots__ = ("namespace", "prefix")

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(
                f"namespace {namespace!r} is not 1 to 64 of the characters A-Z a-z 0-9 _ . : - ; "
                "it becomes part of every key"
            )
        self.namespace = namespace
        self.prefix = "{" + namespace + "}:"

    def queues(self) -> str:
        """Set of queue names. Written by enqueue and pause, read by listings; for ever."""
        return f"{self.prefix}queues"

    def sequence(self) -> str:
        """String, the counter behind a queue's order. Written by whatever queues a job; for ever."""
        return f"{self.prefix}sequence"

    def contact(self) -> str:
        """String: the moment at which any worker was last in contact, and after an outage the moment before which
        nobody is recovered. Written by each sweep and renewal; for ever."""
        return f"{self.prefix}contact"

    def watch(self) -> str:
        """Hash queue -> "moment worker": who wakes for the next due moment of a queue; under the empty name for the
        next schedule or permit. Written by claim."""
        return f"{self.prefix}watch"

    def pauses(self) -> str:
        """Hash queue -> "since until nonce reason", '' for all queues; until is - where it has no end. Written by
        pause, read by each claim; a field goes with resume, or with the first claim after its end."""
        return f"{self.prefix}pauses"

    def resumed(self, queue: str) -> str:
        """String: nonces of the call that resumed a queue last and of the pause it ended, so that neither acts again
        when it is sent again. TTL 5 s."""
        return f"{self.prefix}resumed:{queue}"

    def home(self, status: str, queue: str) -> str:
        """Sorted set of job ids, the home of one status in one queue. Score: place in the order (queued; from
        202 * 2^45 while a limit holds the job back), lease deadline (started), due time (scheduled), creation
        (deferred), expiry (terminal), in ms. Pruned by claim."""
        return f"{self.prefix}{status}:{queue}"

    def ttl(self, queue: str) -> str:
        """Sorted set of the ids of jobs with `ttl` that have not started, by deadline in ms. A side index, no home."""
        return f"{self.prefix}ttl:{queue}"

    def markers(self, queue: str) -> str:
        """Sorted set of at most 64 wake-up markers, no jobs. Idle workers block on it; gone with the last job."""
        return f"{self.prefix}wake:{queue}"

    def job(self, job_id: str) -> str:
        """Hash, one job; its fields stand in `fields.JOB`. Lives as long as the job; dated when the job ends."""
        return f"{self.prefix}job:{job_id}"

    def blob(self, field: str, job_id: str) -> str:
        """String, a call, meta or overrides of more than 512 bytes. Lives and dies with its job."""
        return f"{self.prefix}{field}:{job_id}"

    def results(self, job_id: str) -> str:
        """Stream, the last 10 executions of a job, and a notice where it left without one. Has the TTL of its job;
        where the job is gone at once 5 s, or until a waiter's deadline."""
        return f"{self.prefix}results:{job_id}"

    def live(self, job_id: str) -> str:
        """Stream of one entry, the newest progress that a job has told; watchers block on it. Written by `tell` while
        the job runs; lives and dies with its job, 5 s where the job is gone at once."""
        return f"{self.prefix}live:{job_id}"

    def log(self, job_id: str) -> str:
        """Stream, the last 1,000 lines that a job has written with `job.log`, of all its cycles. Written by `tell`
        while the job runs; lives and dies with its job, 5 s where the job is gone at once."""
        return f"{self.prefix}log:{job_id}"

    def scratch(self) -> str:
        """A stream on its way from its 4 kB node to a tight one; exists only inside a script."""
        return f"{self.prefix}scratch"

    def answer(self, nonce: str) -> str:
        """List: what a call that deletes many jobs has answered, so that it does nothing more when it is sent again.
        TTL 5 s."""
        return f"{self.prefix}answer:{nonce}"

    def schedules(self) -> str:
        """Sorted set of schedule keys by the moment, in ms, at which a worker is to look at them: the next slot, 2 s
        on where one is firing it, 10^14 where it is paused or over. Written by `schedule` and by each fire."""
        return f"{self.prefix}schedules"

    def schedule(self, key: str) -> str:
        """Hash, one schedule: its timetable, the template of its jobs, its next slot and its counters; the fields stand
        in `fields.SCHEDULE`. Lives until it is removed."""
        return f"{self.prefix}schedule:{key}"

    def fires(self, key: str) -> str:
        """List, the last 25 fires of a schedule, newest first. Lives and dies with it."""
        return f"{self.prefix}fires:{key}"

    def limits(self) -> str:
        """Sorted set of the limit keys for which jobs wait, by the moment, in ms, at which a worker is to look whether
        some of them may start. Written by claim; gone with the last job that waits."""
        return f"{self.prefix}limits"

    def waiting(self, key: str) -> str:
        """Sorted set of the ids of queued jobs that a limit key holds back, by their real place in the order. A side
        index: their home is the end of their queue. Ids of jobs that have left are dropped when they are met."""
        return f"{self.prefix}waiting:{key}"

    def holders(self, key: str) -> str:
        """Set of the ids of started jobs that a limit with `concurrency` counts. Written by claim, finish and whatever
        else ends a started job; gone with the last one."""
        return f"{self.prefix}holders:{key}"

    def tat(self, key: str) -> str:
        """String, the theoretical arrival time of a limit with a rate (GCRA), in ms with three decimals. Written by
        claim; its TTL ends when it says nothing any more."""
        return f"{self.prefix}tat:{key}"

    def unique(self, key: str) -> str:
        """String: the id of the job that holds a unique key. Written by whatever enqueues it. Without a TTL it goes
        when the job has ended; with one it stays for that time, unless the job is deleted."""
        return f"{self.prefix}unique:{key}"

    def dependents(self, job_id: str) -> str:
        """List of the jobs that wait for one to end: "number wish id". Written by enqueue; gone when it has ended, but
        for those that wait until one that failed is run again."""
        return f"{self.prefix}dependents:{job_id}"

    def unsettled(self) -> str:
        """Sorted set of ended jobs whose dependents have not all been told: "number outcome id", by the moment in ms at
        which a worker is to go on with it. Gone with the last one."""
        return f"{self.prefix}unsettled"

    def telling(self, number: str) -> str:
        """List, the dependents of one end of a job that are still to be told. Gone with the last one."""
        return f"{self.prefix}telling:{number}"

    def group(self, group_id: str) -> str:
        """Hash, one group; its fields stand in `fields.GROUP`. A day until its first job comes; once it is complete as
        long as the one of its jobs that is kept longest."""
        return f"{self.prefix}group:{group_id}"

    def members(self, group_id: str) -> str:
        """Sorted set of the ids of a group's jobs, in the order in which they came. Lives and dies with the group."""
        return f"{self.prefix}members:{group_id}"

    def pending(self, group_id: str) -> str:
        """Set of the ids of a group's jobs that have not ended. Gone with the last one."""
        return f"{self.prefix}pending:{group_id}"

    def events(self, queue: str) -> str:
        """Stream, the newest 10,000 or somewhat more steps in which jobs of a queue were moved; each has a field for
        each of up to eight transitions, a text that `events.read_event` reads. Written by whatever moves a job, in the
        same step; who follows the queue or watches one of its jobs blocks on it; for ever, unless events are switched
        off or the queue is obliterated."""
        return f"{self.prefix}events:{queue}"

    def muted(self) -> str:
        """Set of the queues whose events are switched off. Written by `Queue.enable_events`, read by whatever moves a
        job; gone with the last one."""
        return f"{self.prefix}muted"

    def workers(self) -> str:
        """Sorted set of worker names by the moment they are forgotten, in ms. Written by each renewal."""
        return f"{self.prefix}workers"

    def worker(self, name: str) -> str:
        """Hash, what one worker is and has done. TTL 60 s, renewed every 5, or 15 when it is idle."""
        return f"{self.prefix}worker:{name}"

    def call(self, worker: str) -> str:
        """String: number, moment, lease and token prefix of a worker's last claim, so that the same call sent again is
        answered the same, also after an outage. TTL one day, gone with the worker."""
        return f"{self.prefix}lastcall:{worker}"

    def control(self, worker: str) -> str:
        """Sorted set of commands to one worker, which blocks on it. TTL 60 s, gone with the worker."""
        return f"{self.prefix}control:{worker}"


@cache
def _methods() -> dict[str, Callable[..., str]]:
    return {name: method for name, method in vars(Keys).items() if callable(method) and not name.startswith("_")}


def documented() -> dict[str, tuple[str, str]]:
    """name -> (pattern, documentation) of every key, for the page about them."""
    keys, out = Keys(), {}
    for name, method in _methods().items():
        placeholders = [f"<{argument}>" for argument in _arguments(method)]
        out[name] = (method(keys, *placeholders), " ".join((method.__doc__ or "").split()))
    return out


def in_lua(name: str, arguments: Sequence[str]) -> str:
    """A key as a Lua expression over the local `PREFIX`; `arguments` are Lua expressions too.

    An expression and not a function: a script call would make the function anew each time, at 0.3 µs."""
    method = _methods()[name]
    if len(arguments) != len(_arguments(method)):
        raise ValueError(f"key_{name} takes {', '.join(_arguments(method)) or 'no arguments'}")
    holder = Keys.__new__(Keys)
    holder.namespace, holder.prefix = "", "\0"
    spelled = method(holder, *(f"\0\1{argument}\0" for argument in arguments))
    parts = [part for part in spelled.split("\0") if part]
    return f"({' .. '.join(['PREFIX', *(part[1:] if part[0] == chr(1) else repr(part) for part in parts)])})"


def _arguments(method: Callable[..., str]) -> tuple[str, ...]:
    code = method.__code__
    return code.co_varnames[1 : code.co_argcount]
