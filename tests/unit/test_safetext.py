"""Text that can do nothing to a terminal or a log, whoever wrote it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike import logs, safetext
from rqlike.exceptions import DuplicateJobError, JobFailed
from rqlike.settings import LINE_LIMIT

#: Repaints, sets the title, turns the direction of writing round, ends a line in six ways, rings.
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\u2066\n\r\x0b\x85\u2028\u2029\x9b31m\x00\ud800"

LINES: dict[str, Callable[[], object]] = {
    "worker_started": lambda: logs.worker_started(EVIL, [EVIL], EVIL, 1),
    "worker_suspended": lambda: logs.worker_suspended(EVIL),
    "worker_resumed": lambda: logs.worker_resumed(EVIL),
    "queues_paused": lambda: logs.queues_paused(EVIL, [EVIL]),
    "queues_resumed": lambda: logs.queues_resumed(EVIL, [EVIL]),
    "worker_stopping": lambda: logs.worker_stopping(EVIL, 1, EVIL),
    "worker_stopped": lambda: logs.worker_stopped(EVIL, 1),
    "outcomes_unwritten": lambda: logs.outcomes_unwritten(EVIL, [EVIL]),
    "job_started": lambda: logs.job_started(EVIL, EVIL, EVIL, 2),
    "job_ended": lambda: logs.job_ended(EVIL, EVIL, "failed", 1.0, EVIL, EVIL),
    "job_retried": lambda: logs.job_retried(EVIL, EVIL, 1, 4, 1.0, 30.0, EVIL, EVIL),
    "pause_failed": lambda: logs.pause_failed(EVIL, EVIL),
    "outcome_refused": lambda: logs.outcome_refused(EVIL, "gone"),
    "store_broken": lambda: logs.store_broken(EVIL, EVIL, EVIL),
    "schedule_fired": lambda: logs.schedule_fired(EVIL, 2),
    "slots_missed": lambda: logs.slots_missed(EVIL, 2),
    "schedules_upserted": lambda: logs.schedules_upserted(2, 1, [EVIL]),
    "schedule_taken": lambda: logs.schedule_taken(EVIL, EVIL, EVIL),
    "value_dropped": lambda: logs.value_dropped(EVIL),
    "execution_lost": lambda: logs.execution_lost(EVIL, EVIL),
    "job_recovered": lambda: logs.job_recovered(EVIL, EVIL),
    "horse_retired": lambda: logs.horse_retired(1, EVIL),
    "horse_died": lambda: logs.horse_died(1, EVIL),
    "horse_overran": lambda: logs.horse_overran(1, EVIL, 1.0),
    "fork_failed": lambda: logs.fork_failed(EVIL),
    "zygote_lost": lambda: logs.zygote_lost(EVIL),
    "setup_failed": lambda: logs.setup_failed(EVIL, 1),
    "callback_failed": lambda: logs.callback_failed(EVIL, EVIL),
    "server_away": lambda: logs.server_away(EVIL, EVIL),
    "server_back": lambda: logs.server_back(EVIL, 1.0),
    "unguarded": lambda: logs.unguarded(EVIL),
    "call_refused": lambda: logs.call_refused(EVIL),
    "code_changed": lambda: logs.code_changed(EVIL),
    "events_missed": lambda: logs.events_missed(EVIL, EVIL),
}


@given(st.text())
def test_one_line_stays_one_and_is_printable(text: str) -> None:
    assert safetext.printable(text).isprintable()
    assert safetext.ends(text, 20).isprintable()


@given(st.text())
def test_several_lines_keep_their_ends_and_tabs_and_nothing_else(text: str) -> None:
    shown = safetext.lines(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert shown.count("\n") == text.count("\n")


@given(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_printable_and_reads_back_the_same(value: Any) -> None:
    for indent in (None, 2):
        text = safetext.json_text(value, indent)
        assert text.replace("\n", "").isprintable()
        assert json.loads(text) == value


def test_what_is_printable_is_left_as_it_is() -> None:
    assert safetext.lines("Zürich 東京 🙂") == safetext.printable("Zürich 東京 🙂") == "Zürich 東京 🙂"


@pytest.mark.parametrize("said", LINES.values(), ids=LINES)
def test_no_log_line_can_be_forged_or_repaints_a_terminal(
    said: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logs.LOG.name):
        said()
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    for name, value in vars(record).items():
        if name in ("job_id", "queue", "worker", "reason", "event"):
            assert str(value).isprintable(), name
    line = logs.JsonFormatter().format(record)
    assert line.isprintable()
    assert json.loads(line)["message"] == record.getMessage()


def test_every_function_that_logs_is_tried_with_hostile_text() -> None:
    told = {
        name
        for name, found in vars(logs).items()
        if callable(found) and getattr(found, "__module__", "") == logs.__name__
    }
    assert {name for name in told if name[0].islower()} - {"configure"} == set(LINES)


def test_a_long_log_line_keeps_its_head_and_its_tail(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logs.LOG.name):
        logs.callback_failed("the id", "begins " + "x" * 10**6 + " ends")
    message = caplog.records[0].getMessage()
    assert len(message) <= LINE_LIMIT + 10
    assert message.startswith("callback of the id: begins")
    assert message.endswith("ends")


def test_an_error_shows_what_it_is_about_without_its_escape_sequences() -> None:
    for error in (JobFailed(job_id=EVIL, reason=EVIL), DuplicateJobError(f"taken: {EVIL}")):
        assert str(error).replace("\n", "").isprintable()
    assert JobFailed(job_id=EVIL).job_id == EVIL
