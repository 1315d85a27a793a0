"""How well what a release is not for is told apart, by embeddings and by features.

    python bench/scope.py

Texts, from the folder that `ROADWORTHY_DATA` names. clinc150: the 15,000 training texts of its 150
intents are the reference; 3,000 others of these intents and 200 texts of none are scored. Nothing
is fitted on the 200, but that means are used and not neighbours was chosen by them. So banking77
checks it, by which nothing was chosen: 17 of its 77 intents are left out, and are harder to tell
apart, for they too are what customers ask a bank. Beside each the usual baseline on the same
embeddings: one minus the highest probability of a logistic regression.

Rows: flights of January to March, as the model of the example is given them; what is scored are
others of these months, the same ones with one thing wrong, and later months. They need `make demo`
once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from airline import Row, flights, is_prepared
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from risk import embedded
from roadworthy.signals.scope import RowScope, TextScope, fit_rows, fit_texts, to_bytes

DRAWS, TIMED = 2000, 2000
REFERENCE_ROWS, SCORED_ROWS = 4000, 2000
Floats = npt.NDArray[np.float64]
Figures = dict[str, Any]


def auroc(inside: Floats, outside: Floats) -> float:
    """Return the chance that a random input from outside scores higher than one from inside."""
    is_outside = np.r_[np.zeros(len(inside)), np.ones(len(outside))]
    return float(roc_auc_score(is_outside, np.r_[inside, outside]))


def with_intervals(ours: tuple[Floats, Floats], baseline: tuple[Floats, Floats]) -> Figures:
    """Return both AUROCs and their difference with intervals of 95 %, over paired resamples."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        inside, outside = (rng.integers(0, len(side), len(side)) for side in ours)
        drawn.append(
            [auroc(side[0][inside], side[1][outside]) for side in (ours, baseline)],
        )
    each = np.array(drawn)
    ends = np.quantile(np.c_[each, each[:, 0] - each[:, 1]], (0.025, 0.975), axis=0).T
    names = ("auroc", "baseline_auroc", "difference")
    values = (auroc(*ours), auroc(*baseline), auroc(*ours) - auroc(*baseline))
    figures: Figures = {}
    for name, value, (low, high) in zip(names, values, ends.tolist(), strict=True):
        figures |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return figures


def microseconds(score: Callable[[Any], float], inputs: Sequence[Any]) -> float:
    """Return what one score takes, the median of all inputs."""
    spent = []
    for one in inputs[:TIMED]:
        started = time.perf_counter()
        score(one)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent)) * 1e6


def of_texts(learned: Any, intents: Any, inside: Any, outside: Any) -> Figures:
    """Return how well vectors from outside are told from those of the intents."""
    started = time.perf_counter()
    reference = fit_texts(learned, "all-minilm-l6-v2-int8")
    fit_s = time.perf_counter() - started
    scope = TextScope(reference)
    ours = [np.array([scope.score(one) for one in side]) for side in (inside, outside)]
    model = LogisticRegression(C=20, max_iter=2000).fit(learned, intents)
    baseline = [1 - model.predict_proba(side).max(axis=1) for side in (inside, outside)]
    tenth = [-np.partition(side @ learned.T, -10, axis=1)[:, -10] for side in (inside, outside)]
    return {
        **with_intervals((ours[0], ours[1]), (baseline[0], baseline[1])),
        "tenth_nearest_auroc": auroc(tenth[0], tenth[1]),
        "above_1_inside": float((ours[0] > 1).mean()),
        "above_1_outside": float((ours[1] > 1).mean()),
        "score_us": microseconds(scope.score, inside),
        "fit_s": fit_s,
        "reference_kb": len(to_bytes(reference)) / 1000,
    }


def clinc150(folder: Path) -> Figures:
    """Return how well 200 texts of no intent are told from those of 150 intents."""
    table = pq.read_table(folder / "clinc150.parquet")
    vectors = embedded("clinc150", table["text"].to_pylist()).astype(np.float32)
    parts, intents = (np.array(table[name].to_pylist()) for name in ("part", "intent"))
    is_learned = parts == "train"
    inside, outside = vectors[parts == "val"], vectors[np.char.startswith(parts, "oos")]
    return of_texts(vectors[is_learned], intents[is_learned], inside, outside)


def banking77(folder: Path) -> Figures:
    """Return how well texts of 17 intents are told from those of 60 others."""
    table = pq.read_table(folder / "banking77.parquet")
    vectors = embedded("banking77", table["text"].to_pylist()).astype(np.float32)
    intents = np.array(table["intent"].to_pylist())
    rng = np.random.default_rng(0)
    left_out = rng.permutation(np.unique(intents))[:17]
    is_outside = np.isin(intents, left_out)
    known = rng.permutation(np.flatnonzero(~is_outside))
    learned, inside = known[:6000], known[6000:]
    return of_texts(vectors[learned], intents[learned], vectors[inside], vectors[is_outside])


def changed(**values: Any) -> Callable[[Row, Row], Row]:
    """Return what replaces fields of a row, by values or functions of the row."""
    return lambda row, other: (
        row | {name: value(row) if callable(value) else value for name, value in values.items()}
    )


def exchanged(*starts: str) -> Callable[[Row, Row], Row]:
    """Return what takes the fields that begin so from another row."""
    return lambda row, other: row | {n: v for n, v in other.items() if n.startswith(starts)}


WEATHER = ("temp", "dewpoint", "humidity", "wind", "gust", "precip", "pressure", "visibility")
WRONG: dict[str, Callable[[Row, Row], Row]] = {
    "a carrier never seen": changed(carrier="ZZ"),
    "a negative distance": changed(distance_miles=lambda row: -row["distance_miles"]),
    "minute 3000 of a day": changed(scheduled_minute=3000.0),
    "900 degrees": changed(temp_f=900.0),
    "Celsius for Fahrenheit": changed(temp_f=lambda row: (row["temp_f"] - 32) / 1.8),
    "a dew point above the temperature": changed(dewpoint_f=lambda row: row["temp_f"] + 25),
    "shares as per cent": lambda row, other: (
        row | {n: v * 100 for n, v in row.items() if n.endswith("_share") and v is not None}
    ),
    "no weather": lambda row, other: row | {n: None for n in row if n.startswith(WEATHER)},
    "nothing known": lambda row, other: dict.fromkeys(row),
    "each view of another flight": exchanged("route_", "carrier_", "origin_", "plane_"),
    "the plane of another flight": exchanged("plane_", "seats", "manufacturer"),
    "the weather of another flight": exchanged(*WEATHER),
}


def of_flights() -> Figures:
    """Return how well flights with something wrong are told from flights as they are."""
    rows = flights((1, 2, 3), REFERENCE_ROWS + 2 * SCORED_ROWS)
    learned, rest = rows[:REFERENCE_ROWS], rows[REFERENCE_ROWS:]
    usual, others = rest[:SCORED_ROWS], rest[SCORED_ROWS:]
    started = time.perf_counter()
    reference = fit_rows(learned)
    fit_s = time.perf_counter() - started
    scope = RowScope(reference)
    inside = np.array([scope.score(row) for row in usual])
    wrong: Figures = {}
    for name, change in WRONG.items():
        pairs = [pair for pair in zip(usual, others, strict=True) if pair[0]["temp_f"] is not None]
        scores = np.array([scope.score(change(*pair)) for pair in pairs])
        wrong[name] = {"auroc": auroc(inside, scores), "above_1": float((scores > 1).mean())}
    later = {
        str(month): float(np.mean([scope.score(row) > 1 for row in flights((month,), SCORED_ROWS)]))
        for month in (4, 7, 10)
    }
    return {
        "above_1_inside": float((inside > 1).mean()),
        "wrong": wrong,
        "above_1_in_month": later,
        "score_us": microseconds(scope.score, usual),
        "fit_s": fit_s,
        "reference_kb": len(to_bytes(reference)) / 1000,
    }


def rounded(value: Any) -> Any:
    """Return figures with four digits behind the point."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, 4)


def main() -> None:
    """Measure and print one JSON line."""
    folder = Path(os.environ.get("ROADWORTHY_DATA", "../shared/data"))
    figures: Figures = {}
    if (folder / "clinc150.parquet").exists():
        figures |= {"clinc150": clinc150(folder), "banking77": banking77(folder)}
    else:
        print(f"no real texts in {folder}: name their folder in ROADWORTHY_DATA", file=sys.stderr)
    if is_prepared():
        figures["flights"] = of_flights()
    else:
        print("no prepared flights: run `make demo` once", file=sys.stderr)
    print(json.dumps({"bench": "scope", **rounded(figures)}))


if __name__ == "__main__":
    main()
