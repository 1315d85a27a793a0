"""Writes bad rows where a person can look at them: as they were, with the rules that they break."""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, RequestError, StoreError
from .batch import ROW, Measure, Plan
from .columns import literal
from .details import bad_of, marked_sql
from .relations import quoted
from .sources import Source

try:
    import pyarrow
    from pyarrow import csv, parquet
except ImportError:  # the extra `data` is absent; `write_quarantine` says which line installs it
    pyarrow = None

RULES, LINE = "roadworthy_rules", "roadworthy_line"
_NATIVE = frozenset(("integer", "float", "boolean"))


def write_quarantine(path: Path, source: Source, plan: Plan, measures: Sequence[Measure]) -> int:
    """Write the rows that break `measures` to a Parquet or CSV file; return how many.

    Columns are those of the source, then the row's number, the names of its rules, and for a line
    that holds no row its text. Where the source has a column of such a name, ours gets a number.
    What only Postgres has a type for is written as the text that it has for it.

    Raises:
        RequestError: The file's name ends with neither `.parquet` nor `.csv`.
        StoreError: It cannot be written.
        MissingExtra: pyarrow is not installed.
    """
    if pyarrow is None:
        raise MissingExtra("data", "a quarantine")
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise RequestError(f"expected a quarantine `.parquet` or `.csv`, got `{path.name}`")
    draft = path.with_name(f".{path.name}.unfinished")
    count = 0
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            writer: Any = None
            for batch in _batches(source, plan, measures):
                writer = writer or _writer(path, file, batch.schema)
                writer.write_table(pyarrow.Table.from_batches([batch]))
                count += batch.num_rows
            if writer is not None:
                writer.close()
        draft.replace(path)
    except (OSError, pyarrow.ArrowException) as error:
        draft.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise StoreError(f"expected a file that can be written, got `{reason}` - {path}") from error
    return count


def _writer(path: Path, file: Any, schema: Any) -> Any:
    if path.suffix.lower() == ".csv":
        return csv.CSVWriter(file, schema)
    return parquet.ParquetWriter(file, schema, compression="zstd")


def _batches(source: Source, plan: Plan, measures: Sequence[Measure]) -> Iterator[Any]:
    """Yield the bad rows, then the bad lines."""
    row, rules, line = (_own(name, source.columns) for name in (ROW, RULES, LINE))
    raw = [f"{_whole(source, name)} AS c{at}" for at, name in enumerate(source.columns)]
    marked = marked_sql(source, plan, measures, raw)
    broken = ", ".join(
        f"CASE WHEN {one.condition} THEN {literal(one.rule.name)} END" for one in measures
    )
    shown = [f"c{at} AS {quoted(name)}" for at, name in enumerate(source.columns)]
    shown += [f"{ROW} AS {quoted(row)}", f"CONCAT_WS(', ', {broken or 'NULL'}) AS {quoted(rules)}"]
    shown.append(f"CAST(NULL AS VARCHAR) AS {quoted(line)}")
    sql = f"SELECT {', '.join(shown)} FROM ({marked}) AS marked WHERE {bad_of(measures)}"
    for batch in source.batches(sql):
        schema = batch.schema
        yield batch
    yield pyarrow.RecordBatch.from_pylist(
        [
            {rules: f"lines ({one.file}:{one.line}: {one.got})", line: one.text}
            for one in source.bad_lines
        ],
        schema=schema,
    )


def _own(name: str, columns: Collection[str]) -> str:
    """Return a name that no column has: SQL does not tell `Row` from `row`."""
    taken = {column.casefold() for column in columns}
    names = (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken)


def _whole(source: Source, name: str) -> str:
    """Return a column so that nothing of a value is lost where it leaves the database."""
    if source.dialect == "duckdb" or source.columns[name].family in _NATIVE:
        return quoted(name)
    return f"CAST({quoted(name)} AS VARCHAR)"
