"""What a job says where no worker listens: with `SimpleWorker` and `Queue(is_async=False)` it is written by the process
that runs it, between two of its own steps."""

from __future__ import annotations

from rqlike import clock, logs
from rqlike.records import Execution
from rqlike.running.deadline import masked
from rqlike.running.progress import ProgressHandle, Voice
from rqlike.settings import TELL_S
from rqlike.store.store import Store
from rqlike.tellings import Line, Tellings
from rqlike.told import State, line_bytes


class OwnVoice(Voice):
    """Writes at most ten times a second, when something is said; what was said in between goes with the next or at the
    end. `offset_ms`: the server's clock minus this host's monotonic one."""

    def __init__(self, execution: Execution, store: Store, offset_ms: int) -> None:
        super().__init__(execution.token)
        self._execution = execution
        self._store = store
        self._offset_ms = offset_ms
        self._book = Tellings()
        self._next_s = 0.0

    def present(self, handle: ProgressHandle) -> None:
        """Tells all of a handle's state."""
        self._hear(())

    def show(self, current: float, note: str | None) -> None:
        """Tells how far it is, where it is time."""
        if clock.mono() >= self._next_s:
            self._hear(())

    def log(self, text: str) -> None:
        """A line for the log."""
        self._hear((Line(clock.mono(), line_bytes(text)),))

    def fall_silent(self) -> None:
        """The execution has ended: all that is left is written, if it can be, before its outcome."""
        if self._book or self.shown is not None:
            self._hear((), last=True)
        self.token = ""

    def _hear(self, lines: tuple[Line, ...], *, last: bool = False) -> None:
        now, handle, book = clock.mono(), self.shown, self._book
        if handle is not None or lines:
            state = None if handle is None else State(handle.current, handle.total, handle.desc, handle.note)
            book.hear(self._execution, state, lines, now)
        if last:
            book.close(self._execution.token)
        while book and book.is_due(now, (self._execution.token,)):
            self._next_s = now + TELL_S
            self._write(now)
            if not last:
                return

    def _write(self, now: float) -> None:
        request = self._book.to_send(now, self._offset_ms)
        try:
            with masked():  # half a command would spoil the connection
                self._book.answered(self._store.run(request))
        except Exception as problem:  # noqa: BLE001  # whatever the server says to it, the job goes on
            self._next_s = now + 10 * TELL_S
            if self._book.refused(now):
                logs.call_refused(str(problem))
