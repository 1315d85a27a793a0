"""Opens sources for views: their files, and tables in files of SQLite and DuckDB by copies of them.

A view reads in a database that sees these files and nothing else of the machine. A table is copied
to a Parquet file first, as it is at that moment, and the copy is gone when the reading is done.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..errors import RequestError, StoreError
from .addresses import failed_source
from .files import DUCKDB
from .relations import Connection, SourceTable, attach_sources, files_of, open_duck
from .sql_text import quoted, text_of
from .sqlite_tables import SQLITE, copy_table, is_sqlite

try:
    import duckdb
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = None  # type: ignore[assignment]

_URL = "sqlite:///"


@contextmanager
def open_sources(sources: Iterable[SourceTable]) -> Iterator[Connection]:
    """Open a database in which SQL reads each source under its name, and let it go at the end.

    Raises:
        NotFound: A source has no rows anywhere.
        StoreError: A table cannot be read.
        RequestError: A database is named, and none of its tables.
        DeclarationError: A source lacks a field that its contract has.
        MissingExtra: duckdb or pyarrow is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="roadworthy-data-") as folder:
        mixed: dict[str, tuple[str, ...]] = {}
        read = []
        for number, source in enumerate(sources):
            if source.data is None and is_table(source.url):
                copy = Path(folder) / f"{number}.parquet"
                mixed[source.name] = _copy(source, copy)
                source = msgspec.structs.replace(source, url=str(copy))
            read.append(source)
        connection = open_duck(files_of(read))
        try:
            attach_sources(connection, read, mixed)
            yield connection
        finally:
            connection.close()


def is_table(url: str) -> bool:
    """Return whether a URL names a database in a file, with or without a table behind `#`."""
    path = url.partition("#")[0].lower()
    return url.startswith(_URL) or path.endswith((*DUCKDB, *SQLITE))


def _copy(source: SourceTable, target: Path) -> tuple[str, ...]:
    """Write a table to a Parquet file; return its columns that are to be read as text."""
    name, _, table = source.url.removeprefix(_URL).partition("#")
    path = Path(name)
    if not path.is_file():
        raise StoreError(f"source `{source.name}`: expected a file, got none - {path}")
    if is_sqlite(path):
        return copy_table(path, table, target)
    if not table:
        raise RequestError(f"source `{source.name}`: expected `{path}#table`, got no table")
    names = ".".join(quoted(part) for part in table.split("."))
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH {text_of(str(path))} AS base (READ_ONLY)")
            connection.execute(f"COPY base.{names} TO {text_of(str(target))} (FORMAT parquet)")
    except duckdb.Error as error:
        raise failed_source(source.url, error) from error
    return ()
