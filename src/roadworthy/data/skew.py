"""Training-serving skew: whether a model sees in production what it saw in training.

Two questions, kept apart. Does serving compute the same values? Served vectors are held, row by
row, against what the views say of the same entities at the same moments. And does the world still
look as it did? Live values are held against those of training, with distances and their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, pairwise
from typing import Any, Literal, NamedTuple

import msgspec

from ..risk.distances import (
    Counts,
    Distance,
    counts_of,
    edges_of,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
)
from .values import is_null, number_of

try:
    import numpy as np
except ImportError:  # the extra `data` is absent; whoever loads the values says so first
    np = None  # type: ignore[assignment]

State = Literal["healthy", "at_risk", "breached", "collecting"]

FEW = 20
"""Values on either side below which a distance says nothing."""
MOVED, FAR = 0.10, 0.25
"""Population stability above which a feature has moved, and moved far (Siddiqi, 2006)."""
REL_TOLERANCE = 1e-9
MOST_CATEGORIES = 50
_EXAMPLES = 3


class Served(NamedTuple):
    """One served vector beside what the views say of that moment."""

    request: str
    served: Mapping[str, Any]
    offline: Mapping[str, Any]


class Difference(msgspec.Struct, frozen=True):
    """A request that was served another value than the views give."""

    request: str
    served: Any
    offline: Any


class FeatureSkew(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one feature.

    Attributes:
        feature: Its name.
        compared: Served values that were held against the views'.
        unequal: How many of them differ.
        examples: A few that do.
        trained, live: Values on either side.
        missing_trained, missing_live: Share of them (0-1) that is missing.
        stability: Population stability index, missing values as a bin of their own.
        divergence: Jensen-Shannon distance of the same bins.
        gap: Kolmogorov-Smirnov distance of known numbers; None for categories.
        bins: What each bin of the two counts holds, missing last; of a date or a time, how long
            before its request it was.
        trained_counts, live_counts: Values in each bin.
        state: The verdict.
        says: The verdict in a sentence.
    """

    feature: str
    compared: int
    unequal: int
    examples: tuple[Difference, ...]
    trained: int
    live: int
    missing_trained: float | None
    missing_live: float | None
    stability: Distance | None
    divergence: Distance | None
    gap: Distance | None
    bins: tuple[str, ...]
    trained_counts: tuple[int, ...]
    live_counts: tuple[int, ...]
    state: State
    says: str


def measure_skew(
    trained: Mapping[str, Sequence[Any]],
    live: Mapping[str, Sequence[Any]],
    replayed: Iterable[Served],
) -> list[FeatureSkew]:
    """Return what is known of each feature, worst first.

    Args:
        trained: Feature → its values in training; None or NaN is missing.
        live: Feature → its values as they were served.
        replayed: Served vectors beside the views' own of the same moments.
    """
    found = list(replayed)
    rows = [
        _measure(name, trained.get(name, ()), live.get(name, ()), found)
        for name in dict.fromkeys((*trained, *live))
    ]
    order: dict[State, int] = {"breached": 0, "at_risk": 1, "collecting": 2, "healthy": 3}
    return sorted(rows, key=lambda row: order[row.state])


class _Sides(NamedTuple):
    """Both sides counted in the same bins; the gap only where values have an order."""

    bins: tuple[str, ...]
    trained: Counts
    live: Counts
    gap: Distance | None


def _measure(
    feature: str, trained: Sequence[Any], live: Sequence[Any], replayed: Sequence[Served]
) -> FeatureSkew:
    compared = [row for row in replayed if feature in row.served and feature in row.offline]
    differ = [row for row in compared if not is_same(row.served[feature], row.offline[feature])]
    sides = _sides(trained, live)
    enough = min(len(trained), len(live)) >= FEW
    stability = population_stability(sides.trained, sides.live) if enough else None
    state, says = _verdict(feature, len(compared), len(differ), stability)
    return FeatureSkew(
        feature=feature,
        compared=len(compared),
        unequal=len(differ),
        examples=tuple(
            Difference(row.request, row.served[feature], row.offline[feature])
            for row in differ[:_EXAMPLES]
        ),
        trained=len(trained),
        live=len(live),
        missing_trained=_missing_share(sides.trained),
        missing_live=_missing_share(sides.live),
        stability=stability,
        divergence=jensen_shannon(sides.trained, sides.live) if enough else None,
        gap=sides.gap if enough else None,
        bins=sides.bins,
        trained_counts=tuple(sides.trained.tolist()),
        live_counts=tuple(sides.live.tolist()),
        state=state,
        says=says,
    )


def _verdict(
    feature: str, compared: int, unequal: int, stability: Distance | None
) -> tuple[State, str]:
    name = f"`{feature}`"
    if unequal:
        return "breached", (
            f"{unequal:,} of {compared:,} served values of {name} differ from what its view says "
            "of that moment"
        )
    equal = f"all {compared:,} served values are what the view says" if compared else ""
    if stability is None:
        few = f"fewer than {FEW} values of {name} on one side, so that no distance is known"
        return "collecting", "; ".join(filter(None, (few, equal)))
    said = f"PSI {stability.value:.2f} ({stability.low:.2f} to {stability.high:.2f})"
    if stability.low > FAR:
        return "breached", _joined(f"live {name} is far from training: {said}", equal)
    if stability.low > MOVED:
        return "at_risk", _joined(f"live {name} has moved away from training: {said}", equal)
    if stability.high > FAR:
        return "collecting", _joined(
            f"too few values to say whether {name} has moved: {said}", equal
        )
    return "healthy", _joined(f"live {name} looks as in training: {said}", equal)


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def is_same(served: Any, offline: Any) -> bool:
    """Whether two values of a feature are one.

    Missing is as missing; whole numbers and moments are one if they are equal, numbers with
    decimals if nine digits are.
    """
    if is_null(served) or is_null(offline):
        return is_null(served) and is_null(offline)
    first, second = number_of(served), number_of(offline)
    if first is None or second is None:
        return bool(served == offline)
    if isinstance(first, int) and isinstance(second, int):
        return first == second
    has_whole = isinstance(first, int) or isinstance(second, int)
    first, second = float(first), float(second)
    if has_whole and first.is_integer() and second.is_integer():
        return first == second
    return math.isclose(first, second, rel_tol=REL_TOLERANCE)


def _sides(trained: Sequence[Any], live: Sequence[Any]) -> _Sides:
    known = [value for side in (trained, live) for value in side if not is_null(value)]
    if all(number_of(value) is not None for value in known):
        return _sides_of_numbers(trained, live)
    return _sides_of_words(trained, live)


def _sides_of_numbers(trained: Sequence[Any], live: Sequence[Any]) -> _Sides:
    first, second = _numbers(trained), _numbers(live)
    edges = edges_of(first)
    trained_counts, live_counts = counts_of(first, edges), counts_of(second, edges)
    # Between two values that training had often, there may be nothing on either side.
    is_told = trained_counts + live_counts > 0
    is_told[-1] = True
    bins = tuple(compress((*_ranges(edges.tolist()), "missing"), is_told.tolist()))
    gap = kolmogorov_smirnov(first, second)
    return _Sides(bins, trained_counts[is_told], live_counts[is_told], gap)


def _ranges(edges: Sequence[float]) -> list[str]:
    """Return in words what lies below, between and above edges; some hold one value alone."""
    if not edges:
        return ["any"]
    said, start = [f"below {edges[0]:.4g}"], f"{edges[0]:.4g}"
    for low, high in pairwise(edges):
        if high == math.nextafter(low, math.inf):
            said.append(f"{low:.4g}")
            start = f"above {low:.4g}"
        else:
            said.append(f"{start} to {high:.4g}")
            start = f"{high:.4g}"
    return [*said, start if start.startswith("above") else f"from {start}"]


def _sides_of_words(trained: Sequence[Any], live: Sequence[Any]) -> _Sides:
    """Count each value; those that training saw least stand together, with those it never saw."""
    tally: dict[str, int] = {}
    for value in trained:
        if not is_null(value):
            tally[str(value)] = tally.get(str(value), 0) + 1
    common = sorted(tally, key=lambda word: (-tally[word], word))[:MOST_CATEGORIES]
    place = {word: index for index, word in enumerate(common)}
    other, missing = len(common), len(common) + 1

    def counted(side: Sequence[Any]) -> Counts:
        places = [missing if is_null(v) else place.get(str(v), other) for v in side]
        return np.bincount(np.array(places, dtype=np.int64), minlength=missing + 1)

    return _Sides((*common, "other", "missing"), counted(trained), counted(live), None)


def _numbers(side: Sequence[Any]) -> Any:
    numbers = [math.nan if is_null(v) else number_of(v) for v in side]
    return np.array(numbers, dtype=np.float64)


def _missing_share(counts: Counts) -> float | None:
    total = int(counts.sum())
    return float(counts[-1]) / total if total else None
