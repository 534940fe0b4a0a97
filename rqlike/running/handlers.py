"""Signal handlers, without the layer of the standard library that makes enum members of every number: a horse asks for
29 handlers after each job, which takes 1 µs this way and 15 µs the other."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any, Final

_raw: Final = sys.modules.get("_signal", signal)  # `signal` is a layer over it in CPython

#: All there are.
ALL: Final = tuple(sorted(int(number) for number in signal.valid_signals()))
#: Those that a job may have changed. Not the real-time signals: nobody uses them, and each takes its time.
USUAL: Final = tuple(number for number in ALL if number < 32 and number not in (signal.SIGKILL, signal.SIGSTOP))

#: The handler of a signal: a callable, 0 for the default, 1 for none, None where C code has set it.
handler_of: Final[Callable[[int], Any]] = _raw.getsignal
#: Changes the mask of this thread; the mask before.
change_mask: Final[Callable[[int, Any], Any]] = _raw.pthread_sigmask
