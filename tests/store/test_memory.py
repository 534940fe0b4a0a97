"""What a job costs the server, and what a full server still takes. Real servers only: fakeredis has no memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import OutOfMemoryError

from rqlike.options import Policy
from rqlike.states import JobStatus, ResultType, Unkept
from rqlike.store import erasures, events, pages, staff, turns, verbs
from rqlike.store.gathering import Sought, standings
from rqlike.store.pages import BEGINNING
from rqlike.store.requests import Request
from rqlike.store.verbs import NewJob
from tests.conftest import start_or_skip
from tests.servers import Kind, Server
from tests.store.builders import QUEUE, Scene, call_of, new_job, policy, raised, retries, returned, scene_on

NO_ARGUMENTS = b"\x92\x90\x80"
SMALL_VALUE = b"\x92\x01\xa2ok"
JOBS = 5_000


@pytest.fixture(params=["redis7", "valkey"])
def own(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind: Kind = request.param
    started = start_or_skip(kind)
    yield started
    started.close()


@pytest.fixture
def alone(own: Server, namespace: str) -> Iterator[Scene]:
    client = own.client()
    yield scene_on(client, namespace)
    client.close()


def arguments(size: int) -> bytes:
    return b"\x92\x91\xd9" + bytes([size]) + b"a" * size + b"\x80" if size else NO_ARGUMENTS


def used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def encoding(scene: Scene, job_id: str) -> str:
    found: bytes = scene.client.object("encoding", scene.store.keys.job(job_id))
    return found.decode()


def test_what_an_emptied_queue_leaves_for_waiters_is_as_small_as_its_jobs_were(alone: Scene) -> None:
    alone.run(verbs.empty(QUEUE, 500))  # the script itself takes its place once
    for _ in range(4):
        batch = [new_job(str(uuid.uuid4()), "", call=call_of(NO_ARGUMENTS)) for _ in range(500)]
        alone.run(verbs.enqueue(QUEUE, batch))
    queued = used(alone.client)
    while alone.run(verbs.empty(QUEUE, 500))[1]:
        pass
    assert (used(alone.client) - queued) / 2000 < 300, "more than a job took, of what is there for 5 s"


def test_a_canceled_job_without_a_history_takes_no_more_than_a_finished_one(alone: Scene) -> None:
    first, *names = (str(uuid.uuid4()) for _ in range(500))
    alone.run(verbs.enqueue(QUEUE, [new_job(name, "", call=call_of(NO_ARGUMENTS)) for name in (first, *names)]))
    alone.run(verbs.cancel(first, "the script takes its place"))
    before = used(alone.client)
    for name in names:
        alone.run(verbs.cancel(name, uuid.uuid4().hex))
    assert (used(alone.client) - before) / len(names) < 700


@pytest.mark.parametrize("size", [0, 120, 200])
def test_the_hash_of_a_job_stays_compact_in_every_status(alone: Scene, size: int) -> None:
    job_id = str(uuid.uuid4())
    alone.enqueue(
        new_job(job_id, uuid.uuid4().hex, call=call_of(arguments(size), policy(description="a job")), meta=b"m" * 70)
    )
    assert encoding(alone, job_id) == "listpack"
    execution = alone.claim_one()
    assert encoding(alone, job_id) == "listpack"
    alone.settle(execution, returned())
    assert encoding(alone, job_id) == "listpack"
    alone.run(verbs.requeue([job_id], uuid.uuid4().hex, at_front=True))
    alone.settle(alone.claim_one(), raised())
    assert encoding(alone, job_id) == "listpack"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "most_queued", "most_finished"), [(0, 500, 1_100), (120, 600, 1_250)])
def test_a_job_costs_no_more_than_promised(alone: Scene, size: int, most_queued: int, most_finished: int) -> None:
    call = call_of(arguments(size), name="bench_tasks.noop")
    alone.enqueue(NewJob("first", call))
    alone.settle(alone.claim_one(), returned(SMALL_VALUE))
    alone.run(verbs.delete(["first"], "n"))
    alone.run(events.switch(QUEUE, False))  # whose stream is for all jobs of the queue, and does not grow with them
    alone.enqueue(*(NewJob(str(uuid.uuid4()), call) for _ in range(500)))  # scripts and tables are in place
    start = used(alone.client)
    for _ in range(JOBS // 500):
        alone.enqueue(*(NewJob(str(uuid.uuid4()), call) for _ in range(500)))
    queued = (used(alone.client) - start) / JOBS
    for _ in range(JOBS // 500 + 1):
        held = alone.claim(500)
        alone.turn("w", *(alone.judged(execution, returned(SMALL_VALUE)) for execution in held))
    assert len(alone.order(JobStatus.FINISHED)) == JOBS + 500
    alone.turn("w", want=1)
    finished = (used(alone.client) - start + queued * 500) / (JOBS + 500)
    print(f"{size} B of arguments: queued {queued:.0f} B, finished {finished:.0f} B")
    assert queued <= most_queued
    assert finished <= most_finished


# -- a full server -----------------------------------------------------------------------------------------------------


def fill(scene: Scene) -> None:
    """From here on the server refuses whatever may need memory."""
    scene.client.config_set("maxmemory-policy", "noeviction")
    scene.client.config_set("maxmemory", 1)


def test_a_full_server_refuses_an_enqueue_and_a_requeue_whole(alone: Scene) -> None:
    alone.put(JobStatus.FAILED, "ended")
    alone.enqueue(new_job("before"))
    before = alone.dump()
    fill(alone)
    with pytest.raises(OutOfMemoryError):
        alone.enqueue(new_job("j"), new_job("k", due="+5", ttl_ms=5))
    with pytest.raises(OutOfMemoryError):
        alone.run(verbs.requeue(["ended"], "r", at_front=False))
    with pytest.raises(OutOfMemoryError):
        alone.run(verbs.save("before", {"meta": b"m"}))
    assert alone.dump() == before


def test_a_full_server_takes_an_outcome_without_its_value(alone: Scene) -> None:
    alone.enqueue(new_job("j"))
    settlement = alone.judged(alone.claim_one(), returned())
    fill(alone)
    before = alone.dump()
    with pytest.raises(OutOfMemoryError):
        alone.turn("w", settlement)
    assert alone.dump() == before
    (word,) = alone.turn("w", settlement.without_value()).words
    assert word.startswith("ok ")
    assert alone.status("j") is JobStatus.FINISHED
    (record,) = alone.history("j")
    assert (record.type, record.value, record.unkept) == (ResultType.SUCCESSFUL, None, Unkept.MAXMEMORY)


def test_a_full_server_goes_on_claiming_renewing_recovering_and_taking_orders(alone: Scene) -> None:
    alone.run(turns.register("w", "i", {"host": "h"}))
    alone.enqueue(*(new_job(f"j{n}", policy=retries(1)) for n in range(5)), new_job("late", ttl_ms=1000))
    fill(alone)
    held = alone.claim(4)
    assert len(held) == 4
    assert set(alone.run(turns.renew("w", {"state": "busy"}, held)).words) == {"ok"}
    assert alone.settle(held[0], raised()) == "ok"
    assert alone.give_back(held[1]) == "ok"
    alone.run(verbs.stop("j2"))
    alone.run(verbs.cancel("j3", "c"))
    alone.run(verbs.cancel("j4", "c"))
    assert alone.run(verbs.delete(["j0"], "d")) == ["ok"]
    assert alone.run(verbs.annotate("j2", "x", "boom")) == 1
    alone.pass_ms(1000)
    assert alone.run(verbs.want("late", 60_000, all_of_it=True)) == 1
    assert alone.run(verbs.expire("late")) is JobStatus.EXPIRED
    for _ in range(6):
        alone.now_ms += 5_000
        alone.turn("other", sweep=True, prune=True)
    assert alone.run(verbs.empty(QUEUE, 5)) == (1, 0)
    assert alone.run(turns.depart("w")) == 1


@pytest.mark.parametrize(
    "writes",
    [
        *("load", "history", "newest", "peek", "standings", "counts", "listing", "find", "queues", "workers"),
        *("page", "failures", "aged", "events", "newest_event"),
    ],
)
def test_reads_change_nothing(alone: Scene, writes: str) -> None:
    alone.run(turns.register("w", "i", {"host": "h"}))
    alone.put(JobStatus.FINISHED, "ended")
    alone.enqueue(new_job("j", ttl_ms=10, policy=Policy()))
    alone.now_ms += 1_000_000
    before = alone.dump()
    requests: dict[str, Request[Any]] = {
        "load": verbs.load(["j", "ended", "nobody"]),
        "history": verbs.history("ended"),
        "newest": verbs.newest(["ended", "j"]),
        "peek": verbs.peek("j", QUEUE, 2),
        "standings": standings([Sought("j", 1), Sought("ended", 2), Sought("nobody", 1)], how=True),
        "counts": verbs.counts([QUEUE]),
        "listing": verbs.listing(JobStatus.FINISHED, QUEUE),
        "find": verbs.find("j"),
        "queues": verbs.queues(),
        "workers": staff.workers(),
        "page": pages.page(JobStatus.FINISHED, QUEUE, BEGINNING, 10),
        "failures": pages.failures(QUEUE, BEGINNING, told=True),
        "aged": erasures.aged(QUEUE, JobStatus.FINISHED, 0, 10, BEGINNING),
        "events": events.heard(QUEUE, "0", 500),
        "newest_event": events.newest(QUEUE),
    }
    alone.run(requests[writes])
    assert alone.dump() == before
