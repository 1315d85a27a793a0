"""What a judge's word is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import ModelUnavailable
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.judges import (
    Agreement,
    agreement_of,
    believed,
    corrected_metric,
    corrected_rate,
    doubts_of,
    found_right,
    with_doubts,
)
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score
from roadworthy.evaluate.settings import Run

COUNTS = st.integers(0, 300)


def test_agreement_counts_what_people_and_the_judge_say() -> None:
    found = agreement_of([(True, True), (True, False), (False, False), (None, False)])
    assert found == Agreement(right=1, found_right=1, wrong=2, found_wrong=1, unknown=1)
    assert found.sensitivity().value == 1
    assert found.specificity().value == 0.5
    assert found.doubt(True) == pytest.approx(0.9747, abs=1e-3)  # one of two, Clopper and Pearson
    assert Agreement(9, 9, 0, 0).doubt(True) == 1
    assert Agreement(100, 100, 100, 100).doubt(False) == pytest.approx(1 - 0.05 ** (1 / 100))


def test_a_perfect_judge_leaves_the_rate_as_it_found_it() -> None:
    found = corrected_rate(700, 1000, Agreement(10_000, 10_000, 10_000, 10_000))
    assert found.value == 0.7
    assert found.high - found.low < 0.08


def test_a_kind_judge_is_corrected_downwards() -> None:
    # It finds all right answers right, and half of the wrong ones: 80 % found are 60 % true.
    found = corrected_rate(800, 1000, Agreement(5000, 5000, 5000, 2500))
    assert found.value == pytest.approx(0.6)
    assert found.low < 0.6 < found.high


@pytest.mark.parametrize(
    "agreement",
    [
        Agreement(0, 0, 0, 0),
        Agreement(100, 100, 0, 0),
        Agreement(0, 0, 100, 100),
        Agreement(100, 50, 100, 50),
        Agreement(3, 3, 3, 3),
        Agreement(100, 10, 100, 10),
    ],
)
def test_a_judge_that_may_be_a_coin_says_nothing(agreement: Agreement) -> None:
    found = corrected_rate(90, 100, agreement)
    assert (found.low, found.high) == (0, 1)


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(1, 300), st.floats(0, 1))
def test_an_interval_holds_its_value_and_stays_a_share(
    right: int, wrong: int, missed: int, passed: int, n: int, share: float
) -> None:
    agreement = Agreement(right, max(right - missed, 0), wrong, max(wrong - passed, 0))
    found = corrected_rate(share * n, n, agreement)
    assert 0 <= found.low <= found.high <= 1
    assert math.isnan(found.value) or found.low <= found.value <= found.high


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 200), st.integers(0, 5), st.integers(0, 5))
def test_more_labels_never_leave_more_open(labels: int, missed: int, passed: int) -> None:
    few = corrected_rate(70, 100, Agreement(labels, labels - missed, labels, labels - passed))
    many = corrected_rate(
        70,
        100,
        Agreement(labels * 4, (labels - missed) * 4, labels * 4, (labels - passed) * 4),
    )
    assert many.high - many.low <= few.high - few.low + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "finds", "passes", "n", "labels"),
    [
        (0.9, 0.95, 0.9, 200, 100),
        (0.5, 0.8, 0.7, 300, 80),
        (0.97, 0.99, 0.6, 150, 60),
        (0.1, 0.9, 0.95, 100, 200),
        (1.0, 0.9, 0.9, 50, 50),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    rate: float, finds: float, passes: float, n: int, labels: int
) -> None:
    random = np.random.default_rng(7)
    draws = 150
    covered = 0
    for _ in range(draws):
        agreement = Agreement(
            labels,
            int(random.binomial(labels, finds)),
            labels,
            int(random.binomial(labels, passes)),
        )
        found = random.binomial(n, rate * finds + (1 - rate) * (1 - passes))
        low_high = corrected_rate(int(found), n, agreement, 0.9)
        covered += low_high.low <= rate <= low_high.high
    assert covered / draws >= 0.9


def test_what_the_judge_said_alone_would_not_cover_it() -> None:
    # 900 cases of which half are right: a judge that is too kind finds 64 % so.
    metric = corrected_metric("judge", 576, 900, Agreement(800, 760, 800, 536))
    assert metric.value == pytest.approx((0.64 - 0.33) / 0.62, abs=0.01)
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < 0.5 < metric.high < 0.64
    assert "95% of right answers right (800 labels)" in metric.why


def test_a_judge_without_labels_can_pass_no_gate() -> None:
    for agreement in (None, Agreement(5, 5, 0, 0)):
        metric = corrected_metric("judge", 100, 100, agreement)
        assert (metric.value, metric.low, metric.high, metric.n) == (1.0, 0.0, 1.0, 100)
        assert "not held against people" in metric.why


def judged_runs(verdicts: Sequence[Sequence[bool | None]]) -> list[CaseRuns]:
    """Return runs of a case for each list, whose repeats the judge found so."""
    return [
        CaseRuns(
            Case(str(number), {}),
            "s",
            (None,) * len(rights),
            {"judge": tuple(None if r is None else Score(float(r), r) for r in rights)},
        )
        for number, rights in enumerate(verdicts)
    ]


def test_repeats_are_parts_of_a_case() -> None:
    assert found_right(judged_runs([[True, False], [True, None], [None]]), "judge") == (1.5, 2)
    assert found_right(judged_runs([[True]]), "other") == (0, 0)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9, 0.98])
def test_doubts_follow_how_many_answers_are_right(rate: float) -> None:
    """The labels are half and half; what is judged is not."""
    finds, passes, n = 0.95, 0.9, 1000
    agreement = Agreement(800, round(800 * finds), 800, round(800 * passes))
    right = rate * n * finds + (1 - rate) * n * (1 - passes)
    of_right, of_wrong = doubts_of(right, n, agreement)
    assert of_right >= (1 - rate) * n * (1 - passes) / right
    assert of_wrong >= rate * n * (1 - finds) / (n - right)


def test_every_score_of_the_judge_bears_its_doubt_and_no_other() -> None:
    runs = judged_runs([[True]] * 80 + [[False]] * 20 + [[None]])
    runs[0].scores["exact"] = (Score(1.0, True),)
    agreement = Agreement(200, 190, 200, 180)
    found = with_doubts(runs, "judge", agreement)
    of_right, of_wrong = doubts_of(80, 100, agreement)
    assert {score.doubt for run in found[:80] for score in run.scores["judge"] if score} == {
        of_right
    }
    assert {score.doubt for run in found[80:] for score in run.scores["judge"] if score} == {
        of_wrong
    }
    assert found[0].scores["exact"] == (Score(1.0, True),)


def test_a_judge_that_cannot_be_asked_is_not_believed() -> None:
    class Down:
        name, version, is_dear, is_calibrated = "judge", "1", True, True

        def score(self, case: Case, asked: Asked) -> Score:
            raise ModelUnavailable("down")

        def calibrate(self) -> Agreement:
            raise ModelUnavailable("down")

    run = believed(Run(cases=tuple(judged_runs([[True]] * 9))), [Down()])
    assert {score.doubt for runs in run.cases for score in runs.scores["judge"] if score} == {1.0}
    assert (run.by_people["judge.by_people"].low, run.by_people["judge.by_people"].high) == (0, 1)


def test_without_cases_there_is_nothing_to_measure() -> None:
    assert corrected_metric("judge", 0, 0, Agreement(9, 9, 9, 9)).value is None
