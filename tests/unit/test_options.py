"""The options of a job: checked where the caller stands, before anything is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rqlike.dependency import Dependency, Need
from rqlike.exceptions import TimeoutFormatError
from rqlike.limits import RateLimit
from rqlike.options import (
    NAMES,
    Checked,
    JobOptions,
    Policy,
    Unique,
    check,
    check_job_id,
    check_queue_name,
    split,
    suggestion,
)
from rqlike.policies import Callback, Repeat, Retry


def test_nothing_said_is_the_defaults() -> None:
    assert check({}, {}) == Checked()
    assert check({}, {}).policy == Policy(job_timeout=180.0, failure_ttl=31_536_000.0)


def test_every_option_is_taken_and_lands_where_it_belongs() -> None:
    given: JobOptions = {
        "job_timeout": "1m",
        "result_ttl": timedelta(seconds=5),
        "store_result": False,
        "failure_ttl": -1,
        "ttl": 0.5,
        "job_id": "a/b c",
        "description": "what",
        "meta": {"a": 1},
        "at_front": True,
        "priority": 7,
        "retry": 3,
        "depends_on": ["p", Dependency("q", on_failure="wait")],
        "repeat": Repeat(2),
        "on_success": "tasks.done",
        "on_failure": Callback("tasks.failed", 5),
        "on_stopped": "tasks.stopped",
        "durable": True,
        "headers": {"trace": "1"},
        "rate_limit": RateLimit("k", 1),
        "unique": True,
        "unique_key": "report:7",
        "unique_for": "1m",
        "on_duplicate": "return",
    }
    assert set(given) == set(NAMES)
    checked = check(given, {})
    assert checked.policy == Policy(
        60.0,
        5.0,
        -1.0,
        0.5,
        "what",
        Retry(3),
        Repeat(2),
        Callback("tasks.done"),
        Callback("tasks.failed", 5),
        Callback("tasks.stopped"),
        priority=7,
        depends_on=(Need("p"), Need("q", "wait")),
        store_result=False,
    )
    assert (checked.job_id, checked.meta, checked.at_front, checked.headers, checked.durable) == (
        "a/b c",
        {"a": 1},
        True,
        {"trace": "1"},
        True,
    )
    assert checked.rate_limit == RateLimit("k", 1)
    assert (checked.unique, checked.wish) == (Unique("report:7", 60_000), "return")
    assert checked.policy.has_callbacks and not Policy().has_callbacks


@pytest.mark.parametrize("key", ["k", "5 k", "0", "0 ", "é 1", "5", "05 5 k"])
@pytest.mark.parametrize("for_ms", [0, 1500])
def test_a_unique_key_is_read_out_of_the_text_that_a_job_carries(key: str, for_ms: int) -> None:
    assert Unique.key_of(Unique(None, for_ms).to_text(key)) == key


def test_a_description_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        check({"description": "half a pair: \ud800"}, {})


def test_an_option_of_a_call_wins_over_that_of_its_queue() -> None:
    checked = check({"result_ttl": 7}, {"result_ttl": 5, "job_timeout": 9})
    assert (checked.policy.result_ttl, checked.policy.job_timeout) == (7.0, 9.0)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("job_timout", "job_timeout"),
        ("timeout", "job_timeout"),
        ("eta", "enqueue_at"),
        ("countdown", "enqueue_in"),
        ("ignore_result", "store_result"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_one_that_was_meant(wrong: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"{wrong}.*Did you mean '{meant}'"):
        check({wrong: 1}, {})
    assert suggestion("xyzzy") == ""


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("job_timeout", 0, TimeoutFormatError),
        ("job_timeout", "soon", TimeoutFormatError),
        ("ttl", 0, TimeoutFormatError),
        ("ttl", -1, TimeoutFormatError),
        ("failure_ttl", 0, TimeoutFormatError),
        ("result_ttl", -2, TimeoutFormatError),
        ("result_ttl", float("nan"), TimeoutFormatError),
        ("job_id", 7, TypeError),
        ("job_id", "", ValueError),
        ("job_id", "a\n", ValueError),
        ("job_id", "ü" * 129, ValueError),
        ("description", 7, TypeError),
        ("meta", [1], TypeError),
        ("meta", {1: 2}, TypeError),
        ("at_front", 1, TypeError),
        ("store_result", 0, TypeError),
        ("store_result", None, TypeError),
        ("priority", True, TypeError),
        ("priority", 1.0, TypeError),
        ("priority", "high", TypeError),
        ("priority", 101, ValueError),
        ("priority", -101, ValueError),
        ("retry", 0, ValueError),
        ("retry", True, TypeError),
        ("repeat", 3, TypeError),
        ("headers", {"a": 1}, TypeError),
        ("headers", "a", TypeError),
    ],
)
def test_a_wrong_value_is_refused_by_name(option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"(?i)" + option.replace("job_id", "job.id")):
        check({option: value}, {})


def test_none_is_the_default_of_what_may_be_left_out() -> None:
    assert (
        check(dict.fromkeys(("job_timeout", "result_ttl", "ttl", "priority", "retry", "meta", "headers")), {})
        == Checked()
    )


def test_the_functions_own_keywords_are_told_from_options() -> None:
    assert split({"job_id": "a", "x": 1}) == ({"job_id": "a"}, {"x": 1})
    assert split({"x": 1}) == ({}, {"x": 1})


def test_a_long_description_is_cut_and_not_refused() -> None:
    text = check({"description": "x" * 5000}, {}).policy.description
    assert text is not None and len(text) == 1024 and text.endswith("…")


@pytest.mark.parametrize("good", ["a", "a:b", "user 7", "x" * 256, "ü" * 128, "{tag}"])
def test_printable_ids_and_names_up_to_256_bytes_are_fine(good: str) -> None:
    assert check_job_id(good) == check_queue_name(good) == good


@pytest.mark.parametrize("bad", ["", "x" * 257, "a\x00", "a\r", "\u202e"])
def test_what_would_break_a_terminal_or_a_key_is_refused(bad: str) -> None:
    for checker in (check_job_id, check_queue_name):
        with pytest.raises(ValueError):
            checker(bad)


def test_a_key_that_is_no_text_is_a_type_error_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"str\(7\)"):
        check_job_id(7)
    with pytest.raises(TypeError):
        check_queue_name(b"q")
