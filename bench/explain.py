"""What an explanation takes and how far it is off, for the 34 features of the example's model.

    python bench/explain.py

Each of some flights is explained within budgets of predicted rows. How far contributions are off
is measured against an explanation that compares with 1,000 flights and takes 150,000 predictions.
Needs `make demo` once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from airline import MODEL, SERVICE, Row, flights, is_prepared

from roadworthy.models.onnx import open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.signals.attribution import Predict, explain, pick_background

EXPLAINED, TRUTH_BACKGROUND, TRUTH_BUDGET = 24, 1000, 150_000
BUDGETS = (1024, 2048, 4096, 8192)


def measure(predict: Predict, rows: Sequence[Row], pool: Sequence[Row], budget: int) -> Any:
    """Return what explaining costs within a budget, and each row's contributions."""
    features = len(rows[0])
    background = pick_background(predict, pool, budget // (2 * features))
    spent, found = [], []
    for row in rows:
        # CPU time: the machine is shared, and the model runs in this one thread.
        started = time.process_time()
        found.append(explain(predict, row, background, budget=budget))
        spent.append(time.process_time() - started)
    return float(np.median(spent)) * 1000, found


def off_references(predict: Predict, pool: Sequence[Row]) -> Iterator[tuple[str, float]]:
    """Yield how far the mean of 30 rows is from that of all: picked ones, and random ones."""
    values = predict(pool)
    picked = predict(pick_background(predict, pool, 30)).mean()
    yield "picked", round(abs(float(picked - values.mean())) * 100, 2)
    rng = np.random.default_rng(0)
    means = [rng.choice(values, 30, replace=False).mean() for _ in range(1000)]
    yield "random", round(float(np.sqrt(np.mean((np.array(means) - values.mean()) ** 2))) * 100, 2)


def main() -> None:
    """Measure and print one JSON line."""
    if not is_prepared():
        raise SystemExit("expected the prepared example, got none: run `make demo` once")
    model = open_model(ModelSpec(name="trees", upstream=MODEL.name, folder=SERVICE))

    def predict(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
        return np.array([output["probability"] for output in model.predict_rows(rows)])

    rows = flights((1, 2, 3), EXPLAINED + 2000)
    explained, pool = rows[:EXPLAINED], rows[EXPLAINED:]
    wide = pick_background(predict, pool, TRUTH_BACKGROUND)
    truth = [dict(explain(predict, row, wide, budget=TRUTH_BUDGET).parts) for row in explained]
    figures = {}
    for budget in BUDGETS:
        ms, found = measure(predict, explained, pool, budget)
        off = np.array(
            [
                [abs(value - right[name]) for name, value in each.parts]
                for each, right in zip(found, truth, strict=True)
            ]
        )
        figures[str(budget)] = {
            "cpu_ms": round(ms, 1),
            "background_rows": found[0].background_rows,
            "mean_off_points": round(float(off.mean()) * 100, 2),
            "p99_off_points": round(float(np.quantile(off, 0.99)) * 100, 2),
            "same_largest": np.mean(
                [
                    each.parts[0].feature == max(right, key=lambda name: abs(right[name]))
                    for each, right in zip(found, truth, strict=True)
                ]
            ).round(2),
        }
    references = {f"reference_of_30_{k}_off_points": v for k, v in off_references(predict, pool)}
    print(
        json.dumps({"bench": "explain", "features": len(rows[0]), "budgets": figures, **references})
    )


if __name__ == "__main__":
    main()
