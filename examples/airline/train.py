"""Train `flight-delay` on January to March, measure it on July to December: `python train.py`.

Other months (`--months 1-5`) or fewer views (`--views weather_now@1`) make candidates, written
elsewhere (`--out`): `ship.py` lets them meet what serves.

The spine is every flight that left, with its entities and the moment of asking. To it `roadworthy
features history` joins the views of the service as they were known then: the weather, and how late
the airport, the carrier, the route and the plane had been. What the model learns from is saved as a
snapshot, whose id goes into `training.json` and so into each release.

Writes `model.onnx`, `model_card.json` and `training.json` into `services/flight-delay`, and cases
of July and August into its `suites`. The same data and the same packages give the same bytes. It
fails, and writes nothing, when the ONNX file answers differently from scikit-learn or the model is
worse than `LEAST_AUC`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
from flights import CATEGORIES, FOLDER, INPUT, LABEL, LATE_AFTER_MIN, NUMBERS, SERVICE, month_file
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
from suite import SUITE, write_suite
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

LEARN_MONTHS = (1, 2, 3)
MEASURE_MONTHS = (7, 8, 9, 10, 11, 12)
LEAST_AUC = 0.745
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

KEPT_OF_SNAPSHOT = ("id", "spine", "time", "views", "contracts", "rows", "row_hash")
WEATHER_VIEW = "weather_now"

Floats = NDArray[np.float64]


class Flights(NamedTuple):
    """Flights that left, each with what the views said when it was asked about.

    Attributes:
        rows: The flights: what a request brings, the features, and the truth.
        features: View → its features; all of them are numbers.
        snapshot: What the rows were made of.
    """

    rows: pd.DataFrame
    features: dict[str, list[str]]
    snapshot: dict[str, Any]

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers that the model is given: those of the request, and the features."""
        return (*NUMBERS, *(name for names in self.features.values() for name in names))


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


def load(
    months: Sequence[int],
    project: Path = FOLDER,
    *,
    save: bool = False,
    views: Sequence[str] = (),
) -> Flights:
    """Return the flights of these months with the features that were known of them.

    Without `views` they are those of the service.

    Raises:
        SystemExit: They were not prepared yet, or the features cannot be had.
    """
    views = views or views_of(project)
    applied = roadworthy(project, "features", "apply")["views"]
    given = {each["view"]: each["features"] for each in applied}
    with tempfile.TemporaryDirectory() as folder:
        asked, joined = Path(folder) / "spine.parquet", Path(folder) / "joined.parquet"
        spine(months, project / "data").to_parquet(asked, index=False)
        files = ("--spine", asked, "--out", joined, "--time", "asked_at")
        words = ("features", "history", *views, *files, *(("--save",) if save else ()))
        snapshot = roadworthy(project, *words)["snapshot"]
        rows = pd.read_parquet(joined)
    found = Flights(rows, {view: given[view] for view in views}, snapshot)
    kinds = dict.fromkeys(found.numbers, "float32")
    return found._replace(rows=rows.astype(kinds))


def views_of(project: Path) -> list[str]:
    """Return the views that the service names; its model need not be there yet."""
    text = (project / "services" / SERVICE.name / "service.toml").read_text(encoding="utf-8")
    views: list[str] = tomllib.loads(text)["features"]["views"]
    return views


def spine(months: Sequence[int], data: Path) -> pd.DataFrame:
    """Return the flights of these months that left; a cancelled one has no label.

    Raises:
        SystemExit: They were not prepared yet.
    """
    missing = [month for month in months if not month_file(month, data).is_file()]
    if missing:
        sys.exit(f"expected prepared flights of month {missing[0]}, got none: run prepare.py first")
    kinds = dict.fromkeys((*CATEGORIES, "tailnum"), "object") | dict.fromkeys(NUMBERS, "float32")
    frames = [
        pd.read_csv(month_file(month, data), dtype=kinds, keep_default_na=False, na_values=[""])
        for month in months
    ]
    flights = pd.concat(frames, ignore_index=True)
    left = flights[flights["truth_status"] == "departed"].reset_index(drop=True)
    asked_at = pd.to_datetime(left["asked_at"], utc=True).astype("datetime64[us, UTC]")
    is_late = left["truth_delay_min"].astype("int64") > LATE_AFTER_MIN
    left = left.assign(asked_at=asked_at, is_late=is_late)
    return left[["asked_at", "date", "flight", *INPUT, LABEL]]


def roadworthy(project: Path, *words: str | Path) -> dict[str, Any]:
    """Run the command line in a project and return what it prints.

    Raises:
        SystemExit: It failed.
    """
    line = [sys.executable, "-P", "-m", "roadworthy", *map(str, words), "--json"]
    line += ["--project", str(project)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"roadworthy {' '.join(map(str, words[:2]))} failed: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def late(flights: pd.DataFrame) -> NDArray[np.int64]:
    """Return the label of each flight: (n,) int64, 1 where it left too late."""
    return flights[LABEL].to_numpy(np.int64)


def fit(flights: pd.DataFrame, numbers: Sequence[str]) -> Pipeline:
    """Train on these flights, with these numbers beside the categories.

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


def convert(pipeline: Pipeline, metadata: dict[str, Any], numbers: Sequence[str]) -> bytes:
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


def as_tensors(flights: pd.DataFrame, numbers: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the model's inputs: one (n, 1) tensor per feature."""
    tensors: dict[str, NDArray[Any]] = {n: flights[[n]].to_numpy(object) for n in CATEGORIES}
    return tensors | {name: flights[[name]].to_numpy(np.float32) for name in numbers}


def predict(
    session: onnxruntime.InferenceSession,
    flights: pd.DataFrame,
    numbers: Sequence[str],
) -> Floats:
    """Return the probability to be late that the ONNX model gives: (n,) float64."""
    (probabilities,) = session.run(["probabilities"], as_tensors(flights, numbers))
    return np.asarray(probabilities[:, 1], np.float64)


def hard_cases(flights: pd.DataFrame, numbers: Sequence[str]) -> pd.DataFrame:
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
    numbers: Sequence[str],
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


def row_us(
    session: onnxruntime.InferenceSession, flights: pd.DataFrame, numbers: Sequence[str]
) -> float:
    """Return the microseconds that one row takes: the median of 2,000."""
    row = as_tensors(flights.iloc[[0]], numbers)
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


def describe(learned: Flights) -> dict[str, Any]:
    """Return what the model is, for its metadata and its card."""
    days = learned.rows["date"]
    return {
        "label": f"left more than {LATE_AFTER_MIN} minutes after its schedule",
        "columns": [*CATEGORIES, *learned.numbers],
        "classes": [False, True],
        "learned_from": days.min(),
        "learned_until": days.max(),
        "learned_flights": len(days),
        "snapshot": learned.snapshot["id"],
        "views": list(learned.features),
        "scikit_learn": version("scikit-learn"),
        "skl2onnx": version("skl2onnx"),
    }


def worth(learned: Flights, measured: Flights, whole: float) -> dict[str, float]:
    """Return the AUC with less than everything, and with everything."""
    weather = [
        name
        for view, names in learned.features.items()
        if view.partition("@")[0] == WEATHER_VIEW
        for name in names
    ]
    found = {}
    for said, numbers in (("schedule", NUMBERS), ("schedule and weather", (*NUMBERS, *weather))):
        probability = fit(learned.rows, numbers).predict_proba(measured.rows)[:, 1]
        found[said] = round(float(roc_auc_score(late(measured.rows), probability)), 4)
    return found | {"schedule, weather and history": round(whole, 4)}


def write(model: bytes, card: dict[str, Any], snapshot: dict[str, Any], folder: Path) -> None:
    """Write the model, its card, and what it learned from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    training = {"snapshot": {name: snapshot[name] for name in KEPT_OF_SNAPSHOT}}
    for name, value in (("model_card.json", card), ("training.json", training)):
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def train(learned: Flights, console: Console) -> tuple[Pipeline, bytes]:
    """Return the trained pipeline, and the same as ONNX."""
    with console.status(f"training on {len(learned.rows):,} flights"):
        pipeline = fit(learned.rows, learned.numbers)
        return pipeline, convert(pipeline, describe(learned), learned.numbers)


def parse_months(text: str) -> tuple[int, ...]:
    """Parse `1-5`, months from the first to the last."""
    first, _, last = text.partition("-")
    if first.isdecimal() and (last or first).isdecimal():
        months = tuple(range(int(first), int(last or first) + 1))
        if months and months[0] >= 1 and months[-1] < MEASURE_MONTHS[0]:
            return months
    most = MEASURE_MONTHS[0] - 1
    raise argparse.ArgumentTypeError(f"expected months like 1-3, none after {most}, got `{text}`")


def main() -> None:
    """Join, train, compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--project", type=Path, default=FOLDER, help="folder of the project")
    parser.add_argument("--months", type=parse_months, default=LEARN_MONTHS, help="like 1-5")
    parser.add_argument("--views", nargs="*", default=[], help="fewer views than the service has")
    parser.add_argument("--out", type=Path, help="where a candidate is written")
    options = parser.parse_args()
    project: Path = options.project
    out, console = options.out or project / "services" / SERVICE.name, Console(highlight=False)
    with console.status("joining features as they were known"):
        learned = load(options.months, project, save=True, views=options.views)
        measured = load(MEASURE_MONTHS, project, views=options.views)
    said = f"{len(learned.rows):,} flights, each with {len(learned.numbers)} numbers"
    console.print(f"snapshot {learned.snapshot['id']} is saved: {said}")
    pipeline, model = train(learned, console)
    session, numbers = open_session(model), learned.numbers
    cases = hard_cases(measured.rows, numbers)
    worst = check_equality(pipeline, session, cases, numbers)
    console.print(f"ONNX = scikit-learn on {len(cases):,} rows; largest difference {worst:.1e}")
    probability, truth = predict(session, measured.rows, numbers), late(measured.rows)
    whole, calibration = measure(truth, probability), deciles(truth, probability)
    months = list(measure_months(measured.rows, probability))
    show(console, [*months, ("all", whole)], calibration)
    aucs = {"all it has": round(whole.auc, 4)}
    if options.out is None:
        aucs = worth(learned, measured, whole.auc)
        if whole.auc < LEAST_AUC:
            sys.exit(f"expected an AUC of {LEAST_AUC} at least, got {whole.auc:.4f}; not written")
        count = write_suite(measured, out)
        console.print(f"{count:,} flights of July and August are the cases of {SUITE}")
    for name, auc in aucs.items():
        console.print(f"AUC {auc:.3f} with {name}")
    card = {
        "service": SERVICE.name,
        **describe(learned),
        "parameters": PARAMETERS,
        "compared_rows": len(cases),
        "measured": rounded(whole),
        "auc": aucs,
        "measured_by_month": {name: rounded(m) for name, m in months},
        "calibration_by_decile": [rounded(d) for d in calibration],
    }
    write(model, card, learned.snapshot, out)
    size = f"{len(model) / 1000:.0f} kB, {row_us(session, measured.rows, numbers):.0f} us a row"
    console.print(f"wrote model.onnx ({size}), model_card.json and training.json into {out}")


if __name__ == "__main__":
    main()
