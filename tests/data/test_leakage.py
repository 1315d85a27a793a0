from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from roadworthy.data.contract import Field, Table
from roadworthy.data.leakage import _area as area
from roadworthy.data.leakage import (
    measured_leaks,
    power_of,
    request_leaks,
    shared_rows,
)

FLIGHTS = Table(
    name="flights",
    physical_name="flights",
    fields=(
        Field(name="carrier", column="carrier"),
        Field(name="sched_dep_time", column="sched_dep_time", type="timestamp"),
        Field(name="left_at", column="left_at", type="timestamp"),
        Field(name="dep_delay", column="dep_delay", type="number", available_at="left_at"),
        Field(name="is_late", column="is_late", type="boolean", available_at="label"),
    ),
)


def test_a_request_brings_nothing_that_is_known_later() -> None:
    assert {leak.feature for leak in request_leaks(FLIGHTS)} == {"dep_delay", "is_late"}


def frame(size: int, seed: int) -> tuple[dict[str, list[Any]], np.ndarray]:
    generator = np.random.default_rng(seed)
    label = generator.random(size) < 0.3
    honest = {f"honest_{i}": (label * 0.4 + generator.normal(size=size)).tolist() for i in range(6)}
    return honest, label


def test_honest_features_pass() -> None:
    features, label = frame(5000, 1)
    assert measured_leaks(features, label.tolist()) == []


def test_the_label_in_disguise_is_found() -> None:
    features, label = frame(5000, 1)
    features["disguise"] = (label * 10 + np.random.default_rng(2).normal(size=5000)).tolist()
    (leak,) = measured_leaks(features, label.tolist())
    assert (leak.feature, leak.cause) == ("disguise", "power")


def test_a_feature_far_above_the_rest_is_found() -> None:
    features, label = frame(5000, 1)
    features["far"] = (label * 1.5 + np.random.default_rng(2).normal(size=5000)).tolist()
    (leak,) = measured_leaks(features, label.tolist())
    assert leak.feature == "far"
    assert "the median feature" in leak.why


@pytest.mark.parametrize("share", [0.005, 0.02, 0.04, 0.97])
def test_a_copy_of_a_rare_label_is_found(share: float) -> None:
    features, _ = frame(5000, 1)
    label = np.random.default_rng(3).random(5000) < share
    features["copy"] = [7.0 if yes else 3.0 for yes in label]
    leaks = measured_leaks(features, label.tolist())
    assert [(leak.feature, leak.cause) for leak in leaks] == [("copy", "power")]


def test_one_value_among_many_that_is_the_label_is_found() -> None:
    drawn = np.random.default_rng(3)
    label = drawn.random(5000) < 0.03
    values = np.where(label, 2.0, drawn.choice([0.0, 1.0], 5000, p=[0.6, 0.4]))
    assert power_of(values.tolist(), label) > 0.99


@pytest.mark.parametrize(
    "of",
    [
        lambda number: Decimal(number).scaleb(-2),
        lambda number: date(2013, 1, 1) + timedelta(days=number),
        lambda number: datetime(2013, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        lambda number: datetime(2013, 1, 1) + timedelta(minutes=number),  # noqa: DTZ001
        lambda number: (datetime(2013, 1, 1) + timedelta(seconds=number)).time(),  # noqa: DTZ001
    ],
)
def test_decimals_dates_and_times_are_numbers(of: Callable[[int], Any]) -> None:
    """As words, each of them different, they would tell nothing."""
    numbers = np.random.default_rng(3).permutation(5000).tolist()
    label = [number > 4000 for number in numbers]
    as_numbers = power_of(numbers, np.array(label))
    assert power_of([of(number) for number in numbers], np.array(label)) == as_numbers
    assert as_numbers > 0.99


def test_an_identifier_does_not_remember_its_rows() -> None:
    _, label = frame(5000, 1)
    assert power_of([f"id-{i}" for i in range(5000)], label) < 0.55


def test_values_that_are_missing_where_the_label_is_one_way_are_found() -> None:
    features, label = frame(2000, 1)
    features["filled_later"] = [1.0 if yes else None for yes in label]
    causes = {leak.cause for leak in measured_leaks(features, label.tolist())}
    assert causes == {"power", "missing"}


def test_too_few_rows_say_nothing() -> None:
    assert measured_leaks({"a": [1.0] * 50}, [True, False] * 25) == []


def test_shared_rows_are_counted() -> None:
    leak = shared_rows([(1, "a"), (2, "b")], [(2, "b"), (3, "c")])
    assert leak is not None
    assert leak.why == "1 of 2 test rows (50.0%) are in training too"
    assert shared_rows([(1,)], [(2,)]) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_the_area_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    score = np.array([float(value) for value, _ in rows])
    truth = np.array([yes for _, yes in rows])
    if truth.all() or not truth.any():
        assert area(score, truth) == 0.5
    else:
        assert area(score, truth) == pytest.approx(roc_auc_score(truth, score))
