"""`roadworthy cost tokens`: what another model makes of the same texts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..app import read_project
from ..app.token_changes import CostOfTokens, cost_of_tokens
from ..release.token_change import Ratio
from .common import (
    INCONCLUSIVE,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
)


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--service", default="", help="Only this service; by default all that chat.")
@project_option
@json_option
@command
def tokens(old: str, new: str, service: str, folder: Path, as_json: bool) -> None:
    """Count the same texts for two models, and say what that means in money.

    OLD and NEW are models as a service or a provider calls them, or releases. Counted is a sample
    of what was asked and answered in the last 30 days; where no bodies are kept, the suites.
    """
    with read_project(folder) as project:
        found = cost_of_tokens(project, old, new, service=service)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found.change.is_known:
        sys.exit(INCONCLUSIVE)


def _print(found: CostOfTokens) -> None:
    change = found.change
    print_line(change.sentence, style="bold")
    rows = [
        _row(name, ratio)
        for name, ratio in (("input", change.input), ("output", change.output))
        if ratio is not None
    ]
    if rows:
        heads = ("texts", "n", change.old, change.new, "change", "95 %")
        print_table(f"tokens ({change.source})", heads, rows)
    money = found.per_month
    rows = [
        [change.old, _usd(money.old_usd), ""],
        [f"{change.new}, at the old price", _usd(money.same_price_usd), ""],
        [change.new, _usd(money.new_usd), _span(money.low_usd, money.high_usd)],
    ]
    print_table("a month at present traffic", ("model", "USD", "95 %"), rows)
    for note in found.notes:
        print_line(note, style="yellow")


def _row(name: str, ratio: Ratio) -> list[str]:
    span = "-"
    if ratio.low is not None and ratio.high is not None:
        span = f"{ratio.low - 1:+.1%} to {ratio.high - 1:+.1%}"
    counts = (str(ratio.n), f"{ratio.old_tokens:,}", f"{ratio.new_tokens:,}")
    return [name, *counts, f"{ratio.value - 1:+.1%}", span]


def _usd(value: float | None) -> str:
    return "-" if value is None else f"${value:,.2f}"


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_usd(low)} to {_usd(high)}"


COMMANDS = {"tokens": tokens}
