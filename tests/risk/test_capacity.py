"""Bound and capacity: both, or what gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.risk.capacity import Demand, human_shares, least_of, load_of, plan
from roadworthy.risk.evidence import upper_bound

DEMANDS = st.builds(
    Demand,
    st.floats(1, 1e6),
    st.floats(0, 1e6),
    st.sampled_from([0.01, 0.05, 0.5]),
    st.floats(1, 200),
)
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(
    lambda found: np.array(sorted(found, reverse=True))
)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=60))
def test_a_person_gets_what_does_not_pass(scores: list[float]) -> None:
    grid, found = np.array([0.9, 0.5, 0.0]), np.array(scores)
    shares = human_shares(found, grid)
    for share, threshold in zip(shares, grid, strict=True):
        passed = (found >= threshold).mean() if scores else 0.0
        assert share == pytest.approx(1 - passed)


@settings(deadline=None)
@given(DEMANDS, SHARES, st.integers(-1, 19))
def test_a_plan_fits_or_each_way_out_makes_it_fit(
    demand: Demand, shares: np.ndarray, last: int
) -> None:
    certified = None if last < 0 else min(last, len(shares) - 1)
    found = plan(demand, shares, certified, lambda j: 0.5 + j / 100)
    share = 1.0 if certified is None else float(shares[certified])
    assert found.load == load_of(share, demand)
    if found.fits:
        assert found.load <= demand.capacity
        assert (found.reviewers, found.overflow_share, found.max_error) == (0, 0, None)
        more = demand._replace(audit_share=found.audit_share)
        assert load_of(share, more) <= demand.capacity * (1 + 1e-9) + 1e-6
        return
    more = demand._replace(capacity=demand.capacity + found.reviewers * demand.per_reviewer)
    assert found.load <= more.capacity * (1 + 1e-9)
    assert 0 < found.overflow_share <= 1
    if found.overflow_share < 1:
        reviews = demand.requests * share * (1 - found.overflow_share)
        audits = demand.requests * (1 - share) * demand.audit_share
        busy = reviews + 1.64 * math.sqrt(reviews) + audits
        assert busy <= demand.capacity * (1 + 1e-9) + 1e-6
    if found.least is None:
        assert found.max_error is None
    else:
        assert certified is None or found.least > certified
        assert load_of(float(shares[found.least]), demand) <= demand.capacity
        assert found.max_error == 0.5 + found.least / 100


@settings(deadline=None)
@given(DEMANDS, SHARES)
def test_the_strictest_threshold_of_a_capacity_is_the_first_that_fits(
    demand: Demand, shares: np.ndarray
) -> None:
    fits = [load_of(float(share), demand) <= demand.capacity for share in shares]
    assert least_of(shares, demand) == (fits.index(True) if any(fits) else None)


def test_the_reachable_bound_of_a_capacity_holds_though_nobody_corrected_it() -> None:
    rng, broken = np.random.default_rng(2), 0
    shares, demand = np.array([0.9, 0.6, 0.3, 0.1]), Demand(1000, 450, 0.05, 50)
    for _ in range(300):
        n = 400
        bounds = [upper_bound(int((rng.random(n) < 0.06).sum()), n, 0.9)] * 4
        found = plan(demand, shares, None, bounds.__getitem__)
        assert found.max_error is not None
        broken += found.max_error < 0.06
    assert broken / 300 <= 0.1


def test_busy_days_fit_19_times_of_20() -> None:
    reviews = np.random.default_rng(1).poisson(200, 10_000)
    share = (reviews + 40 <= load_of(0.2, Demand(1000, 0, 0.05, 1))).mean()
    assert share == pytest.approx(0.95, abs=0.01)
