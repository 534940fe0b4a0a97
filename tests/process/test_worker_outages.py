"""The server away, restarted, cut off or forgetful: running jobs go on, and nothing runs twice."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
import redis

from rqlike import Queue
from rqlike.exceptions import ResultNotStored
from tests.process import jobs
from tests.process.jobs import told
from tests.process.proxies import LossyProxy
from tests.process.together import together
from tests.process.workers import Stable, all_outcomes, lines, outcome, pass_time
from tests.servers import eventually


def bodies(stable: Stable) -> Counter[str]:
    """How often each body ran, by the word it told."""
    return Counter(line.split()[0] for line in told(stable.file()))


def cut_connections(stable: Stable) -> int:
    """Cuts all connections but the test's own; how many."""
    return int(stable.client().client_kill_filter(_type="normal", skipme=True))


@together
def test_an_outcome_that_came_during_an_outage_is_recorded_once_and_its_body_not_run_again(own_stable: Stable) -> None:
    worker = own_stable.start()
    job = own_stable.queue().enqueue(jobs.mark, own_stable.file(), "once", 1.0)
    lines(lambda: told(own_stable.file()), 1)
    own_stable.server.kill()
    worker.says("is away")
    pass_time(1.5)
    own_stable.server.start()
    assert outcome(job).return_value == "once"
    assert (len(job.results()), bodies(own_stable)) == (1, Counter(once=1))
    worker.says("is back after")
    assert own_stable.queue().enqueue(jobs.echo, 1).wait(5) == 1


@together
def test_a_server_that_is_killed_under_load_and_restarted_loses_nothing(own_stable: Stable) -> None:
    queue = own_stable.queue()
    queued = [queue.enqueue(jobs.mark, own_stable.file(), str(n), 0.002) for n in range(600)]
    worker = own_stable.start(concurrency=2)
    for count in (60, 200, 350):
        lines(lambda: told(own_stable.file()), count, 30)
        own_stable.server.kill()
        own_stable.server.start()
    results = all_outcomes(queued, 60)
    assert {result.type.name for result in results} == {"SUCCESSFUL"}
    assert bodies(own_stable) == Counter(str(n) for n in range(600))
    assert all(len(job.results()) == 1 for job in queued)
    worker.terminate()
    assert worker.ends() == 0


@together
def test_a_paused_server_under_load_loses_nothing_and_costs_no_processor_time(own_stable: Stable) -> None:
    queue = own_stable.queue()
    queued = [queue.enqueue(jobs.mark, own_stable.file(), str(n)) for n in range(400)]
    worker = own_stable.start(concurrency=2)
    lines(lambda: told(own_stable.file()), 50)
    own_stable.server.pause()
    worker.says("is away")
    used = worker.cpu_s()
    pass_time(2.0)
    used = worker.cpu_s() - used
    own_stable.server.proceed()
    all_outcomes(queued, 60)
    assert bodies(own_stable) == Counter(str(n) for n in range(400))
    assert used < 0.2


def test_connections_that_are_cut_at_random_repeat_nothing(own_stable: Stable) -> None:
    dice = random.Random(3)
    queue = own_stable.queue()
    queued = [queue.enqueue(jobs.mark, own_stable.file(), str(n)) for n in range(800)]
    own_stable.start(concurrency=2)
    cuts = 0
    while queue.count:
        cuts += bool(cut_connections(own_stable))
        seen = len(told(own_stable.file()))
        lines(lambda: told(own_stable.file()), min(800, seen + dice.randrange(1, 80)), 20)
    all_outcomes(queued, 60)
    assert bodies(own_stable) == Counter(str(n) for n in range(800))
    assert all(len(job.results()) == 1 and job.results()[0].attempt == 1 for job in queued)
    assert cuts >= 5


def test_an_idle_worker_whose_connections_were_cut_hears_of_the_next_job_at_once(own_stable: Stable) -> None:
    own_stable.start()
    outcome(own_stable.queue().enqueue(jobs.nothing))
    for _ in range(5):
        cut_connections(own_stable)
        began = time.monotonic()
        outcome(own_stable.queue().enqueue(jobs.nothing))
        assert time.monotonic() - began < 1.0


def test_a_wake_up_that_is_lost_on_its_way_does_not_leave_the_job_waiting(own_stable: Stable) -> None:
    """The server has spent the marker; whoever it was for must look without it, long before the tick."""
    with LossyProxy(own_stable.server.socket, 1, word=b"BZPOPMIN") as proxy:
        worker = own_stable.start(url=proxy.url)
        for _ in range(5):
            began = time.monotonic()
            outcome(own_stable.queue().enqueue(jobs.nothing))
            assert time.monotonic() - began < 1.0
        assert proxy.lost
        worker.terminate()
        assert worker.ends() == 0


def test_scripts_that_are_forgotten_under_load_are_sent_again(own_stable: Stable) -> None:
    queue = own_stable.queue()
    queued = [queue.enqueue(jobs.mark, own_stable.file(), str(n)) for n in range(300)]
    own_stable.start()
    eventually(lambda: own_stable.client().script_flush() and not queue.count, 30, 0.001)
    all_outcomes(queued)
    assert bodies(own_stable) == Counter(str(n) for n in range(300))


@pytest.mark.parametrize("every", [2, 3, 7])
@together
def test_each_lost_reply_is_asked_for_again_and_answered_the_same(own_stable: Stable, every: int) -> None:
    queue = own_stable.queue()
    meta = {"path": own_stable.file("callbacks")}
    queued = [
        queue.enqueue(jobs.mark, own_stable.file(), str(n), on_success=jobs.SUCCESS, meta=meta) for n in range(40)
    ]
    gone = [queue.enqueue(jobs.mark, own_stable.file(), f"gone{n}", result_ttl=0) for n in range(20)]
    failing = [queue.enqueue(jobs.fail_until, own_stable.file(f"retries{n}"), 2, retry=2) for n in range(5)]
    with LossyProxy(own_stable.server.socket, every, sparing=4) as proxy:
        worker = own_stable.start(url=proxy.url, work={"burst": True}, wait=False, concurrency=2, prefetch=1)
        assert worker.ends(60) == 0, worker.log
        lost = proxy.lost
    assert lost > 10
    assert set(bodies(own_stable).values()) == {1}
    assert [job.wait(0) for job in queued] == [str(n) for n in range(40)]
    assert all(len(job.results()) == 1 for job in queued)
    assert sorted(told(own_stable.file("callbacks"))) == sorted(f"success {n}" for n in range(40))
    assert [[result.attempt for result in job.results()] for job in failing] == [[3, 2, 1]] * 5
    assert not any(own_stable.client().exists(f"{{{own_stable.namespace}}}:job:{job.id}") for job in gone)


@together
def test_a_server_that_refuses_for_a_while_is_asked_again(own_stable: Stable) -> None:
    """READONLY, as a master that was demoted says."""
    queue = own_stable.queue()
    own_stable.start()
    job = queue.enqueue(jobs.mark, own_stable.file(), "once", 0.3)
    lines(lambda: told(own_stable.file()), 1)
    own_stable.client().replicaof("127.0.0.1", "1")
    pass_time(1.0)
    own_stable.client().replicaof("NO", "ONE")
    assert outcome(job).return_value == "once"
    assert bodies(own_stable) == Counter(once=1)


def test_a_full_server_learns_what_ended_and_drops_the_value(own_stable: Stable) -> None:
    client, queue = own_stable.client(), own_stable.queue()
    job = queue.enqueue(jobs.big, 100_000)
    worker = own_stable.start(wait=False)
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(ResultNotStored) as caught:
            job.wait(10)
    finally:
        client.config_set("maxmemory", "0")
    result = job.results()[0]
    assert (result.type.name, result.has_value, caught.value.reason) == ("SUCCESSFUL", False, "maxmemory")
    worker.says(f"the server is at maxmemory: {job.id}")


def test_a_worker_enters_with_a_password_and_works_in_its_database(own_stable: Stable) -> None:
    server = own_stable.server
    own_stable.client().config_set("requirepass", "s3cret")
    url = f"unix://:s3cret@{server.socket}?db=3"
    with redis.Redis.from_url(url) as client:
        job = Queue("default", client, namespace=own_stable.namespace).enqueue(jobs.echo, 5)
        own_stable.burst(url=url)
        assert job.wait(0) == 5


def test_a_wrong_password_is_told_at_the_start(own_stable: Stable) -> None:
    own_stable.client().config_set("requirepass", "s3cret")
    worker = own_stable.start(url=f"unix://:wrong@{own_stable.server.socket}", wait=False)
    assert worker.ends() not in (0, 75)
    assert "s3cret" not in worker.log


@together
def test_a_password_that_is_changed_meanwhile_does_not_make_the_worker_spin(own_stable: Stable) -> None:
    worker = own_stable.start()
    outcome(own_stable.queue().enqueue(jobs.nothing))
    own_stable.client().config_set("requirepass", "s3cret")
    cut_connections(own_stable)
    used = worker.cpu_s()
    pass_time(3.0)
    assert worker.cpu_s() - used < 0.2
    own_stable.client().config_set("requirepass", "")
    assert own_stable.queue().enqueue(jobs.echo, 1).wait(10) == 1
