"""The walk over thresholds: where it begins, where it stops, what it counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.risk.evidence import binomial_p
from roadworthy.risk.walk import (
    Walk,
    advance,
    begin,
    counts_at,
    grid_of,
    held_back_by,
    look_once,
    start_at_share,
    start_for_one_look,
    sure_of_epoch,
    together,
)

SCORES = st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=60).map(np.array)


@given(SCORES, st.integers(1, 50))
def test_a_grid_falls_and_its_last_threshold_lets_all_known_scores_pass(
    scores: np.ndarray, points: int
) -> None:
    grid = grid_of(scores, points)
    known = scores[~np.isnan(scores)]
    assert (np.diff(grid) < 0).all()
    assert len(grid) <= points
    if known.size:
        assert grid[-1] == known.min()


@given(SCORES, st.randoms())
def test_a_threshold_counts_what_reaches_it_and_nothing_unknown(
    scores: np.ndarray, random: st.DataObject
) -> None:
    is_wrong = np.array([random.random() < 0.3 for _ in scores])  # type: ignore[attr-defined]
    grid = np.array([0.9, 0.5, 0.1, 0.0])
    n, wrong = counts_at(scores, is_wrong, grid)
    for j, threshold in enumerate(grid):
        assert n[j] == (scores >= threshold).sum()
        assert wrong[j] == (is_wrong & (scores >= threshold)).sum()


def test_a_walk_ends_before_its_first_gap_whatever_lies_behind() -> None:
    nothing = np.zeros(5, np.int64)
    flags = np.array([True, True, False, True, True])
    assert Walk(nothing, nothing, flags, 0).certified == 1
    assert Walk(nothing, nothing, flags, 2).certified is None
    assert Walk(nothing, nothing, flags, 3).certified == 4
    assert Walk(nothing, nothing, np.ones(5, bool), 5).certified is None


def test_what_has_crossed_once_stays_certified() -> None:
    grid = np.array([0.5])
    walk = advance(begin(1, 0), np.full(200, 0.9), np.zeros(200, bool), grid, 0.02, 0.9)
    assert walk.certified == 0
    walk = advance(walk, np.full(50, 0.9), np.ones(50, bool), grid, 0.02, 0.9)
    assert walk.certified == 0
    assert (walk.n[0], walk.wrong[0]) == (250, 50)


def test_outcomes_may_come_one_by_one_or_together_and_count_alike() -> None:
    rng = np.random.default_rng(3)
    scores, grid = rng.random(300), np.linspace(0.9, 0, 10)
    is_wrong = rng.random(300) < 0.01
    together = advance(begin(10, 1), scores, is_wrong, grid, 0.05, 0.9)
    walk = begin(10, 1)
    for k in range(300):
        walk = advance(walk, scores[k : k + 1], is_wrong[k : k + 1], grid, 0.05, 0.9)
    assert walk.n.tolist() == together.n.tolist()
    assert walk.wrong.tolist() == together.wrong.tolist()
    assert (walk.crossed | ~together.crossed).all()  # looked at more often, so never less


def test_unknown_and_equal_scores_certify_only_what_their_outcomes_do() -> None:
    grid = np.array([0.5])
    unknown = advance(begin(1, 0), np.full(500, math.nan), np.zeros(500, bool), grid, 0.02, 0.9)
    assert (unknown.certified, unknown.n[0]) == (None, 0)
    equal = advance(begin(1, 0), np.full(500, 0.5), np.arange(500) % 10 == 0, grid, 0.02, 0.9)
    assert equal.certified is None
    wrong = advance(begin(1, 0), np.full(1000, 0.9), np.ones(1000, bool), grid, 0.02, 0.9)
    assert wrong.certified is None


def test_one_look_passes_threshold_after_threshold_until_the_exact_test_fails() -> None:
    rng = np.random.default_rng(5)
    ranks = rng.random(3000)
    scores, is_wrong = 1 - ranks, rng.random(3000) < 0.5 * ranks**2.63
    grid = 1 - np.arange(1, 47) / 46
    start = start_for_one_look(rng.random(4000), grid, 3000, 0.02, 0.9)
    walk = look_once(scores, is_wrong, grid, start, 0.02, 0.9)
    last = walk.certified
    assert last is not None
    assert last > start
    passes = [binomial_p(int(walk.wrong[j]), int(walk.n[j]), 0.02) <= 0.1 for j in range(46)]
    assert all(passes[start : last + 1])
    assert not passes[last + 1]


def test_a_walk_begins_where_enough_traffic_passes() -> None:
    scores = np.linspace(0, 1, 1001)
    grid = grid_of(scores, 10)
    assert start_at_share(scores, grid, 0.2) == 1
    assert start_at_share(np.full(10, -1.0), grid, 0.2) == len(grid)
    assert start_for_one_look(scores, grid, 800, 0.02, 0.9) == 4
    assert start_for_one_look(scores, grid, 0, 0.02, 0.9) == 9


@pytest.mark.parametrize("scores", [np.empty(0), np.full(3, math.nan)])
def test_without_a_known_score_there_is_no_threshold(scores: np.ndarray) -> None:
    assert grid_of(scores).size == 0
    assert (
        look_once(scores, np.zeros(len(scores), bool), np.empty(0), 0, 0.02, 0.9).certified is None
    )


def some_walk(crossed: list[bool], start: int = 0) -> Walk:
    counts = np.full(len(crossed), 100)
    return Walk(counts, counts // 50, np.array(crossed), start)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4))
def test_groups_go_together_as_far_as_the_least_certified_of_them(flags: list[list[bool]]) -> None:
    walks = {str(k): some_walk(crossed) for k, crossed in enumerate(flags)}
    ends = [-1 if walk.certified is None else walk.certified for walk in walks.values()]
    joint = together(walks).certified
    assert (-1 if joint is None else joint) == min(ends)
    held = held_back_by(walks)
    assert bool(held) == (min(ends) < 5)
    assert set(held) <= {name for name, end in zip(walks, ends, strict=True) if end == min(ends)}


def test_a_group_without_outcomes_holds_all_back() -> None:
    walks = {"large": some_walk([True] * 3), "small": begin(3, 0)}
    assert together(walks).certified is None
    assert held_back_by(walks) == ("small",)
    with pytest.raises(ValueError, match="at least one"):
        together({})


def test_one_threshold_for_groups_is_wrong_for_any_of_them_no_more_often_than_is_said() -> None:
    rng, broken, grid = np.random.default_rng(9), 0, np.array([0.5])
    for _ in range(400):
        walks = {
            name: advance(begin(1, 0), np.ones(n), rng.random(n) < risk, grid, 0.05, 0.9)
            for name, n, risk in (("a", 3000, 0.01), ("b", 900, 0.0505))
        }
        broken += together(walks).certified is not None
    assert broken / 400 <= 0.1


def test_a_bound_of_all_requests_is_easier_to_keep_than_one_of_the_accepted() -> None:
    rng = np.random.default_rng(4)
    scores, grid = rng.random(3000), np.linspace(0.9, 0, 10)
    is_wrong = rng.random(3000) < 0.6 * (1 - scores) ** 2
    accepted = advance(begin(10, 1), scores, is_wrong, grid, 0.05, 0.9).certified
    everyone = advance(begin(10, 1), scores, is_wrong, grid, 0.05, 0.9, of="all").certified
    assert accepted is not None
    assert everyone is not None
    assert everyone > accepted


def test_epochs_share_the_doubt_of_a_lifetime() -> None:
    doubts = [1 - sure_of_epoch(0.9, number) for number in range(1, 2000)]
    assert sum(doubts) == pytest.approx(0.1, rel=1e-3)
    assert doubts == sorted(doubts, reverse=True)
