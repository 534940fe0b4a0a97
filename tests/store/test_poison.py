"""Whatever something else writes into the keys of a job: those around it go on, and it is taken out of the way.

A worker's side of the store is driven as a worker's loop drives it: a turn, a verdict on each grant, the next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import msgpack
import pytest
import redis

from rqlike import codec, fields
from rqlike.entries import entry_of
from rqlike.exceptions import DeserializationError, NoSuchJobError, WaitError
from rqlike.job import Job
from rqlike.keys import Keys
from rqlike.options import Policy
from rqlike.outcomes import Outcome, decide
from rqlike.policies import Repeat, Retry
from rqlike.queue import Queue
from rqlike.records import Execution
from rqlike.registry import REGISTRIES
from rqlike.results import Result
from rqlike.settings import LEASE_MS
from rqlike.states import JobStatus, Reason
from rqlike.store import turns, verbs
from rqlike.store.turns import Settlement
from rqlike.worker.worker import Worker
from tests.conftest import AnyServer
from tests.store.builders import QUEUE, Scene, call_of, new_job, raised, returned, scene_on

GARBAGE: Final = (
    b"",
    b"garbage",
    b"\xff\xfe\x00",
    b"9" * 400,
    b"-7",
    b"nan",
    b"inf",
    b"1e300",
    b"-9223372036854775808",
    b"a\n\x1b[31m",
)
#: Prefixes of fields and not fields.
BLOBS: Final = {"call", "meta", "overrides"}
ROUNDS: Final = 12
Write = Callable[[redis.Redis, str], object]


@pytest.fixture
def scene(any_server: AnyServer, namespace: str) -> Scene:
    """Without the invariants, which do not hold for what something else has written."""
    return scene_on(any_server.client(), namespace)


def poisons(scene: Scene) -> Iterator[tuple[str, Write]]:
    """A name of each, and what writes it, given the job's id."""
    keys = scene.store.keys
    for name, field in fields.JOB.items():
        if name not in (*BLOBS, "callback_error"):
            yield f"without.{name}", without(keys, field)
        for number, garbage in enumerate(GARBAGE):
            yield f"{name}.{number}", put(keys, f"{field}0" if name in BLOBS else field, garbage)
    for number, call in enumerate(hostile_calls()):
        yield f"call-blob.{number}", put(keys, "c0", call)
        yield f"overrides-blob.{number}", put(keys, "o0", call)
    for kind, make in WRONG.items():
        yield f"job-is-{kind}", instead(keys.job, make)
        yield f"results-is-{kind}", instead(keys.results, make)
        yield f"blob-is-{kind}", bad_blob(keys, make)
    yield "gone", lambda client, job_id: client.delete(keys.job(job_id))


def without(keys: Keys, field: str) -> Write:
    return lambda client, job_id: client.hdel(keys.job(job_id), field)


def put(keys: Keys, field: str, value: bytes) -> Write:
    return lambda client, job_id: client.hset(keys.job(job_id), field, value)


def instead(key_of: Callable[[str], str], make: Write) -> Write:
    return lambda client, job_id: replaced(client, key_of(job_id), make)


def bad_blob(keys: Keys, make: Write) -> Write:
    def write(client: redis.Redis, job_id: str) -> object:
        client.hset(keys.job(job_id), "c#", "9")
        return replaced(client, keys.blob("c", job_id), make)

    return write


def replaced(client: redis.Redis, key: str, make: Write) -> object:
    """In one step, or a worker may write between the two."""
    with client.pipeline() as both:
        both.delete(key)
        make(both, key)
        return both.execute()


WRONG: Final[dict[str, Write]] = {
    "string": lambda client, key: client.set(key, "x"),
    "list": lambda client, key: client.rpush(key, "x"),
    "set": lambda client, key: client.sadd(key, "x"),
    "zset": lambda client, key: client.zadd(key, {"x": 1}),
    "hash": lambda client, key: client.hset(key, "x", "y"),
    "stream": lambda client, key: client.xadd(key, {"x": "y"}),
}


def hostile_calls() -> Iterator[bytes]:
    """Calls as blobs of at most 64 bytes and beyond: cut, deep, of wrong types, with numbers that are none."""
    whole = call_of(policy=Policy(retry=Retry(3, 1), job_timeout=5.0))
    yield whole[:-1]
    yield whole[: len(whole) // 2]
    yield b"\xdd\xff\xff\xff\xff"  # an array of four thousand million
    yield b"\xc6\xff\xff\xff\xff"
    yield b"\xdb\xff\xff\xff\xffx"
    yield b"\xc9\xff\xff\xff\xff\x10"
    yield b"\x91" * 900 + b"\x01"
    yield b"\x95" + b"\x91" * 900 + b"\x01"
    yield b"\x95\x01\xa5t.fun\xc4\x01\x90\x80" + b"\x91" * 900 + b"\x01"
    yield b"\x95\x01\xa5t.fun\xc4\x01\x90\x81" + b"\x81" * 30 + b"\x01\x01\x80"
    yield b"\xd6\xff\xff\xff\xff\xff"  # a timestamp
    yield b"\xc7\x0c\xff" + b"\xff" * 12
    yield b"\xa2\xff\xfe"
    for policy in hostile_policies():
        yield msgpack.packb([codec.CALL_VERSION, "tasks.noop", b"\x92\x90\x80", {}, policy])
    for headers in ({1: 2}, {"a": 1}, {"a": [1]}, {b"\xff": b"\xff"}):
        yield msgpack.packb([codec.CALL_VERSION, "tasks.noop", b"\x92\x90\x80", headers, {}])


def hostile_policies() -> Iterator[object]:
    deep: object = 1
    for _ in range(400):
        deep = [deep]
    for value in (float("nan"), float("inf"), -5, 2**63, 0, "x", None, [], deep, True):
        for short in ("t", "r", "f", "l", "d", "y", "p", "s", "z"):
            yield {short: value}
    yield {"y": [2**40, [1], False]}
    yield {"y": [1, [float("nan")], False]}
    yield {"y": [1, deep, False]}
    yield {"s": ["__main__.x", 60]}
    yield {"s": ["os.system", float("nan")]}


def serve(scene: Scene, rounds: int = ROUNDS) -> None:
    """A worker's turns until nothing is left to do, with everything in them that its parent calculates."""
    outcomes: list[Settlement] = []
    for _ in range(rounds):
        turned = scene.turn("w", *outcomes, want=500, sweep=True, prune=True)
        outcomes = [judged(scene, one, returned()) for one in turned.granted]
        outcomes += [judged(scene, one, Outcome.abandoned("w2", 0.0)) for one in turned.lapsed]
        scene.run(turns.renew("w", {"state": "busy"}, [*turned.granted, *turned.lapsed]))
        scene.now_ms += 1_000
    assert not outcomes, f"still at it: {[one.execution.job_id for one in outcomes]}"


def judged(scene: Scene, execution: Execution, outcome: Outcome) -> Settlement:
    unreadable = execution.job.call is None
    met = Outcome(Reason.SERIALIZATION, exc_string=execution.job.call_error) if unreadable else outcome
    verdict = decide(execution.job, met, scene.rules)
    settlement = Settlement(execution, verdict, entry_of(execution, verdict, met, worker="w", offset_ms=scene.now_ms))
    settlement.arguments()
    return settlement


def members(scene: Scene, *statuses: JobStatus) -> set[str]:
    return {job_id for one in statuses for job_id in scene.order(one)}


def spread(scene: Scene, before: JobStatus) -> tuple[list[tuple[str, Write]], list[str]]:
    """Poisoned jobs in a status, a good one between every seven of them."""
    found, good = list(poisons(scene)), []
    due = "+500" if before is JobStatus.SCHEDULED else ""
    jobs = []
    for number, (name, _) in enumerate(found):
        jobs.append(new_job(name, due=due, policy=Policy(retry=Retry(1), repeat=Repeat(1))))
        if number % 7 == 0:
            good.append(f"good.{number}")
            jobs.append(new_job(good[-1], due=due))
    for at in range(0, len(jobs), 500):
        scene.enqueue(*jobs[at : at + 500])
    return found, good


@pytest.mark.parametrize("before", [JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.STARTED])
def test_no_poisoned_job_stops_the_others_or_stays_in_the_way(scene: Scene, before: JobStatus) -> None:
    found, good = spread(scene, before)
    if before is JobStatus.STARTED:
        while scene.turn("lost", want=500).granted:
            pass
        scene.now_ms += LEASE_MS + 1
    for name, poison in found:
        poison(scene.client, name)
    if before is JobStatus.STARTED:
        scene.run(turns.renew("w", {"state": "busy"}, []))
        serve(scene, (len(found) + len(good)) // 4 * 2)  # four are recovered per turn
    else:
        serve(scene)
    ended = members(scene, JobStatus.FINISHED, JobStatus.FAILED)
    assert set(good) <= ended
    left = members(scene, JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED)
    assert left == set()


@pytest.mark.parametrize("before", [JobStatus.QUEUED, JobStatus.SCHEDULED])
def test_a_job_that_is_still_a_hash_ends_in_a_status_that_can_be_read(scene: Scene, before: JobStatus) -> None:
    found, _ = spread(scene, before)
    for name, poison in found:
        poison(scene.client, name)
    serve(scene)
    for name, _ in found:
        kind = scene.client.type(scene.store.keys.job(name))
        if kind in (b"hash", "hash"):
            job = scene.job(name)
            assert job is not None and not job.unreadable, name
            assert job.status.terminal, (name, job.status)


# -- keys of whole queues, and of workers ------------------------------------------------------------------------------


def shared_keys(scene: Scene) -> dict[str, str]:
    """Those that no job owns, by name."""
    keys = scene.store.keys
    homes = {f"{status}": keys.home(status, QUEUE) for status in JobStatus}
    own = {"worker": keys.worker("w"), "call": keys.call("w"), "control": keys.control("w")}
    notes = {"contact": keys.contact(), "watch": keys.watch(), "workers": keys.workers(), "scratch": keys.scratch()}
    return {**homes, **own, **notes, "ttl": keys.ttl(QUEUE), "wake": keys.markers(QUEUE)}


NAMES: Final = (
    *map(str, JobStatus),
    "worker",
    "call",
    "control",
    "contact",
    "watch",
    "workers",
    "ttl",
    "wake",
    "scratch",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_key_of_another_type_keeps_no_other_queue_from_being_served(scene: Scene, name: str) -> None:
    for queue in (QUEUE, "other"):
        scene.enqueue(new_job(f"{queue}.a"), new_job(f"{queue}.b", due="+500"), queue=queue)
    for kind in WRONG.values():
        replaced(scene.client, shared_keys(scene)[name], kind)
        held: list[Settlement] = []
        for _ in range(3):
            turned = scene.turn("w", *held, want=1, sweep=True, prune=True, woken=True, queues=(QUEUE, "other"))
            held = [judged(scene, one, returned()) for one in turned.granted]
            assert scene.run(turns.renew("w", {"state": "busy"}, turned.granted)).words == ("ok",) * len(held)
            scene.now_ms += 1_000
        scene.turn("w", *held, queues=(QUEUE, "other"))
        scene.run(turns.register("w2", "i", {"pid": 1}))
    assert scene.order(JobStatus.FINISHED, "other") == ["other.a", "other.b"]


@pytest.mark.parametrize("name", ["queued", "started", "scheduled", "finished", "ttl", "wake", "contact", "watch"])
def test_what_waits_while_a_key_has_another_type_is_done_once_it_is_put_right(scene: Scene, name: str) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    key = shared_keys(scene)[name]
    before = (
        scene.client.dump(key)
        if scene.client.exists(key) and not type(scene.client).__module__.startswith("fakeredis")
        else None
    )
    replaced(scene.client, key, WRONG["string"])
    turned = scene.turn("w", want=2, sweep=True, woken=True)
    scene.turn("w", *(judged(scene, one, returned()) for one in turned.granted))
    scene.client.delete(key)
    if before is not None:
        scene.client.restore(key, 0, before)
    if name == "queued" and before is None:
        return  # what was overwritten is gone
    serve(scene)
    jobs = [scene.job(job_id) for job_id in ("a", "b")]
    assert [job and job.status for job in jobs] == [JobStatus.FINISHED] * 2


@pytest.mark.parametrize("garbage", GARBAGE)
def test_notes_of_a_moment_may_hold_anything(scene: Scene, garbage: bytes) -> None:
    scene.enqueue(new_job("a"), new_job("b", due="+500"))
    keys = scene.store.keys
    for key in (keys.contact(), keys.call("w")):
        scene.client.set(key, garbage)
    scene.client.set(keys.call("w"), b"0 " + garbage + b" 5 i-w")
    scene.client.hset(keys.watch(), QUEUE, garbage)
    scene.client.hset(keys.worker("w"), mapping=dict.fromkeys(fields.WORKER.values(), garbage))
    scene.run(turns.renew("w", {"state": "busy"}, []))
    serve(scene)
    assert scene.order(JobStatus.FINISHED) == ["a", "b"]


def test_a_word_for_a_running_job_that_no_operator_gives_is_no_order(scene: Scene) -> None:
    scene.enqueue(new_job("a"))
    execution = scene.claim_one()
    for garbage in (*GARBAGE, b"shutdown", b"kill-horse", b"lost"):
        scene.client.hset(scene.store.keys.job("a"), fields.JOB["asked"], garbage)
        assert scene.run(turns.renew("w", {}, [execution])).words == ("ok",)


def test_the_lease_of_a_job_is_renewed_beside_one_that_is_none_any_more(scene: Scene) -> None:
    scene.enqueue(*(new_job(name) for name in "abcd"))
    executions = scene.claim(4)
    keys, client = scene.store.keys, scene.client
    client.hdel(keys.job("a"), fields.JOB["queue"])
    replaced(client, keys.job("b"), WRONG["string"])
    client.delete(keys.job("c"))
    scene.now_ms += LEASE_MS - 1
    assert scene.run(turns.renew("w", {}, executions)).words == ("ok", "lost", "lost", "ok")
    assert client.zscore(keys.home("started", QUEUE), "d") == scene.now_ms + LEASE_MS


# -- reading -----------------------------------------------------------------------------------------------------------


def test_every_reader_shows_what_it_can_of_poisoned_jobs(scene: Scene) -> None:
    found, good = spread(scene, JobStatus.QUEUED)
    for name, poison in found:
        poison(scene.client, name)
    store, client = scene.store, scene.client
    queue = Queue(QUEUE, client, namespace=store.namespace)
    assert queue.counts().queued == len(found) + len(good)
    listed = Job.fetch_many([name for name, _ in found], client, store.namespace)
    assert [None if job is None else job.id for job in listed] == [
        None if client.exists(store.keys.job(name)) == 0 else name for name, _ in found
    ]
    for job in (one for one in listed if one is not None):
        assert repr(job).isprintable()
        assert job.to_dict()["id"] == job.id
        Job.exists(job.id, client, store.namespace)
        for look in (lambda one=job: Job.fetch(one.id, client, store.namespace), job.results, job.latest_result):
            with suppress(DeserializationError):
                look()
        with suppress(DeserializationError, WaitError, NoSuchJobError):
            job.wait(0)
    assert len(Result.fetch_many([name for name, _ in found], client, store.namespace)) == len(found)
    for registry in REGISTRIES.values():
        registry(queue=queue).get_jobs()
    assert len(queue.get_jobs()) >= len(good)


def test_a_job_that_cannot_be_read_says_how_to_be_rid_of_it_and_can_be_deleted(scene: Scene) -> None:
    store, client = scene.store, scene.client
    scene.enqueue(new_job("strange"), new_job("unknown"), new_job("lost"))
    replaced(client, store.keys.job("strange"), WRONG["list"])
    client.hset(store.keys.job("unknown"), fields.JOB["status"], "suspended")
    client.hdel(store.keys.job("lost"), fields.JOB["queue"])
    for job_id in ("strange", "unknown"):
        with pytest.raises(DeserializationError, match=f"`rqlike jobs rm {job_id}`"):
            Job.fetch(job_id, client, store.namespace)
        assert Job.exists(job_id, client, store.namespace) or job_id == "strange"
    for job in Job.fetch_many(["strange", "unknown", "lost"], client, store.namespace):
        assert job is not None
        job.delete()
    assert scene.order() == []
    assert list(client.keys(store.keys.prefix + "*job:*")) == []


def test_an_id_that_something_else_has_taken_is_refused_and_the_rest_of_the_call_goes_on(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a")
    scene.client.hdel(scene.store.keys.job("a"), fields.JOB["queue"])
    scene.client.set(scene.store.keys.job("b"), "x")
    scene.client.set(scene.store.keys.results("c"), "x")
    answers = scene.enqueue(*(new_job(name, "n") for name in "abcd"))
    assert [answer.word for answer in answers] == ["duplicate"] * 3 + ["new"]
    assert "cannot be read; delete it" in str(verbs.duplicate(new_job("b"), answers[1]))
    assert scene.order() == ["d"]


def test_a_job_that_cannot_be_requeued_does_not_keep_the_others_from_it(scene: Scene) -> None:
    for name in "abc":
        scene.put(JobStatus.FAILED, name)
    replaced(scene.client, scene.store.keys.results("b"), WRONG["string"])
    words = scene.run(verbs.requeue(["a", "b", "c"], "n", at_front=False))
    assert [word.partition(" ")[0] for word in words] == ["ok", "BROKEN", "ok"]
    assert isinstance(verbs.word_error(words[1], "b", "requeue"), DeserializationError)


def test_a_worker_whose_record_is_garbage_is_shown_beside_the_others(scene: Scene) -> None:
    keys = scene.store.keys
    for name in ("w1", "w2", "w3"):
        scene.store.run(turns.register(name, "i", {"pid": 7, "queues": ["q"], "jobs": []}))
    scene.client.hset(keys.worker("w1"), mapping=dict.fromkeys(fields.WORKER.values(), b"\xff" * 50))
    replaced(scene.client, keys.worker("w2"), WRONG["list"])
    found = Worker.all(scene.client, namespace=scene.store.namespace)
    assert [worker.name for worker in found] == ["w1", "w3"]
    for worker in found:
        assert repr(worker).isprintable()
        assert worker.birth_date <= worker.last_heartbeat or worker.name == "w1"


def test_an_entry_with_garbage_in_any_field_is_a_result_or_none(scene: Scene) -> None:
    scene.put(JobStatus.FINISHED, "a")
    key = scene.store.keys.results("a")
    whole: dict[Any, Any] = {
        "t": 1,
        "i": "e",
        "w": "w",
        "b": 1,
        "d": 2,
        "v": b"\x01",
        "s": "msgpack",
        "x": "t",
        "e": "E",
        "r": "killed",
    }
    for field in (*fields.ENTRY.values(), "unknown"):
        for garbage in GARBAGE:
            scene.client.xadd(key, {**whole, field: garbage}, maxlen=20)
            job = Job.fetch("a", scene.client, scene.store.namespace)
            results = job.results()
            assert repr(results).replace("\n", "").isprintable()
            for result in results:
                assert repr(result).isprintable()
                assert result.created_at.tzinfo and result.execution_started_at.tzinfo
                assert result.duration >= 0
            latest = job.latest_result()
            assert latest is None or repr(latest).isprintable()


@pytest.mark.parametrize("name", ["queues", "queued", "scheduled", "wake", "ttl"])
def test_an_enqueue_that_meets_a_key_of_somebody_else_is_refused_and_leaves_no_job_behind(
    scene: Scene, name: str
) -> None:
    keys = scene.store.keys
    key = keys.queues() if name == "queues" else shared_keys(scene)[name]
    for job in (new_job("a"), new_job("b", "n", ttl_ms=5000), new_job("c", due="+5"), new_job("d", call=b"x" * 900)):
        replaced(scene.client, key, WRONG["string"])
        with suppress(DeserializationError):
            scene.enqueue(job)
        scene.client.delete(key)
        known = scene.job(job.id)
        home = None if known is None else scene.client.zscore(keys.home(known.status, QUEUE), job.id)
        assert (known is None) == (home is None), job.id


@pytest.mark.parametrize("garbage", [b"garbage", b"", b"9" * 400, b"9223372036854775807"])
def test_a_counter_that_is_none_any_more_goes_on_and_keeps_the_order(scene: Scene, garbage: bytes) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    scene.client.set(scene.store.keys.sequence(), garbage)
    scene.enqueue(new_job("c"))
    scene.enqueue(new_job("d", "n"), new_job("e", "n"))
    assert scene.order() == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("name", ["wake", "scratch", "sequence"])
def test_a_key_of_a_moment_that_is_of_another_type_fails_no_job(scene: Scene, name: str) -> None:
    keys = scene.store.keys
    key = keys.sequence() if name == "sequence" else shared_keys(scene)[name]
    for kind in WRONG.values():
        jobs = [new_job(f"{job}.{scene.now_ms}", "n", policy=Policy(retry=Retry(1))) for job in "abc"]
        replaced(scene.client, key, kind)
        scene.enqueue(*jobs)
        replaced(scene.client, key, kind)
        first, second = scene.claim(2, woken=True)
        replaced(scene.client, key, kind)
        assert scene.settle(first, raised()) == "ok"  # another attempt: back into the queue
        replaced(scene.client, key, kind)
        assert scene.give_back(second) == "ok"
        replaced(scene.client, key, kind)
        serve(scene)
        assert [scene.status(job.id) for job in jobs] == [JobStatus.FINISHED] * 3


def test_a_delete_that_fails_half_way_leaves_nothing_for_the_next_entry(scene: Scene) -> None:
    scene.enqueue(new_job("good"), new_job("live"))
    scene.client.set(scene.store.keys.results("ghost"), "something else")
    with suppress(DeserializationError):
        scene.run(verbs.delete(["good", "ghost"], "nonce"))
    assert not scene.client.exists(scene.store.keys.scratch())
    (execution,) = scene.turn(want=1).granted
    assert execution.job_id == "live"
    scene.settle(execution, raised())
    assert scene.client.xlen(scene.store.keys.results("live")) == 1


def test_one_claim_looks_at_a_bounded_number_of_overdue_jobs(scene: Scene) -> None:
    overdue = [new_job(f"late{number}", policy=Policy(ttl=1.0), ttl_ms=1000) for number in range(700)]
    scene.enqueue(*overdue[:350])
    scene.enqueue(*overdue[350:])
    scene.enqueue(new_job("fresh"))
    scene.pass_ms(2000)
    assert scene.turn(want=16).granted == ()
    assert scene.client.zcard(scene.store.keys.home(JobStatus.QUEUED, QUEUE)) >= 701 - 500 - 16
    assert [one.job_id for one in scene.turn(want=16).granted] == ["fresh"]


def test_an_attempt_that_is_none_leaves_a_job_that_is_begun_by_its_id_where_it_was(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    scene.client.hset(scene.store.keys.job("j"), fields.JOB["attempt"], "-5")
    before = scene.dump()
    with pytest.raises(DeserializationError):
        scene.run(turns.begin("j", "w", "token", LEASE_MS))
    assert scene.dump() == before
