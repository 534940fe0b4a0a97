"""SimpleWorker: runs jobs in its own process, one at a time. For tests, debuggers, and platforms without fork.

It claims one job at a time and cannot renew while it runs it, so a claim's lease is job_timeout + kill_grace + 30 s.
There is no hard kill: C code that never returns stops it, and a crash of the job is a crash of the worker.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from rqlike import clock, logs
from rqlike.exceptions import RqlikeError
from rqlike.inline import InlineRunner
from rqlike.outcomes import Outcome, Verdict
from rqlike.records import Execution
from rqlike.settings import BLOCK_S, TICK_S
from rqlike.states import Reason
from rqlike.store import turns
from rqlike.store.turns import Settlement, Turned
from rqlike.worker.firing import Firing
from rqlike.worker.plan import Plan
from rqlike.worker.rotation import Rotation
from rqlike.worker.standstill import Standstill
from rqlike.worker.worker import Worker

_SHORTEST_S: Final = 0.01


class SimpleWorker(Worker):
    """A Worker without horses. A job without a time-out (`job_timeout=-1`) is given back, and it stops."""

    def _run(self, plan: Plan) -> bool:
        runner = InlineRunner(
            self.store, self.name, self._queue_names, self.rules, self.middleware, self.allow, self.instance
        )
        self._register(plan)
        logs.worker_started(plan.name, plan.queues, f"{plan.server} (in this process, no hard kill)", 1)
        self._import_preload()
        for one in self.middleware:
            one.setup()
        rotation, standstill = Rotation(plan.queues, plan.strategy, plan.weights), Standstill()
        done, idle_since = 0, clock.mono()
        with _stop_flag() as stopping:
            while not stopping and (plan.max_jobs is None or done < plan.max_jobs):
                turned = runner.turn(1, sweep=True, queues=rotation.order())
                standstill.note(self.name, turned.paused)
                for lapsed in turned.lapsed:
                    runner.give_up(lapsed, turned.now_ms)
                more = self._fire(turned)
                if turned.granted:
                    rotation.took(turned.granted[0].job.queue)
                    self._perform(runner, turned.granted[0], turned.now_ms)
                    done, idle_since = done + 1, clock.mono()
                elif more or turned.more_to_claim:
                    continue
                elif plan.burst or self._idle_for_too_long(plan, idle_since):
                    break
                else:
                    self._pause(plan, turned.now_ms, turned.moment_ms)
        self.store.run(turns.depart(self.name))
        logs.worker_stopped(self.name, done)
        self.exit_code = 0
        return done > 0

    def _fire(self, turned: Turned) -> bool:
        """Fires the schedules it was handed; whether there are new jobs."""
        if not turned.due:
            return False
        firing, now, made = Firing(), clock.mono(), False
        firing.take(turned.due, now)
        while (request := firing.next_call(turned.now_ms - round(now * 1000))) is not None:
            answers = self.store.run(request)
            made = firing.answered(answers) or made
        for problem in firing.told():
            logs.store_broken(*problem)
        return made

    def _perform(self, runner: InlineRunner, execution: Execution, now_ms: int) -> None:
        if execution.job.unreadable:
            now = clock.mono()
            runner.record(
                execution,
                Outcome(Reason.SERIALIZATION, exc_string=execution.job.call_error, began_s=now, ended_s=now),
                now_ms - round(now * 1000),
            )
            return
        if execution.job.policy.job_timeout < 0:
            runner.turn(settlement=Settlement(execution, Verdict.give_back()))
            raise RqlikeError(
                f"Job {execution.job_id} has no time-out (job_timeout=-1), so SimpleWorker cannot lease it; it was "
                "given back. Run it with Worker, which renews its leases."
            )
        call = execution.job.call
        logs.job_started(execution.job_id, call.func_name if call else "?", execution.job.queue, execution.job.attempt)
        runner.lengthen(execution, self.kill_grace)
        runner.perform(execution, now_ms)

    @staticmethod
    def _idle_for_too_long(plan: Plan, since: float) -> bool:
        return plan.max_idle_s is not None and clock.mono() - since >= plan.max_idle_s

    def _pause(self, plan: Plan, now_ms: int, moment_ms: int | None) -> None:
        """Until a marker, the next due moment, or the tick; also says that the worker lives."""
        self.store.run(turns.renew(self.name, {"state": "idle", "jobs": []}, []))
        seconds = min(BLOCK_S, TICK_S, plan.max_idle_s or BLOCK_S)
        if moment_ms is not None:
            seconds = min(seconds, max((moment_ms - now_ms) / 1000, _SHORTEST_S))
        self.store.block_for_markers([self.store.keys.markers(queue) for queue in self._queue_names], seconds)


@contextmanager
def _stop_flag() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGTERM or SIGINT came; between jobs, since nothing interrupts one."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before: dict[int, Any] = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
