"""Support by passages alone is what serving says of the same passages."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.signals.alone import LoneSupport
from roadworthy.signals.embed import open_minilm
from roadworthy.signals.local import LocalSignals
from roadworthy.types import Passage

PAGE = """# Bags
## Weight
A checked bag may weigh up to 50 pounds. Heavier ones cost $100.
- Skis count as one bag.
## Lost
If your bag is lost, report it at the desk within 24 hours.
"""
ANSWERS = [
    "A checked bag may weigh up to 50 pounds.",
    "You may check in a bag of 50 pounds. Lost bags are reported within 24 hours.",
    "Bags may weigh 70 pounds.",
    "Dogs are not accepted. [pets.md]",
    "",
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_it_says_what_serving_says(answer: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "bags.md").write_text(PAGE)
    pages = LocalSignals().open_pages(
        tmp_path / "pages", tmp_path / "cache", top_k=3, max_tokens=600, min_score=0.0
    )
    found = pages.find("How heavy may my bag be?")
    kept = [Passage(each.file, each.heading, each.text) for each in found]
    served, alone = pages.support(answer, found), LoneSupport(open_minilm())(answer, kept)
    assert [each.text for each in alone] == [each.text for each in served]
    for one, other in zip(alone, served, strict=True):
        assert one.score == pytest.approx(other.score, abs=0.02)


def test_without_passages_nothing_is_supported() -> None:
    support = LoneSupport(open_minilm())
    assert [each.score for each in support("Bags are free.", [])] == [0.0]
    assert [each.score for each in support("Bags are free.", [Passage("a.md", "", " ")])] == [0.0]
