"""Teams that never were: how often answers are wrong at each rank, and what a rule makes of it.

Shared by the tests of the promise and by `bench/risk.py`, which print what 2,000 of them get.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from roadworthy.risk import weighted
from roadworthy.risk.evidence import Floats, binomial_p
from roadworthy.risk.reviewers import corrected_for_misses
from roadworthy.risk.walk import (
    Flags,
    Walk,
    advance,
    begin,
    look_once,
    start_at_share,
    start_for_one_look,
    together,
)

Risk = Callable[[Floats], Floats]
"""Rank (0 surest, 1 least sure) → chance that the answer is wrong."""

GRID = 1 - np.arange(1, 47) / 46
"""Thresholds on the score 1 - rank: each lets one 46th more pass."""


def plain(ranks: Floats) -> Floats:
    """Return a risk that grows with the rank: 48 % can be automated at 2 %, 68 % at 5 %."""
    risk: Floats = 0.5 * ranks**2.63
    return risk


def flat(ranks: Floats) -> Floats:
    """Return 5.05 % everywhere, so that any certificate of 5 % is wrong."""
    return np.full_like(ranks, 0.0505)


def overconfident(ranks: Floats) -> Floats:
    """Return `plain` with 8 % errors among the surest 3 %, as token log-probabilities have."""
    return np.where(ranks < 0.03, 0.08, plain(ranks))


def share_below(risk: Risk, max_error: float) -> float:
    """Return the oracle's share: the largest of which at most `max_error` are wrong."""
    shares, errors = _curve(risk)
    kept = np.flatnonzero(errors <= max_error)
    return float(shares[kept[-1]]) if kept.size else 0.0


def error_of(risk: Risk, share: float) -> float:
    """Return how many of the surest `share` are wrong."""
    shares, errors = _curve(risk)
    return float(np.interp(share, shares, errors))


@cache
def _curve(risk: Risk) -> tuple[Floats, Floats]:
    middles = (np.arange(20_000) + 0.5) / 20_000
    count = np.arange(1, 20_001)
    return count / 20_000, np.cumsum(risk(middles)) / count


class Outcome(NamedTuple):
    """What became of many teams.

    Attributes:
        broken: Share of teams under whose threshold more was wrong than promised.
        automated: Mean share of answers given alone.
    """

    broken: float
    automated: float


def outcomes_of(risk: Risk, n: int, rng: np.random.Generator) -> tuple[Floats, Flags]:
    """Return scores and whether each answer was wrong."""
    ranks = rng.random(n)
    return 1 - ranks, rng.random(n) < risk(ranks)


def judge(risk: Risk, share: float, max_error: float) -> tuple[bool, float]:
    """Return whether a threshold that lets `share` pass breaks the promise, and the share."""
    return share > 0 and error_of(risk, share) > max_error, share


def share_of(walk: Walk | weighted.WeightedWalk) -> float:
    """Return the share that a walk over `GRID` lets pass."""
    return 0.0 if walk.certified is None else float(1 - GRID[walk.certified])


def naive_share(scores: Floats, is_wrong: Flags, max_error: float) -> float:
    """Return the share of the loosest threshold at which the measured error is low enough."""
    order = np.argsort(-scores, kind="stable")
    errors = np.cumsum(is_wrong[order]) / np.arange(1, len(scores) + 1)
    kept = np.flatnonzero(errors <= max_error)
    return float(1 - scores[order][kept[-1]]) if kept.size else 0.0


def teams_at_one_look(
    risk: Risk, n: int, max_error: float, sure: float, *, teams: int, seed: int, start: int
) -> tuple[Outcome, Outcome]:
    """Return what certified and naive thresholds make of teams that look once, after n outcomes."""
    rng, ours, naives = np.random.default_rng(seed), [], []
    for _ in range(teams):
        scores, is_wrong = outcomes_of(risk, n, rng)
        walk = look_once(scores, is_wrong, GRID, start, max_error, sure)
        ours.append(judge(risk, share_of(walk), max_error))
        naives.append(judge(risk, naive_share(scores, is_wrong, max_error), max_error))
    return _outcome(ours), _outcome(naives)


class Refitted(NamedTuple):
    """What became of teams that looked after every hundred outcomes.

    Attributes:
        ever_broken, naive_ever_broken: Share of teams that were ever under a broken promise.
        automated: Mean share at 1,000, 3,000 and 10,000 outcomes.
    """

    ever_broken: float
    naive_ever_broken: float
    automated: dict[int, float]


def teams_refitted(
    risk: Risk, n: int, max_error: float, sure: float, *, teams: int, seed: int, every: int = 100
) -> Refitted:
    """Return what becomes of thresholds that are set anew after every `every` outcomes."""
    rng = np.random.default_rng(seed)
    start = start_at_share(np.linspace(0, 1, 4601), GRID)
    broken, naive_broken = 0, 0
    shares: dict[int, list[float]] = {k: [] for k in (1000, 3000, 10_000) if k <= n}
    for _ in range(teams):
        scores, is_wrong = outcomes_of(risk, n, rng)
        walk, is_broken, is_naive_broken = begin(len(GRID), start), False, False
        for end in range(every, n + 1, every):
            part = slice(end - every, end)
            walk = advance(walk, scores[part], is_wrong[part], GRID, max_error, sure)
            is_broken = is_broken or judge(risk, share_of(walk), max_error)[0]
            if not is_naive_broken:
                share = naive_share(scores[:end], is_wrong[:end], max_error)
                is_naive_broken = judge(risk, share, max_error)[0]
            if end in shares:
                shares[end].append(share_of(walk))
        broken += is_broken
        naive_broken += is_naive_broken
    means = {k: float(np.mean(found)) for k, found in shares.items()}
    return Refitted(broken / teams, naive_broken / teams, means)


def one_per_user(users: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the positions of one random request of each user."""
    order = rng.permutation(len(users))
    _, first = np.unique(users[order], return_index=True)
    return order[first]


def clustered(
    error: float, labels: int, rng: np.random.Generator
) -> tuple[Flags, npt.NDArray[np.int64]]:
    """Return wrong answers of users with lognormal traffic, whose errors go together (.2)."""
    share = 1 / 0.2 - 1
    of_user = rng.beta(error * share, (1 - error) * share, size=labels)
    traffic = np.maximum(1, rng.lognormal(1.2, 1.0, size=labels)).astype(int)
    users = np.repeat(np.arange(labels), traffic)[:labels]
    return rng.random(labels) < of_user[users], users


class Broken(NamedTuple):
    """What a right and a wrong way to count make of many teams.

    Attributes:
        ours, naive: Share of teams under a broken promise.
        automated, naive_automated: Mean share of answers given alone, where that is measured.
    """

    ours: float
    naive: float
    automated: float = math.nan
    naive_automated: float = math.nan


def teams_of_clustered_users(
    max_error: float, *, teams: int, seed: int, times: float = 1.02
) -> Broken:
    """Count one outcome of each user, or (naive) every request, of 2,000 labels.

    The error is `times` the bound; below 1 a certificate keeps its promise.
    """
    rng, ours, naive = np.random.default_rng(seed), 0, 0
    for _ in range(teams):
        wrong, users = clustered(times * max_error, 2000, rng)
        kept = one_per_user(users, rng)
        naive += binomial_p(int(wrong.sum()), len(wrong), max_error) <= 0.1
        ours += binomial_p(int(wrong[kept].sum()), len(kept), max_error) <= 0.1
    return Broken(ours / teams, naive / teams)


def teams_that_lose_outcomes(max_error: float, *, teams: int, seed: int) -> Broken:
    """Count outcomes that never come as errors, or (naive) drop them: 15 % of wrong, 1 %."""
    rng, ours, naive, n = np.random.default_rng(seed), 0, 0, 3000
    for _ in range(teams):
        wrong = rng.random(n) < 1.02 * max_error
        is_lost = rng.random(n) < np.where(wrong, 0.15, 0.01)
        errors, known = int(wrong[~is_lost].sum()), int((~is_lost).sum())
        naive += binomial_p(errors, known, max_error) <= 0.1
        ours += binomial_p(int((wrong | is_lost).sum()), n, max_error) <= 0.1
    return Broken(ours / teams, naive / teams)


UNLABELLED = np.linspace(0, 1, 4601)


def _certify(scores: Floats, is_wrong: Flags, max_error: float, level: float, sure: float) -> Walk:
    """Return the walk of one look at a bound, from where it begins at the promised one."""
    return look_once(scores, is_wrong, GRID, _start(len(scores), max_error), level, sure)


@cache
def _start(outcomes: int, max_error: float) -> int:
    return start_for_one_look(UNLABELLED, GRID, outcomes, max_error, 0.9)


def _broken(pairs: Sequence[tuple[Walk | weighted.WeightedWalk, Walk]], max_error: float) -> Broken:
    """Return what right and wrong walks over `plain` teams come to."""
    ours = [judge(plain, share_of(one), max_error) for one, _ in pairs]
    naive = [judge(plain, share_of(other), max_error) for _, other in pairs]
    return Broken(*_means(ours, naive))


def _means(
    ours: list[tuple[bool, float]], naive: list[tuple[bool, float]]
) -> tuple[float, float, float, float]:
    (broken, automated), (naive_broken, naive_automated) = _outcome(ours), _outcome(naive)
    return broken, naive_broken, automated, naive_automated


def teams_with_late_outcomes(max_error: float, *, teams: int, seed: int) -> Broken:
    """Look after 30 days at 4,000 requests whose errors come after 10 days, the rest after one.

    Count requests that are 20 days old, what is missing of them as wrong, or (naive) what came.
    """
    rng, pairs = np.random.default_rng(seed), []
    for _ in range(teams):
        scores, is_wrong = outcomes_of(plain, 4000, rng)
        age = rng.uniform(0, 30, 4000)
        came = rng.exponential(np.where(is_wrong, 10.0, 1.0)) < age
        old = age >= 20
        ours = _certify(scores[old], (is_wrong | ~came)[old], max_error, max_error, 0.9)
        naive = _certify(scores[came], is_wrong[came], max_error, max_error, 0.9)
        pairs.append((ours, naive))
    return _broken(pairs, max_error)


def teams_with_reviewers_that_miss(
    max_error: float, missed: float, *, teams: int, seed: int
) -> Broken:
    """Certify 3,000 reviews that overlook errors by 200 planted ones, or (naive) as they are."""
    rng, pairs = np.random.default_rng(seed), []
    for _ in range(teams):
        scores, is_wrong = outcomes_of(plain, 3000, rng)
        seen = is_wrong & (rng.random(3000) >= missed)
        approved = int(rng.binomial(200, missed))
        found = corrected_for_misses(max_error, 0.9, approved, 200, is_planned=True)
        ours = _certify(scores, seen, max_error, found.max_error, found.sure)
        pairs.append((ours, _certify(scores, seen, max_error, max_error, 0.9)))
    return _broken(pairs, max_error)


def teams_with_unequal_audits(
    max_error: float, chances: tuple[float, float], *, teams: int, seed: int
) -> Broken:
    """Weigh labels of the surer and the less sure half of 60,000, or (naive) count them."""
    rng, pairs = np.random.default_rng(seed), []
    start = start_at_share(UNLABELLED, GRID)
    terms = weighted.Terms(GRID, start, max_error, 0.9, min(chances))
    for _ in range(teams):
        scores, is_wrong = outcomes_of(plain, 60_000, rng)
        chance = np.where(scores >= 0.5, *chances)
        drawn = rng.random(60_000) < chance
        ours = weighted.advance(
            weighted.begin(terms), scores[drawn], is_wrong[drawn], chance[drawn], terms
        )
        naive = look_once(scores[drawn], is_wrong[drawn], GRID, start, max_error, 0.9)
        pairs.append((ours, naive))
    return _broken(pairs, max_error)


def worse(ranks: Floats) -> Floats:
    """Return the risk of a group that errs 2.5 times as often as `plain` at each rank."""
    return np.minimum(2.5 * plain(ranks), 1.0)


def teams_of_groups(max_error: float, *, teams: int, seed: int) -> Broken:
    """Let each of two groups pass, or (naive) both together; a fifth of 3,000 errs more often."""
    rng, ours, naive = np.random.default_rng(seed), [], []
    start = start_for_one_look(UNLABELLED, GRID, 600, max_error, 0.9)
    for _ in range(teams):
        (a, a_wrong), (b, b_wrong) = outcomes_of(plain, 2400, rng), outcomes_of(worse, 600, rng)
        walks = {
            "a": look_once(a, a_wrong, GRID, start, max_error, 0.9),
            "b": look_once(b, b_wrong, GRID, start, max_error, 0.9),
        }
        pooled = np.concatenate([a, b]), np.concatenate([a_wrong, b_wrong])
        ours.append(judge(worse, share_of(together(walks)), max_error))
        naive.append(
            judge(worse, share_of(_certify(*pooled, max_error, max_error, 0.9)), max_error)
        )
    return Broken(*_means(ours, naive))


def _outcome(found: list[tuple[bool, float]]) -> Outcome:
    broken, shares = zip(*found, strict=True)
    return Outcome(float(np.mean(broken)), float(np.mean(shares)))
