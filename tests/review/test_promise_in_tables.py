"""The promise through the real tables: teams whose users err together and whose labels come late.

`tests/risk/test_promise.py` proves the statistics; this proves what becomes of them between a draft
and a certificate.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from team import START_US, Team, replaced

from roadworthy.risk.audit import expected_delay
from roadworthy.risk.coin import is_drawn
from roadworthy.store.certificates import list_certificates
from roadworthy.types import DAY_US

pytestmark = pytest.mark.slow

MAX_ERROR = 0.05
PER_DAY = 100
USERS = 50


def flat(ranks: np.ndarray) -> np.ndarray:
    """Return 5.1 % everywhere: any certificate is wrong."""
    return np.full_like(ranks, 0.051)


def plain(ranks: np.ndarray) -> np.ndarray:
    """Return a risk that grows with the rank: 68 % can be automated at 5 %."""
    return np.asarray(0.5 * ranks**2.63)


def live_a_day(team: Team, day: int, random: np.random.Generator, risk: np.ndarray) -> None:
    """Ask and label as the desk and people would: users err together, errors come late and go.

    Args:
        team: Whose day it is.
        day: Its number.
        random: Whatever happens.
        risk: (n,) float64; how likely the answers at evenly spread ranks are wrong.
    """
    now = team.in_force
    begun, size = START_US + day * DAY_US, len(risk)
    weights = np.random.default_rng(7).lognormal(0, 1, USERS)
    users = random.choice(USERS, size, p=weights / weights.sum())
    ranks = random.permutation((np.arange(size) + random.random(size)) / size)
    at_ranks = risk[np.minimum((ranks * size).astype(int), size - 1)]
    # A user's luck of the day is shared by a fifth of what they ask; the risk stays as it is.
    lucks, own = random.random(USERS)[users], random.random(size)
    wrong = np.where(random.random(size) < 0.2, lucks, own) < at_ranks
    drafts, said = [], []
    for k in range(size):
        score = float(1 - ranks[k])
        is_alone = now.threshold is not None and score >= now.threshold
        share = now.audit_share if is_alone else now.ask_share
        path = "alone" if is_alone else "person"
        draft = team.ask(begun + k * 1000, score, f"u{users[k]}", path=path, share=share)
        draft = replaced(draft, is_drawn=is_drawn(draft.request_id, share), unit=f"u{users[k]}")
        drafts.append(draft)
        delay = random.exponential(0.8 if wrong[k] else 0.2)
        if draft.is_drawn and random.random() > (0.05 if wrong[k] else 0.01):
            said.append((draft, not wrong[k], draft.at_us + round(delay * DAY_US)))
    team.add(drafts)
    team.say_all(said)


def true_error(team: Team, risk: np.ndarray) -> float:
    """Return the error of what is in force, or 0 while nothing is."""
    threshold = team.in_force.threshold
    if threshold is None:
        return 0.0
    passing = max(round((1 - threshold) * len(risk)), 1)
    return float(risk[:passing].mean())


def risk_of(kind: str) -> np.ndarray:
    ranks = (np.arange(PER_DAY) + 0.5) / PER_DAY
    return flat(ranks) if kind == "flat" else plain(ranks)


@pytest.mark.parametrize("kind", ["flat", "plain"])
def test_of_many_teams_no_more_than_promised_hold_a_broken_certificate(kind: str) -> None:
    teams, days = (200, 20) if kind == "flat" else (30, 30)
    risk, broken, automated = risk_of(kind), 0, []
    for seed in range(teams):
        random = np.random.default_rng([seed, len(kind)])
        team = Team({"max_error": MAX_ERROR}, {"matures_after": "3d"})
        is_broken = False
        for day in range(days):
            live_a_day(team, day, random, risk)
            team.certify(day + 1)
            is_broken |= true_error(team, risk) > MAX_ERROR
        broken += is_broken
        threshold = team.in_force.threshold
        automated.append(0.0 if threshold is None else 1 - threshold)
        team.state.dispose()
    spread = math.sqrt(0.1 * 0.9 / teams)
    assert broken / teams <= 0.1 + 2 * spread, f"{broken} of {teams}"
    if kind == "plain":
        assert np.mean(automated) > 0.1


def test_where_the_risk_doubles_it_is_switched_off() -> None:
    off, delays = 0, []
    for seed in range(10):
        random = np.random.default_rng(seed)
        team = Team({"max_error": MAX_ERROR}, {"matures_after": "1d", "unit": "request"})
        good, bad = np.full(PER_DAY, 0.01), np.full(PER_DAY, 0.1)
        day = 0
        while team.in_force.threshold is None and day < 200:
            live_a_day(team, day, random, good)
            day += 1
            team.certify(day)
        (held,) = list_certificates(team.state, "late")[:1]
        begun = day
        length = held.detail["run_length"]
        while day < begun + 250 and not team.alarms:
            live_a_day(team, day, random, bad)
            day += 1
            team.certify(day)
        off += bool(team.alarms)
        delays.append(team.alarms[0]["audits"] if team.alarms else math.inf)
        assert expected_delay(MAX_ERROR, length) > 0
        team.state.dispose()
    assert off == 10, delays
