"""How far a job is, and what it writes into its log, as its own code says it: `track`, `progress`, `Job.log`.

What is said goes to the voice of the execution. Whoever runs jobs in this process has set it up: a horse speaks to its
worker, a process without a worker writes by itself. Outside of a job there is none, and nobody hears.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar, cast

from rqlike.exceptions import RqlikeError
from rqlike.running.current import get_current_job
from rqlike.told import is_amount, short

T = TypeVar("T")


class Voice:
    """What one execution at a time says. Subclasses know who hears it."""

    def __init__(self, token: str = "") -> None:
        self.token = token  #: of the execution that may speak; '' none
        self.shown: ProgressHandle | None = None  #: whose progress is that of the job
        self._behind: list[ProgressHandle] = []

    def begin(self, handle: ProgressHandle) -> None:
        """A handle is the one that is shown from now on."""
        if self.shown is not None:
            self._behind.append(self.shown)
        self.shown = handle
        self.present(handle)

    def end(self, handle: ProgressHandle) -> None:
        """A handle is done with: the one before it is shown again, where there is one."""
        if handle is not self.shown:
            if handle in self._behind:
                self._behind.remove(handle)
        elif self._behind:
            self.shown = self._behind.pop()
            self.present(self.shown)

    def rest(self) -> None:
        """Nothing is shown any more."""
        self.shown = None
        self._behind.clear()

    def present(self, handle: ProgressHandle) -> None:
        """Tells all of a handle's state."""
        raise NotImplementedError

    def show(self, current: float, note: str | None) -> None:
        """Tells how far the one that is shown is now, and its note where that is another one."""
        raise NotImplementedError

    def log(self, text: str) -> None:
        """A line for the log."""
        raise NotImplementedError


_here: Final[ContextVar[Voice | None]] = ContextVar("rqlike_voice", default=None)


class _Process:
    """The voice of a process that runs nothing but jobs; threads of a job have it too."""

    voice: Voice | None = None


def speak_with(voice: Voice) -> None:
    """All executions of this process speak with this voice, one after the other; for processes of our own."""
    _Process.voice = voice


@contextmanager
def speaking_with(voice: Voice) -> Iterator[None]:
    """An execution speaks with this voice inside."""
    reset = _here.set(voice)
    try:
        yield
    finally:
        _here.reset(reset)


def _voice_of(token: str | None) -> Voice | None:
    voice = _here.get() or _Process.voice
    return voice if voice is not None and token and voice.token == token else None


class ProgressHandle:
    """Counts what is done. Made by `progress`; one per job is usual, and the one that was made last is shown."""

    __slots__ = ("_current", "_note", "_voice", "desc", "total")

    def __init__(self, total: float | None, desc: str, voice: Voice | None) -> None:
        self.total = total
        self.desc = desc
        self._current: float = 0
        self._note = ""
        self._voice = voice

    @property
    def current(self) -> float:
        """What is done so far."""
        return self._current

    @property
    def note(self) -> str:
        """What was said last about it."""
        return self._note

    def update(self, n: float = 1, note: str | None = None) -> None:
        """So much more is done. `note`: what to say about it, at most 200 characters; None leaves it as it is.

        A fraction of a microsecond, however often it is called: nothing is sent. The worker looks ten times a second.
        """
        self._current += n
        voice = self._voice
        if note is not None:
            note = None if note == self._note else short(note)
            self._note = self._note if note is None else note
        if voice is not None and voice.shown is self:
            voice.show(self._current, note)

    def set(self, current: float, note: str | None = None) -> None:
        """So much is done in all. `note` as in `update`."""
        self._current = 0
        self.update(current, note)

    def __repr__(self) -> str:
        of = "" if self.total is None else f" of {self.total:g}"
        return f"<ProgressHandle {self._current:g}{of}>"


def progress(total: float | None = None, *, desc: str = "") -> ProgressHandle:
    """A handle by which a job says how far it is; see `Job.progress` and `Job.watch`.

    `total`: of how much, in whatever unit; None where nobody knows. `desc`: what is being done, at most 200 characters.
    Outside of a job, and in threads of one, it counts and nobody hears. Raises ValueError for a total that is none.
    """
    if total is not None and not (is_amount(total) and total >= 0):
        raise ValueError(f"total is a number of at least 0, or None where nobody knows, not {total!r}")
    job = get_current_job()
    voice = None if job is None else _voice_of(job.record.token)
    handle = ProgressHandle(total, short(desc), voice)
    if voice is not None:
        voice.begin(handle)
    return handle


def track(iterable: Iterable[T], *, total: int | None = None, desc: str = "") -> Iterator[T]:
    """The items of `iterable`, while the job says how many of them it has done.

    `total`: how many there are; None is its `len`, where it has one. `desc` as in `progress`. Outside of a job: just
    the iterable. Raises ValueError for a total that is none.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    handle = progress(total, desc=desc)
    return iter(iterable) if handle._voice is None else _tracked(iterable, handle, handle._voice)


def _tracked(iterable: Iterable[T], handle: ProgressHandle, voice: Voice) -> Iterator[T]:
    try:
        for item in iterable:
            yield item
            handle.update()
    finally:
        voice.end(handle)


def write_line(job_id: str, token: str | None, text: str) -> None:
    """`Job.log`. Raises RqlikeError where this execution does not run here, TypeError for what is no text."""
    if not isinstance(cast(object, text), str):
        raise TypeError(f"a line of a log is text, not {type(text).__name__}; use str(…) or repr(…)")
    voice = _voice_of(token)
    if voice is None:
        raise RqlikeError(
            f"Job {job_id} does not run in this process now, so it has no log to write into. Call "
            "get_current_job().log(…) in the function of the job."
        )
    voice.log(text)
