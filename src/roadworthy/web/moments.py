"""Times as people type them: `1h`, `today`, a UTC date, or a UTC date with a time of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from ..store.clock import EPOCH

Direction = Literal[-1, 1]
"""Whether a span like `1h` is counted back from now, or on from now."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,6}) ?([smhdw])", re.ASCII)
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_MOST_LETTERS = 40


def moment(text: str, now: datetime, direction: Direction) -> datetime:
    """Return the time that a text names; a day is its first moment in UTC.

    What would lie before 1970 is 1970, where the clocks of records begin.

    Raises:
        ValueError: It names none.

    >>> now = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
    >>> str(moment("90m", now, -1)), str(moment("2d", now, 1))
    ('2026-11-23 13:02:00+00:00', '2026-11-25 14:32:00+00:00')
    >>> str(moment("Today", now, -1)), str(moment("2026-11-01 09:30", now, -1))
    ('2026-11-23 00:00:00+00:00', '2026-11-01 09:30:00+00:00')
    """
    word = text.strip().lower()
    if len(word) > _MOST_LETTERS:
        raise ValueError(f"expected a time, got {len(word)} characters")
    if word == "now":
        return now
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if word in _DAYS:
        return max(EPOCH, midnight + timedelta(days=_DAYS[word]))
    if span := _SPAN.fullmatch(word):
        return _away(now, timedelta(**{_UNITS[span[2]]: int(span[1])}), direction)
    time = datetime.fromisoformat(word.upper())
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _away(now: datetime, span: timedelta, direction: Direction) -> datetime:
    try:
        return max(EPOCH, now + direction * span)
    except OverflowError:
        if direction < 0:
            return EPOCH
        raise ValueError("expected a time before the year 10000") from None
