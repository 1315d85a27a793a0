"""Means of few cases that are almost all alike: how often their intervals are wrong."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from roadworthy.risk.evidence import Floats
from roadworthy.risk.means import (
    Moments,
    detectable,
    is_settled,
    mean_interval,
    moments_of,
    needed_for_mean,
    needed_repeats,
)

SURE = 0.95


def test_moments_are_numpys() -> None:
    values = [0.1, 0.9, 0.4, 0.4]
    assert moments_of(values) == pytest.approx((4, np.mean(values), np.var(values)))
    assert moments_of([]) == (0, 0.0, 0.0)


def test_without_cases_anything_is_possible() -> None:
    assert mean_interval(Moments(0, 0.0, 0.0), SURE, -1.0, 1.0) == (-1.0, 1.0)


def test_with_many_cases_it_is_students_interval() -> None:
    values = np.random.default_rng(1).random(100_000)
    low, high = mean_interval(moments_of(list(values)), SURE)
    expected = stats.t.interval(2 * SURE - 1, values.size - 1, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(expected, abs=5e-5)


def test_it_is_mirrored_with_its_bounds() -> None:
    low, high = mean_interval(Moments(30, 0.2, 0.05), SURE, -1.0, 1.0)
    other_low, other_high = mean_interval(Moments(30, -0.2, 0.05), SURE, -1.0, 1.0)
    assert (low, high) == pytest.approx((-other_high, -other_low))


@pytest.mark.parametrize("bar", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99])
def test_a_share_on_its_bar_passes_no_more_often_than_promised(bar: float) -> None:
    for n in [*range(2, 60), *range(60, 1000, 60), 2000]:
        least = _least_that_passes(n, bar)
        assert stats.binom.sf(least - 1, n, bar) <= 1 - SURE


@pytest.mark.parametrize("bar", [0.8, 0.9, 0.95])
def test_it_needs_hardly_more_cases_than_the_exact_interval(bar: float) -> None:
    for n in (60, 200, 1000):
        rights = np.arange(1, n + 1)
        exact = int(np.argmax(stats.beta.ppf(1 - SURE, rights, n - rights + 1) >= bar)) + 1
        assert exact - 1 <= _least_that_passes(n, bar) <= exact + 1 + n // 300


def _least_that_passes(n: int, bar: float) -> int:
    low, high = 0, n + 1
    while low < high:
        right = (low + high) // 2
        share = right / n
        if mean_interval(Moments(n, share, share * (1 - share)), SURE).low >= bar:
            high = right
        else:
            low = right + 1
    return low


Draw = Callable[[np.random.Generator, int], Floats]


def _repeats(rng: np.random.Generator, n: int) -> Floats:
    """Three repeats of cases that are mostly right or mostly wrong; the mean is .9."""
    found: Floats = rng.binomial(3, rng.beta(0.9, 0.1, n)) / 3
    return found


def _flaky(rng: np.random.Generator, n: int) -> Floats:
    found: Floats = rng.binomial(5, 0.9, n) / 5
    return found


def _rarely_zero(rng: np.random.Generator, n: int) -> Floats:
    return np.where(rng.random(n) < 0.04, 0.0, 0.9375)


def _graded(rng: np.random.Generator, n: int) -> Floats:
    return rng.beta(9, 1, n)


def _clustered(rng: np.random.Generator, n: int) -> Floats:
    """Cases of ten tags that are of ten difficulties; all tags are sampled alike."""
    difficulty = np.linspace(0.8, 1.0, 10)
    found: Floats = (rng.random(n) < difficulty[rng.integers(0, 10, n)]).astype(float)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("draw", [_repeats, _flaky, _rarely_zero, _graded, _clustered])
def test_means_on_their_bar_pass_and_fail_no_more_often_than_promised(draw: Draw) -> None:
    rng, runs = np.random.default_rng(2), 1500
    for n in (5, 20, 60, 200):
        passed = failed = 0
        for _ in range(runs):
            low, high = mean_interval(moments_of(draw(rng, n).tolist()), SURE)
            passed += low > 0.9
            failed += high < 0.9
        assert passed / runs <= 0.05 + 0.01
        assert failed / runs <= 0.05 + 0.01


def test_so_many_more_settle_a_mean() -> None:
    moments = Moments(20, 0.95, 0.02)
    more = needed_for_mean(moments, 0.9, SURE)
    assert more is not None
    assert more > 0
    assert is_settled(moments._replace(n=20 + more), 0.9, SURE)
    assert not is_settled(moments._replace(n=20 + more - 1), 0.9, SURE)
    assert needed_for_mean(Moments(20, 0.9, 0.02), 0.9, SURE) is None
    assert needed_for_mean(Moments(500, 0.99, 0.01), 0.9, SURE) == 0


def test_repeats_settle_what_varies_within_cases_and_not_what_varies_between() -> None:
    noisy = Moments(200, 0.93, 0.06)
    assert needed_repeats(noisy, 0.12, 2, 0.91, SURE) is not None
    assert needed_repeats(Moments(200, 0.93, 0.06), 0.0, 2, 0.91, SURE) is None


def test_what_is_detectable_is_detected_four_times_in_five() -> None:
    rng, n, spread = np.random.default_rng(3), 400, 0.3
    smallest = detectable(Moments(n, 0.0, spread**2), SURE)
    found = 0
    for _ in range(600):
        values = np.clip(rng.normal(smallest, spread, n), -1, 1)
        found += mean_interval(moments_of(values.tolist()), SURE, -1.0, 1.0).low > 0
    assert found / 600 == pytest.approx(0.8, abs=0.05)
    assert detectable(Moments(0, 0.0, 0.0), SURE) == 1.0
