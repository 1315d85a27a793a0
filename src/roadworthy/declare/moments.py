"""Dates and times in JSON Schemas: bounds that ISO 8601 texts keep, which plain JSON Schema lacks.

`formatMinimum`, `formatMaximum`, `formatExclusiveMinimum` and `formatExclusiveMaximum` compare what
a text means, so that 02:00+02:00 is midnight. A text that means no moment keeps them: saying what
is a moment is the task of `pattern`.
"""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_FRACTION = re.compile(r"\.\d+")
_NEAR = 1e-9


def micros_of(text: str) -> int:
    """Return the Unix microseconds of a timestamp in ISO 8601; one without offset is UTC.

    Raises:
        ValueError: It is none.
    """
    local = datetime.fromisoformat(_to_micros(text).replace(" ", "T"))
    # An instant may lie outside the years 1 to 9999 that a datetime in UTC can hold.
    offset = local.utcoffset() or timedelta()
    return (local.replace(tzinfo=UTC) - EPOCH) // MICROSECOND - offset // MICROSECOND


def moment_of(text: str) -> int | date | time:
    """Return what a date, a time or a timestamp is compared by.

    Raises:
        ValueError: It is none of them.
    """
    if text[2:3] == ":":
        return time.fromisoformat(_to_micros(text))
    return date.fromisoformat(text) if len(text) == len("2013-01-01") else micros_of(text)


def is_multiple(value: float, of: float) -> bool:
    """Return whether a number is a multiple of another, to nine digits after the point.

    SQL computes the same: two engines must not disagree about 0.3 and 0.1.
    """
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    if abs(value) >= exact_below(of):
        return True
    quotient = value / of
    return abs(quotient - round(quotient)) <= _NEAR


def exact_below(of: float) -> float:
    """Return from where on every float is as good as a multiple: its digits end before the point.

    >>> exact_below(0.5)
    4503599627370496.0
    """
    return min(2.0**53 * of, sys.float_info.max)


def _to_micros(text: str) -> str:
    """Cut a fraction of a second to six digits, as columns of timestamps hold it."""
    return _FRACTION.sub(lambda found: found[0][:7].ljust(7, "0"), text, count=1)


def _bound(keeps: Callable[[Any, Any], bool], words: str) -> type:
    class Bound:
        """One keyword; the validator makes one of it for each place where it stands."""

        def __init__(self, parent: Mapping[str, Any], value: str, path: Any) -> None:
            self._bound = moment_of(value)
            self._said = f"{words} {value}"

        def validate(self, instance: Any) -> None:
            """Refuse a moment beyond the bound."""
            if not isinstance(instance, str):
                return
            try:
                is_kept = keeps(moment_of(instance), self._bound)
            except (TypeError, ValueError):
                return
            if not is_kept:
                raise ValueError(self._said)

    return Bound


class _NearMultiple:
    """`nearMultipleOf`: a multiple to nine digits, as floats can be one; of integers an exact one.

    The validator's own `multipleOf` reads a float by its decimal digits, and so takes
    31417563867961368 for no multiple of 3.
    """

    def __init__(self, parent: Mapping[str, Any], value: float, path: Any) -> None:
        self._of = value
        self._is_whole = isinstance(value, int) and "integer" in parent.get("type", ())

    def validate(self, instance: Any) -> None:
        """Refuse a number that is no multiple."""
        if isinstance(instance, bool) or not isinstance(instance, int | float):
            return
        if self._is_whole and float(instance).is_integer():
            instance = int(instance)
        if not is_multiple(instance if self._is_whole else float(instance), self._of):
            raise ValueError(f"a multiple of {self._of}")


KEYWORDS: Mapping[str, type] = {
    "formatMinimum": _bound(operator.ge, ">="),
    "formatMaximum": _bound(operator.le, "<="),
    "formatExclusiveMinimum": _bound(operator.gt, ">"),
    "formatExclusiveMaximum": _bound(operator.lt, "<"),
    "nearMultipleOf": _NearMultiple,
}
"""Keyword → what checks it, for jsonschema-rs."""
