"""What reviewers miss enters the bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from roadworthy.risk.evidence import (
    MOST_LABELS,
    binomial_p,
    labels_for_one_look,
    labels_needed,
    log_evidence,
)
from roadworthy.risk.reviewers import corrected_for_misses, error_behind

PLANTED = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(PLANTED, st.sampled_from([0.01, 0.05, 0.3]), st.sampled_from([0.8, 0.9, 0.99]))
def test_a_quarter_of_the_doubt_is_spent_on_the_misses(
    planted: tuple[int, int], max_error: float, sure: float
) -> None:
    missed, n = planted
    found = corrected_for_misses(max_error, sure, missed, n, is_planned=True)
    doubt = (1 - sure) / 4
    most = 1.0 if missed == n else beta.ppf(1 - doubt, missed + 1, n - missed)
    assert found.most_missed == pytest.approx(most, abs=1e-6)
    assert found.max_error == pytest.approx(max_error * (1 - most), abs=1e-6)
    assert (1 - found.sure) + doubt == pytest.approx(1 - sure)
    at_any_time = corrected_for_misses(max_error, sure, missed, n)
    assert at_any_time.max_error <= found.max_error + 1e-6


@settings(deadline=None)
@given(PLANTED)
def test_what_reviewers_see_and_what_is_behind_it_are_one_bound(planted: tuple[int, int]) -> None:
    found = corrected_for_misses(0.05, 0.9, *planted)
    behind = error_behind(found.max_error, found.most_missed)
    assert behind == pytest.approx(0.05 if found.most_missed < 1 else 1.0)


@pytest.mark.parametrize(("missed", "planted"), [(0, 0), (7, 7)])
def test_reviewers_of_whom_nothing_good_is_known_certify_nothing(missed: int, planted: int) -> None:
    found = corrected_for_misses(0.05, 0.9, missed, planted)
    assert found.max_error == 0
    assert log_evidence(0, 100_000, found.max_error) <= 0
    assert binomial_p(0, 100_000, found.max_error) == 1
    assert labels_needed(0, 100_000, found.max_error, found.sure) is None
    assert labels_for_one_look(found.max_error, found.sure) == MOST_LABELS


def test_reviewers_that_miss_some_keep_the_promise_when_that_is_counted() -> None:
    rng, naive, ours, n = np.random.default_rng(1), 0, 0, 3000
    for _ in range(500):
        seen = int(rng.binomial(n, 0.0201 * 0.7))
        found = corrected_for_misses(0.02, 0.9, int(rng.binomial(200, 0.3)), 200, is_planned=True)
        naive += binomial_p(seen, n, 0.02) <= 0.1
        ours += binomial_p(seen, n, found.max_error) <= 1 - found.sure
    assert naive / 500 > 0.4
    assert ours / 500 <= 0.1 + 3 * math.sqrt(0.09 / 500)
