"""Many in one call end as the same one after the other: what is written together changes nothing but the cost."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from rqlike.outcomes import Verdict
from rqlike.records import Execution
from rqlike.states import JobStatus, Reason
from rqlike.store import verbs
from rqlike.store.turns import Settlement
from rqlike.store.verbs import NewJob
from tests.conftest import AnyServer
from tests.store.builders import QUEUE, Scene, new_job, policy, raised, repeats, retries, returned, scene_on
from tests.store.invariants import violations

_STREAM_ID = re.compile(rb"^\d{13}-\d+$")


def settled_state(scene: Scene) -> dict[str, Any]:
    """All keys but those that say how often and when somebody called; ids of entries come from the server's clock."""
    prefix = scene.store.keys.prefix
    out = {}
    for key, (kind, content, expiry) in scene.dump().items():
        name = key.removeprefix(prefix)
        if name.startswith(("lastcall:", "wake:")):
            continue
        if kind == "stream":
            content = [fields for _, fields in content]
        if name.startswith("events:"):  # one entry may hold many
            content = [text for fields in content for text in fields.values()]
        if kind == "hash":
            content = {field: b"id" if _STREAM_ID.match(value) else value for field, value in content.items()}
        out[name] = (kind, content, expiry if expiry >= scene.now_ms else -1)
    return out


def two_scenes(any_server: AnyServer, namespace: str) -> tuple[Scene, Scene]:
    client = any_server.client()
    return scene_on(client, f"{namespace}-a"), scene_on(client, f"{namespace}-b")


def claimed(scene: Scene) -> dict[str, Execution]:
    """One execution per way to end, from two queues."""
    jobs = {
        "done": new_job("done"),
        "large": new_job("large", call=None, meta=b"m" * 900),
        "forever": new_job("forever", policy=policy(result_ttl=-1.0)),
        "gone": new_job("gone", "nonce", policy=policy(result_ttl=0.0)),
        "failed": new_job("failed"),
        "retried": new_job("retried", policy=retries(2)),
        "later": new_job("later", policy=retries(2, 5)),
        "repeated": new_job("repeated", policy=repeats(3)),
        "back": new_job("back", ttl_ms=60_000),
        "stopped": new_job("stopped"),
        "asked": new_job("asked", policy=retries(2)),
        "again": new_job("again"),
        "deleted": new_job("deleted"),
        "changed": new_job("changed"),
    }
    scene.enqueue(*jobs.values())
    scene.enqueue(new_job("other"), new_job("other back"), queue="second")
    held = scene.claim(100, queues=(QUEUE, "second"))
    scene.run(verbs.stop("stopped"))
    scene.run(verbs.cancel("asked", "c"))
    scene.run(verbs.delete(["deleted"], "d"))
    scene.run(verbs.save("changed", {}, result_ttl=7_000))
    return {execution.job_id: execution for execution in held}


def verdicts(scene: Scene, held: dict[str, Execution]) -> list[Settlement]:
    outcomes = {
        "failed": raised(),
        "retried": raised(),
        "later": raised(),
        "asked": raised(),
        "stopped": raised(Reason.STOPPED),
    }
    out = []
    for job_id, execution in held.items():
        if "back" in job_id:
            out.append(Settlement(execution, Verdict.give_back()))
        else:
            out.append(scene.judged(execution, outcomes.get(job_id, returned(job_id.encode()))))
    foreign = replace(held["done"], job=held["done"].job._replace(token="nobody's"), execution_id="unheard")
    out.insert(3, out[0]._replace(execution=foreign))
    out.append(out[[settlement.execution.job_id for settlement in out].index("again")])  # the same once more
    out.append(out[[settlement.execution.job_id for settlement in out].index("retried")])
    out.append(Settlement(held["done"], Verdict.give_back()))
    return out


def test_settlements_in_one_call_end_as_those_in_many(any_server: AnyServer, namespace: str) -> None:
    one_call, many_calls = two_scenes(any_server, namespace)
    both = [claimed(scene) for scene in (one_call, many_calls)]
    batch = one_call.turn("w", *verdicts(one_call, both[0])).words
    singles = [many_calls.turn("w", one).words[0] for one in verdicts(many_calls, both[1])]
    assert [word.split(" ")[0] for word in batch] == [word.split(" ")[0] for word in singles]
    assert {"ok", "stale", "already", "gone"} == {word.split(" ")[0] for word in batch}
    assert settled_state(one_call) == settled_state(many_calls)
    for scene in (one_call, many_calls):
        assert violations(scene.dump(), scene.store.keys, scene.now_ms) == []


def test_a_call_that_is_sent_again_settles_nothing_twice(any_server: AnyServer, namespace: str) -> None:
    scene = scene_on(any_server.client(), namespace)
    first = scene.turn("w", *verdicts(scene, claimed(scene)))
    before = settled_state(scene)
    second = scene.again()
    assert settled_state(scene) == before
    for word, answer in zip(first.words, second.words, strict=True):
        if word.startswith("ok "):
            assert answer in (f"already {word.removeprefix('ok ')}", word), (word, answer)


def producers(scene: Scene) -> list[NewJob]:
    scene.put(JobStatus.FINISHED, "ended")
    scene.put(JobStatus.CANCELED, "canceled")
    scene.enqueue(new_job("live", "mine"))
    scene.put(JobStatus.SCHEDULED, "waiting")
    return [
        new_job("plain"),
        new_job("front", front=True),
        new_job("first", front=True),
        new_job("ended", "n1"),
        new_job("canceled", "n2", ttl_ms=500),
        new_job("live", "other"),
        new_job("live", "mine"),
        new_job("waiting", "n3"),
        new_job("due", due="+700", ttl_ms=900, failure_ttl_ms=80),
        new_job("dated", due=str(scene.now_ms + 5)),
        new_job("plain"),
        new_job("front", "n4"),
        new_job("large", call=b"\x01" * 600, meta=b"m" * 65),
        new_job("middle", call=b"\x01" * 65),
        new_job("ttl", ttl_ms=800),
    ]


def test_jobs_enqueued_in_one_call_are_as_those_of_many(any_server: AnyServer, namespace: str) -> None:
    one_call, many_calls = two_scenes(any_server, namespace)
    batch = one_call.enqueue(*producers(one_call))
    singles = [many_calls.enqueue(one)[0] for one in producers(many_calls)]
    told = [(answer.word, answer.status, answer.cycle) for answer in batch]
    assert told == [(answer.word, answer.status, answer.cycle) for answer in singles]
    assert {"new", "cycle", "replayed", "duplicate"} == {word for word, _, _ in told}
    assert settled_state(one_call) == settled_state(many_calls)
    assert one_call.order() == many_calls.order()
    for scene in (one_call, many_calls):
        assert violations(scene.dump(), scene.store.keys, scene.now_ms) == []


def test_a_first_entry_goes_to_a_history_that_is_there_already(any_server: AnyServer, namespace: str) -> None:
    scene = scene_on(any_server.client(), namespace)
    scene.enqueue(new_job("j"))
    execution = scene.claim_one()
    scene.client.xadd(scene.store.keys.results("j"), {"t": "4", "i": "older", "b": "1", "d": "1"})
    assert scene.settle(execution, returned()) == "ok"
    assert [record.execution_id for record in scene.history("j")] == [execution.execution_id, "older"]


def test_what_is_settled_beside_one_that_cannot_be_is_at_home(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"), new_job("c"))
    executions = scene.claim(3)
    strange = scene.store.keys.results("b")
    scene.client.set(strange, "a key of somebody else")
    turned = scene.turn("w", *(scene.judged(execution, returned()) for execution in executions))
    assert [word.partition(" ")[0] for word in turned.words] == ["ok", "broken", "ok"]
    assert [(problem.job_id, problem.text.partition(" ")[0]) for problem in turned.problems] == [("b", "WRONGTYPE")]
    assert scene.order(JobStatus.FINISHED) == ["a", "c"]
    assert scene.order(JobStatus.FAILED) == ["b"]
    scene.client.delete(strange)


def test_a_worker_may_serve_thousands_of_queues(scene: Scene) -> None:
    scene.enqueue(new_job("j"), queue="queue1999")
    queues = [f"queue{number}" for number in range(2000)]
    assert len(scene.turn(want=1, sweep=True, queues=queues).granted) == 1
    assert scene.turn(want=1, sweep=True, queues=queues[:1000]).granted == ()
