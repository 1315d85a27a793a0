"""The circuit breaker of one model: what opens it, for how long, and what closes it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import Cause
from roadworthy.serve.breaker import (
    AUTH_S,
    FAILURES,
    LONGEST_ADVISED_S,
    LONGEST_S,
    NO_CREDIT_S,
    PROBE_S,
    RATE_LIMIT_S,
    WINDOW_S,
    Health,
)

NOW = 1_000.0


def health() -> Health:
    return Health("openai", "gpt", 30.0)


def broken(cause: Cause = "server", now: float = NOW) -> Health:
    """One that has just opened."""
    one = health()
    for _ in range(FAILURES):
        one.failed(cause, now)
    assert not one.is_closed
    return one


def test_a_rate_limit_is_left_alone_for_as_long_as_it_asks() -> None:
    one = health()
    one.failed("rate_limit", NOW, advised_s=12.0)
    assert (one.standing(NOW).state, one.standing(NOW).cause) == ("open", "rate_limit")
    assert not one.may_try(NOW + 11.9)
    assert one.may_try(NOW + 12.0)


def test_a_rate_limit_without_advice_is_left_alone_twice_as_long_each_time() -> None:
    one, now = health(), NOW
    for level in range(4):
        one.failed("rate_limit", now, is_probe=level > 0)
        assert one.for_s(now) == RATE_LIMIT_S * 2**level
        now += one.for_s(now)
        assert one.enter(now)


@pytest.mark.parametrize(
    ("cause", "for_s"), [("no_credit", NO_CREDIT_S), ("auth", AUTH_S), ("rate_limit", 3_600.0)]
)
def test_what_does_not_pass_by_itself_is_left_alone_for_long(cause: Cause, for_s: float) -> None:
    one = health()
    one.failed(cause, NOW, advised_s=1e8 if cause == "rate_limit" else None)
    assert one.for_s(NOW) == for_s
    assert for_s <= LONGEST_ADVISED_S


@pytest.mark.parametrize("cause", ["server", "timeout", "connection", "malformed"])
def test_failures_again_and_again_open_it(cause: Cause) -> None:
    one = health()
    for _ in range(FAILURES - 1):
        one.failed(cause, NOW)
    assert one.is_closed
    one.failed(cause, NOW)
    assert one.for_s(NOW) == 30.0


def test_failures_that_are_few_among_many_answers_do_not_open_it() -> None:
    one = health()
    for _ in range(100):
        one.failed("server", NOW)
        for _ in range(9):
            one.answered(0.1, NOW)
    assert one.is_closed


def test_failures_long_apart_do_not_open_it() -> None:
    one = health()
    for number in range(50):
        one.failed("server", NOW + number * (WINDOW_S / (FAILURES - 2)))
        assert one.is_closed


def test_answers_of_long_ago_do_not_hide_an_outage() -> None:
    one = health()
    for _ in range(10_000):
        one.answered(0.1, NOW - 3_600)
    for _ in range(FAILURES):
        one.failed("connection", NOW)
    assert not one.is_closed


@pytest.mark.parametrize("cause", ["content_filter", "context_length", "rejected"])
def test_what_lies_with_the_request_says_nothing_of_the_model(cause: Cause) -> None:
    one = health()
    for _ in range(100):
        one.failed(cause, NOW)
    assert one.is_closed


def test_after_an_outage_one_request_is_let_through_and_no_herd() -> None:
    one = broken()
    later = NOW + 30.0
    entered = [one.enter(later) for _ in range(1_000)]
    assert entered.count(True) == 1
    one.answered(0.2, later, is_probe=True)
    assert one.is_closed
    assert one.may_try(later)


def test_a_probe_that_fails_leaves_it_alone_for_twice_as_long_up_to_ten_minutes() -> None:
    one, now, lasted = broken(), NOW, []
    for _ in range(8):
        lasted.append(one.for_s(now))
        now += lasted[-1]
        assert one.enter(now)
        one.failed("server", now, is_probe=True)
    assert lasted == [30, 60, 120, 240, 480, 600, 600, 600]
    assert lasted[-1] == LONGEST_S


def test_a_provider_that_flaps_is_left_alone_longer_each_time_and_trusted_again_in_the_end() -> (
    None
):
    one, now = broken(), NOW
    for expected in (60.0, 120.0):
        now += one.for_s(now)
        assert one.enter(now)
        one.answered(0.1, now, is_probe=True)
        now += 1
        for _ in range(FAILURES):
            one.failed("server", now)
        assert one.for_s(now) == expected
    now += one.for_s(now)
    assert one.enter(now)
    one.answered(0.1, now, is_probe=True)
    now += 121
    for _ in range(FAILURES):
        one.failed("server", now)
    assert one.for_s(now) == 30.0


@pytest.mark.parametrize("cause", ["rejected", "content_filter"])
def test_a_probe_whose_request_is_refused_shows_that_the_model_is_there(cause: Cause) -> None:
    one = broken()
    assert one.enter(NOW + 30)
    one.failed(cause, NOW + 30, is_probe=True)
    assert one.is_closed


def test_a_probe_that_learned_nothing_gives_its_place_to_the_next() -> None:
    one = broken()
    assert one.enter(NOW + 30)
    assert not one.enter(NOW + 30)
    one.left()
    assert one.enter(NOW + 30)


def test_a_probe_that_nobody_heard_of_again_is_given_up() -> None:
    one = broken()
    assert one.enter(NOW + 30)
    assert not one.enter(NOW + 30 + PROBE_S - 1)
    assert one.enter(NOW + 30 + PROBE_S)


def test_what_began_before_it_opened_neither_closes_it_nor_makes_it_last() -> None:
    one = broken()
    one.answered(0.1, NOW + 1)
    for _ in range(100):
        one.failed("server", NOW + 2)
    assert not one.is_closed
    assert one.for_s(NOW) == 30.0


def test_a_longer_advice_that_comes_while_it_is_open_counts() -> None:
    one = health()
    one.failed("rate_limit", NOW, advised_s=2)
    one.failed("rate_limit", NOW + 1, advised_s=60)
    assert one.for_s(NOW + 1) == 60
    one.failed("rate_limit", NOW + 2, advised_s=1)
    assert one.for_s(NOW + 2) == 59


def test_the_time_of_answers_follows_what_they_take_lately() -> None:
    one = health()
    one.answered(1.0, NOW)
    assert one.answer_s == 1.0
    for _ in range(30):
        one.answered(0.1, NOW)
    assert one.answer_s == pytest.approx(0.1, abs=0.01)
    one.began(0.05, NOW)
    assert one.first_token_s == 0.05


CAUSES: list[Cause] = ["server", "rate_limit", "auth", "no_credit", "rejected", "timeout", ""]


@given(st.lists(st.tuples(st.sampled_from([*CAUSES, "ok"]), st.floats(0, 400)), max_size=60))
def test_whatever_happens_it_is_asked_again_within_an_hour_of_each_failure(
    story: list[tuple[Cause, float]],
) -> None:
    one, now = health(), NOW
    for what, later in story:
        now += later
        is_probe = not one.is_closed and one.enter(now)
        if what == "ok":  # type: ignore[comparison-overlap]
            one.answered(0.1, now, is_probe=is_probe)
        else:
            one.failed(what, now, is_probe=is_probe)
        assert 0 <= one.for_s(now) <= LONGEST_ADVISED_S + 0.001
    assert one.may_try(now + LONGEST_ADVISED_S + PROBE_S)
