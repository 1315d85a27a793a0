"""Pictures of the page about providers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from markupsafe import Markup

from .. import charts, numbers, words
from ..provider_figures import ProvidersPage

_HOUR_S = 3_600
_HOURS = 24
_TICK_HOURS = 6
_MOST_CAUSES = 2


def tries(page: ProvidersPage) -> Markup:
    """Return the tries of each hour: answered, and what was wrong with the others."""
    now = int(page.as_of.timestamp())
    until = now - now % _HOUR_S + _HOUR_S
    xs = list(range(until - _HOURS * _HOUR_S, until, _HOUR_S))
    found = {
        int(hour.hour.timestamp()): {e.says: e.tries for e in hour.ended} for hour in page.hours
    }
    total = Counter[str]()
    for ended in found.values():
        total.update(ended)
    wrong = [name for name, _ in total.most_common() if name != "answered"]
    names = ["answered", *wrong[:_MOST_CAUSES]]
    series = [
        charts.Series(name, [_tries(found, x, name) for x in xs])
        for name in (*names, *wrong[_MOST_CAUSES:])
    ]
    return charts.stacked_bars(
        charts.Words(_finding(total), "Tries of models per hour, in UTC.", "Hour"),
        [float(x) for x in xs],
        series,
        step=_HOUR_S,
        show_x=_hour,
        show_y=numbers.whole,
        x_ticks=[(x, _hour(x)) for x in xs if x // _HOUR_S % _TICK_HOURS == 0],
    )


def _tries(found: dict[int, dict[str, int]], hour: int, name: str) -> float | None:
    ended = found.get(hour)
    return None if ended is None else float(ended.get(name, 0))


def _finding(total: Counter[str]) -> str:
    all_of_them = sum(total.values())
    if not all_of_them:
        return "Nothing was asked in 24 hours."
    missed = all_of_them - total["answered"]
    if not missed:
        return f"Each of {words.exactly(all_of_them, 'attempt')} in 24 hours was answered."
    worst = next(name for name, _ in total.most_common() if name != "answered")
    share = numbers.share(missed / all_of_them)
    attempts = words.exactly(all_of_them, "attempt")
    return f"{share} of {attempts} in 24 hours were not answered, most: {worst}."


def _hour(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M}"
