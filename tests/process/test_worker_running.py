"""A worker at its daily work: who runs what, when, and how often."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rqlike import Callback, Job, Retry
from tests.process import jobs
from tests.process.jobs import told
from tests.process.workers import Stable, WorkerProcess, all_outcomes, lines, outcome
from tests.servers import eventually
from tests.surface import flaky


def test_a_burst_runs_all_that_is_queued_and_ends_with_0(stable: Stable) -> None:
    queued = [stable.queue().enqueue(jobs.echo, number) for number in range(20)]
    stable.burst()
    assert [job.wait(0) for job in queued] == list(range(20))


def test_a_burst_on_an_empty_queue_ends_at_once(stable: Stable) -> None:
    began = time.monotonic()
    stable.burst()
    assert time.monotonic() - began < 3


def test_a_burst_waits_for_running_jobs_and_immediate_retries(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.fail_until, stable.file(), 2, retry=Retry(max=2))
    stable.burst()
    assert job.wait(0) == 3
    assert [result.attempt for result in job.results()] == [3, 2, 1]


def test_a_burst_is_not_held_by_what_is_due_later(stable: Stable) -> None:
    later = stable.queue().enqueue_in(60, jobs.nothing)
    stable.burst()
    assert later.get_status() == "scheduled"


def test_horses_run_jobs_side_by_side_and_one_horse_one_at_a_time(stable: Stable) -> None:
    for number in range(6):
        stable.queue().enqueue(jobs.span, stable.file(), number, 0.15)
    stable.burst(concurrency=3)
    busy = most = 0
    for line in told(stable.file()):
        busy += 1 if line.startswith("begin") else -1
        most = max(most, busy)
    assert most == 3
    for number in range(3):
        stable.queue().enqueue(jobs.span, stable.file("alone"), number, 0.02)
    stable.burst()
    assert [line.split()[0] for line in told(stable.file("alone"))] == ["begin", "end"] * 3


def test_queues_are_drained_in_their_order(stable: Stable) -> None:
    for name in ("low", "high", "low", "high"):
        stable.queue(name).enqueue(jobs.mark, stable.file(), name)
    stable.burst("high", "low")
    assert [line.split()[0] for line in told(stable.file())] == ["high", "high", "low", "low"]


def test_round_robin_takes_the_queues_in_turn_even_when_jobs_have_callbacks(stable: Stable) -> None:
    for name in ("a", "b"):
        for _ in range(4):
            options = {"meta": {"path": stable.file("callbacks")}, "on_success": jobs.SUCCESS}
            stable.queue(name).enqueue(jobs.mark, stable.file(), name, **options)
    stable.burst("a", "b", work={"dequeue_strategy": "round_robin", "burst": True})
    order = [line.split()[0] for line in told(stable.file())]
    assert order in (["a", "b"] * 4, ["b", "a"] * 4)


def test_random_order_leaves_no_queue_behind(stable: Stable) -> None:
    for name in ("a", "b"):
        for _ in range(12):
            stable.queue(name).enqueue(jobs.mark, stable.file(), name)
    stable.burst("a", "b", work={"dequeue_strategy": "random", "burst": True})
    order = [line.split()[0] for line in told(stable.file())]
    assert sorted(order) == ["a"] * 12 + ["b"] * 12
    assert order not in (["a"] * 12 + ["b"] * 12, ["b"] * 12 + ["a"] * 12)


def test_max_jobs_ends_the_worker_after_exactly_so_many(stable: Stable) -> None:
    queue = stable.queue()
    for number in range(5):
        queue.enqueue(jobs.mark, stable.file(), str(number))
    worker = stable.start(work={"max_jobs": 3}, wait=False, concurrency=2)
    assert worker.ends() == 0
    assert len(told(stable.file())) == 3
    assert queue.count == 2


def test_max_jobs_still_runs_the_callbacks_of_the_last_job(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.echo, 7, on_success=jobs.SUCCESS, meta={"path": stable.file()}, result_ttl=60)
    assert stable.start(work={"max_jobs": 1}, wait=False).ends() == 0
    assert job.wait(0) == 7
    assert told(stable.file()) == ["success 7"]


def test_max_idle_time_ends_an_idle_worker_and_not_a_busy_one(stable: Stable) -> None:
    stable.queue().enqueue(jobs.mark, stable.file(), "long", 1.0)
    began = time.monotonic()
    worker = stable.start(work={"max_idle_time": 0.4}, wait=False)
    assert worker.ends() == 0
    assert told(stable.file())
    assert 1.3 < time.monotonic() - began < 5


def test_one_horse_runs_many_jobs(stable: Stable) -> None:
    queued = [stable.queue().enqueue(jobs.pid) for _ in range(5)]
    stable.burst()
    assert len({job.wait(0) for job in queued}) == 1


def test_a_horse_is_replaced_after_jobs_per_horse(stable: Stable) -> None:
    queued = [stable.queue().enqueue(jobs.pid) for _ in range(6)]
    stable.burst(jobs_per_horse=2)
    pids = [job.wait(0) for job in queued]
    assert len(set(pids)) == 3
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_isolated_jobs_have_a_process_each_and_the_next_one_stands_ready(stable: Stable) -> None:
    worker = stable.start(jobs_per_horse=1)
    first = stable.queue().enqueue(jobs.mark, stable.file(), "first", 1.0)
    lines(lambda: told(stable.file()), 1)
    eventually(lambda: len(worker.horses()) == 2, message="the next horse is forked while the first job runs")
    second = stable.queue().enqueue(jobs.mark, stable.file(), "second")
    outcome(second)
    assert first.wait(0) == "first"
    words = [line.split() for line in told(stable.file())]
    assert [word for word, _ in words] == ["first", "second"]
    assert words[0][1] != words[1][1]
    assert first.latest_result() is not None
    # the horse in waiting must not run beside the other one
    begun, ended = second.results()[0].execution_started_at, first.results()[0].execution_ended_at
    assert begun >= ended


def test_horses_leave_no_zombies_and_no_descriptors(stable: Stable) -> None:
    worker = stable.start(jobs_per_horse=1, concurrency=2)
    outcome(stable.queue().enqueue(jobs.nothing))
    eventually(lambda: len(worker.horses()) == 2)
    before = worker.descriptors()
    all_outcomes([stable.queue().enqueue(jobs.nothing) for _ in range(40)])
    eventually(lambda: worker.descriptors() <= before + 2, message="descriptors as before")
    eventually(lambda: not worker.zombies(), message="no zombies")


def test_two_workers_share_one_queue_and_none_starves(stable: Stable) -> None:
    first, second = stable.start(), stable.start()
    queued = [stable.queue().enqueue(jobs.mark, stable.file(), str(n), 0.03) for n in range(20)]
    names = [result.worker_name for result in all_outcomes(queued)]
    assert names.count(first.name) >= 5
    assert names.count(second.name) >= 5


def test_an_idle_worker_hears_of_each_job_at_once_whatever_its_queue(stable: Stable) -> None:
    stable.start("a", "b", "c", concurrency=2)
    slowest = 0.0
    for name in ("c", "a", "b", "c", "c", "a"):
        began = time.monotonic()
        outcome(stable.queue(name).enqueue(jobs.nothing))
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5


def test_jobs_that_come_while_some_horses_are_busy_start_on_the_free_ones(stable: Stable) -> None:
    stable.start(concurrency=3)
    for number in range(2):
        stable.queue().enqueue(jobs.mark, stable.file(), f"long{number}", 3.0)
    lines(lambda: told(stable.file()), 2)
    for _ in range(5):
        began = time.monotonic()
        outcome(stable.queue().enqueue(jobs.nothing))
        assert time.monotonic() - began < 0.5


def test_a_scheduled_job_starts_when_it_is_due(stable: Stable) -> None:
    stable.start()
    outcome(stable.queue().enqueue(jobs.nothing))
    for delay in (0.3, 0.8, 0.2):
        job = stable.queue().enqueue_in(delay, jobs.nothing)
        due = job.enqueued_at
        result = outcome(job)
        late = (result.execution_started_at - due).total_seconds() - delay if due else 0.0
        assert -0.01 <= late < 0.1


def test_a_due_job_is_not_late_when_the_worker_that_watched_for_it_has_left(stable: Stable) -> None:
    watcher = stable.start()
    job = stable.queue().enqueue_in(1.5, jobs.nothing)
    outcome(stable.queue().enqueue(jobs.nothing))
    stable.start()
    watcher.terminate()
    assert watcher.ends() == 0
    began = time.monotonic()
    outcome(job)
    assert time.monotonic() - began < 2.5


def noticed(worker: WorkerProcess, times: int) -> None:
    eventually(lambda: worker.log.count("reloaded_app.py changed") >= times)


def test_reload_gives_new_code_to_the_next_job(stable: Stable, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    module = folder / "reloaded_app.py"
    module.write_text("def version():\n    return 1\n")
    worker = stable.start(path=[str(folder)], reload=[str(folder)])
    queue = stable.queue()
    assert outcome(queue.enqueue("reloaded_app.version")).return_value == 1
    for version in (2, 3):
        module.write_text(f"def version():\n    return {version}\n")
        noticed(worker, version - 1)
        assert outcome(queue.enqueue("reloaded_app.version")).return_value == version


def test_preload_is_refused_where_it_starts_a_thread(stable: Stable, tmp_path: Path) -> None:
    (tmp_path / "threaded_app.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True, name='poller').start()\n"
    )
    worker = stable.start(path=[str(tmp_path)], preload=["threaded_app"], wait=False)
    assert worker.ends() != 0
    assert "poller" in worker.log


def test_a_job_knows_itself_and_writes_its_meta(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.keep_meta, meta={"before": 1})
    stable.burst()
    assert job.wait(0) == job.id
    assert job.get_meta() == {"before": 1, "seen": "by the job"}


def test_a_name_is_borne_by_one_living_worker(stable: Stable) -> None:
    stable.start(name="same")
    second = stable.start(name="same", wait=False)
    assert second.ends() != 0
    assert "same" in second.log
    assert "alive" in second.log


# -- callbacks and handlers --------------------------------------------------------------------------------------------


def test_callbacks_are_called_once_by_how_the_job_ended(stable: Stable) -> None:
    meta = {"path": stable.file()}
    every = {"on_success": jobs.SUCCESS, "on_failure": jobs.FAILURE, "on_stopped": jobs.STOPPED, "meta": meta}
    stable.queue().enqueue(jobs.echo, "fine", **every)
    stable.queue().enqueue(jobs.fail, "bad", **every)
    stable.queue().enqueue(jobs.leave, 3, **every)
    unkept = stable.queue().enqueue(jobs.echo, "unkept", store_result=False, **every)
    stable.burst()
    assert told(stable.file())[0] == "success fine"
    assert told(stable.file())[1].startswith("failure ValueError bad")
    assert told(stable.file())[2].startswith("failure AbandonedJobError")
    assert told(stable.file())[3] == "success unkept"
    assert len(told(stable.file())) == 4
    assert outcome(unkept).not_stored == "disabled"


def test_callbacks_are_called_when_every_job_has_a_new_horse(stable: Stable) -> None:
    for number in range(3):
        stable.queue().enqueue(jobs.echo, number, on_success=jobs.SUCCESS, meta={"path": stable.file()})
    stable.burst(jobs_per_horse=1)
    assert told(stable.file()) == ["success 0", "success 1", "success 2"]


def test_a_callback_that_fails_changes_no_status_and_is_noted(stable: Stable) -> None:
    broken = stable.queue().enqueue(jobs.echo, 1, on_success="tests.process.jobs.note_badly")
    slow = stable.queue().enqueue(jobs.echo, 2, on_success=jobs.SLOW)
    missing = stable.queue().enqueue(jobs.echo, 3, on_success=Callback("tests.process.jobs.no_such"))
    stable.burst()
    assert [job.wait(0) for job in (broken, slow, missing)] == [1, 2, 3]
    assert "the callback broke" in (broken.results()[0].callback_error or "")
    assert "ran longer than 0.2 seconds" in (slow.results()[0].callback_error or "")
    assert "no_such" in (missing.results()[0].callback_error or "")


def test_exception_handlers_are_called_in_order_until_one_says_no(stable: Stable) -> None:
    names = ("handle", "handle_and_end", "handle")
    stable.queue().enqueue(jobs.fail, meta={"path": stable.file()})
    stable.queue().enqueue(jobs.echo, 1, meta={"path": stable.file()})
    stable.burst(exception_handlers=[f"tests.process.jobs.{name}" for name in names])
    assert told(stable.file()) == ["handled ValueError", "last ValueError"]


# -- middleware --------------------------------------------------------------------------------------------------------


def test_middleware_hooks_come_in_their_order_and_process(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.echo, 1)
    worker = stable.burst(middleware=["tests.process.jobs.Tracing"], env={"TRACE_FILE": stable.file()})
    seen = [line.split() for line in told(stable.file())]
    assert [line[0] for line in seen] == ["before_fork", "after_fork", "setup", "in", "out", "after_result"]
    assert seen[0][1] == str(worker.pid)
    assert seen[1][1] == seen[2][1] != str(worker.pid)
    assert seen[3][1] == job.id
    assert seen[5][1] == "SUCCESSFUL"


def test_after_result_is_called_for_an_execution_whose_horse_died(stable: Stable) -> None:
    stable.queue().enqueue(jobs.leave, 1)
    stable.burst(middleware=["tests.process.jobs.Tracing"], env={"TRACE_FILE": stable.file()})
    assert told(stable.file())[-1] == "after_result FAILED"


def test_a_setup_that_fails_three_times_in_a_row_stops_the_worker(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.nothing)
    worker = stable.start(middleware=["tests.process.jobs.Broken"], env={"TRACE_FILE": stable.file()}, wait=False)
    assert worker.ends() not in (0, 75)
    assert len(told(stable.file())) == 3
    assert "no database" in worker.log
    assert job.get_status() == "queued"


# -- retries -----------------------------------------------------------------------------------------------------------


def test_a_worker_knows_the_exceptions_of_modules_that_it_has_not_imported(stable: Stable) -> None:
    cases: dict[str, tuple[Retry, tuple[Any, ...], str]] = {
        "by a base": (Retry(3, 60, on=["tests.surface.flaky.Busy"]), (flaky.fails, "VeryBusy"), "scheduled"),
        "another": (Retry(3, 60, on=["tests.surface.flaky.VeryBusy"]), (flaky.fails, "Busy"), "failed"),
        "given up": (Retry(3, 60, give_up_on=[OSError]), (flaky.fails, "VeryBusy"), "failed"),
        "never": (Retry(3, 60), (flaky.fails, "NoSuchAccount"), "failed"),
        "later": (Retry(3), (flaky.later, 60), "scheduled"),
        "died": (Retry.custom(3, flaky.by_attempt), (flaky.dies,), "scheduled"),
        "died and given up": (Retry(3, give_up_on=["rqlike.exceptions.AbandonedJobError"]), (flaky.dies,), "failed"),
        "custom": (Retry.custom(3, flaky.by_attempt), (flaky.fails, "Busy"), "scheduled"),
        "broken": (Retry.custom(3, flaky.breaks), (flaky.fails, "Busy"), "scheduled"),
    }
    queue = stable.queue()
    found = {name: queue.enqueue(*call, retry=retry, job_id=name) for name, (retry, call, _) in cases.items()}
    worker = stable.burst()
    assert {name: str(job.get_status()) for name, job in found.items()} == {
        name: status for name, (*_, status) in cases.items()
    }
    due = {name: _pause(job) for name, job in found.items() if cases[name][2] == "scheduled"}
    assert due == {"by a base": 60, "later": 60, "died": 60, "custom": 100, "broken": 60}
    assert outcome(found["never"]).reason == "unrecoverable"
    assert (found["broken"].results()[0].exc_string or "").startswith("The function tests.surface.flaky.breaks")
    assert "broken: The function tests.surface.flaky.breaks of Retry.custom gave no pause" in worker.log
    assert ": by a base is retried in 1m: attempt 1 of 4 ended after " in worker.log
    assert "another failed in " in worker.log


def _pause(job: Job[Any]) -> int:
    result = job.results()[0]
    assert result.next_attempt_at is not None
    return round((result.next_attempt_at - result.execution_ended_at).total_seconds())
