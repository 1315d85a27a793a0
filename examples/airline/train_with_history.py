"""Train `flight-delay` with features as they were known: `python train_with_history.py`.

The spine is every flight of the year with its entities and the moment of asking. To it `roadworthy
features history` joins the views of `features/`: the weather, and how late the airport, the
carrier, the route and the plane had been by then. The model learns January to March and is measured
on July to December, like that of train.py; nothing is written when it is worse than `LEAST_AUC`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flights import CATEGORIES, DATA, FOLDER, PLANE_NUMBERS, WHOLE_NUMBERS
from numpy.typing import NDArray
from prepare import prepare, read_sources
from rich.console import Console
from sklearn.metrics import roc_auc_score
from train import (
    LEARN_MONTHS,
    MEASURE_MONTHS,
    PARAMETERS,
    check_equality,
    convert,
    deciles,
    describe,
    fit,
    hard_cases,
    late,
    measure,
    measure_months,
    open_session,
    predict,
    rounded,
    show,
    write,
)

VIEWS = ("weather_now", "origin_delays", "carrier_delays", "route_delays", "plane_previous")
ASKED = ("asked_at", "date", "flight", "tailnum")
SCHEDULE = WHOLE_NUMBERS + PLANE_NUMBERS
LEAST_AUC = 0.745
OUT = DATA / "flight-delay-with-history"


def spine() -> pd.DataFrame:
    """Return every flight that departed: what is asked about it, when, and the truth."""
    flights = prepare(read_sources())
    departed = flights[flights["truth_status"] == "departed"].reset_index(drop=True)
    departed["truth_delay_min"] = departed["truth_delay_min"].astype("int64")
    numbers = dict.fromkeys(SCHEDULE, "float32")
    return departed[[*ASKED, *CATEGORIES, *SCHEDULE, "truth_delay_min"]].astype(numbers)


def roadworthy(*words: str | Path) -> dict[str, Any]:
    """Run the command line in this project and return what it prints."""
    line = [sys.executable, "-m", "roadworthy", *map(str, words), "--project", FOLDER, "--json"]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"roadworthy {' '.join(map(str, words[:2]))} failed: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def load() -> tuple[pd.DataFrame, list[str], dict[str, Any]]:
    """Return the flights with their features, the numbers among these, and the snapshot."""
    applied = roadworthy("features", "apply")
    with tempfile.TemporaryDirectory() as folder:
        asked, joined = Path(folder) / "spine.parquet", Path(folder) / "joined.parquet"
        flights = spine()
        flights.to_parquet(asked, index=False)
        files = ("--spine", asked, "--out", joined, "--time", "asked_at", "--save")
        made = roadworthy("features", "history", *VIEWS, *files)
        found = pd.read_parquet(joined)
    assert len(found) == len(flights), "no row of a spine is lost"
    given = [
        f for v in applied["views"] if v["view"].partition("@")[0] in VIEWS for f in v["features"]
    ]
    numbers = [*SCHEDULE, *given]
    return found.astype(dict.fromkeys(numbers, "float32")), numbers, made["snapshot"]


def of_months(flights: pd.DataFrame, months: tuple[int, ...]) -> pd.DataFrame:
    """Return the flights of these months."""
    month = flights["date"].str[5:7].astype(int)
    return flights[month.isin(months)].reset_index(drop=True)


def of_schedule(
    learned: pd.DataFrame, measured: pd.DataFrame, numbers: list[str]
) -> tuple[int, float]:
    """Return how many numbers these are, and the AUC of them alone."""
    pipeline = fit(learned, numbers)
    probability: NDArray[np.float64] = pipeline.predict_proba(measured)[:, 1]
    return len(numbers), float(roc_auc_score(late(measured), probability))


def main() -> None:
    """Join, train, compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to")
    out: Path = parser.parse_args().out
    console = Console()
    with console.status("joining features as they were known"):
        flights, numbers, snapshot = load()
    learned, measured = of_months(flights, LEARN_MONTHS), of_months(flights, MEASURE_MONTHS)
    console.print(f"snapshot {snapshot['id']}: {len(flights):,} flights, {len(numbers)} numbers")
    with console.status(f"training on {len(learned):,} flights"):
        pipeline = fit(learned, numbers)
        about = describe(learned, snapshot["row_hash"])
        about |= {
            "columns": [*CATEGORIES, *numbers],
            "snapshot": snapshot["id"],
            "views": list(VIEWS),
        }
        model = convert(pipeline, about, numbers)
    session = open_session(model)
    cases = hard_cases(measured, numbers)
    worst = check_equality(pipeline, session, cases, numbers)
    console.print(f"ONNX = scikit-learn on {len(cases):,} rows; largest difference {worst:.1e}")
    probability = predict(session, measured, numbers)
    whole, calibration = measure(late(measured), probability), deciles(late(measured), probability)
    months = list(measure_months(measured, probability))
    show(console, [*months, ("all", whole)], calibration)
    count, schedule = of_schedule(learned, measured, list(SCHEDULE))
    console.print(f"AUC {whole.auc:.4f}; of the schedule's {count} numbers alone {schedule:.4f}")
    if whole.auc < LEAST_AUC:
        sys.exit(f"expected an AUC of at least {LEAST_AUC}, got {whole.auc:.4f}; nothing written")
    card = {
        "service": "flight-delay",
        **about,
        "parameters": PARAMETERS,
        "compared_rows": len(cases),
        "measured": rounded(whole),
        "measured_by_month": {name: rounded(m) for name, m in months},
        "calibration_by_decile": [rounded(d) for d in calibration],
    }
    write(model, card, out)
    console.print(f"wrote {out / 'model.onnx'} and model_card.json")


if __name__ == "__main__":
    main()
