"""Whether what is given keeps a share of a reference's quality, over all requests.

A request whose score clears a threshold gets the cheaper answer of quality c, any other the
reference's of quality r. What is lost against a share `keep` of the reference is keep r - c for the
one, and keep r - r for the other: in the mean at most 0 is the promise. A quality that is saved
where the reference is not needed thus pays for one that is lost elsewhere, which a bound of lost
answers does not allow.

The bets are constant (see `bets`), so it may be looked at after every pair, and the running average
is what is certified even if the risk moves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .audit import Detector
from .bets import STRENGTHS
from .evidence import Floats
from .walk import Flags, last_before_gap

AUDIT_BETS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
"""How much the running audit bets on a loss; a loss is at least -1, so that each stays above 0."""
_BLOCK = 256


class FloorWalk(NamedTuple):
    """How far a walk has come.

    Attributes:
        n: How many pairs were seen, of all scores.
        routed: (j,) float64; how many of them each threshold gives the cheaper answer.
        weight: How many requests they stand for.
        lost: (j,) float64; the weighted sum of what is lost at each threshold, against the floor.
        spoilt: (j,) float64; what the cheaper answers lacked where the reference was better.
        reference: The weighted sum of the reference's quality.
        logs: (j, 12) float64; log of the capital of each bet.
        crossed: (j,) bool; where the evidence was ever enough. Once crossed stays crossed.
        start: The strictest threshold that is covered.
    """

    n: int
    routed: Floats
    weight: float
    lost: Floats
    spoilt: Floats
    reference: float
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
        found: Floats = np.logaddexp.reduce(self.logs, axis=-1) - math.log(len(STRENGTHS))
        return found

    def error(self, keep: float) -> Floats:
        """Return (j,) which share of the reference's quality is lost; NaN while there is none.

        Args:
            keep: The share that is promised.
        """
        if self.reference <= 0:
            return np.full(len(self.lost), np.nan)
        found: Floats = (self.lost + (1 - keep) * self.reference) / self.reference
        return found


class Pairs(NamedTuple):
    """Pairs of answers whose qualities are known, in the order of their requests.

    Attributes:
        scores: (n,) float64, NaN where unknown: then the reference answers.
        quality, reference: (n,) float64 in [0, 1]; of the cheaper answer, and of the reference's.
        chances: (n,) float64, at least 1; how likely each was to be compared, as multiples of the
            least chance.
    """

    scores: Floats
    quality: Floats
    reference: Floats
    chances: Floats


def begin(size: int, start: int) -> FloorWalk:
    """Return a walk over `size` thresholds that has seen nothing."""
    nothing, flags = np.zeros(size), np.zeros(size, bool)
    bets = np.zeros((size, len(STRENGTHS)))
    return FloorWalk(0, nothing, 0.0, nothing, nothing, 0.0, bets, flags, start)


def losses_of(pairs: Pairs, grid: Floats, keep: float) -> Floats:
    """Return (n, j) what is lost at each threshold against `keep` of the reference, in [-1, keep].

    >>> pairs = Pairs(np.array([0.9, 0.1]), np.array([0.0, 0.0]), np.ones(2), np.ones(2))
    >>> losses_of(pairs, np.array([0.5]), 0.95).round(2).tolist()
    [[0.95], [-0.05]]
    """
    is_routed = pairs.scores[:, None] >= grid
    given = np.where(is_routed, pairs.quality[:, None], pairs.reference[:, None])
    found: Floats = keep * pairs.reference[:, None] - given
    return found


def advance(walk: FloorWalk, pairs: Pairs, grid: Floats, keep: float, sure: float) -> FloorWalk:
    """Return the walk after more pairs, looked at after each.

    Args:
        walk: As it stands.
        pairs: One of each unit and window.
        grid: (j,) float64, falling.
        keep: Share of the reference's quality that is promised.
        sure: How sure.

    Raises:
        ValueError: A chance lies below 1, or a quality outside of [0, 1].

    >>> pairs = Pairs(np.ones(400), np.ones(400), np.ones(400), np.ones(400))
    >>> advance(begin(1, 0), pairs, np.array([0.5]), 0.95, 0.9).certified
    0
    """
    qualities = np.concatenate([pairs.quality, pairs.reference])
    if not np.all((qualities >= 0) & (qualities <= 1)) or not np.all(pairs.chances >= 1):
        raise ValueError("expected qualities from 0 to 1 and chances of at least 1")
    bets, enough = STRENGTHS / keep, -math.log1p(-sure)
    for begun in range(0, len(pairs.scores), _BLOCK):
        some = Pairs(*(column[begun : begun + _BLOCK] for column in pairs))
        lost, chances = losses_of(some, grid, keep), some.chances[:, None]
        is_routed = some.scores[:, None] >= grid
        lacked = np.maximum(some.reference - some.quality, 0.0)[:, None]
        steps = np.log1p(-bets * (lost / chances)[..., None])
        logs = np.cumsum(np.concatenate([walk.logs[None], steps]), axis=0)[1:]
        mixed = np.logaddexp.reduce(logs, axis=-1) - math.log(len(STRENGTHS))
        walk = FloorWalk(
            walk.n + len(some.scores),
            walk.routed + is_routed.sum(axis=0),
            walk.weight + float((1 / chances).sum()),
            walk.lost + (lost / chances).sum(axis=0),
            walk.spoilt + (is_routed * lacked).sum(axis=0),
            walk.reference + float((some.reference[:, None] / chances).sum()),
            logs[-1],
            walk.crossed | (mixed >= enough).any(axis=0),
            walk.start,
        )
    return walk


def see(detector: Detector, lost: float, chance: float) -> Detector:
    """Return a running audit of the floor after one more pair.

    Its mean factor is at most 1 while nothing is lost in the mean, so that it runs at least as many
    pairs as its run length, in the mean, until a false alarm (see `audit`).

    Args:
        detector: So far; one that has seen nothing is `audit.begin()`.
        lost: What was lost with the threshold in force, in [-1, 1].
        chance: How likely the pair was to be seen, as a multiple of the least chance: at least 1.

    >>> from .audit import begin as nothing_yet
    >>> quiet = nothing_yet()
    >>> for _ in range(40): quiet = see(quiet, 0.95, 1.0)
    >>> bool(quiet.log_level > math.log(1000))
    True
    """
    if chance < 1 or not -1 <= lost <= 1:
        raise ValueError(f"expected a chance of at least 1 and a loss from -1 to 1, got {lost}")
    logs = np.logaddexp(detector.logs, 0.0) + np.log1p(AUDIT_BETS * lost / chance)
    return Detector(logs, detector.n + 1, detector.wrong + max(lost, 0.0))


def pairs_needed(walk: FloorWalk, threshold: int, sure: float, most: int) -> int | None:
    """Return how many more pairs certify a threshold if bets go on as they did; None if too many.

    Args:
        walk: As it stands.
        threshold: Its position in the grid.
        sure: How sure.
        most: More than so many count as out of reach.
    """
    if walk.crossed[threshold]:
        return 0
    if not walk.n:
        return None
    logs = walk.logs[threshold]
    rates, enough = logs / (walk.n + 1), -math.log1p(-sure)

    def is_enough(more: int) -> bool:
        mixed = np.logaddexp.reduce(logs + rates * more) - math.log(len(STRENGTHS))
        return bool(mixed >= enough)

    if not is_enough(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def least_pairs(keep: float, sure: float) -> int:
    """Return how many pairs certify a floor if the cheaper answers are as good as the reference's.

    >>> least_pairs(0.95, 0.9) < least_pairs(0.95, 0.95) < least_pairs(0.99, 0.95)
    True
    """
    steps, enough = np.log1p(STRENGTHS / keep * (1 - keep)), -math.log1p(-sure)
    low, high = 0, 1
    while np.logaddexp.reduce(steps * high) - math.log(len(STRENGTHS)) < enough:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        is_enough = np.logaddexp.reduce(steps * middle) - math.log(len(STRENGTHS)) >= enough
        low, high = (low, middle) if is_enough else (middle, high)
    return high
