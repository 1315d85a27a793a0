"""Calibration error and ranking, beside scikit-learn, the definition and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from roadworthy.risk.reliability import auroc, reliability

SCORED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0, math.nan]), st.booleans()),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(SCORED, st.integers(1, 20))
def test_bins_hold_all_answers_and_every_figure_lies_in_its_interval(
    pairs: list[tuple[float, bool]], bins: int
) -> None:
    confidences, right = np.array([c for c, _ in pairs]), np.array([r for _, r in pairs])
    found = reliability(confidences, right, bins)
    assert sum(one.n for one in found.bins) == found.n == len(pairs)
    assert [one.confidence for one in found.bins] == sorted(one.confidence for one in found.bins)
    for one in found.bins:
        assert 0 <= one.right.low <= one.right.value <= one.right.high <= 1
    assert 0 <= found.error.low <= found.error.value <= found.error.high <= 1
    known = np.nan_to_num(confidences)
    assert found.brier.value == pytest.approx(brier_score_loss(right, known, labels=[False, True]))
    assert found.brier.low <= found.brier.value <= found.brier.high


@pytest.mark.slow
def test_confidences_that_are_right_have_an_error_near_nothing() -> None:
    rng = np.random.default_rng(1)
    found = []
    for seed in range(60):
        confidences = rng.random(1000)
        found.append(reliability(confidences, rng.random(1000) < confidences, seed=seed).error)
    assert np.mean([one.value for one in found]) < 0.012  # .033 as measured, all of it by chance
    assert np.mean([one.low <= 0.005 for one in found]) > 0.9


@pytest.mark.slow
def test_confidences_that_are_too_high_have_the_error_they_were_given() -> None:
    rng, covered, values = np.random.default_rng(2), 0, []
    for seed in range(100):
        confidences = rng.uniform(0.3, 1.0, 500)
        error = reliability(confidences, rng.random(500) < confidences - 0.15, seed=seed).error
        covered += error.low <= 0.15 <= error.high
        values.append(error.value)
    assert np.mean(values) == pytest.approx(0.15, abs=0.01)
    assert covered / 100 > 0.85


@settings(deadline=None)
@given(SCORED)
def test_the_area_is_that_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    scores, positive = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs])
    found = auroc(scores, positive)
    if positive.all() or not positive.any():
        assert math.isnan(found.value)
        assert (found.low, found.high) == (0, 1)
    else:
        known = np.where(np.isnan(scores), -1.0, scores)
        assert found.value == pytest.approx(roc_auc_score(positive, known))
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_is_that_of_delongs_components() -> None:
    rng = np.random.default_rng(3)
    scores, positive = np.round(rng.normal(size=80), 1), np.arange(80) % 3 == 0
    first, second = scores[positive], scores[~positive]
    wins = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    variance = np.var(wins.mean(axis=1), ddof=1) / len(first)
    variance += np.var(wins.mean(axis=0), ddof=1) / len(second)
    value = wins.mean()
    off = 1.959964 * math.sqrt(variance) / (value * (1 - value))
    odds = math.log(value / (1 - value)) + np.array([-off, off])
    found = auroc(scores, positive)
    assert [found.low, found.high] == pytest.approx((1 / (1 + np.exp(-odds))).tolist(), abs=1e-6)


@pytest.mark.parametrize("apart", [0.5, 1.5])
def test_intervals_of_an_area_cover_it(apart: float) -> None:
    rng, covered = np.random.default_rng(4), 0
    truth = 0.5 * (1 + math.erf(apart / 2))
    for _ in range(300):
        scores = np.concatenate([rng.normal(apart, 1, 60), rng.normal(0, 1, 90)])
        found = auroc(scores, np.arange(150) < 60)
        covered += found.low <= truth <= found.high
    assert covered / 300 > 0.9


def test_few_that_are_all_apart_do_not_promise_that_all_are() -> None:
    found = auroc(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert found.value == found.high == 1
    assert found.low < 0.2


def test_one_outcome_says_next_to_nothing() -> None:
    error = reliability(np.array([0.9]), np.array([False])).error
    assert error.high - error.low > 0.5


def test_without_outcomes_nothing_is_known() -> None:
    found = reliability(np.empty(0), np.empty(0, bool))
    assert found.bins == ()
    assert math.isnan(found.error.value)
    assert (found.brier.low, found.brier.high) == (0, 1)
