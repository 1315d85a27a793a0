from __future__ import annotations

from typing import Any

import msgspec
import pytest
from evaluated import text

from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.report import CaseResult
from roadworthy.evaluate.results import results_of, runs_from
from roadworthy.evaluate.rights import rights_of
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score
from roadworthy.evaluate.tallies import tallies_of

RIGHT, WRONG = Score(1.0, True), Score(0.0, False, "it is another")


def runs(id: str, *scores: Score | None, answers: tuple[Any, ...] = (), **fields: Any) -> CaseRuns:
    given = answers or tuple(text(f"{id} {place}") for place, _ in enumerate(scores))
    return CaseRuns(Case(id, {"text": id}, "x", **fields), "s", given, {"exact": scores})


def test_a_case_is_as_stable_as_its_repeats_are_alike() -> None:
    given = [
        runs("a", RIGHT, RIGHT),
        runs("b", RIGHT, WRONG),
        runs("c", WRONG, WRONG),
        runs("d", Score(None), None),
    ]
    found = {one.id: one for one in results_of(given)}
    assert [found[id].stability for id in "abcd"] == [
        "stable_pass",
        "flaky",
        "stable_fail",
        "unknown",
    ]
    assert (found["b"].passes, found["b"].runs, found["b"].scores) == (1, 2, {"exact": 0.5})
    assert (found["b"].outputs, found["b"].why) == (2, "it is another")


def test_the_worst_come_first_and_what_became_worse_before_what_always_was() -> None:
    given = [
        runs("right", RIGHT),
        runs("flaky", RIGHT, WRONG),
        runs("old", WRONG),
        runs("new", WRONG),
        runs("grave", WRONG, severity="critical"),
    ]
    before = [runs("old", WRONG), runs("new", RIGHT)]
    found = results_of(given, before)
    assert [one.id for one in found] == ["grave", "new", "old", "flaky", "right"]
    assert [one.baseline for one in found] == [None, True, False, None, None]


def test_every_scorer_that_can_say_has_to_be_content() -> None:
    scores: dict[str, tuple[Score | None, ...]]
    scores = {"a": (RIGHT,), "b": (WRONG,), "latency": (Score(None, measured=3.0),)}
    both = CaseRuns(Case("x", {}), "s", (text("y"),), scores)
    assert results_of([both])[0].stability == "stable_fail"


def test_a_case_that_was_not_asked_is_unknown_and_says_so() -> None:
    found = results_of([CaseRuns(Case("x", {}), "s", (None, None), {})])[0]
    assert (found.stability, found.runs, found.why) == ("unknown", 0, "it was not asked")


def test_why_nobody_can_say_is_told_where_nothing_speaks_against_it() -> None:
    unknown = Score(None, why="the reply is no verdict")
    found = {
        one.id: one for one in results_of([runs("a", RIGHT, unknown), runs("b", unknown, WRONG)])
    }
    assert (found["a"].why, found["b"].why) == ("the reply is no verdict", "it is another")


def test_numbers_of_a_case_are_those_of_one_answer() -> None:
    answers = (
        text("y", latency_us=1_000, cost_micro=10),
        text("y", latency_us=3_000, cost_micro=20),
    )
    found = results_of([runs("x", RIGHT, RIGHT, answers=answers)])[0]
    assert (found.latency_ms, found.cost_micro, found.outputs) == (2.0, 15, 1)


def test_an_earlier_report_gives_the_cases_back_that_are_unchanged() -> None:
    given = [runs("a", RIGHT, RIGHT, RIGHT), runs("b", WRONG), runs("c", RIGHT)]
    cases = {one.case.id: one.case for one in given[:2]}
    cases["c"] = Case("c", {"text": "c"}, "something else")
    found = {one.case.id: one for one in read_back(given, cases)}
    assert set(found) == {"a", "b"}
    assert found["a"].scores == {"exact": (Score(1.0, True),) * 3}
    assert found["b"].scores == {"exact": (Score(0.0, False),)}
    answer = Asked(disposition="answered", output={"text": "a 0"}, latency_us=5)
    assert found["a"].answers == (answer,) * 3


def test_repeats_that_disagreed_come_back_as_they_were() -> None:
    scores: dict[str, tuple[Score | None, ...]] = {
        "exact": (RIGHT, WRONG, RIGHT),
        "judge": (Score(1.0, True, doubt=0.2), Score(None), None),
        "graded": (Score(0.2), Score(0.4), Score(0.6)),
    }
    given = CaseRuns(Case("a", {}), "s", (text("y"),) * 3, scores)
    (found,) = read_back([given], {"a": given.case})
    assert rights_of(found) == rights_of(given) == (True, False, True)
    for name in scores:
        before, after = (tallies_of([each], name).by_case["a"] for each in (given, found))
        assert after.value == pytest.approx(before.value)
        assert after.repeats == before.repeats
        assert after.lowest == pytest.approx(before.lowest)
    assert tallies_of([found], "graded").is_share is False


def test_what_the_money_did_not_reach_does_not_come_back() -> None:
    given = CaseRuns(Case("a", {}), "s", (text("y"), None), {"exact": (RIGHT, None)})
    (found,) = read_back([given], {"a": given.case})
    assert (len(found.answers), found.scores) == (1, {"exact": (Score(1.0, True),)})
    given = CaseRuns(Case("a", {}), "s", (None, None), {})
    (found,) = read_back([given], {"a": given.case})
    assert (found.answers, found.scores) == ((None,), {})


def read_back(given: list[CaseRuns], cases: dict[str, Case]) -> tuple[CaseRuns, ...]:
    """Return what a report that was stored says of the cases."""
    stored = msgspec.json.encode(results_of(given))
    return runs_from(msgspec.json.decode(stored, type=list[CaseResult]), cases)
