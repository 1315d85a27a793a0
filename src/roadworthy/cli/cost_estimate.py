"""`roadworthy cost estimate`: what a month will cost, before anybody pays for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..app import open_project
from ..app.costs import HISTORY_DAYS, estimate_cost
from ..cost.estimate import Driver, Estimate, parse_volume
from ..types import MICRO
from .common import command, json_option, print_json, print_line, print_table, project_option


def _volume(value: str | float) -> float:
    if isinstance(value, float):
        return value
    try:
        return parse_volume(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("estimate")
@click.argument("service")
@click.option(
    "--volume",
    type=_volume,
    required=True,
    metavar="N/day",
    help="Requests: `100000/day`, `2.5k/hour`, `20/s`.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 365),
    default=HISTORY_DAYS,
    show_default=True,
    help="How far back what it was asked counts.",
)
@click.option("--input-tokens", type=click.IntRange(0), help="Of one request, instead of history.")
@click.option("--output-tokens", type=click.IntRange(0), help="Of one answer, likewise.")
@project_option
@json_option
@command
def estimate_command(
    service: str,
    volume: float,
    days: int,
    input_tokens: int | None,
    output_tokens: int | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Say what a month of SERVICE costs at a volume: low, expected, high, and what drives it."""
    with open_project(folder) as project:
        found = estimate_cost(
            project,
            service,
            volume,
            days=days,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
    if as_json:
        print_json(estimate_json(service, found))
        return
    low, expected, high = found.per_month.low, found.per_month.expected, found.per_month.high
    print_line(f"{service}: {_usd(expected)} a month, {_usd(low)} to {_usd(high)}", style="bold")
    print_line(f"for {found.requests_per_month:,.0f} requests a month; {'; '.join(found.notes)}")
    print_table("what drives it", ("part", "a month", "share", "why"), map(_line, found.drivers))


def _line(driver: Driver) -> tuple[str, ...]:
    return driver.name, _usd(driver.micro_per_month), f"{driver.share:.0%}", driver.why


def estimate_json(service: str, found: Estimate) -> dict[str, Any]:
    """Return an estimate as programs read it, money in US dollars."""
    per_month = found.per_month
    return {
        "service": service,
        "requests_per_month": round(found.requests_per_month),
        "usd_per_month": {
            "low": per_month.low / MICRO,
            "expected": per_month.expected / MICRO,
            "high": per_month.high / MICRO,
        },
        "usd_per_request": found.per_request_micro / MICRO,
        "drivers": [
            {
                "name": driver.name,
                "usd_per_month": driver.micro_per_month / MICRO,
                "share": round(driver.share, 4),
                "why": driver.why,
            }
            for driver in found.drivers
        ],
        "source": found.source,
        "sample": found.sample,
        "notes": list(found.notes),
    }


def _usd(micro: int) -> str:
    return f"${micro / MICRO:,.2f}"
