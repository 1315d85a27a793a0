"""How far apart two samples of one feature are, each distance with an interval.

The interval says how far the measured distance may lie from that of the two populations, because
both samples are small. Distances of counts (PSI, JS) are resampled: the counts of a sample are a
multinomial draw, so that drawing them again shows how much they vary (Efron's bootstrap). KS has a
bound that needs no resampling (Dvoretzky, Kiefer, Wolfowitz; Massart's constant).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BINS = 10
DRAWS = 400
_HALF = 0.5
"""Added to a bin in the mean: one that a side lacks would otherwise be infinitely far (Jeffreys).

It is dealt by the mean of both sides' shares, so that equal shares stay equal. Dealt evenly, 20
values beside 20,000 would be far from them by each bin that holds next to nothing of either.
"""


class Distance(NamedTuple):
    """A distance, and between what it lies with the confidence that was asked for."""

    value: float
    low: float
    high: float


def edges_of(reference: Floats, bins: int = BINS) -> Floats:
    """Return the inner edges of bins that hold equal shares of a reference sample.

    A value that fills more than one share has a bin for itself: the next greater number is an edge
    too, so that whatever leaves the value is seen, on either side.

    Args:
        reference: (n,) float64; NaN is left out.
        bins: How many shares; equal values are never split, so that there may be fewer bins.

    Returns:
        (at most 2 (bins - 1),) float64, rising.

    >>> edges_of(np.arange(100.0), 4).tolist()
    [24.75, 49.5, 74.25]
    >>> counts_of(np.array([-1.0, 0.0, 5.0]), edges_of(np.zeros(100))).tolist()
    [1, 1, 1, 0]
    """
    known = reference[~np.isnan(reference)]
    if known.size == 0:
        return np.empty(0)
    edges, count = np.unique(
        np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]), return_counts=True
    )
    above = np.nextafter(edges[count > 1], np.inf)
    return np.unique(np.concatenate((edges, above)))


def counts_of(values: Floats, edges: Floats) -> Counts:
    """Return how many values lie in each bin, and last how many are missing.

    Args:
        values: (n,) float64; NaN is missing.
        edges: (k,) float64, rising; a value that equals an edge belongs to the bin above it.

    Returns:
        (k + 2,) int64.

    >>> counts_of(np.array([1.0, 5.0, np.nan]), np.array([2.0])).tolist()
    [1, 1, 1]
    """
    missing = np.isnan(values)
    inside = np.searchsorted(edges, values[~missing], side="right")
    counts = np.bincount(inside, minlength=edges.size + 1)
    return np.append(counts, np.count_nonzero(missing)).astype(np.int64)


def population_stability(
    reference: Counts, live: Counts, *, sure: float = 0.95, seed: int = 0
) -> Distance:
    """Return the population stability index: 0 for the same shares, above .25 for a large move.

    It is the sum over bins of (q - p) ln(q / p): Jeffreys' divergence (Lewis, 1994). Two samples of
    one population are about (bins - 1)(1/n + 1/m) apart, which the interval does not take away.

    Args:
        reference: (k,) counts.
        live: (k,) counts of the same bins.
        sure: Probability (0-1) with which the interval is right.
        seed: Of the resampling.

    >>> population_stability(np.array([50, 50]), np.array([50, 50])).value
    0.0
    """
    return _resampled(_psi, reference, live, sure, seed)


def jensen_shannon(
    reference: Counts, live: Counts, *, sure: float = 0.95, seed: int = 0
) -> Distance:
    """Return the Jensen-Shannon distance to base 2: 0 for the same shares, 1 for none in common.

    The square root of the divergence (Endres and Schindelin, 2003); arguments as
    `population_stability` takes them.

    >>> round(jensen_shannon(np.array([10**9, 0]), np.array([0, 10**9])).value, 3)
    1.0
    """
    # Near 0 the root bends the errors of the divergence, so that it is taken last.
    return Distance(*np.sqrt(_resampled(_js, reference, live, sure, seed)).tolist())


def kolmogorov_smirnov(reference: Floats, live: Floats, *, sure: float = 0.95) -> Distance:
    """Return the greatest difference of the two distribution functions, in [0, 1].

    Args:
        reference: (n,) float64; NaN is left out.
        live: (m,) float64; NaN is left out.
        sure: Probability (0-1) with which the interval is right, for any distributions.

    >>> kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([3.0, 4.0])).value
    1.0
    """
    first = np.sort(reference[~np.isnan(reference)])
    second = np.sort(live[~np.isnan(live)])
    if not first.size or not second.size:
        return Distance(float("nan"), 0.0, 1.0)
    places = np.concatenate((first, second))
    gap = np.abs(
        np.searchsorted(first, places, "right") / first.size
        - np.searchsorted(second, places, "right") / second.size
    ).max()
    # Each function is off by more than its part with probability (1 - sure) / 2.
    doubt = np.log(4 / (1 - sure)) / 2
    off = np.sqrt(doubt / first.size) + np.sqrt(doubt / second.size)
    return Distance(float(gap), float(max(gap - off, 0.0)), float(min(gap + off, 1.0)))


def _psi(p: Floats, q: Floats) -> Floats:
    apart: Floats = np.sum((q - p) * np.log(q / p), axis=-1)
    return apart


def _js(p: Floats, q: Floats) -> Floats:
    middle = (p + q) / 2
    bits: Floats = np.sum(p * np.log2(p / middle) + q * np.log2(q / middle), axis=-1) / 2
    return np.maximum(bits, 0.0)


def _resampled(
    distance: Callable[[Floats, Floats], Floats],
    reference: Counts,
    live: Counts,
    sure: float,
    seed: int,
) -> Distance:
    """Return a distance of counts and its pivotal interval.

    Resampled distances are too far by as much as the measured one is, so that what they exceed it
    by is taken off it (Davison and Hinkley, 1997, section 5.2.1).
    """
    if not reference.sum() or not live.sum():
        return Distance(float("nan"), 0.0, float("inf"))
    is_there = reference + live > 0
    reference, live = reference[is_there], live[is_there]
    padding = _HALF * reference.size * (reference / reference.sum() + live / live.sum()) / 2

    def apart(first: Counts, second: Counts) -> Floats:
        return distance(_shares(first, padding), _shares(second, padding))

    generator = np.random.default_rng(seed)
    measured = float(apart(reference, live))
    drawn = apart(_draw(generator, reference), _draw(generator, live))
    tail = (1 - sure) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Distance(
        measured, max(2 * measured - float(high), 0.0), max(2 * measured - float(low), 0.0)
    )


def _draw(generator: np.random.Generator, counts: Counts) -> Counts:
    return generator.multinomial(int(counts.sum()), counts / counts.sum(), DRAWS)


def _shares(counts: Counts, padding: Floats) -> Floats:
    """Return the share of each bin, none of them 0."""
    padded = counts + padding
    shares: Floats = padded / padded.sum(axis=-1, keepdims=True)
    return shares
