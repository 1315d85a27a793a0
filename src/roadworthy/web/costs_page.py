"""What is spent, what will be, and what it returns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ..cost.forecast import month_of
from ..cost.reading import Report, read_report
from ..cost.report import Row
from ..declare.service import ServiceDeclaration
from ..release.registry import trainings
from ..store.clock import time_of
from ..store.costs import Dimension
from ..store.rollups import read_hours
from ..types import DAY_US, MICRO
from . import cost_words as words
from . import promises
from .control import Ask
from .cost_figures import (
    BillRow,
    CostsPage,
    CostsQuery,
    MonthForecast,
    StackPart,
    TodayRow,
)
from .home import since_of
from .units import show, usd_of

MOST_PARTS = 12
"""Values that a month is broken down to by name; the rest is one."""


class _Month(NamedTuple):
    """A calendar month (UTC) in Unix microseconds, as far as it has come."""

    first_us: int
    end_us: int

    @property
    def days(self) -> range:
        """The beginning of each of its days."""
        return range(self.first_us, self.end_us, DAY_US)


def costs_page(ask: Ask, query: CostsQuery) -> CostsPage:
    """Return what the page of costs shows to a key."""
    now_us = ask.control.clock.now_us()
    month = _month(query.month, now_us)
    declared = _declared(ask)
    report = _report(ask, declared, query.by, month, now_us)
    stack = report.breakdowns[0]
    parts = _parts(stack.rows, query.by, month)
    today = tuple(_today(ask, declared, now_us))
    total = sum(row.bill.total_micro for row in report.services)
    return CostsPage(
        says=words.costs(today, time_of(now_us)),
        as_of=time_of(now_us),
        by=query.by,
        month=_name(month.first_us),
        previous=_name(month.first_us - DAY_US),
        next=_next(month.first_us, now_us),
        today=today,
        days=tuple(map(time_of, month.days)),
        parts=parts,
        is_partial=stack.is_partial,
        total_usd=usd_of(total),
        finding=words.month(query.by, parts),
        bills=tuple(_bills(report)),
        forecasts=tuple(_forecasts(report)) if month.first_us == month_of(now_us)[0] else (),
    )


def _declared(ask: Ask) -> dict[str, ServiceDeclaration]:
    opened = ask.control.engine.releases.items()
    return {name: release.declaration for name, release in opened if ask.sees(name)}


def _report(
    ask: Ask,
    declared: dict[str, ServiceDeclaration],
    by: Dimension,
    month: _Month,
    now_us: int,
) -> Report:
    state = ask.control.state
    trained = {name: trainings(state, name, month.first_us, month.end_us) for name in declared}
    # A key of some services sees nothing of others; one of all sees those that are gone, too.
    services = ask.services_of("")
    dimensions: tuple[Dimension, ...] = (by, "day")
    return read_report(
        state, declared, trained, (dimensions,), month.first_us, month.end_us, now_us, services
    )


def _month(text: str, now_us: int) -> _Month:
    if not text:
        return _Month(month_of(now_us)[0], now_us + 1)
    year, month = map(int, text.split("-"))
    within_us = int(datetime(max(year, 1970), month, 15, tzinfo=UTC).timestamp()) * MICRO
    first_us, next_us = month_of(within_us)
    return _Month(first_us, max(first_us, min(next_us, now_us + 1)))


def _name(us: int) -> str:
    return time_of(max(us, 0)).strftime("%Y-%m")


def _next(first_us: int, now_us: int) -> str:
    following_us = month_of(first_us)[1]
    return _name(following_us) if following_us <= now_us else ""


def _today(ask: Ask, declared: dict[str, ServiceDeclaration], now_us: int) -> Iterator[TodayRow]:
    names = sorted(declared)
    hours = read_hours(ask.control.state, names, since_of(now_us), now_us)
    ledger = ask.control.ledger
    spent = ask.on_loop(lambda: {name: ledger.spent(f"service:{name}") for name in names})
    for name in names:
        cost = declared[name].cost
        is_paid = ask.control.engine.releases[name].is_paid
        if not is_paid and cost.per_day_usd is None:
            continue
        found = promises.cost_today(cost, spent[name], hours[name], now_us, is_paid=is_paid)
        yield TodayRow(service=name, cost=found)


def _parts(rows: Sequence[Row], by: str, month: _Month) -> tuple[StackPart, ...]:
    """Return the dearest values of a dimension, each with its days; the rest as one."""
    days = list(month.days)
    place = {day: index for index, day in enumerate(days)}
    micro: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(days))
    requests: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        name, index = str(row.values[by]), place.get(row.values["day"])
        requests[name] += row.requests
        if index is not None:
            micro[name][index] += row.bill.total_micro
    names = sorted(micro, key=lambda name: (-sum(micro[name]), name))
    shown, rest = names[:MOST_PARTS], names[MOST_PARTS:]
    parts = [_part(name, [micro[name]], [requests[name]]) for name in shown]
    if rest:
        parts.append(
            _part(f"{len(rest)} others", [micro[n] for n in rest], [requests[n] for n in rest])
        )
    return tuple(parts)


def _part(name: str, days: Sequence[Sequence[int]], requests: Iterable[int]) -> StackPart:
    summed = [sum(day) for day in zip(*days, strict=True)]
    return StackPart(
        name=name,
        usd=usd_of(sum(summed)),
        requests=sum(requests),
        days=tuple(map(usd_of, summed)),
    )


def _bills(report: Report) -> Iterator[BillRow]:
    for row, returns in zip(report.services, report.yields, strict=True):
        bill = row.bill
        yield show(
            BillRow,
            returns,
            requests=row.requests,
            models_usd=usd_of(bill.models_micro),
            unseen_usd=usd_of(bill.unseen_micro),
            egress_usd=usd_of(bill.egress_micro),
            review_usd=usd_of(bill.review_micro),
            retraining_usd=usd_of(bill.retraining_micro),
        )


def _forecasts(report: Report) -> Iterator[MonthForecast]:
    for service, one in report.forecasts.items():
        yield show(MonthForecast, one, service=service)
