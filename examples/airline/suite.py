"""Cases to evaluate releases of `flight-delay` by: flights of July and August, after all training.

Each case holds what the views said when it was asked, so that every release is asked the same, and
what happened. The flights are drawn evenly over the two months, the same at each run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
from flights import CATEGORIES, LABEL, PLANE_NUMBERS, WHOLE_NUMBERS

if TYPE_CHECKING:
    from train import Flights

SUITE = "suites/summer.jsonl"
CASES = 1_500
MONTHS = ("2013-07", "2013-08")

_encode = msgspec.json.Encoder(order="deterministic").encode


def write_suite(measured: Flights, service: Path) -> int:
    """Write the cases into a service's folder, and return how many they are."""
    rows = measured.rows[measured.rows["date"].str[:7].isin(MONTHS)]
    chosen = rows.iloc[:: max(1, len(rows) // CASES)].head(CASES)
    features = [name for names in measured.features.values() for name in names]
    lines = [_encode(case_of(row, features)) for row in chosen.to_dict("records")]
    path = service / SUITE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return len(lines)


def case_of(row: dict[str, Any], features: list[str]) -> dict[str, Any]:
    """Return the case that a flight is."""
    asked = {"tailnum": known(row["tailnum"])} | {name: row[name] for name in CATEGORIES}
    asked |= {name: int(row[name]) for name in WHOLE_NUMBERS}
    numbers = {name: known(row[name]) for name in PLANE_NUMBERS}
    asked |= {name: None if value is None else int(value) for name, value in numbers.items()}
    said = {name: known(row[name]) for name in features}
    return {
        "id": f"{row['date']}-{row['carrier']}{row['flight']}-{row['origin']}-{row['dest']}",
        "input": asked,
        "features": {n: v if v is None else float(v) for n, v in said.items()},
        "expect": {"label": bool(row[LABEL])},
        "tags": [row["date"][:7]],
    }


def known(value: Any) -> Any:
    """Return a value, or None for what is not known."""
    return None if pd.isna(value) else value
