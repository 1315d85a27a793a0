"""Two releases on the same cases: the difference of their means, case by case.

The verdict is one of non-inferiority: kept where the candidate is surely not worse than allowed,
broken where it surely is, open between. Each case is one difference, whatever its repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from .evidence import Floats
from .means import Moments, detectable, mean_interval, moments_of, needed_for_mean
from .proportions import Interval, binomial_share

RESAMPLES = 2000


class Compared(NamedTuple):
    """What the same cases say of two releases.

    Attributes:
        moments: Of candidate's less baseline's, above 0 is better.
        low, high: Where the true difference lies; each end is as sure as was asked for.
        better, worse: On how many cases the candidate is better, or worse.
        p: Of exact McNemar on the majorities of each case, two-sided.
        verdict: Whether the margin is kept.
        needed: How many more cases would settle it; 0 where it is settled, None where none would.
        detectable: The smallest difference that so many cases would show.
    """

    moments: Moments
    low: float
    high: float
    better: int
    worse: int
    p: float
    verdict: Literal["pass", "fail", "inconclusive"]
    needed: int | None
    detectable: float


def compare(
    baseline: Sequence[float], candidate: Sequence[float], margin: float, sure: float
) -> Compared:
    """Return how a candidate differs from a baseline.

    Args:
        baseline: Mean value (0-1) of each case over its repeats.
        candidate: The same cases in the same order.
        margin: How much worse is allowed, at least 0.
        sure: How sure each verdict has to be.

    >>> compare([1.0] * 50, [1.0] * 50, 0.02, 0.95).verdict
    'inconclusive'
    """
    differences = [ours - theirs for theirs, ours in zip(baseline, candidate, strict=True)]
    moments = moments_of(differences)
    low, high = mean_interval(moments, sure, -1.0, 1.0)
    verdict: Literal["pass", "fail", "inconclusive"] = "inconclusive"
    if moments.n and low > -margin:
        verdict = "pass"
    elif moments.n and high < -margin:
        verdict = "fail"
    gained = sum(ours > 0.5 > theirs for theirs, ours in zip(baseline, candidate, strict=True))
    lost = sum(theirs > 0.5 > ours for theirs, ours in zip(baseline, candidate, strict=True))
    return Compared(
        moments,
        low,
        high,
        sum(difference > 0 for difference in differences),
        sum(difference < 0 for difference in differences),
        mcnemar(gained, lost),
        verdict,
        needed_for_mean(moments, -margin, sure, -1.0, 1.0),
        detectable(moments, sure),
    )


def mcnemar(gained: int, lost: int) -> float:
    """Return how likely so uneven a change is where cases change either way alike; exact.

    Args:
        gained: Cases that only the candidate has right.
        lost: Cases that only the baseline has right.

    >>> mcnemar(0, 5), mcnemar(3, 3)
    (0.0625, 1.0)
    """
    n = gained + lost
    if not n:
        return 1.0
    return min(1.0, 2 * binomial_share(min(gained, lost), n, 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for how many there are, whatever they have to do with each other.

    Holm (1979), in the order in which they were given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    found = [0.0] * len(p_values)
    most = 0.0
    for k, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        most = max(most, min(1.0, (len(p_values) - k) * p_values[at]))
        found[at] = most
    return found


def bootstrap_mean(
    values: Sequence[float], sure: float, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Return where the mean of unbounded values lies, such as milliseconds or USD.

    BCa (Efron, 1987): a percentile bootstrap, corrected for bias and skewness. It knows nothing of
    what it has not seen, so it decides no verdict of few cases (`risk.means` does).

    Args:
        values: One a case.
        sure: How sure each end is.
        seed: The same gives the same.
        resamples: How often cases are drawn anew.
    """
    found = np.asarray(values, float)
    if found.size < 2 or bool((found == found[0]).all()):
        ends = (-math.inf, math.inf) if found.size < 2 else (float(found[0]), float(found[0]))
        return Interval(*ends)
    means = np.sort(_resampled(found, seed, resamples))
    normal = NormalDist()
    below = float((means < found.mean()).mean())
    bias = normal.inv_cdf(min(max(below, 1 / resamples), 1 - 1 / resamples))
    left_out = (found.sum() - found) / (found.size - 1)
    off = left_out.mean() - left_out
    skew = float((off**3).sum() / (6 * (off**2).sum() ** 1.5))

    def end(share: float) -> float:
        z = bias + normal.inv_cdf(share)
        at = normal.cdf(bias + z / (1 - skew * z))
        return float(np.quantile(means, at))

    return Interval(end(1 - sure), end(sure))


def _resampled(values: Floats, seed: int, resamples: int) -> Floats:
    """Return the means of resampled values, some at a time so that memory stays small."""
    rng, n = np.random.default_rng(seed), values.size
    step = max(1, 2_000_000 // n)
    parts = [
        values[rng.integers(0, n, (min(step, resamples - begun), n))].mean(axis=1)
        for begun in range(0, resamples, step)
    ]
    return np.concatenate(parts)
