"""Sources as tables for SQL, in an embedded DuckDB that sees their files and nothing else."""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import DeclarationError, MissingExtra, NotFound, RoadworthyError, StoreError
from .contract import Contract, Field, Table

try:
    import duckdb
    import pyarrow
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = None  # type: ignore[assignment]

Connection = Any
"""A `duckdb.DuckDBPyConnection`; the package is optional, so its types are too."""

SQL_TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "object": "VARCHAR",
    "array": "VARCHAR",
}
"""Logical type of a contract → the SQL type in which a view meets it; timestamps are UTC."""

MEMORY = "1GB"
"""Most memory of one embedded database; what is above it goes to disk."""


class SourceTable(msgspec.Struct, frozen=True, kw_only=True):
    """One source that views may read: what it promises, and where its rows are.

    Attributes:
        name: Its name in roadworthy.toml, under which SQL reads it.
        contract: What its producer promises.
        table: The table of that contract.
        url: Where its rows are: a Parquet or CSV file, with `*` for several, absolute.
        data: Its rows themselves, as an Arrow table or a frame, in place of `url`.
    """

    name: str
    contract: Contract
    table: Table
    url: str = ""
    data: Any = None

    @property
    def version(self) -> str:
        """The contract and its version, as `weather@2.0.0`."""
        return f"{self.contract.id}@{self.contract.version}"

    @property
    def schema(self) -> dict[str, str]:
        """Field → the SQL type in which a view meets it."""
        return {field.name: SQL_TYPES[field.type] for field in self.table.fields}


Sources = Mapping[str, SourceTable]


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def text_of(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def open_duck(files: Sequence[str] = (), *, threads: int = 0) -> Connection:
    """Return an embedded database that may read `files` and touches nothing else of the machine.

    Raises:
        MissingExtra: duckdb or pyarrow is not installed.
    """
    if duckdb is None:
        raise MissingExtra("data", "reading data")
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    # With it, tests for NaN are folded by statistics of Parquet files, which leave NaN out.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    if threads:
        connection.execute(f"SET threads = {threads}")
    listed = ", ".join(map(text_of, files))
    folders = ", ".join(text_of(str(Path(file).parent) + "/") for file in files if "*" in file)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false")
    return connection


def empty_sources(connection: Connection, sources: Iterable[SourceTable]) -> None:
    """Make a table without rows for each source, so that queries can be checked without data."""
    for source in sources:
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in source.schema.items())
        connection.execute(f"CREATE TABLE {quoted(source.name)} ({columns})")


def attach_sources(connection: Connection, sources: Iterable[SourceTable]) -> None:
    """Let SQL read each source under its name, with the fields and types of its contract.

    Raises:
        NotFound: A source has no rows anywhere.
        DeclarationError: A source lacks a field that its contract has.
    """
    for source in sources:
        rows = _rows_of(connection, source)
        try:
            there = connection.execute(f"DESCRIBE (SELECT * FROM {rows})").fetchall()
            kinds = {str(row[0]).lower(): str(row[1]) for row in there}
            columns = [
                _column(field, kinds.get(field.column.lower())) for field in source.table.fields
            ]
            connection.execute(
                f"CREATE TEMP VIEW {quoted(source.name)} AS SELECT {', '.join(columns)} FROM {rows}"
            )
        except duckdb.Error as error:
            raise _unreadable(source, error) from error


def _rows_of(connection: Connection, source: SourceTable) -> str:
    if source.data is not None:
        name = f"rows of {source.name}"
        connection.register(name, source.data)
        return quoted(name)
    if "://" in source.url:
        raise DeclarationError(
            f"source `{source.name}`: expected a Parquet or CSV file, got the URL of a database - "
            "roadworthy.toml; views read files: export the table to one"
        )
    if not any(glob.iglob(source.url)):
        raise NotFound(f"source `{source.name}`: expected a file, got none - {source.url}")
    return reader_of(source.url, null_texts=source.table.null_texts)


def reader_of(
    url: str, types: Mapping[str, str] | None = None, *, null_texts: Sequence[str] = ()
) -> str:
    """Return the table function that reads a file; a CSV is read as text unless `types` are given.

    Args:
        url: The file, or a pattern of several.
        types: Column → SQL type, where a CSV's own are to be found.
        null_texts: What stands for null in a CSV, beside an empty value.

    Raises:
        DeclarationError: It is neither Parquet nor CSV.
    """
    if url.endswith((".parquet", ".pq")):
        return f"read_parquet({text_of(url)}, union_by_name = true)"
    if not re.search(r"\.(csv|tsv|txt)(\.gz|\.zst)?$", url):
        raise DeclarationError(f"expected a Parquet or CSV file, got `{Path(url).name}` - {url}")
    if types is None:
        nulls = ", ".join(map(text_of, ("", *null_texts)))
        return (
            f"read_csv({text_of(url)}, header = true, all_varchar = true, union_by_name = true, "
            f"nullstr = [{nulls}])"
        )
    listed = ", ".join(f"{text_of(name)}: '{kind}'" for name, kind in types.items())
    known = f", types = {{{listed}}}" if types else ""
    return f"read_csv({text_of(url)}, header = true, sample_size = -1{known})"


def _column(field: Field, kind: str | None) -> str:
    """Return how a field is read from a column of an SQL type; None where there is no such one."""
    column, wanted = quoted(field.column), SQL_TYPES[field.type]
    if field.type == "timestamp":
        value = _moment(column, kind)
    elif field.type == "number":
        value = f"nullif(CAST({column} AS DOUBLE), 'nan'::DOUBLE)"
    else:
        value = f"CAST({column} AS {wanted})"
    return f"{value} AS {quoted(field.name)}"


def _moment(column: str, kind: str | None) -> str:
    """Return how a time is read in UTC; reading 100,000 as they are saves 25 ms of a cast."""
    if kind is not None and kind.startswith("TIMESTAMP") and "ZONE" not in kind:
        return f"CAST({column} AS TIMESTAMP)"
    # Through the zone of the session, UTC: a time with an offset becomes what it was there.
    return f"make_timestamp(epoch_us(CAST({column} AS TIMESTAMPTZ)))"


def _unreadable(source: SourceTable, error: Exception) -> DeclarationError:
    """Say what is wrong with a source; what DuckDB says may quote a value, unless it is a name."""
    text = str(error)
    found = re.search(r'column (?:named )?"([^"]+)"', text, re.IGNORECASE)
    got = f"none of the name `{found[1]}`" if found else text.partition(":")[0].lower()
    return DeclarationError(
        f"source `{source.name}`: expected the columns that contract `{source.version}` has, "
        f"got {got}; `roadworthy data validate` says more"
    )


def failed_read(error: Exception, what: str) -> RoadworthyError:
    """Return what to raise where rows cannot be read as their contract says; no value is quoted."""
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException):
        return StoreError(
            f"{what}: expected files that can be read and {MEMORY} of memory, got a "
            f"{type(error).__name__}; check the files and the free space, or take fewer rows"
        )
    kind = str(error).partition(":")[0].lower()
    return DeclarationError(
        f"{what}: expected values of the types that its sources' contracts have, got a {kind}; "
        "`roadworthy data validate` shows which rows break them"
    )


def files_of(sources: Iterable[SourceTable]) -> list[str]:
    """Return the files that the sources are read from."""
    return [source.url for source in sources if source.url and source.data is None]


def as_arrow(connection: Connection, query: str) -> pyarrow.Table:
    """Return what a query gives as one Arrow table."""
    return connection.sql(query).to_arrow_table()
