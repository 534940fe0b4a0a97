"""What holds for a namespace after each step, read from a dump of all its keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from rqlike.events import Event, read_event
from rqlike.fields import ENTRY, EXTRA, GROUP, JOB
from rqlike.keys import Keys
from rqlike.limits import RateLimit
from rqlike.settings import BAND_WIDTH, HELD_PLACE, HISTORY_LENGTH, LOG_LINES, MARKERS
from rqlike.states import JobStatus
from tests.store.builders import BASE_MS, Dump
from tests.store.paths import strayed

_F: Final = {name: short.encode() for name, short in JOB.items()}
_E: Final = {name: short.encode() for name, short in ENTRY.items()}
_G: Final = {name: long.encode() for name, long in GROUP.items()}
_LIVE_ENDINGS: Final = ("call", "meta", "overrides")


def violations(dump: Dump, keys: Keys, now_ms: int) -> list[str]:
    """One sentence per broken rule."""
    return list(_Reading(dump, keys, now_ms).complaints())


def told_in(dump: Dump, keys: Keys) -> Iterator[Event]:
    """The events of all queues of a namespace, queue by queue."""
    head = keys.events("")
    for key, (kind, entries, _) in dump.items():
        if key.startswith(head) and kind == "stream":
            for entry_id, got in entries:
                for text in got.values():
                    event = read_event(key.removeprefix(head), entry_id.decode(), text.decode())
                    assert event is not None, got
                    yield event


class _Reading:
    """A dump, sorted into jobs, homes, streams and the rest."""

    def __init__(self, dump: Dump, keys: Keys, now_ms: int) -> None:
        self.dump, self.keys, self.now_ms = dump, keys, now_ms
        self.jobs = dict(self._under(keys.job("")))
        self.streams = dict(self._under(keys.results("")))
        self.ttls = dict(self._under(keys.ttl("")))
        self.wakes = dict(self._under(keys.markers("")))
        self.homes = {status: dict(self._under(keys.home(status, ""))) for status in JobStatus}

    def _under(self, prefix: str) -> Iterator[tuple[str, str]]:
        for key in self.dump:
            if key.startswith(prefix):
                yield key.removeprefix(prefix), key

    def field(self, job_id: str, name: str) -> bytes | None:
        value: bytes | None = self.dump[self.jobs[job_id]][1].get(_F[name])
        return value

    def status(self, job_id: str) -> JobStatus:
        return JobStatus((self.field(job_id, "status") or b"").decode())

    def complaints(self) -> Iterator[str]:
        yield from self._homes()
        for job_id in self.jobs:
            yield from self._expiry(job_id)
            yield from self._fields(job_id)
        for job_id in self.streams:
            yield from self._stream(job_id)
        yield from self._ttl_index()
        yield from self._wake_ups()
        yield from self._blobs()
        yield from self._told()
        yield from self._limits()
        yield from self._unique_keys()
        yield from self._dependents()
        yield from self._groups()
        for nonce, key in self._under(self.keys.answer("")):
            if self.dump[key][2] == -1:
                yield f"what the call {nonce} was answered stays for ever"
        yield from strayed(told_in(self.dump, self.keys), {job_id: self.status(job_id) for job_id in self.jobs})
        if self.keys.scratch() in self.dump:
            yield "the scratch key outlived its script"

    def _homes(self) -> Iterator[str]:
        found: dict[str, list[tuple[JobStatus, str]]] = defaultdict(list)
        for status, queues in self.homes.items():
            for queue, key in queues.items():
                for raw, score in self.dump[key][1]:
                    if status.terminal and score <= self.now_ms:
                        continue  # expired, and not pruned yet
                    found[raw.decode()].append((status, queue))
                    yield from self._member(raw.decode(), status, queue, score)
        for job_id in self.jobs:
            if self.status(job_id).terminal and 0 <= self.dump[self.jobs[job_id]][2] <= self.now_ms:
                continue
            own = [(self.status(job_id), (self.field(job_id, "queue") or b"").decode())]
            if found.get(job_id) != own:
                yield f"{job_id} is {own}, and its homes are {found.get(job_id)}"
        for job_id in found.keys() - self.jobs.keys():
            yield f"{job_id} is at home in {found[job_id]}, and there is no such job"

    def _member(self, job_id: str, status: JobStatus, queue: str, score: float) -> Iterator[str]:
        if job_id not in self.jobs:
            return
        place = self.field(job_id, "place")
        if status is JobStatus.QUEUED and score >= HELD_PLACE:
            yield from self._held(job_id, score)
        elif status is JobStatus.QUEUED and (place is None or float(place) != score):
            yield f"{job_id} is queued at {score} and says {place!r}"
        if status is JobStatus.SCHEDULED and float(self.field(job_id, "due") or -1) != score:
            yield f"{job_id} is scheduled for {score} and says {self.field(job_id, 'due')!r}"
        if score != int(score) if score != float("inf") else not status.terminal:
            yield f"{job_id} has the score {score} in {status} of {queue}"

    def _dependents(self) -> Iterator[str]:
        """Who is deferred stands in as many lists as it waits for jobs, and a list that nobody works through is that of
        a job which is there."""
        edges: dict[tuple[bytes, bytes], int] = defaultdict(int)
        listed = {member.split(b" ")[0] for member, _ in self.dump.get(self.keys.unsettled(), ("", [], 0))[1]}
        for parent, key in [*self._under(self.keys.dependents("")), *self._under(self.keys.telling(""))]:
            for edge in self.dump[key][1]:
                number, _, job_id = edge.split(b" ", 2)
                edges[job_id, number] += 1
            if key.startswith(self.keys.telling("")) and parent.encode() not in listed:
                yield f"the dependents under {parent} are forgotten"
            if key.startswith(self.keys.dependents("")) and self._has_gone(parent, listed):
                yield f"{parent} is gone, and others wait for it"
        for job_id in self.jobs:
            if self.status(job_id) is JobStatus.DEFERRED:
                number = self.field(job_id, "enrolled") or b""
                if edges[job_id.encode(), number] != int(self.field(job_id, "needs") or -1):
                    yield f"{job_id} waits for {self.field(job_id, 'needs')!r}, and stands in other lists"

    def _has_gone(self, parent: str, listed: set[bytes]) -> bool:
        return parent not in self.jobs and b"-" not in listed

    def _groups(self) -> Iterator[str]:
        """Those that have not ended are its jobs that live; where there are none it is complete, and expires."""
        living: dict[str, set[bytes]] = defaultdict(set)
        for job_id in self.jobs:
            if not self.status(job_id).terminal:
                living[(self.field(job_id, "group") or b"").decode()].add(job_id.encode())
        groups = dict(self._under(self.keys.group("")))
        listed = {member for member, _ in self.dump.get(self.keys.unsettled(), ("", [], 0))[1]}
        for group, key in groups.items():
            got, expiry = self.dump[key][1], self.dump[key][2]
            members = {raw for raw, _ in self.dump.get(self.keys.members(group), ("", [], 0))[1]}
            pending = self.dump.get(self.keys.pending(group), ("", set(), 0))[1]
            if pending != living[group] or not pending <= members:
                yield f"{group} waits for {pending!r} of {members!r}, and {living[group]!r} live"
            done, held = _G["done"] in got, f"- open {group}".encode() in listed
            if (done and pending) or not (done or pending or held or not members):
                yield f"{group} waits for {pending!r}, and says {got!r}"
            if members and got.get(_G["until_ms"]) != b"+inf" and done is not (expiry != -1):
                yield f"{group} is done: {done}, and expires at {expiry}"
        for name in [*dict(self._under(self.keys.members(""))), *dict(self._under(self.keys.pending("")))]:
            if name not in groups:
                yield f"members of {name} outlived it"

    def _limit(self, job_id: str) -> RateLimit | None:
        return RateLimit.from_text((self.field(job_id, "limit") or b"").decode())

    def _held(self, job_id: str, score: float) -> Iterator[str]:
        limit, place = self._limit(job_id), float(self.field(job_id, "place") or -1)
        if limit is None:
            yield f"{job_id} is held back, and has no limit"
            return
        if place % BAND_WIDTH != score - HELD_PLACE:
            yield f"{job_id} is held back at {score}, and its place is {place}"
        waiting = self.dump.get(self.keys.waiting(limit.key), ("", [], 0))[1]
        if dict(waiting).get(job_id.encode()) != place:
            yield f"{job_id} is held back, and {limit.key} does not know that it waits"
        if limit.key.encode() not in dict(self.dump.get(self.keys.limits(), ("", [], 0))[1]):
            yield f"{job_id} is held back, and nobody is to look at {limit.key}"

    def _unique(self, job_id: str) -> tuple[str, str]:
        """For how long it holds which key."""
        text = (self.field(job_id, "unique") or b"").decode()
        span, _, key = text.partition(" ")
        return (span, key) if key and span.isdigit() else ("0" if text else "", text)

    def _unique_keys(self) -> Iterator[str]:
        for key, name in self._under(self.keys.unique("")):
            holder, expiry = self.dump[name][1].decode(), self.dump[name][2]
            if expiry < 0 and (
                holder not in self.jobs or self.status(holder).terminal or self._unique(holder) != ("0", key)
            ):
                yield f"{key} is held by {holder}, which says nothing of it or has ended"
        for job_id in self.jobs:
            span, key = self._unique(job_id)
            held = self.dump.get(self.keys.unique(key), ("", b"", 0))[1]
            if span == "0" and not self.status(job_id).terminal and held != job_id.encode():
                yield f"{job_id} lives, and its key {key} is held by {held!r}"

    def _limits(self) -> Iterator[str]:
        for key, holders in self._under(self.keys.holders("")):
            for raw in self.dump[holders][1]:
                if raw.decode() not in self.jobs or self.status(raw.decode()) is not JobStatus.STARTED:
                    yield f"{raw.decode()} holds a permit of {key}, and is not started"
        for job_id in self.jobs:
            limit = self._limit(job_id)
            if limit is None or not limit.concurrency or self.status(job_id) is not JobStatus.STARTED:
                continue
            if job_id.encode() not in self.dump.get(self.keys.holders(limit.key), ("", set(), 0))[1]:
                yield f"{job_id} is started, and holds no permit of {limit.key}"

    def _expiry(self, job_id: str) -> Iterator[str]:
        key, expiry = self.jobs[job_id], self.dump[self.jobs[job_id]][2]
        status, queue = self.status(job_id), (self.field(job_id, "queue") or b"").decode()
        if not status.terminal and expiry != -1:
            yield f"{job_id} is {status} and expires"
        parts = [self.keys.results(job_id), *(self.keys.blob(JOB[name], job_id) for name in _LIVE_ENDINGS)]
        for part in parts:
            if part in self.dump and self.dump[part][2] != expiry:
                yield f"{part} expires at {self.dump[part][2]}, {key} at {expiry}"
        if status.terminal:
            scores = {raw.decode(): score for raw, score in self.dump[self.homes[status][queue]][1]}
            dated = float("inf") if expiry == -1 else float(expiry)
            wanted = float(self.field(job_id, "wanted") or 0)
            if dated < wanted:
                yield f"{job_id} expires at {dated}, and a waiter has said that it looks until {wanted}"
            if scores.get(job_id) != dated:
                yield f"{job_id} expires at {dated}, and its home says {scores.get(job_id)}"

    def _fields(self, job_id: str) -> Iterator[str]:
        status, attempt = self.status(job_id), int(self.field(job_id, "attempt") or 0)
        if (self.field(job_id, "token") is not None) != (status is JobStatus.STARTED):
            yield f"{job_id} is {status} and has the token {self.field(job_id, 'token')!r}"
        if status is JobStatus.STARTED and attempt < 1:
            yield f"{job_id} is started and begins attempt {attempt}"
        if status is not JobStatus.STARTED and self.field(job_id, "asked") is not None:
            yield f"{job_id} is {status}, and something is asked of it"
        due = self.field(job_id, "due") is not None
        if due != (status is JobStatus.SCHEDULED) and not (due and status is JobStatus.DEFERRED):
            yield f"{job_id} is {status}, due {self.field(job_id, 'due')!r}"
        held = [name for name in EXTRA if self.field(job_id, name) is not None]
        held += [kind for kind in _LIVE_ENDINGS if _F[kind] + b"#" in self.dump[self.jobs[job_id]][1]]
        if held and self.field(job_id, "extra") is None:
            yield f"{job_id} has {held}, and does not say that there is anything extra"

    def _stream(self, job_id: str) -> Iterator[str]:
        entries = self.dump[self.streams[job_id]][1]
        # the notice of a replaced cycle stays until somebody claims the next one
        left = self.field(job_id, "notice") if job_id in self.jobs else None
        entries = [(entry_id, got) for entry_id, got in entries if entry_id != left]
        notices = [index for index, (_, got) in enumerate(entries) if _E["notice"] in got]
        if len(entries) - len(notices) > HISTORY_LENGTH:
            yield f"{job_id} has {len(entries)} entries"
        if notices and notices != [len(entries) - 1]:
            yield f"{job_id} has notices at {notices} of {len(entries)} entries"
        executions = [got[_E["execution"]] for _, got in entries if _E["notice"] not in got]
        if len(set(executions)) != len(executions):
            yield f"{job_id} has an execution twice: {executions}"
        if job_id not in self.jobs:
            if self.dump[self.streams[job_id]][2] == -1:
                yield f"the stream of {job_id}, which is gone, stays for ever"
        elif notices and self.status(job_id) not in (JobStatus.CANCELED, JobStatus.EXPIRED):
            yield f"{job_id} is {self.status(job_id)}, and its stream ends with a notice"

    def _ttl_index(self) -> Iterator[str]:
        listed = set()
        for queue, key in self.ttls.items():
            for raw, score in self.dump[key][1]:
                job_id = raw.decode()
                listed.add(job_id)
                if job_id not in self.jobs:
                    yield f"{job_id} is gone, and the ttl index of {queue} has it"
                elif self.status(job_id) is not JobStatus.QUEUED or int(self.field(job_id, "attempt") or 0):
                    yield f"{job_id} is {self.status(job_id)}, and the ttl index has it"
                elif float(self.field(job_id, "ttl_deadline") or -1) != score:
                    yield f"{job_id} has another deadline than the ttl index"
        for job_id in self.jobs:
            queued = self.status(job_id) is JobStatus.QUEUED
            if queued and self.field(job_id, "ttl_deadline") is not None and job_id not in listed:
                yield f"{job_id} has a ttl deadline, and the index does not know it"

    def _wake_ups(self) -> Iterator[str]:
        paused = {name.decode() for name in self.dump.get(self.keys.pauses(), ("hash", {}, -1))[1]}
        for queue in self.homes[JobStatus.QUEUED]:
            held = min(score for _, score in self.dump[self.homes[JobStatus.QUEUED][queue]][1]) >= HELD_PLACE
            if queue not in self.wakes and not held and not paused & {queue, ""}:
                yield f"jobs wait in {queue}, and no marker wakes a worker"
        for queue, key in self.wakes.items():
            if len(self.dump[key][1]) > MARKERS:
                yield f"{queue} has {len(self.dump[key][1])} markers"
            if queue not in self.homes[JobStatus.QUEUED] and queue not in self.homes[JobStatus.SCHEDULED]:
                yield f"nothing waits in {queue}, and it has markers"

    def _told(self) -> Iterator[str]:
        for prefix, most in ((self.keys.live(""), 1), (self.keys.log(""), LOG_LINES)):
            for job_id, key in self._under(prefix):
                _, entries, expiry = self.dump[key]
                if len(entries) > most:
                    yield f"{key} has {len(entries)} entries"
                if job_id not in self.jobs or self.field(job_id, "told") is None:
                    if expiry == -1 or expiry >= BASE_MS:
                        yield f"{key} outlived its job"
                elif expiry != self.dump[self.jobs[job_id]][2]:
                    yield f"{key} expires at {expiry}, its job at {self.dump[self.jobs[job_id]][2]}"

    def _blobs(self) -> Iterator[str]:
        for name in _LIVE_ENDINGS:
            for job_id, key in self._under(self.keys.blob(JOB[name], "")):
                if job_id not in self.jobs:
                    yield f"{key} outlived its job"
                elif self.dump[self.jobs[job_id]][1].get(_F[name] + b"#") != str(len(self.dump[key][1])).encode():
                    yield f"{key} is not what its job says of it"
        if any(BASE_MS <= expiry < self.now_ms for _, _, expiry in self.dump.values()):
            yield "the scene did not remove what has expired"
