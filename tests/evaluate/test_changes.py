from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.declare.evaluation import BehaviourEntry
from roadworthy.evaluate.behaviours import Changed, changed_cases
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.changes.paraphrase import replaced

TEXT_KINDS = ("typos", "case", "whitespace", "format", "paraphrase", "names", "gender", "locale")
SENTENCE = "Please tell Emily Baker that order RW-4471 of 2024-03-05 about 3.5 kg has not arrived."


def entry(use: str, **rest: Any) -> BehaviourEntry:
    return BehaviourEntry.model_validate({"use": use, **rest})


def texts(use: str, text: str, **rest: Any) -> list[str]:
    """Return what one text is changed to."""
    found = changed_cases(entry(use, fields=["q"], **rest), [Case("a", {"q": text})])
    return [one.case.input["q"] for one in found]


def numbers(use: str, value: Any, *others: Any, schema: Any = None, **rest: Any) -> list[Any]:
    """Return what the number of the first case is changed to."""
    cases = [Case(f"c{place}", {"x": x}) for place, x in enumerate((value, *others))]
    found = changed_cases(entry(use, fields=["x"], **rest), cases, schema=schema)
    return [one.case.input["x"] for one in found if one.of == "c0"]


@pytest.mark.parametrize("use", TEXT_KINDS)
def test_the_same_seed_gives_the_same_changes_and_another_seed_may_not(use: str) -> None:
    cases = [Case(f"c{n}", {"q": f"{SENTENCE} He called {n} times. It is late."}) for n in range(9)]
    first = changed_cases(entry(use), cases)
    assert first == changed_cases(entry(use), list(cases))
    assert {one.of for one in first} == {case.id for case in cases}
    assert len({one.case.id for one in first} | {case.id for case in cases}) == len(first) + 9
    others = [changed_cases(entry(use), cases, seed) for seed in range(1, 6)]
    assert use == "gender" or any(other != first for other in others)


@pytest.mark.parametrize("use", TEXT_KINDS)
def test_a_change_says_what_it_changed_and_leaves_the_expectation(use: str) -> None:
    case = Case("a", {"q": f"{SENTENCE} He is late."}, expect={"label": "late"}, tags=("x",))
    for one in changed_cases(entry(use), [case]):
        assert one.of == "a"
        assert one.said.startswith("q: ")
        assert one.case.input != case.input
        assert (one.case.expect, one.case.tags) == (case.expect, case.tags)


@given(st.text(st.characters(exclude_characters="`{}"), max_size=200), st.integers(0, 5))
def test_typos_never_touch_numbers_ids_links_or_codes(text: str, seed: int) -> None:
    held = "RW-4471 http://a.example/path me@a.example 12.50 a_b JFK x1y `select`"
    whole = f"{held} {text} {held}"
    case = Case("a", {"q": whole})
    for one in changed_cases(entry("typos", fields=["q"]), [case], seed):
        new = one.case.input["q"]
        assert new.startswith(held)
        assert new.endswith(held)
        assert re.findall(r"\d+", new) == re.findall(r"\d+", whole)


@given(st.text(max_size=300), st.sampled_from(TEXT_KINDS), st.integers(0, 3))
def test_any_text_can_be_changed_or_is_left_out(text: str, use: str, seed: int) -> None:
    for one in changed_cases(entry(use, fields=["q"]), [Case("a", {"q": text})], seed):
        assert one.case.input["q"] != text


def test_a_typo_is_one_slip_in_eight_words() -> None:
    (new,) = texts("typos", "where is the parcel")
    assert new != "where is the parcel"
    assert len(set(new.split()) - {"where", "is", "the", "parcel"}) == 1


def test_codes_keep_their_capitals_when_the_case_changes() -> None:
    for seed in range(8):
        case = Case("a", {"q": "my flight UA to JFK was late"})
        (one,) = changed_cases(entry("case"), [case], seed)
        assert "JFK" in one.case.input["q"]
        assert one.case.input["q"].casefold() == case.input["q"].casefold()


def test_whitespace_keeps_every_word() -> None:
    for seed in range(20):
        case = Case("a", {"q": "Is it late? I wait here."})
        (one,) = changed_cases(entry("whitespace"), [case], seed)
        assert re.findall(r"\w+", one.case.input["q"]) == re.findall(r"\w+", case.input["q"])


def test_wordings_that_are_declared_replace_each_other_with_what_stands_between() -> None:
    new = texts("paraphrase", "Can I return my shoes?", replace={"can I {do}?": "May I {do}?"})
    assert "May I return my shoes?" in new
    assert replaced("refunds and refund", "refund", "money back") == "refunds and money back"
    assert texts("paraphrase", "I do not know")[0] == "I don't know"


def test_people_get_names_of_other_origins_and_keep_their_gender_and_their_being_two() -> None:
    found = texts("names", "Emily wrote to Claire Baker. Emily waits.")
    assert len(found) == 3
    for new in found:
        first, second = re.findall(r"^(\w+) wrote to (\w+)", new)[0]
        assert first != second
        assert new.endswith(f"{first} waits.")
        assert not re.search("Emily|Claire|Baker", new)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("He lost his bag.", "She lost her bag."),
        ("I saw her. It was hers.", "I saw him. It was his."),
        ("Her HUSBAND called him", "His WIFE called her"),
        ("Ahmed and his sister", "Fatima and her brother"),
        ("The manual of the human", None),
    ],
)
def test_gender_is_swapped_by_words_in_their_case(text: str, changed: str | None) -> None:
    assert texts("gender", text) == ([] if changed is None else [changed])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("on 2024-03-25", {"on 25 March 2024", "on 25.03.2024"}),
        ("on 2024-03-05", {"on 5 March 2024"}),
        ("at 14:30 and 00:05", {"at 2:30 pm and 12:05 am"}),
        ("costs $1,250.50 now", {"costs 1 250,50 USD now"}),
        ("about 1,250.75 of them", {"about 1 250,75 of them"}),
        ("weighs 3.5 kg", {"weighs 3500 g", "weighs 3,5 kg"}),
        ("version v3.2 of a1.5b", set()),
    ],
)
def test_values_are_written_as_elsewhere_and_never_rounded(text: str, written: set[str]) -> None:
    case = Case("a", {"q": text})
    found = {
        one.case.input["q"]
        for seed in range(30)
        for one in changed_cases(entry("locale", fields=["q"]), [case], seed)
    }
    assert found == written


def test_order_is_changed_of_lists_and_lines_and_keys_and_of_sentences_where_declared() -> None:
    case = Case("a", {"options": ["x", "y", "z"], "q": "One. Two. Three.", "j": '{"a":1,"b":2}'})
    (one,) = changed_cases(entry("order"), [case])
    assert sorted(one.case.input["options"]) == ["x", "y", "z"]
    assert one.case.input["options"] != ["x", "y", "z"]
    assert one.case.input["j"] == '{"b":2,"a":1}'
    assert one.case.input["q"] == case.input["q"]
    (two,) = changed_cases(entry("order", fields=["q"]), [case])
    assert sorted(two.case.input["q"].split()) == ["One.", "Three.", "Two."]
    assert changed_cases(entry("order"), [Case("a", {"options": ["x", "x"]})]) == []


def test_monotonic_raises_by_a_step_or_to_each_larger_value_of_the_suite() -> None:
    assert numbers("monotonic", 10, 20, 15, 5) == [15, 20]
    assert numbers("monotonic", 10, 20, by=3) == [13]
    assert numbers("monotonic", 10.0, by=0.5, is_relative=True) == [15.0]
    assert len(numbers("monotonic", 0, *range(1, 100))) == 8
    limit = {"properties": {"x": {"maximum": 12}}}
    assert numbers("monotonic", 10, by=3, schema=limit) == [12]
    assert numbers("monotonic", 12, by=3, schema=limit) == []


def test_a_direction_is_given_by_what_stands_in_the_place_of_what() -> None:
    cases = [Case("a", {"sky": "clear", "n": 1}), Case("b", {"sky": "storm", "n": 1})]
    declared = entry("directional", fields=["sky"], replace={"clear": "storm"}, direction="up")
    (one,) = changed_cases(declared, cases)
    assert (one.of, one.case.input["sky"]) == ("a", "storm")
    assert one.pair == "clear → storm"


@given(st.integers(-1000, 1000), st.floats(0.5, 50), st.integers(0, 5))
def test_noise_and_bounds_stay_within_what_is_declared(value: int, by: float, seed: int) -> None:
    cases = [Case("a", {"x": value, "y": value / 3})]
    for use in ("noise", "bounded"):
        found = changed_cases(entry(use, fields=["x", "y"], by=by), cases, seed)
        for one in found:
            assert abs(one.case.input["x"] - value) <= by
            assert abs(one.case.input["y"] - value / 3) <= by + 1e-9
            assert isinstance(one.case.input["x"], int)
        assert found


def test_the_box_is_searched_at_its_axes_its_corners_and_inside() -> None:
    case = Case("a", {"x": 0.0, "y": 0.0})
    found = changed_cases(entry("bounded", fields=["x", "y"], by=1.0), [case])
    points = {(one.case.input["x"], one.case.input["y"]) for one in found}
    assert {(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)} <= points
    assert any(0 < abs(x) < 1 for x, _ in points)
    assert len(points) == len(found) <= 38


def test_a_field_that_a_case_brings_as_a_feature_is_changed_there() -> None:
    case = Case("a", {"id": 1}, features={"delay": 5.0})
    (one,) = changed_cases(entry("monotonic", fields=["delay"], by=2.0), [case])
    assert one.case.features == {"delay": 7.0}
    assert one.case.input == {"id": 1}


def test_words_are_swapped_both_ways_and_values_as_a_whole() -> None:
    replace = {"old": "young", "true": False}
    cases = [
        Case("a", {"q": "Old men and young men", "member": True, "age": "old"}),
        Case("b", {"q": "nobody", "member": "x", "age": "none"}),
    ]
    found = changed_cases(entry("swap", replace=replace), cases)
    assert [(one.pair, one.of) for one in found] == [("old ⇄ young", "a"), ("true ⇄ False", "a")]
    assert found[0].case.input == {"q": "Young men and old men", "member": True, "age": "young"}
    assert found[1].case.input["member"] is False


def test_no_more_cases_are_changed_than_declared_and_which_is_drawn() -> None:
    cases = [Case(f"c{n}", {"q": "where is my parcel now"}) for n in range(50)]
    few = changed_cases(entry("typos", cases=5), cases)
    assert len(few) == 5
    assert [one.of for one in few] != [case.id for case in cases[:5]]
    assert {one.of for one in few} != {
        one.of for one in changed_cases(entry("typos", cases=5), cases, 1)
    }


def test_attacks_try_extreme_values_and_leave_fields_out() -> None:
    schema = {"properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}}
    cases = [Case(f"c{n}", {"n": 1, "kind": "new", "q": "where is my parcel"}) for n in range(20)]
    found: list[Changed] = changed_cases(entry("attacks"), cases, schema=schema)
    tried = [one.case.input for one in found]
    assert any("n" not in values for values in tried)
    assert any(values.get("n") == 9 for values in tried)
    assert any(values.get("kind") == "zz-never-seen" for values in tried)
    injected = [one for one in found if one.marks]
    assert injected
    assert all(one.case.input["q"].startswith("where is my parcel\n\n") for one in injected)
