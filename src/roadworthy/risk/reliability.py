"""How well confidences agree with outcomes, and how well a score tells two kinds apart.

Every figure comes with an interval, because outcomes are few. A confidence that is missing (NaN)
counts as zero.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .distances import DRAWS, edges_of
from .evidence import Floats, interval
from .walk import Flags

BINS = 10
_STRETCHES = np.concatenate([np.linspace(0, 2, 41), np.geomspace(2.1, 20, 20)])
"""Of all gaps between confidence and outcome, as multiples of the measured ones."""


class Estimate(NamedTuple):
    """A figure, and between what it lies with the confidence that was asked for."""

    value: float
    low: float
    high: float


class Bin(NamedTuple):
    """Answers of about the same confidence.

    Attributes:
        confidence: Their mean confidence.
        right: How many of them were right, as a share with its exact interval.
        n: How many.
    """

    confidence: float
    right: Estimate
    n: int


class Reliability(NamedTuple):
    """How well confidences agree with outcomes.

    Attributes:
        bins: From unsure to sure; each holds about as many answers.
        error: The expected calibration error: how far the shares that are right lie from the
            confidences, in the mean over answers.
        brier: The mean squared difference of confidence and outcome.
        n: How many outcomes.
    """

    bins: tuple[Bin, ...]
    error: Estimate
    brier: Estimate
    n: int


def reliability(
    confidences: Floats, right: Flags, bins: int = BINS, *, sure: float = 0.95, seed: int = 0
) -> Reliability:
    """Return the reliability curve of confidences with its errors.

    Args:
        confidences: (n,) float64 in [0, 1].
        right: (n,) bool.
        bins: How many at most; equal confidences are never split.
        sure: Probability (0-1) with which each interval is right; of the calibration error about.
        seed: Of the resampling.

    >>> found = reliability(np.full(200, 0.9), np.arange(200) % 10 > 0)
    >>> found.bins[0].right.value, found.error.value, round(found.brier.value, 3)
    (0.9, 0.0, 0.09)
    """
    known = np.where(np.isnan(confidences), 0.0, confidences)
    n = len(known)
    if n == 0:
        unknown = Estimate(math.nan, 0.0, 1.0)
        return Reliability((), unknown, unknown, 0)
    _, group = np.unique(
        np.searchsorted(edges_of(known, bins), known, "right"), return_inverse=True
    )
    sizes = np.bincount(group)
    means = np.bincount(group, weights=known) / sizes
    counts = np.bincount(group, weights=right)
    curve = tuple(
        Bin(float(mean), _share(int(count), int(size), sure), int(size))
        for mean, count, size in zip(means, counts, sizes, strict=True)
    )
    error = _calibration_error(curve, sure, seed)
    return Reliability(curve, error, _mean((known - right) ** 2, sure), n)


def auroc(scores: Floats, is_positive: Flags, *, sure: float = 0.95) -> Estimate:
    """Return the chance that a positive has a higher score than a negative; half for equal ones.

    The interval is that of DeLong, DeLong and Clarke-Pearson (1988), on the log odds. Where all
    positives lie on one side their variance is 0: then the exact interval of as many pairs as the
    smaller kind has members stands in.

    Args:
        scores: (n,) float64; NaN is lower than all others.
        is_positive: (n,) bool.
        sure: Probability (0-1) with which the interval is right.

    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])).value
    0.75
    """
    known = np.where(np.isnan(scores), -np.inf, scores)
    first, second = known[is_positive], known[~is_positive]
    pairs = min(len(first), len(second))
    if pairs == 0:
        return Estimate(math.nan, 0.0, 1.0)
    above, below = _shares_below(first, second), 1 - _shares_below(second, first)
    value = float(above.mean())
    if value in (0.0, 1.0) or pairs == 1:
        return Estimate(value, *interval(round(value * pairs), pairs, sure))
    variance = above.var(ddof=1) / len(first) + below.var(ddof=1) / len(second)
    off = NormalDist().inv_cdf((1 + sure) / 2) * math.sqrt(variance) / (value * (1 - value))
    odds = math.log(value / (1 - value))
    low, high = (1 / (1 + math.exp(-place)) for place in (odds - off, odds + off))
    return Estimate(value, low, high)


def _share(count: int, n: int, sure: float) -> Estimate:
    return Estimate(count / n, *interval(count, n, sure))


def _mean(values: Floats, sure: float) -> Estimate:
    """Return the mean of values in [0, 1] and its normal interval."""
    if len(values) == 1:
        return Estimate(float(values[0]), 0.0, 1.0)
    off = NormalDist().inv_cdf((1 + sure) / 2) * float(values.std(ddof=1)) / math.sqrt(len(values))
    mean = float(values.mean())
    return Estimate(mean, max(mean - off, 0.0), min(mean + off, 1.0))


def _calibration_error(bins: tuple[Bin, ...], sure: float, seed: int) -> Estimate:
    """Return the calibration error over bins, without what chance adds to it, and its interval.

    Chance adds to every gap, so that a measured error is too large. Here all gaps are shrunk or
    stretched alike, and outcomes drawn for each size: the estimate is the error of the size at
    which as much is measured in the mean, and the interval has all that make the measured one no
    rarer than `sure` allows (inverted tests, by parametric bootstrap). Half an outcome of either
    kind is added to each bin, so that few are not taken as certain. It is approximate: with 500
    outcomes in ten bins an interval of 95 % held the true error in nine of ten draws.
    """
    sizes = np.array([one.n for one in bins])
    means = np.array([one.confidence for one in bins])
    shares = np.array([one.right.value for one in bins])
    weights = sizes / sizes.sum()
    measured = float(np.abs(shares - means) @ weights)
    gaps = (shares * sizes + 0.5) / (sizes + 1) - means
    assumed = np.clip(means + _STRETCHES[:, None] * gaps, 0.0, 1.0)
    errors = np.abs(assumed - means) @ weights
    drawn = np.random.default_rng(seed).binomial(sizes, assumed, (DRAWS, *assumed.shape)) / sizes
    found = np.abs(drawn - means) @ weights
    value = float(np.interp(measured, np.maximum.accumulate(found.mean(axis=0)), errors))
    tail = (1 - sure) / 2
    is_likely = ((found >= measured - 1e-12).mean(axis=0) > tail) & (
        (found <= measured + 1e-12).mean(axis=0) > tail
    )
    kept = errors[is_likely] if is_likely.any() else np.array([value])
    return Estimate(value, min(float(kept[0]), value), max(float(kept[-1]), value))


def _shares_below(places: Floats, others: Floats) -> Floats:
    """Return for each place which share of the others lies below it; equal ones count half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, places, "left") + np.searchsorted(ordered, places, "right")
    shares: Floats = below / (2 * len(others))
    return shares
