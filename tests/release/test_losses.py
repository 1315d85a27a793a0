"""What of a request is a loss, and what of an answer became known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from roadworthy.release.losses import (
    Measures,
    has_failed,
    known_of_both,
    label_loss,
    losses_of,
)
from roadworthy.store.met import unit_key
from roadworthy.store.truth import Truth
from roadworthy.types import Outcome, Record


def record(**fields: Any) -> Record:
    usual: dict[str, Any] = {
        "id": "rq_1",
        "at_us": 1,
        "service": "late",
        "kind": "predict",
        "disposition": "answered",
    }
    return Record(**(usual | fields))


def known(value: Any, kind: str = "label", source: str = "api") -> Outcome:
    return Outcome(
        id="oc",
        request_id="rq_1",
        kind=kind,
        value=value,
        source=source,
        at_us=1,
        known_at_us=1,
        by="test",
    )


ALL = Measures(late_us=1_000, ceiling_micro=100, has_checks=True, has_doubt=True)


def test_only_what_is_measured_is_a_loss() -> None:
    assert losses_of(record(latency_us=5_000, cost_micro=50), Measures()) == {"errors": 0.0}
    assert Measures().metrics == ("errors", "wrong")
    assert ALL.metrics == ("errors", "late", "cost", "denials", "doubt", "wrong")


def test_each_loss_lies_between_0_and_1() -> None:
    late = record(latency_us=1_001, cost_micro=25, confidence=0.75)
    found = losses_of(late, ALL)
    assert found == {"errors": 0.0, "late": 1.0, "cost": 0.25, "denials": 0.0, "doubt": 0.25}
    dear = record(disposition="refused", error_code="guard_denied", cost_micro=1_000)
    found = losses_of(dear, ALL)
    assert found == {"errors": 0.0, "late": 0.0, "cost": 1.0, "denials": 1.0}


def test_what_a_client_gave_up_says_nothing() -> None:
    gone = record(disposition="failed", error_code="cancelled")
    assert losses_of(gone, ALL) == {}
    assert not has_failed(gone)


@pytest.mark.parametrize(
    ("reason", "fails"),
    [
        ("all_models_failed: no model gave an answer", True),
        ("not_sure: the answer may not be given alone", False),
        ("budget_exhausted: spent", False),
    ],
)
def test_an_answer_of_the_ladder_is_an_error_where_models_failed(reason: str, fails: bool) -> None:
    assert has_failed(record(disposition="fallback", reasons=(reason,))) is fails


def answer(**output: Any) -> bytes:
    return msgspec.json.encode(output)


def test_a_label_says_whether_an_answer_was_right() -> None:
    truth = Truth(None)
    for label, loss in ((True, 0.0), (False, 1.0)):
        assert label_loss(answer(label=True), [known(label)], Measures(), truth) == loss
    assert label_loss(answer(label=True), [], Measures(), truth) is None
    assert label_loss(b"", [known(True)], Measures(), truth) is None
    assert label_loss(answer(label=True), [known(5, "rating")], Measures(), truth) is None


def test_sources_that_disagree_count_as_wrong() -> None:
    both = [known(True), known(False, source="import")]
    assert label_loss(answer(label=True), both, Measures(), Truth(None)) == 1.0


def test_an_expression_says_when_an_answer_is_right() -> None:
    measures = Measures(right="output.minutes - label < 5.0")
    truth = Truth(measures.right)
    assert label_loss(answer(minutes=12.0), [known(10.0)], measures, truth) == 0.0
    assert label_loss(answer(minutes=22.0), [known(10.0)], measures, truth) == 1.0


def test_a_probability_is_held_against_what_was_true() -> None:
    measures, truth = Measures(label="brier"), Truth(None)
    found = label_loss(answer(label=True, probability=0.9), [known(True)], measures, truth)
    assert found == pytest.approx(0.01)
    for output in (answer(label=True), answer(probability=2), answer(probability="x"), b"", b"{"):
        assert label_loss(output, [known(True)], measures, truth) is None
    disputed = [known(True), known(False, source="import")]
    assert label_loss(answer(probability=0.9), disputed, measures, truth) is None


def test_a_verdict_on_the_shown_answer_tells_the_truth_of_two_labels() -> None:
    truth, measures = Truth(None), Measures()
    for label, verdict in ((True, True), (True, False), (False, True), (False, False)):
        said = known_of_both(answer(label=label), [known(verdict, "correct")])
        assert label_loss(answer(label=label), said, measures, truth) == float(not verdict)
        assert label_loss(answer(label=not label), said, measures, truth) == float(verdict)


def test_what_tells_the_truth_of_one_answer_alone_judges_neither() -> None:
    said = [known(True, "correct"), known({"text": "better"}, "correction"), known(3, "rating")]
    kept = known_of_both(answer(text="good"), said)
    assert [outcome.kind for outcome in kept] == ["rating"]
    assert known_of_both(answer(text="good"), [known("label")]) == [known("label")]


@pytest.mark.parametrize("code", ["service_stopped", "budget_exhausted"])
def test_what_no_release_could_answer_says_nothing_of_one(code: str) -> None:
    assert losses_of(record(disposition="refused", error_code=code), ALL) == {}
    fallen = record(disposition="fallback", reasons=(f"{code}: spent",))
    assert losses_of(fallen, ALL) == {}
    assert losses_of(record(disposition="cached"), ALL) == {}


def test_a_contract_that_refuses_more_is_a_loss_and_neither_quick_nor_cheap() -> None:
    refused = record(disposition="refused", error_code="contract_violation")
    assert losses_of(refused, ALL) == {"denials": 1.0}


def test_one_that_its_client_gave_up_late_was_late() -> None:
    gone = record(disposition="failed", error_code="cancelled", latency_us=5_000)
    assert losses_of(gone, ALL) == {"late": 1.0}
    assert losses_of(gone, Measures()) == {}


def test_models_that_fail_have_failed_though_a_person_is_asked_instead() -> None:
    asked = record(disposition="review", reasons=("all_models_failed: no model gave an answer",))
    held = record(disposition="review", reasons=("score 0.900, certified from 0.950 on only",))
    assert has_failed(asked)
    assert not has_failed(held)


def test_of_a_forgotten_user_reasons_are_codes_and_say_the_same() -> None:
    assert not has_failed(record(disposition="fallback", reasons=("not_sure",)))
    assert has_failed(record(disposition="fallback", reasons=("model_timeout",)))


def test_numbers_that_stand_for_two_labels_are_held_against_a_probability() -> None:
    measures = Measures(label="brier")
    found = label_loss(answer(probability=0.9), [known(1)], measures, Truth(None))
    assert found == pytest.approx(0.01)


def test_a_unit_is_known_by_a_hash_that_names_nobody() -> None:
    key = unit_key("ro_1", 0, "ada")
    assert "ada" not in key
    others = {unit_key("ro_2", 0, "ada"), unit_key("ro_1", 1, "ada"), unit_key("ro_1", 0, "ben")}
    assert key not in others
    assert len(others) == 3
