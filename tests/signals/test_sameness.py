"""Whether two answers say the same: cases as data, and what any pair of values keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.signals.personal import is_personal
from roadworthy.signals.sameness import is_same

CASES = Path(__file__).parent.parent / "cases" / "cache" / "answers.jsonl"
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("row", ROWS, ids=[str(number) for number in range(len(ROWS))])
def test_it_says_what_the_case_says(row: dict[str, Any]) -> None:
    assert is_same(row["one"], row["other"]) is row["same"]
    assert is_same(row["other"], row["one"]) is row["same"]


@given(VALUES)
def test_every_value_is_the_same_as_itself(value: Any) -> None:
    assert is_same(value, json.loads(json.dumps(value)))


@given(VALUES, VALUES)
def test_it_does_not_depend_on_the_order(one: Any, other: Any) -> None:
    assert is_same(one, other) is is_same(other, one)


def toward(cosine: float) -> Any:
    def embed(texts: Sequence[str]) -> Any:
        return np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]], np.float32)

    return embed


def test_near_vectors_make_other_words_the_same_but_no_other_number() -> None:
    one = {"text": "Your card will be there shortly after ordering it from us."}
    other = {"text": "Expect delivery shortly after you have placed the order."}
    assert not is_same(one, other)
    assert is_same(one, other, toward(0.95))
    assert not is_same(one, other, toward(0.85))
    assert not is_same(
        {"text": "Your card costs 5 dollars in all cases."},
        {"text": "Your card costs 6 dollars in all cases."},
        toward(1.0),
    )


@pytest.mark.parametrize(
    ("answer", "asked", "user", "personal"),
    [
        ("Your balance is $5.", "balance?", "ann", False),
        ("Dear ann, hello", "hi", "ann", True),
        ("annual report", "report?", "ann", False),
        ("Write to x@y.example", "contact?", "", True),
        ("Call +49 30 1234567", "contact?", "", True),
        ("Your IBAN DE89 3704 0044 0532 0130 00", "iban?", "", True),
        ("Order 12345678 is on its way", "Where is order 12345678?", "", False),
        ("In 2024 it cost 1,500", "cost?", "", False),
    ],
)
def test_what_tells_of_one_person_is_found(
    answer: str, asked: str, user: str, personal: bool
) -> None:
    assert is_personal(answer, asked, user) is personal
