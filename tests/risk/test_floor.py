"""A floor over all requests: what is lost is paid from what is gained, and a broken one is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.risk import audit, floor
from roadworthy.risk.bets import STRENGTHS
from roadworthy.risk.floor import Pairs

GRID = np.array([0.75, 0.5, 0.25, 0.0])


def pairs_of(scores: np.ndarray, quality: np.ndarray, reference: np.ndarray) -> Pairs:
    return Pairs(scores, quality, reference, np.ones(len(scores)))


def test_evidence_is_the_mean_of_constant_bets() -> None:
    random = np.random.default_rng(0)
    quality, reference = (random.random((2, 50)) < 0.8).astype(float)
    found = floor.advance(
        floor.begin(1, 0), pairs_of(np.ones(50), quality, reference), np.array([0.5]), 0.95, 0.9
    )
    lost = 0.95 * reference - quality
    wealth = np.prod(1 - STRENGTHS[:, None] / 0.95 * lost, axis=1).mean()
    assert found.log_evidence[0] == pytest.approx(math.log(wealth))


@given(st.integers(1, 40))
def test_it_is_the_same_however_pairs_are_dealt(size: int) -> None:
    random = np.random.default_rng(1)
    some = pairs_of(random.random(120), *(random.random((2, 120)) < 0.8).astype(float))
    whole = floor.advance(floor.begin(4, 0), some, GRID, 0.9, 0.9)
    dealt = floor.begin(4, 0)
    for begun in range(0, 120, size):
        part = Pairs(*(column[begun : begun + size] for column in some))
        dealt = floor.advance(dealt, part, GRID, 0.9, 0.9)
    assert np.allclose(whole.logs, dealt.logs)
    assert whole.crossed.tolist() == dealt.crossed.tolist()
    assert (whole.n, whole.routed.tolist()) == (dealt.n, dealt.routed.tolist())


def test_what_is_not_routed_loses_nothing() -> None:
    zeros = np.zeros(400)
    found = floor.advance(
        floor.begin(4, 0), pairs_of(zeros + 0.1, zeros, zeros + 1), GRID, 0.95, 0.9
    )
    assert found.certified == 2, "every score lies below .25"
    assert found.error(0.95).round(6).tolist() == [0.0, 0.0, 0.0, 1.0]


def test_an_unknown_score_goes_to_the_reference() -> None:
    unknown = np.full(10, np.nan)
    lost = floor.losses_of(pairs_of(unknown, np.zeros(10), np.ones(10)), GRID, 0.95)
    assert np.allclose(lost, -0.05)


def test_a_seldom_compared_pair_weighs_more() -> None:
    chances = np.array([1.0] * 20 + [20.0] * 400)
    scores = np.array([0.9] * 20 + [0.1] * 400)
    quality = np.array([0.0] * 20 + [1.0] * 400)
    some = Pairs(scores, quality, np.ones(420), chances)
    found = floor.advance(floor.begin(4, 0), some, GRID, 0.95, 0.9)
    assert found.error(0.95)[0] == pytest.approx(0.5)


def test_a_broken_floor_is_certified_no_more_often_than_it_says() -> None:
    random, broken = np.random.default_rng(2), 0
    for _ in range(400):
        reference = (random.random(1500) < 0.8).astype(float)
        quality = reference * (random.random(1500) > 0.0525)
        some = pairs_of(np.ones(1500), quality, reference)
        broken += floor.advance(floor.begin(1, 0), some, GRID[1:2], 0.95, 0.9).certified == 0
    assert broken / 400 <= 0.1


def test_a_detector_rests_while_the_floor_is_kept_and_finds_that_it_is_not() -> None:
    random = np.random.default_rng(3)
    quiet = audit.begin()
    for reference in (random.random(5000) < 0.8).astype(float):
        quiet = floor.see(quiet, 0.95 * reference - reference, 1.0)
    assert not audit.is_alarm(quiet, 1000)
    seen = 0
    while seen < 400:
        seen += 1
        quiet = floor.see(quiet, 0.95 * 1.0 - float(random.random() < 0.7), 1.0)
        if audit.is_alarm(quiet, 1000):
            break
    assert seen < 200


def test_a_false_alarm_is_as_rare_as_the_run_length_says() -> None:
    random, lengths = np.random.default_rng(4), []
    for _ in range(100):
        detector, seen = audit.begin(), 0
        while seen < 1000:  # just kept: nothing is lost in the mean
            seen += 1
            lost = 0.95 if random.random() < 0.05 else -0.05
            detector = floor.see(detector, lost, 1.0)
            if audit.is_alarm(detector, 500):
                break
        lengths.append(seen)
    assert np.mean(lengths) >= 500


@pytest.mark.parametrize("quality", [-0.1, 1.1])
def test_a_quality_that_is_none_is_refused(quality: float) -> None:
    some = pairs_of(np.ones(1), np.array([quality]), np.ones(1))
    with pytest.raises(ValueError, match="from 0 to 1"):
        floor.advance(floor.begin(4, 0), some, GRID, 0.95, 0.9)


def test_how_many_pairs_are_needed_is_right() -> None:
    least = floor.least_pairs(0.95, 0.9)
    ones = np.ones(least)
    assert floor.advance(
        floor.begin(4, 0), pairs_of(ones, ones, ones), GRID, 0.95, 0.9
    ).crossed.all()
    fewer = np.ones(least - 1)
    walk = floor.advance(floor.begin(4, 0), pairs_of(fewer, fewer, fewer), GRID, 0.95, 0.9)
    assert not walk.crossed.any()
    assert floor.pairs_needed(walk, 0, 0.9, 10**6) in (1, 2)
