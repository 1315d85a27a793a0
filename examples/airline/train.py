"""Train `flight-delay` on January to March, measure it on July to December: `python train.py`.

Writes `services/flight-delay/model.onnx` and `model_card.json`. The same data and the same packages
give the same bytes. It fails, and writes nothing, when the ONNX file answers differently from
scikit-learn or the model is worse than `LEAST_AUC`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
from flights import CATEGORIES, DATA, FEATURES, LATE_AFTER_MIN, NUMBERS, SERVICE, month_file
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

LEARN_MONTHS = (1, 2, 3)
MEASURE_MONTHS = (7, 8, 9, 10, 11, 12)
LEAST_AUC = 0.70
MOST_DIFFERENCE = 1e-5
LEAST_ROWS_COMPARED = 20_000

PARAMETERS: dict[str, Any] = {
    "max_iter": 200,
    "learning_rate": 0.06,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 400,
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "early_stopping": False,
    "random_state": 0,
}
"""Chosen by five-fold cross-validation on January to March, each fold whole blocks of six days.

The month is no feature: of the first three, a tree can learn nothing about the other nine.
"""

Floats = NDArray[np.float64]


class Measured(NamedTuple):
    """How good probabilities are against what happened.

    Attributes:
        base_rate: Share of flights that were late.
    """

    flights: int
    base_rate: float
    auc: float
    log_loss: float
    brier: float


class Decile(NamedTuple):
    """A tenth of the flights, by predicted probability: what was said, and what happened."""

    flights: int
    predicted: float
    observed: float


def load(months: Sequence[int], data: Path = DATA) -> pd.DataFrame:
    """Return the flights of these months that departed; a cancelled one has no label.

    Raises:
        SystemExit: They were not prepared yet.
    """
    missing = [month for month in months if not month_file(month, data).is_file()]
    if missing:
        sys.exit(f"expected prepared flights of month {missing[0]}, got none: run prepare.py first")
    kinds = dict.fromkeys(CATEGORIES, "object") | dict.fromkeys(NUMBERS, "float32")
    frames = [
        pd.read_csv(month_file(month, data), dtype=kinds, keep_default_na=False, na_values=[""])
        for month in months
    ]
    flights = pd.concat(frames, ignore_index=True)
    return flights[flights["truth_status"] == "departed"].reset_index(drop=True)


def late(flights: pd.DataFrame) -> NDArray[np.int64]:
    """Return the label of each flight: (n,) int64, 1 where it left too late."""
    return (flights["truth_delay_min"].to_numpy(np.float64) > LATE_AFTER_MIN).astype(np.int64)


def data_hash(months: Sequence[int], data: Path = DATA) -> str:
    """Return the sha256 of the prepared lines of these months."""
    digest = hashlib.sha256()
    for month in months:
        digest.update(gzip.decompress(month_file(month, data).read_bytes()))
    return digest.hexdigest()


def fit(flights: pd.DataFrame, numbers: Sequence[str] = NUMBERS) -> Pipeline:
    """Train on these flights.

    `HistGradientBoostingClassifier(categorical_features=…)` would convert to a model that answers
    something else; codes made by an encoder before it convert exactly.
    """
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("categories", encoder, list(CATEGORIES)), ("numbers", "passthrough", list(numbers))]
    )
    trees = HistGradientBoostingClassifier(**PARAMETERS)
    pipeline = Pipeline([("columns", columns), ("trees", trees)])
    with threadpool_limits(1):  # sums of floats depend on how many threads share them
        return pipeline.fit(flights, late(flights))


def convert(
    pipeline: Pipeline, metadata: dict[str, Any], numbers: Sequence[str] = NUMBERS
) -> bytes:
    """Return the pipeline as ONNX with one named, typed input per feature."""
    inputs: list[tuple[str, Any]] = [(name, StringTensorType([None, 1])) for name in CATEGORIES]
    inputs += [(name, FloatTensorType([None, 1])) for name in numbers]
    model = to_onnx(pipeline, initial_types=inputs, options={"zipmap": False}, name="flight-delay")
    model.opset_import.sort(key=lambda opset: str(opset.domain))  # else in the order of a set
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    return bytes(model.SerializeToString())


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Open a converted model on one thread, as the server does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def as_tensors(flights: pd.DataFrame, numbers: Sequence[str] = NUMBERS) -> dict[str, NDArray[Any]]:
    """Return the model's inputs: one (n, 1) tensor per feature."""
    tensors: dict[str, NDArray[Any]] = {n: flights[[n]].to_numpy(object) for n in CATEGORIES}
    return tensors | {name: flights[[name]].to_numpy(np.float32) for name in numbers}


def predict(
    session: onnxruntime.InferenceSession,
    flights: pd.DataFrame,
    numbers: Sequence[str] = NUMBERS,
) -> Floats:
    """Return the probability to be late that the ONNX model gives: (n,) float64."""
    (probabilities,) = session.run(["probabilities"], as_tensors(flights, numbers))
    return np.asarray(probabilities[:, 1], np.float64)


def hard_cases(flights: pd.DataFrame, numbers: Sequence[str] = NUMBERS) -> pd.DataFrame:
    """Return at least 20,000 real rows, and some with categories or numbers that nobody knows."""
    every = max(1, len(flights) // (LEAST_ROWS_COMPARED + 1))
    real = flights.iloc[::every]
    strange = real.iloc[:2000].copy()
    for row, name in enumerate(CATEGORIES):
        strange.loc[strange.index[row :: len(CATEGORIES)], name] = "??"
    empty = real.iloc[-2000:].copy()
    empty[list(numbers)] = np.float32("nan")
    return pd.concat([real, strange, empty], ignore_index=True)


def check_equality(
    pipeline: Pipeline,
    session: onnxruntime.InferenceSession,
    flights: pd.DataFrame,
    numbers: Sequence[str] = NUMBERS,
) -> float:
    """Return the largest difference between scikit-learn and ONNX on these rows.

    Raises:
        SystemExit: It is above `MOST_DIFFERENCE`, so the file must not be served.
    """
    expected = pipeline.predict_proba(flights)[:, 1]
    difference = np.abs(predict(session, flights, numbers) - expected)
    first = flights.iloc[:200]
    alone = np.concatenate([predict(session, first.iloc[[i]], numbers) for i in range(len(first))])
    worst = max(float(difference.max()), float(np.abs(alone - expected[: len(first)]).max()))
    if not worst <= MOST_DIFFERENCE:
        sys.exit(
            f"expected ONNX to differ from scikit-learn by at most {MOST_DIFFERENCE}, got"
            f" {worst:.3g} on row {int(difference.argmax())}; the model was not written"
        )
    return worst


def measure(is_late: NDArray[np.int64], probability: Floats) -> Measured:
    """Measure probabilities against what happened."""
    return Measured(
        flights=len(is_late),
        base_rate=float(is_late.mean()),
        auc=float(roc_auc_score(is_late, probability)),
        log_loss=float(log_loss(is_late, probability)),
        brier=float(brier_score_loss(is_late, probability)),
    )


def measure_months(flights: pd.DataFrame, probability: Floats) -> Iterator[tuple[str, Measured]]:
    """Yield each month with its measures."""
    month, is_late = flights["date"].str[:7], late(flights)
    for name in sorted(month.unique()):
        chosen = (month == name).to_numpy()
        yield name, measure(is_late[chosen], probability[chosen])


def deciles(is_late: NDArray[np.int64], probability: Floats) -> list[Decile]:
    """Return ten groups from the least to the most likely to be late."""
    groups = np.array_split(np.argsort(probability, kind="stable"), 10)
    return [Decile(len(g), float(probability[g].mean()), float(is_late[g].mean())) for g in groups]


def row_us(session: onnxruntime.InferenceSession, flights: pd.DataFrame) -> float:
    """Return the microseconds that one row takes: the median of 2,000."""
    row = as_tensors(flights.iloc[[0]])
    spent = []
    for _ in range(2000):
        started = time.perf_counter()
        session.run(["probabilities", "label"], row)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent)) * 1e6


def show(
    console: Console, months: Sequence[tuple[str, Measured]], calibration: Sequence[Decile]
) -> None:
    """Print the measures by month and the calibration by decile."""
    table = Table("month", "flights", "late", "AUC", "log-loss", "Brier", title="by month")
    for name, m in months:
        figures = (f"{m.base_rate:.3f}", f"{m.auc:.3f}", f"{m.log_loss:.4f}", f"{m.brier:.4f}")
        table.add_row(name, f"{m.flights:,}", *figures)
    console.print(table)
    table = Table("decile", "flights", "predicted", "observed", title="calibration")
    for number, d in enumerate(calibration, 1):
        table.add_row(str(number), f"{d.flights:,}", f"{d.predicted:.3f}", f"{d.observed:.3f}")
    console.print(table)


def rounded(values: Any) -> Any:
    """Return named values as a JSON object with four decimals."""
    fields = values._asdict().items()
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in fields}


def describe(learned: pd.DataFrame, digest: str) -> dict[str, Any]:
    """Return what the model is, for its metadata and its card."""
    return {
        "label": f"left more than {LATE_AFTER_MIN} minutes after its schedule",
        "columns": list(FEATURES),
        "classes": [False, True],
        "learned_from": learned["date"].min(),
        "learned_until": learned["date"].max(),
        "learned_flights": len(learned),
        "data_sha256": digest,
        "scikit_learn": version("scikit-learn"),
        "skl2onnx": version("skl2onnx"),
    }


def write(model: bytes, card: dict[str, Any], folder: Path) -> None:
    """Write the model and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (folder / "model_card.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Train, compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of prepared flights")
    parser.add_argument("--out", type=Path, default=SERVICE, help="folder to write to")
    options = parser.parse_args()
    console = Console()
    with console.status("reading January to March"):
        learned = load(LEARN_MONTHS, options.data)
        about = describe(learned, data_hash(LEARN_MONTHS, options.data))
    with console.status(f"training on {len(learned):,} flights"):
        pipeline = fit(learned)
        model = convert(pipeline, about)
    session = open_session(model)
    with console.status("comparing ONNX with scikit-learn"):
        measured = load(MEASURE_MONTHS, options.data)
        cases = hard_cases(measured)
        worst = check_equality(pipeline, session, cases)
    console.print(f"ONNX = scikit-learn on {len(cases):,} rows; largest difference {worst:.1e}")
    with console.status("measuring July to December"):
        probability = predict(session, measured)
        whole = measure(late(measured), probability)
        months = list(measure_months(measured, probability))
        calibration = deciles(late(measured), probability)
    show(console, [*months, ("all", whole)], calibration)
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
    write(model, card, options.out)
    size = f"{len(model) / 1000:.0f} kB, {row_us(session, measured):.0f} us a row"
    console.print(f"wrote {options.out / 'model.onnx'} ({size}) and model_card.json")


if __name__ == "__main__":
    main()
