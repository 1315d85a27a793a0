"""Evidence from losses that are weighted, real-valued or paired: bets against the hypothesis.

Each bet multiplies a capital by a factor whose mean is at most 1 where the hypothesis holds, so a
capital beyond 1 / (1 - sure) is as unlikely as the promise says (Waudby-Smith and Ramdas, 2024). A
constant bet also holds where the risk moves: its capital is at most exp(c * sum(bound - risk))
times a martingale, so it certifies the running average. Bets that follow the recent average do not.
"""

from __future__ import annotations

import math

import numpy as np

from .evidence import Floats

STRENGTHS = np.geomspace(0.01, 0.9, 12)
PAIR_BETS = np.array([0.03, 0.06, 0.12, 0.2, 0.35, 0.5, 0.7, 0.9])


def log_wealth_of_losses(
    losses: Floats, propensities: Floats, max_error: float, least_propensity: float
) -> Floats:
    """Return the log of the evidence that the mean loss is at most `max_error`, after each label.

    Requests without a label contribute nothing and are left out; how likely each was to get one
    must have been recorded before its outcome was known.

    Args:
        losses: (n,) float64 in [0, 1], of labelled requests in the order they matured.
        propensities: (n,) float64 in (0, 1], the recorded chance of each label.
        max_error: Bound of the mean loss over all requests of the population.
        least_propensity: The smallest chance that any request of the population had.

    Returns:
        (n,) float64.

    Raises:
        ValueError: A propensity lies below `least_propensity`, or a loss outside of [0, 1].

    >>> even = log_wealth_of_losses(np.zeros(600), np.full(600, 0.05), 0.02, 0.05)
    >>> bool(even[-1] > math.log(10) > even[10])
    True
    """
    if not losses.size:
        return np.empty(0)
    if propensities.min() < least_propensity or propensities.max() > 1:
        raise ValueError(f"expected propensities from {least_propensity} to 1")
    if losses.min() < 0 or losses.max() > 1:
        raise ValueError("expected losses from 0 to 1")
    bets = STRENGTHS * least_propensity / (1 - max_error)
    gains = (max_error - losses) / propensities
    return _log_mixture(np.log1p(gains[:, None] * bets))


def log_wealth_planned(
    losses: Floats, most: float, sure: float, planned: int, low: float = 0.0, high: float = 1.0
) -> Floats:
    """Return the log of the evidence that the mean loss is at most `most`, tuned to a planned n.

    The bet before each loss follows the variance of those before it (Waudby-Smith and Ramdas,
    2024, the predictable plug-in): tighter for real-valued losses where n is planned.

    Args:
        losses: (n,) float64 in [low, high], in the order they became known.
        most: The bound of their mean.
        sure: How sure.
        planned: After how many the look is planned.
        low: Of what a loss can be.
        high: Of what a loss can be.

    Returns:
        (n,) float64; its maximum so far is the evidence.

    Raises:
        ValueError: A loss lies outside of [low, high].
    """
    if losses.size and (losses.min() < low or losses.max() > high):
        raise ValueError(f"expected losses from {low} to {high}")
    count = np.arange(1, losses.size + 1)
    mean = (0.5 * (low + high) + np.cumsum(losses)) / (count + 1)
    spread = ((high - low) ** 2 / 4 + np.cumsum((losses - mean) ** 2)) / (count + 1)
    before = np.concatenate([[(high - low) ** 2 / 4], spread[:-1]])[: losses.size]
    bets = np.sqrt(2 * -math.log1p(-sure) / (planned * before))
    bets = np.minimum(bets, 0.75 / (high - most))
    return np.cumsum(np.log1p(bets * (most - losses)))


def log_wealth_of_pairs(differences: Floats, least: float = 0.0) -> Floats:
    """Return the log of the evidence that the mean difference is more than `least`, after each.

    A pair is a user of the canary and those of the champion who closed next: the unit is the user,
    since requests of one user err together.

    Args:
        differences: (n,) float64 in [-1, 1], loss of the canary's user less that of the champion's.
        least: What the hypothesis allows; 0 to roll back. To promote, give the negated differences
            and the negated largest regression.

    Returns:
        (n,) float64.

    Raises:
        ValueError: A difference lies outside of [-1, 1].

    >>> bool(log_wealth_of_pairs(np.full(40, 0.5))[-1] > math.log(20))
    True
    """
    if differences.size and np.abs(differences).max() > 1:
        raise ValueError("expected differences from -1 to 1")
    bets = PAIR_BETS / (1 + least)
    return _log_mixture(np.log1p((differences - least)[:, None] * bets))


def _log_mixture(logs: Floats) -> Floats:
    """Return the log of the mean capital of all bets after each step; (n, bets) of log factors."""
    paths = np.cumsum(logs, axis=0)
    found: Floats = np.logaddexp.reduce(paths, axis=1) - math.log(logs.shape[1])
    return found
