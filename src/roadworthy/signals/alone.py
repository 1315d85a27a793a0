"""Support by passages that are at hand, without the pages that they are from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..errors import MissingExtra
from ..types import Embedder, Passage, Sentence
from .grounded import Grounding
from .passages import Piece
from .search import Index
from .text import sentences_of

try:
    import numpy as np
except ImportError:  # the extra `embed` is absent; LoneSupport says which line installs it
    np = None  # type: ignore[assignment]

MOST_PASSAGES = 1_000
"""Passages whose vectors are kept in memory: those of a few pages come again with every case."""


class LoneSupport:
    """Says how well passages support a text, as serving does it, from the passages alone.

    Args:
        embedder: Makes vectors of sentences.

    Raises:
        MissingExtra: numpy is not installed.
    """

    def __init__(self, embedder: Embedder) -> None:
        if np is None:
            raise MissingExtra("embed", "the support of answers by passages")
        self._embedder = embedder
        self._vectors = lru_cache(MOST_PASSAGES)(self._embed)
        self._lock = threading.Lock()

    def __call__(self, text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
        """Return each sentence of `text` with its support (0-1).

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        pieces = [_piece(passage) for passage in passages]
        pieces = [piece for piece in pieces if piece.sentences]
        if not pieces:
            return tuple(Sentence(sentence, 0.0) for sentence in sentences_of(text))
        with self._lock:
            vectors = [self._vectors(piece.heading, piece.sentences) for piece in pieces]
            index = Index(pieces, [0] * len(pieces), np.concatenate(vectors))
            known = [
                Passage(
                    piece.file,
                    piece.heading,
                    piece.text,
                    sentences=tuple(Sentence(sentence, 0.0) for sentence in piece.sentences),
                )
                for piece in pieces
            ]
            return Grounding(index, self._embedder).support(text, known)

    def _embed(self, heading: str, sentences: tuple[str, ...]) -> Any:
        """Return (k, d) the vectors of a passage's sentences, each below its heading."""
        return self._embedder.embed([f"{heading}: {sentence}" for sentence in sentences])


def _piece(passage: Passage) -> Piece:
    sentences = [sentence.text for sentence in passage.sentences] or sentences_of(passage.text)
    return Piece(passage.file, passage.heading, tuple(sentences))
