"""A real worker among jobs whose keys something else has written into: it lives, and the good ones finish."""

from __future__ import annotations

import time

import msgpack
import pytest

from rqlike import Job, Retry, codec
from rqlike.exceptions import JobFailed
from rqlike.outcomes import Outcome
from rqlike.states import JobStatus, Reason
from rqlike.worker.frames import MAGIC, FrameKind, pack
from tests.process import jobs
from tests.process.together import together
from tests.process.workers import Stable, WorkerProcess, all_outcomes, outcome, running
from tests.servers import eventually
from tests.store.builders import Scene
from tests.store.test_poison import WRONG, poisons, replaced


def poisoned(stable: Stable, **options: object) -> tuple[list[str], list[Job[object]]]:
    """Ids of jobs that something has been written into, and good ones between them."""
    queue = stable.queue()
    kept, good = [], []
    for number, (name, poison) in enumerate(poisons(Scene(queue.store))):
        kept.append(queue.enqueue(jobs.echo, number, job_id=name, retry=Retry(1), **options).id)
        poison(stable.client(), name)
        if number % 9 == 0:
            good.append(queue.enqueue(jobs.echo, number))
    return kept, good


def is_alive(worker: WorkerProcess) -> None:
    assert worker.process.poll() is None, worker.log
    assert "Traceback (most recent call last)" not in worker.log


def is_well(stable: Stable, worker: WorkerProcess) -> None:
    """The same process still works."""
    is_alive(worker)
    assert stable.queue().enqueue(jobs.echo, "after").wait(10) == "after"
    is_alive(worker)


@pytest.mark.parametrize("simple", [False, True], ids=["horses", "simple"])
def test_a_worker_outlives_every_poisoned_job_and_the_good_ones_finish(stable: Stable, simple: bool) -> None:
    kept, good = poisoned(stable)
    worker = stable.start(simple=simple)
    assert [result.type.name for result in all_outcomes(good)] == ["SUCCESSFUL"] * len(good)
    queue = stable.queue()
    eventually(lambda: queue.counts().queued == queue.counts().started == 0, 20, message="nothing is in the way")
    is_well(stable, worker)
    found = Job.fetch_many(kept, stable.client(), stable.namespace)
    for job in found:
        if job is not None and stable.client().type(job.key) == b"hash":
            assert job.get_status(refresh=False).terminal, (job, worker.log)


@together
def test_what_is_written_into_running_jobs_costs_no_other_job_its_lease_or_its_worker(stable: Stable) -> None:
    worker = stable.start(concurrency=4, plan={"lease_ms": 1500, "renew_s": 0.2}, prefetch=1)
    queue = stable.queue()
    slow = [queue.enqueue(jobs.mark, stable.file(), str(number), 2.5) for number in range(4)]
    for job in slow:
        running(job)
    client, keys = stable.client(), queue.store.keys
    client.hdel(keys.job(slow[0].id), "q")
    replaced(client, keys.job(slow[1].id), WRONG["string"])
    client.hset(keys.job(slow[2].id), "v", "shutdown")
    assert outcome(slow[2]).type.name == outcome(slow[3]).type.name == "SUCCESSFUL"
    is_well(stable, worker)


@pytest.mark.parametrize("name", ["started", "finished", "watch", "contact", "worker", "lastcall", "queued"])
def test_a_worker_outlives_a_shared_key_that_is_of_another_type(stable: Stable, name: str) -> None:
    keys = stable.queue().store.keys
    stable.queue("other").enqueue(jobs.echo, 0)
    worker = stable.start("default", "other", prefetch=1)
    named = {"watch": keys.watch(), "contact": keys.contact(), "worker": keys.worker("w1"), "lastcall": keys.call("w1")}
    key = named.get(name) or keys.home(name, "default")
    stable.queue().enqueue(jobs.echo, 1) if name == "started" else None
    replaced(stable.client(), key, WRONG["list"])
    assert stable.queue("other").enqueue(jobs.echo, 2).wait(10) == 2
    if key not in named.values():
        stable.client().delete(key)
    is_well(stable, worker)
    assert worker.pid == worker.process.pid


@pytest.mark.parametrize("name", ["queued", "started", "scheduled", "wake", "ttl"])
@together
def test_a_queue_that_cannot_be_served_costs_no_processor_and_few_words(stable: Stable, name: str) -> None:
    queue = stable.queue()
    keys = queue.store.keys
    jobs_left = [queue.enqueue(jobs.echo, number) for number in range(20)]
    key = {"wake": keys.markers("default"), "ttl": keys.ttl("default")}.get(name) or keys.home(name, "default")
    replaced(stable.client(), key, WRONG["string"])
    worker = stable.start()
    used, began = worker.cpu_s(), time.monotonic()
    eventually(lambda: time.monotonic() - began > 1.5, 3.0, 0.1)
    assert worker.cpu_s() - used < 0.3, worker.log
    assert worker.log.count("\n") < 20 + 2 * len(jobs_left)
    is_alive(worker)


def test_a_waiter_on_a_buried_job_learns_why(stable: Stable) -> None:
    job = stable.queue().enqueue(jobs.echo, 1)
    stable.client().hset(job.key, "a", "garbage")
    stable.start()
    with pytest.raises(JobFailed) as caught:
        job.wait(10)
    assert caught.value.reason == Reason.SERIALIZATION
    assert "cannot be worked with" in (outcome(job).exc_string or "")


@together
def test_words_on_the_control_key_that_are_no_orders_change_nothing(stable: Stable) -> None:
    worker = stable.start()
    job = stable.queue().enqueue(jobs.mark, stable.file(), "ran", 1.0)
    running(job)
    client, keys = stable.client(), stable.queue().store.keys
    token = codec.text(client.hget(keys.job(job.id), "k"))
    for said in (f"garbage {token}", f" {token}", "stopped", "stopped nobody", "9" * 9999, "", "a\nb"):
        client.zadd(keys.control("w1"), {said: 0})
    client.zadd(keys.control("w1"), {b"\xff\xfe": 0})
    assert job.wait(10) == "ran"
    is_well(stable, worker)


def test_an_id_that_is_no_text_is_failed_and_does_not_come_back(stable: Stable) -> None:
    queue = stable.queue()
    template = queue.enqueue(jobs.echo, 1)
    client, keys = stable.client(), queue.store.keys
    strange = b"\xff\xfe"
    client.restore(keys.job("").encode() + strange, 0, client.dump(keys.job(template.id)) or b"")
    client.zadd(keys.home("queued", "default"), {strange: 1})
    worker = stable.start()
    assert template.wait(10) == 1
    eventually(lambda: client.zscore(keys.home(JobStatus.FAILED, "default"), strange) is not None, message=worker.log)
    is_well(stable, worker)
    assert queue.counts().started == 0


DEEP = msgpack.unpackb(b"\x91" * 900 + b"\x01")
FORGED = {
    "a second READY": pack(FrameKind.READY),
    "a READY that failed": pack(FrameKind.READY, "", "never mind"),
    "a READY with a deep nest": pack(FrameKind.READY, "", DEEP),
    "a frame for horses": pack(FrameKind.JOBS, "", [1, 1.0, []]),
    "a callback that is none": pack(FrameKind.AFTERWARDS, "e", None),
    "an outcome of no execution": pack(FrameKind.OUTCOME, "e", [Outcome().to_wire(), None]),
    "an outcome with a deep nest": pack(FrameKind.OUTCOME, "e", [[DEEP, None, None, None, None, 0.0, 0.0], None]),
    "a length of four thousand million": MAGIC + b"\x03\xff\xff\xff\xff",
    "a body that is cut": MAGIC + b"\x03\x00\x00\x00\x05" + b"\xdd\xff\xff\xff\xff",
}


def test_a_job_that_forges_frames_loses_its_horse_and_no_other_job(stable: Stable) -> None:
    worker = stable.start(prefetch=1)  # a horse that has several jobs may be at the next one by then
    queue = stable.queue()
    forging = [queue.enqueue(jobs.forged, frame, name) for name, frame in FORGED.items()]
    good = [queue.enqueue(jobs.echo, number) for number in range(5)]
    assert [job.wait(15) for job in good] == list(range(5))
    for job in forging:
        result = outcome(job)  # a value that was returned before the kill wins
        assert result.type.name == "SUCCESSFUL" or result.reason is Reason.PROTOCOL, (job.args, result)
    is_well(stable, worker)
