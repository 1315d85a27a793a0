"""What the audits say of the time since an error may have risen, in two numbers that people read.

The detector itself looks at all times at once. What is told is the stretch that it is likeliest to
have risen in: since the cumulative sum of log-likelihood ratios was last at rest (CUSUM; Page,
1954), for the multiple of the bound whose sum is the highest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .audit import TIMES
from .evidence import Counts, Floats

_HIGHEST = 0.999


class Recent(NamedTuple):
    """The latest stretch of audits for each multiple of the bound.

    Attributes:
        levels: (6,) float64; the sums, 0 at rest.
        n, wrong: (6,) int64; audits since each was last at rest, and the wrong ones.
    """

    levels: Floats
    n: Counts
    wrong: Counts


def begin() -> Recent:
    """Return what is known before any audit."""
    nothing = np.zeros(len(TIMES), np.int64)
    return Recent(np.zeros(len(TIMES)), nothing, nothing)


def see(recent: Recent, is_wrong: bool, max_error: float) -> Recent:
    """Return what is known after one more audit."""
    rates = np.minimum(TIMES * max_error, _HIGHEST)
    step = np.log(rates / max_error) if is_wrong else np.log1p(-rates) - np.log1p(-max_error)
    levels = np.maximum(recent.levels + step, 0.0)
    goes_on = levels > 0
    return Recent(
        levels,
        np.where(goes_on, recent.n + 1, 0),
        np.where(goes_on, recent.wrong + is_wrong, 0),
    )


def since_it_rose(recent: Recent) -> tuple[int, int]:
    """Return how many audits there were since the error is likeliest to have risen, and the wrong.

    >>> seen = begin()
    >>> for k in range(100): seen = see(seen, k > 90, 0.05)
    >>> since_it_rose(seen)
    (9, 9)
    """
    place = int(np.argmax(recent.levels))
    return int(recent.n[place]), int(recent.wrong[place])
