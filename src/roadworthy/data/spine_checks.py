"""Whether the columns of a spine can be what they stand for: entities, and times."""

# ruff: noqa: S608 - columns and types are ours

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DeclarationError, RoadworthyError

try:
    import duckdb
    import pyarrow
    from pyarrow import types as kinds
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = pyarrow = None  # type: ignore[assignment]

TIMES = "times in ISO 8601, such as `2026-03-01T08:30:00Z`"

_LINE = re.compile(r"CSV Error on Line: (\d+)")
_COLUMN = re.compile(r'Error when converting column "(.*)"\. ')


def check_spine(rows: pyarrow.Table, entities: Mapping[str, str], time: str) -> None:
    """Check that each column of a spine has a type that its values can be read from.

    Args:
        rows: The spine.
        entities: Column → the SQL type in which views meet it.
        time: The column that says as of when.

    Raises:
        DeclarationError: A column is missing or there twice, or holds something else.
    """
    names = rows.column_names
    for name in dict.fromkeys((*entities, time)):
        if names.count(name) > 1:
            raise DeclarationError(
                f"spine: expected columns with names of their own, got `{name}` "
                f"{names.count(name)} times; rename all but one"
            )
    kind = _plain(rows.schema.field(time).type)
    if not (kinds.is_timestamp(kind) or kinds.is_date(kind) or _is_text(kind)):
        raise DeclarationError(
            f"spine: expected column `{time}` to hold {TIMES}, got values of type {kind}; name "
            "another with `--time`, or convert it"
        )
    for name, wanted in entities.items():
        kind = _plain(rows.schema.field(name).type)
        if kinds.is_nested(kind):
            raise DeclarationError(
                f"spine: expected entity `{name}` to be {wanted}, as the views have it, got values "
                f"of type {kind}; make a column of each part"
            )


def _plain(kind: Any) -> Any:
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_null(kind))


def check_values(connection: Any, read: str, wanted: Sequence[tuple[str, str, str]]) -> None:
    """Check that every value can be read, and say in which row the first one is that cannot.

    Args:
        connection: Of DuckDB.
        read: A relation of the rows, in their order.
        wanted: Of each column its expression there, its SQL type, and what is expected of it.

    Raises:
        DeclarationError: A value cannot be read; no value is quoted.
    """
    for column, kind, expected in wanted:
        query = (
            f"SELECT MIN(n) FROM (SELECT ROW_NUMBER() OVER () AS n, {column} AS c FROM {read})"
            f" AS numbered WHERE c IS NOT NULL AND TRY_CAST(c AS {kind}) IS NULL"
        )
        [(row,)] = connection.execute(query).fetchall()
        if row is not None:
            raise DeclarationError(f"spine: expected {expected}, got another value in row {row}")


def unreadable_rows(path: Path, error: Exception, types: Mapping[str, str]) -> RoadworthyError:
    """Return what to raise where a file of rows cannot be read; no value of it is quoted."""
    said = str(error)
    line, column = _LINE.search(said), _COLUMN.search(said)
    where = f"{path}:{line[1]}" if line else f"{path}"
    if column and (kind := types.get(column[1])):
        expected = TIMES if kind.startswith("TIMESTAMP") else f"values of type {kind}"
        return DeclarationError(
            f"spine: expected column `{column[1]}` to hold {expected}, got another value - {where}"
        )
    kind = said.partition(":")[0].lower()
    return DeclarationError(
        f"expected a Parquet or CSV file that can be read, got an error ({kind}) - {where}"
    )
