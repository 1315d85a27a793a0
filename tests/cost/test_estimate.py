"""What a month will cost: volumes, ranges, drivers."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from roadworthy.cost.estimate import (
    DAYS_PER_MONTH,
    Asked,
    Guess,
    estimate_from_history,
    estimate_from_sizes,
    parse_volume,
)
from roadworthy.cost.extras import Extras
from roadworthy.cost.prices import Meter, usd_per_million

METER = Meter(usd_per_million(Decimal(1), Decimal(10)), None, "override")


@pytest.mark.parametrize(
    ("text", "per_day"),
    [
        ("100000/day", 100_000.0),
        ("100_000/day", 100_000.0),
        ("2.5k/hour", 60_000.0),
        ("20/s", 1_728_000.0),
        ("3m/month", 3e6 / DAYS_PER_MONTH),
        ("1K/Minute", 1_440_000.0),
    ],
)
def test_a_volume_is_read_as_requests_a_day(text: str, per_day: float) -> None:
    assert parse_volume(text) == pytest.approx(per_day)


@pytest.mark.parametrize("text", ["", "100000", "1e5/day", "-3/day", "many/day", "1/week", "inf/s"])
def test_what_is_no_volume_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a volume such as `100000/day`"):
        parse_volume(text)


def test_history_gives_its_mean_at_the_volume() -> None:
    asked = [Asked(f"u{k}", {"big": 200, "small": 100}) for k in range(50)]
    found = estimate_from_history(asked, 1_000, Extras())
    assert found.per_month.expected == round(300 * 1_000 * DAYS_PER_MONTH)
    assert found.per_month.low == found.per_month.expected == found.per_month.high
    assert [driver.name for driver in found.drivers] == ["model big", "model small"]
    assert found.drivers[0].share == pytest.approx(2 / 3)
    assert found.sample == 50


def test_what_is_paid_beside_models_is_a_driver() -> None:
    extras = Extras(Decimal("0.10"), Decimal("1.50"), Decimal(40), 2.0)
    asked = [Asked(f"u{k}", {"m": 10}, size=1e6, is_reviewed=k % 10 == 0) for k in range(100)]
    found = estimate_from_history(asked, 100, extras, unseen_micro=5.0)
    micro = {driver.name: driver.micro_per_month for driver in found.drivers}
    volume = 100 * DAYS_PER_MONTH
    assert micro["people"] == pytest.approx(volume * 0.1 * 1_500_000, rel=1e-3)
    assert micro["egress"] == pytest.approx(volume * 1e6 / 1e9 * 100_000, rel=1e-3)
    assert micro["retraining"] == 80_000_000
    assert micro["shadows and audits"] == pytest.approx(volume * 5, rel=1e-3)
    assert found.per_month.expected == pytest.approx(sum(micro.values()), abs=3)


def test_the_range_holds_the_true_mean_in_nine_of_ten_samples_of_users() -> None:
    """Requests of one user cost alike: counted one by one the range would be too narrow."""
    rng = random.Random(7)
    held = 0
    lives = 300
    for _ in range(lives):
        asked = []
        for user in range(60):
            level = rng.lognormvariate(0, 0.5)
            asked += [
                Asked(f"u{user}", {"m": round(1_000 * level * rng.uniform(0.8, 1.2))})
                for _ in range(8)
            ]
        found = estimate_from_history(asked, 1.0, Extras())
        truth = 1_000 * 1.1331484530668263 * DAYS_PER_MONTH  # exp(0.5 ** 2 / 2)
        held += found.per_month.low <= truth <= found.per_month.high
    assert 0.84 <= held / lives <= 0.96


def test_one_user_says_little_of_others() -> None:
    found = estimate_from_history([Asked("u", {"m": 100})] * 50, 1.0, Extras())
    assert found.per_month.low == 0
    assert found.per_month.high > 2 * found.per_month.expected


def test_sizes_give_a_low_an_expected_and_a_high_case() -> None:
    guess = Guess("m", METER, (1.0, 1.0, 1.0), (100, 200, 300), (10, 50, 400))
    found = estimate_from_sizes([guess], 10, Extras())
    volume = 10 * DAYS_PER_MONTH
    assert found.per_month.low == round(volume * (100 + 100))
    assert found.per_month.expected == round(volume * (200 + 500))
    assert found.per_month.high == round(volume * (300 + 4_000))
    assert (found.source, found.sample) == ("sizes", 0)


def test_nothing_is_asked_nothing_is_paid() -> None:
    found = estimate_from_sizes([], 0, Extras())
    assert (found.per_month.expected, found.per_request_micro, found.drivers) == (0, 0.0, ())
