"""`roadworthy cost report`: what was spent, by whatever somebody asks, and what it was worth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..app import read_project
from ..app.costs import report_costs
from ..cost.forecast import Forecast, month_of
from ..cost.prices import format_usd
from ..cost.reading import Report
from ..cost.report import Bill, Breakdown, Row, Yield, parse_dimensions
from ..store.costs import Dimension
from ..types import HOUR_US, MICRO
from .common import command, json_option, print_json, print_line, print_table, project_option
from .parameters import names, since_option, until_option

By = tuple[tuple[Dimension, ...], ...]
_MOST = 40
"""Lines of a table; `--json` has all."""


def _by(value: str | By) -> By:
    if not isinstance(value, str):
        return value
    try:
        return parse_dimensions(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("report")
@click.option(
    "--by",
    type=_by,
    default="service",
    show_default=True,
    help="A table each: `service`, `release`, `arm`, `model`, `provider`, `user`, `team`, `tag`, "
    "`key`, `day`; `service/day` crosses two.",
)
@click.option("--service", "services", type=names, default="", help="Only these, between commas.")
@since_option
@until_option
@project_option
@json_option
@command
def report_command(
    by: By,
    services: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Show what was spent: models, shadows, egress, people, training. By default this month."""
    with read_project(folder) as project:
        now_us = project.clock.now_us()
        since = month_of(now_us)[0] if since_us is None else since_us
        until = now_us + 1 if until_us is None else until_us
        since -= since % HOUR_US
        found = report_costs(project, by, since, until, services)
    if as_json:
        print_json(report_json(found))
        return
    _print(found)


def _print(found: Report) -> None:
    total = _sum(found).total_micro
    span = f"{_time(found.since_us)} to {_time(found.until_us)}"
    print_line(f"{format_usd(total)} spent, {span}", style="bold")
    for one in found.breakdowns:
        columns = (*one.by, one.counts, "accepted", "models", "unseen", "beside", "total")
        rows = [_line(one, row) for row in one.rows[:_MOST]]
        print_table(" / ".join(one.by), columns, rows)
        if len(one.rows) > _MOST:
            print_line(f"and {len(one.rows) - _MOST} more; `--json` has all of them")
        if one.is_partial and one.rows:
            print_line("these lines are no total: not every request bears one", style="dim")
    for line in (*map(_worth, found.yields), *_forecasts(found)):
        print_line(line)


def _sum(found: Report) -> Bill:
    bill = Bill()
    for row in found.services:
        bill = bill.plus(row.bill)
    return bill


def _line(one: Breakdown, row: Row) -> tuple[str, ...]:
    bill = row.bill
    beside = bill.egress_micro + bill.review_micro + bill.retraining_micro
    return (
        *(_shown(name, row.values[name]) for name in one.by),
        f"{row.requests:,}",
        f"{row.accepted:,}",
        format_usd(bill.models_micro),
        format_usd(bill.unseen_micro),
        format_usd(beside),
        format_usd(bill.total_micro),
    )


def _shown(name: str, value: Any) -> str:
    return _time(value)[:10] if name == "day" else str(value)


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / MICRO, UTC).strftime("%Y-%m-%d %H:%M")


def _worth(one: Yield) -> str:
    if one.per_accepted_micro is None:
        return f"{one.service}: no answer was accepted, {format_usd(one.total_micro)} was spent"
    said = f"{one.service}: an accepted answer costs {format_usd(one.per_accepted_micro)}"
    if one.value_micro is None:
        return f"{said}; what it is worth is not declared (`cost.value_per_answer_usd`)"
    if one.is_lost:
        return f"{said}, more than the {format_usd(one.value_micro)} that it is worth"
    times = "" if one.returned is None else f": {one.returned:,.1f} times what is spent"
    return f"{said} and is worth {format_usd(one.value_micro)}{times}"


def _forecasts(found: Report) -> Iterator[str]:
    for service, one in found.forecasts.items():
        if one.expected_micro is not None:
            yield f"{service}: {forecast_text(one)}"


def forecast_text(one: Forecast) -> str:
    """Return what a month will have cost, in one sentence."""
    if one.expected_micro is None or one.low_micro is None or one.high_micro is None:
        return f"{format_usd(one.spent_micro)} this month; too few days to say more"
    said = (
        f"about {format_usd(_cents(one.expected_micro))} this month "
        f"({format_usd(_cents(one.low_micro))} to {format_usd(_cents(one.high_micro))})"
    )
    if one.ceiling_micro is None:
        return said
    ceiling = format_usd(one.ceiling_micro)
    if one.reached_us is None:
        return f"{said}, below its ceiling of {ceiling}"
    return f"{said}: its ceiling of {ceiling} is reached on {_time(one.reached_us)[:10]}"


def _cents(micro: int) -> int:
    """Return an estimate without digits that nobody knows."""
    return micro if micro < 10_000 else round(micro, -4)


def report_json(found: Report) -> dict[str, Any]:
    """Return a report as programs read it, money in US dollars and times in Unix microseconds."""
    return {
        "since_us": found.since_us,
        "until_us": found.until_us,
        "total": _bill_json(_sum(found)),
        "breakdowns": [
            {
                "by": list(one.by),
                "counts": one.counts,
                "is_partial": one.is_partial,
                "rows": [
                    {
                        **row.values,
                        "requests": row.requests,
                        "accepted": row.accepted,
                        "input_tokens": row.input_tokens,
                        "output_tokens": row.output_tokens,
                        **_bill_json(row.bill),
                    }
                    for row in one.rows
                ],
            }
            for one in found.breakdowns
        ],
        "value": [
            {
                "service": one.service,
                "accepted": one.accepted,
                "wrong": one.wrong,
                "usd_per_accepted": _usd(one.per_accepted_micro),
                "value_usd": _usd(one.value_micro),
                "returned": None if one.returned is None else round(one.returned, 3),
                "is_lost": one.is_lost,
            }
            for one in found.yields
        ],
        "forecast": {
            service: {
                "spent_usd": _usd(one.spent_micro),
                "expected_usd": _usd(one.expected_micro),
                "low_usd": _usd(one.low_micro),
                "high_usd": _usd(one.high_micro),
                "ceiling_usd": _usd(one.ceiling_micro),
                "reached_us": one.reached_us,
            }
            for service, one in found.forecasts.items()
        },
    }


def _bill_json(bill: Bill) -> dict[str, float | None]:
    return {
        "models_usd": _usd(bill.models_micro),
        "unseen_usd": _usd(bill.unseen_micro),
        "egress_usd": _usd(bill.egress_micro),
        "review_usd": _usd(bill.review_micro),
        "retraining_usd": _usd(bill.retraining_micro),
        "total_usd": _usd(bill.total_micro),
    }


def _usd(micro: int | None) -> float | None:
    return None if micro is None else micro / MICRO
