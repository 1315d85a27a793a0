"""One number that makes the probabilities of a classifier less, or more, sure of themselves.

Temperature scaling (Guo and others, 2017): the log odds of all classes are divided by it, so that
the most probable class stays the same.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from .evidence import Floats

_COLDEST, _HOTTEST = 0.01, 100.0


class Temperature(msgspec.Struct, frozen=True, tag="temperature"):
    """What logits are divided by.

    Attributes:
        temperature: Above 1 for a classifier that is too sure.
        n: Outcomes that it was fitted to; without any no class has a chance.
    """

    temperature: float
    n: int

    def apply(self, logits: Floats) -> Floats:
        """Return probabilities; (n, k) float64 → (n, k) float64, rows sum to 1.

        A row with a number that is missing (NaN) or +inf has no chance for any class: zeros. The
        log of a probability of 0 may be -inf.
        """
        is_known = np.all(logits < np.inf, axis=1) & np.any(np.isfinite(logits), axis=1)
        if self.n == 0:
            is_known[:] = False
        chances = np.zeros(logits.shape)
        chances[is_known] = _softmax(logits[is_known] / self.temperature)
        return chances


def fit_temperature(logits: Floats, labels: npt.NDArray[np.int64]) -> Temperature:
    """Return the temperature under which the labels are most likely.

    The derivative rises with the inverse temperature, so that bisection finds its root. The labels
    are drawn in by one outcome of all classes alike, so that a classifier that was never wrong is
    not made infinitely sure.

    Args:
        logits: (n, k) float64; log probabilities are logits too. Rows that are not finite are left
            out.
        labels: (n,) int64; the position of the right class.

    >>> logits = np.log(np.tile([0.99, 0.01], (100, 1)))
    >>> fitted = fit_temperature(logits, (np.arange(100) % 5 == 0).astype(int))
    >>> round(float(fitted.apply(logits)[0, 0]), 2)
    0.8
    """
    is_known = np.isfinite(logits).all(axis=1)
    kept, right = logits[is_known], labels[is_known]
    n = len(kept)
    if n == 0:
        return Temperature(1.0, 0)
    share = 1 / (n + 1)
    aim = (1 - share) * kept[np.arange(n), right].sum() + share * kept.mean(axis=1).sum()

    def slope(inverse: float) -> float:
        return float((_softmax(kept * inverse) * kept).sum() - aim)

    low, high = math.log(1 / _HOTTEST), math.log(1 / _COLDEST)
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return Temperature(math.exp(-low), n)


def _softmax(logits: Floats) -> Floats:
    worth = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    chances: Floats = worth / worth.sum(axis=1, keepdims=True)
    return chances
