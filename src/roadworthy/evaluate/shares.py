"""Whether a share keeps its bar, from two integers: pass, fail, or how many more settle it."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..risk.evidence import binomial_p, interval
from .report import Metric, Verdict

MOST_CASES = 100_000
"""Beyond so many cases a verdict counts as out of reach."""


class Settled(NamedTuple):
    """How a share stands to its bar.

    Attributes:
        needed: How many more cases would settle it if it stays as it is; None where it is settled,
            or where no number would.
    """

    low: float
    high: float
    verdict: Verdict
    needed: int | None = None


def settle_share(count: int, n: int, at_most: float, sure: float) -> Settled:
    """Return whether no more than `at_most` are so, by the exact interval of Clopper and Pearson.

    It passes only where the whole interval lies on or below the bar, and fails only where the
    whole of it lies above.

    >>> settle_share(0, 72, 0.05, 0.95).verdict, settle_share(0, 71, 0.05, 0.95).needed
    ('pass', 1)
    >>> settle_share(30, 100, 0.05, 0.95).verdict
    'fail'
    """
    low, high = interval(count, n, sure)
    verdict = _verdict(count, n, at_most, sure)
    if verdict != "inconclusive":
        return Settled(low, high, verdict)
    return Settled(low, high, verdict, _needed(count, n, at_most, sure))


def _verdict(count: int, n: int, at_most: float, sure: float) -> Verdict:
    """Return the verdict of the interval by the two tests that it inverts."""
    one_side = (1 - sure) / 2
    if at_most >= 1 or (n and binomial_p(count, n, at_most) <= one_side):
        return "pass"
    if n and 1 - binomial_p(count - 1, n, at_most) < one_side:
        return "fail"
    return "inconclusive"


def _needed(count: int, n: int, at_most: float, sure: float) -> int | None:
    """Return how many more cases settle it at the present rate, rounded against the verdict."""
    rate = count / n if n else 0.0

    def is_settled(more: int) -> bool:
        whole = n + more
        expected = count + rate * more
        kept = _verdict(math.ceil(expected), whole, at_most, sure) == "pass"
        return kept or _verdict(math.floor(expected), whole, at_most, sure) == "fail"

    if at_most <= 0 and not count:
        return None
    high = 1
    while not is_settled(high):
        high *= 2
        if n + high > MOST_CASES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_settled(middle) else (middle, high)
    return high


def share_metric(
    name: str, count: int, n: int, at_most: float | None, sure: float, why: str = ""
) -> Metric:
    """Return a share with its exact interval, and its verdict where a bar is given."""
    if at_most is None:
        low, high = interval(count, n, sure)
        value = count / n if n else None
        return Metric(name=name, value=value, low=low, high=high, n=n, is_least=False, why=why)
    found = settle_share(count, n, at_most, sure)
    if found.verdict == "inconclusive" and found.needed is None and not why:
        why = _out_of_reach(count, n, at_most)
    return Metric(
        name=name,
        value=count / n if n else None,
        low=found.low if n else None,
        high=found.high if n else None,
        n=n,
        bar=at_most,
        is_least=False,
        verdict=found.verdict,
        needed=found.needed,
        why=why,
    )


def _out_of_reach(count: int, n: int, at_most: float) -> str:
    if at_most <= 0 and not count:
        return "no number of cases shows that none would: declare a bar above 0, like 0.01"
    return f"{count} of {n} is so near to the bar that no number of cases settles it"
