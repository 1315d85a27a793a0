"""The days and months that budgets are counted by: those of the calendar, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from ..types import DAY_US, MICRO


def day_of(at_us: int) -> tuple[int, int]:
    """Return when the UTC day of a time begins and ends, in Unix microseconds.

    >>> day_of(DAY_US + 5) == (DAY_US, 2 * DAY_US)
    True
    """
    start_us = at_us - at_us % DAY_US
    return start_us, start_us + DAY_US


def month_of(at_us: int) -> tuple[int, int]:
    """Return when the calendar month (UTC) of a time begins and ends, in Unix microseconds.

    >>> [us // DAY_US for us in month_of(40 * DAY_US)]
    [31, 59]
    """
    first = datetime.fromtimestamp(at_us // MICRO, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    is_last = first.month == 12
    after = first.replace(year=first.year + is_last, month=1 if is_last else first.month + 1)
    return int(first.timestamp()) * MICRO, int(after.timestamp()) * MICRO


def minute_text(at_us: int) -> str:
    """Return a time to its minute, as messages say it.

    >>> minute_text(0)
    '1970-01-01 00:00 UTC'
    """
    return f"{datetime.fromtimestamp(at_us // MICRO, UTC):%Y-%m-%d %H:%M} UTC"
