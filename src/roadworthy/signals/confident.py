"""How sure a model itself is of a prediction, read from what it answered.

A raw score is no probability that the answer is right: models are surer than they should be. It
ranks answers, and what is fitted on outcomes makes a confidence of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

import msgspec

_ROUNDING = 1e-6
"""How far float32 may take a probability beyond 0 or 1."""


def raw_score(output: Any) -> float | None:
    """Return how sure a prediction is of itself (0-1), or None where it does not say.

    The first that an output holds is read, and no other in its place if it is no number that it
    could be:

    - `confidence`: itself.
    - `probabilities`, by class or in a list: that of `label`, else the highest.
    - `probability`: beside a `label` that is true or false, and without one, the probability of
      true; beside any other label, of that label.
    - `interval`, `[low, high]`: 1 / (1 + width), so that the narrower is the surer.

    A bare float from 0 to 1 is the probability of true. A bare whole number is a class or a count.

    >>> raw_score({"label": False, "probability": 0.25})
    0.75
    >>> raw_score({"label": "refund", "probabilities": {"refund": 0.5, "delay": 0.3, "bag": 0.2}})
    0.5
    >>> raw_score({"value": 12.0, "interval": [11.0, 14.0]})
    0.25
    """
    if type(output) is not dict:
        p = _share(output) if isinstance(output, float) else None
        return None if p is None else max(p, 1 - p)
    if "confidence" in output:
        return _share(output["confidence"])
    if "probabilities" in output:
        return _of_classes(output["probabilities"], output.get("label"))
    if "probability" in output:
        return _of_one(_share(output["probability"]), output.get("label"))
    return _of_interval(output["interval"]) if "interval" in output else None


def _share(value: Any) -> float | None:
    """Return a probability within [0, 1], or None for what is none."""
    kind = type(value)
    if kind is not float and (kind is bool or not isinstance(value, int | float)):
        return None
    if 0 <= value <= 1:
        return float(value)
    return min(max(float(value), 0.0), 1.0) if -_ROUNDING <= value <= 1 + _ROUNDING else None


def _of_one(p: float | None, label: Any) -> float | None:
    if p is None or label is True:
        return p
    if label is False:
        return 1 - p
    return max(p, 1 - p) if label is None else p


def _of_classes(probabilities: Any, label: Any) -> float | None:
    """Return the probability of the label among those of all classes, else the highest.

    A label that is none of the classes leaves nothing to go by. In a list only a whole number, or
    true of two, is a place; the names of other labels are unknown there.
    """
    if isinstance(probabilities, Mapping):
        shares = probabilities.values()
        if not shares or not _are_shares(shares):
            return None
        return _share(max(shares) if label is None else _by_name(probabilities, label))
    if not isinstance(probabilities, list | tuple):
        return None
    if not probabilities or not _are_shares(probabilities):
        return None
    if type(label) is int or (type(label) is bool and len(probabilities) == 2):
        return _share(probabilities[label]) if 0 <= label < len(probabilities) else None
    return _share(max(probabilities))


def _are_shares(values: Collection[Any]) -> bool:
    try:
        # NaN is lost in `min` and `max`, but never in a sum.
        total = sum(values)
        if not isfinite(total) or min(values) < -_ROUNDING:
            return False
        # What sums to 1 holds nothing above it, and most do: one look at all values less.
        return bool(total <= 1 + _ROUNDING or max(values) <= 1 + _ROUNDING)
    except (TypeError, OverflowError):
        return False


def _by_name(probabilities: Mapping[Any, Any], label: Any) -> Any:
    """Return what a class has: by the label itself, or as JSON names it (`true`, `7`)."""
    if isinstance(label, str):
        return probabilities.get(label)
    if not isinstance(label, int | float):
        return None
    found = probabilities.get(msgspec.json.encode(label).decode())
    return probabilities.get(label) if found is None else found


def _of_interval(interval: Any) -> float | None:
    if not isinstance(interval, list | tuple) or len(interval) != 2:
        return None
    low, high = interval
    if not all(isinstance(end, int | float) and type(end) is not bool for end in interval):
        return None
    try:
        width = float(high) - float(low)
    except OverflowError:
        return None
    return 1 / (1 + width) if width >= 0 and isfinite(width) else None
