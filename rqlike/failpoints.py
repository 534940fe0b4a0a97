"""Points at which a process kills itself where the environment variable RQLIKE_FAILPOINT asks for it. For tests.

`RQLIKE_FAILPOINT=parent.claim.sent:2` is SIGKILL at the second passage of that point, `…:2:stop` is SIGSTOP. A worker
and its horses count together, so a horse that takes the place of the dead one goes on. Where the variable is not set
nothing is left of a point: the function is the one that was written.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, TypeVar, cast

VARIABLE: Final = "RQLIKE_FAILPOINT"

#: What a worker asks of the server in a call, by `worker.steps`.
STEPS: Final = ("claim", "finish", "recover", "return", "fire", "renew", "depart")
#: Around what a process does by itself.
_ACTS: Final = (
    "parent.fork",  # of a horse
    "parent.give",  # of a frame, to a horse
    "parent.outcome",  # has come from a horse, or from its death
    "parent.lapsed",  # execution of a lost worker, before and after it was judged
    "parent.callback",  # given to a horse
    "horse.frame",  # has come
    "horse.permit",  # taken
    "horse.body",  # of the job
    "horse.outcome",  # sent
    "horse.callback",  # begun and ended
    "producer.enqueue",  # sent and answered
)
POINTS: Final = (
    *(f"parent.{step}.{moment}" for step in STEPS for moment in ("before", "sent", "answered", "after")),
    *(f"{act}.{moment}" for act in _ACTS for moment in ("before", "after")),
)

Function = TypeVar("Function", bound=Callable[..., Any])


class Failpoint:
    """Ends this process at the `nth` passage of a point, counted over it and the processes it forks from now on."""

    def __init__(self, point: str, nth: int, number: signal.Signals) -> None:
        import mmap  # not for everybody who imports this package

        self.point = point
        self._nth = nth
        self._number = number
        self._passages = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    @classmethod
    def read(cls, text: str) -> Failpoint | None:
        """What the variable says; None where it is empty. Raises ValueError for what it cannot say."""
        if not text:
            return None
        point, _, rest = text.partition(":")
        nth, _, act = rest.partition(":")
        if point not in POINTS:
            raise ValueError(f"{VARIABLE}={text!r}: there is no point {point!r}, only {', '.join(POINTS)}")
        if not (nth or "1").isdecimal() or nth == "0" or act not in ("", "kill", "stop"):
            raise ValueError(f"{VARIABLE}={text!r}: write {point}, {point}:2 for the second passage, or {point}:2:stop")
        return cls(point, int(nth or 1), signal.SIGSTOP if act == "stop" else signal.SIGKILL)

    def passed(self, points: Iterable[str]) -> None:
        """These points are passed now."""
        for point in points:
            if point == self.point:
                self._passages[0] += 1
                if self._passages[0] == self._nth:
                    os.kill(os.getpid(), self._number)


_armed: Final = Failpoint.read(os.environ.get(VARIABLE, ""))


def failpoint(
    name: str,
    first: str = "before",
    last: str = "after",
    of: Callable[..., Iterable[str]] | None = None,
    armed: Failpoint | None = _armed,
) -> Callable[[Function], Function]:
    """A point before a function, `name.first`, and one after it, `name.last`.

    `of`: given the function's arguments, the steps that this call of it takes: the points are `name.step.first` and so
    on. `armed`: the point that is asked for; None leaves the function as it is."""

    def around(function: Function) -> Function:
        if armed is None or not armed.point.startswith(f"{name}."):
            return function

        @wraps(function)
        def passing(*args: Any, **kwargs: Any) -> Any:
            names = [name] if of is None else [f"{name}.{step}" for step in of(*args, **kwargs)]
            armed.passed(f"{one}.{first}" for one in names)
            answer = function(*args, **kwargs)
            armed.passed(f"{one}.{last}" for one in names)
            return answer

        return cast(Function, passing)

    return around
