"""How fast rows are pushed to each view, by this process and the machine's own time."""

from __future__ import annotations

import threading

HOUR_S = 3_600


class PushRate:
    """The most rows that were pushed to a view within one second, of the last hour or two.

    >>> rate = PushRate()
    >>> for at_s in (7.1, 7.2, 8.0):
    ...     rate.add("weather_now@1", 10, at_s)
    >>> rate.busiest("weather_now@1", 9.0), rate.busiest("weather_now@1", 9.0 + 2 * HOUR_S)
    (20, 0)
    """

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self._seconds: dict[str, tuple[int, int]] = {}
        self._most: dict[tuple[str, int], int] = {}

    def add(self, view: str, rows: int, at_s: float) -> None:
        """Count rows that were pushed at a moment."""
        second = int(at_s)
        with self._adding:
            last, count = self._seconds.get(view, (second, 0))
            count = count + rows if last == second else rows
            self._seconds[view] = (second, count)
            hour = (view, second // HOUR_S)
            self._most[hour] = max(self._most.get(hour, 0), count)
            self._most.pop((view, hour[1] - 2), None)

    def busiest(self, view: str, at_s: float) -> int:
        """Return the rows of the busiest second of this hour and the one before."""
        hour = int(at_s) // HOUR_S
        return max(self._most.get((view, hour), 0), self._most.get((view, hour - 1), 0))
