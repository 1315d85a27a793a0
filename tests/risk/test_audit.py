"""The running audit: rarely wrong, and soon enough."""

from __future__ import annotations

import math

import numpy as np
import pytest

from roadworthy.risk.audit import (
    Detector,
    begin,
    expected_delay,
    is_alarm,
    see,
    see_weighted,
    share_on_probation,
)
from roadworthy.risk.coin import is_drawn


def audits_until_alarm(
    risk: float, max_error: float, run_length: float, rng: np.random.Generator, good: int = 0
) -> int:
    detector: Detector = begin()
    for _ in range(good):
        detector = see(detector, bool(rng.random() < max_error / 2), max_error)
    for count in range(1, 20_000):
        detector = see(detector, bool(rng.random() < risk), max_error)
        if is_alarm(detector, run_length):
            return count
    return 20_000


def test_a_promise_that_is_just_kept_runs_as_long_as_was_asked() -> None:
    rng = np.random.default_rng(1)
    lengths = [audits_until_alarm(0.1, 0.1, 200, rng) for _ in range(60)]
    assert np.mean(lengths) > 200


@pytest.mark.parametrize(("max_error", "most"), [(0.02, 650), (0.05, 330)])
def test_a_doubled_error_is_noticed_after_a_good_period_as_soon_as_is_said(
    max_error: float, most: int
) -> None:
    rng = np.random.default_rng(2)
    delays = [
        audits_until_alarm(2 * max_error, max_error, 10_000, rng, good=1000) for _ in range(25)
    ]
    assert np.median(delays) < most
    assert np.median(delays) < 1.3 * expected_delay(max_error, 10_000)


def test_a_flood_of_errors_is_noticed_at_once() -> None:
    detector = begin()
    for _ in range(5):
        detector = see(detector, True, 0.02)
    assert is_alarm(detector, 10_000)
    assert (detector.n, detector.wrong) == (5, 5)


def test_a_quiet_audit_never_alarms_and_stays_ready() -> None:
    detector = begin()
    for _ in range(5000):
        detector = see(detector, False, 0.05)
    assert not is_alarm(detector, 10_000)
    assert detector.log_level < math.log(100)


def test_the_statistic_is_the_mean_of_shiryaev_and_roberts() -> None:
    detector = begin()
    values = np.zeros(6)
    rates = np.array([1.25, 1.5, 2, 3, 5, 10]) * 0.05
    for is_wrong in (False, True, False, True):
        detector = see(detector, is_wrong, 0.05)
        values = (values + 1) * (rates / 0.05 if is_wrong else (1 - rates) / 0.95)
    assert detector.log_level == pytest.approx(math.log(values.mean()))


def test_larger_errors_are_noticed_sooner() -> None:
    assert expected_delay(0.05, 10_000, 4) < expected_delay(0.05, 10_000, 2) / 3
    assert math.isfinite(expected_delay(0.3, 10_000, 10))


def test_a_coin_falls_the_same_for_a_request_and_apart_for_another_purpose() -> None:
    ids = [f"rq_{k:012x}" for k in range(20_000)]
    audits = np.array([is_drawn(one, 0.05) for one in ids])
    cached = np.array([is_drawn(one, 0.05, "cache") for one in ids])
    assert audits.tolist() == [is_drawn(one, 0.05) for one in ids]
    assert abs(audits.mean() - 0.05) < 0.006
    assert abs((audits & cached).mean() - 0.0025) < 0.0015
    assert not any(is_drawn(one, 0) for one in ids[:100])
    assert all(is_drawn(one, 1) for one in ids[:100])


def test_a_young_certificate_is_audited_more() -> None:
    shares = [share_on_probation(0.05, accepted) for accepted in (0, 200, 400, 2000, 10_000)]
    assert shares == [0.5, 0.5, 0.25, 0.05, 0.05]
    assert share_on_probation(0.0, 10**9) == 0.01


def weighted_run(
    risks: tuple[float, float], chances: tuple[float, float], run_length: float, seed: int
) -> int:
    """How many audits of two equal halves of traffic go by until an alarm at 10 %."""
    rng, detector = np.random.default_rng(seed), begin()
    while detector.n < 5000 and not is_alarm(detector, run_length):
        half = int(rng.random() < 0.5)
        if rng.random() < chances[half]:
            loss = float(rng.random() < risks[half])
            detector = see_weighted(detector, loss, chances[half], 0.1, min(chances))
    return detector.n


def test_audits_that_favour_the_risky_half_do_not_alarm_while_the_bound_holds() -> None:
    runs = [weighted_run((0.17, 0.03), (0.5, 0.1), 300, seed) for seed in range(40)]
    assert np.mean(runs) > 300


def test_audits_of_unequal_chances_notice_a_doubled_error() -> None:
    runs = [weighted_run((0.34, 0.06), (0.5, 0.1), 1000, seed) for seed in range(40)]
    assert np.median(runs) < 400


def test_equal_chances_see_what_counts_see() -> None:
    ours = theirs = begin()
    for k in range(50):
        ours = see_weighted(ours, float(k % 7 == 0), 0.2, 0.05, 0.2)
        theirs = see(theirs, k % 7 == 0, 0.05)
    assert ours.logs == pytest.approx(theirs.logs)
    assert (ours.n, ours.wrong) == (theirs.n, theirs.wrong)


@pytest.mark.parametrize(("loss", "chance"), [(0.0, 0.01), (2.0, 0.1), (math.nan, 0.1), (0.0, 0.0)])
def test_an_audit_beyond_its_terms_is_refused(loss: float, chance: float) -> None:
    with pytest.raises(ValueError, match="expected a propensity"):
        see_weighted(begin(), loss, chance, 0.1, 0.05)
