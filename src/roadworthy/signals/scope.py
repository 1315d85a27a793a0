"""How far an input lies from what a release has learned from or was served: its scope.

A score of 1 is as far as one in twenty of the reference's own: above it, an input is rarer than
that. What it was fitted on is frozen plain data, so that a release can keep it as an artifact.

A text is as far as the nearest of up to 512 means of reference texts, by its embedding. A row is as
far as the worse of two: its rarest value by itself, and its distance to the nearest of up to 128
means, as the covariance measures it, which sees values that do not go together. Both choices were
measured (docs/explanation/confidence.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .clusters import Vectors, centres_of, nearest_of
from .rarity import Categories, Field, Numbers, fields_of

LEAST_REFERENCE = 40
"""Rows or texts below which nothing can be said of one in twenty."""
MOST_ROWS = 20_000
"""Rows that are fitted on; of more, evenly spaced ones."""
FARTHEST = 1e6
"""The score of what cannot be compared at all."""

_ROW_CENTRES, _TEXT_CENTRES = 128, 512
_PER_CENTRE = 4
_USUAL = 0.95
_RIDGE, _FLOOR = 0.01, 1e-3
"""Added to each variance: a share of it, and some, so that what never varied is not divided by."""

Row = Mapping[str, Any]
Floats = npt.NDArray[np.float64]


class RowReference(msgspec.Struct, frozen=True, tag="rows"):
    """What rows are held against.

    Attributes:
        numbers: Its fields that hold numbers; `categories` are all others.
        width: How many cells a row has as a vector.
        whitening: (width, width) float32 as bytes; after it, all directions vary alike.
        centres: (k, width) float32 as bytes, whitened.
        far: The distance that scores 1; `rare` is the surprise that does.
        rows: How many rows it was fitted on.
    """

    numbers: tuple[Numbers, ...]
    categories: tuple[Categories, ...]
    width: int
    whitening: bytes
    centres: bytes
    far: float
    rare: float
    rows: int


class TextReference(msgspec.Struct, frozen=True, tag="texts"):
    """What texts are held against.

    Attributes:
        embedder: Which model made the vectors; others cannot be compared.
        dimensions: How many numbers a vector has.
        centres: (k, dimensions) float32 as bytes, rows of length 1.
        far: The distance that scores 1.
        texts: How many texts it was fitted on.
    """

    embedder: str
    dimensions: int
    centres: bytes
    far: float
    texts: int


Reference = RowReference | TextReference


def to_bytes(reference: Reference) -> bytes:
    """Return a reference as an artifact keeps it."""
    return msgspec.msgpack.encode(reference)


def from_bytes(data: bytes) -> Reference:
    """Return the reference that an artifact keeps.

    Raises:
        ValueError: It is none.
    """
    try:
        reference: Reference = msgspec.msgpack.decode(data, type=Reference)
    except msgspec.DecodeError as error:
        raise ValueError(f"expected a reference of a scope: {error}") from error
    return reference


def fit_texts(vectors: Vectors, embedder: str, seed: int = 0) -> TextReference:
    """Return what texts are held against.

    Args:
        vectors: (n, d) float32, rows of length 1: the texts that a release is for.
        embedder: Which model made them.
        seed: Of the texts that are held out, by which `far` is measured, and of the means.

    Raises:
        ValueError: There are too few.
    """
    held, others = _held_out(len(vectors), seed)
    count = min(_TEXT_CENTRES, -(-len(others) // _PER_CENTRE))
    centres = centres_of(vectors[others], count, is_unit=True, seed=seed)
    far = np.quantile(nearest_of(vectors[held], centres)[1], _USUAL)
    width = vectors.shape[1]
    return TextReference(embedder, width, _packed(centres), _above_zero(far), len(vectors))


def fit_rows(rows: Sequence[Row], seed: int = 0) -> RowReference:
    """Return what rows are held against.

    A field is a number where all its values are, or null; else each of its values is a category.

    Args:
        rows: Rows that a release has learned from, or was served.
        seed: Of the rows that are held out, by which `far` and `rare` are measured, and of the
            means.

    Raises:
        ValueError: There are too few.
    """
    step = -(-len(rows) // MOST_ROWS)
    rows = rows[:: max(step, 1)]
    held, others = _held_out(len(rows), seed)
    numbers, categories, width = fields_of([rows[place] for place in others])
    fields: list[Field] = [*numbers, *categories]
    cells, surprises = _read_all(rows, fields, width)
    whitening = _whitening(cells[others])
    points = (cells @ whitening).astype(np.float32)
    count = min(_ROW_CENTRES, -(-len(others) // _PER_CENTRE))
    centres = centres_of(points[others], count, seed=seed)
    distances = nearest_of(points[held], centres)[1].astype(np.float64)
    far, rare = (_above_zero(np.quantile(all, _USUAL)) for all in (distances, surprises[held]))
    # One in twenty is beyond each, so that more are beyond either.
    both = np.quantile(np.maximum(distances / far, surprises[held] / rare), _USUAL)
    return RowReference(
        numbers,
        categories,
        width,
        _packed(whitening),
        _packed(centres),
        _above_zero(far * both),
        _above_zero(rare * both),
        len(rows),
    )


def _held_out(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the places of a random fifth, and those of all others."""
    if count < LEAST_REFERENCE:
        raise ValueError(f"expected at least {LEAST_REFERENCE} to hold others against, got {count}")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[: count // 5]).tolist(), np.sort(order[count // 5 :]).tolist()


def _read_all(rows: Sequence[Row], fields: Sequence[Field], width: int) -> tuple[Floats, Floats]:
    """Return (n, width) the rows as vectors and (n,) how surprising the rarest value of each is."""
    cells = np.zeros((len(rows), width))
    surprises = [
        max((field.read(row.get(field.name), vector) for field in fields), default=0.0)
        for row, vector in zip(rows, cells, strict=True)
    ]
    return cells, np.array(surprises)


def _whitening(cells: Floats) -> Floats:
    """Return (w, w) what makes Euclid's distance Mahalanobis' (1936)."""
    covariance = np.atleast_2d(np.cov(cells, rowvar=False))
    variances = np.diag(covariance)
    covariance = (1 - _RIDGE) * covariance + _RIDGE * np.diag(variances + _FLOOR)
    whitening: Floats = np.linalg.cholesky(np.linalg.inv(covariance))
    return whitening


def _above_zero(value: Any) -> float:
    """Return a scale that can be divided by, where all that was measured is the same."""
    return max(float(value), 1e-6)


def _packed(array: npt.NDArray[Any]) -> bytes:
    return array.astype("<f4").tobytes()


def _unpacked(data: bytes, width: int) -> Vectors:
    if width < 1 or len(data) % (4 * width):
        raise ValueError(f"expected rows of {width} numbers in a reference of a scope")
    return np.frombuffer(data, dtype="<f4").reshape(-1, width)


class TextScope:
    """Says how far texts lie from a reference.

    Args:
        reference: What `fit_texts` gave.

    Raises:
        ValueError: The reference is damaged.
    """

    def __init__(self, reference: TextReference) -> None:
        self.reference = reference
        self._centres = _unpacked(reference.centres, reference.dimensions)
        self._squares = np.einsum("kd,kd->k", self._centres, self._centres)

    def score(self, vector: Any) -> float:
        """Return how far a text lies: 1 is as far as one in twenty of the reference's own.

        Args:
            vector: (d,) float32 of length 1, by the embedder of the reference.
        """
        apart = float((self._squares - 2 * (self._centres @ vector)).min()) + 1
        # NaN is as far as can be.
        return float(max(apart, 0.0) ** 0.5) / self.reference.far if apart == apart else FARTHEST


class RowScope:
    """Says how far rows lie from a reference.

    Args:
        reference: What `fit_rows` gave.

    Raises:
        ValueError: The reference is damaged.
    """

    def __init__(self, reference: RowReference) -> None:
        self.reference = reference
        self._fields: list[Field] = [*reference.numbers, *reference.categories]
        self._whitening = _unpacked(reference.whitening, reference.width)
        self._centres = _unpacked(reference.centres, reference.width)
        self._squares = np.einsum("kd,kd->k", self._centres, self._centres)

    def score(self, row: Row) -> float:
        """Return how far a row lies: 1 is as far as one in twenty of the reference's own.

        A field that a row lacks is null; one that the reference does not know is left out.
        """
        cells: Any = np.zeros(self.reference.width, dtype=np.float32)
        # A memoryview writes one number in a fifth of the time an array takes.
        writable = memoryview(cells)
        get = row.get
        surprise = 0.0
        for field in self._fields:
            own = field.read(get(field.name), writable)
            if own > surprise:
                surprise = own
        point = cells @ self._whitening
        apart = float((self._squares - 2 * (self._centres @ point)).min()) + float(point @ point)
        distance = float(max(apart, 0.0) ** 0.5) / self.reference.far
        return max(distance, surprise / self.reference.rare)

    def rarest(self, row: Row) -> tuple[str, float]:
        """Return the field whose value is the rarest by itself, and its score.

        Where that is below the score of the row, it is what goes with what that is rare.
        """
        cells = [0.0] * self.reference.width
        surprises = [(field.read(row.get(field.name), cells), field.name) for field in self._fields]
        surprise, name = max(surprises, default=(0.0, ""))
        return name, surprise / self.reference.rare
