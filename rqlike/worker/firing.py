"""Schedules that a worker was handed to fire, until they are: a few at a time, so that its loop goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rqlike import clock, logs
from rqlike.exceptions import RqlikeError
from rqlike.settings import FIRE_MS, TOUCH_LIMIT
from rqlike.store import schedules
from rqlike.store.requests import Request
from rqlike.store.schedules import DueSchedule, Plan
from rqlike.store.turns import Problem
from rqlike.timetables import MOST_CATCHUP, Timetable, due

_SPAN_S: Final = 0.008  #: seconds of the loop for what becomes of some schedules; one that was long away takes 3 ms


@dataclass(slots=True)
class Firing:
    """What waits to be fired by this worker, and what it has sent."""

    waiting: deque[tuple[DueSchedule, float]] = field(default_factory=deque)  #: with the moment until which it is ours
    problems: list[Problem] = field(default_factory=list)
    _sent: list[Plan] = field(default_factory=list)
    was_last: bool = False  #: of fires and turns, which take their turns while both are to be made

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self.waiting)

    def take(self, handed: Iterable[DueSchedule], now: float) -> None:
        """They were handed over at the monotonic moment `now`."""
        self.waiting.extend((schedule, now + FIRE_MS / 1000) for schedule in handed)

    def next_call(self, offset_ms: int) -> Request[list[int | str]] | None:
        """The call that fires some of them; None where none can be. `offset_ms`: the server's clock minus ours."""
        begun, jobs = clock.mono(), 0
        self._sent = []
        while self.waiting and jobs <= TOUCH_LIMIT - MOST_CATCHUP:
            now = clock.mono()
            if now - begun > _SPAN_S:
                break
            schedule, until = self.waiting.popleft()
            if now > until:  # another worker was given it meanwhile
                continue
            plan = self._plan(schedule, round(now * 1000) + offset_ms)
            if plan is not None:
                self._sent.append(plan)
                jobs += len(plan.due.slots)
        return schedules.fire(self._sent) if self._sent else None

    def answered(self, answers: Sequence[int | str]) -> bool:
        """The server has answered the last call; whether there are jobs now that were not there."""
        made = False
        for (schedule, plan), answer in zip(self._sent, answers, strict=True):
            if isinstance(answer, str):
                self.problems.append(Problem("", "", f"schedule {schedule.key}: {answer}"))
            elif answer >= 0:
                made = made or answer > 0
                logs.schedule_fired(schedule.key, answer)
                if plan.missed:
                    logs.slots_missed(schedule.key, plan.missed)
        self._sent = []
        return made

    def told(self) -> list[Problem]:
        """What could not be fired since the last call, and why."""
        problems, self.problems = self.problems, []
        return problems

    def _plan(self, schedule: DueSchedule, now_ms: int) -> Plan | None:
        try:
            table = Timetable.from_wire(schedule.timetable)
            return Plan(schedule, due(table, int(schedule.slot), now_ms, schedule.fired))
        except (RqlikeError, ValueError) as problem:  # written by a newer rqlike, or a zone that this host lacks
            self.problems.append(Problem("", "", f"schedule {schedule.key}: {problem}"))
            return None
