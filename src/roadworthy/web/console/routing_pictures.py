"""Pictures of the routing page: quality over cost, and who answered on which day."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from .. import charts, numbers
from ..curves import Curve, Mark, Span, curve_chart
from ..plots import Goal, Words
from ..routing_figures import CostPoint, RoutingPage


def quality_cost(page: RoutingPage) -> Markup:
    """Return the quality that is lost, by the share that cheaper models answer."""
    points = sorted(page.curve, key=lambda point: point.cheaper)
    known = [point for point in points if point.quality is not None]
    goal = None
    if page.max_error is not None:
        goal = Goal(page.max_error, f"promise: at most {numbers.promised(page.max_error)}")
    marks = [
        Mark(point.cheaper, _lost(point.quality), "certified", "dot chosen", "ok-t", 24)
        for point in _certified(page, known)
    ]
    drawn = (
        "Quality lost against the strongest model, by the share that cheaper models answer; "
        "upright: 95% intervals."
    )
    return curve_chart(
        Words(_finding(page, known), drawn, "To cheaper models"),
        [Curve("Quality lost", [(point.cheaper, _lost(point.quality)) for point in known])],
        show_x=numbers.share,
        show_y=numbers.share,
        x_ticks=[(share / 4, numbers.promised(share / 4)) for share in range(5)],
        goal=goal,
        marks=marks,
        spans=[
            Span(point.cheaper, _lost(point.high), _lost(point.low))
            for point in known
            if point.low is not None and point.high is not None
        ],
    )


def _lost(quality: float | None) -> float:
    """Return what a quality lacks; a better one lacks nothing."""
    return max(0.0, 1 - (quality or 0.0))


def _certified(page: RoutingPage, known: list[CostPoint]) -> list[CostPoint]:
    """Return the loosest point within what is certified, if there is one."""
    if page.threshold is None:
        return []
    return [point for point in known if point.threshold >= page.threshold][-1:]


def _finding(page: RoutingPage, known: list[CostPoint]) -> str:
    at = _certified(page, known)
    if not at:
        return "No point is certified yet."
    cost = f", {numbers.usd(at[0].usd)} for 1,000 requests" if at[0].usd is not None else ""
    return f"Certified: {numbers.share(at[0].cheaper)} to cheaper models{cost}."


def days(page: RoutingPage) -> Markup:
    """Return how many requests each model answered on each day."""
    names = [model.model for model in page.models]
    xs = [day.day.timestamp() for day in page.days]
    series = [
        charts.Series(name, [float(day.requests[place]) for day in page.days])
        for place, name in enumerate(names)
    ]
    drawn = "Requests that each model answered, by day, UTC."
    ticks = [(xs[0], _day(page.days[0].day))]
    return charts.stacked_bars(
        Words("Who answered.", drawn),
        xs,
        charts.folded(series),
        step=86_400.0,
        show_x=lambda x: _day(page.days[xs.index(x)].day),
        show_y=numbers.whole,
        x_ticks=ticks,
    )


def _day(at: datetime) -> str:
    """Write a day: `22 Nov`."""
    return f"{at:%d %b}".lstrip("0")
