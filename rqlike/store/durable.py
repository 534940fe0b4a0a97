"""Requests whose effect is to outlive the server: sent, and then waited for where the server keeps more than memory.

What counts is what the server has at that moment. Its disk, with `appendonly yes`: with `appendfsync always` the reply
itself comes after the disk has it; with `everysec` the disk has it a second later, which is waited for and looked at;
with `no` nobody says when. And a replica, where one is attached: WAIT answers when it has received the write.

WAITAOF is not used. Under `everysec` servers with a known fault (Valkey 9.1, Redis 7.4.0) answer it before the disk has
anything, and under `always` it says nothing new.

All of it goes over one connection: WAIT is about the writes of the connection it is sent on. Where that connection is
lost, everything is sent again on a new one, perhaps to another primary, by the retries of the caller's client.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from rqlike import clock
from rqlike.exceptions import DurabilityUnavailable, NotDurableError, RqlikeError
from rqlike.settings import DURABLE_S
from rqlike.store.requests import Request
from rqlike.store.resp import pack
from rqlike.store.scripts import script
from rqlike.store.store import Store, answer_on, borrowed

T = TypeVar("T")

_MARGIN_S: Final = 0.5  #: for the answer to a WAIT that has given up
#: Under `everysec` a server that has written something begins to sync it when its last sync is a second old.
_EVERY_S: Final = 1.05
_LOOK_S: Final = 0.02
_ONLINE: Final = re.compile(rb"\nslave\d+:[^\r\n]*\bstate=online\b")
_CALM: Final = (b"\naof_pending_bio_fsync:0\r", b"\naof_buffer_length:0\r", b"\naof_last_write_status:ok\r")


class Means(NamedTuple):
    """What a server has beside its memory."""

    sync: str  #: appendfsync, where that comes to anything: always | everysec; else ''
    replicas: int  #: attached and up to date
    why_no_disk: str = ""


class Confirmation(NamedTuple):
    """What has come of waiting. None: there was nothing of the kind to wait for."""

    on_disk: bool | None = None
    replicas: int | None = None
    trouble: str = ""  #: why the wait ended early

    @property
    def missing(self) -> str:
        """What is not confirmed, for people; '' where all is."""
        said = [self.trouble] if self.trouble else []
        if self.on_disk is False:
            said.append("the append-only file is not synced to its disk")
        if self.replicas == 0:
            said.append("no replica has received it")
        return ", ".join(said)


#: Of a call that was not to be waited for.
PLAINLY: Final = Confirmation()


def run_durably(store: Store, requests: Sequence[Request[T]]) -> tuple[list[T], Confirmation]:
    """The answers to requests, and what is confirmed of them within `DURABLE_S` seconds after the last.

    Cost: one round trip more than the requests need, and the wait. Raises what `Store.run` raises, and
    DurabilityUnavailable, before anything is written, where the server has nothing to wait for.
    """
    if type(store.client).__module__.startswith("fakeredis"):
        raise DurabilityUnavailable(why="fakeredis is no server")
    with borrowed(store.client) as line:
        work = _Work(store, requests, line)
        try:
            line.retry.call_with_retry(work.attempt, lambda error: line.disconnect())
        except (Disconnected, TimedOut) as error:
            line.disconnect()
            if work.answers is None:
                raise
            return work.answers, Confirmation(trouble=f"the connection was lost: {error}")
        assert work.answers is not None
        return work.answers, work.confirmation


class _Work:
    """Requests on one connection, which may be tried several times; every script answers the second time as the
    first."""

    def __init__(self, store: Store, requests: Sequence[Request[Any]], line: Any) -> None:
        self._store = store
        self._requests = requests
        self._line = line
        self._may_be_written = False
        self.answers: list[Any] | None = None
        self.confirmation = Confirmation()

    def attempt(self) -> None:
        """Sends all of it and waits. Raises ConnectionError or TimeoutError where it is to be tried again."""
        self._line.connect()
        means = self._means()
        if not means.sync and not means.replicas and not self._may_be_written:
            raise DurabilityUnavailable(why=means.why_no_disk)
        try:
            answers = self._write(means)
        except NoScriptError:
            self._load()
            answers = self._write(means)
        self.answers, written_at = answers, clock.mono()
        replicas = self._received(written_at) if means.replicas else None
        on_disk = {"always": True, "everysec": None}.get(means.sync)
        if means.sync == "everysec":
            on_disk = self._synced(written_at)
        if on_disk is None and replicas is None:  # a lone primary without a disk took over on the way
            replicas = 0
        self.confirmation = Confirmation(on_disk, replicas)

    def _means(self) -> Means:
        self._send(pack("CONFIG", "GET", "appendfsync"), pack("INFO", "replication", "persistence"))
        try:
            found = self._line.read_response(disable_decoding=True)
            pair = next(iter(found.items())) if isinstance(found, dict) else found
            sync = pair[1].decode()
        except ResponseError:  # hosted servers keep their settings to themselves
            sync = "unknown"
        facts = self._line.read_response(disable_decoding=True)
        replicas = len(_ONLINE.findall(facts))
        if b"\naof_enabled:1\r" not in facts:
            return Means("", replicas, "appendonly is off, and no replica is attached")
        if sync not in ("always", "everysec"):
            why = "CONFIG GET appendfsync is refused" if sync == "unknown" else f"appendfsync is {sync}"
            return Means("", replicas, f"{why}, and no replica is attached")
        return Means(sync, replicas)

    def _write(self, means: Means) -> list[Any]:
        self._may_be_written = True
        *before, last = self._requests
        answers = []
        for request in before:
            self._send(self._store.packed(request))
            answers.append(answer_on(self._line, request))
        packets = [self._store.packed(last)]
        if means.replicas:
            # On a connection that wrote nothing WAIT would say at once that all have it. The script counts the sequence
            # each time, so a call that is sent again on a new connection writes too, after what it wrote before.
            packets.append(pack("WAIT", 1, round(DURABLE_S * 1000)))
        self._send(*packets)
        return [*answers, answer_on(self._line, last)]

    def _load(self) -> None:
        """Makes the script known. On a new connection: on this one replies are still under way."""
        self._line.disconnect()
        self._line.connect()
        self._send(pack("SCRIPT", "LOAD", script(self._requests[0].script).source))
        self._line.read_response(disable_decoding=True)

    def _received(self, written_at: float) -> int:
        """How many replicas have it."""
        if not self._line.can_read(written_at + DURABLE_S + _MARGIN_S - clock.mono()):
            raise TimedOut("no answer to WAIT")
        try:
            return int(self._line.read_response(disable_decoding=True))
        except ResponseError as error:  # UNBLOCKED: it is the primary no more
            raise Disconnected(str(error)) from error

    def _synced(self, written_at: float) -> bool:
        """Whether the disk has it. Before it answers, a server begins a sync that is due; two answers in a row that
        tell of no sync under way mean that the one that was due has ended."""
        time.sleep(max(0.0, written_at + _EVERY_S - clock.mono()))
        calm = looks = 0
        while calm < 2 and (looks < 2 or clock.mono() < written_at + DURABLE_S):
            self._send(pack("INFO", "persistence"))
            facts = self._line.read_response(disable_decoding=True)
            looks, calm = looks + 1, calm + 1 if all(sign in facts for sign in _CALM) else 0
            if not calm:
                time.sleep(_LOOK_S)
        return calm == 2

    def _send(self, *packets: bytes) -> None:
        self._line.send_packed_command([b"".join(packets)], check_health=False)


def not_durable(
    jobs: Sequence[Any], kept: Confirmation, errors: Mapping[int, RqlikeError] | None = None
) -> NotDurableError:
    """The error for jobs that are enqueued, and of which it is not confirmed that they outlive the server."""
    facts = {
        "job_id": next((job.id for job in jobs if job is not None), ""),
        "jobs": jobs,
        "errors": errors or {},
        "missing": kept.missing,
        "on_disk": kept.on_disk,
        "replicas": kept.replicas,
    }
    if len(jobs) == 1:
        return NotDurableError(**facts)
    there = len(jobs) - len(errors or {})
    return NotDurableError(
        f"{there} of {len(jobs)} jobs are enqueued and will run, but it is not confirmed that they outlive a loss of "
        f"the server: {kept.missing}. Go on with `.jobs`; to enqueue them again may run them twice.",
        **facts,
    )
