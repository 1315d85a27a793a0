"""Rate limits: exact in any window, in every scope or none, and forgotten when idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cost.limits import Limit, Limiter, SharedLimits, limits_of, rate_headers
from roadworthy.declare.budgets import Budget, Budgets, Limits
from roadworthy.errors import Overloaded
from roadworthy.types import Key

SERVICE = Limit("service:s", "requests", 60, "limits.requests_per_minute")
USER = Limit("user:s/a", "requests", 6, "limits.per_user_requests_per_minute")
TOKENS = Limit("service:s", "tokens", 6000, "limits.tokens_per_minute")


class Ticks:
    """A monotonic clock in whole milliseconds, and a wall clock that is set at will."""

    def __init__(self) -> None:
        self.ms = 5_000_000
        self.wall_us = 0

    def now_us(self) -> int:
        return self.wall_us

    def monotonic(self) -> float:
        return self.ms / 1000


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def limiter(clock: Ticks) -> Limiter:
    return Limiter(clock)


def passes(limiter: Limiter, *limits: Limit, tokens: int = 0) -> bool:
    try:
        limiter.take(limits, tokens)
    except Overloaded:
        return False
    return True


def test_a_minutes_worth_passes_at_once_and_then_one_a_second(
    limiter: Limiter, clock: Ticks
) -> None:
    assert [passes(limiter, SERVICE) for _ in range(61)] == [True] * 60 + [False]
    clock.ms += 999
    assert not passes(limiter, SERVICE)
    clock.ms += 1
    assert passes(limiter, SERVICE)
    assert not passes(limiter, SERVICE)


@given(
    per_minute=st.integers(1, 200),
    gaps_ms=st.lists(st.integers(0, 4_000), min_size=1, max_size=300),
)
def test_in_any_window_no_more_pass_than_the_burst_and_the_rate(
    per_minute: int, gaps_ms: list[int]
) -> None:
    clock = Ticks()
    limiter, limit = Limiter(clock), Limit("x", "requests", per_minute, "x")
    passed = []
    for gap in gaps_ms:
        clock.ms += gap
        if passes(limiter, limit):
            passed.append(clock.ms)
    for i, start in enumerate(passed):
        for j, end in enumerate(passed[i:], i):
            assert (j - i + 1 - per_minute) * 60_000 <= per_minute * (end - start)


@given(gaps_ms=st.lists(st.integers(0, 30_000), min_size=1, max_size=40))
def test_whoever_waits_as_long_as_was_said_passes_and_a_moment_sooner_does_not(
    gaps_ms: list[int],
) -> None:
    clock = Ticks()
    limiter = Limiter(clock)
    for gap in gaps_ms:
        clock.ms += gap
        while passes(limiter, USER, SERVICE):
            continue
        with pytest.raises(Overloaded) as caught:
            limiter.take((USER, SERVICE), 0)
        after_ms = dict(caught.value.headers)[b"retry-after-ms"]
        wait = int(after_ms)
        clock.ms += wait - 1
        assert not passes(limiter, USER, SERVICE)
        clock.ms += 1
        assert passes(limiter, USER, SERVICE)


def test_what_one_scope_refuses_counts_in_none(limiter: Limiter) -> None:
    assert [passes(limiter, USER, SERVICE) for _ in range(10)].count(True) == 6
    assert [passes(limiter, SERVICE) for _ in range(60)].count(True) == 54


def test_a_refusal_says_which_limit_and_when_there_is_room(limiter: Limiter) -> None:
    for _ in range(6):
        limiter.take((USER, SERVICE), 0)
    with pytest.raises(Overloaded) as caught:
        limiter.take((USER, SERVICE), 0)
    error = caught.value
    assert (error.code, error.status, error.retry_after_s) == ("rate_limited", 429, 10.0)
    assert str(error) == (
        "limit of `user:s/a` is reached: expected at most 6 requests a minute; wait 10s or raise"
        " `limits.per_user_requests_per_minute`"
    )
    assert dict(error.headers) == {
        b"retry-after-ms": b"10000",
        b"x-ratelimit-limit-requests": b"6",
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-reset-requests": b"1m0s",
    }


def test_the_headers_tell_of_the_limit_that_is_nearest_to_its_end(limiter: Limiter) -> None:
    rates = limiter.take((SERVICE, USER, TOKENS), 1500)
    assert dict(rate_headers(rates)) == {
        b"x-ratelimit-limit-requests": b"6",
        b"x-ratelimit-remaining-requests": b"5",
        b"x-ratelimit-reset-requests": b"10s",
        b"x-ratelimit-limit-tokens": b"6000",
        b"x-ratelimit-remaining-tokens": b"4500",
        b"x-ratelimit-reset-tokens": b"15s",
    }


def test_tokens_that_were_counted_take_the_place_of_the_estimate(limiter: Limiter) -> None:
    limiter.take((TOKENS,), 5000)
    assert not passes(limiter, TOKENS, tokens=1500)
    limiter.correct((TOKENS,), 5000, 4000)
    assert passes(limiter, TOKENS, tokens=1500)


def test_tokens_beyond_the_estimate_are_owed(limiter: Limiter, clock: Ticks) -> None:
    limiter.take((TOKENS,), 1000)
    limiter.correct((TOKENS,), 1000, 12_000)
    clock.ms += 60_000
    assert not passes(limiter, TOKENS, tokens=1)
    clock.ms += 60_001
    assert passes(limiter, TOKENS, tokens=1)


def test_a_request_larger_than_a_minutes_worth_takes_all_of_it(
    limiter: Limiter, clock: Ticks
) -> None:
    assert passes(limiter, TOKENS, tokens=90_000)
    clock.ms += 59_999
    assert not passes(limiter, TOKENS, tokens=90_000)
    clock.ms += 1
    assert passes(limiter, TOKENS, tokens=90_000)


def test_setting_the_projects_clock_changes_nothing(limiter: Limiter, clock: Ticks) -> None:
    while passes(limiter, USER):
        continue
    clock.wall_us += 10**15
    assert not passes(limiter, USER)


def test_idle_scopes_are_forgotten(limiter: Limiter, clock: Ticks) -> None:
    for n in range(20_000):
        passes(limiter, Limit(f"user:s/{n}", "requests", 60, "x"))
        clock.ms += 10
    assert len(limiter) < 2_400  # a bucket is full again after a second: 100 are not


def test_limits_of_teams_and_tags_hold_over_all_services() -> None:
    shared = SharedLimits(
        Budgets(
            teams={"care": Budget(requests_per_minute=5)},
            tags={"refund": Budget(tokens_per_minute=7)},
            project=Budget(requests_per_minute=9),
        )
    )
    key = Key("k1", "test", frozenset(), team="care")
    found = shared.of(key, ("refund", "refund", "x"))
    assert [(limit.scope, limit.unit, limit.per_minute) for limit in found] == [
        ("tag:refund", "tokens", 7),
        ("team:care", "requests", 5),
        ("project", "requests", 9),
    ]
    assert found[0].what == "budgets.tags.refund.tokens_per_minute"


def test_a_user_limit_names_its_key() -> None:
    (limit,) = limits_of("s", Limits(per_user_tokens_per_minute=5)).each
    assert limit == ("user:s/", "tokens", 5, "limits.per_user_tokens_per_minute")
