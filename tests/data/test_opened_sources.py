"""Views read tables in files of SQLite and DuckDB as they read files, and leave no copy behind."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from view_samples import source, view

from roadworthy.data.history import history
from roadworthy.data.known import KnownRows
from roadworthy.data.materialize import materialize
from roadworthy.data.online import SqliteFeatures
from roadworthy.data.opened_sources import is_table
from roadworthy.errors import DeclarationError, RequestError, RoadworthyError, StoreError
from roadworthy.types import SystemClock

ROWS = """
INSERT INTO weather VALUES
  ('EWR', '2013-01-01 04:00:00', '2013-01-01 05:00:00', 10.5, 50.0),
  ('EWR', '2013-01-01 05:00:00', '2013-01-01 06:00:00', 12.5, 41.0),
  ('JFK', '2013-01-01 05:00:00', '2013-01-01 06:00:00', NULL, 32.0);
"""
CREATE = "CREATE TABLE weather (origin TEXT, observed_at {0}, known_at {0}, wind_mph DOUBLE, {1});"
CSV = """\
origin,observed_at,known_at,wind_mph,temp_f
EWR,2013-01-01T04:00:00Z,2013-01-01T05:00:00Z,10.5,50
EWR,2013-01-01T05:00:00Z,2013-01-01T06:00:00Z,12.5,41
JFK,2013-01-01T05:00:00Z,2013-01-01T06:00:00Z,,32
"""


def in_sqlite(folder: Path, rows: str = ROWS) -> str:
    with sqlite3.connect(folder / "w.sqlite") as connection:
        connection.executescript(CREATE.format("TEXT", "temp_f") + rows)
    connection.close()
    return str(folder / "w.sqlite#weather")


def in_duckdb(folder: Path, rows: str = ROWS) -> str:
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute(CREATE.format("TIMESTAMP", "temp_f DOUBLE") + rows)
    return str(folder / "w.duckdb#weather")


def in_csv(folder: Path) -> str:
    (folder / "w.csv").write_text(CSV)
    return str(folder / "w.csv")


def joined(url: str) -> list[dict[str, Any]]:
    hours = [f"2013-01-01T0{hour}:30:00Z" for hour in range(4, 8)]
    spine = pa.table({"origin": ["EWR", "JFK"] * 4, "at": [at for at in hours for _ in "ab"]})
    rows: list[dict[str, Any]] = history([view()], spine, {"weather": source(url=url)}).to_pylist()
    return rows


@pytest.mark.parametrize("there", [in_sqlite, in_duckdb])
def test_a_table_is_read_as_the_same_rows_in_a_file(
    there: Callable[[Path], str], tmp_path: Path
) -> None:
    expected = joined(in_csv(tmp_path))
    url, before = there(tmp_path), set(Path(tempfile.gettempdir()).glob("roadworthy-data-*"))
    assert joined(url) == expected
    assert [row["wind_mph"] for row in expected] == [
        None, None, 10.5, None, 12.5, None, 12.5, None,
    ]  # fmt: skip
    store = SqliteFeatures(tmp_path / "online.db")
    sources = {"weather": source(url=url)}
    assert materialize(view(), sources, store, SystemClock()).rows == 2
    assert materialize(view(), sources, store, SystemClock()).rows == 0
    store.close()
    assert len(KnownRows(view(), sources).between(0, 2**60)) == 3
    assert set(Path(tempfile.gettempdir()).glob("roadworthy-data-*")) <= before


def test_a_table_behind_a_url_is_read_too(tmp_path: Path) -> None:
    url = in_sqlite(tmp_path)
    assert joined(f"sqlite:///{url}") == joined(url)
    assert is_table(f"sqlite:///{url}")
    assert not is_table("data/weather.parquet")
    assert not is_table("data/x.db/weather.csv")


def test_a_column_that_mixes_numbers_and_texts_is_held_to_its_contract(tmp_path: Path) -> None:
    good = ROWS.replace("10.5, 50.0", "'10.5', 50.0")
    assert joined(in_sqlite(tmp_path, good))[2]["wind_mph"] == 10.5
    (tmp_path / "w.sqlite").unlink()
    bad = ROWS.replace("10.5, 50.0", "10.5, 'warm'")
    with pytest.raises(DeclarationError, match="expected `temp_f` to be number"):
        joined(in_sqlite(tmp_path, bad))


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda url: url.replace("#weather", ""), RequestError, "no table"),
        (lambda url: url.replace("#weather", "#clouds"), StoreError, "table"),
        (lambda url: url.replace("/w.", "/gone."), StoreError, "expected a file, got none"),
    ],
)
@pytest.mark.parametrize("there", [in_sqlite, in_duckdb])
def test_a_table_that_is_not_there_is_told(
    there: Callable[[Path], str],
    change: Callable[[str], str],
    kind: type[RoadworthyError],
    said: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind, match=said):
        joined(change(there(tmp_path)))


def test_a_server_is_still_refused_with_what_to_do() -> None:
    with pytest.raises(DeclarationError, match="export the table to a file for views"):
        joined("postgresql://ana@db/airline#weather")
