"""The promise through the real tables: services whose users ask a lot, and whose labels get lost.

`tests/risk/test_promise.py` proves the statistics; this proves what becomes of them between a pair
and a certificate, in the closed loop: what is given is audited, all else is compared more often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from wagers import Wagers

from roadworthy.risk.audit import expected_delay

pytestmark = pytest.mark.slow

Floats = np.ndarray[Any, np.dtype[np.float64]]
Risk = Callable[[Floats], Floats]
PER_DAY = 150
LIVES = 40
SURE = 0.9
ALLOWED = 0.1 + 1.64 * (0.1 * 0.9 / LIVES) ** 0.5


def flat(ranks: Floats) -> Floats:
    """Return 5.1 % everywhere: any certificate is wrong."""
    return np.full_like(ranks, 0.051)


def plain(ranks: Floats) -> Floats:
    """Return a risk that grows with the rank: 68 % can be given at 5 %."""
    return np.asarray(0.5 * ranks**2.63)


def error_at(risk: Risk, passing: float) -> float:
    """Return the error of the surest share of all."""
    return float(risk(np.linspace(0, passing, 2001)).mean())


def passing_of(wagers: Wagers) -> float:
    threshold = wagers.within.threshold
    return 0.0 if threshold is None else 1 - threshold


def live(
    wagers: Wagers,
    days: int,
    risk: Risk,
    random: np.random.Generator,
    *,
    loses: float = 0.0,
    users: int = 60,
) -> list[float]:
    """Let a service live for so many days, and return what share was given so after each.

    A fifth of what a user meets a day is their luck of that day. Of what was lost, `loses` is never
    told, and of what was not a fifteenth of that.
    """
    found = []
    weights = np.random.default_rng(7).lognormal(0, 1, users)
    for day in range(days):
        ranks = random.random(PER_DAY)
        who = random.choice(users, PER_DAY, p=weights / weights.sum())
        luck = np.where(random.random(PER_DAY) < 0.2, random.random(users)[who], 2.0)
        own = random.random(PER_DAY)
        is_lost = np.where(luck <= 1, luck, own) < risk(ranks)
        is_told = random.random(PER_DAY) >= np.where(is_lost, loses, loses / 15)
        wagers.day(
            day,
            1 - ranks,
            1.0 - is_lost.astype(float),
            units=[f"u{one}" for one in who],
            is_known=lambda place, told=is_told: bool(told[place]),  # type: ignore[misc]
        )
        wagers.certify(day + 1.01)
        found.append(passing_of(wagers))
    return found


@pytest.mark.parametrize(
    ("risk", "least", "loses"),
    [(flat, 0.0, 0.0), (plain, 0.35, 0.0), (plain, 0.0, 0.15)],
    ids=["flat", "plain", "a seventh of the lost is never told"],
)
def test_a_promise_of_what_is_routed_is_broken_by_no_more_than_it_says(
    risk: Risk, least: float, loses: float
) -> None:
    broken, passing = 0, []
    for seed in range(LIVES):
        wagers = Wagers(pairs_share=0.5)
        shares = live(wagers, 24, risk, np.random.default_rng(seed), loses=loses)
        broken += any(share and error_at(risk, share) > 0.05 for share in shares)
        passing.append(shares[-1])
    assert broken / LIVES <= ALLOWED, f"{np.mean(passing):.0%} given so"
    assert np.mean(passing) >= least


@pytest.mark.parametrize("spoils", [0.10, 0.14])
def test_a_floor_is_broken_by_no_more_than_it_says(spoils: float) -> None:
    """The cheaper model loses as much at every score, so that only a share of all may go to it."""
    reference_right, keep = 0.8, 0.95
    most = (1 - keep) * reference_right / (spoils - 0.02)
    broken, passing = 0, []
    for seed in range(LIVES):
        random, wagers = np.random.default_rng(seed), Wagers(of="all", pairs_share=0.5)
        ever = 0.0
        for day in range(24):
            ranks, draw = random.random(PER_DAY), random.random(PER_DAY)
            reference = (random.random(PER_DAY) < reference_right).astype(float)
            lost = draw < spoils / reference_right
            gained = draw < 0.02 / (1 - reference_right)
            quality = np.where(reference == 1, 1.0 - lost, gained.astype(float))
            wagers.day(day, 1 - ranks, quality, reference)
            wagers.certify(day + 1.01)
            ever = max(ever, passing_of(wagers))
        broken += ever > most + 1e-9
        passing.append(ever)
    assert broken / LIVES <= ALLOWED, f"{np.mean(passing):.0%} given so"


def test_a_cache_whose_entries_are_wrong_as_a_whole_keeps_its_promise() -> None:
    """Hits of one entry err together: one pair of each counts, and a wrong hit evicts it."""
    broken = 0
    for seed in range(LIVES):
        random, wagers = np.random.default_rng(seed), Wagers("reuse", max_error=0.1)
        bad, fresh = set(), 0
        weights = np.random.default_rng(5).zipf(1.5, 400).astype(float)
        entries = [f"e{k}" for k in range(400)]
        wrong = {entry: random.random() < 0.105 for entry in entries}
        was_broken = False
        for day in range(24):
            which = random.choice(400, PER_DAY, p=weights / weights.sum())
            names = [entries[k] for k in which]
            is_lost = np.array([wrong[name] for name in names])
            users = [f"u{k}" for k in random.integers(0, 60, PER_DAY)]
            pairs = wagers.day(
                day, random.random(PER_DAY), 1.0 - is_lost, units=users, entries=names
            )
            for pair in pairs:
                if pair.is_given and pair.loss == 1.0 and pair.entry not in bad:
                    bad.add(pair.entry)  # evicted: its place takes another question's answer
                    place, fresh = entries.index(pair.entry), fresh + 1
                    entries[place] = f"f{fresh}"
                    wrong[entries[place]] = random.random() < 0.105
            wagers.certify(day + 1.01)
            was_broken |= passing_of(wagers) > 0  # of any threshold 10.5 % are wrong
        broken += was_broken
    assert broken / LIVES <= ALLOWED


def test_a_risk_that_grows_fourfold_is_found_about_when_the_page_says() -> None:
    """All that is compared once more is one in twenty, and one of a user and day counts."""
    delays, false = [], 0
    for seed in range(60):
        random, wagers = np.random.default_rng(seed), Wagers(pairs_share=1.0)
        good: Risk = lambda ranks: np.full_like(ranks, 0.01)  # noqa: E731
        live(wagers, 12, good, random, users=2000)
        held = wagers.certificate
        assert held is not None
        false += bool(wagers.alarms)
        for day in range(12, 60):
            ranks = random.random(1000)
            is_lost = random.random(1000) < 0.2
            wagers.day(day, 1 - ranks, 1.0 - is_lost.astype(float))
            if "switched off" in wagers.certify(day + 1.01):
                delays.append((day - 11) * 1000)
                break
    expected = expected_delay(0.05, 10_000, times=4.0) / 0.05
    assert false == 0
    assert len(delays) == 60
    assert np.median(delays) <= 2 * expected
