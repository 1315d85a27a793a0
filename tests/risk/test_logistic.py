"""Several features, combined: beside scikit-learn, and with what is missing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression

from roadworthy.risk.calibration import to_plain
from roadworthy.risk.evidence import Floats
from roadworthy.risk.logistic import combined_from_plain, fit_combined
from roadworthy.risk.walk import Flags

NAMES = ("support", "agreement", "log_probability")
VALUE = st.sampled_from([0.0, 1.0, 1e300, math.nan, math.inf, -math.inf]) | st.floats(-5, 5)
ROWS = st.integers(0, 30).flatmap(
    lambda n: st.tuples(arrays(float, (n, 3), elements=VALUE), arrays(bool, n))
)


def answers(n: int, missing: float, seed: int = 1) -> tuple[Floats, Flags]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3)) * [1.0, 50.0, 0.01] + [0.0, 300.0, 1.0]
    odds = rows[:, 0] + (rows[:, 1] - 300) / 25
    rows[rng.random(n) < missing, 1] = math.nan
    return rows, rng.random(n) < 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize("penalty", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_chances_are_those_of_scikit_learn_on_standardised_features(
    penalty: float, missing: float
) -> None:
    rows, right = answers(600, missing)
    absent = np.isnan(rows[:, 1])
    x = (rows - np.nanmean(rows, axis=0)) / np.nanstd(rows, axis=0)
    x = np.hstack([np.nan_to_num(x), absent[:, None]]) if missing else x
    theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000).fit(x, right)
    ours = fit_combined(rows, right, NAMES, penalty=penalty).apply(rows)
    assert ours == pytest.approx(theirs.predict_proba(x)[:, 1].clip(1 / 602, 601 / 602), abs=1e-4)


@settings(deadline=None)
@given(ROWS, st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=1, max_size=5))
def test_no_input_fails_or_promises_more_than_the_outcomes_show(
    found: tuple[Floats, Flags], places: list[tuple[float, float, float]]
) -> None:
    rows, right = found
    fitted = fit_combined(rows, right, NAMES)
    n = len(rows)
    chances = fitted.apply(np.array(places))
    assert ((chances >= 0) & (chances <= ((n + 1) / (n + 2) if n else 0))).all()
    stored = combined_from_plain(json.loads(json.dumps(to_plain(fitted))))
    assert stored == fitted
    assert [stored.chance(place) for place in places] == chances.tolist()


def test_the_absence_of_a_feature_is_learned_from_and_a_new_absence_counts_as_zero() -> None:
    rows, right = answers(2000, 0.0)
    rows[:1000, 1], right[:1000] = math.nan, np.arange(1000) % 10 == 0
    fitted = fit_combined(rows, right, NAMES)
    assert fitted.chance((0.0, math.nan, 1.0)) == pytest.approx(0.1, abs=0.05)
    assert fitted.chance((math.nan, 300.0, 1.0)) == 0


def test_an_answer_beyond_all_that_was_seen_is_no_surer_than_the_surest() -> None:
    rows, right = answers(500, 0.0)
    fitted = fit_combined(rows, right, NAMES)
    best = fitted.chance((rows[:, 0].max(), rows[:, 1].max(), 1.0))
    assert fitted.chance((1e9, 1e9, 1.0)) == best


@pytest.mark.parametrize("kind", [True, False])
def test_outcomes_of_one_kind_give_the_share_that_is_right(kind: bool) -> None:
    rows, _ = answers(10, 0.0)
    chance = fit_combined(rows, np.full(10, kind), NAMES).chance(rows[0].tolist())
    assert chance == pytest.approx(11 / 12 if kind else 1 / 12)


def test_names_and_features_must_agree() -> None:
    with pytest.raises(ValueError, match="expected 2 features, got 3"):
        fit_combined(np.zeros((1, 3)), np.zeros(1, bool), ("a", "b"))
