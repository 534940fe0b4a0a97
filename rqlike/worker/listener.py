"""What a worker hears of what its running jobs say, in whichever of three ways: frames over the socket, lines in the
pipe of the whispers, and the slot."""

from __future__ import annotations

from dataclasses import dataclass

from rqlike import clock
from rqlike.records import Execution
from rqlike.settings import LOG_LINE_LIMIT, TELL_S
from rqlike.tellings import Line, Tellings
from rqlike.told import State, is_amount
from rqlike.worker.frames import Frame, FrameKind, ProtocolError, read_telling
from rqlike.worker.reins import Horse
from rqlike.worker.slot import read_slot


@dataclass(slots=True)
class Listener:
    """Fills the book of what is to be written."""

    tellings: Tellings

    def heard(self, horse: Horse, frame: Frame, *, aloud: bool = True) -> None:
        """A TELLS frame has come. What a thread says that an execution has left behind is for nobody. The first word
        aloud tells that there may be lines in the pipe, and what is said aloud next comes after them. Raises
        ProtocolError."""
        state, pieces = read_telling(frame)
        execution = next((one for one in horse.handed if one.token == frame.execution_id), None)
        if execution is None or horse.on_errand:
            return
        if aloud and not horse.tells:
            self._overhear(horse)
        now, lines, begun = clock.mono(), [], horse.begun.pop(execution.token, b"")
        for said_s, text, goes_on in pieces:
            begun += text
            if not goes_on or len(begun) > LOG_LINE_LIMIT:
                lines.append(Line(min(said_s, now), begun[:LOG_LINE_LIMIT]))
                begun = b""
        if begun:
            horse.begun[execution.token] = begun
        self.tellings.hear(execution, state, lines, now)
        if not horse.tells:
            horse.tells, horse.listen_at = True, now + TELL_S

    def look(self, horse: Horse, now: float) -> None:
        """What the slot shows, and when to look again."""
        horse.listen_at = now + TELL_S if horse.tells else None
        execution = horse.execution
        if not horse.tells or execution is None:
            return
        shown, told = read_slot(horse.end.stack_fd), self.tellings.state_of(execution.token)
        if told is None or shown is None or shown.token != execution.token or not is_amount(shown.current):
            return
        if (shown.current, shown.note) != (told.current, told.note):
            self.tellings.hear(execution, State(shown.current, told.total, told.desc, shown.note), (), now)

    def hear_out(self, horse: Horse, *, died: bool = False) -> None:
        """The execution ends: what is left of its lines, and where its horse has died what it had shown last."""
        execution: Execution | None = horse.execution
        self._overhear(horse)
        if died:
            self.look(horse, clock.mono())
        if execution is not None:
            self.tellings.close(execution.token)
            horse.begun.pop(execution.token, None)
        horse.tells, horse.listen_at = False, None

    def _overhear(self, horse: Horse) -> None:
        data = horse.end.overhear() or b""
        while frames := horse.whispers.feed(data):
            for frame in frames:
                if frame.kind is not FrameKind.TELLS:
                    raise ProtocolError(f"{frame.kind.name} was whispered after it could be")
                self.heard(horse, frame, aloud=False)
            data = b""
