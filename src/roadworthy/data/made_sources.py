"""The invented rows of several sources, in files of a folder, as a producer would deliver them."""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import glob
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import DeclarationError
from .contract import Check
from .made_rows import Made, write_rows
from .relations import Sources, SourceTable, files_of, open_duck, quoted
from .sql_text import text_of
from .volume import DAY_S

try:
    import duckdb
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = None  # type: ignore[assignment]


class MadeSources:
    """Sources whose rows are invented: first all but the newest, then those of one interval.

    Args:
        folder: Where their files are written.
        sources: What they promise, and how many rows there are to be; what a foreign key looks up
            comes before what it is of.
        now_us: The time at which they are looked at.
        interval_s: How long the newest rows took to come.

    Attributes:
        sources: The same sources by name, their rows below `folder`.
        rows: Source → how many rows were made for it.
    """

    def __init__(
        self, folder: Path, sources: Iterable[SourceTable], now_us: int, interval_s: float
    ) -> None:
        self._now_us, self._interval_s = now_us, interval_s
        self._unmade: dict[str, str] = {}
        self._folders: dict[str, Path] = {}
        self.sources: dict[str, SourceTable] = {}
        self.rows: dict[str, int] = {}
        for number, source in enumerate(sources):
            self._folders[source.name] = folder / f"source-{number}"
            self._folders[source.name].mkdir()
            url = f"{glob.escape(str(self._folders[source.name]))}/*.parquet"
            self.sources[source.name] = msgspec.structs.replace(source, url=url, data=None)

    def why_not(self, names: Iterable[str]) -> str:
        """Return why the rows of a source are not there; empty where all are."""
        return next((self._unmade[name] for name in names if name in self._unmade), "")

    def make(self, name: str, *, is_newest: bool) -> None:
        """Write the rows of a source, as far as its contract and its volume allow."""
        source = self.sources[name]
        rows = None if source.volume is None else source.volume.rows
        if rows is None:
            self._unmade[name] = (
                f"source `{name}`: expected `rows` in its `volume` of roadworthy.toml, got none; "
                "declare how many rows there will be"
            )
            return
        fresh = _rows_of_interval(source, rows, self._interval_s)
        first, last = (rows - fresh, rows) if is_newest else (0, rows - fresh)
        path = self._folders[name] / f"{int(is_newest)}.parquet"
        referenced = [one for one in self.sources.values() if one is not source]
        connection = open_duck([str(path), *files_of(referenced)])
        try:
            made = Made(source, rows, self._now_us, dict(self._pools(connection, source)))
            write_rows(connection, made, path, first, last)
            self.rows[name] = last
        except DeclarationError as error:
            self._unmade[name] = str(error)
        except duckdb.Error as error:
            self._unmade[name] = _unmade(name, error)
        finally:
            connection.close()

    def _pools(self, connection: Any, source: SourceTable) -> Iterator[tuple[str, list[Any]]]:
        """Yield each field of a foreign key with the values that are there on its other side."""
        for check, other in _references(source, self.sources):
            if other is source or not files_of([other]):
                continue
            for field, path in zip(check.fields, check.references.split(", "), strict=True):
                column = quoted(path.rpartition(".")[2])
                files = ", ".join(map(text_of, files_of([other])))
                found = connection.execute(
                    f"SELECT DISTINCT {column} FROM read_parquet([{files}]) "
                    f"WHERE {column} IS NOT NULL ORDER BY ALL LIMIT 100000"
                ).fetchall()
                yield field, [row[0] for row in found]


def _unmade(name: str, error: Exception) -> str:
    got = str(error).partition("\n")[0][:200]
    return (
        f"source `{name}`: expected rows that can be invented from its contract, got `{got}`; "
        "check its rules"
    )


def _rows_of_interval(source: SourceTable, rows: int, interval_s: float) -> int:
    """Return how many rows come in an interval: of a day's most, or one of a thousand."""
    per_day = None if source.volume is None else source.volume.rows_per_day
    fresh = rows / 1000 if per_day is None else per_day[1] * interval_s / DAY_S
    return max(1, min(math.ceil(fresh), rows // 2)) if rows > 1 else 0


def _references(
    source: SourceTable, sources: Mapping[str, SourceTable]
) -> Iterator[tuple[Check, SourceTable]]:
    """Yield the foreign keys of a source, each with the source that it is looked up in."""
    for check in source.table.checks:
        if check.kind != "foreign_key":
            continue
        name = check.references.partition(",")[0].rpartition(".")[0]
        for other in sources.values():
            if name in (other.name, other.table.name, other.table.physical_name):
                yield check, other
                break


def with_referenced(names: Collection[str], sources: Sources) -> list[SourceTable]:
    """Return these sources and those that their foreign keys look up, such a one before them."""
    ordered = dict[str, SourceTable]()

    def add(source: SourceTable, above: frozenset[str]) -> None:
        for _, other in _references(source, sources):
            if other.name not in above:
                add(other, above | {other.name})
        ordered.setdefault(source.name, source)

    for name in sources:
        if name in names:
            add(sources[name], frozenset((name,)))
    return [*ordered.values()]
