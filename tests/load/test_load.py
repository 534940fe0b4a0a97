"""The scenarios of `python -m tests.load` in a size for every day."""

from __future__ import annotations

import pytest

from tests.conftest import skip_or_fail
from tests.load.__main__ import run
from tests.load.figures import broken, shown
from tests.servers import ServerMissing, binary_of


@pytest.fixture(autouse=True)
def _server_is_there() -> None:
    try:
        binary_of("valkey")
    except ServerMissing as missing:
        skip_or_fail(missing)


def _keeps_its_limits(name: str) -> None:
    figures = run(name, short=True)
    assert not broken(figures), shown(figures)


@pytest.mark.slow
def test_one_job_wakes_one_of_many_idle_workers_and_not_the_herd() -> None:
    _keeps_its_limits("idle")


@pytest.mark.slow
def test_hundreds_of_waiters_each_learn_what_became_of_their_job() -> None:
    _keeps_its_limits("waiters")


def test_one_waiter_for_hundreds_of_jobs_costs_little_and_keeps_no_values() -> None:
    _keeps_its_limits("gather")


@pytest.mark.slow
def test_every_way_out_of_a_job_wakes_all_who_wait_and_tells_each_the_same() -> None:
    _keeps_its_limits("leaving")


@pytest.mark.slow
def test_a_long_queue_slows_nobody_and_is_emptied_in_short_scripts() -> None:
    _keeps_its_limits("million")


@pytest.mark.slow
def test_neither_workers_nor_the_server_grow_while_jobs_of_all_kinds_come_and_go() -> None:
    _keeps_its_limits("soak")


@pytest.mark.slow
def test_schedules_due_at_once_fire_once_each_and_due_jobs_come_in_time() -> None:
    _keeps_its_limits("schedules")


@pytest.mark.slow
def test_keys_start_as_many_jobs_as_their_limits_say_and_none_is_kept_waiting() -> None:
    _keeps_its_limits("limits")


@pytest.mark.slow
def test_a_queue_is_deleted_in_short_scripts_and_nothing_of_it_is_left() -> None:
    _keeps_its_limits("control")


def test_a_job_that_says_how_far_it_is_loses_little_and_is_heard_soon() -> None:
    _keeps_its_limits("progress")
