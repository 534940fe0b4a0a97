"""Leases, outages, deadlines and due moments; the clock is injected, nobody sleeps."""

from __future__ import annotations

import pytest

from rqlike.settings import LEASE_MS, OUTAGE_MS, RECOVER_LIMIT
from rqlike.states import JobStatus, Reason
from rqlike.store import staff, turns, verbs
from tests.store.builders import QUEUE, Scene, new_job, policy, raised, retries, returned


def contact(scene: Scene, seconds: int, worker: str = "alive") -> None:
    """Somebody renews every five seconds meanwhile, so this is no outage."""
    for _ in range(seconds // 5):
        scene.now_ms += 5_000
        scene.run(turns.renew(worker, {"state": "idle"}, []))


def test_a_lapsed_lease_is_recovered_under_a_new_token_and_recorded_under_the_old_one(scene: Scene) -> None:
    held = scene.put(JobStatus.STARTED)
    assert held is not None
    contact(scene, 30)
    (lapsed,) = scene.turn("other", sweep=True).lapsed
    assert lapsed.lapsed and lapsed.token != held.token
    assert (lapsed.execution_id, lapsed.job.worker_name, lapsed.job.attempt) == (held.token, "w", 1)
    assert scene.settle(lapsed, raised(Reason.ABANDONED), "other") == "ok"
    (record,) = scene.history("j")
    assert (record.execution_id, record.worker_name, record.reason) == (held.token, "w", Reason.ABANDONED)


def test_a_lease_that_has_not_lapsed_is_nobody_elses(scene: Scene) -> None:
    scene.put(JobStatus.STARTED)
    contact(scene, 25)
    scene.now_ms += 4_999
    assert scene.turn("other", sweep=True).lapsed == ()
    scene.now_ms += 1
    assert len(scene.turn("other", sweep=True).lapsed) == 1


def test_a_renewal_keeps_an_execution_and_tells_what_was_lost_or_asked_for(scene: Scene) -> None:
    scene.enqueue(*(new_job(f"j{n}") for n in range(4)))
    held = scene.claim(4)
    scene.run(verbs.stop("j1"))
    scene.run(verbs.cancel("j2", "c"))
    scene.run(verbs.delete(["j3"], "d"))
    contact(scene, 25)
    assert scene.run(turns.renew("w", {"state": "busy"}, held)).words == ("ok", "stopped", "canceled", "lost")
    contact(scene, 25)
    assert scene.turn("other", sweep=True).lapsed == ()
    contact(scene, 5)
    assert len(scene.turn("other", sweep=True).lapsed) == 3
    assert scene.run(turns.renew("w", {"state": "busy"}, held)).words == ("lost",) * 4


def test_the_holder_of_a_lapsed_lease_may_finish_until_somebody_replaces_it(scene: Scene) -> None:
    held = scene.put(JobStatus.STARTED)
    assert held is not None
    contact(scene, 60)
    assert scene.settle(held, returned()) == "ok"


def test_the_old_holder_of_a_replaced_execution_is_refused_and_changes_nothing(scene: Scene) -> None:
    held = scene.put(JobStatus.STARTED, policy=retries(3))
    assert held is not None
    contact(scene, 30)
    (lapsed,) = scene.turn("other", sweep=True).lapsed
    for outcome in (returned(), raised()):
        before = scene.dump()[scene.store.keys.job("j")]
        assert scene.settle(held, outcome) == "stale"
        assert scene.give_back(held) == "stale"
        assert scene.dump()[scene.store.keys.job("j")] == before
    assert scene.history("j") == []
    assert scene.settle(lapsed, raised(Reason.ABANDONED), "other") == "ok"
    assert scene.status("j") is JobStatus.QUEUED


def test_at_most_four_executions_are_handed_over_per_call_over_all_queues(scene: Scene) -> None:
    for queue in ("qa", "qb"):
        scene.enqueue(*(new_job(f"{queue}{n}") for n in range(3)), queue=queue)
    scene.claim(6, queues=("qa", "qb"))
    contact(scene, 30)
    first = scene.turn("other", sweep=True, queues=("qa", "qb"))
    second = scene.turn("other", sweep=True, queues=("qa", "qb"))
    assert len(first.lapsed) == RECOVER_LIMIT
    ids = {execution.job_id for execution in first.lapsed + second.lapsed}
    assert len(ids) == 6
    assert scene.turn("other", sweep=True, queues=("qa", "qb")).lapsed == ()


def test_an_execution_whose_rescuer_is_lost_too_is_recovered_again(scene: Scene) -> None:
    scene.put(JobStatus.STARTED)
    contact(scene, 30)
    (first,) = scene.turn("second", sweep=True).lapsed
    contact(scene, 30)
    (again,) = scene.turn("third", sweep=True).lapsed
    assert scene.settle(first, raised(Reason.ABANDONED), "second") == "stale"
    assert scene.settle(again, raised(Reason.ABANDONED), "third") == "ok"
    assert len(scene.history("j")) == 1


@pytest.mark.parametrize("first_call", ["advance", "renew"])
def test_after_an_outage_nobody_is_recovered_for_ten_seconds(scene: Scene, first_call: str) -> None:
    """Every lease lapsed while the server was away, and the living need a moment to say so."""
    scene.enqueue(new_job("of the living"), new_job("of the dead"))
    living, _ = scene.claim(2, sweep=True)
    scene.now_ms += LEASE_MS + 60_000
    if first_call == "renew":
        scene.run(turns.renew("other", {"state": "idle"}, []))
    assert scene.turn("other", sweep=True).lapsed == ()
    scene.now_ms += OUTAGE_MS - 1
    assert scene.run(turns.renew("w", {"state": "busy"}, [living])).words == ("ok",)
    assert scene.turn("other", sweep=True).lapsed == ()
    scene.now_ms += 1
    assert [execution.job_id for execution in scene.turn("other", sweep=True).lapsed] == ["of the dead"]
    assert scene.settle(living, returned()) == "ok"


def test_ten_seconds_without_contact_are_no_outage_yet(scene: Scene) -> None:
    scene.put(JobStatus.STARTED)
    contact(scene, 20)
    scene.now_ms += OUTAGE_MS
    assert len(scene.turn("other", sweep=True).lapsed) == 1


# -- ttl ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_is_not_started_within_its_ttl_expires_by_the_sweep(scene: Scene) -> None:
    scene.enqueue(new_job("j", ttl_ms=1000), new_job("k"))
    assert scene.turn(sweep=True).moment_ms == scene.now_ms + 1000
    scene.pass_ms(999)
    scene.turn(sweep=True)
    assert scene.status("j") is JobStatus.QUEUED
    scene.pass_ms(1)
    scene.turn(sweep=True)
    assert scene.status("j") is JobStatus.EXPIRED
    assert scene.order() == ["k"]


def test_a_claim_never_starts_a_job_whose_ttl_is_over(scene: Scene) -> None:
    scene.enqueue(*(new_job(f"late{n}", ttl_ms=1000) for n in range(5)), new_job("k"))
    scene.pass_ms(1000)
    assert scene.claim_one().job_id == "k"
    assert scene.markers() == 0
    assert len(scene.order(JobStatus.EXPIRED)) == 5


def test_a_waiter_expires_an_overdue_job_and_no_other(scene: Scene) -> None:
    scene.enqueue(new_job("j", ttl_ms=1000), new_job("k"))
    assert scene.run(verbs.expire("j")) is JobStatus.QUEUED
    scene.pass_ms(1000)
    assert scene.run(verbs.expire("j")) is JobStatus.EXPIRED
    assert scene.run(verbs.expire("k")) is JobStatus.QUEUED


def test_the_ttl_of_a_scheduled_job_runs_from_its_promotion(scene: Scene) -> None:
    scene.enqueue(new_job("j", due="+5000", ttl_ms=1000))
    scene.pass_ms(4999)
    scene.turn(sweep=True)
    assert scene.status("j") is JobStatus.SCHEDULED
    assert scene.run(verbs.expire("j")) is JobStatus.SCHEDULED
    scene.pass_ms(1)
    scene.turn(sweep=True)
    assert scene.status("j") is JobStatus.QUEUED
    assert scene.run(verbs.peek("j", QUEUE, 1)).deadline_ms == scene.now_ms + 1000
    scene.pass_ms(1000)
    scene.turn(sweep=True)
    assert scene.status("j") is JobStatus.EXPIRED


def test_a_job_that_has_started_has_no_deadline_to_miss(scene: Scene) -> None:
    """A waiter who was told of one would ask again and again for an expiry that never comes."""
    scene.enqueue(new_job("j", ttl_ms=1000, policy=retries(1)))
    execution = scene.claim_one()
    assert scene.run(verbs.peek("j", QUEUE, 1)).deadline_ms is None
    scene.pass_ms(2000)
    scene.turn("other", sweep=True)
    assert scene.status("j") is JobStatus.STARTED
    scene.settle(execution, raised())
    assert scene.claim_one().job.attempt == 2


def test_a_job_given_back_after_its_deadline_expires(scene: Scene) -> None:
    scene.enqueue(new_job("j", ttl_ms=1000))
    execution = scene.claim_one()
    scene.pass_ms(2000)
    scene.give_back(execution)
    assert scene.claim() == ()
    assert scene.status("j") is JobStatus.EXPIRED


# -- due moments -------------------------------------------------------------------------------------------------------


def test_a_moment_is_watched_by_one_worker_until_it_departs(scene: Scene) -> None:
    scene.enqueue(new_job("j", due="+5000"))
    assert scene.turn("first", want=1, sweep=True).moment_ms == scene.now_ms + 5000
    assert scene.turn("second", want=1, sweep=True).moment_ms is None
    assert scene.turn("first", want=1, sweep=True).moment_ms == scene.now_ms + 5000
    assert scene.markers() == 0
    scene.run(turns.depart("first"))
    assert scene.markers() == 1, "somebody idle is woken to watch instead"
    assert scene.turn("second", want=1, sweep=True, woken=True).moment_ms == scene.now_ms + 5000


def test_a_moment_that_its_watcher_missed_is_watched_by_the_next_one(scene: Scene) -> None:
    scene.enqueue(new_job("j", due="+5000"), new_job("k", due="+9000"))
    scene.turn("first", sweep=True)
    scene.pass_ms(5200)
    assert scene.turn("second", sweep=True).moment_ms == scene.now_ms - 5200 + 9000


def test_an_earlier_moment_rings_and_moves_the_watch(scene: Scene) -> None:
    scene.enqueue(new_job("j", due="+5000"))
    scene.turn("first", want=1, sweep=True)
    scene.enqueue(new_job("k", due="+9000"))
    assert scene.markers() == 0, "nobody needs to know of a later one"
    scene.enqueue(new_job("i", due="+1000"))
    assert scene.markers() == 1
    assert scene.turn("second", want=1, sweep=True, woken=True).moment_ms == scene.now_ms + 1000


def test_a_delayed_retry_that_is_due_first_rings(scene: Scene) -> None:
    scene.enqueue(new_job("j", policy=retries(1, 5)))
    execution = scene.claim_one()
    assert scene.markers() == 0
    scene.settle(execution, raised())
    assert scene.markers() == 1


# -- wake-ups ----------------------------------------------------------------------------------------------------------


def test_markers_are_as_many_as_the_jobs_up_to_sixty_four(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    assert scene.markers() == 2
    scene.enqueue(*(new_job(f"j{n}") for n in range(200)))
    assert scene.markers() == 64


@pytest.mark.parametrize("want", [3, 4])
def test_the_claim_that_drains_a_queue_takes_its_markers_away(scene: Scene, want: int) -> None:
    scene.enqueue(*(new_job(f"j{n}") for n in range(3)))
    assert len(scene.claim(want)) == 3
    assert scene.markers() == 0


@pytest.mark.parametrize("how", ["empty", "delete", "cancel", "expire", "begin"])
def test_whatever_takes_the_last_job_out_of_a_queue_takes_its_markers_away(scene: Scene, how: str) -> None:
    scene.enqueue(new_job("j", ttl_ms=1000))
    match how:
        case "empty":
            assert scene.run(verbs.empty(QUEUE, 10)) == (1, 0)
        case "delete":
            scene.run(verbs.delete(["j"], "d"))
        case "cancel":
            scene.run(verbs.cancel("j", "c"))
        case "expire":
            scene.pass_ms(1000)
            scene.run(verbs.expire("j"))
        case "begin":
            assert scene.run(turns.begin("j", "w", "token", LEASE_MS)) is not None
    assert scene.markers() == 0


def test_markers_stay_while_work_is_left(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"), new_job("c"))
    scene.claim()
    scene.run(verbs.delete(["b"], "d"))
    assert scene.order() == ["c"]
    assert scene.markers() >= 1


def test_a_woken_worker_that_leaves_work_behind_wakes_the_next_one(scene: Scene) -> None:
    scene.enqueue(new_job("a"), new_job("b"))
    scene.client.delete(scene.store.keys.markers(QUEUE))
    scene.turn(want=1, woken=True)
    assert scene.markers() == 1
    scene.client.zpopmin(scene.store.keys.markers(QUEUE))
    scene.turn(want=1, woken=True)
    assert scene.markers() == 0


def test_promotion_retry_requeue_and_giving_back_wake_somebody(scene: Scene) -> None:
    scene.enqueue(new_job("j", due="+1000", policy=retries(1)))
    scene.client.delete(scene.store.keys.markers(QUEUE))
    scene.pass_ms(1000)
    scene.turn(sweep=True)
    assert scene.markers() == 1
    scene.give_back(scene.claim_one())
    assert scene.markers() == 1
    scene.settle(scene.claim_one(), raised())
    assert scene.markers() == 1
    scene.settle(scene.claim_one(), raised())
    assert scene.markers() == 0
    scene.run(verbs.requeue(["j"], "r", at_front=False))
    assert scene.markers() == 1


# -- nothing is left ---------------------------------------------------------------------------------------------------


def test_after_all_has_ended_and_expired_only_constants_are_left(scene: Scene) -> None:
    for number, status in enumerate(JobStatus):
        if status not in (JobStatus.DEFERRED, JobStatus.SCHEDULED):
            scene.put(status, f"j{number}", policy=policy(description="d" * 600), meta=b"m" * 600)
            for execution in scene.claim(5):
                scene.settle(execution, returned())
            scene.now_ms += 1
    for execution in scene.turn("other", want=9, sweep=True).granted:
        scene.settle(execution, returned(), "other")
    scene.enqueue(new_job("later", due="+1000", ttl_ms=5))
    scene.turn("other", sweep=True)
    contact(scene, 30)
    for lapsed in scene.turn("other", sweep=True).lapsed:
        scene.settle(lapsed, raised(Reason.ABANDONED), "other")
    scene.pass_ms(5)
    scene.turn("other", want=9, sweep=True)
    scene.pass_ms(366 * 86_400_000)
    scene.turn("other", sweep=True, prune=True)
    for worker in ("w", "other", "alive"):
        scene.run(turns.depart(worker))
    keys = scene.store.keys
    assert set(scene.dump()) == {keys.sequence(), keys.queues(), keys.contact(), keys.events(QUEUE)}


def test_the_watch_of_a_queue_without_moments_is_taken_away(scene: Scene) -> None:
    scene.enqueue(new_job("j", due="+5000"))
    scene.turn(sweep=True)
    assert scene.client.hlen(scene.store.keys.watch()) == 1
    scene.run(verbs.delete(["j"], "d"))
    scene.turn(sweep=True)
    assert scene.client.exists(scene.store.keys.watch()) == 0


# -- workers -----------------------------------------------------------------------------------------------------------


def test_a_name_is_refused_while_another_worker_that_bears_it_lives(scene: Scene) -> None:
    scene.run(turns.register("w", "one", {"host": "here", "pid": 7}))
    with pytest.raises(Exception, match=r"host here, pid 7.*another name"):
        scene.run(turns.register("w", "two", {"host": "there", "pid": 8}))
    scene.run(turns.register("w", "one", {"host": "here", "pid": 7}))
    scene.run(turns.depart("w"))
    scene.run(turns.register("w", "two", {"host": "there", "pid": 8}))
    (record,) = scene.run(staff.workers())
    assert (record.name, record.hostname, record.pid) == ("w", "there", 8)


def test_an_order_reaches_a_living_worker_twice_and_a_dead_one_never(scene: Scene) -> None:
    with pytest.raises(Exception, match="no living worker"):
        scene.run(staff.command("w", "shutdown"))
    scene.run(turns.register("w", "i", {"host": "h"}))
    scene.run(staff.command("w", "shutdown"))
    assert scene.client.zrange(scene.store.keys.control("w"), 0, -1) == [b"shutdown"]
    assert scene.run(turns.renew("w", {"state": "idle"}, [])).order == "shutdown"
    scene.run(turns.depart("w"))
    assert scene.client.exists(scene.store.keys.control("w")) == 0


@pytest.mark.parametrize("how", ["cancel", "stop", "delete"])
def test_a_wish_is_told_to_the_worker_with_the_token_it_is_about(scene: Scene, how: str) -> None:
    scene.run(turns.register("w", "i", {"host": "h"}))
    execution = scene.put(JobStatus.STARTED)
    assert execution is not None
    asked = {"cancel": "canceled", "stop": "stopped", "delete": "deleted"}[how]
    match how:
        case "cancel":
            scene.run(verbs.cancel("j", "c"))
        case "stop":
            scene.run(verbs.stop("j"))
        case "delete":
            scene.run(verbs.delete(["j"], "d"))
    told = scene.client.zrange(scene.store.keys.control("w"), 0, -1)
    assert told == [f"{asked} {execution.token}".encode()]


def test_a_moment_injected_is_the_moment_of_all_that_is_written(scene: Scene) -> None:
    scene.enqueue(new_job("j"))
    execution = scene.claim_one()
    assert (execution.job.created_ms, execution.job.started_ms) == (scene.now_ms, scene.now_ms)
    scene.pass_ms(5)
    scene.settle(execution, returned())
    job = scene.job("j")
    assert job is not None and job.ended_ms == scene.now_ms
    assert job._replace(ended_ms=None).status is JobStatus.FINISHED
