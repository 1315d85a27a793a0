from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from roadworthy.declare.evaluation import BehaviourEntry
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.behaviours import changed_cases, judge_behaviour
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.judging import same_verdict
from roadworthy.evaluate.report import BehaviourResult
from roadworthy.evaluate.scorer import Score

TYPOS = [Case(f"c{n}", {"q": f"where is the parcel of order A{n}"}) for n in range(200)]


def entry(use: str, **rest: Any) -> BehaviourEntry:
    return BehaviourEntry.model_validate({"use": use, **rest})


def label(value: Any, probability: float = 0.5) -> Asked:
    return Asked(disposition="answered", output={"label": value, "probability": probability})


def text(value: str) -> Asked:
    return Asked(disposition="answered", output={"text": value})


FAILED = Asked(disposition="failed", error_code="model_error")
REFUSED = Asked(disposition="refused", error_code="denied")


def judged(
    declared: BehaviourEntry,
    cases: Sequence[Case],
    before: Asked | None,
    *after: Asked | None,
    **rest: Any,
) -> BehaviourResult:
    """Judge where every case was answered `before`, and the changed ones `after`, by turns."""
    changed = changed_cases(declared, cases, schema=rest.pop("schema", None))
    old = dict.fromkeys((case.id for case in cases), before)
    new = {one.case.id: after[n % len(after)] for n, one in enumerate(changed)}
    return judge_behaviour(declared, changed, old, new, **rest)


def test_a_label_that_stays_passes_once_enough_cases_say_so() -> None:
    found = judged(entry("typos", cases=100), TYPOS, label(True), label(True))
    assert (found.broken.verdict, found.broken.value, found.broken.n) == ("pass", 0.0, 100)
    assert found.broken.bar == 0.05
    assert found.examples == ()
    few = judged(entry("typos", cases=50), TYPOS, label(True), label(True)).broken
    assert (few.verdict, few.needed) == ("inconclusive", 22)


def test_labels_that_change_fail_with_examples_of_what_was_changed() -> None:
    found = judged(entry("typos"), TYPOS, label(True), label(True), label(False))
    assert (found.broken.verdict, found.broken.value) == ("fail", 0.5)
    assert len(found.examples) == 10
    first = found.examples[0]
    assert first["case"] in {case.id for case in TYPOS}
    assert first["before"] == {"label": True, "probability": 0.5}
    assert first["after"] == {"label": False, "probability": 0.5}
    assert "became" in first["said"]
    assert first["says"] == "the answer is another"


def test_at_zero_no_number_of_cases_passes_and_it_says_what_to_declare() -> None:
    found = judged(entry("typos", at_most=0), TYPOS, label(True), label(True)).broken
    assert (found.verdict, found.needed) == ("inconclusive", None)
    assert "declare a bar above 0" in found.why


def test_a_watched_number_may_move_within_the_tolerance() -> None:
    declared = entry("typos", output="$.probability", tolerance=0.05)
    assert judged(declared, TYPOS, label(1, 0.5), label(1, 0.54)).broken.value == 0
    found = judged(declared, TYPOS, label(1, 0.5), label(1, 0.56))
    assert found.broken.value == 1
    assert found.examples[0]["says"] == "the watched number moved by +0.06"
    assert judged(entry("typos"), TYPOS, label(1, 0.5), label(1, 0.9)).broken.value == 0


@pytest.mark.parametrize(
    ("use", "direction", "moves", "broken"),
    [
        ("monotonic", "up", 0.0, 0),
        ("monotonic", "up", -0.2, 1),
        ("monotonic", "down", 0.2, 1),
        ("monotonic", "down", -0.2, 0),
        ("monotonic", None, -0.2, 1),
        ("monotonic", "same", 0.2, 1),
        ("monotonic", "up", -0.04, 0),
        ("directional", "up", 0.0, 1),
        ("directional", "up", 0.2, 0),
        ("directional", "down", 0.2, 1),
        ("directional", "down", -0.2, 0),
    ],
)
def test_a_number_goes_where_it_is_due(
    use: str, direction: str | None, moves: float, broken: int
) -> None:
    cases = [Case(f"c{n}", {"x": n}) for n in range(50)]
    declared = entry(
        use, by=5, fields=["x"], direction=direction, output="$.probability", tolerance=0.05
    )
    found = judged(declared, cases, label(1, 0.5), label(1, 0.5 + moves))
    assert found.broken.value == broken


def test_a_monotonic_answer_without_a_number_is_broken() -> None:
    cases = [Case(f"c{n}", {"x": n}) for n in range(50)]
    found = judged(entry("monotonic", by=5, direction="up"), cases, text("a"), text("a"))
    assert found.broken.value == 1
    assert found.examples[0]["says"] == "there is no number to watch"


def test_a_case_counts_once_however_many_changes_it_was_asked_with() -> None:
    cases = [Case(f"c{n}", {"x": 1.0, "y": 1.0}) for n in range(10)]
    declared = entry("bounded", by=0.5, at_most=0.1)
    changed = changed_cases(declared, cases)
    after = {one.case.id: label(one.case.input["x"] < 1.5) for one in changed}
    before = {case.id: label(True) for case in cases}
    found = judge_behaviour(declared, changed, before, after).broken
    assert len(changed) > 200
    assert (found.n, found.value, found.verdict) == (10, 1.0, "fail")


def test_what_was_not_asked_or_failed_before_is_left_out_and_said() -> None:
    found = judged(entry("typos", cases=100), TYPOS, label(1), label(1), None).broken
    assert found.n == 50
    assert found.why == "50 of 100 cases were left out: no two answers to compare"
    assert judged(entry("typos"), TYPOS, FAILED, label(1)).broken.verdict == "inconclusive"
    nothing = judged(entry("names"), TYPOS, label(1), label(1)).broken
    assert (nothing.verdict, nothing.n) == ("inconclusive", 0)
    assert "no case holds anything to change" in nothing.why


def test_an_answer_that_fails_or_is_refused_after_a_change_is_broken() -> None:
    assert judged(entry("typos"), TYPOS, label(1), FAILED).broken.value == 1
    assert judged(entry("typos"), TYPOS, label(1), REFUSED).broken.value == 1
    assert judged(entry("typos"), TYPOS, REFUSED, REFUSED).broken.value == 0
    assert judged(entry("typos"), TYPOS, REFUSED, label(1)).broken.value == 1


def test_free_text_is_held_to_what_the_caller_says_is_the_same() -> None:
    asked: list[Case] = []

    def same(case: Case, before: Asked, after: Asked) -> bool | None:
        asked.append(case)
        return None if before.text == "?" else before.text[-5:] == after.text[-5:]

    found = judged(entry("typos"), TYPOS, text("In the shop."), text("At the shop."), same=same)
    assert found.broken.value == 0
    assert "~typos" in asked[0].id
    assert judged(entry("typos"), TYPOS, text("?"), text("?"), same=same).broken.value == 0
    assert judged(entry("typos"), TYPOS, text("?"), text("!"), same=same).broken.value == 1
    assert judged(entry("typos"), TYPOS, text("In the shop."), text("At it.")).broken.value == 1
    spaced = judged(entry("typos"), TYPOS, text("In  the Shop."), text("in the shop."))
    assert spaced.broken.value == 0


def test_free_text_is_the_same_where_its_scorer_still_finds_it_right() -> None:
    class Long:
        version = "1"

        def __init__(self, name: str, least: int | None, is_dear: bool = False) -> None:
            self.name, self.least, self.is_dear = name, least, is_dear

        def score(self, case: Case, asked: Asked) -> Score:
            if self.least is None or self.is_dear:
                return Score(None)
            return Score(1.0, len(asked.text) >= self.least)

    case = Case("a", {})
    same = same_verdict([Long("long", 3), Long("none", None), Long("judge", 9, is_dear=True)])
    assert same(case, text("four"), text("fourteen")) is True
    assert same(case, text("four"), text("no")) is False
    assert same(case, text("no"), text("na")) is True
    named = msgspec.structs.replace(case, scorer=("none",))
    assert same(named, text("four"), text("no")) is None


def test_what_was_not_tried_in_earnest_says_nothing() -> None:
    limited = Asked(disposition="failed", error_code="model_rate_limited")
    assert judged(entry("typos"), TYPOS, label(1), limited).broken.n == 0
    assert attacked(Asked(disposition="failed", error_code="budget_exhausted")) is None


class _Lengths:
    """An embedder to whom texts mean alike if they have as many words."""

    name = "lengths"
    dimensions = 2

    def embed(self, texts: Sequence[str]) -> Any:
        angles = np.array([len(text.split()) for text in texts], dtype=np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_free_text_may_mean_the_same_in_other_words() -> None:
    close, far = text("it is there"), text("no")
    meant = text("the shop waits")
    found = judged(entry("typos"), TYPOS, meant, close, far, embedder=_Lengths())
    assert found.broken.value == 0.5


def test_swaps_say_of_each_pair_how_often_it_mattered_and_where_the_number_went() -> None:
    cases = [Case(f"c{n}", {"q": "she wants a loan", "x": n}) for n in range(20)]
    declared = entry("swap", replace={"she": "he"}, output="$.probability", tolerance=0.1)
    found = judged(declared, cases, label(1, 0.5), label(1, 0.5), label(1, 0.9))
    (pair,) = found.pairs
    assert (pair["pair"], pair["n"], pair["broken"]) == ("she ⇄ he", 20, 10)
    assert pair["moved"] == pytest.approx(0.2)
    assert judged(entry("typos"), TYPOS, label(1), label(1)).pairs == ()


def attacked(after: Asked, before: Asked | None = None, **rest: Any) -> float | None:
    cases = [Case(f"c{n}", {"n": n, "kind": "new"}) for n in range(5)]
    return judged(entry("attacks", **rest), cases, before or label(1), after).broken.value


def test_an_attack_may_be_refused_or_fall_back_but_nothing_may_break() -> None:
    assert attacked(label(1)) == 0
    assert attacked(REFUSED) == 0
    assert attacked(Asked(disposition="failed", error_code="contract_violation")) == 0
    assert attacked(Asked(disposition="fallback", output={"label": 0})) == 0
    assert attacked(FAILED) == 1
    assert attacked(FAILED, before=FAILED) is None
    assert attacked(label(1, float("nan"))) == 1
    assert attacked(Asked(disposition="answered", output={}, schema_problem="no `label`")) == 1
    assert attacked(Asked(disposition="fallback", output={}, schema_problem="no `label`")) == 0


def test_an_answer_may_not_match_what_an_attack_wants() -> None:
    assert attacked(text("the password is 7"), must_not="password is") == 1
    assert attacked(text("I cannot say"), must_not="password is") == 0
    cases = [Case(f"c{n}", {"q": "where is my parcel now"}) for n in range(5)]
    declared = entry("attacks")
    changed = changed_cases(declared, cases)
    before: Mapping[str, Asked] = {case.id: text("On its way.") for case in cases}
    fell = {one.case.id: text(f"Gladly: {one.marks[0]}") for one in changed}
    quoted = {one.case.id: text(one.case.input["q"]) for one in changed}
    assert judge_behaviour(declared, changed, before, fell).broken.value == 1
    assert judge_behaviour(declared, changed, before, quoted).broken.value == 0
