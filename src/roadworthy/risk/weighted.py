"""A walk whose outcomes were not equally likely to be labelled.

Below a threshold everything is reviewed, above it only what an audit draws: counted alike, such
outcomes break the promise or waste it. Each outcome is weighted by the recorded chance that it had
of a label, and constant bets stand in for the counts of `walk` (see `bets`; Waudby-Smith and
Ramdas, 2024; Xu, Karampatziakis and Mineiro, 2024). Where all chances are equal these bets are the
likelihood ratios of `evidence`, spread over more rates: without an error 241 outcomes certify 2 %,
instead of 194.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .bets import STRENGTHS, log_wealth_of_losses
from .evidence import MOST_LABELS, Counts, Floats
from .walk import Flags, Of, last_before_gap

_BLOCK = 256
"""So many outcomes at a time, which bounds the memory of their paths."""


class Terms(NamedTuple):
    """What an epoch stands on; whatever of it changes opens a new one.

    Attributes:
        grid: (j,) float64, falling thresholds.
        start: The strictest threshold that is covered.
        max_error: Bound of the mean loss.
        sure: How sure.
        least_propensity: The smallest chance of a label that any request will have.
        of: Of what the bound is.
    """

    grid: Floats
    start: int
    max_error: float
    sure: float
    least_propensity: float = 1.0
    of: Of = "accepted"


class WeightedWalk(NamedTuple):
    """How far a walk has come.

    Attributes:
        n: (j,) int64; the outcomes that each threshold lets pass (`of = "all"`: all outcomes).
        wrong: (j,) float64; the sum of their losses.
        weight, weighted_wrong: (j,) float64; how many requests they stand for, and the losses.
        logs: (j, 12) float64; log of the capital of each bet.
        crossed: (j,) bool; where the evidence was ever enough. Once crossed stays crossed.
        start: The strictest threshold that is covered.
    """

    n: Counts
    wrong: Floats
    weight: Floats
    weighted_wrong: Floats
    logs: Floats
    crossed: Flags
    start: int

    @property
    def certified(self) -> int | None:
        """The loosest threshold that is certified, or None."""
        return last_before_gap(self.crossed, self.start)

    @property
    def log_evidence(self) -> Floats:
        """(j,) float64; at least ln(1 / (1 - sure)) is sure enough."""
        return _mixture(self.logs)

    @property
    def error(self) -> Floats:
        """(j,) float64; the measured error of what each threshold lets pass, NaN without any."""
        found = np.full(len(self.weight), math.nan)
        np.divide(self.weighted_wrong, self.weight, out=found, where=self.weight > 0)
        return found


def begin(terms: Terms) -> WeightedWalk:
    """Return a walk that has seen nothing."""
    size = len(terms.grid)
    nothing = np.zeros(size)
    return WeightedWalk(
        np.zeros(size, np.int64),
        nothing,
        nothing,
        nothing,
        np.zeros((size, len(STRENGTHS))),
        np.zeros(size, bool),
        terms.start,
    )


def advance(
    walk: WeightedWalk, scores: Floats, losses: Floats | Flags, propensities: Floats, terms: Terms
) -> WeightedWalk:
    """Return the walk after more labelled outcomes, looked at after each.

    What it returns does not depend on how the outcomes are dealt into calls.

    Args:
        walk: As it stands.
        scores: (n,) float64, of matured outcomes in the order of their requests, one per unit and
            window; NaN passes nowhere: an unknown confidence counts as zero.
        losses: (n,) float64 in [0, 1], or bool; what is missing after its time counts as 1.
        propensities: (n,) float64; the recorded chance that each had of a label, or what
            `units.pick` made of it, which may lie above 1.
        terms: Of the epoch.

    Raises:
        ValueError: A propensity lies below the least one, or a loss outside of [0, 1].

    >>> terms = Terms(np.array([0.8, 0.4]), 0, 0.05, 0.9, least_propensity=0.1)
    >>> scores = np.tile([0.9, 0.5], 300)
    >>> chances = np.where(scores > 0.8, 0.1, 1.0)  # audited above .8, reviewed below
    >>> walk = advance(begin(terms), scores, scores < 0.6, chances, terms)
    >>> walk.certified, [round(float(error), 2) for error in walk.error]
    (0, [0.0, 0.09])
    """
    lost = np.asarray(losses, float)
    _check(lost, propensities, terms.least_propensity)
    if not len(terms.grid):
        return walk
    for begun in range(0, len(scores), _BLOCK):
        block = slice(begun, begun + _BLOCK)
        walk = _advance(walk, scores[block], lost[block], propensities[block], terms)
    return walk


def labels_needed(walk: WeightedWalk, threshold: int, terms: Terms) -> int | None:
    """Return how many more outcomes certify a threshold if bets go on as they did; None if never.

    Each bet goes on at its mean rate so far, half an error and half a right answer of the least
    chance added, so that nothing is promised of an empty walk.

    Args:
        walk: As it stands.
        threshold: Its position in the grid.
        terms: Of the epoch.

    >>> terms = Terms(np.array([0.5]), 0, 0.05, 0.9)
    >>> walk = advance(begin(terms), np.ones(60), np.zeros(60), np.ones(60), terms)
    >>> labels_needed(walk, 0, terms), labels_needed(begin(terms), 0, terms) is None
    (56, True)
    """
    bets = STRENGTHS / (1 - terms.max_error)
    half = (np.log1p(-bets * (1 - terms.max_error)) + np.log1p(bets * terms.max_error)) / 2
    logs, enough = walk.logs[threshold], -math.log1p(-terms.sure)
    rates = (logs + half) / (int(walk.n[threshold]) + 1)

    def is_enough(more: int) -> bool:
        return bool(_mixture(logs + rates * more) >= enough)

    if walk.crossed[threshold]:
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


def upper_bound_of(
    losses: Floats, propensities: Floats, sure: float, least_propensity: float
) -> float:
    """Return the smallest mean loss that was ever ruled out; the true one lies below it.

    As `evidence.upper_bound`, which says when: the capital of each bet grows with the error it is
    held against, so that what rules out one rules out all greater ones.

    Args:
        losses: (n,) float64 in [0, 1], of what one threshold lets pass.
        propensities: (n,) float64, at most 1.
        sure: How sure.
        least_propensity: The smallest chance of a label that any request had.

    >>> chances = np.full(400, 0.05)
    >>> round(upper_bound_of(np.zeros(400), chances, 0.9, 0.05), 3)
    0.012
    """
    low, high = 0.0, 1 - 1e-9

    def is_ruled_out(error: float) -> bool:
        wealth = log_wealth_of_losses(losses, propensities, error, least_propensity)
        return bool(wealth.max(initial=0.0) >= -math.log1p(-sure))

    if not is_ruled_out(high):
        return 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if is_ruled_out(middle) else (middle, high)
    return high


def _check(losses: Floats, propensities: Floats, least: float) -> None:
    if not np.all((propensities >= least) & (propensities > 0) & (propensities < np.inf)):
        raise ValueError(f"expected propensities of at least {least}")
    if not np.all((losses >= 0) & (losses <= 1)):
        raise ValueError("expected losses from 0 to 1")


def _advance(
    walk: WeightedWalk, scores: Floats, losses: Floats, propensities: Floats, terms: Terms
) -> WeightedWalk:
    passes = scores[:, None] >= terms.grid
    lost = passes * losses[:, None]
    counts = passes if terms.of == "accepted" else np.ones_like(passes)
    weights = counts / propensities[:, None]
    bets = STRENGTHS * terms.least_propensity / (1 - terms.max_error) / propensities[:, None]
    passing = np.log1p((terms.max_error - losses)[:, None] * bets)
    others = np.log1p(terms.max_error * bets) if terms.of == "all" else np.zeros(bets.shape)
    logs = _run(walk.logs, np.where(passes[..., None], passing[:, None], others[:, None]))
    return WeightedWalk(
        walk.n + counts.sum(axis=0),
        _run(walk.wrong, lost)[-1],
        _run(walk.weight, weights)[-1],
        _run(walk.weighted_wrong, weights * lost)[-1],
        logs[-1],
        walk.crossed | _is_ever_enough(logs, walk.crossed, -math.log1p(-terms.sure)),
        walk.start,
    )


def _is_ever_enough(logs: Floats, crossed: Flags, enough: float) -> Flags:
    """Return which thresholds crossed at any of the steps; (n, j, 12) float64 → (j,) bool."""
    # A mean is no larger than the largest: where that is too small it need not be taken.
    found = (logs.max(axis=-1) >= enough) & ~crossed
    found[found] = _mixture(logs[found]) >= enough
    is_enough: Flags = found.any(axis=0)
    return is_enough


def _run(before: Floats, steps: Floats) -> Floats:
    """Return the sums after each step, added one by one so that blocks make no difference."""
    sums: Floats = np.cumsum(np.concatenate([before[None], steps]), axis=0)[1:]
    return sums


def _mixture(logs: Floats) -> Floats:
    mixed: Floats = np.logaddexp.reduce(logs, axis=-1) - math.log(len(STRENGTHS))
    return mixed
