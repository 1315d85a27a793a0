"""Pictures of the values that pages show: which chart, with which words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from .. import charts, numbers, words
from ..figures import CostToday, Promise, ServiceFigures
from ..states import CLASSES, WORDS, State, word_of

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_TICK_HOURS = 6
_EXAMPLE_PROMISE = 0.62
_EXAMPLES: dict[State, tuple[float, float, float]] = {
    "healthy": (0.35, 0.41, 0.47),
    "at_risk": (0.52, 0.59, 0.68),
    "breached": (0.72, 0.8, 0.88),
}
"""The interval's low end, the value and the high end that the page of words draws."""


def promise(promise: Promise) -> Markup:
    """Return a promise beside what was measured of it."""
    interval = None
    if promise.low is not None and promise.high is not None:
        interval = (promise.low, promise.high)
    return charts.promise_plot(
        promise.promise,
        promise.scale,
        promise.better,
        value=promise.measured,
        interval=interval,
        state=CLASSES[promise.state],
        label=f"{promise.name}: {word_of(promise.state, promise.is_proven)}. {_measured(promise)}",
    )


def _measured(promise: Promise) -> str:
    side = "at most" if promise.better == "low" else "at least"
    goal = f"{side} {numbers.promised(promise.promise)} {promise.of} is promised"
    if promise.measured is None or promise.low is None or promise.high is None:
        return f"{goal}; too few requests, n {promise.n}."
    interval = numbers.bounds(promise.low, promise.high, promise.promise)
    return f"{goal}; measured {numbers.share(promise.measured, promise.promise)}, {interval}."


def purse(cost: CostToday) -> Markup:
    """Return today's money against its ceiling."""
    spent = cost.settled_usd
    coming = (cost.by_midnight_usd or spent + cost.held_usd) - spent
    return charts.purse(spent, cost.ceiling_usd, coming=max(coming, 0.0), label=" ".join(cost.says))


def latency(page: ServiceFigures) -> Markup:
    """Return the 95th percentile of each hour against its promise."""
    goal = None
    if page.latency_p95_ms is not None:
        goal = charts.Goal(page.latency_p95_ms, f"promise {numbers.ms(page.latency_p95_ms)}")
    since, until = _span(page)
    found = {int(hour.hour.timestamp()): hour.p95_ms for hour in page.hours}
    return charts.line_chart(
        charts.Words(_latency_finding(page), "p95 per hour, in UTC, estimated.", "Hour"),
        charts.evenly(found, since, until, _HOUR_S),
        goal=goal,
        show_x=_hour,
        show_y=numbers.ms,
        x_ticks=_ticks(since, until),
        name="p95",
    )


def _latency_finding(page: ServiceFigures) -> str:
    promise = page.latency_p95_ms
    measured = [hour for hour in page.hours if hour.p95_ms is not None]
    if promise is None or not measured:
        return "No latency is promised." if promise is None else "Nothing was measured."
    over = [hour for hour in measured if hour.p95_ms is not None and hour.p95_ms > promise]
    if not over:
        return f"p95 stayed under {numbers.ms(promise)}."
    hours = words.exactly(len(over), "hour")
    return f"p95 was over {numbers.ms(promise)} in {hours} of {len(measured)}."


def cost(page: ServiceFigures) -> Markup | None:
    """Return today's money against its ceiling, else that of each hour; None where none was."""
    today = page.service.cost
    if today.ceiling_usd and today.settled_usd:
        return _cost_today(page, today.settled_usd, today.ceiling_usd)
    total = sum(hour.cost_usd for hour in page.hours)
    return _cost_by_hour(page, total) if total and today.ceiling_usd is None else None


def _cost_by_hour(page: ServiceFigures, total: float) -> Markup:
    since, until = _span(page)
    found = {int(hour.hour.timestamp()): hour.cost_usd for hour in page.hours}
    places = charts.evenly(found, since, until, _HOUR_S)
    return charts.stacked_bars(
        charts.Words(f"{numbers.usd(total)} in 24 hours.", "US dollars per hour, in UTC.", "Hour"),
        [float(x) for x, _ in places],
        [charts.Series("Cost", [value for _, value in places])],
        step=_HOUR_S,
        show_x=_hour,
        show_y=numbers.usd_declared,
        x_ticks=_ticks(since, until),
    )


def _cost_today(page: ServiceFigures, settled: float, ceiling: float) -> Markup:
    now = int(page.as_of.timestamp())
    midnight = now - now % _DAY_S
    return charts.line_chart(
        charts.Words(
            f"{numbers.share(settled / ceiling)} of the day's ceiling is spent.",
            "US dollars since 00:00 UTC, added up.",
            "Until",
        ),
        _added_up(page, midnight, now),
        goal=charts.Goal(ceiling, f"ceiling {numbers.usd_declared(ceiling)}"),
        show_x=_clock,
        show_y=numbers.usd_declared,
        x_ticks=[
            (midnight + hour * _HOUR_S, f"{hour:02}:00") for hour in range(0, 25, _TICK_HOURS)
        ],
        name="Spent",
    )


def _added_up(page: ServiceFigures, midnight: int, now: int) -> list[tuple[float, float | None]]:
    """Return what was spent up to each hour's end and to now; what is to come is a gap."""
    hours = {int(hour.hour.timestamp()): hour.cost_usd for hour in page.hours}
    places: list[tuple[float, float | None]] = [(midnight, 0.0)]
    spent = 0.0
    for start in range(midnight, midnight + _DAY_S, _HOUR_S):
        end = start + _HOUR_S
        if start > now:
            places.append((end, None))
            continue
        spent += hours.get(start, 0.0)
        places.append((min(end, now), spent))
        if end > now:
            places.append((end, None))
    return places


def endings(page: ServiceFigures) -> Markup:
    """Return one bar of how requests ended."""
    return charts.disposition_bar([(end.disposition, end.requests) for end in page.endings])


def example(state: State) -> Markup | None:
    """Return what a state looks like beside its promise; None where there is nothing to draw."""
    found = _EXAMPLES.get(state)
    if found is None:
        return None
    low, value, high = found
    return charts.promise_plot(
        _EXAMPLE_PROMISE,
        (0.0, 1.0),
        "low",
        value=value,
        interval=(low, high),
        state=CLASSES[state],
        label=f"{WORDS[state]}: the bar is the interval, the tick the promise, the tint is broken.",
    )


def _clock(at_s: float) -> str:
    time = datetime.fromtimestamp(at_s, UTC)
    return f"{time:%H:%M}"


def _span(page: ServiceFigures) -> tuple[int, int]:
    """Return the first hour and the end of the last one, as Unix seconds."""
    since, now = int(page.since.timestamp()), int(page.as_of.timestamp())
    return since, now - now % _HOUR_S + _HOUR_S


def _hour(at_s: float) -> str:
    time = datetime.fromtimestamp(at_s, UTC)
    return f"{time.day} {time:%b}, {time:%H:%M}"


def _ticks(since: int, until: int) -> Sequence[charts.Tick]:
    """Return every sixth hour of the day, with the day where one begins."""
    step = timedelta(hours=_TICK_HOURS).seconds
    first = since + -since % step
    return [(at, _tick(at)) for at in range(first, until, step)]


def _tick(at_s: int) -> str:
    time = datetime.fromtimestamp(at_s, UTC)
    return f"{time.day} {time:%b}" if time.hour == 0 else f"{time:%H:%M}"
