"""One horse as its worker knows it: what it is at, what it was handed, by when it should have ended; and what is told
of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from rqlike.outcomes import Outcome
from rqlike.records import Execution
from rqlike.worker.channel import ParentEnd
from rqlike.worker.frames import FrameReader, FrameWriter


class Stage(Enum):
    """What a horse is at."""

    STARTING = "starting"  #: forked, sets up its middleware
    IDLE = "idle"
    RUNNING = "running"  #: executions, one after the other
    ERRAND = "errand"  #: callbacks of an execution that is recorded
    DOOMED = "doomed"  #: killed, or told to quit; only its death is still to come


# -- what is told of a horse -----------------------------------------------------------------------------------------


class OutcomeCame(NamedTuple):
    """An execution ended, by its horse's word or by the horse's death."""

    execution: Execution
    outcome: Outcome


class ErrandDone(NamedTuple):
    """The callbacks of an execution ran, failed (`error`), or died with their horse."""

    execution: Execution
    error: str | None


class NeverBegan(NamedTuple):
    """The horse had died before it began this one."""

    execution: Execution


class TakenBack(NamedTuple):
    """What a horse has not begun of a frame that takes too long."""

    executions: Sequence[Execution]


class SetupFailed(NamedTuple):
    """A horse could not be set up."""

    error: str


Event = OutcomeCame | NeverBegan | TakenBack | ErrandDone | SetupFailed


@dataclass(slots=True, eq=False)
class Horse:
    """One horse, as its parent knows it."""

    pid: int
    end: ParentEnd
    reader: FrameReader = field(default_factory=FrameReader)
    whispers: FrameReader = field(default_factory=FrameReader)
    writer: FrameWriter = field(default_factory=FrameWriter)
    stage: Stage = Stage.STARTING
    handed: deque[Execution] = field(default_factory=deque)  #: what it was given, or runs callbacks of; in order
    began_s: float = 0.0  #: when the first of them began, as far as it is known
    frame_due: float | None = None  #: when the frame should have ended; what was not begun is taken back then
    whispers_now: bool = False  #: it may have left outcomes of its frame without waking its worker
    overdue: bool = False  #: that moment has passed: whatever it says is heard at once
    dump_at: float | None = None  #: when its stack is dumped, on the way to its end
    kill_at: float | None = None
    on_errand: bool = False  #: what it runs is not the execution but its callbacks
    silent: bool = False  #: its end of the socket is closed: nothing more will come of it but its death
    death: Outcome | None = None  #: what its execution comes to if it dies now; None: by how it died
    forsaken: bool = False  #: its execution is no longer ours: nothing is reported
    tells: bool = False  #: what it runs has something to say, which waits to be looked for
    listen_at: float | None = None  #: when that is looked for
    begun: dict[str, bytes] = field(default_factory=dict)  #: lines whose rest is still to come, by token
    jobs: int = 0
    retires: str | None = None

    @property
    def execution(self) -> Execution | None:
        """The first that has not ended, as far as it is known; None where it has nothing to do."""
        return self.handed[0] if self.handed else None

    @property
    def moment(self) -> float:
        """When something is to be done about it though nothing comes; infinity for never."""
        moments = (self.frame_due, self.dump_at, self.kill_at, self.listen_at)
        return min((moment for moment in moments if moment is not None), default=math.inf)
