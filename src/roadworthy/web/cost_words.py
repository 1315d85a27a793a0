"""The sentences about money: today, a month, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from . import numbers
from .words import listed

if TYPE_CHECKING:
    from .cost_figures import MonthForecast, StackPart, TodayRow

BY = {
    "service": "service",
    "model": "model",
    "provider": "provider",
    "team": "team",
    "user": "user",
    "tag": "tag",
    "key": "key",
    "release": "release",
}
"""What a month may be stacked by."""
NOBODY = "(none)"


def costs(today: Sequence[TodayRow], now: datetime) -> str:
    """Return what today costs, in one or two sentences."""
    if not today:
        return "Nothing here costs anything: no model charges, and no ceiling is declared."
    spent = sum(row.cost.settled_usd for row in today)
    coming = [row.cost.by_midnight_usd for row in today if row.cost.by_midnight_usd is not None]
    said = f"{numbers.usd(spent)} is spent today"
    if coming:
        said += f"; {numbers.usd(max(sum(coming), spent))} is forecast"
    reached = [row for row in today if row.cost.reached_at is not None]
    if not reached:
        return f"{said}."
    first = min(reached, key=lambda row: row.cost.reached_at or now)
    others = f", and {len(reached) - 1} more" if len(reached) > 1 else ""
    at = numbers.at(first.cost.reached_at or now, now)
    return f"{said}. {first.service} reaches its ceiling at about {at}{others}."


def name_of(month: str) -> str:
    """Return a month as people say it.

    >>> name_of("2026-11")
    'November 2026'
    """
    return f"{datetime.fromisoformat(f'{month}-01'):%B %Y}"


def month(by: str, parts: Sequence[StackPart]) -> str:
    """Return what is to be seen of a month, in one sentence."""
    spent = [part for part in parts if part.usd > 0]
    if not spent:
        return "Nothing was spent."
    whole = sum(part.usd for part in spent)
    first = spent[0]
    if len(spent) == 1:
        named = first.name if first.name != NOBODY else f"no {BY.get(by, by)}"
        return f"All of it is of {named}."
    share = first.usd / whole
    named = first.name if first.name != NOBODY else f"What bears no {BY.get(by, by)}"
    return f"{named} spends most: {share:.0%} of it, by {BY.get(by, by)}."


def forecast(one: MonthForecast) -> str:
    """Return what a month will have cost, in one sentence."""
    if one.expected_usd is None or one.low_usd is None or one.high_usd is None:
        return f"{numbers.usd(one.spent_usd)} so far; fewer than three whole days say no more."
    said = (
        f"{numbers.usd(one.spent_usd)} so far; {numbers.usd(one.expected_usd)} by the end of the "
        f"month (90%: {numbers.usd(one.low_usd)} to {numbers.usd(one.high_usd)})"
    )
    if one.ceiling_usd is None:
        return f"{said}."
    ceiling = numbers.usd_declared(one.ceiling_usd)
    if one.reached is not None:
        return f"{said}. Its ceiling of {ceiling} is reached on {one.reached:%-d %b}."
    return f"{said}, of {ceiling}."


def lost(services: Sequence[str]) -> str:
    """Return which services cost more than they are worth; empty where none does."""
    if not services:
        return ""
    cost = "costs" if len(services) == 1 else "cost"
    return f"An accepted answer of {listed(services, 3)} {cost} more than it is worth."
