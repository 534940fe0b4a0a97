"""Jobs that say how far they are ten thousand times a second: what that costs them, and how late the last word is."""

from __future__ import annotations

import statistics
import time

from rqlike import Progress
from rqlike.job import Job
from tests.load.figures import Figure, percentile
from tests.process import jobs
from tests.process.workers import Stable

_STEPS = 10_000


def progress(
    stable: Stable, *, rounds: int = 80, seconds: float = 0.25, lasts: int = 40, loose: float = 1.0
) -> list[Figure]:
    """`rounds` of a job of `seconds` with 10,000 updates a second, each beside the same one without, of which the
    quicker quarter is compared: what the rest takes is the machine's. Then the last value of `lasts` jobs, which say it
    at any moment and nothing after it. `loose`: by what the limits are multiplied where the machine is busy."""
    stable.start()
    queue = stable.queue()
    steps = round(_STEPS * seconds)
    work = queue.enqueue(jobs.calibrated, 1 / _STEPS).wait(60)
    took: dict[bool, list[float]] = {True: [], False: []}
    rates = []
    for number in range(rounds):
        for tells in (True, False) if number % 2 else (False, True):
            cpu_s, wall_s = queue.enqueue(jobs.steps, steps, work, tells).wait(60)
            took[tells].append(cpu_s)
            rates.append(steps / wall_s)
    cost = percentile(took[True], 0.25) / percentile(took[False], 0.25) - 1
    late = [_lateness(queue.enqueue(jobs.last_word, number % 7 * 0.017)) for number in range(lasts)]
    return [
        Figure("updates per second", statistics.median(rates)),
        Figure("cost to the job in processor time, in %", 100 * cost, 2 * loose, "2 %"),
        Figure("lateness of the last value, median in ms", 1000 * statistics.median(late)),
        Figure("lateness of the last value, worst in ms", 1000 * max(late), 200 * loose, "200 ms"),
    ]


def _lateness(job: Job[float]) -> float:
    """Seconds from when the job said its last value, and went on without a word, to when a watcher sees it."""
    seen_s = 0.0
    for one in job.watch(30):
        if isinstance(one, Progress) and one.current == one.total and not seen_s:
            seen_s = time.monotonic()
    return seen_s - job.wait(30)
