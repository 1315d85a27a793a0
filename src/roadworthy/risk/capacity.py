"""Whether the reviewers can carry what a bound sends them, and what gives if they cannot.

The bound says from which threshold on answers may go out alone; the reviewers' capacity, how many
may not. If both cannot hold, one of three things gives, and a person says which: more reviewers, a
share of the reviews that goes down the ladder, or the bound. The surest of what is left over are
never let pass in silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .evidence import Floats

_BUSY = 1.64
"""Standard deviations of a day's reviews that must fit too: 19 days of 20 do, if they are Poisson
numbers."""


class Demand(NamedTuple):
    """What comes in a day, and what reviewers get done.

    Attributes:
        requests: Expected in a day.
        capacity: Reviews that all reviewers get done in a day.
        audit_share: Of what is answered alone, how much is reviewed all the same.
        per_reviewer: Reviews that one gets done in a day.
    """

    requests: float
    capacity: float
    audit_share: float
    per_reviewer: float


class Plan(NamedTuple):
    """Whether bound and capacity both hold.

    Attributes:
        fits: Whether they do, with the loosest certified threshold.
        load: Reviews in a busy day under it; all requests where none is certified.
        audit_share: The largest share of audits that fits too, where it fits.
        least: The strictest threshold that the capacity allows, None where none is loose enough.
        reviewers: How many more reviewers would make it fit.
        overflow_share: Which random share of the reviews would have to go down the ladder; 1 where
            even the audits are too many.
        max_error: The bound that `least` would keep by the outcomes so far, None without `least`.
    """

    fits: bool
    load: float
    audit_share: float
    least: int | None
    reviewers: int
    overflow_share: float
    max_error: float | None


def human_shares(scores: Floats, grid: Floats) -> Floats:
    """Return which share of unlabelled traffic goes to a person under each threshold.

    Args:
        scores: (n,) float64; NaN always goes to a person.
        grid: (j,) float64, falling.

    Returns:
        (j,) float64, falling; all 1 without scores.

    >>> human_shares(np.array([0.9, 0.5, np.nan, 0.1]), np.array([0.8, 0.4])).tolist()
    [0.75, 0.5]
    """
    if not len(scores):
        return np.ones(len(grid))
    ordered = np.sort(scores[~np.isnan(scores)])
    passed = len(ordered) - np.searchsorted(ordered, grid, side="left")
    shares: Floats = 1 - passed / len(scores)
    return shares


def load_of(share: float, demand: Demand) -> float:
    """Return how many reviews a busy day has if so large a share goes to a person.

    Args:
        share: Of the requests, in [0, 1].
        demand: Of a day.

    >>> round(load_of(0.2, Demand(1000, 250, 0.05, 50)), 1)  # 200, 23.2 more if busy, 40 audits
    263.2
    """
    people = demand.requests * share
    return people + _BUSY * math.sqrt(people) + demand.requests * (1 - share) * demand.audit_share


def least_of(shares: Floats, demand: Demand) -> int | None:
    """Return the strictest threshold whose reviews the capacity carries.

    It depends on scores only, so that the upper bound of its error needs no correction.

    >>> least_of(np.array([0.9, 0.4, 0.1]), Demand(1000, 500, 0.05, 50))
    1
    """
    loads = [load_of(float(share), demand) for share in shares]
    return next((j for j, load in enumerate(loads) if load <= demand.capacity), None)


def plan(
    demand: Demand, shares: Floats, certified: int | None, bound_at: Callable[[int], float]
) -> Plan:
    """Return whether bound and capacity both hold, and what would make them.

    Args:
        demand: Of a day.
        shares: (j,) float64, of `human_shares`.
        certified: The loosest certified threshold.
        bound_at: Gives the upper bound of the error under a threshold, such as
            `upper_bound(walk.wrong[j], walk.n[j], sure)`.

    >>> shares = np.array([0.9, 0.4, 0.1])
    >>> found = plan(Demand(1000, 250, 0.05, 50), shares, 1, lambda j: 0.07)
    >>> found.fits, found.least, found.reviewers, round(found.overflow_share, 2), found.max_error
    (False, 2, 5, 0.51, 0.07)
    """
    share = 1.0 if certified is None else float(shares[certified])
    load, least = load_of(share, demand), least_of(shares, demand)
    if load <= demand.capacity:
        return Plan(True, load, _audit_share(share, load, demand), least, 0, 0.0, None)
    return Plan(
        False,
        load,
        demand.audit_share,
        least,
        math.ceil((load - demand.capacity) / demand.per_reviewer),
        _overflow_share(share, demand),
        None if least is None else bound_at(least),
    )


def _audit_share(share: float, load: float, demand: Demand) -> float:
    alone = demand.requests * (1 - share)
    if alone <= 0:
        return demand.audit_share
    return min(1.0, demand.audit_share + (demand.capacity - load) / alone)


def _overflow_share(share: float, demand: Demand) -> float:
    """Return which share of the reviews must go, so that x + 1.64 root(x) and the audits fit."""
    left = demand.capacity - demand.requests * (1 - share) * demand.audit_share
    if left <= 0:
        return 1.0
    root = (math.sqrt(_BUSY**2 + 4 * left) - _BUSY) / 2
    return max(0.0, 1 - root**2 / (demand.requests * share))
