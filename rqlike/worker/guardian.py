"""The guardian: a process beside a worker that outlives it by a moment, to end what its horses would leave.

When a worker is killed, its horses are killed by the system on Linux and by nobody on macOS. What their jobs have
started is killed by nobody at all, and would go on while another worker runs the same job again. So the pid of each
horse stands in a file without a name, and the guardian blocks on a pipe that ends when the worker does, in whatever
way. Then it kills the process group of each horse. While the worker lives it costs it no call and no time.

It is a shell with two lines to run, and not a fork of the worker: that would keep a copy of each page that the worker
writes to later, 1.7 MB, and take 1.5 ms to begin.

What a job has taken out of its group (`setsid`, a daemon) is out of reach, here as in every other kill of a horse.
"""

from __future__ import annotations

import fcntl
import math
import os
import signal
from contextlib import suppress
from typing import Final

from rqlike import logs
from rqlike.running.handlers import ALL
from rqlike.worker.channel import anonymous_file

NAME: Final = "rqlike-guardian"  #: among its arguments, for whoever looks at `ps`
SHELL: Final = "/bin/sh"
_PIPE, _LIST = 3, 4  #: its descriptors; a shell knows none above 9
_ABOVE: Final = 10
_AGAIN_S: Final = 1.0  #: seconds between two starts
#: Nothing is ever written into the pipe: the end of `read` is the end of the worker.
_SCRIPT: Final = f"""
read -r _ <&{_PIPE}
while read -r horse; do [ -z "$horse" ] || kill -s KILL -- "-$horse"; done <&{_LIST}
"""
_ENTRY: Final = 12  #: bytes for a pid and the end of its line


class Guardian:
    """The worker's side, for at most `room` horses at a time. Nothing happens before `keep` or `start`."""

    def __init__(self, room: int, shell: str = SHELL) -> None:
        self._shell = shell
        self._file = _moved_up(anonymous_file("rqlike-horses"))
        self._places: dict[int, int] = {}  # horse -> its place in the file
        self._free = list(range(room))[::-1]
        self._pipe = -1
        self._pid: int | None = None
        self.due_s = math.inf  #: when `keep` is to be called though no child has ended
        self._not_before_s = 0.0
        self._told = False  #: that there is none

    @property
    def fds(self) -> tuple[int, ...]:
        """What no horse may hold: as long as somebody holds the pipe, the worker seems to live."""
        return (self._file, self._pipe) if self._pipe >= 0 else (self._file,)

    def keep(self, now: float) -> None:
        """Has it started where it is not there, or not any more; at most once a second, so that one which dies at once
        is not started as fast as it dies. `now`: monotonic seconds."""
        if self.lives():
            self.due_s = math.inf
            return
        if now < self._not_before_s:
            self.due_s = self._not_before_s
            return
        self._not_before_s = now + _AGAIN_S
        try:
            self.start()
            self.due_s, self._told = math.inf, False
        except OSError as problem:
            # where there is no shell there will be none in a second either
            self.due_s = math.inf if isinstance(problem, FileNotFoundError) else self._not_before_s
            if not self._told:
                logs.unguarded(str(problem))
            self._told = True

    def start(self) -> None:
        """Starts it. Raises OSError where there is no shell, or no room for a process."""
        theirs, ours = os.pipe()
        try:
            theirs = _moved_up(theirs)
            self._pid = self._spawned(theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._pipe = ours

    def _spawned(self, pipe: int) -> int:
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
        actions = [null, *((os.POSIX_SPAWN_DUP2, 0, fd) for fd in (1, 2))]
        actions += [(os.POSIX_SPAWN_DUP2, pipe, _PIPE), (os.POSIX_SPAWN_DUP2, self._file, _LIST)]
        # A group of its own and no signals: what is meant for the worker or its terminal is not meant for it.
        return os.posix_spawn(
            self._shell, ["sh", "-c", _SCRIPT, NAME], {}, file_actions=actions, setpgroup=0, setsigmask=ALL
        )

    def lives(self) -> bool:
        """Whether it is there. One that has died is buried, and may be started again."""
        if self._pid is None:
            return False
        with suppress(ChildProcessError):
            if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                return True
        self._forget_it()
        return False

    def note(self, horse: int) -> None:
        """A horse was forked: its group is to be killed when the worker ends. One too many is not guarded, nor is one
        for which a full disk has no place in the list."""
        if self._free:
            place = self._places[horse] = self._free.pop()
            self._write(place, horse)

    def forget(self, horse: int) -> None:
        """A horse is dead and its group was killed: somebody else may be given its pid."""
        place = self._places.pop(horse, None)
        if place is not None:
            self._write(place, 0)
            self._free.append(place)

    def _write(self, place: int, horse: int) -> None:
        with suppress(OSError):  # a file on a disk that is full, where the system has no files in memory
            os.pwrite(self._file, _line(horse), place * _ENTRY)

    def end(self) -> None:
        """There is nothing left to guard."""
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._forget_it()
        os.close(self._file)

    def _forget_it(self) -> None:
        os.close(self._pipe)
        self._pid, self._pipe = None, -1


def _moved_up(fd: int) -> int:
    """The same under a number that is none of the guardian's, or putting one into its place could overwrite another."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    os.close(fd)
    return moved


def _line(horse: int) -> bytes:
    """A pid on a line of its own, blank for 0; always of the same length."""
    return (b"%d" % horse if horse else b"").rjust(_ENTRY - 1) + b"\n"
