"""What a worker costs: calls, connections, processor time."""

from __future__ import annotations

from typing import Any

import redis

from rqlike.keys import Keys
from rqlike.store import verbs
from rqlike.store.endpoint import Endpoint
from rqlike.store.link import Link
from rqlike.store.resp import INCOMPLETE
from rqlike.store.route import resolve
from tests.process import jobs
from tests.process.together import together
from tests.process.workers import Stable, all_outcomes, outcome, pass_time
from tests.servers import Server, eventually


def stats(client: redis.Redis) -> dict[str, int]:
    """Calls by command since the last CONFIG RESETSTAT, those inside scripts too."""
    info: dict[str, Any] = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): found["calls"] for name, found in info.items()}


def test_a_busy_worker_makes_one_round_trip_per_job_and_no_connection(own_stable: Stable) -> None:
    queue, client = own_stable.queue(), own_stable.client()
    queued = [queue.enqueue(jobs.nothing) for _ in range(1000)]
    own_stable.start(wait=False)
    home = f"{{{own_stable.namespace}}}:queued:{queue.name}"  # queue.count is a script call too
    eventually(lambda: client.zcard(home) < 950, 20)
    client.config_resetstat()
    done = 1000 - client.zcard(home)
    eventually(lambda: client.zcard(home) < 50, 60)
    seen, left = stats(client), client.zcard(home)
    ran = 1000 - left - done
    assert seen["evalsha"] <= 1.1 * ran + 3, (seen, ran)
    assert client.info("stats")["total_connections_received"] == 0
    all_outcomes(queued[-1:])


@together
def test_an_idle_worker_leaves_the_server_and_the_processor_alone(own_stable: Stable) -> None:
    worker = own_stable.start(concurrency=2)
    outcome(own_stable.queue().enqueue(jobs.nothing))
    client = own_stable.client()
    pass_time(1.0)
    client.config_resetstat()
    used = worker.cpu_s()
    pass_time(10.0)
    used, seen = worker.cpu_s() - used, stats(client)
    assert used < 0.1
    assert seen.get("evalsha", 0) <= 5, "a sweep and a renewal every five seconds"
    assert client.info("stats")["total_connections_received"] == 0


@together
def test_a_worker_that_waits_for_a_long_job_uses_no_processor_time(own_stable: Stable) -> None:
    worker = own_stable.start(concurrency=2)
    job = own_stable.queue().enqueue(jobs.mark, own_stable.file(), "long", 7.0)
    eventually(lambda: job.get_status() == "started")
    used = worker.cpu_s()
    assert job.wait(10) == "long"
    assert worker.cpu_s() - used < 0.15


@together
def test_a_worker_uses_no_processor_time_while_the_server_is_gone(own_stable: Stable) -> None:
    worker = own_stable.start(concurrency=2)
    outcome(own_stable.queue().enqueue(jobs.nothing))
    own_stable.server.kill()
    used = worker.cpu_s()
    pass_time(7.0)
    used = worker.cpu_s() - used
    own_stable.server.start()
    assert used < 0.3
    assert own_stable.queue().enqueue(jobs.echo, 1).wait(10) == 1


def test_a_worker_finds_a_server_that_listens_on_one_of_two_addresses() -> None:
    """`localhost` is ::1 first on many systems, where a server often listens on 127.0.0.1 alone."""
    with Server(tcp=True) as server, server.tcp_client() as client:
        endpoint = Endpoint.of(client)
        stop, *_ = resolve(endpoint)
        link = Link(endpoint, Keys("two"), "test", (stop._replace(target=(stop.target[0], 1)), stop))
        link.call(verbs.queues())
        assert eventually(lambda: link.step() is not INCOMPLETE, 5)
        link.close()
