"""Stands few points for many: the means of what lies together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

_ROUNDS = 12
"""Later ones moved no score of `make bench-scope` by more than .001."""
_BLOCK = 4096


def centres_of(points: Vectors, count: int, *, is_unit: bool = False, seed: int = 0) -> Vectors:
    """Return (k, d) float32 means of points that lie together (k-means; Lloyd, 1982).

    Args:
        points: (n, d) float32.
        count: How many at most; no more than there are points.
        is_unit: Whether all have length 1, so that their means are given that length too
            (spherical k-means; Dhillon and Modha, 2001).
        seed: Of the points that it begins with.
    """
    rng = np.random.default_rng(seed)
    centres = points[rng.permutation(len(points))[:count]].astype(np.float32)
    for _ in range(_ROUNDS):
        nearest = nearest_of(points, centres)[0]
        sizes = np.bincount(nearest, minlength=len(centres))
        order = np.argsort(nearest, kind="stable")
        held = sizes > 0
        starts = np.concatenate(([0], np.cumsum(sizes[held])[:-1]))
        sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
        by = np.linalg.norm(sums, axis=1) if is_unit else sizes[held]
        # A mean of opposite points has no direction; what nothing is near to stays where it was.
        sound = by > 0
        centres[np.flatnonzero(held)[sound]] = sums[sound] / by[sound, None]
    return centres


def nearest_of(points: Vectors, centres: Vectors) -> tuple[npt.NDArray[np.int64], Any]:
    """Return for each point the place of its nearest centre (n,) and the distance (n,) float32."""
    places, distances = [], []
    squares = np.einsum("kd,kd->k", centres, centres)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        apart = squares - 2 * (block @ centres.T)
        place = apart.argmin(axis=1)
        own = np.einsum("nd,nd->n", block, block)
        places.append(place)
        distances.append(np.sqrt(np.maximum(apart[np.arange(len(block)), place] + own, 0)))
    return np.concatenate(places), np.concatenate(distances)
