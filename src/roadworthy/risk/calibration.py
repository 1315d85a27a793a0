"""From a score to the chance that the answer is right, learned from outcomes.

Each calibration is a frozen value of plain numbers, which can be stored, hashed and read again. A
score that is missing (NaN) or infinite has the chance 0: an unknown confidence counts as zero. So
has every score where there were no outcomes. With n outcomes no chance lies above (n + 1) / (n + 2)
(Laplace's rule): few outcomes never promise much. Of all of them a higher score never has a smaller
chance.

A calibrated chance is an estimate. What is promised is certified by `walk`, whatever the score is.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np

from .evidence import Floats
from .logistic import FARTHEST, fit_logistic, limits_of, logit_of_share, sigmoid
from .walk import Flags

_LEAST = 1e-9
"""Beyond this a probability is as good as 0 or 1, and its log odds are finite."""


class Isotonic(msgspec.Struct, frozen=True, tag="isotonic"):
    """Straight lines between the ends of blocks of equal chance.

    Attributes:
        scores: (k,) rising.
        chances: (k,) never falling.
    """

    scores: tuple[float, ...]
    chances: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.chances) or not _rises(self.scores):
            raise ValueError("expected rising scores, each with a chance")

    def chance(self, score: float) -> float:
        """Return the chance that an answer with this score is right."""
        scores, chances = self.scores, self.chances
        if not scores or not math.isfinite(score):
            return 0.0
        above = bisect_right(scores, score)
        if above == 0 or above == len(scores):
            return chances[max(above - 1, 0)]
        left, low = scores[above - 1], chances[above - 1]
        return low + (chances[above] - low) * ((score - left) / (scores[above] - left))

    def apply(self, scores: Floats) -> Floats:
        """Return the chances of many; (n,) float64 → (n,) float64."""
        return np.array([self.chance(score) for score in scores.tolist()])


class Platt(msgspec.Struct, frozen=True, tag="platt"):
    """A logistic curve of the score, or of its log odds.

    Attributes:
        of: What the curve is of.
        slope: At least 0.
        intercept: Log odds where that is 0.
        least, most: The range of it that was seen; what lies outside is held to it.
        low, high: No chance lies outside.
    """

    of: Literal["score", "logit"]
    slope: float
    intercept: float
    least: float
    most: float
    low: float
    high: float

    def chance(self, score: float) -> float:
        """Return the chance that an answer with this score is right."""
        if not math.isfinite(score):
            return 0.0
        place = _logit(score) if self.of == "logit" else score
        held = min(max(place, self.least), self.most)
        return min(max(sigmoid(self.intercept + self.slope * held), self.low), self.high)

    def apply(self, scores: Floats) -> Floats:
        """Return the chances of many; (n,) float64 → (n,) float64."""
        return np.array([self.chance(score) for score in scores.tolist()])


class VennAbers(msgspec.Struct, frozen=True, tag="venn_abers"):
    """Two chances for each score, one of which is calibrated, whatever the distribution.

    Attributes:
        ends: (k,) rising; where the upper chance takes the next of its steps.
        uppers: (k + 1,) the chance if the answer were right.
        starts: (m,) rising; where the lower chance takes the next of its steps.
        lowers: (m + 1,) the chance if the answer were wrong.
        high: No merged chance lies above.
    """

    ends: tuple[float, ...]
    uppers: tuple[float, ...]
    starts: tuple[float, ...]
    lowers: tuple[float, ...]
    high: float

    def __post_init__(self) -> None:
        if len(self.ends) + 1 != len(self.uppers) or len(self.starts) + 1 != len(self.lowers):
            raise ValueError("expected one chance more than there are steps")
        if not _rises(self.ends) or not _rises(self.starts):
            raise ValueError("expected rising steps")

    def interval(self, score: float) -> tuple[float, float]:
        """Return the lower and the upper chance."""
        if not math.isfinite(score):
            return 0.0, 1.0
        lower = self.lowers[bisect_right(self.starts, score)]
        return lower, self.uppers[bisect_left(self.ends, score)]

    def chance(self, score: float) -> float:
        """Return the two chances merged into the one of least regret under log loss."""
        if not math.isfinite(score):
            return 0.0
        lower, upper = self.interval(score)
        return min(upper / (1 - lower + upper), self.high)

    def apply(self, scores: Floats) -> Floats:
        """Return the merged chances of many; (n,) float64 → (n,) float64."""
        return np.array([self.chance(score) for score in scores.tolist()])


Calibration = Isotonic | Platt | VennAbers


def to_plain(calibration: msgspec.Struct) -> dict[str, Any]:
    """Return a calibration as values that JSON can hold.

    >>> to_plain(Isotonic((0.0, 1.0), (0.25, 0.75)))
    {'type': 'isotonic', 'scores': (0.0, 1.0), 'chances': (0.25, 0.75)}
    """
    plain: dict[str, Any] = msgspec.to_builtins(calibration)
    return plain


def from_plain(plain: Any) -> Calibration:
    """Return what `to_plain` was given.

    Raises:
        msgspec.ValidationError: It is no calibration.

    >>> from_plain({"type": "isotonic", "scores": [0.0, 1.0], "chances": [0.25, 0.75]}).chance(0.5)
    0.5
    """
    found: Calibration = msgspec.convert(plain, Calibration)
    return found


def fit_isotonic(scores: Floats, right: Flags) -> Isotonic:
    """Return the never falling curve that fits best, by pooling adjacent violators.

    Assumes that a higher score is surer, and nothing else; wants some hundreds of outcomes
    (Zadrozny and Elkan, 2002).

    Args:
        scores: (n,) float64; what is not finite is left out.
        right: (n,) bool.

    >>> fit_isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True])).chances
    (0.16666666666666666, 0.5, 0.5, 0.8333333333333334)
    """
    places, weights, sums = _grouped(scores, right)
    low, high = limits_of(int(weights.sum()))
    chances = np.clip(pool(sums / weights, weights), low, high)
    is_end = np.ones(len(places), bool)
    is_end[1:-1] = (chances[1:-1] != chances[:-2]) | (chances[1:-1] != chances[2:])
    return Isotonic(tuple(places[is_end].tolist()), tuple(chances[is_end].tolist()))


def fit_platt(scores: Floats, right: Flags, of: Literal["score", "logit"] = "score") -> Platt:
    """Return the logistic curve that fits best; good with few outcomes (Platt, 1999).

    The outcomes are drawn in by one of each kind, as Platt does. A curve that would fall is flat:
    such scores say nothing.

    Args:
        scores: (n,) float64; what is not finite is left out.
        right: (n,) bool.
        of: `logit` for scores that are probabilities; a slope below 1 is a temperature above 1.

    >>> curve = fit_platt(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, False, True, True]))
    >>> 0 < curve.chance(0.0) < curve.chance(3.0) < 1
    True
    """
    kept, good = _known(scores, right)
    if of == "logit":
        held = np.clip(kept, _LEAST, 1 - _LEAST)
        kept = np.log(held) - np.log1p(-held)
    n, count = len(kept), int(good.sum())
    low, high = limits_of(n)
    slope, intercept = 0.0, logit_of_share(count, n)
    spread = float(kept.std()) if n else 0.0
    if spread > 1e-12 and 0 < count < n:
        middle = float(kept.mean())
        x = np.column_stack([(kept - middle) / spread, np.ones(n)])
        targets = np.where(good, (count + 1) / (count + 2), 1 / (n - count + 2))
        first, second = fit_logistic(x, targets, np.zeros(2)).tolist()
        if first > 0:
            slope, intercept = first / spread, second - first * middle / spread
    least, most = (float(kept.min()), float(kept.max())) if n else (0.0, 0.0)
    return Platt(of, slope, intercept, least, most, low, high)


def fit_venn_abers(scores: Floats, right: Flags) -> VennAbers:
    """Return an inductive Venn-Abers predictor: isotonic regressions with the new one as either.

    One of its two chances is perfectly calibrated if outcomes and new answers are exchangeable, and
    the two are near each other where outcomes are many (Vovk, Petej and Fedorova, 2015).

    Args:
        scores: (n,) float64; what is not finite is left out.
        right: (n,) bool.

    >>> fitted = fit_venn_abers(np.arange(4.0), np.array([False, True, False, True]))
    >>> [round(chance, 3) for chance in fitted.interval(1.5)], fitted.chance(1.5)
    ([0.333, 0.667], 0.5)
    """
    places, weights, sums = _grouped(scores, right)
    uppers = np.append(_upper_steps(weights, sums), 1.0)
    # If wrong counts as right and the scores fall, the lower chance is an upper one.
    lowers = np.append(1 - _upper_steps(weights[::-1], (weights - sums)[::-1]), 0.0)[::-1]
    ends = np.flatnonzero(uppers[1:] != uppers[:-1])
    starts = np.flatnonzero(lowers[1:] != lowers[:-1])
    return VennAbers(
        tuple(places[ends].tolist()),
        (*uppers[ends].tolist(), 1.0),
        tuple(places[starts].tolist()),
        (0.0, *lowers[starts + 1].tolist()),
        limits_of(int(weights.sum()))[1],
    )


def pool(values: Floats, weights: Floats) -> Floats:
    """Return the never falling numbers that are nearest to others (isotonic regression).

    Pools adjacent violators into blocks of their mean (Ayer and others, 1955).

    Args:
        values: (n,) float64.
        weights: (n,) float64, above 0.

    Returns:
        (n,) float64.

    >>> pool(np.array([1.0, 3.0, 2.0]), np.ones(3)).tolist()
    [1.0, 2.5, 2.5]
    """
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, size = value, weight, 1
        while means and means[-1] >= mean:
            before = masses.pop()
            mean = (means.pop() * before + mean * mass) / (before + mass)
            mass, size = mass + before, size + sizes.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(np.array(means), np.array(sizes, int))


def _grouped(scores: Floats, right: Flags) -> tuple[Floats, Floats, Floats]:
    """Return the different finite scores, rising, how often each came and how often right."""
    kept, good = _known(scores, right)
    places, group = np.unique(kept, return_inverse=True)
    weights = np.bincount(group, minlength=len(places)).astype(float)
    sums = np.bincount(group, weights=good, minlength=len(places)).astype(float)
    return places, weights, sums


def _known(scores: Floats, right: Flags) -> tuple[Floats, Flags]:
    """Return the scores that are finite, and whether each was right."""
    wide = np.asarray(scores, np.float64)  # models give float32, which has no FARTHEST
    is_known = np.abs(wide) < FARTHEST
    return wide[is_known], right[is_known]


Point = tuple[float, float]


def _upper_steps(weights: Floats, sums: Floats) -> Floats:
    """Return what the regression gives a right answer added just below each score.

    The slope of the greatest convex minorant of the sums over the added answer, which wanders from
    left to right (Vovk, Petej and Fedorova, 2015, algorithms 1 and 2).
    """
    xs, ys = np.cumsum(weights).tolist(), np.cumsum(sums).tolist()
    points: list[Point] = [(-1.0, -1.0), (0.0, 0.0), *zip(xs, ys, strict=True)]
    corners: list[Point] = []
    for point in points:
        while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
            corners.pop()
        corners.append(point)
    corners.reverse()
    found = np.empty(len(weights))
    for k in range(len(weights)):
        left, right = corners[-1], corners[-2]
        found[k] = (right[1] - left[1]) / (right[0] - left[0])
        (ax, ay), (bx, by), (cx, cy) = points[k : k + 3]
        moved = points[k + 1] = (ax + cx - bx, ay + cy - by)
        if _turn(left, right, moved) >= 0:
            continue
        corners.pop()
        while len(corners) > 1 and _turn(moved, corners[-1], corners[-2]) <= 0:
            corners.pop()
        corners.append(moved)
    return found


def _turn(first: Point, second: Point, third: Point) -> float:
    """Return a number above 0 where the way over three points turns left."""
    ax, ay = second[0] - first[0], second[1] - first[1]
    return ax * (third[1] - first[1]) - ay * (third[0] - first[0])


def _rises(values: tuple[float, ...]) -> bool:
    return all(first < second for first, second in pairwise(values))


def _logit(chance: float) -> float:
    held = min(max(chance, _LEAST), 1 - _LEAST)
    return math.log(held) - math.log1p(-held)
