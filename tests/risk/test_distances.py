from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from roadworthy.risk.distances import (
    Distance,
    counts_of,
    edges_of,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
)

SIDES = st.integers(5, 12).flatmap(
    lambda size: st.tuples(
        *[arrays.arrays(np.int64, size, elements=st.integers(0, 10_000)) for _ in range(2)]
    )
)


def drawn(shares: list[float], size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(size, shares).astype(np.int64)


@given(SIDES)
def test_a_distance_is_symmetric_never_negative_and_nothing_to_itself(
    sides: tuple[np.ndarray, np.ndarray],
) -> None:
    first, second = sides
    for distance in (population_stability, jensen_shannon):
        there, back = distance(first, second).value, distance(second, first).value
        assert there == pytest.approx(back, nan_ok=True)
        assert np.isnan(there) or there >= 0
        if first.sum():
            assert distance(first, first).value == 0


def test_jensen_shannon_is_scipys() -> None:
    first, second = drawn([0.2, 0.3, 0.5], 10**7, 1), drawn([0.5, 0.3, 0.2], 10**7, 2)
    expected = jensenshannon(first, second, base=2)
    assert jensen_shannon(first, second).value == pytest.approx(expected, abs=1e-5)


def test_population_stability_is_its_sum_over_the_bins() -> None:
    p, q = np.array([0.2, 0.8]), np.array([0.4, 0.6])
    expected = 0.2 * np.log(2) + -0.2 * np.log(0.75)
    measured = population_stability((p * 10**8).astype(np.int64), (q * 10**8).astype(np.int64))
    assert measured.value == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 10_000))
def test_kolmogorov_smirnov_is_scipys_also_with_ties(n: int, m: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 20, n).astype(float)
    second = generator.integers(3, 23, m).astype(float)
    measured = kolmogorov_smirnov(first, second)
    with warnings.catch_warnings():  # of its p-value, for very few
        warnings.simplefilter("ignore", RuntimeWarning)
        statistic = ks_2samp(first, second, method="asymp").statistic
    assert measured.value == pytest.approx(statistic)
    assert 0 <= measured.low <= measured.value <= measured.high <= 1


@pytest.mark.parametrize("moved", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("size", [200, 5000])
def test_the_interval_holds_the_distance_of_the_populations(moved: float, size: int) -> None:
    p = [0.1] * 10
    q = [0.1 + moved / 5] * 5 + [0.1 - moved / 5] * 5
    huge = 10**9
    for distance in (population_stability, jensen_shannon):
        truth = distance(
            (np.array(p) * huge).astype(np.int64), (np.array(q) * huge).astype(np.int64)
        ).value
        held = 0
        for seed in range(200):
            measured = distance(
                drawn(p, size, seed), drawn(q, size, 10_000 + seed), sure=0.9, seed=seed
            )
            held += measured.low <= truth + 1e-6 and truth <= measured.high + 1e-3
        assert held >= 0.85 * 200


def test_samples_of_one_population_are_not_told_apart() -> None:
    alarms = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        first, second = generator.normal(size=300), generator.normal(size=300)
        edges = edges_of(first)
        measured = population_stability(counts_of(first, edges), counts_of(second, edges))
        alarms += measured.low > 0.1
        assert kolmogorov_smirnov(first, second).low == 0
    assert alarms == 0


def test_what_is_missing_is_a_bin_of_its_own() -> None:
    reference, live = np.arange(100.0), np.where(np.arange(100) < 50, np.nan, np.arange(100.0))
    edges = edges_of(reference)
    assert counts_of(live, edges)[-1] == 50
    apart = population_stability(counts_of(reference, edges), counts_of(live, edges))
    assert apart.low > 0.25


FLOATS = st.floats(-1e300, 1e300)


def stability(reference: np.ndarray, live: np.ndarray) -> Distance:
    edges = edges_of(reference)
    return population_stability(counts_of(reference, edges), counts_of(live, edges))


@given(FLOATS, FLOATS, st.integers(20, 30_000), st.integers(20, 3000))
def test_any_shift_of_a_constant_is_seen(was: float, now: float, n: int, m: int) -> None:
    measured = stability(np.full(n, was), np.full(m, now))
    assert (measured.low > 0.25) is (was != now)
    assert (measured.high > 0.25) is (was != now)


@given(FLOATS, FLOATS, st.integers(1, 9))
def test_a_value_that_leaves_the_one_that_most_had_is_seen(most: float, now: float, n: int) -> None:
    reference = np.array([most] * (100 - n) + [most + 1.0] * n)
    if now not in (most, most + 1.0):
        assert stability(reference, np.full(50, now)).low > 0.25


def test_between_two_values_that_training_had_there_is_a_bin_of_its_own() -> None:
    reference, live = np.array([0.0, 5.0] * 100), np.array([3.0, 5.0] * 100)
    assert stability(reference, live).low > 0.25


@pytest.mark.parametrize("rare", [0, 1, 2, 20])
@pytest.mark.parametrize("live", [20, 50, 500])
def test_few_live_values_of_mostly_one_are_no_alarm(rare: int, live: int) -> None:
    reference = np.array([0.0] * (20_000 - rare) + [1.0] * rare)
    assert stability(reference, np.zeros(live)).low < 0.01


@given(SIDES, st.integers(1, 500))
def test_equal_shares_are_no_distance_however_many_there_are(
    sides: tuple[np.ndarray, np.ndarray], times: int
) -> None:
    counts = sides[0]
    if counts.sum():
        for distance in (population_stability, jensen_shannon):
            assert distance(counts, counts * times).value == pytest.approx(0, abs=1e-6)


def test_values_that_are_equal_are_never_split() -> None:
    edges = edges_of(np.array([0.0] * 95 + [1.0] * 5))
    assert np.unique(edges).size == edges.size
    assert counts_of(np.array([0.0, 1.0]), edges).sum() == 2


@pytest.mark.parametrize("sides", [([], [1.0]), ([1.0], []), ([np.nan], [np.nan])])
def test_nothing_is_known_of_an_empty_side(sides: tuple[list[float], list[float]]) -> None:
    first, second = np.array(sides[0]), np.array(sides[1])
    measured = kolmogorov_smirnov(first, second)
    assert np.isnan(measured.value)
    assert (measured.low, measured.high) == (0.0, 1.0)
    nothing = np.zeros(3, dtype=np.int64)
    unknown = population_stability(nothing, nothing)
    assert np.isnan(unknown.value)
    assert (unknown.low, unknown.high) == (0.0, float("inf"))
