"""Shares, exactly, against scipy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from roadworthy.risk.proportions import (
    beta_share,
    binomial_share,
    clopper_pearson,
    misses,
    needed_for_share,
    quantile_interval,
    reaches,
    student_quantile,
)

Sure = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


@given(st.integers(0, 400), st.integers(0, 400), Sure)
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(
    right: int, wrong: int, sure: float
) -> None:
    n = right + wrong
    low, high = clopper_pearson(right, n, sure)
    if not n:
        assert (low, high) == (0.0, 1.0)
        return
    expected = stats.binomtest(right, n).proportion_ci(max(2 * sure - 1, 1e-9), "exact")
    if sure > 0.5:
        assert low == pytest.approx(expected.low, abs=1e-10)
        assert high == pytest.approx(expected.high, abs=1e-10)
    assert low <= right / n <= high


@given(st.integers(0, 80), st.integers(0, 80), st.floats(0.02, 0.98), Sure)
def test_a_bar_is_reached_or_missed_where_the_interval_says_so(
    right: int, wrong: int, bar: float, sure: float
) -> None:
    low, high = clopper_pearson(right, right + wrong, sure)
    if abs(low - bar) > 1e-9:
        assert reaches(right, right + wrong, bar, sure) == (low >= bar)
    if abs(high - bar) > 1e-9:
        assert misses(right, right + wrong, bar, sure) == (high < bar)


@given(st.floats(0.3, 3000), st.floats(0.3, 3000), st.floats(0, 1))
def test_the_beta_share_is_scipys(a: float, b: float, x: float) -> None:
    assert beta_share(a, b, x) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-10)


@given(st.integers(-1, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_the_binomial_share_is_scipys(k: int, n: int, p: float) -> None:
    assert binomial_share(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), abs=1e-10)


@given(st.floats(0.01, 0.999), st.floats(0.8, 5000))
def test_students_quantile_is_scipys(share: float, degrees: float) -> None:
    expected = stats.t.ppf(share, degrees)
    assert student_quantile(share, degrees) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_five_lucky_cases_need_twenty_four_more() -> None:
    assert needed_for_share(1.0, 5, 0.9, 0.95) == 24
    assert needed_for_share(1.0, 29, 0.9, 0.95) == 0
    assert needed_for_share(0.0, 3, 0.9, 0.95) == 0


@pytest.mark.parametrize(("share", "n", "bar"), [(0.95, 40, 0.9), (0.8, 10, 0.9), (0.5, 4, 0.6)])
def test_so_many_more_settle_it_and_one_fewer_does_not(share: float, n: int, bar: float) -> None:
    more = needed_for_share(share, n, bar, 0.95)
    assert more is not None
    assert more > 0

    def is_settled(cases: int) -> bool:
        if share >= bar:
            return clopper_pearson(math.floor(share * cases + 1e-9), cases, 0.95).low >= bar
        return clopper_pearson(math.ceil(share * cases - 1e-9), cases, 0.95).high < bar

    assert is_settled(n + more)
    assert not is_settled(n + more - 1)


def test_a_share_on_its_bar_is_settled_by_no_number() -> None:
    assert needed_for_share(0.9, 100, 0.9, 0.95) is None
    assert needed_for_share(1.0, 100, 1.0, 0.95) is None


@pytest.mark.parametrize("n", [1, 58, 59, 200, 1000])
def test_a_quantile_lies_between_its_order_statistics_as_often_as_promised(n: int) -> None:
    low, high = quantile_interval(list(range(1, n + 1)), 0.95, 0.95)
    # The k-th smallest of n uniform numbers is beta distributed.
    if math.isfinite(low):
        assert stats.beta.sf(0.95, low, n - low + 1) <= 0.05 + 1e-9
        assert low == n or stats.beta.sf(0.95, low + 1, n - low) > 0.05
    if math.isfinite(high):
        assert stats.beta.cdf(0.95, high, n - high + 1) <= 0.05 + 1e-9
        assert high == 1 or stats.beta.cdf(0.95, high - 1, n - high + 2) > 0.05
    assert math.isfinite(high) == (n >= 59)
    assert quantile_interval([], 0.95, 0.95) == (-math.inf, math.inf)
