"""Watching jobs that real workers run: what is seen, when, and what of it survives the horse."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Disconnected

from rqlike import Event, Job, LogLine, Progress, Queue, Result
from rqlike.command import send_stop_job_command
from rqlike.live import Watched
from rqlike.settings import LOG_LINES
from rqlike.testing import work
from tests.process import jobs
from tests.process.jobs import tell
from tests.process.workers import Stable, all_outcomes, outcome, running
from tests.servers import eventually


class Watcher:
    """Watches a job in a thread of its own."""

    def __init__(self, job: Job[Any], timeout: float = 20.0) -> None:
        self.seen: list[Watched] = []
        self.at: list[float] = []
        self._job, self._timeout = job, timeout
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        for one in self._job.watch(self._timeout):
            self.at.append(time.monotonic())
            self.seen.append(one)

    def sees_a_line(self) -> None:
        eventually(lambda: texts(self.seen), message="a line")

    def sees_count(self, count: float) -> None:
        eventually(lambda: [one for one in states(self.seen) if one.current == count], 2.0, message=f"{count}")

    def ends(self) -> list[Watched]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.seen


def states(seen: list[Watched]) -> list[Progress]:
    return [one for one in seen if isinstance(one, Progress)]


def texts(seen: list[Watched]) -> list[str]:
    return [one.text for one in seen if isinstance(one, LogLine)]


def steps(seen: list[Watched]) -> list[str]:
    return [one.name for one in seen if isinstance(one, Event)]


def final(seen: list[Watched]) -> Result[Any]:
    assert isinstance(seen[-1], Result)
    return seen[-1]


def shown(job: Job[Any], current: float) -> bool:
    now = job.progress
    return now is not None and now.current == current


def test_two_watchers_see_a_job_from_its_first_word_to_its_result_at_most_ten_times_a_second(stable: Stable) -> None:
    stable.start()
    job = stable.queue().enqueue(jobs.count_up, "", 3_000, 0.0002)
    early = Watcher(job)
    eventually(lambda: states(early.seen), message="progress")
    late = Watcher(job)
    for seen in (early.ends(), late.ends()):
        counted = [one.current for one in states(seen)]
        assert counted == sorted(set(counted))
        assert (counted[-1], texts(seen), final(seen).return_value) == (3_000, ["counted to 3000"], 3_000)
    spans = [after - before for before, after in zip(early.at, early.at[1:-2], strict=False)]
    assert len(spans) / sum(spans) < 15
    assert steps(early.seen) == steps(late.seen) == ["enqueue", "claim", "finish"]
    claimed = early.seen[1]
    assert isinstance(claimed, Event) and claimed.worker_name == final(early.seen).worker_name
    last = states(early.seen)[-1]
    assert (last.total, last.percent, last.desc, last.note, last.eta) == (3_000, 100, "counting", "at 3000", 0)
    assert last.rate is not None and last.rate > 500


def test_the_last_value_is_seen_at_once_though_the_job_says_nothing_more(stable: Stable) -> None:
    stable.start()
    for count in (50, 51, 52):
        job = stable.queue().enqueue(jobs.count_up, stable.file(), count, job_id=f"of-{count}")
        watcher = Watcher(job)
        watcher.sees_count(count)
        assert shown(job, count)
        assert job.get_status() == "started"
        tell(stable.file(), "go")
        assert final(watcher.ends()).return_value == count
        Path(stable.file()).unlink()


def test_a_horse_that_is_killed_has_told_all_it_said_and_its_retry_begins_anew(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.count_up, stable.file(), 40, retry=2)
    watcher = Watcher(job)
    watcher.sees_a_line()
    for pid in worker.horses():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: [one for one in states(watcher.seen) if one.attempt == 2], message="a second attempt")
    eventually(lambda: shown(job, 40))
    tell(stable.file(), "go")
    seen = watcher.ends()
    assert [one.type.name for one in seen if isinstance(one, Result)] == ["RETRIED", "SUCCESSFUL"]
    assert steps(seen) == ["enqueue", "claim", "retry", "claim", "finish"]
    kinds = [one.name if isinstance(one, Event) else type(one).__name__ for one in seen]
    assert kinds.index("Progress") > kinds.index("claim")
    assert kinds.index("retry") == kinds.index("Result") + 1
    assert texts(seen) == ["counted to 40"] * 2
    first = [one for one in states(seen) if one.attempt == 1]
    assert first[-1].current == 40
    assert [line.attempt for line in job.logs()] == [1, 2]


def test_stopped_and_deleted_jobs_end_their_watches(stable: Stable) -> None:
    stable.start(concurrency=2)
    stopped, deleted = (stable.queue().enqueue(jobs.count_up, stable.file(), 5) for _ in range(2))
    watchers = [Watcher(job) for job in (stopped, deleted)]
    for watcher in watchers:
        watcher.sees_a_line()
    send_stop_job_command(stable.client(), stopped.id, namespace=stable.namespace)
    deleted.delete()
    assert final(watchers[0].ends()).type.name == "STOPPED"
    assert not [one for one in watchers[1].ends() if isinstance(one, Result)]
    assert [steps(watcher.seen) for watcher in watchers] == [["enqueue", "claim", end] for end in ("stop", "delete")]
    eventually(lambda: not [key for key in stable.client().keys("*:log:*") if deleted.id.encode() in key])


def test_jobs_that_never_start_end_their_watches_and_a_timeout_ends_it_quietly(stable: Stable) -> None:
    queue = stable.queue("nobody")
    late = queue.enqueue(jobs.nothing, ttl=0.05)
    canceled, waiting, gone = (queue.enqueue(jobs.nothing) for _ in range(3))
    watchers = [Watcher(job) for job in (late, canceled, gone)]
    began = time.monotonic()
    assert steps(list(waiting.watch(0.1))) == steps(list(waiting.watch(0))) == ["enqueue"]
    assert 0.1 <= time.monotonic() - began < 1
    canceled.cancel()
    gone.delete()
    ends = [steps(watcher.ends()) for watcher in watchers]
    assert ends == [["enqueue", end] for end in ("expire", "cancel", "delete")]
    assert list(gone.watch()) == watchers[2].seen


def test_of_a_job_that_chatters_the_last_thousand_lines_are_kept_and_it_is_not_held_up(stable: Stable) -> None:
    stable.start()
    job = stable.queue().enqueue(jobs.chatter, 20_000, 200)
    assert job.wait(20) < 5_000
    lines = job.logs(LOG_LINES)
    assert [int(line.text.split()[0]) for line in lines] == list(range(19_000, 20_000))
    long = stable.queue().enqueue(jobs.chatter, 3, 10_000)
    long.wait(10)
    assert all(line.text.endswith(" … (cut)") and len(line.text.encode()) <= 4_000 for line in long.logs())


def test_threads_of_a_job_write_into_its_log_and_no_frame_is_torn(stable: Stable) -> None:
    stable.start()
    queued = [stable.queue().enqueue(jobs.chorus, 4, 20) for _ in range(10)]
    for job in queued:
        assert len(job.wait(20)) == 900_000
        assert sorted(line.text for line in job.logs()) == sorted(f"{n}.{k}" for n in range(4) for k in range(20))


@pytest.mark.parametrize("options", [{"jobs_per_horse": 1}, {"concurrency": 2}, {"simple": True}])
def test_short_jobs_tell_their_last_word_in_every_kind_of_worker(stable: Stable, options: dict[str, Any]) -> None:
    queue = stable.queue()
    queued = queue.enqueue_many([Queue.prepare_data(jobs.count_up, ("", number)) for number in range(1, 21)])
    plain = queue.enqueue_many([Queue.prepare_data(jobs.nothing) for _ in range(5)])
    worker = stable.burst(**options)
    all_outcomes([*queued, *plain])
    for number, job in enumerate(queued, 1):
        assert shown(job, number), (number, job.progress, worker.log)
        assert [line.text for line in job.logs()] == [f"counted to {number}"]
    assert all(job.progress is None and job.logs() == [] for job in plain)


def test_jobs_that_say_nothing_cost_no_call_more(stable: Stable) -> None:
    stable.queue().enqueue_many([Queue.prepare_data(jobs.nothing) for _ in range(50)])
    before = stable.client().info("commandstats").get("cmdstat_xlen", {"calls": 0})["calls"]
    worker = stable.burst()
    assert stable.client().info("commandstats").get("cmdstat_xlen", {"calls": 0})["calls"] == before
    assert worker.ends() == 0
    assert not stable.client().keys(f"*{stable.namespace}*:live:*")


def test_a_full_server_hurts_no_job_that_tells(own_stable: Stable) -> None:
    worker = own_stable.start()
    job = own_stable.queue().enqueue(jobs.count_up, own_stable.file(), 10)
    running(job)
    own_stable.client().config_set("maxmemory", 1)
    worker.says("the server refuses")
    tell(own_stable.file(), "go")
    result = outcome(job)
    assert (result.type.name, result.has_value) == ("SUCCESSFUL", False)
    assert worker.log.count("the server refuses") == 1


def test_a_watch_goes_on_when_the_server_comes_back(own_stable: Stable) -> None:
    own_stable.start()
    job = own_stable.queue().enqueue(jobs.count_up, own_stable.file(), 10)
    watcher = Watcher(job)
    watcher.sees_a_line()
    own_stable.server.restart()
    tell(own_stable.file(), "go")
    assert final(watcher.ends()).return_value == 10
    own_stable.server.stop()
    with pytest.raises(Disconnected):
        next(job.watch())


@pytest.fixture
def inline(stable: Stable) -> Iterator[Queue]:
    yield stable.queue(is_async=False)


def test_without_a_worker_a_job_tells_by_itself(inline: Queue) -> None:
    job = inline.enqueue(jobs.tracked, 2_000)
    assert shown(job, 2_000)
    seen = list(job.watch())
    assert [type(one).__name__ for one in seen] == ["Event", "Event", "Progress", "Event", "Result"]
    talker = inline.enqueue(jobs.chatter, 1_200)
    assert len(talker.logs(LOG_LINES)) == LOG_LINES
    assert talker.logs(1)[0].text.startswith("1199 ")


def test_in_a_burst_of_this_process_too(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.count_up, "", 7)
    work("default", connection=stable.client(), namespace=stable.namespace)
    assert shown(job, 7)
    assert [line.text for line in job.logs()] == ["counted to 7"]
