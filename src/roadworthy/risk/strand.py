"""The evidence of one population: counts while all were as likely to be seen, then weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import walk, weighted
from .bets import STRENGTHS
from .evidence import Floats, log_evidence
from .walk import Flags, Walk
from .weighted import Terms, WeightedWalk


class Strand(NamedTuple):
    """The evidence of one population.

    Attributes:
        counts: While all requests of a window were equally likely to be labelled.
        weights: From the first window on in which they were not; None before. It goes on from the
            evidence of the counts: a product of evidence is evidence.
    """

    counts: Walk
    weights: WeightedWalk | None = None

    @property
    def crossed(self) -> Flags:
        """(j,) bool; where the evidence was ever enough."""
        return self.counts.crossed if self.weights is None else self.weights.crossed

    @property
    def n(self) -> list[int]:
        """How many units each threshold lets pass."""
        found = self.counts if self.weights is None else self.weights
        return [int(n) for n in found.n]

    @property
    def wrong(self) -> list[int]:
        """How many of them were wrong."""
        found = self.counts if self.weights is None else self.weights
        return [round(float(wrong)) for wrong in found.wrong]

    @property
    def error(self) -> Floats:
        """(j,) float64; the measured error of what each threshold lets pass, NaN without any."""
        if self.weights is not None:
            return self.weights.error
        with np.errstate(invalid="ignore"):
            return np.where(self.counts.n > 0, self.counts.wrong / self.counts.n, np.nan)


def begin(size: int, start: int) -> Strand:
    """Return a strand over `size` thresholds that has seen nothing."""
    return Strand(walk.begin(size, start))


def advance(
    strand: Strand,
    scores: Floats,
    losses: Floats | Flags,
    propensities: Floats | None,
    terms: Terms,
) -> Strand:
    """Return the strand after more outcomes.

    Args:
        strand: As it stands.
        scores: (n,) float64, one per unit and window.
        losses: (n,) bool, or float64 in [0, 1], which are always weighted.
        propensities: (n,) float64; how likely each was to be seen; None where all were equally.
        terms: What it stands on.
    """
    counts, weights = strand
    is_counted = np.asarray(losses).dtype == bool
    if weights is None and propensities is None and is_counted:
        level = (terms.max_error, terms.sure)
        flags = np.asarray(losses, bool)
        return Strand(walk.advance(counts, scores, flags, terms.grid, *level, of=terms.of))
    begun = _weigh(counts, terms) if weights is None else weights
    likely = np.ones(len(scores)) if propensities is None else propensities
    return Strand(counts, weighted.advance(begun, scores, losses, likely, terms))


def _weigh(counts: Walk, terms: Terms) -> WeightedWalk:
    """Return counts as the beginning of a walk with weights: bets start with their evidence."""
    logs = np.asarray(log_evidence(counts.wrong, counts.n, terms.max_error))
    n, wrong = counts.n.astype(float), counts.wrong.astype(float)
    bets = np.tile(logs[:, None], (1, len(STRENGTHS)))
    return WeightedWalk(counts.n, wrong, n, wrong, bets, counts.crossed, counts.start)
