"""Decisions become examples, one of each input, held back until they pass their checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decided import SERVICE, START_US, Past
from sqlalchemy import update

from roadworthy.declare.schemas import compile_schema
from roadworthy.errors import Forbidden, NotFound, RequestError
from roadworthy.improve.bursts import ALIKE_LEAST, BURST_LEAST
from roadworthy.improve.checks import Missed
from roadworthy.improve.contracts import Contract
from roadworthy.improve.examples import CHUNK
from roadworthy.improve.made import MOST_PARTS
from roadworthy.improve.overrule import reject_examples, release_examples
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.examples import count_examples, read_example
from roadworthy.store.records import delete_user, drop_before
from roadworthy.store.tables import reviews
from roadworthy.types import DAY_US, MICRO

RIGHT = {"label": True, "probability": 1.0}
NUMBER: dict[str, Any] = {
    "properties": {"p": {"type": "number", "maximum": 1}},
    "required": ["p"],
}
LABEL: dict[str, Any] = {
    "properties": {"label": {"type": "boolean"}, "probability": {"type": "number"}},
    "required": ["label", "probability"],
}


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path)
    yield made
    made.state.dispose()


def test_a_correction_becomes_an_accepted_example(past: Past) -> None:
    request = past.request({"p": 0.5}, features={"values": {"wind": 3.0}, "views": {}})
    review = past.rule(request, {"p": 0.5}, output={"label": True, "probability": 1.0})
    said = past.gather()
    assert said == (
        "1 decided requests: 1 examples made or changed, 0 requests without a record or an input"
    )
    one = past.only()
    assert (one.state, one.why, one.service) == ("accepted", "", SERVICE)
    assert (one.by, one.source, one.request_id) == ("key:ada", "review", request)
    assert json.loads(one.input) == {"p": 0.5}
    assert json.loads(one.output) == {"label": True, "probability": 1.0}
    detail = one.detail
    assert (detail.review_id, detail.release, detail.severity) == (review, "rl_1", "major")
    assert (detail.is_correction, detail.kind) == (True, "output")
    assert detail.features["values"] == {"wind": 3.0}


def test_what_was_right_is_an_example_too(past: Past) -> None:
    request = past.request({"p": 0.1}, share=0.05)
    past.rule(request, {"p": 0.1}, decision="approve", kind="audit", severity="none")
    past.gather()
    one = past.only()
    assert (one.state, one.source, one.weight) == ("accepted", "audit", 20.0)
    assert one.detail.is_correction is False
    assert json.loads(one.output) == {"label": False, "probability": 0.2}


def test_what_was_not_drawn_and_is_known_stands_for_itself(past: Past) -> None:
    past.report(past.request({"p": 0.1}, share=0.05, is_drawn=False), "label", True)
    past.gather()
    assert past.only().weight == 1.0


@pytest.mark.parametrize(
    ("kind", "value", "output", "is_correction"),
    [
        ("label", True, True, True),
        ("label", False, False, False),
        ("correction", {"label": True}, {"label": True}, True),
        ("correct", True, {"label": False, "probability": 0.2}, False),
    ],
)
def test_what_a_system_reports_is_one(
    past: Past, kind: str, value: Any, output: Any, is_correction: bool
) -> None:
    past.report(past.request({"p": 0.5}), kind, value)
    past.gather()
    one = past.only()
    assert json.loads(one.output) == output
    assert (one.detail.is_correction, one.source, one.by) == (is_correction, "erp", "key:erp")
    assert one.state == "accepted"


def test_that_an_answer_was_wrong_says_not_what_is_right(past: Past) -> None:
    past.report(past.request({"p": 0.5}), "correct", False)
    past.rule(past.request({"p": 0.6}), {"p": 0.6}, decision="reject")
    past.report(past.request({"p": 0.7}), "rating", 0.1)
    past.gather()
    assert past.examples() == []


def test_what_a_ruling_left_among_the_outcomes_is_not_counted_twice(past: Past) -> None:
    request = past.corrected({"p": 0.5})
    past.report(request, "correct", False, source="review", by="key:ada")
    past.report(request, "correction", {"label": True}, source="review", by="key:ada")
    past.gather()
    assert len(past.only().detail.parts) == 1


def test_a_planted_case_teaches_nothing(past: Past) -> None:
    past.corrected({"p": 0.5}, kind="planted")
    past.gather()
    assert past.examples() == []


def test_the_same_input_is_one_example_with_all_its_requests(past: Past) -> None:
    requests = [past.corrected({"p": 0.5}, by=f"key:{n}") for n in range(3)]
    past.gather()
    assert sorted(part.request_id for part in past.only().detail.parts) == sorted(requests)


def test_a_later_request_joins_an_example_that_is_there(past: Past) -> None:
    first = past.corrected({"p": 0.5})
    past.gather()
    second = past.corrected({"p": 0.5}, at_us=START_US + 9 * MICRO)
    past.clock.set(START_US + DAY_US)
    past.gather()
    assert {part.request_id for part in past.only().detail.parts} == {first, second}


def test_without_a_desk_the_same_input_is_known_by_its_body(past: Past) -> None:
    for input in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}):
        past.report(past.request(input, has_draft=False), "label", True)
    past.gather()
    assert len(past.examples()) == 2


def test_two_people_who_say_otherwise_are_both_named(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.corrected({"p": 0.5}, label=False, by="key:bob")
    past.gather()
    one = past.only()
    assert one.state == "quarantined"
    assert one.why.startswith("conflict: key:ada (rv_")
    assert "and key:bob (rv_" in one.why


def test_who_changed_their_mind_contradicts_nobody(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True)
    past.corrected({"p": 0.5}, label=False, at_us=START_US + 2 * MICRO)
    past.gather()
    one = past.only()
    assert (one.state, json.loads(one.output)["label"]) == ("accepted", False)


def test_turning_down_what_another_approves_is_a_conflict(past: Past) -> None:
    for by, decision in (("key:ada", "approve"), ("key:bob", "reject")):
        past.rule(past.request({"p": 0.5}), {"p": 0.5}, decision=decision, by=by)
    past.gather()
    assert past.only().why.startswith("conflict: ")


def test_what_was_only_turned_down_long_ago_still_contradicts(past: Past) -> None:
    past.rule(past.request({"p": 0.5}), {"p": 0.5}, decision="reject", by="key:bob")
    past.corrected({"p": 0.6})
    past.gather()
    later_us = START_US + 9 * DAY_US
    past.clock.set(later_us)
    past.corrected({"p": 0.6}, at_us=later_us - 9 * MICRO)
    past.gather()
    request = past.request({"p": 0.5}, at_us=later_us)
    past.rule(request, {"p": 0.5}, decision="approve", by="key:ada", at_us=later_us)
    past.gather()
    assert past.examples("quarantined")[0].why.startswith("conflict: key:ada")


def test_a_conflict_comes_back_however_late(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.gather()
    assert past.only().state == "accepted"
    past.corrected({"p": 0.5}, label=False, by="key:bob", at_us=START_US + 9 * DAY_US)
    past.clock.set(START_US + 9 * DAY_US)
    past.gather()
    assert past.only().state == "quarantined"


@pytest.mark.parametrize(
    ("input", "output", "said"),
    [
        ({"p": 2.0}, RIGHT, "contract: input.p: expected <= 1, got 2.0"),
        ({}, RIGHT, "contract: input: expected field `p`"),
        ({"p": 0.5}, {"label": "yes"}, "contract: output"),
    ],
)
def test_what_breaks_the_contract_is_held(
    past: Past, input: dict[str, Any], output: Any, said: str
) -> None:
    past.contracts.contract = contract()
    past.rule(past.request(input), input, output=output)
    past.gather()
    assert past.only().why.startswith(said)
    assert "yes" not in past.only().why


def test_a_label_alone_need_not_be_the_whole_output(past: Past) -> None:
    past.contracts.contract = contract()
    past.report(past.request({"p": 0.5}), "label", True)
    past.report(past.request({"p": 0.6}), "label", "yes")
    past.gather()
    assert sorted(one.state for one in past.examples()) == ["accepted", "quarantined"]


def contract() -> Contract:
    output = compile_schema(LABEL, "output")
    label = compile_schema({"properties": LABEL["properties"]}, "output")
    return Contract(input=compile_schema(NUMBER), output=output, label=label)


def test_a_second_review_must_agree(past: Past) -> None:
    past.rule(request := past.corrected({"p": 0.5}), {"p": 0.5}, kind="second", state="open")
    past.gather()
    assert past.only().why == "agreement: a second review is still open"
    said = {"label": True, "probability": 1.0}
    past.rule(request, {"p": 0.5}, kind="second", by="key:bob", output=said)
    with past.state.begin() as connection:
        is_open = reviews.c.state == "open"
        connection.execute(update(reviews).where(is_open).values(state="withdrawn"))
    past.gather()
    assert past.only().state == "accepted"


def test_the_same_person_twice_are_not_two(past: Past) -> None:
    request = past.corrected({"p": 0.5})
    said = {"label": True, "probability": 1.0}
    past.rule(request, {"p": 0.5}, kind="second", by="key:ada", output=said)
    past.gather()
    assert past.only().why.startswith("agreement: only key:ada gave this answer")


def test_who_misses_planted_cases_is_not_believed_alone(past: Past) -> None:
    past.corrected({"p": 0.5})
    past.gather()
    assert past.only().state == "accepted"
    past.missed = {"key:ada": Missed(9, 9)}
    past.gather()
    assert past.only().state == "accepted", "too few are known"
    past.missed = {"key:ada": Missed(10, 3)}
    past.clock.set(START_US + 30 * DAY_US)
    past.gather()
    assert past.only().why == (
        "agreement: key:ada missed 3 of 10 planted cases, above 20%; a second reviewer must agree"
    )
    past.corrected({"p": 0.5}, by="key:bob", at_us=START_US + 30 * DAY_US)
    past.gather()
    assert past.only().state == "accepted"


def test_a_burst_of_one_reviewer_is_held_with_its_numbers(past: Past) -> None:
    word = "abcdefghijklmnopqrstuvwxyz"
    for n in range(BURST_LEAST - 1):
        past.corrected({"text": word[n] * 3}, by="key:eve", user=f"u{n}")
    for n in range(5):
        past.corrected({"text": word[n] * 5}, by="key:ada", user=f"v{n}")
    past.gather()
    assert {one.state for one in past.examples()} == {"accepted"}
    past.corrected({"text": "one more"}, by="key:eve", user="w", at_us=START_US + 3 * MICRO)
    past.gather()
    held = past.examples("quarantined")
    assert {one.by for one in held} == {"key:eve"}
    assert len(held) == BURST_LEAST
    assert {one.why for one in held} == {"burst: 20 of 25 corrections of its day came from key:eve"}
    (counts,) = count_examples(past.state)
    assert (counts.states, counts.checks) == (
        {"accepted": 5, "quarantined": 20},
        {"burst": 20},
    )


def test_a_burst_of_one_user_is_held(past: Past) -> None:
    for n in range(BURST_LEAST):
        past.corrected({"text": chr(97 + n) * 3}, by=f"key:{n}", user="eve")
    past.corrected({"text": "zzz"}, by="key:z", user="ann")
    past.gather()
    why = "burst: 20 of 21 corrections of its day were of answers to eve"
    assert [one.why for one in past.examples("quarantined")] == [why] * BURST_LEAST


def test_many_nearly_identical_inputs_are_held(past: Past) -> None:
    for n in range(ALIKE_LEAST):
        text = f"Please send my refund of order {n} to this account!"
        past.corrected({"text": text}, by=f"key:{n}", user=f"u{n}")
    past.corrected({"text": "Where is gate 7?"}, by="key:z", user="z")
    past.gather()
    why = "alike: 10 of 11 corrections of its day have nearly this input"
    assert [one.why for one in past.examples("quarantined")] == [why] * ALIKE_LEAST


def test_a_file_of_labels_is_no_burst(past: Past) -> None:
    for n in range(200):
        past.report(past.request({"p": 2.0**n}, user=f"u{n}"), "label", True, by="cli:ada")
    past.gather()
    assert len(past.examples("accepted")) == 200


def test_confirmations_are_no_burst(past: Past) -> None:
    for n in range(3 * BURST_LEAST):
        input = {"p": float(n)}
        past.rule(past.request(input), input, decision="approve")
    past.gather()
    assert len(past.examples("accepted")) == 3 * BURST_LEAST


def test_one_class_only_is_no_trouble(past: Past) -> None:
    for n in range(5):
        past.report(past.request({"p": n / 10}), "label", True)
    past.gather()
    assert {one.output for one in past.examples("accepted")} == {b"true"}


def test_a_decision_about_an_unknown_request_makes_nothing(past: Past) -> None:
    past.report("rq_unknown", "label", True)
    assert past.gather().endswith("1 requests without a record or an input")
    assert past.examples() == []


def test_a_severity_that_nobody_knows_stops_nothing(past: Past) -> None:
    past.corrected({"p": 0.5}, severity="dreadful")
    past.gather()
    assert past.only().state == "accepted"


def test_again_it_changes_nothing(past: Past) -> None:
    for n in range(CHUNK + 5):
        past.report(past.request({"p": float(n)}), "label", bool(n % 2))
    past.gather()
    before = past.examples()
    said = past.gather()
    assert "0 examples made or changed" in said
    assert past.examples() == before


def test_held_twice_it_is_the_same_when_made_again(past: Past) -> None:
    past.contracts.contract = contract()
    past.corrected({"p": 2.0}, label=True, by="key:ada")
    past.corrected({"p": 2.0}, label=False, by="key:bob", at_us=START_US + 2 * MICRO)
    past.gather()
    assert [line.split(":")[0] for line in past.only().why.splitlines()] == ["contract", "conflict"]
    assert "0 examples made or changed" in past.gather()


def test_an_input_that_comes_all_the_time_keeps_its_newest_decisions(past: Past) -> None:
    for n in range(MOST_PARTS + 10):
        past.report(past.request({"p": 0.5}), "label", True, at_us=START_US + n)
    past.gather()
    assert len(past.only().detail.parts) == MOST_PARTS
    assert "0 examples made or changed" in past.gather()


def test_what_is_said_after_the_clock_was_set_back_is_found(past: Past) -> None:
    past.corrected({"p": 0.5})
    past.gather()
    past.clock.set(START_US - DAY_US)
    past.corrected({"p": 0.6}, at_us=START_US - DAY_US)
    past.gather()
    assert len(past.examples()) == 2


def test_a_person_overrules_what_holds_an_example(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.corrected({"p": 0.5}, label=False, by="key:bob", at_us=START_US + 2 * MICRO)
    past.gather()
    id = past.only().id
    (done,) = release_examples(past.state, past.clock, [id], by="key:lead", reason="bob is right")
    assert (done.state, done.why) == ("accepted", "accepted by key:lead: bob is right")
    past.gather()
    assert read_example(past.state, id) == done, "the next run leaves it"
    (act,) = list_actions(past.state)
    assert (act.by, act.action, act.subject) == ("key:lead", "examples.release", id)
    assert act.detail["held"] == ["conflict"]
    assert verify_chain(past.state).problem == ""


def test_nobody_releases_what_is_held_of_their_own(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.corrected({"p": 0.5}, label=False, by="key:eve", at_us=START_US + 2 * MICRO)
    past.gather()
    id = past.only().id
    with pytest.raises(Forbidden, match="somebody else must release it"):
        release_examples(past.state, past.clock, [id], by="key:eve")
    assert past.only().state == "quarantined"
    release_examples(past.state, past.clock, [id], by="key:ada")
    assert past.only().state == "accepted"


def test_an_overruling_holds_for_no_other_answer(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.corrected({"p": 0.5}, label=False, by="key:bob", at_us=START_US + 2 * MICRO)
    past.gather()
    release_examples(past.state, past.clock, [past.only().id], by="key:lead")
    past.corrected({"p": 0.5}, label=True, by="key:cat", at_us=START_US + 3 * MICRO)
    past.gather()
    assert past.only().state == "quarantined"


def test_a_rejected_example_stays_so(past: Past) -> None:
    past.corrected({"p": 0.5})
    past.gather()
    id = past.only().id
    with pytest.raises(RequestError, match="reason: expected why"):
        reject_examples(past.state, past.clock, [id], by="key:lead", reason=" ")
    reject_examples(past.state, past.clock, [id], by="key:lead", reason="a joke")
    past.gather()
    assert (past.only().state, past.only().why) == ("rejected", "rejected by key:lead: a joke")


def test_of_many_all_are_released_or_none(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.corrected({"p": 0.5}, label=False, by="key:bob")
    past.gather()
    with pytest.raises(NotFound, match="no example `ex_other`"):
        release_examples(past.state, past.clock, [past.only().id, "ex_other"], by="key:lead")
    assert past.only().state == "quarantined"
    assert list_actions(past.state) == []


def test_a_forgotten_user_s_examples_go_and_do_not_come_back(past: Past) -> None:
    past.corrected({"p": 0.5}, user="ann")
    past.corrected({"p": 0.6}, user="bob")
    past.corrected({"p": 0.6}, user="ann")
    past.corrected({"p": 0.7}, user="bob")
    past.gather()
    assert len(past.examples()) == 3
    delete_user(past.state, "ann")
    assert [json.loads(one.input) for one in past.examples()] == [{"p": 0.7}]
    past.gather()
    kept = {one.input: one.detail.parts for one in past.examples()}
    assert kept.keys() == {b'{"p":0.6}', b'{"p":0.7}'}
    assert all(len(parts) == 1 for parts in kept.values()), "bob's alone"


def test_an_example_goes_with_its_record(past: Past) -> None:
    past.corrected({"p": 0.5})
    past.gather()
    drop_before(past.state, SERVICE, START_US + MICRO)
    assert past.examples() == []
    past.gather()
    assert past.examples() == []
