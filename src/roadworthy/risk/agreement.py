"""How far two people agree beyond what chance gives: Cohen's kappa, with its interval.

Assumed: the cases were drawn from all, whatever the first of the two said of them, and the second
saw nothing of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .evidence import interval

_Z = 1.959964
"""The normal distribution's 97.5 % point."""


class Agreement(NamedTuple):
    """How two people agreed.

    Attributes:
        n: Cases that both decided.
        agreed: Those they decided alike.
        low, high: The exact 95 % interval of the share of those (Clopper and Pearson, 1934).
        kappa: Cohen's kappa; None where it has no value, as where both say one thing always.
        kappa_low, kappa_high: Its 95 % interval for large n (Fleiss, Cohen and Everitt, 1969).
    """

    n: int
    agreed: int
    low: float
    high: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


def agreement(both: int, first: int, second: int, neither: int) -> Agreement:
    """Return how two people agree who each said yes or no to the same cases.

    Args:
        both: To how many both said yes.
        first: To how many only the first did.
        second: To how many only the second did.
        neither: To how many neither did.

    >>> found = agreement(20, 5, 10, 15)  # Cohen (1960): .7 observed, .5 by chance
    >>> found.n, found.agreed, round(found.kappa, 2)
    (50, 35, 0.4)
    >>> agreement(8, 0, 0, 0).kappa is None
    True
    """
    n, agreed = both + first + second + neither, both + neither
    low, high = interval(agreed, n, 0.95)
    if not n:
        return Agreement(0, 0, low, high, None, None, None)
    yes, also = (both + first) / n, (both + second) / n
    chance = yes * also + (1 - yes) * (1 - also)
    if chance >= 1:
        return Agreement(n, agreed, low, high, None, None, None)
    kappa = (agreed / n - chance) / (1 - chance)
    cells = (both / n, first / n, second / n, neither / n)
    half = _Z * _deviation(cells, yes, also, chance, kappa) / math.sqrt(n)
    return Agreement(n, agreed, low, high, kappa, max(kappa - half, -1), min(kappa + half, 1))


def _deviation(
    cells: tuple[float, float, float, float], yes: float, also: float, chance: float, kappa: float
) -> float:
    """Return the deviation of kappa times sqrt(n) (Fleiss, Cohen and Everitt, 1969, formula 13)."""
    both, first, second, neither = cells
    left = 1 - kappa
    alike = both * (1 - (yes + also) * left) ** 2
    alike += neither * (1 - (2 - yes - also) * left) ** 2
    apart = left**2 * (first * (also + 1 - yes) ** 2 + second * (yes + 1 - also) ** 2)
    variance = alike + apart - (kappa - chance * left) ** 2
    return math.sqrt(max(variance, 0.0)) / (1 - chance)
