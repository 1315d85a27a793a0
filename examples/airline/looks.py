"""Three looks at the features of `flight-delay` after a replay: skew, leakage, another unit."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flights import DATA, FOLDER, LABEL, SERVICE, WEATHER
from rich.console import Console
from sklearn.metrics import roc_auc_score
from train import MEASURE_MONTHS, Flights, late, load, open_session, predict

CONTRACT = FOLDER / "contracts" / "weather.odcs.yaml"
IN_FAHRENHEIT = ["temp_f", "dewpoint_f"]
EVEN = 0.5
"""At this probability a flight is called late."""


def look_at_features(console: Console) -> None:
    """Say whether features are what training saw, know too much, or came in another unit."""
    skew = roadworthy("features", "skew", SERVICE.name, "--project", FOLDER)
    console.print(f"  [bold]Skew:[/bold] {said_of_skew(skew)}")
    words = ("features", "leakage", SERVICE.name, "--label", LABEL, "--project", FOLDER)
    console.print(f"  [bold]Leakage:[/bold] {roadworthy(*words)['says']}.")
    console.print(f"  [bold]Celsius:[/bold] {said_of_celsius()}")


def said_of_skew(report: dict[str, Any]) -> str:
    """Return in sentences what `roadworthy features skew` found."""
    features = report["features"]
    compared = sum(one["compared"] for one in features)
    equal = compared - sum(one["unequal"] for one in features)
    count = Counter(one["state"] for one in features)
    far = [f"`{one['feature']}`" for one in features if one["state"] == "breached"]
    named = ", ".join(far[:3]) + (f" and {len(far) - 3} more" if len(far) > 3 else "")
    said = (
        f"{equal:,} of {compared:,} served values are what the views say of that moment. Of"
        f" {len(features)} features {count['healthy']} look as in training,"
        f" {count['at_risk']} have moved and {len(far)} are far from it"
    )
    return f"{said} ({named})." if far else f"{said}."


def said_of_celsius() -> str:
    """Return in sentences what the contract says to the same weather in degrees Celsius."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "celsius.parquet"
        weather = pd.read_parquet(DATA / WEATHER)
        in_celsius(weather).to_parquet(file, index=False)
        report = roadworthy("data", "validate", CONTRACT, file)
    broken = [rule for rule in report["rules"] if rule["failed"]]
    named = ", ".join(
        f"`{rule['rule']}` is {rule['measured']:.1f} and must be {rule['expected']}"
        for rule in broken
    )
    return (
        f"weather delivered in it is refused by its contract: {named}. A monitor of quality would"
        f" hardly have seen it: {worth_of_celsius()}."
    )


def worth_of_celsius() -> str:
    """Return what the same answers are worth with the weather as it is, and in Celsius."""
    flights = load(MEASURE_MONTHS)
    right, auc = quality(flights, flights.rows)
    right_in_celsius, auc_in_celsius = quality(flights, in_celsius(flights.rows))
    return (
        f"of {len(flights.rows):,} flights from July to December {right_in_celsius:.1%} of answers"
        f" are right instead of {right:.1%}, the AUC is {auc_in_celsius:.3f} instead of {auc:.3f}"
    )


def quality(flights: Flights, rows: pd.DataFrame) -> tuple[float, float]:
    """Return the share of right answers and the AUC of the model on these rows."""
    session = open_session((SERVICE / "model.onnx").read_bytes())
    said, truth = predict(session, rows, flights.numbers), late(rows)
    return float(np.mean((said >= EVEN) == truth)), float(roc_auc_score(truth, said))


def in_celsius(weather: pd.DataFrame) -> pd.DataFrame:
    """Return the same weather with temperatures in degrees Celsius under their old names."""
    return weather.assign(**(weather[IN_FAHRENHEIT] - 32) / 1.8)


def roadworthy(*words: str | Path) -> dict[str, Any]:
    """Run the command line and return what it prints; 1 and 3 are answers too.

    Raises:
        SystemExit: It failed.
    """
    line = [sys.executable, "-P", "-m", "roadworthy", *map(str, words), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 3):
        sys.exit(f"roadworthy {' '.join(map(str, words[:2]))} failed: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
