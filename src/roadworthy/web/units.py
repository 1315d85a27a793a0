"""From the units inside to those of the wire.

Inside, times are Unix microseconds and money is micro-dollars. Outside, times are ISO 8601 in UTC,
money is a decimal number of dollars, durations are milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from ..store.clock import time_of
from ..types import MICRO

Time = Annotated[datetime, msgspec.Meta(tz=True)]
T = TypeVar("T")
MOST_MS = 86_400_000
"""No request takes longer than a day."""


def usd_of(micro: int) -> float:
    """Return micro-dollars as dollars; the decimal number it is written as is exact."""
    return micro / MICRO


def show(kind: type[T], source: object, **given: Any) -> T:
    """Return a `kind` with the facts of `source`, in the units that its field names tell.

    `x_usd` is made from `x_micro`, `x_ms` from `x_us`, and any other `x` that `source` lacks from
    `x_us` as a time. What is `given` needs no source.
    """
    names = getattr(kind, "__struct_fields__", ())
    return kind(**{n: given[n] if n in given else _fact(source, n) for n in names})


def _fact(source: object, name: str) -> Any:
    if hasattr(source, name):
        return getattr(source, name)
    if name.endswith("_usd"):
        return _unless_none(usd_of, getattr(source, f"{name[:-4]}_micro"))
    if name == "ms" or name.endswith("_ms"):
        return getattr(source, f"{name[:-2]}us") / 1000
    return _unless_none(time_of, getattr(source, f"{name}_us"))


def _unless_none(function: Any, value: Any) -> Any:
    return None if value is None else function(value)
