"""A report in words and as JSON: the numbers as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from .report import CaseResult, Metric, Paired, Report, Unit

VERDICTS = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}
MOST_SLICES = 5
MOST_CASES = 10


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON values: the verdict, the metrics and what is needed come first.

    Every key is there, also where there is nothing to say: who reads them need not know which of
    them may be left out.
    """
    rest = _whole(report)
    first = {key: rest[key] for key in ("verdict", "metrics", "needed")}
    others = {
        "sentence": report.sentence,
        "needs_repeats": report.needs_repeats,
        "cost_usd": (report.cost_micro + report.scoring_cost_micro) / 1_000_000,
    }
    return first | others | {key: value for key, value in rest.items() if key not in first}


def _whole(value: msgspec.Struct) -> dict[str, Any]:
    """Return a struct with all of its fields; what a model answered is left as it is."""
    return {name: _whole_part(getattr(value, name)) for name in value.__struct_fields__}


def _whole_part(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _whole(value)
    if isinstance(value, tuple):
        return [_whole(each) if isinstance(each, msgspec.Struct) else each for each in value]
    if isinstance(value, dict):
        return {
            key: _whole(each) if isinstance(each, msgspec.Struct) else each
            for key, each in value.items()
        }
    return value


def number_text(value: float | None, unit: Unit) -> str:
    """Return a number as people read it.

    >>> number_text(0.9412, "share"), number_text(12.34, "ms"), number_text(None, "usd")
    ('94.1 %', '12.3 ms', '-')
    """
    if value is None:
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "ms":
        return _milliseconds(value)
    if unit == "usd":
        return f"${value:.6f}".rstrip("0").rstrip(".")
    if unit == "tokens":
        return f"{value:,.0f}"
    return f"{value:.3f}"


def _milliseconds(value: float) -> str:
    if value < 10:
        return f"{value:.2f} ms"
    return f"{value:.1f} ms" if value < 1_000 else f"{value / 1_000:.2f} s"


def interval_text(metric: Metric | Paired) -> str:
    """Return the interval of a number: `91.0 % to 96.2 %`; empty where there is none."""
    if metric.low is None or metric.high is None:
        return ""
    return f"{number_text(metric.low, metric.unit)} to {number_text(metric.high, metric.unit)}"


def bar_text(metric: Metric) -> str:
    """Return what is promised of a number; empty where nothing is."""
    if metric.bar is None:
        return ""
    side = ">=" if metric.is_least else "<="
    return f"{side} {number_text(metric.bar, metric.unit)}"


def needed_text(report: Report) -> str:
    """Return how much more would settle what is open; empty where nothing would, or nothing is."""
    if report.verdict != "inconclusive" or not report.needed:
        return ""
    if report.needs_repeats:
        repeats = report.repeats + report.needed
        return f"{report.needed} more repeats of each case would settle it: `--repeats {repeats}`"
    return f"about {report.needed:,} more cases would settle it, if they turn out like these"


def usd_text(micro: int) -> str:
    """Return micro-dollars as people read them."""
    return number_text(micro / 1_000_000, "usd") if micro else "$0"


def cost_text(report: Report) -> str:
    """Return in one sentence what was asked, and what it took."""
    asked = f"{report.asked:,} answers asked for, {report.reused:,} known from before"
    cost = usd_text(report.cost_micro)
    if report.scoring_cost_micro:
        cost += f" and {usd_text(report.scoring_cost_micro)} for scoring"
    return f"{asked}; {cost}; {report.seconds:.1f} s"


def worst_slices(report: Report) -> tuple[tuple[str, int, Metric], ...]:
    """Return the slices whose first metric is lowest, each with its cases and that metric."""
    found = [
        (one.name, one.cases, one.metrics[0])
        for one in report.slices
        if one.metrics and one.metrics[0].value is not None
    ]
    found.sort(key=lambda entry: (entry[2].value or 0.0, entry[0]))
    return tuple(found[:MOST_SLICES])


def worst_cases(results: Iterable[CaseResult]) -> tuple[CaseResult, ...]:
    """Return the first of the cases that are not right each time."""
    bad = (result for result in results if result.stability in ("stable_fail", "flaky"))
    return tuple(result for result, _ in zip(bad, range(MOST_CASES), strict=False))


def regressions(results: Sequence[CaseResult]) -> tuple[CaseResult, ...]:
    """Return the cases that the baseline had right and the release has not."""
    return tuple(one for one in results if one.baseline and one.stability in ("stable_fail",))


def shown(value: Any, most: int = 200) -> str:
    """Return a value of a case on one line, short."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
