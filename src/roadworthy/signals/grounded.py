"""Says how well each sentence of an answer is supported by the passages it was written from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..types import Embedder, Passage, Sentence
from .search import Index
from .text import is_negative, normalised, numbers_of, sentences_of, without_citations


class Grounding:
    """Compares answers with passages, sentence by sentence.

    A sentence that stands in a passage is supported in full. Any other is supported as far as its
    meaning is near that of a sentence there which also denies something, or likewise does not; and
    not at all if it holds a number that none of the passages holds, or if the answer cites a page
    that was not found for it. What is near in meaning may still be wrong: this finds what was made
    up, not what was misread.

    Args:
        index: Where the passages are from.
        embedder: What the index was built with.
    """

    def __init__(self, index: Index, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder

    def support(self, text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
        """Return each sentence of `text` with its support (0-1).

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        prose, cited = without_citations(text)
        sentences = sentences_of(prose)
        if not passages or not {passage.file for passage in passages}.issuperset(cited):
            return tuple(Sentence(sentence, 0.0) for sentence in sentences)
        known = {
            normalised(part)
            for passage in passages
            for sentence in passage.sentences
            for part in sentences_of(sentence.text)
        }
        numbers = set().union(*(numbers_of(f"{p.heading} {p.text}") for p in passages))
        scores = [_stands_in(sentence, known, numbers) for sentence in sentences]
        open_ones = [place for place, score in enumerate(scores) if score is None]
        if open_ones:
            near = self._near([sentences[place] for place in open_ones], passages)
            for place, score in zip(open_ones, near, strict=True):
                scores[place] = score
        pairs = zip(sentences, scores, strict=True)
        return tuple(Sentence(sentence, score or 0.0) for sentence, score in pairs)

    def _near(self, sentences: Sequence[str], passages: Sequence[Passage]) -> list[float]:
        """Return how near each sentence is to the nearest one that agrees with it."""
        rows: list[Any] = []
        denies: list[bool] = []
        for passage in passages:
            vectors = self._index.vectors_of(passage)
            rows.extend(vectors)
            denies += [is_negative(s.text) for s in passage.sentences[: len(vectors)]]
        found = self._embedder.embed(sentences)
        scores = []
        for sentence, vector in zip(sentences, found, strict=True):
            wanted = is_negative(sentence)
            agreeing = (row for row, denied in zip(rows, denies, strict=True) if denied is wanted)
            best = max((float(row @ vector) for row in agreeing), default=0.0)
            scores.append(min(max(best, 0.0), 1.0))
        return scores


def _stands_in(sentence: str, known: set[str], numbers: set[str]) -> float | None:
    """Return 1 for what stands there word by word, 0 for a foreign number, None for the rest.

    Only a whole sentence counts: a part of one may leave out the word that denies it.
    """
    if normalised(sentence) in known:
        return 1.0
    return None if numbers_of(sentence) <= numbers else 0.0
