"""The walk over outcomes with unequal chances of a label."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from teams import GRID, error_of, plain, share_below

from roadworthy.risk import weighted
from roadworthy.risk.bets import log_wealth_of_losses
from roadworthy.risk.plain import from_plain, to_plain
from roadworthy.risk.walk import Of, held_back_by, together
from roadworthy.risk.weighted import (
    Terms,
    WeightedWalk,
    advance,
    begin,
    labels_needed,
    upper_bound_of,
)

SEEDS = st.integers(0, 2**32 - 1)


def terms_of(max_error: float = 0.05, least: float = 0.1, of: Of = "accepted") -> Terms:
    return Terms(np.linspace(0.9, 0, 10), 1, max_error, 0.9, least, of)


def some_outcomes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.where(rng.random(n) < 0.05, math.nan, rng.random(n))
    return scores, (rng.random(n) < 0.03).astype(float), rng.choice([0.1, 0.5, 1.0], n)


@settings(deadline=None)
@given(SEEDS, st.lists(st.integers(0, 700), max_size=4), st.sampled_from(["accepted", "all"]))
def test_how_outcomes_are_dealt_into_calls_makes_no_difference(
    seed: int, cuts: list[int], of: Of
) -> None:
    terms, outcomes = terms_of(of=of), some_outcomes(700, seed)
    together = advance(begin(terms), *outcomes, terms)
    walk = begin(terms)
    for part in np.split(np.arange(700), sorted(cuts)):
        scores, losses, chances = (values[part] for values in outcomes)
        walk = advance(walk, scores, losses, chances, terms)
        walk = from_plain(WeightedWalk, json.loads(json.dumps(to_plain(walk))))
    assert to_plain(walk) == to_plain(together)


@settings(deadline=None)
@given(SEEDS)
def test_the_evidence_of_a_threshold_is_that_of_the_outcomes_that_pass_it(seed: int) -> None:
    terms = terms_of()
    scores, losses, chances = some_outcomes(300, seed)
    walk = advance(begin(terms), scores, losses, chances, terms)
    for j, threshold in enumerate(terms.grid):
        passed = scores >= threshold
        path = log_wealth_of_losses(losses[passed], chances[passed], 0.05, 0.1)
        assert walk.log_evidence[j] == pytest.approx(path[-1] if path.size else 0.0, abs=1e-9)
        assert walk.crossed[j] == bool(path.size and path.max() >= math.log(10))
        assert (walk.n[j], walk.wrong[j]) == (passed.sum(), losses[passed].sum())


def test_of_all_requests_those_that_do_not_pass_are_right() -> None:
    terms = terms_of(least=1.0, of="all")
    scores = np.tile([0.95, 0.1, math.nan], 100)
    losses = np.tile([0.0, 1.0, 1.0], 100)
    walk = advance(begin(terms), scores, losses, np.ones(300), terms)
    assert walk.n.tolist() == [300] * 10
    assert walk.wrong.tolist() == [0] * 8 + [100] * 2
    assert walk.certified == 7
    assert walk.error[-1] == pytest.approx(1 / 3)


def test_what_was_audited_at_small_odds_counts_for_more() -> None:
    terms = terms_of()
    scores = np.array([0.95, 0.15])
    walk = advance(begin(terms), scores, np.array([1.0, 0.0]), np.array([0.1, 1.0]), terms)
    assert walk.error[-1] == pytest.approx(10 / 11)
    assert math.isnan(advance(begin(terms), scores[:0], scores[:0], scores[:0], terms).error[0])


@pytest.mark.parametrize(
    ("losses", "chances"),
    [
        ([0.0], [0.05]),
        ([0.0], [0.0]),
        ([0.0], [math.inf]),
        ([0.0], [math.nan]),
        ([1.5], [1.0]),
        ([math.nan], [1.0]),
    ],
)
def test_what_was_not_agreed_on_is_refused(losses: list[float], chances: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        advance(begin(terms_of()), np.ones(1), np.array(losses), np.array(chances), terms_of())


def test_without_thresholds_or_with_unknown_scores_nothing_is_certified() -> None:
    empty = Terms(np.empty(0), 0, 0.05, 0.9)
    assert advance(begin(empty), np.ones(3), np.zeros(3), np.ones(3), empty).certified is None
    terms = terms_of()
    unknown = advance(begin(terms), np.full(900, math.nan), np.zeros(900), np.ones(900), terms)
    assert (unknown.certified, unknown.n.max()) == (None, 0)


def test_a_loop_that_reviews_what_is_unsure_and_audits_the_rest_loosens_its_threshold() -> None:
    rng = np.random.default_rng(3)
    ranks = rng.random(30_000)
    is_wrong = rng.random(30_000) < plain(ranks)
    chances = np.where(ranks < 0.3, 0.05, 1.0)
    drawn = rng.random(30_000) < chances
    terms = Terms(GRID, 9, 0.05, 0.9, 0.05)
    walk = advance(begin(terms), 1 - ranks[drawn], is_wrong[drawn], chances[drawn], terms)
    assert walk.certified is not None
    share = 1 - GRID[walk.certified]
    assert 0.3 < share <= share_below(plain, 0.05) + 0.02
    assert walk.error[walk.certified] == pytest.approx(error_of(plain, share), abs=0.01)


@settings(deadline=None)
@given(SEEDS, st.sampled_from([0.02, 0.1, 0.4]))
def test_a_bound_is_where_the_walk_would_cross(seed: int, error: float) -> None:
    rng = np.random.default_rng(seed)
    losses, chances = (rng.random(200) < error).astype(float), rng.choice([0.1, 1.0], 200)
    bound = upper_bound_of(losses, chances, 0.9, 0.1)
    for at, is_crossed in ((bound - 0.001, False), (min(bound + 0.001, 0.999), True)):
        if 0 < at < bound or bound < 1:
            terms = Terms(np.zeros(1), 0, at, 0.9, 0.1)
            walk = advance(begin(terms), np.ones(200), losses, chances, terms)
            assert walk.crossed[0] == is_crossed


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 12))
def test_what_is_said_to_be_needed_is_about_enough_if_outcomes_go_on_alike(n: int, k: int) -> None:
    terms = terms_of(least=0.2)
    losses = np.zeros(n)
    losses[: min(k, n)] = 1.0
    walk = advance(begin(terms), np.ones(n), losses, np.full(n, 0.2), terms)
    needed = labels_needed(walk, 0, terms)
    if needed is None:
        assert (min(k, n) + 0.5) / (n + 1) > 0.8 * terms.max_error
    elif 0 < needed < 3000 and n > 50:
        again = math.ceil(needed / n)
        more = advance(
            walk, np.ones(n * again), np.tile(losses, again), np.full(n * again, 0.2), terms
        )
        assert more.crossed[0]


def test_groups_of_weighted_walks_go_together() -> None:
    terms = terms_of(least=1.0)
    large = advance(begin(terms), np.ones(300), np.zeros(300), np.ones(300), terms)
    walks = {"large": large, "small": begin(terms)}
    assert large.certified == 9
    assert together(walks).certified is None
    assert held_back_by(walks) == ("small",)


@pytest.mark.slow
def test_a_weighted_bound_is_above_the_error_as_often_as_said_and_1_without_outcomes() -> None:
    rng, broken = np.random.default_rng(8), 0
    for _ in range(200):
        chances = np.where(rng.random(2000) < 0.5, 0.3, 1.0)
        losses = (rng.random(2000) < np.where(chances < 1, 0.08, 0.02)).astype(float)
        drawn = rng.random(2000) < chances
        broken += upper_bound_of(losses[drawn], chances[drawn], 0.9, 0.3) < 0.05
    assert broken / 200 <= 0.1
    assert upper_bound_of(np.empty(0), np.empty(0), 0.9, 0.3) == 1


@pytest.mark.slow
def test_audits_that_favour_the_sure_break_the_promise_no_more_often_than_is_said() -> None:
    rng, broken, terms = np.random.default_rng(5), 0, Terms(GRID, 9, 0.05, 0.9, 0.02)
    for _ in range(200):
        ranks = rng.random(20_000)
        is_wrong = rng.random(20_000) < 0.0505
        chances = np.where(ranks < 0.5, 0.2, 0.02)
        drawn = rng.random(20_000) < chances
        walk = weighted.advance(
            begin(terms), 1 - ranks[drawn], is_wrong[drawn], chances[drawn], terms
        )
        broken += walk.certified is not None
    assert broken / 200 <= 0.1 + 3 * math.sqrt(0.09 / 200)
