"""The table of transitions: what it permits, in Python, in Lua and in the picture."""

from __future__ import annotations

from rqlike.states import (
    CRASHES,
    LIVE,
    TERMINAL,
    TRANSITIONS,
    VERBS,
    JobStatus,
    Reason,
    ResultType,
    allowed,
    allowed_in_lua,
    mermaid,
)


def test_every_status_is_live_or_terminal() -> None:
    assert set(JobStatus) == LIVE | TERMINAL
    assert not LIVE & TERMINAL
    assert {status for status in JobStatus if status.terminal} == TERMINAL


def test_a_verb_stands_in_one_row() -> None:
    assert len(VERBS) == len(TRANSITIONS)


def test_every_status_but_deferred_is_reached_and_every_one_is_left() -> None:
    reached = {target for row in TRANSITIONS for target in row.targets}
    left = {source for row in TRANSITIONS for source in row.sources}
    assert reached >= set(JobStatus) - {JobStatus.DEFERRED}
    assert left >= set(JobStatus)


def test_only_a_new_cycle_or_a_delete_moves_what_has_ended() -> None:
    verbs = {row.verb for row in TRANSITIONS if row.sources & TERMINAL}
    assert verbs == {"enqueue", "requeue", "delete"}


def test_what_only_a_worker_does_starts_from_started() -> None:
    for verb in ("give_back", "finish", "repeat", "retry", "fail", "stop", "recover"):
        assert VERBS[verb].sources == {JobStatus.STARTED}


def test_a_job_that_is_not_there_can_only_be_enqueued_or_come_from_a_schedule() -> None:
    assert [verb for verb in VERBS if allowed(verb, None)] == ["enqueue", "fire"]


def test_the_permissions_in_lua_are_those_of_the_table() -> None:
    (line,) = (line for line in allowed_in_lua().splitlines() if line.startswith("local ALLOWED"))
    words = set(line.partition("'|")[2].removesuffix("|'").split("|"))
    assert words == {
        f"{verb}:{status or ''}" for verb in VERBS for status in (*JobStatus, None) if allowed(verb, status)
    }


def test_the_picture_has_an_arrow_for_each_permitted_move_and_no_other() -> None:
    arrows = mermaid().splitlines()
    assert arrows[0] == "stateDiagram-v2"
    assert "    queued --> started: claim" in arrows
    assert "    [*] --> queued: enqueue" in arrows
    assert "    failed --> [*]: delete" in arrows
    assert not any("finished --> started" in arrow for arrow in arrows)
    assert len(arrows) - 1 == sum(len(row.sources) * len(row.targets) for row in TRANSITIONS)


def test_the_numbers_of_result_types_are_rqs_and_only_a_retry_does_not_end_a_cycle() -> None:
    assert [(kind.name, kind.value) for kind in ResultType] == [
        ("SUCCESSFUL", 1),
        ("FAILED", 2),
        ("STOPPED", 3),
        ("RETRIED", 4),
        ("MAX_RETRIES_EXCEEDED", 5),
    ]
    assert [kind for kind in ResultType if not kind.final] == [ResultType.RETRIED]


def test_after_a_crash_nobody_knows_how_far_the_body_came() -> None:
    assert {Reason.KILLED, Reason.ABANDONED, Reason.PROTOCOL} == CRASHES
