"""What an example must pass by itself, and how much it weighs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.improve.checks import (
    LEAST_PLANTED,
    MOST_WEIGHT,
    Missed,
    chosen,
    conflict,
    disagreement,
    is_same,
    weight_of,
)
from roadworthy.improve.made import example_of
from roadworthy.improve.said import Said, canonical

PEOPLE = st.sampled_from(["key:a", "key:b", "key:c"])
ANSWERS = st.sampled_from([b"", b'{"label":true}', b'{"label":false}'])


def said(by: str, answer: bytes, at_us: int = 0, **fields: Any) -> Said:
    id = f"rv_{by}_{at_us}"
    given: dict[str, Any] = {"source": "review", "request_id": "rq", **fields}
    return Said(id=id, by=by, answer=answer, at_us=at_us, **given)


SAID = st.builds(said, PEOPLE, ANSWERS, st.integers(0, 5), is_correction=st.booleans())


@given(st.floats(0, 1))
def test_a_weight_is_the_inverse_of_the_chance_within_its_limits(share: float) -> None:
    weight = weight_of(share)
    assert 1.0 <= weight <= MOST_WEIGHT
    if share >= 1 / MOST_WEIGHT:
        assert weight == pytest.approx(1 / share)


@given(st.lists(st.floats(1 / MOST_WEIGHT, 1), min_size=1, max_size=50))
def test_a_surer_draw_never_weighs_more(shares: list[float]) -> None:
    weights = [weight_of(share) for share in sorted(shares)]
    assert weights == sorted(weights, reverse=True)


def test_weights_give_the_audited_share_its_place() -> None:
    """900 easy requests audited at 5 %, 100 hard ones reviewed whole: half of each come out."""
    audited, reviewed = 900 * 0.05, 100
    total = audited * weight_of(0.05) + reviewed * weight_of(1.0)
    assert total == pytest.approx(1000)


@given(
    st.lists(SAID, max_size=8, unique_by=lambda one: one.id),
    st.sampled_from(["predict", "generate"]),
)
def test_a_conflict_needs_two_people_and_knows_no_order(found: list[Said], kind: Any) -> None:
    why = conflict(found, kind)
    assert bool(why) == bool(conflict(list(reversed(found)), kind))
    if why:
        assert len({one.by for one in found}) > 1
        assert len({one.by for one in found if one.by in why}) >= 2
    if len({one.answer for one in found}) < 2:
        assert not why


@given(st.lists(SAID, max_size=8))
def test_the_newest_answer_is_chosen(found: list[Said]) -> None:
    answer = chosen(found)
    named = [one for one in found if one.answer]
    assert (answer is None) == (not named)
    if answer is not None:
        assert answer.at_us == max(one.at_us for one in named)


def test_of_one_moment_a_whole_output_is_chosen_before_a_label() -> None:
    label = said("key:z", b"true", kind="label")
    output = said("key:a", b'{"label":true,"probability":1}')
    assert chosen([label, output]) == output
    assert is_same(label, output)


def test_two_texts_may_both_be_right() -> None:
    found = [said("key:a", b'{"text":"yes"}'), said("key:b", b'{"text":"yes, you may"}')]
    assert not conflict(found, "generate")
    assert conflict(found, "predict")
    corrected = [said("key:a", b'{"text":"no"}', is_correction=True), found[1]]
    assert conflict(corrected, "generate")


def test_turning_down_another_draft_is_no_conflict() -> None:
    down = said("key:a", b"", given=b'{"text":"one"}')
    assert not conflict([down, said("key:b", b'{"text":"two"}')], "generate")
    assert conflict([down, said("key:b", b'{"text":"one"}')], "generate")


def test_a_system_s_report_needs_no_second_opinion() -> None:
    one = said("key:erp", b"true", kind="label", source="erp")
    assert not disagreement([one], one, ["open"], {"key:erp": Missed(99, 99)})


@given(st.integers(0, 50), st.integers(0, 50))
def test_too_few_planted_cases_say_nothing(planted: int, missed: int) -> None:
    known = Missed(planted, min(planted, missed))
    assert known.is_acceptable or planted >= LEAST_PLANTED


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3),
        max_leaves=8,
    )
)
def test_equal_values_are_equal_bytes(value: Any) -> None:
    one = canonical(json.dumps(value).encode())
    assert canonical(json.dumps(value, indent=1, sort_keys=True).encode()) == one
    assert json.loads(one) == value


def test_without_an_answer_there_is_no_example() -> None:
    assert example_of("ex_1", [], {}, {}, None) is None
