"""All that reads texts on this machine, behind the one door by which it is imported when needed.

numpy, onnxruntime and tokenizers take 40 MB and 0.2 s before they do anything, so that a server
without pages leaves this module alone (bench/start.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from ..types import Embedder, Passage, Sentence
from .embed import open_minilm
from .grounded import Grounding
from .search import Choose, Retriever, build_index
from .why import WrittenFrom, written_from

_opening = threading.Lock()


class LocalPages:
    """A folder of Markdown pages: finds passages in it, and says what they support.

    Args:
        retriever: Finds passages.
        grounding: Compares answers with them.
    """

    def __init__(self, retriever: Retriever, grounding: Grounding) -> None:
        self._retriever = retriever
        self._grounding = grounding

    def find(self, question: str) -> tuple[Passage, ...]:
        """Return the passages for a question, nearest first; none where none is near enough.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        return self._retriever.find(question)

    def support(self, text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
        """Return each sentence of `text` with its support (0-1).

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        return self._grounding.support(text, passages)

    def explain(self, text: str, passages: Sequence[Passage]) -> WrittenFrom:
        """Return what the sentences of an answer stand on.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        return written_from(self._grounding, text, passages)


class LocalSignals:
    """MiniLM in this process, and pages that are searched with it."""

    def embedder(self) -> Embedder:
        """Return the embedder that all share.

        Raises:
            MissingExtra: A package of the extra `embed` is not installed.
        """
        with _opening:  # two threads would each load 23 MB of weights
            return open_minilm()

    def open_pages(
        self,
        folder: Path,
        cache: Path,
        *,
        top_k: int,
        max_tokens: int,
        min_score: float,
        dedupe: float = 1.0,
        choose: Choose = "nearest",
    ) -> LocalPages:
        """Read the pages below `folder`; their vectors are kept in `cache`.

        Raises:
            MissingExtra: A package of the extra `embed` is not installed.
            DeclarationError: There are no pages, or they are no UTF-8 text.
            ModelUnavailable: The embedder failed inside.
        """
        embedder = self.embedder()
        index = build_index(folder, embedder, cache)
        retriever = Retriever(
            index,
            embedder,
            top_k=top_k,
            max_tokens=max_tokens,
            min_score=min_score,
            dedupe=dedupe,
            choose=choose,
        )
        return LocalPages(retriever, Grounding(index, embedder))
