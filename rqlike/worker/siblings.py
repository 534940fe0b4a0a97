"""Forking a sibling: a process that is a child of this one's parent, which waits for it as for any other.

`os.fork` cannot do that, so the system call is made here, with the steps of CPython around it, and with what glibc's
`fork` asks of the kernel besides: that the C library's idea of the thread's number is true in the new process, and that
it is known there which locks die with it. Only where all of that can be had and checked; elsewhere it is not done.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_CLONE_PARENT: Final = 0x0000_8000
_CLONE_PARENT_SETTID: Final = 0x0010_0000
_CLONE_CHILD_CLEARTID: Final = 0x0020_0000
_CLONE_CHILD_SETTID: Final = 0x0100_0000
_FLAGS: Final = _CLONE_PARENT | _CLONE_PARENT_SETTID | _CLONE_CHILD_CLEARTID | _CLONE_CHILD_SETTID
_PR_SET_PDEATHSIG: Final = 1
_PR_GET_TID_ADDRESS: Final = 40


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Of system calls, which every architecture counts for itself."""

    clone: int
    prctl: int
    set_robust_list: int
    get_robust_list: int


_NUMBERS: Final = {"x86_64": _Numbers(56, 157, 273, 274), "aarch64": _Numbers(220, 167, 99, 100)}


def sibling_fork(note: int) -> Callable[[], int] | None:
    """Something like `os.fork`, by which this process's parent has one more child; None where that cannot be done.

    `note`: an address where the system writes the pid of the child, as an int, before the child runs. The child is
    killed when its parent ends, from just after the fork on. Functions given to `os.register_at_fork` are called; those
    of C libraries are not. What is returned raises OSError as `os.fork` does. For a process with one thread and all
    signals blocked.
    """
    numbers = _NUMBERS.get(platform.machine())
    if sys.platform != "linux" or sys.implementation.name != "cpython" or numbers is None or not _is_glibc():
        return None
    # Keeps the interpreter's lock: between these calls nothing else may run.
    lib = ctypes.PyDLL(None, use_errno=True)
    place = _place_of_thread_number(lib)
    robust = _robust_list(lib, numbers.get_robust_list)
    if place is None or robust is None:
        return None
    call = lib.syscall
    call.restype, call.argtypes = ctypes.c_long, (ctypes.c_long,) * 6
    # The fourth and the fifth argument of clone have changed places in some architectures; one of them is not read.
    asked = _words(numbers.clone, _FLAGS | signal.SIGCHLD, 0, note, place, place)
    locks = _words(numbers.set_robust_list, *robust)
    death = _words(numbers.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)
    before, in_child, in_parent = lib.PyOS_BeforeFork, lib.PyOS_AfterFork_Child, lib.PyOS_AfterFork_Parent
    for step in (before, in_child, in_parent):
        step.restype, step.argtypes = None, ()

    def fork() -> int:
        before()
        pid: int = call(*asked)
        if pid == 0:
            call(*locks)
            call(*death)
            in_child()
            return 0
        problem = ctypes.get_errno()
        in_parent()
        if pid < 0:
            raise OSError(problem, os.strerror(problem))
        return pid

    return fork


def _words(*numbers: int) -> tuple[ctypes.c_long, ...]:
    """Six arguments for `syscall`."""
    return tuple(ctypes.c_long(number) for number in (*numbers, *(0,) * (6 - len(numbers))))


def _is_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False


def _place_of_thread_number(lib: Any) -> int | None:
    """Where the C library keeps the number of this thread; None where the kernel does not tell."""
    place = ctypes.c_void_p()
    if lib.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(place), 0, 0, 0) != 0 or not place.value:
        return None
    known = ctypes.c_int.from_address(place.value).value
    return place.value if known == threading.get_native_id() else None


def _robust_list(lib: Any, get_robust_list: int) -> tuple[int, int] | None:
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    told = lib.syscall(ctypes.c_long(get_robust_list), ctypes.c_long(0), ctypes.byref(head), ctypes.byref(size))
    return (head.value or 0, size.value) if told == 0 else None
