"""Tables of SQLite as sources: copied as they are to a file that DuckDB reads.

SQLite lets each value have a type of its own. A column whose values are of one kind keeps it; one
that mixes texts and numbers is read as a column of a CSV file is, from text.
"""

# ruff: noqa: S608 - names are quoted by `quoted`

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import RequestError, StoreError
from .sql_text import quoted

try:
    import pyarrow
    from pyarrow import parquet
except ImportError:  # the extra `data` is absent; `open_source` says which line installs it
    pyarrow = None

SQLITE = (".sqlite", ".sqlite3", ".db")

_MAGIC = b"SQLite format 3\0"
_ROWS = 10_000
_COLUMNS_AT_ONCE = 200
_EXACT = 2**53


class _Kept(NamedTuple):
    """How a column is kept: its Arrow type, and what becomes of each value."""

    type: Any
    value: Callable[[Any], Any] | None = None
    is_mixed: bool = False


def is_sqlite(path: Path) -> bool:
    """Return whether a file is a database of SQLite, whatever its name says."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def copy_table(path: Path, table: str, target: Path) -> tuple[str, ...]:
    """Write a table to a Parquet file; return its columns that mix texts and numbers.

    Raises:
        RequestError: No table is named.
        StoreError: There is none of the name, or it cannot be read.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            # Both looks at the table see the same rows.
            connection.execute("BEGIN")
            _check_table(connection, path, table)
            kept = _kept(connection, table)
            names = ", ".join(map(quoted, kept))
            rows = connection.execute(f"SELECT {names} FROM {quoted(table)}")
            schema = pyarrow.schema([(name, one.type) for name, one in kept.items()])
            with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
                for batch in _batches(rows, list(kept.values()), schema):
                    writer.write_batch(batch)
    except (sqlite3.Error, OverflowError) as error:
        # What it says of a text that it cannot decode quotes that text.
        is_text = str(error).startswith("Could not decode")
        got = "a text that is not UTF-8" if is_text else f"`{str(error).partition(chr(10))[0]}`"
        raise StoreError(f"expected a table that can be read, got {got} - {path}#{table}") from None
    return tuple(name for name, one in kept.items() if one.is_mixed)


def _check_table(connection: sqlite3.Connection, path: Path, table: str) -> None:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    there = [row[0] for row in connection.execute(query)]
    if table.casefold() in map(str.casefold, there):
        return
    shown = ", ".join(f"`{name}`" for name in there[:20]) or "none"
    if not table:
        raise RequestError(f"expected `{path}#table`, got no table; there: {shown}")
    raise StoreError(f"expected a table, got none of the name `{table}` - {path}; there: {shown}")


def _kept(connection: sqlite3.Connection, table: str) -> dict[str, _Kept]:
    """Return how each column is kept, from the types that its values have."""
    names = [row[0] for row in connection.execute(f"SELECT * FROM {quoted(table)}").description]
    info = connection.execute(f"PRAGMA table_xinfo({quoted(table)})")
    declared = {row[1]: str(row[2]).upper() for row in info}
    found: dict[str, _Kept] = {}
    for at in range(0, len(names), _COLUMNS_AT_ONCE):
        some = names[at : at + _COLUMNS_AT_ONCE]
        parts = ", ".join(part for name in some for part in _asked(quoted(name)))
        row = connection.execute(f"SELECT {parts} FROM {quoted(table)}").fetchone()
        step = len(row) // len(some)
        for place, name in enumerate(some):
            answers = [bool(one) for one in row[place * step : (place + 1) * step]]
            found[name] = _kind(declared.get(name, ""), *answers)
    return found


def _asked(column: str) -> Iterator[str]:
    """Yield what is asked of a column: which types its values have, and whether they are wide."""
    for kind in ("integer", "real", "text", "blob"):
        yield f"MAX(typeof({column}) = '{kind}')"
    is_integer = f"typeof({column}) = 'integer'"
    yield f"MAX({is_integer} AND {column} NOT BETWEEN {-_EXACT} AND {_EXACT})"
    yield f"MAX({is_integer} AND {column} NOT IN (0, 1))"


def _kind(
    declared: str,
    has_integer: bool,
    has_real: bool,
    has_text: bool,
    has_blob: bool,
    is_wide: bool,
    is_count: bool,
) -> _Kept:
    is_numeric = has_integer or has_real
    if has_text + has_blob + is_numeric > 1 or (has_real and is_wide):
        return _Kept(pyarrow.string(), _as_text, is_mixed=True)
    if has_blob:
        return _Kept(pyarrow.binary())
    if has_real:
        return _Kept(pyarrow.float64())
    if declared.startswith("BOOL") and not (has_text or is_count):
        return _Kept(pyarrow.bool_(), bool)
    return _Kept(pyarrow.int64() if has_integer else pyarrow.string())


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return f"X'{value.hex().upper()}'"
    return repr(value) if isinstance(value, float) else str(value)


def _batches(rows: sqlite3.Cursor, kept: Sequence[_Kept], schema: Any) -> Iterator[Any]:
    while some := rows.fetchmany(_ROWS):
        columns = [
            pyarrow.array(
                [v if v is None or one.value is None else one.value(v) for v in values], one.type
            )
            for one, values in zip(kept, zip(*some, strict=True), strict=True)
        ]
        yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)
