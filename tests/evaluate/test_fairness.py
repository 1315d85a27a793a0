from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from roadworthy.declare.evaluation import FAIRNESS_METRICS, Fairness
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.fairness import Span, Tally, difference_span, fairness_of, ratio_span
from roadworthy.evaluate.report import FairnessResult
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fairlearn.metrics as fairlearn


def declared(metric: str, at: float | None = None, attribute: Any = "g") -> Fairness:
    bar = "at_least" if metric.endswith("_ratio") else "at_most"
    return Fairness.model_validate({"attribute": attribute, "metric": metric, bar: at})


def answer(label: Any) -> Asked | None:
    return None if label is None else Asked(disposition="answered", output={"label": label})


def runs(
    values: dict[str, Any], truth: Any, *labels: Any, tags: tuple[str, ...] = (), id: str = "a"
) -> CaseRuns:
    expect = None if truth is None else {"label": truth}
    return CaseRuns(Case(id, values, expect, tags), "s", tuple(map(answer, labels)), {})


def many(*groups: tuple[str, int, int]) -> list[CaseRuns]:
    """Return n cases a group of which so many are answered yes; all should be."""
    return [runs({"g": g}, True, k < yes) for g, yes, n in groups for k in range(n)]


def measured(
    metric: str, cases: Sequence[CaseRuns], at: float | None = None, **rest: Any
) -> FairnessResult:
    return fairness_of(declared(metric, at), cases, **rest)


@pytest.mark.parametrize("metric", FAIRNESS_METRICS)
@pytest.mark.parametrize("groups", [2, 5])
def test_values_are_those_of_fairlearn(metric: str, groups: int) -> None:
    random = np.random.default_rng(groups)
    group = random.integers(0, groups, 600)
    truth = random.random(600) < 0.4 + 0.05 * group
    said = random.random(600) < np.where(truth, 0.8 - 0.06 * group, 0.2 + 0.05 * group)
    cases = [
        runs({"g": int(g)}, bool(t), bool(s)) for g, t, s in zip(group, truth, said, strict=True)
    ]
    oracle = {"accuracy_difference": "accuracy_score_difference"}.get(metric, metric)
    expected = getattr(fairlearn, oracle)(truth, said, sensitive_features=group)
    difference = measured(metric, cases).difference
    assert difference.value == pytest.approx(expected)
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= expected <= difference.high


def test_it_passes_only_where_the_whole_interval_keeps_the_bar() -> None:
    metric = "demographic_parity_difference"
    assert (
        measured(metric, many(("a", 500, 1000), ("b", 500, 1000)), 0.05).difference.verdict
        == "pass"
    )
    near = measured(metric, many(("a", 50, 100), ("b", 50, 100)), 0.05).difference
    assert (near.value, near.verdict) == (0.0, "inconclusive")
    assert near.needed is not None
    assert 1000 < near.needed < 2000
    far = measured(metric, many(("a", 100, 200), ("b", 180, 200)), 0.05).difference
    assert (far.verdict, far.needed) == ("fail", None)


def test_so_many_more_cases_settle_it() -> None:
    cases = many(("a", 50, 100), ("b", 50, 100))
    needed = measured("demographic_parity_difference", cases, 0.05).difference.needed
    assert needed is not None
    half = (100 + needed // 2) // 2
    more = many(("a", half, half * 2), ("b", half, half * 2))
    assert measured("demographic_parity_difference", more, 0.05).difference.verdict == "pass"


def test_a_ratio_has_a_least_value() -> None:
    metric = "demographic_parity_ratio"
    assert (
        measured(metric, many(("a", 900, 1000), ("b", 900, 1000)), 0.8).difference.verdict == "pass"
    )
    found = measured(metric, many(("a", 900, 1000), ("b", 300, 1000)), 0.8).difference
    assert (found.verdict, found.is_least) == ("fail", True)
    assert found.value == pytest.approx(1 / 3)
    assert measured(metric, many(("a", 0, 30), ("b", 0, 30)), 0.8).difference.value == 1.0


def test_a_small_group_keeps_it_open_and_says_how_many_are_missing() -> None:
    cases = many(("a", 500, 1000), ("b", 500, 1000), ("c", 3, 5))
    found = measured("demographic_parity_difference", cases, 0.05)
    assert (found.difference.verdict, found.difference.needed) == ("inconclusive", 15)
    assert found.groups[2]["missing"] == 15
    assert "`c` (15)" in found.why
    assert measured(
        "demographic_parity_difference", cases, 0.05, least=5
    ).difference.value == pytest.approx(0.1)
    alone = measured("demographic_parity_difference", many(("a", 30, 40)), 0.05).difference
    assert (alone.verdict, alone.value) == ("inconclusive", None)
    unequal = many(("a", 100, 1000), ("b", 900, 1000), ("c", 3, 5))
    assert measured("demographic_parity_difference", unequal, 0.05).difference.verdict == "fail"


def test_groups_are_fields_tags_features_and_combinations() -> None:
    cases = [
        runs({"g": "x", "new": True}, True, True, tags=("h:y",)),
        runs({"new": False}, True, True, tags=("g:x", "h:z")),
        runs({"new": False}, True, True, tags=("h:z",)),
    ]
    both = fairness_of(declared("accuracy_difference", attribute=("g", "h", "new")), cases, least=1)
    assert both.attribute == "g x h x new"
    assert [row["group"] for row in both.groups] == ["x x y x true", "x x z x false"]
    assert both.why == "1 of 3 cases have no answer or belong to no group"


def test_most_repeats_decide_and_cases_without_answers_are_told() -> None:
    cases = [runs({"g": "a"}, True, True, False, True), runs({"g": "a"}, True, None)]
    found = fairness_of(declared("equal_opportunity_difference"), cases, least=1)
    assert found.groups == (
        {"group": "a", "n": 1, "rate": 1.0, "low": pytest.approx(0.025), "high": 1.0},
    )


def test_odds_are_told_of_both_kinds_of_error() -> None:
    cases = [runs({"g": g}, t, True) for g in "ab" for t in (True, False) for _ in range(25)]
    found = measured("equalized_odds_difference", cases)
    assert [row.get("of", "rate") for row in found.groups] == [
        *("rate", "rate", "false_positive_rate", "false_positive_rate")
    ]


def test_what_counts_as_positive_may_be_a_label_or_a_scorer_s_word() -> None:
    cases = [runs({"g": g}, "refund", "refund" if g == "a" else "other") for g in "ab" * 20]
    parity = declared("demographic_parity_difference")
    assert fairness_of(parity, cases, positive="refund").difference.value == 1.0
    assert fairness_of(parity, cases, positive=lambda label: label != "x").difference.value == 0.0
    accuracy = declared("accuracy_difference")
    assert fairness_of(accuracy, cases).difference.value == 1.0
    scored = [
        CaseRuns(one.case, one.suite, one.answers, {"judge": (Score(1.0, True),)}) for one in cases
    ]
    assert fairness_of(accuracy, scored, scorer="judge").difference.value == 0.0


@pytest.mark.parametrize(
    ("output", "expect", "is_right"),
    [
        ({"team": "a", "is_urgent": True}, {"team": "a"}, True),
        ({"team": "a", "is_urgent": True}, {"team": "b"}, False),
        ({"usd": 99.0}, {"usd": 10.0}, False),
        ({"usd": 10.0}, {"usd": 10}, True),
        ({"label": "a", "p": 0.9}, {"label": "a"}, True),
        ({"label": "a", "p": 0.9}, "a", True),
        ({}, {"usd": 10.0}, False),
    ],
)
def test_of_an_object_the_keys_count_that_are_expected(
    output: Any, expect: Any, is_right: bool
) -> None:
    asked = Asked(disposition="answered", output=output)
    cases = [
        CaseRuns(Case(f"c{n}", {"g": "a"}, expect), "s.jsonl", (asked,), {}) for n in range(30)
    ]
    (group,) = fairness_of(declared("accuracy_difference", 0.1), cases).groups
    assert group["rate"] == float(is_right)


def test_without_expectations_it_says_that_nothing_is_known() -> None:
    found = fairness_of(declared("accuracy_difference", 0.1), [runs({"g": "a"}, None, True)] * 40)
    assert (found.difference.verdict, found.difference.value) == ("inconclusive", None)
    assert "of no case it is known what would be right" in found.why


@cache
def _pair(one: Tally, other: Tally) -> Span:
    return difference_span({"rate": {"a": one, "b": other}}, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("n", [(20, 20), (25, 200), (150, 150)])
@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.02, 0.02), (0.05, 0.15), (0.9, 0.7), (0.98, 1.0)])
def test_the_interval_of_two_groups_holds_as_often_as_it_says(
    n: tuple[int, int], rates: tuple[float, float]
) -> None:
    random = np.random.default_rng(7)
    drawn = [random.binomial(size, rate, 2000) for size, rate in zip(n, rates, strict=True)]
    true = abs(rates[0] - rates[1])
    held = [
        span.low <= true + 1e-9 and true <= span.high + 1e-9
        for one, other in zip(*drawn, strict=True)
        for span in (_pair(Tally(int(one), n[0]), Tally(int(other), n[1])),)
    ]
    assert sum(held) / 2000 >= 0.945


@pytest.mark.slow
@pytest.mark.parametrize("groups", [3, 8])
def test_the_interval_of_a_maximum_holds_where_the_plain_maximum_is_biased(groups: int) -> None:
    random = np.random.default_rng(groups)
    drawn = random.binomial(60, 0.5, (400, groups))
    values, held = [], 0
    for row in drawn:
        table = {str(at): Tally(int(k), 60) for at, k in enumerate(row)}
        span = difference_span({"rate": table}, 0.95)
        values.append(span.value)
        held += span.low == 0.0
    assert np.mean(values) > 0.1
    assert held / 400 >= 0.95


@pytest.mark.slow
def test_a_difference_at_its_bar_passes_no_more_often_than_promised() -> None:
    random = np.random.default_rng(3)
    passes = 0
    for one, other in zip(
        random.binomial(400, 0.3, 2000), random.binomial(400, 0.4, 2000), strict=True
    ):
        passes += _pair(Tally(int(one), 400), Tally(int(other), 400)).high <= 0.1
    assert passes / 2000 <= 0.03


@pytest.mark.slow
def test_the_interval_of_a_ratio_holds() -> None:
    random = np.random.default_rng(5)
    held = 0
    for one, other in zip(
        random.binomial(80, 0.4, 500), random.binomial(80, 0.5, 500), strict=True
    ):
        span = ratio_span({"a": Tally(int(one), 80), "b": Tally(int(other), 80)}, 0.95)
        held += span.low <= 0.8 <= span.high
    assert held / 500 >= 0.95


def test_where_labels_are_words_each_counts_as_positive_in_turn_and_the_worst_decides() -> None:
    same = [runs({"g": g}, None, said) for g in "ab" for said in ["high", "low"] * 300]
    parity = declared("demographic_parity_difference", 0.15)
    found = fairness_of(parity, same)
    assert found.difference.verdict == "pass"
    assert {row["of"] for row in found.groups} == {"rate of `high`", "rate of `low`"}
    worse = [runs({"g": g}, None, "high" if g == "a" else "low") for g in "ab" * 300]
    assert fairness_of(parity, worse).difference.value == 1.0
    ratio = declared("demographic_parity_ratio", 0.8)
    assert fairness_of(ratio, worse).difference.verdict == "fail"
    assert fairness_of(ratio, same).difference.value == 1.0


def test_free_text_has_no_label_that_could_be_compared() -> None:
    cases = [runs({"g": "ab"[n % 2]}, None, f"answer {n}") for n in range(200)]
    found = fairness_of(declared("demographic_parity_difference", 0.1), cases)
    assert (found.difference.verdict, found.difference.value) == ("inconclusive", None)
    assert "free text" in found.why
