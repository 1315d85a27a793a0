"""What a month will have cost, from the days so far."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from roadworthy.cost.forecast import forecast_month, month_of
from roadworthy.types import DAY_US, MICRO


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * MICRO


def days(first: str, *micro: int) -> list[tuple[int, int]]:
    return [(at(first) + k * DAY_US, value) for k, value in enumerate(micro)]


@pytest.mark.parametrize(
    ("now", "first", "following"),
    [
        ("2026-11-29T21:00", "2026-11-01", "2026-12-01"),
        ("2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("2024-02-29", "2024-02-01", "2024-03-01"),
    ],
)
def test_a_month_begins_and_ends_with_the_calendar(now: str, first: str, following: str) -> None:
    assert month_of(at(now)) == (at(first), at(following))


def test_days_that_are_alike_go_on_alike() -> None:
    spent = days("2026-11-01", *[10] * 10)
    found = forecast_month(spent, at("2026-11-11"), ceiling_micro=250)
    assert found.spent_micro == 100
    assert (found.low_micro, found.expected_micro, found.high_micro) == (300, 300, 300)
    assert found.reached_us == at("2026-11-26")


def test_a_ceiling_that_holds_is_not_reached() -> None:
    found = forecast_month(days("2026-11-01", *[10] * 10), at("2026-11-11"), ceiling_micro=301)
    assert found.reached_us is None


def test_of_two_days_nothing_is_foretold() -> None:
    found = forecast_month(days("2026-11-01", 10, 10), at("2026-11-03"))
    assert (found.spent_micro, found.expected_micro) == (20, None)


def test_a_day_without_requests_counts_as_nothing_spent() -> None:
    found = forecast_month(days("2026-11-01", 10, 0, 10, 0), at("2026-11-05"))
    spent = [one for one in days("2026-11-01", 10, 0, 10, 0) if one[1]]
    assert forecast_month(spent, at("2026-11-05")) == found


def test_the_days_before_this_month_say_how_it_goes_on() -> None:
    before = days("2026-10-20", *[50] * 12)
    found = forecast_month(before, at("2026-11-01T00:00:01"))
    assert found.spent_micro == 0
    assert found.expected_micro == pytest.approx(50 * 30, abs=1)


def test_a_clock_that_is_set_back_sees_no_future() -> None:
    spent = days("2026-11-01", *[10] * 20)
    assert forecast_month(spent, at("2026-11-05")).spent_micro == 50  # today's too


def test_nine_of_ten_months_end_within_the_interval() -> None:
    rng = random.Random(3)
    held, months = 0, 400
    for _ in range(months):
        whole = [round(rng.lognormvariate(4, 0.6) * 1_000) for _ in range(30)]
        known = days("2026-11-01", *whole[:14])
        found = forecast_month(known, at("2026-11-15"))
        assert found.low_micro is not None
        assert found.high_micro is not None
        held += found.low_micro <= sum(whole) <= found.high_micro
    assert 0.83 <= held / months <= 0.95
