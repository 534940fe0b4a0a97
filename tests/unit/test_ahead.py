"""What is claimed before a horse is free for it."""

from __future__ import annotations

import math

from rqlike.records import Execution, JobRecord
from rqlike.settings import FRAME_S
from rqlike.states import JobStatus
from rqlike.worker.ahead import MOST, STALE_S, Ahead


def execution(token: str) -> Execution:
    return Execution(JobRecord(token, "q", JobStatus.STARTED, None, created_ms=1, token=token), token, token)


def quick(horses: int = 1, most: int = MOST) -> Ahead:
    ahead = Ahead(horses, most)
    for _ in range(20):
        ahead.learn(0.00001)
    return ahead


def test_nothing_is_claimed_ahead_before_it_is_known_that_jobs_are_short() -> None:
    assert Ahead(1).room() == 0


def test_short_jobs_are_claimed_ahead_up_to_the_most_for_each_horse() -> None:
    assert quick(horses=2).room() == 2 * MOST
    assert quick(most=4).room() == 4


def test_with_a_most_of_one_nothing_is_claimed_ahead() -> None:
    assert quick(most=1).room() == 0


def test_what_is_ahead_should_run_within_5_ms() -> None:
    ahead = Ahead(1)
    ahead.learn(0.001)
    assert 2 <= ahead.room() <= 5
    ahead.learn(0.004)
    ahead.learn(0.004)
    ahead.learn(0.004)
    assert ahead.room() == 0


def test_one_slow_job_ends_claiming_ahead_at_once_and_quick_ones_bring_it_back() -> None:
    ahead = quick()
    ahead.learn(0.5)
    assert ahead.room() == 0
    for _ in range(30):
        ahead.learn(0.00001)
    assert ahead.room() == MOST


def tokens(executions: list[Execution]) -> str:
    return "".join(one.token for one in executions)


def filled(ahead: Ahead, what: str) -> Ahead:
    ahead.put([execution(token) for token in what], now=1.0)
    return ahead


def test_a_horse_takes_a_frame_of_what_waits_in_its_order() -> None:
    ahead = filled(quick(most=4), "abcdef")
    assert tokens(ahead.frame(1, 1.0)) == "abcd"
    assert tokens(ahead.frame(1, 1.0)) == "ef"
    assert len(ahead) == 0


def test_idle_horses_share_what_waits() -> None:
    ahead = filled(quick(horses=3), "abcde")
    assert [tokens(ahead.frame(horses, 1.0)) for horses in (3, 2, 1)] == ["ab", "cd", "e"]


def test_a_frame_of_large_jobs_is_small_but_never_empty() -> None:
    ahead = quick()
    large = [Execution(execution(token).job, token, token, raw=[b"x" * 40_000]) for token in "abc"]
    huge = [Execution(execution(token).job, token, token, raw=[b"x" * 900_000]) for token in "de"]
    ahead.put([*large, *huge], now=1.0)
    assert [tokens(ahead.frame(1, 1.0)) for _ in range(5)] == list("abcde")


def test_while_it_is_not_known_that_jobs_are_short_a_frame_is_one_job() -> None:
    assert tokens(filled(Ahead(1), "ab").frame(1, 1.0)) == "a"


def test_what_a_horse_did_not_get_to_comes_first_again() -> None:
    ahead = filled(quick(most=4), "abcdef")
    ahead.back(ahead.frame(1, 1.0)[1:])
    assert tokens(ahead.clear()) == "bcdef"


def test_what_no_horse_takes_within_10_ms_is_given_back() -> None:
    ahead = quick()
    ahead.put([execution("a"), execution("b")], now=1.0)
    assert ahead.next_moment() == 1.0 + STALE_S
    assert ahead.stale(1.0 + STALE_S / 2) == []
    assert [one.token for one in ahead.stale(1.0 + STALE_S)] == ["a", "b"]
    assert len(ahead) == 0
    assert ahead.next_moment() == math.inf
    assert ahead.room() == 0, "the jobs are not that short"


def test_an_operator_can_withdraw_one() -> None:
    ahead = quick()
    ahead.put([execution("a"), execution("b")], now=1.0)
    withdrawn = ahead.withdraw("a")
    assert withdrawn is not None
    assert withdrawn.token == "a"
    assert ahead.withdraw("a") is None
    assert [one.token for one in ahead.clear()] == ["b"]


def test_what_waits_behind_something_slow_is_free_for_others_within_20_ms() -> None:
    """Taken back from the horse when the frame should have ended, given back when no other horse took it."""
    assert FRAME_S + STALE_S < 0.020
