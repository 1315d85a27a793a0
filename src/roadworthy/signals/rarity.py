"""How rare a value is among those of its field, and the cells it fills in a row's vector.

Rarity is told as surprise: the negative logarithm of the share of the reference that is as rare. A
value that the reference has never held has the share that Good and Turing (Good, 1953) give to all
unseen ones: that of the values it holds once. Beyond the greatest and the least number, surprise
grows on with the logarithm of how far beyond.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, log1p
from typing import Any, Protocol

import msgspec
import numpy as np

_TAIL = 0.01
"""Only numbers in the outer hundredths surprise."""
_MOST_CELLS, _LEAST_SHARE = 12, 0.01
"""How many values of a category have a cell of their own, and how frequent each must be."""
_MOST_KNOWN = 4096
"""Values of a category that are remembered; rarer ones count as unseen."""
_MOST_CHARACTERS = 200
_BEND = 4.0
"""Scales beyond which a cell grows only with the logarithm: else one value would be all."""
_ENORMOUS = 1e300


class Field(Protocol):
    """One field of the rows."""

    @property
    def name(self) -> str:
        """What it is called."""

    def read(self, value: Any, cells: Any) -> float:
        """Write a value into its cells, and return how surprising it is."""


def _bounded(value: float) -> float:
    """Return a number that can be subtracted from any other, whatever JSON held."""
    return min(max(value, -_ENORMOUS), _ENORMOUS)


class Numbers(msgspec.Struct, frozen=True, gc=False):
    """A field of numbers, or null.

    Attributes:
        cell: Where it stands in a vector; `null_cell` says whether it is null, -1 where it never
            was.
        middle: The median; `scale` is a robust standard deviation.
        low: The numbers of the lowest hundredth, rising; `high` those of the highest.
        count: How many there were.
        null: How surprising null is.
        unseen: How surprising it is what is no number.
    """

    name: str
    cell: int
    null_cell: int
    middle: float
    scale: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    count: int
    null: float
    unseen: float

    def read(self, value: Any, cells: Any) -> float:
        """Write a value into its cells, and return how surprising it is."""
        if value is None or value != value:
            return self._nothing(cells)
        kind = type(value)
        if kind is not float and kind is not int and kind is not bool:
            return self.unseen
        z = (_bounded(value) - self.middle) / self.scale
        if -_BEND <= z <= _BEND:
            cells[self.cell] = z
        else:
            cells[self.cell] = _BEND + log1p(z - _BEND) if z > 0 else -_BEND - log1p(-z - _BEND)
        return 0.0 if self.low[-1] <= value <= self.high[0] else self._surprise(value)

    def _nothing(self, cells: Any) -> float:
        if self.null_cell >= 0:
            cells[self.null_cell] = 1.0
        return self.null

    def _surprise(self, value: float) -> float:
        value = _bounded(value)
        if value < self.low[-1]:
            as_far = bisect_right(self.low, value)
            beyond = self.low[0] - value
        else:
            as_far = len(self.high) - bisect_left(self.high, value)
            beyond = value - self.high[-1]
        # Either tail may be the far one.
        surprise = -log(min((2 * as_far + 1) / (self.count + 1), 1.0))
        return surprise + log1p(min(beyond / self.scale, _ENORMOUS)) if beyond > 0 else surprise


class Categories(msgspec.Struct, frozen=True, gc=False):
    """A field of anything else; null is a value like others.

    Attributes:
        cells: Value → where it stands in a vector, for the frequent ones.
        surprises: Value → how surprising it is.
        unseen: How surprising any other is.
    """

    name: str
    cells: dict[str, int]
    surprises: dict[str, float]
    unseen: float

    def read(self, value: Any, cells: Any) -> float:
        """Write a value into its cells, and return how surprising it is."""
        is_word = type(value) is str and len(value) <= _MOST_CHARACTERS
        word = value if is_word else _word(value)
        cell = self.cells.get(word)
        if cell is not None:
            cells[cell] = 1.0
        return self.surprises.get(word, self.unseen)


def _word(value: Any) -> str:
    """Return the name of a value of any type, never long; what holds other values is its type."""
    if value is None or isinstance(value, str | float | bool):
        return str(value)[:_MOST_CHARACTERS]
    # Python refuses to write out numbers of thousands of digits.
    is_small = isinstance(value, int) and -_ENORMOUS < value < _ENORMOUS
    return str(value)[:_MOST_CHARACTERS] if is_small else type(value).__name__


def fields_of(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[tuple[Numbers, ...], tuple[Categories, ...], int]:
    """Return the fields of reference rows, numbers and others, and how many cells they fill."""
    numbers: list[Numbers] = []
    categories: list[Categories] = []
    width = 0
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        known = [value for value in values if value is not None and value == value]
        if known and all(isinstance(value, int | float) for value in known):
            numbers.append(_numbers(name, known, len(rows), width))
            width += 1 if numbers[-1].null_cell < 0 else 2
        else:
            categories.append(_categories(name, values, width))
            width += len(categories[-1].cells)
    # Without any cell there would be nothing to measure distances in.
    return tuple(numbers), tuple(categories), max(width, 1)


def _numbers(name: str, known: Sequence[float], rows: int, cell: int) -> Numbers:
    values = np.sort(np.array([float(_bounded(value)) for value in known]))
    lower, middle, upper = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    with np.errstate(over="ignore"):
        deviation = min(float(values.std()), _ENORMOUS)
    robust = (upper - lower) / 1.349
    scale = robust if robust > deviation / 20 else deviation
    tail = max(int(len(values) * _TAIL), 1)
    nulls = rows - len(values)
    return Numbers(
        name,
        cell,
        cell + 1 if nulls else -1,
        middle,
        scale or max(abs(middle), 1.0),
        tuple(values[:tail].tolist()),
        tuple(values[-tail:].tolist()),
        len(values),
        -log((nulls + 0.5) / (rows + 1)),
        log(2 * (rows + 1)),
    )


def _categories(name: str, values: Sequence[Any], cell: int) -> Categories:
    counts = Counter(map(_word, values))
    known = counts.most_common(_MOST_KNOWN)
    rows = len(values)
    once = sum(count == 1 for count in counts.values())
    forgotten = rows - sum(count for _, count in known)
    unseen = max(once, forgotten, 0.5) / (rows + 1)
    frequent = [word for word, count in known[:_MOST_CELLS] if count >= _LEAST_SHARE * rows]
    return Categories(
        name,
        {word: cell + place for place, word in enumerate(frequent)},
        {word: -log(max(count / (rows + 1), unseen)) for word, count in known},
        -log(unseen),
    )
