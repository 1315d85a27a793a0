"""How many requests of a day people are asked: never more than they can look at."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from ..types import DAY_US

_DEVIATIONS = 1.64
LEAST_SHARE = 0.01


def ask_share(per_day: int | None, below: int, by_rule: int) -> float:
    """Return the share of unsure answers that people are asked, so that most days do not fill up.

    It knows nothing of outcomes: a day that fills up before its evening would leave the evening
    without evidence.

    Args:
        per_day: How many people can look at; None where there is no limit.
        below: How many answers of a day no bound let pass; 0 where there is no estimate.
        by_rule: How many a rule asked for, which come first.

    >>> ask_share(None, 1000, 0), ask_share(200, 0, 0), round(ask_share(200, 1000, 0), 3)
    (1.0, 1.0, 0.178)
    """
    if per_day is None or below <= 0:
        return 1.0
    room = max(per_day - by_rule, 0)
    # x + 1.64 sqrt(x) = room: what comes at random fits on 19 days of 20.
    asked = ((math.sqrt(_DEVIATIONS**2 + 4 * room) - _DEVIATIONS) / 2) ** 2
    return min(1.0, max(LEAST_SHARE, asked / below))


class Capacity:
    """Counts a service's requests that wait for a person, by UTC day.

    Args:
        per_day: Most of a day; None where there is no limit.
        asked_since: Gives how many were asked since a time, from what is stored: read once a day,
            so that a restart forgets none.
    """

    def __init__(self, per_day: int | None, asked_since: Callable[[int], int]) -> None:
        self.per_day = per_day
        self._asked_since = asked_since
        self._lock = threading.Lock()
        self._day = -1
        self._asked = 0

    def take(self, at_us: int) -> bool:
        """Take one place of the day of `at_us`; say whether there was one."""
        return self._has_room(at_us, 1)

    def has_room(self, at_us: int) -> bool:
        """Whether the day of `at_us` has a place left."""
        return self._has_room(at_us, 0)

    def _has_room(self, at_us: int, taken: int) -> bool:
        if self.per_day is None:
            return True
        day = at_us // DAY_US
        with self._lock:
            if day != self._day:
                self._day, self._asked = day, self._asked_since(day * DAY_US)
            if self._asked >= self.per_day:
                return False
            self._asked += taken
            return True
