"""The twenty places where RQ 2.12 loses, repeats or misreports a job. Each test would fail on RQ's behaviour.

A docstring says what RQ does there. "Lost" stands for a worker that was killed: what it leaves on the server is
exactly what its last call wrote, so most of these tests make that call and never another one.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from rqlike import Job, Queue, Retry
from rqlike.entries import entry_of
from rqlike.exceptions import DuplicateJobError
from rqlike.outcomes import Outcome, Rules, decide
from rqlike.records import Execution
from rqlike.states import JobStatus, Reason, ResultType
from rqlike.store import turns, verbs
from rqlike.store.turns import Settlement, Turn
from tests.process import jobs as bodies
from tests.process.jobs import told
from tests.process.together import together
from tests.process.workers import Stable, all_outcomes, lines, outcome, running
from tests.servers import eventually, is_gone
from tests.surface import tasks
from tests.surface.waiters import Counting, at_once, counting_client, waiting


def homes_of(job: Job[Any], *queues: str) -> list[str]:
    """Every index that names the job."""
    keys, client = job.store.keys, job.connection
    return [
        f"{status}:{queue}"
        for queue in queues
        for status in JobStatus
        if client.zscore(keys.home(status, queue), job.id) is not None
    ]


def claim(queue: Queue, *queues: str, worker: str = "lost", lease_ms: int = 30_000) -> Execution:
    """The one call by which a worker takes a job. Whoever dies after it leaves exactly this."""
    turn = Turn(worker, f"{worker}-1", 1, queues or (queue.name,), want=1, lease_ms=lease_ms)
    (granted,) = queue.store.run(turns.advance(turn)).granted
    return granted


def settlement(execution: Execution, came: Outcome) -> Settlement:
    """What a worker writes of an outcome."""
    verdict = decide(execution.job, came, Rules())
    return Settlement(execution, verdict, entry_of(execution, verdict, came, worker="w", offset_ms=0))


def settle(queue: Queue, one: Settlement, number: int = 2) -> str:
    """The call that writes it."""
    (word,) = queue.store.run(turns.advance(Turn("w", "w-1", number, (queue.name,), settlements=(one,)))).words
    return word.partition(" ")[0]


RAISED = Outcome(Reason.EXCEPTION, None, "Traceback: boom", "builtins.ValueError")


def test_c1_a_worker_killed_right_after_taking_a_job_from_one_of_two_queues_does_not_lose_it(stable: Stable) -> None:
    """RQ pops from several queues by BLPOP: from then on no list and no set names the job. Lost for ever."""
    job = stable.queue("b").enqueue(bodies.mark, stable.file(), retry=Retry(1))
    claim(stable.queue("b"), "a", "b", lease_ms=1)
    assert homes_of(job, "a", "b") == ["started:b"]
    worker = stable.start("a", "b")
    assert job.wait(timeout=10) == "ran"
    assert [(one.type, one.reason) for one in job.results()] == [
        (ResultType.SUCCESSFUL, None),
        (ResultType.RETRIED, Reason.ABANDONED),
    ]
    assert worker.process.poll() is None


def test_c2_sigterm_at_any_instant_of_taking_a_job_loses_and_stops_none(stable: Stable) -> None:
    """RQ raises StopRequested out of the signal handler between taking a job and being busy with it. With two queues
    the job is lost, with one it is stuck and later marked as failed."""
    dice, count = random.Random(2), 120
    queues = [stable.queue(name) for name in "ab"]
    # 5 ms each: a worker that has done what is waited for does not do all the others before the signal comes
    queued = [queues[n % 2].enqueue(bodies.mark, stable.file(), str(n), 0.005) for n in range(count)]
    stops = 0
    while any(queue.count for queue in queues):
        worker = stable.start("a", "b", wait=False)
        lines(lambda: told(stable.file()), min(count, len(told(stable.file())) + dice.randrange(1, 20)))
        worker.terminate()
        assert worker.ends() == 0, worker.log
        stops += 1
    assert stops >= 3
    assert {one.type for one in all_outcomes(queued)} == {ResultType.SUCCESSFUL}
    assert sorted(int(line.split()[0]) for line in told(stable.file())) == list(range(count)), "each of them ran once"


@together
def test_c3_a_job_of_a_killed_worker_is_soon_run_by_another_and_not_failed_unseen(stable: Stable) -> None:
    """RQ leaves it in the intermediate queue; two maintenance passes (10 to 20 minutes) later it is FAILED, although
    it never ran."""
    job = stable.queue().enqueue(bodies.mark, stable.file(), "ran", 0.5, retry=Retry(1))
    lost = stable.start(plan={"lease_ms": 500, "renew_s": 0.1}, wait=False)
    running(job)
    lost.kill()
    stable.start()
    before = time.monotonic()
    assert job.wait(timeout=10) == "ran"
    assert time.monotonic() - before < 8
    assert 1 <= len(told(stable.file())) <= 2
    assert job.is_finished


def test_c4_a_finished_job_stays_finished_whatever_became_of_its_first_horse(stable: Stable) -> None:
    """RQ: the horse dies before its first write; the job is retried and finishes; then maintenance finds the leftover
    and flips FINISHED to FAILED, with a result of its own."""
    job = stable.queue().enqueue(bodies.fail_until, stable.file(), 0, retry=Retry(1))
    first = claim(stable.queue())
    assert settle(stable.queue(), settlement(first, Outcome.killed("signal 9", 0.0, 0.0))) == "ok"
    worker = stable.start()
    assert job.wait(timeout=10) == 1
    history = [(one.id, one.type) for one in job.results()]
    late = settlement(first, Outcome.killed("signal 9", 0.0, 0.0))
    assert settle(stable.queue(), late, 3) == "already"
    for number in range(4, 8):
        stable.queue().store.run(turns.advance(Turn("w", "w-1", number, ("default",), sweep=True, prune=True)))
    assert job.get_status() is JobStatus.FINISHED
    assert [(one.id, one.type) for one in job.results()] == history
    assert worker.process.poll() is None


@together
def test_c5_a_horse_does_not_outlive_its_killed_worker(stable: Stable) -> None:
    """RQ's horse goes on as an orphan; after 90 s another worker runs the same job beside it."""
    job = stable.queue().enqueue(bodies.span, stable.file(), "x", 3.0, retry=Retry(1))
    worker = stable.start(plan={"lease_ms": 600, "renew_s": 0.1})
    lines(lambda: told(stable.file()), 1)
    (horse,) = worker.horses()
    worker.kill()
    eventually(lambda: is_gone(horse), 1.0, message="the horse is gone")
    stable.start()
    lines(lambda: told(stable.file()), 3, 15.0)
    assert told(stable.file()) == ["begin x", "begin x", "end x"], "the first run was over before the second began"
    assert outcome(job).attempt == 2


def test_c6_two_workers_that_recover_at_once_take_one_attempt(stable: Stable) -> None:
    """RQ reads and then writes: two cleanups at once (a dashboard's `count` is one) push the job twice."""
    queue = stable.queue()
    job = queue.enqueue(bodies.nothing, retry=Retry(3))
    claim(queue, lease_ms=1)

    def recover(number: int) -> int:
        turn = Turn(f"r{number}", f"r{number}-1", 1, ("default",), sweep=True)
        turned = queue.store.run(turns.advance(turn))
        for one in turned.lapsed:
            settle(queue, settlement(one, Outcome.abandoned("lost", 0.0)))
        return len(turned.lapsed)

    eventually(lambda: sum(int(str(found)) for found in at_once(recover, 8)) == 1, interval=0.002)
    queue.counts()
    assert homes_of(job, "default") == ["queued:default"]
    job.refresh()
    assert (job.attempt, job.retries_left, len(job.results())) == (1, 2, 1)


def test_c6_counting_and_listing_move_nothing(stable: Stable) -> None:
    """RQ's `registry.count` and `get_job_ids` requeue and fail jobs."""
    queue = stable.queue()
    job = queue.enqueue(bodies.nothing, retry=Retry(3))
    claim(queue, lease_ms=1)
    registry = queue.started_job_registry
    now = registry.get_expiration_time(job).timestamp()
    eventually(lambda: float(queue.connection.time()[0]) > now + 1)
    assert (registry.count, len(registry), registry.get_job_ids()) == (1, 1, [job.id])
    assert homes_of(job, "default") == ["started:default"]


@pytest.mark.slow
@together
def test_c7_a_value_returned_while_the_server_is_away_is_recorded_and_the_body_not_repeated(
    own_stable: Stable,
) -> None:
    """RQ takes the lost connection for a failure of the job: the value is lost, a retry runs finished work again."""
    job = own_stable.queue().enqueue(bodies.mark, own_stable.file(), "value", 0.6, retry=Retry(3))
    own_stable.start()
    lines(lambda: told(own_stable.file()), 1)
    own_stable.server.kill()
    before = time.monotonic()
    eventually(lambda: time.monotonic() - before > 1.2, message="the body has returned meanwhile")
    own_stable.server.start()
    assert job.wait(timeout=15) == "value"
    assert len(told(own_stable.file())) == 1
    assert [one.type for one in job.results()] == [ResultType.SUCCESSFUL]


def test_c8_a_job_that_exits_with_0_has_died_and_is_known_at_once(stable: Stable) -> None:
    """RQ's parent takes the exit code 0 for success and goes on; the job stays `started` until it is abandoned."""
    job = stable.queue().enqueue(bodies.leave, 0)
    stable.start()
    before = time.monotonic()
    result = outcome(job, 5.0)
    assert time.monotonic() - before < 2
    assert (result.type, result.reason) == (ResultType.FAILED, Reason.KILLED)


@pytest.mark.slow
@together
def test_c9_a_body_that_catches_every_exception_does_not_catch_its_time_out(stable: Stable) -> None:
    """RQ's JobTimeoutException is an Exception: `except Exception` around the slow line swallows it, and the job is
    FINISHED, however late."""
    caught = stable.queue().enqueue(tasks.catches_exceptions, stable.file(), 20.0, job_timeout=0.3)
    stable.start()
    result = outcome(caught, 10.0)
    assert (result.type, result.reason) == (ResultType.FAILED, Reason.TIMEOUT)
    assert told(stable.file()) == []
    assert result.duration < 2


def test_c10_a_failure_with_a_pause_leaves_started_and_enters_scheduled_in_one_step(stable: Stable) -> None:
    """RQ writes the schedule before the rest of its pipeline: a crash between leaves the job in both, to run twice."""
    queue = stable.queue()
    job = queue.enqueue(bodies.nothing, retry=Retry(2, 60))
    one = settlement(claim(queue), RAISED)
    with counting_client(stable.server) as client:
        counted = Queue("default", client, namespace=stable.namespace)
        counted.count  # noqa: B018
        Counting.sent.clear()
        assert settle(counted, one) == "ok"
        assert len(Counting.sent) == 1
    assert homes_of(job, "default") == ["scheduled:default"]
    assert settle(queue, one) == "already", "and the same call sent again changes nothing"
    assert homes_of(job, "default") == ["scheduled:default"]
    assert len(job.results()) == 1


def test_c11_a_requeue_is_one_step_and_one_step_only_when_it_is_sent_twice(stable: Stable) -> None:
    """RQ takes the job out of the failed registry, saves it and pushes it by separate calls: a crash between leaves
    it nowhere."""
    with counting_client(stable.server) as client:
        queue = Queue("default", client, namespace=stable.namespace)
        job = queue.enqueue(bodies.nothing)
        settle(queue, settlement(claim(queue), RAISED))
        assert homes_of(job, "default") == ["failed:default"]
        request = verbs.requeue([job.id], "nonce", at_front=False)
        queue.store.run(request)
        job.cancel()
        job.requeue()
        Counting.sent.clear()
        job.cancel()
        words = queue.store.run(verbs.requeue([job.id], "other", at_front=False))
        assert len(Counting.sent) == 2
        assert queue.store.run(verbs.requeue([job.id], "other", at_front=False)) == words
        assert homes_of(job, "default") == ["queued:default"]
    job.refresh()
    assert job.cycle == 4


def test_c12_jobs_that_fall_due_under_three_workers_run_once_each(stable: Stable) -> None:
    """RQ's scheduler reads what is due and pushes it in a later transaction: two of them after a lost lock push
    twice."""
    for _ in range(3):
        stable.start()
    due = [stable.queue().enqueue_in(0.3, bodies.mark, stable.file(), str(n)) for n in range(60)]
    all_outcomes(due)
    assert sorted(int(line.split()[0]) for line in told(stable.file())) == list(range(60))


def test_c13_exactly_ten_results_are_kept(stable: Stable) -> None:
    """RQ trims by `MAXLEN ~ 10`, which keeps up to about a hundred."""
    queue = stable.queue()
    for number in range(40):
        job = queue.enqueue(bodies.echo, number, job_id="a")
        one = settlement(claim(queue), Outcome(value=bytes([number])))
        assert settle(queue, one, number) == "ok"
        queue.connection.delete(queue.store.keys.call("lost"))
    assert queue.connection.xlen(queue.store.keys.results("a")) == 10
    assert [one.return_value for one in job.results()] == list(range(39, 29, -1))


def test_c14_the_history_of_a_failed_job_lives_as_long_as_the_job_and_goes_with_it(stable: Stable) -> None:
    """RQ writes it without a TTL: it stays for ever, after the job's year, after `delete()` and after `empty()`."""
    queue = stable.queue()
    keys, client = queue.store.keys, queue.connection
    job = queue.enqueue(bodies.nothing, failure_ttl=60)
    settle(queue, settlement(claim(queue), RAISED))
    assert client.pexpiretime(keys.results(job.id)) == client.pexpiretime(job.key) > 0
    plain = queue.enqueue(bodies.nothing)
    client.delete(keys.call("lost"))
    settle(queue, settlement(claim(queue), RAISED), 3)
    assert 31_000_000 < client.ttl(keys.results(plain.id)) <= 31_536_000
    job.delete()
    plain.requeue()
    assert queue.empty() == 1
    assert [0 < client.pttl(keys.results(one.id)) <= 5_000 for one in (job, plain)] == [True, True]


def test_c15_a_waiter_of_a_requeued_job_does_not_get_the_old_result(stable: Stable) -> None:
    """RQ reads the stream from 0-0: after a requeue it answers with the old result at once."""
    queue = stable.queue()
    job = queue.enqueue(bodies.echo, "value")
    settle(queue, settlement(claim(queue), RAISED))
    old = job.latest_result()
    job.requeue()
    by_wait = waiting(queue.connection, lambda: job.wait(timeout=10.5))
    by_after = waiting(queue.connection, lambda: job.latest_result(timeout=10.5, after=old), 1)
    assert not by_wait.ends
    stable.start()
    assert by_wait.outcomes() == ["value"]
    (found,) = by_after.outcomes()
    assert getattr(found, "return_value", None) == "value"


@pytest.mark.slow
def test_c15_a_wait_may_have_fractions_and_outlast_the_clients_socket_timeout(stable: Stable) -> None:
    """RQ: a float is a DataError of the server, and a wait longer than `socket_timeout` raises TimeoutError."""
    with stable.server.client(socket_timeout=0.5) as client:
        job = Queue("default", client, namespace=stable.namespace).enqueue(bodies.nothing)
        before = time.monotonic()
        assert job.latest_result(timeout=1.5) is None
        assert 1.45 <= time.monotonic() - before <= 1.9


def test_c16_a_callback_that_raises_changes_no_status(stable: Stable) -> None:
    """RQ marks the job as failed (and runs it again), although its function succeeded."""
    job = stable.queue().enqueue(bodies.echo, 5, on_success=bodies.note_badly, retry=Retry(2))
    stable.burst()
    assert (job.get_status(), job.wait(timeout=0), len(job.results())) == (JobStatus.FINISHED, 5, 1)
    assert "the callback broke" in (job.results()[0].callback_error or "")


def test_c17_a_horse_killed_in_a_callback_does_not_repeat_the_job(stable: Stable) -> None:
    """RQ calls back before it commits: who dies between has done what the callback does, and the job runs again."""
    job = stable.queue().enqueue(
        bodies.mark,
        stable.file(),
        on_success=tasks.kills_its_process,
        retry=Retry(2),
        meta={"path": stable.file("told2")},
    )
    stable.burst()
    assert Path(stable.file("told2")).read_text() == "x", "it was called, once"
    assert (job.get_status(), len(told(stable.file())), len(job.results())) == (JobStatus.FINISHED, 1, 1)


@pytest.mark.slow
@together
def test_c18_a_worker_outlives_a_server_that_is_killed_and_restarted(own_stable: Stable) -> None:
    """RQ's worker quits on a connection time-out, its scheduler dies after an outage."""
    worker = own_stable.start()
    queue = own_stable.queue()
    before = [queue.enqueue(bodies.mark, own_stable.file(), str(n), 0.01) for n in range(30)]
    due = queue.enqueue_in(1.0, bodies.echo, "due")
    lines(lambda: told(own_stable.file()), 5)
    own_stable.server.kill()
    own_stable.server.start()
    after = queue.enqueue(bodies.echo, "after")
    assert after.wait(timeout=15) == "after"
    assert due.wait(timeout=15) == "due"
    assert {one.type for one in all_outcomes(before)} == {ResultType.SUCCESSFUL}
    assert sorted(int(line.split()[0]) for line in told(own_stable.file())) == list(range(30))
    assert worker.process.poll() is None


@pytest.mark.parametrize("how", ["deleted", "expired", "requeued", "taken over"])
def test_c19_a_late_write_does_not_bring_anything_back(stable: Stable, how: str) -> None:
    """RQ's heartbeat and finish race: HSET makes a new hash, without most of its fields, of a job that is gone."""
    queue = stable.queue()
    job = queue.enqueue(bodies.nothing)
    execution = claim(queue)
    if how == "deleted":
        job.delete()
    elif how == "expired":
        queue.connection.delete(job.key)
    else:
        settle(queue, settlement(execution, RAISED))
        job.requeue()
    if how == "taken over":
        claim(queue, worker="other")
    state = queue.connection.hgetall(job.key)
    late = settlement(execution, Outcome(value=b"\x07"))
    assert settle(queue, late, 5) in ("gone", "stale")
    renewed = queue.store.run(turns.renew("lost", {"state": "busy"}, [execution]))
    assert renewed.words == ("lost",)
    assert queue.store.run(verbs.annotate(job.id, execution.execution_id, "x")) == (how in ("requeued", "taken over"))
    assert {k: v for k, v in queue.connection.hgetall(job.key).items() if k[:1] != b"!"} == state
    assert [one.type for one in job.results()] == ([ResultType.FAILED] if how in ("requeued", "taken over") else [])


def test_c20_an_id_that_is_in_use_is_refused_and_stands_in_its_queue_once(stable: Stable) -> None:
    """RQ overwrites the job and lists its id twice."""
    queue = stable.queue()
    job = queue.enqueue(bodies.echo, "first", job_id="a")
    with pytest.raises(DuplicateJobError):
        queue.enqueue(bodies.echo, "second", job_id="a")
    assert queue.job_ids == ["a"]
    stable.burst()
    assert (job.wait(timeout=0), len(job.results())) == ("first", 1)
