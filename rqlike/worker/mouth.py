"""What the job in a horse says to its worker while it runs. Nothing here ever waits for anybody.

The first word goes over the socket and wakes the worker, which from then on looks ten times a second. How far the job
is stands in a slot; lines go into the pipe of the whispers, where they survive the horse; what finds no room there
waits here, the newest of it, until there is room or the job ends. The last word goes before the outcome. So no line is
said aloud before one that was whispered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rqlike import clock
from rqlike.running.progress import ProgressHandle, Voice
from rqlike.settings import LOG_LINES
from rqlike.told import line_bytes
from rqlike.worker.channel import WHISPER_LIMIT, HorseEnd
from rqlike.worker.frames import FrameKind, pack
from rqlike.worker.slot import Slot

_ROOM: Final = 96  #: bytes of a frame around the text of a line


class Mouth(Voice):
    """The voice of a horse. `aloud` sends a small frame over the socket without waiting, and says whether it could;
    `open_slot` gives the slot, where there can be one."""

    def __init__(self, end: HorseEnd, aloud: Callable[[bytes], bool], open_slot: Callable[[], Slot | None]) -> None:
        super().__init__()
        self._end = end
        self._aloud = aloud
        self._open_slot = open_slot
        self._slot: Slot | None = None
        self._heard = False  #: the worker knows that this execution speaks
        self._kept: deque[bytes] = deque(maxlen=LOG_LINES)  #: frames of lines that found no room
        self.spoke = False  #: this execution has said something

    def present(self, handle: ProgressHandle) -> None:
        """Tells all of a handle's state, aloud."""
        self.spoke = True
        if self._slot is None:
            self._slot = self._open_slot()
        if self._slot is not None:
            self._slot.begin(self.token, handle.current, handle.note)
        self._heard = self._aloud(self._frame(_wire(handle), [])) or self._heard

    def show(self, current: float, note: str | None) -> None:
        """Writes it where the worker looks."""
        if self._slot is not None:
            self._slot.show(current, note)

    def log(self, text: str) -> None:
        """Leaves a line for the worker."""
        self.spoke = True
        said_s, data = clock.mono(), line_bytes(text)
        room = WHISPER_LIMIT - _ROOM - len(self.token)
        starts = range(0, max(1, len(data)), room)
        self._heard = self._heard or self._aloud(self._frame(None, []))
        pieces = [(said_s, data[at : at + room], at + room < len(data)) for at in starts]
        self._kept.extend(self._frame(None, [piece]) for piece in pieces)
        self._send_kept()

    def fall_silent(self) -> bytes:
        """The execution has ended: the frames to be sent before its outcome, which are what is shown in the end and the
        lines that are still here; b"" where it has said nothing."""
        said = b""
        if self.spoke:
            state = None if self.shown is None else _wire(self.shown)
            said = b"".join((*self._kept, self._frame(state, [])))
            self._kept.clear()
            self._heard = self.spoke = False
            self.rest()
        self.token = ""
        return said

    def _frame(self, state: object, lines: object) -> bytes:
        return pack(FrameKind.TELLS, self.token, [state, lines])

    def _send_kept(self) -> None:
        # One step takes a frame out: threads of the job may be here too.
        with suppress(IndexError):
            while True:
                frame = self._kept.popleft()
                if not self._whispers(frame):
                    self._kept.appendleft(frame)
                    return

    def _whispers(self, data: bytes) -> bool:
        try:
            return self._end.whisper(data)
        except OSError:  # the job has closed the pipe
            return False


def _wire(handle: ProgressHandle) -> list[object]:
    return [handle.current, handle.total, handle.desc, handle.note]
