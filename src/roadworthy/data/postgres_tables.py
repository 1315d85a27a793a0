"""Tables of Postgres as sources: the rules run where the rows are."""

# ruff: noqa: S608 - names are quoted by `quoted`

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import msgspec
import sqlalchemy
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ..errors import MissingExtra, RequestError, StoreError
from .addresses import failed_source, name_of
from .batch import to_dialect
from .columns import Column, Dialect, family_of
from .csv_lines import BadLine
from .files import is_parquet, is_text
from .sql_text import quoted

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; a quarantine says which line installs it
    pyarrow = None

Row = tuple[Any, ...]

_ROWS = 10_000
"""Rows that are in memory at a time where they leave the database."""
_ARROW: Mapping[Any, str] = {
    16: "bool",
    **dict.fromkeys((20, 21, 23), "int64"),
    **dict.fromkeys((700, 701), "float64"),
}
"""Number of a type of Postgres → what keeps its values; any other is written as its text."""


class DatabaseSource(msgspec.Struct, kw_only=True):
    """A table of a Postgres database, read where it is."""

    name: str
    connection: sqlalchemy.Connection
    columns: Mapping[str, Column]
    relation: str
    dialect: Dialect = "postgres"
    bad_lines: Sequence[BadLine] = ()
    is_columnar: bool = False
    lacking: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict)
    references: Mapping[str, Mapping[str, Column]] = msgspec.field(default_factory=dict)

    def rows(self, sql: str) -> list[Row]:
        """Return what a statement in DuckDB's SQL gives.

        Raises:
            StoreError: The database refuses it.
        """
        return self._rows(to_dialect(sql, self.dialect))

    def query(self, sql: str, limit_s: float) -> list[Row]:
        """Return what a statement of somebody else gives; it can write nothing.

        Raises:
            StoreError: It is wrong, or took too long.
        """
        try:
            with self.connection.begin_nested():
                self._run(f"SET LOCAL statement_timeout = {int(limit_s * 1000)}")
                self._run("SET LOCAL transaction_read_only = on")
                return self._rows(sql)
        except SQLAlchemyError as error:
            raise failed_source(self.name, error) from error

    def run(self, sql: str) -> None:
        """Run a statement in DuckDB's SQL that gives nothing.

        Raises:
            StoreError: The database refuses it.
        """
        try:
            self._run(to_dialect(sql, self.dialect))
        except SQLAlchemyError as error:
            raise failed_source(self.name, error) from error

    def _run(self, sql: str) -> None:
        # A `%` in a pattern is no parameter of the driver.
        self.connection.exec_driver_sql(sql.replace("%", "%%"), ())

    def _rows(self, sql: str) -> list[Row]:
        try:
            found = self.connection.exec_driver_sql(sql.replace("%", "%%"), ())
            return [tuple(row) for row in found]
        except SQLAlchemyError as error:
            raise failed_source(self.name, error) from error

    def batches(self, sql: str) -> Iterator[Any]:
        """Yield what a statement in DuckDB's SQL gives as Arrow batches, the first one empty.

        Raises:
            StoreError: The database refuses it.
        """
        said = to_dialect(sql, self.dialect).replace("%", "%%")
        try:
            found = self.connection.exec_driver_sql(
                said, (), execution_options={"stream_results": True, "max_row_buffer": _ROWS}
            )
            described = found.cursor.description if found.cursor else None
            kinds = [_ARROW.get(column[1], "string") for column in described or ()]
            types = [pyarrow.type_for_alias(kind) for kind in kinds]
            schema = pyarrow.schema(list(zip(found.keys(), types, strict=True)))
            yield pyarrow.RecordBatch.from_pylist([], schema=schema)
            for rows in found.partitions(_ROWS):
                columns = [
                    pyarrow.array(values, kind)
                    for values, kind in zip(zip(*rows, strict=True), types, strict=True)
                ]
                yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)
        except SQLAlchemyError as error:
            raise failed_source(self.name, error) from error


@contextmanager
def open_postgres(url: str, references: Mapping[str, Any]) -> Iterator[DatabaseSource]:
    """Open a table, and let it go at the end with nothing of the database changed.

    Raises:
        StoreError: It cannot be read.
        RequestError: No table is named, or a reference is not one of the same database.
        MissingExtra: The driver is not installed.
    """
    schema, name = _table_of(url)
    address = _address(url)
    if "+" not in address.drivername:
        address = address.set(drivername="postgresql+psycopg")
    try:
        # All statements see the rows of one moment.
        engine = sqlalchemy.create_engine(address, isolation_level="REPEATABLE READ")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "scale", "a table of Postgres", "pip install 'psycopg[binary]'"
        ) from error
    try:
        with engine.connect() as connection:
            yield DatabaseSource(
                name=name_of(url),
                connection=connection,
                columns=_columns_of(connection, schema, name),
                relation=_relation(schema, name),
                references={
                    relation: _reference(connection, str(table), relation)
                    for relation, table in references.items()
                },
            )
    except SQLAlchemyError as error:
        raise failed_source(name_of(url), error) from error
    finally:
        engine.dispose()


def _relation(schema: str, name: str) -> str:
    return ".".join(quoted(part) for part in (schema, name) if part)


def is_postgres(source: Any) -> bool:
    """Return whether a source is the URL of a table of Postgres."""
    return isinstance(source, str) and source.startswith("postgres")


def is_beside(url: str, reference: Any) -> bool:
    """Return whether a reference is a table of the same database: a URL, or a table's name."""
    if not is_postgres(reference):
        is_name = isinstance(reference, str) and not set("/\\#*") & set(reference)
        return is_name and not (is_parquet(reference) or is_text(reference))
    one, other = _address(url), _address(reference)
    return (one.host, one.port, one.database, one.query) == (
        other.host,
        other.port,
        other.database,
        other.query,
    )


def _address(url: str) -> sqlalchemy.URL:
    try:
        return sqlalchemy.make_url(url.partition("#")[0])
    except (ArgumentError, ValueError):
        expected = (
            "`postgresql://user:password@host/database#table`, with %23 for `#` in a password"
        )
        raise RequestError(f"expected {expected}, got `{name_of(url)}`") from None


def _table_of(url: str) -> tuple[str, str]:
    """Return schema and name of the table that a URL names."""
    table = unquote(url.partition("#")[2])
    if not table:
        raise RequestError(f"expected `{name_of(url)}table`, got no table")
    schema, _, name = table.rpartition(".")
    return schema, name


def _reference(connection: sqlalchemy.Connection, table: str, relation: str) -> dict[str, Column]:
    """Let SQL read another table of the same database under a name of its own, for this session."""
    schema, name = _table_of(table if is_postgres(table) else f"#{table}")
    columns = _columns_of(connection, schema, name)
    view = f"CREATE TEMP VIEW {relation} AS SELECT * FROM {_relation(schema, name)}"
    connection.exec_driver_sql(view)
    return columns


def _columns_of(connection: sqlalchemy.Connection, schema: str, name: str) -> dict[str, Column]:
    connection.exec_driver_sql("SET TIME ZONE 'UTC'")
    query = sqlalchemy.text(
        "SELECT c.column_name,"
        # What somebody made of texts, as an ENUM or as citext, is text to everybody else.
        " CASE WHEN c.data_type = 'USER-DEFINED' AND t.typcategory IN ('E', 'S')"
        " THEN 'text' ELSE c.data_type END"
        " FROM information_schema.columns AS c"
        " LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = c.udt_schema"
        " LEFT JOIN pg_catalog.pg_type AS t"
        " ON t.typnamespace = n.oid AND t.typname = c.udt_name"
        " WHERE c.table_name = :name"
        " AND c.table_schema = COALESCE(NULLIF(:schema, ''), current_schema())"
        " ORDER BY c.ordinal_position"
    )
    found = connection.execute(query, {"name": name, "schema": schema}).all()
    if not found:
        raise StoreError(f"expected a table, got none of the name `{name_of(name)}`")
    return {column: Column(column, family_of(kind)) for column, kind in found}
