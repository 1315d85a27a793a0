"""Pictures of the cache page: hits by day, and what thresholds would give."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from .. import charts, numbers
from ..cache_figures import KINDS, CachePage, ReuseAt
from ..curves import Curve, Mark, Span, curve_chart
from ..plots import Goal, Words

NAMES = {"exact": "Exact", "semantic": "Semantic", "stale": "Stale", "correction": "Correction"}


def days(page: CachePage) -> Markup:
    """Return how many requests of each day were given an answer again, by why."""
    xs = [day.day.timestamp() for day in page.days]
    series = [
        charts.Series(NAMES[kind], [float(day.hits[place]) for day in page.days])
        for place, kind in enumerate(KINDS)
        if any(day.hits[place] for day in page.days)
    ]
    return charts.stacked_bars(
        Words("Given again.", "Requests that were given an answer again, by day, UTC."),
        xs,
        series,
        step=86_400.0,
        show_x=lambda x: _day(page.days[xs.index(x)].day),
        show_y=numbers.whole,
        x_ticks=[(xs[0], _day(page.days[0].day))],
    )


def thresholds(page: CachePage) -> Markup:
    """Return the share of wrong hits, by the share of would-be hits that is given again."""
    goal = None
    if page.max_error is not None:
        said = f"promise: at most {numbers.promised(page.max_error)}"
        goal = Goal(page.max_error, said, "low")
    certified = _certified(page)
    marks = [
        Mark(point.reused, point.wrong_of_hits, "certified", "dot chosen", "ok-t", 24)
        for point in certified
    ]
    finding = "No threshold is certified yet."
    if certified:
        finding = f"Certified: {numbers.share(certified[0].reused)} of the would-be hits."
    drawn = "Wrong of hits, by the share of would-be hits given again; upright: 95% intervals."
    points = [(point.reused, point.wrong_of_hits) for point in page.thresholds]
    return curve_chart(
        Words(finding, drawn, "Given again"),
        [Curve("Wrong of hits", points)],
        show_x=numbers.share,
        show_y=numbers.share,
        x_ticks=[(share / 4, numbers.share(share / 4)) for share in range(5)],
        goal=goal,
        marks=marks,
        spans=[Span(point.reused, point.low, point.high) for point in page.thresholds],
    )


def _certified(page: CachePage) -> list[ReuseAt]:
    """Return the loosest point within what is certified, if there is one."""
    if page.threshold is None:
        return []
    return [point for point in page.thresholds if point.threshold >= page.threshold][-1:]


def _day(at: datetime) -> str:
    """Write a day: `22 Nov`."""
    return f"{at:%d %b}".lstrip("0")
