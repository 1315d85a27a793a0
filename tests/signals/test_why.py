from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roadworthy.signals.attribution import Attribution, Part
from roadworthy.signals.local import LocalPages, LocalSignals
from roadworthy.signals.why import WrittenFrom, why_sentences
from roadworthy.types import Passage

PETS = """# Pets

A small dog may travel in the cabin for $110. Birds are not accepted in the cabin.

# Bags

Each passenger may bring one bag of up to 50 lb.
"""
WORDS = {
    "plane_delay_min": "The plane's previous leg was {value} min late",
    "weather": "The weather",
    "carrier": "The carrier is {value}",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> LocalPages:
    folder: Path = tmp_path_factory.mktemp("pages")
    (folder / "rules.md").write_text(PETS)
    cache = folder / "cache"
    return LocalSignals().open_pages(folder, cache, top_k=2, max_tokens=400, min_score=0.0)


@pytest.fixture(scope="module")
def found(pages: LocalPages) -> tuple[Passage, ...]:
    return pages.find("Can my dog come along?")


def test_each_sentence_says_what_supports_it(pages: LocalPages, found: tuple[Passage, ...]) -> None:
    text = (
        "A small dog may travel in the cabin for $110! A little dog can be taken into the cabin. "
        "It costs $99 to bring a dog. [rules.md: Pets]"
    )
    stands, near, foreign = pages.explain(text, found).sentences
    assert (stands.score, stands.reason) == (1.0, "stands_there")
    assert 0.5 < near.score < 1
    assert near.reason == "near"
    for one in (stands, near):
        assert (one.file, one.heading) == ("rules.md", "Pets")
        assert one.nearest == "A small dog may travel in the cabin for $110."
    assert (foreign.score, foreign.reason, foreign.nearest) == (0.0, "foreign_number", "")


def test_passages_say_how_many_sentences_they_support(
    pages: LocalPages, found: tuple[Passage, ...]
) -> None:
    text = "Birds are not accepted in the cabin. A small dog may travel in the cabin for $110."
    pets, bags = pages.explain(text, found).passages
    assert (pets.file, pets.heading, pets.supports) == ("rules.md", "Pets", 2)
    assert (bags.heading, bags.supports) == ("Bags", 0)
    assert pets.score > bags.score


def test_a_citation_of_another_page_and_no_passage_are_reasons(
    pages: LocalPages, found: tuple[Passage, ...]
) -> None:
    cited = pages.explain("A dog may travel. [other.md]", found).sentences
    assert [one.reason for one in cited] == ["foreign_page"]
    nothing = pages.explain("A dog may travel.", ())
    assert [one.reason for one in nothing.sentences] == ["no_passage"]
    assert nothing.passages == ()


def test_support_is_the_same_with_and_without_its_reasons(
    pages: LocalPages, found: tuple[Passage, ...]
) -> None:
    text = "A little dog can be taken into the cabin. Birds are welcome. It costs $7."
    told = [(one.text, one.score) for one in pages.explain(text, found).sentences]
    assert told == [(one.text, one.score) for one in pages.support(text, found)]


def test_what_an_answer_stands_on_can_be_stored(
    pages: LocalPages, found: tuple[Passage, ...]
) -> None:
    told = pages.explain("A dog may travel. Bags too.", found)
    assert msgspec.json.decode(msgspec.json.encode(told), type=WrittenFrom) == told


def attribution(**parts: float) -> Attribution:
    ordered = sorted(parts.items(), key=lambda part: -abs(part[1]))
    return Attribution(
        0.25, 0.25 + sum(parts.values()), tuple(Part(*part) for part in ordered), 30, is_exact=False
    )


def test_the_largest_contributions_are_told_and_the_rest_together() -> None:
    found = attribution(plane_delay_min=0.214, carrier=-0.051, weather=0.004, seats=0.002, dest=0.0)
    row = {"plane_delay_min": 48.0, "carrier": "UA", "seats": 149, "dest": "BOS"}
    assert why_sentences(found, row, WORDS, most=2) == [
        "The plane's previous leg was 48 min late: +21 points",
        "The carrier is UA: -5.1 points",
        "The other 2 features together: +0.6 points",
    ]
    assert why_sentences(found, row, WORDS)[2:] == [
        "The weather: +0.4 points",
        "The other feature: +0.2 points",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "`x` is unknown"),
        (True, "`x` is true"),
        (0.123456, "`x` is 0.1235"),
        (1234567.0, "`x` is 1234567"),
        ("n" * 99, "`x` is " + "n" * 59 + "…"),
        ("{value}", "`x` is {value}"),
    ],
)
def test_a_feature_without_words_goes_by_its_name(value: Any, words: str) -> None:
    assert why_sentences(attribution(x=0.5), {"x": value}, {}) == [f"{words}: +50 points"]


def test_an_unknown_value_is_not_put_into_words_made_for_a_number() -> None:
    told = why_sentences(attribution(plane_delay_min=0.1), {"plane_delay_min": None}, WORDS)
    assert told == ["`plane_delay_min` is unknown: +10 points"]


def test_scale_and_unit_are_the_callers() -> None:
    found = attribution(miles=12.34)
    words = {"miles": "It is {value} miles away"}
    assert why_sentences(found, {"miles": 960}, words, scale=1, unit="min") == [
        "It is 960 miles away: +12 min"
    ]


def test_nothing_moved_is_nothing_to_say() -> None:
    assert why_sentences(attribution(x=0.0), {"x": 1}, {}) == []


@pytest.mark.parametrize("module", ["local", "why", "confident", "generated"])
def test_what_needs_no_numpy_is_imported_without_it(module: str) -> None:
    code = f"import sys; sys.modules['numpy'] = None; import roadworthy.signals.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
