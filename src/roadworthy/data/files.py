"""Which files a source names, and how DuckDB reads them: validation and views read them alike."""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from .csv_lines import Header, compression_of
from .sql_text import quoted, text_of

PARQUET = (".parquet", ".pq")
DUCKDB = (".duckdb", ".ddb")
TEXT = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst", ".txt")

_PLAIN = {
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMPTZ_NS": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP_NS WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    "TIME_NS": "TIME",
    "UUID": "VARCHAR",
}
"""Types that hold what another one holds, but that no bound and no pattern compares with."""


def files_named(url: str) -> list[Path]:
    """Return the files of a path, with `*` for several; none if there is none."""
    if Path(url).is_file() or not glob.has_magic(url):
        return [Path(url)] if Path(url).is_file() else []
    return [path for path in sorted(map(Path, glob.glob(url, recursive=True))) if path.is_file()]


def literal_of(path: str | Path) -> str:
    """Return a path as DuckDB reads it: `*`, `?` and `[` of a file's own name stand for nothing."""
    return glob.escape(str(path))


def allowed_of(paths: Iterable[str | Path]) -> str:
    """Return the setting by which DuckDB may read these files and no other."""
    names = dict.fromkeys(name for path in paths for name in (str(path), literal_of(path)))
    return f"SET allowed_paths = [{', '.join(map(text_of, names))}]"


def is_parquet(path: str | Path) -> bool:
    """Return whether a file's name says that it is Parquet."""
    return str(path).lower().endswith(PARQUET)


def is_text(path: str | Path) -> bool:
    """Return whether a file's name says that it is CSV."""
    return str(path).lower().endswith(TEXT)


def parquet_of(paths: Sequence[Path]) -> str:
    """Return the table function that reads Parquet files, whose columns meet by name."""
    listed = ", ".join(text_of(literal_of(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true)"


def csv_of(path: Path, header: Header, more: str = "") -> str:
    """Return the table function that reads a CSV file as text, and nothing else of it as null."""
    columns = ", ".join(f"{text_of(name)}: 'VARCHAR'" for name in header.names)
    options = [
        text_of(literal_of(path)),
        "auto_detect = false",
        f"compression = '{compression_of(path)}'",
        "header = true",
        f"columns = {{{columns}}}",
        f"delim = {text_of(header.delimiter)}",
        "quote = '\"'",
        "escape = '\"'",
        # An empty value is null, an empty value in quotes is an empty text.
        "allow_quoted_nulls = false",
        "strict_mode = true",
        *((more,) if more else ()),
    ]
    return f"read_csv({', '.join(options)})"


def plain_of(read: str, described: Sequence[tuple[str, str]]) -> str:
    """Return a SELECT of a relation in which no column has a type of its own kind only.

    Args:
        read: The relation.
        described: Its columns, each with its type.
    """
    casts = [
        f"CAST({quoted(name)} AS {_PLAIN[kind]}) AS {quoted(name)}"
        for name, kind in described
        if kind in _PLAIN
    ]
    shown = f"* REPLACE ({', '.join(casts)})" if casts else "*"
    return f"SELECT {shown} FROM {read}"
