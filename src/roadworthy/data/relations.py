"""Sources as tables for SQL, in an embedded DuckDB that sees their files and nothing else."""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from ..declare.project import Volume
from ..errors import DeclarationError, MissingExtra, NotFound, RoadworthyError, StoreError
from .batch import Plan, plan_of
from .columns import Column, family_of
from .contract import ROW_RULES, Contract, Field, Rule, Table
from .csv_lines import read_header
from .files import (
    allowed_of,
    csv_of,
    files_named,
    is_parquet,
    is_text,
    literal_of,
    parquet_of,
    plain_of,
)
from .report import expected_of
from .sql_text import quoted as quoted
from .sql_text import text_of as text_of

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
        volume: How much of it there will be, where that is declared.
    """

    name: str
    contract: Contract
    table: Table
    url: str = ""
    data: Any = None
    volume: Volume | None = None

    @property
    def version(self) -> str:
        """The contract and its version, as `weather@2.0.0`."""
        return f"{self.contract.id}@{self.contract.version}"

    @property
    def schema(self) -> dict[str, str]:
        """Field → the SQL type in which a view meets it."""
        return {field.name: SQL_TYPES[field.type] for field in self.table.fields}


Sources = Mapping[str, SourceTable]

_REFUSED = "roadworthy refuses: "
"""What an error of SQL starts with that one of ours has raised."""


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
    connection.execute(allowed_of(files))
    connection.execute("SET enable_external_access = false")
    return connection


def empty_sources(connection: Connection, sources: Iterable[SourceTable]) -> None:
    """Make a table without rows for each source, so that queries can be checked without data."""
    for source in sources:
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in source.schema.items())
        connection.execute(f"CREATE TABLE {quoted(source.name)} ({columns})")


def attach_sources(
    connection: Connection,
    sources: Iterable[SourceTable],
    mixed: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """Let SQL read each source under its name, with the fields and types of its contract.

    Values are read as `data validate` reads them. One that breaks a rule of severity `error`, and
    that a single row can break, ends the statement that reads it: no view sees what the contract
    forbids, and none sees it changed into something else. A field that nobody reads is not judged.
    Under severity `warning` a value is read as it is; one of another type is null.

    Args:
        connection: Where SQL reads them.
        sources: What it reads.
        mixed: Source → columns that hold values of several types, and are read as text.

    Raises:
        NotFound: A source has no rows anywhere.
        DeclarationError: A source lacks a field that its contract has.
    """
    for source in sources:
        try:
            rows, columns = _rows_of(connection, source)
            columns |= {name: Column(name, "text") for name in mixed.get(source.name, ())}
            plan = plan_of(source.table, columns)
            if plan.missing:
                raise _missing(source, plan.missing[0].column)
            parts = ", ".join(_columns(source, plan))
            inner = ", ".join(plan.inner)
            connection.execute(
                f"CREATE TEMP VIEW {quoted(source.name)} AS SELECT {parts} "
                f"FROM (SELECT {inner} FROM ({rows}) AS raw) AS read_rows"
            )
        except duckdb.Error as error:
            raise _unreadable(source, error) from error


def _rows_of(connection: Connection, source: SourceTable) -> tuple[str, dict[str, Column]]:
    """Return a SELECT of the rows of a source as they are, and its columns."""
    if source.data is not None:
        name = f"rows of {source.name}"
        connection.register(name, source.data)
        return _described(connection, quoted(name))
    if "://" in source.url:
        raise DeclarationError(
            f"source `{source.name}`: expected a file, or a table in one of SQLite or DuckDB, got "
            "the URL of a database server - roadworthy.toml; export the table to a file for views"
        )
    paths = files_named(source.url)
    if not paths:
        raise NotFound(
            f"source `{source.name}`: expected a file, got none - {source.url}; write it, or "
            f"correct `url` of `[sources.{source.name}]` in roadworthy.toml"
        )
    if all(map(is_parquet, paths)):
        _check_each(connection, source, paths)
        return _described(connection, parquet_of(paths))
    if not all(map(is_text, paths)):
        got = f"`{Path(source.url).name}` - {source.url}"
        raise DeclarationError(f"expected a Parquet or CSV file, got {got}")
    headers = [read_header(path, [f.column for f in source.table.fields]) for path in paths]
    for path, header in zip(paths, headers, strict=True):
        _check_columns(source, header.names, path)
    reads = [
        f"SELECT * FROM {csv_of(path, header)}" for path, header in zip(paths, headers, strict=True)
    ]
    names = dict.fromkeys(name for header in headers for name in header.names)
    return " UNION ALL BY NAME ".join(reads), {name: Column(name, "text") for name in names}


def _described(connection: Connection, read: str) -> tuple[str, dict[str, Column]]:
    there = _types(connection, f"SELECT * FROM {read}")
    plain = plain_of(read, there)
    return plain, {name: Column(name, family_of(kind)) for name, kind in _types(connection, plain)}


def _types(connection: Connection, query: str) -> list[tuple[str, str]]:
    there = connection.execute(f"DESCRIBE ({query})").fetchall()
    return [(str(row[0]), str(row[1])) for row in there]


def _check_each(connection: Connection, source: SourceTable, paths: Sequence[Path]) -> None:
    """Check that each of several files has all columns: read together, nulls would stand there."""
    for path in paths if len(paths) > 1 else ():
        there = _types(connection, f"SELECT * FROM {parquet_of([path])}")
        _check_columns(source, [name for name, _ in there], path)


def _check_columns(source: SourceTable, names: Sequence[str], path: Path) -> None:
    for field in source.table.fields:
        if field.column not in names:
            raise _missing(source, field.column, f" - {path}")


def _columns(source: SourceTable, plan: Plan) -> Iterator[str]:
    """Yield how each field is met, and what ends the reading of it."""
    for field in source.table.fields:
        at = plan.places[field.name]
        value = f"CAST(v{at} AS {SQL_TYPES[field.type]})"
        if field.type == "timestamp" and plan.columns[field.column].family != "timestamp":
            # Through the zone of the session, UTC: a time with an offset is what it was there.
            value = f"make_timestamp(epoch_us(v{at}))"
        broken = "".join(
            f" WHEN {condition} THEN error({text_of(_refusal(source, field, rule))})"
            for rule, condition, *_ in plan.measures
            if rule.field == field.name and _is_enforced(plan, rule)
        )
        met = f"CASE{broken} ELSE {value} END" if broken else value
        yield f"{met} AS {quoted(field.name)}"


def _is_enforced(plan: Plan, rule: Rule) -> bool:
    is_sure = rule.kind == "type" and plan.readings[rule.field].is_exact
    return rule.kind in ROW_RULES and rule.severity == "error" and not is_sure


def _refusal(source: SourceTable, field: Field, rule: Rule) -> str:
    return refusal(
        f"source `{source.name}`: expected `{field.name}` to be "
        f"{expected_of(rule, field)}, as rule `{rule.name}` of contract `{source.version}` says, "
        f"got a value that breaks it; `roadworthy data validate {source.name}` counts the rows, "
        "with `--quarantine FOLDER` it writes them"
    )


def refusal(message: str) -> str:
    """Return what `error()` of SQL is given, so that `failed_read` tells this message."""
    return f"{_REFUSED}{message}"


def is_refusal(error: Exception) -> bool:
    """Whether it is one that `error()` of SQL raised with a message of ours."""
    return _REFUSED in str(error)


def reader_of(url: str, types: Mapping[str, str] | None = None) -> str:
    """Return the table function that reads a file.

    Args:
        url: The file.
        types: Column → SQL type, where a CSV's own are not to be guessed.

    Raises:
        DeclarationError: It is neither Parquet nor CSV.
    """
    if is_parquet(url):
        return parquet_of([Path(url)])
    if not is_text(url):
        raise DeclarationError(f"expected a Parquet or CSV file, got `{Path(url).name}` - {url}")
    name = text_of(literal_of(url))
    if types is None:
        return f"read_csv({name}, header = true, all_varchar = true)"
    listed = ", ".join(f"{text_of(name)}: '{kind}'" for name, kind in types.items())
    known = f", types = {{{listed}}}" if types else ""
    return f"read_csv({name}, header = true, sample_size = -1{known})"


def _missing(source: SourceTable, column: str, where: str = "") -> DeclarationError:
    return DeclarationError(
        f"source `{source.name}`: expected the columns that contract `{source.version}` has, "
        f"got none of the name `{column}`{where}; `roadworthy data validate` says more"
    )


def _unreadable(source: SourceTable, error: Exception) -> DeclarationError:
    """Say what is wrong with a source; what DuckDB says may quote a value."""
    got = str(error).partition(":")[0].lower()
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
    kind, _, said = str(error).partition(": ")
    if said.startswith(_REFUSED):
        return DeclarationError(f"{what}: {said.removeprefix(_REFUSED).partition(chr(10))[0]}")
    kind = kind.lower()
    return DeclarationError(
        f"{what}: expected values of the types that its sources' contracts have, got a {kind}; "
        "`roadworthy data validate` shows which rows break them"
    )


def files_of(sources: Iterable[SourceTable]) -> list[str]:
    """Return the files that the sources are read from."""
    urls = [source.url for source in sources if source.url and source.data is None]
    return [str(path) for url in urls for path in files_named(url)]


def as_arrow(connection: Connection, query: str) -> pyarrow.Table:
    """Return what a query gives as one Arrow table."""
    return connection.sql(query).to_arrow_table()
