"""Reads what was spent from the state, as reports and pages show it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Engine

from ..declare.service import ServiceDeclaration
from ..store import costs as store
from ..store.costs import Dimension
from ..types import DAY_US
from .forecast import DAYS, Forecast, forecast_month, month_of
from .report import Breakdown, Known, Row, Yield, breakdown, yield_of
from .worth import known_of


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent in a span.

    Attributes:
        since_us, until_us: The span, in whole hours.
        services: Every service that spent something, with all of its bill.
        breakdowns: By what was asked for.
        yields: What each service's answers cost and are worth.
        forecasts: What this month will have cost, by service.
    """

    since_us: int
    until_us: int
    services: tuple[Row, ...]
    breakdowns: tuple[Breakdown, ...]
    yields: tuple[Yield, ...]
    forecasts: dict[str, Forecast]


def read_report(
    engine: Engine,
    declared: Mapping[str, ServiceDeclaration],
    trained: Mapping[str, int],
    by: Sequence[Sequence[Dimension]],
    since_us: int,
    until_us: int,
    now_us: int,
    services: Collection[str] = (),
) -> Report:
    """Return what was spent in the hours that begin in a span.

    Args:
        engine: The state.
        declared: What services declare; of one that is missing only its models are known.
        trained: How many trainings of each were released in the span.
        by: The breakdowns that are asked for.
        since_us: Where the span begins.
        until_us: Where it ends.
        now_us: The project's time, for forecasts.
        services: Only these; all if empty.
    """
    decided = store.count_decided(engine, since_us, until_us)
    known = {
        name: known_of(
            engine,
            one,
            since_us,
            until_us,
            decided=decided.get(name, 0),
            trained=trained.get(name, 0),
        )
        for name, one in declared.items()
    }

    def of(dimensions: Sequence[Dimension]) -> Breakdown:
        cells = store.read_spent(engine, dimensions, since_us, until_us, services)
        return breakdown(dimensions, cells, known)

    whole = of(("service",)).rows
    names = [str(row.values["service"]) for row in whole]
    return Report(
        since_us=since_us,
        until_us=until_us,
        services=whole,
        breakdowns=tuple(map(of, by)),
        yields=tuple(
            yield_of(name, row, known.get(name, Known()))
            for name, row in zip(names, whole, strict=True)
        ),
        forecasts={name: read_forecast(engine, name, declared.get(name), now_us) for name in names},
    )


def read_forecast(
    engine: Engine, name: str, declared: ServiceDeclaration | None, now_us: int
) -> Forecast:
    """Return what this calendar month will have cost a service, beside its ceiling."""
    first_us, _ = month_of(now_us)
    since_us = min(first_us, now_us - now_us % DAY_US - DAYS * DAY_US)
    days = store.read_days(engine, name, since_us, now_us + 1)
    ceiling = None if declared is None else declared.cost.per_month_micro
    return forecast_month([(day, micro) for day, _, micro in days], now_us, ceiling)
