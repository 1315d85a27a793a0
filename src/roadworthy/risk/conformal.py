"""Sets of classes and intervals that hold the truth as often as is asked for.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005; Angelopoulos and Bates, 2023): scores
of how strange labelled rows look give a threshold that a new one exceeds with a chance of at most
`max_error`, if it and they are exchangeable and the model saw none of them. That is so on average
over rows (marginally), not for each row or group. What is missing counts as infinitely strange.

Where rows drift, `adapt` moves the level with each miss: on average over time the share of misses
comes to `max_error`, whatever happens (Gibbs and Candès, 2021).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .evidence import Floats
from .walk import Flags

Labels = npt.NDArray[np.int64]


def threshold_of(strangeness: Floats, max_error: float) -> float:
    """Return the score that a new row exceeds with a chance of at most `max_error`.

    The ceil((n + 1)(1 - max_error))-th smallest; infinite where that is more than there are, and
    -inf where all may be missed.

    Args:
        strangeness: (n,) float64; NaN counts as infinite.
        max_error: Share of truths that may be missed; any number, since `adapt` leaves [0, 1].

    >>> threshold_of(np.arange(1.0, 20.0), 0.1), threshold_of(np.arange(8.0), 0.1)
    (18.0, inf)
    """
    n = len(strangeness)
    if max_error >= 1:
        return -math.inf
    # A hair less: (n + 1)(1 - .1) is 18.000000000000004 of 19, and would cost a rank.
    rank = math.ceil((n + 1) * (1 - max_error) * (1 - 1e-12))
    if rank > n:
        return math.inf
    known = np.where(np.isnan(strangeness), np.inf, strangeness)
    return float(np.partition(known, rank - 1)[rank - 1])


def strangeness_lac(probabilities: Floats) -> Floats:
    """Return 1 - probability: the smallest sets on average (Sadinle, Lei and Wasserman, 2019).

    Args:
        probabilities: (n, k) float64, rows sum to 1.

    Returns:
        (n, k) float64, of each class. `probabilities <= threshold` gives the sets.

    >>> probabilities = np.array([[0.7, 0.2, 0.1]])
    >>> sets_of(strangeness_lac(probabilities), 0.85).tolist()
    [[True, True, False]]
    """
    found: Floats = 1 - probabilities
    return found


def strangeness_aps(probabilities: Floats, uniforms: Floats) -> Floats:
    """Return the mass of the more probable classes, and a random part of the own.

    Sets adapt to how hard a row is (Romano, Sesia and Candès, 2020). The random part makes the
    share of misses what was asked for, rather than less; a set may be empty.

    Args:
        probabilities: (n, k) float64, rows sum to 1.
        uniforms: (n,) float64 in [0, 1), one for each row and drawn without looking at it.

    Returns:
        (n, k) float64, of each class.

    >>> strangeness_aps(np.array([[0.25, 0.75]]), np.array([0.5])).tolist()
    [[0.875, 0.375]]
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=1)
    mass = np.cumsum(falling, axis=1) - (1 - uniforms[:, None]) * falling
    found = np.empty_like(probabilities)
    np.put_along_axis(found, order, mass, axis=1)
    return found


def strangeness_of_labels(strangeness: Floats, labels: Labels) -> Floats:
    """Return the scores of the true classes; (n, k) float64 and (n,) int64 → (n,) float64."""
    found: Floats = strangeness[np.arange(len(labels)), labels]
    return found


def sets_of(strangeness: Floats, threshold: float) -> Flags:
    """Return which classes belong to each row's set; a row with NaN has all of them.

    Args:
        strangeness: (m, k) float64, by the function that made those of the threshold.
        threshold: Of `threshold_of`.

    Returns:
        (m, k) bool.
    """
    found: Flags = (strangeness <= threshold) | np.isnan(strangeness).any(axis=1, keepdims=True)
    return found


def margin_of(low: Floats, high: Floats, actual: Floats, max_error: float) -> float:
    """Return by how much predicted intervals must be widened; less than 0 narrows them.

    Conformalised quantile regression (Romano, Patterson and Candès, 2019). With a prediction as
    both `low` and `high` it is the quantile of the absolute residuals.

    Args:
        low: (n,) float64, lower predicted quantiles.
        high: (n,) float64, upper predicted quantiles.
        actual: (n,) float64.
        max_error: Share of truths that may lie outside.

    >>> predicted = np.zeros(9)
    >>> margin_of(predicted, predicted, np.arange(-4.0, 5.0), 0.2)
    4.0
    """
    return threshold_of(np.maximum(low - actual, actual - high), max_error)


def widened(low: Floats, high: Floats, margin: float) -> tuple[Floats, Floats]:
    """Return intervals widened by a margin; ends that would cross meet, what is NaN is infinite.

    >>> [end.tolist() for end in widened(np.array([1.0]), np.array([2.0]), 0.5)]
    [[0.5], [2.5]]
    """
    middle = (low + high) / 2
    bottom = np.minimum(low - margin, middle)
    top = np.maximum(high + margin, middle)
    is_unknown = np.isnan(middle)
    return np.where(is_unknown, -np.inf, bottom), np.where(is_unknown, np.inf, top)


class Adaptive(NamedTuple):
    """The level of an interval that follows its misses.

    Attributes:
        level: What to hand to `threshold_of` next, in the place of `max_error`; below 0 everything
            is covered, from 1 on nothing is.
        n, missed: Outcomes so far, and how many of them lay outside.
    """

    level: float
    n: int = 0
    missed: int = 0


def adapt(state: Adaptive, is_missed: bool, max_error: float, step: float = 0.005) -> Adaptive:
    """Return the level after one more outcome: a miss lowers it, so that the next set is larger.

    For any sequence of outcomes, |missed / n - max_error| is at most
    (max(max_error, 1 - max_error) + step) / (step n), if it began at `max_error`. That says nothing
    of one moment, row or group, and sets may be infinite or empty for a while.

    Args:
        state: So far; begin with `Adaptive(max_error)`.
        is_missed: Whether the truth lay outside at `state.level`.
        max_error: The share of misses to come to.
        step: How fast it follows.

    >>> adapt(Adaptive(0.1), True, 0.1, 0.05).level
    0.055
    """
    level = state.level + step * (max_error - is_missed)
    return Adaptive(level, state.n + 1, state.missed + is_missed)
