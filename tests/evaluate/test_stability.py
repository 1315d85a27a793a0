from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score
from roadworthy.evaluate.stability import case_stability, outputs_of, stability_of


def text(value: str, **rest: Any) -> Asked:
    return Asked(disposition="answered", output={"text": value}, **rest)


def right(*said: bool | None, answers: tuple[Asked | None, ...] | None = None) -> CaseRuns:
    """Return a case whose repeats were right, wrong, or neither."""
    scores = tuple(None if one is None else Score(float(one), one) for one in said)
    given = tuple(text("same") for _ in said) if answers is None else answers
    return CaseRuns(Case("a", {}), "s", given, {"exact": scores})


@pytest.mark.parametrize(
    ("said", "stable"),
    [
        ((True, True), "stable_pass"),
        ((False, False), "stable_fail"),
        ((True, False), "flaky"),
        ((True, None), "stable_pass"),
        ((None, None), "unknown"),
        ((), "unknown"),
    ],
)
def test_a_case_is_right_each_time_or_wrong_or_neither(
    said: tuple[bool | None, ...], stable: str
) -> None:
    assert case_stability(right(*said)) == stable
    assert case_stability(right(*said), "exact") == stable
    assert case_stability(right(*said), "another") == "unknown"


def test_the_share_of_flaky_cases_is_held_to_its_bar_with_the_case_as_unit() -> None:
    cases = [right(True, True, False)] * 10 + [right(True, True, True)] * 90
    found = stability_of(cases, "exact", 0.1)
    assert (found.stable_pass, found.stable_fail, found.unknown) == (90, 0, 0)
    assert found.flaky is not None
    assert (found.flaky.value, found.flaky.n, found.flaky.verdict) == (0.1, 100, "inconclusive")
    assert stability_of([right(True, True)] * 100, "exact", 0.1).flaky.verdict == "pass"  # type: ignore[union-attr]
    assert stability_of([right(True, False)] * 100, "exact", 0.1).flaky.verdict == "fail"  # type: ignore[union-attr]


def test_one_repeat_says_nothing_of_stability() -> None:
    found = stability_of([right(True), right(False)], "exact", 0.1)
    assert (found.stable_pass, found.stable_fail) == (1, 1)
    assert found.flaky is None
    assert found.varied is None


def test_outputs_are_counted_word_for_word() -> None:
    varied = right(True, True, True, answers=(text("Yes."), text(" yes. "), text("No.")))
    assert outputs_of(varied) == 2
    same = right(True, True, answers=(text("Yes."), text("yes.")))
    found = stability_of([varied, same], "exact").varied
    assert found is not None
    assert (found.value, found.n, found.verdict) == (0.5, 2, None)


def test_answers_that_cannot_be_read_are_a_share_of_each_case() -> None:
    bad = Asked(disposition="failed", error_code="bad_answer")
    broken = text("{", schema_problem="not JSON")
    half = right(True, False, answers=(text("a"), broken))
    whole = right(False, False, answers=(bad, bad))
    found = stability_of([half, whole, right(True, True, answers=(None, None))], "exact").unparsed
    assert found is not None
    assert (found.value, found.n) == (0.75, 2)
    assert found.low is not None
    assert found.low < 0.75 < (found.high or 0) <= 1


@given(st.lists(st.lists(st.sampled_from([True, False, None]), max_size=4), max_size=20))
def test_every_case_is_counted_once(said: list[list[bool | None]]) -> None:
    cases = [right(*one) for one in said]
    found = stability_of(cases, "exact", 0.1)
    flaky = sum(case_stability(one, "exact") == "flaky" for one in cases)
    assert found.stable_pass + found.stable_fail + found.unknown + flaky == len(cases)


def test_what_a_model_put_into_its_output_is_compared_whatever_it_is() -> None:
    odd = [Asked(disposition="answered", output=value) for value in ({"a": "\ud800"}, {"a": 1j})]
    assert outputs_of(right(True, True, answers=(odd[0], odd[1]))) == 2
    assert outputs_of(right(True, True, answers=(odd[0], odd[0]))) == 1
