"""Invented texts: they match what they are made for, and no more are made than there are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.data.made_texts import texts_of
from roadworthy.data.patterns import DATE, FORMATS, TIMESTAMP, PatternError, common_pattern

PATTERNS = (
    "^[A-Z]{3}$",
    r"^N\d{1,5}[A-Z]{0,2}$",
    r"^(?:a|bc|[^x-z]\.)+?$",
    r"[\w.]+@\S*",
    r"^\x41\t?[\]\-a^]{2,}$",
    DATE,
    TIMESTAMP,
    *FORMATS.values(),
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_match_their_pattern_and_differ(pattern: str) -> None:
    common = common_pattern(pattern)
    found = texts_of(common, 0, None, 50, seed=1)
    assert len(found) == len(set(found)) >= 20
    assert all(re.search(common, text) for text in found)
    assert found == texts_of(common, 0, None, 50, seed=1)


def test_no_more_texts_are_made_than_a_pattern_has() -> None:
    assert sorted(texts_of("^[ab]{1,2}$", 0, None, 100, seed=3)) == [
        "a",
        "aa",
        "ab",
        "b",
        "ba",
        "bb",
    ]
    assert texts_of("^abc$", 0, 2, 100, seed=3) == []


@given(least=st.integers(0, 12), more=st.integers(0, 12), wanted=st.integers(1, 3000))
def test_any_text_keeps_its_length(least: int, more: int, wanted: int) -> None:
    most = least + more
    found = texts_of("", least, most, wanted, seed=0)
    assert len(found) == len(set(found))
    assert all(least <= len(text) <= most for text in found)
    assert len(found) == wanted or most < 3


_atom = st.sampled_from(["a", "[a-c]", "[^0-9]", r"\.", r"\d", ".", r"\w", "Z", r"\x41"])
_times = st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])


@settings(max_examples=200)
@given(
    branches=st.lists(st.lists(st.tuples(_atom, _times), max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_whatever_the_common_subset_says_can_be_made(
    branches: list[list[tuple[str, str]]], seed: int
) -> None:
    inner = "|".join("".join(map("".join, parts)) for parts in branches)
    try:
        pattern = common_pattern(f"^(?:{inner})$")
    except PatternError:
        return
    found = texts_of(pattern, 0, None, 3, seed)
    assert found
    assert all(re.search(pattern, text) for text in found)
