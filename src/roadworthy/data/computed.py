"""Features that are computed for each request: one expression, for a request and for training.

An expression (CEL) reads `input`, the fields of the request that the view declares, and `features`,
the stored features of the same view. Both sides hand it values of the declared types, however they
came: a whole number of JSON is a number with decimals where `[request]` says `number`. What has no
value (a field is missing, types do not fit, a division by zero) is null.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from itertools import cycle, islice
from math import isfinite
from typing import Any

import msgspec

from ..declare.expressions import Expression, ExpressionError, compile_expression
from ..errors import DeclarationError
from .contract import MAX_INTEGER, MIN_INTEGER
from .values import is_null
from .views import FOLDER, Column, FeatureType, View

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    pyarrow = None

SAMPLES: Mapping[FeatureType, tuple[Any, ...]] = {
    "integer": (0, 1, -1, 7, 1400, 2**53 + 1, None),
    "number": (0.0, 1.0, -2.5, 0.1, 1400.0, 1e300, None),
    "string": ("", "EWR", "Zoë ✈", "0", None),
    "boolean": (True, False, None),
    "date": (date(2013, 3, 10), date(2012, 2, 29), None),
    "timestamp": (datetime(2013, 3, 10, 7, 0, 0, 1, UTC), datetime(1999, 12, 31, tzinfo=UTC), None),
}
"""What a computed feature is tried with before it is registered, by type."""

_KINDS = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
"""What types of Python are called in a view."""

SAMPLE_ROWS = 420
"""Rows that it is tried with: the least at which values of 5, 6 and 7 samples have all met."""


class Computed(msgspec.Struct, frozen=True):
    """One computed feature, compiled.

    Attributes:
        input, features: The columns that the expression may read.
    """

    view: str
    name: str
    expression: Expression
    input: tuple[Column, ...]
    features: tuple[Column, ...]

    def value(
        self, input: Mapping[str, Any], features: Mapping[str, Any]
    ) -> float | str | bool | None:
        """Return its value, or None where it has none."""
        names = {"input": _typed(self.input, input), "features": _typed(self.features, features)}
        try:
            found = self.expression.evaluate(names)
        except ExpressionError:
            return None
        if isinstance(found, bool | str):
            return found
        if isinstance(found, int | float):
            return float(found) if isfinite(found) else None
        return None


def open_computed(views: Iterable[View]) -> tuple[Computed, ...]:
    """Return the computed features of these views, ready to use."""
    return tuple(
        Computed(view.id, name, compile_expression(text, "computed"), view.request, view.features)
        for view in views
        for name, text in view.computed.items()
    )


def plain(value: Any, kind: FeatureType) -> Any:
    """Return a value of a feature or a request as JSON would hold it, or None where it is none.

    Whole numbers may come as 3.0; NaN and infinities are null, -0.0 is 0; times are texts of ISO
    8601 in UTC.
    """
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return None
    if kind in ("date", "timestamp"):
        return _time_text(value, kind)
    if isinstance(value, bool) or kind == "boolean":
        return value if isinstance(value, bool) and kind == "boolean" else None
    if kind == "string":
        return value if isinstance(value, str) else None
    return _number(value, kind) if isinstance(value, int | float) else None


def _number(value: float, kind: FeatureType) -> float | None:
    """Return a finite number as the kind has it; a column holds integers of 64 bits."""
    if kind == "number":
        # `-0.0` equals `0.0` and is written differently: the sum of both is `0.0`.
        return float(value) + 0.0 if abs(value) <= sys.float_info.max else None
    whole = int(value)
    return whole if whole == value and MIN_INTEGER <= whole <= MAX_INTEGER else None


def _time_text(value: Any, kind: FeatureType) -> str | None:
    """Return a date or a time as text; what was text is read and written again, in one spelling."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, date):
        return None
    if kind == "date":
        return value.date().isoformat() if isinstance(value, datetime) else value.isoformat()
    if not isinstance(value, datetime):
        return f"{value}T00:00:00Z"
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value
    except OverflowError:  # it lies outside the years 1 to 9999
        return None
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _typed(columns: Sequence[Column], values: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: plain(values.get(column.name), column.type) for column in columns}


def compute_rows(
    table: pyarrow.Table, spine: pyarrow.Table, computed: Sequence[Computed]
) -> pyarrow.Table:
    """Return `table` with computed features beside the stored ones; `spine` holds the input."""
    for one in computed:
        rows = zip(_rows(spine, one.input), _rows(table, one.features), strict=True)
        values = [one.value(input, features) for input, features in rows]
        kinds = {type(value) for value in values if value is not None}
        kind = pyarrow.float64() if not kinds - {float} else None
        try:
            column = pyarrow.array(values, kind)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise _two_kinds(one, kinds) from error
        table = table.append_column(one.name, column)
    return table


def check_request(views: Iterable[View], spine: pyarrow.Table) -> None:
    """Check that a spine has what computed features read of a request, as the views say it is.

    Raises:
        DeclarationError: A column is missing, or holds values of another type, which would be null.
    """
    for view in views:
        for column in view.request if view.computed else ():
            if column.name not in spine.column_names:
                raise _no_column(view, column, spine.column_names)
            if not _fits(spine[column.name].type, column.type):
                _check_values(view, column, spine[column.name].to_pylist())


def _no_column(view: View, column: Column, there: Sequence[str]) -> DeclarationError:
    close = get_close_matches(column.name, there, 1)
    listed = ", ".join(f"`{name}`" for name in there[:40])
    advice = f"did you mean `{close[0]}`?" if close else "add it: a request brings it too"
    return DeclarationError(
        f"spine: expected a column `{column.name}` ({column.type}), which `{view.id}` reads of a "
        f"request, got none among {listed}; {advice}"
    )


def _fits(kind: Any, wanted: FeatureType) -> bool:
    """Say whether every value of an Arrow type is of a kind, without a look at each."""
    is_of = {
        "integer": pyarrow.types.is_signed_integer,
        "number": lambda k: pyarrow.types.is_integer(k) or pyarrow.types.is_floating(k),
        "string": lambda k: pyarrow.types.is_string(k) or pyarrow.types.is_large_string(k),
        "boolean": pyarrow.types.is_boolean,
        "date": pyarrow.types.is_date,
        "timestamp": pyarrow.types.is_timestamp,
    }
    return bool(is_of[wanted](kind))


def _check_values(view: View, column: Column, values: Sequence[Any]) -> None:
    wrong = [
        row
        for row, value in enumerate(values)
        if not is_null(value) and plain(value, column.type) is None
    ]
    if wrong:
        got = type(values[wrong[0]]).__name__
        raise DeclarationError(
            f"spine: expected `{column.name}` to be {column.type}, as `[request]` of `{view.id}` "
            f"says, got {_KINDS.get(got, got)} in {len(wrong):,} of {len(values):,} rows, the "
            f"first of them row {wrong[0] + 1}; convert the column, or correct `[request]` in a "
            "new version of the view"
        )


def _rows(table: pyarrow.Table, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    names = [column.name for column in columns if column.name in table.column_names]
    if not names:
        return ({} for _ in range(table.num_rows))
    lists = [table[name].to_pylist() for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True))


def check_computed(view: View) -> None:
    """Try each computed feature as a request and as a row of training, on the same values.

    Raises:
        DeclarationError: A value differs, or values are of two kinds, or there never is one.
    """
    computed = open_computed([view])
    if not computed:
        return
    inputs, features = _samples(view.request, 1), _samples(view.features, 2)
    spine, table = _arrow(view.request, inputs), _arrow(view.features, features)
    trained = compute_rows(table, spine, computed)
    for one in computed:
        expected = trained[one.name].to_pylist()
        served = [
            one.value(_through_json(i), _through_msgpack(view.features, f))
            for i, f in zip(inputs, features, strict=True)
        ]
        for number, (there, here) in enumerate(zip(expected, served, strict=True)):
            if there != here or type(there) is not type(here):
                raise DeclarationError(
                    f"{view.id}: expected `{one.name}` to be the same for a request and in "
                    f"training, got `{here}` and `{there}` for {inputs[number]} and "
                    f"{features[number]} - {FOLDER}/{view.name}.sql"
                )
        if all(value is None for value in served):
            raise DeclarationError(
                f"{view.id}: expected `{one.name}` to have a value for some row, got none of "
                f"{len(served)} samples - {FOLDER}/{view.name}.sql; whole numbers and numbers "
                "with decimals do not mix: convert with `double(…)`"
            )


def _samples(columns: Sequence[Column], step: int) -> list[dict[str, Any]]:
    """Return rows in which the columns take their samples at paces of their own."""
    lists = []
    for number, column in enumerate(columns):
        values = SAMPLES[column.type]
        pace = step + number
        turned = [values[i // pace % len(values)] for i in range(len(values) * pace)]
        lists.append(list(islice(cycle(turned), SAMPLE_ROWS)))
    names = [column.name for column in columns]
    if not names:
        return [{} for _ in range(SAMPLE_ROWS)]
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def _arrow(columns: Sequence[Column], rows: list[dict[str, Any]]) -> pyarrow.Table:
    kinds = {
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "string": pyarrow.string(),
        "boolean": pyarrow.bool_(),
        "date": pyarrow.date32(),
        "timestamp": pyarrow.timestamp("us"),
    }
    if not columns:
        return pyarrow.table({"none": [None] * len(rows)})
    lists = {
        c.name: pyarrow.array([_naive(row[c.name]) for row in rows], kinds[c.type]) for c in columns
    }
    return pyarrow.table(lists)


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _through_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a client's JSON would bring it."""
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(row))
    return values


def _through_msgpack(columns: Sequence[Column], row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the online store would bring it."""
    packed = msgspec.msgpack.encode(_typed(columns, row))
    values: dict[str, Any] = msgspec.msgpack.decode(packed)
    return values


def _two_kinds(one: Computed, kinds: set[type]) -> DeclarationError:
    names = " and ".join(sorted(kind.__name__ for kind in kinds))
    return DeclarationError(
        f"{one.view}: expected `{one.name}` to be of one kind, got {names}; "
        "convert with `double(…)` or `string(…)`"
    )
