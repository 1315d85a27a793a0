"""Drift of features: rarely alarmed without it, soon with it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.risk.drift import DriftDetector, Ranking, begin, is_alarm, moved, see
from roadworthy.risk.evidence import Floats
from roadworthy.risk.plain import from_plain, to_plain


def records(n: int, features: int, seed: int) -> Floats:
    """Records whose features hang together, one of whole numbers and one that is often missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, features)) + rng.normal(size=(n, 1))
    rows[:, 0] = rng.poisson(2, n)
    rows[rng.random(n) < 0.3, 1] = math.nan
    return rows


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=3), st.integers(0, 99))
def test_how_records_are_dealt_into_calls_makes_no_difference(cuts: list[int], seed: int) -> None:
    ranking, start = begin(records(80, 4, seed))
    rows = records(60, 4, seed + 1)
    together, apart = see(start, ranking, rows), start
    for part in np.split(rows, sorted(cuts)):
        apart = see(apart, ranking, part)
        apart = from_plain(DriftDetector, json.loads(json.dumps(to_plain(apart))))
    assert to_plain(apart) == to_plain(together)


def test_the_statistic_is_that_of_ranks_among_all_so_far() -> None:
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 4, (60, 1)).astype(np.float64)
    rows = rng.integers(0, 4, (30, 1)).astype(np.float64)
    ranking, start = begin(reference)
    found = see(start, ranking, rows, seed=5)
    seen, values, bets = reference[1::2, 0].tolist(), np.zeros(4), np.array([-0.8, -0.4, 0.4, 0.8])
    for n, value in enumerate(rows[:, 0].tolist()):
        seen.append(value)
        tie = np.random.default_rng([5, n]).random()
        below = sum(one < value for one in seen)
        rank = (below + tie * sum(one == value for one in seen)) / len(seen)
        values = (values + 1) * (1 + bets * (2 * rank - 1))
    assert found.logs[0] == pytest.approx(np.log(values))
    assert found.log_level == pytest.approx(math.log(values.mean()))


def test_without_drift_an_alarm_is_as_rare_as_was_asked() -> None:
    alarms = 0
    for seed in range(40):
        ranking, detector = begin(records(200, 5, seed))
        for part in np.split(records(600, 5, 1000 + seed), 12):
            detector = see(detector, ranking, part, seed)
            if is_alarm(detector, 6000):
                alarms += 1
                break
    assert alarms / 40 <= 0.1 + 3 * math.sqrt(0.09 / 40)  # 600 records of 6,000


@pytest.mark.parametrize("feature", [0, 1, 4])
def test_a_feature_that_moves_is_found_and_named(feature: int) -> None:
    ranking, detector = begin(records(500, 5, 1))
    detector = see(detector, ranking, records(300, 5, 2))
    assert not is_alarm(detector, 10_000)
    rows = records(400, 5, 3)
    rows[:, feature] = np.nan if feature == 1 else rows[:, feature] + 1.5
    detector = see(detector, ranking, rows)
    assert is_alarm(detector, 10_000)
    assert moved(detector)[0] == feature


def test_of_features_that_did_not_move_one_is_named_and_none_before_the_first_record() -> None:
    ranking, detector = begin(records(200, 5, 1))
    assert moved(detector) == ()
    assert len(moved(see(detector, ranking, records(50, 5, 2)))) == 1


def test_what_cannot_be_ranked_is_refused_or_seen_without_harm() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        begin(np.zeros((1, 3)))
    ranking, detector = begin(np.full((40, 1), math.nan))
    detector = see(detector, ranking, np.full((50, 1), math.nan))
    assert not is_alarm(detector, 100)
    assert is_alarm(see(detector, ranking, np.zeros((60, 1))), 10_000)
    ranking, detector = begin(np.zeros((40, 1)))
    far = see(detector, ranking, np.tile([[math.inf], [-math.inf]], (20, 1)))
    assert math.isfinite(far.log_level)
    ranking, detector = begin(np.empty((10, 0)))
    assert ranking == Ranking(())
    assert not is_alarm(see(detector, ranking, np.empty((5, 0))), 10)


@pytest.mark.slow
def test_one_of_50_features_that_shifts_is_found_within_some_hundred_records() -> None:
    delays, alarms = [], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ranking, detector = begin(rng.normal(size=(2000, 50)))
        detector = see(detector, ranking, rng.normal(size=(1000, 50)))
        alarms += is_alarm(detector, 120_000)
        rows = rng.normal(size=(600, 50))
        rows[:, 7] += 0.5
        for end in range(10, 600, 10):
            detector = see(detector, ranking, rows[end - 10 : end])
            if is_alarm(detector, 120_000):
                delays.append(end)
                break
    assert alarms <= 1
    assert len(delays) == 20
    assert np.median(delays) < 250
