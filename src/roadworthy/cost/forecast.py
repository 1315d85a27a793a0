"""What a ceiling's period will have cost when it ends, from the days so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ..store.periods import month_of as month_of
from ..types import DAY_US

DAYS = 28
"""So many whole days before today are looked at; a week would take a holiday for a trend."""
LEAST_DAYS = 3
_Z = 1.645
"""Of a two-sided interval of 90 %."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a calendar month (UTC) will have cost.

    Attributes:
        spent_micro: What it cost so far.
        expected_micro: At its end, if days go on as those of the last four weeks; None with fewer
            than three days to go by.
        low_micro, high_micro: 90 % of months whose days vary as much end between them.
        ceiling_micro: What it may cost; None where no ceiling is declared.
        reached_us: When the ceiling is expected to be reached; None where it is not.
    """

    spent_micro: int
    expected_micro: int | None = None
    low_micro: int | None = None
    high_micro: int | None = None
    ceiling_micro: int | None = None
    reached_us: int | None = None


def forecast_month(
    days: Sequence[tuple[int, int]], now_us: int, ceiling_micro: int | None = None
) -> Forecast:
    """Return what the month of `now_us` will have cost.

    Args:
        days: Beginning (Unix microseconds) and micro-dollars of days, also of before this month;
            a day without requests may be missing.
        now_us: The project's time.
        ceiling_micro: What the month may cost.
    """
    first_us, next_us = month_of(now_us)
    today_us = now_us - now_us % DAY_US
    spent = sum(micro for day, micro in days if first_us <= day <= today_us)
    known = _whole_days(days, today_us)
    if len(known) < LEAST_DAYS:
        return Forecast(spent_micro=spent, ceiling_micro=ceiling_micro)
    mean = sum(known) / len(known)
    left = (next_us - now_us) / DAY_US
    spread = math.sqrt(sum((x - mean) ** 2 for x in known) / (len(known) - 1))
    # The days that are left vary, and so does the mean that was estimated of those before.
    error = _Z * spread * math.sqrt(left + left * left / len(known))
    expected = spent + mean * left
    return Forecast(
        spent_micro=spent,
        expected_micro=round(expected),
        low_micro=max(spent, round(expected - error)),
        high_micro=round(expected + error),
        ceiling_micro=ceiling_micro,
        reached_us=_reached(spent, mean, now_us, next_us, ceiling_micro),
    )


def _whole_days(days: Sequence[tuple[int, int]], today_us: int) -> list[int]:
    """Return what each of the last days cost, those without requests too, since the first one."""
    spent = {day: micro for day, micro in days if today_us - DAYS * DAY_US <= day < today_us}
    if not spent:
        return []
    return [spent.get(day, 0) for day in range(min(spent), today_us, DAY_US)]


def _reached(
    spent: int, mean: float, now_us: int, next_us: int, ceiling_micro: int | None
) -> int | None:
    if ceiling_micro is None or mean <= 0:
        return None
    at_us = now_us + int(max(ceiling_micro - spent, 0) / mean * DAY_US)
    return at_us if at_us < next_us else None
