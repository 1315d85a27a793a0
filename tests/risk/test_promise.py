"""The promise, kept before many teams: certificates are broken no more often than they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from teams import (
    GRID,
    Risk,
    flat,
    overconfident,
    plain,
    share_below,
    teams_at_one_look,
    teams_of_clustered_users,
    teams_of_groups,
    teams_refitted,
    teams_that_lose_outcomes,
    teams_with_late_outcomes,
    teams_with_reviewers_that_miss,
    teams_with_unequal_audits,
)

from roadworthy.risk.walk import start_for_one_look

pytestmark = pytest.mark.slow
SURE, TEAMS = 0.9, 1000
NOISE = 3 * math.sqrt(SURE * (1 - SURE) / TEAMS)
UNLABELLED = np.random.default_rng(99).random(20_000)


@pytest.mark.parametrize(
    ("risk", "max_error", "n"),
    [(plain, 0.02, 1000), (plain, 0.02, 3000), (plain, 0.05, 1000), (overconfident, 0.05, 1000)],
)
def test_one_look_keeps_the_promise_and_automates_much_of_what_can_be(
    risk: Risk, max_error: float, n: int
) -> None:
    start = start_for_one_look(UNLABELLED, GRID, n, max_error, SURE)
    ours, naive = teams_at_one_look(risk, n, max_error, SURE, teams=TEAMS, seed=11, start=start)
    assert ours.broken <= 1 - SURE + NOISE
    assert naive.broken > 0.3
    assert ours.automated > (0.25 if n == 1000 else 0.8) * share_below(risk, max_error)


def test_where_any_certificate_is_wrong_few_get_one() -> None:
    start = start_for_one_look(UNLABELLED, GRID, 1000, 0.05, SURE)
    ours, naive = teams_at_one_look(flat, 1000, 0.05, SURE, teams=TEAMS, seed=12, start=start)
    assert ours.broken <= 1 - SURE + NOISE
    assert naive.broken > 0.7


@pytest.mark.parametrize(("risk", "max_error"), [(plain, 0.02), (plain, 0.05), (flat, 0.05)])
def test_a_threshold_that_is_set_anew_all_the_time_keeps_the_promise_for_ever(
    risk: Risk, max_error: float
) -> None:
    teams = 300
    found = teams_refitted(risk, 10_000, max_error, SURE, teams=teams, seed=13)
    assert found.ever_broken <= 1 - SURE + 3 * math.sqrt(SURE * (1 - SURE) / teams)
    assert found.naive_ever_broken > 0.8
    if risk is plain and max_error == 0.02:
        assert found.automated[3000] >= 0.35
        assert found.automated[10_000] >= 0.42


def test_one_outcome_per_user_keeps_the_promise_that_all_requests_break() -> None:
    found = teams_of_clustered_users(0.02, teams=TEAMS, seed=14)
    assert found.ours <= 1 - SURE + NOISE
    assert found.naive > 1.5 * (1 - SURE)


def test_outcomes_that_never_come_count_as_errors_or_the_promise_breaks() -> None:
    found = teams_that_lose_outcomes(0.05, teams=TEAMS, seed=15)
    assert found.ours <= 1 - SURE
    assert found.naive > 1 - SURE + NOISE


@pytest.mark.parametrize("max_error", [0.02, 0.05])
def test_outcomes_count_by_when_their_requests_came_or_the_promise_breaks(max_error: float) -> None:
    found = teams_with_late_outcomes(max_error, teams=TEAMS, seed=16)
    assert found.ours <= 1 - SURE + NOISE
    assert found.naive > 0.4
    assert found.automated > 0.2 * share_below(plain, max_error)


@pytest.mark.parametrize(("missed", "least"), [(0.1, 0.06), (0.3, 0.4), (0.6, 0.9)])
def test_what_reviewers_miss_enters_the_bound_or_the_promise_breaks(
    missed: float, least: float
) -> None:
    found = teams_with_reviewers_that_miss(0.02, missed, teams=TEAMS, seed=17)
    assert found.ours <= 1 - SURE
    assert found.naive > least
    assert found.automated > 0.2 * share_below(plain, 0.02)


def test_audits_that_favour_the_sure_are_weighted_or_the_promise_breaks() -> None:
    found = teams_with_unequal_audits(0.05, (0.2, 0.02), teams=60, seed=18)
    assert found.ours <= 1 - SURE
    assert found.naive > 0.9
    assert found.automated > 0.5 * share_below(plain, 0.05)


def test_each_group_passes_or_the_promise_breaks_for_one() -> None:
    found = teams_of_groups(0.05, teams=TEAMS, seed=19)
    assert found.ours <= 1 - SURE + NOISE
    assert found.naive > 0.9
