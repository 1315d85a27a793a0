from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.errors import DeclarationError
from roadworthy.signals.embed import MiniLM, open_minilm
from roadworthy.signals.grounded import Grounding
from roadworthy.signals.search import Index, Retriever, build_index
from roadworthy.types import Passage

PAGES = {
    "pets.md": """# Pets
A small dog or cat may travel in the cabin for $110 each way.
Rabbits, birds and reptiles are not accepted in the cabin.
""",
    "refunds/cards.md": """# Refunds
Refunds to a credit card are made within 7 business days.
We cannot send the money to another person.
""",
    "bags.md": """# Bags
## Weight
A checked bag may weigh up to 50 pounds.
## Lost
If your bag is lost, report it at the desk within 24 hours.
""",
}


class Counting(MiniLM):
    """MiniLM that counts the texts it was given."""

    def __init__(self) -> None:
        self.texts = 0

    def embed(self, texts: Any) -> Any:
        self.texts += len(texts)
        return open_minilm().embed(texts)

    def count(self, text: str) -> int:
        return open_minilm().count(text)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name, text in PAGES.items():
        file = tmp_path / "pages" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path / "pages"


@pytest.fixture
def index(pages: Path, tmp_path: Path) -> Index:
    return build_index(pages, open_minilm(), tmp_path / "cache")


def retriever(index: Index, **keys: Any) -> Retriever:
    limits: dict[str, Any] = {"top_k": 3, "max_tokens": 600, "min_score": 0.3} | keys
    return Retriever(index, open_minilm(), **limits)


def files(passages: tuple[Passage, ...]) -> list[str]:
    return [passage.file for passage in passages]


def test_the_nearest_passage_comes_first_with_its_sentences(index: Index) -> None:
    found = retriever(index).find("Can my cat fly with me?")
    assert found[0].file == "pets.md"
    assert found[0].heading == "Pets"
    best = max(found[0].sentences, key=lambda sentence: sentence.score)
    assert "$110" in best.text
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def test_pages_in_folders_are_found_by_their_path(index: Index) -> None:
    assert files(retriever(index).find("When do I get my money back?"))[0] == "refunds/cards.md"


def test_nothing_is_found_where_nothing_is_near(index: Index) -> None:
    assert retriever(index, min_score=0.5).find("Who won the world cup?") == ()


def test_no_more_is_found_than_allowed(index: Index) -> None:
    question = "What about my bag and my dog and my refund?"
    assert len(retriever(index, min_score=0).find(question)) == 3
    assert len(retriever(index, min_score=0, top_k=1).find(question)) == 1
    few = retriever(index, min_score=0, max_tokens=25).find(question)
    assert sum(open_minilm().count(f"{p.heading} {p.text}") for p in few) <= 25
    assert few


def test_the_same_question_finds_the_same(index: Index) -> None:
    ask = retriever(index)
    assert ask.find("my suitcase is gone") == ask.find("my suitcase is gone")


def test_vectors_are_computed_once_for_the_same_pages(pages: Path, tmp_path: Path) -> None:
    embedder, cache = Counting(), tmp_path / "cache"
    first = build_index(pages, embedder, cache)
    assert embedder.texts == 6
    again = build_index(pages, embedder, cache)
    assert embedder.texts == 6
    assert np.array_equal(first.vectors, again.vectors)
    (pages / "pets.md").write_text("# Pets\nAll animals fly for free.\n", encoding="utf-8")
    build_index(pages, embedder, cache)
    assert embedder.texts == 6 + 5


def test_a_damaged_cache_is_written_anew(pages: Path, tmp_path: Path) -> None:
    embedder, cache = Counting(), tmp_path / "cache"
    build_index(pages, embedder, cache)
    (file,) = cache.iterdir()
    for damage in (b"", file.read_bytes()[:200], b"nonsense", b"PK\x03\x04"):
        file.write_bytes(damage)
        assert build_index(pages, embedder, cache).vectors.shape == (6, 384)
    assert embedder.texts == 6 * 5


def test_a_cache_that_cannot_be_written_does_no_harm(pages: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert build_index(pages, open_minilm(), tmp_path / "cache").vectors.shape == (6, 384)


def test_a_folder_without_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "empty.md").write_text("# Nothing\n")
    with pytest.raises(DeclarationError, match="expected Markdown pages with text below `pages/`"):
        build_index(tmp_path / "pages", open_minilm(), tmp_path / "cache")
    (tmp_path / "pages" / "bytes.md").write_bytes(b"\xff\xfe")
    with pytest.raises(DeclarationError, match=r"expected UTF-8 text in `bytes\.md`"):
        build_index(tmp_path / "pages", open_minilm(), tmp_path / "cache")


def support(index: Index, text: str, question: str = "Can my dog or bird fly?") -> list[float]:
    passages = retriever(index, top_k=1).find(question)
    sentences = Grounding(index, open_minilm()).support(text, passages)
    return [sentence.score for sentence in sentences]


def test_what_stands_in_a_passage_is_supported_in_full(index: Index) -> None:
    text = "A small dog or cat may travel in the cabin, for $110 each way! [pets.md: Pets]"
    assert support(index, text) == [1.0]


def test_a_paraphrase_is_supported_and_an_invention_is_not(index: Index) -> None:
    said, made_up = support(
        index,
        "Your small dog can come into the cabin for $110 per direction. "
        "Our crew serves every dog a free meal.",
    )
    assert said > 0.7 > made_up


def test_a_number_that_no_passage_holds_is_not_supported(index: Index) -> None:
    assert support(index, "A small dog or cat may travel in the cabin for $99 each way.") == [0.0]


def test_the_contrary_of_a_passage_is_not_supported(index: Index) -> None:
    (contrary,) = support(index, "Rabbits, birds and reptiles are accepted in the cabin.")
    (denied,) = support(index, "A small dog or cat may not travel in the cabin for $110.")
    assert max(contrary, denied) < 0.7


def test_a_part_of_a_sentence_that_leaves_out_its_denial_is_not_supported(index: Index) -> None:
    (part,) = support(index, "Send the money to another person.", "Who gets the refund money?")
    assert part < 0.7


def test_a_citation_of_another_page_supports_nothing(index: Index) -> None:
    text = "A small dog or cat may travel in the cabin for $110 each way. [bags.md]"
    assert support(index, text) == [0.0]


def test_nothing_supports_an_answer_without_passages(index: Index) -> None:
    (sentence,) = Grounding(index, open_minilm()).support("A dog may travel.", ())
    assert sentence.score == 0.0


COPY = """# Pets again
A small dog or cat may travel in the cabin for $110 each way.
Rabbits, birds and reptiles are not accepted in the cabin.
"""


def test_a_passage_that_says_nothing_new_is_left_out(pages: Path, tmp_path: Path) -> None:
    (pages / "zoo.md").write_text(COPY, encoding="utf-8")
    index = build_index(pages, open_minilm(), tmp_path / "cache")
    question = "Can my cat fly with me in the cabin?"
    both = files(retriever(index, min_score=0, top_k=2).find(question))
    assert sorted(both) == ["pets.md", "zoo.md"]
    once = files(retriever(index, min_score=0, top_k=2, dedupe=0.95).find(question))
    assert once[0] in both
    assert once[1] not in both, "its place goes to one that says something else"


def test_by_value_a_long_passage_gives_way_to_short_ones(pages: Path, tmp_path: Path) -> None:
    padding = " ".join(f"Sentence {k} is about the weather of another town." for k in range(15))
    (pages / "pets.md").write_text(f"# Pets\nA cat costs $110.\n{padding}\n", encoding="utf-8")
    (pages / "cats.md").write_text("# Cats\nA cat travels in the cabin.\n", encoding="utf-8")
    (pages / "price.md").write_text("# Prices\nTo fly with a cat costs $110.\n", encoding="utf-8")
    index = build_index(pages, open_minilm(), tmp_path / "cache")
    question = "What does it cost to fly with my cat?"
    nearest = retriever(index, min_score=0.2, max_tokens=190).find(question)
    value = retriever(index, min_score=0.2, max_tokens=190, choose="value").find(question)

    def tokens(passages: tuple[Passage, ...]) -> int:
        return sum(open_minilm().count(f"{p.heading} {p.text}") for p in passages)

    assert {"price.md", "cats.md"} <= set(files(value))
    assert tokens(value) < tokens(nearest)
    assert [p.score for p in value] == sorted((p.score for p in value), reverse=True)


def test_what_fits_the_tokens_is_found_behind_what_does_not(index: Index) -> None:
    question = "What about my bag and my dog and my refund?"
    for choose in ("nearest", "value"):
        found = retriever(index, min_score=0, max_tokens=25, choose=choose).find(question)
        assert sum(open_minilm().count(f"{p.heading} {p.text}") for p in found) <= 25
