"""RateLimit as a value: what it takes, what it refuses, how it travels."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rqlike.exceptions import TimeoutFormatError
from rqlike.limits import RateLimit
from rqlike.options import check, split


def test_a_limit_takes_what_rq_takes_and_a_rate_by_name() -> None:
    limit = RateLimit("stripe", 5)
    assert (limit.key, limit.concurrency, limit.limit) == ("stripe", 5, None)
    rate = RateLimit("stripe", limit=100, per=timedelta(minutes=1), burst=10)
    assert (rate.concurrency, rate.limit, rate.per, rate.burst) == (None, 100, 60.0, 10)
    assert repr(RateLimit("k", 2, limit=3, per=0.5)) == "RateLimit('k', concurrency=2, limit=3, per=0.5, burst=1)"
    assert repr(limit) == "RateLimit('stripe', concurrency=5)"


@pytest.mark.parametrize(
    "limit",
    [
        RateLimit("k", 1),
        RateLimit("a key with spaces: ünïcode 7", limit=100_000),
        RateLimit("k", 3, limit=1, per="1d", burst=30),
        RateLimit("k", limit=10, per=0.25, burst=2),
    ],
)
def test_a_limit_comes_back_from_its_text(limit: RateLimit) -> None:
    assert RateLimit.from_text(limit.to_text()) == limit


@pytest.mark.parametrize("text", ["", "x", "1 2 3", "0 0 0 0 k", "-1 0 1000 1 k", "1 0 1000 1 ", "1 0 1000 1 a\nb"])
def test_a_text_that_is_none_of_ours_is_no_limit(text: str) -> None:
    assert RateLimit.from_text(text) is None


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (("k",), {}, ValueError, "concurrency="),
        (("k", 0), {}, ValueError, "from 1"),
        (("k", True), {}, TypeError, "whole number"),
        (("k", "5"), {}, TypeError, "whole number"),
        (("k",), {"limit": 0}, ValueError, "from 1"),
        (("k",), {"limit": 1.5}, TypeError, "whole number"),
        (("k",), {"limit": 1, "per": 0}, TimeoutFormatError, "more than 0"),
        (("k",), {"limit": 1, "per": "soon"}, TimeoutFormatError, "not a duration"),
        (("k",), {"limit": 1, "burst": 0}, ValueError, "from 1"),
        (("k", 2), {"per": 60}, ValueError, "give limit="),
        (("k", 2), {"burst": 5}, ValueError, "give limit="),
        (("k",), {"limit": 1_000_000, "per": 1}, ValueError, "100,000/s"),
        (("k",), {"limit": 1, "per": "300d", "burst": 2}, ValueError, "a year"),
        (("",), {"limit": 1}, ValueError, "1 to 200"),
        (("é" * 101, 1), {}, ValueError, "202 bytes"),
        (("a\nb", 1), {}, ValueError, "printed"),
        ((7, 1), {}, TypeError, "str\\(key\\)"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_once(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        RateLimit(*arguments, **options)


def test_the_option_takes_a_limit_and_nothing_else() -> None:
    limit = RateLimit("k", 1)
    options, own = split({"rate_limit": limit, "x": 1})
    assert (options, own) == ({"rate_limit": limit}, {"x": 1})
    assert check({}, {"rate_limit": limit}).rate_limit == limit
    assert check({"rate_limit": None}, {"rate_limit": limit}).rate_limit is None
    with pytest.raises(TypeError, match="rate_limit takes a RateLimit"):
        check({"rate_limit": 5}, {})
