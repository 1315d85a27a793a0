"""How many requests of a day people are asked: never more than they can look at."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..types import DAY_US


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
        if self.per_day is None:
            return True
        day = at_us // DAY_US
        with self._lock:
            if day != self._day:
                self._day, self._asked = day, self._asked_since(day * DAY_US)
            if self._asked >= self.per_day:
                return False
            self._asked += 1
            return True
