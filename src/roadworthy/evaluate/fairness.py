"""How differently groups are treated, with an interval that holds for the largest difference.

The largest of several differences is not a difference between two groups that somebody chose: over
groups that are treated alike it is above 0, the more so the more and the smaller the groups are.
So each pair gets an interval of its own, all of them hold together (Bonferroni), and the largest
true difference lies between the largest lower and the largest upper end. An interval of a pair is
made of the exact ones of both rates (Clopper and Pearson, 1934), put together by squares as
Newcombe (1998) does with Wilson's: tests/evaluate/test_fairness.py measures how often it holds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ..declare.evaluation import Fairness
from ..risk.evidence import interval
from .asked import Asked
from .cases import Case
from .changes.change import value_of
from .judging import as_json, label_of
from .report import FairnessResult, Metric, Verdict
from .runs import CaseRuns
from .shares import MOST_CASES

LEAST = 20
"""A group of fewer cases says too little of itself to be compared."""
_YES, _NO = ("true", "yes", "1", "positive"), ("false", "no", "0", "negative")
_MOST_LABELS = 20
"""Answers with more different labels are free text."""
_RATIO = "demographic_parity_ratio"


class Unit(NamedTuple):
    """One case as far as fairness looks at it.

    Attributes:
        says: Whether its answer is positive; that of most of its repeats.
        truth: Whether it should be; None where nobody knows.
        is_right: Whether its answer is right; None where nobody knows.
    """

    group: str
    says: bool
    truth: bool | None
    is_right: bool | None


class Tally(NamedTuple):
    """How many of a group's n cases it is so of."""

    hits: int
    n: int

    @property
    def rate(self) -> float:
        """The share."""
        return self.hits / self.n


Tallies = Mapping[str, Tally]
Counted = Callable[[Unit], bool | None]
"""Whether a case counts as one; None leaves it out."""


def _says(unit: Unit) -> bool | None:
    return unit.says


def _says_of_true(unit: Unit) -> bool | None:
    return unit.says if unit.truth is True else None


def _says_of_false(unit: Unit) -> bool | None:
    return unit.says if unit.truth is False else None


def _misses(unit: Unit) -> bool | None:
    return not unit.says if unit.truth is True else None


def _is_right(unit: Unit) -> bool | None:
    return unit.is_right


_RATES: Mapping[str, Mapping[str, Counted]] = {
    "demographic_parity_difference": {"rate": _says},
    _RATIO: {"rate": _says},
    "equal_opportunity_difference": {"rate": _says_of_true},
    "equalized_odds_difference": {"rate": _says_of_true, "false_positive_rate": _says_of_false},
    "accuracy_difference": {"rate": _is_right},
    "false_positive_rate_difference": {"rate": _says_of_false},
    "false_negative_rate_difference": {"rate": _misses},
}
"""Metric → the rates that it compares, as they are named in a report."""


def fairness_of(
    declared: Fairness,
    cases: Sequence[CaseRuns],
    *,
    sure: float = 0.95,
    positive: Callable[[Any], bool] | Any = None,
    scorer: str = "",
    least: int = LEAST,
) -> FairnessResult:
    """Return how differently groups are treated, and whether that keeps its bar.

    It passes only where the whole interval does, and never while a group is too small to be
    compared; it fails only where the whole interval lies beyond.

    Args:
        declared: The promise.
        cases: With their answers; a group is a field of the input or of the features, or a tag
            `attribute:group`.
        sure: Of the interval, both sides together.
        positive: Which label counts as positive, or what says so. By default true, 1 and yes do;
            where labels are other words each of them does in turn, and the worst counts.
        scorer: By whose word an answer is right, for `accuracy_difference`; else the labels of
            answer and expectation are compared.
        least: From how many cases on a group is compared.
    """
    known = list(_known(declared, cases, scorer))
    tables = _tables(declared.metric, known, positive)
    large = {name: _large(table, least) for name, table in tables.items()}
    missing = _missing(tables, least)
    lacking: dict[str, int] = {}
    for (_, group), lacks in missing.items():
        lacking[group] = max(lacks, lacking.get(group, 0))
    difference = _difference(declared, large, sum(lacking.values()), sure)
    return FairnessResult(
        attribute=" x ".join(declared.fields),
        difference=difference,
        groups=_rows(tables, missing, sure),
        why=_why(len(cases), known, tables, lacking),
    )


class _Known(NamedTuple):
    """What is known of one case; labels that are no text, number or truth value are as JSON."""

    group: str
    labels: tuple[Any, ...]
    truth: Any
    is_right: bool | None

    def unit(self, is_positive: Callable[[Any], bool]) -> Unit:
        said = Counter(map(is_positive, self.labels)).most_common(1)[0][0]
        truth = None if self.truth is None else is_positive(self.truth)
        return Unit(self.group, said, truth, self.is_right)


def _known(declared: Fairness, cases: Sequence[CaseRuns], scorer: str) -> Iterator[_Known]:
    """Yield what is known of each case that belongs to a group and has an answer."""
    for runs in cases:
        group = group_of(runs.case, declared.fields)
        answers = [answer for answer in runs.answers if answer is not None and answer.is_answer]
        labels = tuple(_plain(label_of(answer.output)) for answer in answers)
        if group is None or not labels:
            continue
        expect = runs.case.expect
        truth = None if expect is None else _plain(label_of(expect))
        right = _scored(runs, scorer) if scorer else _matches(answers, expect)
        yield _Known(group, labels, truth, right)


def _plain(label: Any) -> Any:
    return label if isinstance(label, str | int | float) else as_json(label)


def _tables(metric: str, known: Sequence[_Known], positive: Any) -> dict[str, dict[str, Tally]]:
    """Return each rate that the metric compares, of each label that counts as positive in turn."""
    rates = _RATES[metric]
    positives = _positives(known, positive)
    if metric == "accuracy_difference":
        positives = {"": bool}  # whether an answer is right does not depend on it
    return {
        f"{name} of `{label}`" if label else name: _tallied(
            [one.unit(is_positive) for one in known], counted
        )
        for label, is_positive in positives.items()
        for name, counted in rates.items()
    }


def _positives(known: Sequence[_Known], positive: Any) -> dict[str, Callable[[Any], bool]]:
    if callable(positive):
        return {"": lambda label: bool(positive(label))}
    if positive is not None:
        return {"": lambda label: bool(label == positive)}
    labels = {label for one in known for label in (*one.labels, one.truth) if label is not None}
    if all(not isinstance(label, str) or label.lower() in (*_YES, *_NO) for label in labels):
        return {"": _is_yes}
    names = sorted(map(str, labels))
    if len(names) > _MOST_LABELS:
        return {}
    return {name: lambda label, name=name: str(label) == name for name in names}  # type: ignore[misc]


def _is_yes(label: Any) -> bool:
    return label.lower() in _YES if isinstance(label, str) else bool(label)


def _missing(tables: Mapping[str, Tallies], least: int) -> dict[tuple[str, str], int]:
    """Return how many cases each group lacks that is too small."""
    return {
        (name, group): least - tally.n
        for name, table in tables.items()
        for group, tally in table.items()
        if tally.n < least
    }


def _matches(answers: Sequence[Asked], expect: Any) -> bool | None:
    """Return whether most repeats gave what was expected; an even half is wrong."""
    if expect is None:
        return None
    return 2 * sum(_is_as_expected(answer.output, expect) for answer in answers) > len(answers)


def _is_as_expected(output: Any, expect: Any) -> bool:
    """Say whether a label is the same; of other objects the keys count that are expected."""
    if isinstance(expect, dict) and isinstance(output, dict) and "label" not in expect:
        return all(key in output and output[key] == value for key, value in expect.items())
    return bool(_plain(label_of(output)) == _plain(label_of(expect)))


def _scored(runs: CaseRuns, scorer: str) -> bool | None:
    scores = [score.is_right for score in runs.scores.get(scorer, ()) if score is not None]
    known = [is_right for is_right in scores if is_right is not None]
    return 2 * sum(known) > len(known) if known else None


def group_of(case: Case, fields: Sequence[str]) -> str | None:
    """Return the group of a case, `a x b` of several fields; None where one of them is unknown.

    >>> group_of(Case("a", {"sex": "f"}, tags=("age:old",)), ("sex", "age"))
    'f x old'
    """
    parts = []
    for field in fields:
        tag = next((t.partition(":")[2] for t in case.tags if t.startswith(f"{field}:")), None)
        value = value_of(case, field)
        part = tag if value is None else value
        if part is None or isinstance(part, dict | list):
            return None
        parts.append(str(part).lower() if isinstance(part, bool) else str(part))
    return " x ".join(parts)


def _tallied(units: Sequence[Unit], counted: Counted) -> dict[str, Tally]:
    """Return each group's count; a group of which nothing counts has an n of 0."""
    found: dict[str, list[bool]] = defaultdict(list)
    for unit in units:
        ours = found[unit.group]
        value = counted(unit)
        if value is not None:
            ours.append(value)
    return {group: Tally(sum(values), len(values)) for group, values in sorted(found.items())}


def _large(table: Tallies, least: int) -> dict[str, Tally]:
    return {group: tally for group, tally in table.items() if tally.n >= max(1, least)}


class Span(NamedTuple):
    """A number between two others."""

    value: float
    low: float
    high: float


def _difference(
    declared: Fairness, tables: Mapping[str, Tallies], missing: int, sure: float
) -> Metric:
    is_ratio = declared.metric == _RATIO
    bar = declared.at_least if is_ratio else declared.at_most
    span = _span(tables, is_ratio, sure)
    n = sum(tally.n for table in tables.values() for tally in table.values())
    if span is None:
        verdict: Verdict | None = None if bar is None else "inconclusive"
        why = "fewer than two groups are large enough to be compared"
        return Metric(
            name=declared.metric,
            n=n,
            bar=bar,
            is_least=is_ratio,
            verdict=verdict,
            needed=missing or None,
            why=why,
        )
    verdict = None if bar is None else _verdict(span, bar, is_ratio)
    needed: int | None = None
    if verdict == "pass" and missing:
        verdict, needed = "inconclusive", missing
    elif verdict == "inconclusive" and bar is not None:
        more = _needed(tables, bar, is_ratio, sure)
        needed = None if more is None else more + missing
    return Metric(
        name=declared.metric,
        value=span.value,
        low=span.low,
        high=span.high,
        n=n,
        bar=bar,
        is_least=is_ratio,
        verdict=verdict,
        needed=needed,
    )


def _verdict(span: Span, bar: float, is_least: bool) -> Verdict:
    is_kept = span.low >= bar if is_least else span.high <= bar
    is_broken = span.high < bar if is_least else span.low > bar
    return "pass" if is_kept else "fail" if is_broken else "inconclusive"


def _span(tables: Mapping[str, Tallies], is_ratio: bool, sure: float) -> Span | None:
    """Return the largest difference, or the least ratio, with an interval for it."""
    if not tables or any(len(table) < 2 for table in tables.values()):
        return None
    if not is_ratio:
        return difference_span(tables, sure)
    each = 1 - (1 - sure) / len(tables)
    spans = [ratio_span(table, each) for table in tables.values()]
    return Span(*(min(ends) for ends in zip(*spans, strict=True)))


def difference_span(tables: Mapping[str, Tallies], sure: float) -> Span:
    """Return the largest difference of any two groups, with an interval that holds for it.

    Args:
        tables: Name of a rate → its counts by group; the largest of all of them is meant.
        sure: Of the interval, both sides together.

    >>> span = difference_span({"rate": {"a": Tally(50, 100), "b": Tally(60, 100)}}, 0.95)
    >>> round(span.value, 3), round(span.low, 3), round(span.high, 3)
    (0.1, 0.0, 0.24)
    """
    comparisons = sum(math.comb(len(table), 2) for table in tables.values())
    each = 1 - (1 - sure) / comparisons
    value = low = high = 0.0
    for table in tables.values():
        spans = [_rate_span(tally, each) for tally in table.values()]
        for one, other in combinations(spans, 2):
            span = _apart(one, other)
            value, low, high = (
                max(value, span.value),
                max(low, span.low),
                max(high, span.high),
            )
    return Span(value, low, high)


def _rate_span(tally: Tally, sure: float) -> Span:
    return Span(tally.rate, *interval(tally.hits, tally.n, sure))


def _apart(one: Span, other: Span) -> Span:
    """Return how far apart two rates are, whichever is the larger."""
    larger, smaller = (one, other) if one.value >= other.value else (other, one)
    apart = larger.value - smaller.value
    less = math.hypot(larger.value - larger.low, smaller.high - smaller.value)
    more = math.hypot(larger.high - larger.value, smaller.value - smaller.low)
    high = max(apart + more, less - apart)  # the smaller may truly be the larger
    return Span(apart, max(0.0, apart - less), min(1.0, high))


def ratio_span(table: Tallies, sure: float) -> Span:
    """Return the least ratio of any two groups, from intervals of all rates that hold together.

    >>> ratio_span({"a": Tally(50, 100), "b": Tally(60, 100)}, 0.95).low < 0.7
    True
    """
    each = 1 - (1 - sure) / len(table)
    spans = [_rate_span(tally, each) for tally in table.values()]
    most = max(span.value for span in spans)
    value = min(span.value for span in spans) / most if most else 1.0
    low = min(span.low for span in spans) / max(span.high for span in spans)
    surely_most = max(span.low for span in spans)
    surely_least = min(span.high for span in spans)
    high = min(1.0, surely_least / surely_most) if surely_most else 1.0
    return Span(value, low, high)


def _needed(tables: Mapping[str, Tallies], bar: float, is_ratio: bool, sure: float) -> int | None:
    """Return how many more cases settle it where all groups grow alike and rates stay."""
    total = sum(tally.n for table in tables.values() for tally in table.values())

    def is_settled(more: int) -> bool:
        grown = {
            name: {group: _grown(tally, 1 + more / total) for group, tally in table.items()}
            for name, table in tables.items()
        }
        span = _span(grown, is_ratio, sure)
        return span is not None and _verdict(span, bar, is_ratio) != "inconclusive"

    high = 1
    while not is_settled(high):
        high *= 2
        if total + high > MOST_CASES:
            return None
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if is_settled(middle) else (middle, high)
    return high


def _grown(tally: Tally, factor: float) -> Tally:
    n = math.ceil(tally.n * factor)
    return Tally(round(tally.rate * n), n)


def _rows(
    tables: Mapping[str, Tallies], missing: Mapping[tuple[str, str], int], sure: float
) -> tuple[dict[str, Any], ...]:
    """Return one row a group and rate."""
    rows = []
    for name, table in tables.items():
        for group, tally in table.items():
            low, high = interval(tally.hits, tally.n, sure)
            row: dict[str, Any] = {"group": group, "n": tally.n}
            row |= {"rate": tally.rate if tally.n else None, "low": low, "high": high}
            if name != "rate":
                row["of"] = name
            if lacks := missing.get((name, group)):
                row["missing"] = lacks
            rows.append(row)
    return tuple(rows)


def _why(
    cases: int,
    known: Sequence[_Known],
    tables: Mapping[str, Tallies],
    lacking: Mapping[str, int],
) -> str:
    said, units = [], len(known)
    if known and not tables:
        said.append(f"answers have more than {_MOST_LABELS} different labels: they are free text")
    if cases - units:
        said.append(f"{cases - units} of {cases} cases have no answer or belong to no group")
    unknown = max(
        (units - sum(t.n for t in table.values()) for table in tables.values()), default=0
    )
    if units and unknown == units:
        said.append("of no case it is known what would be right")
    if lacking:
        names = ", ".join(f"`{group}` ({lacks})" for group, lacks in [*lacking.items()][:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        said.append(f"too small to be compared, with how many cases are missing: {names}{more}")
    return "; ".join(said)
