"""Pictures of money: the days of a month, stacked by whom it was spent for."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from .. import charts, cost_words, numbers
from ..cost_figures import CostsPage

_DAY_S = 86_400


def month(page: CostsPage) -> Markup:
    """Return what each day of the month cost, stacked."""
    xs = [day.timestamp() for day in page.days]
    series = [charts.Series(part.name, part.days) for part in page.parts if part.usd > 0]
    by = cost_words.BY.get(page.by, page.by)
    ticks = [(x, _day(x)) for x in xs if _is_marked(x)]
    return charts.stacked_bars(
        charts.Words(page.finding, f"USD a day (UTC), stacked by {by}.", "Day"),
        xs,
        series,
        step=_DAY_S,
        show_x=_day,
        show_y=numbers.usd,
        x_ticks=ticks,
    )


def _day(x: float) -> str:
    return f"{datetime.fromtimestamp(x, UTC):%-d %b}"


def _is_marked(x: float) -> bool:
    return datetime.fromtimestamp(x, UTC).day in (1, 8, 15, 22, 29)
