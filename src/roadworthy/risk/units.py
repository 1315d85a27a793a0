"""One labelled outcome for each unit and window, so that a count is of units.

Requests of one user err together: counted one by one they broke the promise of a quarter of all
teams. Which of them counts falls by a coin that knows nothing of outcomes, so that neither late
labels nor reviewers choose. Its chance is known exactly from the recorded chances of all requests
of the unit, labelled or not (Horvitz and Thompson, 1952), and `weighted` takes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from .coin import coin_of
from .evidence import Floats

MOST_OF_A_UNIT = 256
"""Of a unit with more requests in a window so many stand for all, drawn by the same coin."""


class Candidate(NamedTuple):
    """A request whose time to be labelled is over.

    Attributes:
        request_id: Of ours, so that no caller chooses it.
        unit: The user, entity or conversation; for one without, what is likest to it.
        window: The number of its window (see `window_of`).
        propensity: The recorded chance of a label, above 0.
        is_drawn: Whether the coin fell on a label, also where that never came.
    """

    request_id: str
    unit: str
    window: int
    propensity: float
    is_drawn: bool


class Picked(NamedTuple):
    """The request that counts for its unit and window.

    Attributes:
        position: Among the candidates.
        propensity: The chance that it was picked, times how many requests it stands for: at least
            the smallest recorded chance of the unit, and above 1 where others were likely to be.
    """

    position: int
    propensity: float


def window_of(at: float, window_s: float) -> int:
    """Return the number of the window in which a time lies.

    Args:
        at: Of the request, not of its outcome; seconds since 1970, UTC.
        window_s: Length of a window.

    >>> window_of(86_400.0, 86_400.0), window_of(86_399.9, 86_400.0)
    (1, 0)
    """
    return math.floor(at / window_s)


def pick(candidates: Sequence[Candidate], purpose: str = "unit") -> list[Picked]:
    """Return one drawn request of each unit and window, in the order of the candidates.

    All requests of a unit and window must be there, answered alone or not and labelled or not, or
    its chances are not the true ones: pick when the window is over and its outcomes have had their
    time. The error is then that of the mean unit, not of the mean request.

    Args:
        candidates: In the order of their requests, each once.
        purpose: Coins of other purposes fall independently; never that of the audit.

    Returns:
        Nothing for a unit of which no request was drawn.

    Raises:
        ValueError: A propensity is not above 0 and at most 1.

    >>> day = [Candidate(f"rq_{k}", "ada", 0, 0.5, True) for k in range(3)]
    >>> [round(picked.propensity, 3) for picked in pick(day)]
    [0.875]
    """
    units: dict[tuple[str, int], list[int]] = {}
    for position, candidate in enumerate(candidates):
        if not 0 < candidate.propensity <= 1:
            raise ValueError(f"expected a propensity from 0 to 1, got {candidate.propensity}")
        units.setdefault((candidate.unit, candidate.window), []).append(position)
    found = []
    for positions in units.values():
        if len(positions) == 1:
            if candidates[positions[0]].is_drawn:
                found.append(Picked(positions[0], candidates[positions[0]].propensity))
            continue
        ordered = sorted(positions, key=lambda k: coin_of(candidates[k].request_id, purpose))
        kept = ordered[:MOST_OF_A_UNIT]
        first = next((k for k, at in enumerate(kept) if candidates[at].is_drawn), None)
        if first is not None:
            chances = np.array([candidates[at].propensity for at in kept])
            chance = len(kept) * chance_of_pick(chances, first)
            found.append(Picked(kept[first], max(chance, float(chances.min()))))
    return sorted(found)


def chance_of_pick(propensities: Floats, which: int) -> float:
    """Return the chance that a request is drawn, and then picked among all that were drawn.

    q E[1 / (1 + how many others were drawn)], which is q times the integral over t from 0 to 1 of
    the product of 1 - q' (1 - t) over the others: a polynomial, so that Gauss-Legendre is exact.

    Args:
        propensities: (m,) float64 in (0, 1], of all requests of the unit; m up to a few hundred.
        which: The request's position.

    >>> round(chance_of_pick(np.array([1.0, 1.0, 1.0, 1.0]), 2), 12)
    0.25
    """
    nodes, weights = _quadrature(len(propensities) // 2 + 1)
    others = np.delete(propensities, which)
    chances = np.prod(1 - others[:, None] * (1 - nodes), axis=0)
    return float(propensities[which] * (weights @ chances))


@cache
def _quadrature(size: int) -> tuple[Floats, Floats]:
    """Return nodes and weights of Gauss and Legendre between 0 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(size)
    return (nodes + 1) / 2, weights / 2
