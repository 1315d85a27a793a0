"""Bets against real-valued, weighted and paired losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from roadworthy.risk.bets import (
    PAIR_BETS,
    log_wealth_of_losses,
    log_wealth_of_pairs,
    log_wealth_planned,
)
from roadworthy.risk.evidence import Floats


def test_weighted_evidence_is_fair_at_the_bound_whatever_the_odds_of_a_label() -> None:
    n, max_error, q = 6, 0.3, 0.5
    mean = 0.0
    for wrong in range(n + 1):  # labels fall out of order alike: the last capital is a product
        for labels in range(wrong, n + 1):
            losses = np.array([1.0] * wrong + [0.0] * (labels - wrong))
            chance = binom.pmf(labels, n, q) * binom.pmf(wrong, labels, max_error)
            log = log_wealth_of_losses(losses, np.full(labels, q), max_error, q)
            mean += chance * (math.exp(log[-1]) if labels else 1.0)
    assert mean == pytest.approx(1)


def test_outcomes_with_small_odds_stand_for_more() -> None:
    rare = np.array([0.05])
    sure = np.array([1.0])
    gain = [log_wealth_of_losses(np.zeros(1), q, 0.05, 0.05)[0] for q in (rare, sure)]
    loss = [log_wealth_of_losses(np.ones(1), q, 0.05, 0.05)[0] for q in (rare, sure)]
    assert gain[0] > gain[1] > 0 > loss[1] > loss[0]


def test_odds_that_were_not_recorded_as_least_are_refused() -> None:
    with pytest.raises(ValueError, match="propensities"):
        log_wealth_of_losses(np.zeros(2), np.array([0.05, 0.01]), 0.02, 0.05)
    with pytest.raises(ValueError, match="losses"):
        log_wealth_of_losses(np.array([1.5]), np.ones(1), 0.02, 0.05)
    assert log_wealth_of_losses(np.empty(0), np.empty(0), 0.02, 0.05).size == 0


def test_a_risk_that_swings_is_not_certified_below_its_running_average() -> None:
    rng = np.random.default_rng(2)
    certified = 0
    for _ in range(200):
        risk = np.where(
            np.arange(6000) // 300 % 2 == 0, 0.12, 0.01
        )  # on average .065, at first .12
        losses = (rng.random(6000) < risk).astype(float)
        path = log_wealth_of_losses(losses, np.ones(6000), 0.05, 1.0)
        certified += path.max() >= math.log(10)
    assert certified <= 2


@pytest.mark.parametrize("mean", [0.0, 0.02])
def test_planned_bets_break_their_promise_no_more_often_than_they_say(mean: float) -> None:
    rng = np.random.default_rng(4)
    broken = sum(
        log_wealth_planned(_floor_losses(mean, 1500, rng), 0.0, 0.9, 1500, -0.05, 0.95).max()
        >= math.log(10)
        for _ in range(400)
    )
    assert broken / 400 <= 0.1 + 3 * math.sqrt(0.09 / 400)


def test_planned_bets_see_what_keeps_the_floor() -> None:
    rng = np.random.default_rng(4)
    seen = sum(
        log_wealth_planned(_floor_losses(-0.03, 1500, rng), 0.0, 0.9, 1500, -0.05, 0.95).max()
        >= math.log(10)
        for _ in range(200)
    )
    assert seen / 200 > 0.9
    with pytest.raises(ValueError, match="losses"):
        log_wealth_planned(np.array([2.0]), 0.0, 0.9, 10)


def test_pairs_that_do_not_differ_are_rolled_back_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(6)
    rolled_back = sum(
        log_wealth_of_pairs(_pairs(0.05, 0.05, 3000, rng)).max() >= math.log(20) for _ in range(400)
    )
    assert rolled_back / 400 <= 0.05


def test_a_canary_twice_as_bad_is_found_within_some_hundreds_of_users() -> None:
    rng = np.random.default_rng(7)
    users = []
    for _ in range(100):
        path = log_wealth_of_pairs(_pairs(0.1, 0.05, 4000, rng))
        users.append(int(np.argmax(path >= math.log(20))) if path.max() >= math.log(20) else 4000)
    assert np.mean(users) < 700


def test_a_canary_as_good_is_promoted_within_its_largest_regression() -> None:
    rng = np.random.default_rng(8)
    promoted = sum(
        log_wealth_of_pairs(-_pairs(0.05, 0.05, 4000, rng), -0.02).max() >= math.log(10)
        for _ in range(100)
    )
    assert promoted > 80


def test_no_pair_can_ruin_a_bet_and_none_beyond_one_is_taken() -> None:
    worst = log_wealth_of_pairs(np.array([-1.0]))
    assert worst[0] == pytest.approx(math.log(np.mean(1 - PAIR_BETS)))
    assert np.isfinite(log_wealth_of_pairs(np.array([-1.0]), 0.02)).all()
    with pytest.raises(ValueError, match="differences"):
        log_wealth_of_pairs(np.array([1.5]))


def _floor_losses(mean: float, n: int, rng: np.random.Generator) -> Floats:
    """Losses against 95 % of a strong model's quality, in [-.05, .95]."""
    return np.where(rng.random(n) < mean + 0.05, 0.95, -0.05)


def _pairs(canary: float, champion: float, n: int, rng: np.random.Generator) -> Floats:
    ours, theirs = rng.random(n) < canary, rng.random((n, 19)) < champion
    differences: Floats = ours.astype(float) - theirs.mean(axis=1)
    return differences
