"""Metrics over all cases agree with scikit-learn, and their intervals with simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from roadworthy.evaluate.aggregates import aggregates_of, confusion_of
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score
from roadworthy.evaluate.scorers.labels import CLIP
from scorer_cases import entry_of, said


def runs_of(
    use: str, pairs: Sequence[tuple[Any, Any]], name: str = "", repeats: int = 1
) -> list[CaseRuns]:
    """Return runs of cases that expect the first of each pair and got the second."""
    return [
        CaseRuns(
            Case(str(number), {}, truth),
            "s",
            (said(got),) * repeats,
            {name or use: (Score(1.0, True),) * repeats},
        )
        for number, (truth, got) in enumerate(pairs)
    ]


LABELS = st.sampled_from(["a", "b", "c"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_labels_are_measured_as_scikit_learn_does(pairs: list[tuple[str, str]]) -> None:
    found = aggregates_of(runs_of("label", [(t, {"label": p}) for t, p in pairs]))
    truth, got = zip(*pairs, strict=True)
    recalls = sk.recall_score(truth, got, average=None, labels=sorted(set(truth)))
    expected = {
        "accuracy": sk.accuracy_score(truth, got),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": sk.f1_score(truth, got, average="macro", zero_division=0.0),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].n == len(pairs)
        low, high = found[name].low, found[name].high
        assert low is not None
        assert high is not None
        assert 0 <= low <= value + 1e-9
        assert value - 1e-9 <= high <= 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 1.0])),
        min_size=4,
        max_size=40,
    )
)
def test_probabilities_are_measured_as_scikit_learn_does(pairs: list[tuple[bool, float]]) -> None:
    found = aggregates_of(runs_of("probability", [(t, {"probability": p}) for t, p in pairs]))
    truth, got = zip(*pairs, strict=True)
    assert found["brier"].value == pytest.approx(sk.brier_score_loss(truth, got, pos_label=True))
    clipped = np.clip(got, CLIP, 1 - CLIP)
    assert found["log_loss"].value == pytest.approx(
        sk.log_loss(truth, clipped, labels=[False, True])
    )
    if len(set(truth)) == 2:
        assert found["auc"].value == pytest.approx(sk.roc_auc_score(truth, got))
    else:
        assert "auc" not in found
    assert not found["brier"].is_least
    assert not found["ece"].is_least


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=40))
def test_numbers_are_measured_as_scikit_learn_does(pairs: list[tuple[int, int]]) -> None:
    found = aggregates_of(runs_of("regression", [(t, {"value": p}) for t, p in pairs]))
    truth, got = zip(*pairs, strict=True)
    assert found["mae"].value == pytest.approx(sk.mean_absolute_error(truth, got))
    assert found["rmse"].value == pytest.approx(sk.root_mean_squared_error(truth, got))
    if len(set(truth)) > 1:
        assert found["r2"].value == pytest.approx(sk.r2_score(truth, got))
    else:
        assert "r2" not in found


def test_probabilities_of_classes_are_measured_by_their_names() -> None:
    pairs = [("b", {"probabilities": {"a": 0.2, "b": 0.5, "c": 0.3}})] * 3
    found = aggregates_of(runs_of("probability", pairs))
    assert found["brier"].value == pytest.approx(0.19)
    assert found["log_loss"].value == pytest.approx(-math.log(0.5))
    assert "auc" not in found


def test_repeats_of_a_case_are_one_case() -> None:
    once = aggregates_of(runs_of("label", [("a", {"label": "a"}), ("a", {"label": "b"})] * 10))
    often = aggregates_of(
        runs_of("label", [("a", {"label": "a"}), ("a", {"label": "b"})] * 10, repeats=5)
    )
    assert often == once


def test_repeats_that_disagree_share_their_case() -> None:
    answers = (said({"label": "a"}), said({"label": "b"}))
    runs = CaseRuns(Case("1", {}, "a"), "s", answers, {"label": (None, None)})
    found = aggregates_of([runs])
    assert found["accuracy"].value == 0.5
    assert confusion_of([runs], entry_of("label")).counts == {"a": {"a": 0.5, "b": 0.5}}


def test_all_right_is_no_certainty() -> None:
    found = aggregates_of(runs_of("label", [("a", {"label": "a"}), ("b", {"label": "b"})] * 5))
    assert found["accuracy"].value == 1
    assert found["accuracy"].low == pytest.approx(0.6915, abs=1e-3)  # Clopper and Pearson, 10 of 10
    assert found["balanced_accuracy"].low == pytest.approx(0.478, abs=1e-3)  # 5 of 5


def test_perfectly_told_apart_is_no_certainty() -> None:
    pairs = [(1, {"probability": 0.9}), (0, {"probability": 0.1})] * 5
    auc = aggregates_of(runs_of("probability", pairs))["auc"]
    assert auc.value == 1
    assert auc.low is not None
    assert auc.low < 0.6


def test_one_case_has_no_interval_of_its_error() -> None:
    found = aggregates_of(runs_of("regression", [(5, {"value": 4})]))["mae"]
    assert (found.value, found.low, found.high) == (1.0, None, None)


def test_a_missing_answer_is_a_wrong_label_and_no_probability() -> None:
    failed = Asked(disposition="failed", error_code="all_models_failed")
    runs = runs_of("label", [("a", {"label": "a"})])
    runs.append(CaseRuns(Case("x", {}, "a"), "s", (failed,), {"label": (None,)}))
    found = aggregates_of(runs)
    assert found["accuracy"].value == 0.5
    assert "was given no label: 1 of 2" in found["accuracy"].why
    runs = runs_of("probability", [(1, {"probability": 0.9})] * 2)
    runs.append(CaseRuns(Case("x", {}, 1), "s", (failed,), {"probability": (None,)}))
    brier = aggregates_of(runs)["brier"]
    assert brier.n == 2
    assert brier.why == "1 cases without a probability are left out"


def test_what_was_not_asked_is_not_counted() -> None:
    runs = runs_of("label", [("a", {"label": "a"})])
    runs.append(CaseRuns(Case("x", {}, "a"), "s", (None,), {"label": (None,)}))
    assert aggregates_of(runs)["accuracy"].n == 1


def test_only_scorers_of_predictions_are_aggregated() -> None:
    assert aggregates_of(runs_of("exact", [("a", "a")])) == {}
    assert aggregates_of(runs_of("label", [(None, {"label": "a"})])) == {}
    assert aggregates_of([]) == {}


def test_a_second_scorer_of_a_kind_bears_its_name() -> None:
    entries = [entry_of("label", name="first"), entry_of("label", name="second", path="$.other")]
    runs = [
        CaseRuns(
            Case("1", {}, "a"),
            "s",
            (said({"label": "a", "other": "b"}),),
            {"first": (None,), "second": (None,)},
        )
    ]
    found = aggregates_of(runs, entries)
    assert (found["accuracy"].value, found["second.accuracy"].value) == (1, 0)
    assert found["second.accuracy"].name == "second.accuracy"


def test_the_same_answers_give_the_same_figures() -> None:
    random = np.random.default_rng(3)
    pairs = [(int(random.random() < 0.5), {"probability": random.random()}) for _ in range(100)]
    runs = runs_of("probability", pairs)
    assert aggregates_of(runs) == aggregates_of(runs)
    assert aggregates_of(runs, seed=1)["auc"].low != aggregates_of(runs)["auc"].low


def test_the_most_frequent_confusion_is_told() -> None:
    pairs = [("a", "b")] * 3 + [("b", "a")] + [("a", "a")] * 4
    found = aggregates_of(runs_of("label", [(t, {"label": p}) for t, p in pairs]))
    assert found["accuracy"].why == "most often `a` was taken for `b`: 3 of 7"


def test_huge_numbers_stay_numbers() -> None:
    found = aggregates_of(
        runs_of("regression", [(1e308, {"value": -1e308}), (0, {"value": 1e200})])
    )
    assert all(math.isfinite(metric.value or 0) for metric in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auc", "brier", "rmse", "macro_f1"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str) -> None:
    random = np.random.default_rng(5)

    def draw(n: int) -> list[CaseRuns]:
        truths = random.random(n) < 0.4
        scores = np.clip(0.3 * truths + 0.6 * random.random(n), 0, 1)
        if name == "rmse":
            return runs_of("regression", [(float(s), {"value": 0.4}) for s in scores])
        if name == "macro_f1":
            labels = np.where(scores > 0.45, "y", "n")
            pairs = zip(np.where(truths, "y", "n").tolist(), labels.tolist(), strict=True)
            return runs_of("label", [(t, {"label": p}) for t, p in pairs])
        pairs = zip(truths.tolist(), scores.tolist(), strict=True)
        return runs_of("probability", [(t, {"probability": p}) for t, p in pairs])

    true = aggregates_of(draw(50_000))[name].value
    assert true is not None
    held = 0
    for _ in range(100):
        metric = aggregates_of(draw(150), sure=0.9)[name]
        held += (metric.low or 0) <= true <= (metric.high or 0)
    assert 0.8 <= held / 100 <= 0.98
