"""What was answered once is asked again, and compared to the last bit."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.serve.replay import differences, shown, similarity

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert list(differences(value, value)) == []


@given(JSON, JSON)
def test_what_differs_one_way_differs_the_other_way(one: Any, other: Any) -> None:
    there = [change.path for change in differences(one, other)]
    assert sorted(there) == sorted(change.path for change in differences(other, one))


def test_the_last_bit_of_a_number_counts() -> None:
    (change,) = differences({"p": [0.1]}, {"p": [math.nextafter(0.1, 1)]})
    assert (change.path, change.change, change.before) == ("$.p[0]", "changed", 0.1)


def test_true_is_not_one() -> None:
    assert len(list(differences({"label": True}, {"label": 1}))) == 1
    assert list(differences(1.0, 1)) == []


def test_what_came_and_went_is_named() -> None:
    found = {c.path: c.change for c in differences({"a": 1, "b": [1, 2]}, {"b": [1], "c": 3})}
    assert found == {"$.a": "removed", "$.b[1]": "removed", "$.c": "added"}


def test_of_a_chat_only_what_was_said_is_compared() -> None:
    said = b'{"id":"%d","choices":[{"index":0,"message":{"content":"yes"},"finish_reason":"stop"}]}'
    assert shown(said % 1) == shown(said % 2)


def test_texts_are_as_alike_as_their_common_parts() -> None:
    assert similarity({"text": "abcd"}, {"text": "abcd"}) == 1.0
    assert similarity({"text": "abcd"}, {"text": "wxyz"}) == 0.0
    assert 0.4 < similarity({"text": "gate 12 now"}, {"text": "gate 14 now"}) < 1
