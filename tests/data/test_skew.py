from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.data.skew import FeatureSkew, Served, is_same, measure_skew

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def one(
    trained: list[Any], live: list[Any], replayed: list[tuple[Any, Any]] | None = None
) -> FeatureSkew:
    rows = [Served(f"rq_{i}", {"f": s}, {"f": o}) for i, (s, o) in enumerate(replayed or [])]
    (row,) = measure_skew({"f": trained}, {"f": live}, rows)
    return row


def normal(mean: float, size: int, seed: int) -> list[float]:
    drawn: list[float] = np.random.default_rng(seed).normal(mean, 1, size).tolist()
    return drawn


def test_what_is_served_as_trained_is_healthy() -> None:
    row = one(normal(0, 2000, 1), normal(0, 2000, 2), [(1.0, 1.0), (None, float("nan"))])
    assert row.state == "healthy"
    assert (row.compared, row.unequal) == (2, 0)
    assert "all 2 served values are what the view says" in row.says


def test_one_value_that_differs_from_the_view_is_a_breach_with_its_request() -> None:
    row = one(normal(0, 2000, 1), normal(0, 2000, 2), [(1.0, 1.0), (70.0, 21.1)])
    assert row.state == "breached"
    assert row.says.startswith("1 of 2 served values of `f` differ")
    assert [(e.request, e.served, e.offline) for e in row.examples] == [("rq_1", 70.0, 21.1)]


def test_a_world_that_moved_is_seen_and_is_no_difference_of_values() -> None:
    row = one(normal(0, 2000, 1), normal(2, 2000, 2), [(1.0, 1.0)])
    assert row.state == "breached"
    assert row.stability is not None
    assert row.stability.low > 0.25
    assert row.gap is not None
    assert row.gap.low > 0.5
    assert row.unequal == 0


def test_fahrenheit_for_celsius_is_far_even_with_few_requests() -> None:
    celsius = [(f - 32) / 1.8 for f in normal(60, 60, 2)]
    assert one(normal(60, 5000, 1), celsius).state == "breached"


@pytest.mark.parametrize("size", [0, 5, 19])
def test_few_values_are_said_to_be_few(size: int) -> None:
    row = one(normal(0, 2000, 1), normal(5, size, 2))
    assert row.state == "collecting"
    assert row.stability is None


def test_missing_values_count_as_a_move() -> None:
    live = [None if i % 2 else v for i, v in enumerate(normal(0, 2000, 2))]
    row = one(normal(0, 2000, 1), live)
    assert row.state == "breached"
    assert row.missing_live == 0.5
    assert row.missing_trained == 0


def test_words_that_training_never_saw_are_counted_together() -> None:
    row = one(["UA", "DL"] * 500, ["UA"] * 300 + ["XX", "YY"] * 350)
    assert row.bins == ("DL", "UA", "other", "missing")
    assert row.live_counts == (0, 300, 700, 0)
    assert row.gap is None
    assert row.state == "breached"


def test_bins_are_told_in_words_that_count_every_value() -> None:
    row = one([float(i) for i in range(100)], [5.0, 95.0] * 20)
    assert len(row.bins) == len(row.trained_counts) == len(row.live_counts)
    assert sum(row.live_counts) == 40
    assert row.bins[0].startswith("below ")
    assert row.bins[-1] == "missing"


def test_a_constant_has_bins_too() -> None:
    assert one([1.0] * 100, [1.0] * 100).state == "healthy"


def test_a_constant_that_takes_another_value_is_a_breach() -> None:
    row = one([0.0] * 2000, [5.0] * 100)
    assert row.state == "breached"
    assert row.bins == ("0", "above 0", "missing")
    assert (row.trained_counts, row.live_counts) == ((2000, 0, 0), (0, 100, 0))


def test_a_value_that_training_had_often_is_told_as_itself() -> None:
    row = one([0.0] * 550 + [1.0] * 350 + [float(i) for i in range(2, 102)], [0.5, 1.0, 7.0] * 20)
    assert row.bins[:4] == ("0", "above 0 to 1", "1", "from 1.1")
    assert row.live_counts[:4] == (0, 20, 20, 20)


def test_the_worst_feature_comes_first() -> None:
    same, far = normal(0, 500, 1), normal(9, 500, 2)
    rows = measure_skew({"a": same, "b": same}, {"a": same, "b": far}, [])
    assert [row.feature for row in rows] == ["b", "a"]


@pytest.mark.parametrize(
    ("served", "offline", "same"),
    [
        (1, 1.0, True),
        (0.1 + 0.2, 0.3, True),
        (1.0, 1.001, False),
        (None, float("nan"), True),
        (None, 0, False),
        ("a", "a", True),
        ("1", 1, False),
        (True, True, True),
        (2**60, 2**60, True),
        (2**60, 2**60 + 1, False),
        (2**53 + 1, float(2**53), True),
        (10**9, 10**9 + 1.0, False),
        (10**9, 10**9 + 1, False),
        (1e-12, 5e-12, False),
        (3e-300, 3e-300, True),
        (0.0, 1e-12, False),
        (0.0, -0.0, True),
        (Decimal("0.1"), 0.1, True),
        (Decimal("0.1"), 0.2, False),
        (math.inf, math.inf, True),
        ("2013-01-01T04:00:00Z", "2013-01-01T04:00:00Z", True),
        (NOON, NOON.replace(tzinfo=None), True),
        (NOON, NOON.astimezone(timezone(timedelta(hours=5))), True),
        (NOON, NOON + timedelta(microseconds=1), False),
        (NOON.date(), NOON.date(), True),
        (NOON.date(), NOON.date() + timedelta(days=1), False),
    ],
)
def test_values_are_one_or_two(served: Any, offline: Any, same: bool) -> None:
    assert is_same(served, offline) is same


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_one_only_if_they_are_equal(served: int, offline: int) -> None:
    assert is_same(served, offline) is (served == offline)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(1e-8, 10))
def test_numbers_that_differ_in_the_first_eight_digits_are_two(served: float, apart: float) -> None:
    offline = served * (1 + apart)
    assert is_same(served, offline) is (served == offline)


def test_decimals_in_training_are_the_numbers_that_are_served() -> None:
    trained = [Decimal(i % 50) / 4 for i in range(1000)]
    row = one(trained, [float(value) for value in trained[:500]])
    assert row.state == "healthy"
    assert row.gap is not None
