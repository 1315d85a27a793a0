"""What can only be said of all cases together: accuracy, F1, AUC, calibration, mean errors.

The case is the unit: repeats of one are averaged before anything is drawn. Intervals are those of
the percentile bootstrap over cases (Efron, 1979), seeded, so that the same answers give the same
figures; where that cannot see any spread, as where all are right, an exact interval stands in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from ..declare.evaluation import ScorerEntry
from ..risk.evidence import Floats, interval
from ..risk.reliability import auroc, reliability
from .report import Metric, Unit
from .runs import CaseRuns
from .scorers.labels import LabelReader, NumberReader, ProbabilityReader, brier, log_loss

DRAWS = 1000
LEAST_DRAWS = 200
_MOST_CELLS = 2_000_000
"""Of a matrix of draws: more are made in several."""
_MOST_WORK = 200_000_000
_LARGEST = 1e100
"""Numbers are cut there, so that their squares are numbers too."""

KINDS = ("label", "probability", "regression")
Family = Callable[[Floats], dict[str, Floats]]
"""Gives metrics from weights of the cases: (draws, n) → name → (draws,)."""


class Confusion(NamedTuple):
    """What was predicted for what.

    Attributes:
        labels: The true and the predicted ones, sorted.
        counts: True label → predicted label → how many cases; `None` is no label. Repeats of a
            case share it.
    """

    labels: tuple[str, ...]
    counts: dict[str, dict[str | None, float]]


def aggregates_of(
    cases: Sequence[CaseRuns],
    entries: Sequence[ScorerEntry] = (),
    *,
    sure: float = 0.95,
    seed: int = 0,
) -> dict[str, Metric]:
    """Return the metrics of a classification or a regression, by name, with their intervals.

    Args:
        cases: What was asked and answered.
        entries: The scorers of the service; of them `label`, `probability` and `regression` count.
            Without any, those of these names that scored the cases.
        sure: Probability (0-1) with which each interval is right.
        seed: Of the resampling.

    Returns:
        `accuracy`, `balanced_accuracy`, `macro_f1`; `auc`, `brier`, `log_loss`, `ece`; `mae`,
        `rmse`, `r2`: those that there is anything for. Of two scorers of one kind, the second's
        bear its name, as `second.accuracy`.
    """
    found: dict[str, Metric] = {}
    for entry in entries or _entries_of(cases):
        if entry.use in KINDS:
            scored = [runs for runs in cases if entry.name in runs.scores]
            for name, metric in _FAMILIES[entry.use](entry, scored, sure, seed).items():
                full = f"{entry.name}.{name}" if name in found else name
                found[full] = replace(metric, name=full)
    return found


def confusion_of(cases: Sequence[CaseRuns], entry: ScorerEntry) -> Confusion:
    """Return what a `label` scorer saw predicted for what."""
    counts: dict[str, dict[str | None, float]] = {}
    reader = LabelReader(entry)
    for runs in cases:
        truth = reader.truth(runs.case)
        answers = [asked for asked in runs.answers if asked is not None]
        if truth is None:
            continue
        row = counts.setdefault(truth, {})
        for asked in answers:
            label = reader.prediction(asked)
            row[label] = row.get(label, 0.0) + 1 / len(answers)
    predicted = {label for row in counts.values() for label in row if label is not None}
    return Confusion(tuple(sorted(predicted | counts.keys())), counts)


def _entries_of(cases: Sequence[CaseRuns]) -> list[ScorerEntry]:
    names = {name for runs in cases for name in runs.scores}
    return [ScorerEntry(use=kind) for kind in KINDS if kind in names]


def _labels(
    entry: ScorerEntry, cases: Sequence[CaseRuns], sure: float, seed: int
) -> dict[str, Metric]:
    confusion_rows = []
    for runs in cases:
        one = confusion_of([runs], entry)
        confusion_rows += [(truth, row) for truth, row in one.counts.items() if row]
    if not confusion_rows:
        return {}
    labels = sorted(
        {truth for truth, _ in confusion_rows}
        | {label for _, row in confusion_rows for label in row if label is not None}
    )
    places = {label: place for place, label in enumerate(labels)}
    shape = (len(confusion_rows), len(labels))
    true, predicted, right = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for number, (truth, row) in enumerate(confusion_rows):
        true[number, places[truth]] = 1
        for label, share in row.items():
            if label is not None:
                predicted[number, places[label]] = share
        right[number, places[truth]] = row.get(truth, 0.0)

    def family(weights: Floats) -> dict[str, Floats]:
        hits, actual, said = weights @ right, weights @ true, weights @ predicted
        return {
            "accuracy": hits.sum(axis=1) / weights.sum(axis=1),
            "balanced_accuracy": _mean_where(hits, actual, actual > 0),
            "macro_f1": _mean_where(2 * hits, actual + said, actual + said > 0),
        }

    rarest = int(true.sum(axis=0)[true.any(axis=0)].min())
    drawn = _drawn(family, len(confusion_rows), len(labels) * 3, sure, seed)
    n = len(confusion_rows)
    most = _most_confused(confusion_rows)
    found = {}
    for name, (value, low, high) in drawn.items():
        seen = n if name == "accuracy" else rarest
        is_exact = name == "accuracy" and set(np.unique(right.sum(axis=1))) <= {0.0, 1.0}
        if is_exact or low == high or math.isnan(low):
            low, high = interval(round(value * seen), seen, sure)
        low, high = min(low, value), max(high, value)
        why = most if name == "accuracy" else ""
        found[name] = _metric(name, "share", (value, low, high), n, why=why)
    return found


def _mean_where(above: Floats, below: Floats, is_there: Any) -> Floats:
    ratios = np.divide(above, below, out=np.zeros_like(above), where=is_there)
    mean: Floats = ratios.sum(axis=1) / np.maximum(is_there.sum(axis=1), 1)
    return mean


def _most_confused(rows: Sequence[tuple[str, Mapping[str | None, float]]]) -> str:
    counts: Counter[tuple[str, str | None]] = Counter()
    totals: Counter[str] = Counter()
    for truth, row in rows:
        totals[truth] += 1
        for label, share in row.items():
            if label != truth:
                counts[truth, label] += share  # type: ignore[assignment]
    if not counts:
        return ""
    (truth, label), count = counts.most_common(1)[0]
    taken = "given no label" if label is None else f"taken for `{label:.40}`"
    return f"most often `{truth:.40}` was {taken}: {count:g} of {totals[truth]}"


def _probabilities(
    entry: ScorerEntry, cases: Sequence[CaseRuns], sure: float, seed: int
) -> dict[str, Metric]:
    reader = ProbabilityReader(entry)
    rows = []
    left_out = 0
    for runs in cases:
        truth = reader.truth(runs.case)
        answers = [asked for asked in runs.answers if asked is not None]
        if truth is None or not answers:
            continue
        found = [each for asked in answers if (each := reader.distribution(asked)) is not None]
        found = [each for each in found if truth in each]
        left_out += not found
        if found:
            rows.append(_Probable.of(found, truth))
    if not rows:
        return {}
    why = f"{left_out} cases without a probability are left out" if left_out else ""
    losses = np.array([(row.brier, row.log_loss) for row in rows])

    def means(weights: Floats) -> dict[str, Floats]:
        both = weights @ losses / weights.sum(axis=1, keepdims=True)
        return {"brier": both[:, 0], "log_loss": both[:, 1]}

    n = len(rows)
    found_metrics = {
        name: _metric(name, "score" if name == "brier" else "number", drawn, n, False, why)
        for name, drawn in _drawn(means, n, 2, sure, seed).items()
    }
    sureness = np.array([row.sureness for row in rows])
    is_so = np.array([row.is_so for row in rows])
    error = tuple(reliability(sureness, is_so, sure=sure, seed=seed).error)
    found_metrics["ece"] = _metric("ece", "score", error, n, False, why)
    if all(row.is_binary for row in rows) and 0 < is_so.sum() < n:
        found_metrics["auc"] = _auc(sureness, is_so, sure, seed, why)
    return found_metrics


class _Probable(NamedTuple):
    """One case: its losses, how sure it was of one class, and whether that is the true one.

    Of two classes that is the second, else the most probable one.
    """

    brier: float
    log_loss: float
    sureness: float
    is_so: bool
    is_binary: bool

    @classmethod
    def of(cls, found: Sequence[dict[str, float]], truth: str) -> _Probable:
        names = list(found[0])
        is_binary = len(names) == 2 and all(list(each) == names for each in found)
        first = found[0]
        watched = names[1] if is_binary else max(first, key=lambda name: first[name])
        return cls(
            brier=_mean([brier(each, truth) for each in found]),
            log_loss=_mean([log_loss(each, truth) for each in found]),
            sureness=min(_mean([each.get(watched, 0.0) for each in found]), 1.0),
            is_so=watched == truth,
            is_binary=is_binary,
        )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _bounded(value: float) -> float:
    return max(min(value, _LARGEST), -_LARGEST)


def _auc(scores: Floats, is_positive: Any, sure: float, seed: int, why: str) -> Metric:
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
    positive = is_positive[order].astype(float)

    def family(weights: Floats) -> dict[str, Floats]:
        ordered = weights[:, order]
        ups = np.add.reduceat(ordered * positive, starts, axis=1)
        downs = np.add.reduceat(ordered * (1 - positive), starts, axis=1)
        below = np.cumsum(downs, axis=1) - downs / 2
        pairs = ups.sum(axis=1) * downs.sum(axis=1)
        area = (ups * below).sum(axis=1)
        return {"auc": np.divide(area, pairs, out=np.full_like(area, np.nan), where=pairs > 0)}

    value, low, high = _drawn(family, len(scores), 3, sure, seed)["auc"]
    if low == high:
        _, low, high = auroc(scores, is_positive, sure=sure)
    return _metric("auc", "score", (value, min(low, value), max(high, value)), len(scores), why=why)


def _numbers(
    entry: ScorerEntry, cases: Sequence[CaseRuns], sure: float, seed: int
) -> dict[str, Metric]:
    reader = NumberReader(entry)
    rows = []
    left_out = 0
    for runs in cases:
        truth = reader.truth(runs.case)
        answers = [asked for asked in runs.answers if asked is not None]
        if truth is None or not answers:
            continue
        found = [each for asked in answers if (each := reader.prediction(asked)) is not None]
        left_out += not found
        if found:
            off = [_bounded(abs(each - truth)) for each in found]
            rows.append((_bounded(truth), _mean(off), _mean([each**2 for each in off])))
    if not rows:
        return {}
    truths, absolute, squared = np.array(rows).T

    def family(weights: Floats) -> dict[str, Floats]:
        total = weights.sum(axis=1)
        mean = weights @ truths / total
        spread = weights @ truths**2 / total - mean**2
        error = weights @ squared / total
        missed = np.divide(error, spread, out=np.full_like(error, np.nan), where=spread > 0)
        return {"mae": weights @ absolute / total, "rmse": np.sqrt(error), "r2": 1 - missed}

    why = f"{left_out} cases without a number are left out" if left_out else ""
    return {
        name: _metric(name, "number", drawn, len(rows), name == "r2", why)
        for name, drawn in _drawn(family, len(rows), 3, sure, seed).items()
        if not math.isnan(drawn[0])
    }


def _metric(
    name: str,
    unit: Unit,
    drawn: tuple[float, ...],
    n: int,
    is_least: bool = True,
    why: str = "",
) -> Metric:
    value, low, high = (None if math.isnan(each) else float(each) for each in drawn)
    return Metric(
        name=name, unit=unit, value=value, low=low, high=high, n=n, is_least=is_least, why=why
    )


def _drawn(
    family: Family, n: int, width: int, sure: float, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Return each metric with what the middle `sure` of its draws span; NaN where n is 1."""
    points = {name: float(found[0]) for name, found in family(np.ones((1, n))).items()}
    if n < 2:
        return {name: (value, math.nan, math.nan) for name, value in points.items()}
    draws = min(max(_MOST_WORK // (n * width), LEAST_DRAWS), DRAWS)
    parts = [family(weights) for weights in _weights(n, draws, seed)]
    spans = {}
    for name, value in points.items():
        drawn = np.concatenate([part[name] for part in parts])
        known = drawn[~np.isnan(drawn)]
        if len(known):
            low, high = np.quantile(known, [(1 - sure) / 2, (1 + sure) / 2])
            spans[name] = (value, min(float(low), value), max(float(high), value))
        else:
            spans[name] = (value, math.nan, math.nan)
    return spans


def _weights(n: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield (k, n) how often each draw with replacement holds each case."""
    random = np.random.default_rng(seed)
    step = max(_MOST_CELLS // n, 1)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        places = random.integers(n, size=(rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


_FAMILIES: Mapping[
    str, Callable[[ScorerEntry, Sequence[CaseRuns], float, int], dict[str, Metric]]
] = {"label": _labels, "probability": _probabilities, "regression": _numbers}
