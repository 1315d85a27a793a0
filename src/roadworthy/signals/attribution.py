"""What each feature of a row contributes to its prediction: Shapley values against real rows.

A contribution is by how much a feature moves the prediction, averaged over all orders in which the
features of a background row can be replaced by those of the explained one (interventional Shapley
values: Strumbelj and Kononenko, 2014; Lundberg and Lee, 2017; Janzing et al., 2020). It says what
the model did with its inputs, not what would happen in the world if one of them changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import BadAnswer

BUDGET = 2048
"""Rows that one explanation may predict: 26 ms for 34 features of trees (bench/explain.py)."""
BATCH = 1024
"""Rows that are predicted at once."""

_BITS = 44
"""How finely contributions are told: to a 2^44th of the largest number, so that sums are exact."""
_MOST = 1e300
"""Above it, differences of predictions might not be finite."""

Floats = npt.NDArray[np.float64]
Row = Mapping[str, Any]
Predict = Callable[[Sequence[dict[str, Any]]], Floats]
"""(n) rows → (n,) float64: the one number of each answer that is explained."""
Groups = Mapping[str, Sequence[str]]
"""Name → the fields that count together as one feature."""


class Part(NamedTuple):
    """What one feature, or one group of them, adds to the reference."""

    feature: str
    contribution: float


class Attribution(msgspec.Struct, frozen=True):
    """A prediction as a sum: `reference` and all contributions add up to `value` to the last bit.

    Attributes:
        reference: The mean prediction of the background rows.
        value: The prediction that is explained.
        parts: Every feature, the largest contribution first.
        background_rows: How many rows it was compared with.
        is_exact: Whether all orders were taken, and not a sample of them.
    """

    reference: float
    value: float
    parts: tuple[Part, ...]
    background_rows: int
    is_exact: bool


def explain(
    predict: Predict,
    row: Row,
    background: Sequence[Row],
    *,
    groups: Groups | None = None,
    budget: int = BUDGET,
    seed: int = 0,
) -> Attribution:
    """Return what each feature of a row contributes to its prediction.

    Every background row has the same share of the budget. Where all subsets of the features in
    which it differs fit in, its contributions are exact. Else they are averaged over random orders,
    each with its reverse, which is exact where at most two features act together (antithetic
    sampling; Mitchell et al., 2022).

    Args:
        predict: Gives the number that is explained; called with at most `BATCH` rows at once.
        row: Feature → value, of any type; a field that a row lacks is None.
        background: What the row is compared with. Where the budget is too small for all, evenly
            spaced ones are taken, the same for every row.
        groups: Fields that count together; any other field is a feature of its own.
        budget: Most rows predicted.
        seed: Of the orders; the same seed gives the same contributions.

    Raises:
        ValueError: No row to compare with, a field in two groups, a group with the name of a field
            outside it, or a budget below two rows a feature.
        BadAnswer: The model gave no finite number for a row.

    >>> double = lambda rows: np.array([2.0 * row["a"] + row["b"] for row in rows])
    >>> explain(double, {"a": 3, "b": 5}, [{"a": 0, "b": 1}, {"a": 2, "b": 1}]).parts
    (Part(feature='a', contribution=4.0), Part(feature='b', contribution=4.0))
    """
    features = _features(row, background, groups or {})
    most = (budget - 1) // max(2 * len(features) - 1, 1)
    if most < 1 or not background:
        raise ValueError(
            f"expected background rows and a budget of at least {2 * len(features)} rows, "
            f"got {len(background)} and {budget}"
        )
    count = min(len(background), most)
    share, rng = (budget - 1) // count, np.random.default_rng(seed)
    sides = [
        _Side.of(row, background[place], features, share, rng)
        for place in _evenly(len(background), count)
    ]
    asked = (mixed for side in sides for mixed in side.rows())
    values = _predicted(predict, _all_of(row, features), asked)
    worths = np.split(values[1:], np.cumsum([len(side.masks) for side in sides])[:-1])
    total = np.zeros(len(features))
    for side, worth in zip(sides, worths, strict=True):
        total[side.places] += side.contributions(worth, values[0])
    is_exact = all(not side.orders for side in sides)
    return _added_up(float(values[0]), [*features], total / count, count, is_exact)


def pick_background(predict: Predict, rows: Sequence[Row], size: int) -> list[Row]:
    """Return rows to compare with whose mean prediction is near that of all, in rising order.

    They lie evenly among all rows sorted by prediction: a random choice of as many would be off by
    a multiple (docs/explanation/confidence.md).

    Args:
        predict: As `explain` takes it.
        rows: A sample of what the model has learned from or was served, say 2,000.
        size: How many to return; all rows where there are fewer.

    Raises:
        ValueError: There are no rows.
        BadAnswer: The model gave no finite number for a row.
    """
    if not rows:
        raise ValueError("expected rows to choose from, got none")
    order = np.argsort(_predicted(predict, rows[0], rows[1:]), kind="stable")
    return [rows[order[place]] for place in _evenly(len(rows), min(size, len(rows)))]


def _evenly(length: int, count: int) -> list[int]:
    """Return `count` places of `length`, each in the middle of an equal part."""
    return [(2 * k + 1) * length // (2 * count) for k in range(count)]


def _features(row: Row, background: Sequence[Row], groups: Groups) -> dict[str, tuple[str, ...]]:
    """Return each feature with its fields, in the order of the row."""
    of_group: dict[str, str] = {}
    for group, fields in groups.items():
        for field in fields:
            if of_group.setdefault(field, group) != group:
                raise ValueError(f"expected `{field}` in one group, got two")
    features: dict[str, list[str]] = {}
    for field in dict.fromkeys(name for each in (row, *background) for name in each):
        if field in groups and of_group.get(field) != field:
            raise ValueError(f"expected a group of another name than the field `{field}`")
        features.setdefault(of_group.get(field, field), []).append(field)
    return {name: tuple(fields) for name, fields in features.items()}


def _all_of(row: Row, features: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return {field: row.get(field) for fields in features.values() for field in fields}


def _is_same(one: Any, other: Any) -> bool:
    """Return whether a model cannot tell two values apart; of other types it may."""
    return one is other or (
        type(one) is type(other) and (one == other or (one != one and other != other))
    )


class _Side(msgspec.Struct, frozen=True):
    """One background row, and which mixtures of it and the explained row are predicted.

    A mask says which of the differing features are the explained row's; all of them is that row
    itself, which is predicted once for every side.

    Attributes:
        base: The background row.
        changes: The explained row's fields of each differing feature.
        places: Where these features stand among all.
        masks: The mixtures, in the order they are predicted in.
        orders: Orders of the differing features; empty where all subsets are taken.
    """

    base: dict[str, Any]
    changes: list[dict[str, Any]]
    places: list[int]
    masks: list[int]
    orders: list[list[int]]

    @staticmethod
    def of(
        row: Row,
        base: Row,
        features: Mapping[str, tuple[str, ...]],
        share: int,
        rng: np.random.Generator,
    ) -> _Side:
        """Choose mixtures, at most `share` of them."""
        changes, places = [], []
        for place, fields in enumerate(features.values()):
            if not all(_is_same(row.get(field), base.get(field)) for field in fields):
                changes.append({field: row.get(field) for field in fields})
                places.append(place)
        count = len(changes)
        whole = (1 << count) - 1
        if whole <= share:
            masks, orders = list(range(max(whole, 1))), []
        else:
            pairs = (share - 1) // (2 * count - 2)
            drawn = [rng.permutation(count).tolist() for _ in range(pairs)]
            orders = [order for one in drawn for order in (one, one[::-1])]
            masks = list(dict.fromkeys(mask for order in orders for mask in _path(order)[:-1]))
        return _Side(_all_of(base, features), changes, places, masks, orders)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the mixtures."""
        for mask in self.masks:
            mixed = self.base.copy()
            for place, change in enumerate(self.changes):
                if mask >> place & 1:
                    mixed.update(change)
            yield mixed

    def contributions(self, worth: Floats, value: float) -> Floats:
        """Return (k,) what each differing feature contributes, given what the mixtures are worth.

        Args:
            worth: (m,) float64, of each mask.
            value: What the explained row is worth.
        """
        count = len(self.changes)
        if not self.orders:
            return _exact(np.append(worth, value)[: 1 << count], count)
        of_mask = dict(zip(self.masks, worth.tolist(), strict=True))
        of_mask[(1 << count) - 1] = value
        total = np.zeros(count)
        for order in self.orders:
            total[order] += np.diff([of_mask[mask] for mask in _path(order)])
        return total / len(self.orders)


def _path(order: Sequence[int]) -> list[int]:
    """Return the masks from none to all that an order passes through."""
    masks = [0]
    for place in order:
        masks.append(masks[-1] | 1 << place)
    return masks


def _exact(worth: Floats, count: int) -> Floats:
    """Return (k,) Shapley values of a game, given what every coalition is worth (2^k,)."""
    masks = np.arange(1 << count)
    sizes = np.array([mask.bit_count() for mask in range(1 << count)])
    weights = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
    found = np.zeros(count)
    for place in range(count):
        without = masks[masks >> place & 1 == 0]
        gains = worth[without | 1 << place] - worth[without]
        found[place] = weights[sizes[without]] @ gains
    return found


def _predicted(predict: Predict, first: Row, others: Iterable[Row]) -> Floats:
    """Return (n,) the predictions of all rows, batch by batch.

    Raises:
        BadAnswer: One of them is no finite number.
    """
    rest = iter(others)
    batch = [dict(first), *map(dict, islice(rest, BATCH - 1))]
    parts: list[Floats] = []
    while batch:
        values = np.asarray(predict(batch), dtype=np.float64)
        # A comparison with NaN is false, so that it is refused too.
        if values.shape != (len(batch),) or not (np.abs(values) <= _MOST).all():
            raise BadAnswer(f"expected {len(batch)} finite numbers from the model, got others")
        parts.append(values)
        batch = [dict(row) for row in islice(rest, BATCH)]
    return np.concatenate(parts)


def _added_up(
    value: float, names: Sequence[str], total: Floats, count: int, is_exact: bool
) -> Attribution:
    """Return the sum, with every number a multiple of one power of two.

    As whole numbers of it they add up exactly and in any order; what rounding leaves, less than a
    2^44th of the largest number for each feature, is the reference's.
    """
    largest = max(abs(value), float(np.abs(total).max(initial=0.0)))
    bits = min(_BITS, 50 - len(names).bit_length())
    step = math.frexp(largest)[1] - bits
    whole = [round(math.ldexp(number, -step)) for number in (value, *total.tolist())]
    told = [math.ldexp(number, step) for number in (whole[0] - sum(whole[1:]), *whole)]
    parts = [Part(name, number) for name, number in zip(names, told[2:], strict=True)]
    parts.sort(key=lambda part: -abs(part.contribution))
    return Attribution(told[0], told[1], tuple(parts), count, is_exact)
