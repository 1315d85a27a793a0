"""Leakage: features that know what nobody can know when the model is asked.

By what is measured: a feature that alone tells the label far better than any other, values that are
missing where the label is one way, rows that training and test share. What is declared of views is
in `view_leaks.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from ..risk.distances import edges_of
from .contract import Table
from .known_when import WITH_LABEL
from .values import is_null, number_of

try:
    import numpy as np
except ImportError:  # the extra `data` is absent; whoever loads the values says so first
    np = None  # type: ignore[assignment]

Cause = Literal["known_later", "label", "power", "missing", "shared_rows", "future"]

FAR_ABOVE = 3.0
"""How many times the median feature's power above chance is far above the rest."""
TOO_GOOD = 0.90
"""Area under the ROC curve of one feature alone above which it is the label in disguise."""
LEAST_POWER = 0.60
"""A weak feature among weaker ones is no leak, however far above them."""
MISSING_APART = 0.10
"""Difference of missing shares between the two labels that no sampling explains."""
FEW = 100
_BINS = 20
_Z = 4.0
"""Standard errors that a difference of shares must exceed: one chance in 16,000 a feature."""


class Leak(msgspec.Struct, frozen=True):
    """One feature that knows too much.

    Attributes:
        feature: Its name; "" for what is wrong with rows rather than with a feature.
        cause: The kind of evidence.
        why: The evidence in a sentence.
    """

    feature: str
    cause: Cause
    why: str


def request_leaks(table: Table) -> list[Leak]:
    """Return the fields that a request brings and that nobody knows when it is sent."""
    return [
        Leak(
            field.name,
            "label" if field.available_at == WITH_LABEL else "known_later",
            f"the request brings `{field.name}`, which {when_known(field.available_at)}",
        )
        for field in table.fields
        if field.available_at
    ]


def measured_leaks(
    features: Mapping[str, Sequence[Any]], label: Sequence[bool], *, seed: int = 0
) -> list[Leak]:
    """Return the features that tell too much of the label in a training set.

    Args:
        features: Feature → its values, one a row; None or NaN is missing.
        label: The outcome of each row.
        seed: Of the split into the half that learns and the half that is told.
    """
    truth = np.asarray(label, dtype=bool)
    if truth.size < FEW or truth.all() or not truth.any():
        return []
    powers = {name: power_of(values, truth, seed=seed) for name, values in features.items()}
    leaks = _too_powerful(powers)
    leaks += [
        leak
        for name, values in features.items()
        if (leak := _missing_by_label(name, values, truth)) is not None
    ]
    return leaks


def shared_rows(train: Sequence[Any], test: Sequence[Any]) -> Leak | None:
    """Return a leak if rows of the test set are rows of the training set too.

    Args:
        train: One hashable value a row, such as the tuple of its features.
        test: Likewise.
    """
    known = set(train)
    shared = sum(row in known for row in test)
    if not shared:
        return None
    share = shared / len(test)
    return Leak(
        "",
        "shared_rows",
        f"{shared:,} of {len(test):,} test rows ({share:.1%}) are in training too",
    )


def power_of(values: Sequence[Any], label: Any, *, seed: int = 0) -> float:
    """Return how well one feature alone tells the label: the area under its ROC curve, .5 to 1.

    One half of the rows says how often each bin of values has the label, the other half is ranked
    by that, so that a feature with many values does not remember its rows.

    Args:
        values: (n,) numbers, dates, times or words; None or NaN is a bin of its own.
        label: (n,) bool.
        seed: Of the split.
    """
    truth = np.asarray(label, dtype=bool)
    bins = _bins_of(values)
    learns = np.random.default_rng(seed).permutation(truth.size) % 2 == 0
    size = int(bins.max(initial=0)) + 1
    seen = np.bincount(bins[learns], minlength=size)
    positive = np.bincount(bins[learns], weights=truth[learns], minlength=size)
    rate = (positive + truth.mean()) / (seen + 1)
    return max(_area(rate[bins[~learns]], truth[~learns]), 0.5)


def when_known(available_at: str) -> str:
    """Return in words when a field is known."""
    if available_at == WITH_LABEL:
        return "is known only with the outcome"
    return f"is known only at `{available_at}`"


def _too_powerful(powers: Mapping[str, float]) -> list[Leak]:
    above = sorted(power - 0.5 for power in powers.values())
    middle = above[len(above) // 2] if above else 0.0
    leaks = []
    for feature, power in sorted(powers.items(), key=lambda item: -item[1]):
        if power >= TOO_GOOD:
            why = f"`{feature}` alone tells the label with an area of {power:.3f} under its curve"
        elif len(powers) > 2 and power >= LEAST_POWER and power - 0.5 > FAR_ABOVE * middle:
            why = (
                f"`{feature}` alone tells the label with an area of {power:.3f}, the median "
                f"feature with {middle + 0.5:.3f}"
            )
        else:
            continue
        leaks.append(Leak(feature, "power", f"{why}: see whether it is known when it is asked"))
    return leaks


def _missing_by_label(name: str, values: Sequence[Any], truth: Any) -> Leak | None:
    missing = np.fromiter(map(is_null, values), dtype=bool, count=truth.size)
    yes, no = missing[truth], missing[~truth]
    apart = abs(yes.mean() - no.mean())
    pooled = missing.mean()
    error = math.sqrt(pooled * (1 - pooled) * (1 / yes.size + 1 / no.size))
    if apart < MISSING_APART or apart < _Z * error:
        return None
    return Leak(
        name,
        "missing",
        f"`{name}` is missing in {yes.mean():.1%} of rows with the label and {no.mean():.1%} "
        "without it: whether it is there says what it should not know",
    )


def _bins_of(values: Sequence[Any]) -> Any:
    """Return the bin of each value: shares of the known numbers, or the words; 0 is missing.

    A number that fills more than one share has a bin for itself, as an outcome of few has.
    """
    missing = [is_null(value) for value in values]
    known = [value for value, gone in zip(values, missing, strict=True) if not gone]
    bins = np.zeros(len(values), dtype=np.int64)
    if not known:
        return bins
    numbers = [number_of(value) for value in known]
    if None in numbers:
        places = np.unique(np.array([str(value) for value in known]), return_inverse=True)[1]
    else:
        floats = np.array(numbers, dtype=np.float64)
        places = np.searchsorted(edges_of(floats, _BINS), floats, side="right")
    bins[~np.array(missing)] = places + 1
    return bins


def _area(score: Any, truth: Any) -> float:
    """Return the area under the ROC curve: Mann and Whitney's U over its greatest value."""
    positives = int(truth.sum())
    negatives = truth.size - positives
    if not positives or not negatives:
        return 0.5
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - (count - 1) / 2)[place]
    return float((rank[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))
