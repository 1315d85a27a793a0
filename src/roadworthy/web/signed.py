"""The ground of pictures of differences: y from below 0 to above it, by round numbers."""

from __future__ import annotations

from collections.abc import Sequence

from .plots import BOTTOM, HEIGHT, TOP, Plot, Show, Value, nice_ticks


def signed_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return round numbers from at or below `low` to at or above `high`, 0 among them.

    >>> signed_ticks(-3.5, 2.2)
    (-4.0, -2.0, 0.0, 2.0, 4.0)
    >>> signed_ticks(0, 0)
    (-1.0, 0.0, 1.0)
    """
    steps = nice_ticks(max(abs(low), abs(high), 0.0), most=2)[1:]
    return (*(-step for step in reversed(steps)), 0.0, *steps)


class SignedPlot(Plot):
    """The ground of a chart whose values lie on both sides of 0.

    Args:
        xs: Places on the x axis.
        ys: Values that must be seen.
        most: What lies further from 0 is drawn at the edge.
        show_y: Writes a value.
    """

    def __init__(self, xs: Sequence[float], ys: Sequence[Value], most: float, show_y: Show) -> None:
        super().__init__(xs, [], None, show_y)
        known = [y for y in ys if y is not None]
        self.is_empty = not known
        far = min(max((abs(y) for y in known), default=0.0), most)
        self.ticks = signed_ticks(-far, far)

    def y(self, y: float) -> float:
        """Return where a value stands, in pixels from the top; beyond the ticks, at the edge."""
        low, high = self.ticks[0], self.ticks[-1]
        kept = min(max(y, low), high)
        return HEIGHT - BOTTOM - (kept - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
