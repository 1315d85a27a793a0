"""Temperature scaling, beside a search over temperatures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from roadworthy.risk.temperature import Temperature, fit_temperature


def test_the_temperature_is_the_one_under_which_labels_are_most_likely() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(5000, 4)) * 3
    truth = np.exp(log_softmax(logits / 2.5, axis=1))
    labels = (rng.random((5000, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(max=3)
    found = fit_temperature(logits, labels)
    best = minimize_scalar(
        lambda t: -log_softmax(logits / t, axis=1)[np.arange(5000), labels].sum(),
        bounds=(0.1, 20),
        method="bounded",
    )
    assert found.temperature == pytest.approx(best.x, rel=0.01)
    assert found.temperature == pytest.approx(2.5, rel=0.1)
    assert found.apply(logits).argmax(axis=1).tolist() == logits.argmax(axis=1).tolist()


def test_a_classifier_that_was_never_wrong_is_not_made_infinitely_sure() -> None:
    logits = np.log(np.tile([0.7, 0.3], (20, 1)))
    chance = fit_temperature(logits, np.zeros(20, int)).apply(logits)[0, 0]
    assert 0.9 < chance < 1 - 0.4 / 21


def test_what_is_unknown_has_no_chance() -> None:
    rows = np.array([[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf], [0.0, -math.inf]])
    assert Temperature(1.0, 5).apply(rows).tolist() == [[0, 0], [0, 0], [0, 0], [1, 0]]
    nothing = fit_temperature(rows[:2], np.zeros(2, int))
    assert nothing.n == 0
    assert nothing.apply(np.zeros((1, 2))).tolist() == [[0, 0]]
