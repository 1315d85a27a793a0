"""Candidates that never were: what our rule and naive ones make of many rollouts.

Shared by the tests of the promise and by `bench/canary.py`. Every rule may look after every pair
(the naive ones after every hundred requests), until something is decided or the traffic ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from roadworthy.risk.bets import log_wealth_of_pairs
from roadworthy.risk.evidence import Floats

FALSE_ALARM, SURE, MARGIN = 0.05, 0.9, 0.02
ROLL_BACK, PROMOTE = math.log(1 / FALSE_ALARM), math.log(1 / (1 - SURE))
TAU = 0.02
"""What the mixture of mSPRT expects differences to be like."""


class Arms(NamedTuple):
    """Users of both arms, one candidate's for each of the champion's.

    Attributes:
        candidate, champion: (n,) mean loss of each user.
        requests: (n, 2) how many each asked.
    """

    candidate: Floats
    champion: Floats
    requests: Floats


def independent(candidate: float, champion: float, n: int, rng: np.random.Generator) -> Arms:
    """Return users of one request each."""
    ours, theirs = rng.random(n) < candidate, rng.random(n) < champion
    return Arms(ours.astype(float), theirs.astype(float), np.ones((n, 2)))


def clustered(candidate: float, champion: float, n: int, rng: np.random.Generator) -> Arms:
    """Return users with lognormal traffic whose failures go together (correlation .2)."""
    both, asked = [], []
    for error in (candidate, champion):
        of_user = rng.beta(4 * error, 4 * (1 - error), n)
        requests = np.maximum(1, rng.lognormal(1.2, 1.0, n)).astype(int)
        both.append(rng.binomial(requests, of_user) / requests)
        asked.append(requests)
    return Arms(both[0], both[1], np.stack(asked, axis=1).astype(float))


def shadowed(candidate: float, champion: float, n: int, rng: np.random.Generator) -> Arms:
    """Return users of one request that both answer; .8 of the failures are those of both."""
    theirs = rng.random(n) < champion
    same = theirs & (rng.random(n) < 0.8)
    rest = (candidate - 0.8 * champion) / (1 - 0.8 * champion)
    ours = same | (rng.random(n) < rest)
    return Arms(ours.astype(float), theirs.astype(float), np.ones((n, 2)))


def blocks(
    candidate: float, champion: float, n: int, rng: np.random.Generator, others: int = 19
) -> Floats:
    """Return differences of a canary of 5 %: a user of one request less the mean of 19."""
    ours = (rng.random(n) < candidate).astype(float)
    found: Floats = ours - rng.binomial(others, champion, n) / others
    return found


class Found(NamedTuple):
    """What became of many rollouts.

    Attributes:
        share: How many were rolled back.
        pairs, requests: After how many pairs, and requests of an arm, in the mean of these.
    """

    share: float
    pairs: float
    requests: float


Draw = Callable[[float, float, int, np.random.Generator], Arms]


def by_users(
    draw: Draw, candidate: float, champion: float, *, users: int, runs: int, seed: int
) -> Found:
    """Return what bets on closed users roll back."""
    rng = np.random.default_rng(seed)
    after: list[float] = []
    asked: list[float] = []
    for _ in range(runs):
        arms = draw(candidate, champion, users, rng)
        at = first(log_wealth_of_pairs(arms.candidate - arms.champion) >= ROLL_BACK)
        if at is not None:
            after.append(at + 1)
            asked.append(float(arms.requests[: at + 1].mean(axis=1).sum()))
    return _found(after, asked, runs)


def by_requests(
    draw: Draw,
    rule: Callable[[Floats, Floats, Floats], np.ndarray[tuple[int], np.dtype[np.bool_]]],
    candidate: float,
    champion: float,
    *,
    users: int,
    runs: int,
    seed: int,
) -> Found:
    """Return what a rule rolls back that counts requests, and looks at every hundred of an arm."""
    rng, asked = np.random.default_rng(seed), []
    for _ in range(runs):
        arms = draw(candidate, champion, users, rng)
        n = np.cumsum(arms.requests, axis=0)
        wrong = np.cumsum(np.stack([arms.candidate, arms.champion], axis=1) * arms.requests, axis=0)
        per_arm = n.mean(axis=1)
        looks = np.unique(np.searchsorted(per_arm, np.arange(100, per_arm[-1], 100)))
        p = wrong[looks] / n[looks]
        pooled = wrong[looks].sum(axis=1) / n[looks].sum(axis=1)
        variance = np.maximum(pooled * (1 - pooled), 1e-9)
        at = first(rule(p[:, 0] - p[:, 1], variance, per_arm[looks]))
        if at is not None:
            asked.append(float(per_arm[looks][at]))
    return _found([math.nan] * len(asked), asked, runs)


def peeked_z(
    difference: Floats, variance: Floats, n: Floats
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say at which looks a one-sided z-test at .05 would roll back."""
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        difference / np.sqrt(2 * variance / n) > 1.645
    )
    return found


def msprt(
    difference: Floats, variance: Floats, n: Floats
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say at which looks mSPRT (Johari et al., 2022) at .05 would roll back."""
    spread = 2 * variance / n
    logs = 0.5 * np.log(spread / (spread + TAU**2)) + (
        difference**2 * TAU**2 / (2 * spread * (spread + TAU**2))
    )
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (logs >= ROLL_BACK) & (difference > 0)
    return found


class Verdicts(NamedTuple):
    """How rollouts ended.

    Attributes:
        promoted, rolled_back: Shares of all.
        pairs: After how many, in the mean of those that ended.
    """

    promoted: float
    rolled_back: float
    pairs: float


def both_verdicts(
    candidate: float, champion: float, *, users: int, runs: int, seed: int, others: int = 19
) -> Verdicts:
    """Return how a canary ends that may be promoted and rolled back at every pair."""
    rng, promoted, rolled_back, pairs = np.random.default_rng(seed), 0, 0, []
    for _ in range(runs):
        differences = blocks(candidate, champion, users, rng, others)
        worse = first(log_wealth_of_pairs(differences) >= ROLL_BACK)
        better = first(log_wealth_of_pairs(-differences, -MARGIN) >= PROMOTE)
        ends = [at for at in (worse, better) if at is not None]
        if ends:
            pairs.append(min(ends) + 1)
            rolled_back += worse == min(ends)
            promoted += worse != min(ends)
    return Verdicts(promoted / runs, rolled_back / runs, float(np.mean(pairs)))


def first(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    """Return where the first is true."""
    at = int(np.argmax(flags)) if flags.size else 0
    return at if flags.size and flags[at] else None


def _found(after: list[float], asked: list[float], runs: int) -> Found:
    if not asked:
        return Found(0.0, math.nan, math.nan)
    return Found(len(asked) / runs, float(np.mean(after)), float(np.mean(asked)))
