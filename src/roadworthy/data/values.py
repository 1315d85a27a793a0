"""What a value of a logical type is, in Python: for live records and for bounds in contracts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from ..declare.moments import EPOCH, MICROSECOND, is_multiple, micros_of, moment_of
from .contract import MAX_INTEGER, MIN_INTEGER, LogicalType
from .patterns import DATE, TIME, TIMESTAMP, TIMESTAMP_WITH_OFFSET

__all__ = (
    "EPOCH",
    "MICROSECOND",
    "is_finite",
    "is_multiple",
    "is_null",
    "is_of",
    "micros_of",
    "number_of",
    "ordered",
)

LARGEST_NUMBER = 1.7976931348623157e308
FIRST_US = micros_of("0001-01-01T00:00:00Z")
LAST_US = micros_of("9999-12-31T23:59:59.999999Z")
"""The first and the last microsecond of the years 1 to 9999."""

_DATE = re.compile(DATE[:-1] + r"\Z")
_TIME = re.compile(TIME[:-1] + r"\Z")
_TIMESTAMP = re.compile(TIMESTAMP[:-1] + r"\Z")
_WITH_OFFSET = re.compile(TIMESTAMP_WITH_OFFSET[:-1] + r"\Z")


def is_null(value: Any) -> bool:
    """Return whether a value is none: a NaN is a null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_finite(value: Any) -> bool:
    """Return whether a value is a number that a float can stand for."""
    return _is_number(value)


def is_of(kind: LogicalType, value: Any, *, has_timezone: bool = False) -> bool:
    """Return whether a value that is not null has the right type."""
    return _IS_OF[kind](value) and not (has_timezone and not _WITH_OFFSET.match(value))


def number_of(value: Any) -> int | float | None:
    """Return the number by which a value is ordered; None for words, and for what has no order.

    Of a date, a time or a timestamp it is microseconds; a timestamp without an offset is in UTC.
    """
    match value:
        case int() | float():
            return value
        case Decimal():
            return float(value)
        case datetime():
            return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND
        case date():
            return (value - EPOCH.date()) // MICROSECOND
        case time():
            return (
                datetime.combine(EPOCH.date(), value.replace(tzinfo=UTC)) - EPOCH
            ) // MICROSECOND
    return None


def ordered(value: Any) -> Any:
    """Return what a value of the right type is compared by: a timestamp by its microseconds."""
    return moment_of(value) if isinstance(value, str) else value


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, float):
        # At the edge a float stands for many integers, so engines differ about it.
        return value.is_integer() and MIN_INTEGER < value < MAX_INTEGER
    return MIN_INTEGER <= value <= MAX_INTEGER


def _is_number(value: Any) -> bool:
    is_numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return is_numeric and -LARGEST_NUMBER <= value <= LARGEST_NUMBER


_IS_OF: Mapping[LogicalType, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, str) and bool(_DATE.match(value)),
    "timestamp": lambda value: isinstance(value, str) and bool(_TIMESTAMP.match(value)),
    "time": lambda value: isinstance(value, str) and bool(_TIME.match(value)),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list | tuple),
}
