"""A server that answers, but not to what a worker asks for now: it is told once, asked again in growing pauses, and
what a job came to is written when the server takes it."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from rqlike.command import send_shutdown_command
from tests.process import jobs
from tests.process.jobs import told
from tests.process.together import together
from tests.process.workers import Stable, lines, outcome, pass_time
from tests.servers import Server, eventually

Trouble = Callable[[Server, redis.Redis], Any]  # a context manager's function


@contextmanager
def demoted(server: Server, client: redis.Redis) -> Iterator[None]:
    client.replicaof("127.0.0.1", "1")
    yield
    client.replicaof("NO", "ONE")


@contextmanager
def without_its_primary(server: Server, client: redis.Redis) -> Iterator[None]:
    client.config_set("replica-serve-stale-data", "no")
    client.config_set("replica-read-only", "no")
    with demoted(server, client):
        yield


@contextmanager
def without_replicas(server: Server, client: redis.Redis) -> Iterator[None]:
    client.config_set("min-replicas-to-write", "1")
    yield
    client.config_set("min-replicas-to-write", "0")


@contextmanager
def busy_with_a_script(server: Server, client: redis.Redis) -> Iterator[None]:
    client.config_set("busy-reply-threshold", "50")

    def spin() -> None:
        with server.client() as own, suppress(redis.ResponseError):
            own.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    yield
    client.script_kill()
    thread.join(10)


@contextmanager
def failing_to_save(server: Server, client: redis.Redis) -> Iterator[None]:
    client.config_set("rdb-key-save-delay", "10000000")
    client.config_set("save", "3600 100000")
    client.bgsave()
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    child = eventually(lambda: children.read_text().split())[0]
    os.kill(int(child), signal.SIGKILL)
    eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    client.config_set("stop-writes-on-bgsave-error", "no")


@contextmanager
def paused(server: Server, client: redis.Redis) -> Iterator[None]:
    client.client_pause(60_000, all=False)
    yield
    client.client_unpause()


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (demoted, "READONLY"),
        (without_its_primary, "MASTERDOWN"),
        (without_replicas, "NOREPLICAS"),
        (busy_with_a_script, "BUSY"),
        (failing_to_save, "MISCONF"),
        (paused, "no answer in time"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@together
def test_what_passes_is_told_once_and_costs_nothing_but_time(own_stable: Stable, trouble: Trouble, said: str) -> None:
    worker = own_stable.start()
    job = own_stable.queue().enqueue(jobs.mark, own_stable.file(), "once", 0.5)
    lines(lambda: told(own_stable.file()), 1)
    with trouble(own_stable.server, own_stable.client()):
        worker.says(f"is away ({said}")
        used = worker.cpu_s()
        pass_time(1.5)
        used = worker.cpu_s() - used
    assert outcome(job).return_value == "once"
    assert Counter(line.split()[0] for line in told(own_stable.file())) == Counter(once=1)
    worker.says("is back after")
    assert worker.log.count("is away") == worker.log.count("is back after") == 1, worker.log
    assert "refuses" not in worker.log
    assert used < 0.3
    assert own_stable.queue().enqueue(jobs.echo, 1).wait(5) == 1


@together
def test_a_server_that_loads_its_data_is_waited_for(own_stable: Stable) -> None:
    client, server = own_stable.client(), own_stable.server
    client.mset({f"ballast:{n}": "x" * 100 for n in range(20_000)})
    client.bgrewriteaof()
    eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 20)
    worker = own_stable.start()
    server.stop()
    server.options.update({"key-load-delay": "100", "loading-process-events-interval-bytes": "2048"})
    worker.says("is away")
    server.start()  # returns when it has loaded
    assert own_stable.queue().enqueue(jobs.echo, 1).wait(10) == 1
    assert worker.log.count("is away") == worker.log.count("is back after") == 1, worker.log
    assert worker.process.poll() is None


def test_an_ear_that_is_unblocked_listens_again(own_stable: Stable) -> None:
    """As a failover does with all that blocks."""
    worker = own_stable.start()
    client, queue = own_stable.client(), own_stable.queue()
    outcome(queue.enqueue(jobs.nothing))
    for _ in range(3):
        unblocked = eventually(lambda: [client.client_unblock(number, error=True) for number in ears(client)], 5)
        assert unblocked
        assert queue.enqueue(jobs.echo, 1).wait(5) == 1
    eventually(lambda: any(unblock_control(client)), 5)
    send_shutdown_command(client, worker.name, namespace=own_stable.namespace)
    assert worker.ends() == 0, worker.log
    assert "refuses" not in worker.log


def ears(client: redis.Redis, use: str = "") -> list[int]:
    """The connections of workers that block."""
    listed: list[dict[str, Any]] = client.client_list()
    return [
        int(one["id"])
        for one in listed
        if one["cmd"] == "bzpopmin" and "b" in one["flags"] and one["name"].endswith(use)
    ]


def unblock_control(client: redis.Redis) -> list[Any]:
    return [client.client_unblock(number, error=True) for number in ears(client, "control")]
