"""Finds the passages of a folder of pages that are nearest to a question."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ..errors import DeclarationError, MissingExtra
from ..types import Embedder, Passage, Sentence
from .memory import give_back
from .passages import Piece, cut_page

try:
    import numpy as np
except ImportError:  # the extra `embed` is absent; build_index says which line installs it
    np = None  # type: ignore[assignment]

PAGES = "*.md"
CANDIDATES = 8
"""How many times `top_k` passages are looked at: copies and long ones among them are left out."""
Choose = Literal["nearest", "value"]


class Index:
    """The sentences of all pages as vectors, in one matrix.

    Attributes:
        pieces: All passages, in the order of their pages.
        tokens: Tokens of each passage with its heading.
        starts: (n + 1) place of each passage's first sentence, and the end of the last one's.
        vectors: (m, d) float32, rows of length 1: a sentence with the headings above it.
        means: (n, d) float32, rows of length 1: the mean of a passage's sentences.
    """

    def __init__(self, pieces: Sequence[Piece], tokens: Sequence[int], vectors: Any) -> None:
        self.pieces = tuple(pieces)
        self.tokens = tuple(tokens)
        sizes = [len(piece.sentences) for piece in self.pieces]
        self.starts = np.concatenate(([0], np.cumsum(sizes)))
        self.vectors = vectors
        sums = np.add.reduceat(vectors, self.starts[:-1], axis=0)
        self.means = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        self._places = {self._key(piece): place for place, piece in enumerate(self.pieces)}

    @staticmethod
    def _key(piece: Piece | Passage) -> tuple[str, str, str]:
        return piece.file, piece.heading, piece.text

    def scores(self, question: Any) -> tuple[Any, Any]:
        """Return how near a question's vector is to each passage (n) and each sentence (m).

        A passage counts half by its nearest sentence and half by what it is about as a whole.
        """
        near = self.vectors @ question
        best = np.maximum.reduceat(near, self.starts[:-1])
        return (best + self.means @ question) / 2, near

    def vectors_of(self, passage: Passage) -> Any:
        """Return (k, d) the vectors of a passage's sentences; none if it is not from here."""
        place = self._places.get(self._key(passage))
        if place is None:
            return self.vectors[:0]
        return self.vectors[self.starts[place] : self.starts[place + 1]]


class Retriever:
    """Finds passages by meaning, and always the same ones for the same question.

    Args:
        index: What is searched.
        embedder: What the index was built with.
        top_k: Most passages of one answer.
        max_tokens: Most tokens of all passages of one answer together.
        min_score: Passages less near than this are left out.
        dedupe: A passage as near as this to one that is given is left out.
        choose: `nearest` fills the tokens in the order of nearness, `value` behind the nearest by
            how much nearer than `min_score` a passage is for each of its tokens.
    """

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        *,
        top_k: int,
        max_tokens: int,
        min_score: float,
        dedupe: float = 1.0,
        choose: Choose = "nearest",
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._top_k = top_k
        self._max_tokens = max_tokens
        self._min_score = min_score
        self._dedupe = dedupe
        self._choose = choose

    def find(self, question: str) -> tuple[Passage, ...]:
        """Return the passages for a question, nearest first; none where none is near enough.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        passages, near = self._index.scores(self._embedder.embed([question])[0])
        found: list[int] = []
        left = self._max_tokens
        for place in self._in_order(passages):
            if len(found) == self._top_k:
                break
            if self._index.tokens[place] <= left and not self._is_said(place, found):
                left -= self._index.tokens[place]
                found.append(place)
        found.sort(key=lambda place: -passages[place])
        return tuple(self._passage(place, float(passages[place]), near) for place in found)

    def _in_order(self, scores: Any) -> list[int]:
        """Return the passages that are near enough, as they are tried.

        Stable: of two that are equally near, the one on the earlier page comes first.
        """
        order = np.argsort(-scores, kind="stable").tolist()
        near = [p for p in order[: self._top_k * CANDIDATES] if scores[p] >= self._min_score]
        if self._choose == "nearest":
            return near
        bar, rest = self._min_score, near[1:]
        rest.sort(key=lambda p: (bar - scores[p]) / max(self._index.tokens[p], 1))
        return [*near[:1], *rest]  # without the nearest, 2 more of 90 answers are not found

    def _is_said(self, place: int, found: Sequence[int]) -> bool:
        """Whether a passage says what one that is given says already."""
        if self._dedupe >= 1 or not found:
            return False
        means = self._index.means
        return bool((means[list(found)] @ means[place]).max() >= self._dedupe)

    def _passage(self, place: int, score: float, near: Any) -> Passage:
        piece, start = self._index.pieces[place], int(self._index.starts[place])
        scores = near[start : start + len(piece.sentences)].tolist()
        pairs = zip(piece.sentences, scores, strict=True)
        sentences = tuple(Sentence(text, _share(score)) for text, score in pairs)
        return Passage(piece.file, piece.heading, piece.text, _share(score), sentences)


def _share(score: float) -> float:
    """Return a cosine as a score from 0 to 1: what points away is as far as can be."""
    return min(max(score, 0.0), 1.0)


def build_index(folder: Path, embedder: Embedder, cache: Path) -> Index:
    """Return the index of all Markdown pages below `folder`.

    Vectors are kept in `cache` under the hash of what they were made of, so that only the first
    start with new pages takes its time: about 4 ms a sentence.

    Raises:
        MissingExtra: numpy is not installed.
        DeclarationError: There are no pages, or they are no UTF-8 text.
        ModelUnavailable: The embedder failed inside.
    """
    if np is None:
        raise MissingExtra("embed", "retrieval (`context.retrieval`)")
    pieces = [piece for path in pages_of(folder) for piece in _cut(folder, path, embedder)]
    if not pieces:
        raise DeclarationError(
            f"context.retrieval.folder: expected Markdown pages with text below `{folder.name}/`, "
            "got none"
        )
    texts = [f"{p.heading}: {sentence}" for p in pieces for sentence in p.sentences]
    tokens = [embedder.count(piece.heading) + embedder.count(piece.text) for piece in pieces]
    return Index(pieces, tokens, _vectors(texts, embedder, cache))


def pages_of(folder: Path) -> list[Path]:
    """Return every Markdown page below a folder, sorted by its path."""
    return sorted(path for path in folder.rglob(PAGES) if path.is_file())


def _cut(folder: Path, path: Path, embedder: Embedder) -> Iterable[Piece]:
    file = path.relative_to(folder).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(
            f"context.retrieval.folder: expected UTF-8 text in `{file}`, got "
            f"{type(error).__name__}; save it as UTF-8"
        ) from error
    return cut_page(file, text, embedder.count)


def _vectors(texts: Sequence[str], embedder: Embedder, cache: Path) -> Any:
    """Return (n, d) the vectors of all texts, from the cache or into it."""
    made_of = "\0".join((embedder.name, *texts)).encode(errors="replace")
    file = cache / f"{hashlib.sha256(made_of).hexdigest()}.npy"
    shape = (len(texts), embedder.dimensions)
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        with file.open("rb") as source:
            kept = np.load(source, allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.float32:
            return kept
    vectors = embedder.embed(texts)
    give_back()
    # A cache that cannot be written costs time at the next start and nothing else.
    with suppress(OSError):
        _write(file, vectors)
    return vectors


def _write(file: Path, vectors: Any) -> None:
    """Write a file in one step, so that nobody reads half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".new")
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            np.save(target, vectors, allow_pickle=False)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
