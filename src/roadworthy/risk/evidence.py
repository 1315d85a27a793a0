"""How sure it is that no more than a share of answers is wrong, from two integers.

The population is that of the labelled units: one outcome for each user (entity, conversation) and
window, drawn before it was known. What is assumed, in words: the next ones err like those that were
labelled, the labels are right, and no unit influences another.

Two tests of the same hypothesis, "more than `max_error` are wrong":

- `binomial_p` is exact, for one look that was planned beforehand (Clopper and Pearson, 1934).
- `log_evidence` may be looked at after every outcome: the product of likelihood ratios against four
  smaller rates is a nonnegative martingale where the hypothesis holds, so it ever exceeds 1/(1 -
  sure) with a probability of at most 1 - sure (Ville, 1939). Looking at will costs labels, the
  more the nearer the error is to the bound.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

POINTS = np.array([0.15, 0.5, 0.7, 0.85])
"""The rates that are held against the bound, as shares of it. Chosen once, over the labels needed
at .25, .5, .75 and .9 of bounds from 1 to 10 %. A Beta mixture gains nothing and underflows: it
once certified 984 errors of 1,000."""

MOST_LABELS = 10_000_000
"""Beyond so many labels a bound counts as out of reach."""


def log_evidence(wrong: npt.ArrayLike, n: npt.ArrayLike, max_error: float) -> np.float64 | Floats:
    """Return the log of the evidence that at most `max_error` are wrong; valid at any time.

    Args:
        wrong: How many of `n` were wrong; any shape.
        n: How many outcomes; the same shape.
        max_error: The bound, in (0, 1).

    Returns:
        The same shape, float64; at least ln(1 / (1 - sure)) is sure enough.

    >>> bool(log_evidence(0, 194, 0.02) >= math.log(10) > log_evidence(0, 193, 0.02))
    True
    >>> bool(log_evidence(984, 1000, 0.02) < 0)
    True
    """
    errors, rights = np.asarray(wrong, float), np.asarray(n, float) - np.asarray(wrong, float)
    up = np.log(POINTS)
    down = np.log1p(-POINTS * max_error) - math.log1p(-max_error)
    logs = errors[..., None] * up + rights[..., None] * down
    found: np.float64 | Floats = np.logaddexp.reduce(logs, axis=-1) - math.log(len(POINTS))
    return found


def binomial_p(wrong: int, n: int, max_error: float) -> float:
    """Return how likely so few or fewer would be wrong if `max_error` were: P(Bin(n, e) <= wrong).

    At most 1 - sure is sure enough, at one look that was planned. Without outcomes it is 1.

    >>> binomial_p(0, 114, 0.02) <= 0.1 < binomial_p(0, 113, 0.02)
    True
    >>> binomial_p(0, 0, 0.02)
    1.0
    """
    if wrong >= n or wrong < 0:
        return float(wrong >= n)
    if max_error <= 0:
        return 1.0
    k = np.arange(wrong)
    steps = np.log((n - k) / (k + 1)) + math.log(max_error) - math.log1p(-max_error)
    logs = n * math.log1p(-max_error) + np.concatenate([[0.0], np.cumsum(steps)])
    return float(min(1.0, np.exp(np.logaddexp.reduce(logs))))


def upper_bound(wrong: int, n: int, sure: float, *, is_planned: bool = False) -> float:
    """Return the smallest error that is ruled out: the true one lies below it, `sure` of the time.

    Planned, it is the exact bound of Clopper and Pearson (1934). Else it inverts `log_evidence`:
    each error is ruled out for ever with a chance of at most 1 - sure if it is the true one, and
    what rules out one rules out all greater ones, since each likelihood ratio grows with the error
    it is held against. So the smallest bound that was ever seen holds too (a confidence sequence;
    Howard and others, 2021). It is the bound of a threshold that was named without the outcomes,
    such as that of the reviewers' capacity; of one that a walk chose, only `max_error` is promised.

    Args:
        wrong: How many of `n` were wrong.
        n: How many outcomes.
        sure: In (0, 1), such as .9.
        is_planned: Whether this look was planned; else it may be one of any number.

    >>> round(upper_bound(0, 230, 0.9, is_planned=True), 3)  # the rule of three: 2.3 / n
    0.01
    >>> round(upper_bound(21, 2140, 0.9), 4)
    0.0161
    """
    if wrong >= n:
        return 1.0
    if wrong == 0 and is_planned:
        return -math.expm1(math.log1p(-sure) / n)

    def is_ruled_out(error: float) -> bool:
        if is_planned:
            return binomial_p(wrong, n, error) <= 1 - sure
        return bool(log_evidence(wrong, n, error) >= -math.log1p(-sure))

    low, high = wrong / n, 1.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (low, middle) if is_ruled_out(middle) else (middle, high)
    return high


def interval(count: int, n: int, sure: float) -> tuple[float, float]:
    """Return between what a share lies: the exact interval of Clopper and Pearson (1934).

    Args:
        count: How many of `n`.
        n: How many; without any the interval is 0 to 1.
        sure: Of both sides together.

    >>> low, high = interval(0, 10, 0.95)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    one_side = (1 + sure) / 2
    low = 1 - upper_bound(n - count, n, one_side, is_planned=True)
    return low, upper_bound(count, n, one_side, is_planned=True)


def labels_needed(wrong: int, n: int, max_error: float, sure: float) -> int | None:
    """Return how many more outcomes certify the bound if errors go on as they did; None if never.

    The rate is taken as (wrong + .5) / (n + 1), so that nothing is promised of an empty count.

    >>> labels_needed(5, 600, 0.02, 0.9)
    167
    >>> labels_needed(31, 1000, 0.02, 0.9) is None
    True
    """
    rate = (wrong + 0.5) / (n + 1)
    enough = -math.log1p(-sure)

    def is_enough(more: int) -> bool:
        return bool(log_evidence(wrong + rate * more, n + more, max_error) >= enough)

    if rate >= max_error:
        return None
    if is_enough(0):
        return 0
    high = 1
    while not is_enough(high):
        high *= 2
        if high > MOST_LABELS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


@cache
def labels_for_one_look(max_error: float, sure: float) -> int:
    """Return from how many outcomes on a threshold that is half as bad as allowed passes one look.

    Where the walk begins: thresholds that hold fewer are too strict to certify anything.

    >>> labels_for_one_look(0.02, 0.9), labels_for_one_look(0.05, 0.9)
    (398, 158)
    """
    if max_error <= 0:
        return MOST_LABELS
    n = 1
    while binomial_p(math.ceil(n * max_error / 2), n, max_error) > 1 - sure:
        n += 1
    return n


def most_automatic(error: float, max_error: float) -> float:
    """Return the largest share of answers that any method could ever give alone.

    If a share a is given of which `max_error` are wrong, a(1 - max_error) right ones are needed,
    and there are only 1 - error.

    >>> round(most_automatic(0.18, 0.05), 2)
    0.86
    """
    return min(1.0, (1 - error) / (1 - max_error))
