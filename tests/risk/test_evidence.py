"""Counts as evidence, held against closed forms and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from roadworthy.risk.evidence import (
    binomial_p,
    interval,
    labels_for_one_look,
    labels_needed,
    log_evidence,
    most_automatic,
    upper_bound,
)

BOUNDS = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3])
COUNTS = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, BOUNDS)
def test_the_chance_of_so_few_errors_is_the_binomial_one(
    counts: tuple[int, int], max_error: float
) -> None:
    wrong, n = counts
    assert binomial_p(wrong, n, max_error) == pytest.approx(
        binom.cdf(wrong, n, max_error), rel=1e-9, abs=1e-300
    )


@given(COUNTS, st.sampled_from([0.8, 0.9, 0.99]))
def test_a_planned_bound_is_the_one_of_clopper_and_pearson(
    counts: tuple[int, int], sure: float
) -> None:
    wrong, n = counts
    expected = 1.0 if wrong == n else beta.ppf(sure, wrong + 1, n - wrong)
    assert upper_bound(wrong, n, sure, is_planned=True) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [1, 30, 400])
@pytest.mark.parametrize("max_error", [0.01, 0.05, 0.2])
def test_evidence_is_fair_at_the_bound_and_less_beyond_it(n: int, max_error: float) -> None:
    wrong = np.arange(n + 1)
    worth = np.exp(log_evidence(wrong, np.full(n + 1, n), max_error))
    assert binom.pmf(wrong, n, max_error) @ worth == pytest.approx(1)
    assert binom.pmf(wrong, n, 1.2 * max_error) @ worth < 1
    assert binom.pmf(wrong, n, 0.3 * max_error) @ worth > 1


@given(st.integers(1, 1_000_000), BOUNDS)
def test_many_errors_are_never_evidence(n: int, max_error: float) -> None:
    for wrong in (math.ceil(n * max_error), n):
        assert log_evidence(wrong, n, max_error) <= 0


def test_984_errors_of_1000_certify_nothing() -> None:
    assert log_evidence(984, 1000, 0.02) < -100


@given(COUNTS, st.sampled_from([0.8, 0.9]))
def test_a_bound_that_holds_at_any_time_is_no_smaller_than_a_planned_one(
    counts: tuple[int, int], sure: float
) -> None:
    wrong, n = counts
    at_any_time = upper_bound(wrong, n, sure)
    assert at_any_time >= upper_bound(wrong, n, sure, is_planned=True) - 1e-6
    if wrong < n and at_any_time < 1:
        assert log_evidence(wrong, n, at_any_time) >= -math.log1p(-sure) - 1e-6


@given(COUNTS, st.floats(0.001, 0.9), st.floats(1.001, 1.5))
def test_what_rules_out_an_error_rules_out_greater_ones(
    counts: tuple[int, int], max_error: float, times: float
) -> None:
    wrong, n = counts
    greater = min(times * max_error, 0.95)
    assert log_evidence(wrong, n, greater) >= log_evidence(wrong, n, max_error) - 1e-9


def test_a_bound_that_is_looked_at_all_the_time_covers_the_error_at_every_look() -> None:
    rng, missed = np.random.default_rng(3), 0
    n = np.arange(1, 3001)
    for _ in range(300):
        wrong = np.cumsum(rng.random(3000) < 0.05)
        worst = int(np.argmax(log_evidence(wrong, n, 0.05)))
        missed += upper_bound(int(wrong[worst]), worst + 1, 0.9) < 0.05
    assert missed / 300 <= 0.1 + 3 * math.sqrt(0.09 / 300)


@given(COUNTS, st.sampled_from([0.8, 0.95]))
def test_an_interval_of_a_share_is_the_exact_one(counts: tuple[int, int], sure: float) -> None:
    count, n = counts
    low, high = interval(count, n, sure)
    tail = (1 - sure) / 2
    assert low == pytest.approx(beta.ppf(tail, count, n - count + 1) if count else 0.0, abs=1e-6)
    expected = beta.ppf(1 - tail, count + 1, n - count) if count < n else 1.0
    assert high == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("max_error", "planned", "at_any_time"),
    [(0.01, 230, 390), (0.02, 114, 194), (0.05, 45, 76), (0.1, 22, 37)],
)
def test_so_many_outcomes_without_an_error_are_enough(
    max_error: float, planned: int, at_any_time: int
) -> None:
    assert binomial_p(0, planned, max_error) <= 0.1 < binomial_p(0, planned - 1, max_error)
    assert labels_needed(0, 0, max_error, 0.9) is None  # half an error of one says nothing yet
    assert log_evidence(0, at_any_time, max_error) >= math.log(10)
    assert log_evidence(0, at_any_time - 1, max_error) < math.log(10)


@given(COUNTS, BOUNDS)
def test_what_is_said_to_be_needed_is_enough_and_no_more(
    counts: tuple[int, int], max_error: float
) -> None:
    wrong, n = counts
    needed = labels_needed(wrong, n, max_error, 0.9)
    rate = (wrong + 0.5) / (n + 1)
    if needed is None:
        assert rate >= max_error or log_evidence(wrong, n, max_error) < math.log(10)
    else:
        assert log_evidence(wrong + rate * needed, n + needed, max_error) >= math.log(10)
        assert not needed or (
            log_evidence(wrong + rate * (needed - 1), n + needed - 1, max_error) < math.log(10)
        )


def test_one_look_needs_fewer_outcomes_where_the_bound_is_loose() -> None:
    sizes = [labels_for_one_look(max_error, 0.9) for max_error in (0.01, 0.02, 0.05, 0.1)]
    assert sizes == sorted(sizes, reverse=True)


def test_no_method_can_automate_more_than_the_right_answers_allow() -> None:
    assert most_automatic(0.0, 0.05) == 1
    assert most_automatic(0.3, 0.1) * 0.9 == pytest.approx(0.7)
