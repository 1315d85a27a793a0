from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import BadAnswer
from roadworthy.signals.attribution import (
    BATCH,
    Attribution,
    Floats,
    Part,
    Predict,
    explain,
    pick_background,
)

Score = Callable[[dict[str, Any]], float]
VALUES = st.none() | st.sampled_from(["JFK", "EWR", ""]) | st.integers(-3, 3) | st.floats(-9, 9)


def predicting(score: Score) -> Predict:
    return lambda rows: np.array([score(row) for row in rows])


def number(value: Any) -> float:
    """Return what some value of any type is worth to a model."""
    if value is None:
        return 0.25
    return float(len(value) + 1) if isinstance(value, str) else float(value)


def knotted(row: dict[str, Any]) -> float:
    """Return a prediction in which features act alone, in twos and in threes."""
    a, b, c, d = (number(row[name]) for name in "abcd")
    return a - 2 * b + a * b + (a * c * d if c > 0 else math.sin(d)) + (3.5 if a > b else 0.0)


def by_definition(
    score: Score, row: dict[str, Any], background: list[dict[str, Any]]
) -> list[float]:
    """Return Shapley values as they are defined: the mean over all orders and background rows."""
    names = sorted(row)
    total = np.zeros(len(names))
    for base in background:
        for order in permutations(range(len(names))):
            mixed = dict(base)
            for place in order:
                before = score(mixed)
                mixed[names[place]] = row[names[place]]
                total[place] += score(mixed) - before
    values: list[float] = (total / math.factorial(len(names)) / len(background)).tolist()
    return values


def told(found: Attribution, names: Sequence[str]) -> list[float]:
    parts = dict(found.parts)
    return [parts[name] for name in names]


ROWS = st.fixed_dictionaries(dict.fromkeys("abcd", VALUES))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.lists(ROWS, min_size=1, max_size=3))
def test_few_features_have_exactly_the_contributions_of_the_definition(
    row: dict[str, Any], background: list[dict[str, Any]]
) -> None:
    found = explain(predicting(knotted), row, background)
    assert found.is_exact
    assert told(found, "abcd") == pytest.approx(
        by_definition(knotted, row, background), rel=1e-9, abs=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(ROWS, min_size=1, max_size=9), st.integers(8, 80), st.integers(0, 9))
def test_reference_and_contributions_add_up_to_the_value_in_any_order(
    row: dict[str, Any], background: list[dict[str, Any]], budget: int, seed: int
) -> None:
    found = explain(predicting(knotted), row, background, budget=budget, seed=seed)
    numbers = [found.reference, *(part.contribution for part in found.parts)]
    assert sum(numbers) == sum(reversed(numbers)) == found.value
    assert found.value == pytest.approx(knotted(row), rel=1e-9, abs=1e-9)
    assert sorted(part.feature for part in found.parts) == list("abcd")


@pytest.mark.parametrize("scale", [5e-324, 1e-308, 1e-12, 1.0, 1e9, 1e299])
def test_they_add_up_at_any_scale(scale: float) -> None:
    names = [f"f{k}" for k in range(300)]
    row = dict(zip(names, np.random.default_rng(0).normal(size=300).tolist(), strict=True))
    score = predicting(lambda one: scale * sum(map(number, one.values())) / 300)
    found = explain(score, row, [dict.fromkeys(names, 0.1), dict.fromkeys(names)], budget=1300)
    numbers = [found.reference, *(part.contribution for part in found.parts)]
    assert sum(numbers) == sum(reversed(numbers)) == found.value


def test_pairs_of_orders_are_exact_where_at_most_two_features_act_together() -> None:
    names = [f"f{k}" for k in range(14)]
    rng = np.random.default_rng(1)
    twos = rng.normal(size=(14, 14))

    def score(row: dict[str, Any]) -> float:
        x = np.array([row[name] for name in names])
        return float(x @ twos @ x)

    rows = [dict(zip(names, rng.normal(size=14).tolist(), strict=True)) for _ in range(4)]
    found = explain(predicting(score), rows[0], rows[1:], budget=90)
    closed = np.zeros(14)
    x = np.array(list(rows[0].values()))
    for base in rows[1:]:
        b = np.array(list(base.values()))
        closed += (x - b) * ((twos + twos.T) @ (x + b)) / 2
    assert not found.is_exact
    assert found.background_rows == 3
    assert told(found, names) == pytest.approx((closed / 3).tolist())


def test_many_orders_come_near_the_definition() -> None:
    rows: list[dict[str, Any]] = [
        {"a": 2.0, "b": 1.0, "c": 1.0, "d": 3.0},
        {"a": -1.0, "b": 2.0, "c": -1.0, "d": 0.5},
    ]
    wider = [{**row, **{f"n{k}": place for k in range(9)}} for place, row in enumerate(rows)]
    found = explain(predicting(knotted), wider[0], wider[1:], budget=4000)
    assert not found.is_exact
    assert told(found, "abcd") == pytest.approx(by_definition(knotted, rows[0], rows[1:]), abs=0.15)
    assert told(found, [f"n{k}" for k in range(9)]) == [0.0] * 9


def test_a_feature_that_equals_the_background_contributes_nothing_and_costs_nothing() -> None:
    asked: list[dict[str, Any]] = []

    def predict(rows: Sequence[dict[str, Any]]) -> Floats:
        asked.extend(rows)
        return np.array([number(row["a"]) for row in rows])

    same: dict[str, Any] = {f"s{k}": math.nan for k in range(30)}
    found = explain(predict, {"a": 3, **same}, [{"a": 1, **same}])
    assert found.parts[0] == Part("a", 2.0)
    assert {part.contribution for part in found.parts[1:]} == {0.0}
    assert len(asked) == 2


@pytest.mark.parametrize("budget", [68, 69, 200, 1000, 5000])
def test_no_more_rows_are_predicted_than_the_budget_allows(budget: int) -> None:
    names = [f"f{k}" for k in range(34)]
    sizes: list[int] = []

    def predict(rows: Sequence[dict[str, Any]]) -> Floats:
        sizes.append(len(rows))
        return np.array([sum(row.values()) for row in rows], dtype=float)

    background = [dict.fromkeys(names, place) for place in range(50)]
    found = explain(predict, dict.fromkeys(names, 99), background, budget=budget)
    assert budget / 2 < sum(sizes) <= budget
    assert max(sizes) <= BATCH
    assert found.reference == pytest.approx(24.5 * 34, rel=0.05)


def test_ten_features_and_sixteen_background_rows_are_exact_within_16384_rows() -> None:
    names = [f"f{k}" for k in range(10)]
    score = predicting(lambda row: math.prod(row.values()))
    background = [dict.fromkeys(names, 1 + k / 100) for k in range(16)]
    found = explain(score, dict.fromkeys(names, 2.0), background, budget=16_384)
    assert (found.is_exact, found.background_rows) == (True, 16)
    # All features are alike, so that each has a tenth.
    tenth = (found.value - found.reference) / 10
    assert told(found, names) == pytest.approx([tenth] * 10)


def test_fields_of_a_group_count_as_one_feature() -> None:
    score = predicting(lambda row: number(row["x"]) * number(row["y"]) + number(row["z"]))
    row, base = {"x": 2, "y": 3, "z": 1}, {"x": 1, "y": 1, "z": 0}
    found = explain(score, row, [base], groups={"place": ["x", "y", "absent"]})
    assert found.parts == (Part("place", 5.0), Part("z", 1.0))
    with pytest.raises(ValueError, match="`x` in one group"):
        explain(score, row, [base], groups={"one": ["x"], "two": ["x"]})
    with pytest.raises(ValueError, match="another name than the field `z`"):
        explain(score, row, [base], groups={"z": ["x", "y"]})
    named = explain(score, row, [base], groups={"x": ["x", "y"]})
    assert named.parts == (Part("x", 5.0), Part("z", 1.0))


def test_a_field_that_a_row_lacks_is_none_in_all_that_the_model_is_asked() -> None:
    score = predicting(lambda row: 1.0 if row["b"] is None else 4.0)
    assert explain(score, {"a": 1, "b": 2}, [{"a": 1}]).parts[0] == Part("b", 3.0)
    assert explain(score, {"a": 1}, [{"a": 1, "b": 2}]).parts[0] == Part("b", -3.0)


def test_values_that_a_model_may_tell_apart_are_not_taken_for_equal() -> None:
    score = predicting(lambda row: 1.0 if row["a"] is True else 0.0)
    assert explain(score, {"a": True}, [{"a": 1}]).parts == (Part("a", 1.0),)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e301])
def test_a_prediction_that_is_no_finite_number_is_told(bad: float) -> None:
    with pytest.raises(BadAnswer, match="finite numbers"):
        explain(predicting(lambda row: bad if row["a"] == 1 else 0.5), {"a": 1}, [{"a": 2}])


def test_a_model_that_answers_too_few_rows_is_told() -> None:
    with pytest.raises(BadAnswer, match="expected 2 finite numbers"):
        explain(lambda rows: np.zeros(1), {"a": 1}, [{"a": 2}])


def test_nothing_to_compare_with_and_too_small_a_budget_are_told() -> None:
    score = predicting(lambda row: 0.0)
    with pytest.raises(ValueError, match="got 0 and 2048"):
        explain(score, {"a": 1}, [])
    with pytest.raises(ValueError, match="at least 4 rows, got 1 and 3"):
        explain(score, {"a": 1, "b": 2}, [{"a": 2}], budget=3)


def test_a_row_without_features_is_its_reference() -> None:
    found = explain(predicting(lambda row: 0.5), {}, [{}])
    assert found == Attribution(0.5, 0.5, (), 1, is_exact=True)


def test_an_attribution_can_be_stored_and_read_again() -> None:
    found = explain(predicting(knotted), dict.fromkeys("abcd", 1), [dict.fromkeys("abcd", 2)])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Attribution) == found


def test_a_picked_background_predicts_on_average_what_all_rows_do() -> None:
    rng = np.random.default_rng(2)
    rows = [{"a": value} for value in rng.exponential(size=1500).tolist()]
    score = predicting(lambda row: row["a"])
    picked = pick_background(score, rows, 30)
    values = [row["a"] for row in picked]
    assert values == sorted(values)
    # A random 30 would be off by 0.18 on average.
    assert np.mean(values) == pytest.approx(score(rows).mean(), abs=0.02)
    assert len(pick_background(score, rows[:7], 30)) == 7
    with pytest.raises(ValueError, match="got none"):
        pick_background(score, [], 3)
