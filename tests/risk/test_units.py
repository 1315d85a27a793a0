"""One outcome for each unit and window, picked by a coin whose odds are known."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from teams import clustered

from roadworthy.risk.units import MOST_OF_A_UNIT, Candidate, chance_of_pick, pick, window_of
from roadworthy.risk.weighted import Terms, advance, begin

CHANCES = st.lists(st.sampled_from([0.01, 0.05, 0.3, 1.0]), min_size=1, max_size=7)
CANDIDATES = st.lists(
    st.builds(
        lambda unit, window, drawn: (unit, window, drawn),
        st.sampled_from("abc"),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=40,
).map(
    lambda rows: [
        Candidate(f"rq_{k}", unit, window, 0.5, drawn)
        for k, (unit, window, drawn) in enumerate(rows)
    ]
)


@settings(deadline=None)
@given(CHANCES)
def test_the_chance_of_a_pick_is_that_of_all_ways_the_coins_may_fall(chances: list[float]) -> None:
    m = len(chances)
    expected = np.zeros(m)
    for drawn in product([False, True], repeat=m):
        odds = math.prod(q if d else 1 - q for q, d in zip(chances, drawn, strict=True))
        if any(drawn):
            expected += odds * np.array(drawn) / sum(drawn)
    found = [chance_of_pick(np.array(chances), k) for k in range(m)]
    assert found == pytest.approx(expected.tolist(), rel=1e-9)
    for q, chance in zip(chances, found, strict=True):
        assert m * chance >= min(chances) * (1 - 1e-9)
        assert chance <= q * (1 + 1e-9)  # another may be picked in its place


@settings(deadline=None)
@given(CANDIDATES)
def test_each_unit_and_window_counts_once_if_a_request_of_it_was_drawn(
    candidates: list[Candidate],
) -> None:
    found = pick(candidates)
    picked = [candidates[one.position] for one in found]
    assert all(one.is_drawn for one in picked)
    units = [(one.unit, one.window) for one in picked]
    assert len(set(units)) == len(units)
    assert set(units) == {(one.unit, one.window) for one in candidates if one.is_drawn}
    assert [one.position for one in found] == sorted(one.position for one in found)
    assert all(one.propensity >= 0.5 - 1e-9 for one in found)


@settings(deadline=None)
@given(CANDIDATES)
def test_the_order_of_requests_and_outcomes_chooses_nothing(candidates: list[Candidate]) -> None:
    forward = {candidates[one.position].request_id for one in pick(candidates)}
    backward = {candidates[::-1][one.position].request_id for one in pick(candidates[::-1])}
    assert forward == backward


def test_every_request_of_a_unit_is_picked_as_often_as_the_others() -> None:
    counts = np.zeros(4)
    for unit in range(4000):
        day = [Candidate(f"rq_{unit}_{k}", str(unit), 0, 1.0, True) for k in range(4)]
        counts[pick(day)[0].position] += 1
    assert counts / 4000 == pytest.approx([0.25] * 4, abs=0.03)


def test_of_a_unit_with_very_many_requests_some_stand_for_all() -> None:
    crowd = [Candidate(f"rq_{k}", "bot", 0, 0.05, k % 20 == 0) for k in range(3000)]
    (found,) = pick(crowd)
    assert crowd[found.position].is_drawn
    assert found.propensity == pytest.approx(1 - 0.95**MOST_OF_A_UNIT)


def test_a_chance_that_was_not_recorded_is_refused() -> None:
    for chance in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="propensity"):
            pick([Candidate("rq_1", "ada", 0, chance, True)])
    assert pick([]) == []


def test_a_window_is_of_the_request() -> None:
    assert [window_of(at, 3600) for at in (-1.0, 0.0, 3599.0, 3600.0)] == [-1, 0, 0, 1]


@pytest.mark.slow
def test_picked_outcomes_keep_the_promise_that_all_outcomes_of_clustered_users_break() -> None:
    rng, terms = np.random.default_rng(6), Terms(np.zeros(1), 0, 0.05, 0.9, 0.3)
    ours = naive = 0
    for team in range(200):
        wrong, users = clustered(0.051, 2000, rng)
        drawn = rng.random(2000) < 0.3
        candidates = [
            Candidate(f"rq_{team}_{k}", str(user), 0, 0.3, bool(drawn[k]))
            for k, user in enumerate(users)
        ]
        found = pick(candidates)
        at = np.array([one.position for one in found])
        chances = np.array([one.propensity for one in found])
        ours += advance(begin(terms), np.ones(len(at)), wrong[at], chances, terms).crossed[0]
        naive += advance(
            begin(terms), np.ones(drawn.sum()), wrong[drawn], np.full(drawn.sum(), 0.3), terms
        ).crossed[0]
    assert ours / 200 <= 0.1
    assert naive >= ours
