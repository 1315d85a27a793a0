"""Whether a training set travelled in time: it holds what was not known yet at its rows' moments.

A training set that was joined by hand, by the latest event or by what the tables say today, looks
like an honest one and measures better. Two things show it: its values differ from those of the
point-in-time join, and they tell the label better than what was known. What the views would tell
if their created times were not true, dealt anew among their rows, stands beside both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from .history import history, thinned
from .leakage import FEW, Leak, power_of
from .relations import Sources
from .skew import is_same
from .views import View

MOST_ROWS = 50_000
"""Rows of a training set that are asked of the views again: every n-th of a larger one."""
LEAST_GAIN = 0.01
"""Area by which values from the future must tell the label better to be called a leak."""
_Z = 3.0


class Travelled(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of a training set beside what was known then.

    Attributes:
        rows: Rows that were asked of the views again.
        unequal: How many of them hold something else than what was known at their moment.
        area: How well the training set's values tell the label alone, .5 to 1. `area_as_known`:
            likewise what was known; `area_shuffled`: what the view says if its created times are
            dealt anew among its rows.
    """

    feature: str
    rows: int
    unequal: int
    area: float
    area_as_known: float
    area_shuffled: float


def travel(
    rows: Any, views: Sequence[View], sources: Sources, label: str, *, time: str, seed: int = 0
) -> list[Travelled]:
    """Return each feature of a training set beside what the views say was known then.

    Args:
        rows: The training set, an Arrow table.
        views: Where its features are from.
        sources: What the views read.
        label: Its column of true and false.
        time: Its column that says as of when.
        seed: Of the shuffle, and of the halves that areas are measured on.

    Raises:
        DeclarationError, NotFound: A source cannot be read.
    """
    rows = thinned(rows, MOST_ROWS)
    asked = {column.name for view in views for column in (*view.entity, *view.request)} | {time}
    spine = rows.select([name for name in rows.column_names if name in asked])
    known = history(views, spine, sources, time=time)
    dealt = history(views, spine, sources, time=time, shuffled=seed)
    truth = rows[label].to_pylist()
    found = []
    for name in (name for view in views for name in view.names if name in rows.column_names):
        held, then = rows[name].to_pylist(), known[name].to_pylist()
        areas = (power_of(side, truth, seed=seed) for side in (held, then, dealt[name].to_pylist()))
        area, area_as_known, area_shuffled = areas
        found.append(
            Travelled(
                feature=name,
                rows=len(held),
                unequal=sum(not is_same(a, b) for a, b in zip(held, then, strict=True)),
                area=area,
                area_as_known=area_as_known,
                area_shuffled=area_shuffled,
            )
        )
    return found


def leaks_of(found: Sequence[Travelled], positives: int) -> list[Leak]:
    """Return the features that hold what was not known, and tell the label better by it.

    Args:
        found: As `travel` gives it.
        positives: Rows with the label, of those that were asked again.
    """
    return [_leak(row) for row in found if row.unequal and _gains(row, positives)]


def _gains(row: Travelled, positives: int) -> bool:
    """Say whether the area is greater beyond what the halves' sampling explains.

    Half of the rows are ranked; the standard error is that of Mann and Whitney's U without ties.
    """
    negatives = row.rows - positives
    if row.rows < FEW or not positives or not negatives:
        return False
    error = math.sqrt((2 / positives + 2 / negatives) / 12)
    return row.area - row.area_as_known > max(LEAST_GAIN, _Z * error)


def _leak(row: Travelled) -> Leak:
    return Leak(
        row.feature,
        "future",
        f"`{row.feature}` holds in {row.unequal:,} of {row.rows:,} training rows something else "
        f"than was known then, and tells the label with an area of {row.area:.3f} instead of "
        f"{row.area_as_known:.3f}; join it by `roadworthy features history`",
    )
