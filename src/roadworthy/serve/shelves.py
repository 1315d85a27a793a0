"""Questions by what they are near to, in memory: one shelf for each set that may share answers."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

EXACT_ROWS = 2_000
"""Up to so many questions of a shelf are all compared; of more the nearest by their signs are."""
INLINE_ROWS = 20_000
"""Of more a thread of its own looks through them: over a millisecond, which others would wait."""
NEAR_BY_SIGN = 256
"""How many are compared exactly, after their signs: recall of the nearest 1.00, of 16 .99."""
_LEAST_ROWS = 4

Vectors = npt.NDArray[np.float32]


class Near(NamedTuple):
    """A question near another: its entry's key, and their cosine."""

    key: bytes
    similarity: float


class Index(Protocol):
    """Where questions are looked up by what they are near to."""

    def add(self, shelf: bytes, key: bytes, vector: Any) -> None:
        """Put a question, (d,) float32 of length 1, on a shelf."""

    def remove(self, shelf: bytes, key: bytes) -> None:
        """Take it off again, if it is there."""

    async def near(self, shelf: bytes, vector: Any, count: int) -> list[Near]:
        """Return the nearest questions of one shelf and no other, nearest first."""


class Shelves:
    """An index in this process.

    What is near is found by the signs of vectors (384 bits each; the 100,000 of a shelf in 1 to 4
    ms), and the nearest of these are compared exactly, as float16: 820 bytes a question. Of what
    was tried (all exactly, projections on 64 and 96 directions, the main 64) it was the fastest
    that lost nothing, and the smallest (bench/cache.py).

    Args:
        dimensions: Of the vectors.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._shelves: dict[bytes, _Shelf] = {}

    @property
    def row_bytes(self) -> int:
        """What one question takes."""
        return 2 * self._dimensions + 8 * _words(self._dimensions)

    def add(self, shelf: bytes, key: bytes, vector: Any) -> None:
        """Put a question on a shelf."""
        on = self._shelves.get(shelf)
        if on is None:
            on = self._shelves[shelf] = _Shelf(self._dimensions)
        on.add(key, vector)

    def remove(self, shelf: bytes, key: bytes) -> None:
        """Take it off; an empty shelf goes too."""
        on = self._shelves.get(shelf)
        if on is not None and on.remove(key) == 0:
            del self._shelves[shelf]

    async def near(self, shelf: bytes, vector: Any, count: int) -> list[Near]:
        """Return the nearest questions of one shelf, nearest first."""
        on = self._shelves.get(shelf)
        if on is None:
            return []
        if len(on.keys) <= EXACT_ROWS:
            return on.exact(range(len(on.keys)), vector, count)
        if len(on.keys) <= INLINE_ROWS:
            return on.exact(on.by_sign(vector), vector, count)
        # Rows may move meanwhile: which are near is a guess by then, how near is computed after.
        rows = await asyncio.to_thread(on.by_sign, vector)
        return on.exact(rows, vector, count)


class _Shelf:
    def __init__(self, dimensions: int) -> None:
        self.keys: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._vectors = np.empty((_LEAST_ROWS, dimensions), np.float16)
        self._signs = np.empty((_words(dimensions), _LEAST_ROWS), np.uint64)

    def add(self, key: bytes, vector: Vectors) -> None:
        if key in self._places:
            self.remove(key)
        row = len(self.keys)
        if row == len(self._vectors):
            self._resize(2 * row)
        self._vectors[row] = vector
        self._signs[:, row] = _signs_of(vector)
        self._places[key] = row
        self.keys.append(key)

    def remove(self, key: bytes) -> int:
        """Take a row away, put the last into its place, and return how many are left."""
        row = self._places.pop(key, None)
        if row is None:
            return len(self.keys)
        last = self.keys.pop()
        if last != key:
            end = len(self.keys)
            self.keys[row] = last
            self._places[last] = row
            self._vectors[row] = self._vectors[end]
            self._signs[:, row] = self._signs[:, end]
        if _LEAST_ROWS < 4 * len(self.keys) < len(self._vectors):
            self._resize(len(self._vectors) // 2)
        return len(self.keys)

    def _resize(self, rows: int) -> None:
        kept = len(self.keys)
        vectors = np.empty((rows, self._vectors.shape[1]), np.float16)
        signs = np.empty((len(self._signs), rows), np.uint64)
        vectors[:kept], signs[:, :kept] = self._vectors[:kept], self._signs[:, :kept]
        self._vectors, self._signs = vectors, signs

    def by_sign(self, vector: Vectors) -> list[int]:
        """Return the rows whose signs differ least; also from another thread."""
        signs = self._signs[:, : len(self.keys)]
        apart = np.zeros(signs.shape[1], np.uint16)
        for column, own in zip(signs, _signs_of(vector), strict=True):
            apart += np.bitwise_count(column ^ own)
        most = min(NEAR_BY_SIGN, len(apart))
        nearest: list[int] = np.argpartition(apart, most - 1)[:most].tolist()
        return nearest

    def exact(self, rows: list[int] | range, vector: Vectors, count: int) -> list[Near]:
        """Return the nearest of some rows."""
        there = [row for row in rows if row < len(self.keys)]
        cosines = self._vectors[there].astype(np.float32) @ vector
        order = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [Near(self.keys[there[k]], float(cosines[k])) for k in order]


def _words(dimensions: int) -> int:
    return -(-dimensions // 64)


def _signs_of(vector: Vectors) -> npt.NDArray[np.uint64]:
    packed = np.zeros(8 * _words(len(vector)), np.uint8)
    bits = np.packbits(vector > 0)
    packed[: len(bits)] = bits
    return packed.view(np.uint64)
