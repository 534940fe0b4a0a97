"""When a waiter tells its job until when it looks."""

from __future__ import annotations

import math

import pytest

from rqlike.durations import LONGEST
from rqlike.settings import BLOCK_S
from rqlike.store.wishes import ENDLESS_S, Wish

NOW = 1000.0


@pytest.mark.parametrize(
    ("timeout", "kept", "at_once"),
    [
        (30, 500, False),
        (30, 30, False),
        (30.5, 30, True),
        (1, 0, True),
        (10**9, math.inf, False),
        (None, 500, False),
        (None, 59, True),
        (None, 0, True),
    ],
)
def test_it_is_told_at_once_where_the_waiter_may_outlast_the_result_else_after_a_slice(
    timeout: float | None, kept: float, at_once: bool
) -> None:
    assert Wish.of("j", timeout, kept, NOW).due == (NOW if at_once else NOW + BLOCK_S)


def test_a_deadline_is_told_once_as_what_is_left_of_it() -> None:
    wish = Wish.of("j", 30, 1, NOW)
    assert wish.request(NOW + 0.25, all_of_it=False).arguments == ("j", 29_750, "live")
    wish.said(NOW)
    assert wish.due == math.inf
    assert wish.request(NOW + 31, all_of_it=True).arguments == ("j", 0, "all")


def test_a_server_that_was_away_is_told_again_of_what_it_had_been_told() -> None:
    unsaid, said = Wish.of("j", 30, 500, NOW), Wish.of("j", 30, 1, NOW)
    said.said(NOW)
    for wish in (unsaid, said):
        wish.forgotten(NOW + 1)
    assert (unsaid.due, said.due) == (NOW + BLOCK_S, NOW + 1)


def test_a_waiter_without_a_deadline_tells_of_a_minute_again_and_again() -> None:
    wish = Wish.of("j", None, 1, NOW)
    for now in (NOW, NOW + 30, NOW + 60):
        assert wish.due == now
        assert wish.request(now, all_of_it=True).arguments == ("j", ENDLESS_S * 1000, "all")
        wish.said(now)


def test_a_deadline_that_no_expiry_could_hold_is_cut() -> None:
    (_, ms, _) = Wish.of("j", LONGEST * 10, 1, NOW).request(NOW, all_of_it=True).arguments
    assert ms == LONGEST * 1000
