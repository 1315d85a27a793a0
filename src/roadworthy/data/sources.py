"""Opens what a contract is held against: files, frames, Arrow tables and tables of databases.

Each becomes one relation that SQL can read. DuckDB reads files and what is in memory, in a database
of its own that can reach nothing else of the machine; a table of Postgres is read where it is.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import glob
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..errors import MissingExtra, RequestError, StoreError
from .addresses import failed_source, name_of
from .batch import SOURCE
from .columns import Column, Dialect, family_of
from .csv_lines import BadLine, Header, read_header, sift
from .files import (
    DUCKDB,
    PARQUET,
    TEXT,
    allowed_of,
    csv_of,
    files_named,
    is_parquet,
    is_text,
    parquet_of,
    plain_of,
)
from .postgres_tables import is_beside, is_postgres, open_postgres
from .sql_text import quoted, text_of
from .sqlite_tables import SQLITE, copy_table, is_sqlite

try:
    import duckdb
    import pyarrow
except ImportError:  # the extra `data` is absent; `open_source` says which line installs it
    duckdb = None  # type: ignore[assignment]

MEMORY = "160MB"
"""Most memory of DuckDB's own; what is above it goes to a temporary file."""

Row = tuple[Any, ...]


class Source(Protocol):
    """A relation that rules are measured on.

    Attributes:
        name: What reports call it.
        dialect: Whose SQL it speaks.
        relation: What it is called in that SQL.
        columns: Its columns by name, in order.
        bad_lines: Lines of a text file that hold no row.
        is_columnar: Whether reading one column costs one column.
        lacking: Of several files: those without a column that another has, with such columns.
        references: Relation → the columns of a further source.
    """

    name: str
    dialect: Dialect
    relation: str
    columns: Mapping[str, Column]
    bad_lines: Sequence[BadLine]
    is_columnar: bool
    lacking: Mapping[str, Sequence[str]]
    references: Mapping[str, Mapping[str, Column]]

    def rows(self, sql: str) -> list[Row]:
        """Return what a statement in DuckDB's SQL gives."""
        ...

    def query(self, sql: str, limit_s: float) -> list[Row]:
        """Return what a statement in the source's own SQL gives; one that takes longer is ended."""
        ...

    def run(self, sql: str) -> None:
        """Run a statement in DuckDB's SQL that gives nothing."""
        ...

    def batches(self, sql: str) -> Iterator[Any]:
        """Yield what a statement gives as Arrow batches."""
        ...


class DuckSource(msgspec.Struct, kw_only=True):
    """Files, frames or Arrow tables, in an embedded database."""

    name: str
    connection: Any
    columns: Mapping[str, Column]
    dialect: Dialect = "duckdb"
    relation: str = SOURCE
    bad_lines: Sequence[BadLine] = ()
    is_columnar: bool = False
    lacking: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict)
    references: Mapping[str, Mapping[str, Column]] = msgspec.field(default_factory=dict)

    def rows(self, sql: str) -> list[Row]:
        """Return what a statement gives.

        Raises:
            StoreError: The source cannot be read to its end.
        """
        try:
            found: list[Row] = self.connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise failed_source(self.name, error) from error
        return found

    def query(self, sql: str, limit_s: float) -> list[Row]:
        """Return what a statement of somebody else gives; one that takes longer is ended.

        Raises:
            StoreError: It is wrong, or took too long.
        """
        timer = threading.Timer(limit_s, self.connection.interrupt)
        timer.start()
        try:
            return self.rows(sql)
        finally:
            timer.cancel()

    def run(self, sql: str) -> None:
        """Run a statement that gives nothing."""
        self.rows(sql)

    def batches(self, sql: str) -> Iterator[Any]:
        """Yield what a statement gives as Arrow batches, the first one empty.

        Raises:
            StoreError: The source cannot be read to its end.
        """
        try:
            reader = self.connection.sql(sql).to_arrow_reader(50_000)
            # Without rows there is no batch, but the columns are known.
            yield pyarrow.RecordBatch.from_pylist([], schema=reader.schema)
            yield from reader
        except duckdb.Error as error:
            raise failed_source(self.name, error) from error


@contextmanager
def open_source(
    source: Any, wanted: Sequence[str] = (), references: Mapping[str, Any] | None = None
) -> Iterator[Source]:
    """Open a source, and let it go at the end.

    Args:
        source: A path (Parquet or CSV, with `*` for several), a URL of Postgres with `#table`, a
            DuckDB or SQLite file with `#table`, an Arrow table or a pandas frame.
        wanted: Columns that are looked for, by which the separator of a CSV is found.
        references: Relation → a further source, or for Postgres a table, under that name.

    Raises:
        StoreError: It cannot be read.
        RequestError: It is none of these.
        MissingExtra: The extra `data` is not installed.
    """
    if is_postgres(source):
        with open_postgres(source, references or {}) as found:
            yield found
        return
    if duckdb is None:
        raise MissingExtra("data", "reading data")
    folder = Path(tempfile.mkdtemp(prefix="roadworthy-data-"))
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"SET temp_directory = {text_of(str(folder / 'spill'))}")
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET TimeZone = 'UTC'")
        # With it, tests for NaN are folded by statistics of Parquet files that leave NaN out.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        opening = _Opening(connection, folder)
        opened = opening.open(source, SOURCE, wanted)
        opened.references = {
            name: opening.open(reference, name, ()).columns
            for name, reference in (references or {}).items()
        }
        opening.lock()
        yield opened
    except duckdb.Error as error:
        raise failed_source(name_of(source), error) from error
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)


def why_not_beside(source: Any, reference: Any) -> str:
    """Return why SQL cannot look values of a source up in a reference; empty where it can."""
    if is_postgres(source) and not is_beside(source, reference):
        return "a table of the same database"
    if not is_postgres(source) and is_postgres(reference):
        return "a file or a frame: rows of Postgres stay there"
    return ""


class _Opening:
    """Makes relations of sources, and knows which files they need."""

    def __init__(self, connection: Any, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._files: list[str] = []

    def lock(self) -> None:
        """Let SQL read these relations and nothing else; nobody can undo it."""
        self._connection.execute(allowed_of(self._files))
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET python_enable_replacements = false")
        self._connection.execute("SET lock_configuration = true")

    def open(self, source: Any, relation: str, wanted: Sequence[str]) -> DuckSource:
        """Make one relation of a source."""
        if not isinstance(source, str | Path):
            return self._in_memory(source, relation)
        text = str(source)
        path, _, table = text.removeprefix("sqlite:///").partition("#")
        if path.lower().endswith((*DUCKDB, *SQLITE)) or path != text.partition("#")[0]:
            return self._database(Path(path), table, relation)
        if "://" in text:
            known = "`postgresql://...#table` or `sqlite:///...#table`"
            raise RequestError(f"expected a file, or a table as {known}, got `{name_of(text)}`")
        paths = _paths(text)
        if all(map(is_parquet, paths)):
            return self._parquet(text, paths, relation)
        if all(map(is_text, paths)):
            return self._csv(text, paths, relation, wanted)
        kinds = ", ".join((*PARQUET, *TEXT, ".duckdb#table", ".sqlite#table"))
        raise RequestError(f"expected a source that ends with one of {kinds}, got `{text}`")

    def _in_memory(self, source: Any, relation: str) -> DuckSource:
        table = arrow_of(source)
        held = f"{relation}_held"
        self._connection.register(held, table)
        return self._named(name_of(source), held, relation)

    def _database(self, path: Path, table: str, relation: str) -> DuckSource:
        """Make a relation of a table in a file of DuckDB or SQLite, which is only read."""
        if not path.is_file():
            raise StoreError(f"expected a file, got none - {path}")
        if is_sqlite(path):
            return self._sqlite(path, table, relation)
        if not path.name.lower().endswith((*DUCKDB, ".db")):
            raise StoreError(f"expected a database of SQLite, got a file of another kind - {path}")
        base = f"{relation}_base"
        self._connection.execute(f"ATTACH {text_of(str(path))} AS {base} (READ_ONLY)")
        if not table:
            there = ", ".join(f"`{name}`" for name in self._tables(base)) or "none"
            raise RequestError(f"expected `{path}#table`, got no table; there: {there}")
        names = ".".join(quoted(part) for part in table.split("."))
        return self._named(f"{path}#{table}", f"{base}.{names}", relation)

    def _tables(self, base: str) -> list[str]:
        """Return what a database has, as its tables are named behind `#`."""
        found = self._connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables()"
            f" WHERE database_name = {text_of(base)} ORDER BY ALL LIMIT 20"
        )
        return [
            name if schema == "main" else f"{schema}.{name}" for schema, name in found.fetchall()
        ]

    def _sqlite(self, path: Path, table: str, relation: str) -> DuckSource:
        target = self._folder / f"{relation}.parquet"
        mixed = copy_table(path, table, target)
        self._files.append(str(target))
        opened = self._named(f"{path}#{table}", parquet_of([target]), relation, is_columnar=True)
        texts = {name: Column(name, "text") for name in mixed}
        opened.columns = {**opened.columns, **texts}
        return opened

    def _parquet(self, name: str, paths: Sequence[Path], relation: str) -> DuckSource:
        self._files += [str(path) for path in paths]
        opened = self._named(name, parquet_of(paths), relation, is_columnar=True)
        if len(paths) > 1:
            each = {str(path): self._names(parquet_of([path])) for path in paths}
            opened.lacking = _lacking(each, opened.columns)
        return opened

    def _names(self, read: str) -> list[str]:
        return [row[0] for row in self._connection.execute(f"DESCRIBE FROM {read}").fetchall()]

    def _csv(
        self, name: str, paths: Sequence[Path], relation: str, wanted: Sequence[str]
    ) -> DuckSource:
        parts, bad, names = [], [], dict[str, None]()
        each: dict[str, Sequence[str]] = {}
        for at, path in enumerate(paths):
            header = read_header(path, wanted)
            names |= dict.fromkeys(header.names)
            each[str(path)] = header.names
            read, lines = self._text(path, header, self._folder / f"{relation}-{at}.csv")
            parts.append(f"SELECT * FROM {read}")
            bad += lines
        opened = self._named(name, f"({' UNION ALL BY NAME '.join(parts)})", relation)
        opened.columns = {one: Column(one, "text") for one in names}
        opened.bad_lines = bad
        opened.lacking = _lacking(each, opened.columns)
        return opened

    def _text(self, path: Path, header: Header, sifted: Path) -> tuple[str, list[BadLine]]:
        """Return how a CSV file is read; one with broken lines is read from its good ones."""
        fast = csv_of(path, header, "store_rejects = true")
        counts = ", ".join(f"COUNT({quoted(name)})" for name in header.names)
        try:
            self._connection.execute(f"SELECT {counts} FROM {fast}").fetchall()
            rejected = self._connection.execute("SELECT COUNT(*) FROM reject_errors").fetchone()
            is_whole = not rejected[0]
        except duckdb.Error:
            # Not a row of it can be trusted to be where it seems; the slow reader says why.
            is_whole = False
        if is_whole:
            self._files.append(str(path))
            return csv_of(path, header), []
        bad = sift(path, header, sifted)
        self._files.append(str(sifted))
        return csv_of(sifted, header), bad

    def _named(
        self, name: str, read: str, relation: str, *, is_columnar: bool = False
    ) -> DuckSource:
        given = self._connection.execute(f"DESCRIBE FROM {read}").fetchall()
        plain = plain_of(read, [(row[0], row[1]) for row in given])
        self._connection.execute(f"CREATE TEMP VIEW {relation} AS {plain}")
        described = self._connection.execute(f"DESCRIBE {relation}").fetchall()
        columns = {row[0]: Column(row[0], family_of(row[1])) for row in described}
        return DuckSource(
            name=name,
            connection=self._connection,
            columns=columns,
            is_columnar=is_columnar,
            relation=relation,
        )


def _lacking(
    each: Mapping[str, Sequence[str]], columns: Mapping[str, Column]
) -> dict[str, tuple[str, ...]]:
    """Return file → the columns that others have and it has not."""
    found = {
        file: tuple(name for name in columns if name not in names) for file, names in each.items()
    }
    return {file: names for file, names in found.items() if names}


def _paths(text: str) -> list[Path]:
    """Return the files that a path names, with `*` for several."""
    if Path(text).is_dir():
        inner = glob.escape(text.rstrip("/"))
        raise StoreError(f"expected a file, got a folder - {text}; name `{inner}/*.parquet`")
    if not (paths := files_named(text)):
        is_class = "[" in text
        advice = (
            "; `[` and `]` are part of a pattern: write `[[]` for the first" if is_class else ""
        )
        raise StoreError(f"expected a file, got none - {text}{advice}")
    return paths


def arrow_of(source: Any) -> Any:
    """Return an Arrow table of what is in memory.

    Raises:
        StoreError: A column holds values of several types.
        RequestError: It is no table.
    """
    if isinstance(source, pyarrow.Table):
        return source
    if isinstance(source, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([source])
    if hasattr(source, "to_arrow"):
        return source.to_arrow()
    if not hasattr(source, "columns") or not hasattr(source, "dtypes"):
        got = f"a value of type {type(source).__name__}"
        raise RequestError(f"expected a file, a frame or an Arrow table, got {got}")
    try:
        return pyarrow.Table.from_pandas(source, preserve_index=False)
    except (pyarrow.ArrowException, ValueError) as error:
        reason = str(error).rpartition("Conversion failed for ")[2].partition(" with")[0]
        raise StoreError(
            f"expected columns of one type each, got several in {reason or 'one'}; "
            "write the frame as text, or convert the column"
        ) from error
