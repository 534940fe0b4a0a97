"""A horse that runs a job of nobody's, in the process that is about to fork horses.

Python writes into code that it runs for the first times: it looks names up, remembers where it has found them, and
chooses quicker instructions. What is written before the forks needs not be written, in memory copied for it, by each of
the horses.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from rqlike import clock
from rqlike.codec import encode_call
from rqlike.options import Policy
from rqlike.records import CallRecord, Execution, JobRecord
from rqlike.running.handlers import ALL, change_mask
from rqlike.serializers import dumps_call, resolve_serializer
from rqlike.settings import CHUNK
from rqlike.states import JobStatus
from rqlike.worker.channel import open_channel
from rqlike.worker.frames import Frame, FrameReader, pack_jobs
from rqlike.worker.horse import try_horse

TIMES: Final = 10  #: CPython rewrites a function when it has been called eight times
_ID: Final = "rehearsal"


def rehearse(make_job: Callable[[JobRecord], object], times: int = TIMES) -> list[Frame]:
    """Has horses live and end in this process, `times` of them; what the last one has said. With all signals blocked.

    Leaves handlers and descriptors of its own behind that a real horse sets anew. 6 ms.
    """
    frames: list[Frame] = []
    for _ in range(times):
        ours, theirs = open_channel()
        try:
            ours.sock.setblocking(True)
            ours.permit(1)
            ours.sock.sendall(pack_jobs(ours.generation, clock.mono(), [_execution()]))
            try_horse(theirs, make_job)
            frames = FrameReader().feed(ours.sock.recv(1 << 16))
        finally:
            change_mask(signal.SIG_BLOCK, ALL)
            theirs.close()
            ours.close()
    return frames


def _execution() -> Execution:
    payload = dumps_call(resolve_serializer("msgpack"), (1,), {})
    blob = encode_call(CallRecord(f"{__name__}.nothing", payload, {}, Policy()))
    raw = [b"s", b"started", b"q", b"default", b"t", b"1"]
    for number, start in enumerate(range(0, len(blob), CHUNK)):
        raw += [b"c%d" % number, blob[start : start + CHUNK]]
    record = JobRecord(_ID, "default", JobStatus.STARTED, None, created_ms=1, token=_ID)
    return Execution(record, _ID, _ID, raw=raw)


def nothing(argument: object) -> int:
    """The job."""
    return os.getpid()
