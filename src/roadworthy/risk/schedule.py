"""Which windows there are, and when what is known of them is complete."""

from __future__ import annotations

from typing import NamedTuple


class Schedule(NamedTuple):
    """Which windows there are, and when their evidence is complete.

    Attributes:
        window_us: How long a unit counts once.
        matures_us: How long outcomes are waited for after the window.
    """

    window_us: int
    matures_us: int

    def window_of(self, at_us: int) -> int:
        """Return the number of the window in which a request lies."""
        return at_us // self.window_us

    def deadline_of(self, window: int) -> int:
        """Return until when outcomes of a window count."""
        return (window + 1) * self.window_us + self.matures_us

    def ripe_until(self, now_us: int) -> int:
        """Return where the last window ends whose outcomes have had their time."""
        return (now_us - self.matures_us) // self.window_us * self.window_us
