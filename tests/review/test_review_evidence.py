"""What of all that is said of answers is evidence, and of which unit and window."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from roadworthy.review.evidence import Case, Said, Schedule, Truth, by_window, cases_of

DAY = Schedule(86_400_000_000, 86_400_000_000)


def said(kind: str, value: Any, source: str = "api", known_us: int = 10) -> Said:
    return Said(kind, json.dumps(value), source, known_us)


@pytest.mark.parametrize(
    ("statements", "verdicts"),
    [
        ([], set()),
        ([said("label", True)], {True}),
        ([said("label", False)], {False}),
        ([said("label", True), said("label", False)], {True, False}),
        ([said("label", True), said("correct", False, "review")], {True, False}),
        ([said("label", True), said("correct", False)], {True}),
        ([said("correct", True), said("correction", False)], {True}),
        ([said("correction", {"label": False})], {False}),
        ([said("correction", {"label": True})], {True}),
        ([said("rating", 1)], set()),
        ([said("correct", "yes")], set()),
        ([said("correct", False, "planted")], set()),
        ([said("label", 1)], {True}),
        ([said("label", None)], {False}),
        ([said("stars", 5)], set()),
    ],
)
def test_what_is_said_of_a_prediction(statements: list[Said], verdicts: set[bool]) -> None:
    assert Truth(None).verdicts(b"true", statements) == verdicts


def test_an_expression_says_what_is_right() -> None:

    near = Truth("output.minutes - label <= 15.0 && label - output.minutes <= 15.0")
    output = b'{"minutes": 30.0}'
    assert near.verdicts(output, [said("label", 40.0)]) == {True}
    assert near.verdicts(output, [said("label", 90.0)]) == {False}
    assert near.verdicts(output, [said("label", "late")]) == set(), "it has no value"
    assert near.verdicts(b"", [said("label", 1.0)]) == set(), "nothing to compare with"


def row(id: str, at_us: int = 0, **fields: Any) -> SimpleNamespace:
    found: dict[str, Any] = {
        "request_id": id,
        "at_us": at_us,
        "path": "person",
        "score": 0.5,
        "share": 1.0,
        "is_drawn": 1,
        "unit": id,
        "groups": "[]",
        "predicted": b"true",
        "kind": None,
        "value": None,
        "source": None,
        "known_at_us": None,
    }
    return SimpleNamespace(**{**found, **fields})


def label(id: str, value: Any, known_us: int, **fields: Any) -> SimpleNamespace:
    said = {"kind": "label", "value": json.dumps(value), "source": "api", "known_at_us": known_us}
    return row(id, **{**said, **fields})


def cases(*rows: SimpleNamespace) -> list[Case]:
    return cases_of(rows, Truth(None), DAY)


def test_an_outcome_counts_until_its_window_is_ripe_and_no_longer() -> None:
    deadline = DAY.deadline_of(0)
    assert cases(label("a", True, deadline))[0].is_right is True
    assert cases(label("a", True, deadline + 1))[0].is_right is None


def test_an_outcome_from_before_its_request_is_none() -> None:
    assert cases(label("a", True, 4, at_us=5))[0].is_right is None


def test_rows_of_one_draft_are_one_case() -> None:
    found = cases(label("a", True, 1), label("a", False, 2), row("b"))
    assert [(case.request_id, case.is_right, case.is_disputed) for case in found] == [
        ("a", False, True),
        ("b", None, False),
    ]


def test_an_unknown_score_is_not_a_number() -> None:
    (case,) = cases(row("a", score=None))
    assert math.isnan(case.score)


def test_a_unit_counts_once_in_a_window() -> None:
    found = cases(*(row(f"r{k}", unit="ada") for k in range(9)), row("s"))
    (evidence,) = by_window(found, DAY)
    assert [len(evidence.cases), evidence.units, evidence.requests] == [2, 2, 10]
    assert evidence.propensities is None, "all were drawn"


def test_which_of_a_unit_counts_is_the_same_whatever_is_known() -> None:
    blank = cases(*(row(f"r{k}", unit="ada") for k in range(9)))
    told = cases(*(label(f"r{k}", k % 2 == 0, 1, unit="ada") for k in range(9)))
    first, second = (next(iter(by_window(found, DAY))).cases[0] for found in (blank, told))
    assert first.request_id == second.request_id


def test_chances_are_multiples_of_the_smallest() -> None:
    found = cases(row("a", share=0.2), row("b", share=1.0), row("c", share=0.0, is_drawn=0))
    (evidence,) = by_window(found, DAY)
    assert evidence.propensities is not None
    assert evidence.propensities.tolist() == pytest.approx([1.0, 5.0])
    assert evidence.uncovered == 1


def test_only_what_was_given_alone_is_audited() -> None:
    found = cases(row("a", path="alone"), row("b", path="ladder"), row("c", path="person"))
    (evidence,) = by_window(found, DAY)
    assert [case.request_id for case in evidence.audited] == ["a"]


def test_windows_follow_the_requests() -> None:
    found = cases(row("a"), row("b", at_us=DAY.window_us), row("c", at_us=9 * DAY.window_us))
    assert [evidence.window for evidence in by_window(found, DAY)] == [0, 1, 9]
    assert DAY.ripe_until(DAY.deadline_of(0)) == DAY.window_us
    assert DAY.ripe_until(DAY.deadline_of(0) - 1) == 0
