"""`roadworthy prices`: the public prices that costs are counted with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cost.prices import RATES_FILE, Rates, load_rates
from ..cost.refresh import compile_rates, render_rates
from .common import command, json_option, print_json, print_line, write_text


@click.group()
def prices() -> None:
    """Compile a new file of public prices."""


@prices.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RATES_FILE,
    show_default="the file that this installation reads",
    help="Where to write it.",
)
@json_option
@command
def refresh(out: Path, as_json: bool) -> None:
    """Compile the rates file anew from the installed genai-prices, and say what changed.

    Upgrade genai-prices first: nothing is downloaded here. A server reads the file when it starts.
    """
    before = _rows(load_rates(out)) if out.exists() else {}
    write_text(out, render_rates(compile_rates()))
    rates = load_rates(out)
    after = _rows(rates)
    known = before.keys() & after.keys()
    facts: dict[str, Any] = {
        "file": str(out),
        "dated": rates.dated,
        "source": rates.source,
        "models": len(after),
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in known if before[name] != after[name]),
    }
    if as_json:
        print_json(facts)
        return
    print_line(f"wrote {out}: {len(after)} prices of {rates.dated}, from {rates.source}")
    for change in ("added", "removed", "changed"):
        print_line(f"  {change}: {len(facts[change])}")


def _rows(rates: Rates) -> dict[str, object]:
    return {
        f"{provider}/{model}": price
        for provider, entry in rates.providers.items()
        for model, price in entry.models.items()
    }


COMMANDS = {"prices": prices}
