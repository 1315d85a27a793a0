"""A confidence that is made of scores, and how well it does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sqlalchemy import select
from team import START_US, Team

from roadworthy.review.calibrate import calibrate, fitted, read_fitted
from roadworthy.store.calibrations import list_calibrations, read_calibration
from roadworthy.store.tables import switchboard


def day_of(team: Team, number: int, size: int) -> None:
    """Add a day of scores that are too sure of themselves: .9 means .7."""
    random = np.random.default_rng(number)
    scores = random.uniform(0.5, 1, size)
    team.day(number, scores, random.random(size) > 0.5 + (scores - 0.5) * 0.5)


def run(team: Team, day: float) -> str:
    team.certify(day)
    return calibrate(team.work, team.subject)


def test_it_is_fitted_from_a_hundred_outcomes_on_and_at_doublings() -> None:
    team = Team()
    day_of(team, 0, 60)
    day_of(team, 1, 190)
    run(team, 1.9)
    assert run(team, 2) == "late: 60 outcomes, 100 needed"
    assert run(team, 3).startswith("late: fitted on 250 outcomes")
    assert run(team, 4) == "late: 250 outcomes, 500 needed"
    day_of(team, 5, 250)
    assert run(team, 7).startswith("late: fitted on 500 outcomes")
    first, second = list_calibrations(team.state, "late")
    assert (first.n, second.n) == (500, 250)


def test_a_confidence_says_what_comes_true() -> None:
    team = Team()
    for number in range(5):
        day_of(team, number, 400)
    run(team, 8)
    (stored,) = list_calibrations(team.state, "late")
    chance = read_fitted(stored).chance
    assert chance(0.9) == pytest.approx(0.7, abs=0.06)
    assert chance(float("nan")) == 0.0
    assert stored.detail["ece"] < 0.06 < 0.1 < stored.detail["ece_of_scores"]
    assert stored.detail["ece_low"] <= stored.detail["ece"] <= stored.detail["ece_high"]
    assert sum(spot["n"] for spot in stored.detail["curve"]) == 2000
    assert read_calibration(team.state, stored.id) == stored
    with team.state.connect() as connection:
        query = select(switchboard.c.value).where(switchboard.c.name == "calibration:late")
        assert connection.execute(query).scalar() == stored.id


def test_of_another_release_nothing_counts() -> None:
    team = Team()
    for number in range(2):
        day_of(team, number, 200)
    run(team, 4)
    team.change(release="rl_2")
    assert run(team, 5) == "late: 0 outcomes, 100 needed"


@pytest.mark.parametrize("is_right", [True, False])
def test_outcomes_of_one_class_promise_little(is_right: bool) -> None:
    found = fitted(np.full(100, 0.9), np.full(100, is_right))
    json.dumps(found, allow_nan=False)
    assert 0 <= found["ece"] <= 1


def test_missing_labels_count_as_wrong() -> None:
    team = Team()
    begun = START_US
    team.add([team.ask(begun + k, 0.9, f"u{k}") for k in range(300)])
    run(team, 0.5)
    run(team, 3)
    (stored,) = list_calibrations(team.state, "late")
    assert read_fitted(stored).chance(0.9) < 0.05
