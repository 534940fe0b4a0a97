"""What running jobs tell, as it is stored: by whom, how much of it, for how long, and what a new cycle makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.exceptions import OutOfMemoryError

from rqlike.records import Execution
from rqlike.settings import GRACE_MS, LEASE_MS, LOG_LINES, TELL_LINES, TIGHT_LINES
from rqlike.states import JobStatus, Reason
from rqlike.store import turns, verbs
from rqlike.store.turns import Telling
from rqlike.told import State, Told
from tests.servers import Server
from tests.store.builders import Scene, new_job, policy, raised, real_ms, repeats, retries, returned, scene_on

ENDS = (
    JobStatus.FINISHED,
    JobStatus.FAILED,
    JobStatus.STOPPED,
    JobStatus.CANCELED,
)


def telling(execution: Execution, *lines: str, at: float | None = 1, number: int = 1) -> Telling:
    stored = b"" if at is None else State(at, 10).stored(None)
    said = tuple((1000 + index, line.encode()) for index, line in enumerate(lines))
    return Telling(execution.job_id, execution.token, number, 1000, stored, said)


def tell(scene: Scene, execution: Execution, *lines: str, at: float | None = 1, number: int = 1) -> str:
    return scene.run(turns.tell([telling(execution, *lines, at=at, number=number)]))[0]


def told(scene: Scene, job_id: str = "j", lines: int = 100) -> Told:
    return scene.run(verbs.told(job_id, lines))


def started(scene: Scene, **fields: Any) -> Execution:
    execution = scene.put(JobStatus.STARTED, **fields)
    assert execution is not None
    return execution


def keys_of(scene: Scene) -> set[str]:
    """What is stored of what jobs have told."""
    keys = scene.store.keys
    return {key for key in scene.dump() if key.startswith((keys.live(""), keys.log("")))}


def test_the_newest_progress_and_all_lines_are_there_for_whoever_asks(scene: Scene) -> None:
    execution = started(scene)
    assert told(scene) == Told(None, [])
    assert tell(scene, execution, "a", "b", at=1) == "ok"
    assert tell(scene, execution, "c", at=2, number=2) == "ok"
    found = told(scene)
    assert found.progress is not None
    assert (found.progress.current, found.progress.total, found.progress.attempt) == (2, 10, 1)
    assert [line.text for line in found.lines] == ["a", "b", "c"]
    assert [line.text for line in told(scene, lines=1).lines] == ["c"]


def test_a_telling_sent_again_is_answered_the_same_and_written_once(scene: Scene) -> None:
    execution = started(scene)
    tell(scene, execution, "a")
    before = scene.dump()
    assert scene.again() == ["ok"]
    assert scene.dump() == before


def test_what_a_lost_execution_says_is_not_written_and_the_others_of_the_call_are(scene: Scene) -> None:
    lost = started(scene)
    scene.enqueue(new_job("other"))
    other = scene.claim_one("w2")
    scene.now_ms += LEASE_MS + 1
    scene.run(turns.renew("w2", {}, [other]))
    assert len(scene.turn("rescuer", sweep=True).lapsed) == 1
    words = scene.run(turns.tell([telling(lost, "x"), telling(other, "y")]))
    assert words == ["stale", "ok"]
    assert keys_of(scene) == {scene.store.keys.live("other"), scene.store.keys.log("other")}


def test_what_is_said_of_a_job_that_has_ended_or_is_gone_is_not_written(scene: Scene) -> None:
    execution = started(scene)
    scene.settle(execution, returned())
    assert tell(scene, execution, "x") == "stale"
    scene.run(verbs.delete(["j"], "n"))
    assert tell(scene, execution, "x") == "stale"
    assert keys_of(scene) == set()


@pytest.mark.parametrize("end", ENDS)
def test_what_a_job_told_has_the_time_to_live_of_its_job(scene: Scene, end: JobStatus) -> None:
    execution = started(scene, policy=policy(result_ttl=100.0, failure_ttl=100.0), failure_ttl_ms=100_000)
    tell(scene, execution, "a")
    reasons = {JobStatus.FAILED: Reason.EXCEPTION, JobStatus.STOPPED: Reason.STOPPED, JobStatus.CANCELED: None}
    if end is JobStatus.FINISHED:
        scene.settle(execution, returned())
    else:
        if end is JobStatus.CANCELED:
            scene.run(verbs.cancel("j", "n"))
        scene.settle(execution, raised(reasons[end] or Reason.CANCELED))
    keys, dump = scene.store.keys, scene.dump()
    assert scene.status("j") is end
    assert dump[keys.live("j")][2] == dump[keys.log("j")][2] == dump[keys.job("j")][2] > 0
    assert told(scene).progress is not None
    scene.pass_ms(100_001)
    assert keys_of(scene) == set()


def test_a_job_that_waits_for_a_retry_and_is_canceled_dates_what_it_told(scene: Scene) -> None:
    execution = started(scene, policy=retries(3, 60))
    tell(scene, execution, "a")
    scene.settle(execution, raised())
    assert scene.dump()[scene.store.keys.log("j")][2] == -1
    scene.run(verbs.cancel("j", "n"))
    assert scene.dump()[scene.store.keys.log("j")][2] > 0


def test_without_a_result_ttl_it_is_there_for_watchers_for_a_moment(scene: Scene) -> None:
    execution = started(scene, policy=policy(result_ttl=0.0))
    tell(scene, execution, "a")
    scene.settle(execution, returned())
    found = {key: expiry - real_ms() for key, (_, _, expiry) in scene.dump().items() if key in keys_of(scene)}
    assert len(found) == 2
    assert all(0 < left <= GRACE_MS + 100 for left in found.values())
    scene.enqueue(new_job("j", "n"))  # another one of this id
    again = scene.claim_one()
    tell(scene, again, "b")
    assert [line.text for line in told(scene).lines] == ["b"]
    assert scene.dump()[scene.store.keys.log("j")][2] == -1


def test_a_deleted_job_leaves_nothing_of_it(scene: Scene) -> None:
    execution = started(scene)
    tell(scene, execution, "a")
    scene.run(verbs.delete(["j"], "n"))
    assert keys_of(scene) == set()


def test_a_retry_has_no_progress_until_it_tells_some_and_goes_on_with_the_log(scene: Scene) -> None:
    execution = started(scene, policy=retries(3))
    tell(scene, execution, "a", at=9)
    scene.settle(execution, raised())
    again = scene.claim_one()
    assert told(scene).progress is None
    tell(scene, again, "b", at=1)
    found = told(scene)
    assert found.progress is not None
    assert (found.progress.current, found.progress.attempt) == (1, 2)
    assert [(line.text, line.attempt) for line in found.lines] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("how", ["requeue", "enqueue", "repeat"])
def test_a_new_cycle_keeps_the_log_and_begins_its_progress_anew(scene: Scene, how: str) -> None:
    execution = started(scene, policy=repeats(1) if how == "repeat" else policy(result_ttl=100.0))
    tell(scene, execution, "a")
    scene.settle(execution, returned())
    if how == "requeue":
        scene.run(verbs.requeue(["j"], "n", at_front=False))
    elif how == "enqueue":
        assert scene.enqueue(new_job("j", "n"))[0].word == "cycle"
    assert told(scene).progress is None
    again = scene.claim_one()
    tell(scene, again, "b", at=None)
    assert [(line.text, line.cycle) for line in told(scene).lines] == [("a", 1), ("b", 2)]
    assert scene.dump()[scene.store.keys.log("j")][2] == -1
    scene.settle(again, raised())
    assert told(scene).progress is None


def test_only_the_last_thousand_lines_are_kept(scene: Scene) -> None:
    execution = started(scene)
    for number in range(3):
        tell(scene, execution, *(f"{number}.{line}" for line in range(TELL_LINES)), at=None, number=number + 1)
    lines = told(scene, lines=LOG_LINES).lines
    assert (len(lines), lines[0].text) == (LOG_LINES, "1.0")


def test_keys_of_another_type_are_not_ours_and_keep_nothing_from_its_end(scene: Scene) -> None:
    keys = scene.store.keys
    execution = started(scene)
    scene.client.set(keys.live("j"), "x")
    scene.client.sadd(keys.log("j"), "x")
    assert tell(scene, execution, "a") == "ok"  # the first telling clears what is left of others
    scene.client.delete(keys.live("j"), keys.log("j"))
    scene.client.set(keys.live("j"), "x")
    scene.client.sadd(keys.log("j"), "x")
    assert tell(scene, execution, "b", number=2) == "ok"
    assert [line.text for line in told(scene).lines] == ["b"]
    scene.client.delete(keys.log("j"))
    scene.client.sadd(keys.log("j"), "x")
    assert scene.settle(execution, returned()) == "ok"
    scene.client.delete(keys.log("j"))


def test_changing_the_time_to_live_of_an_ended_job_changes_that_of_what_it_told(scene: Scene) -> None:
    execution = started(scene)
    tell(scene, execution, "a")
    scene.settle(execution, returned())
    for ttl_ms in (5_000, -1, 7_000):
        scene.run(verbs.save("j", {}, None, ttl_ms, redate=True))
        keys, dump = scene.store.keys, scene.dump()
        assert dump[keys.log("j")][2] == dump[keys.job("j")][2]


def test_a_full_server_refuses_what_is_told_and_takes_the_outcome(own_server: Server, namespace: str) -> None:
    with own_server.client() as client:
        scene = scene_on(client, namespace)
        execution = started(scene)
        tell(scene, execution, "a")
        client.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            tell(scene, execution, "b", number=2)
        assert scene.settle(execution, raised()) == "ok"
        client.config_set("maxmemory", 0)
        assert [line.text for line in told(scene).lines] == ["a"]


def test_what_a_job_told_takes_no_more_than_it_says_once_the_job_has_ended(server: Server, namespace: str) -> None:
    with server.client() as client:
        scene = scene_on(client, namespace)
        execution = started(scene)
        tell(scene, execution, *("line",) * TIGHT_LINES)
        scene.settle(execution, returned())
        assert sum(_bytes(client, key) for key in keys_of(scene)) < 3_000


def _bytes(client: redis.Redis, key: str) -> int:
    return int(client.memory_usage(key))  # type: ignore[arg-type]
