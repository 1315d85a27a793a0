"""The promise of a rollout, kept before a thousand of them."""

import pytest
from canaries import (
    FALSE_ALARM,
    both_verdicts,
    by_requests,
    by_users,
    clustered,
    independent,
    msprt,
    peeked_z,
    shadowed,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("draw", [independent, clustered, shadowed])
def test_a_candidate_that_is_equal_is_rolled_back_as_rarely_as_promised(draw: object) -> None:
    found = by_users(draw, 0.05, 0.05, users=2000, runs=600, seed=1)  # type: ignore[arg-type]
    assert found.share <= FALSE_ALARM


def test_tests_of_requests_break_the_promise_where_users_ask_more_than_once() -> None:
    terms = {"users": 1500, "runs": 150, "seed": 2}
    assert by_requests(clustered, peeked_z, 0.05, 0.05, **terms).share > 0.4
    assert by_requests(clustered, msprt, 0.05, 0.05, **terms).share > 0.15


def test_twice_as_many_failures_are_found_within_so_many_pairs() -> None:
    terms = {"users": 3000, "runs": 500, "seed": 3}
    alone = by_users(independent, 0.1, 0.05, **terms)
    assert alone.share == 1.0
    assert alone.pairs <= 450
    together = by_users(clustered, 0.1, 0.05, **terms)
    assert together.share == 1.0
    assert together.requests <= 2100
    beside = by_users(shadowed, 0.1, 0.05, **terms)
    assert beside.share == 1.0
    assert beside.pairs <= 220


def test_equal_ones_are_promoted_and_ones_at_the_margin_are_not() -> None:
    equal = both_verdicts(0.05, 0.05, users=4000, runs=400, seed=4)
    assert equal.promoted >= 0.95
    assert equal.rolled_back <= 0.05
    worse = both_verdicts(0.07, 0.05, users=4000, runs=400, seed=5)
    assert worse.promoted <= 0.1
    much_worse = both_verdicts(0.1, 0.05, users=3000, runs=400, seed=6)
    assert much_worse.rolled_back >= 0.99
    assert much_worse.pairs < 300
