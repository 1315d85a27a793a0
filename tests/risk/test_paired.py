"""Two releases on the same cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from roadworthy.risk.paired import bootstrap_mean, compare, holm, mcnemar


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_of_uneven_pairs(gained: int, lost: int) -> None:
    n = gained + lost
    expected = stats.binomtest(gained, n).pvalue if n else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, abs=1e-9)
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


def test_holm_stops_at_the_first_that_is_too_large() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= after <= 1 for p, after in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    assert [adjusted[at] for at in order] == sorted(adjusted)


def test_the_same_answers_on_few_cases_prove_nothing() -> None:
    few = compare([1.0] * 50, [1.0] * 50, 0.02, 0.95)
    assert few.verdict == "inconclusive"
    assert few.needed is not None
    assert 100 < few.needed <= 131
    many = compare([1.0] * 200, [1.0] * 200, 0.02, 0.95)
    assert many.verdict == "pass"
    assert many.needed == 0
    assert (many.better, many.worse, many.p) == (0, 0, 1.0)


def test_what_is_worse_fails_and_says_on_how_many_cases() -> None:
    found = compare([1.0] * 100, [0.0] * 20 + [1.0] * 80, 0.02, 0.95)
    assert found.verdict == "fail"
    assert (found.better, found.worse) == (0, 20)
    assert found.p == pytest.approx(2 * 0.5**20)
    assert found.high < -0.02


def test_majorities_of_repeats_are_what_mcnemar_counts() -> None:
    found = compare([2 / 3, 1 / 3, 1.0, 0.5], [1 / 3, 2 / 3, 2 / 3, 0.0], 0.1, 0.95)
    assert (found.better, found.worse) == (1, 3)
    assert found.p == 1.0


def test_without_cases_nothing_is_decided() -> None:
    found = compare([], [], 0.02, 0.95)
    assert (found.verdict, found.low, found.high) == ("inconclusive", -1.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("changed", [0.02, 0.05, 0.2])
def test_a_release_at_its_margin_passes_no_more_often_than_promised(changed: float) -> None:
    margin, runs, rng = 0.02, 1500, np.random.default_rng(4)
    for n in (20, 60, 150, 400):
        passed = failed = 0
        for _ in range(runs):
            kind = rng.multinomial(n, [(changed - margin) / 2, (changed + margin) / 2, 1 - changed])
            baseline = [0.0] * int(kind[0]) + [1.0] * int(n - kind[0])
            candidate = [1.0] * int(kind[0]) + [0.0] * int(kind[1]) + [1.0] * int(kind[2])
            verdict = compare(baseline, candidate, margin, 0.95).verdict
            passed += verdict == "pass"
            failed += verdict == "fail"
        assert passed / runs <= 0.05 + 0.01
        assert failed / runs <= 0.05 + 0.01


@pytest.mark.slow
def test_bootstraps_of_few_changed_cases_would_pass_a_worse_release_far_too_often() -> None:
    rng, n, passed, ours = np.random.default_rng(5), 50, 0, 0
    for _ in range(300):
        differences = np.where(rng.random(n) < 0.02, -1.0, 0.0)
        passed += bootstrap_mean(differences.tolist(), 0.95, resamples=500).low > -0.02
        ours += compare([1.0] * n, (1 + differences).tolist(), 0.02, 0.95).verdict == "pass"
    assert passed / 300 > 0.25
    assert ours == 0


def test_a_bootstrap_is_that_of_scipy() -> None:
    values = np.random.default_rng(6).lognormal(0, 1, 80)
    found = bootstrap_mean(values.tolist(), 0.95, seed=1, resamples=8000)
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, method="BCa", n_resamples=8000, rng=7
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, rel=0.03)
    assert found.high == pytest.approx(expected.high, rel=0.03)


def test_the_same_seed_gives_the_same_bootstrap() -> None:
    values = [1.0, 2.0, 5.0, 3.0]
    assert bootstrap_mean(values, 0.95, seed=3) == bootstrap_mean(values, 0.95, seed=3)
    assert bootstrap_mean([2.0, 2.0], 0.95) == (2.0, 2.0)
    assert bootstrap_mean([2.0], 0.95) == (-math.inf, math.inf)
