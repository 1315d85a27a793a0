"""How far two people agree, against scikit-learn and what must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.risk.agreement import agreement

_counts = st.integers(0, 60)


@settings(deadline=None)
@given(_counts, _counts, _counts, _counts)
def test_kappa_is_that_of_scikit_learn(both: int, first: int, second: int, neither: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found = agreement(both, first, second, neither)
    assert found.low <= found.high
    if found.kappa is None:
        return
    one = [1] * (both + first) + [0] * (second + neither)
    two = [1] * both + [0] * first + [1] * second + [0] * neither
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(one, two))
    assert found.kappa_low is not None
    assert found.kappa_high is not None
    assert -1 <= found.kappa_low <= found.kappa <= found.kappa_high <= 1
    turned = agreement(both, second, first, neither)
    assert turned.kappa == pytest.approx(found.kappa)
    assert turned.kappa_low == pytest.approx(found.kappa_low)


def test_its_interval_holds_the_true_kappa_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(7)
    cells = np.array([0.55, 0.1, 0.1, 0.25])
    yes = cells[0] + cells[1]
    chance = yes**2 + (1 - yes) ** 2
    truth = (cells[0] + cells[3] - chance) / (1 - chance)
    held = 0
    for counts in draw.multinomial(150, cells, 2000):
        found = agreement(*map(int, counts))
        assert found.kappa_low is not None
        assert found.kappa_high is not None
        held += found.kappa_low <= truth <= found.kappa_high
    assert 0.93 < held / 2000 < 0.97


def test_without_cases_there_is_no_kappa() -> None:
    found = agreement(0, 0, 0, 0)
    assert (found.n, found.kappa, found.low, found.high) == (0, None, 0.0, 1.0)
    assert math.isclose(agreement(0, 5, 5, 0).kappa or 0, -1.0)
