"""The soft time limit: it comes while the body runs, it is not swallowed, and it hits nothing but the body."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from rqlike.clock import mono
from rqlike.options import Policy
from rqlike.records import CallRecord
from rqlike.running.deadline import AGAIN_S, MOST, Deadline, masked
from rqlike.running.executor import execute
from rqlike.serializers import dumps_call, resolve_serializer
from rqlike.states import Reason
from rqlike.timeouts import JobTimeoutException

HERE = __name__
LIMIT = 0.05
LONG = 20.0


def limited(body: Callable[[], Any], timeout: float = LIMIT, deadline: Deadline | None = None) -> Any:
    return (deadline or Deadline()).run(body, timeout, job_id="j1", execution_id="e1")


def hang(seconds: float = LONG) -> None:
    """Waits in C, as a job does in a socket; a test that gets to its end has failed."""
    assert threading.Event().wait(seconds), "nothing interrupted it"


def spin(seconds: float) -> int:
    """Computes in Python for so long."""
    until, turns = mono() + seconds, 0
    while mono() < until:
        turns += 1
    return turns


@contextmanager
def unraisables_are_expected() -> Iterator[None]:
    """What is raised in `__del__` is not printed."""
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        yield
    finally:
        sys.unraisablehook = before


@pytest.fixture(autouse=True)
def alarm_is_left_as_it_was() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.SIGALRM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_body_that_is_in_time_returns_its_value() -> None:
    assert limited(lambda: 7, LONG) == 7


@pytest.mark.parametrize("body", [hang, lambda: spin(LONG)], ids=["waiting", "computing"])
def test_a_body_that_is_late_is_interrupted_at_its_limit(body: Callable[[], Any]) -> None:
    began = mono()
    with pytest.raises(JobTimeoutException, match=r"Job j1 ran longer than its 0\.05 seconds") as caught:
        limited(body)
    assert LIMIT - 0.005 <= mono() - began < LIMIT + 1
    assert (caught.value.job_id, caught.value.timeout) == ("j1", LIMIT)


def test_a_coroutine_is_interrupted() -> None:
    cleaned: list[bool] = []

    async def body() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            cleaned.append(True)

    with pytest.raises(JobTimeoutException):
        limited(lambda: asyncio.run(body()))
    assert cleaned == [True]


def test_except_exception_does_not_catch_it() -> None:
    def body() -> None:
        while True:
            try:
                hang()
            except Exception:  # noqa: BLE001  # as jobs do
                continue

    with pytest.raises(JobTimeoutException):
        limited(body)


def test_what_is_swallowed_comes_again_a_second_later() -> None:
    class Swallowing:
        def __del__(self) -> None:
            hang()

    def body() -> None:
        Swallowing()
        hang()

    deadline, began = Deadline(), mono()
    with unraisables_are_expected(), pytest.raises(JobTimeoutException):
        limited(body, deadline=deadline)
    assert deadline.fired == 2
    assert mono() - began >= LIMIT + AGAIN_S - 0.01


def test_it_comes_three_times_at_most() -> None:
    times: list[float] = []

    def body() -> str:
        for _ in range(MOST):
            try:
                hang()
            except JobTimeoutException:
                times.append(mono())
        spin(AGAIN_S + 0.2)
        return "stubborn"

    deadline = Deadline()
    assert limited(body, deadline=deadline) == "stubborn", "a value that was returned wins"
    assert len(times) == deadline.fired == MOST == 3
    assert deadline.ever_fired
    assert all(later - earlier >= AGAIN_S - 0.01 for earlier, later in pairwise(times))


def test_cleaning_up_is_not_cut_short() -> None:
    cleaned: list[int] = []

    def body() -> None:
        try:
            hang()
        finally:
            cleaned.append(spin(AGAIN_S / 2))

    deadline = Deadline()
    with pytest.raises(JobTimeoutException):
        limited(body, deadline=deadline)
    assert cleaned
    assert deadline.fired == 1


def test_without_a_limit_no_timer_runs() -> None:
    assert limited(lambda: signal.getitimer(signal.ITIMER_REAL), -1) == (0.0, 0.0)


def test_a_very_long_limit_is_taken() -> None:
    assert limited(lambda: 7, 1e12) == 7


def test_what_the_body_raises_comes_out_as_it_is() -> None:
    def body() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        limited(body, LONG)


def test_an_alarm_that_comes_around_the_end_hits_either_the_body_or_nothing() -> None:
    deadline, late, in_time = Deadline(), 0, 0
    for turn in range(400):
        try:
            in_time += limited(lambda: bool(spin(0.0005)), 0.0003 + turn % 40 * 0.00001, deadline)
        except JobTimeoutException:
            late += 1
        spin(0.0001)  # an alarm that escaped the body would be raised here
    assert late + in_time == 400
    assert late


def test_the_next_body_has_a_time_of_its_own() -> None:
    deadline = Deadline()
    with pytest.raises(JobTimeoutException):
        limited(hang, deadline=deadline)
    assert limited(lambda: spin(LIMIT * 2), LONG, deadline)
    assert deadline.fired == 0
    assert deadline.ever_fired


def test_an_alarm_of_the_jobs_own_without_a_handler_is_no_time_out() -> None:
    def body() -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        signal.raise_signal(signal.SIGALRM)
        return bool(spin(0.05))

    assert limited(body, LONG)


def test_a_job_that_uses_the_timer_without_a_handler_keeps_its_limit() -> None:
    def body() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        hang()

    with pytest.raises(JobTimeoutException):
        limited(body, 0.1)


def test_a_handler_and_a_timer_that_were_there_go_on_afterwards() -> None:
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert limited(lambda: spin(0.02), LONG)
        spin(0.2)
        assert rang == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_body_inside_a_body_has_its_own_limit() -> None:
    def outer() -> str:
        with pytest.raises(JobTimeoutException, match=r"0\.05"):
            limited(hang)
        hang()
        return "never"

    with pytest.raises(JobTimeoutException, match=r"0\.3"):
        limited(outer, 0.3)


def test_outside_the_main_thread_there_is_no_limit() -> None:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(limited(lambda: spin(LIMIT * 2))))
    thread.start()
    thread.join(LONG)
    assert got
    assert got[0] > 0


def test_a_process_that_the_body_forks_is_not_interrupted() -> None:
    def body() -> int:
        pid = os.fork()
        if pid == 0:
            try:
                spin(LIMIT * 2)
                signal.raise_signal(signal.SIGALRM)
                os._exit(0)
            except JobTimeoutException:
                os._exit(1)
        with pytest.raises(JobTimeoutException):
            hang()
        return os.waitpid(pid, 0)[1]

    assert limited(body) == 0


# -- rqlike's own code -------------------------------------------------------------------------------------------------


def test_a_masked_block_is_finished_first() -> None:
    steps: list[str] = []

    def body() -> None:
        with masked():
            spin(LIMIT * 2)
            with masked():
                signal.raise_signal(signal.SIGALRM)
            steps.append("finished")
        hang()

    with pytest.raises(JobTimeoutException):
        limited(body)
    assert steps == ["finished"]


def test_masking_in_a_thread_holds_nothing_back() -> None:
    entered, leave = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with masked():
            entered.set()
            leave.wait(LONG)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        assert entered.wait(LONG)
        with pytest.raises(JobTimeoutException):
            limited(hang)
    finally:
        leave.set()
        thread.join()


# -- as an execution ---------------------------------------------------------------------------------------------------


def raises_while_cleaning_up() -> None:
    try:
        hang()
    finally:
        raise OSError("the disk is full")


@pytest.mark.parametrize(
    ("func", "exc_type"),
    [("hang", "rqlike.timeouts.JobTimeoutException"), ("raises_while_cleaning_up", "builtins.OSError")],
)
def test_an_execution_that_is_late_is_recorded_as_such(func: str, exc_type: str) -> None:
    call = CallRecord(
        f"{HERE}.{func}", dumps_call(resolve_serializer("msgpack"), [], {}), {}, Policy(job_timeout=LIMIT)
    )
    outcome = execute(call, None, job_id="j1", execution_id="e", deadline=Deadline())
    assert (outcome.reason, outcome.exc_type) == (Reason.TIMEOUT, exc_type)
    assert LIMIT - 0.005 <= outcome.ended_s - outcome.began_s < LIMIT + 1
    assert "in hang" in (outcome.exc_string or "")
    assert "running/deadline.py" not in (outcome.exc_string or "")
