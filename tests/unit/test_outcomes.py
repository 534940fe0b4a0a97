"""The judgement on an execution: what a job comes to, and how often it is tried."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqlike.exceptions import DeserializationError, RetryLater
from rqlike.options import Policy
from rqlike.outcomes import Outcome, Rules, Verdict, decide
from rqlike.policies import Repeat, Retry, lineage
from rqlike.records import CallRecord, JobRecord
from rqlike.settings import FRONT_BAND, NORMAL_BAND
from rqlike.states import CRASHES, VERBS, JobStatus, Reason, ResultType

RULES = Rules()


def started(policy: Policy | None = None, **fields: Any) -> JobRecord:
    call = CallRecord("tasks.f", b"", {}, policy or Policy())
    values: dict[str, Any] = {"attempt": 1, **fields}
    return JobRecord("j", "q", JobStatus.STARTED, call, created_ms=1, **values)


def failed(reason: Reason = Reason.EXCEPTION, retry: Retry | None = None) -> Outcome:
    return Outcome(reason, None, "trace", "ValueError", retry)


@pytest.mark.parametrize(
    ("result_ttl", "to", "seconds"),
    [
        (None, JobStatus.FINISHED, 500.0),
        (7.5, JobStatus.FINISHED, 7.5),
        (-1.0, JobStatus.FINISHED, -1.0),
        (0.0, None, 0.0),
    ],
)
def test_a_value_is_kept_for_the_result_ttl(result_ttl: float | None, to: JobStatus | None, seconds: float) -> None:
    verdict = decide(started(Policy(result_ttl=result_ttl)), Outcome(value=b"v"), RULES)
    assert (verdict.verb, verdict.to, verdict.type, verdict.ttl_s) == ("finish", to, ResultType.SUCCESSFUL, seconds)


def test_the_worker_names_the_result_ttl_of_a_job_that_names_none() -> None:
    assert decide(started(), Outcome(), Rules(default_result_ttl=9)).ttl_s == 9
    assert decide(started(Policy(result_ttl=3.0)), Outcome(), Rules(default_result_ttl=9)).ttl_s == 3


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in (Reason.STOPPED, Reason.CANCELED)])
def test_without_a_retry_the_first_failure_is_the_last(reason: Reason) -> None:
    verdict = decide(started(Policy(failure_ttl=9)), failed(reason), RULES)
    assert (verdict.verb, verdict.to, verdict.ttl_s) == ("fail", JobStatus.FAILED, 9)
    expected = ResultType.MAX_RETRIES_EXCEEDED if reason is Reason.RETRY_RETURNED else ResultType.FAILED
    assert verdict.type is expected


def test_retry_three_means_four_executions() -> None:
    job = Policy(retry=Retry(3, [1, 2]))
    verdicts = [decide(started(job, attempt=attempt), failed(), RULES) for attempt in (1, 2, 3, 4)]
    assert [verdict.type for verdict in verdicts] == [*[ResultType.RETRIED] * 3, ResultType.FAILED]
    assert [verdict.delay_s for verdict in verdicts[:3]] == [1, 2, 2]


@pytest.mark.parametrize(("interval", "to"), [(0, JobStatus.QUEUED), (0.5, JobStatus.SCHEDULED)])
@pytest.mark.parametrize(("front", "band"), [(False, NORMAL_BAND), (True, FRONT_BAND)])
def test_a_retry_waits_for_its_interval_and_goes_where_it_asks(
    interval: float, to: JobStatus, front: bool, band: int
) -> None:
    verdict = decide(started(Policy(retry=Retry(1, interval, front))), failed(), RULES)
    assert (verdict.verb, verdict.to, verdict.delay_s, verdict.band) == ("retry", to, interval, band)


def test_unrecoverable_uses_no_attempt_that_is_left() -> None:
    verdict = decide(started(Policy(retry=Retry(9))), failed(Reason.UNRECOVERABLE), RULES)
    assert (verdict.verb, verdict.type) == ("fail", ResultType.FAILED)


@pytest.mark.parametrize(
    ("reason", "verb", "to"),
    [(Reason.STOPPED, "stop", JobStatus.STOPPED), (Reason.CANCELED, "cancel", JobStatus.CANCELED)],
)
def test_what_an_operator_ended_is_not_retried(reason: Reason, verb: str, to: JobStatus) -> None:
    verdict = decide(started(Policy(retry=Retry(9), failure_ttl=5)), failed(reason), RULES)
    assert (verdict.verb, verdict.to, verdict.type, verdict.ttl_s) == (verb, to, ResultType.STOPPED, 5)


def test_a_returned_retry_counts_with_the_attempts_of_its_cycle() -> None:
    back = failed(Reason.RETRY_RETURNED, Retry(2, 4))
    verdicts = [decide(started(attempt=attempt), back, RULES) for attempt in (1, 2, 3)]
    assert [verdict.verb for verdict in verdicts] == ["retry", "retry", "fail"]
    assert verdicts[0].delay_s == 4
    assert verdicts[2].type is ResultType.MAX_RETRIES_EXCEEDED


@pytest.mark.parametrize("reason", sorted(CRASHES))
def test_three_crashes_in_a_row_end_a_job_whatever_is_left(reason: Reason) -> None:
    job = Policy(retry=Retry(99))
    verdicts = [decide(started(job, crashes=before), failed(reason), RULES) for before in (0, 1, 2)]
    assert [(verdict.verb, verdict.crashes) for verdict in verdicts[:2]] == [("retry", 1), ("retry", 2)]
    assert verdicts[2].verb == "fail"


def test_a_failure_that_is_no_crash_breaks_the_row() -> None:
    assert decide(started(Policy(retry=Retry(99)), crashes=2), failed(), RULES).crashes == 0


def test_a_repeat_starts_a_cycle_until_its_times_are_over() -> None:
    job = Policy(repeat=Repeat(2, [0, 5]), result_ttl=0.0)
    verdicts = [decide(started(job, repeats=done), Outcome(), RULES) for done in (0, 1, 2)]
    assert [(verdict.verb, verdict.to) for verdict in verdicts] == [
        ("repeat", JobStatus.QUEUED),
        ("repeat", JobStatus.SCHEDULED),
        ("finish", None),
    ]


def test_a_failure_ends_a_repetition() -> None:
    assert decide(started(Policy(repeat=Repeat(2))), failed(), RULES).verb == "fail"


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_the_draw_says_where_in_its_jitter_a_pause_lies(draw: float) -> None:
    for retry in (Retry.exponential(9, 4), Retry(9, 8, jitter=0.5)):
        verdict = decide(started(Policy(retry=retry), attempt=2), failed(), RULES, draw)
        assert verdict.delay_s == retry.delay(2, draw)
        assert verdict.to is (JobStatus.SCHEDULED if verdict.delay_s else JobStatus.QUEUED)


@pytest.mark.parametrize("retry", [Retry(3, 10), Retry.exponential(3), Retry.custom(3, "app.pause")], ids=repr)
def test_a_pause_that_the_execution_asks_for_comes_before_the_policy(retry: Retry) -> None:
    asked = failed()._replace(delay_s=3.5)
    assert decide(started(Policy(retry=retry)), asked, RULES).delay_s == 3.5
    assert decide(started(Policy(retry=retry)), asked._replace(delay_s=0.0), RULES).to is JobStatus.QUEUED
    assert decide(started(), asked, RULES).verb == "fail"
    assert decide(started(Policy(retry=retry), attempt=4), asked, RULES).verb == "fail"


def test_the_fallback_is_the_pause_after_a_death() -> None:
    job = started(Policy(retry=Retry.custom(3, "app.pause", fallback=7)))
    for outcome in (Outcome.killed("signal 9", 1, 2), Outcome.abandoned("w", 1), failed(Reason.PROTOCOL)):
        assert decide(job, outcome, RULES).delay_s == 7


RAISED = ("app.Busy", "builtins.OSError", "builtins.Exception", "builtins.BaseException")
TABLE: list[tuple[Reason, tuple[str, ...], str, bool]] = [
    (Reason.EXCEPTION, RAISED, "app.Busy", True),
    (Reason.EXCEPTION, RAISED, "OSError", True),
    (Reason.EXCEPTION, RAISED, "KeyError", False),
    (Reason.EXCEPTION, (), "Exception", False),
    (Reason.TIMEOUT, RAISED, "rqlike.timeouts.JobTimeoutException", True),
    (Reason.TIMEOUT, (), "rqlike.timeouts.JobTimeoutException", True),
    (Reason.TIMEOUT, ("a.Mine", "rqlike.timeouts.JobTimeoutException"), "a.Mine", True),
    (Reason.TIMEOUT, RAISED, "OSError", False),
    (Reason.TIMEOUT, RAISED, "Exception", False),
    (Reason.KILLED, (), "rqlike.exceptions.AbandonedJobError", True),
    (Reason.ABANDONED, (), "rqlike.exceptions.AbandonedJobError", True),
    (Reason.PROTOCOL, RAISED, "rqlike.exceptions.AbandonedJobError", True),
    (Reason.PROTOCOL, RAISED, "OSError", False),
    (Reason.ABANDONED, (), "OSError", False),
    (Reason.SERIALIZATION, (), "rqlike.exceptions.DeserializationError", True),
    (Reason.SERIALIZATION, RAISED, "OSError", True),
    (Reason.TOO_LARGE, ("rqlike.exceptions.PayloadTooLarge", "builtins.ValueError"), "ValueError", True),
    (Reason.IMPORT, ("rqlike.exceptions.CallableNotFound", "builtins.ImportError"), "ImportError", True),
]


@pytest.mark.parametrize(("reason", "lineage", "kind", "matches"), TABLE)
def test_each_reason_is_matched_by_the_exception_that_stands_for_it(
    reason: Reason, lineage: tuple[str, ...], kind: str, matches: bool
) -> None:
    outcome = failed(reason)._replace(lineage=lineage)
    for retry, retried in ((Retry(3, on=[kind]), matches), (Retry(3, give_up_on=[kind]), not matches)):
        assert decide(started(Policy(retry=retry)), outcome, RULES).verb == ("retry" if retried else "fail")
    both = Policy(retry=Retry(3, on=[kind], give_up_on=[kind]))
    assert decide(started(both), outcome, RULES).verb == "fail"


def test_retry_later_is_not_held_against_on_but_against_give_up_on() -> None:
    asked = failed()._replace(lineage=lineage(RetryLater), delay_s=1.0)
    assert decide(started(Policy(retry=Retry(3, on=[OSError]))), asked, RULES).verb == "retry"
    assert decide(started(Policy(retry=Retry(3, give_up_on=[RetryLater]))), asked, RULES).verb == "fail"


@pytest.mark.parametrize("kinds", [{"on": [KeyError]}, {"give_up_on": [Exception]}])
def test_a_returned_retry_is_asked_in_place_of_the_jobs_own_and_not_by_exception(kinds: dict[str, Any]) -> None:
    outcome = failed(Reason.RETRY_RETURNED, Retry.exponential(2, 8, jitter=0, **kinds))
    job = Policy(retry=Retry(1, give_up_on=[Exception]))
    verdicts = [decide(started(job, attempt=attempt), outcome, RULES) for attempt in (1, 2, 3)]
    assert [verdict.delay_s for verdict in verdicts] == [8, 16, 0]
    assert verdicts[2].type is ResultType.MAX_RETRIES_EXCEEDED


def test_a_further_attempt_or_cycle_has_the_priority_of_its_job_unless_it_goes_to_the_front() -> None:
    policy = Policy(priority=30, retry=Retry(1), repeat=Repeat(1))
    assert decide(started(policy), failed(), RULES).band == NORMAL_BAND - 30
    assert decide(started(policy), Outcome(), RULES).band == NORMAL_BAND - 30
    assert decide(started(policy), failed(Reason.RETRY_RETURNED, Retry(1)), RULES).band == NORMAL_BAND - 30
    front = Policy(priority=30, retry=Retry(1, enqueue_at_front=True))
    assert decide(started(front), failed(), RULES).band == FRONT_BAND


@given(
    reason=st.one_of(st.none(), st.sampled_from(Reason)),
    attempt=st.integers(1, 6),
    crashes=st.integers(0, 4),
    repeats=st.integers(0, 3),
    retry=st.one_of(st.none(), st.builds(Retry, st.integers(1, 4), st.sampled_from([0, 3]))),
    repeat=st.one_of(st.none(), st.builds(Repeat, st.integers(1, 2), st.sampled_from([0, 3]))),
    result_ttl=st.sampled_from([None, 0.0, 5.0, -1.0]),
)
def test_every_verdict_is_a_move_that_the_table_permits(
    reason: Reason | None,
    attempt: int,
    crashes: int,
    repeats: int,
    retry: Retry | None,
    repeat: Repeat | None,
    result_ttl: float | None,
) -> None:
    job = started(
        Policy(retry=retry, repeat=repeat, result_ttl=result_ttl), attempt=attempt, crashes=crashes, repeats=repeats
    )
    back = Retry(2) if reason is Reason.RETRY_RETURNED else None
    verdict = decide(job, Outcome(reason, retry=back), RULES)
    row = VERBS[verdict.verb]
    assert JobStatus.STARTED in row.sources
    assert verdict.to in row.targets
    assert (verdict.type is ResultType.SUCCESSFUL) == (reason is None)
    assert (verdict.type is ResultType.RETRIED) == (verdict.verb == "retry")


def test_giving_back_writes_nothing_into_the_history() -> None:
    verdict = Verdict.give_back()
    assert (verdict.verb, verdict.to, verdict.type, verdict.callback) == ("give_back", JobStatus.QUEUED, None, "")


def test_each_verdict_asks_for_the_callback_of_its_kind() -> None:
    retried = decide(started(Policy(retry=Retry(1))), failed(), RULES)
    assert retried.callback == "failure"
    assert decide(started(), Outcome(), RULES).callback == "success"
    assert decide(started(), failed(Reason.STOPPED), RULES).callback == "stopped"


@given(
    reason=st.one_of(st.none(), st.sampled_from(Reason)),
    value=st.one_of(st.none(), st.binary(max_size=20)),
    text=st.one_of(st.none(), st.text(max_size=20)),
    retry=st.one_of(st.none(), st.just(Retry(2, [1, 2.5], True))),
    seconds=st.floats(0, 1e9),
)
def test_an_outcome_comes_through_the_wire_as_it_was(
    reason: Reason | None, value: bytes | None, text: str | None, retry: Retry | None, seconds: float
) -> None:
    outcome = Outcome(reason, value, text, text, retry, seconds, seconds)
    assert Outcome.from_wire(outcome._replace(lineage=("a.B",), delay_s=0.0).to_wire()).delay_s == 0
    assert Outcome.from_wire(outcome.to_wire()) == outcome


@pytest.mark.parametrize(
    "wire", [None, 7, [], [None] * 6, ["nonsense", *[None] * 6], [None, None, None, None, [1], 0, 0]]
)
def test_a_wire_that_is_no_outcome_is_refused(wire: object) -> None:
    with pytest.raises(DeserializationError):
        Outcome.from_wire(wire)


def test_a_lost_horse_and_a_lost_worker_say_what_is_known() -> None:
    killed, abandoned = Outcome.killed("signal 9", 1.0, 2.0), Outcome.abandoned("w1", 3.0)
    assert (killed.reason, killed.exc_string, killed.began_s) == (Reason.KILLED, "signal 9", 1.0)
    assert abandoned.reason is Reason.ABANDONED and "w1" in (abandoned.exc_string or "")
    assert killed.exc_type == abandoned.exc_type == "rqlike.exceptions.AbandonedJobError"
