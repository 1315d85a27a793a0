"""Coverage: by definition, by simulation, and for any sequence."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.risk.conformal import (
    Adaptive,
    adapt,
    margin_of,
    sets_of,
    strangeness_aps,
    strangeness_lac,
    strangeness_of_labels,
    threshold_of,
    widened,
)
from roadworthy.risk.evidence import Floats

LEVELS = st.sampled_from([0.02, 0.05, 0.1, 0.25, 0.5, 0.9])


@settings(deadline=None)
@given(st.integers(1, 60), LEVELS)
def test_a_new_score_exceeds_the_threshold_as_rarely_as_asked_and_hardly_more_rarely(
    n: int, max_error: float
) -> None:
    # Of n + 1 exchangeable scores each is as likely to be the new one.
    scores = np.arange(n + 1.0)
    missed = np.mean([k > threshold_of(np.delete(scores, k), max_error) for k in range(n + 1)])
    assert missed <= max_error + 1e-9
    assert missed > max_error - 1 / (n + 1) - 1e-9


def aps(probabilities: Floats, rng: np.random.Generator) -> Floats:
    return strangeness_aps(probabilities, rng.random(len(probabilities)))


def lac(probabilities: Floats, rng: np.random.Generator) -> Floats:
    return strangeness_lac(probabilities)


@pytest.mark.parametrize("strange", [lac, aps])
@pytest.mark.parametrize("max_error", [0.05, 0.2])
def test_sets_hold_the_true_class_as_often_as_asked_though_the_model_is_wrong(
    strange: Callable[[Floats, np.random.Generator], Floats], max_error: float
) -> None:
    rng, covered = np.random.default_rng(1), []
    for _ in range(150):
        logits = rng.normal(size=(400, 5))
        truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = (rng.random((400, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(max=4)
        claimed = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
        scores = strange(claimed, rng)
        threshold = threshold_of(strangeness_of_labels(scores[:200], labels[:200]), max_error)
        sets = sets_of(scores[200:], threshold)
        covered.append(sets[np.arange(200), labels[200:]].mean())
    # (n + 1)(1 - max_error) is not whole: up to 1 / 201 more is covered.
    assert np.mean(covered) == pytest.approx(1 - max_error, abs=0.012)


def test_the_random_part_makes_sets_of_few_classes_exact() -> None:
    rng = np.random.default_rng(2)
    probabilities = np.tile([0.6, 0.4], (20_000, 1))
    labels = (rng.random(20_000) > 0.6).astype(int)
    scores = strangeness_of_labels(strangeness_aps(probabilities, rng.random(20_000)), labels)
    assert np.quantile(scores, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.02)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0, 0.99))
def test_adaptive_scores_are_the_mass_of_what_is_more_probable(
    weights: list[float], uniform: float
) -> None:
    row = np.array(weights) / sum(weights)
    scores = strangeness_aps(row[None], np.array([uniform]))[0]
    order = sorted(range(len(row)), key=lambda k: (-row[k], k))
    for place, k in enumerate(order):
        above = sum(row[other] for other in order[:place])
        assert scores[k] == pytest.approx(above + uniform * row[k])


@pytest.mark.parametrize("kind", ["residual", "quantiles"])
def test_intervals_hold_the_truth_as_often_as_asked_though_its_spread_varies(kind: str) -> None:
    rng, covered, widths = np.random.default_rng(3), [], []
    for _ in range(150):
        x = rng.uniform(0, 1, 500)
        actual = x + rng.normal(size=500) * (0.1 + x)
        half = 1.64 * (0.1 + x) if kind == "quantiles" else 0 * x
        margin = margin_of((x - half)[:250], (x + half)[:250], actual[:250], 0.1)
        low, high = widened((x - half)[250:], (x + half)[250:], margin)
        covered.append(((low <= actual[250:]) & (actual[250:] <= high)).mean())
        widths.append((high - low)[x[250:] < 0.2].mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.012)
    assert np.mean(widths) < 0.9 if kind == "quantiles" else np.mean(widths) > 1.8


def test_what_is_missing_is_covered_and_makes_nothing_narrower() -> None:
    assert threshold_of(np.array([1.0, math.nan, 2.0, 3.0]), 0.2) == math.inf
    assert threshold_of(np.empty(0), 0.5) == math.inf
    assert sets_of(np.array([[math.nan, 0.9], [0.2, 0.9]]), 0.5).tolist() == [
        [True, True],
        [True, False],
    ]
    low, high = widened(np.array([math.nan, 0.0]), np.array([1.0, 1.0]), -9.0)
    assert (low.tolist(), high.tolist()) == ([-math.inf, 0.5], [math.inf, 0.5])
    low, high = widened(np.zeros(1), np.ones(1), math.inf)
    assert (low[0], high[0]) == (-math.inf, math.inf)


@settings(deadline=None)
@given(
    st.lists(st.floats(-10, 10) | st.just(math.nan), min_size=1, max_size=300),
    st.lists(st.floats(-5, 5), max_size=40),
    LEVELS,
    st.sampled_from([0.005, 0.05, 0.5]),
)
def test_misses_come_to_the_level_for_any_sequence(
    truths: list[float], known: list[float], max_error: float, step: float
) -> None:
    state, calibration = Adaptive(max_error), np.array(known)
    for count, truth in enumerate(truths, 1):
        threshold = threshold_of(calibration, state.level)
        is_missed = threshold < math.inf and not truth <= threshold
        state = adapt(state, is_missed, max_error, step)
        assert state.n == count
        most = (max(max_error, 1 - max_error) + step) / (step * count)
        assert abs(state.missed / count - max_error) <= most + 1e-9


def test_an_interval_that_adapts_keeps_its_share_where_a_fixed_one_loses_it() -> None:
    rng, state, fixed = np.random.default_rng(4), Adaptive(0.1), 0
    residuals = np.abs(rng.normal(size=500))
    for k in range(4000):
        truth = abs(rng.normal()) * (1 + k / 2000)
        fixed += truth > threshold_of(residuals, 0.1)
        state = adapt(state, bool(truth > threshold_of(residuals, state.level)), 0.1)
    assert fixed / 4000 > 0.25
    assert state.missed / 4000 < 0.14
