from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.signals.passages import Piece, cut_page

PAGE = """\
---
owner: customer care
---
# Refunds

All of this holds from 1 March 2013.

## Within 24 hours
You may cancel **any** ticket. It costs [nothing](fees.md).

You get one of these:
- your money
- a voucher

## Fees
| Fare | Fee |
|------|-----|
| Basic | $99 |
| Flex | none |

```
# not a heading
```
"""


def count(text: str) -> int:
    return len(text.split())


def cut(text: str, most: int = 100) -> list[Piece]:
    return cut_page("refunds.md", text, count, most)


def test_a_passage_lies_under_its_headings() -> None:
    headings = [piece.heading for piece in cut(PAGE)]
    assert headings == ["Refunds", "Refunds > Within 24 hours", "Refunds > Fees"]


def test_a_passage_holds_plain_sentences() -> None:
    first, within, fees = cut(PAGE)
    assert first.sentences == ("All of this holds from 1 March 2013.",)
    assert within.sentences == (
        "You may cancel any ticket.",
        "It costs nothing.",
        "You get one of these: your money.",
        "You get one of these: a voucher.",
    )
    assert fees.sentences == ("Fare: Basic; Fee: $99.", "Fare: Flex; Fee: none.", "# not a heading")
    assert first.file == "refunds.md"


def test_a_long_part_becomes_several_passages_and_no_sentence_is_parted() -> None:
    text = "# Rules\n" + "\n".join(f"Rule {n} is short." for n in range(30))
    pieces = cut(text, most=20)
    assert len(pieces) > 5
    assert all(count(piece.text) <= 20 for piece in pieces)
    assert [s for piece in pieces for s in piece.sentences] == [
        f"Rule {n} is short." for n in range(30)
    ]


def test_a_page_without_words_has_no_passages() -> None:
    assert cut("") == []
    assert cut("# Only\n## Headings\n---\n") == []


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab .\n#-|*`1é:"), max_size=400), st.integers(8, 60))
def test_any_text_is_cut_without_losing_its_words(text: str, most: int) -> None:
    pieces = cut_page("a.md", text, len, most)
    assert all(piece.sentences for piece in pieces)
    assert all(len(sentence) <= most * 2 for piece in pieces for sentence in piece.sentences)
