"""Every ceiling with what is spent, held and left of it, and what it will be."""

from __future__ import annotations

from decimal import Decimal

from ..cost.ceilings import Shared, service_ceilings
from ..cost.ledger import Ceiling, Standing
from ..errors import NotFound
from ..store.ceilings import raise_ceiling
from ..store.clock import time_of
from ..types import HOUR_US, MICRO
from . import numbers
from .budget_figures import BudgetRow, BudgetsPage, Raise, RaisedShown
from .control import Ask
from .states import State
from .units import usd_of


def budgets_page(ask: Ask) -> BudgetsPage:
    """Return what the page of budgets shows to a key."""
    now_us = ask.control.clock.now_us()
    standings = ask.on_loop(ask.control.ledger.standings, _ceilings(ask))
    declared = {(one.scope, one.period): one.top_micro for one in _declared(ask)}
    rows = [
        _row(one, now_us, is_raised=one.top_micro != declared[one.scope, one.period])
        for one in standings
    ]
    rows.sort(key=lambda row: (-row.share, row.scope, row.period))
    return BudgetsPage(says=_says(rows), as_of=time_of(now_us), budgets=tuple(rows))


def raise_budget(ask: Ask, body: Raise) -> RaisedShown:
    """Raise a ceiling until its day or month ends.

    Raises:
        NotFound: Nothing declares such a ceiling.
    """
    known = [one for one in _declared(ask) if one.period == body.period]
    if body.scope not in {one.scope for one in known}:
        names = ", ".join(f"`{one.scope}`" for one in known) or "none"
        raise NotFound(f"no ceiling of a {body.period} for `{body.scope:.80}`; there are: {names}")
    control = ask.control
    micro = int(Decimal(repr(body.usd)) * MICRO)
    raised = raise_ceiling(
        control.state,
        control.clock,
        body.scope,
        body.period,
        micro,
        by=ask.by,
        reason=body.reason,
    )
    return RaisedShown(
        scope=raised.scope,
        period=raised.period,
        usd=usd_of(raised.micro),
        until=time_of(raised.until_us),
    )


def _ceilings(ask: Ask) -> list[Ceiling]:
    """Return the ceilings that a key may see: those over all services need a key of all."""
    found: list[Ceiling] = []
    for name, release in sorted(ask.control.engine.releases.items()):
        if ask.sees(name):
            found += service_ceilings(name, release.declaration.cost)
    if not ask.key.services:
        found += Shared(ask.control.declaration.budgets).declared
    return found


def _declared(ask: Ask) -> list[Standing]:
    """Return the same, each by its period, as the files say."""
    nothing = (0, 0, 0, 0)
    found = []
    for scope, day, what, month, month_what, _, _ in _ceilings(ask):
        if day is not None:
            found.append(Standing(scope, "day", what, day, None, *nothing))
        if month is not None:
            found.append(Standing(scope, "month", month_what, month, None, *nothing))
    return found


def _row(one: Standing, now_us: int, *, is_raised: bool) -> BudgetRow:
    top = one.top_micro or 0
    forecast = _forecast(one, now_us)
    state = _state(one, top, forecast)
    return BudgetRow(
        scope=one.scope,
        period=one.period,
        key=one.what,
        state=state,
        says=_word(one, top, forecast),
        top_usd=usd_of(top),
        spent_usd=usd_of(one.settled_micro),
        held_usd=usd_of(one.held_micro),
        left_usd=usd_of(max(0, top - one.settled_micro - one.held_micro)),
        share=one.settled_micro / top if top else 0.0,
        is_soft=one.is_soft,
        is_raised=is_raised,
        forecast_usd=None if forecast is None else usd_of(forecast),
        resets=time_of(one.ends_us),
    )


def _forecast(one: Standing, now_us: int) -> int | None:
    """Return what will be spent at the end of the period, at its own pace so far."""
    since_us = now_us - one.starts_us
    least_us = HOUR_US if one.period == "day" else 24 * HOUR_US
    if since_us < least_us or not one.settled_micro:
        return None
    return one.settled_micro * (one.ends_us - one.starts_us) // since_us


def _state(one: Standing, top: int, forecast: int | None) -> State:
    if one.settled_micro >= top:
        return "breached"
    if one.is_soft or (forecast is not None and forecast > top):
        return "at_risk"
    return "healthy"


def _word(one: Standing, top: int, forecast: int | None) -> str:
    if one.settled_micro >= top:
        return "Spent"
    if one.is_soft:
        return "Soon spent"
    return "Too fast" if forecast is not None and forecast > top else "Within"


def _says(rows: list[BudgetRow]) -> str:
    if not rows:
        return "No ceiling over more than one request is declared."
    spent = [row for row in rows if row.state == "breached"]
    near = [row for row in rows if row.state == "at_risk"]
    of = f"{numbers.count(len(rows))} ceiling{'s' if len(rows) > 1 else ''}"
    if spent:
        others = f", and {len(spent) - 1} more" if len(spent) > 1 else ""
        return f"Of {of}, the {spent[0].period} of {spent[0].scope} is spent{others}."
    if near:
        others = f", and {len(near) - 1} more" if len(near) > 1 else ""
        return f"Of {of}, none is spent; the {near[0].period} of {near[0].scope} is near{others}."
    return f"Of {of}, none is spent, and none will be at this pace."
