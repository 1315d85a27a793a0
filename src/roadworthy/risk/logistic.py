"""Several features of an answer, combined into the chance that it is right.

A logistic regression with an L2 penalty, by Newton's method (iteratively reweighted least squares;
Hastie, Tibshirani and Friedman, 2009, section 4.4.1). A missing feature has an indicator of its
own, which learns what its absence says. Features are held to the range that was seen, so that no
answer is surer than any that had an outcome.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from .evidence import Floats
from .walk import Flags

FARTHEST = 1e100
"""What lies beyond counts as infinite: its square is not a number that can be added."""
_STEPS = 100
_TOLERANCE = 1e-10
"""Of the gradient. A loose one once stopped at a fit that had 98 % errors."""


class Combined(msgspec.Struct, frozen=True, tag="combined"):
    """What several features say together.

    Attributes:
        names: Of the d features.
        means, scales, least, most: Of each, as seen with outcomes.
        weights: Of each standardised feature.
        missing: What its absence adds; null where it was never absent, so that nothing is known.
        intercept: Of the sum.
        low, high: No chance lies outside: 1 / (n + 2) and (n + 1) / (n + 2), or 0 without outcomes.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]
    weights: tuple[float, ...]
    missing: tuple[float | None, ...]
    intercept: float
    low: float
    high: float

    def __post_init__(self) -> None:
        parts = (self.means, self.scales, self.least, self.most, self.weights, self.missing)
        if any(len(part) != len(self.names) for part in parts):
            raise ValueError(f"expected numbers for {len(self.names)} features")

    def chance(self, row: Sequence[float]) -> float:
        """Return the chance that one answer is right; 0 where that is not known.

        Args:
            row: Its d features; NaN is missing.
        """
        total = self.intercept
        for k, value in enumerate(row):
            if math.isfinite(value):
                held = min(max(value, self.least[k]), self.most[k])
                total += self.weights[k] * (held - self.means[k]) / self.scales[k]
            elif (absent := self.missing[k]) is None:
                return 0.0
            else:
                total += absent
        return min(max(sigmoid(total), self.low), self.high)

    def apply(self, rows: Floats) -> Floats:
        """Return the chances of many answers; (n, d) float64 → (n,) float64."""
        return np.array([self.chance(row) for row in rows.tolist()])


def fit_combined(
    rows: Floats, right: Flags, names: Sequence[str], *, penalty: float = 1.0
) -> Combined:
    """Return the combination of features that tells right answers from wrong ones best.

    Args:
        rows: (n, d) float64; NaN or infinite is missing.
        right: (n,) bool.
        names: Of the d features.
        penalty: Half of it times the squared weights is added to the loss; the intercept is free.

    Raises:
        ValueError: There are not as many names as features.

    >>> rows = np.array([[0.1, 5.0], [0.9, np.nan], [0.8, 5.0], [0.2, np.nan]] * 20)
    >>> fitted = fit_combined(rows, rows[:, 0] > 0.5, ("support", "length"))
    >>> fitted.chance((0.9, 5.0)) > 0.8, fitted.chance((math.nan, 5.0))
    (True, 0.0)
    """
    if rows.shape[1] != len(names):
        raise ValueError(f"expected {len(names)} features, got {rows.shape[1]}")
    rows = np.asarray(rows, np.float64)
    is_known = np.abs(rows) < FARTHEST
    values = np.where(is_known, rows, 0.0)
    means, scales = _moments(values, is_known)
    size, inner = len(names), np.flatnonzero(~is_known.all(axis=0))
    x = np.hstack(
        [is_known * (values - means) / scales, ~is_known[:, inner], np.ones((len(rows), 1))]
    )
    found = fit_logistic(x, right.astype(float), np.append(np.full(x.shape[1] - 1, penalty), 0.0))
    if not 0 < right.sum() < len(right):
        found = np.append(np.zeros(x.shape[1] - 1), logit_of_share(int(right.sum()), len(right)))
    missing: list[float | None] = [None] * size
    for k, weight in zip(inner.tolist(), found[size:-1].tolist(), strict=True):
        missing[k] = weight
    nowhere = ~is_known.any(axis=0)
    least = np.where(is_known, rows, np.inf).min(axis=0, initial=np.inf)
    most = np.where(is_known, rows, -np.inf).max(axis=0, initial=-np.inf)
    low, high = limits_of(len(rows))
    return Combined(
        tuple(names),
        tuple(means.tolist()),
        tuple(scales.tolist()),
        tuple(np.where(nowhere, 0.0, least).tolist()),
        tuple(np.where(nowhere, 0.0, most).tolist()),
        tuple(found[:size].tolist()),
        tuple(missing),
        float(found[-1]),
        low,
        high,
    )


def combined_from_plain(plain: Any) -> Combined:
    """Return what `calibration.to_plain` was given.

    Raises:
        msgspec.ValidationError: It is no combination.
    """
    return msgspec.convert(plain, Combined)


def fit_logistic(x: Floats, targets: Floats, penalties: Floats) -> Floats:
    """Return the weights of least penalised loss, by Newton's method with halved steps.

    Args:
        x: (n, d) float64.
        targets: (n,) float64 in [0, 1].
        penalties: (d,) float64; half of each times its squared weight is added.

    Returns:
        (d,) float64.
    """
    weights = np.zeros(x.shape[1])
    loss = _loss(x, targets, penalties, weights)
    for _ in range(_STEPS):
        chances = _sigmoids(x @ weights)
        gradient = x.T @ (chances - targets) + penalties * weights
        if np.abs(gradient).max(initial=0.0) < _TOLERANCE * max(len(x), 1):
            break
        curvature = (x * (chances * (1 - chances))[:, None]).T @ x + np.diag(penalties)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        share = 1.0
        while (
            share > 1e-8 and (tried := _loss(x, targets, penalties, weights - share * step)) > loss
        ):
            share /= 2
        weights, loss = weights - share * step, min(tried, loss)
    return weights


def sigmoid(total: float) -> float:
    """Return the chance whose log odds are `total`.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    return 0.5 * (1 + math.tanh(0.5 * total))


def limits_of(n: int) -> tuple[float, float]:
    """Return the least and greatest chance that n outcomes can show (Laplace's rule).

    >>> limits_of(98), limits_of(0)
    ((0.01, 0.99), (0.0, 0.0))
    """
    return (1 / (n + 2), (n + 1) / (n + 2)) if n else (0.0, 0.0)


def logit_of_share(count: int, n: int) -> float:
    """Return the log odds of a share, one outcome of either kind added."""
    return math.log(count + 1) - math.log(n - count + 1)


def _moments(values: Floats, is_known: Flags) -> tuple[Floats, Floats]:
    """Return mean and scale of what is known of each feature; 0 and 1 where nothing differs."""
    count = np.maximum(is_known.sum(axis=0), 1)
    means = values.sum(axis=0) / count
    apart = np.where(is_known, values - means, 0.0)
    spread = np.sqrt((apart**2).sum(axis=0) / count)
    return means, np.where(spread > 1e-12 * (1 + np.abs(means)), spread, 1.0)


def _sigmoids(totals: Floats) -> Floats:
    chances: Floats = 0.5 * (1 + np.tanh(0.5 * totals))
    return chances


def _loss(x: Floats, targets: Floats, penalties: Floats, weights: Floats) -> float:
    totals = x @ weights
    misfit = np.logaddexp(0.0, totals) - targets * totals
    return float(misfit.sum() + 0.5 * (penalties * weights**2).sum())
