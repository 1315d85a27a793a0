"""What is personal does not leave."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.improve.personal import Pseudonyms, masked, without


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ann.lee+x@mail.example.co.uk now", "e-mail"),
        ("call +49 (89) 123-4567", "phone"),
        ("call 089 1234567 today", "phone"),
        ("or (212) 555-0100", "phone"),
        ("my card is 4111 1111 1111 1111", "card"),
        ("4111-1111-1111-1111", "card"),
        ("to DE89 3704 0044 0532 0130 00 please", "iban"),
        ("GB82WEST12345698765432", "iban"),
    ],
)
def test_patterns_in_texts_are_masked(text: str, kind: str) -> None:
    found: Counter[str] = Counter()
    shown = masked({"q": [text]}, found)["q"][0]
    assert f"[{kind}]" in shown
    assert dict(found) == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "2013-01-01T05:00:00Z",
        "flight UA 1545 from EWR to IAH on 2013-01-01",
        "order 1234567890123",
        "0.123456789012345",
        "version 3.11.7",
        "rq_0196f0e4c2a300001b3fe",
        "4111 1111 1111 1112",
    ],
)
def test_what_is_like_them_stays(text: str) -> None:
    found: Counter[str] = Counter()
    assert masked(text, found) == text
    assert not found


@given(st.recursive(st.integers() | st.booleans() | st.none(), lambda v: st.lists(v)))
def test_what_is_no_text_stays(value: object) -> None:
    assert masked(value, Counter()) == value


@given(st.text())
def test_what_was_masked_once_stays(text: str) -> None:
    once = masked(text, Counter())
    assert masked(once, Counter()) == once


def test_a_person_has_one_pseudonym() -> None:
    names = Pseudonyms()
    ann, bob = names.of("name", "ann"), names.of("name", "bob")
    assert ann != bob
    assert names.of("name", "ann") == ann
    assert "ann" not in ann


def test_personal_fields_go() -> None:
    assert without({"name": "ann", "p": 1}, {"name"}) == {"p": 1}
    assert without(3, {"name"}) == 3
