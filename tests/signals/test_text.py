from __future__ import annotations

import pytest

from roadworthy.signals.text import (
    is_negative,
    names_of,
    normalised,
    numbers_of,
    sentences_of,
    without_citations,
)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs $2.50 at 9 p.m. Eastern.", ["It costs $2.50 at 9 p.m. Eastern."]),
        ("Ask Dr. Smith. He knows.", ["Ask Dr. Smith.", "He knows."]),
        ("A line\nand another", ["A line", "and another"]),
        ('"Call us." Then wait.', ['"Call us."', "Then wait."]),
        ("...  !!! ", []),
        ("", []),
    ],
)
def test_a_text_is_cut_where_its_sentences_end(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


@pytest.mark.parametrize(
    "citation", ["[a/my cards.md]", "[a/my cards.md: Refunds > (Old) rules]", "[a/my cards.md:]"]
)
def test_a_citation_is_no_part_of_the_text(citation: str) -> None:
    text = f"A refund takes 7 days. {citation}"
    assert without_citations(text) == ("A refund takes 7 days. ", ["a/my cards.md"])


def test_other_brackets_are_part_of_the_text() -> None:
    text = "Costs [in USD] rise."
    assert without_citations(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("$1,500.00 and 1500", {"1500"}),
        ("007 or 7", {"7"}),
        ("2.50 or 2.5", {"2.5"}),
        ("no number", set()),
    ],
)
def test_one_number_is_the_same_however_it_is_written(text: str, numbers: set[str]) -> None:
    assert numbers_of(text) == numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pets cannot fly.", True),
        ("You don\u2019t pay.", True),
        ("You pay nothing else.", True),
        ("Hunde dürfen nicht mit.", True),
        ("Notes are kept.", False),
        ("Pets can fly.", False),
    ],
)
def test_a_denial_is_seen_by_its_words(text: str, expected: bool) -> None:
    assert is_negative(text) is expected


def test_spacing_and_punctuation_make_no_difference() -> None:
    assert normalised("  A  Refund, takes\n7 days. ") == normalised("a refund takes 7 days")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Bags to Boston are free.", {"Boston"}),
        ("JFK is near. So is Newark-Liberty.", {"JFK", "Newark-Liberty"}),
        ("Then I asked, and I\u2019m told I'm late.", set()),
        ("(Perhaps) not.", set()),
        ("no name", set()),
        ("", set()),
    ],
)
def test_names_are_words_that_begin_large_inside_a_sentence(text: str, names: set[str]) -> None:
    assert names_of(text) == names
