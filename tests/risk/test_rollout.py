"""One metric of a rollout: two fortunes, a band, and how long it still takes."""

import math

import numpy as np
import pytest
from canaries import blocks
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.risk import rollout
from roadworthy.risk.bets import PAIR_BETS, log_wealth_of_pairs
from roadworthy.risk.evidence import Floats
from roadworthy.risk.rollout import BETS, Evidence, band, begin_step, needed, see

Differences = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


@given(Differences, st.sampled_from([0.01, 0.02, 0.2]))
def test_a_pair_at_a_time_comes_to_what_whole_arrays_do(found: list[float], allowed: float) -> None:
    evidence = _seen(found, allowed)
    worse = log_wealth_of_pairs(np.array(found))
    assert evidence.log_worse == pytest.approx(worse[-1], abs=1e-9)
    assert evidence.most_worse == pytest.approx(max(worse.max(), 0.0), abs=1e-9)
    better = log_wealth_of_pairs(-np.array(found), -allowed)[-1]
    assert evidence.log_better == pytest.approx(better, abs=1e-9)
    assert tuple(PAIR_BETS) == BETS


def test_a_difference_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 to 1"):
        see(Evidence(0.02), 1.01)


@given(Differences, Differences, st.floats(0.5, 5), st.floats(0.5, 5))
@settings(deadline=None)
def test_the_band_never_contradicts_what_the_bets_decide(
    before: list[float], after: list[float], log_low: float, log_high: float
) -> None:
    evidence = _seen(before, 0.02)
    begin_step(evidence)
    for difference in after:
        see(evidence, difference)
    low, high = band(evidence, log_low, log_high)
    assert (low is not None and low >= 0) == (evidence.most_worse >= log_low) or low == 0.0
    if evidence.log_better >= log_high:
        assert high is not None
        assert high <= 0.02
    elif high is not None:
        assert high >= 0.02
    mean = evidence.difference
    assert mean is not None
    assert low is None or low <= max(mean, 0.0)
    assert high is None or high >= min(mean, 0.02)


@given(Differences)
def test_the_sums_of_the_band_promise_no_more_than_the_bets_themselves(found: list[float]) -> None:
    evidence = _seen(found, 0.02)
    for least in (-0.4, -0.1, 0.0, 0.05, 0.3):
        sums = [(evidence.n, evidence.total, evidence.squares)]
        exact = log_wealth_of_pairs(np.array(found), least)[-1]
        assert rollout._log_least(sums, least) <= exact + 1e-9


@pytest.mark.slow
def test_the_band_holds_at_every_look() -> None:
    rng = np.random.default_rng(11)
    broken, widths = 0, []
    for _ in range(300):
        evidence = Evidence(0.02)
        is_broken = False
        for k, difference in enumerate(blocks(0.08, 0.05, 1200, rng), 1):
            if k == 400:
                begin_step(evidence)
            see(evidence, float(difference))
            if k % 40 == 0:
                low, high = band(evidence, math.log(20), math.log(20))
                is_broken |= (low or -1) > 0.03 or (1 if high is None else high) < 0.03
        broken += is_broken
        assert low is not None
        assert high is not None
        widths.append(high - low)
    assert broken / 300 <= 0.1
    assert np.mean(widths) < 0.1


def test_what_shows_only_in_a_later_step_is_found_as_fast_as_at_the_start() -> None:
    rng = np.random.default_rng(12)
    with_steps, without = [], []
    for _ in range(40):
        good, bad = blocks(0.05, 0.05, 1000, rng), blocks(0.2, 0.05, 400, rng)
        with_steps.append(_found_after(good, bad, is_step=True))
        without.append(_found_after(good, bad, is_step=False))
    assert np.mean(with_steps) < 0.7 * np.mean(without)


@pytest.mark.slow
def test_steps_spend_the_false_alarm_only_once() -> None:
    rng = np.random.default_rng(13)
    rolled_back = 0
    for _ in range(400):
        evidence = Evidence(0.02)
        for others in (19, 3, 1):
            begin_step(evidence)
            for difference in blocks(0.05, 0.05, 300, rng, others):
                see(evidence, float(difference))
        rolled_back += evidence.most_worse >= math.log(20)
    assert rolled_back / 400 <= 0.05


def test_how_many_more_are_needed_is_what_then_decides() -> None:
    pattern = [0.0] * 19 + [1.0]
    evidence = _seen(pattern * 10, 0.02)
    more = needed(evidence, math.log(20), math.log(10))
    assert more is not None
    for k in range(more):
        see(evidence, pattern[k % 20])
    assert evidence.most_worse >= math.log(20) * 0.9
    assert needed(_seen([1.0] * 60, 0.02), math.log(20), math.log(10)) == 0
    assert needed(Evidence(0.02), math.log(20), math.log(10)) is None


def test_a_difference_that_no_number_decides_says_so() -> None:
    between = [1.0, -1.0, -1.0, 1.0, 0.02]
    assert needed(_seen(between, 0.001), math.log(20), math.log(10)) is None


def _seen(differences: list[float], allowed: float) -> Evidence:
    evidence = Evidence(allowed)
    for difference in differences:
        see(evidence, difference)
    return evidence


def _found_after(good: Floats, bad: Floats, *, is_step: bool) -> int:
    evidence = _seen(list(good), 0.02)
    if is_step:
        begin_step(evidence)
    for k, difference in enumerate(bad):
        see(evidence, float(difference))
        if evidence.log_worse >= math.log(20):
            return k
    return len(bad)
