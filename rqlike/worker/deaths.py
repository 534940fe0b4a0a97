"""How a process is ended, and how it ended, in words."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rqlike.worker.horse import BROKEN, LOST_SOCKET

_MEANING: Final = {
    LOST_SOCKET: ", the job has closed or replaced the socket to its worker",
    BROKEN: ", an error of rqlike itself or of what it was sent",
}


def signal_group(pid: int, number: signal.Signals) -> None:
    """To a horse's process group, and to the horse itself where it has not made its group yet."""
    _signal(os.killpg, pid, number)
    _signal(os.kill, pid, number)


def signal_left(pid: int, number: signal.Signals) -> None:
    """To what is left of the process group of a horse that is dead."""
    _signal(os.killpg, pid, number)


def _signal(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        send(pid, number)


def how_it_died(status: int) -> str:
    """What `waitpid` has told of it, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}{_MEANING.get(code, '')}"
    name = signal.Signals(-code).name
    return f"{name} ({-code})" + (", often the system's out-of-memory killer" if -code == signal.SIGKILL else "")
