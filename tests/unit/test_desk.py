"""Where executions change hands, without a horse or a server."""

from __future__ import annotations

from typing import NoReturn

import pytest

from rqlike.outcomes import Rules
from rqlike.records import CallRecord, Execution, JobRecord
from rqlike.states import JobStatus
from rqlike.worker.ahead import Ahead
from rqlike.worker.channel import open_channel
from rqlike.worker.desk import Desk
from rqlike.worker.errands import Errands
from rqlike.worker.frames import FrameWriter, ProtocolError
from rqlike.worker.ledger import Ledger
from rqlike.worker.plan import Plan
from rqlike.worker.reins import Horse
from rqlike.worker.supervisor import Supervisor
from rqlike.worker.times import Times


def never(*_: object) -> NoReturn:
    raise AssertionError("nothing is forked here")


@pytest.fixture
def desk() -> Desk:
    plan = Plan("w", "i", ("q",))
    supervisor = Supervisor(
        never, concurrency=1, jobs_per_horse=1, kill_grace=1.0, before_fork=lambda: None, inherited=list
    )
    return Desk(Ledger("w", Rules()), supervisor, Errands(plan), Times(), Ahead(1))


def execution(token: str) -> Execution:
    call = CallRecord("m.f", b"")
    job = JobRecord("j", "q", JobStatus.STARTED, call, created_ms=1, token=token, attempt=1)
    return Execution(job, token, token, raw=[])


@pytest.mark.parametrize("order", ["stopped", "canceled"])
def test_an_order_that_is_quicker_than_its_grant_ends_the_execution(desk: Desk, order: str) -> None:
    granted = execution("t1")
    desk.order("t1", order, more_to_come=True)
    desk.ledger.take([granted])
    assert desk.hand_out([granted], stopping=False)
    (settlement,) = desk.ledger.to_send()
    assert settlement.verdict.to == order


def test_an_execution_that_was_deleted_before_its_grant_came_is_forgotten(desk: Desk) -> None:
    granted = execution("t1")
    desk.order("t1", "deleted", more_to_come=True)
    desk.ledger.take([granted])
    desk.hand_out([granted], stopping=False)
    assert not desk.ledger.held
    assert desk.ledger.to_send() == ()


def test_an_order_for_nobody_is_not_kept_for_later(desk: Desk) -> None:
    desk.order("t1", "stopped", more_to_come=False)
    granted = execution("t1")
    desk.ledger.take([granted])
    assert not desk.hand_out([granted], stopping=False)
    assert desk.ledger.to_send()[0].verdict.verb == "give_back"


def test_what_no_horse_can_begin_goes_back_to_its_place(desk: Desk) -> None:
    granted = execution("t1")
    desk.ledger.take([granted])
    assert not desk.hand_out([granted], stopping=True)
    assert [settlement.verdict.verb for settlement in desk.ledger.to_send()] == ["give_back"]
    assert desk.begun == 0


def test_a_frame_that_a_horse_has_no_room_for_leaves_no_permits_behind(desk: Desk) -> None:
    ours, theirs = open_channel()
    horse = Horse(0, ours, writer=FrameWriter(limit=10))
    try:
        with pytest.raises(ProtocolError, match="unread"):
            desk.horses.give(horse, [execution("t1"), execution("t2")])
        assert theirs.take_permit() is None, "one would be kept for a frame that never comes, and every other refused"
        assert not horse.handed
    finally:
        theirs.close()
        ours.close()


def test_a_job_with_a_limit_that_finds_no_horse_goes_back_and_does_not_wait_for_one(desk: Desk) -> None:
    held = execution("t1")
    limited = Execution(held.job._replace(limit="1 0 1000 1 k"), "t1", "t1", raw=[])
    desk.ledger.take([limited])
    desk.hand_out([limited], stopping=False)
    assert [settlement.verdict.verb for settlement in desk.ledger.to_send()] == ["give_back"]
    assert len(desk.ahead) == 0


def test_of_what_a_horse_did_not_begin_a_job_with_a_limit_goes_back_and_others_wait(desk: Desk) -> None:
    plain = execution("t1")
    limited = Execution(plain.job._replace(limit="1 0 1000 1 k"), "t2", "t2", raw=[])
    desk.begun = 2
    desk.taken_back([plain, limited])
    assert [settlement.execution.token for settlement in desk.ledger.to_send()] == ["t2"]
    assert list(desk.ahead.waiting) == [plain]
