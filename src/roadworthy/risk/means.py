"""Means of cases whose values are bounded, also of few cases that are almost all alike.

Student's interval of 50 cases without one failure has no width, so it would pass what fails in
every thirtieth case. Here it is taken of the cases and (z^2 + 2) / 3 made-up ones at the bound that
speaks against it: the term that corrects the skewness of Poisson's distribution, whose worst case
this is. Measured over shares, pairs, repeats and scores of 2 to 3,000 cases it is wrong no more
often than promised, where bootstraps of 50 pairs were wrong in up to two of three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from .proportions import Interval, more_until, student_quantile

POWER = 0.8
"""How often a smallest detectable difference is detected."""
MOST_REPEATS = 20
"""Beyond so many repeats of each case others have to be asked."""


class Moments(NamedTuple):
    """What is known of independent cases.

    Attributes:
        n: How many there are.
        mean, variance: Of their values (the mean square of what they are off the mean).
    """

    n: int
    mean: float
    variance: float


def moments_of(values: Sequence[float]) -> Moments:
    """Return the moments of one value per case.

    >>> moments_of([0.0, 1.0])
    Moments(n=2, mean=0.5, variance=0.25)
    """
    n = len(values)
    if not n:
        return Moments(0, 0.0, 0.0)
    mean = math.fsum(values) / n
    return Moments(n, mean, math.fsum((value - mean) ** 2 for value in values) / n)


def mean_interval(moments: Moments, sure: float, least: float = 0.0, most: float = 1.0) -> Interval:
    """Return where the true mean lies.

    Args:
        moments: Of the cases.
        sure: How sure each end is.
        least: The smallest that a value can be.
        most: The largest.

    >>> mean_interval(Moments(50, 1.0, 0.0), 0.95).low < 0.95
    True
    """
    if not moments.n:
        return Interval(least, most)
    flipped = moments._replace(mean=-moments.mean)
    low = max(_low(moments, sure, least), least)
    return Interval(low, min(-_low(flipped, sure, -most), most))


def _low(moments: Moments, sure: float, least: float) -> float:
    """Return the lower end, with the made-up cases at `least`."""
    z = NormalDist().inv_cdf(sure)
    made_up = max((z * z + 2) / 3, 1.0)
    n = moments.n + made_up
    mean = (moments.n * moments.mean + made_up * least) / n
    square = (
        moments.n * (moments.variance + (moments.mean - mean) ** 2) + made_up * (least - mean) ** 2
    )
    return mean - student_quantile(sure, n - 1) * math.sqrt(square / n / (n - 1))


def needed_for_mean(
    moments: Moments, bar: float, sure: float, least: float = 0.0, most: float = 1.0
) -> int | None:
    """Return how many more cases settle whether a mean reaches a bar, if they are like these.

    Returns:
        0 where these settle it; None where no number would.
    """
    return more_until(
        lambda n: is_settled(moments._replace(n=n), bar, sure, least, most), moments.n
    )


def is_settled(
    moments: Moments, bar: float, sure: float, least: float = 0.0, most: float = 1.0
) -> bool:
    """Return whether it is sure on which side of the bar a mean lies."""
    low, high = mean_interval(moments, sure, least, most)
    return low >= bar or high < bar


def needed_repeats(
    moments: Moments,
    within: float,
    repeats: int,
    bar: float,
    sure: float,
    least: float = 0.0,
    most: float = 1.0,
) -> int | None:
    """Return how many repeats of each case would settle it without one case more.

    Args:
        moments: Of the means of each case over its repeats.
        within: The mean variance of single answers about the mean of their case.
        repeats: How many there were.
        bar: What is asked for.
        sure: How sure.
        least: The smallest that a value can be.
        most: The largest.

    Returns:
        None where repeats alone would not, or would only beyond `MOST_REPEATS`.
    """
    between = max(moments.variance - within / repeats, 0.0)
    for more in range(repeats + 1, MOST_REPEATS + 1):
        quieter = moments._replace(variance=between + within / more)
        if is_settled(quieter, bar, sure, least, most):
            return more
    return None


def detectable(moments: Moments, sure: float, least: float = -1.0) -> float:
    """Return the smallest true difference from 0 that so many cases show with a chance of .8.

    Args:
        moments: Of differences; their spread is taken as it is, their mean is not.
        sure: How sure it has to be shown.
        least: The smallest that a difference can be.
    """
    if not moments.n:
        return -least
    luck = NormalDist().inv_cdf(POWER) * math.sqrt(moments.variance / moments.n)
    low, high = 0.0, -least
    for _ in range(40):
        middle = (low + high) / 2
        is_shown = _low(moments._replace(mean=middle - luck), sure, least) > 0
        low, high = (low, middle) if is_shown else (middle, high)
    return high
