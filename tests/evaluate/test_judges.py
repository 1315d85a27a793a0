"""What a judge's word is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.judges import (
    Agreement,
    agreement_of,
    corrected_metric,
    corrected_rate,
)

COUNTS = st.integers(0, 300)


def test_agreement_counts_what_people_and_the_judge_say() -> None:
    found = agreement_of([(True, True), (True, False), (False, False), (None, False)])
    assert found == Agreement(right=1, found_right=1, wrong=2, found_wrong=1, unknown=1)
    assert found.sensitivity().value == 1
    assert found.specificity().value == 0.5
    assert found.doubt(True) == pytest.approx(0.9747, abs=1e-3)  # one of two, Clopper and Pearson
    assert Agreement(9, 9, 0, 0).doubt(True) == 1
    assert Agreement(100, 100, 100, 100).doubt(False) == pytest.approx(1 - 0.05 ** (1 / 100))


def test_a_perfect_judge_leaves_the_rate_as_it_found_it() -> None:
    found = corrected_rate(700, 1000, Agreement(10_000, 10_000, 10_000, 10_000))
    assert found.value == 0.7
    assert found.high - found.low < 0.08


def test_a_kind_judge_is_corrected_downwards() -> None:
    # It finds all right answers right, and half of the wrong ones: 80 % found are 60 % true.
    found = corrected_rate(800, 1000, Agreement(5000, 5000, 5000, 2500))
    assert found.value == pytest.approx(0.6)
    assert found.low < 0.6 < found.high


@pytest.mark.parametrize(
    "agreement",
    [
        Agreement(0, 0, 0, 0),
        Agreement(100, 100, 0, 0),
        Agreement(0, 0, 100, 100),
        Agreement(100, 50, 100, 50),
        Agreement(3, 3, 3, 3),
        Agreement(100, 10, 100, 10),
    ],
)
def test_a_judge_that_may_be_a_coin_says_nothing(agreement: Agreement) -> None:
    found = corrected_rate(90, 100, agreement)
    assert (found.low, found.high) == (0, 1)


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(1, 300), st.floats(0, 1))
def test_an_interval_holds_its_value_and_stays_a_share(
    right: int, wrong: int, missed: int, passed: int, n: int, share: float
) -> None:
    agreement = Agreement(right, max(right - missed, 0), wrong, max(wrong - passed, 0))
    found = corrected_rate(share * n, n, agreement)
    assert 0 <= found.low <= found.high <= 1
    assert math.isnan(found.value) or found.low <= found.value <= found.high


@given(st.integers(20, 200), st.integers(0, 5), st.integers(0, 5))
def test_more_labels_never_leave_more_open(labels: int, missed: int, passed: int) -> None:
    few = corrected_rate(70, 100, Agreement(labels, labels - missed, labels, labels - passed))
    many = corrected_rate(
        70,
        100,
        Agreement(labels * 4, (labels - missed) * 4, labels * 4, (labels - passed) * 4),
    )
    assert many.high - many.low <= few.high - few.low + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "finds", "passes", "n", "labels"),
    [
        (0.9, 0.95, 0.9, 200, 100),
        (0.5, 0.8, 0.7, 300, 80),
        (0.97, 0.99, 0.6, 150, 60),
        (0.1, 0.9, 0.95, 100, 200),
        (1.0, 0.9, 0.9, 50, 50),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    rate: float, finds: float, passes: float, n: int, labels: int
) -> None:
    random = np.random.default_rng(7)
    draws = 150
    covered = 0
    for _ in range(draws):
        agreement = Agreement(
            labels,
            int(random.binomial(labels, finds)),
            labels,
            int(random.binomial(labels, passes)),
        )
        found = random.binomial(n, rate * finds + (1 - rate) * (1 - passes))
        low_high = corrected_rate(int(found), n, agreement, 0.9)
        covered += low_high.low <= rate <= low_high.high
    assert covered / draws >= 0.9


def test_what_the_judge_said_alone_would_not_cover_it() -> None:
    # 900 cases of which half are right: a judge that is too kind finds 64 % so.
    metric = corrected_metric("judge", 576, 900, Agreement(800, 760, 800, 536))
    assert metric.value == pytest.approx((0.64 - 0.33) / 0.62, abs=0.01)
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < 0.5 < metric.high < 0.64
    assert "95% of right answers right (800 labels)" in metric.why


def test_a_judge_without_labels_can_pass_no_gate() -> None:
    for agreement in (None, Agreement(5, 5, 0, 0)):
        metric = corrected_metric("judge", 100, 100, agreement)
        assert (metric.value, metric.low, metric.high, metric.n) == (1.0, 0.0, 1.0, 100)
        assert "not held against people" in metric.why


def test_without_cases_there_is_nothing_to_measure() -> None:
    assert corrected_metric("judge", 0, 0, Agreement(9, 9, 9, 9)).value is None
