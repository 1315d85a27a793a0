"""Shares of cases, exactly: their intervals, and how many cases a bar needs.

Each end of an interval holds with the sureness that is asked for by itself, since each decides
something else: the lower end that a bar is kept, the upper end that it is not.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

MOST_CASES = 1_000_000
"""Beyond so many cases a bar counts as one that no number settles."""


class Interval(NamedTuple):
    """Where a number lies, each end as sure as was asked for.

    Attributes:
        low, high: Its ends.
    """

    low: float
    high: float


def clopper_pearson(right: int, n: int, sure: float) -> Interval:
    """Return where the true share lies if `right` of `n` cases were right; exact.

    Clopper and Pearson (1934): the shares at which so many, or so few, are not too unlikely.

    >>> clopper_pearson(29, 29, 0.95).low > 0.9 > clopper_pearson(28, 28, 0.95).low
    True
    """
    if not n:
        return Interval(0.0, 1.0)
    low = 0.0 if not right else _root(lambda p: beta_share(right, n - right + 1, p), 1 - sure)
    high = 1.0 if right == n else _root(lambda p: beta_share(right + 1, n - right, p), sure)
    return Interval(low, high)


def reaches(right: int, n: int, bar: float, sure: float) -> bool:
    """Return whether the true share is surely at least `bar`: the lower end of the interval is.

    >>> reaches(29, 29, 0.9, 0.95), reaches(28, 28, 0.9, 0.95)
    (True, False)
    """
    if not right or bar <= 0:
        return bar <= 0
    # A root of the interval is not needed for that, only how likely so many right ones are there.
    return beta_share(right, n - right + 1, bar) <= 1 - sure


def misses(right: int, n: int, bar: float, sure: float) -> bool:
    """Return whether the true share is surely below `bar`: the upper end of the interval is.

    >>> misses(0, 2, 0.9, 0.95), misses(1, 2, 0.9, 0.95)
    (True, False)
    """
    return right < n and binomial_share(right, n, bar) < 1 - sure


def needed_for_share(share: float, n: int, bar: float, sure: float) -> int | None:
    """Return how many more cases settle whether a share keeps a bar, if it stays what it is.

    Args:
        share: Of the `n` cases that are known.
        n: How many those are.
        bar: The share that is asked for.
        sure: How sure.

    Returns:
        0 where they settle it already; None where no number would.

    >>> needed_for_share(1.0, 5, 0.9, 0.95)
    24
    """
    is_above = share >= bar

    def is_settled(cases: int) -> bool:
        known = share * cases
        if is_above:
            return reaches(math.floor(known + 1e-9), cases, bar, sure)
        return misses(math.ceil(known - 1e-9), cases, bar, sure)

    return more_until(is_settled, n)


def more_until(is_settled: Callable[[int], bool], n: int) -> int | None:
    """Return how many more than n settle something that more cases do not unsettle.

    Returns:
        None beyond `MOST_CASES`.
    """
    if n and is_settled(n):
        return 0
    low, high = n, max(2 * n, 2)
    while not is_settled(high):
        low, high = high, high * 2
        if high > MOST_CASES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_settled(middle) else (middle, high)
    return high - n


def quantile_interval(ordered: Sequence[float], quantile: float, sure: float) -> Interval:
    """Return where a quantile lies, by order statistics; exact whatever the distribution.

    Args:
        ordered: Of independent cases, from the smallest on.
        quantile: In (0, 1), such as .95.
        sure: How sure each end is.

    Returns:
        Infinite where there are too few cases for an end.
    """
    n = len(ordered)

    def share_of(k: int) -> float:
        # The chance that at most k lie below the quantile: that the next one lies above it.
        return binomial_share(k, n, quantile)

    low_rank = bisect_right(range(n), 1 - sure, key=share_of)
    below = bisect_left(range(n), sure, key=share_of)
    low = ordered[low_rank - 1] if low_rank else -math.inf
    high = ordered[below] if below < n else math.inf
    return Interval(low, high)


def binomial_share(k: int, n: int, p: float) -> float:
    """Return P(Bin(n, p) <= k).

    >>> round(binomial_share(1, 2, 0.5), 12)
    0.75
    """
    if k < 0:
        return 0.0
    return 1.0 if k >= n else 1 - beta_share(k + 1, n - k, p)


@lru_cache(4096)
def student_quantile(share: float, degrees: float) -> float:
    """Return the quantile of Student's distribution.

    Args:
        share: In (0, 1).
        degrees: Of freedom, above 0; need not be whole.
    """
    if share < 0.5:
        return -student_quantile(1 - share, degrees)
    if degrees > 100:
        return _student_of_many(NormalDist().inv_cdf(share), degrees)
    # P(|T| > t) is the beta share of d / (d + t^2): monotone in that, so it is found there.
    tail = 2 * (1 - share)
    if tail >= 1:
        return 0.0
    x = _root(lambda p: beta_share(degrees / 2, 0.5, p), tail)
    return math.sqrt(degrees * (1 - x) / x)


def _student_of_many(z: float, degrees: float) -> float:
    """Return the quantile by Cornish and Fisher's expansion about the normal one."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / degrees**k for k, term in enumerate(terms, 1))


def beta_share(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function, by its continued fraction (Lentz, 1976).

    >>> round(beta_share(2.0, 2.0, 0.5), 12)
    0.5
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(b, a, 1 - x)
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logs + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return 1 + d1 / (1 + d2 / (1 + ...)) of the incomplete beta function."""
    tiny = 1e-300
    found, c, d = 1.0, 1.0, 0.0
    for k in range(1, 10_000):
        m = k // 2
        if k % 2:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + step * d or tiny)
        c = 1 + step / c or tiny
        found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return found


def _root(rising: Callable[[float], float], target: float) -> float:
    """Return where a function that rises from 0 at 0 to 1 at 1 is `target`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
