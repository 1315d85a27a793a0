from __future__ import annotations

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
