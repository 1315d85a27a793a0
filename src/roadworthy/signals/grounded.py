"""Says how well each sentence of an answer is supported by the passages it was written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from ..types import Embedder, Passage, Sentence
from .search import Index
from .text import is_negative, normalised, numbers_of, sentences_of, without_citations

Reason = Literal["stands_there", "near", "foreign_number", "foreign_page", "no_passage"]


class Supported(msgspec.Struct, frozen=True):
    """A sentence of an answer, how well it is supported, and by what.

    Attributes:
        score: Its support (0-1).
        reason: Why it has it: it stands in a passage, is as near to one as the score says, holds a
            number that none holds, is of an answer that cites a page which was not found for it, or
            there was no passage.
        file: The page of the sentence that supports it most, and `heading` where on it.
        nearest: That sentence; empty where none does.
    """

    text: str
    score: float
    reason: Reason
    file: str = ""
    heading: str = ""
    nearest: str = ""


Place = tuple[Passage, str]
"""A passage, and a sentence of it."""


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
        return tuple(Sentence(each.text, each.score) for each in self.explain(text, passages))

    def explain(self, text: str, passages: Sequence[Passage]) -> tuple[Supported, ...]:
        """Return each sentence of `text` with its support (0-1), and what supports it.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        prose, cited = without_citations(text)
        sentences = sentences_of(prose)
        if not passages:
            return tuple(Supported(sentence, 0.0, "no_passage") for sentence in sentences)
        if not {passage.file for passage in passages}.issuperset(cited):
            return tuple(Supported(sentence, 0.0, "foreign_page") for sentence in sentences)
        known: dict[str, Place] = {}
        for passage in passages:
            for sentence in passage.sentences:
                for part in sentences_of(sentence.text):
                    known.setdefault(normalised(part), (passage, sentence.text))
        numbers = set().union(*(numbers_of(f"{p.heading} {p.text}") for p in passages))
        found = [_stands_in(sentence, known, numbers) for sentence in sentences]
        open_ones = [sentence for sentence, one in zip(sentences, found, strict=True) if not one]
        near = iter(self._near(open_ones, passages) if open_ones else ())
        return tuple(one or next(near) for one in found)

    def _near(self, sentences: Sequence[str], passages: Sequence[Passage]) -> list[Supported]:
        """Return how near each sentence is to the nearest one that agrees with it."""
        rows: list[Any] = []
        places: list[Place] = []
        for passage in passages:
            vectors = self._index.vectors_of(passage)
            rows.extend(vectors)
            places += [(passage, s.text) for s in passage.sentences[: len(vectors)]]
        denies = [is_negative(text) for _, text in places]
        found = []
        for sentence, vector in zip(sentences, self._embedder.embed(sentences), strict=True):
            wanted = is_negative(sentence)
            agreeing = [
                (float(row @ vector), place)
                for place, (row, denied) in enumerate(zip(rows, denies, strict=True))
                if denied is wanted
            ]
            best, place = max(agreeing, key=lambda pair: pair[0], default=(0.0, -1))
            score = min(max(best, 0.0), 1.0)
            found.append(_supported(sentence, score, "near", places[place] if score > 0 else None))
        return found


def _supported(sentence: str, score: float, reason: Reason, place: Place | None) -> Supported:
    if place is None:
        return Supported(sentence, score, reason)
    passage, nearest = place
    return Supported(sentence, score, reason, passage.file, passage.heading, nearest)


def _stands_in(sentence: str, known: Mapping[str, Place], numbers: set[str]) -> Supported | None:
    """Return 1 for what stands there word by word, 0 for a foreign number, None for the rest.

    Only a whole sentence counts: a part of one may leave out the word that denies it.
    """
    place = known.get(normalised(sentence))
    if place is not None:
        return _supported(sentence, 1.0, "stands_there", place)
    if numbers_of(sentence) <= numbers:
        return None
    return _supported(sentence, 0.0, "foreign_number", None)
