"""Whether features still come from where they came from, watched record by record.

Each value is ranked among the reference and all live values so far, ties broken at random: as long
as nothing changes these ranks are uniform and independent, whatever the distribution (Vovk, 2021).
Ranked among a reference alone they are not, as it is itself a sample: that alarmed falsely in 92 %
of runs. Shiryaev-Roberts statistics bet that ranks grow or fall (Shin, Ramdas and Rinaldo, 2022);
their mean over features alarms falsely once in `run_length` records at most, in the mean, however
the features hang together.

An alarm says that something changed, not that it harms. Assumed: records do not influence each
other. Give one record of each user and day, and keep a detector for each hour of the day or day of
the week where a season is known, or the season is what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .distances import BINS, Counts, Floats, counts_of, edges_of

BETS = np.array([-0.8, -0.4, 0.4, 0.8])


class Ranking(NamedTuple):
    """What values are ranked among; of a release, so that it is kept beside the detector.

    Attributes:
        edges: Of each of the f features, the inner edges of its bins.
    """

    edges: tuple[Floats, ...]


class DriftDetector(NamedTuple):
    """What was seen of f features.

    Attributes:
        counts: (f, b) int64; how many values lie in each bin, of the reference and since.
        logs: (f, 4) float64; log of the statistic of each bet.
        n: Records since it began.
    """

    counts: Counts
    logs: Floats
    n: int = 0

    @property
    def log_level(self) -> float:
        """Log of the mean statistic: at least ln(run_length) is an alarm."""
        return float(np.logaddexp.reduce(self.logs, axis=None) - math.log(max(self.logs.size, 1)))

    @property
    def log_levels(self) -> Floats:
        """(f,) float64; the same of each feature."""
        levels: Floats = np.logaddexp.reduce(self.logs, axis=1) - math.log(len(BETS))
        return levels


def begin(reference: Floats, bins: int = BINS) -> tuple[Ranking, DriftDetector]:
    """Return how values are ranked, and a detector that has seen nothing live.

    Every other row sets the edges of the bins and the rest is ranked among: so the edges are as
    foreign to the reference as to what follows.

    Args:
        reference: (n, f) float64; NaN is missing, and ranks above all.
        bins: How many for each feature, besides that of the missing.

    Raises:
        ValueError: There are fewer than two rows.
    """
    if len(reference) < 2:
        raise ValueError(f"expected at least 2 rows, got {len(reference)}")
    edges = tuple(edges_of(column, bins) for column in reference[::2].T)
    width = max((len(found) for found in edges), default=0) + 2
    counts = np.zeros((reference.shape[1], width), np.int64)
    for k, found in enumerate(edges):
        counts[k, : len(found) + 2] = counts_of(reference[1::2, k], found)
    nothing = np.full((reference.shape[1], len(BETS)), -np.inf)
    return Ranking(edges), DriftDetector(counts, nothing)


def see(detector: DriftDetector, ranking: Ranking, rows: Floats, seed: int = 0) -> DriftDetector:
    """Return the detector after more records; how they are dealt into calls makes no difference.

    Args:
        detector: So far.
        ranking: Of the same beginning.
        rows: (m, f) float64, in order.
        seed: Of the ties, which no record influences.

    >>> rng = np.random.default_rng(1)
    >>> ranking, detector = begin(rng.normal(size=(500, 3)))
    >>> detector = see(detector, ranking, rng.normal(size=(200, 3)))
    >>> is_alarm(detector, 10_000)
    False
    >>> detector = see(detector, ranking, rng.normal(size=(300, 3)) + [0, 0, 1])
    >>> is_alarm(detector, 10_000), moved(detector)
    (True, (2,))
    """
    if not detector.logs.size:
        return detector
    places = _bins_of(ranking, rows)
    counts, logs, n = detector.counts.copy(), detector.logs, detector.n
    features = np.arange(len(logs))
    for place in places:
        ties = np.random.default_rng([seed, n]).random(len(features))
        counts[features, place] += 1
        up_to = counts.cumsum(axis=1)
        total, same = up_to[:, -1], counts[features, place]
        ranks = (up_to[features, place] - same + ties * same) / total
        logs = np.logaddexp(logs, 0.0) + np.log1p(BETS * (2 * ranks[:, None] - 1))
        n += 1
    return DriftDetector(counts, logs, n)


def is_alarm(detector: DriftDetector, run_length: float) -> bool:
    """Whether something changed.

    Args:
        detector: What was seen.
        run_length: How many records there are, in the mean, to one false alarm.
    """
    return detector.log_level >= math.log(run_length)


def moved(detector: DriftDetector, false_share: float = 0.1) -> tuple[int, ...]:
    """Return the features that moved, the surest first: what to name in an alarm.

    Of those named `false_share` are false in the mean, whatever their dependence, at a number of
    records that was fixed beforehand (e-BH; Wang and Ramdas, 2022: a statistic over n is an
    e-value). At an alarm that is a guide. If none stands out, the largest is named.

    Args:
        detector: What was seen.
        false_share: How many of those named may be false, as a share.

    Returns:
        Their positions; nothing before the first record.
    """
    if detector.n == 0 or not detector.logs.size:
        return ()
    levels = detector.log_levels - math.log(detector.n)
    order = np.argsort(-levels, kind="stable")
    least = math.log(len(levels) / false_share) - np.log(np.arange(1, len(levels) + 1))
    enough = np.flatnonzero(levels[order] >= least)
    named: Sequence[int] = order[: enough[-1] + 1 if enough.size else 1].tolist()
    return tuple(named)


def _bins_of(ranking: Ranking, rows: Floats) -> Counts:
    """Return the bin of each value; (m, f) int64. What is missing lies behind the last one."""
    places = np.empty(rows.shape, np.int64)
    for k, edges in enumerate(ranking.edges):
        column = rows[:, k]
        found = np.searchsorted(edges, column, side="right")
        places[:, k] = np.where(np.isnan(column), len(edges) + 1, found)
    return places
