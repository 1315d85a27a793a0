"""Guards of the semantic cache: cases as data, and templates with what must not be mixed up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.signals.marks import folded, marks_of, why_not
from roadworthy.signals.wordlists import OPPOSITE

CASES = Path(__file__).parent.parent / "cases" / "cache"


def pairs(name: str) -> list[tuple[str, str]]:
    lines = (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["one"], row["other"]) for row in map(json.loads, lines)]


def against(one: str, other: str) -> str:
    return why_not(marks_of(one), marks_of(other))


@pytest.mark.parametrize("name", ["negations", "numbers", "names", "languages"])
def test_no_pair_that_means_something_else_passes(name: str) -> None:
    passed = [pair for pair in pairs(name) if not against(*pair) or not against(*pair[::-1])]
    assert passed == []


def test_what_means_the_same_may_pass() -> None:
    stopped = [(pair, against(*pair)) for pair in pairs("alike") if against(*pair)]
    assert stopped == []


def test_it_says_what_is_against() -> None:
    assert against("Is 1 bag free?", "Is 2 bag free?") == "numbers"
    assert against("Is it free?", "Isn't it free?") == "negation"
    assert against("Ask Bob about it", "Ask Ann about it") == "names"


FRAMES = st.sampled_from(
    [
        "what does it cost to ship {} to my home",
        "how do i send {} to somebody else",
        "please tell me about {}",
        "{} has not arrived yet, why",
        "when will {} be there",
        "Can {} be changed after I have paid?",
    ]
)
NAMES = st.sampled_from(
    [
        "anna",
        "hanna",
        "bob",
        "rob",
        "paris",
        "perth",
        "peru",
        "rome",
        "visa",
        "amex",
        "delta",
        "united",
        "oslo",
        "lima",
        "acme",
        "apex",
        "iran",
        "iraq",
        "niger",
        "nigeria",
        "austria",
        "australia",
        "gold",
        "silver",
        "spanish",
        "french",
    ]
)
NUMBERS = st.one_of(
    st.integers(0, 10_000).map(str),
    st.floats(0.01, 999, allow_nan=False).map(lambda x: f"{x:.2f}"),
)


@given(FRAMES, NAMES, NAMES, st.sampled_from([str.lower, str.title, str.upper]))
def test_two_names_in_one_frame_are_two_questions(
    frame: str, one: str, other: str, spelt: object
) -> None:
    assert callable(spelt)
    if one != other:
        assert against(frame.format(spelt(one)), frame.format(spelt(other)))


@given(FRAMES, NUMBERS, NUMBERS)
def test_two_numbers_in_one_frame_are_two_questions(frame: str, one: str, other: str) -> None:
    if float(one) != float(other):
        assert against(frame.format(one), frame.format(other)) == "numbers"


@given(FRAMES, NAMES, NAMES)
def test_the_same_names_in_another_order_are_another_question(
    frame: str, one: str, other: str
) -> None:
    if one != other:
        asked = frame.format(f"{one} and then {other}")
        assert against(asked, frame.format(f"{other} and then {one}")) == "order"


@given(FRAMES, st.sampled_from(sorted(OPPOSITE)), st.data())
def test_opposites_in_one_frame_are_two_questions(
    frame: str, word: str, data: st.DataObject
) -> None:
    other = data.draw(st.sampled_from(sorted(OPPOSITE[word])))
    assert against(frame.format(word), frame.format(other))


@given(FRAMES, NAMES, st.sampled_from(["not", "never", "without"]))
def test_what_is_denied_is_another_question(frame: str, name: str, word: str) -> None:
    asked = marks_of(frame.format(name))
    denied = marks_of(frame.format(f"{word} {name}"))
    if not asked.negated:
        assert why_not(asked, denied)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_and_the_guards_do_not_depend_on_the_order(one: str, other: str) -> None:
    left, right = marks_of(one), marks_of(other)
    assert why_not(left, left) == ""
    assert bool(why_not(left, right)) == bool(why_not(right, left))


@given(st.text(alphabet="abc \u200b\u200d\u2060\ufeff", max_size=30))
def test_what_cannot_be_seen_hides_nothing(text: str) -> None:
    assert not set(folded(text)) & set("\u200b\u200d\u2060\ufeff")


def test_what_is_beyond_the_part_that_is_read_must_be_the_same() -> None:
    long = "word " * 1_000
    assert against(long + "one", long + "two") == "length"
